"""A served emulator with its counters, worker processes that train on it, and what their journal says."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Self

from qianfan._clock import SYSTEM_CLOCK
from qianfan.config import PREFIX
from qianfan.emulator import Emulator
from qianfan.resources.purchase import token_for
from tests.support.faultproxy import FaultProxy, serving

DRIVER = Path(__file__).with_name("driver.py")
ROOT = Path(__file__).parents[2]

KILLED = 137
"""The exit code of a process that a crash point ended."""

_LONG = 3600.0
"""Seconds of a training that somebody has to finish."""

TRAINS = "trains ERNIE"
"""In the log line of a process whose task has just been ordered."""

FOLLOWS = "following it"
"""In the log line of a process that finds its run driven by another one."""

STEPS = ("load", "train", "publish", "deploy")


class HandClock:
    """An emulator's clock that moves only when the test says so, so that a training lasts until then."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def wall(self) -> Any:
        return SYSTEM_CLOCK.wall()

    async def sleep(self, seconds: float) -> None:
        await SYSTEM_CLOCK.sleep(seconds)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    while not true():
        time.sleep(0.01)


class Worker:
    """A process of `driver.py`. said: its lines so far, unless nobody listens."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, errors: Path, *, heard: bool = True
    ) -> None:
        self._errors = errors
        with errors.open("wb") as file:
            # A pipe that nobody empties would stop it.
            stdout = subprocess.PIPE if heard else file
            self.process = subprocess.Popen(
                command,
                env=env,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        self.said: list[dict[str, Any]] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def errors(self) -> str:
        """What it wrote to stderr."""
        return self._errors.read_text(encoding="utf-8", errors="replace")

    def hear(self, key: str, *texts: str) -> str:
        """Read on until a line has this key with one of these texts in its value, and give the value.

        Raises AssertionError when it ends without.
        """
        for line in self._lines():
            if key in line and (not texts or any(text in str(line[key]) for text in texts)):
                return str(line[key])
        raise AssertionError(f"no {key} {texts} in {self.said}\n{self.errors}")

    def end(self) -> int:
        """Read to its end, and give the exit code."""
        for _ in self._lines():
            pass
        return self.process.wait()

    def kill(self) -> None:
        """Kill it and the processes it began, as far as they still live."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _lines(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            # A process that dies may leave the beginning of a line.
            if text.endswith("\n"):
                self.said.append(json.loads(text))
                yield self.said[-1]

    @property
    def result(self) -> Any:
        """What it said at its end."""
        return self._last("result")

    @property
    def error(self) -> Any:
        """The name of the error that it ended with."""
        return self._last("error")

    def _last(self, key: str) -> Any:
        return next((line[key] for line in reversed(self.said) if key in line), None)

    @property
    def events(self) -> list[int]:
        """The numbers of the events that its handler heard."""
        return [line["event"] for line in self.said if "event" in line]


@dataclass(frozen=True)
class Row:
    """What a journal says of an action or an order, as far as it matters here."""

    phase: str
    gen: int
    attempt: int
    external_id: str | None
    retiring: int | None


@dataclass(frozen=True)
class RunRow:
    status: str
    owner: str | None
    epoch: int
    cancel: str | None


class World:
    """Serves an emulator in this process, on a socket, for processes that are started here.

    held: trainings last until `finish_trainings`; else everything is over at the first or second look.
    proxied: put a `FaultProxy` between, as `proxy`.
    Whatever process is left at the end of the block is killed.
    """

    def __init__(self, folder: Path, *, held: bool = False, proxied: bool = False) -> None:
        self.clock = HandClock()
        self.folder = folder
        self.cache = folder / "cache"
        self.journal = self.cache / "journal.sqlite3"
        self.emulator = Emulator(
            _LONG if held else "instant", activate=False, clock=self.clock if held else SYSTEM_CLOCK, engine="scripted"
        )
        if held:
            self.emulator.training.script(seconds=_LONG, waits=0)
            self.emulator.publishing.script(after_looks=0)
            self.emulator.deployment.script(after_looks=0)
        self.proxied = proxied
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        url = self._stack.enter_context(serving(self._stack.enter_context(self.emulator)))
        if self.proxied:
            self.proxy = self._stack.enter_context(FaultProxy(url))
            url = self.proxy.url
        addresses = dict.fromkeys(("BASE_URL", "CONSOLE_API_BASE_URL", "IAM_BASE_URL", "BOS_BASE_URL"), url)
        settings = {
            **{name: 0.02 if name.endswith("_INTERVAL") else value for name, value in self.emulator.settings.items()},
            **addresses,
            "CACHE_DIR": self.cache,
            "SUBMIT_SETTLE_SECONDS": 0,
            "SUBMIT_ON_ABSENT": "resubmit",
            "CONSOLE_API_RETRY_BACKOFF_FACTOR": 0.05,
            "CONSOLE_API_RETRY_JITTER": 0,
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self.env = {
            **clean,
            **{f"{PREFIX}{name}": str(value) for name, value in settings.items()},
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.folder),
        }
        return self

    def __exit__(self, *exc: object) -> None:
        for worker in self.workers:
            worker.kill()
        self._stack.close()

    # --- processes ----------------------------------------------------------------------------------------------

    def start(
        self,
        verb: str,
        id: str = "r",
        *options: str,
        faults: str = "",
        before: Sequence[str] = (),
        heard: bool = True,
        env: Mapping[str, str] | None = None,
        **settings: object,
    ) -> Worker:
        """Start a process.

        faults: armed crash points. before: what starts it, in front of it. heard: whether anybody will read what it
        says. env: variables besides those of qianfan. settings: of qianfan.
        """
        changes = {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        env = {**self.env, **(env or {}), **changes, f"{PREFIX}FAULTS": faults}
        command = [*before, sys.executable, str(DRIVER), verb, id, *options]
        errors = self.folder / f"errors-{len(self.workers)}"
        worker = Worker(command, env, self.folder, errors, heard=heard)
        self.workers.append(worker)
        return worker

    def run(self, verb: str, id: str = "r", *options: str, **rest: Any) -> Worker:
        """Start a process and wait for its end."""
        worker = self.start(verb, id, *options, **rest)
        worker.end()
        return worker

    def freeze(self, worker: Worker) -> None:
        """Stop a process where it is, as a debugger or a laptop that is closed would, but not while it commits."""
        state = Path(f"/proc/{worker.pid}/stat")
        while True:
            worker.process.send_signal(signal.SIGSTOP)
            until(lambda: state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T")
            try:
                with self.locked_journal():
                    return
            except sqlite3.OperationalError:
                worker.thaw()

    # --- the platform -------------------------------------------------------------------------------------------

    def finish_trainings(self) -> None:
        """Let every training that has begun be over."""
        self.clock.passed += 2 * _LONG

    def made(self, *kinds: str) -> tuple[int, ...]:
        """How many of these there ever were."""
        return tuple(self.emulator.made(kind) for kind in kinds)

    @property
    def asked(self) -> list[str]:
        """The calls so far."""
        return [request.name for request in self.emulator.requests]

    # --- the journal --------------------------------------------------------------------------------------------

    def rows(self, id: str = "r") -> dict[str, Row]:
        """The rows of a run: those of actions by step, those of orders by kind."""
        steps = {token_for(id, step): step for step in STEPS}
        query = "SELECT node, phase, gen, attempt, external_id, retiring FROM node WHERE run=?"
        return {steps.get(node) or node.partition(".")[2]: Row(*columns) for node, *columns in self._select(query, id)}

    def run_row(self, id: str = "r") -> RunRow:
        [row] = self._select("SELECT status, owner, epoch, cancel FROM run WHERE id=?", id)
        return RunRow(*row)

    def statuses(self) -> dict[str, str]:
        """How every run stands."""
        return dict(self._select("SELECT id, status FROM run"))

    def kept_events(self, id: str = "r") -> list[tuple[int, str, str]]:
        """Number, step (the pipeline has none) and kind of the events that are kept."""
        steps = {token_for(id, step): step for step in STEPS}
        found = self._select("SELECT seq, node, kind FROM event WHERE run=? ORDER BY seq", id)
        return [(number, steps.get(node, ""), kind) for number, node, kind in found]

    def _select(self, query: str, *values: str) -> list[Any]:
        if not self.journal.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def locked_journal(self) -> Iterator[None]:
        """Another program is in the middle of writing to it."""
        with closing(sqlite3.connect(self.journal, timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")
