"""What is wrong with a dataset, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qianfan.dataset.reading import RowProblem
from qianfan.errors import ValidationError

KEPT = 1000
"""Problems a report keeps; the rest is only counted, so that a hopeless file cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check. True when nothing is wrong.

    source: the file or what else was checked; rows: how many there are; bad_rows: how many have a problem.
    problems: the first thousand of `problem_count`.
    """

    source: str
    rows: int
    bad_rows: int
    problem_count: int
    problems: tuple[RowProblem, ...]

    @classmethod
    def of(cls, source: str, problems_by_row: Iterable[list[RowProblem]]) -> Report:
        """Count and collect; each item holds what is wrong with one row, nothing for a good one."""
        rows = bad_rows = count = 0
        kept: list[RowProblem] = []
        for problems in problems_by_row:
            rows += 1
            bad_rows += bool(problems)
            count += len(problems)
            kept += problems[: KEPT - len(kept)]
        return cls(source, rows, bad_rows, count, tuple(kept))

    def __bool__(self) -> bool:
        return self.problem_count == 0

    def __str__(self) -> str:
        if self:
            return f"{self.source}: {self.rows} rows, nothing wrong"
        head = f"{self.source}: {self.bad_rows} of {self.rows} rows have problems"
        return "\n".join([head, *(f"  - {line}" for line in self._lines())])

    def _lines(self) -> list[str]:
        left_out = self.problem_count - len(self.problems)
        return [str(problem) for problem in self.problems] + ([f"and {left_out} more"] if left_out else [])

    def raise_for_problems(self) -> None:
        """Raise ValidationError that lists everything, or return quietly when nothing is wrong."""
        if not self:
            head = f"{self.source}: {self.bad_rows} of {self.rows} rows have problems"
            raise ValidationError(head, self._lines())
