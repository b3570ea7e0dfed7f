"""Home of the fine-tuning trainer."""

from qianfan.trainer.trainer import Finetune, LLMFinetune

__all__ = ["Finetune", "LLMFinetune"]
