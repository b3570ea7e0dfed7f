"""An emulator, a client of the tests' own for it, and a clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta, timezone

import anyio.lowlevel
import pytest

from qianfan.emulator import Emulator
from tests.emulator.signing import Console


class HandClock:
    """Time that passes only when a test says so; sleeping passes it at once and is noted."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc) + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(activate=False, engine="scripted") as emulator:
        yield emulator


@pytest.fixture
async def console(emulator: Emulator) -> AsyncIterator[Console]:
    async with Console(emulator) as console:
        yield console


@pytest.fixture
async def timed(clock: HandClock) -> AsyncIterator[Console]:
    """A client of an emulator whose time the test drives."""
    with Emulator(clock=clock, activate=False, engine="scripted") as emulator:
        async with Console(emulator) as console:
            console.auth._now = clock.wall()
            yield console
