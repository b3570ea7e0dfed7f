"""A model that learns: one update at a time, and how well it does meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qianfan.engines.backend import EngineError
from qianfan.engines.tiny.batches import Batch, Example, in_order, shuffled
from qianfan.engines.tiny.lora import Trained
from qianfan.engines.tiny.loss import DirectPreference, Objective, Tally, sequence_log_probs
from qianfan.engines.tiny.model import Config
from qianfan.engines.tiny.optimizer import AdamW
from qianfan.engines.tiny.parameters import Array, Parameters
from qianfan.engines.tiny.recipe import Recipe


@dataclass(frozen=True)
class Part:
    """Examples, and what is minimised over them."""

    examples: Sequence[Example]
    objective: Objective


class Learner:
    """Moves what is `trained` of a model. random: for the order of examples, and for dropout."""

    def __init__(self, size: Config, trained: Trained, recipe: Recipe, random: np.random.Generator) -> None:
        self.trained = trained
        self._size, self._batch_size, self._random = size, recipe.batch_size, random
        self._optimizer = AdamW(trained.parameters, recipe.weight_decay)
        self._gradients = Parameters(size.shapes(), trained.parameters.flat.dtype)

    def batches(self, examples: Sequence[Example], passes: int) -> Iterator[Batch]:
        """So many passes over the examples, each in an order of its own."""
        for _ in range(passes):
            yield from shuffled(examples, self._batch_size, self._random)

    @np.errstate(all="ignore")  # numbers beyond all bounds show in the loss, which is checked
    def learn(self, batch: Batch, objective: Objective, rate: float) -> Tally:
        """One update at this learning rate; the loss before it."""
        weights, to_trained = self.trained.weights(self._random)
        log_probs, backward = sequence_log_probs(weights, self._size, batch)
        tally, sequence_weights = objective(log_probs, batch)
        _check(tally)
        backward(sequence_weights, self._gradients)
        self._optimizer.update(to_trained(self._gradients), rate)
        return tally

    @np.errstate(all="ignore")
    def look_at(self, part: Part) -> Tally:
        """The loss over all examples of a part, without learning from them."""
        tally = Tally()
        for batch in in_order(part.examples, self._batch_size):
            tally += part.objective(self._log_probs(batch), batch)[0]
        _check(tally)
        return tally

    def preferences(self, examples: Sequence[Example], beta: float) -> Part:
        """Pairs of answers, to be told apart better than the model does now."""
        now = [self._log_probs(batch).reshape(2, -1).T for batch in in_order(examples, self._batch_size)]
        return Part(examples, DirectPreference(beta, np.concatenate(now)))

    def _log_probs(self, batch: Batch) -> Array:
        weights, _ = self.trained.weights()
        return sequence_log_probs(weights, self._size, batch)[0]


def _check(tally: Tally) -> None:
    if not math.isfinite(tally.loss):
        raise EngineError("diverged", "the loss is no number any more", "lower learningRate")
