"""From a checkpoint to a model's folder that anything that reads Hugging Face's layout can load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import save_file

from qianfan.engines.hf.folders import appearing
from qianfan.engines.hf.models import load_model, load_tokenizer
from qianfan.engines.hf.record import SOFT_PROMPT, CheckpointRecord, has_adapter
from qianfan.engines.spec import Manifest, PublishSpec


def publish_checkpoint(spec: PublishSpec) -> Manifest:
    """Write the model of a checkpoint, adapters merged, into a folder that appears when it is complete."""
    record = CheckpointRecord.read(spec.checkpoint)
    with appearing(spec.into) as folder:
        model = load_merged(spec.checkpoint, record, folder)
        model.save_pretrained(folder)
        load_tokenizer(spec.checkpoint).save_pretrained(folder)
        manifest = Manifest(
            engine=spec.engine,
            model=spec.model,
            base=record.base,
            mode=record.mode,
            parameters=model.num_parameters(),
        )
        manifest.write(folder)
    return manifest


def load_merged(checkpoint: Path, record: CheckpointRecord, into: Path) -> Any:
    """The whole model of a checkpoint, in the precision of the model it comes from.

    The vectors of PromptTuning cannot be merged into any weights; they are written beside the model, into `into`.
    """
    dtype = getattr(torch, record.precision)
    if not has_adapter(checkpoint):
        return load_model(checkpoint, dtype)
    adapted = PeftModel.from_pretrained(load_model(record.base_of(checkpoint), dtype), str(checkpoint))
    if record.scale != "PromptTuning":
        return adapted.merge_and_unload()
    vectors = adapted.prompt_encoder["default"](adapted.prompt_tokens["default"].unsqueeze(0))[0]
    save_file({"vectors": vectors.detach().contiguous()}, into / SOFT_PROMPT)
    return adapted.get_base_model()
