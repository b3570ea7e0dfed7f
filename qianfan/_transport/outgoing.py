"""What is uploaded, while it leaves: one piece in memory at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import httpx
from typing_extensions import Self

from qianfan import _faults
from qianfan.errors import InvalidArgumentError

_CLOSING_TIME = 5.0


class Upload(httpx.AsyncByteStream):
    """Content of an announced size, for one attempt: `async with Upload(...)` ends the iterator it was given.

    Raises InvalidArgumentError when the content turns out to have another size.
    """

    def __init__(self, name: str, content: AsyncIterator[bytes], size: int) -> None:
        self._name = name
        self._content = content
        self._size = size
        self._passed = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # An attempt that failed half-way leaves the iterator where it was, perhaps with an open file.
        close = getattr(self._content, "aclose", None)
        if close is not None:
            with anyio.move_on_after(_CLOSING_TIME, shield=True):
                await close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._content)
        except StopAsyncIteration:
            if self._passed < self._size:
                raise self._wrong(f"{self._passed} bytes") from None
            raise
        self._passed += len(chunk)
        if self._passed > self._size:
            raise self._wrong("more")
        return chunk

    def _wrong(self, found: str) -> InvalidArgumentError:
        return InvalidArgumentError(f"{self._name}: size={self._size} was announced, the content has {found}")


class Whole(httpx.AsyncByteStream):
    """A body that is there as a whole.

    The library's own one is an asynchronous generator, which nobody ends when a connection breaks before it is read.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _OnePiece(self._content)


class _OnePiece:
    def __init__(self, piece: bytes) -> None:
        self._pieces = iter((piece,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class Halves(httpx.AsyncByteStream):
    """A body that leaves in two pieces with a crash point between them: a process can end with half of it written."""

    def __init__(self, content: bytes, point: str) -> None:
        middle = len(content) // 2
        self._pieces = iter((content[:middle], content[middle:]))
        self._begun = False
        self._point = point

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            raise StopAsyncIteration
        if self._begun:
            _faults.point(self._point)
        self._begun = True
        return piece
