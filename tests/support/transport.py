"""A network on which one call meets with an accident."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import httpx

Passing = Callable[[httpx.Request], Awaitable[httpx.Response]]
Mishap = Callable[[httpx.Request, Passing], Awaitable[httpx.Response]]


class Meddling(httpx.AsyncBaseTransport):
    """Hands requests on, but lets the first `times` of one call run into a mishap.

    call: a V2 action, or the end of a path; attempts: how often the client tried it.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, call: str, mishap: Mishap, *, times: int = 1) -> None:
        self._inner = inner
        self._call = call
        self._mishap = mishap
        self._left = times
        self.attempts = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.params.get("Action", request.url.path.rpartition("/")[2]) != self._call:
            return await self._inner.handle_async_request(request)
        self.attempts += 1
        if self._left <= 0:
            return await self._inner.handle_async_request(request)
        self._left -= 1
        return await self._mishap(request, self._inner.handle_async_request)


async def refused(request: httpx.Request, pass_on: Passing) -> httpx.Response:
    """Nobody listens: the request provably never left."""
    raise httpx.ConnectError("connection refused", request=request)


async def silence(request: httpx.Request, pass_on: Passing) -> httpx.Response:
    """Nobody ever answers."""
    await anyio.sleep_forever()
    raise AssertionError("unreachable")


def answering(status: int, content: bytes | dict[str, object]) -> Mishap:
    """The call takes effect, and is answered with something else."""

    async def mishap(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        response = await pass_on(request)
        await response.aread()
        await response.aclose()
        if isinstance(content, bytes):
            return httpx.Response(status, content=content, request=request)
        return httpx.Response(status, json=content, request=request)

    return mishap
