"""The course of a training: updates, evaluations, checkpoints, and what is told of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from qianfan.engines.backend import Report, Stopped
from qianfan.engines.spec import Checkpoint, Metrics
from qianfan.engines.tiny.checkpoints import Saved, Shelf
from qianfan.engines.tiny.learner import Learner, Part
from qianfan.engines.tiny.loss import DirectPreference, Tally
from qianfan.engines.tiny.parameters import Parameters
from qianfan.engines.tiny.recipe import Recipe


class EarlyStopping:
    """Ends a training whose validation loss no longer falls, and remembers the weights with which it was lowest.

    patience: so many evaluations in a row may be in vain. threshold: by how much the loss has to fall to count.
    """

    def __init__(self, patience: int, threshold: float, parameters: Parameters) -> None:
        self._patience, self._threshold, self._parameters = patience, threshold, parameters
        self._in_vain = 0
        self._lowest = Tally(loss=math.inf, count=1)
        self._best = parameters.flat.copy()

    def is_enough(self, validation: Tally) -> bool:
        """Whether to end after this evaluation."""
        is_in_vain = validation.mean_loss >= self._lowest.mean_loss - self._threshold
        self._in_vain = self._in_vain + 1 if is_in_vain else 0
        if validation.mean_loss < self._lowest.mean_loss:
            self._lowest = validation
            self._best[...] = self._parameters.flat
        return self._in_vain >= self._patience

    def go_back(self) -> Tally:
        """Put the best weights back; what their evaluation was."""
        self._parameters.flat[...] = self._best
        return self._lowest


class Training:
    """One course over the training part.

    saved: the model as it is now. before: updates that were made before this course, and count as steps as well.
    """

    def __init__(
        self,
        learner: Learner,
        recipe: Recipe,
        part: Part,
        held_out: Part | None,
        shelf: Shelf,
        saved: Callable[[], Saved],
        report: Report,
        *,
        before: int = 0,
    ) -> None:
        self._learner, self._recipe, self._part, self._held_out = learner, recipe, part, held_out
        self._shelf, self._saved, self._report, self._before = shelf, saved, report, before
        batches = recipe.batches(len(part.examples))
        self._steps = recipe.epoch * batches
        self._saves_every = recipe.saves_every(batches)
        self._early = (
            EarlyStopping(recipe.early_stopping_patience, recipe.early_stopping_threshold, learner.trained.parameters)
            if recipe.early_stopping and held_out
            else None
        )

    def run(self, stopped: Stopped) -> bool:
        """Whether it came to its end; not when it was stopped, which is asked after each update."""
        rate_of, since = self._recipe.schedule(self._steps), Tally()
        for step, batch in enumerate(self._learner.batches(self._part.examples, self._recipe.epoch), start=1):
            rate = rate_of(step - 1)
            since += self._learner.learn(batch, self._part.objective, rate)
            if stopped():
                return False
            validation = self._validated(step)
            is_over = self._is_enough(validation) or step == self._steps
            saves = is_over or self._saves_at(step)
            if saves or validation or step % self._recipe.logging_steps == 0:
                self._tell(step, since, validation, rate)
                if saves:
                    self._save(step, since, self._early.go_back() if self._early and is_over else validation)
                since = Tally()
            if is_over:
                break
        return True

    def _is_enough(self, validation: Tally | None) -> bool:
        return self._early is not None and validation is not None and self._early.is_enough(validation)

    def _saves_at(self, step: int) -> bool:
        return step == self._steps or (self._saves_every is not None and step % self._saves_every == 0)

    def _validated(self, step: int) -> Tally | None:
        """The loss on what is held out, whenever it is due and wherever a checkpoint is."""
        every = self._recipe.validation_step
        if self._held_out and (self._saves_at(step) or (every and step % every == 0)):
            return self._learner.look_at(self._held_out)
        return None

    def _tell(self, step: int, since: Tally, validation: Tally | None, rate: float) -> None:
        self._report(
            Metrics(
                step=self._before + step,
                total=self._before + self._steps,
                training_loss=since.mean_loss,
                validation_loss=validation.mean_loss if validation else None,
                learning_rate=rate,
                others=self._rewards(since),
            )
        )

    def _rewards(self, since: Tally) -> dict[str, float]:
        if not isinstance(self._part.objective, DirectPreference):
            return {}
        return {"rewardMargin": since.margin / since.count, "rewardAccuracy": since.right / since.count}

    def _save(self, step: int, since: Tally, validation: Tally | None) -> None:
        self._report(
            Checkpoint(
                step=self._before + step,
                path=self._shelf.put(self._before + step, self._saved()),
                training_loss=since.mean_loss,
                validation_loss=validation.mean_loss if validation else None,
                training_perplexity=since.perplexity,
                validation_perplexity=validation.perplexity if validation else None,
            )
        )
