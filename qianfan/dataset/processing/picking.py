"""Some rows of a source, by position or by chance.

With a seed, chance is the same on every machine and in every version of Python. Without one, it is drawn once, when
the source is made, so that its rows are the same each time they are read.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property, partial
from itertools import accumulate

from qianfan.dataset.processing import chance
from qianfan.dataset.processing._derived import opened
from qianfan.dataset.processing._keys import By, key_digests
from qianfan.dataset.processing._parts import PickedSource, SlicedSource
from qianfan.dataset.sources import LocalSource
from qianfan.errors import InvalidArgumentError


def selected(source: LocalSource, rows: slice | Sequence[int]) -> LocalSource:
    """A source with a slice of the rows, or with those at some positions, in the order of the positions.

    Positions count from 0, or from the end where they are negative. Reading raises IndexError for one that does not
    exist.
    """
    if isinstance(rows, slice):
        return SlicedSource(source, rows)
    positions = array("q", rows)
    return PickedSource(source, partial(_existing, source, positions), length=lambda: len(positions))


def shuffled(source: LocalSource, seed: int | None = None) -> LocalSource:
    """A source with the same rows in an order by chance. It keeps eight bytes for each row."""
    seed = chance.a_seed(seed)
    return PickedSource(source, lambda: chance.permutation(_length(source), seed), length=lambda: source.known_length)


def sampled(
    source: LocalSource, count: int | None = None, *, fraction: float | None = None, seed: int | None = None
) -> LocalSource:
    """A source with some of the rows, drawn by chance, in their order.

    count: how many; all of them where there are fewer. fraction: which part of them instead, from 0 to 1.
    """
    if (count is None) == (fraction is None):
        raise InvalidArgumentError("a sample needs a count or a fraction, and not both")
    if count is not None and (isinstance(count, bool) or count < 0):
        raise InvalidArgumentError(f"count must be a number of rows, not {count!r}")
    if fraction is not None and not 0 <= fraction <= 1:
        raise InvalidArgumentError(f"fraction must be between 0 and 1, not {fraction!r}")
    seed = chance.a_seed(seed)

    def wanted(length: int) -> int:
        return min(count, length) if count is not None else round(_exact(fraction or 0) * length)

    def length() -> int | None:
        known = source.known_length
        return None if known is None else wanted(known)

    def find() -> Sequence[int]:
        size = _length(source)
        return chance.sample(size, wanted(size), seed)

    return PickedSource(source, find, ascending=True, length=length)


def split(
    source: LocalSource, sizes: float | Sequence[float], *, seed: int | None = None, by: By | None = None
) -> tuple[LocalSource, ...]:
    """The source in parts by chance: every row is in exactly one, and each part has its rows in their order.

    sizes: fractions below 1, or whole numbers of rows, one for each part. What they leave is one more part; fractions
        that add up to 1 leave none. `split(source, 0.9)` makes two parts, `split(source, [0.8, 0.1, 0.1])` three.
    by: a column, several, or a function: rows that agree in it go to the same part, so that no part knows the answers
        of another. Parts then come as near to their sizes as whole groups allow.

    Reading raises InvalidArgumentError when there are fewer rows than the sizes ask for.
    """
    wanted = [sizes] if isinstance(sizes, (int, float)) else list(sizes)
    division = _Division(source, _targets(wanted), chance.a_seed(seed), by)
    return tuple(
        PickedSource(source, partial(division.part, number), ascending=True) for number in range(division.number)
    )


class _Division:
    """Which row goes to which part, worked out once for all parts."""

    def __init__(self, source: LocalSource, targets: Callable[[int], list[int]], seed: int, by: By | None) -> None:
        self._source = source
        self._targets = targets
        self._seed = seed
        self._by = by
        self.number = len(targets(0))

    def part(self, number: int) -> array[int]:
        """The positions of one part, ascending."""
        return self._parts[number]

    @cached_property
    def _parts(self) -> list[array[int]]:
        return self._by_rows() if self._by is None else self._by_groups(self._by)

    def _by_rows(self) -> list[array[int]]:
        size = _length(self._source)
        return chance.parts(chance.permutation(size, self._seed), self._counts(size))

    def _by_groups(self, by: By) -> list[array[int]]:
        digests = key_digests(self._source, by, size=8, seed=self._seed)
        marks = array("Q", (int.from_bytes(digest, "big") for digest in digests))
        counts = self._counts(len(marks))
        cuts = [_cut(marks, target) for target in [*accumulate(counts)][:-1]]
        parts = [array("Q") for _ in counts]
        for position, at in enumerate(marks):
            parts[bisect_right(cuts, at)].append(position)
        return parts

    def _counts(self, size: int) -> list[int]:
        counts = self._targets(size)
        if counts[-1] < 0 or sum(counts) != size:
            raise InvalidArgumentError(
                f"{self._source.name} has {size} rows, which is not enough for parts of {counts[:-1]}"
            )
        return counts


def _cut(marks: array[int], target: int) -> int:
    """The mark below which there are as many as wanted, or as near as equal marks allow."""
    by_start = array("Q", bytes(8 << 16))
    for mark in marks:
        by_start[mark >> 48] += 1
    start, below = 0, 0
    while start < len(by_start) - 1 and below + by_start[start] < target:
        below += by_start[start]
        start += 1
    cut = start << 48
    best = abs(below - target)
    near = sorted(mark for mark in marks if mark >> 48 == start)
    for at, mark in enumerate(near, start=1):
        is_last_of_equals = at == len(near) or near[at] != mark
        if is_last_of_equals and abs(below + at - target) < best:
            cut, best = mark + 1, abs(below + at - target)
    return cut


def _targets(wanted: Sequence[float]) -> Callable[[int], list[int]]:
    """From the number of rows to the sizes of all parts; the last one is what the others leave."""
    if not wanted or any(isinstance(number, bool) or not number >= 0 for number in wanted):
        raise InvalidArgumentError(f"sizes must be fractions below 1 or numbers of rows, not {wanted!r}")
    if all(isinstance(number, int) for number in wanted):
        counts = [int(number) for number in wanted]
        return lambda size: [*counts, size - sum(counts)]
    shares = [_exact(number) for number in wanted]
    whole = sum(shares, Fraction(0))
    if any(isinstance(number, int) for number in wanted) or whole > 1:
        raise InvalidArgumentError(f"sizes must be fractions that add up to 1 or less, or all be whole, not {wanted!r}")
    if whole < 1:
        shares.append(1 - whole)

    def counts_of(size: int) -> list[int]:
        ends = [round(share * size) for share in accumulate(shares)]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]

    return counts_of


def _exact(number: float) -> Fraction:
    """The number that was written: 0.1 is a tenth, not the binary number next to it."""
    return Fraction(str(number))


def _length(source: LocalSource) -> int:
    return len(opened(source))


def _existing(source: LocalSource, positions: array[int]) -> Sequence[int]:
    if not positions:
        return positions
    size = _length(source)
    for position in positions:
        if not -size <= position < size:
            raise IndexError(f"row {position} of {source.name}, which has {size}")
    return array("Q", (position % size for position in positions))
