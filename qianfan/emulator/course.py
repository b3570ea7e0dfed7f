"""Numbers that look like a training's, from its hyper-parameters alone."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from qianfan._types import JSON
from qianfan.emulator import catalogue
from qianfan.emulator.records import Task

_BATCH = 16
_SCORED_MODES = ("SFT", "DPO")


@dataclass(frozen=True)
class Course:
    """How a training goes.

    steps: in all; steps_per_epoch: of one pass; kept: the steps whose checkpoints are kept, the last is always there.
    """

    steps: int
    steps_per_epoch: int
    kept: tuple[int, ...]


def course_of(task: Task) -> Course:
    """Steps and checkpoints that the task's hyper-parameters lead to."""
    config = {
        **catalogue.defaults(catalogue.limits_of(task.model, task.train_mode, task.parameter_scale)),
        **task.hyper_parameters,
    }
    rows = max(1, math.floor(task.rows * (100 - task.split_ratio) / 100))
    batch = int(config.get("batchSize") or config.get("globalBatchSize") or _BATCH)
    per_epoch = math.ceil(rows / batch)
    steps = per_epoch * int(config.get("epoch") or 1)
    interval = per_epoch if config.get("checkpointSaveStrategy") == "epoch" else int(config.get("saveStep") or 64)
    count = int(config.get("checkpointCount") or 1)
    saved = [*range(interval, steps, interval), steps]
    return Course(steps, per_epoch, tuple(saved[-count:]))


def loss_at(task: Task, step: int, seed: int) -> float:
    """The simulated training loss after a step: falls towards a floor, with a little noise."""
    course = course_of(task)
    rng = random.Random(f"{seed}:{task.id}:{step}")
    fall = math.exp(-4.0 * step / course.steps)
    return round(0.04 + 2.6 * fall + 0.05 * fall * rng.random(), 4)


def loss_curve(task: Task, seed: int, share: float = 1.0, points: int = 60) -> list[tuple[int, float]]:
    """(step, loss) of the part of a training that is done, at most `points` of them."""
    last = max(1, int(course_of(task).steps * share))
    stride = max(1, last // points)
    steps = sorted({*range(1, last + 1, stride), last})
    return [(step, loss_at(task, step, seed)) for step in steps]


def checkpoints(task: Task, seed: int) -> list[JSON]:
    """`checkpointList` of a finished task; empty when only the last step was kept."""
    kept = course_of(task).kept
    if len(kept) < 2:
        return []
    return [_checkpoint(step, loss_at(task, step, seed)) for step in kept]


def _checkpoint(step: int, loss: float) -> dict[str, JSON]:
    return {"step": step, "perplexity": round(math.exp(loss), 4), "trainingLoss": loss}


def metrics(task: Task, seed: int) -> dict[str, str] | None:
    """Simulated scores of a finished task; None for modes that are not scored."""
    if task.train_mode not in _SCORED_MODES:
        return None
    rng = random.Random(f"{seed}:{task.id}:metrics")
    base = 20 + 40 * (1 - math.exp(-course_of(task).steps / 200))
    scores = {"BLEU-4": 0.7, "ROUGE-1": 1.0, "ROUGE-2": 0.55, "ROUGE-L": 0.95}
    return {name: f"{base * factor + rng.random():.2f}%" for name, factor in scores.items()}
