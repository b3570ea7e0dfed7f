"""Numbers about a text, by which rows are filtered and which the list of rows shows.

Ratios go from 0 to 1. A word is a run of letters and digits, or one Chinese character.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CHINESE}]|[^\W_{_CHINESE}]+")
_KNOWN_LETTER = re.compile(rf"[{_CHINESE}A-Za-z]")

REPEATED_CHARACTERS = 10
"""Length of the pieces whose repetition is counted, in characters."""
REPEATED_WORDS = 5
"""The same in words."""

_FLAGGED = ("色情", "赌博", "毒品", "嫖娼", "裸聊", "博彩", "porn", "casino", "viagra", "xxx")
"""A few, to show that the operator works; the platform's own list is not public."""


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def character_repetition(text: str) -> float:
    """Share of the pieces of ten characters that occur more than once."""
    return _repetition([text[start : start + REPEATED_CHARACTERS] for start in range(_pieces(text, 10))])


def word_repetition(text: str) -> float:
    """Share of the pieces of five words that occur more than once."""
    words = words_of(text)
    return _repetition([tuple(words[start : start + REPEATED_WORDS]) for start in range(_pieces(words, 5))])


def special_characters(text: str) -> float:
    """Share of what is neither a letter nor a digit nor white space."""
    return sum(not one.isalnum() and not one.isspace() for one in text) / len(text) if text else 0.0


def flagged_words(text: str) -> float:
    """Share of the words that belong to flagged ones."""
    lower = text.lower()
    found = sum(len(words_of(flagged)) * lower.count(flagged) for flagged in _FLAGGED)
    return min(1.0, found / max(1, len(words_of(text))))


def language(text: str) -> float:
    """Share of the letters that are Chinese or Latin ones, in place of a classifier's certainty; 0 without letters."""
    letters = [one for one in text if unicodedata.category(one).startswith("L")]
    return sum(_KNOWN_LETTER.match(one) is not None for one in letters) / len(letters) if letters else 0.0


class Perplexity:
    """How unexpected a text is among its neighbours, in place of a language model trained on the world's texts.

    That is the perplexity under pairs of characters counted in all of the texts, every pair counted once more.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._firsts: Counter[str] = Counter()
        for text in texts:
            self._pairs.update(pairwise(text))
            self._firsts.update(text[:-1])
        self._characters = max(1, len({*self._firsts, *(second for _, second in self._pairs)}))

    def of(self, text: str) -> float:
        """At least 1; a text of less than two characters is expected."""
        pairs = [*pairwise(text)]
        if not pairs:
            return 1.0
        bits = sum(-math.log(self._share(pair)) for pair in pairs)
        return math.exp(bits / len(pairs))

    def _share(self, pair: tuple[str, str]) -> float:
        return (self._pairs[pair] + 1) / (self._firsts[pair[0]] + self._characters)


def simhash(text: str) -> int:
    """64 bits of which two alike texts share most."""
    words = words_of(text) or [text]
    votes = [0] * 64
    for piece, times in Counter(zip(words, [*words[1:], ""], strict=True)).items():
        digest = int.from_bytes(hashlib.blake2b("\0".join(piece).encode(), digest_size=8).digest(), "big")
        for bit in range(64):
            votes[bit] += times if digest >> bit & 1 else -times
    return sum(1 << bit for bit, vote in enumerate(votes) if vote > 0)


def _pieces(whole: Sequence[object], length: int) -> int:
    return max(0, len(whole) - length + 1)


def _repetition(pieces: Sequence[object]) -> float:
    counts = Counter(pieces)
    return sum(times for times in counts.values() if times > 1) / len(pieces) if pieces else 0.0
