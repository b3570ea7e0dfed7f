"""Rows changed or chosen by a function.

The functions get rows in the platform's form. They are called again whenever rows are read again, so they must be
pure; rows that are expensive to make are written down once by `materialised`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from qianfan.dataset.consts import DataFormat
from qianfan.dataset.processing._derived import DerivedSource, Kind, PartSource, each_raw_row, nearby, opened
from qianfan.dataset.processing._functions import call, checked, failure, flaw_of, json_row
from qianfan.dataset.processing._parts import FoundSource
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.rows import JsonRow, Row
from qianfan.dataset.shapes import RowFlaws, Shape, shape_named
from qianfan.dataset.sources import PEEK, LocalSource


def mapped(source: LocalSource, function: Callable[[JsonRow], JsonRow], *, format: str | None = None) -> LocalSource:
    """A source whose rows are what a function makes of the rows of another one.

    function: gets a row in the platform's form and returns a row of any known shape; the row is its own to change.
    format: the shape of what it returns. Left out, rows keep their shape where it fits them, and are looked at
        otherwise, as those of a file are.

    Reading raises RowFunctionError when the function fails or returns what is no row. A row that cannot be read does
    not reach the function; it stays, with its problem.
    """
    return MappedSource(source, checked(function), format)


def filtered(source: LocalSource, function: Callable[[JsonRow], Any]) -> LocalSource:
    """A source with those rows for which a function returns something true.

    function: gets a row in the platform's form. It is not called again once it has been asked about every row.

    Reading raises RowFunctionError when the function fails. A row that cannot be read stays, with its problem: nothing
    is dropped that nobody looked at.
    """
    return FilteredSource(source, checked(function))


_CHANGED = " (changed)"


class MappedSource(DerivedSource):
    """What a function makes of the rows of another source."""

    def __init__(self, parent: LocalSource, function: Callable[[JsonRow], JsonRow], format: str | None = None) -> None:
        super().__init__(parent)
        self.name = f"{parent.name.removesuffix(_CHANGED)}{_CHANGED}"
        self._function = function
        self._format = format
        self._is_named = format is not None

    @cached_property
    def _first(self) -> FirstRows:
        first = FirstRows(self.name, list(islice(self.raw_rows(), PEEK)))
        first.find_shape(self._format or first.same_shape(self.parents[0]))
        return first

    @cached_property
    def kind(self) -> Kind:
        return self._first.shape, self._first.template_type

    @property
    def data_format(self) -> DataFormat | None:  # type: ignore[override]  # found out when asked
        return self._first.data_format

    def raw_rows(self) -> Iterator[RawRow]:
        return map(self._made_of, opened(self.parents[0]).raw_rows())

    def nearby(self, reach: int) -> Iterator[RawRow]:
        return map(self._made_of, nearby(self.parents[0], reach))

    def raw_row(self, position: int) -> RawRow:
        return self._made_of(opened(self.parents[0]).raw_row(position))

    def __len__(self) -> int:
        return len(opened(self.parents[0]))

    @property
    def known_length(self) -> int | None:
        return self.parents[0].known_length

    def _made_of(self, raw: RawRow) -> RawRow:
        row = json_row(self.parents[0], raw)
        if isinstance(row, RowProblem):
            return raw._replace(problem=row)
        value = call(self._function, row, raw, self)
        if value is None:
            raise failure(self._function, "returned None; return the row, and use filter to drop rows", raw, self)
        if flaw := flaw_of(value):
            raise failure(self._function, f"returned what is no row: {flaw}", raw, self)
        return RawRow(raw.line, raw.column, "", value, file=raw.file)


class FilteredSource(FoundSource):
    """Those rows of another source that a function says yes to."""

    def __init__(self, parent: LocalSource, function: Callable[[JsonRow], Any]) -> None:
        super().__init__(parent)
        self._function = function

    def _search(self) -> Iterator[tuple[int, RawRow]]:
        return ((position, raw) for position, raw in enumerate(each_raw_row(self.parents[0])) if self._is_wanted(raw))

    def nearby(self, reach: int) -> Iterator[RawRow]:
        return super().nearby(reach) if self.is_near else filter(self._is_wanted, nearby(self.parents[0], reach))

    def _is_wanted(self, raw: RawRow) -> bool:
        row = json_row(self.parents[0], raw)
        return isinstance(row, RowProblem) or bool(call(self._function, row, raw, self))


class FirstRows(LocalSource):
    """Some rows that were read already, to find out their shape."""

    def __init__(self, name: str, rows: Sequence[RawRow]) -> None:
        self.name = name
        self._rows = rows

    def raw_rows(self) -> Iterator[RawRow]:
        return iter(self._rows)

    def raw_row(self, position: int) -> RawRow:
        return self._rows[position]

    def __len__(self) -> int:
        return len(self._rows)

    def same_shape(self, source: LocalSource) -> str | None:
        """The shape of a source's rows in the platform's form, if these rows fit it too."""
        shape = platform_shape(source)
        sound = [raw for raw in self._rows if raw.problem is None]
        return shape.name if shape is not None and sound and shape.fits(sound[0].value) else None


_OWN_SHAPES = [shape_named(name) for name in ("dialogue", "preference", "query", "text", "text2image", "answers")]


def platform_shape(source: LocalSource) -> Shape | None:
    """The shape that the platform's form of a source's rows has; None for rows of no particular one."""
    while isinstance(source, PartSource):
        source = source.parents[0]
    source = opened(source)
    found = (source.read(raw) for raw in islice(source.raw_rows(), PEEK))
    row = next((row for row in found if not isinstance(row, list)), None)
    return None if row is None else next((shape for shape in _OWN_SHAPES if _reads_as(shape, row)), None)


def _reads_as(shape: Shape, row: Row) -> bool:
    value = row.to_json()
    try:
        return shape.fits(value) and shape.read(value) == row
    except RowFlaws:
        return False
