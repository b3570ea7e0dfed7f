"""The child process: one training, one publication, or one model that answers.

It tells on stdout, one JSON object a line, and hears on stdin: `cancel`, or questions for a model that answers. The
end of stdin means that whoever started it is gone, and then it ends too.

Exit codes: 0 done, 1 failed (a `failed` event says why), 3 stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Generator as GeneratorType
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO, Final

from pydantic import BaseModel, TypeAdapter

from qianfan.engines.backend import EngineError, Generator, Piece, TrainingBackend, load_backend
from qianfan.engines.rows import Message
from qianfan.engines.spec import (
    Alive,
    Ask,
    Ended,
    Failed,
    Forget,
    Manifest,
    Published,
    PublishSpec,
    Ready,
    Said,
    TrainSpec,
)

DONE: Final = 0
FAILED: Final = 1
STOPPED: Final = 3

_ALIVE_SECONDS = 5.0
_ORPHAN_PATIENCE = 10.0
"""Seconds to end in after whoever started this process is gone."""


class Teller:
    """Writes what there is to tell, from any thread."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def __call__(self, told: BaseModel) -> None:
        line = told.model_dump_json().encode() + b"\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()


def take_stdout() -> BinaryIO:
    """The real stdout, for events alone. Libraries print, and what they print goes to stderr from here on."""
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return events


def main(arguments: list[str]) -> int:
    """Carry out `train SPEC`, `publish SPEC` or `serve MODEL`; returns the exit code."""
    tell = Teller(take_stdout())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this process, and decides
    command, path = arguments
    try:
        with _alive(tell):
            return {"train": _train, "publish": _publish, "serve": _serve}[command](Path(path), tell)
    except EngineError as error:
        tell(Failed(code=error.code, message=str(error), hint=error.hint))
    except MemoryError:
        traceback.print_exc()
        tell(Failed(code="out_of_memory", message="there is not enough memory", hint="use fewer or shorter rows"))
    except Exception as error:
        traceback.print_exc()
        tell(Failed(code="crashed", message=f"{type(error).__name__}: {error}"))
    return FAILED


@contextmanager
def _alive(tell: Teller) -> GeneratorType[None]:
    """Tell every few seconds that this process is at work, since loading a model is silent otherwise."""
    over = threading.Event()

    def go_on_telling() -> None:
        while not over.wait(_ALIVE_SECONDS):
            tell(Alive())

    threading.Thread(target=go_on_telling, name="alive", daemon=True).start()
    try:
        yield
    finally:
        over.set()


# --- training and publishing --------------------------------------------------------------------------------------


def _train(path: Path, tell: Teller) -> int:
    spec = TrainSpec.model_validate_json(path.read_bytes())
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    threading.Thread(target=_hear_cancel, args=(stopped,), name="stdin", daemon=True).start()
    backend = _loaded(spec.engine, tell)
    plan = backend.plan(spec)
    tell(plan)
    backend.train(spec, plan, tell, stopped.is_set)
    return STOPPED if stopped.is_set() else DONE


def _loaded(engine: str, tell: Teller) -> TrainingBackend:
    backend = load_backend(engine)
    tell(backend.started())
    return backend


def _stdin_lines() -> Iterator[bytes]:
    """Lines of stdin for a daemon thread: one that waits in a buffered reader would hold up the interpreter's end."""
    rest = b""
    while piece := os.read(0, 2**16):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def _hear_cancel(stopped: threading.Event) -> None:
    for line in _stdin_lines():
        if line.strip() == b"cancel":
            stopped.set()
    stopped.set()
    _end_orphan()


def _end_orphan() -> None:
    """End this process in a while, whatever it is busy with: nobody is left to end it."""
    timer = threading.Timer(_ORPHAN_PATIENCE, os._exit, (STOPPED,))
    timer.daemon = True
    timer.start()


def _publish(path: Path, tell: Teller) -> int:
    spec = PublishSpec.model_validate_json(path.read_bytes())
    threading.Thread(target=_hear_cancel, args=(threading.Event(),), name="stdin", daemon=True).start()
    manifest = _loaded(spec.engine, tell).publish(spec)
    tell(Published(manifest=manifest))
    return DONE


# --- answering ------------------------------------------------------------------------------------------------------


_QUESTION: TypeAdapter[Ask | Forget] = TypeAdapter(Ask | Forget)


def _serve(model: Path, tell: Teller) -> int:
    manifest = Manifest.of(model)
    generator = load_backend(manifest.engine).load(model)
    # The first answer pays for what libraries put off until then; a model that is ready answers at once.
    for _ in generator.stream([Message(role="user", content="?")], Ask(ask=0, messages=()).sampling):
        break
    asked: SimpleQueue[Ask | Forget | None] = SimpleQueue()
    threading.Thread(target=_hear_questions, args=(asked,), name="stdin", daemon=True).start()
    tell(Ready(manifest=manifest))
    return Answering(generator, tell).until_end(asked)


def _hear_questions(asked: SimpleQueue[Ask | Forget | None]) -> None:
    try:
        for line in _stdin_lines():
            if line.strip():
                asked.put(_QUESTION.validate_json(line))
    finally:
        # Also after a line that cannot be read: whoever asks sees the end of this process, and starts another one.
        asked.put(None)
        _end_orphan()


class _Answer:
    """One answer that is being made."""

    def __init__(self, ask: Ask, pieces: Iterator[Piece], prompt_tokens: int) -> None:
        self.id = ask.ask
        self.pieces = pieces
        self.prompt_tokens = prompt_tokens
        self.tokens = 0


class Answering:
    """Makes several answers at once, a piece of each in turn, so that a long one does not hold up the others."""

    def __init__(self, generator: Generator, tell: Callable[[BaseModel], None]) -> None:
        self._generator = generator
        self._tell = tell
        self._turns: deque[_Answer] = deque()

    def until_end(self, asked: SimpleQueue[Ask | Forget | None]) -> int:
        """Answer what is asked until None comes."""
        while True:
            try:
                question = asked.get(block=not self._turns)
            except Empty:
                self._go_on()
                continue
            if question is None:
                return DONE
            if isinstance(question, Ask):
                self._begin(question)
            else:
                self._turns = deque(answer for answer in self._turns if answer.id != question.forget)

    def _begin(self, ask: Ask) -> None:
        try:
            prompt_tokens = self._generator.count(ask.messages)
            self._turns.append(_Answer(ask, self._generator.stream(ask.messages, ask.sampling), prompt_tokens))
        except Exception as error:
            self._give_up(ask.ask, error)

    def _go_on(self) -> None:
        answer = self._turns.popleft()
        try:
            piece = next(answer.pieces)
        except Exception as error:
            self._give_up(answer.id, error)
            return
        answer.tokens += piece.tokens
        asked = answer.prompt_tokens
        if piece.text:
            self._tell(Said(id=answer.id, text=piece.text, prompt_tokens=asked, completion_tokens=answer.tokens))
        if piece.end:
            self._tell(Ended(id=answer.id, reason=piece.end, prompt_tokens=asked, completion_tokens=answer.tokens))
        else:
            self._turns.append(answer)

    def _give_up(self, id: int, error: Exception) -> None:
        if not isinstance(error, EngineError):
            traceback.print_exception(error)
        self._tell(Ended(id=id, reason="error", message=f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
