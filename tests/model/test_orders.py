"""Whatever the network does, one thing is made, through the methods that people use; what costs money is sent once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import APIError, ConnectionFailedError, OutcomeUnknownError, QianfanError, RateLimitError
from qianfan.model import DeployConfig, Model
from qianfan.pipeline._ordering import MAX_DOUBTS, UNSENT_PATIENCE
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
    paid: whether it costs money by itself.
    """

    call: str
    look: str
    what: str
    prepare: Callable[[Platform], Awaitable[Act]]
    made: Callable[[Emulator], Sized]
    paid: bool = True


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
    Order("CreateFineTuningJob", "DescribeFineTuningJobs", "job", a_training, lambda e: e.jobs, paid=False),
    Order("CreateFineTuningTask", "DescribeFineTuningTasks", "task", a_training, lambda emulator: emulator.tasks),
    Order("publishTrainModel", "DescribeModelSet", "model", a_model, lambda emulator: emulator.models, paid=False),
    Order("CreateService", "DescribeServices", "service", a_service, lambda emulator: emulator.services),
    Order("CreateService", "DescribeServices", "service", a_service_with_a_name, lambda emulator: emulator.services),
]


def each_of(orders: list[Order]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("order", orders, ids=lambda order: f"{order.call}-{order.prepare.__name__}")


orders = each_of(ORDERS)
paid_orders = each_of([order for order in ORDERS if order.paid])
free_orders = each_of([order for order in ORDERS if not order.paid])

GARBAGE = b"<html>a gateway speaks</html>"


async def run(
    order: Order,
    emulator: Emulator,
    clock: JumpClock,
    mishap: Mishap | None = None,
    times: int | None = None,
    **fault: Any,
) -> tuple[int, int, QianfanError | None]:
    """Order it in trouble. Gives how often the platform was asked, how many were made, and the error, if any.

    times: how often there is trouble; when left out, a mishap of the network happens once, and a fault of the platform
    does not go away.
    """
    act = await order.prepare(Platform(client_for(clock)))
    asked, made = emulator.count(order.call), len(order.made(emulator))
    if fault:
        emulator.faults.add(order.call, times=times, **fault)
    network = Meddling(emulator.transport(), order.call, mishap, times=times or 1) if mishap else emulator.transport()
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


without_effect = pytest.mark.parametrize(
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


@paid_orders
@without_effect
async def test_what_costs_money_and_does_not_show_up_stays_unknown(
    order: Order, emulator: Emulator, clock: JumpClock, trouble: dict[str, Any]
) -> None:
    """It is not ordered again, and the error names what to look for."""
    asked, made, error = await run(order, emulator, clock, **trouble)
    assert (asked, made) == (1, 0)
    assert isinstance(error, OutcomeUnknownError)
    assert error.what == order.what
    assert error.name
    assert repr(error.name) in str(error)
    assert "not ordered again" in str(error)
    assert error.__cause__ is not None
    assert clock.monotonic() >= 120


@free_orders
@without_effect
async def test_what_costs_nothing_and_does_not_show_up_is_ordered_again(
    order: Order, emulator: Emulator, clock: JumpClock, trouble: dict[str, Any]
) -> None:
    """But not before it had its time to show up."""
    assert await run(order, emulator, clock, times=1, **trouble) == (2, 1, None)
    assert clock.monotonic() >= 120


@free_orders
@without_effect
async def test_doubt_that_comes_back_every_time_is_for_a_person(
    order: Order, emulator: Emulator, clock: JumpClock, trouble: dict[str, Any]
) -> None:
    asked, made, error = await run(order, emulator, clock, **trouble)
    assert (asked, made) == (MAX_DOUBTS, 0)
    assert isinstance(error, OutcomeUnknownError)
    assert error.what == order.what
    assert clock.monotonic() >= MAX_DOUBTS * 120


@free_orders
async def test_the_last_doubtful_order_is_looked_for_as_well(
    order: Order, emulator: Emulator, clock: JumpClock
) -> None:
    emulator.faults.add(order.call, nth=MAX_DOUBTS, drop="after")
    assert await run(order, emulator, clock, times=MAX_DOUBTS - 1, drop="before") == (MAX_DOUBTS, 1, None)


@orders
async def test_what_never_left_is_sent_again(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    assert await run(order, emulator, clock, refused, times=2) == (1, 1, None)


@orders
async def test_nobody_is_there(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    asked, made, error = await run(order, emulator, clock, refused, times=99)
    assert (asked, made) == (0, 0)
    assert isinstance(error, ConnectionFailedError)
    assert clock.monotonic() >= UNSENT_PATIENCE


@orders
@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 400, "code": "InappropriateJSON", "message": "wrong"},
        {"status": 403, "code": "AccessDenied", "message": "no"},
    ],
    ids=str,
)
async def test_a_clear_no_ends_it(order: Order, emulator: Emulator, clock: JumpClock, trouble: dict[str, Any]) -> None:
    asked, made, error = await run(order, emulator, clock, **trouble)
    assert (asked, made) == (1, 0)
    assert isinstance(error, APIError)
    assert error.code == trouble["code"]


BUSY = {"status": 429, "code": "SlowDown", "message": "later", "headers": {"retry-after": "40"}}


@orders
async def test_what_is_put_off_is_ordered_later(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    assert await run(order, emulator, clock, times=3, **BUSY) == (4, 1, None)
    assert 3 * 40 <= clock.monotonic() < 4 * 40


@orders
async def test_what_is_put_off_again_and_again_fails(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    _, made, error = await run(order, emulator, clock, **BUSY)
    assert made == 0
    assert isinstance(error, RateLimitError)
    assert error.code == "SlowDown"
    assert UNSENT_PATIENCE <= clock.monotonic() < UNSENT_PATIENCE + 120


async def test_ordering_again_after_doubt_looks_first(emulator: Emulator, clock: JumpClock) -> None:
    """The same object remembers what it ordered: a model and a service are found, however late they show up."""
    client = client_for(clock)
    task = await trained(Platform(client))
    model = Model(task_id=task.task_id, client=client)
    late = emulator.faults.add("publishTrainModel", drop="after")
    unseen = emulator.faults.add("DescribeModelSet", times=None, status=404, code="NotFound", message="none yet")
    with pytest.raises(APIError, match="already exists"):  # the platform says so, and does not show it yet
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
    for _ in range(2):
        with pytest.raises(APIError, match="already exists"):
            await Model(task_id=mine.task_id, client=client).apublish("my model")
    assert len(emulator.models) == 1


async def refused_to_look(order: Order, emulator: Emulator, clock: JumpClock) -> tuple[int, int, QianfanError | None]:
    """Order it without a clear answer, with keys that may not list."""

    async def mishap(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        emulator.faults.add(order.look, times=None, status=403, code="AccessDenied", message="no")
        return await answering(200, GARBAGE)(request, pass_on)

    return await run(order, emulator, clock, mishap)


@paid_orders
async def test_looking_that_is_refused_is_said(order: Order, emulator: Emulator, clock: JumpClock) -> None:
    asked, made, error = await refused_to_look(order, emulator, clock)
    assert (asked, made) == (1, 1)
    assert isinstance(error, OutcomeUnknownError)
    assert "looking for it is refused" in str(error)
    assert clock.monotonic() < 120


@free_orders
async def test_looking_that_is_refused_does_not_make_a_second_one(
    order: Order, emulator: Emulator, clock: JumpClock
) -> None:
    """What costs nothing is ordered again under the same name; the platform refuses that, and the error says why."""
    asked, made, error = await refused_to_look(order, emulator, clock)
    assert (asked, made) == (2, 1)
    assert isinstance(error, APIError)
    assert error.code == "AccessDenied"
    assert clock.monotonic() < 120
