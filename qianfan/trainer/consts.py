"""Where a trainer stands, and the choices a user makes for it."""

from __future__ import annotations

from enum import Enum

from qianfan.model.consts import ServiceType
from qianfan.pipeline import ActionState
from qianfan.resources.console.consts import PeftType

__all__ = ["ActionState", "FinetuneStatus", "PeftType", "ServiceStatus", "ServiceType", "TrainStatus"]


class TrainStatus(str, Enum):
    """Where a trainer stands between loading its data and evaluating its model. Values equal names."""

    Unknown = "Unknown"
    DatasetLoading = "DatasetLoading"
    DatasetLoaded = "DatasetLoaded"
    DatasetLoadFailed = "DatasetLoadFailed"
    DatasetLoadStopped = "DatasetLoadStopped"
    TrainCreated = "TrainCreated"
    Training = "Training"
    TrainFinished = "TrainFinished"
    TrainFailed = "TrainFailed"
    TrainStopped = "TrainStopped"
    ModelPublishing = "ModelPublishing"
    ModelPublishFailed = "ModelPublishFailed"
    ModelPublished = "ModelPublished"
    EvaluationCreated = "EvaluationCreated"
    EvaluationRunning = "EvaluationRunning"
    EvaluationFailed = "EvaluationFailed"
    EvaluationStopped = "EvaluationStopped"
    EvaluationFinished = "EvaluationFinished"


FinetuneStatus = TrainStatus
"""The older name of `TrainStatus`."""


class ServiceStatus(str, Enum):
    """Where a trainer stands while it deploys. Values equal names."""

    Unknown = "Unknown"
    Created = "Created"
    Deploying = "Deploying"
    Deployed = "Deployed"
    DeployFailed = "DeployFailed"
    DeployStopped = "DeployStopped"
    DeploySkipped = "DeploySkipped"
    """The model is not good enough for its `deploy_if`."""
