"""Reports and statistics for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qianfan.dataset.checking.statistics import PARTS, Bin, Distribution, Statistics
from qianfan.dataset.reading import RowProblem
from qianfan.dataset.report import Group, Report, counted

_BAR = 30


def report_text(report: Report) -> str:
    """What was found, grouped, each group with its first places and its fix."""
    lines = [report.headline]
    for severity, count in (("error", report.problem_count), ("warning", report.warning_count)):
        groups = [group for group in report.groups if group.severity == severity]
        if groups:
            lines += ["", counted(count, severity), *_groups(groups)]
    if report.statistics is not None:
        lines += ["", str(report.statistics)]
    lines += ["", *(f"note: {note}" for note in report.notes)] if report.notes else []
    return "\n".join(lines)


def _groups(groups: Sequence[Group]) -> Iterator[str]:
    width = max(len(f"{group.count:,}") for group in groups)
    indent = " " * (width + 4)
    for group in groups:
        where = f" in {group.field}" if group.field else ""
        yield f"  {group.count:>{width},}  {group.rule}{where}"
        for problem in group.first:
            yield f"{indent}- {_line(problem)}"
        if group.count > len(group.first):
            yield f"{indent}- and {group.count - len(group.first):,} more"
        yield f"{indent}fix: {group.fix}"


def _line(problem: RowProblem) -> str:
    # Some reasons name the value already.
    found = problem.found if problem.found and problem.found.strip('"') not in problem.reason else ""
    return f"{problem}, found {found}" if found else str(problem)


def statistics_text(statistics: Statistics) -> str:
    """Rows, kinds and languages, a table of lengths, and how the rows' tokens are spread."""
    basis = f", measured on {statistics.measured:,} of them" if statistics.is_sample else ""
    kinds = ", ".join(f"{name} {count:,}" for name, count in statistics.kinds.items())
    languages = ", ".join(f"{name} {share:.0%}" for name, share in statistics.languages.items() if share)
    lines = [f"{counted(statistics.rows, 'row')}{basis}"]
    lines += [f"kinds: {kinds}"] if kinds else []
    lines += [f"languages: {languages}"] if languages else []
    if statistics.measured:
        lines += ["", *_table(statistics), "", "tokens in a row (estimated)", *bars(statistics.tokens["all"].histogram)]
    return "\n".join(lines)


def _table(statistics: Statistics) -> Iterator[str]:
    yield f"{'':<20}{'mean':>10}{'min':>10}{'median':>10}{'95%':>10}{'max':>10}"
    rows = [("turns", statistics.turns)]
    for unit, lengths in (("characters", statistics.characters), ("tokens", statistics.tokens)):
        rows += [(f"{unit}, {part}", lengths[part]) for part in PARTS if lengths[part].total]
    for name, one in rows:
        yield f"{name:<20}{_cells(one)}"


def _cells(one: Distribution) -> str:
    numbers = (one.smallest, one.quantiles[0.5], one.quantiles[0.95], one.largest)
    return f"{one.mean:>10,.1f}" + "".join(f"{number:>10,}" for number in numbers)


def bars(histogram: Sequence[Bin]) -> Iterator[str]:
    """A histogram as lines, one for each bin."""
    most = max((one.rows for one in histogram), default=0)
    labels = [bin_label(one) for one in histogram]
    width = max(map(len, labels), default=0)
    for label, one in zip(labels, histogram, strict=True):
        bar = "█" * round(_BAR * one.rows / most) or ("▏" if one.rows else "")
        yield f"  {label:>{width}}  {bar:<{_BAR}}  {one.rows:,}"


def bin_label(one: Bin) -> str:
    """Which values a bin holds."""
    if one.high is None:
        return f"{one.low:,} or more"
    return f"{one.low:,}" if one.high == one.low + 1 else f"{one.low:,}–{one.high - 1:,}"
