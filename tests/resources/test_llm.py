"""Inference on preset models: chat, completion, embedding, images, each on both faces."""

from __future__ import annotations

import base64
from contextlib import aclosing
from typing import Any

import anyio.to_thread
import httpx
import pytest

from qianfan import __version__
from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import (
    APIError,
    ArgumentNotFoundError,
    InvalidArgumentError,
    QianfanError,
    RequestTimeoutError,
    StreamInterruptedError,
)
from qianfan.resources import ChatCompletion, Completion, Embedding, QfMessages, QfResponse, Text2Image
from tests.support.clock import JumpClock
from tests.support.emulated import client_for
from tests.support.transport import Meddling, Passing, silence

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "hi, how are you today?"}]
SOURCE = {"extra_parameters": {"request_source": f"qianfan_py_sdk_v{__version__}"}}


async def ask(face: str, resource: Any, *args: Any, **kwargs: Any) -> Any:
    """One answer, or all pieces of a streamed one as a list."""
    if face == "async":
        answer = await resource.ado(*args, **kwargs)
        return [piece async for piece in answer] if kwargs.get("stream") else answer

    def blocking() -> Any:
        answer = resource.do(*args, **kwargs)
        return list(answer) if kwargs.get("stream") else answer

    return await anyio.to_thread.run_sync(blocking)


faces = pytest.mark.parametrize("face", ["sync", "async"])


@faces
async def test_a_chat(face: str, client: Client, emulator: Emulator) -> None:
    answer = await ask(face, ChatCompletion(client=client), HI, temperature=0.5, system="be kind")
    assert isinstance(answer, QfResponse)
    assert answer["result"] == answer.text == answer.body["result"] != ""
    assert answer.code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.statistic["total_latency"] >= 0
    assert answer.request is not None
    assert answer.request.json_body == {"messages": HI, "temperature": 0.5, "system": "be kind", **SOURCE}
    assert answer.request.endpoint == "chat/ernie-lite-8k"
    assert emulator.requests[-1].body == answer.request.json_body
    assert emulator.requests[-1].path.endswith("/chat/ernie-lite-8k")


@faces
async def test_a_streamed_chat(face: str, client: Client, emulator: Emulator) -> None:
    whole = await ask(face, ChatCompletion(client=client), HI)
    pieces = await ask(face, ChatCompletion(client=client), HI, stream=True)
    assert len(pieces) > 1
    assert "".join(piece.text for piece in pieces) == whole.text
    assert [piece["is_end"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1]["usage"] == whole["usage"]
    assert all(piece.statistic["first_token_latency"] <= piece.statistic["total_latency"] for piece in pieces)
    assert emulator.requests[-1].body["stream"] is True


@faces
async def test_completion(face: str, client: Client) -> None:
    whole = await ask(face, Completion(client=client), "select")
    pieces = await ask(face, Completion(client=client), "select", stream=True)
    assert whole["object"] == "completion"
    assert "".join(piece.text for piece in pieces) == whole.text != ""
    assert pieces[-1]["usage"] == whole["usage"]


@faces
async def test_embedding(face: str, client: Client, emulator: Emulator) -> None:
    answer = await ask(face, Embedding(client=client), ("one", "two"))
    assert emulator.requests[-1].body == {"input": ["one", "two"], **SOURCE}
    assert [len(row["embedding"]) for row in answer["data"]] == [384, 384]


@faces
async def test_images(face: str, client: Client) -> None:
    answer = await ask(face, Text2Image(client=client), "a cat", with_decode="base64", n=2)
    assert [picture["image"] for picture in answer["data"]] == [
        base64.b64decode(picture["b64_image"]) for picture in answer["data"]
    ]
    assert len(answer["data"]) == 2
    plain = await ask(face, Text2Image(client=client), "a cat")
    assert "image" not in plain["data"][0]
    with pytest.raises(InvalidArgumentError, match="with_decode='png'"):
        await ask(face, Text2Image(client=client), "a cat", with_decode="png")


# --- where a call goes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["ERNIE-Speed-8K", "ernie-speed-8k", "Ernie-SPEED-8k"])
async def test_names_of_models_are_found_in_any_case(client: Client, emulator: Emulator, model: str) -> None:
    await ChatCompletion(client=client).ado(HI, model=model)
    await ChatCompletion(model, client=client).ado(HI)
    assert [request.path.rpartition("/")[2] for request in emulator.requests if "chat" in request.path] == [
        "ernie_speed",
        "ernie_speed",
    ]


@pytest.mark.parametrize("kind", [ChatCompletion, Completion, Embedding, Text2Image])
async def test_an_unknown_model_is_refused_with_the_choices(kind: Any, client: Client, emulator: Emulator) -> None:
    assert kind.default_model in kind.models()
    given = [["text"]] if kind is Embedding else [HI] if kind is ChatCompletion else ["text"]
    with pytest.raises(InvalidArgumentError, match=r"'Foo-1' is no preset .* model; give endpoint=") as caught:
        await kind("Foo-1", client=client).ado(*given)
    assert kind.default_model in str(caught.value)
    # The console was asked whether it lists one of that name that is newer than the table here.
    assert [request.name for request in emulator.requests] == ["list"]


@pytest.mark.parametrize("endpoint", ["", "/", "//"])
async def test_an_endpoint_that_names_nothing(client: Client, emulator: Emulator, endpoint: str) -> None:
    with pytest.raises(InvalidArgumentError, match="names no service"):
        await ChatCompletion(endpoint=endpoint, client=client).ado(HI)
    assert not emulator.requests


@pytest.mark.parametrize("endpoint", ["../../secrets", "a/../b"])
async def test_an_endpoint_cannot_lead_elsewhere(client: Client, emulator: Emulator, endpoint: str) -> None:
    with pytest.raises(InvalidArgumentError):
        await ChatCompletion(endpoint=endpoint, client=client).ado(HI)
    assert not emulator.requests


async def test_what_is_given_to_the_call_wins(client: Client, emulator: Emulator) -> None:
    chat = ChatCompletion("ERNIE-Lite-8K", endpoint="mine", client=client, temperature=0.1, top_p=0.5)
    assert repr(chat) == "ChatCompletion(endpoint='mine')"
    await chat.ado(HI, model="ERNIE-Speed-8K", temperature=0.9, top_p=None)
    assert emulator.requests[-1].path.endswith("/chat/ernie_speed")
    assert emulator.requests[-1].body == {"messages": HI, "temperature": 0.9, **SOURCE}


async def test_a_gateway_with_paths_of_its_own(emulator: Emulator, clock: JumpClock) -> None:
    client = client_for(clock, use_custom_endpoint=True)
    await ChatCompletion(endpoint="/chat/ernie_speed", client=client).ado(HI)
    assert emulator.requests[-1].path.endswith("/chat/ernie_speed")


# --- what is refused -----------------------------------------------------------------------------------------


@faces
@pytest.mark.parametrize("kind", [ChatCompletion, Completion, Embedding, Text2Image])
async def test_nothing_to_ask(face: str, kind: Any, client: Client, emulator: Emulator) -> None:
    with pytest.raises(ArgumentNotFoundError, match=f"{kind.__name__} needs '{kind.needs[0]}'"):
        await ask(face, kind(client=client))
    assert not emulator.requests


@pytest.mark.parametrize("messages", ["hi", {"role": "user", "content": "hi"}])
async def test_messages_are_a_list(client: Client, messages: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="messages must be a list"):
        await ChatCompletion(client=client).ado(messages)
    with pytest.raises(InvalidArgumentError, match="texts must be a list"):
        await Embedding(client=client).ado("text")  # type: ignore[arg-type]  # what a caller without types may do


@pytest.mark.parametrize("kind", [Embedding, Text2Image])
async def test_some_kinds_do_not_stream(kind: Any, client: Client, emulator: Emulator) -> None:
    with pytest.raises(InvalidArgumentError, match="leave out stream=True"):
        await kind(client=client).ado(["text"] if kind is Embedding else "text", stream=True)
    assert not emulator.requests


# --- options of one call -------------------------------------------------------------------------------------


@faces
async def test_how_often_to_try(face: str, client: Client, emulator: Emulator) -> None:
    emulator.faults.add("chat/ernie_speed", times=None, code=336100, message="busy")
    for count in (1, 4):
        before = emulator.count("chat/ernie_speed")
        with pytest.raises(APIError, match="busy"):
            await ask(face, ChatCompletion("ERNIE-Speed-8K", client=client), HI, retry_count=count, backoff_factor=9)
        assert emulator.count("chat/ernie_speed") - before == count
    assert "retry_count" not in emulator.requests[-1].body


async def test_options_can_be_given_once_for_all(client: Client, emulator: Emulator) -> None:
    emulator.faults.add("chat/ernie_speed", times=1, code=336100, message="busy")
    chat = ChatCompletion("ERNIE-Speed-8K", client=client, retry_count=1)
    with pytest.raises(APIError, match="busy"):
        await chat.ado(HI)
    await chat.ado(HI)


async def test_how_long_to_wait(emulator: Emulator, clock: JumpClock) -> None:
    client = client_for(clock, Meddling(emulator.transport(), "ernie_speed", silence))
    with pytest.raises(RequestTimeoutError, match=r"no complete answer within 0\.001 seconds"):
        await ChatCompletion("ERNIE-Speed-8K", client=client).ado(HI, request_timeout=0.001, retry_count=1)


async def test_an_id_of_the_callers_own(emulator: Emulator, clock: JumpClock) -> None:
    seen: list[str | None] = []

    async def note(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        seen.append(request.headers.get("request_id"))
        return await pass_on(request)

    client = client_for(clock, Meddling(emulator.transport(), "ernie_speed", note, times=9))
    chat = ChatCompletion("ERNIE-Speed-8K", client=client)
    await chat.ado(HI, request_id="mine-1")
    async with aclosing(await chat.ado(HI, stream=True, request_id="mine-2")) as pieces:
        assert [piece async for piece in pieces]
    assert seen == ["mine-1", "mine-2"]


# --- streams that end badly ----------------------------------------------------------------------------------


async def collect(face: str, client: Client) -> tuple[list[QfResponse], QianfanError]:
    """The pieces that came, and the error after them."""
    pieces: list[QfResponse] = []
    chat = ChatCompletion("ERNIE-Speed-8K", client=client)

    async def pull() -> None:
        async for piece in await chat.ado(HI, stream=True):
            pieces.append(piece)

    def pull_blocking() -> None:
        for piece in chat.do(HI, stream=True):
            pieces.append(piece)

    with pytest.raises(QianfanError) as caught:
        await (anyio.to_thread.run_sync(pull_blocking) if face == "sync" else pull())
    return pieces, caught.value


@faces
@pytest.mark.parametrize("trouble", [{"stream": "unfinished"}, {"drop": "during"}], ids=str)
async def test_a_stream_that_breaks_off(face: str, client: Client, emulator: Emulator, trouble: Any) -> None:
    emulator.faults.add("chat/ernie_speed", **trouble)
    pieces, error = await collect(face, client)
    assert pieces
    assert not pieces[-1]["is_end"]
    assert isinstance(error, StreamInterruptedError)
    assert emulator.count("chat/ernie_speed") == 1


@faces
async def test_an_error_in_the_middle(face: str, client: Client, emulator: Emulator) -> None:
    emulator.faults.add("chat/ernie_speed", stream="error", code=336000, message="broken inside")
    pieces, error = await collect(face, client)
    assert len(pieces) == 1
    assert isinstance(error, APIError)
    assert emulator.count("chat/ernie_speed") == 1


@faces
async def test_a_stream_that_fails_before_it_begins_is_opened_again(
    face: str, client: Client, emulator: Emulator
) -> None:
    emulator.faults.add("chat/ernie_speed", drop="before")
    emulator.faults.add("chat/ernie_speed", code=336100, message="busy")
    pieces = await ask(face, ChatCompletion("ERNIE-Speed-8K", client=client), HI, stream=True, retry_count=3)
    assert pieces[-1]["is_end"]
    assert emulator.count("chat/ernie_speed") == 3


@faces
async def test_comments_between_the_pieces_do_not_matter(face: str, client: Client, emulator: Emulator) -> None:
    emulator.faults.add("chat/ernie_speed", stream="comments")
    pieces = await ask(face, ChatCompletion("ERNIE-Speed-8K", client=client), HI, stream=True)
    assert pieces[-1]["is_end"]


@faces
async def test_a_reader_may_leave_early(face: str, client: Client, emulator: Emulator) -> None:
    chat = ChatCompletion("ERNIE-Speed-8K", client=client)

    def blocking() -> str:
        for piece in chat.do(HI, stream=True):
            return piece.text
        return ""

    if face == "sync":
        assert await anyio.to_thread.run_sync(blocking)
    else:
        async with aclosing(await chat.ado(HI, stream=True)) as pieces:
            assert (await anext(pieces)).text
    assert (await chat.ado(HI)).text


async def test_nothing_is_sent_before_a_stream_is_read(client: Client, emulator: Emulator) -> None:
    async with aclosing(await ChatCompletion(client=client).ado(HI, stream=True)):
        assert not emulator.requests
    ChatCompletion(client=client).do(HI, stream=True)
    assert not emulator.requests


async def test_a_conversation_goes_on(client: Client, emulator: Emulator) -> None:
    messages = QfMessages().append("hi")
    chat = ChatCompletion(client=client)
    messages.append(await chat.ado(messages)).append("and now?")
    await chat.ado(messages)
    assert [message["role"] for message in emulator.requests[-1].body["messages"]] == ["user", "assistant", "user"]
