"""Calling the functions that users give for rows, and looking at what they make."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.shapes import Path, path_text
from qianfan.dataset.sources import LocalSource
from qianfan.errors import InvalidArgumentError, RowFunctionError

T = TypeVar("T")


def checked(function: Callable[[JsonRow], T]) -> Callable[[JsonRow], T]:
    """The same function. Raises InvalidArgumentError for what cannot be called with a row."""
    if not callable(function):
        raise InvalidArgumentError(f"a function that takes a row is needed, not {function!r}")
    if inspect.iscoroutinefunction(function):
        raise InvalidArgumentError(f"{_name(function)} is async; rows are processed by a plain function")
    return function


def json_row(source: LocalSource, raw: RawRow) -> JsonRow | RowProblem:
    """A row in the platform's form, free to be changed, or the first thing that is wrong with it."""
    shape = source.shape
    value = None
    # What the quick way lets through proves nothing where rows of another kind are wanted.
    if shape is not None and raw.problem is None and shape.quick_format is source.data_format:
        value = shape.quick(raw.value)
    if value is None:
        row = source.read(raw)
        if isinstance(row, list):
            return row[0]
        value = row.to_json()
    # What came from memory is the caller's own.
    return value if raw.text else _copied(value)


def call(function: Callable[[JsonRow], T], row: JsonRow, raw: RawRow, source: LocalSource) -> T:
    """What a function makes of a row. Raises RowFunctionError, with the row's place, if it fails."""
    try:
        return function(row)
    except Exception as error:
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise failure(function, f"failed: {why}", raw, source) from error


def failure(function: Callable[..., Any], what: str, raw: RawRow, source: LocalSource) -> RowFunctionError:
    """The error that says what went wrong with a function, and at which row."""
    message = f"{place_of(raw, source)}: {_name(function)} {what}"
    return RowFunctionError(message, source=raw.file or source.name, line=raw.line)


def place_of(raw: RawRow, source: LocalSource) -> str:
    """Where a row comes from, for messages."""
    place = f"line {raw.line}" if raw.column else f"row {raw.line}"
    return ", ".join(part for part in (source.name, raw.file, place) if part)


def flaw_of(value: Any) -> str:
    """Why a value cannot be written as JSON; empty when it can."""
    try:
        return _flaw(value, ())
    except RecursionError:
        return "it is nested too deeply, or holds itself"


def _flaw(value: Any, path: Path) -> str:
    if value is None or isinstance(value, (str, int)):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{_at(path)}{value} is no JSON number"
    if isinstance(value, list):
        items: list[Any] = value
        return next((flaw for at, item in enumerate(items) if (flaw := _flaw(item, (*path, at)))), "")
    if not isinstance(value, dict):
        return f"{_at(path)}{_a(value)} is no JSON value; {_instead(value)}"
    members: dict[Any, Any] = value
    for key, member in members.items():
        if not isinstance(key, str):
            return f"{_at(path)}the key {key!r} is no text"
        if flaw := _flaw(member, (*path, key)):
            return flaw
    return ""


def _at(path: Path) -> str:
    return f"{path_text(path)}: " if path else ""


def _a(value: Any) -> str:
    return f"a value of type {type(value).__name__}"


def _instead(value: Any) -> str:
    if isinstance(value, (tuple, set, frozenset)):
        return "make it a list"
    return "rows hold texts, numbers, true, false, null, lists and objects"


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        items: list[Any] = value
        return [_copied(item) for item in items]
    if isinstance(value, dict):
        members: dict[Any, Any] = value
        return {key: _copied(member) for key, member in members.items()}
    return value


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "the function" if name == "<lambda>" else f"{name}()"
