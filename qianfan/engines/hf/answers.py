"""What a model makes of answers while it is trained: how likely it finds given ones, and which it gives itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final

import torch
from transformers import PreTrainedTokenizerBase

from qianfan.engines.hf.data import Turn
from qianfan.engines.hf.tokenizing import TokenIds, prompt_ids

MOST_COMPARED: Final = 50
MOST_MEASURED: Final = 128
_AT_ONCE: Final = 8
_LONGEST: Final = 512
"""Tokens of an answer that is made in order to be compared, at most."""


@torch.no_grad()
def answer_loss(model: Any, pairs: Iterable[tuple[TokenIds, TokenIds]]) -> float | None:
    """The mean loss, in nats, of the tokens of answers, given their prompts; at most 128 of them. None without any.

    pairs: tokens of (prompt, answer).
    """
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    for prompt, answer in islice(pairs, MOST_MEASURED):
        ids = torch.tensor([prompt + answer], device=model.device)
        before = model(input_ids=ids[:, :-1]).logits[0, -len(answer) :].float()
        total += torch.nn.functional.cross_entropy(before, ids[0, -len(answer) :], reduction="sum").item()
        tokens += len(answer)
    model.train(was_training)
    return total / tokens if tokens else None


@torch.no_grad()
def compare_answers(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    wanted: Sequence[tuple[list[Turn], str]],
    stopped: Callable[[], bool],
) -> list[tuple[str, str]]:
    """(reference, the model's likeliest answer) for at most 50 of (prompt, reference); fewer when it is stopped."""
    model.eval()
    wanted = wanted[:MOST_COMPARED]
    pairs: list[tuple[str, str]] = []
    for first in range(0, len(wanted), _AT_ONCE):
        if stopped():
            break
        prompts, references = zip(*wanted[first : first + _AT_ONCE], strict=True)
        pairs += zip(references, _likeliest(model, tokenizer, prompts, _length_for(tokenizer, references)), strict=True)
    return pairs


def _length_for(tokenizer: PreTrainedTokenizerBase, references: Sequence[str]) -> int:
    """Tokens that an answer may take: half as much again as the longest reference, so that a bad one can show it."""
    longest = max(len(ids) for ids in tokenizer(list(references), add_special_tokens=False)["input_ids"])
    return min(_LONGEST, longest * 3 // 2 + 4)


def _likeliest(model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[list[Turn]], length: int) -> list[str]:
    tokenizer.padding_side = "left"
    prompted = tokenizer.pad({"input_ids": [prompt_ids(tokenizer, turns) for turns in prompts]}, return_tensors="pt")
    made = model.generate(
        **prompted.to(model.device),
        max_new_tokens=length,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=end_tokens(model, tokenizer),
    )
    answers = made[:, prompted["input_ids"].shape[1] :]
    texts: list[str] = tokenizer.batch_decode(answers, skip_special_tokens=True)
    return [text.strip() for text in texts]


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end an answer: the tokenizer's own, and those of the model's generation settings."""
    ends = model.generation_config.eos_token_id
    named = ends if isinstance(ends, list) else [ends]
    return sorted({end for end in (*named, tokenizer.eos_token_id) if end is not None})
