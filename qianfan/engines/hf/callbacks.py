"""What transformers' trainer is told to do after each step, and what is told of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qianfan.engines.backend import Report, Stopped
from qianfan.engines.hf.arguments import Arguments
from qianfan.engines.hf.checkpoints import Checkpoints
from qianfan.engines.hf.losses import finite, perplexity
from qianfan.engines.spec import Checkpoint, Metrics
from qianfan.engines.values import checkpoint_steps

_OTHERS: Final = {
    "rewards/margins": "rewardMargin",
    "rewards/accuracies": "rewardAccuracy",
    "mean_token_accuracy": "tokenAccuracy",
    "grad_norm": "gradientNorm",
}

AnswerLosses = Callable[[], tuple[float | None, float | None]]
"""(training, validation): the mean token loss of good answers at this moment, in nats."""


class WasStopped(Exception):
    """The training was asked to end in the middle of an evaluation."""


class Reporting(TrainerCallback):
    """Tells how the training goes, keeps its checkpoints, and ends it when asked.

    answer_losses: measures what perplexities are taken from, where that is not the loss that is trained; else None.
    """

    def __init__(
        self,
        arguments: Arguments,
        checkpoints: Checkpoints,
        report: Report,
        stopped: Stopped,
        answer_losses: AnswerLosses | None,
    ) -> None:
        self._arguments = arguments
        self._checkpoints = checkpoints
        self._report = report
        self._stopped = stopped
        self._answer_losses = answer_losses
        self._kept: frozenset[int] = frozenset()
        self._training_loss = math.nan
        self._validation: tuple[int, float] | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        per_pass = math.ceil(state.max_steps / max(1.0, args.num_train_epochs))
        every = self._arguments.save_every or per_pass
        self._kept = frozenset(checkpoint_steps(state.max_steps, every, self._arguments.keep))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._stopped():
            control.should_training_stop = True
            control.should_evaluate = False
        elif state.global_step in self._kept:
            control.should_save = control.should_log = True
            control.should_evaluate = args.eval_strategy != "no"

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._stopped():
            raise WasStopped

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float],
        **_: Any,
    ) -> None:
        if "loss" in logs:
            self._training_loss = finite(logs["loss"], state.global_step)
            self._tell(state, logs, "", training_loss=self._training_loss, learning_rate=logs.get("learning_rate"))
        elif "eval_loss" in logs:
            loss = finite(logs["eval_loss"], state.global_step)
            self._validation = (state.global_step, loss)
            self._tell(state, logs, "eval_", validation_loss=loss)

    def _tell(self, state: TrainerState, logs: Mapping[str, float], prefix: str, **losses: float | None) -> None:
        others = {name: logs[prefix + key] for key, name in _OTHERS.items() if prefix + key in logs}
        if prefix:
            others = {f"validation{name[0].upper()}{name[1:]}": value for name, value in others.items()}
        self._report(Metrics(step=state.global_step, total=state.max_steps, others=others, **losses))

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if control.should_training_stop:  # early stopping has just decided so: what there is now is kept
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step = state.global_step
        path = self._checkpoints.keep(Path(args.output_dir, f"checkpoint-{step}"), step)
        validation = self._validation[1] if self._validation and self._validation[0] == step else None
        answers = self._answer_losses() if self._answer_losses else (self._training_loss, validation)
        of_training, of_validation = (None if loss is None else perplexity(loss) for loss in answers)
        self._report(
            Checkpoint(
                step=step,
                path=path,
                training_loss=self._training_loss,
                validation_loss=validation,
                training_perplexity=of_training,
                validation_perplexity=of_validation,
            )
        )
