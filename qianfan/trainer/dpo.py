"""Home of the preference trainer."""

from qianfan.trainer.trainer import DPO

__all__ = ["DPO"]
