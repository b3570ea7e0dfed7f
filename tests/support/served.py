"""An emulator in a process of its own, as `qianfan emulator serve` gives it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def served_emulator(*arguments: str) -> Iterator[dict[str, str]]:
    """Serve on a free port, scripted unless told otherwise; gives the variables that it tells clients to set.

    Ends it with Ctrl-C.
    """
    engine = [] if "--engine" in arguments else ["--engine", "scripted"]
    command = [sys.executable, "-m", "qianfan.cli.main", "emulator", "serve", "--port", "0", *engine, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield exports_of(process)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode in (0, 130), errors


def exports_of(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    exports: dict[str, str] = {}
    for line in process.stdout:
        if line.startswith("export "):
            [assignment] = shlex.split(line.removeprefix("export "))
            name, _, value = assignment.partition("=")
            exports[name] = value
        elif line.startswith("# Ctrl-C"):
            return exports
    raise AssertionError(f"the emulator did not start: {process.stderr.read() if process.stderr else ''}")


def environment(exports: dict[str, str]) -> dict[str, str]:
    """The environment of a process that talks to it."""
    return {**os.environ, **exports, "PYTHONUNBUFFERED": "1"}
