"""Messages as OpenAI spells them: `role` and `content`, calls and results of tools with ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from qianfan.dataset.rows import Conversation, Preference, Row
from qianfan.dataset.shapes.chats import Exchange, Said, Who, chat_of, conversation, exchanges
from qianfan.dataset.shapes.flaws import Flaw, Look, Path, RowFlaws, is_blank
from qianfan.dataset.shapes.judging import earlier, is_judged, judged_beside, judged_exchanges
from qianfan.dataset.shapes.refusals import cannot_say
from qianfan.dataset.shapes.tools import (
    Call,
    calls_text,
    json_text,
    read_call,
    read_tools,
    split_calls,
    split_results,
    split_tools,
    tools_text,
)

Message: TypeAlias = dict[str, Any]

_ROLES: Mapping[Any, Who] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}

# --- reading ---------------------------------------------------------------------------------------------------------


def read_messages(value: Mapping[str, Any], look: Look) -> Row:
    """`{"messages": […], "tools": […]}`, with `chosen`, `rejected` or `kto_tag` a preference."""
    said = said_in(value.get("messages"), ("messages",), look)
    chat = chat_of(with_context(said, value, look), look)
    if is_judged(value):
        return judged_beside(value, chat, ("messages",), answer_text, look)
    return conversation(chat, look)


def said_in(value: Any, path: Path, look: Look) -> list[Said]:
    """The messages of a list."""
    said = [said_by(message, at, look) for at, message in look.objects(value, path, "messages")]
    return [message for message in said if message is not None]


def said_by(message: Mapping[str, Any], path: Path, look: Look) -> Said | None:
    """One message; None where nobody says it."""
    role = message.get("role")
    who = _ROLES.get(role) if isinstance(role, str) else None
    if who is None:
        reason, at = f"no place for role {role!r} in training rows", (*path, "role") if role is not None else path
        look.note(at, reason, "role", role, f"use one of {', '.join(_ROLES)}")
        return None
    if who == "assistant":
        is_call = bool(message.get("tool_calls") or message.get("function_call"))
        said = _content(message, path, look, may_be_missing=is_call)
        text = calls_text(said, _calls_in(message, path, look) if is_call else [])
        return Said(who, text, path, look.zero_or_one(message, "weight", path), _ids_of_calls(message))
    call = message.get("tool_call_id")
    text = _content(message, path, look, may_be_empty=who == "tool")
    return Said(who, text, path, call=call if isinstance(call, str) else None)


def _content(
    message: Mapping[str, Any], path: Path, look: Look, *, may_be_missing: bool = False, may_be_empty: bool = False
) -> str:
    """The text of a message, which may come in parts."""
    content = message.get("content")
    if may_be_missing and (content in (None, []) or (isinstance(content, str) and is_blank(content))):
        return ""
    if not isinstance(content, list):
        return look.text(message, "content", path, may_be_empty=may_be_empty)
    texts: list[str] = []
    for part_path, part in look.objects(content, (*path, "content"), "parts"):
        if part.get("type") == "text":
            texts.append(look.text(part, "text", part_path, may_be_empty=may_be_empty))
        else:
            reason = f"only parts of type 'text' can be used, not {part.get('type')!r}"
            look.note(part_path, reason, "wrong-type", part.get("type"), "leave the part out")
    return "".join(texts)


def _calls_in(message: Mapping[str, Any], path: Path, look: Look) -> list[Call]:
    """The calls of an answer: `tool_calls`, or the one `function_call` of older files."""
    if message.get("tool_calls"):
        functions = [
            (one.get("function"), (*at, "function"))
            for at, one in look.objects(message["tool_calls"], (*path, "tool_calls"), "calls")
        ]
    else:
        functions = [(message["function_call"], (*path, "function_call"))]
    calls: list[Call | None] = []
    for function, at in functions:
        if isinstance(function, Mapping):
            calls.append(read_call(function, at, look))
        else:
            reason = "must be an object with the function that is called: only functions can be called"
            look.note(at, reason, "tools", function, 'write {"name": "…", "arguments": "…"}')
    return [call for call in calls if call is not None]


def _ids_of_calls(message: Mapping[str, Any]) -> tuple[str | None, ...]:
    calls = message.get("tool_calls")
    found = [call.get("id") for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
    return tuple(id if isinstance(id, str) else None for id in found)


def _with_system(said: list[Said], value: Mapping[str, Any], look: Look) -> list[Said]:
    """The messages, the first one the system's if there is a text for it beside them."""
    system = look.optional_text(value, "system", ())
    if system is None:
        return said
    if said and said[0].who == "system":
        if said[0].text != system:
            reason = "differs from the system message of the conversation"
            look.note(("system",), reason, "ambiguous", system, "keep one of the two")
        return said
    return [Said("system", system, ("system",)), *said]


def _with_tools(said: list[Said], value: Mapping[str, Any], look: Look) -> list[Said]:
    """The messages with the tools that stand beside them in the system text."""
    tools = [tool for key in ("tools", "functions") for tool in read_tools(value.get(key), (key,), look)]
    if not tools:
        return said
    told, *rest = said if said and said[0].who == "system" else (None, *said)
    path = ("tools",) if told is None else told.path
    return [Said("system", tools_text(None if told is None else told.text, tools) or "", path), *rest]


def with_context(said: list[Said], value: Mapping[str, Any], look: Look) -> list[Said]:
    """The messages with the system text and the tools that stand beside them."""
    return _with_tools(_with_system(said, value, look), value, look)


def answer_text(answer: Any, path: Path, look: Look) -> str:
    """What an assistant's message says, or a text alone."""
    if not isinstance(answer, Mapping):
        return look.as_text(answer, path)
    return answer_of(said_by({"role": "assistant", **answer}, path, look), look)


def answer_of(said: Said | None, look: Look) -> str:
    """The text of a message that must be the assistant's."""
    if said is not None and said.who != "assistant":
        look.note(said.path, "must be said by the assistant", "role", said.who, "give it the assistant's role")
    return "" if said is None else said.text


def asked_in(value: Mapping[str, Any], look: Look) -> list[Said]:
    """What `prompt` holds: messages, or a question alone."""
    prompt = value.get("prompt")
    if isinstance(prompt, list):
        return said_in(prompt, ("prompt",), look)
    return [Said("user", look.text(value, "prompt", ()), ("prompt",))]


def answer_in(value: Mapping[str, Any], key: str, look: Look) -> tuple[list[Said], Said]:
    """(what is said before, the answer) of a text, a message, or messages that end with the answer."""
    given = value.get(key)
    said = said_in(given, (key,), look) if isinstance(given, list) else []
    if said:
        answer_of(said[-1], look)
        return said[:-1], said[-1]
    if key not in value:
        look.missing(value, key, ())
    text = "" if key not in value or isinstance(given, list) else answer_text(given, (key,), look)
    return [], Said("assistant", text, (key,))


# --- writing ---------------------------------------------------------------------------------------------------------


def write_messages(row: Row) -> Any:
    """A conversation or a preference as messages."""
    if isinstance(row, Conversation):
        return with_tools_beside(*messages_of(row.turns[0].system, exchanges(row, "messages", weights=True)))
    if isinstance(row, Preference):
        return _judged_messages(row)
    raise RowFlaws([cannot_say("messages", row)])


def _judged_messages(row: Preference) -> Any:
    last = row.turns[-1]
    if row.is_pair:
        value = with_tools_beside(*messages_of(row.turns[0].system, earlier(row), last.user))
        count = calls_in(value["messages"])
        return {**value, "chosen": answer(last.chosen or "", count), "rejected": answer(last.rejected or "", count)}
    value = with_tools_beside(*messages_of(row.turns[0].system, judged_exchanges(row)))
    return {**value, "kto_tag": last.chosen is not None}


def with_tools_beside(messages: list[Message], tools: Sequence[Any], key: str = "messages") -> dict[str, Any]:
    """Messages under their key, and the tools if there are any."""
    return {key: messages, "tools": tools} if tools else {key: messages}


def messages_of(
    system: str | None, said: Sequence[Exchange], question: str | None = None
) -> tuple[list[Message], Sequence[Any]]:
    """(messages, tools) of what was said. Raises RowFlaws where results do not fit the calls before them."""
    told, tools = split_tools(system)
    messages: list[Message] = [] if told is None else [{"role": "system", "content": told}]
    calls: list[str] = []
    for place, one in enumerate(said):
        messages += _asked(one.prompt, calls, place)
        message = answer(one.answer, calls_in(messages))
        if one.weight is not None:
            message["weight"] = one.weight
        calls = [call["id"] for call in message.get("tool_calls", ())]
        messages.append(message)
    return messages + ([] if question is None else _asked(question, calls, len(said))), tools


def _asked(prompt: str, calls: Sequence[str], place: int) -> list[Message]:
    results = split_results(prompt) if calls else []
    if not results:
        return [{"role": "user", "content": prompt}]
    if len(results) != len(calls):
        reason = f"{len(calls)} calls before, {len(results)} results: messages name the call of each result"
        raise RowFlaws([Flaw((place,), reason, "cannot-say", len(results), "use the format sharegpt or dialogue")])
    return [
        {"role": "tool", "tool_call_id": call, "content": result} for call, result in zip(calls, results, strict=True)
    ]


def calls_in(messages: Sequence[Message]) -> int:
    """How many calls there are in messages."""
    return sum(len(message.get("tool_calls", ())) for message in messages)


def answer(text: str, count: int) -> Message:
    """An assistant's message. count: how many calls there were before, so that each has an id of its own."""
    content, calls = split_calls(text)
    if not calls:
        return {"role": "assistant", "content": text}
    made = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": json_text(call.arguments)},
        }
        for number, call in enumerate(calls, start=count + 1)
    ]
    return {"role": "assistant", "content": content or None, "tool_calls": made}
