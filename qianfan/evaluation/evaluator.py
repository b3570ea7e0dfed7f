"""Evaluators: what judges an answer, written by users."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeAlias

from qianfan._strict import suggestion
from qianfan.errors import UnknownArgumentError

__all__ = ["Evaluator", "LocalEvaluator"]

Verdict: TypeAlias = Mapping[str, Any]
"""What an evaluator says about one answer: values by the name of the metric, which must be JSON values."""

COLUMNS = ("llm", "input", "reference", "output", "error")
"""The parts of a row of results that are no metrics."""


class Evaluator:
    """Judges answers.

    Annotated attributes of a subclass are its settings, which it takes as keywords; an `__init__` of its own, a
    dataclass or a pydantic model (named first among the bases) work as well.
    """

    def __init__(self, **settings: Any) -> None:
        name, known = type(self).__name__, annotated(type(self))
        for given in settings:
            if given not in known:
                raise UnknownArgumentError(f"{name} has no argument {given!r}; {suggestion(given, known)}")
        vars(self).update(settings)
        missing = [one for one in known if not hasattr(self, one)]
        if missing:
            raise UnknownArgumentError(f"{name} needs {', '.join(missing)}")

    def __repr__(self) -> str:
        known = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in known.items())})"


class LocalEvaluator(Evaluator, ABC):
    """Judges answers on this machine.

    ```python
    class Length(LocalEvaluator):
        limit: int = 100

        def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
            return {"short enough": len(output) <= self.limit}
    ```
    """

    @abstractmethod
    def evaluate(self, input: Any, reference: str, output: str) -> Verdict | Awaitable[Verdict]:
        """What there is to say about one answer; plain, or `async def`.

        input: the question, or a list of messages that ends with it where turns came before. reference: the answer of
        the dataset, empty where it has none. output: the model's answer.
        A plain one is called in a worker thread, for one row at a time; an async one for several rows at once. A row
        for which it raises is noted as failed, and the others go on.
        """

    def summarize(self, dataset: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """What there is to say about all answers together; the mean of every numeric metric unless overridden.

        dataset: `input`, `reference`, `output` and this evaluator's metrics of every row that it has judged.
        """
        return means(dataset)


def means(dataset: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of every metric over the rows that have a number for it; of yes and no, the share of yes."""
    numbers: dict[str, list[float]] = {}
    for row in dataset:
        for name, value in row.items():
            if name not in COLUMNS and isinstance(value, (int, float)):
                numbers.setdefault(name, []).append(value)
    return {name: fmean(values) for name, values in numbers.items()}


def annotated(evaluator: type[Evaluator]) -> list[str]:
    """The settings that a class declares, in order, those of its bases first."""
    hints: dict[str, Any] = {}
    for kind in reversed(evaluator.__mro__):
        hints |= inspect.get_annotations(kind)
    return [name for name, hint in hints.items() if not name.startswith("_") and "ClassVar" not in str(hint)]
