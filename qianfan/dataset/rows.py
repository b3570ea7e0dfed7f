"""Rows as typed records, and their form on the platform.

What a line of the platform's files holds is made by `to_json`. The kind of dataset that a row belongs to has two names
on the platform: `template_type`, the older, and `data_format`, which also tells pairs of answers from judged ones. Both
are None for rows that no dataset on the platform has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from qianfan.dataset.consts import DataFormat, DataTemplateType

JsonRow: TypeAlias = Any
"""A row in the platform's form: a list of turns, an object with a prompt, or a text."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer.

    responses: best first; several only where answers are ranked, none where the row is not annotated.
    system: what the model is told beforehand, in the first turn only. weight: 0 keeps the turn out of the loss.
    """

    prompt: str
    responses: tuple[str, ...] = ()
    system: str | None = None
    weight: int | None = None
    scores: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The turn in the platform's form."""
        turn: dict[str, Any] = {} if self.system is None else {"system": self.system}
        turn["prompt"] = self.prompt
        if self.responses:
            turn["response"] = [[response] for response in self.responses]
        if self.weight is not None:
            turn["weight"] = self.weight
        if self.scores is not None:
            turn["score"] = list(self.scores)
        return turn


@dataclass(frozen=True, slots=True)
class PreferenceTurn:
    """One turn of a preference row: earlier turns have an answer, the last a better one, a worse one, or both."""

    user: str
    assistant: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    system: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The turn in the platform's form."""
        fields = ("system", "user", "assistant", "chosen", "rejected")
        return {name: value for name in fields if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Conversation:
    """Questions and answers in the order they were said."""

    turns: tuple[Turn, ...]

    @property
    def template_type(self) -> DataTemplateType:
        """The kind of dataset the row belongs to."""
        if any(len(turn.responses) > 1 for turn in self.turns):
            return DataTemplateType.SortedConversation
        return DataTemplateType.NonSortedConversation

    @property
    def data_format(self) -> DataFormat:
        """The kind of dataset the row belongs to, in newer words."""
        is_ranked = self.template_type is DataTemplateType.SortedConversation
        return DataFormat.PromptSortedResponses if is_ranked else DataFormat.PromptResponse

    def to_json(self) -> JsonRow:
        """The row in the platform's form."""
        return [turn.to_json() for turn in self.turns]


@dataclass(frozen=True, slots=True)
class Preference:
    """A conversation whose last answer comes in a better and a worse form, or in one form that is judged good or bad.

    The first kind trains DPO, the second KTO; a dataset has one of them.
    """

    turns: tuple[PreferenceTurn, ...]
    template_type = DataTemplateType.PromptChosenRejected

    @property
    def is_pair(self) -> bool:
        """Whether there are both answers."""
        return self.turns[-1].chosen is not None and self.turns[-1].rejected is not None

    @property
    def data_format(self) -> DataFormat:
        """The kind of dataset the row belongs to, in newer words."""
        return DataFormat.DPOPromptChosenRejected if self.is_pair else DataFormat.KTOPromptChosenRejected

    def to_json(self) -> JsonRow:
        """The row in the platform's form."""
        return [turn.to_json() for turn in self.turns]


@dataclass(frozen=True, slots=True)
class Query:
    """A question without an answer."""

    prompt: str
    template_type = DataTemplateType.QuerySet
    data_format = DataFormat.Prompt

    def to_json(self) -> JsonRow:
        """The row in the platform's form."""
        return {"prompt": self.prompt}


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of plain text."""

    text: str
    template_type = DataTemplateType.GenericText
    data_format = DataFormat.Text

    def to_json(self) -> JsonRow:
        """The row in the platform's form."""
        return self.text


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with the words that describe it.

    image: the path of its file, or its name in an archive.
    """

    image: str
    prompt: str
    template_type = DataTemplateType.Text2Image
    data_format = DataFormat.PromptImage

    def to_json(self) -> JsonRow:
        """The row as an object; on the platform it is a pair of files."""
        return {"image": self.image, "prompt": self.prompt}


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with what a model said to it. No kind of dataset on the platform has such rows.

    input: the question, or a list of messages that ends with it where turns came before. output: None without an
    answer, and then error says why. reference: the answer of the dataset, empty where it has none.
    """

    input: str | Sequence[dict[str, str]]
    output: str | None
    reference: str = ""
    error: str = ""
    template_type = None
    data_format = None

    def to_json(self) -> JsonRow:
        """The row as an object."""
        asked = self.input if isinstance(self.input, str) else [{**one} for one in self.input]
        row: dict[str, Any] = {"input": asked, "reference": self.reference, "output": self.output}
        return {**row, "error": self.error} if self.error else row


@dataclass(frozen=True, slots=True)
class Columns:
    """A row of a table, whose columns mean nothing here. No kind of dataset on the platform has such rows."""

    values: Mapping[str, Any]
    template_type = None
    data_format = None

    def to_json(self) -> JsonRow:
        """The row as an object."""
        return dict(self.values)


Row: TypeAlias = Conversation | Preference | Query | Text | Picture | Answered | Columns


def conversation(pairs: Sequence[tuple[str, str]], system: str | None = None) -> Conversation:
    """A conversation of plain questions and answers."""
    turns = [Turn(prompt, (answer,)) for prompt, answer in pairs]
    if turns and system is not None:
        turns[0] = Turn(turns[0].prompt, turns[0].responses, system)
    return Conversation(tuple(turns))
