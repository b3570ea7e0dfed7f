"""One training from its preparation to its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from qianfan.engines.backend import EngineError, Report, Stopped
from qianfan.engines.hf.answers import answer_loss, compare_answers
from qianfan.engines.hf.callbacks import AnswerLosses, Reporting, WasStopped
from qianfan.engines.hf.checkpoints import Checkpoints
from qianfan.engines.hf.data import good_answers
from qianfan.engines.hf.device import precision
from qianfan.engines.hf.preparing import Preparation
from qianfan.engines.hf.record import CheckpointRecord
from qianfan.engines.hf.start import Start, load_to_train, made_from_scratch
from qianfan.engines.hf.trainers import good_pairs, make_trainer, quieten
from qianfan.engines.schedules import warmup_steps
from qianfan.engines.spec import Plan, Scores
from qianfan.utils.scores import score


def train(preparation: Preparation, workshop: Path, report: Report, stopped: Stopped) -> None:
    """Train, and report what there is to tell. workshop: a folder for what is not complete yet."""
    quieten()
    spec, start = preparation.spec, preparation.start
    if start.folder is None:
        start = made_from_scratch(preparation.tokenizer, workshop / "base", preparation.arguments.seed)
    with_adapter = spec.scale != "FullFineTuning"
    # Weights that change need float32, in which small changes are not lost; those that stay do with less.
    model = load_to_train(start, with_adapter=with_adapter, dtype=precision() if with_adapter else torch.float32)
    trainer = make_trainer(preparation, model, workshop / "trainer")
    _check_that_rows_are_left(trainer)
    plan = _complete_plan(preparation, trainer)
    report(plan)
    _leave_steps_after_the_warm_up(trainer, plan.steps)
    trainer.add_callback(
        Reporting(
            preparation.arguments,
            _checkpoints(preparation, start, with_adapter),
            report,
            stopped,
            _answer_losses(preparation, trainer),
        )
    )
    try:
        trainer.train()
    except WasStopped:
        return
    if not stopped():
        _score(preparation, trainer.model, report, stopped)


def _check_that_rows_are_left(trainer: Any) -> None:
    for rows, which in ((trainer.train_dataset, "training"), (trainer.eval_dataset, "held-out")):
        if rows is not None and len(rows) == 0:
            raise EngineError(
                "no_rows", f"no {which} row fits into maxSeqLen with its answer", "take a larger maxSeqLen"
            )


def _leave_steps_after_the_warm_up(trainer: Any, steps: int) -> None:
    """Without one to go down on, transformers' polynomial divides by zero."""
    if warmup_steps(trainer.args.warmup_steps, steps) >= steps:
        trainer.args.warmup_steps = 0


def _complete_plan(preparation: Preparation, trainer: Any) -> Plan:
    """The plan with what is known only when model and rows are there."""
    left, total = len(trainer.train_dataset), sum(weights.numel() for weights in trainer.model.parameters())
    trained = sum(weights.numel() for weights in trainer.model.parameters() if weights.requires_grad)
    notes: list[str] = []
    if trained < total:
        notes.append(f"{trained:,} of {total:,} numbers are trained")
    if not preparation.arguments.training.get("packing") and left < len(preparation.examples):
        notes.append(f"{len(preparation.examples) - left} rows leave no room for an answer within maxSeqLen: left out")
    return preparation.plan(examples=left, parameters=total, notes=tuple(notes))


def _checkpoints(preparation: Preparation, start: Start, with_adapter: bool) -> Checkpoints:
    spec = preparation.spec
    record = CheckpointRecord(
        mode=spec.mode,
        scale=spec.scale,
        base=start.words,
        base_folder=start.folder if with_adapter and start.stays else None,
        precision=start.precision,
    )
    taken_along = start.folder if with_adapter and not start.stays else None
    return Checkpoints(spec.folder / "checkpoints", record, taken_along)


def _answer_losses(preparation: Preparation, trainer: Any) -> AnswerLosses | None:
    """What perplexities are taken from where the loss is not that of answers."""
    if preparation.spec.mode not in ("DPO", "KTO"):
        return None
    length = trainer.args.max_length

    def measure() -> tuple[float | None, float | None]:
        training = answer_loss(trainer.model, good_pairs(trainer.train_dataset, length))
        held_out = trainer.eval_dataset
        return training, None if held_out is None else answer_loss(trainer.model, good_pairs(held_out, length))

    return measure


def _score(preparation: Preparation, model: Any, report: Report, stopped: Stopped) -> None:
    wanted = list(good_answers(preparation.held_out))
    if pairs := compare_answers(model, preparation.tokenizer, wanted, stopped):
        report(Scores(scores=score(pairs)))
