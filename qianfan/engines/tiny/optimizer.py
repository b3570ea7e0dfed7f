"""AdamW over all trained parameters at once."""

from __future__ import annotations

import math

import numpy as np

from qianfan.engines.tiny.parameters import Array, Parameters


class AdamW:
    """Adam with decoupled weight decay, which leaves out gains. Gradients longer than `clip` are cut to that norm."""

    def __init__(
        self,
        parameters: Parameters,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.99),
        clip: float = 1.0,
        epsilon: float = 1e-8,
    ) -> None:
        self._values = parameters.flat
        self._betas, self._clip, self._epsilon = betas, clip, epsilon
        self._decay = _decay(parameters, weight_decay)
        self._mean = np.zeros_like(self._values)
        self._square = np.zeros_like(self._values)
        self._updates = 0
        # Arrays of this size take longer to make than to compute with, so there is one to compute in.
        self._scratch = np.empty_like(self._values)

    def update(self, gradients: Parameters, rate: float) -> None:
        """Move the parameters at this learning rate. The gradients are cut in place."""
        gradient, scratch, (first, second) = gradients.flat, self._scratch, self._betas
        _cut(gradient, self._clip)
        self._updates += 1

        np.copyto(scratch, gradient)
        self._average_in(self._mean, 1 - first)
        np.multiply(gradient, gradient, out=scratch)
        self._average_in(self._square, 1 - second)

        np.multiply(self._values, self._decay, out=scratch)
        scratch *= rate
        self._values -= scratch

        np.sqrt(self._square, out=scratch)
        scratch /= math.sqrt(1 - second**self._updates)
        scratch += self._epsilon
        np.divide(self._mean, scratch, out=scratch)
        scratch *= rate / (1 - first**self._updates)
        self._values -= scratch

    def _average_in(self, average: Array, share: float) -> None:
        """Let what is in the scratch have its share in a running average."""
        self._scratch -= average
        self._scratch *= share
        average += self._scratch


def _cut(gradient: Array, norm: float) -> None:
    length = math.sqrt(gradient @ gradient)
    if length > norm:
        gradient *= norm / length


def _decay(parameters: Parameters, weight_decay: float) -> Array:
    """The decay of each single number."""
    decay = parameters.like()
    for array in decay.values():
        array[...] = weight_decay if array.ndim > 1 else 0.0
    return decay.flat
