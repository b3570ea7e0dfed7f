"""How the handlers of a run are given its events: all of them, in order, whatever becomes of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from qianfan.errors import describe
from qianfan.pipeline._action import Action
from qianfan.pipeline._context import Context, RunState
from qianfan.pipeline._events import ActionState, Event, EventBus, consumer_of, feed


class Feeding:
    """A handler being given the events of a run. It sees all of them, even when the run is cancelled."""

    def __init__(
        self,
        handler: Any,
        consumer: str,
        events: MemoryObjectReceiveStream[Event],
        raise_errors: bool,
        ctx: Context,
    ) -> None:
        self.consumer = consumer
        self._handler = handler
        self._events = events
        self._raise_errors = raise_errors
        self._ctx = ctx
        self._scope = anyio.CancelScope(shield=True)
        self._begun = anyio.Event()
        self._missed: Sequence[Event] = ()
        self._delivered: Callable[[Event], object] = lambda event: None

    def begin(self, missed: Sequence[Event] = (), delivered: Callable[[Event], object] = lambda event: None) -> None:
        """Let the events flow, those first that an earlier process may have lost.

        A handler that has begun, since the run was followed first, has heard them; only `delivered` is new to it.
        """
        self._delivered = delivered
        if not self._begun.is_set():
            self._missed = missed
            self._begun.set()

    def open(self) -> None:
        """Let the events flow, if nobody has."""
        self._begun.set()

    async def go(self) -> None:
        with self._scope:
            await self._begun.wait()
            await feed(
                self._handler,
                self._events,
                raise_errors=self._raise_errors,
                missed=self._missed,
                delivered=lambda event: self._delivered(event),
                failed=self._failed,
            )

    def _failed(self, error: BaseException) -> None:
        if not self._ctx.state.bus.is_closed:
            data = {"handler": self.consumer, "error": describe(error)}
            self._ctx.tell(ActionState.Running, f"event handler {self.consumer} failed", data, kind="handler_error")

    def hurry(self, seconds: float) -> None:
        self._scope.deadline = anyio.current_time() + seconds


def feeders_of(
    handlers: list[Any], bus: EventBus, raise_errors: bool, action: Action[Any], state: RunState
) -> list[Feeding]:
    """One for each handler, with the name that a journal knows the handler by."""
    seen: Counter[str] = Counter()
    feeders: list[Feeding] = []
    for handler in handlers:
        name = consumer_of(handler, 0)
        consumer = consumer_of(handler, seen[name])
        seen[name] += 1
        feeders.append(Feeding(handler, consumer, bus.subscribe(), raise_errors, Context(action, state)))
    return feeders
