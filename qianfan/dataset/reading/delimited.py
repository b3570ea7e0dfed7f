"""Tables as text, with a header and a delimiter: CSV and TSV.

Quotes follow RFC 4180: a cell in quotes may hold delimiters, line breaks and doubled quotes. All cells are texts.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from typing import IO

from qianfan.dataset.reading.cells import row_of_cells
from qianfan.dataset.reading.content import Content
from qianfan.dataset.reading.encodings import BOM, not_utf8
from qianfan.dataset.reading.files import Blob, FileBlob
from qianfan.dataset.reading.lines import foreign_row
from qianfan.dataset.reading.places import RawRow, RowProblem, shown

_MAX_RECORD = 1 << 26
"""Bytes of a record, of which the csv module makes four times as much in memory. A quote that is never closed would
otherwise take in the rest of the file."""
_QUOTED = re.compile(rb'"[^"]*"')


class _TooLong(Exception):
    pass


class _Lines:
    """The lines of a record for the csv module, with what is wrong with them and where the reader stands."""

    def __init__(self, file: IO[bytes], offset: int = 0, number: int = 0) -> None:
        self._file = file
        self.offset = offset
        self.number = number
        self._taken = 0
        self.problem: RowProblem | None = None

    def begin(self) -> None:
        """A new record begins at the next line."""
        self._taken = 0
        self.problem = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(_MAX_RECORD)
        if not line:
            raise StopIteration
        self.number += 1
        self.offset += len(line)
        self._taken += len(line)
        if self._taken >= _MAX_RECORD:
            raise _TooLong
        if self.number == 1:
            line = line.removeprefix(BOM)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            reason, found, fix = not_utf8(line, error.start)
            self._note(len(line[: error.start].decode("utf-8")), reason, "encoding", found, fix)
            text = line.decode("utf-8", "replace")
        if "\0" in text:
            self._note(text.index("\0"), "a NUL byte", "nul", "", "take the NUL bytes out")
            text = text.replace("\0", "\ufffd")  # which older versions of Python cannot read in a table
        return text

    def _note(self, before: int, reason: str, rule: str, found: str, fix: str) -> None:
        if self.problem is None:
            self.problem = RowProblem(self.number, before + 1, reason, "", rule, found, fix)


class _Records:
    """The records of a table from a place on: where each begins, and its cells or what is wrong with it."""

    def __init__(self, lines: _Lines, delimiter: str) -> None:
        # The module keeps one limit for the whole process, and its own is below what rows may hold.
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_RECORD))
        self._lines = lines
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self.width = 0  # of a table whose header has been read; in one of one column, blanks may be a value

    def next(self) -> tuple[int, int, list[str] | RowProblem] | None:
        """Offset, line and content of the next record that has cells with content; None at the end."""
        while True:
            self._lines.begin()
            offset, number = self._lines.offset, self._lines.number + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                return offset, number, self._broken(number, error)
            except _TooLong:
                reason = f"a quote that is not closed, or a row of more than {_MAX_RECORD >> 20} MB"
                return offset, number, RowProblem(number, 1, reason, rule="not-csv")
            if cells is None:
                return None
            if self._lines.problem is not None:
                return offset, number, self._lines.problem
            if any(cells) and not self._is_blank_line(cells):
                return offset, number, cells

    def _is_blank_line(self, cells: list[str]) -> bool:
        return len(cells) == 1 != self.width and cells[0].isspace()

    def _broken(self, number: int, error: csv.Error) -> RowProblem:
        if self._lines.problem is not None:
            return self._lines.problem
        if "unexpected end of data" in str(error):
            fix = "close the quote; a quote inside a cell is written twice"
            return RowProblem(number, 1, "a quote is opened in this row and never closed", rule="not-csv", fix=fix)
        if "new-line character" in str(error):
            fix = "save the file with line breaks of Unix or Windows"
            return RowProblem(number, 1, "a carriage return inside a row", rule="not-csv", fix=fix)
        fix = "a cell with quotes is quoted as a whole, and a quote inside it is written twice"
        return RowProblem(number, 1, f"not valid CSV: {error}", rule="not-csv", fix=fix)


class Delimited(Content):
    """The records of a table below its header."""

    def __init__(self, blob: Blob, delimiter: str | None = None) -> None:
        """delimiter: found out from the header when left out: a comma, or if it has none a semicolon or a tab."""
        self._blob = blob
        self._delimiter = delimiter
        self._index: _RecordIndex | None = None

    def rows(self) -> Iterator[RawRow]:
        with self._blob.stream() as file:
            delimiter, head = self._delimiter_of(file)
            if head is not None:
                yield head
                return
        with self._blob.stream() as file:
            records = _Records(_Lines(file), delimiter)
            names = _header_of(records)
            if isinstance(names, RawRow):
                yield names
                return
            while (record := records.next()) is not None:
                yield _row(names, record[1], record[2])

    def row(self, position: int) -> RawRow:
        return self._places().row(position)

    def __len__(self) -> int:
        return len(self._places())

    @property
    def known_length(self) -> int | None:
        return None if self._index is None else len(self._index)

    def _delimiter_of(self, file: IO[bytes]) -> tuple[str, RawRow | None]:
        line = file.readline(_MAX_RECORD)
        foreign = foreign_row(line[:4])
        line = _QUOTED.sub(b"", line)
        if self._delimiter is not None or foreign is not None or b"," in line:
            return self._delimiter or ",", foreign
        return ";" if b";" in line else "\t" if b"\t" in line else ",", None

    def _places(self) -> _RecordIndex:
        if self._index is None:
            blob = FileBlob(self._blob.on_disk())
            with blob.stream() as file:
                delimiter, head = self._delimiter_of(file)
            self._index = _RecordIndex(blob, delimiter, head)
        return self._index


def _header_of(records: _Records) -> Sequence[str] | RawRow:
    """The names of the columns, or a row that says what is wrong with them; none for an empty table."""
    first = records.next()
    if first is None:
        return []
    _, line, cells = first
    if isinstance(cells, RowProblem):
        return RawRow(cells.line, cells.column, "", problem=cells)
    records.width = len(cells)
    names = [name.strip() for name in cells]
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if not twice:
        return names
    reason = f"the header names the column {shown(twice[0])} twice"
    problem = RowProblem(line, 1, reason, rule="duplicate-key", found=shown(twice[0]), fix="give it another name")
    return RawRow(line, 1, "", problem=problem)


def _row(names: Sequence[str], line: int, cells: list[str] | RowProblem) -> RawRow:
    if isinstance(cells, RowProblem):
        return RawRow(line, 1, "", problem=cells)
    if len(cells) != len(names):
        reason = f"the row has {len(cells)} cells, the header {len(names)}"
        fix = "quote a cell that holds the delimiter, and write a delimiter for an empty one"
        problem = RowProblem(line, 1, reason, rule="ragged", found=shown(cells[-1]), fix=fix)
        return RawRow(line, 1, "", problem=problem)
    return RawRow(line, 1, "", row_of_cells(names, cells))


class _RecordIndex:
    """Where the records begin, sixteen bytes for each, so that any of them is read alone."""

    def __init__(self, blob: FileBlob, delimiter: str, head: RawRow | None) -> None:
        self._blob = blob
        self._delimiter = delimiter
        self._state = blob.state()
        self._offsets = array("Q")
        self._numbers = array("Q")
        self._names: Sequence[str] = []
        self._only = head
        if head is not None:
            return
        with blob.stream() as file:
            records = _Records(_Lines(file), delimiter)
            names = _header_of(records)
            if isinstance(names, RawRow):
                self._only = names
                return
            self._names = names
            while (record := records.next()) is not None:
                self._offsets.append(record[0])
                self._numbers.append(record[1])

    def __len__(self) -> int:
        return len(self._offsets) if self._only is None else 1

    def row(self, position: int) -> RawRow:
        if self._only is not None:
            return [self._only][position]
        offset, number = self._offsets[position], self._numbers[position]
        with self._blob.stream_from(offset, self._state) as file:
            records = _Records(_Lines(file, offset, number - 1), self._delimiter)
            records.width = len(self._names)
            record = records.next()
        assert record is not None
        return _row(self._names, number, record[2])
