"""Row 17: event handlers that raise, dawdle, cancel themselves or leave the program. The run goes on regardless."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anyio
import pytest

from qianfan.emulator import Emulator
from qianfan.pipeline import ActionState, Event, EventHandler
from tests.faults.support import (
    ONE_OF_EACH,
    EventfulClock,
    Heard,
    client_for,
    facts_of,
    kept_kinds,
    new_trainer,
    orders,
    require_one_of_each,
)

pytestmark = pytest.mark.anyio


async def raising(event: Event) -> None:
    raise RuntimeError("handler trouble")


def raising_in_a_thread(event: Event) -> None:
    raise RuntimeError("handler trouble")


async def cancelling_itself(event: Event) -> None:
    kept: list[BaseException] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class() as error:
            kept.append(error)
            raise
    raise kept.pop()


async def cancelled_by_asyncio(event: Event) -> None:
    raise asyncio.CancelledError


def cancelled_by_asyncio_in_a_thread(event: Event) -> None:
    raise asyncio.CancelledError


async def leaving(event: Event) -> None:
    sys.exit(3)


def leaving_in_a_thread(event: Event) -> None:
    sys.exit(3)


class Broken(EventHandler):
    """Not even what it looks like."""

    def dispatch(self, event: Event) -> Any:
        return self._later(event)

    async def _later(self, event: Event) -> None:
        raise KeyError(event.sequence)


BAD = [
    raising,
    raising_in_a_thread,
    cancelling_itself,
    cancelled_by_asyncio,
    cancelled_by_asyncio_in_a_thread,
    leaving,
    leaving_in_a_thread,
    Broken(),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: getattr(bad, "__name__", "Broken"))
async def test_17_a_handler_that_fails_fails_alone(bad: Any, emulator: Emulator, clock: EventfulClock) -> None:
    """It is called for every event all the same, those beside it hear everything, and its failure is told once."""
    before, after = Heard(), Heard()
    trainer = await new_trainer(client_for(clock), before, bad, after).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert before.events == after.events
    assert after.events[-1].action_state is ActionState.Done
    before.require_order()
    [told] = after.of("handler_error")
    name = getattr(bad, "__qualname__", type(bad).__qualname__)
    assert told["handler"] == f"{__name__}.{name}"
    assert (await kept_kinds(trainer))["handler_error"] == 1
    assert (await facts_of(trainer))["run_status"] == "done"


async def test_17_all_of_them_together(emulator: Emulator, clock: EventfulClock) -> None:
    heard = Heard()
    trainer = await new_trainer(client_for(clock), *BAD, heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    heard.require_order()
    assert len({told["handler"] for told in heard.of("handler_error")}) == len(BAD)


async def test_17_a_handler_that_fails_once_hears_the_rest(emulator: Emulator, clock: EventfulClock) -> None:
    heard = Heard()

    async def stumbling(event: Event) -> None:
        await heard.dispatch(event)
        if len(heard.events) == 3:
            raise RuntimeError("once")

    trainer = await new_trainer(client_for(clock), stumbling).arun()
    require_one_of_each(emulator, trainer)
    heard.require_order()
    assert [event.sequence for event in heard.events] == list(range(len(heard.events)))
    assert len(heard.of("handler_error")) == 1


@pytest.mark.parametrize("in_thread", [True, False])
async def test_17_a_slow_handler_delays_nobody(in_thread: bool, emulator: Emulator, clock: EventfulClock) -> None:
    """It is stuck at its first event until the run has ordered everything; then it hears the rest, in order."""
    go_on, slow, quick = anyio.Event(), Heard(), Heard()

    async def dawdle(event: Event) -> None:
        await go_on.wait()
        await slow.dispatch(event)

    def dawdle_in_a_thread(event: Event) -> None:
        anyio.from_thread.run(dawdle, event)

    async def watch(event: Event) -> None:
        await quick.dispatch(event)
        if event.action_id == trainer.ppls[0].id and event.action_state is ActionState.Done:
            assert slow.events == []
            assert orders(emulator) == ONE_OF_EACH
            go_on.set()

    handler = dawdle_in_a_thread if in_thread else dawdle
    trainer = new_trainer(client_for(clock), handler, watch)
    await trainer.arun()
    require_one_of_each(emulator, trainer)
    assert slow.events == quick.events
    slow.require_order()


async def test_17_a_handler_that_is_heard_by_nobody_else(emulator: Emulator, clock: EventfulClock) -> None:
    """Its failures do not feed on themselves: the event that tells of one fails it again, and that is not told."""
    trainer = await new_trainer(client_for(clock), raising).arun()
    require_one_of_each(emulator, trainer)
    assert (await kept_kinds(trainer))["handler_error"] == 1


async def test_17_a_failing_handler_can_be_made_to_count(emulator: Emulator, clock: EventfulClock) -> None:
    """With handler_errors="raise" it ends the run; the run goes on with the next resume, and orders nothing twice."""
    trainer = new_trainer(client_for(clock))

    async def when_it_trains(event: Event) -> None:
        if event.progress is not None:
            raise RuntimeError("stop here")

    trainer.register_event_handler(when_it_trains)
    with pytest.raises(RuntimeError, match="stop here"):
        await trainer.arun(handler_errors="raise")
    assert orders(emulator)["task"] == 1
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH


async def test_17_a_handler_that_gives_up_during_a_cancellation(emulator: Emulator, clock: EventfulClock) -> None:
    """A handler that is still at work when its run is cancelled is not waited for without end."""
    emulator.training.script(after_looks=float("inf"))
    training = anyio.Event()

    async def stuck(event: Event) -> None:
        if event.progress is not None:
            training.set()
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            raise RuntimeError("too late")

    trainer = new_trainer(client_for(clock), stuck)
    async with anyio.create_task_group() as group:
        group.start_soon(trainer.arun)
        await training.wait()
        group.cancel_scope.cancel()
    assert (await facts_of(trainer))["run_status"] == "open"
    assert [task.state for task in emulator.tasks.values()] == ["Running"]
