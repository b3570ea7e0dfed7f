"""Marks for answers: by rule, by a referee that is none, and what they come to for a whole model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev
from typing import Any

from qianfan._types import JSON
from qianfan.utils.scores import bleu, rouge_l, rouge_n, words

SIMULATED_REFEREE = "[simulated referee of the qianfan emulator]"


@dataclass(frozen=True)
class Rules:
    """What is compared. similarity: BLEU-4 and ROUGE; accuracy: the same text or not; ignored: words that count not."""

    similarity: bool
    accuracy: bool
    ignored: frozenset[str] = frozenset()

    def split(self, text: str) -> list[str]:
        """The words of a text that count."""
        return [word for word in words(text) if word not in self.ignored]

    def marks(self, expected: str, given: str) -> dict[str, float]:
        """Of one answer, from 0 to 1; none where nothing was expected."""
        if not expected:
            return {}
        wanted, found = self.split(expected), self.split(given)
        marks: dict[str, float] = {}
        if self.similarity:
            marks |= {
                "bleu4": bleu([(wanted, found)]),
                "rouge_1": rouge_n(wanted, found, 1),
                "rouge_2": rouge_n(wanted, found, 2),
                "rouge_l": rouge_l(wanted, found),
            }
        if self.accuracy:
            marks |= {"accuracy": float(wanted == found), "f1": _f1(wanted, found)}
        return marks


def _f1(wanted: Sequence[str], found: Sequence[str]) -> float:
    shared = (Counter(wanted) & Counter(found)).total()
    return 2 * shared / (len(wanted) + len(found)) if wanted or found else 1.0


@dataclass(frozen=True)
class Referee:
    """Stands for a model that judges. It goes by what an answer shares with the expected one, and says that it does."""

    least: int
    most: int

    def mark(self, expected: str, given: str) -> tuple[int, str]:
        """(score, reason) of one answer; the least score for no answer, the middle one where none was expected."""
        if not given.strip():
            return self.least, f"{SIMULATED_REFEREE} there is no answer"
        if not expected:
            return round((self.least + self.most) / 2), f"{SIMULATED_REFEREE} there is nothing to compare with"
        likeness = rouge_l(words(expected), words(given))
        score = round(self.least + likeness * (self.most - self.least))
        return score, f"{SIMULATED_REFEREE} ROUGE-L with the expected answer is {likeness:.2f}"


def effect(rows: Sequence[Mapping[str, Any]], rules: Rules | None, referee: Referee | None) -> dict[str, JSON]:
    """`effectMetric` of one model. rows: its answers with their marks."""
    judged = [row["judgeScore"] for row in rows if row.get("judgeScore") is not None]
    pairs: list[tuple[list[str], list[str]]] = []
    if rules is not None and rules.similarity:
        pairs = [
            (rules.split(row["completion"]), rules.split(row["prediction"]))
            for row in rows
            if row["completion"] and row["prediction"]
        ]
    return {
        "accuracy": _mean(rows, "accuracy"),
        "f1Score": _mean(rows, "f1"),
        "rouge_1": _mean(rows, "rouge_1"),
        "rouge_2": _mean(rows, "rouge_2"),
        "rouge_l": _mean(rows, "rouge_l"),
        "bleu4": bleu(pairs) if pairs else 0,
        "avgJudgeScore": fmean(judged) if judged else 0,
        "stdJudgeScore": pstdev(judged) if judged else 0,
        "medianJudgeScore": median(judged) if judged else 0,
        "scoreDistribution": _distribution(judged, len(rows), referee) if referee is not None else None,
        "manualAvgScore": 0,
        "goodCaseProportion": 0,
        "subjectiveImpression": "",
        "manualScoreDistribution": None,
    }


def _mean(rows: Iterable[Mapping[str, Any]], name: str) -> float:
    found = [row[name] for row in rows if row.get(name) is not None]
    return fmean(found) if found else 0


def _distribution(judged: Sequence[int], rows: int, referee: Referee) -> dict[str, JSON]:
    counted = Counter(judged)
    scores = range(min(0, referee.least), referee.most + 1)
    return {"-1": rows - len(judged), **{str(score): counted[score] for score in scores}}
