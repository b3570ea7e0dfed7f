"""Rows as engines read them: one JSON object a line, of one kind for each training mode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

Mode: TypeAlias = Literal["SFT", "PostPretrain", "DPO", "KTO"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)


class Message(BaseModel):
    """One turn of a dialogue."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class Dialogue(_Row):
    """SFT: every answer of the assistant is to be learnt, given what was said before it."""

    messages: tuple[Message, ...]


class Text(_Row):
    """PostPretrain: all of it is to be learnt."""

    text: str


class Preference(_Row):
    """DPO: of two answers to the same messages, the better and the worse one."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str


class Rated(_Row):
    """KTO: one answer, and whether it is a good one."""

    messages: tuple[Message, ...]
    completion: str
    desirable: bool


Row: TypeAlias = Dialogue | Text | Preference | Rated
R = TypeVar("R", bound=_Row)


def read_rows(path: Path, kind: type[R]) -> list[R]:
    """The rows of a file, all of one kind. Raises pydantic.ValidationError for a line of another one."""
    with path.open("rb") as lines:
        return [kind.model_validate_json(line) for line in lines if line.strip()]


def answers_of(messages: tuple[Message, ...]) -> Iterator[tuple[tuple[Message, ...], str]]:
    """(what was said before, answer) for each answer of a dialogue."""
    for place, message in enumerate(messages):
        if message.role == "assistant":
            yield messages[:place], message.content
