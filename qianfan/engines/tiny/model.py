"""A decoder transformer: which parameters it has, what they are at first, and how it computes with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from qianfan.engines.tiny.layers import causal_attention, linear, relu, rms_norm
from qianfan.engines.tiny.parameters import Array, Parameters, Tokens, Weights

Backward: TypeAlias = Callable[[Array, Parameters], None]
"""Takes the gradient by the hidden states [B, T, D], and writes the gradients by all weights."""

MATRICES = ("qkv", "out", "up", "down")
"""The four matrices of a block: two of its attention, two of its perceptron."""


@dataclass(frozen=True)
class Config:
    """The size of a model. vocabulary, context: in tokens; width: of a token's state, D."""

    vocabulary: int
    context: int
    width: int = 64
    layers: int = 2
    heads: int = 4

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all parameters, by name. The output is tied to `tokens`."""
        shapes: dict[str, tuple[int, ...]] = {
            "tokens": (self.vocabulary, self.width),
            "positions": (self.context, self.width),
        }
        for layer in range(self.layers):
            shapes |= {
                f"{layer}.attention_gain": (self.width,),
                f"{layer}.qkv": (self.width, 3 * self.width),
                f"{layer}.out": (self.width, self.width),
                f"{layer}.mlp_gain": (self.width,),
                f"{layer}.up": (self.width, 4 * self.width),
                f"{layer}.down": (4 * self.width, self.width),
            }
        return shapes | {"gain": (self.width,)}

    @property
    def parameters(self) -> int:
        """How many numbers these are in all."""
        return sum(map(prod, self.shapes().values()))


def initial(config: Config, random: np.random.Generator) -> Parameters:
    """Parameters to start from. Their scale decides how much is learnt at all, far more than any other choice here."""
    parameters = Parameters(config.shapes())
    for name, array in parameters.items():
        if name.endswith("gain"):
            array[...] = 1
        else:
            array[...] = _scale(name, config) * random.standard_normal(array.shape)
    return parameters


def _scale(name: str, config: Config) -> float:
    if name in ("tokens", "positions"):
        return 0.1
    scale = float(config.width**-0.5)
    # These two write to the residual stream, which all blocks share.
    return scale / 2 if name.endswith((".out", ".down")) else scale


def forward(weights: Weights, config: Config, tokens: Tokens) -> tuple[Array, Backward]:
    """The hidden states [B, T, D] of tokens [B, T], and the way back from them."""
    x: Array = weights["tokens"][tokens] + weights["positions"][: tokens.shape[1]]
    backs: list[Callable[[Array, Parameters], Array]] = []
    for layer in range(config.layers):
        x, back = _attention_block(weights, layer, config.heads, x)
        backs.append(back)
        x, back = _mlp_block(weights, layer, x)
        backs.append(back)
    hidden, norm_back = rms_norm(x, weights["gain"])

    def backward(d_hidden: Array, gradients: Parameters) -> None:
        dx, gradients["gain"][...] = norm_back(d_hidden)
        for back in reversed(backs):
            dx = back(dx, gradients)
        gradients["positions"][...] = 0
        gradients["positions"][: tokens.shape[1]] = dx.sum(0)
        gradients["tokens"][...] = 0
        np.add.at(gradients["tokens"], tokens, dx)

    return hidden, backward


def _attention_block(
    weights: Weights, layer: int, heads: int, x: Array
) -> tuple[Array, Callable[[Array, Parameters], Array]]:
    normed, norm_back = rms_norm(x, weights[f"{layer}.attention_gain"])
    qkv, qkv_back = linear(normed, weights[f"{layer}.qkv"])
    gathered, attention_back = causal_attention(qkv, heads)
    out, out_back = linear(gathered, weights[f"{layer}.out"])

    def back(dy: Array, gradients: Parameters) -> Array:
        d_gathered, gradients[f"{layer}.out"][...] = out_back(dy)
        d_normed, gradients[f"{layer}.qkv"][...] = qkv_back(attention_back(d_gathered))
        dx, gradients[f"{layer}.attention_gain"][...] = norm_back(d_normed)
        return dy + dx

    return x + out, back


def _mlp_block(weights: Weights, layer: int, x: Array) -> tuple[Array, Callable[[Array, Parameters], Array]]:
    normed, norm_back = rms_norm(x, weights[f"{layer}.mlp_gain"])
    raised, up_back = linear(normed, weights[f"{layer}.up"])
    active, relu_back = relu(raised)
    out, down_back = linear(active, weights[f"{layer}.down"])

    def back(dy: Array, gradients: Parameters) -> Array:
        d_active, gradients[f"{layer}.down"][...] = down_back(dy)
        d_normed, gradients[f"{layer}.up"][...] = up_back(relu_back(d_active))
        dx, gradients[f"{layer}.mlp_gain"][...] = norm_back(d_normed)
        return dy + dx

    return x + out, back
