"""The shapes that rows come in, how each is recognised, and how it is read into a typed row.

Everything here is pure: parsed JSON in, a row or flaws out. A flaw names the place inside the row.

| shape | looks like |
| --- | --- |
| `dialogue` | `[{"prompt": "…", "response": [["…"]]}, …]`, the platform's own; several answers are ranked, best first |
| `preference` | `[{"user": "…", "chosen": "…", "rejected": "…"}]`, the platform's own |
| `query` | `{"prompt": "…"}`, the platform's own |
| `text` | a plain text |
| `alpaca` | `{"instruction": "…", "input": "…", "output": "…"}` |
| `messages` | `{"messages": [{"role": "user", "content": "…"}, …]}` |
| `prompt_response` | `{"prompt": "…", "response": "…"}` |
| `answers` | `{"input": "…", "output": "…", "reference": "…"}`, what a batch of questions comes back as |
| `sharegpt` | `{"conversations": [{"from": "human", "value": "…"}, …]}`, for a preference with `chosen`, `rejected` |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from qianfan._strict import suggestion
from qianfan.dataset.rows import (
    Answered,
    Conversation,
    Preference,
    PreferenceTurn,
    Query,
    Row,
    Text,
    Turn,
    conversation,
)
from qianfan.errors import InvalidArgumentError

Path: TypeAlias = tuple[str | int, ...]
"""Where in a row: keys and positions from the outside in."""

MAX_TURNS = 150
"""The platform cuts what comes after."""

# Half of a surrogate pair can be written in JSON but in no UTF-8 file.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with a row."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.reason}" if self.path else self.reason


def path_text(path: Path) -> str:
    """A path as people write it: `[0].response`."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(steps).removeprefix(".")


class RowFlaws(Exception):
    """A row cannot be read. Never leaves this package: the place in the file is added further up."""

    def __init__(self, flaws: list[Flaw]) -> None:
        self.flaws = flaws
        super().__init__("; ".join(map(str, flaws)))


@dataclass
class _Look:
    """Reads the parts of one row and notes everything that is wrong with them."""

    flaws: list[Flaw] = field(default_factory=list[Flaw])

    def note(self, path: Path, reason: str) -> None:
        self.flaws.append(Flaw(path, reason))

    def text(self, owner: Mapping[str, Any], key: str, path: Path) -> str:
        """A text that must be there and say something."""
        if key not in owner:
            self.note(path, f"{key!r} is missing")
            return ""
        return self.as_text(owner[key], (*path, key))

    def as_text(self, value: Any, path: Path) -> str:
        if not isinstance(value, str):
            self.note(path, f"must be a text, not {kind(value)}")
            return ""
        if not value.strip():
            self.note(path, "is empty")
        elif _LONE_SURROGATE.search(value):
            self.note(path, "holds half of a surrogate pair, which no UTF-8 file can")
        return value

    def optional_text(self, owner: Mapping[str, Any], key: str, path: Path) -> str | None:
        """A text that may be missing, null or empty, all of which mean the same."""
        return None if owner.get(key) in (None, "") else self.text(owner, key, path)

    def objects(self, value: Any, path: Path, noun: str) -> list[tuple[Path, Mapping[str, Any]]]:
        """A list of objects that holds at least one, each with its path."""
        if not isinstance(value, list) or not value:
            self.note(path, f"must be a list of {noun}, not {'empty' if value == [] else kind(value)}")
            return []
        found: list[tuple[Path, Mapping[str, Any]]] = []
        for position, item in enumerate(value):
            if isinstance(item, Mapping):
                found.append(((*path, position), item))
            else:
                self.note((*path, position), f"must be an object, not {kind(item)}")
        return found


def kind(value: Any) -> str:
    """What a JSON value is, in JSON's words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


# --- the platform's own shapes ---------------------------------------------------------------------------------------


def _read_dialogue(value: Any, look: _Look) -> Row:
    turns = [_read_turn(turn, path, look) for path, turn in look.objects(value, (), "turns")]
    if len(turns) > MAX_TURNS:
        look.note((MAX_TURNS,), f"the platform cuts a row after {MAX_TURNS} turns, this one has {len(turns)}")
    for position, turn in enumerate(turns):
        if len(turn.responses) > 1 and position < len(turns) - 1:
            look.note((position, "response"), "only the last turn may have several ranked answers")
    return Conversation(tuple(turns))


def _read_turn(turn: Mapping[str, Any], path: Path, look: _Look) -> Turn:
    if turn.get("system") is not None and path != (0,):
        look.note((*path, "system"), "belongs to the first turn")
    if turn.get("weight") not in (None, 0, 1):
        look.note((*path, "weight"), f"must be 0 or 1, not {turn['weight']!r}")
    scores = turn.get("score")
    return Turn(
        prompt=look.text(turn, "prompt", path),
        responses=_read_responses(turn, path, look),
        system=look.optional_text(turn, "system", path),
        weight=turn.get("weight"),
        scores=tuple(scores) if isinstance(scores, list) else None,
    )


def _read_responses(turn: Mapping[str, Any], path: Path, look: _Look) -> tuple[str, ...]:
    if "response" not in turn:
        look.note(path, "'response' is missing: a row without an answer cannot be trained on")
        return ()
    return _read_answers(turn["response"], (*path, "response"), look)


def _read_answers(response: Any, path: Path, look: _Look) -> tuple[str, ...]:
    """Answers written as a text, or as a list that holds a list with one text for each."""
    if isinstance(response, str):
        return (look.as_text(response, path),)
    if not isinstance(response, list) or not response:
        found = "empty" if response == [] else kind(response)
        look.note(path, f'must look like [["answer"]], not {found}')
        return ()
    answers: list[str] = []
    for position, inner in enumerate(response):
        if isinstance(inner, list) and len(inner) == 1:
            answers.append(look.as_text(inner[0], (*path, position, 0)))
        else:
            found = f"{len(inner)} answers" if isinstance(inner, list) else kind(inner)
            look.note((*path, position), f"must be a list with one answer, not {found}")
    return tuple(answers)


def _read_preference(value: Any, look: _Look) -> Row:
    found = look.objects(value, (), "turns")
    turns = [_read_preference_turn(turn, path, look, is_last=path == found[-1][0]) for path, turn in found]
    if len(turns) > MAX_TURNS:
        look.note((MAX_TURNS,), f"the platform cuts a row after {MAX_TURNS} turns, this one has {len(turns)}")
    return Preference(tuple(turns))


def _read_preference_turn(turn: Mapping[str, Any], path: Path, look: _Look, *, is_last: bool) -> PreferenceTurn:
    if turn.get("system") is not None and path != (0,):
        look.note((*path, "system"), "belongs to the first turn")
    judged = [key for key in ("chosen", "rejected") if key in turn]
    if is_last and not judged:
        look.note(path, "the last turn needs 'chosen' and 'rejected', or one of them")
    if not is_last and judged:
        look.note((*path, judged[0]), "belongs to the last turn; earlier turns have 'assistant'")
    return PreferenceTurn(
        user=look.text(turn, "user", path),
        assistant=None if is_last else look.text(turn, "assistant", path),
        chosen=look.text(turn, "chosen", path) if is_last and "chosen" in turn else None,
        rejected=look.text(turn, "rejected", path) if is_last and "rejected" in turn else None,
        system=look.optional_text(turn, "system", path),
    )


def _read_query(value: Any, look: _Look) -> Row:
    # Uploads of older releases wrap the object in a list.
    path, query = ((0,), value[0]) if isinstance(value, list) and len(value) == 1 else ((), value)
    if not isinstance(query, Mapping):
        look.note(path, f"must be an object, not {kind(query)}")
        return Query("")
    return Query(look.text(query, "prompt", path))


def _read_answered(value: Any, look: _Look) -> Row:
    asked = value.get("input")
    if isinstance(asked, list):
        messages = look.objects(asked, ("input",), "messages")
        asked = [{"role": str(one.get("role")), "content": look.text(one, "content", path)} for path, one in messages]
    else:
        asked = look.text(value, "input", ())
    output = None if value.get("output") is None else str(value["output"])
    return Answered(asked, output, look.optional_text(value, "reference", ()) or "", str(value.get("error") or ""))


def _read_text(value: Any, look: _Look) -> Row:
    return Text(look.as_text(value, ()))


# --- shapes from elsewhere --------------------------------------------------------------------------------------------


def _read_alpaca(value: Any, look: _Look) -> Row:
    instruction = look.text(value, "instruction", ())
    given = look.optional_text(value, "input", ())
    pairs = [*_read_history(value, look), (f"{instruction}\n{given}" if given else instruction, "")]
    pairs[-1] = (pairs[-1][0], look.text(value, "output", ()))
    return conversation(pairs, look.optional_text(value, "system", ()))


def _read_history(value: Mapping[str, Any], look: _Look) -> list[tuple[str, str]]:
    history = value.get("history") or []
    pairs: list[tuple[str, str]] = []
    for position, pair in enumerate(history if isinstance(history, list) else [history]):
        path: Path = ("history", position)
        if isinstance(pair, list) and len(pair) == 2:
            pairs.append((look.as_text(pair[0], (*path, 0)), look.as_text(pair[1], (*path, 1))))
        else:
            look.note(path, "must be a list of a question and its answer")
    return pairs


def _read_prompt_response(value: Any, look: _Look) -> Row:
    prompt = look.text(value, "prompt", ())
    responses = _read_answers(value["response"], ("response",), look) if "response" in value else ()
    if "response" not in value:
        look.note((), "'response' is missing")
    history = [Turn(question, (answer,)) for question, answer in _read_history(value, look)]
    turns = [*history, Turn(prompt, responses)]
    system = look.optional_text(value, "system", ())
    turns[0] = Turn(turns[0].prompt, turns[0].responses, system)
    return Conversation(tuple(turns))


@dataclass(frozen=True, slots=True)
class _Said:
    """One message of a chat: who said what, and where it stands."""

    who: str
    text: str
    path: Path


def _read_messages(value: Any, look: _Look) -> Row:
    said: list[_Said] = []
    for path, message in look.objects(value.get("messages"), ("messages",), "messages"):
        role = message.get("role")
        if role not in ("system", "user", "assistant"):
            look.note((*path, "role") if role is not None else path, f"no place for role {role!r} in training rows")
            continue
        said.append(_Said(role, _read_content(message, path, look), path))
    pairs, system = _take_turns(said, look)
    return conversation(pairs, system)


def _read_content(message: Mapping[str, Any], path: Path, look: _Look) -> str:
    """The text of a message, which may come in parts."""
    content = message.get("content")
    if not isinstance(content, list):
        return look.text(message, "content", path)
    texts: list[str] = []
    for part_path, part in look.objects(content, (*path, "content"), "parts"):
        if part.get("type") == "text":
            texts.append(look.text(part, "text", part_path))
        else:
            look.note(part_path, f"only parts of type 'text' can be used, not {part.get('type')!r}")
    return "".join(texts)


_SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def _read_sharegpt(value: Any, look: _Look) -> Row:
    said: list[_Said] = []
    for path, message in look.objects(value.get("conversations"), ("conversations",), "messages"):
        who = _SHAREGPT_ROLES.get(str(message.get("from")))
        if who is None:
            look.note(path, f"no place for {message.get('from')!r} in training rows")
            continue
        said.append(_Said(who, look.text(message, "value", path), path))
    system = look.optional_text(value, "system", ())
    if "chosen" in value or "rejected" in value:
        return _judged(said, value, system, look)
    pairs, told = _take_turns(said, look)
    return conversation(pairs, system or told)


def _judged(said: list[_Said], value: Mapping[str, Any], system: str | None, look: _Look) -> Row:
    """A preference row: the conversation ends with a question, and the answers stand beside it."""
    if not said or said[-1].who != "user":
        look.note(("conversations",), "must end with a question when the answers are in 'chosen' and 'rejected'")
        return Preference(())
    pairs, told = _take_turns(said[:-1], look) if said[:-1] else ([], None)
    turns = [PreferenceTurn(question, assistant=answer) for question, answer in pairs]
    answers = {key: _read_judged(value, key, look) for key in ("chosen", "rejected") if key in value}
    turns.append(PreferenceTurn(said[-1].text, **answers))
    first = turns[0]
    turns[0] = PreferenceTurn(first.user, first.assistant, first.chosen, first.rejected, system or told)
    return Preference(tuple(turns))


def _read_judged(value: Mapping[str, Any], key: str, look: _Look) -> str:
    answer = value[key]
    if isinstance(answer, Mapping):
        return look.text(answer, "value", (key,))
    return look.as_text(answer, (key,))


def _take_turns(said: list[_Said], look: _Look) -> tuple[list[tuple[str, str]], str | None]:
    """Questions with their answers, and the system's words; notes whatever breaks the order."""
    system = said[0].text if said and said[0].who == "system" else None
    pairs: list[tuple[str, str]] = []
    question: _Said | None = None
    for message in said[1:] if system is not None else said:
        if message.who == "system":
            look.note(message.path, "a system message must come first")
        elif message.who == "user":
            if question is not None:
                look.note(message.path, "two questions in a row; join them or add the answer between")
            question = message
        elif question is None:
            look.note(message.path, "an answer without a question before it")
        else:
            pairs.append((question.text, message.text))
            question = None
    if question is not None:
        look.note(question.path, "the last question has no answer")
    return pairs, system


# --- which shape is it? -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to write rows down. fits: a quick look at the names; read: the whole row, noting every flaw."""

    name: str
    fits: Callable[[Any], bool]
    read_with: Callable[[Any, _Look], Row]
    needs_object: bool = False

    def read(self, value: Any) -> Row:
        """A typed row. Raises RowFlaws with everything that is wrong."""
        look = _Look()
        if self.needs_object and not isinstance(value, Mapping):
            raise RowFlaws([Flaw((), f"must be an object, not {kind(value)}")])
        row = self.read_with(value, look)
        if look.flaws:
            raise RowFlaws(look.flaws)
        return row


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(key in value for key in keys)


def _turns_have(*keys: str) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        turns = value if isinstance(value, list) else []
        return any(isinstance(turn, Mapping) and any(key in turn for key in keys) for turn in turns)

    return fits


def _is_answered(value: Any) -> bool:
    return isinstance(value, Mapping) and "input" in value and "output" in value and "instruction" not in value


def _is_query(value: Any) -> bool:
    query = value[0] if isinstance(value, list) and len(value) == 1 else value
    answers = ("response", "output", "completion", "chosen", "rejected", "messages", "conversations")
    return isinstance(query, Mapping) and "prompt" in query and not any(key in query for key in answers)


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("dialogue", _turns_have("prompt"), _read_dialogue),
        Shape("preference", _turns_have("user"), _read_preference),
        Shape("query", _is_query, _read_query),
        Shape("text", lambda value: isinstance(value, str), _read_text),
        Shape("alpaca", _has("instruction", "output"), _read_alpaca, needs_object=True),
        Shape("messages", _has("messages"), _read_messages, needs_object=True),
        Shape("prompt_response", _has("prompt", "response"), _read_prompt_response, needs_object=True),
        Shape("answers", _is_answered, _read_answered, needs_object=True),
        Shape("sharegpt", _has("conversations"), _read_sharegpt, needs_object=True),
    )
}


def shape_named(name: str) -> Shape:
    """The shape a user named. Raises InvalidArgumentError for an unknown name."""
    if name not in SHAPES:
        raise InvalidArgumentError(f"unknown format {name!r}; {suggestion(name, SHAPES)}")
    return SHAPES[name]


def candidates(value: Any) -> list[Shape]:
    """The shapes a row could have, by its names."""
    return [shape for shape in SHAPES.values() if shape.fits(value)]


def why_unclear(value: Any, found: list[Shape]) -> str:
    """Why a row's shape could not be told, and what to do."""
    if found:
        names = ", ".join(shape.name for shape in found)
        return f"the row fits several formats: {names}; say which one with format='{found[0].name}'"
    inside = value[0] if isinstance(value, list) and value else value
    keys = f" with {', '.join(map(repr, inside))}" if isinstance(inside, Mapping) else ""
    return f"the row ({kind(value)}{keys}) fits no known format; known formats: {', '.join(SHAPES)}"
