"""What kinds of values a column holds, and the type of DuckDB that holds all of them as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Simple:
    """A kind of values with a name in SQL."""

    name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """Lists whose elements are of a kind."""

    element: Kind


@dataclass(slots=True)
class Fields:
    """Objects, with the kinds of what their fields hold. It grows with each of them."""

    kinds: dict[str, Kind]


Kind: TypeAlias = "Simple | Listed | Fields | None"
"""None is the kind of what was never there, or only as null."""

_TEXT, _TRUTH, _FRACTION = Simple("VARCHAR"), Simple("BOOLEAN"), Simple("DOUBLE")
_WHOLE, _LONG = Simple("BIGINT"), Simple("INT8")
"""Whole numbers, of which the long ones have more digits than a DOUBLE holds."""
_ANY = Simple("JSON")
"""What has no type in common."""

_WIDER: Mapping[frozenset[Simple], Simple] = {
    frozenset((_WHOLE, _LONG)): _LONG,
    frozenset((_WHOLE, _FRACTION)): _FRACTION,
}

_MOST_FIELDS = 500
"""Objects with more different fields than that are no records, but have data for names, such as words."""


def kind_with(kind: Kind, value: Any) -> Kind:
    """The kind of a column that held one kind of values so far, and now one more value."""
    if value is None or kind is _ANY:
        return kind
    if isinstance(value, Mapping):
        return _with_object(kind, value)  # pyright: ignore[reportUnknownArgumentType]  # it is JSON
    if isinstance(value, (list, tuple)):
        return _with_list(kind, value)  # pyright: ignore[reportUnknownArgumentType]  # it is JSON
    found = _simple(value)
    if kind is None or kind is found:
        return found
    return _WIDER.get(frozenset((kind, found)), _ANY) if isinstance(kind, Simple) else _ANY


def _simple(value: Any) -> Simple:
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, bool):
        return _TRUTH
    if isinstance(value, float):
        return _FRACTION
    size = abs(value)
    return _WHOLE if size <= 1 << 53 else _LONG if size < 1 << 63 else _ANY


def _with_object(kind: Kind, value: Mapping[str, Any]) -> Kind:
    fields = Fields({}) if kind is None else kind
    # An object without fields would be none in a table.
    if not isinstance(fields, Fields) or not value:
        return _ANY
    for name, inner in value.items():
        fields.kinds[name] = kind_with(fields.kinds.get(name), inner)
    return fields if len(fields.kinds) <= _MOST_FIELDS else _ANY


def _with_list(kind: Kind, value: Sequence[Any]) -> Kind:
    if kind is not None and not isinstance(kind, Listed):
        return _ANY
    element = None if kind is None else kind.element
    for inner in value:
        element = kind_with(element, inner)
    return Listed(element)


def sql_type(kind: Kind) -> str | None:
    """DuckDB's type for a kind; None where no type holds all of it as it is, only JSON does."""
    if kind is None:
        return _TEXT.name
    if isinstance(kind, Simple):
        return None if kind is _ANY else kind.name
    if isinstance(kind, Listed):
        inside = sql_type(kind.element)
        return None if inside is None else f"{inside}[]"
    types = {name: sql_type(inner) for name, inner in kind.kinds.items()}
    # To DuckDB names are the same in capitals.
    if None in types.values() or len({name.lower() for name in types}) < len(types):
        return None
    return f"STRUCT({', '.join(f'{quoted(name)} {inner}' for name, inner in types.items())})"


def quoted(name: str) -> str:
    """A name in SQL."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
