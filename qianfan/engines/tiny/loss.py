"""What a training minimises. All modes need one thing of the model: how likely it finds a sequence, and its gradient.

Each objective turns the log-probabilities of a batch's sequences into a loss, and into one weight for each of them: the
gradient of the loss is that of -sum(weight * log-probability).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol, TypeAlias

import numpy as np

from qianfan.engines.tiny.batches import Batch
from qianfan.engines.tiny.model import Config, forward
from qianfan.engines.tiny.parameters import Array, Parameters, Weights

BackwardSequences: TypeAlias = Callable[[Array, Parameters], None]
"""Takes the sequences' weights [B], and writes the gradients by the model's weights."""


def sequence_log_probs(weights: Weights, config: Config, batch: Batch) -> tuple[Array, BackwardSequences]:
    """The log-probability [B] of what is to be learnt in each sequence, and the way back from it."""
    hidden, hidden_back = forward(weights, config, batch.tokens)
    rows, places = np.nonzero(batch.learnt)
    states, targets = hidden[rows, places], batch.targets[rows, places]  # [N, D], [N]
    each = np.arange(len(targets))

    logits = states @ weights["tokens"].T  # [N, V]
    logits -= logits.max(-1, keepdims=True)
    chosen = logits[each, targets]
    probabilities = np.exp(logits, out=logits)
    totals = probabilities.sum(-1)
    log_probs: Array = np.bincount(rows, chosen - np.log(totals), minlength=len(batch.tokens)).astype(np.float64)

    def backward(sequence_weights: Array, gradients: Parameters) -> None:
        d_logits = probabilities  # by far the largest array, so it is used again
        d_logits *= (sequence_weights[rows] / totals)[:, None]
        d_logits[each, targets] -= sequence_weights[rows]
        d_hidden = np.zeros_like(hidden)
        d_hidden[rows, places] = d_logits @ weights["tokens"]
        hidden_back(d_hidden, gradients)
        gradients["tokens"][...] += d_logits.T @ states  # the output is tied to the embedding

    return log_probs, backward


@dataclass(frozen=True)
class Tally:
    """Sums over what was looked at; two of them add up.

    loss: over `count` tokens, or pairs in DPO. nll: negative log-probability over the `tokens` of the good answers.
    margin, right: over pairs, by how much the better answer is preferred now, and how often it is at all.
    """

    loss: float = 0.0
    count: int = 0
    nll: float = 0.0
    tokens: int = 0
    margin: float = 0.0
    right: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def mean_loss(self) -> float:
        return self.loss / max(1, self.count)

    @property
    def perplexity(self) -> float:
        """Of the answers, for DPO of the better ones. A model that was driven off has one that is merely huge."""
        return math.exp(min(self.nll / max(1, self.tokens), 700.0))


class Objective(Protocol):
    """What is minimised."""

    def __call__(self, log_probs: Array, batch: Batch) -> tuple[Tally, Array]:
        """The loss of a batch, and the weight [B] of each of its sequences."""
        ...


class Likelihood:
    """SFT and PostPretrain: the mean over tokens of their negative log-probability, in nats."""

    def __call__(self, log_probs: Array, batch: Batch) -> tuple[Tally, Array]:
        tokens = int(batch.learnt.sum())
        nll = -float(log_probs.sum())
        return Tally(nll, tokens, nll, tokens), np.full(len(log_probs), 1 / tokens)


@dataclass(frozen=True)
class DirectPreference:
    """DPO: to prefer the better of two answers by more than the reference model does.

    beta: how far from the reference that may lead; less goes further. reference: its log-probabilities of the better
    and the worse answer of each example [N, 2].
    """

    beta: float
    reference: Array

    def __call__(self, log_probs: Array, batch: Batch) -> tuple[Tally, Array]:
        better, worse = log_probs.reshape(2, -1) - self.reference[batch.examples].T
        margins = self.beta * (better - worse)
        half = len(margins)
        pull = self.beta * np.exp(-np.logaddexp(0, margins)) / half  # beta * sigmoid(-margin) / pairs
        tally = Tally(
            loss=float(np.logaddexp(0, -margins).sum()),
            count=half,
            nll=-float(log_probs[:half].sum()),
            tokens=int(batch.learnt[:half].sum()),
            margin=float(margins.sum()),
            right=int((margins > 0).sum()),
        )
        return tally, np.concatenate([pull, -pull])
