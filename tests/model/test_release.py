"""Giving a service back, so that it costs nothing more: by hand, and whatever ends a `with` block."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import APIError, InternalError, InvalidArgumentError, RequestTimeoutError, ServiceDeployFailedError
from qianfan.model import DeployConfig, Model, Service
from qianfan.resources import Platform
from tests.support.clock import JumpClock
from tests.support.emulated import client_for, ready_version
from tests.support.transport import Meddling, Passing, answering, silence

pytestmark = pytest.mark.anyio

HI = {"messages": [{"role": "user", "content": "hi, how are you today?"}]}
CHAT = DeployConfig(service_type="Chat", replicas=2)

faces = pytest.mark.parametrize("face", ["sync", "async"])


async def drive(face: str, target: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method on one of its two faces."""
    if face == "async":
        return await getattr(target, "a" + method)(*args, **kwargs)
    return await anyio.to_thread.run_sync(lambda: getattr(target, method)(*args, **kwargs))


async def new_model(platform: Platform) -> Model:
    return Model(*await ready_version(platform), client=platform.client)


async def block(face: str, service: Service, body: Callable[[], object], *, deploy: bool = True) -> None:
    """A `with` block of either face, whose body runs once the service is deployed."""
    if face == "async":
        async with service as entered:
            assert entered is service
            if deploy:
                await service.adeploy()
            body()
        return

    def blocking() -> None:
        with service as entered:
            assert entered is service
            if deploy:
                service.deploy()
            body()

    await anyio.to_thread.run_sync(blocking)


class Interrupted(BaseException):
    """Like an interrupt from the keyboard, which a test runner would take for its own."""


# --- by hand -----------------------------------------------------------------------------------------------------


@faces
async def test_what_was_bought_is_given_back_once(
    face: str, platform: Platform, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    service = await (await new_model(platform)).adeploy(CHAT)
    [unit] = emulator.compute_units.values()
    assert unit.uses == {service.id: 2}
    with caplog.at_level(logging.INFO, "qianfan"):
        released = await drive(face, service, "release")
    assert [(one.instance_id, one.replicas_count) for one in released] == [(unit.id, 2)]
    assert f"gave back {unit.id} of service {service.id}" in caplog.text
    assert service.is_released
    assert not emulator.compute_units
    assert emulator.services[str(service.id)].state == "Stopped"
    assert await drive(face, service, "release") == []
    assert emulator.count("ReleaseComputeUnit") == 1
    with pytest.raises(InvalidArgumentError, match="was given back"):
        await service.aexec(HI)
    with pytest.raises(APIError, match="Stopped"):
        await Service(endpoint=emulator.services[str(service.id)].endpoint, client=platform.client).aexec(HI)


async def test_another_object_of_the_same_service_gives_it_back(platform: Platform, emulator: Emulator) -> None:
    service = await (await new_model(platform)).adeploy(CHAT)
    await platform.charges.purchase_units(str(service.id), {"paymentTiming": "Postpaid"}, confirm=True)
    assert len(await Service(service.id, client=platform.client).arelease()) == 2
    assert not emulator.compute_units


async def test_a_model_that_was_given_back_is_deployed_anew(platform: Platform, emulator: Emulator) -> None:
    model = await new_model(platform)
    first = await model.adeploy(CHAT)
    assert await model.adeploy(CHAT) is first
    await first.arelease()
    second = await model.adeploy(CHAT)
    assert second.id != first.id
    assert (await second.aexec(HI))["result"]
    assert len(emulator.compute_units) == 1


async def test_what_has_nothing_to_give_back(platform: Platform, client: Client, emulator: Emulator) -> None:
    """A preset service, one that was never ordered, and one that is paid for by what it says."""
    for service in (Service(model="ERNIE-Speed-8K", client=client), Service(deploy_config=CHAT, client=client)):
        assert await service.arelease() == []
        assert not service.is_released
    assert not emulator.requests
    billing = {"billing": {"paymentTiming": "Postpaid", "chargeType": "Tokens"}}
    service = await (await new_model(platform)).adeploy(DeployConfig(service_type="Chat", extras=billing))
    assert await service.arelease() == []
    assert (await service.aexec(HI))["result"]


async def test_a_deployment_under_way_is_given_back(platform: Platform, emulator: Emulator) -> None:
    emulator.deployment.script(after_looks=math.inf)
    service = Service(model=await new_model(platform), deploy_config=CHAT, client=platform.client)
    with anyio.CancelScope() as scope:
        await service.adeploy(tell=lambda description, data: scope.cancel())
    assert len(await service.arelease()) == 1
    assert emulator.services[str(service.id)].state == "Stopped"
    with pytest.raises(ServiceDeployFailedError, match="'Stopped'"):
        await service.adeploy()


# --- trouble on the way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["DescribeComputeUnits", "ReleaseComputeUnit"])
async def test_trouble_is_ridden_through(emulator: Emulator, clock: JumpClock, call: str) -> None:
    client = client_for(clock, console_api_retry_count=4)
    service = await (await new_model(Platform(client))).adeploy(CHAT)
    emulator.faults.add(call, times=3, status=503)
    assert len(await service.arelease()) == 1
    assert not emulator.compute_units


async def test_a_lost_answer_does_not_make_it_fail(emulator: Emulator, clock: JumpClock) -> None:
    """The second attempt is refused, since the first one had its effect."""
    client = client_for(clock, console_api_retry_count=3)
    service = await (await new_model(Platform(client))).adeploy(CHAT)
    emulator.faults.add("ReleaseComputeUnit", drop="after")
    assert len(await service.arelease()) == 1
    assert emulator.count("ReleaseComputeUnit") == 2
    assert not emulator.compute_units


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 403, "code": "AccessDenied", "message": "no"},
        {"body": {"requestId": "r", "result": False}},
    ],
    ids=str,
)
async def test_every_unit_is_tried_before_an_error_comes_out(
    platform: Platform, emulator: Emulator, trouble: dict[str, Any]
) -> None:
    service = await (await new_model(platform)).adeploy(CHAT)
    await platform.charges.purchase_units(str(service.id), {"paymentTiming": "Postpaid"}, confirm=True)
    first, second = emulator.compute_units
    emulator.faults.add("ReleaseComputeUnit", **trouble)
    with pytest.raises((APIError, InternalError), match=f"AccessDenied|{first}"):
        await service.arelease()
    assert set(emulator.compute_units) == {first}
    assert not service.is_released
    assert [unit.instance_id for unit in await service.arelease()] == [first]
    assert second not in emulator.compute_units


async def test_an_answer_without_a_list_is_not_taken_for_nothing(platform: Platform, emulator: Emulator) -> None:
    service = await (await new_model(platform)).adeploy(CHAT)
    emulator.faults.add("DescribeComputeUnits", body={"requestId": "r", "result": {"units": "some"}})
    with pytest.raises(Exception, match="does not have the documented form"):
        await service.arelease()
    unit = next(iter(emulator.compute_units))
    for key in ("instances", "computeUnitList"):
        found = {"requestId": "r", "result": {key: [{"instanceId": unit}]}}
        emulator.faults.add("DescribeComputeUnits", body=found)
        emulator.faults.add("ReleaseComputeUnit", body={"requestId": "r", "result": True})
        assert [one.instance_id for one in await service.arelease()] == [unit]


async def test_what_a_lost_answer_bought_is_found_and_given_back(emulator: Emulator, clock: JumpClock) -> None:
    """Nobody knows its id: the order was cut off, and then the wait for it."""
    scope = anyio.CancelScope()

    async def mishap(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        response = await answering(502, b"<html>")(request, pass_on)
        scope.cancel()
        return response

    client = client_for(clock, Meddling(emulator.transport(), "CreateService", mishap))
    service = Service(model=await new_model(Platform(client)), deploy_config=CHAT, client=client)
    with scope:
        await service.adeploy()
    assert service.id is None
    assert len(emulator.compute_units) == 1
    assert len(await service.arelease()) == 1
    assert (emulator.count("CreateService"), len(emulator.compute_units)) == (1, 0)


# --- with blocks -------------------------------------------------------------------------------------------------


@faces
async def test_the_end_of_a_block_gives_it_back(face: str, platform: Platform, emulator: Emulator) -> None:
    service = Service(model=await new_model(platform), deploy_config=CHAT, client=platform.client)
    seen: list[int] = []
    await block(face, service, lambda: seen.append(len(emulator.compute_units)))
    assert seen == [1]
    assert not emulator.compute_units
    assert service.is_released


@faces
@pytest.mark.parametrize("error", [ValueError("mine"), Interrupted(), SystemExit(3)], ids=repr)
async def test_a_body_that_raises_gives_it_back(
    face: str, platform: Platform, emulator: Emulator, error: BaseException
) -> None:
    service = Service(model=await new_model(platform), deploy_config=CHAT, client=platform.client)

    def body() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await block(face, service, body)
    assert caught.value is error
    assert not emulator.compute_units


@faces
async def test_an_interrupted_deployment_is_given_back(face: str, platform: Platform, emulator: Emulator) -> None:
    """A block that ends before the service has begun to serve."""
    emulator.deployment.script(ends="Failed", reason="no machines")
    service = Service(model=await new_model(platform), deploy_config=CHAT, client=platform.client)
    with pytest.raises(ServiceDeployFailedError, match="no machines"):
        await block(face, service, lambda: None)
    assert not emulator.compute_units


@faces
async def test_a_block_that_deploys_nothing_asks_nothing(face: str, client: Client, emulator: Emulator) -> None:
    await block(face, Service(deploy_config=CHAT, client=client), lambda: None, deploy=False)
    assert not emulator.requests


async def test_cancellation_does_not_stop_it(platform: Platform, emulator: Emulator) -> None:
    service = Service(model=await new_model(platform), deploy_config=CHAT, client=platform.client)
    with anyio.CancelScope() as scope:
        async with service:
            await service.adeploy()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not emulator.compute_units


async def test_cancellation_of_the_deployment_itself(platform: Platform, emulator: Emulator) -> None:
    emulator.deployment.script(after_looks=math.inf)
    service = Service(model=await new_model(platform), deploy_config=CHAT, client=platform.client)
    with anyio.CancelScope() as scope:
        async with service:
            await service.adeploy(tell=lambda description, data: scope.cancel())
    assert scope.cancelled_caught
    assert not emulator.compute_units


async def test_cancellation_while_the_order_is_on_its_way(emulator: Emulator, clock: JumpClock) -> None:
    """Its answer is waited for and noted, though the call that asked for it never returns."""
    scope = anyio.CancelScope()

    async def mishap(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        scope.cancel()
        return await pass_on(request)

    client = client_for(clock, Meddling(emulator.transport(), "CreateService", mishap))
    service = Service(model=await new_model(Platform(client)), deploy_config=CHAT, client=client)
    with scope:
        async with service:
            await service.adeploy()
    assert scope.cancelled_caught
    assert emulator.made("compute_unit") == 1
    assert not emulator.compute_units


@faces
async def test_a_release_that_fails_is_raised_at_the_end_of_a_block(
    face: str, platform: Platform, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(model=await new_model(platform), deploy_config=CHAT, client=platform.client)
    emulator.faults.add("ReleaseComputeUnit", status=403, code="AccessDenied", message="no")
    with pytest.raises(APIError, match="AccessDenied"):
        await block(face, service, lambda: None)
    assert "may go on costing money" in caplog.text


@faces
async def test_the_error_of_the_body_comes_first(
    face: str, platform: Platform, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(model=await new_model(platform), deploy_config=CHAT, client=platform.client)
    emulator.faults.add("ReleaseComputeUnit", status=403, code="AccessDenied", message="no")

    def body() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await block(face, service, body)
    assert f"'{service.id}'" in caplog.text
    assert "may go on costing money: " in caplog.text


async def test_a_platform_that_never_answers_does_not_hold_a_block_for_ever(
    emulator: Emulator, clock: JumpClock
) -> None:
    client = client_for(clock, Meddling(emulator.transport(), "DescribeComputeUnits", silence))
    service = Service(model=await new_model(Platform(client)), deploy_config=CHAT, client=client)
    service.release_patience = 0.0
    with pytest.raises(RequestTimeoutError, match="giving back"):
        async with service:
            await service.adeploy()


_INTERRUPTED = """
import math, os, signal, threading, time
from qianfan.emulator import Emulator
from qianfan.model import DeployConfig, Model, Service
from qianfan.resources import FineTune

with Emulator(engine="scripted", pace="instant") as emulator:
    job = FineTune.V2.create_job("job", "ERNIE-Speed-8K", "SFT")["result"]["jobId"]
    data = {"sourceType": "Platform", "versions": [{"versionId": "ds-sampledataset111"}], "splitRatio": 20}
    task = FineTune.V2.create_task(job, "LoRA", {"epoch": 1}, data)["result"]["taskId"]
    model = Model(task_id=task).publish()
    emulator.deployment.script(after_looks=math.inf)

    def interrupt():
        while emulator.count("DescribeService") < 2:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with Service(model=model, deploy_config=DeployConfig(service_type="Chat")) as service:
            service.deploy()
    except KeyboardInterrupt:
        print("interrupted:", emulator.made("compute_unit"), "bought,", len(emulator.compute_units), "left")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself an interrupt there")
async def test_an_interrupt_from_the_keyboard_gives_it_back() -> None:
    done = await anyio.run_process([sys.executable, "-c", _INTERRUPTED], check=False)
    assert done.stdout.decode() == "interrupted: 1 bought, 0 left\n", done.stderr.decode()


# --- what it is used for -----------------------------------------------------------------------------------------


@faces
async def test_calls_are_counted(face: str, platform: Platform, emulator: Emulator) -> None:
    service = await (await new_model(platform)).adeploy(CHAT)
    now = datetime.now(timezone.utc)
    span = now - timedelta(hours=1), now + timedelta(hours=1)
    assert (await drive(face, service, "metrics", *span)).total.call_total == 0
    answers = [await service.aexec(HI), await service.aexec(HI)]
    pieces = [piece async for piece in await service.aexec(HI, stream=True)]
    metrics = await drive(face, service, "metrics", *span)
    assert (metrics.service_id, metrics.service_name) == (service.id, emulator.services[str(service.id)].name)
    total = metrics.total
    assert (total.call_total, total.succeed_call_total, total.failure_call_total) == (3, 3, 0)
    used = [*(answer["usage"] for answer in answers), pieces[-1]["usage"]]
    assert total.tokens_total == sum(usage["total_tokens"] for usage in used)
    assert total.input_tokens_total + total.output_tokens_total == total.tokens_total
    local = datetime(2020, 1, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    await drive(face, service, "metrics", local, "2020-01-01T01:00:00Z", app_id="7")
    assert emulator.requests[-1].body == {
        "startTime": "2020-01-01T00:00:00Z",
        "endTime": "2020-01-01T01:00:00Z",
        "serviceId": [service.id],
        "appId": "7",
    }


async def test_nothing_to_count(client: Client, emulator: Emulator) -> None:
    with pytest.raises(InvalidArgumentError, match="has no id"):
        await Service(client=client).ametrics("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
    body = {"requestId": "r", "result": {"serviceList": []}}
    emulator.faults.add("DescribeServiceMetric", body=body)
    found = await Service("svco-1", client=client).ametrics("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
    assert (found.service_id, found.total.call_total) == ("svco-1", 0)
