"""Models that answer: one child process for each, started when needed, ended when nobody has asked for a while."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import anyio
from anyio.abc import Process
from pydantic import ValidationError

from qianfan._loops import Mailbox
from qianfan.emulator.refusals import RefusedInference
from qianfan.emulator.training.loop import LoopThread
from qianfan.engines.process import kill, last_lines, lines_of, opened, worker_command, worker_environment
from qianfan.engines.rows import Message
from qianfan.engines.spec import REPLY, Ask, Ended, Failed, Forget, Reply, Said, Sampling

_IN_TROUBLE = 336100
"""The platform's code for a model that cannot answer right now."""

Answered = Said | Ended


class GeneratorReply:
    """An answer that a child is making. `pieces` may be left at any time; then the child forgets the answer."""

    def __init__(self, first: Answered, mailbox: Mailbox[Answered], forget: Callable[[], None]) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.reason: Literal["stop", "length"] = "stop"
        self._next: Answered | None = first
        self._mailbox = mailbox
        self._forget = forget

    async def pieces(self) -> AsyncGenerator[str]:
        is_complete = False
        try:
            while True:
                told = self._next or await self._mailbox.get()
                self._next = None
                if isinstance(told, Ended):
                    is_complete = True
                    self._end(told)
                    return
                self.prompt_tokens = told.prompt_tokens
                self.completion_tokens = told.completion_tokens
                yield told.text
        finally:
            if not is_complete:
                self._forget()

    def _end(self, ended: Ended) -> None:
        if ended.reason == "error":
            raise broken(ended.message)
        self.prompt_tokens, self.completion_tokens = ended.prompt_tokens, ended.completion_tokens
        self.reason = ended.reason


def broken(why: str) -> RefusedInference:
    """The refusal of a model that cannot answer."""
    return RefusedInference(_IN_TROUBLE, f"the model cannot answer: {why}", word="internal_error", status=500)


class _Child:
    """One child process and those who wait for its answers. Lives on the loop of the works."""

    def __init__(self) -> None:
        self.asking: dict[int, Mailbox[Answered]] = {}
        self.unsent: list[bytes] = []
        self.wake = anyio.Event()
        self.why = ""

    def send(self, line: bytes) -> None:
        self.unsent.append(line)
        self.wake.set()

    def fail(self, why: str) -> None:
        for id, mailbox in self.asking.items():
            mailbox.put(Ended(id=id, reason="error", message=why))
        self.asking.clear()


class Generators:
    """The children of all models.

    idle: seconds without a question after which a child ends; silence: seconds without a sign of life after which it is
        taken for dead.
    """

    def __init__(self, loop: LoopThread, *, threads: int | None, idle: float, silence: float) -> None:
        self._loop = loop
        self._threads = threads
        self._idle = idle
        self._silence = silence
        self._children: dict[Path, _Child] = {}
        self._numbers = itertools.count(1)

    def prepare(self, model: Path, ready: Callable[[str], object]) -> None:
        """Load a model. ready: told why it does not answer, "" when it does; called on the loop of the works."""
        self._loop.start_soon(self._prepared, model, ready)

    async def _prepared(self, model: Path, ready: Callable[[str], object]) -> None:
        try:
            reply = await self.ask(model, [Message(role="user", content="?")], Sampling(max_tokens=1))
            async for _ in reply.pieces():
                pass
        except RefusedInference as refusal:
            ready(refusal.text)
        else:
            ready("")

    async def ask(self, model: Path, messages: Sequence[Message], sampling: Sampling) -> GeneratorReply:
        """Begin an answer; may be called on any event loop. Raises RefusedInference."""
        id, mailbox = next(self._numbers), Mailbox[Answered]()
        question = Ask(ask=id, messages=tuple(messages), sampling=sampling)
        try:
            line = question.model_dump_json().encode() + b"\n"
        except ValueError as error:  # half of a surrogate pair is text to Python, but to nobody else
            raise RefusedInference(336003, f"the messages or stop words are no Unicode text: {error}") from error
        self._loop.start_soon(self._submit, model, id, line, mailbox)

        def forget() -> None:
            self._loop.call_soon(lambda: self._forget(model, id))

        try:
            first = await mailbox.get()
        except BaseException:
            forget()
            raise
        if isinstance(first, Ended) and first.reason == "error":
            raise broken(first.message)
        return GeneratorReply(first, mailbox, forget)

    def end(self, model: Path) -> None:
        """End a model's child, as when the model is deleted."""
        self._loop.call_soon(lambda: self._end(model))

    def end_all(self) -> None:
        """End all children."""

        def end_them() -> None:
            for model in list(self._children):
                self._end(model)

        self._loop.call_soon(end_them)

    # --- on the loop of the works ----------------------------------------------------------------------------------

    async def _submit(self, model: Path, id: int, line: bytes, mailbox: Mailbox[Answered]) -> None:
        child = self._children.get(model)
        if child is None:
            child = self._children[model] = _Child()
            self._loop.start_soon(self._run, model, child)
        child.asking[id] = mailbox
        child.send(line)

    def _forget(self, model: Path, id: int) -> None:
        child = self._children.get(model)
        if child is not None and child.asking.pop(id, None) is not None:
            child.send(Forget(forget=id).model_dump_json().encode() + b"\n")

    def _end(self, model: Path) -> None:
        child = self._children.pop(model, None)
        if child is not None:
            child.fail("it was deleted")
            child.wake.set()

    async def _run(self, model: Path, child: _Child) -> None:
        why = "its process ended"
        log = model.with_suffix(".log")
        try:
            if not await anyio.Path(model).is_dir():
                why = f"there is no model in {model.name}"
                return
            environment = worker_environment(threads=self._threads)
            async with opened(worker_command("serve", model), environment=environment, log=log) as process:
                why = await self._converse(process, child, model) or last_lines(log) or why
        except OSError as error:
            why = str(error)
        finally:
            if self._children.get(model) is child:
                del self._children[model]
            child.fail(why)

    async def _converse(self, process: Process, child: _Child, model: Path) -> str:
        """Carry questions and answers until the child ends or is idle; why it ended, "" when nobody knows."""

        async def hear() -> None:
            lines = lines_of(process.stdout)
            with suppress(StopAsyncIteration):
                while True:
                    # It tells that it is alive every few seconds, also while it loads a model or computes.
                    with anyio.move_on_after(self._silence) as patience:
                        self._take(child, await anext(lines))
                    if patience.cancelled_caught:
                        child.why = f"it told nothing for {self._silence:g} s"
                        kill(process)
                        break
            group.cancel_scope.cancel()

        async def speak() -> None:
            assert process.stdin is not None
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                while self._children.get(model) is child:
                    child.wake = anyio.Event()
                    lines, child.unsent = child.unsent, []
                    for line in lines:
                        await process.stdin.send(line)
                    if not child.unsent:
                        await self._until_asked(child, model)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(hear)
            group.start_soon(speak)
        return child.why

    async def _until_asked(self, child: _Child, model: Path) -> None:
        """Wait for a question; forget the child when none comes for long and nobody waits for an answer."""
        with anyio.move_on_after(self._idle) as patience:
            await child.wake.wait()
        if patience.cancelled_caught and not child.asking and self._children.get(model) is child:
            del self._children[model]

    def _take(self, child: _Child, line: bytes) -> None:
        told = _read(line)
        if isinstance(told, Failed):
            child.why = f"{told.message}. {told.hint}".removesuffix(". ")
        elif isinstance(told, (Said, Ended)) and (mailbox := child.asking.get(told.id)) is not None:
            if isinstance(told, Ended):
                del child.asking[told.id]
            mailbox.put(told)


def _read(line: bytes) -> Reply | None:
    try:
        return REPLY.validate_json(line)
    except ValidationError:
        return None
