"""Home of the preference trainer for answers that are only marked as good or bad."""

from qianfan.trainer.trainer import KTO

__all__ = ["KTO"]
