"""Services through both generations of the API."""

from __future__ import annotations

from typing import Any

import pytest

from qianfan.emulator import Emulator
from qianfan.resources import Platform
from qianfan.resources.console.consts import DeployPoolType, ServiceStatus
from qianfan.resources.schemas import ServiceDetail
from tests.support.emulated import ready_version, trained

pytestmark = pytest.mark.anyio

BILLING = {"paymentTiming": "Prepaid", "reservation": {"reservationTimeUnit": "Hour", "reservationLength": 1}}


async def create(platform: Platform, model: tuple[str, str], **changes: Any) -> str:
    fields = {"model_set_id": model[0], "model_id": model[1], "name": "my_svc", "url_suffix": "my_svc"}
    return (await platform.services.create(**{**fields, "billing": BILLING, **changes})).service_id


async def test_a_deployment(platform: Platform, emulator: Emulator) -> None:
    emulator.deployment.script(after_looks=2, waits=1)
    model = await ready_version(platform)
    resources = {"type": "GPU-I-2", "replicasCount": 2}
    service_id = await create(
        platform, model, description="for fun", resource_config=resources, extras={"protocolVersion": 2}
    )
    assert emulator.requests[-1].body["protocolVersion"] == 2
    seen = []
    while (detail := await platform.services.describe(service_id)).run_status != ServiceStatus.Serving:
        seen.append(detail.run_status)
    assert seen == [ServiceStatus.New, ServiceStatus.Deploying]
    assert (detail.model_set_id, detail.model_id) == model
    assert (detail.name, detail.description, detail.service_type) == ("my_svc", "for fun", "chat")
    assert detail.endpoint == emulator.services[service_id].endpoint
    assert detail.resource_config["replicasCount"] == 2


async def test_serving_another_version(platform: Platform, emulator: Emulator) -> None:
    set_id, model_id = await ready_version(platform)
    service_id = await create(platform, (set_id, model_id))
    await platform.services.describe(service_id)
    task = await trained(platform, "other_job")
    other = await platform.models.publish(job_id=task.job_id, task_id=task.task_id, set_id=set_id)
    assert other.version_id is not None
    await platform.models.version_detail(other.version_id)
    assert await platform.services.modify(service_id, model_set_id=set_id, model_id=other.version_id)
    assert (await platform.services.describe(service_id)).model_id == other.version_id


async def test_listing(platform: Platform, emulator: Emulator) -> None:
    model = await ready_version(platform)
    made = [await create(platform, model, name=f"svc_{n}") for n in range(101)]
    assert [service.service_id async for service in platform.services.all()] == made[::-1]
    assert emulator.count("DescribeServices") == 2
    assert [service.name async for service in platform.services.all(name="_100")] == ["svc_100"]
    page = await platform.services.describe_all(
        run_status=["Deploying"], service_type=["chat"], max_keys=2, page_reverse=True
    )
    assert [service.service_id for service in page.items] == made[:2]
    assert (await platform.services.describe_all(run_status=["Failed"])).items == []


@pytest.mark.parametrize(
    ("answer", "endpoint"),
    [
        ({"url": "https://host/rpc/chat/abc_mine"}, "abc_mine"),
        ({"url": "https://host/rpc/chat/abc_mine/"}, "abc_mine"),
        ({"endpoint": "abc_mine"}, "abc_mine"),
        ({"url": None}, ""),
        ({}, ""),
    ],
)
def test_where_a_service_is_asked(answer: dict[str, Any], endpoint: str) -> None:
    assert ServiceDetail.model_validate({"serviceId": "svco-1", **answer}).endpoint == endpoint


async def test_both_spellings_of_the_model_ids(platform: Platform, emulator: Emulator) -> None:
    """Older answers call the version modelVersionId, and modelId is the set."""
    old = {"serviceId": "svco-1", "modelId": "am-1", "modelVersionId": "amv-1", "runStatus": "Pausing"}
    emulator.faults.add("DescribeService", body={"requestId": "r", "result": old})
    seen = await platform.services.describe("svco-1")
    assert (seen.model_id, seen.run_status) == ("amv-1", "Pausing")


async def test_the_first_generation(platform: Platform, emulator: Emulator) -> None:
    set_id, model_id = await ready_version(platform)
    applied = await platform.services_v1.apply(
        model_id=emulator.model_sets[set_id].number,
        model_version_id=emulator.models[model_id].number,
        name="my_svc",
        uri="my_svc",
        replicas=2,
        pool_type=DeployPoolType.PrivateResource,
    )
    assert emulator.requests[-1].body["poolType"] == 2
    await platform.charges.purchase_units(applied.service_uuid, BILLING, confirm=True)
    detail = await platform.services_v1.detail(applied.service_id)
    assert (detail.id, detail.name, detail.service_status) == (applied.service_id, "my_svc", ServiceStatus.Done)
    assert detail.url.endswith("_my_svc")
    listed = await platform.services_v1.list(["chat"])
    assert [service.name for service in listed.custom] == ["my_svc"]
    assert {service.api_type for service in listed.common} == {"chat"}
    assert len((await platform.services_v1.list()).common) > len(listed.common)
