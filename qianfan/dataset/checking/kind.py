"""Whether the rows are of any kind that a model can be trained on."""

from __future__ import annotations

from itertools import islice

from qianfan.dataset.checking.findings import Findings
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.shapes import TABLE, why_unclear
from qianfan.dataset.sources import PEEK, LocalSource


def note_kind(source: LocalSource, findings: Findings) -> None:
    """Note a dataset whose rows have columns that no format knows, once, at its first row."""
    if source.shape is not TABLE:
        return
    first = next((raw for raw in islice(source.raw_rows(), PEEK) if raw.problem is None), RawRow(0, 0, "", {}))
    reason = why_unclear(first.value, [TABLE])
    findings.add(-1, RowProblem(first.line, first.column, reason, rule="no-format", file=first.file))
