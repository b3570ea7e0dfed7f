"""The outside program: started with a guard that ends it, and all it has started, together with this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from qianfan.engines.command import guard

GRACE: Final = 5.0
"""Seconds that the program has to end in after it was asked to."""


class Program:
    """A running program; its output goes to a file. It does not outlive the block."""

    def __init__(self, arguments: Sequence[str], output: Path, *, grace: float = GRACE) -> None:
        self._grace = grace
        command = [sys.executable, "-I", guard.__file__, str(grace), *arguments]
        with output.open("wb") as out:
            # In a session of its own the guard is not killed with this process, and can do its work then.
            self._guard = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def wait(self, seconds: float) -> int | None:
        """The exit code, None when it is still running after so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self._guard.wait(seconds)
        return None

    def end(self) -> None:
        """End the program and everything it has started."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        if self.wait(self._grace + GRACE) is None:
            self._guard.kill()
            self._guard.wait()


class Tail:
    """What is added to a file that somebody else writes; it need not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def read(self) -> bytes:
        """All that is new."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
            self._read += len(new)
            return new
        return b""
