"""A process on a terminal of its own, with somebody at the keys who may also close the window."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

CTRL_C = "\x03"

# A new session has no terminal until a process of it takes one.
_TAKE_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """What a person has of a process: its lines and the keys. `written`: all that has been read of it so far."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self.written = ""
        self._screen: int | None = screen

    def read_until(self, text: str) -> None:
        """Wait until the process has written this, anywhere; AssertionError when it ends without."""
        while text not in self.written:
            assert self._read(), f"no {text!r} in {self.written!r}"

    def press(self, keys: str) -> None:
        assert self._screen is not None
        os.write(self._screen, keys.encode())

    def close(self) -> None:
        """Close the window."""
        if self._screen is not None:
            os.close(self._screen)
            self._screen = None

    def wait(self) -> int:
        """Read to the end, and give the exit code."""
        while self._screen is not None and self._read():
            pass
        return self.process.wait(timeout=20)

    def _read(self) -> bool:
        assert self._screen is not None
        try:
            piece = os.read(self._screen, 65536)
        except OSError:  # where other files just end
            return False
        self.written += piece.decode(errors="replace")
        return bool(piece)


@contextmanager
def on_a_terminal(command: Sequence[str], env: Mapping[str, str]) -> Iterator[Terminal]:
    """Start a command on a new terminal, and see to it that it ends. command: begins with the path of a program."""
    pty = pytest.importorskip("pty")
    screen, theirs = pty.openpty()
    command = [sys.executable, "-c", _TAKE_THE_TERMINAL, *command]
    process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    terminal = Terminal(process, screen)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        terminal.close()
