"""Plugins, the two older ways: `/erniebot/plugins` and `/plugin/{endpoint}/`. Of the plugins only the form is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from qianfan._types import JSON
from qianfan.emulator import answers
from qianfan.emulator.calls import Call
from qianfan.emulator.envelopes import answer_id
from qianfan.emulator.handlers.asking import (
    FINISH,
    ask,
    begun,
    canned,
    check_fields,
    created,
    data,
    endpoint_model,
    message_of,
    stream,
    usage_of,
    with_last,
)
from qianfan.emulator.handlers.chat_v1 import messages_of
from qianfan.emulator.shapes.inference import FORMS
from qianfan.emulator.wire import Answer, json_answer
from qianfan.emulator.works import Reply
from qianfan.engines.rows import Message


async def ask_erniebot(call: Call) -> None:
    """Begin the answer of `erniebot`."""
    model = endpoint_model(call, "erniebot")
    spoken = [message_of(message) for message in messages_of(call.body.get("messages"))]
    check_fields(call, FORMS["/erniebot"], "messages")
    await ask(call, None, spoken, lambda: canned(call, model, spoken, lambda asked: _said(call, model, asked)))


async def ask_plugin(call: Call) -> None:
    """Begin the answer of `plugin`, which is an application of a user's; there may be any."""
    check_fields(call, FORMS["/plugin"])
    model, spoken = call.args["endpoint"], [Message(role="user", content=call.body.get("query"))]
    await ask(call, None, spoken, lambda: canned(call, model, spoken, lambda asked: _said(call, model, asked)))


def erniebot(call: Call) -> Answer:
    """`/erniebot/plugins` and `/erniebot/plugin`."""
    return _reply(call)


def plugin(call: Call) -> Answer:
    """`/plugin/{endpoint}/`."""
    return _reply(call)


def _reply(call: Call) -> Answer:
    reply = begun(call)
    head: dict[str, JSON] = {"id": answer_id(), "object": "chat.completion", "created": created(call)}
    if call.body.get("stream"):
        return stream(call, _events(call, head, reply))
    return json_answer(
        {
            **head,
            "result": call.text,
            "is_truncated": reply.reason == "length",
            "finish_reason": FINISH[reply.reason],
            "need_clear_history": False,
            "usage": _usage(call, reply),
        }
    )


async def _events(call: Call, head: Mapping[str, JSON], reply: Reply) -> AsyncGenerator[str]:
    # The names of the events are documented, what the first two hold is our reading.
    for name in _plugins(call):
        yield data({**head, "is_end": False, "result": "", "plugin_id": name}, "pluginMeta")
        yield data({**head, "is_end": False, "result": f"[simulated] {name} was used"}, "plugin")
    place = 0
    async with aclosing(with_last(reply)) as pieces:
        async for piece, last in pieces:
            event = {**head, "sentence_id": place, "is_end": last, "is_truncated": last and reply.reason == "length"}
            event |= {"result": piece, "need_clear_history": False, "usage": _usage(call, reply)}
            yield data({**event, "finish_reason": FINISH[reply.reason]} if last else event, "chat")
            place += 1


def _said(call: Call, model: str, asked: str) -> str:
    return f"{answers.canned(model, asked)} (plugins: {', '.join(_plugins(call)) or 'none'})"


def _plugins(call: Call) -> list[str]:
    return call.body.get("plugins") or []


def _usage(call: Call, reply: Reply) -> dict[str, JSON]:
    used = [
        {"name": name, "parse_tokens": 0, "abstract_tokens": 0, "search_tokens": 0, "total_tokens": 0}
        for name in _plugins(call)
    ]
    return {**usage_of(reply), "plugins": used}
