"""The executor: a pipeline is an action that performs others, and `start` runs any action from the outside."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from graphlib import CycleError, TopologicalSorter
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from pydantic import PrivateAttr

from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan._sync import LoopHandle
from qianfan.errors import InternalError, PipelineError
from qianfan.pipeline._action import Action, Context, OnCancel, RunState, new_id, perform
from qianfan.pipeline._adapter import BaseAction, adapt
from qianfan.pipeline._events import AnyHandler, Event, EventBus, as_handlers, feed
from qianfan.pipeline._plan import FROM_INPUT, made_by, mermaid, plan, predecessors
from qianfan.pipeline._snapshot import Snapshot

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

Made = TypeVar("Made")

HandlerErrors: TypeAlias = Literal["log", "raise"]


class Results:
    """What each action made: `results[train]` has the type that `train` makes; an id works too."""

    def __init__(self) -> None:
        self.by_id: dict[str, Any] = {}

    def __getitem__(self, action: Action[Made] | str) -> Made:
        return cast(Made, self.by_id[action if isinstance(action, str) else action.id])

    def __contains__(self, action: Action[Any] | str) -> bool:
        return (action if isinstance(action, str) else action.id) in self.by_id

    def __len__(self) -> int:
        return len(self.by_id)

    def __repr__(self) -> str:
        return f"Results({self.by_id!r})"


class Pipeline(Action[Results]):
    """Actions and the order that their types, `.using()` and `.after()` give them.

    A list is a chain: each action also waits for the one before it. With `overlap=True` only data and `.after` order
    them, and what can run side by side does. Raises PipelineError at construction when the graph cannot run.
    """

    overlap: bool = False

    _actions: dict[str, Action[Any]] = PrivateAttr()
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _plan: dict[str, dict[str, str]] = PrivateAttr()
    _waits: dict[str, set[str]] = PrivateAttr()

    def __init__(self, actions: Iterable[Action[Any] | BaseAction], **settings: Any) -> None:
        super().__init__(**settings)
        adapted = [adapt(action) if isinstance(action, BaseAction) else action for action in actions]
        self._plan = plan(adapted)
        self._actions = {action.id: action for action in adapted}
        self._waits = predecessors(self._actions, self._plan, chain=not self.overlap)
        self._graph()  # a circle is refused here, not half-way through a run

    @property
    def actions(self) -> tuple[Action[Any], ...]:
        """The actions in the order they were given."""
        return tuple(self._actions.values())

    def __len__(self) -> int:
        return len(self._actions)

    def __iter__(self) -> Iterator[Action[Any]]:  # type: ignore[override]  # a pipeline is read as its actions, not as its fields
        return iter(self._actions.values())

    def __getitem__(self, action_id: str) -> Action[Any]:
        return self._actions[action_id]

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        return mermaid(self._actions, self._waits)

    def event_data(self, made: Results) -> Any:
        """The Done event of a pipeline carries what its last action made."""
        last = next(reversed(self._actions), None)
        return made.by_id.get(last) if last is not None else None

    def _graph(self) -> TopologicalSorter[str]:
        graph = TopologicalSorter(self._waits)
        try:
            graph.prepare()
        except CycleError as error:
            circle = [f"{self._actions[id].kind.__name__}[{id}]" for id in error.args[1]]
            raise PipelineError(f"the actions wait for each other in a circle: {' → '.join(circle)}") from error
        return graph

    async def run(self, ctx: Context) -> Results:
        """Perform every action that the run's snapshot does not already hold."""
        visits = _Visits(self, ctx)
        await visits.all()
        return visits.results


class _Visits:
    """One walk through a pipeline's graph."""

    def __init__(self, pipeline: Pipeline, ctx: Context) -> None:
        self.results = Results()
        self._pipeline = pipeline
        self._ctx = ctx
        self._graph = pipeline._graph()
        self._failures: list[Exception] = []

    async def all(self) -> None:
        ready = self._graph.get_ready()
        # Most pipelines are chains, and a task group for each step would cost more than the engine itself.
        while len(ready) == 1:
            ready = await self._visit(ready[0])
        if ready:
            await self._side_by_side(ready)

    async def _side_by_side(self, ready: tuple[str, ...]) -> None:
        try:
            async with anyio.create_task_group() as group:
                await self._follow(ready, group)
        except BaseExceptionGroup:
            if not self._failures:
                raise
        # Outside the except block, so that the first failure comes out as itself and not with the group behind it.
        if self._failures:
            raise self._failures[0]

    async def _follow(self, ready: tuple[str, ...], group: Any) -> None:
        """Visit the nodes and all that they free: the first here, the others as tasks beside it."""
        while ready:
            first, *others = ready
            for other in others:
                group.start_soon(self._follow, (other,), group)
            try:
                ready = await self._visit(first)
            except Exception as error:
                self._failures.append(error)
                raise

    async def _visit(self, id: str) -> tuple[str, ...]:
        """Perform one action and return the ids of those it freed."""
        state, action = self._ctx.state, self._pipeline._actions[id]
        if id in state.snapshot:
            self.results.by_id[id] = state.snapshot.output(id, made_by(action))
        else:
            self._ctx.report(f"next is {action.kind.__name__}[{id}]", {"action": id})
            self.results.by_id[id] = made = await perform(action, self._needs(id), state)
            # A pipeline inside a pipeline is found again through its own actions.
            if not isinstance(action, Pipeline):
                await state.snapshot.record(id, made, made_by(action))
        self._graph.done(id)
        return self._graph.get_ready()

    def _needs(self, id: str) -> dict[str, Any]:
        made = self.results.by_id
        return {
            name: self._ctx.state.input if source == FROM_INPUT else made[source]
            for name, source in self._pipeline._plan[id].items()
        }


class Run(Generic[Made]):
    """An action in flight.

    events: a stream of its events; it ends when the run is over. Whoever asks for it before waiting for anything sees
        all of them; without a reader nothing is kept.
    id: names the run in every event.
    """

    def __init__(self, action: Action[Made], state: RunState) -> None:
        self.id = state.bus.run_id
        self.action = action
        self._events: MemoryObjectReceiveStream[Event] | None = None
        self.stopped = False
        self._cut_short = True
        self._state = state
        self._scope = anyio.CancelScope()
        self._loop = LoopHandle()
        self._ended = anyio.Event()
        self._made: Made | None = None
        self._error: BaseException | None = None

    @property
    def events(self) -> MemoryObjectReceiveStream[Event]:
        """A stream of the run's events, always the same one."""
        if self._events is None:
            self._events = self._state.bus.subscribe()
        return self._events

    @property
    def output(self) -> Made:
        """What the action made. Raises the action's error, or InternalError when there is nothing (yet)."""
        if self._error is not None:
            raise self._error
        if not self._ended.is_set() or self.stopped:
            raise InternalError(f"run {self.id} {'was stopped' if self.stopped else 'has not ended yet'}")
        return cast(Made, self._made)

    @property
    def has_ended(self) -> bool:
        """Whether the action is over, however it ended."""
        return self._ended.is_set()

    @property
    def left_running(self) -> bool:
        """Whether the run was ended early in such a way that work elsewhere goes on."""
        return self._cut_short and self._state.on_cancel == "detach" and not self._state.failed

    @property
    def error(self) -> BaseException | None:
        """The error that ended the run, if one did."""
        return self._error

    @property
    def snapshot(self) -> Snapshot:
        """What the run has made so far."""
        return self._state.snapshot

    def stop(self, on_cancel: OnCancel = "stop") -> None:
        """End the run early, from any thread: each action at work ends with Stopped, and so does the pipeline.

        on_cancel: "stop" also undoes remote work that costs money, "detach" leaves it running.
        A run that is over stays as it is.
        """
        self._loop.call(lambda: self._stop(on_cancel))

    def _stop(self, on_cancel: OnCancel) -> None:
        if self._ended.is_set():
            return
        self.stopped = True
        self._state.on_cancel = on_cancel
        self._scope.cancel()

    async def wait(self) -> None:
        """Return when the action has ended, however it did. May be awaited on any event loop."""
        await self._loop.acall(self._ended.wait)

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()

    async def _go(self) -> None:
        try:
            with self._scope:
                self._made = await perform(self.action, {}, self._state)
                self.stopped = self._cut_short = False  # too late to stop: it was already done
        except Exception as error:
            # Kept, not raised: a reader of `events` must see the last ones before the error comes out.
            self._error = error
        finally:
            self._ended.set()
            self._state.bus.close()


@asynccontextmanager
async def start(
    action: Action[Made],
    *handlers: AnyHandler,
    client: Any = None,
    clock: Clock = SYSTEM_CLOCK,
    snapshot: Snapshot | None = None,
    input: Any = None,
    on_cancel: OnCancel = "stop",
    handler_errors: HandlerErrors = "log",
    handler_grace: float = 5.0,
    on_event: Callable[[Event], object] | None = None,
    run_id: str | None = None,
) -> AsyncGenerator[Run[Made], None]:
    """Run an action, usually a pipeline, beside the block; leaving the block waits for its end.

    The action's error comes out of the block, as itself. A stopped run comes out silently.

    client: handed to the actions as `ctx.client`.
    snapshot: what an earlier attempt made; actions that are done in it are not run again.
    on_cancel: what a cancellation from outside means for remote work.
    handler_errors: "raise" ends the run when a handler fails.
    handler_grace: seconds that handlers may go on after a cancelled run; an undisturbed run waits without limit.
    on_event: called at once with every event, before any handler gets it; it must neither wait nor fail.
    """
    bus = EventBus(run_id or new_id(), clock, on_event)
    state = RunState(bus, snapshot or Snapshot(), client, clock, input, on_cancel)
    run = Run(action, state)
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            feeding = [
                _Feeding(handler, bus.subscribe(), handler_errors == "raise") for handler in as_handlers(handlers)
            ]
            for feeder in feeding:
                group.start_soon(feeder.go)
            group.start_soon(run._go)
            try:
                yield run
                await run.wait()
            except BaseException:
                run._scope.cancel()
                for feeder in feeding:
                    feeder.hurry(handler_grace)
                raise
            if run.stopped:
                for feeder in feeding:
                    feeder.hurry(handler_grace)
    except BaseExceptionGroup as group_error:
        failure = _lone(group_error)
    finally:
        run._close()
    if failure is not None:
        raise failure from failure.__cause__
    if run.error is not None:
        raise run.error


class _Feeding:
    """A handler being given the events of a run. It sees all of them, even when the run is cancelled."""

    def __init__(self, handler: Any, events: MemoryObjectReceiveStream[Event], raise_errors: bool) -> None:
        self._handler = handler
        self._events = events
        self._raise_errors = raise_errors
        self._scope = anyio.CancelScope(shield=True)

    async def go(self) -> None:
        with self._scope:
            await feed(self._handler, self._events, raise_errors=self._raise_errors)

    def hurry(self, seconds: float) -> None:
        self._scope.deadline = anyio.current_time() + seconds


def _lone(group: BaseException) -> BaseException:
    """A failure that came alone leaves a task group as itself, not as a group of one."""
    while isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
        group = group.exceptions[0]
    return group


async def run(action: Action[Made], *handlers: AnyHandler, **settings: Any) -> Made:
    """Run an action to its end and return what it made. Takes the settings of `start`."""
    async with start(action, *handlers, **settings) as flight:
        pass
    return flight.output


def outputs_so_far(pipeline: Pipeline, snapshot: Snapshot) -> Mapping[str, Any]:
    """What the actions of a pipeline have made according to a snapshot, by action id."""
    return {action.id: snapshot.output(action.id, made_by(action)) for action in pipeline if action.id in snapshot}
