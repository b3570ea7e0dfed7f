"""What rows are told apart by: a column, several, what a function makes of them, or all that they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from qianfan.dataset.processing._derived import each_raw_row, opened
from qianfan.dataset.processing._functions import call, checked, failure, flaw_of, json_row
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.sources import LocalSource
from qianfan.errors import InvalidArgumentError

By: TypeAlias = "str | Sequence[str] | Callable[[JsonRow], Any]"
"""The name of a column, or several, or a function that gets a row in the platform's form and returns a JSON value.

A column is a part of the row, or of its turns, in the platform's form, or else one that stands beside it in the file.
"""


class Keys:
    """The keys of a source's rows.

    Reading one raises InvalidArgumentError for columns that the first row does not have, RowFunctionError for a
    function that fails.
    """

    def __init__(self, source: LocalSource, by: By) -> None:
        self._source = opened(source)
        self._function = checked(by) if callable(by) else None
        self._names = [] if callable(by) else [by] if isinstance(by, str) else [*by]
        self._beside: frozenset[str] | None = None

    def of(self, raw: RawRow) -> Any:
        """The key of a row, or what is wrong with the row."""
        row = json_row(self._source, raw)
        if isinstance(row, RowProblem):
            return row
        if self._function is None:
            return self._columns(raw, row)
        key = call(self._function, row, raw, self._source)
        if flaw := flaw_of(key):
            what = f"returned what rows cannot be told apart by: {flaw}"
            raise failure(self._function, what, raw, self._source)
        return key

    def __iter__(self) -> Iterator[Any]:
        return map(self.of, each_raw_row(self._source))

    def at(self, position: int) -> Any:
        """The key of the row at a position, or what is wrong with the row."""
        return self.of(self._source.raw_row(position))

    def _columns(self, raw: RawRow, row: JsonRow) -> list[Any]:
        if self._beside is None:
            self._beside = self._found_beside(raw, row)
        return [_column(raw.value if name in self._beside else row, name) for name in self._names]

    def _found_beside(self, raw: RawRow, row: JsonRow) -> frozenset[str]:
        """Which of the columns are no part of the platform's form."""
        inside, outside = _columns_of(row), _columns_of(raw.value)
        for name in self._names:
            if name not in inside and name not in outside:
                known = ", ".join(dict.fromkeys([*inside, *outside]))
                what = f"columns: {known}" if known else "its rows are texts, without columns"
                raise InvalidArgumentError(f"{self._source.name} has no column {name!r}; {what}")
        return frozenset(self._names).difference(inside)


def key_digests(source: LocalSource, by: By, *, size: int = 16, seed: int = 0) -> Iterator[bytes]:
    """Bytes for each row, the same for rows that agree. A row that cannot be read agrees with no other."""
    for position, key in enumerate(Keys(source, by)):
        content = [seed, "unreadable", position] if isinstance(key, RowProblem) else [seed, key]
        text = json.dumps(content, ensure_ascii=False, sort_keys=True)
        yield hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def _columns_of(row: JsonRow) -> list[str]:
    """The names of the parts of a row; of all turns, where it has turns."""
    parts: list[Any] = row if isinstance(row, list) else [row]
    return list({name: None for part in parts if isinstance(part, dict) for name in part})


def _column(row: JsonRow, name: str) -> Any:
    """What a row holds under a name: a list with one value for each turn, where it has turns."""
    if isinstance(row, list):
        turns: list[Any] = row
        return [_column(turn, name) for turn in turns]
    return row.get(name) if isinstance(row, dict) else None
