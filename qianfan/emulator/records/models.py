"""Model sets and models, compressions, and uploaded chat templates."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from qianfan._types import JSON
from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records.base import Record, Source
from qianfan.emulator.records.datasets import Export


class ModelSet(Record):
    """A model (`am-`), which holds versions."""

    name: str
    model_type: str = "Text2Text"
    labels: list[str] = Field(default_factory=list)
    modified: datetime
    model_ids: list[str] = Field(default_factory=list)


class Model(Record):
    """A model version (`amv-`).

    source_type: where it comes from: "Train", "Import" or "Acceleration", which is what the platform calls compression.
    task_id, step: the training behind it, also where it was compressed since.
    weights_id: the version whose weights it answers with, where those are not its own.
    source_model_id, comp_task_id: what was compressed, and by which task. import_meta: as sent.
    exports: oldest first; one that is under way is the last. export_source: the archive it will have.
    """

    model_set_id: str
    version: int
    description: str = ""
    source_type: str = "Train"
    task_id: str = ""
    step: int | None = None
    weights_id: str = ""
    source_model_id: str = ""
    comp_task_id: str = ""
    import_meta: dict[str, JSON] = Field(default_factory=dict)
    io_mode: str = "chat"
    state: str = "Creating"
    work: Work | None = None
    reason: str = ""
    export_state: str = "NotExported"
    export_work: Work | None = None
    export_source: Source | None = None
    exports: list[Export] = Field(default_factory=list)


class CompTask(Record):
    """A compression of a model.

    model_id: what it made. saw_stop: whether somebody has looked since it was cancelled.
    """

    name: str
    description: str = ""
    source_model_id: str
    model_set_id: str
    config: dict[str, JSON]
    state: str = "creating"
    work: Work | None = None
    reason: str = ""
    model_id: str = ""
    saw_stop: bool = False
    finished: datetime | None = None


class ConfFile(Record):
    """An uploaded chat template."""

    source: Source
