"""Hyper-parameters as they were asked for: read by name, checked, and remembered once they are used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qianfan._types import JSON
from qianfan.engines.backend import BadHyperParameter

_PREPARED = frozenset({"splitRatio", "pseudoSamplingProb"})
"""Keys that whoever prepares the rows has seen to."""


class Values:
    """Reads hyper-parameters by the platform's names. Numbers may come as text, and truth as "True" or "False"."""

    def __init__(self, asked: Mapping[str, JSON]) -> None:
        self._asked = asked
        self._read: set[str] = set()

    def has(self, key: str) -> bool:
        """Whether there is a value; null counts as none."""
        self._read.add(key)
        return self._asked.get(key) is not None

    def number(self, key: str, default: float, *, least: float = 0.0, most: float = math.inf) -> float:
        """A number in this range. Raises BadHyperParameter."""
        if not self.has(key):
            return float(default)
        value = self._asked[key]
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise BadHyperParameter(key, f"{value!r} is no number") from None
        if not least <= number <= most or math.isinf(number):
            upper = "" if math.isinf(most) else f" and {most:g}"
            raise BadHyperParameter(key, f"{value!r} is not {'between' if upper else 'at least'} {least:g}{upper}")
        return number

    def whole(self, key: str, default: int, *, least: int = 0) -> int:
        """A whole number, at least this much. Raises BadHyperParameter."""
        number = self.number(key, default, least=least)
        if not number.is_integer():
            raise BadHyperParameter(key, f"{self._asked[key]!r} is no whole number")
        return int(number)

    def flag(self, key: str, default: bool) -> bool:
        """True or False. Raises BadHyperParameter."""
        return self.one_of(key, ("True", "False"), str(default)) == "True"

    def one_of(self, key: str, names: Sequence[str], default: str) -> str:
        """One of these names. Raises BadHyperParameter."""
        name = str(self._asked[key]) if self.has(key) else default
        if name not in names:
            raise BadHyperParameter(key, f"{name!r} is none of {', '.join(names)}")
        return name

    def names(self, key: str) -> list[str]:
        """Some names, from a list or separated by commas. Raises BadHyperParameter."""
        value = self._asked[key] if self.has(key) else []
        if isinstance(value, str):
            value = [name.strip() for name in value.split(",") if name.strip()]
        if not isinstance(value, list):
            raise BadHyperParameter(key, f"{value!r} is no list of names")
        return [str(name) for name in value]

    def unread(self) -> list[str]:
        """The keys with a value that nobody has asked for so far, in order."""
        return sorted(key for key in self._asked if key not in self._read | _PREPARED and self.has(key))


def checkpoint_steps(total: int, every: int, keep: int) -> tuple[int, ...]:
    """After which of `total` steps a checkpoint is kept: the last `keep` of each `every`th and the very last one."""
    return (*range(every, total, every), total)[-keep:]
