"""Evaluation: questions put to a model, and what evaluators say about its answers."""

from qianfan.evaluation.evaluator import (
    Evaluator,
    LocalEvaluator,
    ManualEvaluatorDimension,
    QianfanEvaluator,
    QianfanManualEvaluator,
    QianfanRefereeEvaluator,
    QianfanRuleEvaluator,
)
from qianfan.evaluation.local_evaluator import ExactMatchEvaluator, LocalJudgeEvaluator, SimilarityEvaluator
from qianfan.evaluation.manager import EvaluationManager
from qianfan.evaluation.result import EvaluationResult, ResultDataset

__all__ = [
    "EvaluationManager",
    "EvaluationResult",
    "Evaluator",
    "ExactMatchEvaluator",
    "LocalEvaluator",
    "LocalJudgeEvaluator",
    "ManualEvaluatorDimension",
    "QianfanEvaluator",
    "QianfanManualEvaluator",
    "QianfanRefereeEvaluator",
    "QianfanRuleEvaluator",
    "ResultDataset",
    "SimilarityEvaluator",
]
