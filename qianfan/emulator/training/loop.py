"""An event loop on a thread of its own, for work that belongs to the emulator and to no client's loop.

Clients of an emulator in this process come and go with their own event loops, and a training outlives them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import ParamSpec

import anyio
from anyio.abc import TaskGroup

from qianfan._loops import Schedule, scheduler

P = ParamSpec("P")

logger = logging.getLogger("qianfan.emulator")


class LoopThread:
    """Begins with the first task and ends with `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._schedule: Schedule | None = None
        self._group: TaskGroup | None = None

    def start_soon(self, function: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run an async function there; may be called from any thread, and never waits for it."""
        schedule, group = self._running()

        async def guarded() -> None:
            try:
                await function(*args, **kwargs)
            except Exception:
                # One task that fails must not take the others along.
                logger.exception("work of the emulator failed")

        schedule(lambda: group.start_soon(guarded))

    def call_soon(self, function: Callable[[], object]) -> None:
        """Run a function there, if anything runs there at all."""
        if self._schedule is not None:
            self._schedule(function)

    def close(self) -> None:
        """Cancel everything and wait until it has ended. A later task begins anew."""
        with self._lock:
            thread, group, schedule = self._thread, self._group, self._schedule
            self._thread = self._group = self._schedule = None
        if thread is not None and group is not None and schedule is not None:
            schedule(group.cancel_scope.cancel)
            thread.join()

    def _running(self) -> tuple[Schedule, TaskGroup]:
        with self._lock:
            if self._schedule is None or self._group is None:
                ready = threading.Event()
                self._thread = threading.Thread(
                    target=anyio.run, args=(self._main, ready), name="qianfan-emulator-works", daemon=True
                )
                self._thread.start()
                ready.wait()
            assert self._schedule is not None
            assert self._group is not None
            return self._schedule, self._group

    async def _main(self, ready: threading.Event) -> None:
        async with anyio.create_task_group() as group:
            self._schedule, self._group = scheduler(), group
            ready.set()
            await anyio.sleep_forever()
