"""Short ways to train tiny models in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from qianfan.engines.rows import Dialogue, Message, Preference, Text
from qianfan.engines.spec import Checkpoint, Event, Manifest, Metrics, Plan, PublishSpec, Sampling, TrainSpec
from qianfan.engines.tiny import TinyBackend
from qianfan.engines.tiny.generation import TinyGenerator

E = TypeVar("E")
Row = Dialogue | Preference | Text

_ANIMALS = "猫狗马牛羊鸡鸭鱼鸟虎龙蛇兔鼠猪猴象熊狼狐"
_COLOURS = ("red", "blue", "green", "yellow", "black", "white", "orange")

SFT_DEFAULTS = {"epoch": 1, "learningRate": 3e-5, "maxSeqLen": 4096, "loggingSteps": 1, "checkpointCount": 1}
DPO_DEFAULTS = {"epoch": 1, "learningRate": 1e-6, "maxSeqLen": 4096, "loggingSteps": 1, "dpoBeta": 0.1}


def pairs(rows: int = 40) -> list[tuple[str, str]]:
    """Short questions and answers, every other one Chinese."""
    chinese = [(f"{_ANIMALS[n % 20]}第{n}只叫什么？", f"它叫{_ANIMALS[(7 * n + 3) % 20]}。") for n in range(rows)]
    english = [(f"Who owns box number {n}?", f"The {_COLOURS[3 * n % 7]} one owns it.") for n in range(rows)]
    return [(chinese if n % 2 else english)[n] for n in range(rows)]


def dialogue(*turns: str) -> Dialogue:
    """A user and an assistant in turns."""
    return Dialogue(messages=messages(*turns))


def messages(*turns: str) -> tuple[Message, ...]:
    return tuple(Message(role="assistant" if n % 2 else "user", content=turn) for n, turn in enumerate(turns))


def dialogues(rows: int = 40) -> list[Dialogue]:
    return [dialogue(*pair) for pair in pairs(rows)]


def preferences(rows: int = 40) -> list[Preference]:
    """The right answer, and one that shrugs."""
    shrugs = ("I do not know.", "不知道，别问我。", "It could be anybody.")
    return [
        Preference(messages=messages(question), chosen=answer, rejected=shrugs[n % 3])
        for n, (question, answer) in enumerate(pairs(rows))
    ]


class Runs:
    """Trains, publishes and asks, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.backend = TinyBackend()
        self._folder, self._numbers = folder, count()

    def spec(
        self, rows: Sequence[Row], held_out: Sequence[Row] = (), *, mode: str = "SFT", asked: Any = None, **more: Any
    ) -> TrainSpec:
        """asked: hyper-parameters."""
        folder = self.new_folder()
        folder.mkdir()
        values: dict[str, Any] = {
            "scale": "FullFineTuning",
            "defaults": DPO_DEFAULTS if mode == "DPO" else SFT_DEFAULTS,
            "eval_file": _write(folder / "eval.jsonl", held_out) if held_out else None,
            **more,
        }
        train_file = _write(folder / "train.jsonl", rows)
        return TrainSpec(
            engine="tiny",
            mode=mode,  # type: ignore[arg-type]
            model="ERNIE-Speed-8K",
            folder=folder,
            train_file=train_file,
            hyper_parameters=asked or {},
            **values,
        )

    def new_folder(self) -> Path:
        """One that is not there yet."""
        return self._folder / f"run-{next(self._numbers)}"

    def train(self, spec: TrainSpec, stopped: Callable[[], bool] = lambda: False) -> Run:
        plan, events = self.backend.plan(spec), list[Event]()
        self.backend.train(spec, plan, events.append, stopped)
        return Run(spec, plan, events)

    def publish(self, checkpoint: Path) -> tuple[Manifest, Path]:
        into = self.new_folder()
        spec = PublishSpec(engine="tiny", checkpoint=checkpoint, into=into, model="ERNIE-Speed-8K")
        return self.backend.publish(spec), into

    def load(self, checkpoint: Path) -> TinyGenerator:
        return self.backend.load(self.publish(checkpoint)[1])


class Run:
    """What a training told."""

    def __init__(self, spec: TrainSpec, plan: Plan, events: Sequence[Event]) -> None:
        self.spec, self.plan, self.events = spec, plan, events

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def losses(self) -> list[float]:
        return [metrics.training_loss for metrics in self.all(Metrics) if metrics.training_loss is not None]

    @property
    def last(self) -> Checkpoint:
        return self.all(Checkpoint)[-1]


def answer(model: TinyGenerator, *turns: str, **sampling: Any) -> str:
    return "".join(piece.text for piece in model.stream(messages(*turns), Sampling(**sampling)))


def exact(model: TinyGenerator, questions: Iterable[tuple[str, str]]) -> int:
    """How many come back as they were learnt."""
    return sum(answer(model, question) == wanted for question, wanted in questions)


def _write(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(f"{row.model_dump_json()}\n" for row in rows), encoding="utf-8")
    return path
