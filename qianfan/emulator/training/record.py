"""What a training has told, in memory and in a file: the file is the record that a restarted emulator reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from qianfan._types import JSON
from qianfan.emulator.works import Curve
from qianfan.engines.spec import EVENT, Checkpoint, Event, Failed, Manifest, Metrics, Plan, Published, Scores, Started


class TrainingRecord:
    """The events of one child, in order. Written to disk before anything follows from them.

    latest: the last known value of every number that metrics tell, by its name on the wire.
    """

    def __init__(self, path: Path) -> None:
        self.started: Started | None = None
        self.plan: Plan | None = None
        self.metrics: list[Metrics] = []
        self.checkpoints: list[Checkpoint] = []
        self.latest: dict[str, float] = {}
        self.scores: Scores | None = None
        self.failed: Failed | None = None
        self.manifest: Manifest | None = None
        self._path = path
        if path.exists():
            for line in path.read_bytes().splitlines():
                self._take(line)

    def tell(self, line: bytes) -> Event | None:
        """Note one line that the child has told; None when it is no event."""
        event = self._take(line)
        if event is not None and event.event != "alive":
            with self._path.open("ab") as file:
                file.write(line + b"\n")
        return event

    def _take(self, line: bytes) -> Event | None:
        try:
            event = EVENT.validate_json(line)
        except ValidationError:
            return None
        if isinstance(event, Started):
            self.started = event
        elif isinstance(event, Plan):
            self.plan = event
        elif isinstance(event, Metrics):
            self.metrics.append(event)
            losses = {"trainingLoss": event.training_loss, "validationLoss": event.validation_loss}
            self.latest |= {name: loss for name, loss in losses.items() if loss is not None} | event.others
        elif isinstance(event, Checkpoint):
            self.checkpoints.append(event)
        elif isinstance(event, Scores):
            self.scores = event
        elif isinstance(event, Published):
            self.manifest = event.manifest
        elif isinstance(event, Failed):
            self.failed = event
        return event

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1."""
        last = self.metrics[-1] if self.metrics else None
        return last.step / last.total if last is not None and last.total else 0.0

    @property
    def kept(self) -> Sequence[Checkpoint]:
        """The checkpoints that are still there, oldest first."""
        return [checkpoint for checkpoint in self.checkpoints if self.place_of(checkpoint).is_dir()]

    def place_of(self, checkpoint: Checkpoint) -> Path:
        """The folder of a checkpoint, also after the emulator's own folder was moved."""
        folder, parts = self._path.parent, checkpoint.path.parts
        return folder.joinpath(*parts[parts.index(folder.name) + 1 :]) if folder.name in parts else checkpoint.path

    def checkpoint_at(self, step: int | None) -> Checkpoint | None:
        """The checkpoint of a step, the last one for None."""
        kept = [checkpoint for checkpoint in self.kept if step is None or checkpoint.step == step]
        return kept[-1] if kept else None

    @property
    def curve(self) -> Curve:
        """Losses so far."""
        return Curve(
            [(told.step, told.training_loss) for told in self.metrics if told.training_loss is not None],
            [(told.step, told.validation_loss) for told in self.metrics if told.validation_loss is not None],
        )

    @property
    def checkpoint_list(self) -> list[JSON]:
        """As `DescribeFineTuningTask` tells it; `validationLoss` and the last three keys are the emulator's own."""
        return [_entry(checkpoint) for checkpoint in self.kept]

    @property
    def percentages(self) -> dict[str, str] | None:
        """`metrics` as the platform tells them."""
        return {name: f"{value:.2f}%" for name, value in self.scores.scores.items()} if self.scores else None

    def about(self, base: str) -> dict[str, JSON]:
        """What computes it and with which values. base: how the base is called until the engine has said so."""
        last = self.metrics[-1] if self.metrics else None
        plan = self.plan.model_dump(mode="json") if self.plan else {"base": base, "parameters": None}
        plan.pop("event", None)
        return {
            "engine": self.started.engine if self.started else None,
            "device": self.started.device if self.started else None,
            "versions": self.started.versions if self.started else {},
            **plan,
            "step": last.step if last else 0,
            **self.latest,
        }


def _entry(checkpoint: Checkpoint) -> dict[str, JSON]:
    # In records of the platform `perplexity` is that of the training rows.
    numbers = {
        "trainingLoss": checkpoint.training_loss,
        "perplexity": checkpoint.training_perplexity,
        "trainingPerplexity": checkpoint.training_perplexity,
        "validationLoss": checkpoint.validation_loss,
        "validationPerplexity": checkpoint.validation_perplexity,
    }
    known = {name: round(number, 4) for name, number in numbers.items() if number is not None}
    return {"step": checkpoint.step, **known, "state": "Done"}
