"""Offline batch inferences."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from qianfan._types import JSON
from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records.base import Record


class BatchTask(Record):
    """One batch inference (`infer-`).

    model_id or endpoint: who answers. output_dir: 24 hexadecimal digits, the folder below `output_uri`.
    total, progress: rows in all, and rows that have their answer. is_answered: all answers are there.
    problem: why there will be none.
    """

    name: str
    description: str = ""
    model_id: str = ""
    endpoint: str = ""
    inference_params: dict[str, JSON] = Field(default_factory=dict)
    input_uri: str
    output_uri: str
    output_dir: str
    completion_window: str = ""
    state: str = "Queuing"
    work: Work | None = None
    is_answered: bool = False
    problem: str = ""
    reason: str = ""
    total: int = 0
    progress: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    finished: datetime | None = None
