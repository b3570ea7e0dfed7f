"""Budgets that several processes share, on a real Redis server."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from qianfan._clock import SYSTEM_CLOCK, SystemClock
from qianfan._transport import Call, Client, Family, Safety
from qianfan._transport.budgets import Budgets, Told
from qianfan._transport.ledger import Ledger, Limits, lasting
from qianfan._transport.limits_redis import RedisConnectionInfo, SharedBudgets
from qianfan.config import Settings
from qianfan.errors import ConnectionFailedError, InvalidArgumentError, RateLimitError, RequestTimeoutError
from tests.support.redis_server import RedisServer

from .platform import Script, ok

redis = pytest.importorskip("redis")
pytestmark = [pytest.mark.anyio, pytest.mark.socket]

NOTHING = Told()
CHAT = Call("chat", Family.INFERENCE_V2, Safety.READ, "/v2/chat/completions")


@pytest.fixture(scope="module")
def module_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def server(module_server: RedisServer) -> Iterator[Any]:
    """An empty server, through the library's own client."""
    with redis.Redis(port=module_server.port, decode_responses=True) as client:
        client.flushall()
        yield client


class ToldClock(SystemClock):
    """Tells when somebody falls asleep, which is when it has to wait."""

    def __init__(self) -> None:
        self.asleep = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await super().sleep(seconds)


@pytest.fixture
async def clock() -> ToldClock:
    return ToldClock()


@pytest.fixture
async def shared(server: Any, module_server: RedisServer, clock: ToldClock) -> SharedBudgets:
    return SharedBudgets(SecretStr(module_server.url), clock)


def key(part: str) -> str:
    return f"qianfan:{{m}}:{part}"


def parts(server: Any) -> set[str]:
    """What is kept of the one budget there is."""
    return {name.rpartition(":")[2] for name in server.scan_iter("*")}


def moments(server: Any) -> list[float]:
    """When requests left, in seconds of the server."""
    return [score / 1e6 for _, score in server.zrange(key("left"), 0, -1, withscores=True)]


async def test_no_window_holds_more_than_allowed(server: Any, shared: SharedBudgets) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(functools.partial(shared.take, "m", Limits(qps=3), 0))
    left = moments(server)
    assert len(left) == 8
    assert all(later - earlier >= lasting(1) for earlier, later in zip(left, left[3:], strict=False))


async def test_a_large_request_is_not_overtaken(shared: SharedBudgets, clock: ToldClock) -> None:
    own, order = Limits(tpm=100), []
    first = await shared.take("m", own, 60)
    assert first is not None

    async def ask(tokens: int) -> None:
        await shared.take("m", own, tokens)
        order.append(tokens)

    async with anyio.create_task_group() as group:
        for tokens in (90, 10):
            clock.asleep = anyio.Event()
            group.start_soon(ask, tokens)
            await clock.asleep.wait()
        assert order == [], "10 would fit"
        await first.close(NOTHING, 0, 0.0, gone=True)
    assert sorted(order) == [10, 90]


async def test_a_cancelled_wait_leaves_no_place(server: Any, shared: SharedBudgets, clock: ToldClock) -> None:
    own = Limits(rpm=1)
    await shared.take("m", own, 0)
    async with anyio.create_task_group() as group:
        group.start_soon(functools.partial(shared.take, "m", own, 0))
        await clock.asleep.wait()
        assert "line" in parts(server)
        group.cancel_scope.cancel()
    assert parts(server) == {"left", "state", "tokens"}


async def test_a_process_that_died_while_it_waited_holds_nobody_up(server: Any, shared: SharedBudgets) -> None:
    grant = await shared.take("m", Limits(rpm=2), 0)
    assert grant is not None
    seconds, microseconds = server.time()
    server.zadd(key("line"), {"ghost": 0})
    server.zadd(key("leases"), {"ghost": seconds * 1_000_000 + microseconds + 200_000})
    with pytest.raises(RequestTimeoutError):
        await shared.take("m", Limits(rpm=2), 0, timeout=0.0)
    assert await shared.take("m", Limits(rpm=2), 0) is not None
    assert "line" not in parts(server)


async def test_what_did_not_leave_is_given_back(server: Any, shared: SharedBudgets) -> None:
    for _ in range(3):
        grant = await shared.take("m", Limits(rpm=1, tpm=10), 10, timeout=0.5)
        assert grant is not None
        await grant.close(NOTHING, None, 0.0, gone=False)
    assert parts(server) == {"state"}


async def test_everything_expires(server: Any, shared: SharedBudgets) -> None:
    grant = await shared.take("m", Limits(rpm=1, tpm=10), 1)
    assert grant is not None
    await grant.sent()
    await grant.close(Told((10, 100), (1, 2)), 5, 1.0, gone=True)
    with pytest.raises(RequestTimeoutError):
        await shared.take("m", Limits(rpm=1), 0, timeout=0.0)
    names = [*server.scan_iter("*")]
    assert len(names) >= 3
    assert [name for name in names if server.pttl(name) <= 0] == []
    assert {name.partition("}")[0] for name in names} == {"qianfan:{m"}, "one slot of a cluster"


async def test_all_learn_what_one_is_told(server: Any, shared: SharedBudgets, module_server: RedisServer) -> None:
    """Limits, down and up, what others used, and pauses."""
    other = SharedBudgets(SecretStr(module_server.url), SYSTEM_CLOCK)
    grant = await shared.take("m", Limits(), 0)
    assert grant is not None
    await grant.close(Told((2, 50), (1, 50)), None, 0.0, gone=True)
    assert await other.take("m", Limits(rpm=100), 0, timeout=0.0) is not None
    with pytest.raises(RequestTimeoutError):
        await other.take("m", Limits(), 0, timeout=0.0)
    with pytest.raises(InvalidArgumentError, match="are 50"):
        await other.take("m", Limits(tpm=70), 60)
    with pytest.raises(InvalidArgumentError, match="are 45"):
        await other.take("m", Limits(), 46, spare=0.1)
    await grant.close(Told((100, 500), (98, 500)), None, 0.0, gone=True)
    last = await other.take("m", Limits(), 400, timeout=0.0)
    assert last is not None
    await grant.close(Told((100, 500), (0, 100)), None, 0.0, gone=True)
    with pytest.raises(RequestTimeoutError):
        await other.take("m", Limits(), 0, timeout=0.0)
    await grant.close(Told((100, 500), (90, 100)), None, 30.0, gone=True)
    with pytest.raises(RequestTimeoutError):
        await other.take("m", Limits(), 0, timeout=0.0)
    server.hset(key("state"), "paused", "0")
    assert await other.take("m", Limits(), 0, timeout=0.0) is not None


@given(
    entries=st.lists(st.tuples(st.floats(0.5, 59), st.integers(0, 50)), max_size=30),
    tokens=st.integers(0, 100),
    rpm=st.integers(0, 40),
    tpm=st.just(0) | st.integers(100, 800),
    qps=st.just(0) | st.integers(1, 5),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_script_says_what_the_ledger_says(
    server: Any,
    module_server: RedisServer,
    entries: list[tuple[float, int]],
    tokens: int,
    rpm: int,
    tpm: int,
    qps: int,
) -> None:
    """Each for what left so many seconds ago for so many tokens."""
    shared = SharedBudgets(SecretStr(module_server.url), SYSTEM_CLOCK)
    server.flushall()
    seconds, microseconds = server.time()
    now = seconds + microseconds / 1e6
    ledger = Ledger()
    for number, (ago, cost) in enumerate(entries):
        booking = ledger.book(cost)
        ledger.sent(booking, now - ago)
        server.zadd(key("left"), {str(number): round((now - ago) * 1e6)})
        server.hset(key("tokens"), str(number), cost)
    limits = Limits(qps, rpm, tpm)
    expected = ledger.delay(now, limits.rates(), tokens, limits.tokens)
    rates = [(rate.count, round(rate.seconds * 1e6), int(rate.by_minute)) for rate in limits.rates()]
    asked = (tokens, tpm, 0, len(rates), *(part for rate in rates for part in rate))

    async def ask() -> list[int] | None:
        return await shared.run("m", "take", "id", *asked)

    answer = anyio.run(ask)
    later = server.time()
    passed = later[0] + later[1] / 1e6 - now
    assert answer is not None
    waits, milliseconds = answer
    if waits:
        assert expected - passed - 0.001 <= milliseconds / 1000 <= expected + 0.002
    else:
        assert expected <= passed


# --- without the server --------------------------------------------------------------------------------------------


def client_of(url: str, script: Script, **more: Any) -> Client:
    made = Settings(no_auth=True, limiter_redis_url=url, **more)
    return Client(made, transport=httpx.MockTransport(script), budgets=Budgets())


async def test_without_the_server_each_process_is_limited_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    server = RedisServer("a-password")
    try:
        async with client_of(server.url, Script(ok()), rpm_limit=2, limiter_timeout=0.5) as client:
            await client.call(CHAT, {"model": "m"})
            server.kill()
            with caplog.at_level(logging.WARNING, "qianfan"):
                await client.call(CHAT, {"model": "m"})
            assert "limits hold for this process alone" in caplog.text
            with pytest.raises(RequestTimeoutError):
                await client.call(CHAT, {"model": "m"})
    finally:
        server.close()
    assert "a-password" not in caplog.text


async def test_the_server_may_be_required() -> None:
    server = RedisServer("a-password")
    script = Script(ok())
    try:
        async with client_of(server.url, script, limiter_redis_required=True, llm_api_retry_count=1) as client:
            await client.call(CHAT, {"model": "m"})
            server.kill()
            with pytest.raises(ConnectionFailedError, match="REDIS_REQUIRED") as caught:
                await client.call(CHAT, {"model": "m"})
            assert (caught.value.sent, caught.value.retryable) == (False, True)
            server.start()
            await client.call(CHAT, {"model": "m"})
    finally:
        server.close()
    assert len(script.requests) == 2
    assert "a-password" not in str(caught.value) + repr(client.settings)


async def test_a_refusal_in_one_client_pauses_another(module_server: RedisServer, server: Any) -> None:
    refusal = httpx.Response(429, json={"error": {"code": "rpm_rate_limit_exceeded", "message": "m"}})
    refused = client_of(module_server.url, Script(refusal))
    other = client_of(module_server.url, Script(ok()), limiter_timeout=0.2)
    async with refused, other:
        with pytest.raises(RateLimitError):
            await refused.call(CHAT, {"model": "m"}, retries=None)
        await other.call(CHAT, {"model": "another"})
        with pytest.raises(RequestTimeoutError):
            await other.call(CHAT, {"model": "m"})


async def test_usage_is_told_to_the_others(module_server: RedisServer, server: Any) -> None:
    answer = httpx.Response(200, json={"result": "x", "usage": {"total_tokens": 90}})
    first = client_of(module_server.url, Script(answer), tpm_limit=100)
    other = client_of(module_server.url, Script(ok()), tpm_limit=100, limiter_timeout=0.2)
    async with first, other:
        await first.call(CHAT, {"model": "m", "prompt": "one two"})
        await other.call(CHAT, {"model": "m", "prompt": "one two three"})
        with pytest.raises(RequestTimeoutError):
            await other.call(CHAT, {"model": "m", "prompt": "one two three four five six seven eight"})


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://127.0.0.1", "redis://127.0.0.1:port"])
async def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="limiter_redis_url"):
        SharedBudgets(SecretStr(url), SYSTEM_CLOCK)


@pytest.mark.parametrize(
    ("info", "url"),
    [
        (RedisConnectionInfo(), "redis://127.0.0.1:6379/0"),
        (RedisConnectionInfo("h", 1, 2, password="p@/"), "redis://:p%40%2F@h:1/2"),
        (RedisConnectionInfo("h", ssl=True, username="u", password="p"), "rediss://u:p@h:6379/0"),
        (
            RedisConnectionInfo("h", health_check_interval=30, max_connections=None),
            "redis://h:6379/0?health_check_interval=30",
        ),
    ],
)
def test_connection_info_of_the_older_sdk(info: RedisConnectionInfo, url: str) -> None:
    assert info.url == url
    assert "p@/" not in repr(info)


def test_the_address_is_a_secret() -> None:
    assert "secret" not in repr(Settings(limiter_redis_url="redis://:secret@host"))
