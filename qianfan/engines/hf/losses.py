"""Losses as numbers that can be told."""

from __future__ import annotations

import math

from qianfan.engines.backend import EngineError


def finite(loss: float, step: int) -> float:
    """The loss, if it is a number. Raises EngineError where the training has gone wrong."""
    if not math.isfinite(loss):
        raise EngineError("diverged", f"the loss is {loss} at step {step}", "take a lower learningRate")
    return loss


def perplexity(loss: float) -> float:
    """e to a mean token loss in nats, as far as numbers go."""
    return math.exp(min(loss, 700.0))
