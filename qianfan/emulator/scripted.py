"""The scripted engine: life cycles at a pace, and numbers that look like a training's. Nothing is computed.

It is for tests of clients, which decide with it exactly what their client sees.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Literal

from qianfan._clock import Clock
from qianfan._types import JSON
from qianfan.emulator import answers, course
from qianfan.emulator.account import Account
from qianfan.emulator.lifecycle import PUBLISH
from qianfan.emulator.records import Model, Service, Task
from qianfan.emulator.works import Curve
from qianfan.engines.rows import Message
from qianfan.engines.spec import Sampling

PIECE_SECONDS = 0.05
"""Seconds between two pieces of an answer, unless the pace is "instant"."""


def pause_of(account: Account) -> float:
    """Seconds between two pieces of an answer that nobody computes."""
    return 0.0 if account.stages.training.is_by_looks else PIECE_SECONDS


class Told:
    """An answer that is known as a whole.

    pause: seconds between two pieces.
    """

    reason: Literal["stop", "length"] = "stop"

    def __init__(self, text: str, prompt: str, *, clock: Clock, pause: float = 0.0) -> None:
        self.prompt_tokens = answers.count_tokens(prompt)
        self.completion_tokens = 0
        self._text = text
        self._clock = clock
        self._pause = pause

    async def pieces(self) -> AsyncGenerator[str]:
        said = ""
        for piece in answers.pieces(self._text):
            if said:
                await self._clock.sleep(self._pause)
            said += piece
            self.completion_tokens = answers.count_tokens(said)
            yield piece


class Scripted:
    """`Works` by the stages of an account."""

    simulated = True

    def __init__(self, account: Account) -> None:
        self._account = account

    def start_training(self, task: Task, *, doom: str = "") -> None:
        account = self._account
        work = account.stages.training.begin(account.clock, ends="Failed" if doom else None, reason=doom)
        task.work = work
        task.state = account.stages.training.start(task.state, work, account.clock.monotonic())

    def look_at_training(self, task: Task, *, look: bool) -> None:
        account = self._account
        task.state = account.stages.training.advance(task.state, task.work, account.clock.monotonic(), look=look)
        if task.state == "Failed" and task.work is not None:
            task.reason = task.work.reason

    def stop_training(self, task: Task) -> None: ...

    def share(self, task: Task) -> float:
        if task.state == "Done" or task.work is None:
            return 1.0
        return task.work.share(self._account.clock.monotonic())

    def kept_steps(self, task: Task) -> Sequence[int]:
        return course.course_of(task).kept

    def checkpoints(self, task: Task) -> list[JSON]:
        return course.checkpoints(task, self._account.seed)

    def metrics(self, task: Task) -> dict[str, str] | None:
        return course.metrics(task, self._account.seed)

    def curve(self, task: Task) -> Curve:
        return Curve(course.loss_curve(task, self._account.seed, self.share(task)))

    def about(self, task: Task) -> dict[str, JSON] | None:
        return None

    def start_publishing(self, model: Model) -> None:
        model.state = PUBLISH.underway[0]
        model.work = self._account.stages.publishing.begin(self._account.clock)

    def look_at_publishing(self, model: Model, *, look: bool) -> None:
        account = self._account
        model.state = account.stages.publishing.advance(model.state, model.work, account.clock.monotonic(), look=look)
        if model.state == "Fail" and model.work is not None:
            model.reason = model.work.reason

    def weights(self, model: Model) -> Path | None:
        return None

    def start_deployment(self, service: Service) -> None:
        stage, clock = self._account.stages.deployment, self._account.clock
        service.work = work = stage.begin(clock)
        if service.state in stage.cycle.underway:
            service.state = stage.start(service.state, work, clock.monotonic())
        else:
            service.state = stage.cycle.move(service.state, stage.cycle.underway[-1])

    def look_at_deployment(self, service: Service, *, look: bool) -> None:
        account = self._account
        stage = account.stages.deployment
        service.state = stage.advance(service.state, service.work, account.clock.monotonic(), look=look)
        service.reason = service.work.reason if service.state == "Failed" and service.work is not None else ""

    def forget(self, record: Task | Model) -> None: ...

    async def ask(self, service: Service, messages: Sequence[Message], sampling: Sampling) -> Told:
        account = self._account
        with account.lock:
            known = answers.knowledge_of(account, service)
        text = known.answer(messages[-1].content)
        prompt = " ".join(message.content for message in messages)
        return Told(text, prompt, clock=account.clock, pause=pause_of(account))

    def resume(self) -> None: ...

    def clear(self) -> None: ...

    def close(self) -> None: ...
