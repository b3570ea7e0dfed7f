"""What every way to fail says about the effect of a purchase: the table that decides whether it may be sent again."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import anyio
import anyio.abc
import httpx
import pytest

from qianfan._transport import Call, Client, Creates, Family, Outcome, Safety, outcome_of
from qianfan.config import Settings
from qianfan.errors import (
    AccessTokenExpiredError,
    APIError,
    AuthError,
    BearerTokenExpiredError,
    ConnectionFailedError,
    MissingCredentialsError,
    QianfanError,
    RateLimitError,
    RequestError,
    RequestTimeoutError,
)
from qianfan.resources._base import WireModel, read

from .platform import Script, client_for, listening, ok, plain, read_request


def purchase(family: Family = Family.CONSOLE_V2, creates: Creates = "job") -> Call:
    return Call("CreateJob", family, Safety.PURCHASE, "/v2/finetuning", "CreateFineTuningJob", creates=creates)


def caused(error: httpx.HTTPError, cause: Exception) -> httpx.HTTPError:
    error.__cause__ = cause
    return error


def no(code: str, status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"requestId": "r-1", "code": code, "message": "no"}, headers=headers)


HTML = b"<html>no</html>"

# What happens on the way, what it proves, and whether another try is worth it.
FAILURES: list[tuple[str, httpx.Response | Exception, Outcome, bool]] = [
    ("refused", httpx.ConnectError("Connection refused"), Outcome.UNSENT, True),
    ("connecting takes too long", httpx.ConnectTimeout(""), Outcome.UNSENT, True),
    ("no name", caused(httpx.ConnectError("Name or service not known"), socket.gaierror(-2)), Outcome.UNSENT, True),
    ("handshake", caused(httpx.ConnectError("EOF in handshake"), ssl.SSLEOFError()), Outcome.UNSENT, True),
    (
        "certificate",
        caused(httpx.ConnectError("self-signed"), ssl.SSLCertVerificationError("self-signed")),
        Outcome.UNSENT,
        False,
    ),
    ("no free connection", httpx.PoolTimeout(""), Outcome.UNSENT, True),
    ("proxy", httpx.ProxyError("407 Proxy Authentication Required"), Outcome.UNSENT, True),
    ("a header that is none", httpx.LocalProtocolError("Illegal header value"), Outcome.UNSENT, False),
    ("429", no("TooManyRequests", 429), Outcome.RETRYABLE, True),
    ("429 with a wait", no("TooManyRequests", 429, **{"retry-after": "7"}), Outcome.RETRYABLE, True),
    ("limit under 200", httpx.Response(200, json={"error_code": 18, "error_msg": "no"}), Outcome.RETRYABLE, True),
    ("load under 200", httpx.Response(200, json={"error_code": 336100, "error_msg": "no"}), Outcome.RETRYABLE, True),
    ("expired", no("invalid_iam_token", 401), Outcome.RETRYABLE, False),
    ("signed too early or late", no("RequestExpired", 400), Outcome.RETRYABLE, False),
    ("wrong argument", no("InappropriateJSON", 400), Outcome.REJECTED, False),
    ("wrong key", no("InvalidAccessKeyId", 403), Outcome.REJECTED, False),
    ("wrong secret", no("SignatureDoesNotMatch", 403), Outcome.REJECTED, False),
    ("reason in a header", httpx.Response(403, headers={"x-bce-error-message": "no"}), Outcome.REJECTED, False),
    ("taken", no("NameTaken", 409), Outcome.REJECTED, False),
    ("refused under 200", httpx.Response(200, json={"error_code": 70118, "error_msg": "no"}), Outcome.REJECTED, False),
    ("403 of something in between", httpx.Response(403, content=HTML), Outcome.UNKNOWN, False),
    ("404 of something in between", httpx.Response(404), Outcome.UNKNOWN, False),
    ("429 of something in between", httpx.Response(429, content=HTML), Outcome.UNKNOWN, True),
    ("moved", httpx.Response(302), Outcome.UNKNOWN, False),
    ("408", httpx.Response(408), Outcome.UNKNOWN, True),
    ("408 with a body", no("RequestTimeout", 408), Outcome.UNKNOWN, True),
    ("500", no("InternalError", 500), Outcome.UNKNOWN, True),
    ("502", httpx.Response(502, content=HTML), Outcome.UNKNOWN, True),
    ("503", no("SlowDown", 503), Outcome.UNKNOWN, True),
    ("504", httpx.Response(504), Outcome.UNKNOWN, True),
    ("599", httpx.Response(599), Outcome.UNKNOWN, False),
    ("broken under 200", httpx.Response(200, json={"error_code": 500000, "error_msg": "no"}), Outcome.UNKNOWN, True),
    ("no JSON", httpx.Response(200, content=HTML), Outcome.UNKNOWN, False),
    ("cut JSON", httpx.Response(200, content=b'{"requestId": "r", "result": {"jobId": '), Outcome.UNKNOWN, False),
    ("empty", httpx.Response(200), Outcome.UNKNOWN, False),
    ("too large", httpx.Response(200, content=b" " * (17 << 20)), Outcome.UNKNOWN, False),
    ("nothing read", httpx.ReadError(""), Outcome.UNKNOWN, True),
    ("nothing written", httpx.WriteError(""), Outcome.UNKNOWN, True),
    ("closed", httpx.CloseError(""), Outcome.UNKNOWN, True),
    ("reading takes too long", httpx.ReadTimeout(""), Outcome.UNKNOWN, True),
    ("writing takes too long", httpx.WriteTimeout(""), Outcome.UNKNOWN, True),
    ("disconnected", httpx.RemoteProtocolError("Server disconnected"), Outcome.UNKNOWN, True),
    ("not decompressible", httpx.DecodingError(""), Outcome.UNKNOWN, True),
]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("failure", "outcome", "again"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
async def test_what_a_failed_purchase_proves(failure: Any, outcome: Outcome, again: bool) -> None:
    script = Script(failure)
    async with client_for(script) as client:
        with pytest.raises(QianfanError) as caught:
            await client.call(purchase(), {"name": "n"})
    assert outcome_of(caught.value) is outcome
    assert getattr(caught.value, "retryable", False) is again
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(400, Outcome.REJECTED), (408, Outcome.UNKNOWN), (429, Outcome.RETRYABLE), (500, Outcome.UNKNOWN)],
)
@pytest.mark.anyio
async def test_the_data_part_reports_a_status_under_200(status: int, outcome: Outcome) -> None:
    script = Script(httpx.Response(200, json={"success": False, "status": status, "message": "no"}))
    async with client_for(script) as client:
        with pytest.raises(APIError) as caught:
            await client.call(purchase(Family.CONSOLE_DATA, "dataset"))
    assert outcome_of(caught.value) is outcome


@pytest.mark.anyio
@pytest.mark.parametrize("result", [{}, {"jobId": None}, [], "job-1", None])
async def test_an_answer_without_the_id_proves_nothing(result: Any) -> None:
    class Created(WireModel):
        job_id: str

    async with client_for(Script(ok(result))) as client:
        reply = await client.call(purchase())
    with pytest.raises(RequestError) as caught:
        read(purchase(), reply, Created)
    assert outcome_of(caught.value) is Outcome.UNKNOWN
    assert caught.value.request_id == "r-1"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (MissingCredentialsError("m"), Outcome.UNSENT),
        (ConnectionFailedError("m", sent=False), Outcome.UNSENT),
        (ConnectionFailedError("m", sent=True), Outcome.UNKNOWN),
        (RequestTimeoutError("m"), Outcome.UNKNOWN),
        (RequestError("m", status_code=413), Outcome.UNKNOWN),
        (RateLimitError(18, "m", http_status=200), Outcome.RETRYABLE),
        (APIError(4, "m", http_status=200), Outcome.RETRYABLE),
        (AccessTokenExpiredError(110, "m", http_status=200), Outcome.RETRYABLE),
        (AccessTokenExpiredError(111, "m"), Outcome.RETRYABLE),
        (BearerTokenExpiredError("invalid_iam_token", "m", http_status=401), Outcome.RETRYABLE),
        (AuthError(14, "m", http_status=200), Outcome.REJECTED),
        (APIError("InternalError", "m", http_status=400), Outcome.UNKNOWN),
        (APIError(510403, "m", http_status=200), Outcome.REJECTED),
        (QianfanError("m"), Outcome.UNKNOWN),
        (ValueError("m"), Outcome.UNKNOWN),
        (KeyboardInterrupt(), Outcome.UNKNOWN),
    ],
    ids=repr,
)
def test_outcome(error: BaseException, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


# --- on a real connection --------------------------------------------------------------------------------------


def real_client(address: str) -> Client:
    return Client(Settings(access_key="akexample", secret_key="skexample", console_api_base_url=address))


async def cut_short(stream: anyio.abc.SocketStream) -> None:
    await read_request(stream)
    await stream.send(plain(b'{"requestId": "r", "result": {"jobId": "job-1"}}')[:-5])


async def cut_in_the_headers(stream: anyio.abc.SocketStream) -> None:
    await read_request(stream)
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Le")


async def no_http(stream: anyio.abc.SocketStream) -> None:
    await read_request(stream)
    await stream.send(b"220 smtp.example ESMTP\r\n")


async def one_byte_and_silence(stream: anyio.abc.SocketStream) -> None:
    await read_request(stream)
    await stream.send(b"H")
    await anyio.sleep_forever()


@pytest.mark.anyio
@pytest.mark.parametrize("behave", [cut_short, cut_in_the_headers, no_http, one_byte_and_silence])
async def test_a_spoilt_answer_proves_nothing(behave: Callable[[anyio.abc.SocketStream], Any]) -> None:
    async with listening(behave) as address, real_client(address) as client:
        with pytest.raises(RequestError) as caught:
            await client.call(purchase(), timeout=0.2 if behave is one_byte_and_silence else 10)
    assert outcome_of(caught.value) is Outcome.UNKNOWN
    assert client.requests_sent == 1


@pytest.mark.anyio
async def test_a_handshake_that_fails_carries_nothing() -> None:
    async def no_tls(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(no_tls) as address, real_client(address.replace("http:", "https:")) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.call(purchase())
    assert outcome_of(caught.value) is Outcome.UNSENT
