"""What the client tests share: a clock that only the test moves, scripted answers, and small servers on sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio
import anyio.abc
import httpx

from qianfan._auth.tokens import TokenStore
from qianfan._transport.client import Client
from qianfan.config import Settings

NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


class ManualClock:
    """Sleeps pass at once and are written down."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.now)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()


class Steady:
    """A random source without chance."""

    def random(self) -> float:
        return 0.5


Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Script:
    """Answers requests in order, the last answer again and again; keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return answer(request)

    def body(self, number: int = -1) -> Any:
        return json.loads(self.requests[number].content)


def ok(result: Any = "fine", **extra: Any) -> httpx.Response:
    return httpx.Response(200, json={"requestId": "r-1", "result": result, **extra})


def client_for(script: Script, clock: ManualClock | None = None, **settings: Any) -> Client:
    """A client whose network is the script. With account keys, unless the settings say otherwise."""
    keys = {"access_key": "akexample", "secret_key": "skexample"}
    return Client(
        Settings(**{**keys, **settings}),
        clock=clock or ManualClock(),
        rng=Steady(),
        transport=httpx.MockTransport(script),
        tokens=TokenStore(),
    )


# --- sockets -------------------------------------------------------------------------------------------------

Handler = Callable[[anyio.abc.SocketStream], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """A server on a free port of this machine that hands every connection to the handler; gives its address."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                await handler(stream)

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            group.cancel_scope.cancel()


async def read_head(stream: anyio.abc.SocketStream) -> tuple[dict[str, str], bytes]:
    """Request line and headers of one request (the line under ""), and what arrived of the body with them."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, rest = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return {"": line, **headers}, rest


async def read_request(stream: anyio.abc.SocketStream) -> tuple[dict[str, str], bytes]:
    """One request with its whole body."""
    headers, body = await read_head(stream)
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive()
    return headers, body


def plain(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """An answer as bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body
