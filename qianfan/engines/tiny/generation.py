"""Answers, token by token: the model with a memory of what it has read, how the next token is chosen, when to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np

from qianfan.engines.backend import Piece
from qianfan.engines.rows import Message, Mode
from qianfan.engines.spec import Sampling
from qianfan.engines.tiny.examples import prompt
from qianfan.engines.tiny.layers import causal_mask, join_heads, relu, rms_norm, softmax, split_heads
from qianfan.engines.tiny.model import Config
from qianfan.engines.tiny.parameters import Array, Weights
from qianfan.engines.tiny.tokenizer import SPECIAL, Tokenizer

End: TypeAlias = Literal["", "stop", "length"]

_GREEDY_BELOW: Final = 0.01
_FEWEST_REPEATS: Final = 4
"""So many times the same token in a row is a loop, unless what was learnt has longer runs."""


class TinyGenerator:
    """A model that answers. longest_run: of one token in what it has learnt."""

    def __init__(self, weights: Weights, size: Config, tokenizer: Tokenizer, mode: Mode, longest_run: int = 1) -> None:
        self._weights, self._size = weights, size
        self._tokenizer, self._longest_run = tokenizer, longest_run
        self._mode: Mode = mode

    def count(self, messages: Sequence[Message]) -> int:
        return len(prompt(self._tokenizer, messages, self._mode))

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[Piece]:
        decoder, stops = self._tokenizer.decoder(), StopTexts(sampling.stop)
        tokens = 0
        for token, end in self._tokens(prompt(self._tokenizer, messages, self._mode), sampling):
            tokens += 1
            text, is_over = stops.feed(decoder.feed(token))
            if end and not is_over:
                rest, is_over = stops.feed(decoder.finish())
                text += rest
            if is_over:
                yield Piece(text, tokens, "stop")
                return
            if end:
                yield Piece(text + stops.finish(), tokens, end)
            elif text:
                yield Piece(text, tokens)
                tokens = 0

    def _tokens(self, asked: Sequence[int], sampling: Sampling) -> Iterator[tuple[int, End]]:
        """The tokens of an answer; the last one with the reason why it is that."""
        context = self._size.context
        if len(asked) >= context:
            asked = asked[-(3 * context // 4) :]  # its beginning goes, so that there is room for an answer
        most = min(sampling.max_tokens or context, context - len(asked))
        reader, chooser = Reader(self._weights, self._size), Chooser(sampling)
        repeats = Repeats(self._longest_run)
        scores = reader.read(asked)
        for _ in range(most - 1):
            token = chooser.choose(scores)
            if token in SPECIAL or repeats.is_loop(token):
                yield token, "stop"
                return
            yield token, ""
            scores = reader.read([token])
        token = chooser.choose(scores)
        yield token, "stop" if token in SPECIAL else "length"


class Reader:
    """Reads tokens and foretells the next one; keys and values of what was read stay, so that nothing is read twice."""

    def __init__(self, weights: Weights, size: Config) -> None:
        self._weights, self._size = weights, size
        self.length = 0
        heads = (size.layers, size.heads, size.context, size.width // size.heads)
        kind = weights["tokens"].dtype
        self._keys: Array = np.empty(heads, kind)
        self._values: Array = np.empty(heads, kind)

    def read(self, tokens: Sequence[int]) -> Array:
        """Read on, n tokens; the scores [V] of the one that follows. All that is read must fit into the context."""
        weights, places = self._weights, slice(self.length, self.length + len(tokens))
        x = weights["tokens"][np.array(tokens)] + weights["positions"][places]  # [n, D]
        for layer in range(self._size.layers):
            normed, _ = rms_norm(x, weights[f"{layer}.attention_gain"])
            x = x + self._attend(layer, normed @ weights[f"{layer}.qkv"], places) @ weights[f"{layer}.out"]
            normed, _ = rms_norm(x, weights[f"{layer}.mlp_gain"])
            active, _ = relu(normed @ weights[f"{layer}.up"])
            x = x + active @ weights[f"{layer}.down"]
        self.length = places.stop
        hidden, _ = rms_norm(x[-1], weights["gain"])
        scores: Array = weights["tokens"] @ hidden
        return scores

    def _attend(self, layer: int, qkv: Array, places: slice) -> Array:
        """What the tokens at these places gather from all up to themselves; qkv is [n, 3 D]."""
        query, key, value = split_heads(qkv[None], self._size.heads)  # each [1, H, n, D / H]
        self._keys[layer, :, places] = key[0]
        self._values[layer, :, places] = value[0]
        keys, values = self._keys[layer, :, : places.stop], self._values[layer, :, : places.stop]
        scores = query @ keys.swapaxes(-1, -2) * query.shape[-1] ** -0.5
        if len(qkv) > 1:
            scores += causal_mask(places.stop, scores.dtype.type)[places]
        gathered: Array = join_heads(softmax(scores) @ values)[0]
        return gathered


class Chooser:
    """Picks the next token from its scores."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature, self._top_p = sampling.temperature, sampling.top_p
        self._random = np.random.default_rng(sampling.seed)

    def choose(self, scores: Array) -> int:
        if self._temperature < _GREEDY_BELOW:
            return int(scores.argmax())
        probabilities = softmax(scores.astype(np.float64) / self._temperature)
        likeliest = np.argsort(-probabilities, kind="stable")
        reached = np.cumsum(probabilities[likeliest])
        count = min(int(np.searchsorted(reached, self._top_p)) + 1, len(reached))
        within = self._random.random() * reached[count - 1]
        return int(likeliest[min(int(np.searchsorted(reached, within, side="right")), count - 1)])


class StopTexts:
    """Ends an answer before the first of some texts, which may come in pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """What can be said now, and whether a stop was reached. The beginning of a possible stop is held back."""
        self._held += text
        found = [place for place in map(self._held.find, self._stops) if place >= 0]
        if found:
            return self._say(min(found)), True
        return self._say(len(self._held) - self._beginning()), False

    def finish(self) -> str:
        """What was held back for nothing."""
        return self._say(len(self._held))

    def _say(self, end: int) -> str:
        said, self._held = self._held[:end], self._held[end:]
        return said

    def _beginning(self) -> int:
        """How many characters at the end may be the beginning of a stop."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0


class Repeats:
    """Notices a token that follows itself too often. Small models fall into that with prompts they do not know."""

    def __init__(self, longest_known: int) -> None:
        self._limit = max(_FEWEST_REPEATS, longest_known + 1)
        self._last, self._count = -1, 0

    def is_loop(self, token: int) -> bool:
        """Whether this token, the next one, is one too many."""
        self._count = self._count + 1 if token == self._last else 1
        self._last = token
        return self._count >= self._limit
