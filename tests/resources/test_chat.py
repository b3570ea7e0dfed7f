"""Conversations as they are led: versions, functions and tools, answers that were cut, messages that are too long."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan.errors import APIError, InvalidArgumentError, RequestError
from qianfan.resources import ChatCompletion, Completion, QfMessages
from qianfan.resources.llm import functions
from qianfan.resources.llm.continuing import MOST_PARTS
from qianfan.resources.llm.conversation import shortened
from qianfan.resources.llm.presets import ModelInfo
from tests.resources.asking import ask, faces
from tests.support.wire import DONE, Prepared, client_of, events

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def v1(text: str, **more: Any) -> dict[str, Any]:
    """A whole answer as V1 gives it."""
    return {"id": "as-1", "object": "chat.completion", "created": 1, "result": text, "usage": USAGE, **more}


def piece(text: str, last: bool = False, **more: Any) -> dict[str, Any]:
    """A piece of an answer as V1 gives it."""
    return {"id": "as-1", "sentence_id": 0, "is_end": last, "is_truncated": False, "result": text, **more}


def v2(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A whole answer as V2 gives it."""
    said = {"role": "assistant", "content": text, **message}
    return {"id": "as-1", "model": "m", "choices": [{"index": 0, "message": said, "finish_reason": finish}]}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A piece of an answer as V2 gives it."""
    return {"id": "as-1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


# --- versions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2", "v2", "V2", 2])
@faces
async def test_the_second_generation(face: str, version: Any) -> None:
    wire = Prepared(v2("hello"))
    answer = await ask(face, ChatCompletion(version=version, client=client_of(wire, app_id="app-7")), "do", HI)
    assert answer.text == "hello"
    [seen] = wire.seen
    assert seen.path == "/v2/chat/completions"
    assert seen.headers["authorization"] == "Bearer bearer"
    assert seen.headers["appid"] == "app-7"
    assert seen.headers["request_id"].startswith("sdk-py-")
    assert wire.bodies == [{"model": "ernie-lite-8k", "messages": HI}]
    assert seen.body["extra_parameters"]["request_source"].startswith("qianfan_py_sdk_v")


async def test_names_of_the_second_generation_are_sent_as_they_are() -> None:
    wire = Prepared(v2("a"), v2("b"), v2("c"))
    chat = ChatCompletion("My-Model", version=2, client=client_of(wire))
    await chat.ado(HI)
    await chat.ado(HI, model="ernie-x", endpoint="ignored")
    await chat.ado(HI, endpoint="abc_mine")
    assert [body["model"] for body in wire.bodies] == ["My-Model", "ernie-x", "abc_mine"]
    assert repr(chat) == "ChatCompletion(model='My-Model', version=2)"


@pytest.mark.parametrize("version", ["3", "two", 0.5])
def test_other_versions_there_are_none(version: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="use '1' or '2'"):
        ChatCompletion(version=version)
    with pytest.raises(InvalidArgumentError, match="Completion has no version 2"):
        Completion(version=2)


def test_models_and_what_is_known_of_them() -> None:
    assert "ERNIE-4.0-8K" in ChatCompletion.models()
    assert "ernie-4.0-8k" in ChatCompletion.models(version="2")
    info = ChatCompletion().get_model_info("ernie-bot")
    assert (info.name, info.endpoint, info.deprecated) == ("ERNIE-Bot", "completions", True)
    assert (info.max_input_chars, info.max_input_tokens) == (20000, 5120)
    assert "user_setting" in info.optional_keys
    assert info.required_keys == {"messages"}
    assert ChatCompletion.get_model_info("ernie-speed-appbuilder").endpoint == "ai_apaas"
    with pytest.raises(InvalidArgumentError, match="'nope' is no preset chat model"):
        ChatCompletion.get_model_info("nope")


# --- answers that were cut -----------------------------------------------------------------------------------


@faces
async def test_the_rest_of_a_cut_answer_is_asked_for(face: str) -> None:
    wire = Prepared(v1("one ", is_truncated=True), v1("two ", is_truncated=True), v1("three", is_truncated=False))
    answer = await ask(face, ChatCompletion(client=client_of(wire)), "do", HI, auto_concat_truncate=True)
    assert answer.text == "one two three"
    assert answer["is_truncated"] is False
    assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 9, "total_tokens": 15}
    more = [{"role": "assistant", "content": "one "}, {"role": "user", "content": "继续"}]
    assert wire.bodies[1] == {"messages": [*HI, *more]}
    assert len(wire.bodies[2]["messages"]) == 5


@faces
async def test_an_answer_that_never_ends_is_not_paid_for_without_end(face: str) -> None:
    wire = Prepared(*[v1("on ", is_truncated=True)] * (MOST_PARTS + 1))
    answer = await ask(face, ChatCompletion(client=client_of(wire)), "do", HI, auto_concat_truncate=True)
    assert (answer.text, answer["is_truncated"]) == ("on " * MOST_PARTS, True)
    assert len(wire.seen) == MOST_PARTS
    cut = events(piece("on ", True, is_truncated=True, finish_reason="length"))
    wire = Prepared(*[cut] * (MOST_PARTS + 1))
    chat = ChatCompletion(client=client_of(wire))
    pieces = await ask(face, chat, "do", HI, stream=True, auto_concat_truncate=True)
    assert len(wire.seen) == len(pieces) == MOST_PARTS
    assert (pieces[-1]["is_end"], pieces[-1]["is_truncated"]) == (True, True)


@faces
async def test_a_whole_answer_is_not_asked_for_again(face: str) -> None:
    wire = Prepared(v1("all", is_truncated=False))
    chat = ChatCompletion(client=client_of(wire), auto_concat_truncate=True)
    assert (await ask(face, chat, "do", HI)).text == "all"
    assert wire.bodies == [{"messages": HI}]


@faces
async def test_a_stream_goes_on_where_it_was_cut_and_only_there(face: str) -> None:
    cut = events(piece("one "), piece("two ", True, is_truncated=True, finish_reason="length"))
    wire = Prepared(cut, events(piece("three"), piece(" end", True, finish_reason="normal")))
    chat = ChatCompletion(client=client_of(wire))
    pieces = await ask(
        face, chat, "do", HI, stream=True, auto_concat_truncate=True, truncated_continue_prompt="and then?"
    )
    assert "".join(one.text for one in pieces) == "one two three end"
    assert [one["is_end"] for one in pieces] == [False, False, False, True]
    assert [one["sentence_id"] for one in pieces] == [0, 1, 2, 3]
    assert not any(one["is_truncated"] for one in pieces)
    assert wire.bodies[1]["messages"][1:] == [
        {"role": "assistant", "content": "one two "},
        {"role": "user", "content": "and then?"},
    ]
    assert len(wire.seen) == 2


@faces
async def test_v2_goes_on_too(face: str) -> None:
    wire = Prepared(v2("one ", "length"), v2("two"))
    chat = ChatCompletion(version=2, client=client_of(wire))
    answer = await ask(face, chat, "do", HI, auto_concat_truncate=True)
    assert (answer.text, answer["choices"][0]["finish_reason"]) == ("one two", "stop")
    used = {"choices": [], "usage": USAGE}
    wire = Prepared(
        events(chunk("length", content="one "), used, end=DONE), events(chunk("stop", content="two"), end=DONE)
    )
    chat = ChatCompletion(version=2, client=client_of(wire))
    pieces = await ask(face, chat, "do", HI, stream=True, auto_concat_truncate=True)
    assert "".join(one.text for one in pieces) == "one two"
    finishes = [choice["finish_reason"] for one in pieces for choice in one["choices"]]
    assert finishes == [None, "stop"]


async def test_an_answer_without_text_is_not_asked_for_for_ever() -> None:
    wire = Prepared(v1("", is_truncated=True), events(piece("", True, is_truncated=True)))
    chat = ChatCompletion(client=client_of(wire), auto_concat_truncate=True)
    assert (await chat.ado(HI)).text == ""
    assert [one["is_end"] async for one in await chat.ado(HI, stream=True)] == [True]


# --- messages that are too long ------------------------------------------------------------------------------


def dialogue(*texts: str) -> list[dict[str, str]]:
    roles = itertools.cycle(["user", "assistant"])
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def limits(chars: int | None = None, tokens: int | None = None) -> ModelInfo:
    return ModelInfo("m", "chat", "m", max_input_chars=chars, max_input_tokens=tokens)


async def test_the_oldest_messages_are_left_out() -> None:
    wire = Prepared(v1("ok"), v1("ok"), v1("ok"))
    chat = ChatCompletion("ERNIE-Speed-8K", client=client_of(wire))
    messages = dialogue("a" * 6000, "b", "c" * 6000, "d", "e")
    await chat.ado(messages, truncate_overlong_msgs=True)
    await chat.ado(messages, truncate_overlong_msgs=True, system="s" * 6000)
    await chat.ado(messages)
    assert [len(body["messages"]) for body in wire.bodies] == [3, 1, 5]
    assert wire.bodies[0]["messages"] == messages[2:]


@given(
    st.lists(st.text("ab 你", max_size=12), min_size=1, max_size=9).map(lambda texts: texts[: len(texts) // 2 * 2 + 1]),
    st.integers(0, 60),
    st.integers(0, 30),
)
def test_shortening_keeps_the_order_and_an_odd_number(texts: list[str], chars: int, tokens: int) -> None:
    messages = dialogue(*texts[: (len(texts) - 1) // 2 * 2 + 1])
    kept = shortened(messages, "sys", limits(chars, tokens))
    assert kept == messages[len(messages) - len(kept) :]
    assert len(kept) % 2 == 1
    assert len(kept) == 1 or sum(len(one["content"]) for one in kept) + 3 <= chars
    longer = messages[len(messages) - len(kept) - 2 :]
    assert len(kept) == len(messages) or shortened(longer, "sys", limits(chars, tokens)) == kept


def test_shortening_keeps_the_system_message_and_knows_no_limits_of_others() -> None:
    messages = [{"role": "system", "content": "s" * 9}, *dialogue("a" * 9, "b", "c")]
    assert shortened(messages, "", limits(chars=12)) == [messages[0], messages[-1]]
    assert shortened(messages, "", None) == messages
    called = [*dialogue("long" * 9), {"role": "assistant", "content": ""}, {"role": "function", "content": "c"}]
    assert shortened(called, "", limits(chars=3)) == [called[-1]]


# --- documented spellings ------------------------------------------------------------------------------------


async def test_system_messages_move_where_v1_has_them() -> None:
    wire = Prepared(*[v1("ok")] * 3)
    chat = ChatCompletion(client=client_of(wire))
    messages = [{"role": "system", "content": "A"}, *HI, {"role": "system", "content": "B"}]
    await chat.ado(messages, adapt_openai_message_format=True)
    await chat.ado(messages, adapt_openai_message_format=True, system="mine")
    await chat.ado(messages)
    assert wire.bodies == [
        {"messages": HI, "system": "AB"},
        {"messages": HI, "system": "mine"},
        {"messages": messages},
    ]
    assert len(messages) == 3


async def test_a_function_is_named_by_what_newer_code_calls_it() -> None:
    wire = Prepared(v1("ok"))
    said = {"role": "function", "content": "{}", "tool_call_id": "f"}
    await ChatCompletion(client=client_of(wire)).ado([*HI, {"role": "assistant", "content": "x"}, said])
    assert wire.bodies[0]["messages"][-1] == {"role": "function", "content": "{}", "name": "f"}
    assert "name" not in said


# --- functions and tools -------------------------------------------------------------------------------------

WEATHER = {
    "name": "get_weather",
    "description": "the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = {"name": "get_weather", "thoughts": "t", "arguments": '{"city": "Paris"}'}


async def test_functions_of_v1() -> None:
    wire = Prepared(v1("", function_call=CALL), v1("sunny"))
    chat = ChatCompletion("ERNIE-3.5-8K", client=client_of(wire))
    messages = QfMessages().append("Weather in Paris?")
    answer = await chat.ado(messages, functions=[WEATHER])
    assert answer["function_call"]["name"] == "get_weather"
    messages.append(answer).append('{"degrees": 20}', name="get_weather")
    await chat.ado(messages, functions=[WEATHER])
    assert wire.bodies[1] == {
        "functions": [WEATHER],
        "messages": [
            {"role": "user", "content": "Weather in Paris?"},
            {"role": "assistant", "content": "", "function_call": CALL},
            {"role": "function", "content": '{"degrees": 20}', "name": "get_weather"},
        ],
    }


async def test_tools_of_v2() -> None:
    tool_calls = [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]
    wire = Prepared(v2(None, "tool_calls", tool_calls=tool_calls), v2("sunny"))
    chat = ChatCompletion(version=2, client=client_of(wire))
    messages = QfMessages().append("Weather in Paris?")
    tools = [{"type": "function", "function": WEATHER}]
    answer = await chat.ado(messages, tools=tools, tool_choice="auto")
    assert answer.text == ""
    messages.append(answer).append("20 degrees", tool_call_id="call_1")
    await chat.ado(messages, tools=tools)
    assert wire.bodies[1]["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": tool_calls},
        {"role": "tool", "content": "20 degrees", "tool_call_id": "call_1"},
    ]
    assert wire.bodies[0]["tool_choice"] == "auto"


def in_words() -> ChatCompletion:
    return ChatCompletion("ERNIE-Functions-8K")


ACTION = 'Action: get_weather\nAction Input: {"city": "Paris"}'


@faces
async def test_a_model_that_is_told_of_functions_in_words(face: str) -> None:
    wire = Prepared(v1(ACTION), v1("sunny"))
    chat = ChatCompletion("ERNIE-Functions-8K", client=client_of(wire))
    other = {"name": "f2", "description": "d2", "parameters": {}}
    answer = await ask(face, chat, "do", [*HI], functions=[WEATHER, other], temperature=0.5)
    assert answer["result"] == ""
    assert answer["function_call"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    [body] = wire.bodies
    assert body.keys() == {"messages", "temperature"}
    told = body["messages"][0]["content"]
    for word in ("get_weather", "the weather of a city", '"properties"', "\n-\n", "f2", "Action:", "Action Input:"):
        assert word in told
    assert told.endswith("hi")
    messages = [*HI, {"role": "assistant", "content": None, "function_call": CALL}]
    messages.append({"role": "function", "name": "get_weather", "content": "20 degrees"})
    assert (await ask(face, chat, "do", messages, functions=[WEATHER])).text == "sunny"
    assert wire.bodies[1]["messages"][1:] == [
        {"role": "assistant", "content": ACTION},
        {"role": "user", "content": "20 degrees"},
    ]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@faces
async def test_a_call_in_words_is_read_from_a_stream(face: str, size: int) -> None:
    parts = [ACTION[start : start + size] for start in range(0, len(ACTION), size)]
    wire = Prepared(events(*[piece(part, number == len(parts) - 1) for number, part in enumerate(parts)]))
    chat = ChatCompletion("ERNIE-Functions-8K", client=client_of(wire))
    [only] = await ask(face, chat, "do", HI, functions=[WEATHER], stream=True)
    assert only["function_call"]["arguments"] == '{"city": "Paris"}'
    assert (only["result"], only["is_end"]) == ("", True)


@pytest.mark.parametrize("text", ["Action is needed", "A", "hello", "Action: only one line", " \n", ""])
async def test_words_that_are_no_call_come_through(text: str) -> None:
    parts = [*text] or [""]
    wire = Prepared(events(*[piece(part, number == len(parts) - 1) for number, part in enumerate(parts)]), v1(text))
    chat = ChatCompletion("ERNIE-Functions-8K", client=client_of(wire))
    pieces = [one async for one in await chat.ado(HI, functions=[WEATHER], stream=True)]
    assert "".join(one.text for one in pieces) == text
    assert len(pieces) == len(parts)
    answer = await chat.ado(HI, functions=[WEATHER])
    assert (answer.text, "function_call" in answer) == (text, False)


def test_the_words_leave_the_callers_messages_alone() -> None:
    messages = [{"role": "user", "content": "hi"}]
    functions.in_words({"messages": messages, "functions": [WEATHER]})
    assert messages == [{"role": "user", "content": "hi"}]


# --- completions by chat models ------------------------------------------------------------------------------


@faces
async def test_a_prompt_for_a_chat_model(face: str) -> None:
    wire = Prepared(v1("more"), events(piece("mo"), piece("re", True)), v1("select 1"))
    completion = Completion(client=client_of(wire))
    answer = await ask(face, completion, "do", "go on", temperature=0.5)
    assert (answer.text, answer["object"]) == ("more", "completion")
    pieces = await ask(face, completion, "do", "go on", model="ernie-speed-8k", stream=True)
    assert [(one.text, one["object"]) for one in pieces] == [("mo", "completion"), ("re", "completion")]
    await ask(face, completion, "do", "go on", model="SQLCoder-7B")
    assert [seen.path.rpartition("wenxinworkshop")[2] for seen in wire.seen] == [
        "/chat/ernie-lite-8k",
        "/chat/ernie_speed",
        "/completions/sqlcoder_7b",
    ]
    assert wire.bodies[0] == {"messages": [{"role": "user", "content": "go on"}], "temperature": 0.5}
    assert wire.bodies[2] == {"prompt": "go on"}


# --- errors around a stream ----------------------------------------------------------------------------------


def failing(status: int, content: bytes, kind: str = "application/json") -> httpx.Response:
    return httpx.Response(status, headers={"content-type": kind}, content=content)


@pytest.mark.parametrize(
    ("response", "error", "said"),
    [
        (failing(200, b'{"error_code": 336003, "error_msg": "bad"}'), APIError, "bad"),
        (failing(200, b'{\n  "error_code": 336003,\n  "error_msg": "bad"\n}'), APIError, "bad"),
        (failing(400, b'{"error": {"code": "invalid_argument", "message": "bad"}}'), APIError, "bad"),
        (failing(404, b'{"note": "nothing"}'), RequestError, "404"),
        (failing(502, b"<html>", "text/html"), RequestError, "502"),
        (failing(200, b'{"result": "whole"}'), RequestError, "single answer"),
        (failing(200, b'{\n "error_code": 336003,\n "error_msg": "bad"\n}', "text/event-stream"), APIError, "bad"),
        (failing(200, b"", "text/event-stream"), RequestError, "end mark"),
    ],
)
@faces
async def test_what_comes_in_place_of_a_stream(face: str, response: httpx.Response, error: Any, said: str) -> None:
    chat = ChatCompletion(client=client_of(Prepared(response)))
    with pytest.raises(error, match=said):
        await ask(face, chat, "do", HI, stream=True, retry_count=1)
