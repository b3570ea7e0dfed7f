"""Services through both generations of the API."""

from __future__ import annotations

import pytest

from qianfan.emulator import Emulator
from qianfan.errors import APIError, RequestError
from qianfan.resources import Platform
from qianfan.resources.console.consts import DeployPoolType, ServiceStatus
from tests.support.emulated import ready_version

pytestmark = pytest.mark.anyio

BILLING = {"paymentTiming": "Prepaid", "reservation": {"reservationTimeUnit": "Hour", "reservationLength": 1}}


async def deployed(platform: Platform, name: str = "my_service", version: tuple[str, str] | None = None) -> str:
    set_id, model_id = version or await ready_version(platform)
    created = await platform.services.create(
        model_set_id=set_id, model_id=model_id, name=name, url_suffix="mine", billing=BILLING
    )
    return created.service_id


async def test_a_deployment_from_beginning_to_end(platform: Platform, emulator: Emulator) -> None:
    emulator.deployment.script(after_looks=2, waits=1)
    set_id, model_id = await ready_version(platform)
    created = await platform.services.create(
        model_set_id=set_id,
        model_id=model_id,
        name="my_service",
        url_suffix="mine",
        description="words",
        resource_config={"type": "GPU-I-2", "replicasCount": 2},
        billing=BILLING,
        extras={"protocolVersion": 2},
    )
    assert created.instance_id
    assert emulator.requests[-1].body["protocolVersion"] == 2
    seen = []
    while (detail := await platform.services.describe(created.service_id)).run_status is not ServiceStatus.Serving:
        seen.append(detail.run_status)
    assert seen == [ServiceStatus.New, ServiceStatus.Deploying]
    assert all(status.is_pending for status in seen)
    assert (detail.model_set_id, detail.model_id, detail.description) == (set_id, model_id, "words")
    assert detail.resource_config["replicasCount"] == 2
    assert detail.endpoint.endswith("_mine")
    assert detail.url.endswith(f"/chat/{detail.endpoint}")


async def test_filters_and_pages(platform: Platform, emulator: Emulator) -> None:
    version = await ready_version(platform)
    ids = [await deployed(platform, f"svc_{n:03}", version) for n in range(101)]
    assert [one.service_id async for one in platform.services.all()] == ids[::-1]
    assert emulator.count("DescribeServices") == 2
    # The platform's filter matches anywhere in a name.
    assert [one.service_id async for one in platform.services.all(name="c_00")] == ids[9::-1]
    page = await platform.services.describe_all(run_status=["Serving"], service_type=["chat"], max_keys=5)
    assert page.items == []


async def test_serving_another_version(platform: Platform, emulator: Emulator) -> None:
    set_id, model_id = await ready_version(platform)
    service_id = await deployed(platform, version=(set_id, model_id))
    while (await platform.services.describe(service_id)).run_status is not ServiceStatus.Serving:
        pass
    assert await platform.services.modify(service_id, model_set_id=set_id, model_id=model_id)
    assert emulator.services[service_id].state == "Deploying"


async def test_an_answer_without_an_id(platform: Platform, emulator: Emulator) -> None:
    emulator.faults.add("CreateService", body={"requestId": "r-1", "result": {"instanceId": "i"}})
    with pytest.raises(RequestError, match="CreateService.*look at: serviceId") as caught:
        await deployed(platform)
    assert caught.value.request_id == "r-1"
    assert emulator.count("CreateService") == 1


@pytest.mark.parametrize(
    ("answer", "endpoint"),
    [
        ({"url": "https://host/chat/abc_mine"}, "abc_mine"),
        ({"url": "https://host/chat/abc_mine/"}, "abc_mine"),
        ({"url": "", "endpoint": "abc_mine"}, "abc_mine"),
        ({"url": None, "endpoint": None}, ""),
        ({}, ""),
    ],
)
async def test_the_endpoint_is_the_end_of_the_address(
    platform: Platform, emulator: Emulator, answer: dict[str, object], endpoint: str
) -> None:
    result = {"serviceId": "svco-1", "runStatus": "Hibernating", **answer}
    emulator.faults.add("DescribeService", body={"requestId": "r", "result": result})
    detail = await platform.services.describe("svco-1")
    assert (detail.endpoint, detail.run_status) == (endpoint, "Hibernating")


async def test_a_version_has_one_name_or_another(platform: Platform, emulator: Emulator) -> None:
    result = {"serviceId": "svco-1", "modelVersionId": "amv-1"}
    emulator.faults.add("DescribeService", body={"requestId": "r", "result": result})
    assert (await platform.services.describe("svco-1")).model_id == "amv-1"


async def test_refusals(platform: Platform) -> None:
    with pytest.raises(APIError, match="svco-none"):
        await platform.services.describe("svco-none")


async def test_the_first_generation(platform: Platform, emulator: Emulator) -> None:
    set_id, model_id = await ready_version(platform)
    applied = await platform.services_v1.apply(
        model_id=emulator.model_sets[set_id].number,
        model_version_id=emulator.models[model_id].number,
        name="my_service",
        uri="mine",
        pool_type=DeployPoolType.PrivateResource,
    )
    assert applied.service_uuid in emulator.services
    while (detail := await platform.services_v1.detail(applied.service_id)).service_status is not ServiceStatus.Done:
        assert isinstance(detail.service_status, ServiceStatus)
        assert detail.service_status.is_pending
    assert detail.service_status.is_ready
    assert detail.url.endswith(detail.uri)
    listed = await platform.services_v1.list(["chat"])
    assert [one.name for one in listed.custom] == ["my_service"]
    assert "ERNIE-Speed-8K" in {one.name for one in listed.common}
    assert {one.api_type for one in listed.common} == {"chat"}
    assert len((await platform.services_v1.list()).common) > len(listed.common)
