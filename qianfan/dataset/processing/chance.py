"""Order by chance that is the same on every machine and in every version of Python for the same seed.

Of `random.Random` only `random()` is used: its numbers for a seed are promised to stay, those of `shuffle` and
`sample` are not.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence


def a_seed(seed: int | None) -> int:
    """The seed that was given, or a fresh one."""
    return random.SystemRandom().getrandbits(32) if seed is None else seed


def permutation(size: int, seed: int) -> array[int]:
    """The numbers below `size` in an order by chance."""
    numbers = array("Q", range(size))
    shuffle(numbers, random.Random(seed))
    return numbers


def shuffle(numbers: array[int], generator: random.Random) -> None:
    """Put numbers in an order by chance, in place."""
    chance = generator.random
    for last in range(len(numbers) - 1, 0, -1):
        other = int(chance() * (last + 1))
        numbers[last], numbers[other] = numbers[other], numbers[last]


def sample(size: int, count: int, seed: int) -> array[int]:
    """Some of the numbers below `size`, in ascending order."""
    chance = random.Random(seed).random
    chosen = array("Q")
    for number in range(size):
        if chance() * (size - number) < count - len(chosen):
            chosen.append(number)
    return chosen


def parts(numbers: array[int], counts: Sequence[int]) -> list[array[int]]:
    """Numbers cut into pieces of these lengths, each sorted."""
    cut: list[array[int]] = []
    start = 0
    for count in counts:
        cut.append(array("Q", sorted(numbers[start : start + count])))
        start += count
    return cut
