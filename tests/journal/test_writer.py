"""Group commit: what is queued together is committed together, and each change stands or falls by itself."""

from __future__ import annotations

import gc
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from qianfan._sync import in_thread
from qianfan.errors import JournalBusyError, JournalCorruptError, JournalError, JournalWriteError
from qianfan.journal import SqliteJournal, close_journals, journal_at, open_journal
from qianfan.journal._database import open_file
from qianfan.journal._writer import Changing, InlineWriter, ThreadWriter

from .asking import ask, run_python, start_python

pytestmark = pytest.mark.anyio


def note(text: str) -> Changing[str]:
    """A change: one more line in a table that takes any text."""

    def change(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO cursor(consumer, run, seq) VALUES(?,'r',0)", (text,))
        return text

    return change


def noted(connection: sqlite3.Connection) -> list[str]:
    """What was noted, by the number at its end."""
    found = [text for [text] in connection.execute("SELECT consumer FROM cursor")]
    return sorted(found, key=lambda text: int(text.rpartition(" ")[2]))


class Gate:
    """A change during which the writer's thread waits, so that others queue up behind it."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self.is_reached.set()
        assert self._open.wait(60)

    def open(self) -> None:
        self._open.set()

    async def reached(self) -> None:
        await in_thread(self.is_reached.wait)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def writer(path: Path) -> Iterator[ThreadWriter]:
    writer = ThreadWriter(path, lambda: open_file(path, busy_seconds=0.05))
    yield writer
    writer.close()


# --- one commit for many ---------------------------------------------------------------------------------------


async def test_what_queues_up_during_a_commit_is_one_commit(writer: ThreadWriter, gate: Gate) -> None:
    queued: list[str] = []

    async def write(number: int) -> None:
        queued.append(await writer.write(note(f"write {number}")))

    async with anyio.create_task_group() as group:
        writer.post(gate)
        await gate.reached()
        for number in range(100):
            group.start_soon(write, number)
        await anyio.wait_all_tasks_blocked()
        gate.open()
    assert writer.commits == 2
    assert len(queued) == 100
    assert sorted(await writer.write(noted)) == sorted(queued)


async def test_a_change_that_fails_takes_nothing_else_with_it(writer: ThreadWriter, gate: Gate) -> None:
    outcomes: dict[int, object] = {}

    def change(number: int) -> Callable[[sqlite3.Connection], int]:
        def note_and_perhaps_fail(connection: sqlite3.Connection) -> int:
            note(f"write {number}")(connection)
            if number % 3 == 0:
                raise ValueError(number)
            return number

        return note_and_perhaps_fail

    async def write(number: int) -> None:
        try:
            outcomes[number] = await writer.write(change(number))
        except ValueError as error:
            outcomes[number] = error.args

    async with anyio.create_task_group() as group:
        writer.post(gate)
        await gate.reached()
        for number in range(10):
            group.start_soon(write, number)
        await anyio.wait_all_tasks_blocked()
        gate.open()
    assert writer.commits == 2
    assert outcomes == {number: (number,) if number % 3 == 0 else number for number in range(10)}
    assert sorted(await writer.write(noted)) == [f"write {number}" for number in range(10) if number % 3]


async def test_a_batch_that_is_lost_is_written_one_by_one(writer: ThreadWriter, gate: Gate) -> None:
    """A full disk fails the whole transaction, but what still fits is written."""
    await writer.write(lambda connection: connection.execute("PRAGMA max_page_count=30").fetchall())
    failed: dict[int, JournalWriteError] = {}

    async def write(number: int, length: int) -> None:
        try:
            await writer.write(note("x" * length + f" {number}"))
        except JournalWriteError as error:
            failed[number] = error

    async with anyio.create_task_group() as group:
        writer.post(gate)
        await gate.reached()
        for number in range(6):
            group.start_soon(write, number, 500_000 if number == 3 else 10)
        await anyio.wait_all_tasks_blocked()
        gate.open()
    assert [(number, error.retryable) for number, error in failed.items()] == [(3, True)]
    assert [int(text[-1]) for text in await writer.write(noted)] == [0, 1, 2, 4, 5]


async def test_a_batch_that_finds_the_file_locked_waits_once_for_all(path: Path, gate: Gate) -> None:
    begun: list[str] = []
    refused: list[JournalBusyError] = []
    other = open_file(path)
    other.execute("BEGIN IMMEDIATE")

    def open_behind_the_gate() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=0.05, isolation_level=None, check_same_thread=False)
        connection.set_trace_callback(lambda statement: begun.append(statement) if "BEGIN" in statement else None)
        gate(connection)
        return connection

    async def write(number: int) -> None:
        with pytest.raises(JournalBusyError) as caught:
            await writer.write(note(f"write {number}"))
        refused.append(caught.value)

    writer = ThreadWriter(path, open_behind_the_gate)
    async with anyio.create_task_group() as group:
        writer.post(note("alone 0"))
        await gate.reached()
        for number in range(5):
            group.start_soon(write, number)
        await anyio.wait_all_tasks_blocked()
        gate.open()
    assert len(begun) == 2
    assert len({id(error) for error in refused}) == 5, "each caller has an error of its own to raise"
    other.execute("ROLLBACK")
    other.close()
    assert await writer.write(note("afterwards 1")) == "afterwards 1"
    assert await writer.write(noted) == ["afterwards 1"]
    writer.close()


# --- who waits and who does not ----------------------------------------------------------------------------------


async def test_a_cancelled_caller_leaves_when_its_change_is_made(writer: ThreadWriter, gate: Gate) -> None:
    told: list[str] = []

    async def write() -> None:
        told.append(await writer.write(note("cancelled 0")))
        await anyio.lowlevel.checkpoint()
        told.append("went on")

    async with anyio.create_task_group() as group:
        writer.post(gate)
        await gate.reached()
        group.start_soon(write)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
        gate.open()
    assert told == ["cancelled 0"]
    assert await writer.write(noted) == ["cancelled 0"]


async def test_one_who_is_cancelled_already_still_writes(writer: ThreadWriter) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await writer.write(note("cancelled 0"))
    assert await writer.write(noted) == ["cancelled 0"]


def test_event_loops_in_several_threads_share_a_writer(writer: ThreadWriter) -> None:
    seen: dict[int, list[str]] = {}

    async def write_some(loop: int) -> None:
        seen[loop] = [await writer.write(note(f"loop {loop} write {number}")) for number in range(50)]

    threads = [
        threading.Thread(target=lambda loop=loop: anyio.run(write_some, loop, backend=("asyncio", "trio")[loop % 2]))  # type: ignore[misc]
        for loop in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {loop: [f"loop {loop} write {number}" for number in range(50)] for loop in range(6)}
    assert writer.commits <= 300
    everything = anyio.run(writer.write, noted)
    assert sorted(everything) == sorted(text for texts in seen.values() for text in texts)


async def test_what_is_posted_is_written_noted_and_heard_on_the_loop(writer: ThreadWriter) -> None:
    heard: list[tuple[str, int]] = []
    for number in range(20):
        writer.post(note(f"post {number}"), lambda text: heard.append((text, threading.get_ident())))
    assert await writer.write(noted) == [f"post {number}" for number in range(20)]
    while len(heard) < 20:
        await anyio.lowlevel.checkpoint()
    assert heard == [(f"post {number}", threading.get_ident()) for number in range(20)]


async def test_a_post_that_fails_is_not_heard_of(writer: ThreadWriter) -> None:
    heard: list[object] = []
    writer.post(lambda connection: 1 / 0, heard.append)
    writer.post(lambda connection: connection.execute("INSERT INTO nothing VALUES(1)"), heard.append)
    writer.post(lambda connection: "fine", heard.append)
    while not heard:
        await anyio.lowlevel.checkpoint()
    assert heard == ["fine"]


def test_a_loop_that_has_ended_hears_nothing_and_does_no_harm(path: Path) -> None:
    gate, heard = Gate(), list[str]()
    writer = ThreadWriter(path, lambda: open_file(path))

    async def leave_something() -> None:
        writer.post(gate)
        await gate.reached()
        writer.post(note("left 0"), heard.append)

    for backend in ("asyncio", "trio"):
        anyio.run(leave_something, backend=backend)
    gate.open()
    assert anyio.run(writer.write, noted) == ["left 0"]
    assert heard == []
    writer.close()


# --- the end -----------------------------------------------------------------------------------------------------


async def test_closing_writes_what_is_queued(path: Path, gate: Gate) -> None:
    writer = ThreadWriter(path, lambda: open_file(path))
    writer.post(gate)
    await gate.reached()
    for number in range(50):
        writer.post(note(f"post {number}"))
    async with anyio.create_task_group() as group:
        group.start_soon(in_thread, writer.close)
        await anyio.wait_all_tasks_blocked()
        gate.open()
    connection = open_file(path)
    assert noted(connection) == [f"post {number}" for number in range(50)]
    connection.close()


async def test_closing_does_not_wait_for_ever(path: Path, gate: Gate) -> None:
    before = {*threading.enumerate()}
    writer = ThreadWriter(path, lambda: open_file(path))
    writer.post(gate)
    await gate.reached()
    writer.close(patience=0.01)
    assert {*threading.enumerate()} > before  # it is still at work, and nobody waits for it
    gate.open()
    writer.close()
    assert not [thread for thread in {*threading.enumerate()} - before if thread.name == "qianfan-journal"]


@pytest.mark.parametrize("kind", ["file", "memory"])
async def test_what_is_closed_takes_nothing_more(kind: str, path: Path) -> None:
    journal = SqliteJournal(path if kind == "file" else None)
    await journal.ready()
    journal.close()
    journal.close()
    heard: list[object] = []
    for _ in range(2):
        with pytest.raises(JournalError, match="is closed already"):
            await journal.ready()
    journal.writer.post(note("late 0"), heard.append)
    assert heard == []


def test_a_journal_that_was_not_used_has_no_file_and_no_thread(path: Path) -> None:
    before = threading.active_count()
    journal = SqliteJournal(path)
    assert not path.parent.exists()
    assert threading.active_count() == before
    anyio.run(journal.ready)
    assert path.exists()
    assert threading.active_count() == before + 1
    journal.close()
    assert threading.active_count() == before
    SqliteJournal(path).close()


async def test_memory_is_let_go_of_without_being_closed() -> None:
    """No warning of an open connection, which Python gives from 3.13 on."""
    journal: Any = SqliteJournal()
    await journal.ready()
    gone = weakref.ref(journal)
    del journal
    gc.collect()
    assert gone() is None


async def test_errors_of_sqlite_are_typed_in_memory_too() -> None:
    journal = SqliteJournal()
    assert isinstance(journal.writer, InlineWriter)
    with pytest.raises(JournalError, match="nothing"):
        await ask(journal, "SELECT * FROM nothing")
    journal.writer.post(lambda connection: connection.execute("SELECT * FROM nothing"))
    journal.close()


async def test_a_file_that_cannot_be_opened_fails_every_change_until_it_can(path: Path) -> None:
    await anyio.Path(path.parent).mkdir()
    await anyio.Path(path).write_bytes(b"no journal")
    journal = journal_at(path)
    assert journal_at(path) is journal
    errors = []
    for _ in range(3):
        with pytest.raises(JournalCorruptError) as caught:
            await journal.ready()
        errors.append(caught.value)
    journal.writer.post(note("lost 0"))
    for _ in range(2):
        with pytest.raises(JournalCorruptError):
            await open_journal(path)
    assert len({id(error) for error in errors}) == 3
    await anyio.Path(path).unlink()
    opened = await open_journal(path)
    assert opened is not journal
    assert await opened.writer.write(noted) == []
    assert await open_journal(path) is opened
    close_journals(path.parent)
    with pytest.raises(JournalError, match="closed"):
        await opened.ready()
    assert await open_journal(path) is not opened
    close_journals(path.parent.parent)


def test_the_end_of_the_process_waits_for_what_is_queued(path: Path) -> None:
    """With a warning as an error, also one about a connection that nobody closed."""
    code = """
import sys
from pathlib import Path
import anyio
from qianfan.journal import journal_at
from tests.journal.test_writer import note

async def main():
    for number in range(200):
        journal_at(Path(sys.argv[1])).writer.post(note(f"post {number}"))
    await journal_at(None).ready()

anyio.run(main)
"""
    run_python(code, path)
    connection = open_file(path)
    assert len(noted(connection)) == 200
    connection.close()
    assert list(Path(f"{path}.workers").iterdir()) == []


def test_the_end_of_the_process_does_not_wait_for_a_lock(path: Path) -> None:
    code = """
import sys
from pathlib import Path
import anyio
from qianfan.journal import journal_at

async def main():
    journal = journal_at(Path(sys.argv[1]))
    await journal.ready()
    print("ready", flush=True)
    sys.stdin.readline()
    journal.writer.post(lambda connection: None)

anyio.run(main)
"""
    process = start_python(code, path)
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    other = open_file(path)
    other.execute("BEGIN IMMEDIATE")
    try:
        # Far less than the 30 seconds for which a write waits.
        assert process.communicate("go on\n", timeout=15) == ("", "")
    finally:
        process.kill()
        other.close()
