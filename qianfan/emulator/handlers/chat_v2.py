"""Conversations, V2: `/v2/chat/completions`, tools included."""

from __future__ import annotations

import base64
import binascii
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
    ask,
    begun,
    canned,
    check_fields,
    check_length,
    content_of,
    created,
    data,
    message_of,
    of_preset,
    preset_v2,
    service_at,
    sources,
    stream,
    usage_of,
    with_last,
)
from qianfan.emulator.handlers.chat_v1 import tool_of
from qianfan.emulator.pictures import read_head
from qianfan.emulator.refusals import RefusedInference
from qianfan.emulator.shapes.inference import FORMS
from qianfan.emulator.tool_calls import Use
from qianfan.emulator.wire import Answer, json_answer
from qianfan.emulator.works import Reply
from qianfan.engines.rows import Message

_LONGEST_SIDE, _SHORTEST_SIDE = 6000, 5


async def ask_chat(call: Call) -> None:
    """Begin the answer of `chat`."""
    messages = _messages(call.body.get("messages"))
    account, model = call.account, call.body.get("model")
    with account.lock:
        named = (service for service in account.services if model in (service.endpoint, service.id, service.name))
        service = next(named, None)
        if service is not None:
            service_at(account, service.endpoint)
    if service is None:
        preset_v2(call, "chat")
    check_fields(call, FORMS["/v2/chat/completions"], "model", "messages")
    spoken = [message_of(message) for message in messages]
    await ask(call, service, spoken, lambda: _preset(call, preset_v2(call, "chat"), messages, spoken))


def chat(call: Call) -> Answer:
    """`/v2/chat/completions`."""
    body, reply = call.body, begun(call)
    head: dict[str, JSON] = {
        "id": answer_id(),
        "object": "chat.completion",
        "created": created(call),
        "model": body.get("model"),
    }
    if body.get("stream"):
        options = body.get("stream_options")
        with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return stream(call, _events(head, reply, with_usage=with_usage))
    uses = _uses(reply)
    message: dict[str, JSON] = {"role": "assistant", "content": None if uses else call.text}
    if uses:
        message["tool_calls"] = [_tool_call(use) for use in uses]
    finish = "tool_calls" if uses else FINISH[reply.reason]
    choice = {"index": 0, "message": message, "finish_reason": finish, "flag": 0}
    return json_answer({**head, "choices": [choice], **_found(reply), "usage": usage_of(reply)})


# --- messages ------------------------------------------------------------------------------------------------------


def _messages(messages: JSON) -> list[dict[str, JSON]]:
    if not isinstance(messages, list) or not messages:
        raise _bad_messages("messages must be a non-empty list")
    for place, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        allowed = ("system", "user", "assistant", "tool") if place == 0 else ("user", "assistant", "tool")
        if role not in allowed:
            raise _bad_messages(f"messages[{place}].role {role!r} is not allowed")
        _check_message(place, message)
    return messages


def _check_message(place: int, message: Mapping[str, JSON]) -> None:
    content, role = message.get("content"), message["role"]
    if role == "tool" and not message.get("tool_call_id"):
        raise _bad_messages(f"messages[{place}] needs tool_call_id")
    if content is not None and not isinstance(content, (str, list)):
        raise _bad_messages(f"messages[{place}].content must be a text or a list of parts, found {content!r}")
    for part in content if isinstance(content, list) else ():
        _check_part(place, part)
    if role in ("system", "user") and not content_of(message) and not _pictures(message):
        raise _bad_messages(f"messages[{place}].content is empty")
    if role == "assistant" and not content and not message.get("tool_calls"):
        raise _bad_messages(f"messages[{place}] has neither content nor tool_calls")


def _check_part(place: int, part: JSON) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return
    link = part.get("image_url") if kind == "image_url" else None
    url = link.get("url") if isinstance(link, dict) else None
    if not isinstance(url, str):
        raise _bad_messages(f"messages[{place}].content holds a part that is neither a text nor an image_url")
    if not _is_picture(url):
        text = f"messages[{place}]: the picture cannot be read, or is larger or smaller than allowed"
        raise RefusedInference(336003, text, word="invalid_image_url")


def _is_picture(url: str) -> bool:
    """Whether a picture's address can be used. Those elsewhere are not fetched, those in the message are looked at."""
    if url.startswith(("http://", "https://")):
        return True
    head, _, content = url.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        return False
    try:
        found = read_head(base64.b64decode(content, validate=True))
    except (binascii.Error, ValueError):
        return False
    if found is None:
        return False
    sides = found.width, found.height
    return max(sides) <= _LONGEST_SIDE and min(sides) >= _SHORTEST_SIDE


def _pictures(message: Mapping[str, JSON]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return sum(1 for part in parts if isinstance(part, dict) and part.get("type") == "image_url")


def _bad_messages(text: str) -> RefusedInference:
    return RefusedInference(336003, text, word="invalid_messages")


# --- what a preset model says --------------------------------------------------------------------------------------


def _preset(call: Call, model: str, messages: Sequence[Mapping[str, JSON]], spoken: Sequence[Message]) -> Canned:
    check_length(model, [message.content for message in spoken])
    question = content_of(messages[-1])
    if messages[-1]["role"] == "tool":
        said = f"{_tool_named(messages)} answered: {question}"
        return canned(call, model, spoken, lambda _: answers.canned(model, said, longest=200))
    uses = _called(call, question)
    if uses:
        return canned(call, model, spoken, uses=uses)
    search = call.body.get("web_search") or {}
    found = sources(question) if search.get("enable") else []
    seen = sum(map(_pictures, messages))

    def say(asked: str) -> str:
        text = answers.canned(model, asked)
        text += f" You showed {seen} picture{'s' if seen > 1 else ''}." if seen else ""
        text += " [1]" if found and search.get("enable_citation") else ""
        return _formatted(call, text, asked)

    return canned(call, model, spoken, say, sources=found)


def _formatted(call: Call, text: str, asked: str) -> str:
    wish = call.body.get("response_format") or {}
    if wish.get("type") == "json_object":
        return json.dumps({"answer": text}, ensure_ascii=False)
    if wish.get("type") != "json_schema":
        return text
    told = wish.get("json_schema") or {}
    schema = told.get("schema", told)
    return json.dumps(tool_calls.instance(schema if isinstance(schema, dict) else {}, asked), ensure_ascii=False)


def _tool_named(messages: Sequence[Mapping[str, JSON]]) -> str:
    """The name of the tool whose answer comes last, from the call that it answers."""
    wanted = messages[-1]["tool_call_id"]
    calls = (one for message in messages for one in message.get("tool_calls") or () if isinstance(one, dict))
    functions = (one.get("function") for one in calls if one.get("id") == wanted)
    names = (function.get("name") for function in functions if isinstance(function, dict))
    return str(next(names, messages[-1].get("name") or "the tool"))


def _called(call: Call, question: str) -> list[Use]:
    body = call.body
    tools = [tool_of(tool["function"]) for tool in body.get("tools") or ()]
    choice = body.get("tool_choice")
    if choice == "none" or not tools:
        return []
    forced = choice["function"]["name"] if isinstance(choice, dict) else None
    if forced is not None and forced not in {tool.name for tool in tools}:
        raise RefusedInference(336003, f"tool_choice names {forced!r}, which is none of the tools")
    uses = tool_calls.called(tools, question, forced=forced, required=choice == "required")
    return uses[:1] if body.get("parallel_tool_calls") is False else uses


# --- answers -------------------------------------------------------------------------------------------------------


async def _events(head: Mapping[str, JSON], reply: Reply, *, with_usage: bool) -> AsyncGenerator[str]:
    head = {**head, "object": "chat.completion.chunk"}
    uses = _uses(reply)
    role: dict[str, JSON] = {"role": "assistant"}
    async with aclosing(with_last(reply)) as pieces:
        async for piece, last in pieces:
            delta: dict[str, JSON] = {**role, "content": piece}
            if uses:
                # Whether arguments come in parts is not established; whole ones are understood by every client.
                delta = {**role, "tool_calls": [{"index": at, **_tool_call(use)} for at, use in enumerate(uses)]}
            finish = ("tool_calls" if uses else reply.reason) if last else None
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "flag": 0}
            yield data({**head, "choices": [choice], **(_found(reply) if last else {})})
            role = {}
    if with_usage:
        yield data({**head, "choices": [], "usage": usage_of(reply)})
    yield "data: [DONE]\n\n"


def _tool_call(use: Use) -> dict[str, JSON]:
    return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}


def _uses(reply: Reply) -> Sequence[Use]:
    preset = of_preset(reply)
    return preset.uses if preset is not None else ()


def _found(reply: Reply) -> dict[str, JSON]:
    preset = of_preset(reply)
    return {"search_results": list(preset.sources)} if preset is not None and preset.sources else {}
