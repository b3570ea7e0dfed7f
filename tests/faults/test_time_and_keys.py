"""Rows 14, 15 and 16: a clock that is off or set during a run, keys that are revoked, and a network without names.

Calls of the console are signed, so a run needs no token. That many who wait for one share a fetch is tested with the
tokens, in tests/auth.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Client
from qianfan.config import default_settings
from qianfan.emulator import Emulator
from qianfan.errors import AuthError, ConnectionFailedError
from qianfan.journal import SqliteJournal
from qianfan.trainer.state import journal_path
from tests.faults.support import (
    CREATE,
    KINDS,
    LOOK,
    ONE_OF_EACH,
    EventfulClock,
    Heard,
    Trouble,
    client_for,
    facts_of,
    new_trainer,
    orders,
    require_one_of_each,
    trained_by,
)
from tests.support.transport import Passing

pytestmark = pytest.mark.anyio

every_kind = pytest.mark.parametrize("kind", KINDS)
HOUR = timedelta(hours=1)
either_way = pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])


# --- 14: the clock ---------------------------------------------------------------------------------------------------


class OffClock:
    """Another clock whose time of day is off."""

    def __init__(self, clock: EventfulClock, off: timedelta = timedelta(0)) -> None:
        self.clock = clock
        self.off = off

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def wall(self) -> datetime:
        return self.clock.wall() + self.off

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


class Dated(httpx.AsyncBaseTransport):
    """Answers carry the platform's time, as those of every HTTP server do. calls: how many so far."""

    def __init__(self, emulator: Emulator, clock: EventfulClock) -> None:
        self._inner = emulator.transport()
        self._clock = clock
        self.calls: list[str] = []
        self.after: dict[int, Callable[[], Any]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        response.headers["date"] = format_datetime(self._clock.wall(), usegmt=True)
        self.calls.append(request.url.params.get("Action", request.url.path.rpartition("/")[2]))
        self.after.get(len(self.calls), lambda: None)()
        return response


@pytest.fixture
def network(emulator: Emulator, clock: EventfulClock) -> Iterator[Dated]:
    return Dated(emulator, clock)


def client_of(clock: OffClock, network: Dated, **changes: Any) -> Client:
    return Client(default_settings().replace(**changes), clock=clock, transport=network, tokens=TokenStore())


def refused(emulator: Emulator) -> list[str]:
    """The calls that were not let in."""
    return [request.name for request in emulator.requests if request.status in (400, 401, 403)]


@either_way
async def test_14_a_clock_that_is_off_costs_one_request(
    off: timedelta, emulator: Emulator, clock: EventfulClock, network: Dated
) -> None:
    trainer = await new_trainer(client_of(OffClock(clock, off), network)).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert len(refused(emulator)) == 1


@either_way
@every_kind
async def test_14_a_clock_that_is_set_just_before_an_order(
    kind: str, off: timedelta, emulator: Emulator, clock: EventfulClock, network: Dated
) -> None:
    """The refused order had no effect: it is signed again at once, and nobody looks for it."""
    await new_trainer(client_of(OffClock(clock), network)).arun()
    usual = list(network.calls)
    emulator.reset()
    network.calls.clear()
    jumping = OffClock(clock)
    network.after[usual.index(CREATE[kind])] = lambda: setattr(jumping, "off", off)
    trainer = await new_trainer(client_of(jumping, network)).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == {**ONE_OF_EACH, kind: 2}
    assert refused(emulator) == [CREATE[kind]]
    assert emulator.count(LOOK[kind]) == 0


@pytest.mark.parametrize("off", [HOUR, -HOUR, timedelta(days=400)], ids=["ahead", "behind", "a year"])
async def test_14_setting_the_clock_does_not_change_how_long_an_order_is_looked_for(
    off: timedelta, emulator: Emulator, clock: EventfulClock, network: Dated
) -> None:
    jumping = OffClock(clock)
    clock.at(20.0, lambda: setattr(jumping, "off", off))
    emulator.faults.add(CREATE["task"], drop="before")
    trainer = await new_trainer(client_of(jumping, network, submit_on_absent="resubmit")).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == {**ONE_OF_EACH, "task": 2}
    assert 120 <= clock.monotonic() <= 131
    assert refused(emulator) == [LOOK["task"]]


LOST_AND_OFF = [
    *(("job", off, when) for off in (HOUR, -HOUR, 14 * HOUR) for when in ("all the time", "before", "after")),
    *((kind, HOUR, "all the time") for kind in ("task", "model", "service")),
]


@pytest.mark.parametrize(("kind", "off", "when"), LOST_AND_OFF, ids=str)
async def test_14_a_lost_order_is_found_whatever_the_clock_says(
    kind: str, off: timedelta, when: str, emulator: Emulator, clock: EventfulClock, network: Dated
) -> None:
    """A look for a job goes by dates, and those are the platform's, while the intent's is ours.

    when: the clock is off: before the order and put right then, or only after it.
    """
    heard, client_clock = Heard(), OffClock(clock, off if when != "after" else timedelta(0))
    if when != "all the time":
        clock.at(1.0, lambda: setattr(client_clock, "off", off if when == "after" else timedelta(0)))
    emulator.quirks.listing_lag = 20.0
    emulator.faults.add(CREATE[kind], drop="after")
    trainer = await new_trainer(client_of(client_clock, network), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator)[kind] == 1 + (CREATE[kind] in refused(emulator))
    assert heard.of("adopted") == [{kind: trained_by(trainer)[kind]}]
    assert clock.monotonic() < 120


# --- 15: the keys ----------------------------------------------------------------------------------------------------


REFUSALS = pytest.mark.parametrize(
    ("status", "code"), [(403, "InvalidAccessKeyId"), (401, "InvalidHTTPAuthHeader")], ids=["revoked", "unknown"]
)


async def require_suspended(trainer: Any) -> None:
    """The run is open and still this process's, as any other process sees it."""
    assert (await facts_of(trainer))["run_status"] == "open"
    elsewhere = SqliteJournal(journal_path(trainer._client.settings))
    try:
        facts = await elsewhere.run(trainer.id)
        assert facts.driven_by == os.getpid()
        claim = await elsewhere.claim(trainer.id, spec={}, fingerprint=trainer._fingerprint(), kinds={})
        assert claim.record is None
    finally:
        elsewhere.close()


@REFUSALS
async def test_15_keys_that_are_revoked_while_it_polls(
    status: int, code: str, emulator: Emulator, clock: EventfulClock
) -> None:
    heard = Heard()
    fault = emulator.faults.add("DescribeFineTuningTask", nth=2, times=None, status=status, code=code, message="no")
    trainer = new_trainer(client_for(clock), heard)
    for attempt in range(2):
        with pytest.raises(AuthError, match=code):
            await trainer.aresume()
        assert orders(emulator) == {"job": 1, "task": 1, "model": 0, "service": 0}, attempt
        await require_suspended(trainer)
    assert emulator.count("StopFineTuningTask") == 0
    emulator.faults.remove(fault)
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    heard.require_order()


@every_kind
async def test_15_keys_that_are_revoked_at_an_order(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """It was refused, so it is neither looked for nor repeated until somebody resumes."""
    status, code = 403, "InvalidAccessKeyId"
    fault = emulator.faults.add(CREATE[kind], times=None, status=status, code=code, message="no")
    trainer = new_trainer(client_for(clock))
    with pytest.raises(AuthError, match=code):
        await trainer.arun()
    assert orders(emulator)[kind] == 1
    await require_suspended(trainer)
    emulator.faults.remove(fault)
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == {**ONE_OF_EACH, kind: 2}
    assert emulator.count(LOOK[kind]) == 0


@every_kind
async def test_15_keys_that_are_revoked_while_it_looks(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """An order of unknown fate stays one."""
    heard = Heard()
    emulator.faults.add(CREATE[kind], drop="after")
    fault = emulator.faults.add(LOOK[kind], times=None, status=403, code="InvalidAccessKeyId", message="no")
    trainer = new_trainer(client_for(clock, submit_on_absent="resubmit"), heard)
    with pytest.raises(AuthError):
        await trainer.arun()
    await require_suspended(trainer)
    emulator.faults.remove(fault)
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert len(heard.of("adopted")) == 1


async def test_15_keys_that_were_wrong_from_the_start(emulator: Emulator, clock: EventfulClock) -> None:
    """A resume with the right ones, in a trainer of the same id, begins the run."""
    wrong = client_for(clock, secret_key="not this one")
    trainer = new_trainer(wrong, id="keys")
    with pytest.raises(AuthError, match="SignatureDoesNotMatch"):
        await trainer.arun()
    assert sum(orders(emulator).values()) == 0
    trainer = await new_trainer(client_for(clock), id="keys").aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH


# --- 16: no names ----------------------------------------------------------------------------------------------------


class Outage:
    """No name is found for some seconds, from the nth request of a call on."""

    def __init__(self, emulator: Emulator, clock: EventfulClock, call: str, *, nth: int = 1, seconds: float) -> None:
        self.transport = Trouble(emulator.transport(), self._is_down, self._no_name)
        self._clock, self._call, self._left, self._seconds = clock, call, nth, seconds
        self._ends = 0.0

    def _is_down(self, name: str) -> bool:
        if name == self._call and self._left > 0:
            self._left -= 1
            self._ends = self._clock.monotonic() + self._seconds if self._left == 0 else 0.0
        return self._clock.monotonic() < self._ends

    async def _no_name(self, request: httpx.Request, pass_on: Passing) -> httpx.Response:
        raise httpx.ConnectError("[Errno -3] Temporary failure in name resolution", request=request)


@pytest.mark.parametrize("call", ["DescribeFineTuningTask", "modelVersionDetail", "DescribeService"])
async def test_16_five_minutes_without_names_while_it_polls(
    call: str, emulator: Emulator, clock: EventfulClock
) -> None:
    heard = Heard()
    outage = Outage(emulator, clock, call, seconds=300)
    trainer = await new_trainer(client_for(clock, outage.transport), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert 300 <= clock.monotonic() < 420
    assert outage.transport.calls.count(call) < 60
    assert not [event for event in heard.events if event.exception is not None]


@every_kind
async def test_16_five_minutes_without_names_at_an_order(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """It never left, so nobody looks for it, and it is sent when there are names again."""
    heard = Heard()
    outage = Outage(emulator, clock, CREATE[kind], seconds=300)
    trainer = await new_trainer(client_for(clock, outage.transport), heard).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert 300 <= clock.monotonic() < 340
    assert outage.transport.calls.count(CREATE[kind]) > 3
    assert outage.transport.calls.count(LOOK[kind]) == 0
    assert heard.of("adopted") == []


async def test_16_hours_without_names_at_an_order(emulator: Emulator, clock: EventfulClock) -> None:
    """The run ends after ten minutes, and says why; resuming it orders once."""
    outage = Outage(emulator, clock, CREATE["task"], seconds=7200)
    trainer = new_trainer(client_for(clock, outage.transport))
    with pytest.raises(ConnectionFailedError, match="name resolution"):
        await trainer.arun()
    assert 600 <= clock.monotonic() < 700
    assert orders(emulator) == {"job": 1, "task": 0, "model": 0, "service": 0}
    await clock.sleep(7200)
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert outage.transport.calls.count(LOOK["task"]) == 0
