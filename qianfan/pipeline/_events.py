"""Events: the one account of what happened in a run, and who gets to hear it.

Publishing is a plain call that never waits. Each listener has a queue of its own, so a slow one delays nobody, and
no cancellation can lose an action's last event.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any, TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic_core import to_jsonable_python

from qianfan import _faults
from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan._sync import in_user_thread, run_sync

logger = logging.getLogger("qianfan")

_LONGEST_DATA = 300
"""Characters of `data` that an event's repr shows; an event is one readable line."""


class ActionState(str, Enum):
    """What an event says about its action. The first is Preceding, the last exactly one of Done, Error, Stopped."""

    Preceding = "Preceding"
    Running = "Running"
    Done = "Done"
    Error = "Error"
    Stopped = "Stopped"


FINAL_STATES = frozenset({ActionState.Done, ActionState.Error, ActionState.Stopped})


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """One thing an action did.

    data by state: Preceding `{}`; Running what the action reports; Done what the action made;
    Error `{"error": "<text>"}`, with the object itself in `exception`; Stopped None.

    progress: percent from 0 to 100 where the action knows it.
    sequence: position in the run, from 0; the total order, also of actions that run side by side. A run that another
        process goes on with goes on counting.
    kind: the state's name, or what a Running event is about where that matters: "adopted", "duplicates", "fenced",
        "needs_decision"; "skipped" for the Done of an action that was passed over.
    """

    action_class: type[Any] | None = None
    action_id: str = ""
    action_state: ActionState = ActionState.Running
    description: str | None = None
    data: Any = None
    _: KW_ONLY
    exception: BaseException | None = None
    progress: int | None = None
    action_name: str = ""
    run_id: str = ""
    sequence: int = 0
    timestamp: datetime = field(default_factory=_now)
    kind: str = ""
    state: InitVar[ActionState | None] = None
    """The older keyword for `action_state`."""

    def __post_init__(self, state: ActionState | None) -> None:
        if state is not None:
            object.__setattr__(self, "action_state", state)
        if not self.kind:
            object.__setattr__(self, "kind", self.action_state.value)

    def __repr__(self) -> str:
        name = self.action_class.__name__ if self.action_class is not None else "action"
        text = f"Event({name} {self.action_id} {self.action_state.value}"
        if self.description:
            text += f", {self.description!r}"
        return f"{text}, data={_one_line(self.data)})"

    def to_dict(self) -> dict[str, Any]:
        """The event as plain JSON values; objects that JSON does not know become their repr."""
        return {
            "action_class": self.action_class.__name__ if self.action_class is not None else None,
            "action_id": self.action_id,
            "action_name": self.action_name,
            "action_state": self.action_state.value,
            "kind": self.kind,
            "description": self.description,
            "data": to_jsonable_python(self.data, fallback=_one_line),
            "progress": self.progress,
            "run_id": self.run_id,
            "sequence": self.sequence,
            "timestamp": self.timestamp.isoformat(),
        }


def _one_line(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # a broken repr of somebody's data must not break printing an event
        text = f"<{type(value).__name__}, whose repr failed: {type(error).__name__}>"
    return text if len(text) <= _LONGEST_DATA else text[: _LONGEST_DATA - 1] + "…"


class EventHandler:
    """Base of user handlers: override `dispatch`, as a plain or an async method.

    A plain `dispatch` runs in a worker thread, so it may block and may call the blocking API. Handlers get one event
    at a time, in order. One that raises is logged and does not disturb the run.
    """

    def dispatch(self, event: Event) -> Awaitable[None] | None:
        """Called once for each event of the run."""


def dispatch_event(event_handler: EventHandler | None, event: Event) -> None:
    """Give a handler one event from synchronous code, outside a run. None is no handler."""
    if event_handler is None:
        return
    answer = event_handler.dispatch(event)
    if inspect.isawaitable(answer):
        run_sync(_finish, answer)


async def _finish(answer: Awaitable[None]) -> None:
    await answer


AnyHandler: TypeAlias = EventHandler | Callable[[Event], Any]
"""A handler object, or just a function (plain or async) that takes an event."""


class _FunctionHandler(EventHandler):
    def __init__(self, function: Callable[[Event], Any]) -> None:
        self.dispatch = function  # type: ignore[assignment,method-assign]  # the function is the method


def as_handlers(given: AnyHandler | Iterable[AnyHandler] | None) -> list[EventHandler]:
    """Handlers from whatever the user gave: None, one, or several; objects or functions."""
    if given is None:
        return []
    if callable(getattr(given, "dispatch", None)):
        return [given]  # type: ignore[list-item]  # anything with dispatch() will do
    if callable(given):
        return [_FunctionHandler(given)]
    if isinstance(given, Iterable):
        return [handler for one in given for handler in as_handlers(one)]
    raise TypeError(f"{given!r} is no event handler: give an object with dispatch(event), or a function of one event")


class EventBus:
    """Carries the events of one run to every listener, numbering and dating them on the way.

    An event that tells of a change may have to wait until the change is written down: it gets its number at once, and
    those behind it wait with it, so that all are heard in their order.
    """

    def __init__(
        self,
        run_id: str = "",
        clock: Clock = SYSTEM_CLOCK,
        observer: Callable[[Event], object] | None = None,
    ) -> None:
        self.run_id = run_id
        self._clock = clock
        self._observer = observer
        self._next = 0
        self._line: deque[Event] = deque()
        self._waiting: set[int] = set()
        self._queues: list[MemoryObjectSendStream[Event]] = []
        self._closed = False

    def subscribe(self) -> MemoryObjectReceiveStream[Event]:
        """A stream of the events from now on. It ends when the run is over."""
        queue, events = anyio.create_memory_object_stream[Event](math.inf)
        if self._closed:
            queue.close()
        else:
            self._queues.append(queue)
        return events

    @property
    def is_closed(self) -> bool:
        """Whether there are no more events."""
        return self._closed

    def number_from(self, sequence: int) -> None:
        """Go on counting where an earlier process ended."""
        self._next = sequence

    def publish(
        self,
        action_class: type[Any],
        action_id: str,
        action_name: str,
        state: ActionState,
        description: str,
        data: Any = None,
        *,
        progress: int | None = None,
        exception: BaseException | None = None,
        kind: str = "",
        held: bool = False,
    ) -> Event:
        """Number an event and put it into every queue. Never waits.

        held: it is heard only after `release(event)`, and not at all after `withdraw(event)`.
        """
        event = Event(
            action_class,
            action_id,
            state,
            description,
            data,
            exception=exception,
            progress=progress,
            action_name=action_name,
            run_id=self.run_id,
            sequence=self._next,
            timestamp=self._clock.wall(),
            kind=kind,
        )
        self._next += 1
        if held:
            self._waiting.add(event.sequence)
        if held or self._line:
            self._line.append(event)
            self._advance()
        else:
            self._deliver(event)
        return event

    def release(self, event: Event) -> None:
        """What the event tells of is written down."""
        self._waiting.discard(event.sequence)
        self._advance()

    def withdraw(self, event: Event) -> None:
        """What the event tells of did not come about."""
        self._line.remove(event)
        self.release(event)

    def relay(self, event: Event) -> None:
        """Pass on an event of a run that another process drives, with its number and date."""
        self._next = event.sequence + 1
        self._deliver(event)

    def _advance(self) -> None:
        while self._line and self._line[0].sequence not in self._waiting:
            self._deliver(self._line.popleft())

    def _deliver(self, event: Event) -> None:
        if self._observer is not None:
            self._observer(event)
        for queue in self._queues:
            # A listener that left must not silence the others.
            with suppress(anyio.BrokenResourceError):
                queue.send_nowait(event)

    def close(self) -> None:
        """No more events: every stream ends after what it still holds."""
        self._closed = True
        for queue in self._queues:
            queue.close()


_dispatching: ContextVar[Event | None] = ContextVar("qianfan_dispatching", default=None)


def event_being_handled() -> Event | None:
    """The event whose handler is running right now in this task or thread, else None.

    Lets a status asked for inside a handler agree with the event in the handler's hand, although the run itself may
    already be further on.
    """
    return _dispatching.get()


@contextmanager
def _handling(event: Event) -> Generator[None, None, None]:
    token = _dispatching.set(event)
    try:
        yield
    finally:
        _dispatching.reset(token)


async def feed(
    handler: EventHandler,
    events: MemoryObjectReceiveStream[Event],
    *,
    raise_errors: bool = False,
    missed: Iterable[Event] = (),
    delivered: Callable[[Event], object] = lambda event: None,
    failed: Callable[[BaseException], object] = lambda error: None,
) -> None:
    """Give a handler the events one at a time, in order, until the stream ends.

    An error of the handler is logged, with its traceback the first time, unless `raise_errors`.
    missed: events to begin with. delivered: told after each event that the handler has had it. failed: told about the
    handler's first error.
    """
    failures = 0

    async def hand_over(event: Event) -> None:
        nonlocal failures
        try:
            with _handling(event):
                await _dispatch(handler, event)
        except BaseException as error:
            if not _is_of_the_handler(error) or raise_errors:
                raise
            failures += 1
            logger.error(
                "event handler %s failed on %r: %s; the run goes on",
                type(handler).__name__,
                event,
                error,
                exc_info=failures == 1,
            )
            if failures == 1:
                failed(error)
        _faults.point("handler.during")
        delivered(event)

    with events:
        for event in missed:
            await hand_over(event)
        async for event in events:
            await hand_over(event)


def _is_of_the_handler(error: BaseException) -> bool:
    """Whether a handler did this itself: an error, sys.exit(), or a cancellation that nobody asked for."""
    if isinstance(error, (Exception, SystemExit)):
        return True
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, asyncio.CancelledError) and cancelled is not asyncio.CancelledError:
        return True  # of an asyncio loop that the handler runs beside trio's
    nobody_cancels = anyio.current_effective_deadline() != -math.inf
    return isinstance(error, cancelled) and nobody_cancels


def consumer_of(handler: EventHandler, number: int) -> str:
    """What a handler is called in a journal, so that it is known again in another process.

    That is its `consumer` attribute if it has one, else the name of its class or function; number: tells apart those
    of one name.
    """
    named = getattr(handler, "consumer", None)
    if isinstance(named, str):
        return named
    known: Any = handler.dispatch if isinstance(handler, _FunctionHandler) else type(handler)
    name = f"{getattr(known, '__module__', '')}.{getattr(known, '__qualname__', type(known).__qualname__)}"
    return name if number == 0 else f"{name}#{number}"


async def _dispatch(handler: EventHandler, event: Event) -> None:
    if inspect.iscoroutinefunction(handler.dispatch):
        await handler.dispatch(event)
        return
    answer = await in_user_thread(handler.dispatch, event)
    # A plain function may still hand back something to await, a functools.partial of an async one for example.
    if inspect.isawaitable(answer):
        await answer
