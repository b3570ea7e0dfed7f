"""Folders with a model in them: checkpoints, which may have adapters, and published models, which have none.

weights.npz      the arrays by name
tokenizer.json   the tokenizer's pieces, in the order of their numbers
config.json      everything else
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from qianfan.engines.backend import EngineError
from qianfan.engines.rows import Mode
from qianfan.engines.tiny.generation import TinyGenerator
from qianfan.engines.tiny.lora import merged
from qianfan.engines.tiny.model import Config
from qianfan.engines.tiny.parameters import Parameters, Weights
from qianfan.engines.tiny.tokenizer import Tokenizer

_WEIGHTS: Final = "weights.npz"
_TOKENIZER: Final = "tokenizer.json"
_CONFIG: Final = "config.json"


class Card(BaseModel):
    """What there is to know of a model beside its weights.

    base: what it was trained from, for people. adapter_scale: of adapters, if there are any.
    longest_run: how often one token follows itself in what it has learnt.
    """

    model_config = ConfigDict(frozen=True)

    mode: Mode
    base: str
    size: Config
    adapter_scale: float = 1.0
    longest_run: int = 1


@dataclass(frozen=True)
class Saved:
    """A model as it lies in a folder. state: its arrays, adapters apart."""

    card: Card
    tokenizer: Tokenizer
    state: Weights

    def weights(self) -> Parameters:
        """What it computes with: adapters are merged into their matrices."""
        return merged(self.state, self.card.adapter_scale)

    def generator(self) -> TinyGenerator:
        """The model, ready to answer."""
        card = self.card
        return TinyGenerator(self.weights(), card.size, self.tokenizer, card.mode, card.longest_run)


def save(model: Saved, folder: Path) -> None:
    """Write a model into a folder that appears when it is complete."""
    write_beside(folder, lambda beside: write(model, beside))


def write(model: Saved, folder: Path) -> None:
    """Write the files of a model."""
    arrays: dict[str, Any] = dict(model.state)
    np.savez(folder / _WEIGHTS, **arrays)
    (folder / _TOKENIZER).write_text(json.dumps({"pieces": model.tokenizer.pieces}), encoding="utf-8")
    (folder / _CONFIG).write_text(model.card.model_dump_json(indent=2), encoding="utf-8")


def write_beside(folder: Path, fill: Callable[[Path], None]) -> None:
    """Let a folder be filled under another name, and give it its own once it is complete."""
    beside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    fill(beside)
    beside.rename(folder)


def read(folder: Path) -> Saved:
    """The model in a folder. Raises EngineError when there is none that can be read."""
    try:
        card = Card.model_validate_json((folder / _CONFIG).read_bytes())
        pieces: list[str] = json.loads((folder / _TOKENIZER).read_bytes())["pieces"]
        with (folder / _WEIGHTS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            state = {name: arrays[name] for name in arrays.files}
    except (OSError, ValidationError, ValueError, KeyError, BadZipFile) as error:
        raise EngineError(
            "unreadable_model",
            f"{str(folder)!r} holds no model of the engine tiny: {error}",
            "only checkpoints and models that this engine wrote can be used with it",
        ) from error
    return Saved(card, Tokenizer(pieces), state)


class Shelf:
    """The checkpoints of a training, at most `count` of them; None keeps all."""

    def __init__(self, folder: Path, count: int | None) -> None:
        self._folder, self._count = folder, count
        self._kept: list[Path] = []

    def put(self, step: int, model: Saved) -> Path:
        """Save the model of a step; the oldest of too many goes."""
        path = self._folder / str(step)
        save(model, path)
        self._kept.append(path)
        if self._count is not None and len(self._kept) > self._count:
            shutil.rmtree(self._kept.pop(0))
        return path
