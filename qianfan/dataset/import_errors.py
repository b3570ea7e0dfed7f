"""The platform's complaints about what was imported, as problems of the rows that a user has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qianfan.dataset.packing import row_of_member
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.sources import LocalSource
from qianfan.errors import QianfanError
from qianfan.resources.schemas import ImportErrorLine

RULE: Final = "refused-by-platform"
_SHOWN: Final = 60
_WORDS: Final = ("reason", "errorMessage", "errMsg", "message")
"""Under which names the platform's own words come, where they come apart from the row's text."""


def words_of(line: ImportErrorLine) -> str:
    """What the platform says about a line, in its own language; empty when it only repeats the line."""
    extra = line.model_extra or {}
    return next((str(extra[name]) for name in _WORDS if extra.get(name)), "")


def as_sent(line: ImportErrorLine) -> str:
    """A line of the report as text, in terms of the file that was sent."""
    where = f"{line.sample_file_name} line {line.text_location}: " if line.text_location else ""
    return where + " ".join(part for part in (words_of(line), line.text_content) if part)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the rows of an upload came from.

    as_it_is: the very file was sent. as_archive: each row was sent as a file of its own.
    """

    source: LocalSource
    as_it_is: bool
    as_archive: bool

    def problem(self, line: ImportErrorLine) -> RowProblem | None:
        """The row that a line of the report is about, None when it is about no row. Blocking."""
        raw = self._row(line)
        if raw is None:
            return None
        words = words_of(line)
        return RowProblem(
            raw.line,
            raw.column,
            words or line.text_content or "the platform does not take this row",
            rule=RULE,
            found=_shortened(line.text_content) if words else "",
            file=raw.file,
        )

    def told(self, problem: RowProblem) -> str:
        """A problem as text, in terms of what the user has."""
        found = f" ({problem.found})" if problem.found else ""
        return f"{self.source.name}: {problem}{found}"

    def _row(self, line: ImportErrorLine) -> RawRow | None:
        if self.as_archive:
            position = row_of_member(line.sample_file_name or line.sample_name)
        elif not line.text_location:
            return None
        elif self.as_it_is:
            return RawRow(line.text_location, 1, "")
        else:
            position = line.text_location - 1
        if position is None:
            return None
        try:
            return self.source.raw_row(position)
        except (IndexError, QianfanError):
            # The file may have been moved or changed since it was sent.
            return None


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
