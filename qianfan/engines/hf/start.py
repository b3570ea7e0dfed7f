"""What a training starts from: nothing, a folder with a pretrained model, or a checkpoint of an earlier training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftConfig, PeftModel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, set_seed

from qianfan.engines.backend import EngineError
from qianfan.engines.hf.models import load_model, precision_of, read_config
from qianfan.engines.hf.record import CheckpointRecord, has_adapter
from qianfan.engines.spec import TrainSpec

WIDTH: Final = 128
LAYERS: Final = 2
HEADS: Final = 4
CONTEXT: Final = 8192
"""Tokens that a model from scratch takes; its positions are rotations, which cost nothing."""


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    words: for people. folder: with the model's weights, None where there are none yet. adapter: a folder with adapters
    to go on with. stays: the folder is the user's, so checkpoints of adapters need not take it along.
    precision: in which the model is published, by torch's name.
    """

    words: str
    folder: Path | None = None
    adapter: Path | None = None
    stays: bool = False
    precision: str = "float32"


SCRATCH: Final = Start(f"an untrained Llama, {LAYERS} layers of {WIDTH}")


def find_start(spec: TrainSpec) -> Start:
    """Raises EngineError where a checkpoint cannot be gone on from in this way."""
    if spec.checkpoint is not None:
        return _from_checkpoint(spec, spec.checkpoint)
    if spec.base is not None:
        return Start(str(spec.base), spec.base, stays=True, precision=precision_of(read_config(spec.base)))
    return SCRATCH


def _from_checkpoint(spec: TrainSpec, checkpoint: Path) -> Start:
    record = CheckpointRecord.read(checkpoint)
    if not has_adapter(checkpoint):
        return Start(record.base, checkpoint, precision=record.precision)
    is_merged = record.scale == "LoRA" and spec.scale == "FullFineTuning"
    if spec.scale != record.scale and not is_merged:
        raise EngineError(
            "bad_scale", f"{spec.scale} cannot go on from a checkpoint of {record.scale}", f"take {record.scale}"
        )
    return Start(
        words=record.base,
        folder=record.base_of(checkpoint),
        adapter=checkpoint,
        stays=record.base_folder is not None,
        precision=record.precision,
    )


def made_from_scratch(tokenizer: PreTrainedTokenizerBase, folder: Path, seed: int) -> Start:
    """Make an untrained model for this tokenizer in `folder`."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=WIDTH**-0.5,  # with the usual 0.02 so small a model leaves a third of its rows unlearnt
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        from_scratch=True,
    )
    set_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return replace(SCRATCH, folder=folder)


def load_to_train(start: Start, *, with_adapter: bool, dtype: torch.dtype) -> Any:
    """The model as training takes it up; adapters are merged unless they are what is trained further."""
    assert start.folder is not None, "a model from scratch has been made before"
    model = load_model(start.folder, dtype)
    if start.adapter is None:
        return model
    if with_adapter:
        return _with_adapter(model, start.adapter)
    merged = PeftModel.from_pretrained(model, str(start.adapter)).merge_and_unload()
    return merged.requires_grad_(True)  # adapters freeze all that is not theirs


def _with_adapter(model: Any, folder: Path) -> Any:
    """The model with adapters that are trained further."""
    if PeftConfig.from_pretrained(str(folder)).is_prompt_learning:
        adapted = PeftModel.from_pretrained(model, str(folder))
        adapted.prompt_encoder.requires_grad_(True)  # peft offers to do so for all adapters but these
        return adapted
    return PeftModel.from_pretrained(model, str(folder), is_trainable=True)
