"""Rows put in and taken out by position, over a source that stays as it is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, islice

from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.processing import DerivedSource
from qianfan.dataset.processing.mapping import platform_shape
from qianfan.dataset.reading import RawRow
from qianfan.dataset.rows import JsonRow, Row
from qianfan.dataset.shapes import RowFlaws, Shape, candidates, why_unclear
from qianfan.dataset.sources import LocalSource
from qianfan.errors import ValidationError


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of the source that stay: from `start` up to `stop`, which is None for its end."""

    start: int
    stop: int | None


class EditedSource(DerivedSource):
    """A source with rows put in and taken out. It keeps those that were put in, and where the others are.

    pieces: what its rows are, in order: stretches of the parent, which do not overlap and come in its order, and rows
        in the platform's form.
    """

    def __init__(self, parent: LocalSource, pieces: Sequence[Stretch | list[JsonRow]] = (Stretch(0, None),)) -> None:
        super().__init__(parent)
        self._pieces = pieces

    @classmethod
    def of(cls, source: LocalSource) -> EditedSource:
        """The source to edit: itself where it is one of these already, so that many edits stay one step."""
        return source if isinstance(source, cls) else cls(source)

    def with_rows(self, rows: Sequence[JsonRow], position: int | None = None) -> EditedSource:
        """The source with rows put in before a position, or at the end."""
        before, after = (self._pieces, []) if position is None else self._cut(position)
        return EditedSource(self.parents[0], _joined([*before, list(rows), *after]))

    def without(self, positions: Sequence[int]) -> EditedSource:
        """The source without the rows at some positions."""
        edited = self
        for position in sorted(set(positions), reverse=True):
            before, _ = edited._cut(position)
            _, after = edited._cut(position + 1)
            edited = EditedSource(self.parents[0], _joined([*before, *after]))
        return edited

    def _cut(self, position: int) -> tuple[list[Stretch | list[JsonRow]], list[Stretch | list[JsonRow]]]:
        before: list[Stretch | list[JsonRow]] = []
        left = position
        for number, piece in enumerate(self._pieces):
            size = self._size(piece)
            if left < size:
                first, rest = _halves(piece, left)
                return [*before, first], [rest, *self._pieces[number + 1 :]]
            before.append(piece)
            left -= size
        return before, []

    def _size(self, piece: Stretch | list[JsonRow]) -> int:
        if isinstance(piece, list):
            return len(piece)
        return (len(self.parents[0]) if piece.stop is None else piece.stop) - piece.start

    # --- as a source ----------------------------------------------------------------------------------------------

    @cached_property
    def kind(self) -> tuple[Shape | None, DataTemplateType | None]:
        """The platform's form of the parent's rows, or what was put in where it has none."""
        parent = self.parents[0]
        shape = shape_of_rows(parent)
        if shape is not None:
            return shape, parent.template_type
        added = next((row for piece in self._pieces if isinstance(piece, list) for row in piece), None)
        found = [] if added is None else candidates(added)
        return (found[0], found[0].read(added).template_type) if len(found) == 1 else (None, None)

    def raw_rows(self) -> Iterator[RawRow]:
        kept = iter(self.parents[0].raw_rows())
        at, number = 0, 0
        for piece in self._pieces:
            if isinstance(piece, list):
                rows = iter([_added(row) for row in piece])
            else:
                rows = map(self._taken, islice(kept, piece.start - at, None if piece.stop is None else piece.stop - at))
                at = piece.stop or 0
            for raw in rows:
                number += 1
                yield raw if raw.line else raw._replace(line=number)

    def raw_row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        number = bisect_right(self._ends, position)
        piece = self._pieces[number]
        at = position - (self._ends[number - 1] if number else 0)
        if isinstance(piece, list):
            return _added(piece[at])._replace(line=position + 1)
        return self._taken(self.parents[0].raw_row(piece.start + at))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @cached_property
    def _ends(self) -> Sequence[int]:
        return [*accumulate(map(self._size, self._pieces))]

    @property
    def known_length(self) -> int | None:
        has_open_end = any(isinstance(piece, Stretch) and piece.stop is None for piece in self._pieces)
        return None if has_open_end and self.parents[0].known_length is None else len(self)

    def _taken(self, raw: RawRow) -> RawRow:
        """A row of the parent in the shape of this source."""
        parent = self.parents[0]
        if raw.problem is not None or parent.shape is self.shape:
            return raw
        row = parent.read(raw)
        if isinstance(row, list):
            return raw._replace(problem=row[0])
        return raw._replace(text="", value=row.to_json())


def shape_of_rows(source: LocalSource) -> Shape | None:
    """The shape that rows have once they are in the platform's form; None where there are none."""
    return platform_shape(source) or source.shape


def rows_for(source: LocalSource, given: JsonRow) -> list[JsonRow]:
    """What a user wants to add to a source: one row or a list of them, in any form, as rows in the platform's form.

    Raises ValidationError for what cannot be a row there.
    """
    shape = shape_of_rows(source)
    if not isinstance(given, list):
        return [_row_for(source, shape, given)]
    elements: list[JsonRow] = given
    # A list is a conversation if it can be read as one, and otherwise a list of rows.
    if shape is not None and shape.name not in _ONE_VALUE_ROWS and _read(shape, elements) is not None:
        return [elements]
    return [_row_for(source, shape, element) for element in elements]


_ONE_VALUE_ROWS = ("query", "text", "table", "answers")


def _row_for(source: LocalSource, shape: Shape | None, given: JsonRow) -> JsonRow:
    row = None if shape is None else _read(shape, given) or _read(shape, [given])
    if row is None:
        found = candidates(given)
        if len(found) != 1:
            raise _refused(source, [why_unclear(given, found)])
        try:
            row = found[0].read(given)
        except RowFlaws as error:
            raise _refused(source, [str(flaw) for flaw in error.flaws]) from None
    if shape is not None and row.template_type is not source.template_type:
        raise _refused(source, [f"it is a {_kind(row.template_type)} row among {_kind(source.template_type)} rows"])
    return row.to_json()


def _kind(template: DataTemplateType | None) -> str:
    return "plain" if template is None else template.name


def _read(shape: Shape, value: JsonRow) -> Row | None:
    if not shape.fits(value):
        return None
    try:
        return shape.read(value)
    except RowFlaws:
        return None


def _refused(source: LocalSource, problems: Sequence[str]) -> ValidationError:
    return ValidationError(f"this is no row for {source.name}", list(problems))


def _added(row: JsonRow) -> RawRow:
    return RawRow(0, 0, "", row)  # its number is known when its place is


def _halves(piece: Stretch | list[JsonRow], at: int) -> tuple[Stretch | list[JsonRow], Stretch | list[JsonRow]]:
    if isinstance(piece, list):
        return piece[:at], piece[at:]
    middle = piece.start + at
    return replace(piece, stop=middle), replace(piece, start=middle)


def _joined(pieces: Sequence[Stretch | list[JsonRow]]) -> list[Stretch | list[JsonRow]]:
    """The same rows in fewer pieces."""
    joined: list[Stretch | list[JsonRow]] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, list):
            if isinstance(last, list):
                joined[-1] = [*last, *piece]
            elif piece:
                joined.append(piece)
        elif piece.start != piece.stop:
            joined.append(piece)
    return joined
