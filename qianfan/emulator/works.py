"""Who does the work on trainings, models and services: an engine that computes, or one that only pretends to.

Handlers know this protocol alone. Unless said otherwise the account is locked while a method is called, and no method
waits for anything.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from qianfan._types import JSON
from qianfan.emulator.records import Model, Service, Task
from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling


@dataclass(frozen=True)
class Curve:
    """(step, loss) pairs, in order. A loss is the mean over tokens in nats, for DPO the DPO loss."""

    training: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)


class Reply(Protocol):
    """An answer that has begun."""

    prompt_tokens: int
    completion_tokens: int
    """Of the pieces so far."""
    reason: Literal["stop", "length"]
    """Why it ended, once it has."""

    def pieces(self) -> AsyncGenerator[str]:
        """The text as it comes, once. Raises RefusedInference where the model breaks off."""
        ...


class Works(Protocol):
    """How trainings, publications and deployments come about.

    simulated: whether numbers and answers are made up; then every answer that holds some says so.
    """

    simulated: bool

    def start_training(self, task: Task, *, doom: str = "") -> None:
        """Have a new task trained. doom: why it has to fail, "" when it may go well."""
        ...

    def look_at_training(self, task: Task, *, look: bool) -> None:
        """Bring the state of a training up to date. look: whether its owner looks, or it is only listed."""
        ...

    def stop_training(self, task: Task) -> None:
        """End a training that is under way; its state is set already."""
        ...

    def share(self, task: Task) -> float:
        """How much of a training is done, from 0 to 1."""
        ...

    def kept_steps(self, task: Task) -> Sequence[int]:
        """The steps of a finished training that checkpoints were kept of."""
        ...

    def checkpoints(self, task: Task) -> list[JSON]:
        """`checkpointList` of a finished training."""
        ...

    def metrics(self, task: Task) -> dict[str, str] | None:
        """Scores of a finished training on held-out rows, None when there are none."""
        ...

    def curve(self, task: Task) -> Curve:
        """Losses so far."""
        ...

    def about(self, task: Task) -> dict[str, JSON] | None:
        """What computes it and with which values; None when nothing does."""
        ...

    def start_publishing(self, model: Model) -> None:
        """Make a model of its task's checkpoint."""
        ...

    def look_at_publishing(self, model: Model, *, look: bool) -> None:
        """Bring the state of a model up to date."""
        ...

    def weights(self, model: Model) -> Path | None:
        """The folder of a model that was really made; None where there is none."""
        ...

    def start_deployment(self, service: Service) -> None:
        """Have a service answer with its model, also when it answers with another one now."""
        ...

    def look_at_deployment(self, service: Service, *, look: bool) -> None:
        """Bring the state of a service up to date."""
        ...

    def forget(self, record: Task | Model) -> None:
        """A task or a model is deleted."""
        ...

    async def ask(self, service: Service, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Begin an answer; returns when it has begun, waits until then, and needs the account unlocked.

        Raises RefusedInference.
        """
        ...

    def resume(self) -> None:
        """Go on after the account was loaded from a folder. Nothing is locked."""
        ...

    def clear(self) -> None:
        """Everything in the account is gone."""
        ...

    def close(self) -> None:
        """End all work, and wait until nothing of it is left running. The account must not be locked."""
        ...
