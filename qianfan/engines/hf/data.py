"""Rows in the shapes that trl takes: lists of messages, to which it applies the tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from qianfan.engines.backend import EngineError
from qianfan.engines.rows import Dialogue, Message, Mode, Preference, Rated, Text, answers_of, read_rows

Turn: TypeAlias = dict[str, str]
"""{"role": ..., "content": ...}"""

Example: TypeAlias = dict[str, "str | bool | list[Turn]"]
"""What is learnt at once.

SFT: prompt, completion. PostPretrain: text. DPO: prompt, chosen, rejected. KTO: prompt, completion, label.
"""


def read_examples(mode: Mode, path: Path) -> list[Example]:
    """The examples of a file of rows; a dialogue gives one for each answer. Raises EngineError where there is none."""
    try:
        examples = list(_examples(mode, path))
    except ValidationError as error:
        raise EngineError("bad_rows", f"{path.name} has a row that is not of the mode {mode}: {error}") from error
    if not examples:
        raise EngineError("no_rows", f"{path.name} has no row to learn from")
    return examples


def _examples(mode: Mode, path: Path) -> Iterator[Example]:
    match mode:
        case "SFT":
            for dialogue in read_rows(path, Dialogue):
                for before, answer in answers_of(dialogue.messages):
                    yield {"prompt": prompt_of(before), "completion": answer_turn(answer)}
        case "PostPretrain":
            for row in read_rows(path, Text):
                yield {"text": row.text}
        case "DPO":
            for pair in read_rows(path, Preference):
                yield {
                    "prompt": prompt_of(pair.messages),
                    "chosen": answer_turn(pair.chosen),
                    "rejected": answer_turn(pair.rejected),
                }
        case "KTO":
            for rated in read_rows(path, Rated):
                yield {
                    "prompt": prompt_of(rated.messages),
                    "completion": answer_turn(rated.completion),
                    "label": rated.desirable,
                }


def prompt_of(messages: Iterable[Message]) -> list[Turn]:
    """Messages as a chat template takes them. Where nothing was said before, an empty question was."""
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return turns or [{"role": "user", "content": ""}]


def answer_turn(text: str) -> list[Turn]:
    """The assistant's turn, alone in a list, as trl takes it."""
    return [{"role": "assistant", "content": text}]


def texts_of(examples: Iterable[Example]) -> Iterator[str]:
    """All text there is in examples."""
    for example in examples:
        for part in example.values():
            if isinstance(part, str):
                yield part
            elif isinstance(part, list):
                yield from (turn["content"] for turn in part)


def good_answers(examples: Iterable[Example]) -> Iterator[tuple[list[Turn], str]]:
    """(prompt, answer) of what the model should say; nothing of texts, and of answers that are not desired."""
    for example in examples:
        prompt, answer = example.get("prompt"), example.get("chosen", example.get("completion"))
        if isinstance(prompt, list) and isinstance(answer, list) and example.get("label", True):
            yield prompt, answer[0]["content"]
