"""Conversations, V1: `/chat/{endpoint}`, functions and search included."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from qianfan._types import JSON
from qianfan.emulator import answers, tool_calls
from qianfan.emulator.calls import Call
from qianfan.emulator.envelopes import answer_id
from qianfan.emulator.handlers.asking import (
    FINISH,
    Canned,
    ask_at,
    begun,
    canned,
    check_fields,
    check_length,
    content_of,
    created,
    data,
    message_of,
    of_preset,
    sources,
    stream,
    usage_of,
    with_last,
)
from qianfan.emulator.refusals import RefusedInference
from qianfan.emulator.shapes.inference import FORMS
from qianfan.emulator.tool_calls import Tool
from qianfan.emulator.wire import Answer, json_answer
from qianfan.emulator.works import Reply
from qianfan.engines.rows import Message

_IN_WORDS = "ernie-func-8k"
"""The endpoint of the model that is told of functions in words, and calls them in words."""
_SEARCHING = ("ERNIE-3.5", "ERNIE 3.5", "ERNIE-4.0")
"""How the names begin of the models that search the web on their own."""


async def ask_chat(call: Call) -> None:
    """Begin the answer of `chat`."""
    messages = messages_of(call.body.get("messages"))
    _check_system(call)
    check_fields(call, FORMS["/chat"], "messages", "system", "user_setting")
    system = call.body.optional_text("system")
    head = [Message(role="system", content=system)] if system else []
    spoken = [*head, *map(message_of, messages)]
    await ask_at(call, "chat", spoken, lambda model: _preset(call, model, messages, spoken))


def chat(call: Call) -> Answer:
    """`/chat/{endpoint}`."""
    return reply_v1(call, kind="chat.completion", extra={"need_clear_history": False})


def messages_of(messages: JSON) -> list[dict[str, JSON]]:
    """The messages of a call: an odd number, user and assistant in turn; a function may speak where the user would."""
    if not isinstance(messages, list) or not messages:
        raise RefusedInference(336003, "messages must be a non-empty list")
    if len(messages) % 2 == 0:
        raise RefusedInference(336003, "messages length must be odd")
    for place, message in enumerate(messages):
        _check_message(place, message)
    return messages


def _check_message(place: int, message: JSON) -> None:
    expected = ("assistant",) if place % 2 else ("user",) if place == 0 else ("user", "function")
    role = message.get("role") if isinstance(message, dict) else None
    if role not in expected:
        raise RefusedInference(336003, f"role of message {place} must be {expected[0]}, found {role!r}")
    content, calls = message.get("content"), message.get("function_call")
    if calls is not None and (not isinstance(calls, dict) or not isinstance(calls.get("name"), str)):
        raise RefusedInference(336003, f"function_call of message {place} must be an object with a name")
    if not isinstance(content, str) and not (content is None and calls is not None):
        raise RefusedInference(336003, f"content of message {place} must be a text, found {content!r}")
    if not content and calls is None:
        raise RefusedInference(336003, f"content of message {place} must be a non-empty text")
    if role == "function" and not isinstance(message.get("name"), str):
        raise RefusedInference(336003, f"message {place} needs the name of the function")


def _check_system(call: Call) -> None:
    for field, number in (("system", 336104), ("user_setting", 336105)):
        if call.body.get(field) is not None and not isinstance(call.body.get(field), str):
            raise RefusedInference(number, f"{field} must be a text")


# --- what a preset model says --------------------------------------------------------------------------------------


def _preset(call: Call, model: str, messages: Sequence[Mapping[str, JSON]], spoken: Sequence[Message]) -> Canned:
    check_length(model, [message.content for message in spoken])
    question = content_of(messages[-1])
    if call.args["endpoint"] == _IN_WORDS:
        return canned(call, model, spoken, lambda _: _in_words(model, messages))
    if messages[-1]["role"] == "function":
        said = f"{messages[-1]['name']} answered: {question}"
        return canned(call, model, spoken, lambda _: answers.canned(model, said, longest=200))
    uses = _called(call, question)
    if uses:
        return canned(call, model, spoken, uses=uses[:1])
    found = _found(call, model, question)

    def say(asked: str) -> str:
        text = answers.canned(model, asked)
        text = f"{text} [1]" if found and call.body.get("enable_citation") else text
        return json.dumps({"answer": text}, ensure_ascii=False) if _wants_json(call) else text

    return canned(call, model, spoken, say, sources=found)


def _wants_json(call: Call) -> bool:
    return bool(call.body.get("response_format") == "json_object")


def _called(call: Call, question: str) -> list[tool_calls.Use]:
    functions = call.body.get("functions")
    tools = [tool_of(function) for function in functions or ()]
    choice = call.body.get("tool_choice")
    forced = choice["function"]["name"] if choice and tools else None
    if forced is not None and forced not in {tool.name for tool in tools}:
        raise RefusedInference(336003, f"tool_choice names {forced!r}, which is none of the functions")
    return tool_calls.called(tools, question, forced=forced)


def tool_of(function: Mapping[str, JSON]) -> Tool:
    """A function as a request describes it."""
    return Tool(function["name"], function.get("description") or "", function.get("parameters") or {})


def _in_words(model: str, messages: Sequence[Mapping[str, JSON]]) -> str:
    tools, question = tool_calls.told_in(content_of(messages[0]))
    asked = question if len(messages) == 1 else content_of(messages[-1])
    if len(messages) > 1 and content_of(messages[-2]).lstrip().startswith("Action:"):
        return answers.canned(model, f"the function answered: {asked}", longest=200)
    uses = tool_calls.called(tools, asked)
    return tool_calls.in_two_lines(uses[0]) if uses else answers.canned(model, asked)


def _found(call: Call, model: str, question: str) -> list[Mapping[str, JSON]]:
    body = call.body
    if any(tool.get("type") == "baidu_search" for tool in body.get("tools") or ()):
        return sources(question)
    if body.get("disable_search") or not model.startswith(_SEARCHING):
        return []
    if not (body.get("enable_citation") or body.get("enable_trace")):
        return []
    return sources(question, body.get("trace_number") or 2)


# --- answers -------------------------------------------------------------------------------------------------------


def reply_v1(call: Call, *, kind: str, extra: Mapping[str, JSON]) -> Answer:
    """An answer in V1's form, whole or streamed. kind: its `object`; extra: what this kind of answer holds besides."""
    reply = begun(call)
    head: dict[str, JSON] = {"id": answer_id(), "object": kind, "created": created(call)}
    if call.body.get("stream"):
        return stream(call, _events(call, head, reply, extra))
    return json_answer(
        {
            **head,
            "result": call.text,
            "is_truncated": reply.reason == "length",
            "finish_reason": FINISH[reply.reason],
            **extra,
            **_besides(call, reply),
            "usage": _usage(call, reply),
        }
    )


async def _events(call: Call, head: Mapping[str, JSON], reply: Reply, extra: Mapping[str, JSON]) -> AsyncGenerator[str]:
    place = 0
    async with aclosing(with_last(reply)) as pieces:
        async for piece, last in pieces:
            cut = last and reply.reason == "length"
            event = {**head, "sentence_id": place, "is_end": last, "is_truncated": cut, "result": piece, **extra}
            if last:
                event |= {"finish_reason": FINISH[reply.reason], **_besides(call, reply)}
            yield data({**event, "usage": _usage(call, reply) if last else usage_of(reply)})
            place += 1


def _besides(call: Call, reply: Reply) -> dict[str, JSON]:
    """What an answer holds besides its text: the function that is called, and where it was found."""
    preset = of_preset(reply)
    if preset is None:
        return {}
    if preset.uses:
        use = preset.uses[0]
        called = {"name": use.name, "thoughts": f"the question points to {use.name}", "arguments": use.arguments}
        return {"finish_reason": "function_call", "is_safe": 1, "function_call": called}
    if not preset.sources:
        return {}
    if _searched_by_tool(call):
        query = content_of(call.body.get("messages")[-1])
        found = {"name": "baidu_search", "rewrite_query": query, "baidu_search": list(preset.sources)}
        return {"tools_info": found}
    return {"search_info": {"search_results": list(preset.sources)}}


def _usage(call: Call, reply: Reply) -> dict[str, JSON]:
    preset = of_preset(reply)
    if preset is None or not preset.sources or not _searched_by_tool(call):
        return usage_of(reply)
    used = {"name": "baidu_search", "tool_point": 1, "baidu_search": {"triggers_number": 1}}
    return {**usage_of(reply), "tool_tokens": 0, "tool_usage": [used]}


def _searched_by_tool(call: Call) -> bool:
    return bool(call.body.get("tools"))
