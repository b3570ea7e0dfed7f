"""Tokens: what the flows ask and understand, and how a store shares what they bring."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from qianfan._auth.iam import IamCredentials
from qianfan._auth.tokens import BearerSource, OAuthSource, Token, TokenFlow, TokenRequest, TokenStore
from qianfan.errors import AuthError, RequestError

NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
OAUTH = OAuthSource("https://aip.example", SecretStr("ak"), SecretStr("sk"))
BEARER = BearerSource("https://iam.example", IamCredentials("access", SecretStr("secret")), 43200)


def finish(flow: TokenFlow, answer: Any) -> tuple[TokenRequest, Token]:
    """Drive a flow by hand."""
    request = next(flow)
    with pytest.raises(StopIteration) as done:
        flow.send(answer)
    return request, done.value.value


# --- flows ---------------------------------------------------------------------------------------------------


def test_oauth_flow() -> None:
    request, token = finish(OAUTH.flow(NOON), {"access_token": "24.a", "expires_in": 1000})
    assert (request.method, request.base_url, request.path) == ("POST", "https://aip.example", "/oauth/2.0/token")
    assert dict(request.query) == {"grant_type": "client_credentials", "client_id": "ak", "client_secret": "sk"}
    assert request.signer is None
    assert token.value.get_secret_value() == "24.a"
    assert token.refresh_at == NOON + timedelta(seconds=900)
    assert token.expires_at == NOON + timedelta(seconds=1000)


@pytest.mark.parametrize("expires_in", [None, 0, -1, "soon", True, [], float("nan")])
def test_oauth_flow_without_a_usable_lifetime_takes_the_documented_one(expires_in: Any) -> None:
    _, token = finish(OAUTH.flow(NOON), {"access_token": "t", "expires_in": expires_in})
    assert token.expires_at == NOON + timedelta(days=30)


@pytest.mark.parametrize(("expires_in", "seconds"), [("3600", 3600), (0.5, 0.5), (1e300, 10 * 365 * 86400)])
def test_oauth_flow_with_an_unusual_lifetime(expires_in: Any, seconds: float) -> None:
    _, token = finish(OAUTH.flow(NOON), {"access_token": "t", "expires_in": expires_in})
    assert token.expires_at == NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["two\nlines", "a blank", "令牌"])
@pytest.mark.parametrize(("source", "name"), [(OAUTH, "access_token"), (BEARER, "token")])
def test_a_token_that_cannot_be_sent_is_an_error(source: Any, name: str, value: str) -> None:
    flow = source.flow(NOON)
    next(flow)
    with pytest.raises(RequestError, match="cannot be sent") as caught:
        flow.send({name: value})
    assert value not in str(caught.value)


def test_a_disabled_bearer_token_is_an_error() -> None:
    flow = BEARER.flow(NOON)
    next(flow)
    with pytest.raises(RequestError, match="disabled"):
        flow.send({"token": "bce-v3/x/y", "status": "disable"})


def test_bearer_flow_takes_the_lifetime_from_the_servers_two_times() -> None:
    answer = {"token": "bce-v3/x/y", "createTime": "2030-01-02T03:04:05.000Z", "expireTime": "2030-01-02T03:05:45.000Z"}
    request, token = finish(BEARER.flow(NOON), answer)
    assert (request.method, request.path, request.query) == (
        "GET",
        "/v1/BCE-BEARER/token",
        (("expireInSeconds", "43200"),),
    )
    assert request.signer is BEARER.credentials
    assert token.expires_at == NOON + timedelta(seconds=100)
    assert token.refresh_at == NOON + timedelta(seconds=90)


@pytest.mark.parametrize("times", [{}, {"expireTime": "tomorrow"}, {"expireTime": "2001-01-01T00:00:00Z"}])
def test_bearer_flow_without_usable_times_takes_what_it_asked_for(times: dict[str, str]) -> None:
    _, token = finish(BEARER.flow(NOON), {"token": "bce-v3/x/y", **times})
    assert token.expires_at == NOON + timedelta(seconds=43200)


@pytest.mark.parametrize("source", [OAUTH, BEARER])
@pytest.mark.parametrize("answer", [{}, {"access_token": None, "token": None}, {"access_token": "", "token": ""}])
def test_an_answer_without_a_token_is_an_error(source: Any, answer: Any) -> None:
    flow = source.flow(NOON)
    next(flow)
    with pytest.raises(RequestError, match="token"):
        flow.send(answer)


def test_nothing_printed_holds_a_secret() -> None:
    request, token = finish(
        OAuthSource("https://aip.example", SecretStr("ak-secret"), SecretStr("sk-secret")).flow(NOON),
        {"access_token": "t-secret"},
    )
    assert "secret" not in repr(request) + repr(token) + repr(OAUTH) + repr(BEARER)


# --- the store -----------------------------------------------------------------------------------------------


class Office:
    """Hands out numbered tokens; can be slow or fail; counts."""

    def __init__(self, lifetime: float = 1000.0) -> None:
        self.now = NOON
        self.lifetime = lifetime
        self.fetches = 0
        self.fails: list[Exception] = []
        self.gate: anyio.Event | None = None

    async def drive(self, flow: TokenFlow) -> Token:
        next(flow)
        self.fetches += 1
        number = self.fetches
        await anyio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise self.fails.pop(0)
        try:
            flow.send({"access_token": f"token-{number}", "expires_in": self.lifetime})
        except StopIteration as done:
            return done.value
        raise AssertionError("the flow asks once")

    async def get(self, store: TokenStore, refused: str | None = None) -> str:
        token = await store.token(
            OAUTH, self.drive, now=lambda: self.now, refused=SecretStr(refused) if refused else None
        )
        return token.value.get_secret_value()


@pytest.mark.anyio
async def test_a_token_is_kept_until_nine_tenths_of_its_life() -> None:
    store, office = TokenStore(), Office()
    assert await office.get(store) == "token-1"
    office.now += timedelta(seconds=899)
    assert await office.get(store) == "token-1"
    office.now += timedelta(seconds=1)
    assert await office.get(store) == "token-2"


@pytest.mark.anyio
async def test_a_refused_token_is_replaced_once() -> None:
    """The second to complain gets the token that the first one's complaint brought."""
    store, office = TokenStore(), Office()
    await office.get(store)
    assert await office.get(store, refused="token-1") == "token-2"
    assert await office.get(store, refused="token-1") == "token-2"
    assert office.fetches == 2


@pytest.mark.anyio
async def test_however_many_wait_one_fetches() -> None:
    store, office = TokenStore(), Office()
    got: list[str] = []

    async def ask() -> None:
        got.append(await office.get(store))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
    assert got == ["token-1"] * 100
    assert office.fetches == 1


@pytest.mark.anyio
async def test_however_many_are_refused_one_fetches() -> None:
    store, office = TokenStore(), Office()
    await office.get(store)
    got: list[str] = []

    async def complain() -> None:
        got.append(await office.get(store, refused="token-1"))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(complain)
    assert got == ["token-2"] * 100
    assert office.fetches == 2


@pytest.mark.anyio
async def test_a_fetch_that_fails_for_the_moment_says_so_to_all_who_waited() -> None:
    """Whoever polls goes on then."""
    store, office = TokenStore(), Office()
    office.gate = anyio.Event()
    office.fails = [RequestError("down", retryable=True)]
    errors: list[RequestError] = []

    async def ask() -> None:
        try:
            await office.get(store)
        except RequestError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        office.gate.set()
    assert [error.retryable for error in errors] == [True] * 100
    assert office.fetches == 1


@pytest.mark.anyio
async def test_those_who_waited_share_a_failure_and_the_next_one_tries_again() -> None:
    store, office = TokenStore(), Office()
    office.gate = anyio.Event()
    office.fails = [AuthError("invalid_client", "unknown client id")]
    errors: list[Exception] = []

    async def ask() -> None:
        try:
            await office.get(store)
        except AuthError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        office.gate.set()
    assert len(errors) == 5
    assert office.fetches == 1
    assert await office.get(store) == "token-2"


@pytest.mark.anyio
async def test_a_cancelled_fetch_does_not_strand_the_others() -> None:
    store, office = TokenStore(), Office()
    office.gate = anyio.Event()
    got: list[str] = []

    async def ask() -> None:
        got.append(await office.get(store))

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def first() -> None:
            with scope:
                await ask()

        group.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        for _ in range(3):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        office.gate.set()
    assert got == ["token-2"] * 3


@pytest.mark.anyio
async def test_an_ageing_token_bridges_a_failed_fetch() -> None:
    store, office = TokenStore(), Office()
    await office.get(store)
    office.now += timedelta(seconds=910)
    office.fails = [RequestError("down", retryable=True)]
    assert await office.get(store) == "token-1"
    assert await office.get(store) == "token-1"
    assert office.fetches == 2, "the next try waits a minute"
    office.now += timedelta(seconds=60)
    assert await office.get(store) == "token-3"


@pytest.mark.anyio
async def test_an_expired_token_bridges_nothing() -> None:
    store, office = TokenStore(), Office()
    await office.get(store)
    office.now += timedelta(seconds=1000)
    office.fails = [RequestError("down", retryable=True)]
    with pytest.raises(RequestError, match="down"):
        await office.get(store)


def test_event_loops_in_several_threads_share_the_store() -> None:
    store, office = TokenStore(), Office()
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda backend=backend: got.append(anyio.run(office.get, store, backend=backend)))
        for backend in ["asyncio", "trio"] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert set(got) == {"token-1"}
    assert office.fetches == 1


def test_one_loop_waits_for_another_and_takes_over_when_that_one_gives_up() -> None:
    """The first to ask is cancelled while it fetches, on trio; the one on asyncio fetches then."""
    store, office = TokenStore(), Office()
    began, waits = threading.Event(), threading.Event()

    async def first() -> None:
        with anyio.CancelScope() as scope:

            async def drive(flow: TokenFlow) -> Token:
                began.set()
                await anyio.to_thread.run_sync(waits.wait)
                scope.cancel()
                await anyio.sleep_forever()
                raise AssertionError("cancelled")

            await store.token(OAUTH, drive, now=lambda: office.now)

    async def second() -> str:
        async with anyio.create_task_group() as group:
            result: list[str] = []

            async def ask() -> None:
                result.append(await office.get(store))

            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert office.fetches == 0
            waits.set()
        return result[0]

    thread = threading.Thread(target=lambda: anyio.run(first, backend="trio"))
    thread.start()
    began.wait()
    assert anyio.run(second) == "token-1"
    thread.join()


@pytest.mark.anyio
async def test_a_forked_child_does_not_wait_for_its_parent() -> None:
    store, office = TokenStore(), Office()
    office.gate = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(office.get, store)
        await anyio.wait_all_tasks_blocked()
        store.after_fork()
        office.gate = None
        assert await office.get(store) == "token-2"
        group.cancel_scope.cancel()


def test_a_refused_ready_token_is_remembered_for_a_while() -> None:
    store = TokenStore()
    store.refuse(SecretStr("first"))
    assert store.was_refused(SecretStr("first"))
    for number in range(1000):
        store.refuse(SecretStr(str(number)))
    assert not store.was_refused(SecretStr("first"))
