"""Cleaning of text rows, as `/etl/create` orders it.

The platform names its operators and does not say how they compute; what they do here is our reading of their names.
"""

from qianfan.emulator.cleaning.run import STAGES, Cleaned, Order, clean, order_of

__all__ = ["STAGES", "Cleaned", "Order", "clean", "order_of"]
