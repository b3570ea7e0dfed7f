"""What an engine has to be, and how it is found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, cast

from qianfan.engines.rows import Message
from qianfan.engines.spec import Event, Manifest, Plan, PublishSpec, Sampling, Started, TrainSpec

Report: TypeAlias = Callable[[Event], None]
"""Takes what an engine has to tell."""

Stopped: TypeAlias = Callable[[], bool]
"""Whether the training is to end after this step."""


class EngineError(Exception):
    """An engine cannot do what it is asked to. code: one word for programs; hint: what to do about it."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class BadHyperParameter(EngineError):
    """A hyper-parameter has a value that this engine cannot train with."""

    def __init__(self, key: str, reason: str, hint: str = "") -> None:
        super().__init__("bad_hyper_parameter", f"{key}: {reason}", hint)
        self.key = key


@dataclass(frozen=True)
class Piece:
    """The next text of an answer; `tokens` it took; `end`: why the answer is complete with it, "" while it is not."""

    text: str
    tokens: int = 1
    end: Literal["", "stop", "length"] = ""


class Generator(Protocol):
    """A loaded model."""

    def count(self, messages: Sequence[Message]) -> int:
        """How many tokens the messages are as a prompt."""
        ...

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[Piece]:
        """The answer as it is made. The last piece, and only that one, has an `end`; its text may be empty."""
        ...


class TrainingBackend(Protocol):
    """An engine. It runs in a child process of its own, where blocking is fine.

    All methods raise EngineError for what the user can mend.
    """

    def started(self) -> Started:
        """What computes here. Called once, right after loading."""
        ...

    def plan(self, spec: TrainSpec) -> Plan:
        """Steps and effective values. Raises BadHyperParameter."""
        ...

    def train(self, spec: TrainSpec, plan: Plan, report: Report, stopped: Stopped) -> None:
        """Train; report metrics, checkpoints and scores. `stopped` is asked once a step; then it returns early.

        Every reported checkpoint is a usable folder; the last step is always one of them, unless it was stopped.
        """
        ...

    def publish(self, spec: PublishSpec) -> Manifest:
        """Make a model's folder of a checkpoint, adapters merged: written beside, and renamed when complete."""
        ...

    def load(self, model: Path) -> Generator:
        """A model that was published."""
        ...


_PLACES: Final = {
    "tiny": "qianfan.engines.tiny:TinyBackend",
    "hf": "qianfan.engines.hf:HfBackend",
    "command": "qianfan.engines.command:CommandBackend",
}
_EXTRAS: Final = {"tiny": "emulator", "hf": "train", "command": "emulator"}

ENGINES: Final = tuple(_PLACES)
"""The engines that train for real."""


def load_backend(name: str) -> TrainingBackend:
    """The engine of this name. Raises EngineError, with the line that installs it, when a library is missing."""
    module, _, kind = _PLACES[name].partition(":")
    try:
        return cast(TrainingBackend, getattr(import_module(module), kind)())
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == "qianfan":
            raise
        raise EngineError(
            "engine_missing",
            f"the engine {name!r} needs {error.name or error}",
            f"pip install 'qianfan[{_EXTRAS[name]}]'",
        ) from error
