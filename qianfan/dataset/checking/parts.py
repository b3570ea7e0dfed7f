"""What a row consists of, whatever its kind: what the model is told, asked, and should say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from qianfan.utils.tokens import estimate_tokens

Part: TypeAlias = Literal["system", "prompt", "answer", "text"]

_PARTS: Mapping[str, Part] = {
    "system": "system",
    "prompt": "prompt",
    "user": "prompt",
    "input": "prompt",
    "response": "answer",
    "assistant": "answer",
    "chosen": "answer",
    "rejected": "answer",
    "output": "answer",
}
_NO_TEXTS = ("image",)
_ASKED = ("system", "prompt", "user")


def parts_of(row: Any) -> Iterator[tuple[Part, str]]:
    """All texts of a row in the platform's form, each with its part in the row; those of other columns are `text`."""
    if isinstance(row, str):
        yield "text", row
        return
    for turn in row if isinstance(row, list) else [row]:
        for key, value in turn.items() if isinstance(turn, Mapping) else ():
            part = _PARTS.get(key, "text")
            for text in _texts(value) if key not in _NO_TEXTS else ():
                yield part, text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, Mapping) and isinstance(value.get("content"), str):
        yield value["content"]


def turns_of(row: Any) -> int:
    """How many turns a row has; 1 where it is no conversation."""
    return len(row) if isinstance(row, list) else 1


def trained_tokens(row: Any) -> int:
    """About how many tokens one pass of the training sees: of several answers to a question, the longest counts."""
    if not isinstance(row, list):
        return sum(estimate_tokens(text) for _, text in parts_of(row))
    total = 0
    for turn in row:
        answers = [estimate_tokens(text) for part, text in parts_of(turn) if part == "answer"]
        total += sum(estimate_tokens(text) for part, text in parts_of(turn) if part != "answer")
        total += max(answers, default=0)
    return total


def last_answer(row: Any) -> str | None:
    """The answer that a row is about; the best one where there are several."""
    turn = row[-1] if isinstance(row, list) and row else row
    answers = (text for part, text in parts_of(turn) if part == "answer")
    return next(answers, None)


def question_of(row: Any) -> Any:
    """All of a row in the platform's form but its last answers; None where it has no answer to tell apart."""
    if isinstance(row, list) and row:
        return [*row[:-1], {key: row[-1][key] for key in _ASKED if key in row[-1]}]
    if isinstance(row, Mapping) and "input" in row:
        return row["input"]
    return None
