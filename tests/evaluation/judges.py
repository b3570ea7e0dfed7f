"""Evaluators as users write them, where any process can import them from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

import anyio
from pydantic import BaseModel

from qianfan.evaluation import LocalEvaluator


class Length(LocalEvaluator):
    """Settings as annotated attributes."""

    limit: int = 10

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return {"length": len(output), "short": len(output) <= self.limit}


class Patient(LocalEvaluator):
    """Async."""

    async def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        return {"patience": 1.0}


class Matching(LocalEvaluator):
    """A constructor of its own, and an attribute made from the others."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._compiled = re.compile(pattern)

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return {"matches": self._compiled.search(output) is not None}


class Plain(LocalEvaluator):
    """Attributes that its constructor does not take by their names."""

    def __init__(self, first: str) -> None:
        self.words = [first, first.upper()]

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return {"word": any(word in output for word in self.words)}


@dataclass
class Weighted(LocalEvaluator):
    weights: dict[str, float] = field(default_factory=dict)

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return {"weight": sum(weight for word, weight in self.weights.items() if word in output)}


class Bounds(BaseModel):
    low: float = 0.0
    high: float = 1.0


class Modelled(BaseModel, LocalEvaluator):
    bounds: Bounds = Bounds()
    tags: tuple[str, ...] = ()

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return {"within": self.bounds.low <= len(output) <= self.bounds.high}


class Picky(LocalEvaluator):
    """Fails for the questions that hold a word."""

    word: str

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        if self.word in str(input):
            raise ZeroDivisionError("division by zero")
        return {"picked": 1}


class Held(LocalEvaluator):
    """Waits as long as `holds`, having said that it was reached."""

    reached: ClassVar[anyio.Event]
    holds: ClassVar[bool] = False

    async def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        if Held.holds:
            Held.reached.set()
            await anyio.sleep_forever()
        return {"held": 0}


class Deadly(LocalEvaluator):
    """Ends its process where it is told to."""

    grade: float = 1.0
    words: list[str]

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        if os.environ.get("DEADLY"):
            os._exit(9)
        return {"grade": self.grade, "words": len(self.words)}
