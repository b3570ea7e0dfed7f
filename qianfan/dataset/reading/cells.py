"""The cells of a table as the values of a row.

A table holds texts, so what was a list or an object in a row stands there as JSON text. Such a cell becomes a value
again only where its column and its content leave no doubt:

| column | content that is taken as JSON |
| --- | --- |
| `messages`, `conversations` | a list of messages: objects with `role` or `from` |
| `prompt`, `completion`, `chosen`, `rejected` | the same, or one message |
| `history` | a list of pairs |
| `response` | a list of lists with one text each, the platform's own way to write answers |
| `tools`, `functions` | a list of objects |
| `_pack` | any list: a row of the platform that is a list of turns; it must be the only column |

Everything else stays the text that it is, such as an answer that happens to be JSON. Empty cells are missing values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isinf, isnan
from typing import Any
from uuid import UUID

from qianfan.dataset.reading.json_text import BadJson, loads

PACKED_COLUMN = "_pack"
"""The one column of a table whose rows are not objects but lists."""


def row_of_cells(names: Sequence[str], cells: Iterable[Any]) -> Any:
    """A row of a table: an object without the cells that are empty, or the list that is packed in its only cell.

    Columns without a name, such as the numbers that pandas writes in front of rows, are left out.
    """
    row = {
        name: value_of_cell(name, cell) if isinstance(cell, str) else cell
        for name, cell in zip(names, cells, strict=False)
        if name and cell is not None and cell != ""
    }
    return row[PACKED_COLUMN] if [*row] == [PACKED_COLUMN] and isinstance(row[PACKED_COLUMN], list) else row


def value_of_cell(name: str, cell: str) -> Any:
    """The value of a text in a column: the list or object that it holds as JSON, where the table above says so."""
    judge = _JUDGES.get(name)
    if judge is None or not cell.lstrip().startswith(("[", "{")):
        return cell
    try:
        value = loads(cell.encode("utf-8"))
    except (BadJson, UnicodeEncodeError):
        return cell
    return value if judge(value) else cell


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and ("role" in value or "from" in value)


def _is_list_of(judge: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def judges(value: Any) -> bool:
        return isinstance(value, list) and all(judge(item) for item in value)

    return judges


_are_messages = _is_list_of(_is_message)


def _is_said(value: Any) -> bool:
    return _is_message(value) or (bool(value) and _are_messages(value))


def _is_answer(value: Any) -> bool:
    return _is_of_length(value, 1) and isinstance(value[0], str)


def _is_pair(value: Any) -> bool:
    return _is_of_length(value, 2)


def _is_of_length(value: Any, length: int) -> bool:
    items: list[Any] = value if isinstance(value, list) else []
    return len(items) == length


_are_objects = _is_list_of(lambda value: isinstance(value, Mapping))
_JUDGES: Mapping[str, Callable[[Any], bool]] = {
    "messages": _are_messages,
    "conversations": _are_messages,
    "prompt": _is_said,
    "completion": _is_said,
    "chosen": _is_said,
    "rejected": _is_said,
    "history": _is_list_of(_is_pair),
    "response": _is_list_of(_is_answer),
    "tools": _are_objects,
    "functions": _are_objects,
    PACKED_COLUMN: lambda value: isinstance(value, list),
}


class NoJson(Exception):
    """A value that JSON has no form for. path: where; kind: what it is."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.path: tuple[str | int, ...] = ()
        super().__init__(kind)

    def inside(self, step: str | int) -> NoJson:
        """The same, seen from one level further out."""
        self.path = (step, *self.path)
        return self


def plain(value: Any) -> Any:
    """A value of a typed table as JSON has it: dates as ISO texts, missing values left out of objects.

    Raises NoJson for bytes that are no text, and whatever else has no such form.
    """
    kind: Any = type(value)
    if kind is str or kind is bool or kind is int or value is None:
        return value
    if isinstance(value, float):
        if isinf(value):
            raise NoJson("an infinite number")
        return None if isnan(value) else float(value)
    if isinstance(value, Mapping):
        pairs: Mapping[Any, Any] = value
        return {str(name): made for name, inner in pairs.items() if (made := _inside(inner, str(name))) is not None}
    if isinstance(value, (list, tuple)):
        items: Sequence[Any] = value
        return [_inside(inner, position) for position, inner in enumerate(items)]
    if isinstance(value, Decimal):
        if not value.is_finite():
            return plain(float("nan" if value.is_nan() else value))
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (datetime, date, time)):
        # Compared with itself a missing date of pandas is not equal, as NaN is not.
        return value.isoformat() if value == value else None
    if isinstance(value, (UUID, timedelta)):
        return str(value)
    if isinstance(value, (str, int)):
        return value
    # numpy's arrays and scalars, and pandas' own marks of missing values, say themselves what they are in Python.
    if callable(getattr(value, "tolist", None)):
        return plain(value.tolist())
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bytes):
        return _text_of(value)
    raise NoJson(f"a {kind.__name__}")


def _text_of(value: bytes) -> str:
    """Bytes as a text: some writers of Parquet files do not say which of their bytes are texts."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise NoJson("binary data") from None


def _inside(value: Any, step: str | int) -> Any:
    try:
        return plain(value)
    except NoJson as error:
        raise error.inside(step) from None
