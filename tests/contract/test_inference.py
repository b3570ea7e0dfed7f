"""Model calls by their documented names, both generations, whole and streamed, with functions, tools and failures."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

import anyio.to_thread
import pytest

from qianfan._transport import default_client
from qianfan.emulator.pictures import picture, read_head
from qianfan.emulator.server import Running
from qianfan.errors import APIError, QianfanError, StreamInterruptedError
from qianfan.resources import (
    ChatCompletion,
    Completion,
    Embedding,
    Image2Text,
    Plugin,
    QfMessages,
    Reranker,
    Text2Image,
    Tokenizer,
)
from qianfan.resources.llm.typed import merged
from qianfan.resources.openai_style import Qianfan
from tests.contract.conftest import Faces

pytestmark = [pytest.mark.anyio, pytest.mark.socket]

HI = [{"role": "user", "content": "hi"}]
QUESTION = "How is the weather in Paris?"
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TOOLS = [{"type": "function", "function": WEATHER}]
VERSIONS = [
    pytest.param("1", marks=pytest.mark.covers("/chat")),
    pytest.param("2", marks=pytest.mark.covers("/v2/chat/completions")),
]


async def stream(ask: Faces, owner: Any, name: str, *args: Any, **kwargs: Any) -> list[Any]:
    """All pieces of a streamed answer."""
    return [piece async for piece in _pieces(ask, owner, name, *args, **kwargs)]


async def _pieces(ask: Faces, owner: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    answer = await ask(owner, name, *args, stream=True, **kwargs)
    if ask.face == "async":
        async for piece in answer:
            yield piece
        return
    while (piece := await anyio.to_thread.run_sync(partial(next, answer, None))) is not None:
        yield piece


def last_body(served: Running) -> Any:
    return served.platform.log.recent()[-1].body


# --- conversations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_conversation(ask: Faces, served: Running, version: Any) -> None:
    chat = ChatCompletion(version=version, temperature=0.5)
    messages = QfMessages().append("hi")
    answer = await ask(chat, "do", messages, model="ERNIE-Speed-8K" if version == "1" else "ernie-speed-8k")
    assert "You said: hi" in answer.text
    assert answer["usage"]["total_tokens"] > 0
    assert answer.headers["x-baidu-request-id"].startswith("sdk-py-")
    messages.append(answer).append("and now?")
    assert "You said: and now?" in (await ask(chat, "do", messages)).text
    sent = last_body(served)
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "user"]
    assert (sent["temperature"], sent.get("model")) == (0.5, None if version == "1" else "ernie-lite-8k")
    assert sent["extra_parameters"]["request_source"].startswith("qianfan_py_sdk_v")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_streamed_conversation(ask: Faces, version: Any) -> None:
    chat = ChatCompletion(version=version)
    whole = await ask(chat, "do", HI)
    pieces = await stream(ask, chat, "do", HI)
    assert len(pieces) > 2
    assert "".join(piece.text for piece in pieces) == whole.text
    if version == "1":
        assert [piece["is_end"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert pieces[-1]["usage"] == whole["usage"]
    else:
        assert [piece["choices"][0]["finish_reason"] for piece in pieces][-1] == "stop"
        *pieces, used = await stream(ask, chat, "do", HI, stream_options={"include_usage": True})
        assert (used["choices"], used["usage"]) == ([], whole["usage"])


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_answer_that_was_cut_is_completed(ask: Faces, served: Running, version: Any) -> None:
    most = {"max_output_tokens": 4} if version == "1" else {"max_completion_tokens": 4}
    chat = ChatCompletion(version=version, **most)
    whole = (await ask(ChatCompletion(version=version), "do", HI)).text
    cut = await ask(chat, "do", HI)
    assert whole.startswith(cut.text)
    assert cut.text != whole
    joined = await ask(chat, "do", HI, auto_concat_truncate=True)
    assert joined.text == whole
    before = len(served.platform.log.recent())
    pieces = await stream(ask, chat, "do", HI, auto_concat_truncate=True)
    assert "".join(piece.text for piece in pieces) == whole
    asked = len(served.platform.log.recent()) - before
    await stream(ask, ChatCompletion(version=version), "do", HI, auto_concat_truncate=True)
    assert asked > 1
    assert len(served.platform.log.recent()) == before + asked + 1


@pytest.mark.covers("/chat")
async def test_messages_that_are_too_long(ask: Faces) -> None:
    chat = ChatCompletion("ERNIE-Speed-8K")
    messages = [*HI, {"role": "assistant", "content": "b" * 11200}, {"role": "user", "content": "and now?"}]
    with pytest.raises(APIError) as caught:
        await ask(chat, "do", messages)
    assert caught.value.error_code == 336103
    assert "You said: and now?" in (await ask(chat, "do", messages, truncate_overlong_msgs=True)).text


@pytest.mark.covers("/chat")
async def test_system_messages_are_adapted(ask: Faces, served: Running) -> None:
    messages = [{"role": "system", "content": "be kind"}, *HI]
    with pytest.raises(APIError, match="length must be odd"):
        await ask(ChatCompletion(), "do", messages)
    assert (await ask(ChatCompletion(), "do", messages, adapt_openai_message_format=True)).text
    assert last_body(served)["system"] == "be kind"


@pytest.mark.parametrize("version", VERSIONS)
async def test_many_conversations(ask: Faces, version: Any) -> None:
    chat = ChatCompletion(version=version)
    questions = [[{"role": "user", "content": f"number {number}"}] for number in range(12)]
    questions[5] = []
    done = await ask(chat, "batch_do", questions, worker_num=3)
    if ask.face == "blocking":
        assert done.task_count() == 12
        done = await anyio.to_thread.run_sync(done.results)
    assert isinstance(done[5], APIError)
    texts = [one.text for one in done if not isinstance(one, Exception)]
    assert [f"number {number}" in text for number, text in zip([*range(5), *range(6, 12)], texts, strict=True)]


# --- functions and tools -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["ERNIE-3.5-8K", "ERNIE-Functions-8K"])
@pytest.mark.covers("/chat")
async def test_functions(ask: Faces, served: Running, model: str) -> None:
    chat = ChatCompletion(model)
    messages = QfMessages().append(QUESTION)
    answer = await ask(chat, "do", messages, functions=[WEATHER])
    call = answer["function_call"]
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris"})
    assert answer.text == ""
    [piece] = await stream(ask, chat, "do", messages, functions=[WEATHER])
    assert (piece["function_call"]["arguments"], piece["is_end"]) == (call["arguments"], True)
    messages.append(answer).append('{"degrees": 21}', name="get_weather")
    assert '{"degrees": 21}' in (await ask(chat, "do", messages, functions=[WEATHER])).text
    assert ("functions" in last_body(served)) == (model == "ERNIE-3.5-8K")
    assert "function_call" not in await ask(chat, "do", HI, functions=[WEATHER])


@pytest.mark.covers("/v2/chat/completions")
async def test_tools(ask: Faces) -> None:
    chat = ChatCompletion(version=2)
    messages = QfMessages().append(QUESTION)
    answer = await ask(chat, "do", messages, tools=TOOLS, tool_choice="auto")
    [call] = answer["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    chunks = await stream(ask, chat, "create", messages, tools=TOOLS)
    [choice] = merged(chunks).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].function.arguments == call["function"]["arguments"]
    messages.append(answer).append("21 degrees", tool_call_id=call["id"])
    assert "get_weather answered: 21 degrees" in (await ask(chat, "do", messages, tools=TOOLS)).text


# --- the object in OpenAI's form -----------------------------------------------------------------------------


@pytest.mark.covers("/v2/chat/completions", "/v2/embeddings", "/v2/rerankers")
async def test_one_object_for_everything(ask: Faces, served: Running) -> None:
    client = Qianfan(app_id="app-1")
    answer = await ask(client.chat.completions, "create", model="ernie-4.0-8k", messages=HI)
    assert "ERNIE-4.0-8K" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "normal"
    wish = {"stream_options": {"include_usage": True}}
    chunks = await stream(ask, client.chat.completions, "create", model="ernie-4.0-8k", messages=HI, **wish)
    whole = merged(chunks)
    assert whole.choices[0].message.content == answer.choices[0].message.content
    assert whole.usage is not None
    assert whole.usage.total_tokens == answer.usage.total_tokens
    vectors = await ask(client.embeddings, "create", input=["one", "two"])
    assert [(row.index, len(row.embedding)) for row in vectors.data] == [(0, 384), (1, 384)]
    assert vectors.model == "embedding-v1"
    ranking = await ask(client.reranker, "create", query="red apple", documents=["blue sky", "apples are red"])
    assert [row.index for row in ranking.results] == [1, 0]


# --- the other kinds -----------------------------------------------------------------------------------------


@pytest.mark.covers("/completions", "/chat")
async def test_completions(ask: Faces) -> None:
    for model, name in (("SQLCoder-7B", "SQLCoder-7B"), ("ERNIE-Speed-8K", "ERNIE-Speed-8K")):
        whole = await ask(Completion(), "do", "select", model=model)
        assert (whole["object"], f"simulated answer of {name}" in whole.text) == ("completion", True)
        pieces = await stream(ask, Completion(model), "do", "select")
        assert "".join(piece.text for piece in pieces) == whole.text
    done = await ask(Completion(), "batch_do", ["one", "two"])
    done = done if ask.face == "async" else await anyio.to_thread.run_sync(done.results)
    assert ["one" in done[0].text, "two" in done[1].text] == [True, True]


@pytest.mark.covers("/embeddings", "/v2/embeddings")
async def test_embeddings(ask: Faces) -> None:
    texts = ["how to fine-tune a model", "fine-tuning models", "the weather in Paris"]
    first = await ask(Embedding(), "do", texts)
    rows = [row["embedding"] for row in first["data"]]
    near, far = (sum(a * b for a, b in zip(rows[0], other, strict=True)) for other in rows[1:])
    assert near > far
    second = await ask(Embedding("bge-large-zh", version=2), "do", texts[0])
    assert (len(second["data"][0]["embedding"]), second["model"]) == (1024, "bge-large-zh")
    with pytest.raises(APIError, match="at most 1 texts"):
        await ask(Embedding("tao-8k"), "do", texts)


@pytest.mark.covers("/text2image", "/image2text")
async def test_pictures_there_and_back(ask: Faces) -> None:
    drawn = await ask(Text2Image(), "do", "a cat", with_decode="base64", size="768x1024", n=2, seed=1)
    file = drawn["data"][0]["image"]
    head = read_head(file)
    assert head is not None
    assert (head.width, head.height, len(drawn["data"])) == (768, 1024, 2)
    told = await ask(Image2Text(), "do", "what is it?", file)
    assert "768x1024" in told.text
    pieces = await stream(ask, Image2Text(), "do", "what is it?", base64.b64encode(file).decode())
    assert "".join(piece.text for piece in pieces) == told.text
    with pytest.raises(APIError, match="15 to 4096"):
        await ask(Image2Text(), "do", "what is it?", picture("x", 5, 5))


@pytest.mark.covers("/reranker", "/v2/rerankers")
async def test_rankings(ask: Faces) -> None:
    documents = ["blue sky", "apples are red", "a red apple"]
    for version in (1, 2):
        ranked = await ask(Reranker(version=version), "do", "red apple", documents, 2)
        assert [row["document"] for row in ranked["results"]] == ["a red apple", "apples are red"]
        assert [row["index"] for row in ranked["results"]] == [2, 1]


@pytest.mark.covers("/tokenizer/erniebot")
async def test_tokens(ask: Faces, served: Running) -> None:
    text = "你好世界 hello"
    assert await ask(Tokenizer, "count_tokens", text) == 3
    assert await ask(Tokenizer, "count_tokens", text, mode="remote", model="ernie-4.0-8k") == 3
    assert last_body(served) == {"prompt": text, "model": "ernie-4.0-8k"}


@pytest.mark.covers("/erniebot/plugins")
async def test_plugins(ask: Faces) -> None:
    said = await ask(Plugin(), "do", "draw it", ["eChart"])
    assert "plugins: eChart" in said.text
    pieces = await stream(ask, Plugin(), "do", "draw it", ["eChart"])
    assert [piece["_event"] for piece in pieces][:3] == ["pluginMeta", "plugin", "chat"]
    assert "plugins: x" in (await ask(Plugin(endpoint="mine"), "do", "draw it", ["x"])).text


# --- failures ------------------------------------------------------------------------------------------------


PLACES = {"1": "chat/ernie-lite-8k", "2": "/v2/chat/completions"}


async def heard(ask: Faces, version: Any, **kwargs: Any) -> tuple[list[Any], QianfanError]:
    """The pieces that came, and the error after them."""
    pieces: list[Any] = []
    with pytest.raises(QianfanError) as caught:
        async for piece in _pieces(ask, ChatCompletion(version=version), "do", HI, **kwargs):
            pieces.append(piece)
    return pieces, caught.value


@pytest.mark.parametrize(
    ("version", "trouble"), [("1", {"stream": "unfinished"}), ("1", {"drop": "during"}), ("2", {"drop": "during"})]
)
async def test_a_stream_that_breaks_off(ask: Faces, served: Running, version: Any, trouble: Any) -> None:
    served.platform.faults.add(PLACES[version], **trouble)
    pieces, error = await heard(ask, version)
    assert pieces
    assert isinstance(error, StreamInterruptedError)
    assert served.platform.log.count(PLACES[version]) == 1


@pytest.mark.covers("/v2/chat/completions")
async def test_a_stream_of_v2_without_its_mark_is_whole_when_it_says_why_it_ended(ask: Faces, served: Running) -> None:
    served.platform.faults.add(PLACES["2"], stream="unfinished")
    pieces = await stream(ask, ChatCompletion(version=2), "do", HI)
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("version", "code"), [("1", 336000), ("2", "internal_error")])
async def test_an_error_in_the_middle_of_a_stream(ask: Faces, served: Running, version: Any, code: Any) -> None:
    served.platform.faults.add(PLACES[version], stream="error", code=code, message="broken inside")
    pieces, error = await heard(ask, version)
    assert len(pieces) == 1
    assert isinstance(error, APIError)
    assert (error.error_code, error.error_msg) == (code, "broken inside")
    assert served.platform.log.count(PLACES[version]) == 1


AT_ONCE = {"retry-after": "0"}
"""Without it, calls to a model that is over its limit pause for up to a minute."""


@pytest.mark.parametrize(("version", "status"), [("1", None), ("2", 429)])
async def test_a_busy_platform_is_asked_again_before_the_first_piece(
    ask: Faces, served: Running, version: Any, status: int | None
) -> None:
    code = 336100 if version == "1" else "rpm_rate_limit_exceeded"
    served.platform.faults.add(PLACES[version], times=2, code=code, status=status, headers=AT_ONCE)
    chat = ChatCompletion(version=version, retry_count=3, backoff_factor=0, retry_jitter=0)
    assert (await stream(ask, chat, "do", HI))[-1].text is not None
    assert served.platform.log.count(PLACES[version]) == 3


@pytest.mark.parametrize("version", VERSIONS)
async def test_comments_do_not_matter(ask: Faces, served: Running, version: Any) -> None:
    served.platform.faults.add(PLACES[version], stream="comments")
    chat = ChatCompletion(version=version)
    pieces = await stream(ask, chat, "do", HI)
    assert "".join(piece.text for piece in pieces) == (await ask(chat, "do", HI)).text


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_in_place_of_a_stream(ask: Faces, version: Any) -> None:
    chat = ChatCompletion(version=version)
    with pytest.raises(APIError) as caught:
        await stream(ask, chat, "do", [])
    assert caught.value.error_code == (336003 if version == "1" else "invalid_messages")
    assert caught.value.http_status == (200 if version == "1" else 400)
    await ask(chat, "do", HI)


@pytest.mark.parametrize("version", VERSIONS)
async def test_tokens_that_expired_are_replaced(ask: Faces, served: Running, version: Any) -> None:
    chat = ChatCompletion(version=version)
    await ask(chat, "do", HI)
    account = served.platform.account
    with account.lock:
        account.tokens.expire_all(account.now())
    assert (await stream(ask, chat, "do", HI))[0].text
    assert (await ask(chat, "do", HI)).text


async def test_keys_stay_out_of_bodies(ask: Faces, served: Running) -> None:
    mine = served.settings["ACCESS_KEY"]
    keys = {"access_key": mine, "secret_key": "secret-of-tests"}
    for version in (1, 2):
        assert (await ask(ChatCompletion(version=version, **keys), "do", HI)).text
        with pytest.raises(QianfanError):
            await ask(ChatCompletion(version=version), "do", HI, access_key=mine, secret_key="wrong")
    assert mine not in str([recorded.body for recorded in served.platform.log.recent()])
    assert default_client().settings.access_key is not None
