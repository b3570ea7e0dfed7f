"""Time as a value that is handed down, so that tests drive it.

Deadlines and waits use `monotonic`, which no clock change can move; `wall` is for signatures and for people.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol

import anyio


class Clock(Protocol):
    """What code may know about time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; only differences mean something."""
        ...

    def wall(self) -> datetime:
        """The current time in UTC, with its zone."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero still lets other tasks run."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> datetime:
        return datetime.now(timezone.utc)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
