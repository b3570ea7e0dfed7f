"""How much goes out at once, and how fast."""

from __future__ import annotations

import threading
from types import TracebackType

import anyio
from anyio.lowlevel import RunVar

from qianfan._clock import Clock


class Gate:
    """Lets a number of holders in at once; the others wait in line, first come, first served.

    Beyond the limit everyone gets slower, and nothing collapses. A cancelled waiter leaves the line, a place that it
    was just given goes to the next. One gate serves several event loops; the limit counts for each by itself.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._places: RunVar[anyio.Semaphore] = RunVar("qianfan_gate_places")

    @property
    def in_use(self) -> int:
        """Holders inside, in this event loop."""
        return self.limit - self._here().value

    @property
    def waiting(self) -> int:
        """Callers in line, in this event loop."""
        return self._here().statistics().tasks_waiting

    async def __aenter__(self) -> None:
        await self._here().acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._here().release()

    def _here(self) -> anyio.Semaphore:
        places = self._places.get(None)
        if places is None:
            # max_value would make a double release an error instead of a wider gate.
            places = anyio.Semaphore(self.limit, max_value=self.limit)
            self._places.set(places)
        return places


class Spacing:
    """Keeps starts apart, so that no more than a given number per second leave, over all event loops and threads.

    Each start reserves the next free moment; a caller that is cancelled while it waits gives up its moment.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._interval = 1.0 / per_second if per_second > 0 else 0.0
        self._clock = clock
        self._guard = threading.Lock()
        self._next = float("-inf")

    def reserve(self, now: float) -> float:
        """Seconds to wait from `now` (monotonic) until the moment that this call reserves."""
        if not self._interval:
            return 0.0
        with self._guard:
            moment = max(now, self._next)
            self._next = moment + self._interval
            return moment - now

    async def wait(self) -> None:
        """Wait for the next free moment."""
        delay = self.reserve(self._clock.monotonic())
        if delay > 0:
            await self._clock.sleep(delay)
