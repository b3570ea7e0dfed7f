"""Who asks: tokens of applications and accounts, fetched, shared, replaced and made for others, over a socket."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any

import anyio
import httpx
import pytest

from qianfan import ChatCompletion, get_config
from qianfan._transport import default_client
from qianfan.emulator.account import Account, Keys
from qianfan.emulator.server import Running
from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    AuthError,
    BearerTokenExpiredError,
    InvalidArgumentError,
    MissingCredentialsError,
)
from qianfan.resources import IAM
from tests.contract.conftest import Faces

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def keys(account: Account) -> Keys:
    assert account.keys is not None
    return account.keys


@pytest.fixture
def application(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of an application, in place of the account's."""
    monkeypatch.setenv("QIANFAN_AK", keys.ak)
    monkeypatch.setenv("QIANFAN_SK", keys.sk)
    monkeypatch.delenv("QIANFAN_ACCESS_KEY")
    monkeypatch.delenv("QIANFAN_SECRET_KEY")


@pytest.fixture(autouse=True)
def _one_attempt(monkeypatch: pytest.MonkeyPatch, served: Running) -> None:
    """What is repeated with a new token is no retry."""
    monkeypatch.setenv("QIANFAN_LLM_API_RETRY_COUNT", "1")


def v1(**how: Any) -> ChatCompletion:
    return ChatCompletion(model="ERNIE-Speed-8K", **how)


def v2(**how: Any) -> ChatCompletion:
    return ChatCompletion(version="2", model="ernie-speed-8k", **how)


# --- OAuth -----------------------------------------------------------------------------------------------------------


@pytest.mark.covers("/oauth/2.0/token")
@pytest.mark.usefixtures("application")
async def test_a_token_is_fetched_once_for_all_objects(ask: Faces, served: Running) -> None:
    for _ in range(3):
        assert (await ask(v1(), "do", messages=HELLO))["result"]
    assert (served.platform.log.count("oauth"), served.platform.log.count("chat")) == (1, 3)
    [asked] = [recorded for recorded in served.platform.log.recent() if recorded.name == "oauth"]
    assert (asked.method, asked.path, asked.body) == ("POST", "/oauth/2.0/token", {})


@pytest.mark.covers("/oauth/2.0/token")
@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("end", ["expire", "revoke"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_token_that_ends_is_replaced_within_the_call(
    ask: Faces, served: Running, account: Account, end: str, streamed: bool
) -> None:
    """111 for one that is too old, 110 for one that is not known any more."""
    await ask(v1(), "do", messages=HELLO)
    with account.lock:
        account.tokens.expire_all(account.now()) if end == "expire" else account.tokens.revoke_all()
    answer = await ask(v1(), "do", messages=HELLO, stream=streamed)
    if streamed and ask.face == "async":
        assert [piece async for piece in answer]
    elif streamed:
        assert await anyio.to_thread.run_sync(lambda: [*answer])
    assert (served.platform.log.count("oauth"), served.platform.log.count("chat")) == (2, 3)


@pytest.mark.usefixtures("application")
async def test_a_token_that_is_refused_twice_is_the_end(ask: Faces, served: Running) -> None:
    fault = served.platform.faults.add("chat", code=110, times=None)
    with pytest.raises(AccessTokenExpiredError, match="QIANFAN_AK"):
        await ask(v1(), "do", messages=HELLO)
    assert fault.hits == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"AK": "unknown"}, "unknown client id"), ({"SK": "wrong"}, "Client authentication failed")],
)
@pytest.mark.usefixtures("application")
async def test_wrong_keys_of_an_application(
    ask: Faces, served: Running, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(f"QIANFAN_{name}", value)
    monkeypatch.setenv("QIANFAN_LLM_API_RETRY_COUNT", "3")
    with pytest.raises(AuthError, match=said) as caught:
        await ask(v1(), "do", messages=HELLO)
    assert caught.value.code == "invalid_client"
    assert "not mixed up" in str(caught.value)
    assert served.platform.log.count("oauth") == 1


@pytest.mark.usefixtures("application")
async def test_one_fetch_for_threads_and_loops_at_once(ask: Faces, served: Running, account: Account) -> None:
    """At the start, and again when the token ends under all of them."""
    threads = 6

    def together() -> None:
        begin = threading.Barrier(threads + 1)

        def one(backend: str | None) -> None:
            begin.wait()
            anyio.run(v1().ado, HELLO, backend=backend) if backend else v1().do(HELLO)

        running = [
            threading.Thread(target=one, args=(backend,)) for backend in ("asyncio", "trio", None) * (threads // 3)
        ]
        for thread in running:
            thread.start()
        begin.wait()
        for thread in running:
            thread.join()

    await anyio.to_thread.run_sync(together)
    assert served.platform.log.count("oauth") == 1
    with account.lock:
        account.tokens.expire_all(account.now())
    await anyio.to_thread.run_sync(together)
    assert served.platform.log.count("oauth") == 2


@pytest.mark.usefixtures("application")
async def test_a_ready_token_comes_first_and_is_replaced_for_good(
    ask: Faces, served: Running, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with account.lock:
        ready = account.tokens.new_access(account.now(), 100)
    monkeypatch.setenv("QIANFAN_ACCESS_TOKEN", ready)
    await ask(v1(), "do", messages=HELLO)
    assert served.platform.log.count("oauth") == 0
    with account.lock:
        account.tokens.expire_all(account.now())
    for _ in range(3):
        await ask(v1(), "do", messages=HELLO)
    assert (served.platform.log.count("oauth"), served.platform.log.count("chat")) == (1, 5)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_route_by_both_methods(served: Running, keys: Keys, method: str) -> None:
    query = {"grant_type": "client_credentials", "client_id": keys.ak, "client_secret": keys.sk}
    async with httpx.AsyncClient(base_url=served.url) as http:
        made = (await http.request(method, "/oauth/2.0/token", params=query)).json()
        assert set(made) == {
            "access_token",
            "expires_in",
            "refresh_token",
            "session_key",
            "session_secret",
            "scope",
        }
        assert made["expires_in"] == 2592000
        for changes in ({"client_id": "x"}, {"client_secret": "x"}, {"grant_type": "x"}):
            refused = (await http.request(method, "/oauth/2.0/token", params={**query, **changes})).json()
            assert set(refused) == {"error", "error_description"}


# --- bearer tokens ---------------------------------------------------------------------------------------------------


@pytest.mark.covers("/v1/BCE-BEARER/token")
async def test_a_bearer_token_is_fetched_once_and_replaced_when_it_ends(
    ask: Faces, served: Running, account: Account
) -> None:
    for _ in range(3):
        assert (await ask(v2(), "do", messages=HELLO))["choices"]
    assert served.platform.log.count("bearer") == 1
    for end in (lambda: account.tokens.expire_all(account.now()), account.tokens.revoke_all):
        with account.lock:
            end()
        await ask(v2(), "do", messages=HELLO)
    assert (served.platform.log.count("bearer"), served.platform.log.count("chat.completions")) == (3, 7)


@pytest.mark.covers("/v1/BCE-BEARER/token")
async def test_a_token_for_somebody_else(ask: Faces, served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made with the account's keys, used without them."""
    answer = await ask(IAM, "create_bearer_token", 600)
    assert answer["status"] == "enable"
    begins, ends = (
        datetime.fromisoformat(answer[name].replace("Z", "+00:00")) for name in ("createTime", "expireTime")
    )
    assert begins.tzinfo == timezone.utc
    assert (ends - begins).total_seconds() == 600
    token = answer["token"]
    assert token.startswith("bce-v3/ALTAK-")
    assert token.count("/") == 2
    assert token not in str(answer) + repr(answer)
    monkeypatch.delenv("QIANFAN_ACCESS_KEY")
    monkeypatch.delenv("QIANFAN_SECRET_KEY")
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", token)
    await ask(v2(), "do", messages=HELLO)
    assert served.platform.log.count("bearer") == 1


@pytest.mark.parametrize("seconds", [0, 299, 2592001])
async def test_a_lifetime_that_there_is_not(ask: Faces, served: Running, seconds: int) -> None:
    with pytest.raises(InvalidArgumentError, match="300 to 2592000"):
        await ask(IAM, "create_bearer_token", seconds)
    assert served.platform.log.count("bearer") == 0


async def test_a_long_lived_key_is_used_as_it_is(ask: Faces, served: Running, account: Account) -> None:
    """By any of its ways in, the strongest of which counts; refused, it is not replaced behind the caller's back."""
    with account.lock:
        key = account.tokens.new_api_key()
    await ask(v2(bearer_token=key), "do", messages=HELLO)
    get_config().BEARER_TOKEN = "bce-v3/un/known"
    await ask(v2(bearer_token=key), "do", messages=HELLO)
    with pytest.raises(BearerTokenExpiredError, match="QIANFAN_BEARER_TOKEN"):
        await ask(v2(), "do", messages=HELLO)
    assert served.platform.log.count("bearer") == 0
    async with httpx.AsyncClient(base_url=served.url) as http:
        made = await http.get("/v1/BCE-BEARER/token", headers={"authorization": f"Bearer {key}"})
        assert made.json()["token"] != key
        refused = await http.get("/v1/BCE-BEARER/token", headers={"authorization": f"Bearer {made.json()['token']}"})
        assert refused.status_code == 403, "only a long-lived one makes others"


async def test_wrong_keys_of_the_account(ask: Faces, served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_SECRET_KEY", "wrong")
    for doing in (ask(v2(), "do", messages=HELLO), ask(v1(), "do", messages=HELLO)):
        with pytest.raises(AuthError) as caught:
            await doing
        assert "not mixed up" in str(caught.value)


# --- none ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "chat", "words"),
    [
        ({}, v1, "None of access_key, secret_key, ak, sk is set"),
        ({"AK": "a"}, v1, "only ak is set, and sk is missing"),
        ({"SECRET_KEY": "s"}, v1, "only secret_key is set, and access_key is missing"),
        ({"AK": "a", "SK": ""}, v1, "sk is missing"),
        ({"ACCESS_KEY": "a"}, v2, "only access_key is set, and secret_key is missing"),
        ({"AK": "a", "SK": "s"}, v2, "QIANFAN_AK and QIANFAN_SK are the keys of an application and do not work here"),
    ],
)
async def test_keys_that_are_missing_are_named(
    ask: Faces, served: Running, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], chat: Any, words: str
) -> None:
    for name in ("ACCESS_KEY", "SECRET_KEY"):
        monkeypatch.delenv(f"QIANFAN_{name}")
    for name, value in variables.items():
        monkeypatch.setenv(f"QIANFAN_{name}", value)
    with pytest.raises(MissingCredentialsError, match=words):
        await ask(chat(), "do", messages=HELLO)
    assert served.platform.log.recent() == []


async def test_without_keys_by_choice(ask: Faces, served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_NO_AUTH", "true")
    for chat, code in ((v1(), 110), (v2(), "invalid_iam_token")):
        with pytest.raises(APIError) as caught:
            await ask(chat, "do", messages=HELLO)
        assert caught.value.code == code
    assert default_client().requests_sent == 2
