"""Training jobs and tasks."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from qianfan._types import JSON
from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records.base import Record, Source


class Job(Record):
    """A training series (`job-`). V1 calls it a task."""

    name: str
    description: str = ""
    model: str = ""
    train_mode: str = ""
    task_ids: list[str] = Field(default_factory=list)


class Task(Record):
    """One training run (`task-`). V1 calls it a job.

    hyper_parameters, dataset_config, corpus_config, resource_config: as sent.
    sources: what training reads, as it was when it started; rates: how often each row of each of them is taken.
    rows: how many rows that are.
    work: how it goes when it is scripted; None when it is computed.
    """

    job_id: str
    run: int
    model: str
    train_mode: str
    parameter_scale: str
    hyper_parameters: dict[str, JSON] = Field(default_factory=dict)
    dataset_config: dict[str, JSON] = Field(default_factory=dict)
    dataset_ids: list[str] = Field(default_factory=list)
    sources: list[Source] = Field(default_factory=list)
    rates: list[float] = Field(default_factory=list)
    rows: int = 0
    split_ratio: float = 20
    corpus_config: JSON = None
    resource_config: JSON = None
    base_task_id: str | None = None
    base_step: int | None = None
    state: str = ""
    work: Work | None = None
    reason: str = ""
    finished: datetime | None = None
