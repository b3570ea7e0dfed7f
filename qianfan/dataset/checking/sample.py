"""Every n-th row, so that any number of rows can be looked at closely in a bounded time."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

ALL_OF = 20_000
"""Rows of which all are in the sample."""

MOST = 5_000
"""Rows that a sample of more has at most."""


class Sample(Generic[T]):
    """Every n-th row by its position from 0, with whatever was noted about it.

    n begins at 1 and doubles whenever there would be too many, so nobody needs to know how many are to come.
    """

    def __init__(self, all_of: int = ALL_OF, most: int = MOST) -> None:
        self._all_of = all_of
        self._most = most
        self.step = 1
        self.noted: dict[int, T] = {}

    def wants(self, position: int) -> bool:
        """Whether the row at this position belongs to the sample; positions come in ascending order."""
        if position % self.step:
            return False
        while position // self.step >= (self._all_of if self.step == 1 else self._most):
            self.step *= 2
            self.noted = {at: note for at, note in self.noted.items() if at % self.step == 0}
        return position % self.step == 0
