"""Bought resources."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from qianfan._types import JSON
from qianfan.emulator.records.base import Record


class ComputeUnit(Record):
    """Hardware that was bought. What is given back is forgotten.

    uses: service id -> how many copies of it run here, at most `replicas` in all.
    expires: when the time that was paid in advance is over, None for what is paid afterwards.
    """

    type: str
    replicas: int
    uses: dict[str, int]
    payment_timing: str
    expires: datetime | None = None
    auto_renew: dict[str, JSON] = Field(default_factory=dict)


class TpmInstance(Record):
    """Quota that was bought for a model. count: portions; release_at: when it is given back by itself."""

    model: str
    count: int
    payment_timing: str
    expires: datetime | None = None
    release_at: datetime | None = None
    auto_renew: dict[str, JSON] = Field(default_factory=dict)
