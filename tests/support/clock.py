"""A clock that tests drive."""

from __future__ import annotations

from datetime import datetime, timezone

import anyio.lowlevel


class JumpClock:
    """Sleeping takes no time and moves the clock, so hours of waiting pass in a moment."""

    def __init__(self) -> None:
        self._passed = 0.0

    def monotonic(self) -> float:
        return self._passed

    def wall(self) -> datetime:
        return datetime.now(timezone.utc)

    async def sleep(self, seconds: float) -> None:
        self._passed += seconds
        await anyio.lowlevel.checkpoint()
