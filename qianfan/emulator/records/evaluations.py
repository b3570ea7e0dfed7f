"""Evaluations and exports of their results."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from qianfan._types import JSON
from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records.base import Record, Source


class EvalUnit(BaseModel):
    """One thing that is judged: a model version, or a dataset that holds answers already.

    id: 24 hexadecimal digits. params: how the model is asked. template: what a question is put into, "" for nothing.
    outcome: how its part of the work ended, "" before that.
    """

    id: str
    model_id: str = ""
    dataset_id: str = ""
    params: dict[str, JSON] = Field(default_factory=dict)
    template: str = ""
    is_base: bool = False
    state: str = "Pending"
    outcome: str = ""
    message: str = ""


class Evaluation(Record):
    """An evaluation (`ame-`), by whichever generation of the API it was ordered.

    modes: of "rule", "model" and "manual". standard: `evalStandardConf` of V1, which V2's configuration is put into.
    object_config, config: as V2 sent them. into: where V2 wants the answers besides, `bos:/…`.
    answers: every answer with its scores, one JSON object a line, once is_answered. verdict: what people said.
    """

    name: str
    description: str = ""
    object_type: str = "model"
    dataset_id: str = ""
    units: list[EvalUnit] = Field(default_factory=list)
    modes: list[str] = Field(default_factory=list)
    standard: dict[str, JSON] = Field(default_factory=dict)
    resources: JSON = None
    object_config: dict[str, JSON] = Field(default_factory=dict)
    config: dict[str, JSON] = Field(default_factory=dict)
    into: str = ""
    state: str = "Pending"
    work: Work | None = None
    is_answered: bool = False
    reason: str = ""
    answers: Source | None = None
    result_dataset_id: str = ""
    verdict: dict[str, JSON] | None = None
    finished: datetime | None = None


class EvalExport(Record):
    """An export (`amemt-`) of the answers of an evaluation. bucket, key: where the archive lies."""

    evaluation_id: str
    kind: str
    content: list[str] = Field(default_factory=list)
    result_ids: list[str] | None = None
    bucket: str
    key: str
    state: str = "Pending"
    work: Work | None = None
