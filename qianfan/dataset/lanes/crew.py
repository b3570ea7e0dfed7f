"""Worker processes for one pass: ranges of a file out, results back in order.

They are processes of their own program, not of multiprocessing's, which runs the user's main module once more. Each
is given two ranges beforehand; what it answers waits in its pipe, so that a slow consumer holds up the workers rather
than filling the memory. Whoever stops asking ends them.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import qianfan
from qianfan.dataset.lanes import _worker
from qianfan.dataset.lanes.cutting import Range
from qianfan.dataset.lanes.jobs import Result
from qianfan.errors import InternalError

LARGE = 32 << 20
"""Bytes of a file from which on worker processes are worth their start."""

MOST_WORKERS = 4
"""Each takes some fifty megabytes, and all processes together are to stay below three hundred."""

_AHEAD = 2
_PIPE = 1 << 20
"""Bytes of a pipe where the system lets one choose, so that an answer does not take thirty turns."""


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def can_work() -> bool:
    """Whether worker processes can be started: not from a program without an interpreter, nor out of an archive."""
    return bool(sys.executable) and Path(_worker.__file__).is_file()


class _Worker:
    def __init__(self, setup: tuple[Any, ...]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, and a file of this package
            [sys.executable, _worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin: IO[bytes] = self._process.stdin
        self._stdout: IO[bytes] = self._process.stdout
        self.send(setup)

    def send(self, message: tuple[Any, ...]) -> None:
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        # A worker that is gone is noticed where its answer is missing.
        with suppress(BrokenPipeError):
            self._stdin.write(len(content).to_bytes(8, "big") + content)
            self._stdin.flush()

    def receive(self) -> Any:
        head = self._stdout.read(8)
        content = self._stdout.read(int.from_bytes(head, "big")) if len(head) == 8 else b""
        if len(head) < 8 or len(content) < int.from_bytes(head, "big"):
            raise InternalError(self._why_gone())
        return pickle.loads(content)  # noqa: S301  # from our own child, over a pipe that nobody else has

    def _why_gone(self) -> str:
        code = self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        advice = "the system may have been out of memory" if code == -9 else "this is a mistake in qianfan"
        return f"a worker process that was reading a data file {how}; {advice}; with workers=1 none is needed"

    def end(self) -> None:
        with suppress(OSError):
            self._stdin.close()
        self._process.kill()
        self._process.wait()
        self._stdout.close()


def worked(
    work: tuple[str, str, bool, str], ranges: Iterable[Range], workers: int
) -> Generator[tuple[Range, list[tuple[int, Result]]], None, None]:
    """The results for each range in order; a long line has none.

    work: the arguments of `Work`. Raises InternalError when a worker dies, and whatever a job raises.
    """
    root = str(Path(qianfan.__file__).parents[1])
    crew: list[_Worker] = []
    waiting: deque[tuple[Range, _Worker | None]] = deque()
    try:
        for _ in range(workers):
            crew.append(_Worker((root, sys.path, *work)))
        sent = 0
        for part in ranges:
            worker = None if part.is_long_line else crew[sent % workers]
            if worker is not None:
                worker.send((part.begin, part.end))
                sent += 1
            waiting.append((part, worker))
            if len(waiting) >= _AHEAD * workers:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        for worker in crew:
            worker.end()


def _next(waiting: deque[tuple[Range, _Worker | None]]) -> tuple[Range, list[tuple[int, Result]]]:
    part, worker = waiting.popleft()
    answer = [] if worker is None else worker.receive()
    if isinstance(answer, Exception):
        raise answer
    return part, answer
