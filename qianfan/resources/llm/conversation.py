"""Messages on their way into a request: their documented spellings, and how long they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from qianfan.errors import InvalidArgumentError
from qianfan.resources.llm.presets import ModelInfo
from qianfan.resources.messages import QfMessages
from qianfan.utils.tokens import estimate_tokens


def messages_of(messages: Iterable[Mapping[str, Any]] | QfMessages | None) -> list[Any] | None:
    """Messages as a list of dictionaries. Raises InvalidArgumentError for a single text or message."""
    if messages is None:
        return None
    if isinstance(messages, (str, Mapping)):
        raise InvalidArgumentError('messages must be a list such as [{"role": "user", "content": "..."}]')
    return messages.to_list() if isinstance(messages, QfMessages) else [*messages]


def system_apart(body: Mapping[str, Any]) -> dict[str, Any]:
    """V1 has its system text beside the messages; a text that stands there already wins."""
    messages = body["messages"]
    system = "".join(text_of(message) for message in messages if message.get("role") == "system")
    rest = [message for message in messages if message.get("role") != "system"]
    return {**({"system": system} if system else {}), **body, "messages": rest}


def functions_named(messages: Sequence[Any]) -> list[Any]:
    """V1 knows the answer of a function by `name`, where newer code says `tool_call_id`."""
    return [_named(message) if isinstance(message, dict) else message for message in messages]


def _named(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("role") != "function" or message.get("name") or "tool_call_id" not in message:
        return message
    renamed = dict(message)
    renamed["name"] = renamed.pop("tool_call_id")
    return renamed


def text_of(message: Mapping[str, Any]) -> str:
    """The words of a message; pictures have none."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def shortened(messages: Sequence[Any], system: str, info: ModelInfo | None) -> list[Any]:
    """The messages without the oldest ones that are too much for the model.

    The last one stays, however long, and so does a system message in front. What is left begins with a user's message,
    so that the number stays odd in V1. Without known limits nothing is dropped.
    """
    head = [message for message in messages[:1] if message.get("role") == "system"]
    kept = list(messages[len(head) :])
    if info is None:
        return [*head, *kept]
    system += "".join(text_of(message) for message in head)
    while len(kept) > 1 and not _fits([system, *map(text_of, kept)], info):
        kept = _without_oldest_turn(kept)
    return [*head, *kept]


def _without_oldest_turn(messages: list[Any]) -> list[Any]:
    for place in range(1, len(messages)):
        if messages[place].get("role") == "user":
            return messages[place:]
    return messages[-1:]


def _fits(texts: Sequence[str], info: ModelInfo) -> bool:
    return _within(texts, info.max_input_chars, len) and _within(texts, info.max_input_tokens, estimate_tokens)


def _within(texts: Sequence[str], most: int | None, size: Callable[[str], int]) -> bool:
    return most is None or sum(size(text) for text in texts) <= most
