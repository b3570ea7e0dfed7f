"""Reports and statistics as HTML that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from qianfan.dataset.checking.statistics import PARTS, Bin, Distribution, Statistics
from qianfan.dataset.checking.text import bin_label
from qianfan.dataset.reading import RowProblem
from qianfan.dataset.report import Group, Report, counted

_STYLE = """
.qf{color-scheme:light dark;--line:#8884;--error:#c62828;--warning:#9a6700;--bar:#4c78a8;
font:14px/1.5 system-ui,sans-serif;max-width:70rem}
@media(prefers-color-scheme:dark){.qf{--error:#ff8a80;--warning:#ffd166;--bar:#8ab4e8}}
.qf table{border-collapse:collapse;margin:.5rem 0 1.5rem}
.qf th,.qf td{border-bottom:1px solid var(--line);padding:.25rem .75rem;text-align:left;vertical-align:top}
.qf td.n,.qf th.n{text-align:right;font-variant-numeric:tabular-nums}
.qf .error{color:var(--error)}.qf .warning{color:var(--warning)}
.qf code{white-space:pre-wrap;overflow-wrap:anywhere}
.qf ul{margin:0;padding-left:1.2rem}
.qf figure{display:inline-block;margin:0 2rem 1rem 0}
.qf svg text{fill:currentColor;font-size:11px}.qf svg rect{fill:var(--bar)}
"""
_PAGE = "body{margin:2rem auto;padding:0 1rem;max-width:72rem}html{color-scheme:light dark}"

_ROW = 18
_LABELS = 110
_BARS = 260


def report_page(report: Report) -> str:
    """A report as a whole page."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_safe(report.source)}</title><style>{_PAGE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{report_fragment(report)}</body></html>\n'


def report_fragment(report: Report) -> str:
    """A report for a place in another page, such as a notebook."""
    parts = [f"<style>{_STYLE}</style><h2>{_safe(report.headline)}</h2>"]
    for severity, count, kept in (
        ("error", report.problem_count, report.problems),
        ("warning", report.warning_count, report.warnings),
    ):
        groups = [group for group in report.groups if group.severity == severity]
        if groups:
            head = f'<h3 class="{severity}">{counted(count, severity)}</h3>'
            parts.append(head + _groups(groups) + _all(kept, count))
    if report.statistics is not None:
        parts.append(_statistics(report.statistics))
    parts += [f"<p>{_safe(note)}</p>" for note in report.notes]
    return f'<div class="qf">{"".join(parts)}</div>'


def statistics_fragment(statistics: Statistics) -> str:
    """Statistics for a place in another page."""
    return f'<div class="qf"><style>{_STYLE}</style>{_statistics(statistics)}</div>'


def _groups(groups: Sequence[Group]) -> str:
    rows: list[str] = []
    for group in groups:
        first = "".join(f"<li>{_problem(problem)}</li>" for problem in group.first)
        rows.append(
            f'<tr><td class="n">{group.count:,}</td><td>{_safe(group.rule)}</td><td><code>{_safe(group.field)}</code>'
            f"</td><td><ul>{first}</ul></td><td>{_safe(group.fix)}</td></tr>"
        )
    head = '<tr><th class="n">count</th><th>rule</th><th>field</th><th>first</th><th>fix</th></tr>'
    return f"<table>{head}{''.join(rows)}</table>"


def _all(kept: Sequence[RowProblem], count: int) -> str:
    lines = "".join(f"<li>{_problem(problem)}</li>" for problem in kept)
    more = f"<p>and {count - len(kept):,} more</p>" if count > len(kept) else ""
    return f"<details><summary>the first {len(kept):,}</summary><ul>{lines}</ul>{more}</details>"


def _problem(problem: RowProblem) -> str:
    found = f" <code>{_safe(problem.found)}</code>" if problem.found else ""
    return _safe(str(problem)) + found


def _statistics(statistics: Statistics) -> str:
    basis = f", measured on {statistics.measured:,} of them" if statistics.is_sample else ""
    facts = [f"{counted(statistics.rows, 'row')}{basis}"]
    facts += [f"{name}: {count:,}" for name, count in statistics.kinds.items()]
    facts += [f"{name}: {share:.0%}" for name, share in statistics.languages.items() if share]
    parts = [f"<h3>Rows</h3><p>{_safe('; '.join(facts))}</p>"]
    if statistics.measured:
        parts.append(_lengths(statistics))
        parts += [
            _figure(title, histogram)
            for title, histogram in (
                ("tokens in a row (estimated)", statistics.tokens["all"].histogram),
                ("characters in a row", statistics.characters["all"].histogram),
                ("turns in a row", statistics.turns.histogram),
            )
        ]
    return "".join(parts)


def _lengths(statistics: Statistics) -> str:
    rows = [_cells("turns", statistics.turns)]
    for unit, lengths in (("characters", statistics.characters), ("tokens", statistics.tokens)):
        rows += [_cells(f"{unit}, {part}", lengths[part]) for part in PARTS if lengths[part].total]
    head = "".join(f'<th class="n">{name}</th>' for name in ("mean", "min", "5%", "median", "95%", "99%", "max"))
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _cells(name: str, one: Distribution) -> str:
    numbers = (one.smallest, *(one.quantiles[share] for share in (0.05, 0.5, 0.95, 0.99)), one.largest)
    cells: Iterable[str] = (f"{one.mean:,.1f}", *(f"{number:,}" for number in numbers))
    return f"<tr><td>{name}</td>{''.join(f'<td class=n>{cell}</td>' for cell in cells)}</tr>"


def _figure(title: str, histogram: Sequence[Bin]) -> str:
    return f"<figure><figcaption>{title}</figcaption>{histogram_svg(histogram)}</figure>"


def histogram_svg(histogram: Sequence[Bin]) -> str:
    """A histogram as a picture, with lying bars."""
    most = max((one.rows for one in histogram), default=0) or 1
    bars: list[str] = []
    for at, one in enumerate(histogram):
        top, width = at * _ROW, max(_BARS * one.rows / most, 1 if one.rows else 0)
        bars.append(
            f'<text x="{_LABELS - 6}" y="{top + 13}" text-anchor="end">{bin_label(one)}</text>'
            f'<rect x="{_LABELS}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 5}"/>'
            f'<text x="{_LABELS + width + 6:.1f}" y="{top + 13}">{one.rows:,}</text>'
        )
    size = f'width="{_LABELS + _BARS + 80}" height="{_ROW * len(histogram)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{"".join(bars)}</svg>'


def _safe(text: str) -> str:
    return escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))
