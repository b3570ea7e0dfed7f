"""The platform's time, for signatures: they are refused when this machine's clock is off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from qianfan._clock import Clock
from qianfan._transport.wire import clock_skew, date_of
from qianfan.utils.logging import logger

_WORTH_CORRECTING: Final = timedelta(seconds=60)


class PlatformTime:
    """This machine's clock, put right by what the platform's refusals told.

    offset: what is added to the machine's time. It may be wrong again after the clock is set; then the next refusal
    tells, so nothing has to watch for that.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """The time to sign with."""
        return self._clock.wall() + self.offset

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take the offset from the `Date` of an answer, if it is far from what was taken for the platform's time."""
        told = date_of(headers)
        if told is None or abs(told - self.now()) < _WORTH_CORRECTING:
            return
        self.offset = told - self._clock.wall()
        off = clock_skew(headers, self._clock.wall())
        logger.warning("%s; signing with the platform's time", off or "This machine's clock is right again")
