"""How much goes out at once. How fast, is decided in `budgets`."""

from __future__ import annotations

from types import TracebackType

import anyio
from anyio.lowlevel import RunVar


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
