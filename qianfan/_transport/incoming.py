"""An answer that is still arriving: whole, as answers of a stream, or as the bytes of a file."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import anyio
import httpx

from qianfan._transport.faults import translated
from qianfan._transport.sse import AnswerDecoder
from qianfan._transport.wire import Reading, request_id_of
from qianfan.errors import RequestError, StreamInterruptedError

LARGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes that an answer of the console can have; the longest listings stay far below."""
_CLOSING_TIME: Final = 5.0


class Incoming:
    """A response whose body is read piece by piece. Close it, whatever happened.

    largest: bytes that `whole` takes at most.
    """

    def __init__(
        self, name: str, response: httpx.Response, *, raw: bool = False, largest: int = LARGEST_ANSWER
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in response.headers.items()}
        self._name = name
        self._response = response
        # An answer that was never on a wire, from a transport inside this process, has nothing raw to read.
        self._chunks = response.aiter_raw() if raw and not response.is_stream_consumed else response.aiter_bytes()
        self._largest = largest
        self._closed = False

    async def next_chunk(self) -> bytes | None:
        """The next bytes, None at the end. Raises RequestError when the connection breaks."""
        if self._closed:
            raise RequestError(f"{self._name}: this answer is closed; read it inside its `async with`")
        with translated(self._name):
            return await anext(self._chunks, None)

    async def whole(self) -> bytes:
        """The rest of the body. Raises RequestError when it is larger than an answer can be, without keeping it."""
        announced = self.headers.get("content-length", "")
        # The answer to HEAD tells the size of an object that does not follow.
        follows = announced.isascii() and announced.isdigit() and self._response.request.method != "HEAD"
        if follows and float(announced) > self._largest:
            raise self._too_large()
        body = bytearray()
        while (chunk := await self.next_chunk()) is not None:
            if len(body) + len(chunk) > self._largest:
                raise self._too_large()
            body += chunk
        return bytes(body)

    def _too_large(self) -> RequestError:
        return RequestError(
            f"{self._name}: the answer is larger than {self._largest} bytes",
            status_code=self.status,
            request_id=request_id_of(None, self.headers),
        )

    async def aclose(self) -> None:
        """Close the connection or hand it back for the next request."""
        self._closed = True
        with anyio.move_on_after(_CLOSING_TIME, shield=True):
            await self._response.aclose()
            # The body is a chain of asynchronous generators. Asking the closed connection for more ends each of
            # them where it stands; left alone they would end up in the garbage collection, which trio warns about.
            with suppress(httpx.HTTPError, httpx.StreamError, RuntimeError):
                # What was decoded already may still come first.
                while await anext(self._chunks, None) is not None:
                    pass


class AnswerStream:
    """The answers of an event stream, each a dictionary, as they arrive. note: told each when it has arrived."""

    def __init__(
        self, incoming: Incoming, reading: Reading, *, note: Callable[[dict[str, Any]], object] | None = None
    ) -> None:
        self.headers = incoming.headers
        self._incoming = incoming
        self._note = note
        self._decoder = AnswerDecoder(reading)
        self._ready: deque[dict[str, Any]] = deque()
        self._failure: Exception | None = None
        self._closed = False

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while True:
            if self._ready:
                return self._ready.popleft()
            if self._failure is not None:
                raise self._failure
            if self._decoder.ended or self._closed:
                raise StopAsyncIteration
            await self._read()

    async def peek(self) -> None:
        """Wait for the first answer, so that an error in its place is found while the request can be repeated."""
        while not (self._ready or self._decoder.ended):
            if isinstance(self._failure, StreamInterruptedError):
                self._failure.retryable = True  # nothing was handed out yet
            if self._failure is not None:
                raise self._failure
            await self._read()

    async def _read(self) -> None:
        """Take in one piece; an error waits until the answers before it are handed out."""
        try:
            chunk = await self._incoming.next_chunk()
        except RequestError as error:
            self._failure = self._decoder.interrupted(str(error))
            self._failure.__cause__ = error
            return
        self._closed = chunk is None
        try:
            # Not a comprehension: what came before the error counts.
            for answer in self._decoder.finish() if chunk is None else self._decoder.feed(chunk):
                self._ready.append(answer)
                if self._note is not None:
                    self._note(answer)
        except Exception as error:
            self._failure = error


class Download:
    """The bytes of a file as they arrive: `async for chunk in download`.

    status: 200, or 206 for a range; headers: names in lower case.
    """

    def __init__(self, incoming: Incoming) -> None:
        self.status = incoming.status
        self.headers = incoming.headers
        self._incoming = incoming

    @property
    def size(self) -> int | None:
        """Bytes to expect, if the server said so."""
        said = self.headers.get("content-length", "")
        return int(said) if said.isascii() and said.isdigit() else None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if (chunk := await self._incoming.next_chunk()) is None:
            raise StopAsyncIteration
        return chunk

    async def read(self) -> bytes:
        """Everything at once, for small files."""
        return b"".join([chunk async for chunk in self])
