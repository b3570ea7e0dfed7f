"""Deployed services."""

from __future__ import annotations

from pydantic import Field

from qianfan._types import JSON
from qianfan.emulator.lifecycle import Work
from qianfan.emulator.records.base import Record


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
