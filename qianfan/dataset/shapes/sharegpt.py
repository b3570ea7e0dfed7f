"""ShareGPT's chats: `from` and `value`, or `role` and `content`, under `conversations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qianfan.dataset.rows import Conversation, Preference, Row
from qianfan.dataset.shapes.chats import Exchange, Said, Who, chat_of, conversation, exchanges
from qianfan.dataset.shapes.flaws import Look, Path, RowFlaws
from qianfan.dataset.shapes.judging import earlier, is_judged, judged_beside, judged_exchanges
from qianfan.dataset.shapes.openai import answer_of, answer_text, said_by, with_context
from qianfan.dataset.shapes.refusals import cannot_say
from qianfan.dataset.shapes.tools import (
    bare,
    calls_text,
    json_text,
    read_calls,
    split_calls,
    split_results,
    split_tools,
)

_NAMES: Mapping[str, Who] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}

# --- reading ---------------------------------------------------------------------------------------------------------


def read_sharegpt(value: Mapping[str, Any], look: Look) -> Row:
    """`{"conversations": […], "system": "…", "tools": "…"}`, with `chosen`, `rejected` or `kto_tag` a preference."""
    messages = look.objects(value.get("conversations"), ("conversations",), "messages")
    said = [one for path, message in messages if (one := _said_by(message, path, look)) is not None]
    chat = chat_of(with_context(said, value, look), look)
    if is_judged(value):
        return judged_beside(value, chat, ("conversations",), _answer_text, look)
    return conversation(chat, look)


def _said_by(message: Mapping[str, Any], path: Path, look: Look) -> Said | None:
    if "from" not in message and "role" in message:
        return said_by(message, path, look)
    name = message.get("from")
    who = _NAMES.get(name) if isinstance(name, str) else None
    if who is None:
        look.note(path, f"no place for {name!r} in training rows", "role", name, f"use one of {', '.join(_NAMES)}")
        return None
    text = look.text(message, "value", path, may_be_empty=who == "tool")
    if name == "function_call" and text:
        text = calls_text("", read_calls(text, (*path, "value"), look))
    return Said(who, text, path)


def _answer_text(answer: Any, path: Path, look: Look) -> str:
    """What a judged answer says: a text, or a message in either spelling."""
    if not isinstance(answer, Mapping) or ("role" in answer and "value" not in answer):
        return answer_text(answer, path, look)
    return answer_of(_said_by({"from": "gpt", **answer}, path, look), look)


# --- writing ---------------------------------------------------------------------------------------------------------


def write_sharegpt(row: Row) -> Any:
    """A conversation or a preference as LLaMA-Factory and others read them."""
    if isinstance(row, Conversation):
        return _value(row.turns[0].system, _messages(exchanges(row, "sharegpt")))
    if not isinstance(row, Preference):
        raise RowFlaws([cannot_say("sharegpt", row)])
    last = row.turns[-1]
    if row.is_pair:
        messages = [*_messages(earlier(row)), *_asked(last.user, is_first=len(row.turns) == 1)]
        value = _value(row.turns[0].system, messages)
        return {**value, "chosen": _answer(last.chosen or ""), "rejected": _answer(last.rejected or "")}
    return {**_value(row.turns[0].system, _messages(judged_exchanges(row))), "kto_tag": last.chosen is not None}


def _value(system: str | None, messages: list[dict[str, str]]) -> dict[str, Any]:
    told, tools = split_tools(system)
    value: dict[str, Any] = {"conversations": messages}
    if told is not None:
        value["system"] = told
    return {**value, "tools": json_text([bare(tool) for tool in tools])} if tools else value


def _messages(said: Sequence[Exchange]) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    for place, one in enumerate(said):
        messages += [*_asked(one.prompt, is_first=place == 0), _answer(one.answer)]
    return messages


def _asked(prompt: str, *, is_first: bool) -> list[dict[str, str]]:
    results = [] if is_first else split_results(prompt)
    if results:
        return [{"from": "observation", "value": result} for result in results]
    return [{"from": "human", "value": prompt}]


def _answer(text: str) -> dict[str, str]:
    content, calls = split_calls(text)
    # A message is a text or calls; what is both stays a text.
    if content or not calls:
        return {"from": "gpt", "value": text}
    made = [{"name": call.name, "arguments": call.arguments} for call in calls]
    return {"from": "function_call", "value": json_text(made[0] if len(made) == 1 else made)}
