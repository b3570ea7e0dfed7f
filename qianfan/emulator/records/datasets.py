"""Datasets, their versions, imports and exports."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from qianfan._types import JSON
from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records.base import Record, Source


class Group(Record):
    """A dataset (`dg-`), which holds versions."""

    name: str
    data_format: str
    storage_type: str
    bucket: str = ""
    folder: str = ""
    version_ids: list[str] = Field(default_factory=list)


class Export(BaseModel):
    """One export of a dataset version. bucket, key: where its archive lies; rows, size: what is in it (bytes)."""

    state: str
    bucket: str
    key: str
    to_platform: bool
    rows: int = 0
    size: int = 0
    started: datetime
    finished: datetime | None = None


class Dataset(Record):
    """A dataset version (`ds-`), the thing that is imported, released and trained on.

    rows, annotated_rows, characters, size: of the data imported so far (size in bytes).
    bad_lines: the report of a failed import: file, line number, text and reason of each line.
    exports: oldest first; one that is under way is the last.
    """

    group_id: str
    version: int
    description: str = ""
    modified: datetime
    import_state: str = "Created"
    import_work: Work | None = None
    import_reason: str = ""
    release_state: str = "Unpublished"
    release_work: Work | None = None
    export_state: str = "NotExported"
    export_work: Work | None = None
    exports: list[Export] = Field(default_factory=list)
    sources: list[Source] = Field(default_factory=list)
    incoming: list[Source] = Field(default_factory=list)
    annotated: bool = True
    rows: int = 0
    annotated_rows: int = 0
    characters: int = 0
    size: int = 0
    bad_lines: list[dict[str, JSON]] = Field(default_factory=list)


class ImportTask(Record):
    """A V2 import (`task-`) into a version."""

    version_id: str
    finished: datetime | None = None
