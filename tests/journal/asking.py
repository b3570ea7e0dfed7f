"""Short ways to say what the tests of the journal say often."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qianfan.journal import SqliteJournal
from qianfan.pipeline import Phase, Row
from qianfan.pipeline._record import Claim, RunRecord

INTENT = Row(Phase.INTENT, attempt=1, token="tokentoken", request={"name": "a job"}, request_hash="h")


async def claim(journal: SqliteJournal, run_id: str = "r", **settings: Any) -> Claim:
    """Ask for a run whose actions do not matter."""
    return await journal.claim(run_id, **{"spec": {}, "fingerprint": "f", "kinds": {}, **settings})


async def driven(journal: SqliteJournal, run_id: str = "r", **settings: Any) -> RunRecord:
    """The record of a run that is this journal's to drive."""
    record = (await claim(journal, run_id, **settings)).record
    assert record is not None
    return record


async def ask(journal: SqliteJournal, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows that a statement gives, on the journal's own connection."""
    return await journal.writer.write(lambda connection: connection.execute(statement, values).fetchall())


def abandon(journal: SqliteJournal) -> None:
    """What the death of its process does to a journal: its locks are gone, and all else is left as it is."""
    journal.writer.close()
    journal.worker.forget()


class Worker:
    """A process that claims run `r` of a journal and writes a row each time it is told to."""

    def __init__(self, process: subprocess.Popen[str], claimed: str) -> None:
        self.process = process
        self.claimed = claimed
        self.pid = process.pid

    def write(self) -> str:
        """Have it write; what came of that."""
        assert self.process.stdin is not None
        self.process.stdin.write("write\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def pause(self) -> None:
        """Stop it, and wait until it stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


_WORKER = """
import sys
from pathlib import Path
import anyio
from qianfan.errors import JournalError
from qianfan.journal import SqliteJournal
from tests.journal.asking import INTENT, claim

async def main():
    journal = SqliteJournal(Path(sys.argv[1]))
    found = await claim(journal)
    print("driving" if found.record else "following", flush=True)
    for _ in sys.stdin:
        try:
            await found.record.write({"buy.job": INTENT})
        except JournalError as error:
            print(type(error).__name__, flush=True)
        else:
            print("written", flush=True)

anyio.run(main)
"""


@contextmanager
def worker(path: Path) -> Iterator[Worker]:
    """Another process that drives run `r`."""
    process = start_python(_WORKER, path)
    try:
        assert process.stdout is not None
        yield Worker(process, process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def start_python(code: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
    """Start a Python that can import the package and its tests, with pipes to its three streams."""
    pipes: Mapping[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables},
        text=True,
        **pipes,
    )


def run_python(code: str, *arguments: object, **variables: str) -> str:
    """What such a Python prints; it must end well, and warn of nothing."""
    output, errors = start_python(code, *arguments, **variables).communicate(timeout=60)
    assert errors == ""
    return output
