"""Row 23: a run is cancelled in a poll, with an order on its way, or while an order is looked for.

The scope ends, what is on its way is written down first, and the remote work is kept or stopped as was asked.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import ActionTimeoutError
from qianfan.pipeline import ActionState, Event
from qianfan.trainer import LLMFinetune
from tests.faults.support import (
    CREATE,
    KINDS,
    LOOK,
    ONE_OF_EACH,
    EventfulClock,
    Heard,
    HeldClock,
    client_for,
    facts_of,
    kept_kinds,
    made,
    new_trainer,
    orders,
    require_one_of_each,
    trained_by,
)
from tests.support.transport import Meddling, Passing

pytestmark = pytest.mark.anyio

every_kind = pytest.mark.parametrize("kind", KINDS)
either_wish = pytest.mark.parametrize("wish", ["detach", "stop"])

Cancelling = Callable[[LLMFinetune, anyio.Event, Any], Awaitable[None]]
"""Runs a trainer and ends it once the event is set; the last is what that means for the remote work."""


# --- ways to cancel --------------------------------------------------------------------------------------------------


async def by_its_scope(trainer: LLMFinetune, reached: anyio.Event, wish: Any) -> None:
    """The scope around it is cancelled."""

    async def run(scope: anyio.CancelScope) -> None:
        with scope:
            await trainer.arun(on_interrupt=wish)

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(run, scope)
        await reached.wait()
        scope.cancel()
    assert scope.cancelled_caught


async def by_a_sibling(trainer: LLMFinetune, reached: anyio.Event, wish: Any) -> None:
    """Another task of its group fails."""

    async def fail() -> None:
        await reached.wait()
        raise ZeroDivisionError

    with pytest.raises(BaseException) as raised:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            await trainer.arun(on_interrupt=wish)
    [failure] = getattr(raised.value, "exceptions", [raised.value])
    assert isinstance(failure, ZeroDivisionError)


async def by_a_timeout(trainer: LLMFinetune, reached: anyio.Event, wish: Any) -> None:
    """The time around it is up."""

    async def run() -> None:
        with pytest.raises(TimeoutError), anyio.fail_after(3600) as scope:
            scopes.append(scope)
            await trainer.arun(on_interrupt=wish)

    scopes: list[anyio.CancelScope] = []
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await reached.wait()
        scopes[0].deadline = -math.inf


async def by_its_stop(trainer: LLMFinetune, reached: anyio.Event, wish: Any) -> None:
    """Somebody calls stop(), which leaves nothing running."""
    async with anyio.create_task_group() as group:
        group.start_soon(trainer.arun)
        await reached.wait()
        trainer.stop()


async def by_asyncio(trainer: LLMFinetune, reached: anyio.Event, wish: Any) -> None:
    """Code without any scopes cancels the task, and does so again while it ends."""
    task = asyncio.ensure_future(trainer.arun(on_interrupt=wish))
    await reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_wait_for(trainer: LLMFinetune, reached: anyio.Event, wish: Any) -> None:
    """asyncio's own timeout."""
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(trainer.arun(on_interrupt=wish), 2.0)
    assert reached.is_set()


every_way = pytest.mark.parametrize(
    ("anyio_backend", "cancelling"),
    [
        pytest.param(backend, way, id=f"{backend}-{way.__name__}")
        for backend, ways in {
            "asyncio": [by_its_scope, by_a_sibling, by_a_timeout, by_its_stop, by_asyncio, by_wait_for],
            "trio": [by_its_scope, by_a_sibling, by_a_timeout, by_its_stop],
        }.items()
        for way in ways
    ],
)
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


# --- in a poll -------------------------------------------------------------------------------------------------------


@pytest.fixture
def endless(emulator: Emulator) -> Emulator:
    """A platform whose trainings do not end by themselves."""
    emulator.training.script(after_looks=math.inf)
    return emulator


def finish(emulator: Emulator) -> None:
    """Let the trainings end at the next look."""
    for task in emulator.tasks.values():
        assert task.work is not None
        task.work.after_looks = 0


def on_training() -> tuple[anyio.Event, Callable[[Event], Awaitable[None]]]:
    """An event that is set once a run polls, and the handler that does it."""
    reached = anyio.Event()

    async def hear(event: Event) -> None:
        if event.progress is not None:
            reached.set()

    return reached, hear


@either_wish
@every_way
async def test_23_during_a_poll(wish: str, cancelling: Cancelling, endless: Emulator, clock: EventfulClock) -> None:
    stopped = wish == "stop" or cancelling is by_its_stop
    heard, (reached, hear) = Heard(), on_training()
    trainer = new_trainer(client_for(clock), heard, hear)
    with anyio.fail_after(20):
        await cancelling(trainer, reached, wish)
    [task] = endless.tasks.values()
    assert task.state == ("Stopped" if stopped else "Running")
    facts = await facts_of(trainer)
    assert (facts["run_status"], facts["driven_by"]) == ("cancelled" if stopped else "open", None)
    assert facts["left_running"] == (not stopped)
    assert heard.events[-1].action_state is ActionState.Stopped
    assert (await kept_kinds(trainer))["Stopped"] == 2
    assert not trainer.is_running
    heard.require_order()
    if not stopped:
        finish(endless)
        await trainer.aresume()
        require_one_of_each(endless, trainer)
    assert orders(endless) == {**ONE_OF_EACH, **({"model": 0, "service": 0} if stopped else {})}


async def test_23_with_a_timeout_of_its_own(endless: Emulator, clock: EventfulClock) -> None:
    """The waiting ends, whatever an interrupt would mean; the training goes on."""
    _, hear = on_training()
    trainer = new_trainer(client_for(clock), hear)
    with pytest.raises(ActionTimeoutError, match="goes on"):
        await trainer.arun(timeout=0.2, on_interrupt="stop")
    assert [task.state for task in endless.tasks.values()] == ["Running"]
    finish(endless)
    await trainer.aresume()
    require_one_of_each(endless, trainer)
    assert orders(endless) == ONE_OF_EACH


async def test_23_a_stop_that_cannot_be_sent(endless: Emulator, clock: EventfulClock) -> None:
    """The wish is kept, and whoever goes on with the run sees to it."""
    fault = endless.faults.add("StopFineTuningTask", times=None, drop="before")
    reached, hear = on_training()
    trainer = new_trainer(client_for(clock), hear)
    with anyio.fail_after(20):
        await by_its_scope_silently(trainer, reached)
    assert [task.state for task in endless.tasks.values()] == ["Running"]
    facts = await facts_of(trainer)
    assert (facts["run_status"], facts["wants_stop"]) == ("open", True)
    endless.faults.remove(fault)
    loaded = await LLMFinetune.aload(trainer.id, client=client_for(clock))
    await loaded.aresume()
    assert [task.state for task in endless.tasks.values()] == ["Stopped"]
    assert (await facts_of(loaded))["run_status"] == "cancelled"
    assert orders(endless)["task"] == 1


async def by_its_scope_silently(trainer: LLMFinetune, reached: anyio.Event) -> None:
    """Cancelled with the wish to stop; an error of the stop is not looked at."""

    async def run() -> None:
        try:
            await trainer.arun(on_interrupt="stop")
        except Exception:
            assert trainer.result[0] is not None

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await reached.wait()
        group.cancel_scope.cancel()


# --- with an order on its way ----------------------------------------------------------------------------------------


class Held:
    """A network that keeps the answer of a call until the test lets go; the call has had its effect."""

    def __init__(self, emulator: Emulator, clock: EventfulClock, call: str) -> None:
        self.arrived, self.let_go = anyio.Event(), anyio.Event()
        self.client: Client = client_for(clock, Meddling(emulator.transport(), call, self._hold))

    async def _hold(self, request: httpx.Request, pass_on: Passing) -> httpx.Response:
        response = await pass_on(request)
        self.arrived.set()
        await self.let_go.wait()
        return response


@either_wish
@every_kind
async def test_23_during_an_order(kind: str, wish: str, endless: Emulator, clock: EventfulClock) -> None:
    """Its answer is awaited and written down before the scope ends."""
    if kind in ("model", "service"):
        endless.training.reset()
    held, heard, over = Held(endless, clock, CREATE[kind]), Heard(), anyio.Event()
    trainer = new_trainer(held.client, heard)

    async def run() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await trainer.arun(on_interrupt=wish)
        over.set()

    scopes: list[anyio.CancelScope] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await held.arrived.wait()
            scopes[0].cancel()
            await anyio.wait_all_tasks_blocked()
            assert not over.is_set(), "nobody leaves an order behind"
            held.let_go.set()
    assert orders(endless) == made(endless) == {one: int(KINDS.index(one) <= KINDS.index(kind)) for one in KINDS}
    ids = (await facts_of(trainer))["ids"]
    key = {"model": "model_set_id"}.get(kind, f"{kind}_id")
    assert (
        ids[key]
        in {
            "job": endless.jobs,
            "task": endless.tasks,
            "model": endless.model_sets,
            "service": endless.services,
        }[kind]
    )
    stopped = wish == "stop"
    if kind == "task":
        assert [task.state for task in endless.tasks.values()] == ["Stopped" if stopped else "Running"]
    assert (await facts_of(trainer))["run_status"] == ("cancelled" if stopped else "open")
    if not stopped:
        finish(endless)
        endless.training.reset()
        await trainer.aresume()
        require_one_of_each(endless, trainer)
        assert orders(endless) == ONE_OF_EACH
        assert endless.count(LOOK[kind]) == 0
    heard.require_order()


@on_asyncio
async def test_23_during_an_order_by_asyncio(endless: Emulator, clock: EventfulClock) -> None:
    """A cancellation that knows no shields does not lose it either, however often it comes."""
    held = Held(endless, clock, CREATE["task"])
    trainer = new_trainer(held.client)
    task = asyncio.ensure_future(trainer.arun())
    await held.arrived.wait()
    for _ in range(3):
        task.cancel()
        await anyio.wait_all_tasks_blocked()
    assert not task.done()
    held.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await facts_of(trainer))["ids"]["task_id"] in endless.tasks
    assert [task.state for task in endless.tasks.values()] == ["Running"]
    finish(endless)
    await trainer.aresume()
    require_one_of_each(endless, trainer)
    assert orders(endless) == ONE_OF_EACH
    assert endless.count(LOOK["task"]) == 0


@either_wish
async def test_23_during_an_order_that_nobody_answers(wish: str, endless: Emulator, clock: EventfulClock) -> None:
    """It has its deadline all the same, and then has an unknown fate."""
    arrived = anyio.Event()

    async def swallow(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        await pass_on(request)
        arrived.set()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    transport = Meddling(endless.transport(), CREATE["task"], swallow)
    trainer = new_trainer(client_for(clock, transport, console_api_retry_timeout=0.2))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def run() -> None:
                await trainer.arun(on_interrupt=wish)

            group.start_soon(run)
            await arrived.wait()
            group.cancel_scope.cancel()
    await require_dirty_end(trainer, endless, wish, clock)


# --- while it is looked for ------------------------------------------------------------------------------------------


async def require_dirty_end(trainer: LLMFinetune, emulator: Emulator, wish: str, clock: EventfulClock) -> None:
    """An order of unknown fate is left; who goes on with the run finds its task, and stops it if that was asked for."""
    facts = await facts_of(trainer)
    assert (facts["run_status"], facts["driven_by"]) == ("open", None)
    assert facts["wants_stop"] == (wish == "stop")
    assert [task.state for task in emulator.tasks.values()] == ["Running"]
    finish(emulator) if wish == "detach" else None
    loaded = await LLMFinetune.aload(trainer.id, client=client_for(clock))
    await loaded.aresume()
    if wish == "detach":
        require_one_of_each(emulator, loaded)
        assert orders(emulator) == ONE_OF_EACH
    else:
        assert [task.state for task in emulator.tasks.values()] == ["Stopped"]
        assert orders(emulator) == made(emulator) == {"job": 1, "task": 1, "model": 0, "service": 0}
        assert (await facts_of(loaded))["run_status"] == "cancelled"


@either_wish
@every_way
async def test_23_while_it_is_looked_for(wish: str, cancelling: Cancelling, endless: Emulator) -> None:
    """Looking is no reason to stay."""
    wish = "stop" if cancelling is by_its_stop else wish
    clock = HeldClock(2.0)
    endless.faults.add(CREATE["task"], drop="after")
    endless.faults.add(LOOK["task"], times=2, status=503)
    trainer = new_trainer(client_for(clock, console_api_retry_count=1))
    with anyio.fail_after(20):
        await cancelling(trainer, clock.asleep, wish)
    assert endless.count(LOOK["task"]) == 2
    await require_dirty_end(trainer, endless, wish, EventfulClock())


@every_kind
async def test_23_while_what_cannot_be_stopped_is_looked_for(kind: str, emulator: Emulator) -> None:
    """A resume looks again, and orders nothing."""
    clock = HeldClock(2.0)
    emulator.faults.add(CREATE[kind], drop="after")
    emulator.faults.add(LOOK[kind], times=2, status=503)
    trainer, heard = new_trainer(client_for(clock, console_api_retry_count=1)), Heard()
    with anyio.fail_after(20):
        await by_its_scope(trainer, clock.asleep, "detach")
    loaded = await LLMFinetune.aload(trainer.id, client=client_for(EventfulClock()), event_handler=heard)
    await loaded.aresume()
    require_one_of_each(emulator, loaded)
    assert orders(emulator) == ONE_OF_EACH
    assert heard.of("adopted") == [{kind: trained_by(loaded)[kind]}]
