"""From any thread to an event loop: running a function there, and carrying values to a task that waits there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeAlias, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")

Schedule: TypeAlias = Callable[[Callable[[], object]], None]


def scheduler() -> Schedule:
    """Makes functions run on the event loop that is running now; the scheduler may be called from any thread.

    It waits for nothing. When that loop has ended the function does not run, since nobody is left whom it concerns.
    """
    native: Any = anyio.lowlevel.current_token().native_token
    schedule = getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon

    def run_there(function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is gone, and whoever waited with it
            schedule(function)

    return run_there


class Mailbox(Generic[T]):
    """Values put in by any thread, taken out by one task on the event loop on which the mailbox was made."""

    def __init__(self) -> None:
        self._values: deque[T] = deque()
        self._schedule = scheduler()
        self._arrived = anyio.Event()

    def put(self, value: T) -> None:
        """Add a value; never waits."""
        self._values.append(value)
        self._schedule(lambda: self._arrived.set())

    async def get(self) -> T:
        """The next value, in the order they were put in."""
        while not self._values:
            await self._arrived.wait()
            self._arrived = anyio.Event()
        return self._values.popleft()
