"""Learning rates over the course of a training: the five schedules of the platform, with the values of transformers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

ScheduleName: TypeAlias = Literal["linear", "cosine", "polynomial", "constant", "constant_with_warmup"]

Schedule: TypeAlias = Callable[[int], float]
"""The learning rate of an update, from how many updates there were before it."""


def warmup_steps(ratio: float, steps: int) -> int:
    """How many of `steps` updates are warm-up, where the rate rises linearly from 0."""
    return math.ceil(steps * ratio)


def schedule(
    name: ScheduleName,
    peak: float,
    steps: int,
    warmup: int = 0,
    *,
    num_cycles: float = 0.5,
    lr_end: float = 1e-7,
    power: float = 1.0,
) -> Schedule:
    """The schedule of this name over `steps` updates, of which the first `warmup` lead up to the rate `peak`.

    num_cycles: waves of the cosine; a half goes from the peak down to 0 once.
    lr_end, power: where the polynomial ends, and its degree; 1 is a straight line.
    """
    if name == "constant":
        return lambda done: peak  # without a warm-up, as its name says

    def decayed(progress: float) -> float:
        """The rate when this share of the updates after the warm-up is done."""
        match name:
            case "linear":
                return peak * max(0.0, 1.0 - progress)
            case "cosine":
                return peak * max(0.0, 0.5 * (1.0 + math.cos(2.0 * math.pi * num_cycles * progress)))
            case "polynomial":
                return lr_end + (peak - lr_end) * float(max(0.0, 1.0 - progress) ** power)
            case _:
                return peak

    def rate(done: int) -> float:
        if done < warmup:
            return peak * done / warmup
        return decayed((done - warmup) / max(1, steps - warmup))

    return rate


SCHEDULES: Final[tuple[ScheduleName, ...]] = ("linear", "cosine", "polynomial", "constant", "constant_with_warmup")
