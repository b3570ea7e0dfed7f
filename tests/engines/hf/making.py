"""Rows and trainings for these tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from qianfan.engines.backend import Generator
from qianfan.engines.hf import HfBackend
from qianfan.engines.hf.data import Turn
from qianfan.engines.rows import Dialogue, Message, Mode, Preference, Rated, Text
from qianfan.engines.spec import Checkpoint, Event, Manifest, Metrics, PublishSpec, Sampling, TrainSpec

torch.set_num_threads(1)

E = TypeVar("E")

COLOURS = ("red", "blue", "green", "white", "black")
THINGS = ("灯", "car", "书", "hat", "门", "cup", "树", "box")
PAIRS = [
    (f"What colour is {thing} number {number}?", f"It is {COLOURS[(3 * number + place) % 5]}, {thing} {number}。")
    for place, thing in enumerate(THINGS)
    for number in range(5)
]
"""Forty questions and answers."""


def asked(question: str) -> tuple[Message, ...]:
    return (Message(role="user", content=question),)


def dialogue(*turns: str) -> Dialogue:
    """A user and an assistant in turns."""
    roles = ("user", "assistant")
    return Dialogue(messages=tuple(Message(role=roles[n % 2], content=turn) for n, turn in enumerate(turns)))


ROWS: dict[Mode, list[Any]] = {
    "SFT": [dialogue(*pair) for pair in PAIRS],
    "PostPretrain": [Text(text=" ".join(pair)) for pair in PAIRS],
    "DPO": [Preference(messages=asked(question), chosen=answer, rejected="Who knows") for question, answer in PAIRS],
    "KTO": [
        Rated(messages=asked(question), completion=answer if number % 2 else "Who knows", desirable=bool(number % 2))
        for number, (question, answer) in enumerate(PAIRS)
    ],
}


class Bench:
    """Trains, publishes and asks, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[Event] = []
        self.backend = HfBackend()

    def spec(
        self,
        values: dict[str, Any] | None = None,
        *,
        mode: Mode = "SFT",
        rows: Sequence[Any] | None = None,
        held_out: Iterable[Any] = (),
        name: str = "task",
        **more: Any,
    ) -> TrainSpec:
        """values: hyper-parameters."""
        held_out = list(held_out)
        return TrainSpec.model_validate(
            {
                "engine": "hf",
                "mode": mode,
                "scale": "FullFineTuning",
                "model": "ERNIE-Speed-8K",
                "train_file": self._write(f"{name}-rows", ROWS[mode] if rows is None else rows),
                "eval_file": self._write(f"{name}-held-out", held_out) if held_out else None,
                "folder": self.folder / name,
                "hyper_parameters": values or {},
                **more,
            }
        )

    def _write(self, name: str, rows: Iterable[Any]) -> Path:
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
        return path

    def train(self, spec: TrainSpec, stopped: Callable[[], bool] = lambda: False) -> list[Event]:
        """What this training told."""
        self.told = []
        self.backend.train(spec, self.backend.plan(spec), self.told.append, stopped)
        return self.told

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.told if isinstance(event, kind)]

    @property
    def losses(self) -> list[float]:
        return [told.training_loss for told in self.of(Metrics) if told.training_loss is not None]

    @property
    def last(self) -> Checkpoint:
        return self.of(Checkpoint)[-1]

    def publish(self, checkpoint: Path, name: str = "model") -> tuple[Path, Manifest]:
        into = self.folder / name
        spec = PublishSpec(engine="hf", checkpoint=checkpoint, into=into, model="ERNIE-Speed-8K")
        return into, self.backend.publish(spec)

    def load(self, checkpoint: Path, name: str = "model") -> Generator:
        return self.backend.load(self.publish(checkpoint, name)[0])


class Trained(Bench):
    """A training of forty rows, published."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.train(self.spec({"saveStep": 50, "checkpointCount": 3, "validationStep": 25}, held_out=ROWS["SFT"][:8]))
        self.model, self.manifest = self.publish(self.last.path)
        self.generator = self.backend.load(self.model)


LIKELIEST = Sampling(max_tokens=40)


def answer(generator: Generator, question: str, sampling: Sampling = LIKELIEST) -> str:
    return "".join(piece.text for piece in generator.stream(asked(question), sampling))


def learnt(generator: Generator) -> int:
    """How many of the forty answers come back exactly."""
    return sum(answer(generator, question) == wanted for question, wanted in PAIRS)


def make_pretrained(model: Path, folder: Path) -> Path:
    """A copy of a model's folder in which nothing says that it was made here, in bfloat16 and without a template."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(model, folder)
    (folder / "manifest.json").unlink()
    (folder / "chat_template.jinja").unlink()
    half = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    del half.config.from_scratch
    half.config.max_position_embeddings = 512
    half.save_pretrained(folder)
    assert "from_scratch" not in json.loads((folder / "config.json").read_text("utf-8"))
    return folder


def turns(question: str) -> list[Turn]:
    return [{"role": "user", "content": question}]
