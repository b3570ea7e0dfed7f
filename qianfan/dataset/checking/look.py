"""The look at each row: errors, oddities, and a close look at a sample. The careful way, and the fast one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate
from typing import IO, NamedTuple

from qianfan.dataset import lanes
from qianfan.dataset.checking.findings import Findings
from qianfan.dataset.checking.forms import full_form, quick_form
from qianfan.dataset.checking.keys import KEYS, misspelt, misspelt_columns, texts_of
from qianfan.dataset.checking.oddities import RULES_OF_TEXTS, marked_lines, may_be_odd, oddities
from qianfan.dataset.checking.parts import last_answer, trained_tokens
from qianfan.dataset.checking.sample import Sample
from qianfan.dataset.checking.statistics import Measure, measure
from qianfan.dataset.checking.twins import Bits, Prints, has_lines
from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading import BOM, RawRow, RowProblem, parse_line
from qianfan.dataset.reading.files import check_unchanged, state_of
from qianfan.dataset.reading.lines import MAX_LINE
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.shapes import Flaw
from qianfan.dataset.sources import FileDataSource, LocalSource

MOST_TOKENS = 8_000
"""Tokens of a row that the platform trains on; the rest is cut."""

_BLOCK = 1 << 20
_ALIKE_ROWS = 20
_ALIKE_SHARE = 0.5
"""Answers are called the same when more than half of at least twenty rows share one."""


class Close(NamedTuple):
    """What is noted of a row in the sample."""

    numbers: Measure
    answer: bytes | None
    slips: tuple[tuple[str, RowProblem], ...]


class Look:
    """Looks at rows one by one.

    rows: how many there were. bad_rows: how many of them cannot be used, `bad` where they are.
    sample: the rows that were looked at closely.
    """

    def __init__(self, source: LocalSource, findings: Findings) -> None:
        self._source = source
        self._findings = findings
        self._keys = KEYS.get(source.shape.name) if source.shape else None
        self.rows = 0
        self.bad_rows = 0
        self.bad = Bits()
        self.sample: Sample[Close] = Sample()
        self.form = full_form(source)
        self._quick = quick_form(source)

    def errors(self, position: int, raw: RawRow) -> JsonRow | None:
        """The row in the platform's form if it can be used; else what is wrong with it is noted."""
        value = self._quick(raw)
        if value is not None:
            return value
        row = self._source.read(raw)
        if not isinstance(row, list):
            return row.to_json()
        self.bad_rows += 1
        self.bad.add(position)
        for problem in row:
            self._findings.add(position, problem)
        return None

    def length(self, position: int, raw: RawRow, value: JsonRow) -> None:
        """Note a row that the platform would cut; plain texts and rows that it does not take are not cut."""
        if 0 < len(raw.text) <= lanes.LEAN_CHARS or self._source.template_type is None or isinstance(value, str):
            return
        tokens = trained_tokens(value)
        if tokens > MOST_TOKENS:
            reason = f"has about {tokens} tokens; the platform cuts what comes after {MOST_TOKENS}"
            self._note(position, raw, Flaw((), reason, "too-many-tokens", found=f"{tokens} tokens"))

    def texts(self, position: int, raw: RawRow) -> None:
        """Note what is odd about the texts of a row that can be used."""
        if raw.text and not may_be_odd(raw.text):
            return
        for path, text in texts_of(raw.value, self._keys):
            for rule, reason, found in oddities(text):
                self._note(position, raw, Flaw(path, reason, rule, found=found))

    def closely(self, position: int, raw: RawRow) -> None:
        """Measure a row for the sample, if it can be used."""
        row = self._source.read(raw)
        if isinstance(row, list):
            return
        answer = last_answer(row.to_json())
        slips = misspelt(raw.value, self._keys) if self._keys else misspelt_columns(raw.value)
        self.sample.noted[position] = Close(
            measure(row),
            None if answer is None else hashlib.blake2b(answer.encode("utf-8", "replace"), digest_size=16).digest(),
            tuple((key, raw.locate(_slip(path, key, meant))) for path, key, meant in slips),
        )

    def _note(self, position: int, raw: RawRow, flaw: Flaw) -> None:
        self._findings.add(position, raw.locate(flaw))


def _slip(path: tuple[str | int, ...], key: str, meant: str) -> Flaw:
    return Flaw(path, f"{key!r} is not read; did you mean {meant!r}?", "misspelt-key", key, f"rename it to {meant!r}")


def look_carefully(
    look: Look, source: LocalSource, findings: Findings, *, closely: bool, prints: Prints | None
) -> None:
    """Read every row."""
    lines = has_lines(source)
    texts = findings.wants(*RULES_OF_TEXTS)
    for number, raw in enumerate(source.raw_rows()):
        position = raw.line - 1 if lines else number
        value = look.errors(position, raw)
        look.rows += 1
        if value is not None:
            look.length(position, raw, value)
            if texts:
                look.texts(position, raw)
        if closely and look.sample.wants(position):
            look.closely(position, raw)
        if prints is not None:
            prints.add(value)


def look_fast(
    look: Look, source: FileDataSource, findings: Findings, *, closely: bool, prints: Prints | None, questions: bool
) -> None:
    """Read only the lines that need it, of a file with a row a line. It finds what the careful way finds."""
    before = state_of(source.path)
    lines = 0
    for block in lanes.suspects(source):
        lines += block.lines
        look.rows += block.rows
        for number, line in block.suspicious:
            # The lanes have taken a byte order mark away.
            raw = parse_line(line, number, FormatType.Jsonl)
            value = look.errors(number - 1, raw)
            if value is not None:
                look.length(number - 1, raw, value)
    texts = findings.wants(*RULES_OF_TEXTS)
    if texts or closely:
        _scan(look, source, texts=texts, closely=closely)
    if prints is not None:
        if lines == look.rows:
            prints.bad = look.bad
            prints.take_fast(source, questions=questions)
        else:
            # Among blank lines nobody knows which row a bad line is.
            prints.take_carefully(source)
    check_unchanged(source.path, before)


def _scan(look: Look, source: FileDataSource, *, texts: bool, closely: bool) -> None:
    """Find the lines with marks of odd texts, and every n-th line for the sample, without reading the rest."""
    chosen: Sample[int] = Sample()
    with source.path.open("rb") as file:
        offset = lines = 0
        while block := _whole_lines(file):
            # The fastest way by far to find the ends of all lines.
            ends = list(accumulate(map(len, BytesIO(block))))
            for line in marked_lines(block, ends) if texts else ():
                raw = _parsed(lines + line + 1, block[_start(ends, line) : ends[line]])
                if look.form(raw) is not None:
                    look.texts(lines + line, raw)
            if closely:
                _choose(chosen, block, ends, lines, offset)
            offset, lines = file.tell(), lines + len(ends)
        for position, at in chosen.noted.items():
            file.seek(at)
            look.closely(position, _parsed(position + 1, file.readline(MAX_LINE)))


def _whole_lines(file: IO[bytes]) -> bytes:
    """A block of lines; of a line that is too long to be a row, only the beginning."""
    block = file.read(_BLOCK)
    end = file.readline(MAX_LINE) if block else b""
    if len(end) == MAX_LINE and not end.endswith(b"\n"):
        while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass
    return block + end


def _choose(chosen: Sample[int], block: bytes, ends: Sequence[int], lines: int, offset: int) -> None:
    """Take every n-th line of a block into the sample, by its offset in the file. lines: how many came before."""
    line = -lines % chosen.step
    while line < len(ends):
        start, position = _start(ends, line), lines + line
        # Blank lines are no rows, and must not make the sample thinner than the careful way makes it.
        if not _is_blank(block[start : ends[line]], position) and chosen.wants(position):
            chosen.noted[position] = offset + start
        line += chosen.step - position % chosen.step


def _start(ends: Sequence[int], line: int) -> int:
    return ends[line - 1] if line else 0


def _is_blank(line: bytes, position: int) -> bool:
    return not (line.removeprefix(BOM) if position == 0 else line).strip()


def _parsed(number: int, line: bytes) -> RawRow:
    return parse_line(line.removeprefix(BOM) if number == 1 else line, number, FormatType.Jsonl)


def note_sample(sample: Sample[Close], findings: Findings) -> None:
    """What the rows of the sample have in common that they should not."""
    slips: dict[str, RowProblem] = {}
    for close in sample.noted.values():
        for key, problem in close.slips:
            slips.setdefault(key, problem)
    for problem in slips.values():
        findings.add(-1, problem)
    answers = Counter(close.answer for close in sample.noted.values() if close.answer is not None)
    for _, count in answers.most_common(1):
        if answers.total() >= _ALIKE_ROWS and count > _ALIKE_SHARE * answers.total():
            reason = f"{count} of {answers.total()} rows that were looked at have the same answer"
            findings.add(-1, RowProblem(0, 0, reason, rule="same-answer"))
