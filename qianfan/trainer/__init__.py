"""Trainers: from a dataset to a published, deployed model."""

from qianfan.model import DeployConfig, Model, Service
from qianfan.pipeline import Action, ActionState, BaseAction, Context, Event, EventHandler
from qianfan.trainer.actions import DeployAction, EvaluateAction, LoadDataSetAction, ModelPublishAction, TrainAction
from qianfan.trainer.artefacts import (
    DeployedService,
    Evaluation,
    PlatformDataset,
    PublishedModel,
    TrainedJob,
    TrainResult,
)
from qianfan.trainer.configs import CorpusConfig, CorpusConfigItem, DatasetConfig, ResourceConfig, TrainConfig
from qianfan.trainer.pipeline import Pipeline
from qianfan.trainer.trainer import DPO, Finetune, LLMFinetune, PostPreTrain, Trainer

__all__ = [
    "DPO",
    "Action",
    "ActionState",
    "BaseAction",
    "Context",
    "CorpusConfig",
    "CorpusConfigItem",
    "DatasetConfig",
    "DeployAction",
    "DeployConfig",
    "DeployedService",
    "EvaluateAction",
    "Evaluation",
    "Event",
    "EventHandler",
    "Finetune",
    "LLMFinetune",
    "LoadDataSetAction",
    "Model",
    "ModelPublishAction",
    "Pipeline",
    "PlatformDataset",
    "PostPreTrain",
    "PublishedModel",
    "ResourceConfig",
    "Service",
    "TrainAction",
    "TrainConfig",
    "TrainResult",
    "TrainedJob",
    "Trainer",
]
