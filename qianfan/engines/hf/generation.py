"""Answers of a published model, token by token, so that whoever asks can make several at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerBase

from qianfan.engines.backend import EngineError, Piece
from qianfan.engines.hf.answers import end_tokens
from qianfan.engines.hf.data import prompt_of
from qianfan.engines.hf.device import device, explaining_memory, precision
from qianfan.engines.hf.models import context_of, is_from_scratch, load_model, load_tokenizer
from qianfan.engines.hf.record import SOFT_PROMPT
from qianfan.engines.hf.text import Detokenizer, StopTexts
from qianfan.engines.hf.tokenizing import TokenIds, fit_for, prompt_ids
from qianfan.engines.rows import Message
from qianfan.engines.spec import Manifest, Sampling

MOST_TOKENS: Final = 1024
"""Of an answer, where the request sets no limit."""
_REPEATS: Final = 8
"""The same token so often in a row is the end of what a model from scratch has to say."""
_GREEDY_BELOW: Final = 0.01


def load_generator(model: Path) -> HfGenerator:
    """Load a published model's folder to the device."""
    manifest = Manifest.of(model)
    with explaining_memory():
        loaded = load_model(model, precision()).to(device()).eval()
    soft_prompt = load_file(model / SOFT_PROMPT)["vectors"] if (model / SOFT_PROMPT).exists() else None
    tokenizer = fit_for(load_tokenizer(model), manifest.mode, from_scratch=is_from_scratch(loaded.config))
    return HfGenerator(loaded, tokenizer, soft_prompt)


class HfGenerator:
    """A loaded model. soft_prompt: vectors that go before every prompt, (tokens, width)."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, soft_prompt: torch.Tensor | None = None) -> None:
        self._tokenizer = tokenizer
        self._ends = frozenset(end_tokens(model, tokenizer))
        before = 0 if soft_prompt is None else len(soft_prompt)
        self._context = (context_of(model.config) or 2**31) - before
        self._most_repeats = _REPEATS if is_from_scratch(model.config) else None
        self._steps = _Steps(model, soft_prompt)

    def count(self, messages: Sequence[Message]) -> int:
        """How many tokens the messages are as a prompt."""
        return len(prompt_ids(self._tokenizer, prompt_of(messages)))

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[Piece]:
        """The answer as it is made. Raises EngineError when the prompt leaves no room for one."""
        prompt = prompt_ids(self._tokenizer, prompt_of(messages))
        limit = min(sampling.max_tokens or MOST_TOKENS, self._context - len(prompt))
        if limit < 1:
            raise EngineError(
                "prompt_too_long", f"{len(prompt)} tokens; the model takes {self._context} with its answer"
            )
        text = Detokenizer(self._tokenizer)
        stops = StopTexts(sampling.stop)
        made: TokenIds = []
        for token in self._tokens(prompt, sampling):
            made.append(token)
            if token in self._ends or self._goes_in_circles(made):
                yield Piece(stops.feed(text.rest()) + stops.rest(), end="stop")
                return
            ready = stops.feed(text.feed(token))
            if stops.found:
                yield Piece(ready, end="stop")
                return
            if len(made) == limit:
                ready += stops.feed(text.rest())
                yield Piece(ready + stops.rest(), end="stop" if stops.found else "length")
                return
            yield Piece(ready)

    def _tokens(self, prompt: TokenIds, sampling: Sampling) -> Iterator[int]:
        """Token after token, without an end."""
        choose = _Choice(sampling)
        with explaining_memory():
            logits, cache = self._steps.begin(prompt)
        while True:
            token = choose(logits)
            yield token
            logits, cache = self._steps.go_on(token, cache)

    def _goes_in_circles(self, made: TokenIds) -> bool:
        most = self._most_repeats
        return most is not None and len(made) >= most and len(set(made[-most:])) == 1


class _Steps:
    """The model's forward pass, for one answer at a time; what an answer needs to go on is with whoever asks."""

    def __init__(self, model: Any, soft_prompt: torch.Tensor | None) -> None:
        self._model = model
        self._soft_prompt = None if soft_prompt is None else soft_prompt.to(model.device, model.dtype)
        # transformers renames the cache of keys and values in one version after the other, model by model.
        self._cache = "cache" if "cache" in signature(model.forward).parameters else "past_key_values"

    @torch.inference_mode()
    def begin(self, prompt: TokenIds) -> tuple[torch.Tensor, Any]:
        """(logits of the first token, (vocabulary,); cache of keys and values)."""
        ids = torch.tensor([prompt], device=self._model.device)
        if self._soft_prompt is None:
            return self._forward(input_ids=ids)
        embedded = self._model.get_input_embeddings()(ids)
        return self._forward(inputs_embeds=torch.cat([self._soft_prompt[None], embedded], dim=1))

    @torch.inference_mode()
    def go_on(self, token: int, cache: Any) -> tuple[torch.Tensor, Any]:
        """The same after one more token."""
        return self._forward(input_ids=torch.tensor([[token]], device=self._model.device), **{self._cache: cache})

    def _forward(self, **inputs: Any) -> tuple[torch.Tensor, Any]:
        output = self._model(**inputs, use_cache=True, logits_to_keep=1)
        return output.logits[0, -1].float(), getattr(output, self._cache)


class _Choice:
    """Chooses the next token as a request wants it."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        self._random = torch.Generator()  # on the processor: equal seeds choose equally on every device
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    def __call__(self, logits: torch.Tensor) -> int:
        if self._temperature < _GREEDY_BELOW:
            return int(logits.argmax())
        likeliest, tokens = torch.softmax(logits.cpu() / self._temperature, dim=-1).sort(descending=True)
        before = likeliest.cumsum(dim=-1) - likeliest
        likeliest[before >= self._top_p] = 0  # never the first, before which there is nothing
        return int(tokens[torch.multinomial(likeliest, 1, generator=self._random)])
