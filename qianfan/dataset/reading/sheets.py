"""Workbooks of Excel, by python-calamine, which reads one sheet as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianfan.dataset.reading.archives import Archive
from qianfan.dataset.reading.cells import plain, row_of_cells
from qianfan.dataset.reading.content import Content
from qianfan.dataset.reading.files import Blob, errors_named
from qianfan.dataset.reading.places import RawRow, RowProblem, shown
from qianfan.errors import DataFileError, MissingExtraError
from qianfan.utils.logging import logger

if TYPE_CHECKING:
    from python_calamine import CalamineSheet


class Sheet(Content):
    """The rows of the first sheet that has any, below its header; the numbers of rows are those of the sheet."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._kept: list[RawRow] | None = None

    def rows(self) -> Iterator[RawRow]:
        if self._kept is not None:
            return iter(self._kept)
        return self._read()

    def row(self, position: int) -> RawRow:
        return self._all()[position]

    def __len__(self) -> int:
        return len(self._all())

    @property
    def known_length(self) -> int | None:
        return None if self._kept is None else len(self._kept)

    def _all(self) -> list[RawRow]:
        if self._kept is None:
            self._kept = [*self._read()]
        return self._kept

    def _read(self) -> Iterator[RawRow]:
        state = self._blob.state()
        sheet = self._sheet()
        self._blob.check_unchanged(state)
        if sheet is None or sheet.start is None:
            return
        names: list[str] | None = None
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            values = [_value(cell) for cell in cells]
            if not any(value not in (None, "") for value in values):
                continue
            if names is not None:
                yield RawRow(number, 0, "", row_of_cells(names, values))
                continue
            names = [str(value).strip() if value is not None else "" for value in values]
            twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
            if twice:
                reason = f"the header names the column {shown(twice[0])} twice"
                problem = RowProblem(number, 0, reason, "", "duplicate-key", shown(twice[0]), "give it another name")
                yield RawRow(number, 0, "", problem=problem)
                return

    def _sheet(self) -> CalamineSheet | None:
        """The first sheet with cells in it."""
        try:
            import python_calamine as calamine
        except ImportError as error:
            raise MissingExtraError(
                "Excel files need python-calamine: pip install 'qianfan[data]'; or save the sheet as .csv"
            ) from error
        path = self._blob.on_disk()
        _refuse_bomb(path)
        try:
            book = calamine.CalamineWorkbook.from_path(str(path))
            for position, name in enumerate(book.sheet_names):
                sheet = book.get_sheet_by_index(position)
                if sheet.start is not None:
                    others = book.sheet_names[position + 1 :]
                    if others:
                        logger.warning("%s: sheet %r is read; not %s", self._blob.name, name, ", ".join(others))
                    return sheet
        except (calamine.CalamineError, ValueError, OSError) as error:
            raise DataFileError(
                f"data file {self._blob.name} is no workbook that can be read: {error}", path=self._blob.name
            ) from error
        return None


def _value(cell: Any) -> Any:
    """A cell as JSON has it; numbers without a fraction are whole, which a sheet does not tell apart."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else plain(cell)


def _refuse_bomb(path: Path) -> None:
    """A newer workbook is a zip archive, which the library unpacks into memory."""
    with errors_named(path), path.open("rb") as file:
        is_archive = file.read(2) == b"PK"
    if is_archive:
        Archive(path).members()
