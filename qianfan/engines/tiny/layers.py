"""The layers of a transformer. Each returns what it computes and how a gradient goes back through it.

The way back, here called `back`, takes the gradient of the loss by the layer's output and returns those by its inputs,
in their order. Shapes: B rows of T tokens, each of width D; H heads of width D / H.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from qianfan.engines.tiny.parameters import Array

_EPSILON = 1e-6

Back1: TypeAlias = Callable[[Array], Array]
Back2: TypeAlias = Callable[[Array], tuple[Array, Array]]


def linear(x: Array, weight: Array) -> tuple[Array, Back2]:
    """x [..., D] times weight [D, E], without a bias."""

    def back(dy: Array) -> tuple[Array, Array]:
        rows, d_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        return dy @ weight.T, rows.T @ d_rows

    return x @ weight, back


def rms_norm(x: Array, gain: Array) -> tuple[Array, Back2]:
    """x [..., D] brought to a root mean square of 1, times gain [D]."""
    scale = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + _EPSILON)
    normed = x * scale

    def back(dy: Array) -> tuple[Array, Array]:
        d_normed = dy * gain
        along = (d_normed * normed).mean(-1, keepdims=True)
        return scale * (d_normed - normed * along), (dy * normed).reshape(-1, gain.size).sum(0)

    return normed * gain, back


def relu(x: Array) -> tuple[Array, Back1]:
    """What is above 0."""
    y = np.maximum(x, 0)
    return y, lambda dy: dy * (y > 0)


def causal_attention(qkv: Array, heads: int) -> tuple[Array, Back1]:
    """What each token gathers from itself and those before it, [B, T, D].

    qkv [B, T, 3 D]: of each token what it asks for, what it answers to, and what it has to tell.
    """
    query, key, value = split_heads(qkv, heads)
    query = query * query.shape[-1] ** -0.5
    attention = softmax(query @ key.swapaxes(-1, -2) + causal_mask(qkv.shape[1], qkv.dtype.type))
    gathered = attention @ value

    def back(dy: Array) -> Array:
        d_gathered = dy.reshape(*dy.shape[:2], heads, -1).swapaxes(1, 2)
        d_scores = d_gathered @ value.swapaxes(-1, -2)
        # The sum of attention times its gradient, found where it is much smaller.
        d_scores -= (d_gathered * gathered).sum(-1, keepdims=True)
        d_scores *= attention
        d_query = d_scores @ key * query.shape[-1] ** -0.5
        d_key = d_scores.swapaxes(-1, -2) @ query
        d_value = attention.swapaxes(-1, -2) @ d_gathered
        return np.concatenate([join_heads(d_query), join_heads(d_key), join_heads(d_value)], -1)

    return join_heads(gathered), back


def split_heads(qkv: Array, heads: int) -> tuple[Array, Array, Array]:
    """[B, T, 3 D] to three of [B, H, T, D / H]."""
    rows, length, width = qkv.shape
    parts = qkv.reshape(rows, length, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 1, 4)
    return parts[0], parts[1], parts[2]


def join_heads(x: Array) -> Array:
    """[B, H, T, D / H] to [B, T, D]."""
    rows, heads, length, width = x.shape
    return x.swapaxes(1, 2).reshape(rows, length, heads * width)


def causal_mask(length: int, kind: type[np.floating] = np.float32) -> Array:
    """[T, T] to add to the scores: none of what comes later."""
    return np.triu(np.full((length, length), -np.inf, kind), 1)


def softmax(scores: Array) -> Array:
    """Probabilities along the last axis; the scores are overwritten with them."""
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores
