"""From the rows of a dataset to questions that models are asked, and the answers that they should give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qianfan._types import JSON
from qianfan.emulator.account import Account
from qianfan.emulator.entities import entities_of
from qianfan.emulator.records import Dataset
from qianfan.emulator.scans import value_of
from qianfan.engines.rows import Message

FORMATS = ("PromptResponse", "PromptSortedresponses", "DPO_PromptChosenRejected", "Prompt")
"""Kinds of dataset whose rows ask something."""

REFERENCE = "reference"
"""In a dataset of answers, the key of what the answer should have been."""


@dataclass(frozen=True)
class Question:
    """The last question of a row, with what was said before it.

    expected: the row's own answer, "" where it has none. reference: in a dataset of answers, what it should have been.
    """

    messages: tuple[Message, ...]
    expected: str = ""
    reference: str = ""

    @property
    def text(self) -> str:
        """What is asked last."""
        return self.messages[-1].content

    def inside(self, template: str) -> Question:
        """The question put into a template at `{input}`; "" leaves it as it is."""
        if not template:
            return self
        asked = Message(role="user", content=template.replace("{input}", self.text))
        return Question((*self.messages[:-1], asked), self.expected, self.reference)

    def under(self, system: str) -> Question:
        """The question after another text that the model is told beforehand; "" leaves the row's own."""
        if not system:
            return self
        rest = [message for message in self.messages if message.role != "system"]
        return Question((Message(role="system", content=system), *rest), self.expected, self.reference)


def questions_of(account: Account, dataset: Dataset) -> list[Question]:
    """The questions of a dataset, in order. The account must be locked."""
    return [_question(value_of(entity.unit)) for entity in entities_of(account, dataset)]


def _question(row: JSON) -> Question:
    turns = row if isinstance(row, list) else [row]
    said: list[Message] = [*_system(turns[0])]
    for turn in turns[:-1]:
        said.append(Message(role="user", content=_asked(turn)))
        said.append(Message(role="assistant", content=_answered(turn)))
    last = turns[-1]
    reference = last.get(REFERENCE)
    return Question(
        (*said, Message(role="user", content=_asked(last))),
        _answered(last),
        reference if isinstance(reference, str) else "",
    )


def _system(turn: dict[str, JSON]) -> Iterator[Message]:
    system = turn.get("system")
    if isinstance(system, str) and system:
        yield Message(role="system", content=system)


def _asked(turn: dict[str, JSON]) -> str:
    return str(turn.get("prompt") or turn.get("user") or "")


def _answered(turn: dict[str, JSON]) -> str:
    """The answer of a turn, the best where there are several, "" where there is none."""
    answer = turn.get("response") or turn.get("assistant") or turn.get("chosen") or ""
    while isinstance(answer, list):
        answer = answer[0] if answer else ""
    return str(answer)
