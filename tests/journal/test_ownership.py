"""One owner at a time: who drives a run, whose process lives, and what becomes of one that lost it."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from pathlib import Path

import anyio
import pytest

from qianfan._sync import in_thread
from qianfan.errors import ForeignOwner, JournalError, LeaseLost, RunBusyError
from qianfan.journal import SqliteJournal
from qianfan.journal._database import open_file
from qianfan.pipeline import RunStatus

from .asking import INTENT, abandon, ask, claim, driven, run_python, worker

pytestmark = pytest.mark.anyio
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs fork or POSIX signals")


async def owner_of(journal: SqliteJournal) -> tuple[str | None, int]:
    [(owner, epoch)] = await ask(journal, "SELECT owner, epoch FROM run WHERE id='r'")
    return owner, epoch


async def rows_of(journal: SqliteJournal) -> list[str]:
    return [node for [node] in await ask(journal, "SELECT node FROM node WHERE run='r' ORDER BY node")]


# --- within a process --------------------------------------------------------------------------------------------


async def test_a_claim_makes_an_owner_and_a_release_frees_the_run(journal: SqliteJournal) -> None:
    record = await driven(journal)
    assert await owner_of(journal) == (journal.worker.id, 1)
    await record.write({"buy.job": INTENT})
    await record.release()
    assert await owner_of(journal) == (None, 1)
    again = await driven(journal)
    assert await owner_of(journal) == (journal.worker.id, 2)
    assert again.rows == {"buy.job": INTENT}


async def test_what_a_former_owner_writes_is_refused(journal: SqliteJournal) -> None:
    former = await driven(journal)
    await former.release()
    record = await driven(journal)
    for _ in range(2):
        with pytest.raises(LeaseLost, match="'r' was taken over"):
            await former.write({"buy.job": INTENT})
    with pytest.raises(LeaseLost):
        await former.mark_cancelled("stop")
    with pytest.raises(LeaseLost):
        await former.is_stop_wanted()
    assert former.rows == {}
    assert await rows_of(journal) == []
    await former.release()
    assert await owner_of(journal) == (journal.worker.id, 2)
    await record.write({"buy.job": INTENT})


async def test_a_run_that_this_process_drives_is_not_given_twice(journal: SqliteJournal) -> None:
    await driven(journal)
    second = await claim(journal)
    assert (second.record, second.status, second.owner) == (None, RunStatus.OPEN, "this process")
    assert await owner_of(journal) == (journal.worker.id, 1)


async def test_a_lease_that_was_kept_is_this_process_s_to_take_up_again(in_file: SqliteJournal, path: Path) -> None:
    """A run that is only suspended stays away from others while the process lives."""
    record = await driven(in_file)
    await record.release(keep=True)
    other = SqliteJournal(path)
    assert (await claim(other)).record is None
    other.close()
    assert (await in_file.run("r")).driven_by is None
    await driven(in_file)
    assert await owner_of(in_file) == (in_file.worker.id, 2)


async def test_taking_a_run_over_from_oneself_leaves_one_driver(journal: SqliteJournal) -> None:
    former = await driven(journal)
    record = await driven(journal, take_over=True)
    with pytest.raises(LeaseLost):
        await former.write({"buy.job": INTENT})
    await former.release()
    assert (await claim(journal)).record is None, "what the former driver gives up is not the run"
    assert (await journal.run("r")).driven_by == os.getpid()
    await record.write({"buy.job": INTENT})


async def test_a_claim_that_was_lost_with_its_batch_is_made_again(in_file: SqliteJournal) -> None:
    await (await driven(in_file)).release(keep=True)
    is_reached, is_open = threading.Event(), threading.Event()

    def gate(connection: sqlite3.Connection) -> None:
        is_reached.set()
        assert is_open.wait(60)

    claims = []

    async def claim_it() -> None:
        claims.append(await claim(in_file))

    async with anyio.create_task_group() as group:
        in_file.writer.post(gate)
        await in_thread(is_reached.wait)
        group.start_soon(claim_it)
        await anyio.wait_all_tasks_blocked()
        in_file.writer.post(lambda connection: connection.execute("INSERT INTO nothing VALUES(1)"))
        is_open.set()
    assert claims[0].record is not None
    await claims[0].record.write({"buy.job": INTENT})


async def test_many_who_ask_at_once_get_one_owner(in_file: SqliteJournal, path: Path) -> None:
    others = [SqliteJournal(path) for _ in range(4)]
    found = []

    async def claim_it(journal: SqliteJournal) -> None:
        found.append(await claim(journal))

    async with anyio.create_task_group() as group:
        for journal in [in_file, *others] * 3:
            group.start_soon(claim_it, journal)
    for journal in others:
        journal.close()
    assert [one.record is None for one in found].count(False) == 1


# --- between processes -------------------------------------------------------------------------------------------


async def test_a_run_of_a_live_process_is_only_followed(in_file: SqliteJournal, path: Path) -> None:
    with worker(path) as other:
        assert other.claimed == "driving"
        found = await claim(in_file)
        assert (found.record, found.owner) == (None, f"process {other.pid}")
        assert (await in_file.run("r")).driven_by == other.pid
        assert (await in_file.glance("r", after=-1, kinds={})).is_driven
        with pytest.raises(RunBusyError, match=f"process {other.pid}") as caught:
            await in_file.decide(["r"], fail=True)
        assert caught.value.pid == other.pid
        assert other.write() == "written"


async def test_a_run_of_a_dead_process_is_taken_at_once(in_file: SqliteJournal, path: Path) -> None:
    with worker(path) as other:
        assert other.write() == "written"
        other.kill()
        assert not (await in_file.glance("r", after=-1, kinds={})).is_driven
        assert (await in_file.run("r")).driven_by is None
        record = await driven(in_file)
        assert record.rows == {"buy.job": INTENT}
        assert await owner_of(in_file) == (in_file.worker.id, 2)


@posix_only
async def test_nothing_is_stolen_from_a_process_that_only_stands_still(in_file: SqliteJournal, path: Path) -> None:
    with worker(path) as other:
        other.pause()
        assert (await claim(in_file)).record is None
        other.go_on()
        assert other.write() == "written"


@posix_only
async def test_a_process_that_wakes_up_without_its_run_writes_nothing(in_file: SqliteJournal, path: Path) -> None:
    with worker(path) as other:
        other.pause()
        record = await driven(in_file, take_over=True)
        other.go_on()
        assert other.write() == "LeaseLost"
        assert await rows_of(in_file) == []
        await record.write({"buy.task": INTENT})
        assert other.write() == "LeaseLost"
        assert await rows_of(in_file) == ["buy.task"]


async def test_a_process_elsewhere_is_not_judged_from_here(in_file: SqliteJournal, path: Path) -> None:
    other = SqliteJournal(path)
    await driven(other)
    abandon(other)
    await ask(in_file, "UPDATE worker SET host='another-host' WHERE id=?", other.worker.id)
    for asked in (claim(in_file), in_file.glance("r", after=-1, kinds={}), in_file.decide(["r"], fail=True)):
        with pytest.raises(ForeignOwner, match="on 'another-host', and this is") as caught:
            await asked
        assert caught.value.host == "another-host"
    facts = await in_file.run("r")
    assert (facts.host, facts.driven_by) == ("another-host", None)
    assert await owner_of(in_file) == (other.worker.id, 1)
    await driven(in_file, take_over=True)
    assert await owner_of(in_file) == (in_file.worker.id, 2)


# --- workers -----------------------------------------------------------------------------------------------------


async def test_dead_processes_that_own_nothing_are_forgotten(in_file: SqliteJournal, path: Path) -> None:
    idle, owning, foreign = SqliteJournal(path), SqliteJournal(path), SqliteJournal(path)
    await idle.ready()
    await driven(owning)
    await foreign.ready()
    await ask(foreign, "UPDATE worker SET host='another-host' WHERE id=?", foreign.worker.id)
    for journal in (idle, owning, foreign):
        abandon(journal)
    workers = Path(f"{path}.workers")
    assert len(list(workers.iterdir())) == 3  # noqa: ASYNC240
    await in_file.ready()
    known = {id for [id] in await ask(in_file, "SELECT id FROM worker")}
    assert known == {owning.worker.id, foreign.worker.id, in_file.worker.id}
    left = {file.name for file in workers.iterdir()}  # noqa: ASYNC240
    assert left == {owning.worker.id, foreign.worker.id, in_file.worker.id}
    await driven(in_file)
    next_one = SqliteJournal(path)
    await next_one.ready()
    known = {id for [id] in await ask(in_file, "SELECT id FROM worker")}
    assert known == {foreign.worker.id, in_file.worker.id, next_one.worker.id}
    next_one.close()


async def test_a_closed_journal_leaves_no_lock_behind(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.ready()
    journal.close()
    assert list(Path(f"{path}.workers").iterdir()) == []  # noqa: ASYNC240


async def test_nobody_reads_of_a_worker_that_has_no_lock(path: Path) -> None:
    """The lock comes first: where there can be none, no worker is written down either."""
    open_file(path).close()
    await anyio.Path(f"{path}.workers").write_text("in the way of the folder of locks")
    journal = SqliteJournal(path)
    with pytest.raises(JournalError):
        await journal.ready()
    journal.close()
    connection = open_file(path)
    assert connection.execute("SELECT * FROM worker").fetchall() == []
    connection.close()


# --- forks -------------------------------------------------------------------------------------------------------

_FORKED = """
import os, sys, warnings
from pathlib import Path
import anyio
from qianfan.errors import JournalError
from qianfan.journal import SqliteJournal, open_journal
from tests.journal.asking import INTENT, claim

warnings.simplefilter("ignore", DeprecationWarning)  # about forking beside other threads, which is what is tried here
path = Path(sys.argv[1])
own = SqliteJournal(path)

async def parent():
    shared = await open_journal(path)
    return shared, await claim(shared), await claim(own, "q")

async def in_child(shared, record):
    for journal in (shared, own):
        try:
            await journal.ready()
        except JournalError as error:
            print("belongs to the process" in str(error))
    try:
        await record.write({"buy.job": INTENT})
    except JournalError as error:
        print("belongs to the process" in str(error))
    anew = await open_journal(path)
    print(anew is not shared, anew.worker.id != shared.worker.id, anew.worker.pid == os.getpid())
    print((await claim(anew, "r")).record, (await claim(anew, "q")).record)
    os.write(told, b"x")
    while os.getppid() == parent_pid:
        await anyio.sleep(0)
    print((await claim(anew, "r")).record is not None, (await claim(anew, "q")).record is not None, flush=True)

shared, found, _ = anyio.run(parent)
asked, told = os.pipe()
parent_pid = os.getpid()
if os.fork() == 0:
    anyio.run(in_child, shared, found.record)
else:
    os.read(asked, 1)
    anyio.run(found.record.write, {"buy.job": INTENT})
    os._exit(0)  # as a kill would end it
"""


@posix_only
def test_a_forked_child_shares_nothing_and_keeps_nobody_alive(path: Path) -> None:
    printed = run_python(_FORKED, path).split()
    assert printed == ["True"] * 3 + ["True"] * 3 + ["None"] * 2 + ["True"] * 2
    connection = open_file(path)
    assert connection.execute("SELECT run, node FROM node").fetchall() == [("r", "buy.job")]
    connection.close()


_FORKED_IN_MID_COMMIT = """
import os, sys, threading, warnings
from pathlib import Path
import anyio
from qianfan.journal import open_journal
from tests.journal.asking import INTENT, claim

warnings.simplefilter("ignore", DeprecationWarning)
path = Path(sys.argv[1])
has_begun, is_over = threading.Event(), threading.Event()

async def write_on_and_on():
    record = (await claim(await open_journal(path))).record
    has_begun.set()
    while not is_over.is_set():
        await record.write({"buy.job": INTENT})

async def in_child(number):
    record = (await claim(await open_journal(path), f"child {number}")).record
    await record.write({"buy.job": INTENT})

writing = threading.Thread(target=anyio.run, args=(write_on_and_on,))
writing.start()
has_begun.wait()
children = []
for number in range(12):
    children.append(os.fork())
    if children[-1] == 0:
        anyio.run(in_child, number)
        os._exit(7)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
is_over.set()
writing.join()
"""


@posix_only
def test_a_fork_in_the_middle_of_commits_leaves_no_lock_to_the_child(path: Path) -> None:
    assert run_python(_FORKED_IN_MID_COMMIT, path).strip() == str([7] * 12)
    connection = open_file(path)
    assert connection.execute("SELECT count(*) FROM node").fetchall() == [(13,)]
    connection.close()
