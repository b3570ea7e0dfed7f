"""Conversations whose last answer is judged: better and worse, or good or bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from qianfan.dataset.rows import Conversation, Preference, PreferenceTurn, Turn
from qianfan.dataset.shapes.chats import Chat, Exchange, conversation
from qianfan.dataset.shapes.flaws import Look, Path

ReadAnswer: TypeAlias = Callable[[Any, Path, Look], str]
"""Reads one judged answer, however it is spelt."""


def is_judged(value: Mapping[str, Any]) -> bool:
    """Whether judgements stand beside a conversation."""
    return any(key in value for key in ("chosen", "rejected", "kto_tag"))


def judged_beside(value: Mapping[str, Any], chat: Chat, path: Path, read_answer: ReadAnswer, look: Look) -> Preference:
    """A chat with `chosen` and `rejected` beside it, which ends with a question, or with `kto_tag` and an answer.

    path: where the chat stands.
    """
    answers = [key for key in ("chosen", "rejected") if key in value]
    if "kto_tag" in value:
        if answers:
            reason = f"stands beside {answers[0]!r}: is one answer judged, or are there two?"
            look.note(("kto_tag",), reason, "ambiguous", [*value], "keep one of the two")
        return rated(conversation(chat, look), is_good=look.truth(value, "kto_tag", ()))
    if chat.question is None:
        reason = "must end with a question when the answers are in 'chosen' and 'rejected'"
        look.note(path, reason, "order", fix="leave the last answer out of the conversation")
    question = "" if chat.question is None else chat.question.text
    texts = {key: read_answer(value[key], (key,), look) for key in answers}
    return preference(chat.turns, question, chat.system, look, **texts)


def preference(
    before: Sequence[Turn], question: str, system: str | None, look: Look, **answers: str | None
) -> Preference:
    """A question with answers that are judged, `chosen`, `rejected` or one of them, and the turns before it."""
    look.few_enough(len(before) + 1, ())
    return _preference(before, PreferenceTurn(question, **answers), system)


def rated(row: Conversation, *, is_good: bool) -> Preference:
    """A conversation whose last answer is judged."""
    last = row.turns[-1] if row.turns else Turn("", ("",))
    judgement = "chosen" if is_good else "rejected"
    judged = PreferenceTurn(last.prompt, **{judgement: last.responses[0] if last.responses else ""})
    return _preference(row.turns[:-1], judged, row.turns[0].system if row.turns else None)


def _preference(before: Sequence[Turn], last: PreferenceTurn, system: str | None) -> Preference:
    turns = [*(PreferenceTurn(turn.prompt, turn.responses[0]) for turn in before), last]
    return Preference((replace(turns[0], system=system), *turns[1:]))


def earlier(row: Preference) -> list[Exchange]:
    """The questions with their answers before the one that is judged."""
    return [Exchange(turn.user, turn.assistant or "") for turn in row.turns[:-1]]


def judged_exchanges(row: Preference) -> list[Exchange]:
    """All questions of a row with one judged answer."""
    last = row.turns[-1]
    return [*earlier(row), Exchange(last.user, last.chosen or last.rejected or "")]
