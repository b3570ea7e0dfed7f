"""Model sets and models."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records.base import Record


class ModelSet(Record):
    """A model (`am-`), which holds versions."""

    name: str
    model_type: str = "Text2Text"
    labels: list[str] = Field(default_factory=list)
    modified: datetime
    model_ids: list[str] = Field(default_factory=list)


class Model(Record):
    """A model version (`amv-`), published from a training run."""

    model_set_id: str
    version: int
    description: str = ""
    task_id: str
    step: int | None = None
    state: str = "Creating"
    work: Work | None = None
    reason: str = ""
