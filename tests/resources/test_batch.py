"""Many questions at once."""

from __future__ import annotations

import json
from concurrent.futures import CancelledError
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest

from qianfan.errors import APIError, ArgumentNotFoundError, InvalidArgumentError
from qianfan.resources import ChatCompletion, Completion, Embedding, Image2Text, Plugin, Text2Image
from qianfan.resources.llm import BatchRequestFuture
from tests.resources.asking import ask, faces
from tests.support.wire import client_of

pytestmark = pytest.mark.anyio


class Echo(httpx.AsyncBaseTransport):
    """Says what it was asked, fails for "bad", and knows how many asked at once; each waits for another one to come.

    together: how many have to be there until the first is answered.
    """

    def __init__(self, together: int = 1) -> None:
        self._together = together
        self._here = 0
        self.most = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        self._here += 1
        self.most = max(self.most, self._here)
        for _ in range(100):
            if self.most >= self._together:
                break
            await anyio.lowlevel.checkpoint()
        self._here -= 1
        said = body.get("prompt") or body.get("query") or body.get("input") or body["messages"][-1]["content"]
        if said == "bad":
            return httpx.Response(200, json={"error_code": 336003, "error_msg": "bad"})
        if body.get("stream"):
            event = json.dumps({"result": said, "is_end": True})
            head = {"content-type": "text/event-stream"}
            return httpx.Response(200, headers=head, content=f"data: {event}\n\n".encode())
        return httpx.Response(200, json={"result": said})


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def batch(face: str, resource: Any, *args: Any, **kwargs: Any) -> list[Any]:
    if face == "async":
        done: list[Any] = await resource.abatch_do(*args, **kwargs)
        return done
    return await anyio.to_thread.run_sync(lambda: resource.batch_do(*args, **kwargs).results())


@faces
async def test_answers_come_in_order_and_a_failure_loses_none(face: str) -> None:
    chat = ChatCompletion(client=client_of(Echo()), temperature=0.5)
    texts = [f"text {number}" for number in range(20)]
    texts[7] = "bad"
    results = await batch(face, chat, [say(text) for text in texts], worker_num=3)
    assert isinstance(results[7], APIError)
    assert [one.text for one in results if not isinstance(one, Exception)] == texts[:7] + texts[8:]


@faces
async def test_so_many_at_once_and_no_more(face: str) -> None:
    echo = Echo(together=6)
    await batch(face, ChatCompletion(client=client_of(echo)), [say("x")] * 30, worker_num=6)
    assert echo.most == 6
    echo = Echo(together=2)
    await batch(face, ChatCompletion(client=client_of(echo)), [say("x")] * 30)
    assert 2 <= echo.most <= 4


@faces
async def test_bodies_of_their_own(face: str) -> None:
    chat = ChatCompletion(client=client_of(Echo()))
    bodies = [{"messages": say("a"), "temperature": 0.1}, {"messages": say("b"), "model": "ERNIE-Speed-8K"}, {}]
    results = await batch(face, chat, body_list=bodies)
    assert [one.text for one in results[:2]] == ["a", "b"]
    assert isinstance(results[2], ArgumentNotFoundError)
    assert results[1].request.endpoint == "chat/ernie_speed"
    for wrong in ({}, {"messages_list": [], "body_list": []}):
        with pytest.raises(InvalidArgumentError, match="messages_list or body_list"):
            await batch(face, chat, **wrong)


@faces
async def test_streams(face: str) -> None:
    chat = ChatCompletion(client=client_of(Echo()))
    results = await batch(face, chat, [say("a"), say("b")], stream=True)
    for stream, text in zip(results, ["a", "b"], strict=True):
        if face == "async":
            assert [piece.text async for piece in stream] == [text]
        else:
            [piece] = await anyio.to_thread.run_sync(list, stream)
            assert piece.text == text


@faces
@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        (Completion, ["a", "b"]),
        (Embedding, [["a"], ["b"]]),
        (Text2Image, ["a", "b"]),
        (Image2Text, [("a", b"x"), ("b", "eA==")]),
        (Plugin, ["a", "b"]),
    ],
)
async def test_every_kind(face: str, kind: Any, inputs: list[Any]) -> None:
    results = await batch(face, kind(client=client_of(Echo())), inputs, worker_num=2)
    assert [one["result"] for one in results] == (inputs if kind is Embedding else ["a", "b"])


async def test_what_is_under_way_can_be_watched() -> None:
    chat = ChatCompletion(client=client_of(Echo()))

    def blocking() -> BatchRequestFuture:
        under_way = chat.batch_do([say("a"), say("bad"), say("c")])
        under_way.wait()
        return under_way

    done = await anyio.to_thread.run_sync(blocking)
    assert (done.task_count(), done.finished_count(), len(done)) == (3, 3, 3)
    assert repr(done) == "<BatchRequestFuture, 3 of 3 finished>"
    first, second, third = done
    assert (first.result().text, third.result().text) == ("a", "c")
    assert isinstance(second.exception(), APIError)
    assert done.get_future_list() == [first, second, third]


async def test_a_future_can_be_cancelled_before_its_turn() -> None:
    def blocking() -> list[Any]:
        begun = anyio.Event()

        async def wait() -> str:
            await begun.wait()
            return "first"

        async def never() -> str:
            raise AssertionError("cancelled before")

        async def release() -> None:
            begun.set()

        under_way = BatchRequestFuture([wait, release, never], worker_num=2)
        under_way.get_future_list()[2].cancel()
        return under_way.results()

    first, _, third = await anyio.to_thread.run_sync(blocking)
    assert first == "first"
    assert isinstance(third, (CancelledError, AssertionError))


@faces
async def test_nothing_to_do(face: str) -> None:
    assert await batch(face, Completion(client=client_of(Echo())), []) == []


async def test_ask_helper_runs_both_faces() -> None:
    chat = ChatCompletion(client=client_of(Echo()))
    assert [(await ask(face, chat, "do", say("x"))).text for face in ("sync", "async")] == ["x", "x"]
