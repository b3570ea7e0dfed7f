"""An event loop on a thread of its own, for work that belongs to the emulator and to no client's loop.

Clients of an emulator in this process come and go with their own event loops, and a training outlives them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeAlias

import anyio
from anyio.abc import TaskGroup

from qianfan._loops import Mailbox

P = ParamSpec("P")

_Wish: TypeAlias = Callable[[TaskGroup], object]
"""What is to be done on the loop: it is given the group of all tasks there."""

logger = logging.getLogger("qianfan.emulator")


class LoopThread:
    """Begins with the first task and ends with `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wishes: Mailbox[_Wish] | None = None

    def start_soon(self, function: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run an async function there; may be called from any thread, and never waits for it."""

        async def guarded() -> None:
            try:
                await function(*args, **kwargs)
            except Exception:
                # One task that fails must not take the others along.
                logger.exception("work of the emulator failed")

        self._running().put(lambda group: group.start_soon(guarded))

    def call_soon(self, function: Callable[[], object]) -> None:
        """Run a function there, if anything runs there at all."""
        if self._wishes is not None:
            self._wishes.put(lambda group: function())

    def close(self) -> None:
        """Cancel everything and wait until it has ended. A later task begins anew."""
        with self._lock:
            thread, wishes = self._thread, self._wishes
            self._thread = self._wishes = None
        if thread is not None and wishes is not None:
            wishes.put(lambda group: group.cancel_scope.cancel())
            thread.join()

    def _running(self) -> Mailbox[_Wish]:
        with self._lock:
            if self._wishes is None:
                ready: Future[Mailbox[_Wish]] = Future()
                self._thread = threading.Thread(
                    target=anyio.run, args=(_serve, ready), name="qianfan-emulator-works", daemon=True
                )
                self._thread.start()
                self._wishes = ready.result()
            return self._wishes


async def _serve(ready: Future[Mailbox[_Wish]]) -> None:
    wishes = Mailbox[_Wish]()
    ready.set_result(wishes)
    async with anyio.create_task_group() as group:
        while True:
            (await wishes.get())(group)
