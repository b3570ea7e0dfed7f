"""Runs in a journal: begun, gone on with, followed, stopped, decided about and forgotten."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from trio.testing import MockClock

from qianfan._sync import in_thread
from qianfan.errors import (
    AuthError,
    InternalError,
    InvalidArgumentError,
    JournalWriteError,
    OutcomeUnknownError,
    PipelineChanged,
    RequestTimeoutError,
    RunBusyError,
    UnknownRunError,
)
from qianfan.journal import JournalRecord, SqliteJournal
from qianfan.pipeline import (
    Action,
    ActionState,
    Context,
    Event,
    EventHandler,
    Phase,
    Pipeline,
    Receipt,
    Row,
    Run,
    RunStatus,
    start,
)
from qianfan.pipeline._record import Claim
from tests.pipeline.shop import Answer, Shop, without_effect
from tests.support.clock import JumpClock

from .asking import INTENT, abandon, ask, claim, driven

pytestmark = pytest.mark.anyio


# --- what runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    id: str


@dataclass(frozen=True)
class Used:
    id: str


async def nothing(ctx: Context) -> None:
    """Be done at once."""


@dataclass
class World:
    """What the actions of a test touch. using: what the second one does."""

    clock: JumpClock
    using: Callable[[Context], Awaitable[object]] = nothing
    log: list[str] = field(default_factory=list[str])
    reached: anyio.Event = field(default_factory=anyio.Event)

    async def stay(self, ctx: Context) -> None:
        """Be at work until the run is stopped."""

        async def undo() -> None:
            self.log.append("undone")

        async with ctx.if_stopped(undo):
            self.reached.set()
            await anyio.sleep_forever()

    async def fail(self, ctx: Context) -> None:
        raise InternalError("it went wrong")

    async def keys_refused(self, ctx: Context) -> None:
        raise AuthError(1, "who are you?")


class Make(Action[Made]):
    name_of_it: str = "thing"

    async def run(self, ctx: Context) -> Made:
        ctx.client.log.append("make again" if ctx.dirty else "make")
        return Made(self.name_of_it)


class Use(Action[Used]):
    async def run(self, made: Made, ctx: Context) -> Used:
        ctx.client.log.append("use again" if ctx.dirty else "use")
        await ctx.client.using(ctx)
        return Used(made.id)

    async def recall(self, ctx: Context) -> None:
        ctx.client.log.append("recall")
        await ctx.client.using(ctx)


class Buy(Action[str]):
    async def run(self, ctx: Context) -> str:
        return (await ctx.purchases.ensure(ctx.client.thing())).id


class Keep(EventHandler):
    """Keeps what it hears, under a name that it keeps in every process."""

    def __init__(self, consumer: str = "keeper") -> None:
        self.consumer = consumer
        self.heard: list[Event] = []

    async def dispatch(self, event: Event) -> None:
        self.heard.append(event)

    @property
    def numbers(self) -> list[int]:
        return [event.sequence for event in self.heard]


@pytest.fixture
def world(clock: JumpClock) -> World:
    return World(clock)


def pipeline(**of_make: Any) -> Pipeline:
    return Pipeline([Make(id="make", **of_make), Use(id="use")], id="p")


def begin(journal: SqliteJournal, world: World, *handlers: Any, action: Any = None, **settings: Any) -> Any:
    """Start run `r`."""
    settings = {"journal": journal, "run_id": "r", "client": world, "clock": world.clock, **settings}
    return start(action or pipeline(), *handlers, **settings)


async def go(journal: SqliteJournal, world: World, *handlers: Any, **settings: Any) -> Run[Any]:
    """Run `r` to its end."""
    async with begin(journal, world, *handlers, **settings) as flight:
        pass
    return flight


async def detached(journal: SqliteJournal, world: World, *handlers: Any, **settings: Any) -> None:
    """Begin with run `r`, and leave it in the middle of the second action."""
    world.using = world.stay
    async with begin(journal, world, *handlers, **settings) as flight:
        await world.reached.wait()
        flight.stop("detach")
    world.using = nothing


async def status(journal: SqliteJournal) -> RunStatus:
    return (await journal.run("r")).status


async def phases(journal: SqliteJournal) -> dict[str, str]:
    return dict(await ask(journal, "SELECT node, phase FROM node WHERE run='r'"))  # type: ignore[arg-type]


# --- one run under one id ------------------------------------------------------------------------------------------


async def test_a_run_is_begun_and_then_only_looked_up(journal: SqliteJournal, world: World) -> None:
    first = await go(journal, world, spec={"name": "mine"})
    assert first.output["use"] == Used("thing")
    assert world.log == ["make", "use"]
    facts = await journal.run("r")
    assert (facts.id, facts.spec, facts.status, facts.driven_by) == ("r", {"name": "mine"}, RunStatus.DONE, None)
    assert {node.node: node.row.phase for node in facts.nodes} == {"make": Phase.DONE, "use": Phase.DONE}
    handler = Keep()
    again = await go(journal, world, handler)
    assert again.output["make"] == Made("thing")
    assert again.output["use"] == Used("thing")
    assert again.id == "r"
    assert world.log == ["make", "use"]
    assert handler.heard == []


async def test_an_interrupted_run_is_gone_on_with(journal: SqliteJournal, world: World) -> None:
    await detached(journal, world)
    assert await status(journal) is RunStatus.OPEN
    assert await phases(journal) == {"make": "done", "use": "started"}
    flight = await go(journal, world)
    assert flight.output["use"] == Used("thing")
    assert world.log == ["make", "use", "use again"]
    assert await ask(journal, "SELECT attempt FROM node WHERE node='use'") == [(2,)]
    assert await status(journal) is RunStatus.DONE


async def test_a_run_whose_process_died_is_gone_on_with(path: Path, clock: JumpClock) -> None:
    dying, world = SqliteJournal(path, clock=clock), World(clock)

    async def die(ctx: Context) -> None:
        await in_thread(abandon, dying)

    world.using = die
    with pytest.raises(Exception, match="is closed already"):
        await go(dying, world)
    world.using = nothing
    journal = SqliteJournal(path, clock=clock)
    assert (await go(journal, world)).output["use"] == Used("thing")
    assert world.log == ["make", "use", "use again"]
    journal.close()


async def test_a_run_that_failed_is_begun_again_where_it_failed(journal: SqliteJournal, world: World) -> None:
    world.using = world.fail
    for _ in range(2):
        with pytest.raises(InternalError, match="it went wrong"):
            await go(journal, world)
        assert await status(journal) is RunStatus.FAILED
        assert await phases(journal) == {"make": "done", "use": "failed"}
    [(error,)] = await ask(journal, "SELECT error FROM node WHERE node='use'")
    assert json.loads(error)["message"] == "it went wrong"
    world.using = nothing
    await go(journal, world)
    assert await status(journal) is RunStatus.DONE
    assert world.log == ["make", "use", "use again", "use again"]


async def test_refused_keys_only_interrupt(journal: SqliteJournal, world: World) -> None:
    world.using = world.keys_refused
    with pytest.raises(AuthError):
        await go(journal, world)
    assert await status(journal) is RunStatus.OPEN
    assert (await journal.run("r")).driven_by is None
    world.using = nothing
    await go(journal, world)
    assert world.log == ["make", "use", "use again"]


async def test_a_second_start_in_the_same_process_follows(journal: SqliteJournal, world: World) -> None:
    is_open, elsewhere = anyio.Event(), []
    driver, follower = Keep("driver"), Keep("follower")

    async def wait(ctx: Context) -> None:
        world.reached.set()
        await is_open.wait()

    async def follow() -> None:
        async with begin(journal, world, follower) as flight:
            while not flight.is_driven_elsewhere:
                await anyio.lowlevel.checkpoint()
            is_open.set()
        elsewhere.append(flight)

    world.using = wait
    async with anyio.create_task_group() as group, begin(journal, world, driver) as flight:
        await world.reached.wait()
        group.start_soon(follow)
    [followed] = elsewhere
    assert world.log == ["make", "use"]
    assert followed.output["use"] == flight.output["use"] == Used("thing")
    kept = [event.sequence for event in await journal.events("r")]
    assert follower.numbers == [number for number in kept if number >= follower.numbers[0]]
    assert follower.heard[-1].action_class is Pipeline
    assert follower.heard[-1].action_state is ActionState.Done
    assert driver.numbers == list(range(len(driver.numbers)))


@pytest.mark.parametrize("end", ["failed", "stopped", "left"])
async def test_one_who_follows_sees_every_end(end: str, journal: SqliteJournal, world: World) -> None:
    is_open, follows = anyio.Event(), anyio.Event()
    caught: list[BaseException] = []
    followed: list[Run[Any]] = []

    async def wait(ctx: Context) -> None:
        if ctx.dirty and end == "left":
            return
        world.reached.set()
        await is_open.wait()
        if end == "failed":
            await world.fail(ctx)
        await anyio.sleep_forever()

    async def follow() -> None:
        try:
            async with begin(journal, world) as flight:
                followed.append(flight)
                while not flight.is_driven_elsewhere:
                    await anyio.lowlevel.checkpoint()
                follows.set()
        except InternalError as error:
            caught.append(error)

    world.using = wait
    async with anyio.create_task_group() as group:
        try:
            async with begin(journal, world) as flight:
                await world.reached.wait()
                group.start_soon(follow)
                await follows.wait()
                is_open.set()
                if end != "failed":
                    flight.stop("stop" if end == "stopped" else "detach")
        except InternalError as error:
            caught.append(error)
    if end == "failed":
        assert [str(error) for error in caught] == ["it went wrong"] * 2
        assert [type(error) for error in caught] == [InternalError] * 2
    else:
        assert caught == []
        assert followed[0].stopped is (end == "stopped")
    if end == "left":
        assert followed[0].output["use"] == Used("thing"), "nobody drove it any longer, so the follower did"
        assert world.log == ["make", "use", "use again"]


async def test_changed_parameters_are_refused(journal: SqliteJournal, world: World) -> None:
    await detached(journal, world)
    before = list(world.log)
    changed = [
        pipeline(name_of_it="other"),
        Pipeline([Make(id="made", name_of_it="thing"), Use(id="use")], id="p"),
        Pipeline([Make(id="make")], id="p"),
    ]
    for action in changed:
        with pytest.raises(PipelineChanged, match="'r' began with other actions or parameters"):
            await go(journal, world, action=action)
        with pytest.raises(PipelineChanged):
            await go(journal, world, action=action, renew="unfinished")
    assert world.log == before
    assert await phases(journal) == {"make": "done", "use": "started"}
    await go(journal, world)
    with pytest.raises(PipelineChanged):
        await go(journal, world, action=changed[0])
    flight = await go(journal, world, action=changed[0], renew="everything")
    assert flight.output["use"] == Used("other")
    with pytest.raises(PipelineChanged):
        await go(journal, world)


@pytest.mark.parametrize(
    ("renew", "keep", "again", "generations"),
    [
        ("unfinished", (), ["use again"], {"make": 0, "use": 1}),
        ("everything", (), ["make again", "use again"], {"make": 1, "use": 1}),
        ("everything", ("make",), ["use again"], {"make": 0, "use": 1}),
    ],
)
async def test_beginning_anew_on_purpose(
    renew: Any, keep: Any, again: list[str], generations: dict[str, int], journal: SqliteJournal, world: World
) -> None:
    await detached(journal, world)
    before = len(world.log)
    await go(journal, world, renew=renew, keep=keep)
    assert world.log[before:] == again
    assert dict(await ask(journal, "SELECT node, gen FROM node")) == generations  # type: ignore[arg-type]


async def test_a_finished_run_begins_anew_only_as_a_whole(journal: SqliteJournal, world: World) -> None:
    await go(journal, world)
    await go(journal, world, renew="unfinished")
    assert world.log == ["make", "use"]
    await go(journal, world, renew="everything")
    assert world.log == ["make", "use", "make again", "use again"]


# --- events --------------------------------------------------------------------------------------------------------


async def test_events_are_numbered_through_all_attempts(journal: SqliteJournal, world: World) -> None:
    handler = Keep()
    await detached(journal, world, handler)
    await detached(journal, world, handler)
    await go(journal, world, handler)
    assert handler.numbers == list(range(len(handler.numbers)))
    kept = await journal.events("r")
    assert [event.sequence for event in kept] == handler.numbers
    assert [event.action_state for event in kept] == [event.action_state for event in handler.heard]
    assert [event.description for event in kept] == [event.description for event in handler.heard]
    assert {event.run_id for event in kept} == {"r"}
    assert [event.sequence for event in await journal.events("r", after=3)] == handler.numbers[4:]
    recent = (await journal.run("r")).recent
    assert [event.sequence for event in recent] == handler.numbers[: -len(recent) - 1 : -1]


class Stuck(Keep):
    """Hears some events and then hangs, as a process that is killed in the middle of one would leave it."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    async def dispatch(self, event: Event) -> None:
        if len(self.heard) == self.after:
            await anyio.sleep_forever()
        await super().dispatch(event)


@pytest.mark.parametrize("after", [0, 1, 4])
async def test_what_a_handler_missed_comes_first_in_the_next_attempt(
    after: int, journal: SqliteJournal, world: World
) -> None:
    stuck, handler, other = Stuck(after), Keep(), Keep("other")
    await detached(journal, world, stuck, handler_grace=0)
    await go(journal, world, handler, other)
    kept = [event.sequence for event in await journal.events("r")]
    # The cursor may be behind what was told, never ahead of it.
    assert handler.numbers[0] <= after
    assert handler.numbers == [number for number in kept if number >= handler.numbers[0]]
    assert handler.heard[0].action_class in (Pipeline, Make, Use)
    assert other.numbers[0] > kept[0], "a handler that the run has not met hears what happens from now on"


async def test_a_handler_that_has_heard_all_hears_nothing_twice(journal: SqliteJournal, world: World) -> None:
    handler = Keep()
    await detached(journal, world, handler)
    again = Keep()
    await go(journal, world, again)
    assert handler.numbers + again.numbers == list(range(len(await journal.events("r"))))


async def test_a_change_and_its_event_are_one(journal: SqliteJournal, world: World) -> None:
    """An event that cannot be written takes the change with it, here because its number is taken."""
    record = await driven(journal, fingerprint="f")
    event = Event(Make, "make", ActionState.Preceding, run_id="r", sequence=5)
    await ask(journal, "INSERT INTO event VALUES('r', 5, 'make', 'Running', ?, 0)", '{"state": "Running"}')
    for _ in range(2):
        with pytest.raises(JournalWriteError):
            await record.write({"make": Row(Phase.STARTED)}, event, status=RunStatus.DONE)
    assert await phases(journal) == {}
    assert "make" not in record.rows
    assert await status(journal) is RunStatus.OPEN
    await record.write({"make": Row(Phase.STARTED)}, Event(Make, "make", run_id="r", sequence=6))
    assert await phases(journal) == {"make": "started"}


async def test_progress_is_kept_at_most_once_a_minute(journal: SqliteJournal, world: World) -> None:
    """And what happens besides is kept whenever it happens."""
    handler = Keep()

    async def report(ctx: Context) -> None:
        for percent in range(100):
            ctx.report(f"{percent} %", progress=percent)
            await ctx.clock.sleep(2.0)

    world.using = report
    await go(journal, world, handler)
    assert len([event for event in handler.heard if event.action_id == "use" and event.progress is not None]) == 100
    kept = [event for event in await journal.events("r") if event.action_id == "use"]
    assert [event.progress for event in kept] == [None, 0, 30, 60, 90, None]
    assert [event.action_state for event in kept] == [
        ActionState.Preceding,
        *[ActionState.Running] * 4,
        ActionState.Done,
    ]


async def test_nothing_that_is_reported_can_end_a_run(journal: SqliteJournal, world: World) -> None:
    circle: list[Any] = []
    circle.append(circle)
    reported = [b"\xff\xfe", circle, object(), {1: {2: 3}}, "half a pair: \ud800", float("nan"), "x" * 100_000]

    async def report(ctx: Context) -> None:
        for data in reported:
            ctx.report("half a pair: \ud83d", data)
            await ctx.clock.sleep(61)

    world.using = report
    await go(journal, world)
    kept = [event.data for event in await journal.events("r") if event.kind == "Running" and event.action_id == "use"]
    assert kept[:5] == ["<bytes>", "<list>", "<object>", {"1": {"2": 3}}, "half a pair: \ud800"]
    assert kept[6]["left_out"] > 100_000
    assert len(kept) == len(reported)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_no_scope_holds_off_forgets_nothing(in_file: SqliteJournal) -> None:
    """What was queued is written, so the record knows it, and writes nothing of it a second time."""
    record = await driven(in_file)
    record.tell(Event(Pipeline, "p", ActionState.Running, "next", run_id="r", sequence=0))
    is_reached, is_open = threading.Event(), threading.Event()

    def gate(connection: sqlite3.Connection) -> None:
        is_reached.set()
        assert is_open.wait(60)

    in_file.writer.post(gate)
    await in_thread(is_reached.wait)
    writing = asyncio.create_task(
        record.write({"buy.job": INTENT}, Event(Make, "buy", ActionState.Preceding, run_id="r", sequence=1))
    )
    await anyio.wait_all_tasks_blocked()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    is_open.set()
    assert record.rows == {"buy.job": INTENT}
    await record.write({}, Event(Make, "buy", ActionState.Stopped, run_id="r", sequence=2))
    assert [event.sequence for event in await in_file.events("r")] == [0, 1, 2]


# --- stops ---------------------------------------------------------------------------------------------------------


async def test_a_stop_that_another_process_asks_for_is_heard(path: Path, journal: SqliteJournal, world: World) -> None:
    other = SqliteJournal(path) if journal.survives else journal
    ended_early: list[bool] = []

    async def work(ctx: Context) -> None:
        async def undo() -> None:
            world.log.append("undone")

        async with ctx.if_stopped(undo):
            world.reached.set()
            while True:
                await ctx.note(alive=True)
                await ctx.clock.sleep(1.0)

    world.using = work
    async with begin(journal, world) as flight:
        await world.reached.wait()
        facts = await other.request_stop("r")
        ended_early.append(flight.has_ended)
    assert facts.wants_stop
    assert ended_early == [False]
    assert flight.stopped
    assert world.log == ["make", "use", "undone"]
    assert await status(journal) is RunStatus.CANCELLED
    assert await phases(journal) == {"make": "done", "use": "cancelled"}
    assert not (await journal.run("r")).wants_stop
    assert not (await other.request_stop("r")).wants_stop, "a run that is over has nothing to stop"
    if other is not journal:
        other.close()


async def test_a_stop_is_asked_for_without_anything_to_write(journal: SqliteJournal, world: World) -> None:
    async def poll(ctx: Context) -> None:
        world.reached.set()
        while not await ctx.state.record.is_stop_wanted():
            await ctx.clock.sleep(1.0)
        await anyio.sleep_forever()

    world.using = poll
    async with begin(journal, world) as flight:
        await world.reached.wait()
        await journal.request_stop("r")
    assert flight.stopped
    assert await status(journal) is RunStatus.CANCELLED


async def test_a_stop_of_a_run_that_nobody_drives_is_finished_by_the_next(journal: SqliteJournal, world: World) -> None:
    await detached(journal, world)
    assert (await journal.request_stop("r")).wants_stop
    handler = Keep()
    flight = await go(journal, world, handler)
    assert flight.stopped
    assert world.log == ["make", "use", "recall"]
    assert await status(journal) is RunStatus.CANCELLED
    assert [event.action_state for event in handler.heard] == [ActionState.Preceding, ActionState.Stopped]
    await go(journal, world)
    assert world.log == ["make", "use", "recall", "use again"], "begun again on purpose, and not stopped once more"


async def test_a_stop_that_a_crash_interrupted_is_repeated(path: Path, clock: JumpClock, world: World) -> None:
    dying, trouble = SqliteJournal(path, clock=clock), [InternalError("the platform does not answer")]
    await detached(dying, world)
    record = await driven(dying, fingerprint=await _fingerprint(dying))
    await record.mark_cancelled("stop")
    await in_thread(abandon, dying)

    async def first_fail(ctx: Context) -> None:
        if trouble:
            raise trouble.pop()

    journal = SqliteJournal(path, clock=clock)
    world.using = first_fail
    with pytest.raises(InternalError, match="does not answer"):
        await go(journal, world)
    facts = await journal.run("r")
    assert (facts.status, facts.wants_stop) == (RunStatus.OPEN, True)
    assert (await go(journal, world)).stopped
    assert world.log[-2:] == ["recall", "recall"]
    assert await status(journal) is RunStatus.CANCELLED
    journal.close()


async def _fingerprint(journal: SqliteJournal) -> str:
    [(found,)] = await ask(journal, "SELECT fingerprint FROM run WHERE id='r'")
    return str(found)


# --- decisions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(clock: JumpClock) -> Shop:
    return Shop(clock)


async def buy(journal: SqliteJournal, shop: Shop, run_id: str = "r", **settings: Any) -> str:
    async with start(
        Buy(id="buy"), journal=journal, run_id=run_id, client=shop, clock=shop.clock, **settings
    ) as flight:
        pass
    return str(flight.output)


async def held(journal: SqliteJournal, shop: Shop, *run_ids: str) -> None:
    """Runs whose orders got no answer and did not show up."""
    for run_id in run_ids:
        shop.answers.append(without_effect(RequestTimeoutError("no answer")))
        with pytest.raises(OutcomeUnknownError) as caught:
            await buy(journal, shop, run_id)
        assert (caught.value.run_id, caught.value.node) == (run_id, "buy.thing")
        facts = await journal.run(run_id)
        assert (facts.status, facts.driven_by) == (RunStatus.HELD, None)
        assert facts.rows["buy.thing"].phase is Phase.UNCERTAIN


async def test_a_held_run_is_held_again_and_nothing_is_sent(journal: SqliteJournal, shop: Shop) -> None:
    await held(journal, shop, "r")
    with pytest.raises(OutcomeUnknownError):
        await buy(journal, shop)
    assert len(shop.sent) == 1
    assert [event.kind for event in await journal.events("r")].count("needs_decision") == 2


async def test_deciding_to_adopt(journal: SqliteJournal, shop: Shop) -> None:
    await held(journal, shop, "r")
    assert await journal.decide(["r"], adopt="t-found") == ["r"]
    facts = await journal.run("r")
    assert (facts.status, facts.rows["buy.thing"].external_id) == (RunStatus.OPEN, "t-found")
    assert facts.recent[0].kind == "decided"
    assert facts.recent[0].description == "decided about buy.thing: adopt t-found"
    assert await buy(journal, shop) == "t-found"
    assert len(shop.sent) == 1


async def test_deciding_to_order_again_for_many_at_once(journal: SqliteJournal, shop: Shop) -> None:
    await held(journal, shop, "r", "q", "s")
    assert await journal.decide(["r", "q"], resubmit=True) == ["r", "q"]
    assert await buy(journal, shop, "r") == "t1"
    assert await buy(journal, shop, "q") == "t2"
    assert (await journal.run("s")).status is RunStatus.HELD
    tokens = [sent["token"] for sent in shop.sent]
    assert tokens[3:] == tokens[:2], "the same order once more"


async def test_deciding_to_give_up(journal: SqliteJournal, shop: Shop) -> None:
    await held(journal, shop, "r")
    assert await journal.decide(["r"], "buy.thing", fail=True) == []
    assert await status(journal) is RunStatus.FAILED
    with pytest.raises(OutcomeUnknownError, match="given up by decision"):
        await buy(journal, shop)
    assert len(shop.sent) == 1
    assert await status(journal) is RunStatus.FAILED
    assert await buy(journal, shop, renew="unfinished") == "t1"
    assert shop.sent[0]["token"] != shop.sent[1]["token"], "a new order on purpose"


async def test_what_cannot_be_decided(journal: SqliteJournal, shop: Shop) -> None:
    await held(journal, shop, "r", "q")
    shop.answers.append(Answer())
    await buy(journal, shop, "fine")
    for wrong in ({}, {"adopt": "t1", "fail": True}, {"resubmit": True, "fail": True}):
        with pytest.raises(InvalidArgumentError, match="exactly one"):
            await journal.decide(["r"], **wrong)
    with pytest.raises(InvalidArgumentError, match="for one run only"):
        await journal.decide(["r", "q"], adopt="t1")
    with pytest.raises(InvalidArgumentError, match=r"has no order 'buy\.box'"):
        await journal.decide(["r"], "buy.box", resubmit=True)
    with pytest.raises(UnknownRunError, match="no run 'nowhere'"):
        await journal.decide(["r", "nowhere"], resubmit=True)
    with pytest.raises(InvalidArgumentError, match="has no order None"):
        await journal.decide(["r", "fine"], resubmit=True)
    assert (await journal.run("r")).status is RunStatus.HELD, "all of several runs or none"
    await claim(journal, "q", fingerprint=(await ask(journal, "SELECT fingerprint FROM run WHERE id='q'"))[0][0])
    with pytest.raises(RunBusyError, match="driven by this process"):
        await journal.decide(["q"], resubmit=True)


async def test_a_held_run_can_be_stopped_instead(journal: SqliteJournal, shop: Shop) -> None:
    await held(journal, shop, "r")
    assert (await journal.request_stop("r")).status is RunStatus.OPEN
    async with start(Buy(id="buy"), journal=journal, run_id="r", client=shop, clock=shop.clock) as flight:
        pass
    assert flight.stopped
    assert len(shop.sent) == 1


# --- in and out ------------------------------------------------------------------------------------------------------


async def test_only_what_has_ended_is_forgotten(journal: SqliteJournal, world: World, shop: Shop) -> None:
    for run_id, using in {"done": nothing, "failed": world.fail}.items():
        world.using = using
        with suppress(InternalError):
            await go(journal, world, Keep(), run_id=run_id)
    await detached(journal, world, Keep(), run_id="open")
    await held(journal, shop, "held")
    await journal.request_stop((await _cancelled(journal, world)).id)
    assert await journal.prune(timedelta(days=1)) == 0
    assert await journal.prune(timedelta(seconds=-60)) == 3
    assert {facts.id for facts in await journal.runs()} == {"open", "held"}
    for table in ("node", "event", "cursor"):
        left = {run for [run] in await ask(journal, f"SELECT DISTINCT run FROM {table}")}
        assert left <= {"open", "held"}
        assert "open" in left
    with pytest.raises(UnknownRunError):
        await journal.run("done")


async def _cancelled(journal: SqliteJournal, world: World) -> Run[Any]:
    world.using, world.reached = world.stay, anyio.Event()
    async with begin(journal, world, run_id="cancelled") as flight:
        await world.reached.wait()
        flight.stop()
    return flight


async def test_old_runs_are_known_by_when_they_were_last_touched(path: Path, world: World) -> None:
    clock = WallClock()
    journal = SqliteJournal(path, clock=clock)
    for run_id in ("old", "new"):
        await go(journal, world, run_id=run_id)
        clock.now += timedelta(days=10)
    [new, old] = await journal.runs(statuses=[RunStatus.DONE])
    assert (new.id, old.id) == ("new", "old")
    assert new.updated - old.updated == timedelta(days=10)
    assert await journal.runs(statuses=[RunStatus.OPEN, RunStatus.HELD]) == []
    assert await journal.prune(timedelta(days=15)) == 1
    assert [facts.id for facts in await journal.runs()] == ["new"]
    journal.close()


async def test_memory_holds_so_many_ended_runs_and_all_others(world: World) -> None:
    journal = SqliteJournal()
    for number in range(1002):
        await journal.put(f"r{number}", spec={}, fingerprint="f", rows={"a": Row(Phase.DONE)})
    assert (await ask_to_drive(journal, "first")).record is not None
    assert (await ask_to_drive(journal, "second")).record is not None
    assert [len(await journal.runs(statuses=[status])) for status in (RunStatus.OPEN, RunStatus.CANCELLED)] == [2, 1000]
    assert await ask(journal, "SELECT count(*) FROM node") == [(1000,)]
    journal.close()


async def ask_to_drive(journal: SqliteJournal, run_id: str) -> Claim:
    return await journal.claim(run_id, spec={}, fingerprint="f", kinds={})


class WallClock(JumpClock):
    """A clock whose date a test sets."""

    now = datetime(2024, 1, 1, tzinfo=timezone.utc)

    def wall(self) -> datetime:
        return self.now


async def test_a_run_that_was_known_elsewhere_is_brought_in_once(journal: SqliteJournal, world: World) -> None:
    await go(journal, world, run_id="other")
    [(known,)] = await ask(journal, "SELECT fingerprint FROM run")
    rows = {"make": Row(Phase.DONE, attempt=1, output={"id": "elsewhere"}, at=1.0)}
    assert await journal.put("r", spec={"from": "a file"}, fingerprint=known, rows=rows)
    assert not await journal.put("r", spec={}, fingerprint="x", rows={})
    facts = await journal.run("r")
    assert (facts.spec, facts.status, facts.rows) == ({"from": "a file"}, RunStatus.CANCELLED, rows)
    world.log.clear()
    flight = await go(journal, world)
    assert flight.output["use"] == Used("elsewhere")
    assert world.log == ["use"]


async def test_every_column_of_a_row_comes_back(journal: SqliteJournal) -> None:
    row = Row(
        Phase.UNCERTAIN,
        gen=2,
        attempt=3,
        token="abc",
        request={"name": "任务", "nested": [1, None, {"a": True}]},
        request_hash="h",
        external_id="t-1",
        output={"facts": ["x"]},
        error={"type": "InternalError", "message": "m", "facts": {}},
        retiring=2,
        progress={"notes": {"a": 1}},
        at=1.5,
    )
    record = await driven(journal)
    await record.write({"buy.thing": row, "buy": Row(Phase.STARTED)})
    assert (await journal.run("r")).rows == {"buy.thing": row, "buy": Row(Phase.STARTED)}
    await record.release()
    again = await driven(journal)
    assert again.rows == {"buy.thing": row, "buy": Row(Phase.STARTED)}
    assert isinstance(again, JournalRecord)
    assert again.rows["buy.thing"].with_(phase=Phase.ACCEPTED).external_id == Receipt("t-1").id


async def test_an_unknown_run_is_said(journal: SqliteJournal) -> None:
    for asked in (
        journal.run("nowhere"),
        journal.glance("nowhere", after=-1, kinds={}),
        journal.request_stop("nowhere"),
    ):
        with pytest.raises(UnknownRunError, match="'nowhere'"):
            await asked
    assert await journal.events("nowhere") == []


# --- long ------------------------------------------------------------------------------------------------------------


class LoopClock:
    """The time of the event loop."""

    def monotonic(self) -> float:
        return anyio.current_time()

    def wall(self) -> datetime:
        return datetime.fromtimestamp(anyio.current_time(), timezone.utc)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class Poll(Action[int]):
    """Looks every 30 seconds for two days."""

    async def run(self, ctx: Context) -> int:
        until, looks = ctx.clock.monotonic() + 48 * 3600, 0
        while ctx.clock.monotonic() < until:
            looks += 1
            ctx.report(f"look {looks}")
            await ctx.clock.sleep(30)
        return looks


@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
async def test_two_days_of_polling() -> None:
    """The loop's clock jumps, so they pass in seconds; nothing here may use a thread."""
    journal = SqliteJournal(clock=LoopClock())
    seen: list[int] = []
    async with start(
        Poll(id="poll"), journal=journal, run_id="r", clock=LoopClock(), on_event=lambda event: seen.append(1)
    ) as flight:
        pass
    assert flight.output == 2 * 24 * 60 * 2
    assert len(seen) == flight.output + 2
    kept = await journal.events("r")
    assert len(kept) == flight.output / 2 + 2, "a poll is no record, and progress is one a minute"
    assert kept[-1].timestamp - kept[0].timestamp == timedelta(hours=48)
    journal.close()
