"""Files as rows, one at a time, each with its place: line and column, counted from 1."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qianfan.dataset import shapes
from qianfan.dataset.consts import FormatType
from qianfan.errors import InvalidArgumentError

_BLANK = " \t\n\r"
BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing that is wrong with a file or a row.

    line, column: counted from 1, the column in characters. For rows that come from memory, line is the number of the
        row and column 0. field: the place inside the row, as in `[0].response`.
    """

    line: int
    column: int
    reason: str
    field: str = ""

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}" if self.column else f"row {self.line}"
        return f"{place}: {self.field}: {self.reason}" if self.field else f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it stands in the file: its JSON text and value, or the problem that kept it from being parsed.

    line, column: where its text begins; column 0 for a row from memory.
    """

    line: int
    column: int
    text: str
    value: Any = None
    problem: RowProblem | None = None

    def locate(self, flaw: shapes.Flaw) -> RowProblem:
        """A flaw inside the row as a problem with its place in the file."""
        if not self.column:
            return RowProblem(self.line, 0, flaw.reason, shapes.path_text(flaw.path))
        before = self.text[: offset_of(self.text, flaw.path)]
        lines = before.count("\n")
        column = len(before) - (before.rfind("\n") + 1) + 1
        return RowProblem(
            line=self.line + lines,
            column=column if lines else self.column + len(before),
            reason=flaw.reason,
            field=shapes.path_text(flaw.path),
        )


def offset_of(text: str, path: shapes.Path) -> int:
    """Where in a JSON text the value at a path begins; the deepest part there is, if the path leads nowhere."""
    at = _skip_blanks(text, 0)
    for step in path:
        inside = _enter(text, at, step)
        if inside is None:
            break
        at = inside
    return at


def _enter(text: str, at: int, step: str | int) -> int | None:
    """The offset of one member of the list or object that begins at `at`."""
    if text[at : at + 1] != ("[" if isinstance(step, int) else "{"):
        return None
    position, at = 0, _skip_blanks(text, at + 1)
    while text[at : at + 1] not in ("", "]", "}"):
        name: str | int = position
        if isinstance(step, str):
            name, at = _decoder.raw_decode(text, at)
            at = _skip_blanks(text, _skip_blanks(text, at) + 1)
        if name == step:
            return at
        at = _skip_blanks(text, _decoder.raw_decode(text, at)[1])
        at = _skip_blanks(text, at + 1) if text[at : at + 1] == "," else at
        position += 1
    return None


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def file_format_of(path: Path) -> FormatType:
    """How a file holds its rows, by the end of its name. Raises InvalidArgumentError for an unknown end."""
    try:
        return FormatType(path.suffix.lower().removeprefix("."))
    except ValueError:
        known = ", ".join(f".{member.value}" for member in FormatType)
        raise InvalidArgumentError(
            f"{path}: cannot tell the file format from {path.suffix!r}; use {known}, or say file_format=…"
        ) from None


def read_rows(path: Path, file_format: FormatType) -> Iterator[RawRow]:
    """The rows of a file in order; blank lines are not rows. Lines are read one by one, a JSON array as a whole."""
    if file_format is FormatType.Json:
        return _read_array(path)
    return _read_lines(path, file_format)


def _read_lines(path: Path, file_format: FormatType) -> Iterator[RawRow]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(BOM) if number == 1 else line
            if content.strip():
                yield parse_line(content, number, file_format)


def parse_line(line: bytes, number: int, file_format: FormatType) -> RawRow:
    """One line of a file as a row."""
    text, problem = _decode(line, number)
    if problem is not None:
        return RawRow(number, 1, text, problem=problem)
    text = text.rstrip("\r\n")
    return RawRow(number, 1, text, text) if file_format is FormatType.Text else _parse_json(text, number)


def _decode(line: bytes, number: int) -> tuple[str, RowProblem | None]:
    try:
        return line.decode("utf-8"), None
    except UnicodeDecodeError as error:
        readable = line[: error.start].decode("utf-8")
        if line.startswith(_OTHER_BOMS):
            reason = "the file is UTF-16; save it as UTF-8"
        else:
            reason = f"byte 0x{line[error.start]:02x} is not UTF-8; if the file is GBK, save it as UTF-8"
        return readable, RowProblem(number, len(readable) + 1, reason)


def _parse_json(text: str, number: int) -> RawRow:
    try:
        return RawRow(number, 1, text, json.loads(text))
    except json.JSONDecodeError as error:
        return RawRow(number, 1, text, problem=RowProblem(number, error.colno, f"not valid JSON: {error.msg}"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return RawRow(number, 1, text, problem=RowProblem(number, 1, f"not usable JSON: {reason}"))


def _read_array(path: Path) -> Iterator[RawRow]:
    text, problem = _decode_file(path.read_bytes())
    at = _skip_blanks(text, 0)
    if problem is None and text[at : at + 1] != "[":
        advice = "expected a JSON array; if each line is a row of its own, name the file .jsonl"
        problem = RowProblem(*_place(text, at), advice)
    if problem is not None:
        yield RawRow(problem.line, problem.column, "", problem=problem)
        return
    yield from _elements(text, at + 1)


def _elements(text: str, at: int) -> Iterator[RawRow]:
    """The elements of an array whose text goes on at `at`. After a mistake nothing can be told apart any more."""
    line, counted = text.count("\n", 0, at) + 1, at
    at = _skip_blanks(text, at)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        column = at - text.rfind("\n", 0, at)
        try:
            value, end = _decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            yield RawRow(
                line, column, "", problem=RowProblem(error.lineno, error.colno, f"not valid JSON: {error.msg}")
            )
            return
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            yield RawRow(line, column, "", problem=RowProblem(line, column, f"not usable JSON: {reason}"))
            return
        yield RawRow(line, column, text[at:end], value)
        at = _skip_blanks(text, end)
        if text[at : at + 1] not in (",", "]"):
            place = _place(text, at)
            yield RawRow(*place, "", problem=RowProblem(*place, "not valid JSON: ',' or ']' expected"))
            return
        at = _skip_blanks(text, at + 1) if text[at] == "," else at


def _decode_file(content: bytes) -> tuple[str, RowProblem | None]:
    content = content.removeprefix(BOM)
    text, problem = _decode(content, 1)
    if problem is None:
        return text, None
    line, column = _place(text, len(text))
    return text, RowProblem(line, column, problem.reason)


def _place(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


class LineIndex:
    """Where the rows of a file with one row a line begin, sixteen bytes for each, so that any row is read alone."""

    def __init__(self, path: Path, file_format: FormatType) -> None:
        self._path = path
        self._file_format = file_format
        self._offsets = array("Q")
        self._numbers = array("Q")
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.removeprefix(BOM if number == 1 else b"").strip():
                    self._offsets.append(offset)
                    self._numbers.append(number)
                offset += len(line)

    def __len__(self) -> int:
        return len(self._offsets)

    def row(self, position: int) -> RawRow:
        """The row at a position from 0."""
        with self._path.open("rb") as file:
            file.seek(self._offsets[position])
            line = file.readline()
        number = self._numbers[position]
        return parse_line(line.removeprefix(BOM) if number == 1 else line, number, self._file_format)
