"""Rows, and what of them is to be learnt: how a dialogue looks to the model.

Each turn begins with a token for who speaks, and an answer ends with one:

    <system> be brief <user> 你好 <assistant> 你好！ <end> <user> …

Text without a dialogue stands between two <end>.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from qianfan.engines.rows import Dialogue, Message, Mode, Preference, Text, answers_of, read_rows
from qianfan.engines.tiny.batches import Example, Passage
from qianfan.engines.tiny.tokenizer import ASSISTANT, END, SYSTEM, USER, Tokenizer

_SPEAKERS: Final = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


@dataclass(frozen=True)
class Lesson:
    """answers: to what was said before; one, or the better and the worse of two.

    In PostPretrain the one answer is a text, and nothing was said before.
    """

    before: tuple[Message, ...]
    answers: tuple[str, ...]


def read_lessons(path: Path, mode: Mode) -> list[Lesson]:
    """The lessons in a file of rows. A dialogue is one for each of its answers."""
    match mode:
        case "PostPretrain":
            return [Lesson((), (row.text,)) for row in read_rows(path, Text)]
        case "DPO":
            return [Lesson(row.messages, (row.chosen, row.rejected)) for row in read_rows(path, Preference)]
        case _:
            dialogues = read_rows(path, Dialogue)
            return [Lesson(before, (answer,)) for row in dialogues for before, answer in answers_of(row.messages)]


def texts_of(lessons: Iterable[Lesson]) -> Iterator[str]:
    """All there is to read in them."""
    for lesson in lessons:
        yield from (message.content for message in lesson.before)
        yield from lesson.answers


def examples_of(lessons: Sequence[Lesson], mode: Mode, tokenizer: Tokenizer, limit: int) -> list[Example]:
    """What is to be learnt, in passages of at most `limit` tokens."""
    if mode == "PostPretrain":
        return [(part,) for lesson in lessons for part in text_passages(tokenizer, lesson.answers[0], limit)]
    return [
        tuple(answer_passage(tokenizer, lesson.before, answer, limit) for answer in lesson.answers)
        for lesson in lessons
    ]


def answer_passage(tokenizer: Tokenizer, before: Sequence[Message], answer: str, limit: int) -> Passage:
    """An answer to be learnt. Of what is too long the beginning of the prompt goes, then the end of the answer."""
    asked = dialogue_prompt(tokenizer, before)
    said = [*tokenizer.encode(answer), END][: limit - 1]
    asked = asked[-(limit - len(said)) :]
    return Passage((*asked, *said), start=len(asked))


def text_passages(tokenizer: Tokenizer, text: str, limit: int) -> list[Passage]:
    """A text to be learnt, cut into passages; each begins with the last token of the one before."""
    tokens = (*text_prompt(tokenizer, text), END)
    return [Passage(tokens[start : start + limit]) for start in range(0, len(tokens) - 1, limit - 1)]


def dialogue_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """What was said, and that it is the assistant's turn."""
    tokens: list[int] = []
    for message in messages:
        tokens += [_SPEAKERS[message.role], *tokenizer.encode(message.content)]
        if message.role == "assistant":
            tokens.append(END)
    return [*tokens, ASSISTANT]


def text_prompt(tokenizer: Tokenizer, text: str) -> list[int]:
    """The beginning of a text that goes on."""
    return [END, *tokenizer.encode(text)]


def prompt(tokenizer: Tokenizer, messages: Sequence[Message], mode: Mode) -> list[int]:
    """What a model of this mode is given to go on from. One that knows only texts goes on with the last message."""
    if mode == "PostPretrain":
        return text_prompt(tokenizer, messages[-1].content if messages else "")
    return dialogue_prompt(tokenizer, messages)


def longest_run(examples: Iterable[Example]) -> int:
    """How often one token follows itself at most in what is to be learnt."""
    return max(
        (sum(1 for _ in run) for example in examples for passage in example for _, run in groupby(passage.learnt)),
        default=1,
    )
