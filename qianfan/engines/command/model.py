"""Which model an outside trainer is to train."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qianfan.engines.backend import EngineError
from qianfan.engines.hf.record import CheckpointRecord, has_adapter
from qianfan.engines.spec import TrainSpec


@dataclass(frozen=True)
class Model:
    """A pretrained model.

    words: for people. adapter: a folder with adapters upon it to go on with. precision: of its weights, by torch's
    name.
    """

    words: str
    folder: Path
    adapter: Path | None = None
    precision: str = "float32"


def find_model(spec: TrainSpec) -> Model:
    """Raises EngineError where there is none, or where a checkpoint cannot be gone on from in this way."""
    if spec.checkpoint is not None:
        return _of_checkpoint(spec, spec.checkpoint)
    if spec.base is None:
        raise EngineError(
            "no_base", f"no folder is known for the model {spec.model}", "an outside trainer needs a pretrained model"
        )
    if not (spec.base / "config.json").exists():
        raise EngineError("bad_base", f"{spec.base} is no model in Hugging Face's layout: it has no config.json")
    return Model(str(spec.base), spec.base, precision=_precision_in(spec.base))


def _of_checkpoint(spec: TrainSpec, checkpoint: Path) -> Model:
    record = CheckpointRecord.read(checkpoint)
    if not has_adapter(checkpoint):
        return Model(record.base, checkpoint, precision=record.precision)
    if spec.scale != "LoRA":
        raise EngineError("bad_scale", f"{spec.scale} cannot go on from a checkpoint of LoRA", "take LoRA")
    return Model(record.base, record.base_of(checkpoint), checkpoint, record.precision)


def _precision_in(folder: Path) -> str:
    with suppress(OSError, ValueError):
        config = json.loads((folder / "config.json").read_bytes())
        return str(config.get("dtype") or config.get("torch_dtype") or "float32")
    return "float32"
