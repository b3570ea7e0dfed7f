"""Services: deploy a model version and look at deployments; V1 (`ServicesV1`) and V2 (`Services`).

`Service` has the documented names of both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from qianfan._transport import Safety
from qianfan.errors import InvalidArgumentError
from qianfan.resources._base import Page, Resource, v1, v2, walk
from qianfan.resources._documented import documented
from qianfan.resources.console.consts import DeployPoolType, ServiceType
from qianfan.resources.schemas import (
    AppDetail,
    AppList,
    ServiceApplied,
    ServiceCreated,
    ServiceDetail,
    ServiceDetailV1,
    ServiceListV1,
    ServiceMetrics,
    ServicePage,
)

CREATE = v2("service", "CreateService", Safety.PURCHASE, creates="service")
DESCRIBE = v2("service", "DescribeService", Safety.READ)
DESCRIBE_ALL = v2("service", "DescribeServices", Safety.READ)
MODIFY = v2("service", "ModifyService", Safety.EFFECT)
METRIC = v2("service", "DescribeServiceMetric", Safety.READ)
PRESET = v2("service", "DescribePresetServices", Safety.READ)


class Services(Resource):
    """Services, V2."""

    async def create(
        self,
        *,
        model_set_id: str,
        model_id: str,
        name: str,
        url_suffix: str,
        description: str | None = None,
        resource_config: Mapping[str, Any] | None = None,
        billing: Mapping[str, Any] | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> ServiceCreated:
        """Deploy a model version (`amv-…`). Buys computing time as `billing` says.

        name: 2 to 20 characters. url_suffix: 2 to 20 of `a-z 0-9 _ -`; the platform puts random characters before it.
        extras: merged into the request last.
        """
        body = {
            "modelSetId": model_set_id,
            "modelId": model_id,
            "name": name,
            "urlSuffix": url_suffix,
            "description": description,
            "resourceConfig": resource_config,
            "billing": billing,
            **(extras or {}),
        }
        return await self._ask(CREATE, body, ServiceCreated)

    async def describe(self, service_id: str) -> ServiceDetail:
        """How a deployment stands, and its address."""
        return await self._ask(DESCRIBE, {"serviceId": service_id}, ServiceDetail)

    async def describe_all(
        self,
        *,
        name: str | None = None,
        run_status: Sequence[str] | None = None,
        service_type: Sequence[ServiceType | str] | None = None,
        creator: Sequence[str] | None = None,
        charge_type: str | None = None,
        pay_type: str | None = None,
        protocol_version: int | None = None,
        marker: str | None = None,
        max_keys: int | None = None,
        page_reverse: bool | None = None,
    ) -> Page[ServiceDetail]:
        """One page of the account's services. name: matches anywhere in a service's name.

        charge_type: `ComputingUnit` or `Tokens`; pay_type: `Prepay` or `Postpay`.
        """
        body = {
            "name": name,
            "runStatus": list(run_status) if run_status else None,
            "serviceType": _kinds(service_type),
            "creator": list(creator) if creator else None,
            "chargeType": charge_type,
            "payType": pay_type,
            "protocolVersion": protocol_version,
            "marker": marker,
            "maxKeys": max_keys,
            "pageReverse": page_reverse,
        }
        return await self._ask(DESCRIBE_ALL, body, ServicePage)

    def all(self, **filters: Any) -> AsyncGenerator[ServiceDetail, None]:
        """All services, page after page."""
        return walk(lambda marker: self.describe_all(marker=marker, max_keys=100, **filters))

    async def modify(self, service_id: str, *, model_set_id: str, model_id: str) -> bool:
        """Serve another model version under the same address."""
        body = {"serviceId": service_id, "modelSetId": model_set_id, "modelId": model_id}
        return await self._do(MODIFY, body)

    async def metrics(
        self,
        start_time: str | datetime,
        end_time: str | datetime,
        *,
        service_ids: Sequence[str] | str | None = None,
        app_id: str | None = None,
    ) -> ServiceMetrics:
        """How often services were called, and with how many tokens.

        start_time, end_time: `2024-05-16T15:23:30Z`, or a datetime; one without a zone is in UTC.
        service_ids: of these only; app_id: only the calls of this application.
        """
        body = {
            "startTime": _moment(start_time),
            "endTime": _moment(end_time),
            "serviceId": [service_ids] if isinstance(service_ids, str) else service_ids,
            "appId": app_id,
        }
        return await self._ask(METRIC, body, ServiceMetrics)

    async def preset(
        self,
        *,
        service_ids: Sequence[str] | None = None,
        service_type: Sequence[ServiceType | str] | None = None,
        charge_type: Sequence[str] | None = None,
        charge_status: Sequence[str] | None = None,
    ) -> list[ServiceDetail]:
        """The services that exist without deploying anything. All filters are lists of what is wanted."""
        body = {
            "serviceIds": service_ids,
            "serviceType": _kinds(service_type),
            "chargeType": charge_type,
            "chargeStatus": charge_status,
        }
        return await self._list(PRESET, body, ServiceDetail)


V1_APPLY = v1("/service/apply", Safety.PURCHASE, creates="service")
V1_DETAIL = v1("/service/detail", Safety.READ)
V1_LIST = v1("/service/list", Safety.READ)
V1_APPS = v1("/service/appList", Safety.READ, method="GET")


class ServicesV1(Resource):
    """Services, V1, with numeric ids."""

    async def apply(
        self,
        *,
        model_id: int | str,
        model_version_id: int | str,
        name: str,
        uri: str,
        replicas: int = 1,
        pool_type: DeployPoolType = DeployPoolType.PrivateResource,
        description: str | None = None,
    ) -> ServiceApplied:
        """Deploy a model version. A private service waits in `New` until computing time is bought for it.

        Model ids: only numbers, the platform takes no others here.
        """
        body = {
            "modelId": model_id,
            "modelVersionId": model_version_id,
            "name": name,
            "uri": uri,
            "replicas": replicas,
            "poolType": pool_type,
            "description": description,
        }
        return await self._ask(V1_APPLY, body, ServiceApplied)

    async def detail(self, service_number: int) -> ServiceDetailV1:
        """How a deployment stands."""
        return await self._ask(V1_DETAIL, {"serviceId": service_number}, ServiceDetailV1)

    async def list(self, api_types: Sequence[ServiceType | str] | None = None) -> ServiceListV1:
        """Preset services and the account's own."""
        return await self._ask(V1_LIST, {"apiTypefilter": _kinds(api_types)}, ServiceListV1)

    async def apps(self) -> Sequence[AppDetail]:
        """The account's applications with their keys, which do not print."""
        return (await self._ask(V1_APPS, None, AppList)).items


_KINDS: Final = {
    ServiceType.Chat: "chat",
    ServiceType.Completion: "completions",
    ServiceType.Embedding: "embeddings",
    ServiceType.Text2Image: "text2image",
}
"""What the platform calls a kind of service."""


def _kinds(wanted: Sequence[ServiceType | str] | None) -> Sequence[str] | None:
    if not wanted:
        return None
    return [_KINDS.get(kind, kind.value.casefold()) if isinstance(kind, ServiceType) else kind for kind in wanted]


def _moment(time: str | datetime) -> str:
    if isinstance(time, str):
        return time
    if not isinstance(time, datetime):
        raise InvalidArgumentError(f"a time is a text like '2024-05-16T15:23:30Z' or a datetime, not {time!r}")
    moment = time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Service:
    """Services under their documented names: V1 here, V2 in `Service.V2`; each method also as `a…` to await.

    Not the `Service` of `qianfan.model`, which deploys and answers.
    """

    create, acreate = documented(ServicesV1.apply, "model_id model_version_id name uri replicas pool_type description")
    get, aget = documented(ServicesV1.detail, "id=service_number")
    list, alist = documented(ServicesV1.list, "api_type_filter=api_types")

    class V2:
        """The second generation."""

        service_list, aservice_list = documented(
            Services.describe_all,
            "marker max_keys page_reverse name service_type run_status creator charge_type pay_type",
        )
        create_service, acreate_service = documented(
            Services.create, "model_set_id model_id name url_suffix resource_config billing description"
        )
        service_detail, aservice_detail = documented(Services.describe, "service_id")
        service_metric, aservice_metric = documented(
            Services.metrics, "start_time end_time service_id=service_ids app_id"
        )
        modify_service, amodify_service = documented(Services.modify, "service_id model_set_id model_id")
        describe_preset_services, adescribe_preset_services = documented(
            Services.preset, "service_ids service_type charge_type charge_status"
        )
