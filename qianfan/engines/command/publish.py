"""A model's folder from what an outside trainer has made: copied, or merged where it is adapters."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

from qianfan.engines.backend import EngineError, load_backend
from qianfan.engines.hf.folders import appearing, link_or_copy
from qianfan.engines.hf.record import CheckpointRecord, has_adapter
from qianfan.engines.spec import Manifest, PublishSpec


def publish_checkpoint(spec: PublishSpec) -> Manifest:
    """Raises EngineError where adapters are to be merged and the libraries for that are not installed."""
    if has_adapter(spec.checkpoint):
        return load_backend("hf").publish(spec)
    record = CheckpointRecord.read(spec.checkpoint)
    with appearing(spec.into) as folder:
        shutil.copytree(spec.checkpoint, folder, copy_function=link_or_copy, dirs_exist_ok=True)
        manifest = Manifest(
            engine=spec.engine,
            model=spec.model,
            base=record.base,
            mode=record.mode,
            parameters=count_parameters(folder),
        )
        manifest.write(folder)
    return manifest


def count_parameters(folder: Path) -> int:
    """How many numbers the safetensors files of a folder hold. Raises EngineError where there is no such file."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise EngineError("bad_checkpoint", f"{folder.name} has no weights in a .safetensors file")
    return sum(map(_numbers_in, files))


def _numbers_in(file: Path) -> int:
    """The file begins with the length of its header, 8 bytes, and the header, a JSON object with a shape each."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(length))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
