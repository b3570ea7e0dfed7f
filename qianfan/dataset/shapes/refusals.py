"""What a format has no place for, and which one has."""

from __future__ import annotations

from qianfan.dataset.rows import Answered, Columns, Conversation, Picture, Preference, Query, Row
from qianfan.dataset.shapes.flaws import Flaw, Path


def no_place(path: Path, shape: str, what: str, others: str, found: object = None) -> Flaw:
    """That a format cannot say something, and which ones can."""
    return Flaw(path, f"the format {shape} has no place for {what}", "cannot-say", found, f"use the format {others}")


def cannot_say(shape: str, row: Row) -> Flaw:
    """That a format is for another kind of row."""
    return no_place((), shape, *_kind_of(row))


def _kind_of(row: Row) -> tuple[str, str]:
    """(the kind of row in words, the formats that can hold it)"""
    if isinstance(row, Preference):
        return _PAIR if row.is_pair else _RATED
    return _KINDS.get(type(row), ("a plain text", "text"))


_PAIR = ("a better and a worse answer", "preference, dpo, sharegpt, messages or alpaca")
_RATED = ("an answer that is judged", "preference, kto, sharegpt, messages or alpaca")
_KINDS: dict[type, tuple[str, str]] = {
    Conversation: ("a conversation", "dialogue, messages or sharegpt"),
    Query: ("a question without an answer", "query"),
    Picture: ("a picture", "text2image"),
    Answered: ("what a model answered", "answers"),
    Columns: ("columns of a table", "table"),
}
