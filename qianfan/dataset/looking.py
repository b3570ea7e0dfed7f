"""What `print(ds)` and a notebook show of a dataset: what it is, its first rows, and how long they are.

Only the first rows are read, and of those no more than a moment allows, so that a dataset of any size shows at once.
Nothing is asked of the platform.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any, TypeAlias

from qianfan.dataset.platform_source import QianfanDataSource
from qianfan.dataset.processing import DerivedSource, nearby
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.sources import FileDataSource, LocalSource

SHOWN = 5
"""Rows that are shown."""

LOOKED_AT = 200
"""Rows that the lengths are taken from."""

REACH = 1_000
"""Rows that are read in search of those that are shown, where they are chosen from others."""

_ENOUGH = 500_000
"""Characters after which no further row is looked at."""

Part: TypeAlias = tuple[str, str]
"""A piece of a row: what it is called there, and its text."""


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A row as it can be shown. position: from 0. parts: its texts in order; problem: why it has none."""

    position: int
    raw: RawRow
    value: JsonRow = None
    problem: RowProblem | None = None

    @property
    def parts(self) -> list[Part]:
        """The texts of the row, each with its name."""
        return parts_of(self.value)

    @property
    def length(self) -> int:
        """Characters of all its texts."""
        return sum(len(text) for _, text in self.parts)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What was seen of a source without reading all of it. rows: the first ones; is_all: there are no others."""

    rows: tuple[SeenRow, ...] = ()
    is_all: bool = False

    @property
    def lengths(self) -> list[int]:
        """Characters of each row that could be read, the shortest first."""
        return sorted(row.length for row in self.rows if row.problem is None)

    @classmethod
    def of(cls, source: LocalSource) -> Glimpse:
        """Look at the first rows."""
        seen: list[SeenRow] = []
        characters = 0
        for position, raw in enumerate(nearby(source, REACH)):
            seen.append(seen_row(source, position, raw))
            characters += seen[-1].length
            if len(seen) == LOOKED_AT or characters > _ENOUGH:
                return cls(tuple(seen))
        # What is made of other rows may have more, out of reach.
        return cls(tuple(seen), is_all=not isinstance(source, DerivedSource))


def seen_rows(source: LocalSource) -> Iterator[SeenRow]:
    """The rows of a source one by one, with what is wrong in place of those that cannot be read."""
    return (seen_row(source, position, raw) for position, raw in enumerate(source.raw_rows()))


def seen_row(source: LocalSource, position: int, raw: RawRow) -> SeenRow:
    """One row of a source, in the platform's form if it has one."""
    found = source.read(raw)
    if isinstance(found, list):
        return SeenRow(position, raw, problem=next(iter(found), None))
    return SeenRow(position, raw, found.to_json())


def parts_of(value: JsonRow) -> list[Part]:
    """The texts of a row in the order they stand there; a text alone is called `text`."""
    if isinstance(value, str):
        return [("text", value)]
    if value is None:
        return []
    members: Iterable[Any] = value if isinstance(value, list) else [value]
    return [part for member in members for part in _parts_of_member(member)]


def _parts_of_member(member: Any) -> Iterator[Part]:
    if not isinstance(member, Mapping):
        yield "value", _as_text(member)
        return
    for name, value in member.items():
        # The platform writes [["answer"]]; several are ranked, best first.
        answers = value if name == "response" and isinstance(value, list) else None
        if answers and all(isinstance(one, list) and len(one) == 1 for one in answers):
            for rank, (answer,) in enumerate(answers, start=1):
                yield str(name) if len(answers) == 1 else f"{name} {rank}", _as_text(answer)
        else:
            yield str(name), _as_text(value)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


# --- in a terminal ---------------------------------------------------------------------------------------------------


def text(source: LocalSource | QianfanDataSource, *, width: int | None = None) -> str:
    """A dataset as lines of text, none wider than the terminal. width: columns to use instead."""
    columns = max(2 * _NARROWEST, width or shutil.get_terminal_size((100, 24)).columns)
    here = local_part(source)
    glimpse = Glimpse.of(here) if here is not None else Glimpse()
    facts = facts_of(source, glimpse)
    edge = max(len(name) for name, _ in facts)
    lines = ["Dataset"]
    lines += [f"  {name:<{edge}}  {shortened(_in_one_line(value), columns - edge - 4)}" for name, value in facts]
    lines += [f"  {row.position}  {one_line(row, columns - 5)}" for row in glimpse.rows[:SHOWN]]
    lines += [f"  {_LATER}"] if isinstance(here, DerivedSource) and not glimpse.rows else []
    return "\n".join(lines)


_LATER = "its rows are worked out when they are read"


def facts_of(source: LocalSource | QianfanDataSource, glimpse: Glimpse) -> list[tuple[str, str]]:
    """What a dataset is, as far as it is known without reading on or asking."""
    template = getattr(source.template_type, "name", None) or source.template_type
    if isinstance(source, QianfanDataSource):
        release = getattr(source.release_status, "name", None) or source.release_status
        rows = None if source.row_number is None else f"{source.row_number:,}"
        facts = [("id", source.id), ("name", source.name), ("template", template), ("rows", rows), ("release", release)]
    else:
        kind = "file" if isinstance(source, FileDataSource) else "source"
        shape = source.shape.name if source.shape is not None else None
        facts = [(kind, source.name), ("template", template), ("format", shape), ("rows", _rows(source, glimpse))]
    facts += [("lengths", _lengths(glimpse))]
    return [(name, str(value)) for name, value in facts if value not in (None, "")]


def _rows(source: LocalSource, glimpse: Glimpse) -> str:
    known = len(glimpse.rows) if glimpse.is_all else source.known_length
    return "not counted; len(ds) reads them all" if known is None else f"{known:,}"


def _lengths(glimpse: Glimpse) -> str:
    lengths = glimpse.lengths
    if not lengths:
        return ""
    of = "" if glimpse.is_all else f" in the first {len(glimpse.rows)} rows"
    if lengths[0] == lengths[-1]:
        return f"{lengths[0]:,} characters each{of}"
    middle = lengths[len(lengths) // 2]
    return f"{lengths[0]:,} to {lengths[-1]:,} characters, half of them up to {middle:,}{of}"


def one_line(row: SeenRow, columns: int) -> str:
    """A row in one line: what is wrong with it, or its texts with their names, each with a fair share of columns."""
    if row.problem is not None:
        return shortened(_in_one_line(f"! {row.problem}"), columns)
    parts = row.parts[: max(1, columns // _NARROWEST)]
    said: list[str] = []
    left = columns
    for number, (name, told) in enumerate(parts):
        share = left // (len(parts) - number) - (len(_BETWEEN) if number < len(parts) - 1 else 0)
        # Far more characters than there are columns need no look.
        piece = shortened(_in_one_line(f"{name}: {told[: 4 * columns]}"), share)
        said.append(piece)
        left -= width_of(piece) + len(_BETWEEN)
    return _BETWEEN.join(said)


_BETWEEN = " | "
_NARROWEST = 20
"""Columns that are worth showing a text in."""


def printable(said: str) -> str:
    """A text without what a terminal would obey or could not write: escape sequences, halves of surrogate pairs."""
    if said.isprintable():
        return said
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in said)


def _in_one_line(said: str) -> str:
    return printable(" ".join(said.split()))


def shortened(said: str, columns: int) -> str:
    """A text that fits into so many columns of a terminal, where a Chinese character takes two."""
    taken = 0
    cut = 0  # where the text ends if it has to be cut
    for position, character in enumerate(said):
        taken += _columns(character)
        if taken <= columns - 1:
            cut = position + 1
        if taken > columns:
            return said[:cut] + "…"
    return said


def width_of(said: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(map(_columns, said))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def local_part(source: LocalSource | QianfanDataSource) -> LocalSource | None:
    """The rows on this machine, if they are here."""
    return source.local if isinstance(source, QianfanDataSource) else source


# --- in a notebook ---------------------------------------------------------------------------------------------------


def html(source: LocalSource | QianfanDataSource) -> str:
    """A dataset as a piece of HTML: what it is, its first rows with their turns, how long the rows are."""
    here = local_part(source)
    glimpse = Glimpse.of(here) if here is not None else Glimpse()
    facts = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in facts_of(source, glimpse)
    )
    pieces = [f"<table><caption>Dataset</caption>{facts}</table>"]
    if glimpse.rows:
        rows = "".join(_html_row(row) for row in glimpse.rows[:SHOWN])
        pieces.append(f"<table><tr><th>row</th><th style='text-align:left'>content</th></tr>{rows}</table>")
    elif isinstance(here, DerivedSource):
        pieces.append(f"<p>{_LATER}</p>")
    if len(set(glimpse.lengths)) > 1:
        pieces.append(_histogram(glimpse.lengths))
    return f"<div>{''.join(pieces)}</div>"


_CELL = 300
"""Characters of a text that a cell shows."""
_TURNS = 8
"""Texts of a row that a cell shows."""


def _html_row(row: SeenRow) -> str:
    if row.problem is not None:
        said = f"<em>{escape(str(row.problem))}</em>"
    else:
        parts = row.parts
        more = len(parts) - _TURNS
        lines = [f"<b>{escape(name)}</b> {escape(_cut(printable(told)))}" for name, told in parts[:_TURNS]]
        said = "<br>".join([*lines, f"<em>and {more} more</em>"] if more > 0 else lines)
    return f"<tr><td>{row.position}</td><td style='text-align:left'>{said}</td></tr>"


def _cut(said: str) -> str:
    return said if len(said) <= _CELL else f"{said[:_CELL]}… ({len(said):,} characters)"


def _histogram(lengths: Sequence[int]) -> str:
    counts = _bins(lengths, 20)
    high = max(counts)
    bars = "".join(
        f"<rect x='{place * 12}' y='{48 - round(48 * count / high)}' width='10' height='{round(48 * count / high)}'/>"
        for place, count in enumerate(counts)
    )
    said = f"{lengths[0]:,} to {lengths[-1]:,} characters a row"
    return (
        f"<svg width='240' height='64' role='img' fill='currentColor'><title>{said}</title>{bars}"
        f"<text x='0' y='61' font-size='10'>{lengths[0]:,}</text>"
        f"<text x='238' y='61' font-size='10' text-anchor='end'>{lengths[-1]:,} characters</text></svg>"
    )


def _bins(lengths: Sequence[int], count: int) -> list[int]:
    """How many of the sorted lengths lie in each of so many equal spans."""
    low, high = lengths[0], lengths[-1]
    edges = [low + (high - low) * step / count for step in range(count)] + [high + 1]
    return [sum(low <= length < high for length in lengths) for low, high in pairwise(edges)]
