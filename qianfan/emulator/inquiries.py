"""Work that asks models many questions: begun by a call, done beside all calls, cancelled with the emulator.

One piece of work has one key, that of its record. It runs without the account's lock and writes what it found into its
record at the end, so a piece that is cut off leaves nothing half done and can begin again.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable

import anyio

from qianfan._loops import Mailbox
from qianfan.emulator.training.loop import LoopThread

AT_ONCE = 8
"""Questions of one piece of work that are out at a time."""

_PATIENCE = 10.0
"""Seconds that a look may be held up by work of which all answers are known anyway."""


class _Inquiry:
    def __init__(self) -> None:
        self.scope: anyio.CancelScope | None = None
        self.is_stopped = False
        self.waiting: list[Mailbox[None]] = []

    def stop(self) -> None:
        self.is_stopped = True
        if self.scope is not None:
            self.scope.cancel()


class Inquiries:
    """The pieces of work under way. Methods may be called from any thread, also while the account is locked.

    save: writes the account down when a piece of work has ended.
    """

    def __init__(self, save: Callable[[], None] = lambda: None) -> None:
        self._loop = LoopThread()
        self._guard = threading.Lock()
        self._under_way: dict[str, _Inquiry] = {}
        self._save = save

    def start(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin; waits for nothing."""
        inquiry = _Inquiry()
        with self._guard:
            self._under_way[key] = inquiry
        self._loop.start_soon(self._run, key, inquiry, work)

    async def _run(self, key: str, inquiry: _Inquiry, work: Callable[[], Awaitable[None]]) -> None:
        try:
            with anyio.CancelScope() as inquiry.scope:
                if not inquiry.is_stopped:
                    await work()
        finally:
            with self._guard:
                if self._under_way.get(key) is inquiry:
                    del self._under_way[key]
            self._save()
            for mailbox in inquiry.waiting:
                mailbox.put(None)

    def is_under_way(self, key: str) -> bool:
        """Whether a piece of work is being done."""
        return key in self._under_way

    def stop(self, key: str) -> None:
        """Have a piece of work end soon."""
        inquiry = self._under_way.get(key)
        if inquiry is not None:
            self._loop.call_soon(inquiry.stop)

    async def until_over(self, key: str) -> None:
        """Wait for the end of a piece of work, but not for long."""
        with self._guard:
            inquiry = self._under_way.get(key)
            if inquiry is None:
                return
            mailbox = Mailbox[None]()
            inquiry.waiting.append(mailbox)
        with anyio.move_on_after(_PATIENCE):
            await mailbox.get()

    def clear(self) -> None:
        """Have everything end soon."""
        for key in list(self._under_way):
            self.stop(key)

    def close(self) -> None:
        """End everything and wait for it. The account must not be locked."""
        self._loop.close()


async def each(work: Iterable[Callable[[], Awaitable[None]]], at_once: int = AT_ONCE) -> None:
    """Do things that wait, a few at a time."""
    left = iter(work)

    async def take_turns() -> None:
        for one in left:
            await one()

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(take_turns)
