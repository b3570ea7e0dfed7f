"""Tokenizers: one trained on the rows for a model from scratch, and chat templates for those that have none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from qianfan.engines.hf.data import Turn
from qianfan.engines.rows import Mode

TokenIds: TypeAlias = list[int]

VOCABULARY: Final = 2048
"""Tokens, at most, of a tokenizer that is trained here."""

PAD, END = "<|pad|>", "<|end|>"
ROLES: Final = ("<|system|>", "<|user|>", "<|assistant|>")

TAGGED: Final = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""A chat template with one token for each role, for a model from scratch."""

UNTAGGED: Final = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""Messages as mere text, which a model that has seen nothing but text goes on with."""

SPELLED_OUT: Final = (
    "{% for message in messages %}{{ message['role'] | capitalize + ': ' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""Roles in plain words, for a pretrained model whose tokenizer has no chat template."""


def train_tokenizer(texts: Iterable[str], mode: Mode) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer: any text comes back from it unchanged, and that of `texts` takes few tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    trained = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        clean_up_tokenization_spaces=False,
    )
    return fit_for(trained, mode, from_scratch=True)


def fit_for(tokenizer: PreTrainedTokenizerBase, mode: Mode, *, from_scratch: bool) -> PreTrainedTokenizerBase:
    """The same tokenizer with a chat template and a padding token, where they were missing."""
    if from_scratch:
        tokenizer.chat_template = UNTAGGED if mode == "PostPretrain" else TAGGED
    elif tokenizer.chat_template is None:
        tokenizer.chat_template = SPELLED_OUT
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def prompt_ids(tokenizer: PreTrainedTokenizerBase, turns: list[Turn]) -> TokenIds:
    """The tokens of messages, up to where the assistant's answer begins."""
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids: TokenIds = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def count_tokens(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> int:
    """Of all texts together."""
    return sum(map(len, tokenizer(list(texts), add_special_tokens=False)["input_ids"]))
