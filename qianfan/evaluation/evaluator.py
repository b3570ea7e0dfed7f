"""Evaluators: what judges an answer, written by users."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from statistics import fmean
from typing import Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from qianfan._strict import suggestion
from qianfan.errors import InvalidArgumentError, UnknownArgumentError

__all__ = [
    "Evaluator",
    "LocalEvaluator",
    "ManualEvaluatorDimension",
    "QianfanEvaluator",
    "QianfanManualEvaluator",
    "QianfanRefereeEvaluator",
    "QianfanRuleEvaluator",
]

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


class QianfanEvaluator(Evaluator, ABC):
    """Judges answers on the platform, which asks the models itself. Only published models can be judged there.

    mode: what the platform calls this way of judging.
    """

    mode: ClassVar[str]

    @abstractmethod
    def to_wire(self) -> dict[str, Any]:
        """This evaluator's part of the request. Raises InvalidArgumentError when it judges nothing."""

    @abstractmethod
    def reported(self) -> Sequence[str]:
        """What of the platform's report comes from it, by the names there."""


class QianfanRuleEvaluator(QianfanEvaluator):
    """Compares answers with those of the dataset.

    using_similarity: BLEU-4 and ROUGE. using_accuracy: whether they are the same.
    stop_words: a file of words that count not, `bos:/bucket/words.txt`.
    """

    mode = "rule"

    using_similarity: bool = False
    using_accuracy: bool = False
    stop_words: str | None = None

    def to_wire(self) -> dict[str, Any]:
        chosen = {"similarity": self.using_similarity, "accuracy": self.using_accuracy}
        modes = [name for name, is_wanted in chosen.items() if is_wanted]
        if not modes:
            raise InvalidArgumentError(f"{self!r} judges nothing: set using_similarity, using_accuracy, or both")
        return {"scoreModes": modes, **({"stopWordsPath": self.stop_words} if self.stop_words else {})}

    def reported(self) -> Sequence[str]:
        similarity = ("bleu4", "rouge_1", "rouge_2", "rouge_l") if self.using_similarity else ()
        return (*similarity, *(("accuracy", "f1Score") if self.using_accuracy else ()))


DEFAULT_METRIC = "综合得分"
DEFAULT_STEPS = (
    "1. 阅读问题，弄清它问的是什么、对回答有什么要求。\n"
    "2. 阅读参考回答，弄清正确的回答应当包含什么。\n"
    "3. 阅读待评的回答，检查其内容是否正确、用词是否恰当。\n"
    "4. 检查待评的回答是否遵守问题的要求，例如方式、篇幅与格式。\n"
)
DEFAULT_MAX_SCORE = 5

_REFEREE_TEMPLATE = """你是一名公正的裁判，请评价一个回答的质量。
评价指标：{metric}
评价步骤：
{steps}
得分为 {least} 到 {most} 的整数，分数越高越好。

问题：
{{src}}

参考回答：
{{tgt}}

待评的回答：
{{prediction}}

只输出 JSON，包含 reason（评分理由）与 score（得分）两个字段。
"""


class QianfanRefereeEvaluator(QianfanEvaluator):
    """Has a model of the platform judge the answers.

    app_id: of the application that the judging model is asked as. prompt_metrics, prompt_steps: what it judges by, and
    how. prompt_max_score: the best score; 0 is the worst.
    """

    mode = "model"

    app_id: int
    prompt_metrics: str = DEFAULT_METRIC
    prompt_steps: str = DEFAULT_STEPS
    prompt_max_score: int = DEFAULT_MAX_SCORE

    def to_wire(self) -> dict[str, Any]:
        if self.prompt_max_score < 1:
            raise InvalidArgumentError(f"{self!r}: prompt_max_score must be at least 1")
        template = _REFEREE_TEMPLATE.format(
            metric=self.prompt_metrics, steps=self.prompt_steps.strip(), least=0, most=self.prompt_max_score
        )
        prompt = {
            "templateName": "裁判员评分",
            "templateContent": template,
            "metric": self.prompt_metrics,
            "steps": self.prompt_steps,
            "maxScore": self.prompt_max_score,
        }
        return {"appId": self.app_id, "prompt": prompt}

    def reported(self) -> Sequence[str]:
        return ("avgJudgeScore", "stdJudgeScore", "medianJudgeScore", "scoreDistribution")


class ManualEvaluatorDimension(BaseModel):
    """What people judge by."""

    model_config = ConfigDict(extra="forbid")

    dimension: str = Field(min_length=1)
    description: str | None = None


_SATISFACTION = "满意度"


class QianfanManualEvaluator(BaseModel, QianfanEvaluator):
    """Has people judge the answers, in the platform's console. The result holds the answers; people take their time.

    evaluation_dimensions: 1 to 4, of which the first is 满意度 (satisfaction); it is added where it is missing.
    """

    model_config = ConfigDict(extra="forbid")

    mode: ClassVar[str] = "manual"

    evaluation_dimensions: list[ManualEvaluatorDimension] = Field(
        default_factory=lambda: [ManualEvaluatorDimension(dimension=_SATISFACTION)]
    )

    @field_validator("evaluation_dimensions")
    @classmethod
    def _first_is_satisfaction(cls, given: list[ManualEvaluatorDimension]) -> list[ManualEvaluatorDimension]:
        first = [] if given and given[0].dimension == _SATISFACTION else [_SATISFACTION]
        dimensions = [*(ManualEvaluatorDimension(dimension=name) for name in first), *given]
        if len(dimensions) > 4:
            raise ValueError(
                f"people judge by 4 dimensions at most, {_SATISFACTION} included, not by {len(dimensions)}"
            )
        return dimensions

    def to_wire(self) -> dict[str, Any]:
        return {"evaluationDimension": [one.model_dump(exclude_none=True) for one in self.evaluation_dimensions]}

    def reported(self) -> Sequence[str]:
        return ("manualAvgScore", "goodCaseProportion", "manualScoreDistribution")


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
