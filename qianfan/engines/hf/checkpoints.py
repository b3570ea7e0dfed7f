"""Checkpoints on disk: complete when they have their name, and usable without the training they come from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from qianfan.engines.hf.folders import link_or_copy
from qianfan.engines.hf.record import BASE, CheckpointRecord


class Checkpoints:
    """The folder with a training's checkpoints, each named by its step.

    base: the folder of the model that adapters belong to, where each checkpoint takes it along; else None.
    """

    def __init__(self, folder: Path, record: CheckpointRecord, base: Path | None) -> None:
        self._folder = folder
        self._record = record
        self._base = base

    def keep(self, saved: Path, step: int) -> Path:
        """Take a folder that has been written, complete it, and give it its place. Returns the latter."""
        place = self._folder / str(step)
        if self._base is not None:
            shutil.copytree(self._base, saved / BASE, copy_function=link_or_copy)
            _name_base(saved / "adapter_config.json", place / BASE)
        self._record.write(saved)
        if place.exists():
            shutil.rmtree(place)
        saved.rename(place)
        return place


def _name_base(config: Path, base: Path) -> None:
    """Let peft find the model that the adapters belong to."""
    keys = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps({**keys, "base_model_name_or_path": str(base)}, indent=2), encoding="utf-8")
