"""Rows 18 and 19 within one process: a journal that is full, locked, damaged, of a newer version, or somebody else's.

Whatever cannot be written down is not sent; what exists already is not forgotten.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from qianfan._transport import Client
from qianfan.emulator import Emulator
from qianfan.errors import (
    AuthError,
    ForeignOwner,
    JournalBusyError,
    JournalCorruptError,
    JournalError,
    JournalVersionError,
    JournalWriteError,
)
from qianfan.journal import close_journals, journal_at, open_journal
from qianfan.pipeline import ActionState, Event
from qianfan.trainer import LLMFinetune
from qianfan.trainer.pipeline import Pipeline
from qianfan.trainer.state import journal_path
from tests.faults.support import (
    CREATE,
    KINDS,
    LOOK,
    ONE_OF_EACH,
    EventfulClock,
    Heard,
    HeldClock,
    client_for,
    content_of,
    facts_of,
    made,
    new_trainer,
    orders,
    require_one_of_each,
    trained_by,
)
from tests.support.transport import Meddling, Passing

pytestmark = pytest.mark.anyio

every_kind = pytest.mark.parametrize("kind", KINDS)

USES = {
    "job": CREATE["task"],
    "task": "DescribeFineTuningTask",
    "model": "modelVersionDetail",
    "service": "DescribeService",
}
"""The first call that needs what an order made."""


# --- 18: a full disk -------------------------------------------------------------------------------------------------


class Disk:
    """A disk that is full for some writes: SQLite itself refuses them, for want of pages."""

    def __init__(self, client: Client) -> None:
        self._path = journal_path(client.settings)

    async def fill_up(self, *writes: str) -> None:
        """Have no room left for these writes, told as the head of a trigger: `INSERT ON node WHEN ...`."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE IF NOT EXISTS ballast(bytes)")
            for number, write in enumerate(writes):
                connection.execute(
                    f"CREATE TEMP TRIGGER full_{number} BEFORE {write} "
                    f"BEGIN INSERT INTO ballast VALUES(zeroblob({8 * 2**20})); END"
                )
            [[pages]] = connection.execute("PRAGMA page_count").fetchall()
            connection.execute(f"PRAGMA max_page_count={pages + 1000}")

        await (await open_journal(self._path)).writer.write(change)

    async def make_room(self) -> None:
        await journal_at(self._path).writer.write(
            lambda connection: connection.execute(f"PRAGMA max_page_count={2**30}").fetchall()
        )


def row(end: str, phase: str) -> str:
    """The write of a row whose name ends so, in a phase."""
    return f"INSERT ON node WHEN NEW.node LIKE '%{end}' AND NEW.phase='{phase}'"


@every_kind
async def test_18_full_at_the_intent(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """Nothing is sent, and the run is suspended until somebody made room."""
    client = client_for(clock)
    disk, trainer, heard = Disk(client), new_trainer(client), Heard()
    trainer.register_event_handler(heard)
    await disk.fill_up(row(f".{kind}", "intent"))
    for _ in range(2):
        with pytest.raises(JournalWriteError, match="full"):
            await trainer.aresume()
        assert orders(emulator)[kind] == 0
        assert (await facts_of(trainer))["run_status"] == "open"
    await disk.make_room()
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert emulator.count(LOOK[kind]) == 0
    heard.require_order()


@every_kind
async def test_18_full_when_it_is_accepted(kind: str, emulator: Emulator, clock: EventfulClock) -> None:
    """The id is kept in memory, and nothing uses it, until it can be written down."""
    client, uses = client_for(clock), list[int]()
    disk, trainer = Disk(client), new_trainer(client)

    async def make_room() -> None:
        uses.append(emulator.count(USES[kind]))
        await disk.make_room()

    await disk.fill_up(row(f".{kind}", "accepted"))
    clock.at(300.0, make_room)
    await trainer.arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert uses == [0]
    assert clock.monotonic() >= 300
    assert emulator.count(LOOK[kind]) == 0


@every_kind
async def test_18_full_when_it_is_accepted_and_then_the_end(kind: str, emulator: Emulator) -> None:
    """What only the process knew is lost with it; the intent leads to it all the same."""
    clock = HeldClock(16.0)
    client = client_for(clock)
    disk, first = Disk(client), new_trainer(client)
    await disk.fill_up(row(f".{kind}", "accepted"))
    async with anyio.create_task_group() as group:
        group.start_soon(first.arun)
        await clock.asleep.wait()
        group.cancel_scope.cancel()
    await disk.make_room()
    close_journals(journal_path(client.settings).parent)
    heard = Heard()
    second = await LLMFinetune.aload(first.id, client=client_for(EventfulClock()), event_handler=heard)
    await second.aresume()
    require_one_of_each(emulator, second)
    assert orders(emulator) == ONE_OF_EACH
    assert heard.of("adopted") == [{kind: trained_by(second)[kind]}]


FULL_AT_THE_END = {
    "an action": "INSERT ON node WHEN NEW.phase='done'",
    "the run": "UPDATE ON run WHEN NEW.status='done'",
}


@pytest.mark.parametrize("write", FULL_AT_THE_END.values(), ids=FULL_AT_THE_END)
async def test_18_full_when_it_is_done(write: str, emulator: Emulator, clock: EventfulClock) -> None:
    """What was made is not given up."""
    client, heard = client_for(clock), Heard()
    disk, trainer = Disk(client), new_trainer(client, heard)
    await disk.fill_up(write)
    clock.at(300.0, disk.make_room)
    await trainer.arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert clock.monotonic() >= 300
    assert (await facts_of(trainer))["run_status"] == "done"
    assert not [event for event in heard.events if event.exception is not None]
    heard.require_order()


@pytest.mark.parametrize("write", ["INSERT ON run", "INSERT ON event", "INSERT ON cursor"])
async def test_18_full_from_the_start(write: str, emulator: Emulator, clock: EventfulClock) -> None:
    client = client_for(clock)
    disk, trainer = Disk(client), new_trainer(client, Heard())
    await disk.fill_up(write)
    with pytest.raises(JournalWriteError, match="full"):
        await trainer.arun()
    assert emulator.requests == []
    await disk.make_room()
    await trainer.aresume()
    require_one_of_each(emulator, trainer)


# --- 19: a journal that cannot be used -------------------------------------------------------------------------------


async def require_refused(
    path: Path, emulator: Emulator, clock: EventfulClock, kind: type[JournalError], words: str
) -> None:
    """Everything that needs the journal says so, nothing is sent, and the file stays as it is."""
    client, before = client_for(clock, cache_dir=path.parent), content_of(path)
    trainer = new_trainer(client, id="nightly")
    for ask in (
        trainer.arun,
        trainer.aresume,
        lambda: LLMFinetune.alist(client=client),
        lambda: LLMFinetune.aload("nightly", client=client),
        lambda: LLMFinetune.adecide("nightly", resubmit=True, client=client),
        lambda: LLMFinetune.acancel("nightly", client=client),
        lambda: LLMFinetune.arecover(client=client),
    ):
        with pytest.raises(kind, match=words) as refused:
            await ask()
        assert str(path) in str(refused.value)
    assert emulator.requests == []
    assert content_of(path) == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal is expected."""
    return tmp_path / "journal.sqlite3"


@contextmanager
def other_program(path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection to the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


async def finished_run(path: Path, clock: EventfulClock) -> None:
    """Leave a journal with one run in it, closed."""
    await new_trainer(client_for(clock, cache_dir=path.parent)).arun()
    close_journals(path.parent)


def _noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 100)


def _text(path: Path) -> None:
    path.write_text("{}")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _overwritten(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def _of_another_program(path: Path) -> None:
    path.unlink()
    with other_program(path) as connection:
        connection.execute("CREATE TABLE bookmarks(address)")


@pytest.mark.parametrize("damage", [_noise, _text, _cut, _overwritten, _of_another_program])
async def test_19_corrupt(damage: Any, path: Path, emulator: Emulator, clock: EventfulClock) -> None:
    await finished_run(path, clock)
    emulator.reset()
    damage(path)
    await require_refused(path, emulator, clock, JournalCorruptError, "left as it is")


async def test_19_of_a_newer_version(path: Path, emulator: Emulator, clock: EventfulClock) -> None:
    await finished_run(path, clock)
    emulator.reset()
    with other_program(path) as connection:
        connection.execute("PRAGMA user_version=99")
    await require_refused(path, emulator, clock, JournalVersionError, "format 99, written by a newer qianfan")


async def test_19_a_folder_in_its_place(path: Path, emulator: Emulator, clock: EventfulClock) -> None:
    await anyio.Path(path).mkdir()
    await require_refused(path, emulator, clock, JournalWriteError, "cannot be written")


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder, and no right to pass over what may be written in it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        is_root = hasattr(os, "setresuid") and os.geteuid() == 0
        if is_root:
            os.chown(place, 65534, 65534)
            os.setresuid(65534, 65534, 0)
        try:
            yield place
        finally:
            if is_root:
                os.setresuid(0, 0, 0)
            place.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="goes by the rights of POSIX")
@pytest.mark.parametrize("what", ["the file", "the folder"])
async def test_19_read_only(
    what: str, emulator: Emulator, clock: EventfulClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unprivileged() as folder:
        monkeypatch.chdir(folder)
        path = folder / "journal.sqlite3"
        await finished_run(path, clock)
        emulator.reset()
        path.chmod(0o444) if what == "the file" else folder.chmod(0o555)
        words = "is read-only" if what == "the file" else "cannot be written"
        await require_refused(path, emulator, clock, JournalWriteError, words)
        assert sorted(name.name for name in folder.iterdir() if "-" in name.name) == []


async def test_19_locked_by_another_program(path: Path, emulator: Emulator, clock: EventfulClock) -> None:
    await finished_run(path, clock)
    emulator.reset()
    client = client_for(clock, cache_dir=path.parent)
    # This process's connection waits for 30 s otherwise.
    await (await open_journal(path)).writer.write(lambda mine: mine.execute("PRAGMA busy_timeout=10").fetchall())
    trainer = new_trainer(client)
    with other_program(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalBusyError, match=r"another program keeps the journal .* locked"):
            await trainer.arun()
        assert emulator.requests == []
        other.execute("ROLLBACK")
    await trainer.aresume()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH


async def test_19_a_run_that_cannot_begin_does_not_disturb_the_others(emulator: Emulator, clock: EventfulClock) -> None:
    """They keep the journal that they have open."""
    usual, reached, go_on = client_for(clock), anyio.Event(), anyio.Event()
    path = journal_path(usual.settings)
    await (await open_journal(path)).writer.write(lambda mine: mine.execute("PRAGMA busy_timeout=10").fetchall())

    async def hold(request: httpx.Request, pass_on: Passing) -> httpx.Response:
        reached.set()
        await go_on.wait()
        return await pass_on(request)

    trainer = new_trainer(client_for(clock, Meddling(emulator.transport(), "DescribeFineTuningTask", hold)))
    async with anyio.create_task_group() as group:
        group.start_soon(trainer.arun)
        await reached.wait()
        with other_program(path) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalBusyError):
                await new_trainer(usual).arun()
        go_on.set()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH


@every_kind
async def test_19_locked_for_forty_seconds_while_an_order_is_out(
    kind: str, emulator: Emulator, clock: EventfulClock
) -> None:
    """Its answer is written down as soon as that is possible."""
    usual = client_for(clock)
    path = journal_path(usual.settings)
    await (await open_journal(path)).writer.write(lambda mine: mine.execute("PRAGMA busy_timeout=10").fetchall())
    with other_program(path) as other:

        async def lock(request: httpx.Request, pass_on: Passing) -> httpx.Response:
            other.execute("BEGIN IMMEDIATE")
            clock.at(clock.monotonic() + 40.0, lambda: other.execute("ROLLBACK"))
            return await pass_on(request)

        client = client_for(clock, Meddling(emulator.transport(), CREATE[kind], lock))
        trainer = await new_trainer(client).arun()
    require_one_of_each(emulator, trainer)
    assert orders(emulator) == ONE_OF_EACH
    assert emulator.count(LOOK[kind]) == 0
    assert clock.monotonic() >= 40


class Warned(logging.Handler):
    """Sets an event when something is logged that has these words in it."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words
        self.event = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self.words in record.getMessage():
            self.event.set()


async def test_19_whoever_watches_for_interrupted_runs_outlasts_a_lock(
    emulator: Emulator, clock: EventfulClock
) -> None:
    """One look that fails is not the end of looking."""
    client, over = client_for(clock), anyio.Event()
    path, warned, logger = journal_path(client.settings), Warned("cannot look"), logging.getLogger("qianfan")
    await (await open_journal(path)).writer.write(lambda mine: mine.execute("PRAGMA busy_timeout=10").fetchall())

    async def interrupted_run() -> None:
        emulator.faults.add("DescribeFineTuningTask", status=403, code="InvalidAccessKeyId")
        with pytest.raises(AuthError):
            await new_trainer(client).arun()

    async def hear(event: Event) -> None:
        if event.action_state is ActionState.Done and event.action_class is Pipeline:
            over.set()

    async def watch() -> None:
        await LLMFinetune.arecover(every=0.01, client=client, event_handler=hear)

    await interrupted_run()
    logger.addHandler(warned)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await over.wait()
            with other_program(path) as other:
                other.execute("BEGIN IMMEDIATE")
                await warned.event.wait()
            over = anyio.Event()
            await interrupted_run()
            await over.wait()
            group.cancel_scope.cancel()
    finally:
        logger.removeHandler(warned)
    assert made(emulator) == orders(emulator) == dict.fromkeys(KINDS, 2)


async def test_19_a_run_of_another_machine(path: Path, emulator: Emulator, clock: EventfulClock) -> None:
    """Whether it lives cannot be seen from here, so it is left alone until somebody says that it is gone."""
    fault = emulator.faults.add("DescribeFineTuningTask", times=None, status=403, code="InvalidAccessKeyId")
    client = client_for(clock, cache_dir=path.parent)
    trainer = new_trainer(client)
    with pytest.raises(AuthError):
        await trainer.arun()
    emulator.faults.remove(fault)
    close_journals(path.parent)
    with other_program(path) as other:
        other.execute("UPDATE worker SET host='elsewhere' WHERE id=(SELECT owner FROM run)")
        before = [other.execute(f"SELECT * FROM {table}").fetchall() for table in ("run", "node", "event", "cursor")]
        sent = len(emulator.requests)
        loaded = await LLMFinetune.aload(trainer.id, client=client)
        for ask in (loaded.aresume, loaded.arun):
            with pytest.raises(ForeignOwner, match="driven by a process on 'elsewhere'") as refused:
                await ask()
            assert refused.value.host == "elsewhere"
        assert len(emulator.requests) == sent
        after = [other.execute(f"SELECT * FROM {table}").fetchall() for table in ("run", "node", "event", "cursor")]
        assert after == before
    await loaded.aresume(take_over=True)
    require_one_of_each(emulator, loaded)
    assert orders(emulator) == ONE_OF_EACH
