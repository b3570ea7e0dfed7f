"""What travels between a client and the emulated platform, whichever way it comes: a request and an answer.

Nothing here knows ASGI or httpx. The socket server and the in-process transport both turn what they carry into a
`Request` and an `Answer` back into what they carry, so a body streams in both directions without any buffering
in between.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qsl, unquote

from qianfan._types import JSON

LARGEST_JSON = 32 * 2**20
"""Bytes of a JSON request body that are read at most; object uploads have no limit."""


class ConnectionDropped(Exception):
    """The connection is to break off here, as if the network had failed.

    started: whether a part of the answer is already on its way.
    """

    def __init__(self, *, started: bool = False) -> None:
        self.started = started
        super().__init__("the emulator drops this connection on purpose")


class BodyTooLarge(Exception):
    """A JSON body is larger than `LARGEST_JSON`."""


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    raw_path: the path as sent, percent-encoded, without the query; signatures cover this text.
    headers: pairs of lower-case name and value, in the order sent.
    body: the pieces as they arrive; can be read once.
    """

    method: str
    raw_path: str
    query_string: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: AsyncIterable[bytes] = field(default_factory=lambda: nothing(), repr=False)
    scheme: str = "http"

    @cached_property
    def path(self) -> str:
        """The decoded path."""
        return unquote(self.raw_path) or "/"

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The decoded query parameters in the order sent; one without a value has an empty one."""
        return parse_qsl(self.query_string, keep_blank_values=True)

    @cached_property
    def origin(self) -> str:
        """Scheme and host as the client wrote them, for links in answers."""
        return f"{self.scheme}://{self.header('host') or 'localhost'}"

    def header(self, name: str) -> str:
        """The first value of a header, empty when it is absent."""
        return next((value for key, value in self.headers if key == name), "")

    def param(self, name: str) -> str | None:
        """The first value of a query parameter, None when it is absent."""
        return next((value for key, value in self.query if key == name), None)

    async def read(self, limit: int = LARGEST_JSON) -> bytes:
        """The whole body. Raises BodyTooLarge above `limit` bytes."""
        pieces = bytearray()
        async for piece in self.body:
            pieces += piece
            if len(pieces) > limit:
                raise BodyTooLarge
        return bytes(pieces)


@dataclass
class Answer:
    """One HTTP answer. `body` is the whole content, or its pieces as they come into being."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncGenerator[bytes] = b""


def lower_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Raw header pairs as text with lower-case names. Values are UTF-8 where they can be, else Latin-1."""
    return tuple((name.decode("ascii", "replace").lower(), _text(value)) for name, value in headers)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def json_answer(content: JSON, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A JSON answer of one line."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Answer(status, {"content-type": "application/json", **(headers or {})}, body)


def html_answer(page: str, status: int = 200) -> Answer:
    """A page for people."""
    return Answer(status, {"content-type": "text/html; charset=utf-8"}, page.encode())


async def nothing() -> AsyncGenerator[bytes]:
    """An empty body."""
    return
    yield b""
