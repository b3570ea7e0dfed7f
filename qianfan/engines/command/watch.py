"""Watching an outside trainer: what it writes becomes what is told."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from qianfan.engines.backend import EngineError, Report
from qianfan.engines.command.harvest import Harvest
from qianfan.engines.command.log import TrainerLog
from qianfan.engines.command.program import Tail
from qianfan.engines.hf.arguments import Arguments
from qianfan.engines.hf.losses import finite, perplexity
from qianfan.engines.rows import Mode
from qianfan.engines.spec import Checkpoint, Metrics, Plan
from qianfan.engines.values import checkpoint_steps


class Watch:
    """Looks at what there is of log, output and checkpoints, and reports what is new."""

    def __init__(
        self,
        plan: Plan,
        arguments: Arguments,
        mode: Mode,
        log: TrainerLog,
        printed: Tail,
        harvest: Harvest,
        report: Report,
    ) -> None:
        self._plan = plan
        self._arguments = arguments
        self._answers_are_trained = mode in ("SFT", "PostPretrain")
        self._log = log
        self._printed = printed
        self._harvest = harvest
        self._report = report
        self._seen: list[Metrics] = []

    def look(self, *, is_over: bool = False) -> None:
        """Report what has come since the last look. is_over: the trainer has ended."""
        sys.stderr.write(self._printed.read().decode("utf-8", "replace"))
        sys.stderr.flush()
        for metrics in self._log.read():
            self._plan_for(metrics.total)
            for loss in (metrics.training_loss, metrics.validation_loss):
                finite(loss or 0.0, metrics.step)
            self._seen.append(metrics)
            self._report(metrics)
        if self._training_losses():
            for step, path in self._harvest.finished(self._is_wanted, is_over=is_over):
                self._tell(step, path)

    def close(self) -> None:
        """Report the last checkpoint, and what was wrong with the log. Raises EngineError where nothing was learnt."""
        self.look(is_over=True)
        if not self._training_losses():
            raise EngineError("no_log", "the trainer ended without a loss in trainer_log.jsonl")
        if last := self._harvest.last(self._seen[-1].step):
            self._tell(*last)
        if self._log.broken:
            self._plan = self._plan.model_copy(
                update={
                    "notes": (*self._plan.notes, f"{self._log.broken} lines of trainer_log.jsonl were not readable")
                }
            )
            self._report(self._plan)

    def _plan_for(self, total: int) -> None:
        """The trainer knows best how many steps there are."""
        if total != self._plan.steps:
            self._plan = self._plan.model_copy(update={"steps": total})
            self._report(self._plan)

    def _is_wanted(self, step: int) -> bool:
        total = self._plan.steps
        every = self._arguments.save_every or math.ceil(total / max(1.0, self._arguments.epochs))
        return step in checkpoint_steps(total, every, self._arguments.keep)

    def _tell(self, step: int, path: Path) -> None:
        training, validation = self._training_loss(step), self._validation_loss(step)
        measured = self._answers_are_trained
        self._report(
            Checkpoint(
                step=step,
                path=path,
                training_loss=training,
                validation_loss=validation,
                training_perplexity=perplexity(training) if measured else None,
                validation_perplexity=perplexity(validation) if measured and validation is not None else None,
            )
        )

    def _training_losses(self) -> list[tuple[int, float]]:
        """(step, loss)."""
        return [(seen.step, seen.training_loss) for seen in self._seen if seen.training_loss is not None]

    def _training_loss(self, step: int) -> float:
        """As it was last told at this step; as it was first told where that came later."""
        losses = self._training_losses()
        until = [loss for at, loss in losses if at <= step]
        return until[-1] if until else losses[0][1]

    def _validation_loss(self, step: int) -> float | None:
        """As it was told at this very step."""
        told = [seen.validation_loss for seen in self._seen if seen.step == step]
        return next((loss for loss in reversed(told) if loss is not None), None)
