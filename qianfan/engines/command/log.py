"""LLaMA-Factory's `trainer_log.jsonl`: a JSON object a line, added while it trains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from qianfan._types import JSON
from qianfan.engines.command.program import Tail
from qianfan.engines.spec import Metrics

NAME: Final = "trainer_log.jsonl"


class TrainerLog:
    """Reads the lines as they come. broken: how many were no JSON object with a step in it."""

    def __init__(self, output: Path) -> None:
        self._tail = Tail(output / NAME)
        self._incomplete = b""
        self.broken = 0

    def read(self) -> Iterator[Metrics]:
        """What the new lines tell; lines that tell of no loss are passed over."""
        *lines, self._incomplete = (self._incomplete + self._tail.read()).split(b"\n")
        for line in filter(bytes.strip, lines):
            try:
                metrics = metrics_of(json.loads(line))
            except (ValueError, TypeError, KeyError):
                self.broken += 1
                continue
            if metrics.training_loss is not None or metrics.validation_loss is not None:
                yield metrics


def metrics_of(line: object) -> Metrics:
    """What one line tells. Raises KeyError, TypeError or ValueError where it is not what it should be."""
    if not isinstance(line, dict):
        raise TypeError(f"{line!r} is no JSON object")
    told = cast("dict[str, JSON]", line)
    return Metrics.model_validate(
        {
            "step": told["current_steps"],
            "total": told["total_steps"],
            "training_loss": told.get("loss"),
            "validation_loss": told.get("eval_loss"),
            "learning_rate": told.get("lr"),
            "others": {"rewardAccuracy": told["accuracy"]} if "accuracy" in told else {},
        }
    )
