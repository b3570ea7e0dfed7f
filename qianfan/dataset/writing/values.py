"""Values on their way into a file, and what no file can hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from qianfan._sync import stop_if_cancelled


class Unwritable(Exception):
    """What a row is or has that the format has no place for, in words that follow "row 5"."""


_ROWS_BETWEEN_LOOKS = 1_000


class Numbered:
    """Values that are counted as they are taken, as long as whoever wants them written does."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = values
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for value in self._values:
            if self.count % _ROWS_BETWEEN_LOOKS == 0:
                stop_if_cancelled()
            self.count += 1
            yield value


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def json_text(value: Any) -> str:
    """A value as JSON, spelled as on the platform's lines. Raises Unwritable for what JSON has no form for."""
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unwritable(f"cannot be written as JSON: {error}") from error


def as_text(value: Any) -> str:
    """A value that is a text. Raises Unwritable for anything else."""
    if not isinstance(value, str):
        raise Unwritable("is no text, and only plain texts can be saved as .txt; use .jsonl")
    return value


def encoded(text: str) -> bytes:
    """A text as UTF-8. Raises Unwritable for half of a character, which Python's texts can hold."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unwritable("holds half of a surrogate pair, which no UTF-8 file can") from error
