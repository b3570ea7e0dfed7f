"""Starting a worker, hearing what it tells, and making sure that it ends: when asked, when silent, when nobody is left.

Knows processes, and nothing of what they do.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

_LONGEST_LINE: Final = 16 * 2**20
_ROOT: Final = str(Path(__file__).resolve().parents[2])

# The folder a script runs in must not come first on the path: a `random.py` of the user's would be imported.
_START: Final = (
    "import sys; sys.path[:] = [place for place in sys.path if place] + [sys.argv.pop(1)]; "
    "from qianfan.engines.worker import main; sys.exit(main(sys.argv[1:]))"
)


def worker_command(task: str, path: Path) -> list[str]:
    """The arguments that start a worker. task: "train", "publish" or "serve"."""
    return [sys.executable, "-c", _START, _ROOT, task, str(path)]


def worker_environment(*, threads: int | None) -> dict[str, str]:
    """This process's environment without the platform's keys, and with nothing ever downloaded.

    threads: of the libraries that compute; small models are slower with two than with one. None leaves it to them.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QIANFAN_")}
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment.setdefault(name, str(threads))
    return environment


@asynccontextmanager
async def opened(arguments: Sequence[str], *, environment: dict[str, str], log: Path) -> AsyncGenerator[Process]:
    """A child with pipes for stdin and stdout; stderr is added to `log`. It does not outlive the block."""
    # A group of its own: Ctrl-C at the terminal does not reach it, and what it starts can be ended with it.
    own_group: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
    with log.open("ab") as stderr:
        process = await anyio.open_process(list(arguments), stderr=stderr, env=environment, **own_group)
    async with process:
        try:
            yield process
        finally:
            if process.returncode is None:
                kill(process)
            with anyio.CancelScope(shield=True):
                await process.wait()


def kill(process: Process) -> None:
    """End a child and everything it has started, now."""
    if os.name != "posix":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def terminate(process: Process) -> None:
    """Ask a child by signal to end. On Windows there is no such signal, and it ends at once."""
    if os.name != "posix":
        process.terminate()
        return
    # Not `process.terminate()`, which also collects a child that has ended, and then nobody learns its exit code.
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)


async def lines_of(stream: ByteReceiveStream | None) -> AsyncIterator[bytes]:
    """Whole lines without their end; a last one that is not ended is dropped."""
    assert stream is not None, "stdout is a pipe"
    buffered = BufferedByteReceiveStream(stream)
    with suppress(anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while True:
            yield await buffered.receive_until(b"\n", _LONGEST_LINE)


@dataclass(frozen=True)
class End:
    """How a child ended. code: negative for the number of a signal; was_silent: it was killed for telling nothing."""

    code: int
    was_silent: bool = False


async def supervise(
    arguments: Sequence[str],
    *,
    told: Callable[[bytes], object],
    stop: anyio.Event,
    environment: dict[str, str],
    log: Path,
    silence: float,
    grace: float,
) -> End:
    """Run a child to its end.

    told: hears each line. stop: asks it to end by the line `cancel`; if it has not ended `grace` seconds later it is
    asked by signal, and after as long again it is killed. silence: seconds without a line after which it is killed.
    A cancellation kills it.
    """
    was_silent = False
    async with opened(arguments, environment=environment, log=log) as child:

        async def end_when_asked() -> None:
            await stop.wait()
            assert child.stdin is not None
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await child.stdin.send(b"cancel\n")
            for harder in (terminate, kill):
                with anyio.move_on_after(grace):
                    await child.wait()
                    return
                harder(child)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end_when_asked)
            lines = lines_of(child.stdout)
            with suppress(StopAsyncIteration):
                while not was_silent:
                    with anyio.move_on_after(silence) as patience:
                        told(await anext(lines))
                    was_silent = patience.cancelled_caught
            if was_silent:
                kill(child)
            # Its stdout may be closed while it still runs, for example because a child of its own holds nothing open.
            with anyio.move_on_after(silence) as patience:
                await child.wait()
            if patience.cancelled_caught:
                was_silent = True
                kill(child)
            await child.wait()
            tasks.cancel_scope.cancel()
    return End(-1 if child.returncode is None else child.returncode, was_silent)


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, for a message."""
    with suppress(OSError):
        lines = log.read_bytes()[-4000:].decode("utf-8", "replace").strip().splitlines()
        return "\n".join(lines[-count:])
    return ""
