"""Which parameters are trained: all of them, or adapters of low rank beside frozen matrices.

Both say with which weights the model computes, and how the gradients by those weights become gradients by what is
trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from qianfan.engines.tiny.parameters import Array, Parameters, Weights

ToTrained: TypeAlias = Callable[[Parameters], Parameters]
"""From the gradients by all weights to those by what is trained."""

EMBEDDINGS = ("tokens", "positions")
"""What LoRA trains in full: adapters beside random embeddings learn nothing."""

_ADAPTER = (".a", ".b")


class Trained(Protocol):
    """What a training moves. parameters: the numbers that it moves."""

    parameters: Parameters

    def weights(self, random: np.random.Generator | None = None) -> tuple[Weights, ToTrained]:
        """What the model computes with now, and the way back to `parameters`.

        random: for dropout; None leaves it out.
        """
        ...

    def state(self) -> Weights:
        """All there is to save."""
        ...


class AllWeights:
    """Full fine-tuning."""

    def __init__(self, weights: Parameters) -> None:
        self.parameters = weights

    def weights(self, random: np.random.Generator | None = None) -> tuple[Weights, ToTrained]:
        return self.parameters, lambda gradients: gradients

    def state(self) -> Weights:
        return self.parameters


class LowRank:
    """LoRA: beside a frozen matrix W [D, E] there is scale * A @ B, with A [D, rank], B [rank, E] and B = 0 at first.

    names: of the matrices. scale: alpha / rank. dropout: how likely an input of an adapter is left out. That is drawn
    once for a batch, not for each token, so that matrix and adapter can be added up before anything is computed.
    """

    def __init__(
        self,
        frozen: Weights,
        names: Sequence[str],
        rank: int,
        scale: float,
        dropout: float,
        random: np.random.Generator,
    ) -> None:
        self.scale = scale
        self._frozen, self._names, self._dropout = frozen, tuple(names), dropout
        trained = {name: frozen[name] for name in EMBEDDINGS}
        for name in self._names:
            inputs, outputs = frozen[name].shape
            trained[_a(name)] = random.standard_normal((inputs, rank)).astype(frozen[name].dtype) * inputs**-0.5
            trained[_b(name)] = np.zeros((rank, outputs), frozen[name].dtype)
        self.parameters = Parameters.of(trained)

    def weights(self, random: np.random.Generator | None = None) -> tuple[Weights, ToTrained]:
        weights = {**self._frozen, **{name: self.parameters[name] for name in EMBEDDINGS}}
        kept_a = {name: self._kept(self.parameters[_a(name)], random) for name in self._names}
        for name in self._names:
            a, kept = self.parameters[_a(name)], kept_a[name]
            weights[name] = self._frozen[name] + (kept * a) @ self.parameters[_b(name)]

        def to_trained(gradients: Parameters) -> Parameters:
            trained = self.parameters.like()
            for name in EMBEDDINGS:
                trained[name][...] = gradients[name]
            for name in self._names:
                a, b, kept = self.parameters[_a(name)], self.parameters[_b(name)], kept_a[name]
                trained[_a(name)][...] = kept * (gradients[name] @ b.T)
                trained[_b(name)][...] = (kept * a).T @ gradients[name]
            return trained

        return weights, to_trained

    def _kept(self, a: Array, random: np.random.Generator | None) -> Array:
        """[D, 1]: the scale of each input of an adapter, 0 for those that are left out."""
        if random is None or not self._dropout:
            return np.full((len(a), 1), self.scale, a.dtype)
        kept = random.random((len(a), 1)) >= self._dropout
        return (kept * (self.scale / (1 - self._dropout))).astype(a.dtype)

    def state(self) -> Weights:
        return {**self._frozen, **self.parameters}


def merged(state: Weights, scale: float) -> Parameters:
    """The weights of a saved state, with adapters, if there are any, added to their matrices."""
    weights = Parameters.of({name: array for name, array in state.items() if not name.endswith(_ADAPTER)})
    for name in weights:
        if _a(name) in state:
            weights[name][...] += scale * state[_a(name)] @ state[_b(name)]
    return weights


def _a(name: str) -> str:
    return f"{name}.a"


def _b(name: str) -> str:
    return f"{name}.b"
