"""One training from its files to its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from qianfan.engines.backend import Report, Stopped
from qianfan.engines.spec import Metrics, Plan, Sampling, Scores, TrainSpec
from qianfan.engines.tiny.batches import Example
from qianfan.engines.tiny.checkpoints import Card, Saved, Shelf
from qianfan.engines.tiny.examples import longest_run
from qianfan.engines.tiny.learner import Learner, Part
from qianfan.engines.tiny.lora import AllWeights, LowRank, Trained
from qianfan.engines.tiny.loss import Likelihood, Tally
from qianfan.engines.tiny.model import initial
from qianfan.engines.tiny.parameters import Parameters
from qianfan.engines.tiny.planning import BY_HEART, Material
from qianfan.engines.tiny.recipe import Recipe
from qianfan.engines.tiny.training import Training
from qianfan.utils.scores import score

_SCORED_ROWS: Final = 50


class Job:
    """A training that can be run once."""

    def __init__(self, spec: TrainSpec, plan: Plan, report: Report) -> None:
        self._spec, self._plan, self._report = spec, plan, report
        self._recipe = Recipe.read(plan.effective)
        self._material = Material.read(spec)
        self._size = self._material.size(self._recipe)
        limit = self._recipe.max_seq_len
        self._examples = self._material.examples(self._material.lessons, limit)
        self._held_out = self._material.examples(self._material.held_out, limit)
        self._random = np.random.default_rng([self._recipe.seed, 1])

    def run(self, stopped: Stopped) -> None:
        weights = self._first_weights()
        before = self._material.first_passes() * self._recipe.batches(len(self._examples))
        if before and not self._teach_to_speak(weights, stopped):
            return
        learner = Learner(self._size, self._trained(weights), self._recipe, self._random)
        training = Training(
            learner,
            self._recipe,
            self._part(learner, self._examples),
            self._part(learner, self._held_out) if self._held_out else None,
            Shelf(self._spec.folder / "checkpoints", self._recipe.checkpoint_count),
            lambda: self._saved(learner.trained),
            self._report,
            before=before,
        )
        if training.run(stopped):
            self._score(self._saved(learner.trained), stopped)

    def _first_weights(self) -> Parameters:
        if self._material.origin:
            return self._material.origin.weights()
        return initial(self._size, np.random.default_rng([self._recipe.seed, 0]))

    def _trained(self, weights: Parameters) -> Trained:
        if self._spec.scale != "LoRA":
            return AllWeights(weights)
        recipe = self._recipe
        names = [f"{layer}.{matrix}" for layer in range(self._size.layers) for matrix in recipe.adapted()]
        return LowRank(weights, names, recipe.lora_rank, recipe.lora_scale, recipe.lora_dropout, self._random)

    def _part(self, learner: Learner, examples: Sequence[Example]) -> Part:
        if self._spec.mode == "DPO":
            return learner.preferences(examples, self._recipe.dpo_beta)
        return Part(examples, Likelihood())

    def _teach_to_speak(self, weights: Parameters, stopped: Stopped) -> bool:
        """Learn the better answers before any are compared; whether that came to its end."""
        examples = [example[:1] for example in self._examples]
        passes = self._material.first_passes()
        learner = Learner(self._size, AllWeights(weights), self._recipe, self._random)
        recipe = self._recipe.model_copy(update={"learning_rate": BY_HEART.learning_rate})
        rate_of, since = recipe.schedule(passes * recipe.batches(len(examples))), Tally()
        for step, batch in enumerate(learner.batches(examples, passes), start=1):
            rate = rate_of(step - 1)
            since += learner.learn(batch, Likelihood(), rate)
            if stopped():
                return False
            if step % recipe.logging_steps == 0:
                others = {"supervisedLoss": since.mean_loss}
                self._report(Metrics(step=step, total=self._plan.steps, learning_rate=rate, others=others))
                since = Tally()
        return True

    def _saved(self, trained: Trained) -> Saved:
        origin = self._material.origin
        card = Card(
            mode=self._spec.mode,
            base=self._material.base,
            size=self._size,
            adapter_scale=self._recipe.lora_scale,
            longest_run=max(longest_run(self._examples), origin.card.longest_run if origin else 1),
        )
        return Saved(card, self._material.tokenizer, trained.state())

    def _score(self, saved: Saved, stopped: Stopped) -> None:
        """Answer what is held out, and tell how that compares with the rows' own answers."""
        if self._spec.mode == "PostPretrain" or not self._held_out:
            return
        generator, pairs = saved.generator(), list[tuple[str, str]]()
        for lesson in self._material.held_out[:_SCORED_ROWS]:
            if stopped():
                return
            wanted = lesson.answers[0]
            # Twice the length tells that an answer is too long; a tiny model might go on and on.
            most = 2 * max(1, len(saved.tokenizer.encode(wanted)))
            pieces = generator.stream(lesson.before, Sampling(max_tokens=most))
            pairs.append((wanted, "".join(piece.text for piece in pieces)))
        self._report(Scores(scores=score(pairs)))
