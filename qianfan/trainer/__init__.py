"""Trainers: from a dataset to a published, deployed model."""

from qianfan.model import DeployConfig, Model, Service
from qianfan.pipeline import Action, ActionState, BaseAction, Context, Event, EventHandler
from qianfan.trainer.actions import (
    BatchInferAction,
    DeployAction,
    EvaluateAction,
    LoadDataSetAction,
    ModelPublishAction,
    TrainAction,
)
from qianfan.trainer.artefacts import (
    BatchAnswers,
    DeployedService,
    Evaluation,
    GateDecision,
    PlatformDataset,
    PublishedModel,
    TrainedJob,
    TrainResult,
)
from qianfan.trainer.configs import CorpusConfig, CorpusConfigItem, DatasetConfig, ResourceConfig, TrainConfig
from qianfan.trainer.gate import GateAction
from qianfan.trainer.pipeline import Pipeline
from qianfan.trainer.trainer import DPO, KTO, Finetune, LLMFinetune, PostPreTrain, Trainer

__all__ = [
    "DPO",
    "KTO",
    "Action",
    "ActionState",
    "BaseAction",
    "BatchAnswers",
    "BatchInferAction",
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
    "GateAction",
    "GateDecision",
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
