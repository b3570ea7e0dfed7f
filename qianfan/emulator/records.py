"""What one account owns, as plain records. They point at each other by id, so they can be written down as JSON.

Words are V2's: a job holds tasks, a model set holds models, a dataset group holds versions. Each record has the
number that V1 knows it by.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from qianfan._types import JSON
from qianfan.emulator.lifecycle import Work


class Record(BaseModel):
    """id: V2's; number: V1's; created: in UTC."""

    id: str
    number: int
    created: datetime


class Group(Record):
    """A dataset (`dg-`), which holds versions."""

    name: str
    data_format: str
    storage_type: str
    bucket: str = ""
    folder: str = ""
    version_ids: list[str] = Field(default_factory=list)


class Source(BaseModel):
    """One imported file: the blob that holds its content, and the name it came with."""

    name: str
    blob_key: str
    size: int
    md5: str
    crc32: int


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


class Service(Record):
    """A deployed model version (`svco-`), reachable under `endpoint`."""

    name: str
    description: str = ""
    model_set_id: str
    model_id: str
    url_suffix: str
    endpoint: str
    kind: str = "chat"
    instance_id: str
    resource_config: dict[str, JSON] = Field(default_factory=dict)
    billing: dict[str, JSON] = Field(default_factory=dict)
    deployment_config: JSON = None
    pool_type: int | None = None
    protocol_version: int = 1
    state: str = "New"
    work: Work | None = None
    reason: str = ""


class StoredObject(BaseModel):
    """One object of a bucket. meta: `x-bce-meta-*` and other headers that come back with it."""

    bucket: str
    key: str
    source: Source
    content_type: str = "application/octet-stream"
    etag: str
    storage_class: str = "STANDARD"
    meta: dict[str, str] = Field(default_factory=dict)
    modified: datetime
