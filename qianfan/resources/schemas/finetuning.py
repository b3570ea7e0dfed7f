"""Fine-tuning jobs and tasks. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from qianfan.resources._base import LeftToRight, Page, WireModel
from qianfan.resources.console.consts import (
    TrainMode,
    TrainStatus,
    TrainStatusV1,
)
from qianfan.resources.schemas.common import Id, percent


class JobCreated(WireModel):
    job_id: Id


class TaskCreated(WireModel):
    job_id: str = ""
    task_id: Id


class Job(WireModel):
    """A fine-tuning job: a name, a base model and a mode, holding tasks."""

    job_id: str
    name: str = ""
    description: str = ""
    model: str = ""
    train_mode: Annotated[TrainMode | str, LeftToRight] = ""
    create_date: str = ""


class JobPage(Page[Job]):
    items: list[Job] = Field(default_factory=list, validation_alias="jobList")


class Checkpoint(WireModel):
    """A saved state of the weights. training_loss: mean loss per token since the last log, in nats."""

    step: int
    training_loss: float | None = None
    perplexity: float | None = None


class Task(WireModel):
    """One training run.

    run_status: empty right after creation. run_progress: `"47%"` while Running; see `progress`.
    metrics: `"21.50%"` strings by name, once Done. checkpoint_list: once Done.
    """

    task_id: str
    job_id: str = ""
    job_name: str = ""
    job_description: str = ""
    model: str = ""
    train_mode: Annotated[TrainMode | str, LeftToRight] = ""
    parameter_scale: str = ""
    run_status: Annotated[TrainStatus | str, LeftToRight] = ""
    run_progress: str | None = None
    vdl_link: str | None = None
    metrics: dict[str, Any] | None = None
    checkpoint_list: list[Checkpoint] | None = None
    create_date: str = ""
    finish_date: str = ""

    @property
    def progress(self) -> int | None:
        """Percent done, 100 once Done, None while the platform does not say."""
        return 100 if self.run_status == TrainStatus.Done else percent(self.run_progress)


class TaskPage(Page[Task]):
    items: list[Task] = Field(default_factory=list, validation_alias="taskList")


class HyperParameterLimit(WireModel):
    """What one hyper-parameter may be.

    check_type: `range` (check_value is [min, max], or [v] for exactly v), `choice`, or `mult_choice`.
    """

    key: str
    name: str = ""
    description: str = ""
    type: str = ""
    check_type: str = ""
    check_value: list[Any] = Field(default_factory=list)
    default: Any = None


class SupportedScale(WireModel):
    parameter_scale: str
    support_hyper_parameter_config: list[HyperParameterLimit] = Field(default_factory=list)


class SupportedMode(WireModel):
    train_mode: str
    support_parameter_scale: list[SupportedScale] = Field(default_factory=list)


class SupportedModel(WireModel):
    """A base model and what it can be trained with."""

    model: str
    base_model: str | None = None
    model_type: str = "text2text"
    support_train_mode: list[SupportedMode] = Field(default_factory=list)


class SeriesCreatedV1(WireModel):
    id: int
    uuid: str = ""
    name: str = ""


class RunCreatedV1(WireModel):
    id: int
    uuid: str = ""


class RunDetailV1(WireModel):
    """One training run as V1 describes it. V1's `taskId` is the job of today and its `id` the task."""

    id: int
    task_id: int
    task_name: str = ""
    description: str = ""
    train_type: str = ""
    train_mode: Annotated[TrainMode | str, LeftToRight] = ""
    peft_type: str = ""
    train_status: Annotated[TrainStatusV1 | str, LeftToRight] = ""
    progress: float | None = None
    vdl_link: str | None = None
