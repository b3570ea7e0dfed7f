"""The check of a dataset before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from time import perf_counter

from qianfan.dataset.checking.findings import Findings
from qianfan.dataset.checking.kind import note_kind
from qianfan.dataset.checking.look import Look, look_carefully, look_fast, note_sample
from qianfan.dataset.checking.rules import WITHOUT_WARNINGS, Choice, checked_choices
from qianfan.dataset.checking.size import note_size
from qianfan.dataset.checking.statistics import Statistics
from qianfan.dataset.checking.twins import Prints, find_leaks, find_repeats, has_lines
from qianfan.dataset.report import Report
from qianfan.dataset.sources import FileDataSource, LocalSource
from qianfan.errors import InvalidArgumentError

KEPT = 1_000
"""Errors, and warnings, that a report keeps; the rest is only counted, so that a hopeless file fills no memory."""

_FAST_FROM = 32 << 20
"""Bytes of a file from which on the fast way is worth its start."""

_QUESTIONS_UP_TO = 256 << 20
"""Bytes of a line file up to which questions are compared without being asked for: each of its rows must be read."""


def check(
    source: LocalSource,
    *,
    limit: int | None = KEPT,
    against: LocalSource | None = None,
    warnings: bool = True,
    duplicates: bool = True,
    statistics: bool = True,
    rules: Mapping[str, Choice] | None = None,
    fast: bool | None = None,
) -> Report:
    """Read all rows and report what is wrong, and what is at least odd.

    limit: how many errors and how many warnings are kept in the report, all of them with None; all are counted.
    against: another dataset, usually the one to evaluate with: rows and questions that are in it too are warned of.
    warnings: whether to look for anything but errors. duplicates: whether to look for rows and questions that are
        there twice. statistics: whether to measure the rows.
    rules: what becomes of warnings, by the name of the rule in `RULES`: "error", "warning" or "off". In line files
        of more than 256 MB, questions are only compared for `same-question` when it is named here.
    fast: whether to read only what needs it, which only works for `.jsonl` files; by their size when left out. The
        report is the same.

    Raises InvalidArgumentError for wrong options, DataFileError for a file that cannot be read, and
    DataFileChangedError for one that changes meanwhile.
    """
    if limit is not None and limit < 0:
        raise InvalidArgumentError(f"limit must be 0 or more, or None to keep all, not {limit}")
    choices = checked_choices(rules)
    findings = Findings(limit, choices if warnings else WITHOUT_WARNINGS | choices)
    started = perf_counter()
    for one in (source, against):
        if isinstance(one, FileDataSource) and one.shape is None:
            one.open()
    look = Look(source, findings)
    closely = statistics or findings.wants("misspelt-key", "same-answer")
    twins = duplicates and findings.wants("duplicate-row", "same-question")
    leaks = against is not None and findings.wants("leaked-row", "leaked-question")
    questions = "same-question" in choices or not _is_long(source)
    with Prints() if twins or leaks else nullcontext() as prints:
        if has_lines(source) and (_is_worth_it(source) if fast is None else fast):
            look_fast(look, source, findings, closely=closely, prints=prints, questions=questions or leaks)
        else:
            look_carefully(look, source, findings, closely=closely, prints=prints)
        note_sample(look.sample, findings)
        note_kind(source, findings)
        note_size(source, look.rows - look.bad_rows, findings)
        if prints is not None and twins:
            find_repeats(source, prints, findings, limit, questions=questions)
        if prints is not None and against is not None and leaks:
            find_leaks(source, prints, against, findings, limit)
    notes: list[str] = []
    if twins and not questions and findings.wants("same-question"):
        notes.append("questions were not compared in a file of this size; rules={'same-question': 'warning'} does it")
    measured = Statistics.of([close.numbers for close in look.sample.noted.values()], look.rows - look.bad_rows)
    return Report(
        source=source.name,
        rows=look.rows,
        bad_rows=look.bad_rows,
        problem_count=findings.count("error"),
        problems=findings.kept("error"),
        warning_count=findings.count("warning"),
        warnings=findings.kept("warning"),
        groups=findings.groups(),
        statistics=measured if statistics else None,
        notes=tuple(notes),
        seconds=perf_counter() - started,
    )


def _is_long(source: LocalSource) -> bool:
    return has_lines(source) and source.path.stat().st_size > _QUESTIONS_UP_TO


def _is_worth_it(source: FileDataSource) -> bool:
    return source.path.stat().st_size >= _FAST_FROM
