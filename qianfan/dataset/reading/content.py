"""What every kind of file gives: its rows in order, any row alone, and how many there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from qianfan.dataset.reading.places import RawRow


class Content(ABC):
    """The rows that a file, or several files, hold. Nothing is read before it is asked for."""

    @abstractmethod
    def rows(self) -> Iterator[RawRow]:
        """All rows in order, read as they are asked for."""

    @abstractmethod
    def row(self, position: int) -> RawRow:
        """The row at a position from 0. Raises IndexError."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are, which may need a look through everything the first time."""

    @property
    @abstractmethod
    def known_length(self) -> int | None:
        """How many rows there are, if that is known without a look."""
