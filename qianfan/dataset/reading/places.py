"""Rows with their places, and what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from qianfan.dataset import shapes

_BLANK = " \t\n\r"
_FOUND_CHARS = 60
_decoder = json.JSONDecoder(strict=False)


def shown(value: Any) -> str:
    """A value that was found, short enough for a message."""
    # A text is cut before it is written down: it may be as long as a file.
    if isinstance(value, str):
        text = json.dumps(value[: _FOUND_CHARS + 1], ensure_ascii=False)
    elif isinstance(value, (list, dict)) and len(value) > _FOUND_CHARS:  # pyright: ignore[reportUnknownArgumentType]
        text = f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"  # pyright: ignore[reportUnknownArgumentType]
    else:
        text = repr(value) if isinstance(value, (bytes, bytearray)) else _written(value)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= _FOUND_CHARS else text[: _FOUND_CHARS - 1] + "…"


def _written(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError, TypeError):
        return f"a {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing that is wrong with a file or a row.

    line, column: counted from 1, the column in characters. For rows that come from memory, a sheet or a table by
        columns, line is the number of the row and column 0. field: the place inside the row, as in `[0].response`.
    rule: a short word for the kind of problem, by which problems are grouped. found: the value that is there, cut to
        60 characters. fix: what to do about it. file: which file of a folder or an archive, empty for a single file.
    """

    line: int
    column: int
    reason: str
    field: str = ""
    rule: str = ""
    found: str = ""
    fix: str = ""
    file: str = ""

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}" if self.column else f"row {self.line}" if self.line else ""
        steps = (self.file, place, self.field, self.reason)
        return ": ".join(step for step in steps if step)


class RawRow(NamedTuple):
    """A row as it stands in the file: its JSON text and value, or the problem that kept it from being parsed.

    line, column: where it begins; column 0 for a row without a place in a text, which has a number only.
    text: its JSON text, empty where it comes from something else. file: which file of a folder or an archive.
    """

    line: int
    column: int
    text: str
    value: Any = None
    problem: RowProblem | None = None
    file: str = ""

    def locate(self, flaw: shapes.Flaw) -> RowProblem:
        """A flaw inside the row as a problem with its place in the file."""
        line, column = self.line, self.column
        if self.text:
            before = self.text[: offset_of(self.text, flaw.path)]
            lines = before.count("\n")
            line += lines
            column = len(before) - before.rfind("\n") if lines else column + len(before)
        return RowProblem(
            line=line,
            column=column,
            reason=flaw.reason,
            field=shapes.path_text(flaw.path),
            rule=flaw.rule,
            found="" if flaw.found is None else shown(flaw.found),
            fix=flaw.fix,
            file=self.file,
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
