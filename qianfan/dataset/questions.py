"""From the rows of a dataset to the questions that a model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from qianfan.dataset.dataset import Dataset
from qianfan.dataset.rows import Answered, Columns, Conversation, Preference, PreferenceTurn, Query, Row, Turn
from qianfan.errors import InvalidArgumentError
from qianfan.resources.console.consts import ServiceType

Message: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked in one row.

    messages: the turns before, and the question. reference: the answer of the dataset, empty where it has none.
    system: what the model is told beforehand.
    """

    messages: list[Message]
    reference: str = ""
    system: str | None = None

    @property
    def input(self) -> str | list[Message]:
        """The question as evaluators see it: its text, or all messages where turns came before."""
        return self.messages[0]["content"] if len(self.messages) == 1 else [{**one} for one in self.messages]

    def request(self, kind: ServiceType) -> dict[str, Any]:
        """What a service of that kind is asked. Raises InvalidArgumentError when it cannot be."""
        if kind is ServiceType.Chat:
            request: dict[str, Any] = {"messages": [*self.messages]}
            return request if self.system is None else {**request, "system": self.system}
        if len(self.messages) > 1:
            raise InvalidArgumentError("a Completion service cannot be told the turns before")
        return {"prompt": self.messages[0]["content"]}

    def answered(self, output: str | None, error: str = "") -> Answered:
        """The question with what a model said to it."""
        return Answered(self.input, output, self.reference, error)


def questions_of(dataset: Dataset) -> list[Question]:
    """The last question of every row. Blocking; reads all rows.

    Of a table, the question is in the columns that `dataset.input_columns` names, one below the other, and the answer
    in `dataset.reference_column`.

    Raises ValidationError for rows that cannot be read, InvalidArgumentError for rows that ask nothing, and where
    there are none.
    """
    questions = [
        _in_columns(row, dataset, number) if isinstance(row, Columns) else _question(row, number, dataset.name)
        for number, row in enumerate(dataset.records(), start=1)
    ]
    if not questions:
        raise InvalidArgumentError(f"{dataset.name} has no rows to evaluate with")
    return questions


def _in_columns(row: Columns, dataset: Dataset, number: int) -> Question:
    if not dataset.input_columns:
        found = ", ".join(map(repr, row.values))
        raise InvalidArgumentError(f"{dataset.name} has columns; say with input_columns which ask: {found}")
    parts = [row.values.get(name) for name in dataset.input_columns]
    for name, part in zip(dataset.input_columns, parts, strict=True):
        if part is None or str(part).strip() == "":
            raise InvalidArgumentError(f"{dataset.name}: row {number} has nothing in column {name!r}")
    reference = row.values.get(dataset.reference_column) if dataset.reference_column else None
    asked = "\n".join(map(str, parts))
    return Question([_said("user", asked)], "" if reference is None else str(reference))


def _question(row: Row, number: int, name: str) -> Question:
    if isinstance(row, Query):
        return Question([_said("user", row.prompt)])
    if isinstance(row, Answered):
        messages = [_said("user", row.input)] if isinstance(row.input, str) else [{**one} for one in row.input]
        return Question(messages, row.reference)
    if isinstance(row, Conversation):
        turns = [(turn.prompt, turn.responses[0] if turn.responses else None) for turn in row.turns]
        return _last_of(turns, _system(row.turns), number, name)
    if isinstance(row, Preference):
        turns = [(turn.user, turn.assistant) for turn in row.turns[:-1]]
        return _last_of([*turns, (row.turns[-1].user, row.turns[-1].chosen)], _system(row.turns), number, name)
    kind = type(row).__name__.lower()
    raise InvalidArgumentError(f"{name}: row {number} is a {kind}, which asks nothing; evaluate with conversations")


def _last_of(turns: Sequence[tuple[str, str | None]], system: str | None, number: int, name: str) -> Question:
    messages: list[Message] = []
    for asked, answered in turns[:-1]:
        if answered is None:
            raise InvalidArgumentError(f"{name}: row {number} goes on after a question that has no answer")
        messages += [_said("user", asked), _said("assistant", answered)]
    last, reference = turns[-1]
    return Question([*messages, _said("user", last)], reference or "", system)


def _system(turns: Sequence[Turn] | Sequence[PreferenceTurn]) -> str | None:
    return turns[0].system


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}
