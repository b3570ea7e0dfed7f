"""What costs money is ordered once, through the methods that people use, whatever the network does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import APIError, ConnectionFailedError, OutcomeUnknownError, QianfanError
from qianfan.model import DeployConfig, Model
from qianfan.resources import Platform
from qianfan.trainer import LLMFinetune
from tests.support.clock import JumpClock
from tests.support.emulated import MODEL, client_for, ready_version, trained
from tests.support.transport import Meddling, Mishap, Passing, answering, refused

pytestmark = pytest.mark.anyio

Act = Callable[[Client], Awaitable[object]]


@dataclass(frozen=True)
class Order:
    """One kind of thing that can be ordered.

    call: the request that orders it; look: the one that finds it again; what: its name in messages.
    prepare: gives the act that orders it, once everything before it is there. made: what there is of it.
    """

    call: str
    look: str
    what: str
    prepare: Callable[[Platform], Awaitable[Act]]
    made: Callable[[Emulator], Sized]


async def a_training(platform: Platform) -> Act:
    return lambda client: LLMFinetune(MODEL, 111, model_not_publish=True, client=client).arun()


async def a_model(platform: Platform) -> Act:
    task = await trained(platform)
    return lambda client: Model(task_id=task.task_id, client=client).apublish()


async def a_service(platform: Platform) -> Act:
    set_id, model_id = await ready_version(platform)
    return lambda client: Model(set_id, model_id, client=client).adeploy(DeployConfig(service_type="Chat"))


async def a_service_with_a_name(platform: Platform) -> Act:
    """Another one of that name is there already."""
    config = DeployConfig(service_type="Chat", name="my_svc", endpoint_suffix="my_svc")
    await Model(*await ready_version(platform, "other"), client=platform.client).adeploy(config)
    task = await trained(platform, "second_job")
    model = await Model(task_id=task.task_id, client=platform.client).apublish()
    return lambda client: Model(model.set_id, model.id, client=client).adeploy(config)


ORDERS = [
    Order("CreateFineTuningJob", "DescribeFineTuningJobs", "job", a_training, lambda emulator: emulator.jobs),
    Order("CreateFineTuningTask", "DescribeFineTuningTasks", "training task", a_training, lambda e: e.tasks),
    Order("publishTrainModel", "DescribeModelSet", "model", a_model, lambda emulator: emulator.models),
    Order("CreateService", "DescribeServices", "service", a_service, lambda emulator: emulator.services),
    Order("CreateService", "DescribeServices", "service", a_service_with_a_name, lambda emulator: emulator.services),
]
orders = pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.call}-{order.prepare.__name__}")

GARBAGE = b"<html>a gateway speaks</html>"


async def run(
    order: Order, emulator: Emulator, clock: JumpClock, mishap: Mishap | None = None, times: int = 1, **fault: Any
) -> tuple[int, int, QianfanError | None]:
    """Order it in trouble. Gives how often the platform was asked, how many were made, and the error, if any."""
    act = await order.prepare(Platform(client_for(clock)))
    asked, made = emulator.count(order.call), len(order.made(emulator))
    if fault:
        emulator.faults.add(order.call, times=None, **fault)
    network = Meddling(emulator.transport(), order.call, mishap, times=times) if mishap else emulator.transport()
    error = None
    try:
        await act(client_for(clock, network))
    except QianfanError as caught:
        error = caught
    return emulator.count(order.call) - asked, len(order.made(emulator)) - made, error


@orders
@pytest.mark.parametrize(
    "mishap",
    [
        answering(500, {"code": "InternalError", "message": "broken"}),
        answering(502, GARBAGE),
        answering(200, GARBAGE),
        answering(200, b""),
        answering(200, {"requestId": "r", "result": {}}),
        answering(200, {"error_code": 500000, "error_msg": "broken"}),
        answering(408, b""),
    ],
    ids=["500", "502", "garbage", "empty", "no id", "500000", "408"],
)
async def test_an_effect_under_a_bad_answer_is_found(
    order: Order, emulator: Emulator, clock: JumpClock, mishap: Mishap
) -> None:
    assert await run(order, emulator, clock, mishap) == (1, 1, None)


@orders
@pytest.mark.parametrize("drop", ["after", "during"])
async def test_an_effect_whose_answer_is_lost_is_found(
    order: Order, emulator: Emulator, clock: JumpClock, drop: str
) -> None:
    assert await run(order, emulator, clock, drop=drop) == (1, 1, None)


@orders
async def test_finding_it_rides_through_trouble(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    """Looks that fail prove nothing."""

    async def mishap(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        emulator.faults.add(order.look, times=6, status=503)
        return await answering(200, GARBAGE)(request, pass_on)

    assert await run(order, emulator, clock, mishap) == (1, 1, None)


@orders
@pytest.mark.parametrize(
    "trouble",
    [
        {"drop": "before"},
        {"status": 500},
        {"status": 503, "body": "<html>busy</html>"},
        {"body": "<html>a gateway speaks</html>"},
        {"body": {"requestId": "r", "success": True, "result": None}},
    ],
    ids=str,
)
async def test_what_does_not_show_up_stays_unknown(
    order: Order, emulator: Emulator, clock: JumpClock, trouble: dict[str, Any]
) -> None:
    """It is not ordered again, and the error names what to look for."""
    asked, made, error = await run(order, emulator, clock, **trouble)
    assert (asked, made) == (1, 0)
    assert isinstance(error, OutcomeUnknownError)
    assert error.what.startswith(order.what)
    assert error.name
    assert repr(error.name) in str(error)
    assert "not ordered again" in str(error)
    assert error.__cause__ is not None
    assert clock.monotonic() >= 120


@orders
async def test_what_never_left_is_sent_again(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    assert await run(order, emulator, clock, refused, times=2) == (1, 1, None)


@orders
async def test_nobody_is_there(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    asked, made, error = await run(order, emulator, clock, refused, times=99)
    assert (asked, made) == (0, 0)
    assert isinstance(error, ConnectionFailedError)


@orders
@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 400, "code": "InappropriateJSON", "message": "wrong"},
        {"status": 403, "code": "AccessDenied", "message": "no"},
        {"status": 429, "code": "SlowDown", "message": "later"},
    ],
    ids=str,
)
async def test_a_clear_no_ends_it(order: Order, emulator: Emulator, clock: JumpClock, trouble: dict[str, Any]) -> None:
    asked, made, error = await run(order, emulator, clock, **trouble)
    assert (asked, made) == (1, 0)
    assert isinstance(error, APIError)
    assert error.code == trouble["code"]


async def test_ordering_again_after_doubt_looks_first(emulator: Emulator, clock: JumpClock) -> None:
    """The same object remembers what it ordered: a model and a service are found, however late they show up."""
    client = client_for(clock)
    task = await trained(Platform(client))
    model = Model(task_id=task.task_id, client=client)
    late = emulator.faults.add("publishTrainModel", drop="after")
    unseen = emulator.faults.add("DescribeModelSet", times=None, status=404, code="NotFound", message="none yet")
    with pytest.raises(OutcomeUnknownError):
        await model.apublish("my model")
    assert late.hits == 1
    emulator.faults.remove(unseen)
    await model.apublish("my model")
    assert (len(emulator.models), model.id) == (1, next(iter(emulator.models)))

    config = DeployConfig(service_type="Chat")
    emulator.faults.add("CreateService", drop="after")
    empty = {"requestId": "r", "result": {"serviceList": []}}
    unseen = emulator.faults.add("DescribeServices", times=None, body=empty)
    with pytest.raises(OutcomeUnknownError):
        await model.adeploy(config)
    emulator.faults.remove(unseen)
    service = await model.adeploy(config)
    assert emulator.count("CreateService") == len(emulator.services) == 1
    assert service.id in emulator.services


async def test_a_service_of_that_name_from_before_is_not_taken_for_it(emulator: Emulator, clock: JumpClock) -> None:
    """Also when it serves the very same version."""
    client = client_for(clock)
    ids = await ready_version(Platform(client))
    config = DeployConfig(service_type="Chat", name="my_svc")
    first = await Model(*ids, client=client).adeploy(config)
    emulator.faults.add("CreateService", drop="before")
    with pytest.raises(OutcomeUnknownError, match="my_svc"):
        await Model(*ids, client=client).adeploy(config)
    emulator.faults.add("CreateService", drop="after")
    second = await Model(*ids, client=client).adeploy(config)
    assert first.id != second.id
    assert set(emulator.services) == {first.id, second.id}


async def test_a_model_of_that_name_from_another_run_is_not_taken_for_it(emulator: Emulator, clock: JumpClock) -> None:
    client = client_for(clock)
    other, mine = await trained(Platform(client), "job_1"), await trained(Platform(client), "job_2")
    await Model(task_id=other.task_id, client=client).apublish("my model")
    emulator.faults.add("publishTrainModel", drop="before")
    with pytest.raises(OutcomeUnknownError, match="my model"):
        await Model(task_id=mine.task_id, client=client).apublish("my model")
    with pytest.raises(APIError, match="already exists"):
        await Model(task_id=mine.task_id, client=client).apublish("my model")


@orders
async def test_looking_that_is_refused_is_said(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    async def mishap(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        emulator.faults.add(order.look, times=None, status=403, code="AccessDenied", message="no")
        return await answering(200, GARBAGE)(request, pass_on)

    asked, made, error = await run(order, emulator, clock, mishap)
    assert (asked, made) == (1, 1)
    assert isinstance(error, OutcomeUnknownError)
    assert "looking for it is refused" in str(error)
    assert clock.monotonic() < 120
