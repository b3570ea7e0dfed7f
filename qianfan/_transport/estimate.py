"""What a request costs in tokens, near enough, before it is sent, and what it did cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from qianfan._types import JSON
from qianfan.utils.tokens import estimate_tokens

_TEXTS: Final = ("system", "prompt", "query")
_LISTS: Final = ("input", "documents")
_ANSWER_LIMITS: Final = ("max_output_tokens", "max_tokens", "max_completion_tokens")
_DESCRIPTIONS: Final = ("functions", "tools")


def tokens_of(body: JSON) -> int:
    """What a request will cost at least: everything in it that a model reads. What it answers is not known before."""
    return estimate_tokens("\n".join(_read_by_the_model(body))) if isinstance(body, dict) else 0


def answer_at_most(body: JSON) -> int:
    """How long the answer may become, where the request says so; 0 where it does not."""
    limits = [body.get(name) for name in _ANSWER_LIMITS] if isinstance(body, dict) else []
    return max((one for one in limits if isinstance(one, int) and not isinstance(one, bool) and one > 0), default=0)


def _read_by_the_model(body: dict[str, Any]) -> Iterator[str]:
    for name in _TEXTS:
        yield from _texts(body.get(name))
    for name in _LISTS:
        yield from _texts(body.get(name))
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            yield from _texts(message.get("content"))
            yield from (json.dumps(message[name], ensure_ascii=False) for name in _CALLS if message.get(name))
    yield from (json.dumps(body[name], ensure_ascii=False) for name in _DESCRIPTIONS if body.get(name))


_CALLS: Final = ("function_call", "tool_calls")


def _texts(content: JSON) -> Iterator[str]:
    """A text, or the texts of a list of parts; pictures count for nothing here."""
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text


def tokens_used(answer: JSON) -> int | None:
    """`usage.total_tokens` of an answer, None where it does not tell."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None
