"""Evaluators that are ready to use: is the answer the one of the dataset, and how near to it is it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qianfan.errors import InvalidArgumentError
from qianfan.evaluation.evaluator import LocalEvaluator
from qianfan.utils.scores import score

__all__ = ["ExactMatchEvaluator", "SimilarityEvaluator"]


class SimilarityEvaluator(LocalEvaluator):
    """BLEU-4, ROUGE-1, ROUGE-2 and ROUGE-L, in percent. BLEU of all rows counts their n-grams together."""

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return score([(_wanted(reference), output)])

    def summarize(self, dataset: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        return score([(row["reference"], row["output"]) for row in dataset]) if dataset else None


class ExactMatchEvaluator(LocalEvaluator):
    """Whether the answer is the one of the dataset, but for space around it; of all rows, the share from 0 to 1.

    ignore_case: upper and lower case are the same.
    """

    ignore_case: bool = False

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        wanted, given = _wanted(reference).strip(), output.strip()
        if self.ignore_case:
            wanted, given = wanted.casefold(), given.casefold()
        return {"exact_match": wanted == given}


def _wanted(reference: str) -> str:
    if not reference:
        raise InvalidArgumentError("the row has no answer to compare with")
    return reference
