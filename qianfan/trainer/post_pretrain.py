"""Home of the pre-training trainer."""

from qianfan.trainer.trainer import PostPreTrain

__all__ = ["PostPreTrain"]
