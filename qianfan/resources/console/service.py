"""Services: deploy a model version and look at deployments; V1 (`ServicesV1`) and V2 (`Services`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from qianfan._transport import Safety
from qianfan.resources._base import Page, Resource, v1, v2, walk
from qianfan.resources.console.consts import DeployPoolType
from qianfan.resources.schemas import (
    ServiceApplied,
    ServiceCreated,
    ServiceDetail,
    ServiceDetailV1,
    ServiceListV1,
    ServicePage,
)

CREATE = v2("service", "CreateService", Safety.PURCHASE, creates="service")
DESCRIBE = v2("service", "DescribeService", Safety.READ)
DESCRIBE_ALL = v2("service", "DescribeServices", Safety.READ)
MODIFY = v2("service", "ModifyService", Safety.EFFECT)


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
        service_type: Sequence[str] | None = None,
        marker: str | None = None,
        max_keys: int | None = None,
        page_reverse: bool | None = None,
    ) -> Page[ServiceDetail]:
        """One page of the account's services. name: matches anywhere in a service's name."""
        body = {
            "name": name,
            "runStatus": list(run_status) if run_status else None,
            "serviceType": list(service_type) if service_type else None,
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


V1_APPLY = v1("/service/apply", Safety.PURCHASE, creates="service")
V1_DETAIL = v1("/service/detail", Safety.READ)
V1_LIST = v1("/service/list", Safety.READ)


class ServicesV1(Resource):
    """Services, V1, with numeric ids."""

    async def apply(
        self,
        *,
        model_id: int,
        model_version_id: int,
        name: str,
        uri: str,
        replicas: int = 1,
        pool_type: DeployPoolType = DeployPoolType.PrivateResource,
        description: str | None = None,
    ) -> ServiceApplied:
        """Deploy a model version. A private service waits in `New` until it is paid for in the console."""
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

    async def list(self, api_types: Sequence[str] | None = None) -> ServiceListV1:
        """Preset services and the account's own."""
        body = {"apiTypefilter": [*api_types] if api_types else None}
        return await self._ask(V1_LIST, body, ServiceListV1)
