"""What rows are like: how many turns, how long, in which language; shown as quantiles and histograms."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from qianfan.dataset.checking.parts import parts_of, turns_of
from qianfan.dataset.rows import Row
from qianfan.dataset.sources import LocalSource
from qianfan.utils.tokens import estimate_tokens

PARTS = ("prompt", "answer", "system", "all")
"""What lengths are given for. All: also plain texts, which have no parts."""

_BINS = 12
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]+")
_ASCII = re.compile("[\0-\x7f]+")
_NO_LETTERS = bytes(code for code in range(256) if not chr(code).isalpha() or code > 0x7F)


class Measure(NamedTuple):
    """One row in numbers. characters, tokens: for each of PARTS. chinese, latin, letters: characters of each kind."""

    kind: str
    turns: int
    characters: tuple[int, ...]
    tokens: tuple[int, ...]
    chinese: int
    latin: int
    letters: int


def measure(row: Row) -> Measure:
    """Measure a row."""
    value = row.to_json()
    texts: dict[str, list[str]] = {}
    for part, text in parts_of(value):
        texts.setdefault(part, []).append(text)
    characters = {part: sum(map(len, found)) for part, found in texts.items()}
    tokens = {part: sum(map(estimate_tokens, found)) for part, found in texts.items()}
    chinese, latin, others = _letters("".join(text for found in texts.values() for text in found))
    return Measure(
        kind="columns" if row.template_type is None else row.template_type.name,
        turns=turns_of(value),
        characters=(*(characters.get(part, 0) for part in PARTS[:-1]), sum(characters.values())),
        tokens=(*(tokens.get(part, 0) for part in PARTS[:-1]), sum(tokens.values())),
        chinese=chinese,
        latin=latin,
        letters=chinese + latin + others,
    )


def _letters(text: str) -> tuple[int, int, int]:
    """How many Chinese characters, letters A to Z in either case, and other letters a text has."""
    rest = _CHINESE.sub("", text)
    latin = len(rest.encode("ascii", "ignore").translate(None, _NO_LETTERS))
    others = 0 if rest.isascii() else sum(map(str.isalpha, _ASCII.sub("", rest)))
    return len(text) - len(rest), latin, others


class Bin(NamedTuple):
    """In how many rows the value is at least `low` and less than `high`; a `high` of None is open."""

    low: int
    high: int | None
    rows: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a number is spread over the rows. quantiles: by their share, such as 0.5 for the median."""

    count: int
    total: int
    mean: float
    smallest: int
    largest: int
    quantiles: Mapping[float, int]
    histogram: tuple[Bin, ...]

    @classmethod
    def of(cls, values: Iterable[int]) -> Distribution:
        """The distribution of some numbers; none at all have one of zeros."""
        ordered = sorted(values)
        if not ordered:
            return cls(0, 0, 0.0, 0, 0, {}, ())
        last = len(ordered) - 1
        quantiles = {share: ordered[round(share * last)] for share in _QUANTILES}
        total = sum(ordered)
        return cls(
            len(ordered),
            total,
            total / len(ordered),
            ordered[0],
            ordered[-1],
            quantiles,
            _histogram(ordered, quantiles),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "total": self.total,
            "mean": round(self.mean, 2),
            "min": self.smallest,
            "max": self.largest,
            "quantiles": {str(share): value for share, value in self.quantiles.items()},
            "histogram": [one._asdict() for one in self.histogram],
        }


def _histogram(ordered: Sequence[int], quantiles: Mapping[float, int]) -> tuple[Bin, ...]:
    """Bins of a round width; a long tail beyond the last quantile goes into one open bin."""
    low, top = ordered[0], ordered[-1]
    width = _round_width((quantiles[0.99] - low + 1) / _BINS)
    start = low // width * width
    edges = [start]
    while edges[-1] <= min(top, quantiles[0.99]):
        edges.append(edges[-1] + width)
    counts = Counter(min((value - start) // width, len(edges) - 1) for value in ordered)
    bins = [Bin(low, high, counts[at]) for at, (low, high) in enumerate(pairwise(edges))]
    tail = counts[len(edges) - 1]
    return tuple([*bins, Bin(edges[-1], None, tail)] if tail else bins)


def _round_width(least: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50, …"""
    power: int = 10 ** int(math.log10(max(least, 1)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the rows of a dataset are like.

    rows: how many there are that can be used. measured: how many of them the numbers below are from; fewer where
        there are so many that only every n-th was looked at.
    kinds: the kinds of rows, by the names of `DataTemplateType`. turns: in a row. characters, tokens: in a row, for
        the prompts, the answers, the system texts and all together; tokens are estimated as `estimate_tokens` does.
    languages: the share of Chinese characters, English (Latin) letters and others among all letters.
    """

    rows: int
    measured: int
    kinds: Mapping[str, int]
    turns: Distribution
    characters: Mapping[str, Distribution]
    tokens: Mapping[str, Distribution]
    languages: Mapping[str, float]

    @classmethod
    def of(cls, measures: Sequence[Measure], rows: int) -> Statistics:
        """Sum up what was measured of so many rows."""
        letters = sum(one.letters for one in measures)
        chinese, latin = sum(one.chinese for one in measures), sum(one.latin for one in measures)
        shares = {"chinese": chinese, "english": latin, "other": letters - chinese - latin}
        return cls(
            rows=rows,
            measured=len(measures),
            kinds=Counter(one.kind for one in measures),
            turns=Distribution.of(one.turns for one in measures),
            characters={name: Distribution.of(one.characters[at] for one in measures) for at, name in enumerate(PARTS)},
            tokens={name: Distribution.of(one.tokens[at] for one in measures) for at, name in enumerate(PARTS)},
            languages={name: round(count / letters, 4) if letters else 0.0 for name, count in shares.items()},
        )

    @property
    def is_sample(self) -> bool:
        """Whether the numbers are from a part of the rows."""
        return self.measured < self.rows

    def __str__(self) -> str:
        from qianfan.dataset.checking.text import statistics_text

        return statistics_text(self)

    def _repr_html_(self) -> str:
        from qianfan.dataset.checking.html import statistics_fragment

        return statistics_fragment(self)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: the fields by their names, distributions with total, mean, min, max, quantiles, histogram."""
        return {
            "rows": self.rows,
            "measured": self.measured,
            "kinds": dict(self.kinds),
            "turns": self.turns.to_dict(),
            "characters": {name: one.to_dict() for name, one in self.characters.items()},
            "tokens": {name: one.to_dict() for name, one in self.tokens.items()},
            "languages": dict(self.languages),
        }


def stats(source: LocalSource) -> Statistics:
    """What the rows of a source are like; those that cannot be read are left out."""
    from qianfan.dataset.checking.check import check

    report = check(source, warnings=False)
    assert report.statistics is not None
    return report.statistics
