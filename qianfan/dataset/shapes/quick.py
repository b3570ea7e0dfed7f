"""The quick ways: a common, flawless row straight into the platform's form.

Each takes one value and returns the row as `Shape.read(value).to_json()` would, key for key, or None, which means "ask
`read`": the row may be fine all the same. What a quick way lets through fits its own shape and no other, is of the one
kind that the shape names as `quick_format`, and holds no text that a file or the platform could not. They run once for
every row of a large file, so they are written for speed: one helper, the check of a text, and no objects but the row.
Values are what a JSON parser makes. Nothing of the package is imported here, so that a worker process can load this
file alone and start in no time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qianfan.dataset.rows import JsonRow

MAX_TURNS = 150
"""The platform cuts what comes after."""

MEANINGFUL = frozenset(
    (
        *("prompt", "response", "completion", "label", "chosen", "rejected", "instruction", "input", "output"),
        *("history", "system", "messages", "conversations", "tools", "functions", "kto_tag", "text", "image"),
    )
)
"""Keys that mean something in one shape or another; all others are columns beside, which are left out."""

_BESIDE_PROMPT = MEANINGFUL - {"prompt"}
_BESIDE_TEXT = MEANINGFUL - {"text"}
_BESIDE_ALPACA = MEANINGFUL - {"instruction", "input", "output", "history", "system"}
_BESIDE_RESPONSE = MEANINGFUL - {"prompt", "response", "history", "system"}
_BESIDE_COMPLETION = MEANINGFUL - {"prompt", "completion"}
_BESIDE_MESSAGES = MEANINGFUL - {"messages"}
_BESIDE_CONVERSATIONS = MEANINGFUL - {"conversations"}
_BESIDE_PAIR = MEANINGFUL - {"prompt", "chosen", "rejected"}
_BESIDE_LABEL = MEANINGFUL - {"prompt", "completion", "label"}


def _good(text: Any) -> bool:
    """Whether a value is a text that says something and can be written: no NUL, no half of a surrogate pair."""
    if type(text) is not str or not text or text.isspace():
        return False
    if text.isascii():
        return "\0" not in text
    try:
        return 0 not in text.encode()
    except UnicodeEncodeError:
        return False


def dialogue(value: Any) -> JsonRow | None:
    """Turns with one answer each, the first perhaps with a system text."""
    if type(value) is not list or not 0 < len(value) <= MAX_TURNS:
        return None
    is_first = True
    for turn in value:
        if type(turn) is not dict:
            return None
        keys = tuple(turn)
        if keys != ("prompt", "response") and not (
            is_first and keys == ("system", "prompt", "response") and _good(turn["system"])
        ):
            return None
        is_first = False
        response = turn["response"]
        if type(response) is not list or len(response) != 1:
            return None
        answer = response[0]
        if type(answer) is not list or len(answer) != 1 or not _good(answer[0]) or not _good(turn["prompt"]):
            return None
    return value


def preference(value: Any) -> JsonRow | None:
    """Turns of which the last has both answers."""
    if type(value) is not list or not 0 < len(value) <= MAX_TURNS:
        return None
    left = len(value)
    is_first = True
    for turn in value:
        left -= 1
        if type(turn) is not dict:
            return None
        keys = tuple(turn)
        if is_first and keys[:1] == ("system",):
            keys = keys[1:]
        is_first = False
        if keys != (("user", "assistant") if left else ("user", "chosen", "rejected")):
            return None
        if not all(map(_good, turn.values())):
            return None
    return value


def query(value: Any) -> JsonRow | None:
    """A question alone."""
    if type(value) is not dict or not _good(value.get("prompt")):
        return None
    if len(value) == 1:
        return value
    return {"prompt": value["prompt"]} if _BESIDE_PROMPT.isdisjoint(value) else None


def text(value: Any) -> JsonRow | None:
    """A text, alone or under its key."""
    if type(value) is dict:
        if len(value) > 1 and not _BESIDE_TEXT.isdisjoint(value):
            return None
        value = value.get("text")
    return value if _good(value) else None


def alpaca(value: Any) -> JsonRow | None:
    """An instruction, perhaps with an input, and the answer to it."""
    if type(value) is not dict:
        return None
    question, answer, given, system = value.get("instruction"), value.get("output"), value.get("input"), None
    if len(value) != 3 or "input" not in value:
        if not _BESIDE_ALPACA.isdisjoint(value) or value.get("history"):
            return None
        system = value.get("system")
    if not _good(question) or not _good(answer):
        return None
    if given != "" and given is not None:
        if not _good(given):
            return None
        question = f"{question}\n{given}"
    return _answered(question, answer, system)


def prompt_response(value: Any) -> JsonRow | None:
    """A question with its one answer."""
    if type(value) is not dict:
        return None
    question, answer, system = value.get("prompt"), value.get("response"), None
    if len(value) != 2:
        if not _BESIDE_RESPONSE.isdisjoint(value) or value.get("history"):
            return None
        system = value.get("system")
    if type(answer) is list:
        inner = answer[0] if len(answer) == 1 else None
        answer = inner[0] if type(inner) is list and len(inner) == 1 else None
    return _answered(question, answer, system) if _good(question) and _good(answer) else None


def prompt_completion(value: Any) -> JsonRow | None:
    """A question with its answer, both texts."""
    if type(value) is not dict or (len(value) != 2 and not _BESIDE_COMPLETION.isdisjoint(value)):
        return None
    question, answer = value.get("prompt"), value.get("completion")
    return [{"prompt": question, "response": [[answer]]}] if _good(question) and _good(answer) else None


def _answered(question: Any, answer: Any, system: Any) -> JsonRow | None:
    if system is None or system == "":
        return [{"prompt": question, "response": [[answer]]}]
    return [{"system": system, "prompt": question, "response": [[answer]]}] if _good(system) else None


def messages(value: Any) -> JsonRow | None:
    """Questions and answers in turn, perhaps after a system message, all of them texts."""
    if type(value) is not dict or (len(value) != 1 and not _BESIDE_MESSAGES.isdisjoint(value)):
        return None
    said = value.get("messages")
    if type(said) is not list or not 0 < len(said) <= 2 * MAX_TURNS + 1:
        return None
    turns: list[dict[str, Any]] = []
    system = question = None
    for message in said:
        if type(message) is not dict or len(message) != 2 or not _good(message.get("content")):
            return None
        content, role = message["content"], message.get("role")
        if role == "user":
            if question is not None:
                return None
            question = content
        elif role == "assistant":
            if question is None:
                return None
            turns.append({"prompt": question, "response": [[content]]})
            question = None
        elif role == "system" and not turns and question is None and system is None:
            system = content
        else:
            return None
    return _turns(turns, system) if question is None else None


def sharegpt(value: Any) -> JsonRow | None:
    """The same as `messages`, spelt otherwise."""
    if type(value) is not dict or (len(value) != 1 and not _BESIDE_CONVERSATIONS.isdisjoint(value)):
        return None
    said = value.get("conversations")
    if type(said) is not list or not 0 < len(said) <= 2 * MAX_TURNS + 1:
        return None
    turns: list[dict[str, Any]] = []
    system = question = None
    for message in said:
        if type(message) is not dict or len(message) != 2 or not _good(message.get("value")):
            return None
        content, name = message["value"], message.get("from")
        if name == "human" or name == "user":
            if question is not None:
                return None
            question = content
        elif name == "gpt" or name == "assistant":
            if question is None:
                return None
            turns.append({"prompt": question, "response": [[content]]})
            question = None
        elif name == "system" and not turns and question is None and system is None:
            system = content
        else:
            return None
    return _turns(turns, system) if question is None else None


def _turns(turns: list[dict[str, Any]], system: str | None) -> JsonRow | None:
    if not 0 < len(turns) <= MAX_TURNS:
        return None
    if system is not None:
        turns[0] = {"system": system, **turns[0]}
    return turns


def dpo(value: Any) -> JsonRow | None:
    """A question with a better and a worse answer, all texts."""
    if type(value) is not dict or (len(value) != 3 and not _BESIDE_PAIR.isdisjoint(value)):
        return None
    question, chosen, rejected = value.get("prompt"), value.get("chosen"), value.get("rejected")
    if not _good(question) or not _good(chosen) or not _good(rejected):
        return None
    return [{"user": question, "chosen": chosen, "rejected": rejected}]


def kto(value: Any) -> JsonRow | None:
    """A question with an answer, both texts, that is good or bad."""
    if type(value) is not dict or (len(value) != 3 and not _BESIDE_LABEL.isdisjoint(value)):
        return None
    question, answer, label = value.get("prompt"), value.get("completion"), value.get("label")
    if type(label) is not bool or not _good(question) or not _good(answer):
        return None
    return [{"user": question, "chosen" if label else "rejected": answer}]


WAYS: dict[str, Callable[[Any], JsonRow | None]] = {
    way.__name__: way
    for way in (
        *(dialogue, preference, query, text, alpaca, messages),
        *(prompt_response, prompt_completion, sharegpt, dpo, kto),
    )
}
"""By the name of the shape."""
