"""Waiting for remote work: look, tell, sleep, until it is over. No outage ends the wait, however long it lasts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any, Final, TypeAlias, TypeVar

from qianfan import _faults
from qianfan._outcome import is_foreign
from qianfan._retry import Random
from qianfan._transport import Client
from qianfan.errors import ConnectionFailedError, QianfanError, describe, is_retryable
from qianfan.utils.logging import logger

Seen = TypeVar("Seen")

Tell: TypeAlias = Callable[[str, Any], object]
"""Hears (description, what is known) as remote work goes on."""

_SHORTEST: Final = 1.0


def silent(description: str, data: Any) -> None:
    """Nobody is listening."""


def word(status: object) -> str:
    """A status as the platform spells it, whether it is a member of an enumeration or a plain word."""
    return str(getattr(status, "value", status))


# --- how long to sleep -----------------------------------------------------------------------------------------


def _spread(seconds: float, rng: Random) -> float:
    """0.8 to 1 times the seconds, by chance, so that many waits do not go in step."""
    return seconds * (0.8 + 0.2 * rng.random())


@dataclass(frozen=True)
class Pacing:
    """How long to sleep between two looks at work that goes on.

    cap: seconds; no sleep is longer.

    A sleep is a quarter of the time that has passed, since what goes wrong goes wrong early, or of the time that is
    left, since nobody wants to wait for what is done; at least a second, and the cap in the long middle.
    """

    cap: float

    @property
    def floor(self) -> float:
        """Seconds; the shortest sleep before chance takes up to a fifth off."""
        return min(_SHORTEST, self.cap)

    def seconds(self, elapsed: float, remaining: float = inf, *, rng: Random) -> float:
        """The next sleep. elapsed, remaining: seconds of the whole work, the latter infinite when unknown."""
        return _spread(max(self.floor, min(elapsed / 4, remaining / 4, self.cap)), rng)


class Course:
    """How far the work is, as the looks tell it, and so how many seconds it has left."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None

    def saw(self, elapsed: float, percent: float | None) -> None:
        """Note what a look told. elapsed: seconds since the wait began, which may be in the middle of the work."""
        if percent is None:
            return
        if self._first is None or self._last is None or percent < self._last[1]:
            self._first = self._last = (elapsed, percent)
        elif percent > self._last[1]:
            self._last = (elapsed, percent)

    def remaining(self, elapsed: float) -> float:
        """Seconds, infinite while nothing can be said. A percentage that stands still promises nothing soon."""
        if self._first is None or self._last is None or self._first == self._last:
            return inf
        since, percent = self._last
        for_each = (since - self._first[0]) / (percent - self._first[1])
        standing = elapsed - since
        return max((100 - percent) * for_each - standing, standing)


@dataclass(frozen=True)
class Backoff:
    """How long to sleep between two looks that fail: twice as long each time, and a minute at most.

    first: seconds. quick: how many sleeps may be shorter than `every`, which is the usual turn in seconds.
    """

    first: float
    quick: int
    every: float
    longest: float = 60.0

    def seconds(self, failures: int, error: BaseException, *, rng: Random) -> float:
        """The sleep after a number of failures, no shorter than the platform asked for (`error.retry_after`)."""
        # 2.0 ** 1024 overflows; long before that the longest sleep is reached.
        wait = self.first * 2.0 ** min(failures - 1, 64)
        if failures > self.quick:
            wait = max(wait, self.every, _SHORTEST)
        asked: float = getattr(error, "retry_after", None) or 0.0
        return max(_spread(min(wait, self.longest), rng), min(asked, self.longest))


# --- the wait --------------------------------------------------------------------------------------------------


async def watch(
    look: Callable[[], Awaitable[Seen]],
    *,
    until: Callable[[Seen], bool],
    tell: Callable[[Seen], object],
    every: float,
    client: Client,
    progress: Callable[[Seen], float | None] = lambda seen: None,
) -> Seen:
    """Look until the work is over; return what was seen last.

    tell: hears every look, also the last one. every: seconds between looks at most; at first, and near the end when
    `progress` tells the percentage, they are shorter.

    A look that fails in transit does not end the wait: the work goes on whether or not it can be seen. It is repeated
    with growing sleeps (settings trainer_status_polling_*) of up to a minute, for as long as it takes. An error that
    will stay comes out.
    """
    clock, rng = client.clock, client.rng
    pacing, course, sight = Pacing(every), Course(), _Sight(client, every)
    began = clock.monotonic()
    _faults.point("poll.enter")
    while True:
        seen = await sight.of(look)
        tell(seen)
        if until(seen):
            return seen
        _faults.point("poll.tick")
        elapsed = clock.monotonic() - began
        course.saw(elapsed, progress(seen))
        await clock.sleep(pacing.seconds(elapsed, course.remaining(elapsed), rng=rng))


class _Sight:
    """Looks that outlive outages."""

    def __init__(self, client: Client, every: float) -> None:
        settings = client.settings
        self._client = client
        self._backoff = Backoff(
            settings.trainer_status_polling_backoff_factor, int(settings.trainer_status_polling_retry_times), every
        )
        self._worked = False

    async def of(self, look: Callable[[], Awaitable[Seen]]) -> Seen:
        """Look until something is seen."""
        clock = self._client.clock
        began = clock.monotonic()
        for failures in count():
            try:
                seen = await look()
            except QianfanError as error:
                if not self._passes(error):
                    raise
                if failures == 0:
                    logger.warning("cannot look right now (%s); the work goes on, looking again", describe(error))
                delay = self._backoff.seconds(failures + 1, error, rng=self._client.rng)
            else:
                if failures:
                    logger.info("can look again, after %.0f seconds", clock.monotonic() - began)
                self._worked = True
                return seen
            await clock.sleep(delay)
        raise AssertionError("count() does not end")  # pragma: no cover

    def _passes(self, error: QianfanError) -> bool:
        """Whether looking again may help: the platform is busy or out of reach, or something else answers for it."""
        if is_retryable(error):
            return True
        if isinstance(error, ConnectionFailedError):
            # A certificate that is refused now but was good before is a foreign network's, which will be left again.
            return self._worked
        return is_foreign(error)
