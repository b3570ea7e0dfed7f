"""What may leave when: the arithmetic of rate limits. No I/O and no clock; every method is told the time.

A *ledger* holds what left and is about to leave. A *line* is those who wait, first come, first served: who stands at
its head is let out as soon as every window of time has room for it, and nobody overtakes, however little they need.

Windows slide: in no stretch of time as long as a window do more leave than its limit says.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

MINUTE: Final = 60.0
_DUST: Final = 1e-9
"""Seconds that rounding may take from a wait."""
_LATENESS: Final = 0.5
"""Windows are longer than what they stand for by a tenth and at most by this, in seconds: requests do not take equally
long to arrive, and the platform counts arrivals."""
_FIRST_PAUSE: Final = {True: 20.0, False: 1.0}
"""Seconds of a pause after a refusal, by whether it was a limit per minute; doubled while refusals go on. The third
attempt of a call comes after a minute, when a minute's budget has recovered by the platform's documents."""


def lasting(seconds: float) -> float:
    """How long a window is that stands for `seconds`."""
    return seconds + min(_LATENESS, seconds / 10)


@dataclass(frozen=True)
class Rate:
    """At most `count` requests within a window of `seconds`. by_minute: the platform counts in this way too."""

    count: int
    seconds: float
    by_minute: bool = False


@dataclass(frozen=True)
class Limits:
    """Requests per second, requests per minute, tokens per minute; 0 is no limit. All of them hold."""

    qps: float = 0.0
    rpm: float = 0.0
    tpm: float = 0.0

    def __bool__(self) -> bool:
        return any((self.qps, self.rpm, self.tpm))

    def and_(self, other: Limits) -> Limits:
        """The stricter of each."""
        return Limits(*(_stricter(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)))

    def less(self, ratio: float) -> Limits:
        """With a part left unused."""
        return Limits(*(getattr(self, field.name) * (1 - ratio) for field in fields(self)))

    def rates(self) -> tuple[Rate, ...]:
        """Whole numbers of requests: a fraction above one is cut off, below one it makes the window longer."""
        pairs = ((self.qps, 1.0), (self.rpm, MINUTE))
        return tuple(_rate(per, seconds, by_minute=seconds == MINUTE) for per, seconds in pairs if per > 0)

    @property
    def tokens(self) -> int:
        """Tokens per minute as a whole number; 0 is no limit."""
        return max(1, math.floor(self.tpm + _DUST)) if self.tpm > 0 else 0


def _stricter(one: float, other: float) -> float:
    return min(one, other) if one and other else one or other


def _rate(per: float, seconds: float, *, by_minute: bool) -> Rate:
    count = math.floor(per + _DUST)
    return Rate(count, lasting(seconds), by_minute) if count else Rate(1, lasting(seconds / per), by_minute)


@dataclass(eq=False)
class Booking:
    """One request that is let out. at: when it left; None: not yet. tokens: what it costs, as far as is known."""

    tokens: int = 0
    at: float | None = None


class Ledger:
    """Bookings by the time they left, and what others used of the same budget by the platform's own count."""

    def __init__(self) -> None:
        self._left: list[Booking] = []
        self._waiting: set[Booking] = set()
        self._foreign = (0, 0)
        self._foreign_until = -math.inf
        self._horizon = lasting(MINUTE)

    def book(self, tokens: int) -> Booking:
        """Count a request from now on, although it has not left yet."""
        booking = Booking(tokens)
        self._waiting.add(booking)
        return booking

    def sent(self, booking: Booking, now: float) -> None:
        """A booked request leaves now."""
        if booking in self._waiting:
            self._waiting.remove(booking)
            booking.at = now
            insort(self._left, booking, key=_time_of)

    def cancel(self, booking: Booking) -> None:
        """A booked request did not leave after all."""
        self._waiting.discard(booking)
        if booking in self._left:
            self._left.remove(booking)

    def observe(self, now: float, limits: tuple[int | None, int | None], left: tuple[int | None, int | None]) -> None:
        """What the platform says of requests and tokens: its limits, and what is left of them.

        What is missing beyond our own bookings was used by others, and may stay used for a minute.
        """
        ours = self._within(lasting(MINUTE), now)
        self._foreign = (
            max(0, _used(limits[0], left[0]) - len(ours)),
            max(0, _used(limits[1], left[1]) - sum(booking.tokens for booking in ours)),
        )
        self._foreign_until = now + lasting(MINUTE)

    def delay(self, now: float, rates: Sequence[Rate], tokens: int, limit: int) -> float:
        """Seconds until a request of so many tokens may leave; infinite when that depends on those not yet sent.

        limit: tokens per minute, 0 for none.
        """
        self._horizon = max([self._horizon, *(rate.seconds for rate in rates)])
        self._forget(now)
        foreign = self._foreign if now + _DUST < self._foreign_until else (0, 0)
        delays = [self._delay_of(rate, now, foreign[0] if rate.by_minute else 0) for rate in rates]
        if limit:
            delays.append(self._delay_of_tokens(now, tokens, limit, foreign[1]))
        return max(delays, default=0.0)

    def is_empty(self, now: float) -> bool:
        """Whether nothing counts any more."""
        self._forget(now)
        return not self._left and not self._waiting

    def _delay_of(self, rate: Rate, now: float, foreign: int) -> float:
        left = self._within(rate.seconds, now)
        too_many = len(left) + len(self._waiting) + foreign - rate.count + 1
        if too_many <= 0:
            return 0.0
        leaving = sorted([*(_time_of(one) + rate.seconds for one in left), *[self._foreign_until] * foreign])
        return leaving[too_many - 1] - now if too_many <= len(leaving) else math.inf

    def _delay_of_tokens(self, now: float, tokens: int, limit: int, foreign: int) -> float:
        seconds = lasting(MINUTE)
        left = self._within(seconds, now)
        used = sum(booking.tokens for booking in (*left, *self._waiting)) + foreign
        leaving = sorted([*((_time_of(one) + seconds, one.tokens) for one in left), (self._foreign_until, foreign)])
        for moment, freed in [(now, 0), *leaving]:
            used -= freed
            if used + tokens <= limit:
                return max(0.0, moment - now)
        return math.inf

    def _within(self, seconds: float, now: float) -> list[Booking]:
        return self._left[bisect_right(self._left, now - seconds + _DUST, key=_time_of) :]

    def _forget(self, now: float) -> None:
        del self._left[: bisect_right(self._left, now - self._horizon + _DUST, key=_time_of)]


def _time_of(booking: Booking) -> float:
    assert booking.at is not None, "only what has left is in order of time"
    return booking.at


def _used(limit: int | None, left: int | None) -> int:
    return 0 if limit is None or left is None else limit - left


class TooLarge(Exception):
    """A request needs more tokens than a whole minute has."""

    def __init__(self, tokens: int, limit: int) -> None:
        self.tokens = tokens
        self.limit = limit
        super().__init__(f"about {tokens} tokens of {limit}")


@dataclass(eq=False)
class Place:
    """One who waits. own: limits to keep to, whatever the platform allows. booking: once it is let out.

    too_large: the budget of a minute, once it turned out to be too small.
    """

    own: Limits
    tokens: int = 0
    spare: float = 0.0
    booking: Booking | None = None
    too_large: TooLarge | None = None


class Line:
    """Those who wait for one budget, in the order they came, and all that decides when the first may go."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.learned = Limits()
        self._places: deque[Place] = deque()
        self._paused_from = self._paused_until = -math.inf
        self._refusals = 0

    @property
    def head(self) -> Place | None:
        """Who is next."""
        return self._places[0] if self._places else None

    def join(self, place: Place) -> None:
        """Stand at the end."""
        self._places.append(place)

    def leave(self, place: Place) -> None:
        """Give up, with what was booked."""
        if place in self._places:
            self._places.remove(place)
        if place.booking is not None:
            self.ledger.cancel(place.booking)

    def let_out(self, now: float) -> Iterator[Place]:
        """Let out who may go, in order, and whoever needs more than there ever is."""
        while (head := self.head) is not None and self.delay(head, now) <= _DUST:
            self._places.popleft()
            if head.too_large is None:
                head.booking = self.ledger.book(head.tokens)
            yield head

    def delay(self, place: Place, now: float) -> float:
        """Seconds until it could be let out if it stood at the head; infinite: until something else happens."""
        limits = place.own.and_(self.learned).less(place.spare)
        if limits.tokens and place.tokens > limits.tokens:
            place.too_large = TooLarge(place.tokens, limits.tokens)
            return 0.0
        return max(self._paused_until - now, self.ledger.delay(now, limits.rates(), place.tokens, limits.tokens))

    def learn(self, now: float, limits: tuple[int | None, int | None], left: tuple[int | None, int | None]) -> None:
        """Take over what an answer says of requests and tokens. A limit of no requests at all lets one out a minute."""
        requests, tokens = limits
        rpm = self.learned.rpm if requests is None else max(1, requests)
        self.learned = Limits(rpm=rpm, tpm=self.learned.tpm if tokens is None else tokens)
        self.ledger.observe(now, limits, left)

    def refused(self, now: float, sent: float, *, by_minute: bool, wait: float | None) -> float:
        """The platform refused what left at `sent`: nobody goes for a while. wait: what the platform asked for.

        Gives the seconds. What had left before the pause began does not make it longer.
        """
        if sent < self._paused_from:
            return max(0.0, self._paused_until - now)
        seconds = min(_FIRST_PAUSE[by_minute] * 2.0**self._refusals, MINUTE) if wait is None else wait
        self._refusals = min(self._refusals + 1, 10)
        self._paused_from, self._paused_until = now, max(self._paused_until, now + seconds)
        return seconds

    def accepted(self) -> None:
        """The platform took something, so the next refusal is a first one."""
        self._refusals = 0

    def is_idle(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting all this but the learned limits."""
        return not self._places and now >= self._paused_until and self.ledger.is_empty(now)
