"""Deployed services. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field

from qianfan.resources._base import LeftToRight, Page, WireModel
from qianfan.resources.console.consts import (
    ServiceStatus,
)
from qianfan.resources.schemas.common import Id


class ServiceCreated(WireModel):
    """A deployment on its way. instance_id: the resource bought for it."""

    service_id: Id
    instance_id: str = ""


class ServiceDetail(WireModel):
    """A deployed service as V2 describes it. url: its full inference address."""

    service_id: str
    name: str = ""
    description: str = ""
    model_set_id: str = ""
    model_id: str = Field(default="", validation_alias=AliasChoices("modelVersionId", "modelId"))
    url: str = ""
    service_type: str = ""
    run_status: Annotated[ServiceStatus | str, LeftToRight] = ""
    charge_status: str = ""
    resource_config: dict[str, Any] = Field(default_factory=dict)
    create_time: str = ""

    @property
    def endpoint(self) -> str:
        """The last part of the address, which inference calls name; newer answers name it themselves as well."""
        return self.url.rstrip("/").rpartition("/")[2] or str((self.model_extra or {}).get("endpoint") or "")


class ServicePage(Page[ServiceDetail]):
    items: list[ServiceDetail] = Field(default_factory=list, validation_alias="serviceList")


class ServiceApplied(WireModel):
    service_id: int
    service_uuid: str = ""


class ServiceDetailV1(WireModel):
    """A deployed service as V1 describes it."""

    id: int
    name: str = ""
    uri: str = ""
    url: str = Field(default="", validation_alias=AliasChoices("url", "fullUri"))
    service_status: Annotated[ServiceStatus | str, LeftToRight] = ""


class ServiceListEntry(WireModel):
    name: str = ""
    url: str = ""
    api_type: str = ""
    charge_status: str = ""


class ServiceListV1(WireModel):
    """Preset services (`common`) and the account's own (`custom`)."""

    common: list[ServiceListEntry] = Field(default_factory=list)
    custom: list[ServiceListEntry] = Field(default_factory=list)
