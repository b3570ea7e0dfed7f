"""Runs: what actions get, what events tell, how failures, retries, stops and cancellations end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import Field

from qianfan._retry import RetryPolicy
from qianfan._sync import run_sync
from qianfan.errors import ActionTimeoutError, InternalError
from qianfan.journal import SqliteJournal
from qianfan.pipeline import (
    Action,
    ActionState,
    BaseAction,
    Context,
    Event,
    EventHandler,
    Phase,
    Pipeline,
    RunRecord,
    event_being_handled,
    run,
    start,
    with_event,
)

from .steps import Boom, Collect, Data, Flaky, Gate, Job, Load, Remote, Train, Verdict

pytestmark = pytest.mark.anyio


async def test_a_chain_tells_everything_in_order() -> None:
    handler = Collect()
    load, train, gate = Load(), Train(epochs=3), Gate()
    pipeline = Pipeline([load, train, gate])
    made = await run(pipeline, handler)
    assert made[train] == Job("ds/3")
    assert made[gate] == Verdict(True)
    assert handler.told() == [
        ("Pipeline", "Preceding"),
        ("Pipeline", "Running"),
        ("Load", "Preceding"),
        ("Load", "Done"),
        ("Pipeline", "Running"),
        ("Train", "Preceding"),
        ("Train", "Running"),
        ("Train", "Done"),
        ("Pipeline", "Running"),
        ("Gate", "Preceding"),
        ("Gate", "Done"),
        ("Pipeline", "Done"),
    ]
    events = handler.events
    assert [event.sequence for event in events] == list(range(len(events)))
    assert events[0].data == {}
    assert events[1].data == {"action": load.id}
    assert events[6].progress == 50
    assert events[-1].data == Verdict(True)
    assert len({event.run_id for event in events}) == 1


async def test_events_can_be_read_as_a_stream() -> None:
    async with start(Pipeline([Load(), Train()])) as flight:
        seen = [event.action_state async for event in flight.events if event.action_class is Train]
    assert seen == [ActionState.Preceding, ActionState.Running, ActionState.Done]
    assert len(flight.output) == 2


async def test_a_single_action_runs_alone() -> None:
    assert await run(Load(data="alone")) == Data("alone")


async def test_a_failure_comes_out_as_itself_and_is_told_by_action_and_pipeline() -> None:
    handler = Collect()
    with pytest.raises(ValueError, match="boom") as caught:
        await run(Pipeline([Load(), Boom()]), handler)
    assert caught.value.__cause__ is None
    errors = [event for event in handler.events if event.action_state is ActionState.Error]
    assert [event.action_class.__name__ for event in errors] == ["Boom", "Pipeline"]
    assert [event.data for event in errors] == [{"error": "boom"}] * 2
    assert all(event.exception is caught.value for event in errors)


async def test_a_reader_of_the_stream_sees_the_error_events_before_the_error() -> None:
    seen: list[ActionState] = []
    with pytest.raises(ValueError, match="boom"):
        async with start(Pipeline([Load(), Boom()])) as flight:
            async for event in flight.events:
                seen.append(event.action_state)
    assert seen[-1] is ActionState.Error


async def test_a_failure_stops_siblings_and_undoes_their_remote_work() -> None:
    handler, log = Collect(), []
    with pytest.raises(ValueError, match="boom"):
        await run(Pipeline([Load(), Remote(log=log), Boom()], overlap=True), handler, on_cancel="detach")
    assert log == ["stopped remotely"]
    last = {event.action_class.__name__: event.action_state.value for event in handler.events}
    assert last == {"Pipeline": "Error", "Load": "Done", "Remote": "Stopped", "Boom": "Error"}


class Meet(Action[Verdict]):
    """Ends only when a given number of its kind are at work at once."""

    meeting: Any
    size: int

    async def run(self, data: Data) -> Verdict:
        self.meeting["here"] += 1
        if self.meeting["here"] == self.size:
            self.meeting["all"].set()
        await self.meeting["all"].wait()
        return Verdict(True)


async def test_actions_that_need_not_wait_for_each_other_overlap() -> None:
    meeting = {"here": 0, "all": anyio.Event()}
    actions = [Meet(meeting=meeting, size=3) for _ in range(3)]
    with anyio.fail_after(5):
        made = await run(Pipeline([Load(), *actions], overlap=True))
    assert all(made[action] == Verdict(True) for action in actions)


async def test_retries_are_told_and_end_well() -> None:
    handler = Collect()
    flaky = Flaky(fails=2, retry=RetryPolicy(attempts=3, wait_initial=0))
    made = await run(Pipeline([Load(), flaky]), handler)
    assert made[flaky] == Job("ok")
    assert handler.states("Flaky") == [
        ActionState.Preceding,
        ActionState.Running,
        ActionState.Running,
        ActionState.Done,
    ]


async def test_a_timeout_fails_the_action_and_undoes_its_work() -> None:
    handler, log = Collect(), []
    with pytest.raises(ActionTimeoutError, match="Remote"):
        await run(Pipeline([Load(), Remote(log=log, timeout=0.01)]), handler, on_cancel="detach")
    assert log == ["stopped remotely"]
    assert handler.states("Remote")[-1] is ActionState.Error


@pytest.mark.parametrize(("on_cancel", "undone"), [("stop", ["stopped remotely"]), ("detach", [])])
async def test_stop_ends_everything_with_stopped(on_cancel: Any, undone: list[str]) -> None:
    handler, log = Collect(), []
    async with start(Pipeline([Load(), Remote(log=log)]), handler) as flight:
        async for event in flight.events:
            if event.action_class is Remote and event.action_state is ActionState.Running:
                flight.stop(on_cancel)
    assert flight.stopped
    assert log == undone
    assert [event.action_class.__name__ for event in handler.events[-2:]] == ["Remote", "Pipeline"]
    assert [event.action_state for event in handler.events[-2:]] == [ActionState.Stopped] * 2
    with pytest.raises(InternalError, match="was stopped"):
        _ = flight.output


async def test_stop_after_the_end_changes_nothing() -> None:
    async with start(Load()) as flight:
        await flight.wait()
        flight.stop()
    assert not flight.stopped
    assert flight.output == Data("ds")


@pytest.mark.parametrize(("on_cancel", "undone"), [("stop", ["stopped remotely"]), ("detach", [])])
async def test_a_cancellation_from_outside_does_what_was_agreed(on_cancel: Any, undone: list[str]) -> None:
    handler, log, working = Collect(), [], anyio.Event()

    def notice(event: Event) -> None:
        if event.action_class is Remote and event.action_state is ActionState.Running:
            working.set()

    async def notice_async(event: Event) -> None:
        notice(event)

    async def go() -> None:
        await run(Pipeline([Load(), Remote(log=log)]), handler, notice_async, on_cancel=on_cancel)

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await working.wait()
        group.cancel_scope.cancel()
    assert log == undone
    assert handler.events[-1].action_state is ActionState.Stopped
    assert handler.events[-1].action_class is Pipeline


async def test_undoing_has_a_deadline() -> None:
    handler = Collect()

    class Deaf(Action[Verdict]):
        async def run(self, ctx: Context) -> Verdict:
            async with ctx.if_stopped(anyio.sleep_forever, grace=0.01):
                ctx.report("at work")
                await anyio.sleep_forever()
            raise AssertionError

    async with start(Deaf(), handler) as flight:
        async for event in flight.events:
            if event.action_state is ActionState.Running and "at work" in (event.description or ""):
                flight.stop()
    assert any("gave up undoing" in (event.description or "") for event in handler.events)


async def test_handlers_cannot_hurt_a_run(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(EventHandler):
        def dispatch(self, event: Event) -> None:
            raise RuntimeError("handler trouble")

    good = Collect()
    await run(Pipeline([Load()]), Bad(), good)
    assert len(good.events) == 5
    records = [record for record in caplog.records if "handler trouble" in record.getMessage()]
    assert len(records) == 5
    assert [bool(record.exc_info) for record in records] == [True, False, False, False, False]


async def test_handler_errors_end_the_run_when_asked_to() -> None:
    def bad(event: Event) -> None:
        raise RuntimeError("handler trouble")

    with pytest.raises(RuntimeError, match="handler trouble"):
        await run(Pipeline([Load(), Remote(log=[])]), bad, handler_errors="raise")


async def test_handlers_may_be_functions_async_functions_and_lists() -> None:
    plain: list[Event] = []
    coroutine: list[Event] = []

    async def hear(event: Event) -> None:
        coroutine.append(event)

    await run(Load(), [plain.append, hear])
    assert len(plain) == len(coroutine) == 2


async def test_a_slow_handler_delays_only_the_end() -> None:
    """The work is over while the handler still holds the first event; the run waits for it all the same."""
    release, worked, heard = anyio.Event(), anyio.Event(), []

    class Works(Action[Verdict]):
        async def run(self) -> Verdict:
            worked.set()
            return Verdict(True)

    async def slow(event: Event) -> None:
        await release.wait()
        heard.append(event)

    async with anyio.create_task_group() as group:
        group.start_soon(run, Works(), slow)
        await worked.wait()
        assert heard == []
        release.set()
    assert len(heard) == 2


async def test_sync_handlers_run_in_a_thread_and_may_call_the_blocking_api() -> None:
    threads: set[int] = set()

    async def echo(value: str) -> str:
        return value

    class Calls(EventHandler):
        def dispatch(self, event: Event) -> None:
            threads.add(threading.get_ident())
            assert run_sync(echo, event.action_id) == event.action_id

    await run(Pipeline([Load()]), Calls(), handler_errors="raise")
    assert threading.get_ident() not in threads


async def test_a_handler_can_ask_which_event_it_holds() -> None:
    held: list[bool] = []
    await run(Load(), lambda event: held.append(event_being_handled() is event))
    assert held == [True, True]
    assert event_being_handled() is None


async def test_an_event_is_one_safe_line() -> None:
    class Nasty:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "repr failed" in repr(Event(Load, "id", ActionState.Running, "line\nbreak", Nasty()))
    long = repr(Event(Load, "id", ActionState.Running, "x", {"text": "y\n" * 1000}))
    assert "\n" not in long
    assert len(long) < 500
    assert Event(action_id="a", action_state=ActionState.Done).to_dict()["action_class"] is None
    assert Event(Load, "id", ActionState.Done, data=Nasty()).to_dict()["data"].startswith("<Nasty")


async def test_pipelines_nest() -> None:
    load = Load()
    inner = Pipeline([load])
    made = await run(Pipeline([inner]))
    assert made[inner][load] == Data("ds")


async def test_order_without_data() -> None:
    order: list[str] = []

    class Note(Action[Verdict]):
        word: str

        async def run(self) -> Verdict:
            order.append(self.word)
            return Verdict(True)

    first = Note(word="first")
    second = Note(word="second")
    first.after(second)
    await run(Pipeline([first, second], overlap=True))
    assert order == ["second", "first"]


# --- resume ---------------------------------------------------------------------------------------------------


class Counted(Action[Job]):
    runs: Any = Field(exclude=True)  # no parameter of the work, so no part of what tells one run from another

    async def run(self, data: Data, ctx: Context) -> Job:
        self.runs.append(ctx.notes)
        await ctx.note(job="job-1")
        return Job("job-1")


class FailsOnce(Action[Verdict]):
    runs: Any = Field(exclude=True)

    async def run(self, job: Job, ctx: Context) -> Verdict:
        self.runs.append(ctx.notes)
        if not ctx.notes:
            await ctx.note(tried=True)
            raise ValueError("first time")
        return Verdict(True)


async def test_a_resumed_run_skips_what_is_done_and_finds_its_notes(tmp_path: Path) -> None:
    """Also in another process, which has nothing but the file."""
    counted_runs: list[Any] = []
    last_runs: list[Any] = []

    def pipeline() -> Pipeline:
        steps = [Load(id="load"), Counted(id="counted", runs=counted_runs), FailsOnce(id="last", runs=last_runs)]
        return Pipeline(steps, id="all")

    file = tmp_path / "runs.sqlite3"
    with closing(SqliteJournal(file)) as journal, pytest.raises(ValueError, match="first time"):
        await run(pipeline(), journal=journal, run_id="one")

    handler = Collect()
    with closing(SqliteJournal(file)) as journal:
        made = await run(pipeline(), handler, journal=journal, run_id="one")
    assert made["counted"] == Job("job-1")
    assert counted_runs == [{}]
    assert last_runs == [{}, {"tried": True}]
    assert ("Counted", "Preceding") not in handler.told()
    assert file.stat().st_mode & 0o077 == 0


async def test_a_run_that_is_done_gives_what_it_made(tmp_path: Path) -> None:
    runs: list[Any] = []
    pipeline = Pipeline([Load(id="load"), Counted(id="counted", runs=runs)])
    with closing(SqliteJournal(tmp_path / "runs.sqlite3")) as journal:
        await run(pipeline, journal=journal, run_id="one")
        handler = Collect()
        made = await run(pipeline, handler, journal=journal, run_id="one")
    assert made["counted"] == Job("job-1")
    assert len(runs) == 1
    assert handler.events == []


async def test_a_record_in_memory_resumes_too() -> None:
    runs: list[Any] = []
    pipeline = Pipeline([Load(), Counted(runs=runs)])
    record = RunRecord()
    await run(pipeline, record=record)
    await run(pipeline, record=record)
    assert len(runs) == 1
    assert {row.phase for row in record.rows.values()} == {Phase.DONE}


# --- old-style actions ------------------------------------------------------------------------------------------


class OldStep(BaseAction):
    """As written for the older SDK: no types, a dictionary in, a dictionary out."""

    def __init__(self, word: str) -> None:
        super().__init__(name=word)
        self.word = word

    def exec(self, input: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        self.action_event(ActionState.Running, "working", {"word": self.word})
        return {**(input or {}), self.word: threading.get_ident()}


async def test_old_actions_run_in_threads_and_hand_on_dictionaries() -> None:
    handler = Collect()
    pipeline = Pipeline([OldStep("a"), OldStep("b")])
    made = await run(pipeline, handler, input={"seed": 1})
    last = list(pipeline)[-1]
    assert set(made[last]) == {"seed", "a", "b"}
    assert threading.get_ident() not in made[last].values()
    assert handler.told()[2:5] == [("OldStep", "Preceding"), ("OldStep", "Running"), ("OldStep", "Done")]
    assert handler.events[-1].data == made[last]


async def test_events_of_old_actions_arrive_while_they_work() -> None:
    """`exec` is in a thread and the events belong to the loop; they get there at once, on every loop."""
    heard = threading.Event()

    class Waits(BaseAction):
        def exec(self, input: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
            self.action_event(ActionState.Running, "half way")
            return {"heard": heard.wait(20)}

    def hear(event: Event) -> None:
        if "half way" in (event.description or ""):
            heard.set()

    pipeline = Pipeline([Waits()])
    made = await run(pipeline, hear)
    assert made[next(iter(pipeline))] == {"heard": True}


def test_the_older_keyword_of_an_event() -> None:
    event = Event(action_id="a", state=ActionState.Done, description="d", data={})
    assert event.action_state is ActionState.Done


def test_with_event_tells_outside_a_pipeline_and_takes_input_by_position() -> None:
    handler = Collect()

    class Decorated(OldStep):
        @with_event
        def exec(self, input: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
            return {"in": input}

    step = Decorated("x")
    step.event_handler = handler
    assert step.exec({"a": 1}) == {"in": {"a": 1}}
    assert [event.action_state for event in handler.events] == [ActionState.Preceding, ActionState.Done]


@pytest.fixture
def many_threads() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before + 45  # worker threads are shared, not one per run


async def test_a_thousand_runs_in_one_process(many_threads: None) -> None:
    made: list[Job] = []

    async def one(number: int) -> None:
        train = Train(epochs=number)
        made.append((await run(Pipeline([Load(data=str(number)), train])))[train])

    async with anyio.create_task_group() as group:
        for number in range(1000):
            group.start_soon(one, number)
    assert {job.id for job in made} == {f"{number}/{number}" for number in range(1000)}
