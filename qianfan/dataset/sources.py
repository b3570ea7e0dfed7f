"""Where rows come from on this machine: a file, or Python objects.

A source knows the shape of its rows and the kind of dataset they make. It reads them when asked and keeps none, except
those that came from memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from qianfan.dataset.consts import DataTemplateType, FormatType
from qianfan.dataset.reading import BOM, LineIndex, RawRow, RowProblem, file_format_of, read_rows
from qianfan.dataset.report import Report
from qianfan.dataset.rows import Row
from qianfan.dataset.shapes import RowFlaws, Shape, candidates, shape_named, why_unclear
from qianfan.errors import InvalidArgumentError, ValidationError

PEEK = 100
"""Rows that are looked at to find out their shape; the first ones may be broken."""


class LocalSource(ABC):
    """Rows on this machine, in one shape.

    name: what messages call the source. shape: None while it holds no rows.
    template_type: the kind of dataset the rows make; None as long as no row could be read.
    """

    name: str
    shape: Shape | None = None
    template_type: DataTemplateType | None = None

    @abstractmethod
    def raw_rows(self) -> Iterator[RawRow]:
        """All rows as they stand there, in order."""

    @abstractmethod
    def raw_row(self, position: int) -> RawRow:
        """The row at a position from 0. Raises IndexError."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def known_length(self) -> int | None:
        """How many rows there are, if that is known without reading."""
        return None

    def rows(self) -> Iterator[Row]:
        """All rows. Raises ValidationError at the first that cannot be read."""
        return (self._sure(raw) for raw in self.raw_rows())

    def row(self, position: int) -> Row:
        """The row at a position from 0. Raises IndexError, or ValidationError if it cannot be read."""
        return self._sure(self.raw_row(position))

    def validate(self) -> Report:
        """Read everything and report all that is wrong."""
        return Report.of(self.name, (self._problems(raw) for raw in self.raw_rows()))

    def find_shape(self, format: str | None) -> None:
        """Settle the shape and the kind of dataset from the first rows, or take the shape a user named.

        Raises ValidationError when the rows have no known shape or could have several.
        """
        first = list(islice(self.raw_rows(), PEEK))
        if format is not None:
            self.shape = shape_named(format)
        elif first:
            self.shape = _detect(first, self.name)
        self.template_type = next(self._templates(first), None)

    def _templates(self, raws: Iterable[RawRow]) -> Iterator[DataTemplateType]:
        for raw in raws:
            row = self._read(raw)
            if not isinstance(row, list) and row.template_type is not None:
                yield row.template_type

    def _read(self, raw: RawRow) -> Row | list[RowProblem]:
        """A row, or everything that is wrong with it."""
        if raw.problem is not None or self.shape is None:
            return [raw.problem] if raw.problem is not None else []
        try:
            row = self.shape.read(raw.value)
        except RowFlaws as error:
            return [raw.locate(flaw) for flaw in error.flaws]
        kind, wanted = row.template_type, self.template_type
        if kind is not None and wanted is not None and kind is not wanted:
            reason = f"is a {kind.name} row among {wanted.name} rows"
            return [RowProblem(raw.line, raw.column, reason)]
        return row

    def _problems(self, raw: RawRow) -> list[RowProblem]:
        found = self._read(raw)
        return found if isinstance(found, list) else []

    def _sure(self, raw: RawRow) -> Row:
        row = self._read(raw)
        if isinstance(row, list):
            raise ValidationError(f"{self.name}: a row cannot be read", [str(problem) for problem in row])
        return row


def _detect(raws: Sequence[RawRow], name: str) -> Shape:
    """The one shape that a row has; a row that could have several leaves the question to the next."""
    unclear: list[RowProblem] = []
    for raw in raws:
        if raw.problem is not None:
            unclear.append(raw.problem)
            continue
        found = candidates(raw.value)
        if len(found) == 1:
            return found[0]
        unclear.append(RowProblem(raw.line, raw.column, why_unclear(raw.value, found)))
    raise ValidationError(f"{name}: cannot tell what its rows are", [str(problem) for problem in unclear[:3]])


class FileDataSource(LocalSource):
    """A local file. Making one reads nothing; `open` looks at its first rows.

    file_format: how the file holds its rows, by the end of its name when left out.
    format: the shape of its rows, such as `alpaca`; found out when left out.
    """

    def __init__(
        self, path: str | Path, file_format: FormatType | str | None = None, *, format: str | None = None
    ) -> None:
        self.path = Path(path)
        self.name = str(self.path)
        self.file_format = FormatType(file_format) if file_format is not None else file_format_of(self.path)
        self._format = "text" if self.file_format is FormatType.Text and format is None else format
        self._index: LineIndex | None = None
        self._elements: list[RawRow] | None = None

    def open(self) -> None:
        """Make sure that the file can be read, and find out what its rows are.

        Raises InvalidArgumentError for a file that is missing, unreadable or empty, ValidationError when its rows
        have no known shape or could have several.
        """
        try:
            self.find_shape(self._format)
            is_empty = next(self.raw_rows(), None) is None
        except FileNotFoundError:
            raise InvalidArgumentError(f"data file {self.name} does not exist") from None
        except OSError as error:
            raise InvalidArgumentError(f"data file {self.name} cannot be read: {error.strerror or error}") from error
        if is_empty:
            raise InvalidArgumentError(f"data file {self.name} has no rows")

    def can_go_up_as_it_is(self) -> bool:
        """Whether the file is what the platform imports, down to its first bytes."""
        own = ("dialogue", "preference", "query")
        if self.file_format is not FormatType.Jsonl or self.shape is None or self.shape.name not in own:
            return False
        with self.path.open("rb") as file:
            return file.read(len(BOM)) != BOM

    def raw_rows(self) -> Iterator[RawRow]:
        return read_rows(self.path, self.file_format)

    def raw_row(self, position: int) -> RawRow:
        if self.file_format is FormatType.Json:
            return self._array()[position]
        return self._lines().row(position)

    def __len__(self) -> int:
        return len(self._array() if self.file_format is FormatType.Json else self._lines())

    @property
    def known_length(self) -> int | None:
        known = self._elements if self.file_format is FormatType.Json else self._index
        return None if known is None else len(known)

    # A JSON array has no index: it is read as a whole in any case, so it is kept.
    def _array(self) -> list[RawRow]:
        if self._elements is None:
            self._elements = list(self.raw_rows())
        return self._elements

    def _lines(self) -> LineIndex:
        if self._index is None:
            self._index = LineIndex(self.path, self.file_format)
        return self._index


class MemoryDataSource(LocalSource):
    """Rows that are Python objects."""

    def __init__(self, values: Iterable[Any], *, format: str | None = None, name: str = "rows in memory") -> None:
        self.name = name
        self._values = list(values)
        self.find_shape(format)

    def raw_rows(self) -> Iterator[RawRow]:
        return (RawRow(number, 0, "", value) for number, value in enumerate(self._values, start=1))

    def raw_row(self, position: int) -> RawRow:
        return RawRow(position + 1, 0, "", self._values[position])

    def __len__(self) -> int:
        return len(self._values)

    @property
    def known_length(self) -> int | None:
        return len(self._values)
