"""A wait that is ended from anywhere: another task, another event loop, another thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
from anyio.lowlevel import current_token

from qianfan._loops import scheduler


class Bell:
    """Made where somebody waits, on a running event loop; rung once, by whoever."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._loop = current_token()
        self._schedule = scheduler()

    def ring(self) -> None:
        """End the wait: at once on the same loop, soon on another. Harmless when nobody waits any longer."""
        with suppress(RuntimeError):  # no loop runs here
            if current_token() == self._loop:
                self._event.set()
                return
        self._schedule(self._event.set)

    async def wait(self) -> None:
        """Wait until it is rung."""
        await self._event.wait()

    async def wait_at_most(self, seconds: float, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Wait until it is rung or the sleep is over."""
        async with anyio.create_task_group() as group:

            async def listen() -> None:
                await self._event.wait()
                group.cancel_scope.cancel()

            group.start_soon(listen)
            await sleep(seconds)
            group.cancel_scope.cancel()
