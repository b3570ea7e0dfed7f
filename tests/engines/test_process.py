"""Child processes are ended in every way there is, and none is left running."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from qianfan.engines.process import End, last_lines, supervise, worker_environment

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.name == "nt", reason="signals are others there")]

HELLO = "import os, sys, time\nprint(os.getpid(), flush=True)\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


class Told:
    """Hears a child, which tells its process id first."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.began = anyio.Event()

    def __call__(self, line: bytes) -> None:
        self.lines.append(line.decode())
        self.began.set()

    @property
    def is_alive(self) -> bool:
        try:
            os.kill(int(self.lines[0]), 0)
        except ProcessLookupError:
            return False
        return True


async def run(
    code: str, log: Path, told: Told, stop: anyio.Event, *, silence: float = 60.0, grace: float = 60.0
) -> End:
    return await supervise(
        [sys.executable, "-c", code],
        told=told,
        stop=stop,
        environment=worker_environment(threads=1),
        log=log,
        silence=silence,
        grace=grace,
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("print('more')", End(0)),
        ("sys.exit(1)", End(1)),
        ("sys.exit(3)", End(3)),
        ("os.kill(os.getpid(), 9)", End(-9)),
        ("os.close(1)", End(0)),
        ("sys.stdout.write('no end of line')", End(0)),
    ],
)
async def test_ends_by_itself(code: str, end: End, log: Path) -> None:
    told = Told()
    assert await run(HELLO + code, log, told, anyio.Event()) == end
    assert told.lines[1:] == (["more"] if "more" in code else [])
    assert not told.is_alive


async def test_stops_when_asked(log: Path) -> None:
    told, stop, ends = Told(), anyio.Event(), list[End]()
    code = HELLO + "sys.exit(3 if sys.stdin.readline() == 'cancel\\n' else 1)"

    async def go() -> None:
        ends.append(await run(code, log, told, stop))

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await told.began.wait()
        stop.set()
    assert ends == [End(3)]


@pytest.mark.parametrize(("deaf", "code"), [("", -signal.SIGTERM), (DEAF, -signal.SIGKILL)])
async def test_does_not_hear(deaf: str, code: int, log: Path) -> None:
    """Asked, then asked by signal, then killed."""
    told, stop, ends = Told(), anyio.Event(), list[End]()

    async def go() -> None:
        ends.append(await run(deaf + HELLO + "time.sleep(600)", log, told, stop, grace=0.05))

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await told.began.wait()
        stop.set()
    assert ends == [End(code)]
    assert not told.is_alive


@pytest.mark.parametrize("code", ["time.sleep(600)", "os.close(1); time.sleep(600)"])
async def test_says_nothing(code: str, log: Path) -> None:
    told = Told()
    assert await run(HELLO + code, log, told, anyio.Event(), silence=2.0) == End(-signal.SIGKILL, was_silent=True)
    assert not told.is_alive


async def test_whoever_waits_is_cancelled(log: Path) -> None:
    told = Told()
    async with anyio.create_task_group() as group:
        group.start_soon(run, DEAF + HELLO + "time.sleep(600)", log, told, anyio.Event())
        await told.began.wait()
        group.cancel_scope.cancel()
    assert not told.is_alive


async def test_what_it_has_started_ends_with_it(log: Path) -> None:
    told = Told()
    child = HELLO + "import subprocess\nsubprocess.run([sys.executable, '-c', " + repr(HELLO + "time.sleep(600)") + "])"
    both = anyio.Event()

    def hear(line: bytes) -> None:
        told(line)
        if len(told.lines) == 2:
            both.set()

    async def go() -> None:
        await supervise(
            [sys.executable, "-c", child],
            told=hear,
            stop=anyio.Event(),
            environment=worker_environment(threads=None),
            log=log,
            silence=60.0,
            grace=60.0,
        )

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await both.wait()
        group.cancel_scope.cancel()
    assert not told.is_alive
    grandchild = Told()
    grandchild.lines = told.lines[1:]
    while grandchild.is_alive:  # whoever adopts it has to take note of its end
        await anyio.lowlevel.checkpoint()


async def test_what_it_says_on_stderr_is_logged(log: Path) -> None:
    code = "import sys\nfor number in range(20): print('line', number, file=sys.stderr)"
    assert (await run(code, log, Told(), anyio.Event())).code == 0
    assert last_lines(log, 2) == "line 18\nline 19"
    assert last_lines(log.with_name("nothing")) == ""


def test_the_platform_s_keys_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIANFAN_SECRET_KEY", "a-secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    environment = worker_environment(threads=1)
    assert "a-secret" not in environment.values()
    assert (environment["OMP_NUM_THREADS"], environment["OPENBLAS_NUM_THREADS"]) == ("2", "1")
    assert environment["HF_HUB_OFFLINE"] == "1"
