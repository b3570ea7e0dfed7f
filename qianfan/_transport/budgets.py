"""Budgets: how many requests and tokens go out in a time, for one account and model, over all loops and threads."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qianfan._bell import Bell
from qianfan._clock import Clock
from qianfan._transport.ledger import Booking, Limits, Line, Place
from qianfan.errors import InvalidArgumentError, RateLimitError, RequestTimeoutError

_MOST_IDLE: Final = 256
_PER_SECOND: Final = 18
"""The code of a refusal that a second's budget is behind; all others count by the minute."""


@dataclass(frozen=True)
class Told:
    """What an answer says of the platform's own count, requests first, tokens second; None where it says nothing."""

    limits: tuple[int | None, int | None] = (None, None)
    left: tuple[int | None, int | None] = (None, None)

    @classmethod
    def by(cls, headers: Mapping[str, str]) -> Told:
        """headers: names in lower case."""
        requests, tokens, requests_left, tokens_left = (
            _number(headers.get(f"x-ratelimit-{name}", ""))
            for name in ("limit-requests", "limit-tokens", "remaining-requests", "remaining-tokens")
        )
        return cls((requests, tokens), (requests_left, tokens_left))

    def __bool__(self) -> bool:
        return any(number is not None for number in self.limits)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


class Grant:
    """Leave to send one request. Say when it leaves; afterwards, what it cost or that it was for nothing."""

    def __init__(self, budget: Budget, booking: Booking) -> None:
        self._budget = budget
        self._booking = booking

    @property
    def tokens(self) -> int:
        """What is counted for it."""
        return self._booking.tokens

    @property
    def is_sent(self) -> bool:
        return self._booking.at is not None

    def sent(self) -> None:
        """The request leaves now."""
        budget = self._budget
        with budget.changing() as now:
            budget.line.ledger.sent(self._booking, now)

    def settle(self, tokens: int) -> None:
        """It cost so many tokens."""
        with self._budget.changing():
            self._booking.tokens = tokens

    def give_back(self) -> None:
        """It did not leave, or provably did not arrive."""
        budget = self._budget
        with budget.changing():
            budget.line.ledger.cancel(self._booking)

    def refused(self, error: RateLimitError) -> float:
        """The platform says that there were too many. Gives the seconds for which nobody goes."""
        budget, sent = self._budget, self._booking.at
        with budget.changing() as now:
            by_minute = error.code != _PER_SECOND
            return budget.line.refused(now, now if sent is None else sent, by_minute=by_minute, wait=error.retry_after)


class Budget:
    """One budget. Its counts are guarded by a lock; whoever waits does so on the loop it came on.

    clock: the time that windows are measured in.
    """

    def __init__(self, clock: Clock) -> None:
        self.line = Line()
        self._clock = clock
        self._guard = threading.Lock()
        self._bells: dict[Place, Bell] = {}

    @property
    def waiting(self) -> int:
        """How many wait, over all loops."""
        with self._guard:
            return len(self._bells)

    def counts_tokens(self, own: Limits) -> bool:
        """Whether there is a limit on tokens, so that somebody has to estimate them."""
        return bool(own.tpm or self.line.learned.tpm)

    def changing(self) -> _Changing:
        """Change something in this block, which is given the time; whoever is next looks again afterwards."""
        return _Changing(self)

    def learn(self, told: Told) -> None:
        """Take over what the platform says of its limits, larger or smaller than before."""
        with self.changing() as now:
            self.line.learn(now, told.limits, told.left)

    def accepted(self) -> None:
        """The platform took a request."""
        with self._guard:
            self.line.accepted()

    async def take(self, own: Limits, tokens: int = 0, *, spare: float = 0.0, timeout: float | None = None) -> Grant:
        """Wait for leave to send a request of about so many tokens, first come, first served.

        own: limits to keep to even if the platform allows more. spare: part of each limit to leave unused.
        timeout: seconds to wait at most. A cancelled wait gives up its place and what it was given.
        Raises InvalidArgumentError for more tokens than a minute has, RequestTimeoutError.
        """
        place = Place(own, tokens, spare)
        until = math.inf if timeout is None else self._clock.monotonic() + timeout
        with self._guard:
            self.line.join(place)
        try:
            while True:
                with self._guard:
                    self._let_out()
                    if place.booking is not None:
                        return Grant(self, place.booking)
                    if place.too_large is not None:
                        raise _too_large(place.too_large.tokens, place.too_large.limit)
                    now = self._clock.monotonic()
                    if now >= until:
                        raise timed_out(timeout)
                    bell = self._bells[place] = Bell()
                    is_next = self.line.head is place
                    seconds = min(until - now, self.line.delay(place, now) if is_next else math.inf)
                await (bell.wait_at_most(seconds, self._clock.sleep) if seconds < math.inf else bell.wait())
        except BaseException:
            with self.changing():
                self.line.leave(place)
            raise
        finally:
            with self._guard:
                self._bells.pop(place, None)

    def is_idle(self) -> bool:
        """Whether nothing but learned limits would be lost by forgetting this budget."""
        with self._guard:
            return self.line.is_idle(self._clock.monotonic())

    def _let_out(self) -> None:
        let_out = [*self.line.let_out(self._clock.monotonic())]
        for place in let_out:
            self._ring(place)
        if let_out:
            self._ring(self.line.head)

    def _ring(self, place: Place | None) -> None:
        if place is not None and (bell := self._bells.pop(place, None)) is not None:
            bell.ring()


class _Changing:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def __enter__(self) -> float:
        self._budget._guard.acquire()
        return self._budget._clock.monotonic()

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._budget._ring(self._budget.line.head)
        finally:
            self._budget._guard.release()


def _too_large(tokens: int, limit: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"the request has about {tokens} tokens, and all that may be used in a minute are {limit}: shorten it, or "
        "raise QIANFAN_TPM_LIMIT if the account has more"
    )


def timed_out(seconds: float | None) -> RequestTimeoutError:
    """The error of a wait for a turn that took too long; nothing was sent."""
    return RequestTimeoutError(
        f"the rate limits did not let the request out within {seconds or 0:g} seconds (QIANFAN_LIMITER_TIMEOUT); "
        "it was not sent",
        sent=False,
    )


class Budgets:
    """The budgets by name, for every client of the process. Of those that are idle, the 256 used last are kept."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._budgets: OrderedDict[tuple[int, str], Budget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._budgets)

    def at(self, name: str, clock: Clock) -> Budget:
        """The budget of that name, in the time of that clock."""
        # The budget holds its clock, so that the number stays the clock's own.
        key = id(clock), name
        with self._guard:
            budget = self._budgets.get(key)
            if budget is None:
                budget = self._budgets[key] = Budget(clock)
                self._drop_idle()
            self._budgets.move_to_end(key)
            return budget

    def _drop_idle(self) -> None:
        if len(self._budgets) > _MOST_IDLE:
            idle = [key for key, budget in self._budgets.items() if budget.is_idle()][:-1]
            for key in idle[: len(self._budgets) - _MOST_IDLE]:
                del self._budgets[key]

    def after_fork(self) -> None:
        """A forked child begins anew: those who wait in the parent do not wait here."""
        self.__init__()  # type: ignore[misc]  # starting over is what a forked child needs


SHARED_BUDGETS: Final = Budgets()
"""The budgets of the process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SHARED_BUDGETS.after_fork)
