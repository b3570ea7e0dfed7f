"""What a check found: errors, warnings, and what the rows are like."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qianfan.dataset.reading import RowProblem
from qianfan.errors import DataFileError, InvalidArgumentError, ValidationError

if TYPE_CHECKING:
    from qianfan.dataset.checking.statistics import Statistics

Severity: TypeAlias = Literal["error", "warning"]

REPORT_VERSION = 1
"""Of `Report.to_dict`; a change that could break a reader makes it the next number."""


@dataclass(frozen=True, slots=True)
class Group:
    """All that one rule found in one field.

    rule: its name, as in `checking.RULES`. field: where in the row, with positions left out, as in `[].response`.
    count: how many there are; the first of them are in `first`, with reason, found value and place.
    fix: what to do about them.
    """

    rule: str
    severity: Severity
    field: str
    count: int
    fix: str
    first: tuple[RowProblem, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check. True when there are no errors; warnings do not count.

    source: the file or what else was checked. rows: how many there are. bad_rows: how many of them cannot be used.
    problems: the first of `problem_count` errors. warnings: the first of `warning_count`. Both in the order of the
        rows; a line of 0 means the whole dataset.
    groups: errors and warnings by rule and field, all of them counted.
    statistics: what the rows are like, if that was asked for. notes: what was left out of the check, in sentences.
    seconds: how long the check took.
    """

    source: str
    rows: int
    bad_rows: int
    problem_count: int
    problems: tuple[RowProblem, ...]
    warning_count: int = 0
    warnings: tuple[RowProblem, ...] = ()
    groups: tuple[Group, ...] = ()
    statistics: Statistics | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return self.problem_count == 0

    def __str__(self) -> str:
        from qianfan.dataset.checking.text import report_text

        return report_text(self)

    def _repr_html_(self) -> str:
        from qianfan.dataset.checking.html import report_fragment

        return report_fragment(self)

    def raise_for_problems(self) -> None:
        """Raise ValidationError that lists the errors, or return quietly when there are none."""
        if not self:
            raise ValidationError(self.headline, listed(self.problems, self.problem_count))

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        if self and self.warning_count:
            return f"{self.source}: {counted(self.rows, 'row')}, no errors, {counted(self.warning_count, 'warning')}"
        if self:
            return f"{self.source}: {counted(self.rows, 'row')}, nothing wrong"
        if self.bad_rows:
            return f"{self.source}: {self.bad_rows} of {self.rows} rows have problems"
        return f"{self.source}: {counted(self.rows, 'row')}, {counted(self.problem_count, 'problem')}"

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values.

        ```
        {"version": 1, "source": "train.jsonl", "ok": false, "rows": 5, "bad_rows": 1, "seconds": 0.01,
         "errors": {"count": 1, "items": [PROBLEM, …]}, "warnings": {"count": 0, "items": []},
         "groups": [{"rule": …, "severity": "error", "field": …, "count": 1, "fix": …, "first": [PROBLEM, …]}, …],
         "statistics": {…} or null, "notes": […]}
        ```

        PROBLEM is `{"file", "line", "column", "field", "rule", "reason", "found", "fix"}`, unknown is "" or 0.
        `items` holds those that were kept, so there may be fewer than `count`. Statistics: `Statistics.to_dict`.
        """
        return {
            "version": REPORT_VERSION,
            "source": self.source,
            "ok": bool(self),
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "seconds": round(self.seconds, 3),
            "errors": {"count": self.problem_count, "items": [problem_dict(one) for one in self.problems]},
            "warnings": {"count": self.warning_count, "items": [problem_dict(one) for one in self.warnings]},
            "groups": [_group_dict(group) for group in self.groups],
            "statistics": None if self.statistics is None else self.statistics.to_dict(),
            "notes": list(self.notes),
        }

    def to_html(self) -> str:
        """The report as one page that needs nothing else."""
        from qianfan.dataset.checking.html import report_page

        return report_page(self)

    def save(self, path: str | Path) -> Path:
        """Write the report to a file, as JSON, HTML or text by the end of its name, and return its path.

        Raises InvalidArgumentError for another end, DataFileError when the file cannot be written.
        """
        forms = {".json": lambda: json_text(self.to_dict()), ".html": self.to_html, ".txt": lambda: f"{self}\n"}
        return save_as(Path(path), forms)


def problem_dict(problem: RowProblem) -> dict[str, Any]:
    """A problem as JSON values."""
    names = ("file", "line", "column", "field", "rule", "reason", "found", "fix")
    return {name: getattr(problem, name) for name in names}


def _group_dict(group: Group) -> dict[str, Any]:
    names = ("rule", "severity", "field", "count", "fix")
    return {name: getattr(group, name) for name in names} | {"first": [problem_dict(one) for one in group.first]}


def counted(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(problems: Sequence[RowProblem], count: int) -> list[str]:
    """Problems as lines, and a last one for those that were not kept."""
    left_out = count - len(problems)
    return [*map(str, problems), *([f"and {left_out} more"] if left_out else [])]


def save_as(path: Path, forms: Mapping[str, Callable[[], str]]) -> Path:
    """Write whichever form the end of a file's name asks for. Raises as `Report.save` does."""
    form = forms.get(path.suffix.lower())
    if form is None:
        raise InvalidArgumentError(f"{path}: a report is saved as {', '.join(forms)}, not {path.suffix!r}")
    try:
        # What was found may hold half of a surrogate pair, which no file can.
        path.write_text(form(), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise DataFileError(f"{path} cannot be written: {error.strerror or error}", path=str(path)) from error
    return path


def json_text(value: Any) -> str:
    """JSON for people and programs."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
