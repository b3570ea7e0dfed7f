"""Where a trainer stands, read off its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from qianfan.pipeline import ActionState, Event
from qianfan.trainer.actions import DeployAction, EvaluateAction, LoadDataSetAction, ModelPublishAction, TrainAction
from qianfan.trainer.consts import ServiceStatus, TrainStatus

Status: TypeAlias = TrainStatus | ServiceStatus

_ORDER = (ActionState.Preceding, ActionState.Running, ActionState.Done, ActionState.Error, ActionState.Stopped)


def _row(*cells: Status) -> dict[ActionState, Status]:
    return dict(zip(_ORDER, cells, strict=True))


_TABLE: dict[type[Any], dict[ActionState, Status]] = {
    LoadDataSetAction: _row(
        TrainStatus.DatasetLoading,
        TrainStatus.DatasetLoading,
        TrainStatus.DatasetLoaded,
        TrainStatus.DatasetLoadFailed,
        TrainStatus.DatasetLoadStopped,
    ),
    TrainAction: _row(
        TrainStatus.TrainCreated,
        TrainStatus.Training,
        TrainStatus.TrainFinished,
        TrainStatus.TrainFailed,
        TrainStatus.TrainStopped,
    ),
    ModelPublishAction: _row(
        TrainStatus.ModelPublishing,
        TrainStatus.ModelPublishing,
        TrainStatus.ModelPublished,
        TrainStatus.ModelPublishFailed,
        TrainStatus.ModelPublishFailed,
    ),
    DeployAction: _row(
        ServiceStatus.Created,
        ServiceStatus.Deploying,
        ServiceStatus.Deployed,
        ServiceStatus.DeployFailed,
        ServiceStatus.DeployStopped,
    ),
    EvaluateAction: _row(
        TrainStatus.EvaluationCreated,
        TrainStatus.EvaluationRunning,
        TrainStatus.EvaluationFinished,
        TrainStatus.EvaluationFailed,
        TrainStatus.EvaluationStopped,
    ),
}


def status_after(event: Event) -> Status | None:
    """The status that an event of a step means; None for events of the pipeline and of steps of the user's own."""
    if event.action_class is None:
        return None
    for kind in event.action_class.__mro__:
        if kind in _TABLE:
            return _cell(kind, event)
    return None


_SKIPPED: dict[type[Any], Status] = {DeployAction: ServiceStatus.DeploySkipped}
"""Where a step that was passed over leaves the trainer; elsewhere, where it was."""


def _cell(kind: type[Any], event: Event) -> Status | None:
    return _SKIPPED.get(kind) if event.kind == "skipped" else _TABLE[kind][event.action_state]


def status_named(name: str) -> Status:
    """The status of that name; Unknown for a name that is none."""
    for kind in (TrainStatus, ServiceStatus):
        try:
            return kind(name)
        except ValueError:
            continue
    return TrainStatus.Unknown


def latest_status(events: Iterable[Event]) -> Status:
    """The status that kept events mean, the latest first; their classes may be known by name only."""
    for event in events:
        name = event.action_class.__name__ if event.action_class is not None else ""
        status = _cell(_BY_NAME[name], event) if name in _BY_NAME else None
        if status is not None:
            return status
    return TrainStatus.Unknown


_BY_NAME = {kind.__name__: kind for kind in _TABLE}
