"""Actions that the engine's tests are built from. They know no platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
from pydantic import PrivateAttr

from qianfan.errors import QianfanError
from qianfan.pipeline import Action, ActionState, Context, Event, EventHandler


@dataclass(frozen=True)
class Data:
    id: str


@dataclass(frozen=True)
class Job:
    id: str
    loss: float = 0.1


@dataclass(frozen=True)
class Verdict:
    passed: bool


class Busy(QianfanError):
    """A failure that may go away."""

    retryable = True


class Load(Action[Data]):
    data: str = "ds"

    async def run(self) -> Data:
        return Data(self.data)


class Train(Action[Job]):
    epochs: int = 1

    async def run(self, data: Data, ctx: Context, previous: Job | None = None) -> Job:
        ctx.report("half way", {"epochs": self.epochs}, progress=50)
        after = f" after {previous.id}" if previous else ""
        return Job(f"{data.id}/{self.epochs}{after}")


class Gate(Action[Verdict]):
    max_loss: float = 1.0

    async def run(self, job: Job) -> Verdict:
        return Verdict(job.loss <= self.max_loss)


class Flaky(Action[Job]):
    """Fails a number of times before it works."""

    fails: int
    _tries: list[int] = PrivateAttr(default_factory=list)

    async def run(self, data: Data) -> Job:
        self._tries.append(len(self._tries))
        if len(self._tries) <= self.fails:
            raise Busy("busy")
        return Job("ok")


class Boom(Action[Job]):
    """Fails after a moment, so that siblings are at work by then."""

    async def run(self, data: Data) -> Job:
        await anyio.lowlevel.checkpoint()
        raise ValueError("boom")


class Remote(Action[Verdict]):
    """Remote work that goes on for ever unless it is stopped."""

    log: Any = None
    grace: float = 10.0

    async def run(self, data: Data, ctx: Context) -> Verdict:
        async def undo() -> None:
            await anyio.lowlevel.checkpoint()
            self.log.append("stopped remotely")

        async with ctx.if_stopped(undo, grace=self.grace):
            ctx.report("at work")
            await anyio.sleep_forever()
        raise AssertionError("never reached")


class Collect(EventHandler):
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def dispatch(self, event: Event) -> None:
        self.events.append(event)

    def states(self, of: str) -> list[ActionState]:
        return [event.action_state for event in self.events if event.action_class.__name__ == of]

    def told(self) -> list[tuple[str, str]]:
        return [(event.action_class.__name__, event.action_state.value) for event in self.events]
