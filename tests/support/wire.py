"""A platform that gives prepared answers, one after the other, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from qianfan._auth.tokens import TokenStore
from qianfan._transport import Client
from qianfan.config import Settings
from tests.support.clock import JumpClock


@dataclass(frozen=True)
class Seen:
    """A request as it left."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


def events(*items: Any, end: str = "") -> httpx.Response:
    """An event stream of JSON objects. end: what comes after them, such as the end mark of V2."""
    text = "".join(f"data: {json.dumps(item, ensure_ascii=False)}\n\n" for item in items) + end
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())


DONE = "data: [DONE]\n\n"


class Prepared(httpx.AsyncBaseTransport):
    """Answers with one prepared answer after the other: a response, or a body that is sent as JSON."""

    def __init__(self, *answers: httpx.Response | dict[str, Any]) -> None:
        self._answers: Iterator[httpx.Response | dict[str, Any]] = iter(answers)
        self.seen: list[Seen] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        self.seen.append(
            Seen(
                request.url.path,
                dict(request.url.params),
                {name.lower(): value for name, value in request.headers.items()},
                json.loads(content) if content else None,
            )
        )
        answer = next(self._answers)
        return httpx.Response(200, json=answer) if isinstance(answer, dict) else answer

    @property
    def bodies(self) -> list[Any]:
        """What was asked, without what says by which client."""
        return [_without(seen.body, ["extra_parameters"]) for seen in self.seen]


def _without(body: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def client_of(transport: httpx.AsyncBaseTransport, **settings: Any) -> Client:
    """A client with ready tokens, so that only the calls themselves are sent."""
    known = {"access_token": "token", "bearer_token": "bearer", **settings}
    return Client(Settings(**known), clock=JumpClock(), transport=transport, tokens=TokenStore())
