"""The platform as an ASGI application, for servers with a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse

from qianfan.emulator.wire import Answer, ConnectionDropped, Request, lower_headers

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from qianfan.emulator.platform import Platform

ABORT = "qianfan.abort"
"""The ASGI extension by which a server lets the application break a connection: `{"call": function}`."""


class App:
    """Turns ASGI messages into requests to the platform and answers back."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the emulator speaks HTTP only, not {scope['type']!r}")
        try:
            answer = await self._platform.handle(_inward(scope, receive))
            await _outward(answer)(scope, receive, send)
        except ClientDisconnect:
            return
        except ConnectionDropped:
            await _break_off(scope, receive)


def _inward(scope: Scope, receive: Receive) -> Request:
    http = HttpRequest(scope, receive)
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return Request(
        method=http.method,
        raw_path=raw_path.decode("latin-1").partition("?")[0],
        query_string=scope["query_string"].decode("latin-1"),
        headers=lower_headers(scope["headers"]),
        body=http.stream(),
        scheme=scope["scheme"],
    )


def _outward(answer: Answer) -> Response:
    if isinstance(answer.body, bytes):
        response = Response(answer.body, answer.status)
        # Starlette states a length of its own; that of a HEAD answer is the one of the object.
        response.headers.update(answer.headers)
        return response
    return StreamingResponse(answer.body, answer.status, headers=answer.headers)


async def _break_off(scope: Scope, receive: Receive) -> None:
    extension: dict[str, Callable[[], Any]] | None = scope.get("extensions", {}).get(ABORT)
    if extension is None:
        raise ConnectionDropped
    extension["call"]()
    while (await receive())["type"] != "http.disconnect":
        pass
