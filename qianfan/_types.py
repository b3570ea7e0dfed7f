"""Words that every layer shares: JSON, ids, and the difference between "left out" and None."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Literal, NewType, Protocol, TypeAlias

JSON: TypeAlias = Any
"""What `json.loads` can return. Above the resources there are models instead."""

JobId = NewType("JobId", str)
"""`job-…`: a fine-tuning job, which holds tasks. V1 calls it a task and numbers it."""

TaskId = NewType("TaskId", str)
"""`task-…`: one training run. V1 calls it a job, an iteration or a run."""

ModelSetId = NewType("ModelSetId", str)
"""`am-…`: a model set, which holds model versions. V1 calls it a model."""

ModelId = NewType("ModelId", str)
"""`amv-…`: one version of a model. V1 calls it a model version."""

ServiceId = NewType("ServiceId", str)
"""`svco-…`: a deployed service."""

DatasetId = NewType("DatasetId", str)
"""`ds-…`: one version of a dataset, the thing that is imported, released and trained on."""


class Unset(Enum):
    """The type of `UNSET`. An enum, so that type checkers can narrow `x is UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
"""Stands for "the caller said nothing": the client's default applies. None switches a thing off."""


class RefusedRow(Protocol):
    """What the platform does not take: a row in a file of the user's, as the problems of a check are told.

    line, column: from 1; the column is 0 where only rows are numbered. file: which one of a folder or an archive, empty
    for a single file. reason: in the platform's own words.
    """

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def file(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def found(self) -> str: ...
