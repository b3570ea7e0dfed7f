"""Reading models from folders, and from nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from qianfan.engines.backend import EngineError


def read_config(folder: Path) -> Any:
    """The model's transformers configuration. Raises EngineError where the folder is no model."""
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _no_model(folder, error) from error


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Raises EngineError where the folder has none."""
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _no_model(folder, error) from error


def load_model(folder: Path, dtype: torch.dtype) -> Any:
    """A causal language model, on the processor. Raises EngineError where the folder is none."""
    try:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _no_model(folder, error) from error


def _no_model(folder: Path, error: Exception) -> EngineError:
    return EngineError(
        "bad_base",
        f"{folder} is no causal language model in Hugging Face's layout: {str(error).partition(chr(10))[0]}",
        "it must hold config.json, the tokenizer's files and the weights",
    )


def is_from_scratch(config: Any) -> bool:
    """Whether the model was made here and has learnt nothing but what it was trained on here."""
    return bool(getattr(config, "from_scratch", False))


def precision_of(config: Any) -> str:
    """That in which the model's weights lie on disk."""
    return str(getattr(config, "dtype", None) or torch.float32).removeprefix("torch.")


def context_of(config: Any) -> int | None:
    """Tokens that the model can take; None where its configuration sets no limit."""
    context: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return context
