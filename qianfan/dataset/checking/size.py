"""How large a dataset must be, and may be."""

from __future__ import annotations

from collections.abc import Mapping

from qianfan.dataset.checking.findings import Findings
from qianfan.dataset.consts import DataTemplateType
from qianfan.dataset.reading import RowProblem
from qianfan.dataset.report import counted
from qianfan.dataset.sources import FileDataSource, LocalSource

MOST_BYTES = 50 * 10**9
"""Of one file that is imported from object storage."""

MOST_BYTES_PACKED = 5 * 10**9
"""Of what is packed and imported by a link."""

_PACKED = (DataTemplateType.GenericText, DataTemplateType.Text2Image)

LEAST_ROWS: Mapping[DataTemplateType, tuple[int, int, str]] = {
    DataTemplateType.NonSortedConversation: (32, 100, "fine-tuning"),
    DataTemplateType.PromptChosenRejected: (0, 100, "preference training"),
}
"""Rows that a training refuses to begin without, rows that it should have, and what it is called."""


def note_size(source: LocalSource, good_rows: int, findings: Findings) -> None:
    """Note a dataset that is too small to train on, or a file that is too large to import."""
    if isinstance(source, FileDataSource) and source.path.is_file():
        reason = too_large(source.template_type, source.path.stat().st_size)
        if reason:
            findings.add(-1, RowProblem(0, 0, reason, rule="file-too-large"))
    reason = too_few(source.template_type, good_rows)
    if reason:
        findings.add(-1, RowProblem(0, 0, reason, rule="too-few-rows"))


def too_large(kind: DataTemplateType | None, size: int) -> str:
    """Why a file of this kind and so many bytes cannot be imported; empty for one that can."""
    most = MOST_BYTES_PACKED if kind in _PACKED else MOST_BYTES
    return f"the file has {size:,} bytes; the platform imports up to {most:,}" if size > most else ""


def too_few(kind: DataTemplateType | None, rows: int) -> str:
    """Why so many rows of a kind are too few; empty when they are enough."""
    if kind is None or kind not in LEAST_ROWS:
        return ""
    least, advised, training = LEAST_ROWS[kind]
    if rows < least:
        return f"{counted(rows, 'row')}, and {training} needs at least {least}"
    return f"{counted(rows, 'row')}, and {training} should have {advised} or more" if rows < advised else ""
