"""How answers compare with what they should have been: BLEU-4 and ROUGE, in percent.

BLEU is Papineni's: clipped n-gram precisions over all pairs together, their geometric mean, and a penalty for brevity.
ROUGE is Lin's: the F1 of shared n-grams, or of the longest common subsequence, averaged over the pairs.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TypeAlias

Words: TypeAlias = Sequence[str]

_WORD = re.compile(r"[A-Za-z0-9\u00c0-\u024f]+|\S")
_BLEU_ORDER = 4


def words(text: str) -> list[str]:
    """What is compared: the words of Latin script, and of everything else the single characters."""
    return _WORD.findall(text)


def score(pairs: Iterable[tuple[str, str]]) -> dict[str, float]:
    """BLEU-4, ROUGE-1, ROUGE-2 and ROUGE-L in percent of (reference, candidate) pairs, at least one."""
    split = [(words(reference), words(candidate)) for reference, candidate in pairs]
    return {
        "BLEU-4": 100 * bleu(split),
        "ROUGE-1": 100 * fmean(rouge_n(reference, candidate, 1) for reference, candidate in split),
        "ROUGE-2": 100 * fmean(rouge_n(reference, candidate, 2) for reference, candidate in split),
        "ROUGE-L": 100 * fmean(rouge_l(reference, candidate) for reference, candidate in split),
    }


def bleu(pairs: Sequence[tuple[Words, Words]]) -> float:
    """0 to 1. An order that no candidate is long enough for counts for nothing, so that short answers can be right."""
    precisions: list[float] = []
    for order in range(1, _BLEU_ORDER + 1):
        found = [(ngrams(reference, order), ngrams(candidate, order)) for reference, candidate in pairs]
        total = sum(candidate.total() for _, candidate in found)
        if total:
            precisions.append(sum((reference & candidate).total() for reference, candidate in found) / total)
    if not precisions or min(precisions) == 0:
        return 0.0
    reference_length = sum(len(reference) for reference, _ in pairs)
    candidate_length = sum(len(candidate) for _, candidate in pairs)
    brevity = math.exp(min(0.0, 1 - reference_length / candidate_length))
    return brevity * math.exp(fmean(map(math.log, precisions)))


def rouge_n(reference: Words, candidate: Words, order: int) -> float:
    """F1 of the n-grams of one order, 0 to 1. Where both are too short to have any, whether they are equal."""
    wanted, given = ngrams(reference, order), ngrams(candidate, order)
    if not wanted and not given:
        return float(list(reference) == list(candidate))
    return _f1((wanted & given).total(), wanted.total(), given.total())


def rouge_l(reference: Words, candidate: Words) -> float:
    """F1 of the longest common subsequence, 0 to 1."""
    if not reference and not candidate:
        return 1.0
    return _f1(longest_common_subsequence(reference, candidate), len(reference), len(candidate))


def ngrams(text: Words, order: int) -> Counter[tuple[str, ...]]:
    """All runs of `order` words, with how often they occur."""
    return Counter(zip(*(text[start:] for start in range(order)), strict=False))


def longest_common_subsequence(one: Words, other: Words) -> int:
    """Its length, by the usual table of which only the last row is kept."""
    row = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for place, candidate in enumerate(other, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == candidate else max(above, row[place - 1])
            diagonal = above
    return row[-1]


def _f1(shared: int, wanted: int, given: int) -> float:
    return 2 * shared / (wanted + given)
