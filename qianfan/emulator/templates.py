"""The kinds of dataset the platform knows, under all of their names, and what one row of each must look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from qianfan._types import JSON


class BadRow(Exception):
    """A row does not have the shape of its template; the message says why."""


@dataclass(frozen=True)
class Row:
    """One accepted row.

    pairs: (question, answer) texts in it, for answers of a trained model; empty when the row is not annotated.
    characters: length of all its texts.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    annotated: bool = True
    characters: int = 0


@dataclass(frozen=True)
class Template:
    """A kind of dataset.

    data_format: the V2 name; template_type, project_type, data_type: the V1 numbers (0: V1 cannot name it).
    train_modes: the training modes that accept it.
    read_row: checks one parsed line. Raises BadRow.
    """

    data_format: str
    template_type: int
    project_type: int
    data_type: int
    train_modes: frozenset[str]
    read_row: Callable[[JSON], Row]


def _texts_of(turn: JSON, keys: tuple[str, ...]) -> int:
    return sum(len(turn[key]) for key in keys if isinstance(turn.get(key), str))


def _turns(value: JSON) -> list[dict[str, JSON]]:
    if not isinstance(value, list) or not value:
        raise BadRow('a row is a list of turns, for example [{"prompt": ..., "response": [[...]]}]')
    for turn in value:
        if not isinstance(turn, dict):
            raise BadRow(f"a turn is an object, found {type(turn).__name__}")
    return value


def _text(turn: dict[str, JSON], key: str) -> str:
    value = turn.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadRow(f"{key!r} must be a non-empty text")
    return value


def _response(turn: dict[str, JSON]) -> str | None:
    value = turn.get("response")
    if value is None:
        return None
    if isinstance(value, str):
        answer: JSON = value
    elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) and len(value[0]) == 1:
        answer = value[0][0]
    else:
        raise BadRow("'response' must be [[\"text\"]] with exactly one text")
    if not isinstance(answer, str) or not answer.strip():
        raise BadRow("'response' must not be empty")
    return answer


def _dialogue_row(value: JSON) -> Row:
    pairs: list[tuple[str, str]] = []
    characters = 0
    annotated = True
    for turn in _turns(value):
        prompt, answer = _text(turn, "prompt"), _response(turn)
        characters += len(prompt) + len(answer or "") + _texts_of(turn, ("system",))
        if answer is None:
            annotated = False
        else:
            pairs.append((prompt, answer))
    return Row(tuple(pairs), annotated, characters)


def _ranked_row(value: JSON) -> Row:
    turns = _turns(value)
    history, last = turns[:-1], turns[-1]
    pairs = [pair for turn in history for pair in _dialogue_row([turn]).pairs]
    prompt, answers = _text(last, "prompt"), last.get("response")
    if not isinstance(answers, list) or len(answers) < 2:
        raise BadRow("the last turn needs two or more ranked responses, best first")
    for answer in answers:
        if not isinstance(answer, list) or len(answer) != 1 or not isinstance(answer[0], str) or not answer[0]:
            raise BadRow('each ranked response must be ["text"]')
    pairs.append((prompt, answers[0][0]))
    return Row(tuple(pairs), True, len(prompt) + sum(len(answer[0]) for answer in answers))


def _preference_row(value: JSON, *, both: bool) -> Row:
    turns = _turns(value)
    pairs = [(_text(turn, "user"), _text(turn, "assistant")) for turn in turns[:-1]]
    last = turns[-1]
    user = _text(last, "user")
    given = [key for key in ("chosen", "rejected") if key in last]
    if both and len(given) != 2:
        raise BadRow("the last turn needs both 'chosen' and 'rejected'")
    if not given:
        raise BadRow("the last turn needs 'chosen' or 'rejected'")
    answers = {key: _text(last, key) for key in given}
    if "chosen" in answers:
        pairs.append((user, answers["chosen"]))
    characters = len(user) + sum(map(len, answers.values())) + sum(len(a) + len(b) for a, b in pairs)
    return Row(tuple(pairs), True, characters)


def _dpo_row(value: JSON) -> Row:
    return _preference_row(value, both=True)


def _kto_row(value: JSON) -> Row:
    return _preference_row(value, both=False)


def _text_row(value: JSON) -> Row:
    text = value if isinstance(value, str) else str(value) if value else ""
    if not text.strip():
        raise BadRow("a text row must not be empty")
    return Row(characters=len(text))


def _prompt_row(value: JSON) -> Row:
    row = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(row, dict):
        raise BadRow('a row is an object, for example {"prompt": "..."}')
    return Row(annotated=False, characters=len(_text(row, "prompt")))


def _image_row(value: JSON) -> Row:
    if not isinstance(value, dict):
        raise BadRow('an image has a file with {"prompt": "..."}')
    return Row(characters=len(_text(value, "prompt")))


# The platform names the next three kinds without their file format; these are our reading.


def _seen_row(value: JSON) -> Row:
    """Turns as of a dialogue, the first with an `image`: a link to it, or its content in base64."""
    turns = _turns(value)
    _text(turns[0], "image")
    return _dialogue_row(turns)


def _role_row(value: JSON) -> Row:
    """Messages as of a chat: `[{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]`."""
    said = [(turn.get("role"), _text(turn, "content")) for turn in _turns(value)]
    if any(role not in ("system", "user", "assistant") for role, _ in said):
        raise BadRow("'role' must be 'system', 'user' or 'assistant'")
    pairs = [(a, b) for (asks, a), (says, b) in pairwise(said) if (asks, says) == ("user", "assistant")]
    return Row(tuple(pairs), said[-1][0] == "assistant", sum(len(text) for _, text in said))


def _gap_row(value: JSON) -> Row:
    """A text with a gap: `{"prefix": ..., "suffix": ..., "middle": ...}`, unannotated without `middle`."""
    if not isinstance(value, dict):
        raise BadRow('a row is an object, for example {"prefix": "...", "suffix": "...", "middle": "..."}')
    prefix, suffix = _text(value, "prefix"), _text(value, "suffix")
    middle = _text(value, "middle") if value.get("middle") is not None else None
    pairs = ((prefix, middle),) if middle is not None else ()
    return Row(pairs, middle is not None, len(prefix) + len(suffix) + len(middle or ""))


TEMPLATES = (
    Template("PromptResponse", 2000, 20, 4, frozenset({"SFT"}), _dialogue_row),
    Template("PromptSortedresponses", 2001, 20, 4, frozenset(), _ranked_row),
    Template("DPO_PromptChosenRejected", 2002, 20, 4, frozenset({"DPO"}), _dpo_row),
    Template("KTO_PromptChosenRejected", 0, 0, 4, frozenset({"KTO"}), _kto_row),
    Template("Text", 40100, 401, 4, frozenset({"PostPretrain"}), _text_row),
    Template("Prompt", 40200, 402, 4, frozenset(), _prompt_row),
    Template("PromptImage", 70500, 705, 7, frozenset({"SFT-text2image"}), _image_row),
    Template("PromptImageResponse", 0, 0, 7, frozenset(), _seen_row),
    Template("Role", 0, 0, 4, frozenset(), _role_row),
    Template("SFT_FIM", 0, 0, 4, frozenset(), _gap_row),
)

_BY_FORMAT = {template.data_format: template for template in TEMPLATES}
_BY_NUMBER = {template.template_type: template for template in TEMPLATES if template.template_type}


def template_of(name: JSON) -> Template | None:
    """A template by its V2 name or V1 number, None when there is no such kind."""
    if isinstance(name, str):
        return _BY_FORMAT.get(name)
    return _BY_NUMBER.get(name) if isinstance(name, int) else None


def needed_for(train_mode: str, model_type: str) -> Template | None:
    """The template that a training mode of a model works on."""
    mode = "SFT-text2image" if (train_mode, model_type) == ("SFT", "text2image") else train_mode
    return next((template for template in TEMPLATES if mode in template.train_modes), None)
