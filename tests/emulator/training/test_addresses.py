"""Services that are answered by a server elsewhere, here a small one that speaks as OpenAI's does."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from qianfan.emulator import Emulator
from qianfan.errors import APIError, QianfanError, ServiceDeployFailedError

from .conftest import MODEL, ROWS, deployed_on

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}


class Server:
    """What it was asked, and how it answers: "well", "cut", "unfinished", "error" or "nonsense"."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.way = "well"
        self.url = ""

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "Qwen3-0.6B"}]})

    async def chat(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.keys.append(request.headers.get("authorization"))
        if self.way == "error":
            return PlainTextResponse("out of memory", status_code=503)
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncGenerator[str]:
        for text in ("Hel", "lo\u2028", "you"):
            yield f"data: {json.dumps({'choices': [{'delta': {'content': text}}]}, ensure_ascii=False)}\n\n"
        if self.way == "nonsense":
            yield "data: {nonsense\n\n"
        if self.way == "unfinished":
            return
        reason = "length" if self.way == "cut" else "stop"
        yield f"data: {json.dumps({'choices': [{'delta': {}, 'finish_reason': reason}]})}\n\n"
        yield f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\ndata: [DONE]\n\n"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    app = Starlette(
        routes=[Route("/v1/models", server.models), Route("/v1/chat/completions", server.chat, methods=["POST"])]
    )
    started = threading.Event()

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    running = Announcing(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    assert started.wait(30)
    port = running.servers[0].sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}/v1"
    yield server
    running.should_exit = True
    thread.join()


async def deployed(emulator: Emulator) -> Any:
    return (await deployed_on(emulator, ROWS[:32])).result[0]["service"]


def question(**wishes: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}], "system": "be kind", **wishes}


async def test_it_answers_in_place_of_the_model(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "its-key")
    with Emulator(activate=False, serve_at={MODEL: server.url}) as emulator:
        service = await deployed(emulator)
        answer = await service.aexec(question(temperature=0.5, max_output_tokens=20, stop=["."]))
        assert (answer["result"], answer["usage"], answer["is_truncated"]) == ("Hello\u2028you", USAGE, False)
        pieces = [piece async for piece in await service.aexec(question(), stream=True)]
        assert [piece["result"] for piece in pieces] == ["Hel", "lo\u2028", "you"]
        server.way = "cut"
        assert (await service.aexec(question()))["is_truncated"] is True
    [asked, *_] = server.asked
    assert asked["model"] == "Qwen3-0.6B"
    assert asked["messages"] == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    assert (asked["temperature"], asked["max_tokens"], asked["stop"]) == (0.5, 20, ["."])
    assert {*server.keys} == {"Bearer its-key"}


@pytest.mark.parametrize(
    ("way", "words"),
    [("error", "answers 503: out of memory"), ("unfinished", "without its end mark"), ("nonsense", "broke off")],
)
async def test_it_fails(way: str, words: str, server: Server) -> None:
    with Emulator(activate=False, serve_at=f"{server.url}#mine") as emulator:
        service = await deployed(emulator)
        server.way = way
        with pytest.raises(APIError, match=words):
            await service.aexec(question(), retry_count=1)
        with pytest.raises(QianfanError, match=words):
            _ = [piece async for piece in await service.aexec(question(), stream=True, retry_count=1)]
    assert {asked["model"] for asked in server.asked} == {"mine"}


async def test_it_is_not_there() -> None:
    refused = pytest.raises(ServiceDeployFailedError, match="does not answer")
    with Emulator(activate=False, serve_at="http://127.0.0.1:9/v1") as emulator, refused:
        await deployed(emulator)
