"""Deployed services, and how they are used."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from qianfan._types import JSON
from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records.base import Record


class Service(Record):
    """A deployed model version (`svco-`), reachable under `endpoint`. instance_id: what was bought for it at first."""

    name: str
    description: str = ""
    model_set_id: str
    model_id: str
    url_suffix: str
    endpoint: str
    kind: str = "chat"
    instance_id: str = ""
    resource_config: dict[str, JSON] = Field(default_factory=dict)
    billing: dict[str, JSON] = Field(default_factory=dict)
    deployment_config: JSON = None
    pool_type: int | None = None
    protocol_version: int = 1
    state: str = "New"
    work: Work | None = None
    reason: str = ""


class Calls(BaseModel):
    """The calls of one second by one application."""

    at: datetime
    app_id: str
    succeeded: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Usage(Record):
    """All calls of one service, oldest first. id: the service's."""

    calls: list[Calls] = Field(default_factory=list)
