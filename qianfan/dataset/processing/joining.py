"""Several sources as one: one after the other, or mixed by ratio."""

from __future__ import annotations

import random
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import accumulate

from qianfan.dataset.consts import DataFormat
from qianfan.dataset.processing import chance
from qianfan.dataset.processing._derived import DerivedSource, Kind, opened, origin_name
from qianfan.dataset.processing._functions import json_row
from qianfan.dataset.processing._parts import PickedSource
from qianfan.dataset.processing.mapping import platform_shape
from qianfan.dataset.reading import RawRow, RowProblem
from qianfan.dataset.shapes import TABLE
from qianfan.dataset.sources import LocalSource
from qianfan.errors import InvalidArgumentError


def concatenated(sources: Sequence[LocalSource]) -> LocalSource:
    """All rows of several sources, one source after the other.

    Sources of one shape keep it; those of several shapes come in the platform's form. Reading raises
    InvalidArgumentError for sources that make different kinds of datasets.
    """
    if not sources:
        raise InvalidArgumentError("there is nothing to concatenate")
    return sources[0] if len(sources) == 1 else ConcatenatedSource(*sources)


def mixed(
    sources: Sequence[LocalSource],
    weights: Sequence[float] | None = None,
    *,
    total: int | None = None,
    repeat: bool = False,
    seed: int | None = None,
) -> LocalSource:
    """Rows of several sources in given proportions, drawn and ordered by chance.

    weights: the proportions, equal ones when left out: `[3, 1]` gives three rows of the first for each of the second.
    total: how many rows there will be. Left out, as many as there are until the scarcest source runs out.
    repeat: draw rows again, each source as a whole before any of its rows comes another time, where `total` asks for
        more than there is.

    Reading raises InvalidArgumentError when a source has too few rows for `total`, and as `concatenated` does.
    """
    shares = _shares(weights if weights is not None else [1] * len(sources), sources)
    if total is not None and total < 0:
        raise InvalidArgumentError(f"total must be a number of rows, not {total}")
    if repeat and total is None:
        raise InvalidArgumentError("rows that repeat never run out: say with total= how many there should be")
    find = partial(_drawn, sources, shares, total, repeat, chance.a_seed(seed))
    return PickedSource(concatenated(sources), find, length=lambda: total)


class ConcatenatedSource(DerivedSource):
    """All rows of several sources, one source after the other."""

    def __init__(self, *parents: LocalSource) -> None:
        super().__init__(*parents)
        others = "another" if len(parents) == 2 else f"{len(parents) - 1} others"
        self.name = f"{parents[0].name} and {others}"

    @cached_property
    def kind(self) -> Kind:
        sources = [opened(parent) for parent in self.parents]
        with_rows = [source for source in sources if source.shape is not None]
        self._is_named = any(source._is_named for source in sources)
        first = next(iter(with_rows), sources[0])
        for other in with_rows:
            if (other.template_type, other.data_format) != (first.template_type, first.data_format):
                raise InvalidArgumentError(
                    f"{first.name} holds {_kind_name(first)} rows and {other.name} {_kind_name(other)} rows; "
                    "rows of different kinds make no dataset"
                )
        if all(source.shape is first.shape for source in with_rows):
            return first.shape, first.template_type
        return platform_shape(first) or TABLE, first.template_type

    @property
    def data_format(self) -> DataFormat | None:  # type: ignore[override]  # as all parents with rows
        return next((parent.data_format for parent in self.parents if parent.shape is not None), None)

    def raw_rows(self) -> Iterator[RawRow]:
        for parent in self.parents:
            yield from (self._taken(raw, parent) for raw in opened(parent).raw_rows())

    def raw_row(self, position: int) -> RawRow:
        position = range(len(self))[position]
        number = bisect_right(self._starts, position) - 1
        parent = self.parents[number]
        return self._taken(parent.raw_row(position - self._starts[number]), parent)

    def __len__(self) -> int:
        return sum(len(opened(parent)) for parent in self.parents)

    @property
    def known_length(self) -> int | None:
        lengths = [parent.known_length for parent in self.parents]
        return sum(length or 0 for length in lengths) if None not in lengths else None

    @cached_property
    def _starts(self) -> Sequence[int]:
        return [0, *accumulate(len(opened(parent)) for parent in self.parents)][:-1]

    def _taken(self, raw: RawRow, parent: LocalSource) -> RawRow:
        """A parent's row as one of this source's: with the name of its file, and in this source's shape."""
        file = ", ".join(part for part in (origin_name(parent), raw.file) if part)
        if raw.problem is not None:
            return raw._replace(file=file, problem=replace(raw.problem, file=file))
        raw = raw._replace(file=file)
        if self.shape is parent.shape:
            return raw
        row = json_row(parent, raw)
        if isinstance(row, RowProblem):
            return raw._replace(problem=row)
        return raw._replace(text="", value=row)


def _kind_name(source: LocalSource) -> str:
    found = source.data_format or source.template_type
    if found is not None:
        return found.name
    return source.shape.name if source.shape is not None else "no"


def _shares(weights: Sequence[float], sources: Sequence[LocalSource]) -> list[Fraction]:
    """The proportions as parts of one."""
    if not sources or len(weights) != len(sources):
        raise InvalidArgumentError(f"{len(sources)} sources need as many weights, not {len(weights)}")
    try:
        exact = [Fraction(str(weight)) for weight in weights]
    except ValueError:
        exact = [Fraction(-1)]
    if any(weight < 0 for weight in exact) or not any(exact):
        raise InvalidArgumentError(f"weights must be numbers from 0, one of them above it, not {list(weights)!r}")
    return [weight / sum(exact) for weight in exact]


def _drawn(
    sources: Sequence[LocalSource], shares: Sequence[Fraction], total: int | None, repeat: bool, seed: int
) -> array[int]:
    """Positions in all the sources, counted through."""
    sizes = [len(opened(source)) for source in sources]
    most = min(int(size / share) for size, share in zip(sizes, shares, strict=True) if share)
    counts = _counts(shares, most if total is None else total)
    generator = random.Random(seed)
    drawn = array("Q")
    starts = [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)]
    for source, start, size, count in zip(sources, starts, sizes, counts, strict=True):
        if count > size and not (repeat and size):
            fix = "ask for fewer" if not size else "ask for fewer, or let them repeat with repeat=True"
            raise InvalidArgumentError(f"{source.name} has {size} rows, and {count} are to be drawn from it; {fix}")
        while count:
            lap = array("Q", range(start, start + size))
            chance.shuffle(lap, generator)
            drawn.extend(lap[:count])
            count -= min(count, size)
    chance.shuffle(drawn, generator)
    return drawn


def _counts(shares: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers of rows that add up to the total, each as near to its share as that allows."""
    counts = [int(share * total) for share in shares]
    by_rest = sorted(range(len(shares)), key=lambda at: counts[at] - shares[at] * total)
    for at in by_rest[: total - sum(counts)]:
        counts[at] += 1
    return counts
