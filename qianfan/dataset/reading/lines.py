"""Files with one row a line: JSON values, or plain texts."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading.content import Content
from qianfan.dataset.reading.encodings import BOM, ends_inside_character, foreign_encoding, not_utf8
from qianfan.dataset.reading.files import Blob, FileBlob, FileState
from qianfan.dataset.reading.json_text import BadJson, loads
from qianfan.dataset.reading.places import RawRow, RowProblem
from qianfan.errors import DataFileChangedError, DataFileError

MAX_LINE = 1 << 28
"""Bytes of a line. A longer one is no row but a file without line breaks, and would fill the memory."""

_LINE_END = ord("\n")
_MANY_LINES = (b"[", b"{", b"[{", b"[[")


def numbered(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """The lines of a file: number from 1, offset, and the line without a byte order mark.

    Of a line longer than MAX_LINE only the beginning is kept.
    """
    offset = 0
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE), b""), start=1):
        yield number, offset, line.removeprefix(BOM) if number == 1 else line
        offset += len(line)
        if len(line) == MAX_LINE and line[-1] != _LINE_END:
            while rest := file.readline(MAX_LINE):
                offset += len(rest)
                if rest[-1] == _LINE_END:
                    break


def parse_line(line: bytes, number: int, file_format: FormatType) -> RawRow:
    """One line of a file as a row."""
    if len(line) >= MAX_LINE:
        reason = f"the line is longer than {MAX_LINE >> 20} MB"
        fix = "put each row on a line of its own; for one JSON array, name the file .json"
        return RawRow(number, 1, "", problem=RowProblem(number, 1, reason, rule="too-long", fix=fix))
    if file_format is FormatType.Text:
        return _parse_text(line, number)
    try:
        value = loads(line)
    except BadJson as bad:
        return _bad_line(line, number, bad)
    return RawRow(number, 1, line.decode("utf-8").rstrip("\r\n"), value)


def _bad_line(line: bytes, number: int, bad: BadJson) -> RawRow:
    text = line.rstrip(b"\r\n").decode("utf-8", "replace")
    # The decoder counts lines of its own where it stops behind the line break.
    column = min(bad.column, len(text) + 1) if not bad.line else len(text) + 1
    problem = RowProblem(number, column, bad.reason, rule=bad.rule, found=bad.found, fix=bad.fix)
    stripped = line.strip()
    if number == 1 and stripped in _MANY_LINES:
        problem = replace(problem, fix="each line must hold a whole row; for one JSON array, name the file .json")
    elif not line.endswith(b"\n") and _is_cut_off(line, bad, column > len(text)):
        problem = replace(problem, rule="truncated", fix="the file ends in the middle of this row; copy it again")
    return RawRow(number, 1, text, problem=problem)


def _is_cut_off(line: bytes, bad: BadJson, is_at_end: bool) -> bool:
    if bad.rule == "encoding":
        return ends_inside_character(line)
    return bad.rule == "not-json" and (is_at_end or "Unterminated" in bad.reason)


def _parse_text(content: bytes, number: int) -> RawRow:
    """A text that begins on a line, and may have several."""
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        readable = content[: error.start].decode("utf-8")
        reason, found, fix = not_utf8(content, error.start)
        problem = RowProblem(*_after(readable, number), reason, "", "encoding", found, fix)
        return RawRow(number, 1, readable, problem=problem)
    nul = text.find("\0")
    if nul >= 0:
        place = _after(text[:nul], number)
        return RawRow(
            number, 1, text, problem=RowProblem(*place, "a NUL byte", rule="nul", fix="take the NUL bytes out")
        )
    # A text is a row as it stands, and no JSON text: flaws in it are at its beginning.
    return RawRow(number, 1, text, text)


def _after(text: str, number: int) -> tuple[int, int]:
    """Line and column behind a text that begins on a line."""
    return number + text.count("\n"), len(text) - text.rfind("\n")


def foreign_row(head: bytes) -> RawRow | None:
    """The one row that a file in another encoding is: a problem, since its line breaks cannot be found as bytes."""
    encoding = foreign_encoding(head)
    if encoding is None:
        return None
    fix = "save it as UTF-8"
    problem = RowProblem(
        1, 1, f"the file is {encoding}; save it as UTF-8", rule="file-encoding", found=encoding, fix=fix
    )
    return RawRow(1, 1, "", problem=problem)


class Lines(Content):
    """Rows that are lines; blank lines are none."""

    def __init__(self, blob: Blob, file_format: FormatType) -> None:
        self._blob = blob
        self._file_format = file_format
        self._index: LineIndex | None = None

    def rows(self) -> Iterator[RawRow]:
        with self._blob.stream() as file:
            for number, _, line in numbered(file):
                if number == 1 and (foreign := foreign_row(line[:4])) is not None:
                    yield foreign
                    return
                if line and not line.isspace():
                    yield parse_line(line, number, self._file_format)

    def row(self, position: int) -> RawRow:
        return self._lines().row(position)

    def __len__(self) -> int:
        return len(self._lines())

    @property
    def known_length(self) -> int | None:
        return None if self._index is None else len(self._index)

    def _lines(self) -> LineIndex:
        if self._index is None:
            self._index = LineIndex(self._blob.on_disk(), self._file_format)
        return self._index


class LineIndex:
    """Where the rows of a file with one row a line begin, sixteen bytes for each, so that any row is read alone.

    Raises DataFileChangedError when the file is no longer the one whose lines were counted.
    """

    def __init__(self, path: Path, file_format: FormatType) -> None:
        self._blob = FileBlob(path)
        self._file_format = file_format
        self._offsets = array("Q")
        self._numbers = array("Q")
        self._state: FileState = self._blob.state()
        with self._blob.stream() as file:
            for number, offset, line in numbered(file):
                if line and not line.isspace():
                    self._offsets.append(offset)
                    self._numbers.append(number)
                if number == 1 and foreign_encoding(line[:4]) is not None:
                    break

    def __len__(self) -> int:
        return len(self._offsets)

    def row(self, position: int) -> RawRow:
        """The row at a position from 0."""
        offset, number = self._offsets[position], self._numbers[position]
        with self._blob.stream_from(offset, self._state) as file:
            line = file.readline(MAX_LINE)
        if number == 1:
            foreign = foreign_row(line[:4])
            if foreign is not None:
                return foreign
            line = line.removeprefix(BOM)
        return parse_line(line, number, self._file_format)


class WholeTexts(Content):
    """A file that is one text, or none where it is blank."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._length: int | None = None

    def rows(self) -> Iterator[RawRow]:
        with self._blob.stream() as file:
            content = file.read(MAX_LINE + 1)
        if len(content) > MAX_LINE:
            reason = f"is longer than one text may be, {MAX_LINE >> 20} MB"
            raise DataFileError(f"data file {self._blob.name} {reason}", path=self._blob.name)
        foreign = foreign_row(content[:4])
        text = content.removeprefix(BOM)
        if foreign is not None:
            yield foreign
        elif text.strip():
            yield _parse_text(text, 1)

    def row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        for row in self.rows():
            return row
        raise DataFileChangedError(f"data file {self._blob.name} has no text any more", path=self._blob.name)

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for _ in self.rows())
        return self._length

    @property
    def known_length(self) -> int | None:
        return self._length
