"""Columns: what rows hold under one name, and numbers about them.

A conversation has the parts of its turns as columns, so a column of it is as long as there are turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

from qianfan._strict import suggestion
from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.processing import DerivedSource
from qianfan.dataset.reading import RawRow
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.shapes import RowFlaws, Shape, candidates, shape_named
from qianfan.dataset.sources import LocalSource
from qianfan.errors import InvalidArgumentError

Interpolation: TypeAlias = Literal["linear", "lower", "higher", "nearest", "midpoint"]
"""What is between two values that a quantile falls between."""


def parts_of(row: JsonRow) -> list[Mapping[str, Any]]:
    """The objects with columns that a row consists of: its turns, or itself; none where it is a text."""
    members: list[Any] = row if isinstance(row, list) else [row]
    return [member for member in members if isinstance(member, Mapping)]


def names_in(rows: Iterable[JsonRow]) -> list[str]:
    """The names of all columns, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for part in parts_of(row) for name in part))


def columns_of(rows: Iterable[JsonRow]) -> dict[str, list[Any]]:
    """All columns in full, with None where a row has no such part."""
    columns: dict[str, list[Any]] = {}
    count = 0
    for row in rows:
        for part in parts_of(row):
            for name in part:
                if name not in columns:
                    columns[name] = [None] * count
            count += 1
            for name, values in columns.items():
                values.append(part.get(name))
    return columns


def some_columns_of(rows: Iterable[JsonRow], names: Sequence[str], of: str) -> dict[str, list[Any]]:
    """Some columns in full; nothing else is kept. Raises KeyError for one that no row has, unless there are no rows."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    seen: dict[str, None] = {}
    count = 0
    for row in rows:
        count += 1
        for part in parts_of(row):
            seen |= dict.fromkeys(part)
            for name, values in columns.items():
                values.append(part.get(name))
    for name in names if count else ():
        known([*seen], name, of)
    return columns


def known(names: Sequence[str], wanted: str | int, of: str) -> str:
    """The name of a column that is meant by its name or number. Raises KeyError for one that is not there."""
    if isinstance(wanted, int) and -len(names) <= wanted < len(names):
        return names[wanted]
    if wanted in names:
        return str(wanted)
    raise KeyError(f"no column {wanted!r} in {of}; columns: {', '.join(names) or 'none'}")


def renaming(names: Sequence[str], new_names: Sequence[str] | Mapping[str, str], of: str) -> dict[str, str]:
    """Which column gets which name: a list names all of them in order, a mapping those that change.

    Raises InvalidArgumentError for a list of another length and for two columns of one name, KeyError as `known`.
    """
    if isinstance(new_names, Mapping):
        changes: Mapping[str, str] = {known(names, old, of): new for old, new in new_names.items()}
    elif len(new_names) == len(names):
        changes = dict(zip(names, new_names, strict=True))
    else:
        raise InvalidArgumentError(f"{of} has the columns {', '.join(names)}: {len(names)} names are needed")
    renamed = {name: changes.get(name, name) for name in names}
    if len(set(renamed.values())) < len(renamed):
        raise InvalidArgumentError(f"two columns of {of} would have the same name: {', '.join(renamed.values())}")
    return renamed


def each_part(change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[JsonRow], JsonRow]:
    """A function of rows that changes their columns."""

    def changed(row: JsonRow) -> JsonRow:
        if isinstance(row, list):
            parts: list[Any] = row
            return [change(part) if isinstance(part, Mapping) else part for part in parts]
        return change(row) if isinstance(row, Mapping) else row

    return changed


def new_columns(given: Mapping[str, Any], rows: int) -> dict[str, Sequence[Any]]:
    """Columns that a user adds: `{"score": [1, 2]}`, or `{"name": "score", "data": [1, 2]}` as older code has it.

    Raises InvalidArgumentError unless there is one value for each row.
    """
    if set(given) == {"name", "data"} and isinstance(given["name"], str):
        given = {given["name"]: given["data"]}
    for name, values in given.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise InvalidArgumentError(f"column {name!r} must be a list of values, not {type(values).__name__}")
        if len(values) != rows:
            raise InvalidArgumentError(f"column {name!r} needs {rows} values, one for each row; found {len(values)}")
    return dict(given)


def rows_of(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Rows of columns. Raises InvalidArgumentError unless all are equally long."""
    if len({len(values) for values in columns.values()}) > 1:
        found = ", ".join(f"{name}: {len(values)}" for name, values in columns.items())
        raise InvalidArgumentError(f"columns must be equally long, found {found}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


class WidenedSource(DerivedSource):
    """A source whose rows have further columns, with the values that were given for each row.

    place: before which column they come; the last ones when left out.
    """

    def __init__(self, parent: LocalSource, columns: Mapping[str, Sequence[Any]], place: int | None = None) -> None:
        super().__init__(parent)
        self._columns = columns
        self._place = place

    @cached_property
    def kind(self) -> tuple[Shape | None, DataTemplateType | None]:
        """The one shape that makes use of all new columns, or else the shape of any row with columns."""
        first: Any = next((raw.value for raw in self.raw_rows() if raw.problem is None), None)
        shapes = [shape for shape in candidates(first) if all(_uses(shape, first, name) for name in self._columns)]
        if len(shapes) != 1 or self.parents[0].shape is shape_named("table"):
            return shape_named("table"), None
        return shapes[0], shapes[0].read(first).template_type

    def raw_rows(self) -> Iterator[RawRow]:
        return (self._widened(raw, position) for position, raw in enumerate(self.parents[0].raw_rows()))

    def raw_row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        return self._widened(self.parents[0].raw_row(position), position)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()))) if self._columns else len(self.parents[0])

    @property
    def known_length(self) -> int | None:
        return len(self)

    def _widened(self, raw: RawRow, position: int) -> RawRow:
        row = self.parents[0].read(raw)
        if isinstance(row, list):
            return raw._replace(problem=row[0])
        value: dict[str, Any] = {**row.to_json()}
        names = [name for name in value if name not in self._columns]
        place = len(names) if self._place is None else self._place
        added = {name: values[position] for name, values in self._columns.items()}
        before, after = names[:place], names[place:]
        widened = {name: value[name] for name in before} | added | {name: value[name] for name in after}
        return raw._replace(text="", value=widened)


def _uses(shape: Shape, value: Mapping[str, Any], name: str) -> bool:
    """Whether a shape reads something else, or nothing, from a row without one of its columns."""
    without = {other: member for other, member in value.items() if other != name}
    try:
        whole = shape.read(value)
    except RowFlaws:
        return False
    try:
        return not shape.fits(without) or shape.read(without) != whole
    except RowFlaws:
        return True


# --- numbers ---------------------------------------------------------------------------------------------------------


def mean(values: Iterable[Any], column: str, *, skip_nulls: bool = True) -> float | None:
    """The average of a column; None where there are no values, or nulls that are not skipped."""
    numbers = _numbers(values, column, skip_nulls=skip_nulls)
    return math.fsum(numbers) / len(numbers) if numbers else None


def quantiles(
    values: Iterable[Any],
    column: str,
    wanted: Sequence[float],
    interpolation: Interpolation = "linear",
    *,
    skip_nulls: bool = True,
) -> list[float | None]:
    """The values below which given shares of a column are, each share from 0 to 1."""
    if interpolation not in _BETWEEN:
        raise InvalidArgumentError(f"no interpolation {interpolation!r}; {suggestion(interpolation, [*_BETWEEN])}")
    if any(not 0 <= share <= 1 for share in wanted):
        raise InvalidArgumentError(f"a quantile is from 0 to 1, found {list(wanted)}")
    numbers = sorted(_numbers(values, column, skip_nulls=skip_nulls))
    return [_quantile(numbers, share, _BETWEEN[interpolation]) for share in wanted]


def extreme(
    pick: Callable[[Sequence[Any]], Any], values: Iterable[Any], column: str, *, skip_nulls: bool = True
) -> Any:
    """The smallest or the largest value of a column, by `min` or `max`; texts are compared as such."""
    found = list(values)
    present = [value for value in found if value is not None]
    if not present or (len(present) < len(found) and not skip_nulls):
        return None
    try:
        return pick(present)
    except TypeError:
        raise InvalidArgumentError(f"the values of column {column!r} cannot be compared with each other") from None


_BETWEEN: Mapping[str, Callable[[float, float, float], float]] = {
    "linear": lambda low, high, share: low + (high - low) * share,
    "lower": lambda low, high, share: low,
    "higher": lambda low, high, share: high if share else low,
    "nearest": lambda low, high, share: low if share <= 0.5 else high,
    "midpoint": lambda low, high, share: (low + high) / 2 if share else low,
}


def _quantile(numbers: Sequence[float], share: float, between: Callable[[float, float, float], float]) -> float | None:
    if not numbers:
        return None
    place = share * (len(numbers) - 1)
    below = math.floor(place)
    return between(numbers[below], numbers[min(below + 1, len(numbers) - 1)], place - below)


def _numbers(values: Iterable[Any], column: str, *, skip_nulls: bool) -> list[float]:
    found = list(values)
    odd = next((value for value in found if value is not None and not isinstance(value, (int, float))), None)
    if odd is not None:
        raise InvalidArgumentError(f"column {column!r} holds {type(odd).__name__} values, and numbers are needed")
    present = [value for value in found if value is not None]
    return present if skip_nulls or len(present) == len(found) else []
