"""Texts as vectors, near each other where the texts share words or parts of words. No model is behind them."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]+|[^\W\d_]+")
_CHINESE = re.compile("[\u4e00-\u9fff]+")
_COMMON = frozenset(
    {
        *("a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "has", "have", "how"),
        *("i", "if", "in", "is", "it", "its", "me", "my", "of", "on", "or", "our", "so", "that", "the", "their"),
        *("there", "this", "to", "was", "we", "what", "when", "where", "which", "who", "why", "will", "with", "you"),
    }
)
"""Words that texts share without being about the same."""
_LENGTH = 3


def embedding(text: str, size: int) -> list[float]:
    """A vector of length 1 that depends on the text alone: its words and parts of words, hashed onto the axes."""
    values = [0.0] * size
    for feature, weight in _features(text):
        place = zlib.crc32(feature.encode("utf-8", "replace"))
        values[place % size] += weight if place & 0x10000 else -weight
    norm = math.sqrt(sum(value * value for value in values))
    if not norm:
        values, norm = [1.0] + [0.0] * (size - 1), 1.0
    return [round(value / norm, 6) for value in values]


def closeness(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two vectors of length 1, from -1 to 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = _WORD.findall(text.casefold())
    for word in words:
        if _CHINESE.fullmatch(word):
            for place in range(len(word)):
                yield f"c:{word[place]}", 0.5
                if place + 1 < len(word):
                    yield f"c:{word[place : place + 2]}", 1.0
        elif word in _COMMON:
            yield f"w:{word}", 0.1
        else:
            yield f"w:{word}", 1.0
            yield from ((f"p:{part}", 0.4) for part in _parts(word))
    if not words and text.strip():
        yield f"t:{text.strip()}", 1.0


def _parts(word: str) -> Iterator[str]:
    edged = f"^{word}$"
    for place in range(len(edged) - _LENGTH + 1):
        yield edged[place : place + _LENGTH]
