"""A JSON array as rows, element by element: only the element that is read is in memory."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

from qianfan.dataset.reading.content import Content
from qianfan.dataset.reading.encodings import BOM, ends_inside_character
from qianfan.dataset.reading.files import Blob, FileBlob
from qianfan.dataset.reading.json_text import UNSURE, BadJson, loads, loads_if_sure, string_end
from qianfan.dataset.reading.lines import foreign_row
from qianfan.dataset.reading.places import RawRow, RowProblem

_PIECE = 1 << 20
_ROW_PIECE = 1 << 13
"""Bytes that are read at a time: of all rows, and of one alone."""

_MAX_ELEMENT = 1 << 28
_CUT_OFF = "the file ends in the middle of the array; write or copy it again"
_MOST_MISSES = 50
_TOKEN = re.compile(rb'"[^"\\]*"|["{}\[\]]')
_SCALAR = re.compile(rb'[^\s,\[\]{}"]+')
_BLANKS = re.compile(rb"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of an array as bytes, and where it begins; with a problem, what is wrong with the array there.

    is_open: whether the file ends inside it. value: what it holds, where that had to be found out already.
    """

    offset: int
    line: int
    column: int
    content: bytes = b""
    is_open: bool = False
    value: Any = UNSURE
    problem: RowProblem | None = None

    def row(self) -> RawRow:
        if self.problem is not None:
            return RawRow(self.line, self.column, "", problem=self.problem)
        try:
            value = loads(self.content) if self.value is UNSURE else self.value
        except BadJson as bad:
            column = bad.column if bad.line else self.column + bad.column - 1
            problem = RowProblem(self.line + bad.line, column, bad.reason, "", bad.rule, bad.found, bad.fix)
            if self.is_open and (bad.rule == "not-json" or ends_inside_character(self.content)):
                problem = replace(problem, rule="truncated", fix=_CUT_OFF)
            return RawRow(self.line, self.column, "", problem=problem)
        return RawRow(self.line, self.column, self.content.decode("utf-8"), value)


class _Reader:
    """Goes through the text of an array, and keeps no more of it than an element and a piece of the file."""

    def __init__(
        self, file: IO[bytes], offset: int = 0, line: int = 1, column: int = 1, *, piece: int = _PIECE
    ) -> None:
        self._file = file
        self._piece = piece
        self._data = b""
        self._start = 0  # in the data: where the reader stands
        self._data_offset = offset
        self._line = line
        self._column = column
        self._between = b""
        self._misses = 0

    def elements(self) -> Iterator[_Element]:
        """The elements of the array that begins here. After a break in the structure nothing more is told apart."""
        self._grow()
        foreign = foreign_row(self._data[:4])
        if foreign is not None:
            yield _Element(0, 1, 1, problem=foreign.problem)
            return
        self._start = len(BOM) if self._data.startswith(BOM) else 0
        if self._peek() != b"[":
            fix = "if each line is a row of its own, name the file .jsonl"
            yield self._wrong(f"expected a JSON array; {fix}", fix=fix)
            return
        self._pass_over(1)
        if self._peek() == b"]":
            return
        while True:
            likely = self._likely_element()
            if likely is not None:
                yield likely
                continue
            element = self.element()
            yield element
            if element.problem is not None or element.is_open:
                return
            end = self._data_offset + self._start
            found = self._peek()
            if found not in (b",", b"]"):
                yield self._wrong("not valid JSON: ',' or ']' expected")
                return
            self._pass_over(1)
            if found == b"]":
                break
            self._peek()
            self._remember_what_is_between(end)
        if self._peek():
            yield self._wrong("not valid JSON: something follows the array")

    def _remember_what_is_between(self, end: int) -> None:
        """Remember how the element that ended at an offset of the file and the one that begins here are parted."""
        last = end - self._data_offset - 1
        if last >= 0 and self._data[last : last + 1] in (b"]", b"}"):
            self._between = self._data[last : self._start + 1]

    def _likely_element(self) -> _Element | None:
        """The element up to where the same stands again that stood between the last two, if it is a whole value.

        Then that is where it ends, for no JSON value goes on behind the end of another. Most files write all their
        elements alike, so this saves going through them bracket by bracket.
        """
        if not self._between or self._misses > _MOST_MISSES:
            return None
        last = self._data.find(self._between, self._start)
        if last < 0:
            return None
        content = self._data[self._start : last + 1]
        value = loads_if_sure(content)
        if value is UNSURE:
            self._misses += 1
            return None
        self._misses = 0
        place = (self._data_offset + self._start, self._line, self._column)
        self._pass_over(len(content) + len(self._between) - 2)
        return _Element(*place, content, value=value)

    def element(self) -> _Element:
        """The element that begins here."""
        self._peek()
        offset, line, column = self._data_offset + self._start, self._line, self._column
        length, is_open = self._length_of_value()
        content = self._data[self._start : self._start + length]
        if not content:
            return self._wrong("not valid JSON: Expecting value")
        if length > _MAX_ELEMENT:
            return self._wrong(f"not usable JSON: an element of more than {_MAX_ELEMENT >> 20} MB", "too-long")
        self._pass_over(length)
        return _Element(offset, line, column, content, is_open)

    def _wrong(self, reason: str, rule: str = "", fix: str = "") -> _Element:
        at_end = self._start == len(self._data)
        if not rule:
            rule = "truncated" if at_end else "not-json"
            fix = fix or (_CUT_OFF if at_end else "")
        found = self._data[self._start : self._start + 20].split(b"\n")[0].decode("utf-8", "ignore")
        place = (self._line, self._column)
        problem = RowProblem(*place, reason, rule=rule, found=found, fix=fix)
        return _Element(self._data_offset + self._start, *place, problem=problem)

    def _grow(self) -> bool:
        """Read more, as much again as is kept, so that a long element costs no more than twice its length."""
        kept = self._data[self._start :]
        piece = self._file.read(max(self._piece, len(kept)))
        self._data_offset += self._start
        self._data, self._start = kept + piece, 0
        return bool(piece)

    def _peek(self) -> bytes:
        """The next byte that is not blank, where the reader then stands; nothing at the end."""
        while True:
            blanks = _BLANKS.match(self._data, self._start)
            self._pass_over(blanks.end() - self._start if blanks else 0)
            if self._start < len(self._data):
                return self._data[self._start : self._start + 1]
            if not self._grow():
                return b""

    def _pass_over(self, length: int) -> None:
        piece = self._data[self._start : self._start + length]
        lines = piece.count(b"\n")
        last = piece[piece.rfind(b"\n") + 1 :] if lines else piece
        # Bytes that continue a character do not count as columns.
        chars = len(last) if last.isascii() else len(last.decode("utf-8", "replace"))
        self._line += lines
        self._column = 1 + chars if lines else self._column + chars
        self._start += length

    def _length_of_value(self) -> tuple[int, bool]:
        """How long the value is that begins here, and whether the file ends inside it.

        Only quotes and brackets count, so the end of a broken element is found all the same in most cases.
        """
        if self._data[self._start : self._start + 1] not in (b'"', b"[", b"{"):
            return self._length_of_scalar(), False
        depth = at = 0
        while at <= _MAX_ELEMENT:
            token = _TOKEN.search(self._data, self._start + at)
            if token is None:
                at = len(self._data) - self._start
            else:
                found, at, end = token[0], token.start() - self._start, token.end()
                if found == b'"':
                    end = string_end(self._data, token.start())
                if end >= 0:
                    at = end - self._start
                    depth += (found in (b"[", b"{")) - (found in (b"]", b"}"))
                    if depth == 0:
                        return at, False
                    continue
            if len(self._data) - self._start > _MAX_ELEMENT:
                break
            if not self._grow():
                return len(self._data) - self._start, True
        return _MAX_ELEMENT + 1, True

    def _length_of_scalar(self) -> int:
        while True:
            scalar = _SCALAR.match(self._data, self._start)
            end = scalar.end() if scalar else self._start
            if end < len(self._data) or end - self._start > _PIECE or not self._grow():
                return end - self._start


class JsonArray(Content):
    """The elements of one JSON array."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._index: _ArrayIndex | None = None

    def rows(self) -> Iterator[RawRow]:
        with self._blob.stream() as file:
            for element in _Reader(file).elements():
                yield element.row()

    def row(self, position: int) -> RawRow:
        return self._places().row(position)

    def __len__(self) -> int:
        return len(self._places())

    @property
    def known_length(self) -> int | None:
        return None if self._index is None else len(self._index)

    def _places(self) -> _ArrayIndex:
        if self._index is None:
            self._index = _ArrayIndex(FileBlob(self._blob.on_disk()))
        return self._index


class _ArrayIndex:
    """Where the elements of an array begin, 24 bytes for each, so that any of them is read alone."""

    def __init__(self, blob: FileBlob) -> None:
        self._blob = blob
        self._state = blob.state()
        self._offsets = array("Q")
        self._lines = array("Q")
        self._columns = array("Q")
        self._broken: RawRow | None = None
        with blob.stream() as file:
            for element in _Reader(file).elements():
                self._offsets.append(element.offset)
                self._lines.append(element.line)
                self._columns.append(element.column)
                if element.problem is not None:
                    self._broken = element.row()

    def __len__(self) -> int:
        return len(self._offsets)

    def row(self, position: int) -> RawRow:
        offset, line, column = self._offsets[position], self._lines[position], self._columns[position]
        if self._broken is not None and position % len(self) == len(self) - 1:
            return self._broken
        with self._blob.stream_from(offset, self._state) as file:
            return _Reader(file, offset, line, column, piece=_ROW_PIECE).element().row()
