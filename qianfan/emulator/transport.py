"""Carries a client's requests to an emulator in the same process, without a socket.

Bodies stream in both directions: the request's pieces go to the handler as it asks for them, and the answer's pieces
come into being as the client reads them. No task, thread or queue stands in between, so this works on asyncio and
trio alike, from any number of event loops at once, and closing a response early simply closes its generator.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

import httpx

from qianfan.emulator.platform import Platform
from qianfan.emulator.wire import Answer, ConnectionDropped, Request, lower_headers


class InProcessTransport(httpx.AsyncBaseTransport):
    """An httpx transport that ends in an emulated platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request. Raises the httpx error of a broken connection where the emulator is told to drop it."""
        try:
            answer = await self._platform.handle(_inward(request))
        except ConnectionDropped:
            raise httpx.ReadError("the connection broke off before an answer came", request=request) from None
        headers = list(answer.headers.items())
        if isinstance(answer.body, bytes) and "content-length" not in answer.headers:
            headers.append(("content-length", str(len(answer.body))))
        stream = _Pieces(answer, request)
        return httpx.Response(answer.status, headers=headers, stream=stream, request=request)


class _Pieces(httpx.AsyncByteStream):
    """The body of an answer, as the client reads it. Not a generator: one that is left half-way needs closing."""

    def __init__(self, answer: Answer, request: httpx.Request) -> None:
        self._pieces = _at_once(answer.body) if isinstance(answer.body, bytes) else answer.body
        self._request = request

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except ConnectionDropped:
            raise httpx.RemoteProtocolError(
                "the connection broke off in the middle of an answer", request=self._request
            ) from None

    async def aclose(self) -> None:
        """Give up the rest of the body."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


async def _at_once(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content


def _inward(request: httpx.Request) -> Request:
    raw_path, _, query = request.url.raw_path.decode("ascii").partition("?")
    assert isinstance(request.stream, AsyncIterable), "an async client has async bodies"
    return Request(
        method=request.method,
        raw_path=raw_path,
        query_string=query,
        headers=lower_headers(request.headers.raw),
        body=request.stream,
        scheme=request.url.scheme,
    )
