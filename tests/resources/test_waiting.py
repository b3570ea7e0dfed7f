"""Waiting for remote work: how often it looks, and what ends it. An outage does not."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import anyio.lowlevel
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan import _faults
from qianfan._auth.tokens import TokenStore
from qianfan._transport import Call, Client, Family, Safety
from qianfan.config import Settings
from qianfan.emulator import Emulator
from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    AuthError,
    ConnectionFailedError,
    QianfanError,
    RateLimitError,
    RequestError,
    RequestTimeoutError,
)
from qianfan.resources import Platform
from qianfan.resources.waiting import Backoff, Course, Pacing, watch
from tests.support.clock import JumpClock
from tests.support.emulated import client_for, new_job, new_task

HOUR = 3600.0


class Fixed:
    """A random source without chance; 1 is the end of its range."""

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


class Diary(JumpClock):
    """A clock that jumps, and writes down how far."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        await super().sleep(seconds)


# --- pacing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "elapsed", "remaining", "seconds"),
    [
        (30, 0, inf, 1),
        (30, 4, inf, 1),
        (30, 8, inf, 2),
        (30, 60, inf, 15),
        (30, 120, inf, 30),
        (30, HOUR, inf, 30),
        (30, HOUR, 100, 25),
        (30, HOUR, 8, 2),
        (30, HOUR, 0, 1),
        (30, HOUR, -5, 1),
        (30, 8, HOUR, 2),
        (2, HOUR, inf, 2),
        (0.05, 0, inf, 0.05),
        (0.05, HOUR, inf, 0.05),
        (0, HOUR, inf, 0),
    ],
)
def test_pacing(cap: float, elapsed: float, remaining: float, seconds: float) -> None:
    assert Pacing(cap).seconds(elapsed, remaining, rng=Fixed()) == pytest.approx(seconds)
    assert Pacing(cap).seconds(elapsed, remaining, rng=Fixed(0.0)) == pytest.approx(0.8 * seconds)


times = st.floats(0, 1e9)
chance = st.floats(0, 1, exclude_max=True).map(Fixed)


@given(cap=times, elapsed=times, remaining=times | st.just(inf), rng=chance)
def test_a_sleep_is_never_longer_than_the_cap_and_never_much_shorter_than_the_floor(
    cap: float, elapsed: float, remaining: float, rng: Fixed
) -> None:
    seconds = Pacing(cap).seconds(elapsed, remaining, rng=rng)
    assert 0.8 * min(1.0, cap) <= seconds <= cap


@given(cap=times, earlier=times, later=times, rng=chance)
def test_sleeps_grow_with_what_has_passed_and_shrink_with_what_is_left(
    cap: float, earlier: float, later: float, rng: Fixed
) -> None:
    earlier, later = sorted((earlier, later))
    pacing = Pacing(cap)
    assert pacing.seconds(earlier, rng=rng) <= pacing.seconds(later, rng=rng)
    assert pacing.seconds(1e9, earlier, rng=rng) <= pacing.seconds(1e9, later, rng=rng)


@given(st.integers(0))
def test_two_waits_do_not_go_in_step(seed: int) -> None:
    one, other = random.Random(seed), random.Random(seed + 1)
    pacing = Pacing(30)
    assert [pacing.seconds(HOUR, rng=one) for _ in range(5)] != [pacing.seconds(HOUR, rng=other) for _ in range(5)]


@pytest.mark.parametrize(
    ("looks", "elapsed", "seconds"),
    [
        ([], 100, inf),
        ([(0, None), (50, None)], 100, inf),
        ([(0, 0)], 100, inf),
        ([(0, 0), (100, 0)], 100, inf),
        ([(0, 0), (100, 10)], 100, 900),
        ([(0, 0), (100, 10), (120, None)], 150, 850),
        ([(0, 80), (100, 90)], 100, 100),
        ([(0, 0), (100, 50), (200, 100)], 200, 0),
        ([(0, 0), (100, 50), (200, 100)], 500, 300),
        ([(0, 0), (99, 99)], 99, 1),
        ([(0, 0), (99, 99)], 1099, 1000),
        ([(0, 50), (10, 60), (20, 0)], 20, inf),
        ([(0, 50), (10, 60), (20, 0), (30, 10)], 30, 90),
    ],
    ids=[
        "nothing seen",
        "no percentage",
        "one look",
        "no step yet",
        "a tenth",
        "a look between",
        "begun in the middle",
        "all",
        "all, for long",
        "nearly all",
        "nearly all, for long",
        "begun again",
        "begun again, and on",
    ],
)
def test_what_is_left(looks: list[tuple[float, float | None]], elapsed: float, seconds: float) -> None:
    course = Course()
    for moment, percent in looks:
        course.saw(moment, percent)
    assert course.remaining(elapsed) == pytest.approx(seconds)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.none() | st.integers(-5, 200)), max_size=20))
def test_whatever_is_told_what_is_left_is_a_time(looks: list[tuple[float, int | None]]) -> None:
    course, moment = Course(), 0.0
    for step, percent in looks:
        moment += step
        course.saw(moment, percent)
        assert course.remaining(moment) >= 0


@pytest.mark.parametrize(
    ("first", "quick", "every", "seconds"),
    [
        (3, 3, 30, [3, 6, 12, 30, 48, 60, 60]),
        (3, 10, 30, [3, 6, 12, 24, 48, 60, 60]),
        (3, 0, 30, [30, 30, 30, 30, 48, 60]),
        (3, 3, 2, [3, 6, 12, 24, 48, 60, 60]),
        (0, 3, 0, [0, 0, 0, 1, 1, 1]),
        (0, 0, 600, [60, 60]),
        (1e9, 3, 30, [60, 60]),
    ],
)
def test_backoff(first: float, quick: int, every: float, seconds: list[float]) -> None:
    backoff = Backoff(first, quick, every)
    error = RequestError("down")
    assert [backoff.seconds(n + 1, error, rng=Fixed()) for n in range(len(seconds))] == pytest.approx(seconds)
    assert backoff.seconds(5000, error, rng=Fixed()) <= 60


@pytest.mark.parametrize(("asked", "seconds"), [(None, 2.4), (0, 2.4), (20, 20), (300, 60)])
def test_a_wait_that_was_asked_for_is_kept(asked: float | None, seconds: float) -> None:
    error = RateLimitError(18, "slow down", retry_after=asked)
    assert Backoff(3, 3, 30).seconds(1, error, rng=Fixed(0.0)) == pytest.approx(seconds)


# --- the wait --------------------------------------------------------------------------------------------------

Sight = int | Exception


def looking(*sights: Sight) -> Callable[[], Any]:
    """What the looks see, one after the other."""
    rest = list(sights)

    async def look() -> int:
        await anyio.lowlevel.checkpoint()
        sight = rest.pop(0)
        if isinstance(sight, Exception):
            raise sight
        return sight

    return look


def waiting_client(clock: JumpClock, chance: float = 1.0, **settings: Any) -> Client:
    return Client(Settings(**settings), clock=clock, rng=Fixed(chance))


async def over_at_100(clock: JumpClock, *sights: Sight, every: float = 30.0, **settings: Any) -> list[int]:
    told: list[int] = []
    client = waiting_client(clock, **settings)
    end = await watch(
        looking(*sights),
        until=lambda percent: percent == 100,
        tell=told.append,
        every=every,
        client=client,
        progress=lambda percent: percent,
    )
    assert end == 100
    return told


pytestmark = pytest.mark.anyio


async def test_looks_come_soon_at_first_and_again_near_the_end() -> None:
    clock = Diary()
    percent = [*[0] * 30, 50, 90, 98, 99, 100]
    assert await over_at_100(clock, *percent) == percent
    assert clock.slept[:6] == [1, 1, 1, 1, 1, 1.25]
    assert max(clock.slept) == 30
    assert clock.slept[20:30] == [30] * 10
    assert clock.slept[-1] < 5


async def test_many_waits_look_at_different_moments() -> None:
    """Each client has its own chance, and each sleep asks it anew."""
    clocks = [Diary(), Diary()]
    for clock, chance in zip(clocks, (0.0, 0.5), strict=True):
        client = waiting_client(clock, chance)
        sights = looking(*range(10))
        await watch(sights, until=lambda seen: seen == 9, tell=lambda seen: None, every=0.5, client=client)
    assert [set(clock.slept) for clock in clocks] == [{0.4}, {0.45}]


async def test_a_watch_without_a_percentage() -> None:
    clock = Diary()
    client = waiting_client(clock)
    end = await watch(
        looking(*range(100)), until=lambda seen: seen == 99, tell=lambda seen: None, every=7.0, client=client
    )
    assert end == 99
    assert clock.slept[-1] == 7


@pytest.mark.parametrize(
    "error",
    [
        RequestError("the connection broke", retryable=True),
        RequestTimeoutError("no answer", retryable=True),
        ConnectionFailedError("no name", retryable=True, sent=False),
        APIError("InternalError", "broken", http_status=500, retryable=True),
        RateLimitError(18, "slow down", retryable=True, retry_after=7),
        RequestError("bad gateway", status_code=502, retryable=True),
        RequestError("a login page", status_code=200, body="<html>welcome</html>"),
        RequestError("moved", status_code=302, body=""),
        RequestError("variant also negotiates", status_code=506, body=""),
    ],
    ids=str,
)
async def test_an_outage_of_hours_is_waited_out(error: QianfanError, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="qianfan")
    clock = Diary()
    assert await over_at_100(clock, 10, *[error] * 1000, 20, error, 100) == [10, 20, 100]
    assert clock.monotonic() > 16 * HOUR
    assert max(clock.slept) == 60
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in said] == ["WARNING", "INFO", "WARNING", "INFO"], "one pair for each outage"
    assert str(error) in said[0][1]
    assert said[1][1] == f"can look again, after {sum(clock.slept[1:1001]):.0f} seconds"


async def test_an_outage_at_the_very_first_look_is_one_too() -> None:
    error = ConnectionFailedError("no name", retryable=True, sent=False)
    assert await over_at_100(Diary(), *[error] * 50, 100) == [100]


async def test_a_wait_that_the_platform_asks_for() -> None:
    clock = Diary()
    await over_at_100(
        clock,
        RateLimitError(18, "slow down", retryable=True, retry_after=45),
        RateLimitError(18, "slow down", retryable=True, retry_after=300),
        100,
    )
    assert clock.slept == [45, 60]


@pytest.mark.parametrize(
    "error",
    [
        AuthError("InvalidAccessKeyId", "unknown", http_status=403),
        AccessTokenExpiredError(110, "refused"),
        APIError("AccessDenied", "no permission", http_status=403),
        APIError("NotFound", "gone", http_status=404),
        APIError(70102, "gone", http_status=200),
        RequestError("unauthorized", status_code=401, body=""),
        RequestError("a proxy says no", status_code=403, body="<html/>"),
        RequestError("not found", status_code=404, body=""),
        RequestError("the answer does not have the documented form", status_code=200),
        ZeroDivisionError("a slip of the caller's"),
    ],
    ids=str,
)
async def test_what_will_stay_comes_out_at_once(error: Exception) -> None:
    clock = Diary()
    with pytest.raises(type(error)) as caught:
        await over_at_100(clock, 10, error)
    assert caught.value is error
    assert len(clock.slept) == 1


async def test_what_will_stay_ends_an_outage() -> None:
    down = RequestError("down", retryable=True)
    with pytest.raises(APIError, match="gone"):
        await over_at_100(Diary(), 10, *[down] * 20, APIError("NotFound", "gone", http_status=404))


async def test_a_certificate_that_was_good_before_is_waited_for() -> None:
    """The login page of some hotel in front of the platform; a wrong set-up fails at the first look."""
    untrusted = ConnectionFailedError("certificate verify failed", sent=False)
    assert await over_at_100(Diary(), 10, *[untrusted] * 20, 100) == [10, 100]
    with pytest.raises(ConnectionFailedError):
        await over_at_100(Diary(), untrusted, 100)


async def test_a_token_that_cannot_be_replaced_for_hours() -> None:
    """The platform stops taking a token, and for a long time nobody gives out new ones."""
    given, taken, failures = 0, 1, 0

    def platform(request: httpx.Request) -> httpx.Response:
        nonlocal given, failures
        if request.url.path != "/chat":
            if failures:
                failures -= 1
                return httpx.Response(503)
            given += 1
            return httpx.Response(200, json={"access_token": f"token-{given}", "expires_in": 1000})
        if request.url.params["access_token"] == f"token-{taken}":
            return httpx.Response(200, json={"result": taken})
        return httpx.Response(200, json={"error_code": 111, "error_msg": "expired"})

    def expire(seen: int) -> None:
        nonlocal taken, failures
        taken, failures = 2, 200

    async def look() -> Any:
        return (await client.call(Call("chat", Family.INFERENCE_V1, Safety.READ, "/chat"), {})).result

    clock = Diary()
    settings = Settings(ak="ak", sk="sk", llm_api_retry_count=1)
    network = httpx.MockTransport(platform)
    async with Client(settings, clock=clock, rng=Fixed(0.5), transport=network, tokens=TokenStore()) as client:
        assert await watch(look, until=lambda seen: seen == 2, tell=expire, every=30.0, client=client) == 2
    assert clock.monotonic() > 2 * HOUR


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(engine="scripted") as emulator:
        yield emulator


async def test_a_training_is_watched_through_every_kind_of_trouble(emulator: Emulator) -> None:
    clock = Diary()
    client = client_for(clock, console_api_retry_count=1)
    platform = Platform(client)
    emulator.training.script(after_looks=2)
    task_id = await new_task(platform, await new_job(platform))
    troubles: list[dict[str, Any]] = [
        {"drop": "before"},
        {"drop": "during"},
        {"drop": "after"},
        {"status": 500, "code": "InternalError"},
        {"status": 502, "body": "<html/>"},
        {"status": 200, "body": "<html/>"},
        {"status": 429, "code": "Busy", "headers": {"retry-after": "17"}},
    ]
    faults = [emulator.faults.add("DescribeFineTuningTask", times=5, **trouble) for trouble in troubles]
    task = await watch(
        lambda: platform.finetune.describe_task(task_id),
        until=lambda task: task.run_status not in ("", "Waiting", "Running"),
        tell=lambda task: None,
        every=30.0,
        client=client,
        progress=lambda task: task.progress,
    )
    assert task.run_status == "Done"
    assert [fault.hits for fault in faults] == [5] * len(troubles)


# --- crash points ----------------------------------------------------------------------------------------------


@pytest.fixture
def armed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def arm(orders: str) -> None:
        monkeypatch.setenv("QIANFAN_FAULTS", orders)
        _faults._points.cache_clear()

    yield arm
    monkeypatch.undo()
    _faults._points.cache_clear()


@pytest.mark.parametrize(
    ("orders", "told"),
    [("poll.enter:1:raise", []), ("poll.tick:1:raise", [10]), ("poll.tick:3:raise", [10, 20, 30])],
)
async def test_crash_points(armed: Callable[[str], None], orders: str, told: list[int]) -> None:
    armed(orders)
    heard: list[int] = []
    client = waiting_client(Diary())
    sights = looking(10, RequestError("down", retryable=True), 20, 30, 100)
    with pytest.raises(_faults.InjectedFault):
        await watch(sights, until=lambda seen: seen == 100, tell=heard.append, every=30.0, client=client)
    assert heard == told


async def test_the_last_look_is_no_tick(armed: Callable[[str], None]) -> None:
    armed("poll.tick:4:raise")
    assert await over_at_100(Diary(), 10, 20, 30, 100) == [10, 20, 30, 100]
