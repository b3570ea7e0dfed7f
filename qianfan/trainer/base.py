"""Older home of the names that pipelines are built from."""

from qianfan.pipeline import BaseAction, EventHandler, with_event
from qianfan.trainer.pipeline import Pipeline
from qianfan.trainer.trainer import Trainer

__all__ = ["BaseAction", "EventHandler", "Pipeline", "Trainer", "with_event"]
