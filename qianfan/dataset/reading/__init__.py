"""Files as rows, one at a time, each with its place: line and column, counted from 1.

A file is never read as a whole to show its first rows, nor kept: a workbook of Excel is the one exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qianfan.dataset.consts import FormatType
from qianfan.dataset.reading.content import Content
from qianfan.dataset.reading.encodings import BOM
from qianfan.dataset.reading.formats import file_format_of, open_content
from qianfan.dataset.reading.lines import LineIndex, parse_line
from qianfan.dataset.reading.places import RawRow, RowProblem, offset_of

__all__ = [
    "BOM",
    "Content",
    "LineIndex",
    "RawRow",
    "RowProblem",
    "file_format_of",
    "offset_of",
    "open_content",
    "parse_line",
    "read_rows",
]


def read_rows(path: Path, file_format: FormatType | None = None) -> Iterator[RawRow]:
    """The rows of a file, or of a folder or zip of files, in order; blank lines are not rows.

    file_format: by the end of the name when left out. Raises as `FileDataSource.open` does.
    """
    return open_content(path, file_format).rows()
