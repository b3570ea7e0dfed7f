"""Sources of some of the rows of another one, as they are: by position, by a search, or all but a few."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice

from qianfan.dataset.processing._derived import PartSource, opened
from qianfan.dataset.processing._jumping import for_jumps, raw_rows_at
from qianfan.dataset.reading import RawRow
from qianfan.dataset.sources import LocalSource


class PickedSource(PartSource):
    """The rows at some positions of another source, which are worked out when they are needed first.

    ascending: whether each position is larger than the one before. length: how many there are, if that is known
    beforehand.
    """

    def __init__(
        self,
        parent: LocalSource,
        find: Callable[[], Sequence[int]],
        *,
        ascending: bool = False,
        length: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__(parent)
        self._find = find
        self._ascending = ascending
        self._length = length

    @cached_property
    def positions(self) -> Sequence[int]:
        """Where in the parent the rows are."""
        return self._find()

    @cached_property
    def _jumped_to(self) -> LocalSource:
        return for_jumps(self.parents[0], self.positions)

    def raw_rows(self) -> Iterator[RawRow]:
        if self._ascending:
            yield from raw_rows_at(self.parents[0], self.positions)
        else:
            yield from map(self._jumped_to.raw_row, self.positions)

    def raw_row(self, position: int) -> RawRow:
        return opened(self.parents[0]).raw_row(self.positions[position])

    @property
    def is_near(self) -> bool:
        return "positions" in self.__dict__ and super().is_near

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def known_length(self) -> int | None:
        return len(self.positions) if "positions" in self.__dict__ else self._length()


class SlicedSource(PartSource):
    """A slice of another source; the first rows are read without counting the others."""

    def __init__(self, parent: LocalSource, part: slice) -> None:
        super().__init__(parent)
        self._part = part

    @property
    def _positions(self) -> range:
        return range(len(opened(self.parents[0])))[self._part]

    @property
    def is_near(self) -> bool:
        backwards = any(one is not None and one < 0 for one in (self._part.start, self._part.stop, self._part.step))
        return not backwards and super().is_near

    def raw_rows(self) -> Iterator[RawRow]:
        start, stop, step = self._part.start or 0, self._part.stop, self._part.step or 1
        if start >= 0 and step > 0 and (stop is None or stop >= 0):
            return islice(opened(self.parents[0]).raw_rows(), start, stop, step)
        positions = self._positions
        if step > 0:
            return raw_rows_at(self.parents[0], positions)
        return map(for_jumps(self.parents[0], positions).raw_row, positions)

    def raw_row(self, position: int) -> RawRow:
        return opened(self.parents[0]).raw_row(self._positions[position])

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def known_length(self) -> int | None:
        known = self.parents[0].known_length
        return None if known is None else len(range(known)[self._part])


class FoundSource(PartSource):
    """Those rows of another source that are found by reading it. The first whole pass notes where they are."""

    _positions: array[int] | None = None

    @abstractmethod
    def _search(self) -> Iterator[tuple[int, RawRow]]:
        """Read the parent and yield the rows that belong here, each with its position in the parent."""

    @property
    def is_near(self) -> bool:
        return self._positions is not None and super().is_near

    def raw_rows(self) -> Iterator[RawRow]:
        if self._positions is not None:
            yield from raw_rows_at(self.parents[0], self._positions)
            return
        positions = array("Q")
        for position, raw in self._search():
            positions.append(position)
            yield raw
        self._positions = positions

    def raw_row(self, position: int) -> RawRow:
        return self.parents[0].raw_row(self._index()[position])

    def __len__(self) -> int:
        return len(self._index())

    @property
    def known_length(self) -> int | None:
        return None if self._positions is None else len(self._positions)

    def _index(self) -> array[int]:
        if self._positions is None:
            self._positions = array("Q", (position for position, _ in self._search()))
        return self._positions


class ThinnedSource(PartSource):
    """A source without some of its rows, which are found out when rows are asked for."""

    def __init__(self, parent: LocalSource, find: Callable[[], array[int]]) -> None:
        super().__init__(parent)
        self._find = find

    @cached_property
    def _gaps(self) -> array[int]:
        return self._find()

    @property
    def dropped(self) -> int | None:
        """How many rows of the parent are left out, once that is known; reading rows or the length finds out."""
        return len(self._gaps) if "_gaps" in self.__dict__ else None

    @property
    def dropped_positions(self) -> Sequence[int]:
        """Which rows of the parent are left out: positions from 0."""
        return self._gaps

    @property
    def is_near(self) -> bool:
        return self.dropped is not None and super().is_near

    def raw_rows(self) -> Iterator[RawRow]:
        gaps = iter(self._gaps)
        gap = next(gaps, None)
        for position, raw in enumerate(opened(self.parents[0]).raw_rows()):
            if position == gap:
                gap = next(gaps, None)
            else:
                yield raw

    def raw_row(self, position: int) -> RawRow:
        if not -len(self) <= position < len(self):
            raise IndexError(position)
        position %= len(self)
        gaps = self._gaps
        # gaps[n] - n rows stay before the gap at n.
        before = bisect_right(range(len(gaps)), position, key=lambda at: gaps[at] - at)
        return self.parents[0].raw_row(position + before)

    def __len__(self) -> int:
        return len(opened(self.parents[0])) - len(self._gaps)

    @property
    def known_length(self) -> int | None:
        known = self.parents[0].known_length
        return None if known is None or self.dropped is None else known - self.dropped
