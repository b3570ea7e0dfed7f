"""Examples to learn from, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qianfan.engines.tiny.parameters import Tokens
from qianfan.engines.tiny.tokenizer import PAD

NOTHING = -1
"""In place of a target where nothing is to be learnt."""


@dataclass(frozen=True)
class Passage:
    """Tokens, of which those from `start` on are to be learnt. The first token never is: nothing foretells it."""

    tokens: tuple[int, ...]
    start: int = 1

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def learnt(self) -> tuple[int, ...]:
        """The tokens that are to be learnt."""
        return self.tokens[self.start :]


Example: TypeAlias = tuple[Passage, ...]
"""One passage, or the better and the worse of two."""


@dataclass(frozen=True)
class Batch:
    """B passages side by side, padded at their end to a length T.

    tokens [B, T]; targets [B, T]: the token that follows, or NOTHING; examples: which ones these are. The examples'
    first passages come first, then all second ones. Causal attention keeps the padding from changing anything.
    """

    tokens: Tokens
    targets: Tokens
    examples: Tokens

    @property
    def learnt(self) -> npt.NDArray[np.bool_]:
        """[B, T]: where something is to be learnt."""
        mask: npt.NDArray[np.bool_] = self.targets != NOTHING
        return mask


def batch_of(examples: Sequence[Example], chosen: Tokens) -> Batch:
    """The batch of these examples, by number."""
    passages = [passage for side in zip(*(examples[number] for number in chosen), strict=True) for passage in side]
    length = max(map(len, passages)) - 1
    tokens = np.full((len(passages), length), PAD)
    targets = np.full((len(passages), length), NOTHING)
    for row, passage in enumerate(passages):
        tokens[row, : len(passage) - 1] = passage.tokens[:-1]
        targets[row, passage.start - 1 : len(passage) - 1] = passage.tokens[passage.start :]
    return Batch(tokens, targets, chosen)


def shuffled(examples: Sequence[Example], size: int, random: np.random.Generator) -> Iterator[Batch]:
    """One pass over all examples, in a new order. Batches hold examples of similar length, so that little is padded."""
    order = random.permutation(len(examples))
    lengths = np.array([_length(examples[number]) for number in order])
    by_length = order[np.argsort(lengths, kind="stable")]
    starts = np.arange(0, len(examples), size)
    for start in random.permutation(starts):
        yield batch_of(examples, by_length[start : start + size])


def in_order(examples: Sequence[Example], size: int) -> Iterator[Batch]:
    """One pass over all examples as they come."""
    for start in range(0, len(examples), size):
        yield batch_of(examples, np.arange(start, min(start + size, len(examples))))


def _length(example: Example) -> int:
    return max(map(len, example))
