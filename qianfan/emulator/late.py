"""Requests that take effect late, when whoever sent them has long lost the connection.

Nothing waits for them in the background. They are carried out when somebody next asks or looks, but as of the moment
they were due, so that what they made is as old as it should be.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from qianfan._clock import Clock
from qianfan.emulator.effects import Outcome


@dataclass(frozen=True)
class Late:
    """What came of a late request.

    name: as of `Recorded`; due: seconds on the emulator's clock.
    status: of the answer that nobody got; id: of what it made, error: why it was refused, else "".
    """

    name: str
    due: float
    status: int
    id: str = ""
    error: str = ""


@dataclass(frozen=True, order=True)
class Pending:
    """A request on its way. Ordered by due time, then by arrival."""

    due: float
    number: int
    name: str = field(compare=False)
    happen: Callable[[], Outcome] = field(compare=False)


class LateRequests:
    """The requests of one account that are on their way, and what came of those before. Used under its lock."""

    def __init__(self) -> None:
        self._pending: list[Pending] = []
        self._numbers = itertools.count()
        self.settled: list[Late] = []

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, due: float, name: str, happen: Callable[[], Outcome]) -> None:
        """Put off what a request does."""
        heapq.heappush(self._pending, Pending(due, next(self._numbers), name, happen))

    def due(self, now: float) -> Iterator[Pending]:
        """Take out what is due, in order."""
        while self._pending and self._pending[0].due <= now:
            yield heapq.heappop(self._pending)

    def clear(self) -> None:
        """Forget everything."""
        self._pending.clear()
        self.settled.clear()


class Earlier:
    """A clock as it was at a moment that has passed.

    moment: seconds on `clock`.
    """

    def __init__(self, clock: Clock, moment: float) -> None:
        self._clock = clock
        self._moment = moment
        self._wall = clock.wall() - timedelta(seconds=clock.monotonic() - moment)

    def monotonic(self) -> float:
        """Seconds at that moment."""
        return self._moment

    def wall(self) -> datetime:
        """The time at that moment, in UTC."""
        return self._wall

    async def sleep(self, seconds: float) -> None:
        """Wait on the clock that goes on."""
        await self._clock.sleep(seconds)
