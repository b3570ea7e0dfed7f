"""Hyper-parameters for a model that starts from scratch, from those that were asked for.

The platform's usual values, one pass at 3e-5, adapt a model that can speak already. A model from scratch has learnt
nothing after them, so it gets more passes and a higher rate. Both still follow what was asked for: twice the rate is
twice the rate, and who asks for more passes gets them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qianfan._types import JSON
from qianfan.engines.backend import BadHyperParameter
from qianfan.engines.rows import Mode

LEARNING_RATES: Final = (1e-4, 2e-2)
"""Lowest and highest learning rate that a calibration ends with."""


@dataclass(frozen=True)
class Need:
    """What a model from scratch needs in order to learn something.

    learning_rate: in place of the catalogue's default. passes: over the training rows, where they are few.
    tokens: seen in all passes together; many rows get fewer passes.
    """

    learning_rate: float
    passes: int
    tokens: int = 200_000

    def passes_over(self, tokens: int) -> int:
        """How often rows of this many tokens in all are gone through, at least once."""
        return max(1, min(self.passes, self.tokens // max(1, tokens)))


SUPERVISED: Final = Need(learning_rate=4e-3, passes=20)
PREFERENCES: Final = Need(learning_rate=5e-4, passes=3)

NEEDS: Final[Mapping[Mode, Need]] = {
    "SFT": SUPERVISED,
    "PostPretrain": SUPERVISED,
    "DPO": PREFERENCES,
    "KTO": PREFERENCES,
}


def calibrate(
    hyper_parameters: Mapping[str, JSON], defaults: Mapping[str, JSON], need: Need, tokens: int
) -> dict[str, JSON]:
    """All hyper-parameters, with `epoch` and `learningRate` as a model from scratch needs them.

    hyper_parameters: as asked for; defaults: the catalogue's, used for those that were not.
    tokens: of the training rows. Raises BadHyperParameter for a value that is no number above 0.
    """
    asked = over_defaults(hyper_parameters, defaults)
    passes = int(_positive(asked, "epoch", need.passes_over(tokens)))
    usual = _positive(defaults, "learningRate", 0.0)
    share = _positive(asked, "learningRate", usual) / usual if usual else 1.0
    lowest, highest = LEARNING_RATES
    return {
        **asked,
        "epoch": max(passes, need.passes_over(tokens)),
        "learningRate": min(max(need.learning_rate * share, lowest), highest),
    }


def over_defaults(hyper_parameters: Mapping[str, JSON], defaults: Mapping[str, JSON]) -> dict[str, JSON]:
    """What was asked for over its defaults; null asks for nothing."""
    return {**defaults, **{key: value for key, value in hyper_parameters.items() if value is not None}}


def _positive(values: Mapping[str, JSON], key: str, missing: float) -> float:
    if key not in values:
        return missing
    try:
        number = float(values[key])
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < math.inf:
        raise BadHyperParameter(key, f"{values[key]!r} is no number above 0")
    return number
