"""Rows that are there twice: in one dataset, or in the one to train on and the one to evaluate with.

A row is known by a digest of its platform form, a question by one of the row without its answer. So rows of different
files, even in different shapes, can be compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import IO, TypeGuard

from typing_extensions import Self

from qianfan.dataset import lanes
from qianfan.dataset.checking.findings import EXAMPLES, Findings
from qianfan.dataset.checking.forms import full_form
from qianfan.dataset.checking.parts import question_of
from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.lanes.jobs import digest_of
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.reading.lines import numbered
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.sources import FileDataSource, LocalSource

_SIZE = 16
_BLOCK = 4_096 * _SIZE
_ANSWERED_ONCE = (None, DataTemplateType.NonSortedConversation, DataTemplateType.SortedConversation)
_IN_MEMORY = 8 << 20
"""Bytes of digests, beyond which they go to disk."""


class Prints:
    """A digest for each row, and one for each question, in the order of the rows; many of them are kept on disk.

    bad: rows that cannot be used, where their digests do not tell.
    """

    def __init__(self) -> None:
        self.bad = Bits()
        self.rows = 0
        # They are closed in __exit__.
        self._of_rows: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self._of_questions: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._of_rows.close()
        self._of_questions.close()

    def add(self, value: JsonRow | None) -> None:
        """Take the next row in the platform's form; None for one that cannot be used, which is like no other."""
        self._of_rows.write(_digest(value, self.rows))
        self._add_question(self.rows, value)
        self.rows += 1

    def _add_question(self, position: int, value: JsonRow | None) -> None:
        question = None if value is None else question_of(value)
        self._of_questions.write(_digest(question, position))

    def take_carefully(self, source: LocalSource) -> None:
        """Read all rows of a source, and see which can be used."""
        form = full_form(source)
        for raw in source.raw_rows():
            self.add(form(raw))

    def take_fast(self, source: FileDataSource, *, questions: bool) -> None:
        """Take all rows of a line file, whether they can be used or not."""
        for block in lanes.digests(source):
            self._of_rows.write(block)
            self.rows += len(block) // _SIZE
        if questions:
            form = full_form(source)
            for position, raw in enumerate(source.raw_rows()):
                self._add_question(position, form(raw))

    def of_rows(self) -> Iterator[bytes]:
        """Sixteen bytes for each row, in blocks."""
        return _blocks(self._of_rows)

    def of_questions(self) -> Iterator[bytes]:
        """Sixteen bytes for the question of each row, in blocks."""
        return _blocks(self._of_questions)


def _digest(value: JsonRow | None, position: int) -> bytes:
    """The digest of a row or a question; what is none, or holds objects that JSON has no form for, is like no other."""
    if value is not None:
        with suppress(TypeError, ValueError):
            return digest_of(value)
    return b"no row  " + position.to_bytes(8, "big")


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(_BLOCK):
        yield block


def find_repeats(
    source: LocalSource, prints: Prints, findings: Findings, limit: int | None, *, questions: bool
) -> None:
    """Note rows that are the same as an earlier one, and questions that were asked before."""
    same = Bits()
    pairs = _noted(same, (pair for pair in lanes.repeats(prints.of_rows()) if pair[0] not in prints.bad))
    _note(source, source, pairs, findings, limit, "duplicate-row", "is the same as {}")
    # In preferences, a question with several answers is what they are for.
    if questions and source.template_type in _ANSWERED_ONCE and findings.wants("same-question"):
        pairs = (pair for pair in lanes.repeats(prints.of_questions()) if pair[0] not in same)
        _note(source, source, pairs, findings, limit, "same-question", "asks the same as {}, with another answer")


def find_leaks(
    source: LocalSource, prints: Prints, against: LocalSource, findings: Findings, limit: int | None
) -> None:
    """Note rows and questions that are in another dataset as well."""
    with Prints() as others:
        if has_lines(against):
            others.take_fast(against, questions=findings.wants("leaked-question"))
        else:
            others.take_carefully(against)
        leaked = Bits()
        shared = _shared(others.rows, others.of_rows(), prints.of_rows())
        pairs = _noted(leaked, (pair for pair in shared if pair[0] not in prints.bad))
        _note(source, against, pairs, findings, limit, "leaked-row", "is also in {}")
        if findings.wants("leaked-question"):
            shared = _shared(others.rows, others.of_questions(), prints.of_questions())
            pairs = (pair for pair in shared if pair[0] not in leaked)
            _note(source, against, pairs, findings, limit, "leaked-question", "asks the same as {}")


def _shared(count: int, others: Iterable[bytes], own: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Rows of one's own that are among the others, each with the first of those."""
    # Read behind one another, a row is shared if it repeats one of the others, which came first.
    for row, first in lanes.repeats(chain(others, own)):
        if first < count <= row:
            yield row - count, first


class Bits:
    """A set of positions, with one bit for each up to the last."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, position: int) -> None:
        """Put a position into the set."""
        missing = (position >> 3) + 1 - len(self._bytes)
        if missing > 0:
            self._bytes.extend(bytes(missing))
        self._bytes[position >> 3] |= 1 << (position & 7)

    def __contains__(self, position: int) -> bool:
        return position >> 3 < len(self._bytes) and bool(self._bytes[position >> 3] & 1 << (position & 7))


def _noted(bits: Bits, pairs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for row, first in pairs:
        bits.add(row)
        yield row, first


def _note(
    source: LocalSource,
    other: LocalSource,
    pairs: Iterator[tuple[int, int]],
    findings: Findings,
    limit: int | None,
    rule: str,
    reason: str,
) -> None:
    kept = list(islice(pairs, None if limit is None else max(limit, EXAMPLES)))
    places = _places(source, {row for row, _ in kept})
    others = _places(other, {first for _, first in kept})
    for row, first in kept:
        place, twin = places[row], others[first]
        named = _named(twin) if source is other else f"{other.name}, {_named(twin)}"
        position = place.line - 1 if has_lines(source) else row
        findings.add(position, RowProblem(place.line, place.column, reason.format(named), rule=rule, file=place.file))
    findings.count_more(rule, sum(1 for _ in pairs))


def has_lines(source: LocalSource) -> TypeGuard[FileDataSource]:
    """Whether positions in a source are best counted in lines, as the fast way does, which skips blank ones."""
    return isinstance(source, FileDataSource) and source.is_lines


def _named(raw: RawRow) -> str:
    place = f"line {raw.line}" if raw.column else f"row {raw.line}"
    return f"{raw.file} {place}".strip()


def _places(source: LocalSource, positions: set[int]) -> dict[int, RawRow]:
    """Where rows stand. One pass over all of them, since in many files a row alone costs as much."""
    rows = _lines(source) if has_lines(source) else source.raw_rows()
    upto = islice(rows, max(positions, default=-1) + 1)
    return {at: raw._replace(text="", value=None) for at, raw in enumerate(upto) if at in positions}


def _lines(source: FileDataSource) -> Iterator[RawRow]:
    """The rows of a line file by their places only."""
    with source.path.open("rb") as file:
        for number, _, line in numbered(file):
            if line and not line.isspace():
                yield RawRow(number, 1, "")
