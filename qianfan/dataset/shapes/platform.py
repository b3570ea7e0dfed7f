"""The platform's own shapes, what models answered, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan.dataset.rows import (
    Answered,
    Columns,
    Conversation,
    Picture,
    Preference,
    PreferenceTurn,
    Query,
    Row,
    Text,
    Turn,
)
from qianfan.dataset.shapes.flaws import Look, Path, kind
from qianfan.dataset.shapes.quick import MAX_TURNS

# --- conversations ---------------------------------------------------------------------------------------------------


def read_dialogue(value: Any, look: Look) -> Row:
    """`[{"prompt": "…", "response": [["…"]]}, …]`"""
    turns = [_read_turn(turn, path, look) for path, turn in look.objects(value, (), "turns")]
    look.few_enough(len(turns), (MAX_TURNS,))
    for position, turn in enumerate(turns[:-1]):
        if len(turn.responses) > 1:
            reason = "only the last turn may have several ranked answers"
            look.note((position, "response"), reason, "answers", len(turn.responses), "keep the best answer")
    return Conversation(tuple(turns))


def _read_turn(turn: Mapping[str, Any], path: Path, look: Look) -> Turn:
    _check_system(turn, path, look)
    responses = _read_responses(turn, path, look)
    return Turn(
        prompt=look.text(turn, "prompt", path),
        responses=responses,
        system=look.optional_text(turn, "system", path),
        weight=look.zero_or_one(turn, "weight", path),
        scores=_read_scores(turn, path, len(responses), look),
    )


def _check_system(turn: Mapping[str, Any], path: Path, look: Look) -> None:
    if turn.get("system") is not None and path != (0,):
        look.note((*path, "system"), "belongs to the first turn", "order", turn["system"], "move it to the first turn")


def _read_responses(turn: Mapping[str, Any], path: Path, look: Look) -> tuple[str, ...]:
    if "response" not in turn:
        look.missing(turn, "response", path, ": a row without an answer cannot be trained on")
        return ()
    return read_answers(turn["response"], (*path, "response"), look)


def read_answers(response: Any, path: Path, look: Look) -> tuple[str, ...]:
    """Answers written as a text, or as a list that holds a list with one text for each."""
    advice = 'write [["answer"]]'
    if isinstance(response, str):
        return (look.as_text(response, path),)
    if not isinstance(response, list) or not response:
        is_empty = response == []
        reason = f'must look like [["answer"]], not {"empty" if is_empty else kind(response)}'
        look.note(path, reason, "empty" if is_empty else "wrong-type", response, advice)
        return ()
    answers: list[str] = []
    for position, inner in enumerate(response):
        if isinstance(inner, list) and len(inner) == 1:
            answers.append(look.as_text(inner[0], (*path, position, 0)))
        else:
            is_list = isinstance(inner, list)
            reason = f"must be a list with one answer, not {f'{len(inner)} answers' if is_list else kind(inner)}"
            look.note((*path, position), reason, "answers" if is_list else "wrong-type", inner, advice)
    return tuple(answers)


def _read_scores(turn: Mapping[str, Any], path: Path, answers: int, look: Look) -> tuple[int, ...] | None:
    scores = turn.get("score")
    if scores is None:
        return None
    is_right = isinstance(scores, list) and len(scores) == answers and all(map(_is_whole, scores))
    if not is_right:
        reason = "must be a list with a whole number for each answer"
        look.note((*path, "score"), reason, "value", scores, "write as many numbers as answers, or leave it out")
        return None
    return tuple(map(int, scores))


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def read_preference(value: Any, look: Look) -> Row:
    """`[{"user": "…", "assistant": "…"}, {"user": "…", "chosen": "…", "rejected": "…"}]`"""
    found = look.objects(value, (), "turns")
    turns = [_read_preference_turn(turn, path, look, is_last=path == found[-1][0]) for path, turn in found]
    look.few_enough(len(turns), (MAX_TURNS,))
    return Preference(tuple(turns))


def _read_preference_turn(turn: Mapping[str, Any], path: Path, look: Look, *, is_last: bool) -> PreferenceTurn:
    _check_system(turn, path, look)
    judged = [key for key in ("chosen", "rejected") if key in turn]
    if is_last and not judged:
        reason = "the last turn needs 'chosen' and 'rejected', or one of them"
        look.note(path, reason, "missing", [*turn], "add 'chosen' and 'rejected'")
    if not is_last and judged:
        reason = "belongs to the last turn; earlier turns have 'assistant'"
        look.note((*path, judged[0]), reason, "order", turn[judged[0]], "name it 'assistant'")
    return PreferenceTurn(
        user=look.text(turn, "user", path),
        assistant=None if is_last else look.text(turn, "assistant", path),
        chosen=look.text(turn, "chosen", path) if is_last and "chosen" in turn else None,
        rejected=look.text(turn, "rejected", path) if is_last and "rejected" in turn else None,
        system=look.optional_text(turn, "system", path),
    )


# --- single things ---------------------------------------------------------------------------------------------------


def read_query(value: Any, look: Look) -> Row:
    """`{"prompt": "…"}`, which uploads of older releases wrap in a list."""
    path, query = ((0,), value[0]) if isinstance(value, list) and len(value) == 1 else ((), value)
    if not isinstance(query, Mapping):
        look.note(path, f"must be an object, not {kind(query)}", "wrong-type", query, 'write {"prompt": "…"}')
        return Query("")
    return Query(look.text(query, "prompt", path))


def read_text(value: Any, look: Look) -> Row:
    """A text alone, or the one in `{"text": "…"}`."""
    return Text(look.text(value, "text", ()) if isinstance(value, Mapping) else look.as_text(value, ()))


def read_picture(value: Mapping[str, Any], look: Look) -> Row:
    """`{"image": "…", "prompt": "…"}`; the words may be called `text`."""
    words = "text" if "text" in value and "prompt" not in value else "prompt"
    return Picture(look.text(value, "image", ()), look.text(value, words, ()))


def read_answered(value: Mapping[str, Any], look: Look) -> Row:
    """`{"input": "…", "output": "…", "reference": "…"}`"""
    asked = value.get("input")
    if isinstance(asked, list):
        messages = look.objects(asked, ("input",), "messages")
        asked = [{"role": str(one.get("role")), "content": look.text(one, "content", path)} for path, one in messages]
    else:
        asked = look.text(value, "input", ())
    output = None if value.get("output") is None else look.as_text(str(value["output"]), ("output",), may_be_empty=True)
    error = look.as_text(str(value.get("error") or ""), ("error",), may_be_empty=True)
    return Answered(asked, output, look.optional_text(value, "reference", ()) or "", error)


def read_columns(value: Mapping[str, Any], look: Look) -> Row:
    """Any object, kept as it is."""
    return Columns(value)
