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


class Part(Source):
    """One file of rows of a version. It is never changed: a change of a row puts another part in its place.

    A row keeps the number it has in the file that was imported, from 0, however that file is cut and changed later.
    origin: distinguishes the imported files of a version. first, span: the numbers in this part; no span: to the end.
    removed: numbers whose rows were deleted. annotated: whether it was imported as annotated.
    noted: number -> when it was annotated by hand. labels: number -> what was said about an image.
    """

    origin: str = ""
    first: int = 0
    span: int | None = None
    removed: list[int] = Field(default_factory=list)
    annotated: bool = True
    imported: datetime | None = None
    noted: dict[int, datetime] = Field(default_factory=dict)
    labels: dict[int, list[dict[str, JSON]]] = Field(default_factory=dict)

    @classmethod
    def of(cls, source: Source, **facts: object) -> Part:
        """A file that was imported just now."""
        return cls.model_validate({**source.model_dump(), **facts})


class Export(BaseModel):
    """One export of a dataset version. bucket, key: where its archive lies; rows, size: what is in it (bytes).

    annotated: with the answers. task_id: of the V2 call that asked for it.
    """

    state: str
    bucket: str
    key: str
    to_platform: bool
    annotated: bool = True
    task_id: str = ""
    reason: str = ""
    rows: int = 0
    size: int = 0
    started: datetime
    finished: datetime | None = None


class Dataset(Record):
    """A dataset version (`ds-`), the thing that is imported, released and trained on.

    rows, annotated_rows, characters, size: of the data imported so far (size in bytes).
    bad_lines: the report of a failed import: file, line number, text and reason of each line.
    exports: oldest first; one that is under way is the last.
    imports: how many files were ever imported. import_id: of the V2 import that is under way or was the last.
    import_report: key of what the platform stored about the failed import.
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
    sources: list[Part] = Field(default_factory=list)
    imports: int = 0
    import_id: str = ""
    import_report: str = ""
    incoming: list[Source] = Field(default_factory=list)
    annotated: bool = True
    rows: int = 0
    annotated_rows: int = 0
    characters: int = 0
    size: int = 0
    bad_lines: list[dict[str, JSON]] = Field(default_factory=list)


class ImportTask(Record):
    """A V2 import (`task-`) into a version. state: once it has ended; rows, size: what it brought (bytes)."""

    version_id: str
    state: str = ""
    reason: str = ""
    report: str = ""
    rows: int = 0
    size: int = 0
    finished: datetime | None = None


class ExportTask(Record):
    """A V2 export (`task-`) of a version; the `Export` with its id tells the rest."""

    version_id: str


class Filling(Record):
    """Work that fills an empty version with rows made from those of another.

    rows: how many the source had. outcome: the rows that the other version gets when it ends well; made: how many.
    """

    name: str
    source_id: str
    source_number: int
    source_name: str
    dest_id: str
    dest_number: int
    dest_name: str
    state: str = "New"
    work: Work | None = None
    reason: str = ""
    rows: int = 0
    made: int = 0
    outcome: list[Source] = Field(default_factory=list)
    finished: datetime | None = None


class Cleaning(Filling):
    """A cleaning (ETL). operations: stage -> operators, as asked for; stages: stage -> what came of it."""

    operations: dict[str, list[dict[str, JSON]]]
    stages: dict[str, JSON] = Field(default_factory=dict)


class Augmentation(Filling):
    """An augmentation. api_id, app_id: who is asked to make rows up; similarity: the greatest to its seeds."""

    api_id: str
    app_id: int
    seeds: int
    wanted: int
    similarity: float
