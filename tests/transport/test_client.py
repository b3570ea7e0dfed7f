"""The client against scripted answers: credentials, retries, tokens, streams, objects."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from email.utils import format_datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

import anyio
import httpx
import pytest
from pydantic import SecretStr
from trio.testing import MockClock

from qianfan import _local
from qianfan._auth.iam import IamCredentials, sign
from qianfan._retry import RetryPolicy
from qianfan._transport.client import Client, default_client
from qianfan._transport.wire import Call, Family, Safety
from qianfan.config import Settings, get_config
from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    AuthError,
    BearerTokenExpiredError,
    ConfigurationError,
    ConnectionFailedError,
    InvalidArgumentError,
    MissingCredentialsError,
    QianfanError,
    RateLimitError,
    RequestError,
    RequestTimeoutError,
    StreamInterruptedError,
)

from .platform import NOON, ManualClock, Script, client_for, ok

pytestmark = pytest.mark.anyio

READ = Call("DescribeJob", Family.CONSOLE_V2, Safety.READ, "/v2/finetuning", "DescribeJob")
EFFECT = Call("StopJob", Family.CONSOLE_V2, Safety.EFFECT, "/v2/finetuning", "StopJob")
PURCHASE = Call("CreateJob", Family.CONSOLE_V2, Safety.PURCHASE, "/v2/finetuning", "CreateJob")
CHAT_V1 = Call("chat", Family.INFERENCE_V1, Safety.READ, "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/{endpoint}")
CHAT_V2 = Call("chat", Family.INFERENCE_V2, Safety.READ, "/v2/chat/completions")
BUSY = httpx.Response(503)
APPLICATION = {"access_key": None, "secret_key": None, "ak": "ak-1", "sk": "sk-1"}


def token_answer(number: int) -> httpx.Response:
    return httpx.Response(200, json={"access_token": f"token-{number}", "expires_in": 1000})


def bearer_answer(number: int) -> httpx.Response:
    times = {"createTime": "2024-05-01T12:00:00.000Z", "expireTime": "2024-05-02T00:00:00.000Z"}
    return httpx.Response(200, json={"token": f"bce-v3/x/{number}", "status": "enable", **times})


def refused(code: Any, status: int = 200) -> httpx.Response:
    if isinstance(code, int):
        return httpx.Response(status, json={"error_code": code, "error_msg": "no"})
    return httpx.Response(status, json={"error": {"code": code, "message": "no"}})


# --- calls ---------------------------------------------------------------------------------------------------


async def test_a_console_call_on_the_wire() -> None:
    script = Script(ok({"jobId": "job-1"}))
    async with client_for(script) as client:
        reply = await client.call(READ, {"jobId": "job-1"})
    request = script.requests[0]
    assert reply.result == {"jobId": "job-1"}
    assert reply.request_id == "r-1"
    assert str(request.url.copy_with(query=None)) == "https://qianfan.baidubce.com/v2/finetuning"
    assert request.url.query == b"Action=DescribeJob"
    assert script.body() == {"jobId": "job-1"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["request-source"].startswith("qianfan_py_sdk_v")
    assert request.headers["user-agent"].startswith("qianfan/")


def verify(request: httpx.Request, secret: str = "skexample") -> None:
    """Compute the signature again from what arrived, as a server does."""
    scheme, access, _timestamp, expiration, listed, _ = request.headers["authorization"].split("/")
    assert scheme == "bce-auth-v1"
    expected = sign(
        IamCredentials(access, SecretStr(secret)),
        method=request.method,
        path=request.url.raw_path.split(b"?")[0].decode(),
        query=list(request.url.params.multi_items()),
        headers=dict(request.headers),
        timestamp=NOON,
        expiration=int(expiration),
        signed_headers=listed.split(";"),
    )
    assert request.headers["authorization"] == expected.authorization


async def test_what_arrives_is_what_was_signed() -> None:
    call = Call("odd", Family.CONSOLE_V1, Safety.READ, "/a b/{name}", method="POST")
    script = Script(ok())
    async with client_for(script) as client:
        await client.call(
            call, path_args={"name": "千帆 (1)!*'~%/x"}, query={"q s": "a+b &=/%20'千"}, headers={"X-Bce-Extra": "1"}
        )
    verify(script.requests[0])
    assert "x-bce-extra" in script.requests[0].headers["authorization"]


async def test_keys_are_checked_before_anything_is_sent() -> None:
    script = Script(ok())
    async with client_for(script, **APPLICATION) as client:
        with pytest.raises(MissingCredentialsError):
            await client.call(READ)
        with pytest.raises(MissingCredentialsError):
            await client.put_object("bucket", "key", b"x")
        with pytest.raises(MissingCredentialsError):
            client.presigned_url("bucket", "key")
    assert script.requests == []
    assert client.requests_sent == 0


async def test_cookies_are_not_kept() -> None:
    script = Script(httpx.Response(200, json={"result": 1}, headers={"set-cookie": "BAIDUID=1; Path=/"}))
    async with client_for(script) as client:
        await client.call(READ)
        await client.call(READ)
    assert "cookie" not in script.requests[1].headers


# --- retries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [READ, EFFECT])
@pytest.mark.parametrize(
    "failure",
    [
        BUSY,
        httpx.Response(429, json={"code": "TooMany", "message": "m"}),
        httpx.Response(500, json={"code": "InternalError", "message": "m"}),
        httpx.Response(200, json={"error_code": 500000, "error_msg": "m"}),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout(""),
        httpx.ReadTimeout(""),
        httpx.ReadError(""),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
    ],
)
async def test_reads_and_effects_ride_through_failures(call: Call, failure: Any) -> None:
    clock = ManualClock()
    script = Script(failure, failure, failure, ok())
    async with client_for(script, clock) as client:
        assert (await client.call(call)).result == "fine"
    assert client.requests_sent == 4
    assert clock.slept == [1.0, 1.5, 2.5], "0.5, 1, 2 seconds and half of the jitter"


async def test_the_last_error_comes_out() -> None:
    script = Script(BUSY, httpx.ReadTimeout(""))
    async with client_for(script) as client:
        with pytest.raises(RequestTimeoutError) as caught:
            await client.call(READ)
    assert client.requests_sent == 4
    assert caught.value.sent


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(400, json={"code": "InappropriateJSON", "message": "m"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(404, content=b""),
        httpx.LocalProtocolError("Illegal header value b'hush'"),
    ],
)
async def test_what_is_wrong_for_good_is_not_repeated(failure: Any) -> None:
    script = Script(failure)
    async with client_for(script) as client:
        with pytest.raises(QianfanError) as caught:
            await client.call(READ)
    assert len(script.requests) == 1
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "failure",
    [
        BUSY,
        httpx.Response(500),
        httpx.Response(429, json={"code": "TooMany", "message": "m"}),
        httpx.Response(200, json={"error_code": 18, "error_msg": "m"}),
        httpx.ReadTimeout(""),
        httpx.WriteTimeout(""),
        httpx.ReadError(""),
        httpx.WriteError(""),
        httpx.CloseError(""),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
    ],
)
async def test_a_purchase_is_sent_once(failure: Any) -> None:
    script = Script(failure, ok())
    async with client_for(script) as client:
        with pytest.raises(QianfanError) as caught:
            await client.call(PURCHASE)
        assert getattr(caught.value, "sent", True)
        script.answers.insert(0, failure)
        with pytest.raises(QianfanError):
            await client.call(PURCHASE, retries=RetryPolicy(attempts=9))
    assert len(script.requests) == 2


async def test_a_purchase_is_not_even_repeated_when_it_never_left() -> None:
    script = Script(httpx.ConnectError("refused"), ok())
    async with client_for(script) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.call(PURCHASE, retries=RetryPolicy(attempts=9))
        assert client.retry_policy(PURCHASE).attempts == 1
    assert caught.value.sent is False
    assert len(script.requests) == 1


async def test_a_refused_certificate_is_not_tried_again() -> None:
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed")
    script = Script(error)
    async with client_for(script) as client:
        with pytest.raises(ConnectionFailedError, match="certificate"):
            await client.call(READ)
    assert len(script.requests) == 1


async def test_each_attempt_is_signed_afresh() -> None:
    clock = ManualClock()
    script = Script(BUSY, ok())
    async with client_for(script, clock) as client:
        await client.call(READ)
    first, second = (request.headers["x-bce-date"] for request in script.requests)
    assert (first, second) == ("2024-05-01T12:00:00Z", "2024-05-01T12:00:01Z")


@pytest.mark.parametrize(
    ("value", "slept"),
    [("20", 20.0), ("999", 120.0), (format_datetime(NOON.replace(second=30), usegmt=True), 30.0), ("0", 1.0)],
)
async def test_retry_after_is_honoured_up_to_the_longest_wait(value: str, slept: float) -> None:
    clock = ManualClock()
    script = Script(httpx.Response(429, headers={"retry-after": value}), ok())
    async with client_for(script, clock) as client:
        await client.call(READ)
    assert clock.slept == [slept]


async def test_retries_can_be_given_and_switched_off() -> None:
    script = Script(BUSY)
    async with client_for(script) as client:
        with pytest.raises(RequestError):
            await client.call(READ, retries=None)
        assert client.requests_sent == 1
        with pytest.raises(RequestError):
            await client.call(READ, retries=RetryPolicy(attempts=2))
        assert client.requests_sent == 3


async def test_an_answer_that_takes_too_long() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    settings = Settings(access_key="a", secret_key="s", console_api_retry_timeout=0.01)
    async with Client(settings, clock=ManualClock(), transport=httpx.MockTransport(never)) as client:
        with pytest.raises(RequestTimeoutError, match=r"0\.01 seconds"):
            await client.call(READ)
    assert client.requests_sent == 4


class Endless(httpx.AsyncByteStream):
    """A body of blanks that goes on until it is closed; knows how many MiB it gave."""

    def __init__(self) -> None:
        self.given = 0
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.closed:
            raise StopAsyncIteration
        self.given += 1
        return b" " * 1024 * 1024

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("call", "most"), [(READ, 16), (PURCHASE, 16), (CHAT_V2, 64)])
@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_without_end_is_cut_off(call: Call, most: int, status: int) -> None:
    body = Endless()
    script = Script(lambda request: httpx.Response(status, stream=body, headers={"x-bce-request-id": "r-9"}))
    async with client_for(script, no_auth=True) as client:
        with pytest.raises(RequestError, match="larger than") as caught:
            await client.call(call)
    assert (caught.value.request_id, caught.value.body, caught.value.status_code) == ("r-9", None, status)
    assert body.given == most + 1
    assert len(script.requests) == 1


async def test_an_answer_that_says_it_is_too_large_is_not_read() -> None:
    body = Endless()
    headers = {"content-length": str(100 << 20), "x-bce-request-id": "r-9"}
    script = Script(lambda request: httpx.Response(200, stream=body, headers=headers))
    async with client_for(script) as client:
        with pytest.raises(RequestError, match="larger than") as caught:
            await client.call(READ)
    assert caught.value.request_id == "r-9"
    assert body.given == 0


async def test_the_size_of_a_large_object_is_no_answer_that_is_too_large() -> None:
    script = Script(lambda request: httpx.Response(200, headers={"content-length": str(100 << 20)}))
    async with client_for(script) as client:
        assert (await client.head_object("bucket", "key")).headers["content-length"] == str(100 << 20)


@pytest.mark.parametrize(
    ("call", "settings", "timeout", "seconds"),
    [
        (PURCHASE, {}, {}, 30.0),
        (PURCHASE, {"console_api_retry_timeout": 12.0}, {}, 12.0),
        (PURCHASE, {}, {"timeout": 90.0}, 90.0),
        (PURCHASE, {}, {"timeout": 3.0}, 3.0),
        (PURCHASE, {}, {"timeout": None}, None),
        (EFFECT, {}, {}, 60.0),
    ],
)
async def test_how_long_an_answer_may_take(call: Call, settings: Any, timeout: Any, seconds: float | None) -> None:
    script = Script(ok())
    async with client_for(script, **settings) as client:
        await client.call(call, **timeout)
    assert script.requests[0].extensions["timeout"]["read"] == seconds


@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
async def test_a_purchase_that_nobody_answers_ends_with_its_deadline() -> None:
    """The event loop's own clock jumps to the deadline."""

    async def never(request: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    settings = Settings(access_key="a", secret_key="s")
    async with Client(settings, transport=httpx.MockTransport(never)) as client:
        with pytest.raises(RequestTimeoutError, match="within 30 seconds"):
            await client.call(PURCHASE)
    assert client.requests_sent == 1


async def test_no_more_than_the_limit_are_on_their_way() -> None:
    now = most = 0

    async def count(request: httpx.Request) -> httpx.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        now -= 1
        return httpx.Response(200, json={"result": 1})

    settings = Settings(access_key="a", secret_key="s", max_requests_in_flight=3)
    async with Client(settings, transport=httpx.MockTransport(count)) as client, anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(client.call, READ)
    assert most == 3
    assert client.requests_sent == 20


# --- inference and its tokens --------------------------------------------------------------------------------


async def test_v1_inference_signed_with_account_keys() -> None:
    script = Script(httpx.Response(200, json={"id": "as-1", "result": "Hello"}))
    async with client_for(script) as client:
        reply = await client.call(CHAT_V1, {"messages": []}, path_args={"endpoint": "eb"}, request_id="mine-1")
    request = script.requests[0]
    assert reply.result == "Hello"
    assert request.url.path == "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/eb"
    assert request.headers["request_id"] == "mine-1"
    assert "content-type;host;request_id;x-bce-date" in request.headers["authorization"]
    verify(request)


async def test_a_request_id_is_made_up() -> None:
    script = Script(ok())
    async with client_for(script) as client:
        await client.call(CHAT_V1, path_args={"endpoint": "eb"})
    prefix, _, tail = script.requests[0].headers["request_id"].rpartition("-")
    assert prefix.startswith("sdk-py-")
    assert len(tail) == 16


async def test_an_oauth_token_is_fetched_once_and_used() -> None:
    script = Script(token_answer(1), ok(), ok())
    async with client_for(script, **APPLICATION) as client:
        await client.call(CHAT_V1, path_args={"endpoint": "eb"})
        await client.call(CHAT_V1, path_args={"endpoint": "eb"})
    fetch, first, second = script.requests
    assert (fetch.method, fetch.url.path) == ("POST", "/oauth/2.0/token")
    assert dict(fetch.url.params) == {"grant_type": "client_credentials", "client_id": "ak-1", "client_secret": "sk-1"}
    assert "authorization" not in fetch.headers
    assert first.url.params["access_token"] == second.url.params["access_token"] == "token-1"


@pytest.mark.parametrize("code", [110, 111])
async def test_a_refused_oauth_token_is_replaced_and_the_call_repeated(code: int) -> None:
    clock = ManualClock()
    script = Script(token_answer(1), refused(code), token_answer(2), ok())
    async with client_for(script, clock, **APPLICATION) as client:
        assert (await client.call(CHAT_V1, path_args={"endpoint": "eb"}, retries=None)).result == "fine"
    assert script.requests[-1].url.params["access_token"] == "token-2"
    assert clock.slept == []


async def test_a_token_that_ends_under_many_calls_is_replaced_once() -> None:
    def platform(request: httpx.Request) -> httpx.Response:
        nonlocal tokens
        if request.url.path.startswith("/oauth"):
            tokens += 1
            return token_answer(tokens)
        return refused(111) if request.url.params["access_token"] == "token-1" else ok()

    tokens = 0
    async with client_for(Script(platform), **APPLICATION) as client, anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(partial(client.call, CHAT_V1, path_args={"endpoint": "eb"}))
    assert tokens == 2


@pytest.mark.parametrize("failure", [BUSY, httpx.ConnectError("no name"), httpx.ReadTimeout("")])
async def test_a_token_that_cannot_be_replaced_for_the_moment_may_be_asked_for_again(failure: Any) -> None:
    script = Script(token_answer(1), refused(111), failure, token_answer(2), ok())
    async with client_for(script, **APPLICATION) as client:
        with pytest.raises(RequestError) as caught:
            await client.call(CHAT_V1, path_args={"endpoint": "eb"}, retries=None)
        assert caught.value.retryable
        assert (await client.call(CHAT_V1, path_args={"endpoint": "eb"}, retries=None)).result == "fine"


async def test_a_second_refusal_is_final() -> None:
    script = Script(token_answer(1), refused(111), token_answer(2), refused(111))
    async with client_for(script, **APPLICATION) as client:
        with pytest.raises(AccessTokenExpiredError):
            await client.call(CHAT_V1, path_args={"endpoint": "eb"})
    assert len(script.requests) == 4


async def test_a_given_token_is_used_first_and_replaced_when_refused() -> None:
    script = Script(refused(110), token_answer(1), ok())
    async with client_for(script, **APPLICATION, access_token="given") as client:
        await client.call(CHAT_V1, path_args={"endpoint": "eb"})
    assert [request.url.params.get("access_token") for request in script.requests] == ["given", None, "token-1"]


async def test_a_given_token_without_keys_is_final() -> None:
    script = Script(refused(110))
    async with client_for(script, access_token="given") as client:
        with pytest.raises(AccessTokenExpiredError, match="QIANFAN_AK"):
            await client.call(CHAT_V1, path_args={"endpoint": "eb"})
    assert len(script.requests) == 1


async def test_wrong_application_keys() -> None:
    body = {"error": "invalid_client", "error_description": "unknown client id"}
    script = Script(httpx.Response(401, json=body))
    async with client_for(script, **APPLICATION) as client:
        with pytest.raises(AuthError, match="unknown client id") as caught:
            await client.call(CHAT_V1, path_args={"endpoint": "eb"})
    assert "QIANFAN_ACCESS_KEY" in str(caught.value)
    assert len(script.requests) == 1


async def test_v2_inference_fetches_a_bearer_token_with_account_keys() -> None:
    script = Script(bearer_answer(1), httpx.Response(200, json={"id": "as-1", "choices": []}))
    async with client_for(script, app_id="app-1") as client:
        reply = await client.call(CHAT_V2, {"model": "m"})
    fetch, chat = script.requests
    assert (fetch.method, fetch.url.host, fetch.url.path) == ("GET", "iam.bj.baidubce.com", "/v1/BCE-BEARER/token")
    assert fetch.url.params["expireInSeconds"] == "43200"
    verify(fetch)
    assert chat.url.host == "qianfan.baidubce.com"
    assert chat.headers["authorization"] == "Bearer bce-v3/x/1"
    assert chat.headers["appid"] == "app-1"
    assert reply.request_id == "as-1"


async def test_a_refused_bearer_token_is_replaced_if_it_was_fetched() -> None:
    script = Script(bearer_answer(1), refused("invalid_iam_token", 401), bearer_answer(2), ok())
    async with client_for(script) as client:
        await client.call(CHAT_V2, {})
    assert script.requests[-1].headers["authorization"] == "Bearer bce-v3/x/2"
    script = Script(refused("invalid_iam_token", 401))
    async with client_for(script, bearer_token="given") as client:
        with pytest.raises(BearerTokenExpiredError):
            await client.call(CHAT_V2, {})
    assert len(script.requests) == 1


async def test_a_token_server_that_is_down_is_tried_again() -> None:
    script = Script(BUSY, token_answer(1), ok())
    async with client_for(script, **APPLICATION) as client:
        assert (await client.call(CHAT_V1, path_args={"endpoint": "eb"})).result == "fine"


async def test_no_auth_sends_none() -> None:
    script = Script(ok())
    async with client_for(script, no_auth=True) as client:
        await client.call(CHAT_V1, path_args={"endpoint": "eb"})
        await client.call(CHAT_V2)
    for request in script.requests:
        assert "authorization" not in request.headers
        assert "access_token" not in request.url.params


async def test_no_secret_reaches_a_log_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """Neither ours nor the HTTP library's, which logs every address."""
    caplog.set_level(logging.DEBUG)
    script = Script(token_answer(1), refused(336003))
    async with client_for(script, **{**APPLICATION, "ak": "hush-ak", "sk": "hush-sk"}) as client:
        with pytest.raises(APIError) as caught:
            await client.call(CHAT_V1, {"messages": "hush-body"}, path_args={"endpoint": "eb"})
        with pytest.raises(MissingCredentialsError):
            await client.call(READ)
        assert "hush" not in repr(client)
    assert "chat: HTTP 200" in caplog.text
    assert "hush" not in caplog.text + str(caught.value)
    assert "token-1" not in caplog.text + str(caught.value)


async def test_a_wrong_clock_is_told() -> None:
    date = format_datetime(NOON.replace(hour=10), usegmt=True)
    answer = httpx.Response(403, json={"code": "SignatureDoesNotMatch", "message": "m"}, headers={"date": date})
    async with client_for(Script(answer)) as client:
        with pytest.raises(AuthError, match="7200 seconds ahead of"):
            await client.call(READ)


# --- streams -------------------------------------------------------------------------------------------------


def stream_answer(*lines: str) -> httpx.Response:
    body = "".join(f"{line}\n\n" for line in lines).encode()
    return httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=body)


V1_PIECES = ('data: {"result": "Hel", "is_end": false}', 'data: {"result": "lo", "is_end": true}')


async def test_a_stream() -> None:
    script = Script(stream_answer(*V1_PIECES))
    async with (
        client_for(script) as client,
        client.stream(CHAT_V1, {"stream": True}, path_args={"endpoint": "eb"}) as answers,
    ):
        got = [answer["result"] async for answer in answers]
    assert got == ["Hel", "lo"]
    assert script.requests[0].headers["accept"] == "text/event-stream"
    verify(script.requests[0])


async def test_a_json_answer_to_a_stream_is_an_error_and_retried_like_any() -> None:
    busy = httpx.Response(200, json={"error_code": 336100, "error_msg": "busy"})
    script = Script(busy, BUSY, stream_answer(*V1_PIECES))
    async with client_for(script) as client:
        async with client.stream(CHAT_V1, path_args={"endpoint": "eb"}) as answers:
            assert len([answer async for answer in answers]) == 2
        script.answers = [httpx.Response(400, json={"error": {"code": "invalid_model", "message": "m"}}, headers={})]
        with pytest.raises(APIError, match="invalid_model"):
            async with client.stream(CHAT_V1, path_args={"endpoint": "eb"}):
                raise AssertionError("not reached")
        script.answers = [httpx.Response(200, json={"result": "not a stream"})]
        with pytest.raises(RequestError, match="single answer"):
            async with client.stream(CHAT_V1, path_args={"endpoint": "eb"}):
                raise AssertionError("not reached")


async def test_an_error_as_the_first_event_is_retried_too() -> None:
    script = Script(stream_answer('data: {"error_code": 336501, "error_msg": "slow down"}'), stream_answer(*V1_PIECES))
    async with client_for(script) as client, client.stream(CHAT_V1, path_args={"endpoint": "eb"}) as answers:
        assert len([answer async for answer in answers]) == 2


async def test_an_error_in_the_middle_comes_after_the_answers_before_it() -> None:
    script = Script(stream_answer(V1_PIECES[0], 'data: {"error_code": 336501, "error_msg": "slow down"}'))
    got = []
    async with client_for(script) as client:
        with pytest.raises(RateLimitError):
            async with client.stream(CHAT_V1, path_args={"endpoint": "eb"}) as answers:
                async for answer in answers:
                    got.append(answer)
    assert len(got) == 1
    assert len(script.requests) == 1


async def test_a_stream_without_its_end_mark() -> None:
    script = Script(stream_answer(V1_PIECES[0]))
    async with client_for(script) as client:
        with pytest.raises(StreamInterruptedError):
            async with client.stream(CHAT_V1, path_args={"endpoint": "eb"}) as answers:
                async for _ in answers:
                    pass
    assert len(script.requests) == 1


async def test_a_stream_that_ends_before_its_first_answer_is_opened_again() -> None:
    script = Script(stream_answer(": ping"), stream_answer(*V1_PIECES))
    async with client_for(script) as client, client.stream(CHAT_V1, path_args={"endpoint": "eb"}) as answers:
        assert len([answer async for answer in answers]) == 2


async def test_a_token_refused_at_the_start_of_a_stream_is_replaced() -> None:
    script = Script(token_answer(1), refused(111), token_answer(2), stream_answer(*V1_PIECES))
    async with (
        client_for(script, **APPLICATION) as client,
        client.stream(CHAT_V1, path_args={"endpoint": "eb"}) as answers,
    ):
        assert len([answer async for answer in answers]) == 2


# --- objects -------------------------------------------------------------------------------------------------


async def test_put_object() -> None:
    script = Script(httpx.Response(200, headers={"ETag": '"abc"'}))
    async with client_for(script) as client:
        reply = await client.put_object(
            "my-bucket", "/数据/a b.jsonl", b"hello", content_type="text/plain", headers={"x-bce-meta-owner": "team a"}
        )
    request = script.requests[0]
    assert reply.headers["etag"] == '"abc"'
    assert request.method == "PUT"
    assert request.url.host == "my-bucket.bj.bcebos.com"
    assert request.url.raw_path == b"/%E6%95%B0%E6%8D%AE/a%20b.jsonl"
    assert request.content == b"hello"
    assert request.headers["content-length"] == "5"
    assert "transfer-encoding" not in request.headers
    listed = request.headers["authorization"].split("/")[4]
    assert listed == "content-length;content-type;host;x-bce-date;x-bce-meta-owner"
    verify(request)


class Chunks:
    """Content in pieces; knows how often it was begun and whether it was ended."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.begun = self.ended = 0

    async def __call__(self) -> AsyncIterator[bytes]:
        self.begun += 1
        try:
            for chunk in self.chunks:
                yield chunk
        finally:
            self.ended += 1


async def test_put_object_from_an_iterator_begins_again_for_each_attempt() -> None:
    content = Chunks(b"hel", b"lo")
    script = Script(BUSY, httpx.Response(200))
    async with client_for(script) as client:
        await client.put_object("bucket", "key", content, size=5)
    assert [request.content for request in script.requests] == [b"hello", b"hello"]
    assert script.requests[0].headers["content-length"] == "5"
    assert content.begun == content.ended == 2


@pytest.mark.parametrize(("size", "words"), [(4, "more"), (6, "5 bytes")])
async def test_content_of_another_size_is_refused(size: int, words: str) -> None:
    content = Chunks(b"hel", b"lo")
    async with client_for(Script(httpx.Response(200))) as client:
        with pytest.raises(InvalidArgumentError, match=words):
            await client.put_object("bucket", "key", content, size=size)
    assert content.begun == content.ended == 1


async def test_put_object_needs_a_size_that_fits() -> None:
    async with client_for(Script(ok())) as client:
        with pytest.raises(InvalidArgumentError, match="size"):
            await client.put_object("bucket", "key", Chunks(b"x"))
        with pytest.raises(InvalidArgumentError, match="size=3"):
            await client.put_object("bucket", "key", b"12", size=3)


async def test_an_error_of_the_caller_while_reading_comes_out_unchanged() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise OSError("disk")

    async with client_for(Script(ok())) as client:
        with pytest.raises(OSError, match="disk"):
            await client.put_object("bucket", "key", broken, size=5)
    assert client.requests_sent == 1


async def test_head_and_delete() -> None:
    script = Script(httpx.Response(200, headers={"content-length": "7"}), httpx.Response(204), httpx.Response(404))
    async with client_for(script) as client:
        assert (await client.head_object("bucket", "key", region="gz")).headers["content-length"] == "7"
        assert (await client.delete_object("bucket", "key")).status == 204
        with pytest.raises(APIError) as caught:
            await client.head_object("bucket", "key")
    assert caught.value.http_status == 404
    assert [request.method for request in script.requests] == ["HEAD", "DELETE", "HEAD"]
    assert script.requests[0].url.host == "bucket.gz.bcebos.com"
    for request in script.requests:
        verify(request)


async def test_get_object() -> None:
    script = Script(BUSY, httpx.Response(206, content=b"hello", headers={"content-range": "bytes 0-4/9"}))
    async with client_for(script) as client:
        async with client.get_object("bucket", "key", headers={"Range": "bytes=0-4"}) as download:
            assert (download.status, download.size) == (206, 5)
            assert await download.read() == b"hello"
        assert script.requests[-1].headers["range"] == "bytes=0-4"
        verify(script.requests[0])
        script.answers = [httpx.Response(404, json={"code": "NoSuchKey", "message": "m", "requestId": "b"})]
        with pytest.raises(APIError, match="NoSuchKey"):
            async with client.get_object("bucket", "key"):
                raise AssertionError("not reached")
        with pytest.raises(RequestError, match="closed"):
            await download.read()


async def test_path_style_with_an_address_of_its_own() -> None:
    script = Script(httpx.Response(200))
    async with client_for(script, bos_base_url="http://127.0.0.1:8100") as client:
        await client.put_object("my-bucket", "a/b", b"")
    request = script.requests[0]
    assert (request.url.netloc, request.url.raw_path) == (b"127.0.0.1:8100", b"/my-bucket/a/b")
    assert request.headers["host"] == "127.0.0.1:8100"
    assert request.headers["content-length"] == "0"
    verify(request)


@pytest.mark.parametrize("bucket", ["ab", "-abc", "Abc", "a" * 64, "a/b", "a.b", ""])
async def test_bucket_names_are_checked(bucket: str) -> None:
    async with client_for(Script(ok())) as client:
        with pytest.raises(InvalidArgumentError, match="bucket"):
            await client.head_object(bucket, "key")


@pytest.mark.parametrize("key", ["", "/", "a/../b", "./a", "数" * 400])
async def test_keys_are_checked(key: str) -> None:
    async with client_for(Script(ok())) as client:
        with pytest.raises(InvalidArgumentError, match="key"):
            await client.head_object("bucket", key)


async def test_a_presigned_link() -> None:
    async with client_for(Script(ok())) as client:
        link = httpx.URL(client.presigned_url("my-bucket", "数据/a.zip", expires=600))
    assert str(link.copy_with(query=None)) == "https://my-bucket.bj.bcebos.com/%E6%95%B0%E6%8D%AE/a.zip"
    expected = sign(
        IamCredentials("akexample", SecretStr("skexample")),
        method="GET",
        path="/%E6%95%B0%E6%8D%AE/a.zip",
        headers={"Host": "my-bucket.bj.bcebos.com"},
        timestamp=NOON,
        expiration=600,
    )
    assert unquote(link.query.decode()) == f"authorization={expected.authorization}"


async def test_download_of_a_plain_link(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    moved = httpx.Response(302, headers={"location": "https://cdn.example/file?authorization=hush-2"})
    script = Script(moved, httpx.Response(200, content=b"data"))
    async with client_for(script) as client:
        async with client.download("https://link.example/file?authorization=hush-1") as download:
            assert [chunk async for chunk in download] == [b"data"]
        script.answers = [httpx.Response(403, content=b"<xml>denied</xml>")]
        with pytest.raises(RequestError, match="403") as caught:
            async with client.download("https://link.example/file?authorization=hush-1"):
                raise AssertionError("not reached")
    for request in script.requests:
        assert "authorization" not in request.headers
    assert "hush" not in caplog.text + str(caught.value)


@pytest.mark.parametrize("link", ["file:///etc/passwd", "bos:/bucket/key", "nonsense", ""])
async def test_download_takes_web_links_only(link: str) -> None:
    async with client_for(Script(ok())) as client:
        with pytest.raises(InvalidArgumentError, match="http"):
            client.download(link)


# --- clients and their settings ------------------------------------------------------------------------------


async def test_a_client_keeps_the_settings_it_was_made_with() -> None:
    get_config().ACCESS_KEY = "one"
    client = Client()
    get_config().ACCESS_KEY = "two"
    assert client.settings.access_key == SecretStr("one")


async def test_the_default_client_follows_the_settings() -> None:
    first = default_client()
    assert default_client() is first
    get_config().ACCESS_KEY = "two"
    assert default_client() is not first
    assert default_client().settings.access_key == SecretStr("two")


async def test_a_client_can_be_used_again_after_it_was_closed() -> None:
    client = client_for(Script(ok()))
    await client.call(READ)
    await client.aclose()
    await client.aclose()
    assert (await client.call(READ)).status == 200
    await client.aclose()


async def test_a_client_with_other_settings_keeps_the_rest() -> None:
    script = Script(ok())
    async with client_for(script) as client, client.with_settings(app_id="app-2", bearer_token="t") as other:
        await other.call(CHAT_V2)
    assert client.settings.app_id is None
    assert script.requests[0].headers["appid"] == "app-2"


async def test_an_address_inside_the_process_needs_no_network() -> None:
    script = Script(ok("local"))
    platform = _local.LocalPlatform(
        "http://emulator-7.qianfan.internal",
        lambda: httpx.MockTransport(script),
        {
            "ACCESS_KEY": "akexample",
            "SECRET_KEY": "skexample",
            "CONSOLE_API_BASE_URL": "http://emulator-7.qianfan.internal",
            "BOS_BASE_URL": "http://emulator-7.qianfan.internal",
        },
    )
    _local.serve(platform)
    _local.activate(platform)
    try:
        async with Client() as client:
            assert (await client.call(READ)).result == "local"
            await client.put_object("bucket", "key", b"x")
    finally:
        _local.withdraw(platform)
    assert [request.headers["host"] for request in script.requests] == ["emulator-7.qianfan.internal"] * 2


@pytest.mark.parametrize("proxy", ["nonsense", "gopher://u:hush@p", "socks5://u:hush@p"])
async def test_a_proxy_that_cannot_be_used(proxy: str) -> None:
    async with Client(Settings(access_key="a", secret_key="s", proxy=proxy)) as client:
        with pytest.raises(ConfigurationError, match="QIANFAN_PROXY") as caught:
            await client.call(READ)
    assert "hush" not in str(caught.value)
