"""A corrected copy of a dataset: what can be mended is mended, the rest is left out, and all of it is reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from qianfan.dataset.checking.check import KEPT
from qianfan.dataset.checking.forms import full_form
from qianfan.dataset.checking.mending import Correction, Wishes, mended, parsed
from qianfan.dataset.checking.recoding import About, readable
from qianfan.dataset.consts import DataTemplateType, FormatType
from qianfan.dataset.lanes.jobs import digest_of
from qianfan.dataset.reading import RawRow, RowProblem, file_format_of
from qianfan.dataset.report import counted, json_text, save_as
from qianfan.dataset.rows import JsonRow
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.dataset.writing import write_blocks, write_values
from qianfan.errors import InvalidArgumentError, ValidationError

FIX_REPORT_VERSION = 1
"""Of `FixReport.to_dict`."""

Done: TypeAlias = Literal["mended", "dropped"]


@dataclass(frozen=True, slots=True)
class Change:
    """What was done about one flaw of a row.

    line, file: where the row began in the original; the number of the row where it had no lines.
    rule: what the row broke, as in `RULES`. field: where in the row. what: what was corrected, or why it was dropped.
    """

    done: Done
    line: int
    rule: str
    field: str
    what: str
    file: str = ""

    def __str__(self) -> str:
        place = f"{self.file} line {self.line}".strip()
        what = self.what if self.done == "mended" else f"dropped, {self.what}"
        return ": ".join(part for part in (place, self.field, what) if part)


@dataclass(frozen=True, slots=True)
class FixReport:
    """What became of each row of a dataset that was corrected.

    source: the original. path: the corrected copy. rows: how many there were; written: how many are in the copy, of
    which `mended` were corrected; dropped: how many are not in it.
    changes: the first of `change_count`, in the order of the rows; a row may have several. of_file: what was
        corrected about the file as a whole.
    """

    source: str
    path: str
    rows: int
    written: int
    mended: int
    dropped: int
    change_count: int
    changes: tuple[Change, ...]
    of_file: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = f"{counted(self.written, 'row')} written, {self.mended:,} of them mended, {self.dropped:,} dropped"
        lines = [f"{self.source} -> {self.path}: {counts}"]
        lines += [f"  {what}" for what in self.of_file]
        lines += [f"  {change}" for change in self.changes]
        left_out = self.change_count - len(self.changes)
        return "\n".join([*lines, f"  and {left_out:,} more"] if left_out else lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values: the fields by their names, and `version`.

        `changes` holds objects with `done` ("mended" or "dropped"), `line`, `file`, `rule`, `field` and `what`.
        """
        names = ("source", "path", "rows", "written", "mended", "dropped", "change_count")
        of_change = ("done", "line", "file", "rule", "field", "what")
        return {
            "version": FIX_REPORT_VERSION,
            **{name: getattr(self, name) for name in names},
            "of_file": list(self.of_file),
            "changes": [{name: getattr(change, name) for name in of_change} for change in self.changes],
        }

    def save(self, path: str | Path) -> Path:
        """Write the report to a file, as JSON or text by the end of its name, and return its path.

        Raises InvalidArgumentError for another end, DataFileError when the file cannot be written.
        """
        return save_as(Path(path), {".json": lambda: json_text(self.to_dict()), ".txt": lambda: f"{self}\n"})


def fix(
    source: LocalSource,
    path: str | Path,
    *,
    duplicates: bool = False,
    keys: bool = False,
    join: bool = False,
    strip: bool = False,
    encoding: str | None = None,
    limit: int | None = KEPT,
) -> FixReport:
    """Write a corrected copy of a dataset and tell what was done about each row. The original stays as it is.

    A row without flaws is copied as it stands. One whose meaning is certain is corrected: numbers where texts belong,
    bare answers, NUL characters, raw line breaks in texts, rows in Python's notation, a comma too many, and the like.
    What is left has no place in the copy. A byte order mark, line ends of Windows, and UTF-16 go as well.

    path: where the copy appears when it is complete, with the end of its name for its format; rows keep their shape.
    duplicates: leave out rows that are the same as an earlier one, for about 100 bytes of memory a row.
    keys: rename keys that look misspelt.
    join: join messages of the same role that follow each other. strip: take blanks away around texts.
    encoding: what lines are in that are not UTF-8, such as "gb18030"; nothing is guessed.
    limit: changes that are kept in the report, all with None; all are counted.

    Raises InvalidArgumentError when the copy would replace the original, ValidationError when no row would be left or
    the shape of the rows cannot be told, and DataFileError for files that cannot be read or written.
    """
    target = Path(path)
    if isinstance(source, FileDataSource) and _is_same(source.path, target):
        raise InvalidArgumentError(f"{target}: a corrected copy never replaces its original; name another file")
    if isinstance(source, FileDataSource) and target.resolve().is_relative_to(source.path.resolve()):
        raise InvalidArgumentError(f"{target}: a corrected copy inside the folder of its original would belong to it")
    target_format = file_format_of(target)
    with readable(source, encoding) as (original, about):
        if original.template_type is DataTemplateType.Text2Image:
            raise InvalidArgumentError(f"{source.name}: images have no corrected copy; correct their descriptions")
        fixing = _Fixing(original, Wishes(keys, join, strip), duplicates, limit, about)
        _write(fixing.rows(), target, target_format)
    return FixReport(
        source=source.name,
        path=str(target),
        rows=fixing.count,
        written=fixing.written,
        mended=fixing.mended,
        dropped=fixing.count - fixing.written,
        change_count=fixing.change_count,
        changes=tuple(fixing.changes),
        of_file=tuple(about.notes),
    )


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


@dataclass(frozen=True, slots=True)
class Kept:
    """A row for the copy: as it stood in the original, its value, and whether that is another one now."""

    raw: RawRow
    value: Any
    is_changed: bool


_Outcome: TypeAlias = tuple[Any, list[Correction], list[RowProblem]]
"""A value for the copy, what was corrected in it, and why it cannot be in the copy after all."""

_UNKNOWN = (None, None)


class _Fixing:
    """Goes through the rows once, and counts and lists what it does."""

    def __init__(self, source: LocalSource, wishes: Wishes, duplicates: bool, limit: int | None, about: About) -> None:
        self._source = source
        self._wishes = wishes
        self._seen: set[bytes] | None = set() if duplicates else None
        self._limit = limit
        self._about = about
        self._form = full_form(source)
        self._kind = (source.template_type, source.data_format)
        self.count = self.written = self.mended = self.change_count = 0
        self.changes: list[Change] = []

    def rows(self) -> Iterator[Kept]:
        """The rows for the copy. Raises ValidationError at the end when there are none."""
        for raw in self._source.raw_rows():
            self.count += 1
            value, done, problems = self._as_it_is(raw) or self._corrected(raw)
            encoding = self._about.encoding_of(raw.line)
            if problems:
                self._drop(raw, problems)
                continue
            done = [Correction("encoding", "", f"read as {encoding}"), *done] if encoding else done
            for correction in done:
                self._note(Change("mended", raw.line, correction.rule, correction.field, correction.what, raw.file))
            self.written += 1
            self.mended += bool(done)
            yield Kept(raw, value, value is not raw.value)
        if not self.written:
            reasons = [str(change) for change in self.changes[:3]]
            raise ValidationError(f"{self._source.name}: no row could be kept, so there is no copy", reasons)

    def _as_it_is(self, raw: RawRow) -> _Outcome | None:
        """A row that needs no correction, nearly all of them: the quick way; None where that is not clear."""
        if self._wishes != Wishes() or self._kind == _UNKNOWN:
            return None
        form = self._form(raw)
        return None if form is None else (raw.value, [], self._repeats(raw, form))

    def _corrected(self, raw: RawRow) -> _Outcome:
        done: list[Correction] = []
        value = raw.value
        if raw.problem is not None:
            found = parsed(raw)
            if found is None:
                return None, [], [raw.problem]
            value = found[0]
            done.append(found[1])
            # What is a place in the text of such a row?
            raw = raw._replace(text="", problem=None)
        if self._source.shape is not None:
            value, corrections, flaws = mended(value, self._source.shape, self._wishes)
            done += corrections
            if flaws:
                return value, done, [raw.locate(flaw) for flaw in flaws]
        row = self._source.read(raw._replace(value=value, text=""))
        if isinstance(row, list):
            return value, done, row
        # The source knows the kind of its rows from its first ones, unless none of those can be read.
        kind = (row.template_type, row.data_format)
        self._kind = kind if self._kind == _UNKNOWN else self._kind
        if kind != self._kind:
            reason = "is of another kind than the rows before it"
            return value, done, [RowProblem(raw.line, raw.column, reason, rule="mixed-kinds")]
        return value, done, self._repeats(raw, row.to_json())

    def _repeats(self, raw: RawRow, form: JsonRow) -> list[RowProblem]:
        if self._seen is None:
            return []
        known = digest_of(form)
        if known in self._seen:
            return [RowProblem(raw.line, raw.column, "is the same as an earlier row", rule="duplicate-row")]
        self._seen.add(known)
        return []

    def _drop(self, raw: RawRow, problems: list[RowProblem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        self._note(Change("dropped", raw.line, first.rule, first.field, f"{first.reason}{more}", raw.file))

    def _note(self, change: Change) -> None:
        self.change_count += 1
        if self._limit is None or len(self.changes) < self._limit:
            self.changes.append(change)


def _write(rows: Iterator[Kept], path: Path, file_format: FormatType) -> None:
    if file_format is FormatType.Jsonl:
        write_blocks((_one_line(row).encode() + b"\n" for row in rows), path, file_format)
    elif file_format is FormatType.Json:
        write_blocks(_array(rows), path, file_format)
    else:
        write_values((row.value for row in rows), path, file_format)


def _array(rows: Iterator[Kept]) -> Iterator[bytes]:
    yield b"["
    for number, row in enumerate(rows):
        yield (",\n" if number else "\n").encode() + _json_of(row).encode()
    yield b"\n]\n"


def _json_of(row: Kept) -> str:
    # The text of a line of plain text is no JSON.
    has_json = bool(row.raw.text) and row.raw.value is not row.raw.text
    return row.raw.text if has_json and not row.is_changed else _dumps(row.value)


def _one_line(row: Kept) -> str:
    text = _json_of(row)
    return _dumps(row.value) if "\n" in text or "\r" in text else text


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
