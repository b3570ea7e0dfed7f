"""Deployed services. A value the platform adds later stays a plain string or number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr

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
    """A deployed or preset service as V2 describes it. url: its full inference address."""

    service_id: str
    name: str = ""
    description: str = ""
    base_model: str = ""
    model_set_id: str = ""
    model_id: str = Field(default="", validation_alias=AliasChoices("modelVersionId", "modelId"))
    url: str = ""
    service_type: str = ""
    run_status: Annotated[ServiceStatus | str, LeftToRight] = ""
    update_status: str = ""
    charge_type: str = ""
    pay_type: str = ""
    charge_status: str = ""
    resource_config: dict[str, Any] = Field(default_factory=dict)
    create_time: str = ""

    @property
    def endpoint(self) -> str:
        """The last part of the address, which inference calls name; newer answers name it themselves as well."""
        return self.url.rstrip("/").rpartition("/")[2] or str((self.model_extra or {}).get("endpoint") or "")


class ServicePage(Page[ServiceDetail]):
    items: list[ServiceDetail] = Field(default_factory=list, validation_alias="serviceList")


class CallTotals(WireModel):
    """How often something was called in a span of time, and with how many tokens."""

    call_total: int = 0
    succeed_call_total: int = 0
    failure_call_total: int = 0
    tokens_total: int = 0
    input_tokens_total: int = 0
    output_tokens_total: int = 0

    @classmethod
    def summed(cls, several: Iterable[CallTotals]) -> CallTotals:
        """Of several together."""
        counts = [{name: getattr(one, name) for name in cls.model_fields} for one in several]
        return cls(**{name: sum(count[name] for count in counts) for name in cls.model_fields})


class AppMetric(WireModel):
    """The calls that one application made."""

    app_id: str = ""
    metric: CallTotals = CallTotals()


class ServiceMetric(WireModel):
    """The calls of one service, by application."""

    service_id: str
    service_name: str = ""
    app_list: list[AppMetric] = Field(default_factory=list)

    @property
    def total(self) -> CallTotals:
        """Of all applications together."""
        return CallTotals.summed(app.metric for app in self.app_list)


class ServiceMetrics(WireModel):
    """The calls of several services in a span of time."""

    start_time: str = ""
    end_time: str = ""
    service_list: list[ServiceMetric] = Field(default_factory=list)


class ServiceApplied(WireModel):
    service_id: int
    service_uuid: str = ""


class ServiceDetailV1(WireModel):
    """A deployed service as V1 describes it, in either of its two forms."""

    id: int
    name: str = ""
    description: str = ""
    model_id: int | None = Field(default=None, validation_alias=AliasChoices("aiModelId", "modelId"))
    model_version_id: int | None = Field(
        default=None, validation_alias=AliasChoices("aiModelVersionId", "modelVersionId")
    )
    uri: str = ""
    url: str = Field(default="", validation_alias=AliasChoices("url", "fullUri"))
    service_status: Annotated[ServiceStatus | str, LeftToRight] = ""


class ListedVersion(WireModel):
    """A version behind a listed service."""

    train_type: str = ""
    service_status: Annotated[ServiceStatus | str, LeftToRight] = ""


class ServiceListEntry(WireModel):
    name: str = ""
    url: str = ""
    api_type: str = ""
    charge_status: str = ""
    version_list: list[ListedVersion] = Field(default_factory=list)


class ServiceListV1(WireModel):
    """Preset services (`common`) and the account's own (`custom`)."""

    common: list[ServiceListEntry] = Field(default_factory=list)
    custom: list[ServiceListEntry] = Field(default_factory=list)


class AppDetail(WireModel):
    """An application of the account, with its keys, which do not print. api_ids: of the services it may call."""

    id: int
    name: str = ""
    ak: SecretStr = SecretStr("")
    sk: SecretStr = SecretStr("")
    api_ids: str = ""


class AppList(WireModel):
    items: list[AppDetail] = Field(default_factory=list, validation_alias="appList")
