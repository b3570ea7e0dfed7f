"""Several processes on one journal, journals that cannot be written, and clocks that are off."""

from __future__ import annotations

import glob
import importlib.util
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crashes.conftest import Ledger
from tests.crashes.world import FOLLOWS, KILLED, TRAINS, Worker, World, until
from tests.support.faultproxy import hold

pytestmark = pytest.mark.socket

needs_prlimit = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="limits of another process can be set on Linux only"
)
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="there is no /proc to look into")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[World]:
    """Trainings last until the test ends them."""
    with World(tmp_path, held=True) as world:
        yield world


def ended_well(*workers: Worker) -> None:
    codes = [worker.end() for worker in workers]
    assert codes == [0] * len(workers), [(worker.said[-3:], worker.errors) for worker in workers]


# --- one run, several processes --------------------------------------------------------------------------------------


def test_six_processes_start_one_run(held: World, ledger: Ledger) -> None:
    workers = [held.start("run", "r", "--deploy") for _ in range(6)]
    roles = [worker.hear("log", TRAINS, FOLLOWS) for worker in workers]
    held.finish_trainings()
    ended_well(*workers)
    ledger("six processes", held, faults=5)
    assert sum(FOLLOWS in role for role in roles) == 5
    assert len({str(worker.result) for worker in workers}) == 1
    assert held.made("job", "task", "model", "service") == (1, 1, 1, 1)
    assert held.asked.count("CreateFineTuningTask") == 1
    assert held.run_row().epoch == 1


@needs_proc
def test_nothing_is_stolen_from_a_frozen_process(held: World, ledger: Ledger) -> None:
    owner = held.start("run")
    owner.hear("log", "is Running")
    held.freeze(owner)
    before = held.run_row()
    other = held.start("resume")
    other.hear("log", FOLLOWS)
    seen = len(held.asked)
    assert held.run("recover", "r").process.returncode == 0
    held.finish_trainings()
    assert (held.run_row(), held.asked[seen:]) == (before, [])

    owner.thaw()
    ended_well(owner, other)
    ledger("frozen owner", held)
    assert owner.result == other.result
    assert held.run_row().epoch == before.epoch
    assert held.made("job", "task", "model") == (1, 1, 1)


@needs_proc
def test_a_frozen_process_that_was_taken_over_drops_the_run(held: World, ledger: Ledger) -> None:
    owner = held.start("run")
    owner.hear("log", "is Running")
    held.freeze(owner)
    other = held.start("resume", "r", "--take-over")
    other.hear("log", "is Running")
    held.finish_trainings()
    ended_well(other)

    seen = len(held.asked)
    owner.thaw()
    assert owner.end() == 1
    ledger("taken over", held)
    assert owner.error == "LeaseLost"
    assert set(held.asked[seen:]) <= {"DescribeFineTuningTask"}
    assert held.made("job", "task", "model") == (1, 1, 1)


def test_a_dead_process_loses_its_run_at_once(held: World, ledger: Ledger) -> None:
    """A follower drives the run as soon as its owner is gone."""
    owner = held.start("run")
    owner.hear("log", TRAINS)
    other = held.start("resume")
    other.hear("log", FOLLOWS)
    owner.kill()
    other.hear("log", "is Running")
    held.finish_trainings()
    ended_well(other)
    ledger("killed owner", held)
    assert held.made("job", "task", "model") == (1, 1, 1)


# --- forks, spawned processes, loops ---------------------------------------------------------------------------------


def test_a_forked_child_shares_nothing_with_its_parent(held: World, ledger: Ledger) -> None:
    """Nor does it keep its dead parent alive."""
    worker = held.start("fork")
    child = int(worker.hear("child"))
    assert held.run_row("r").owner != held.run_row("r-of-the-child").owner
    os.kill(worker.pid, signal.SIGKILL)
    worker.process.wait()
    other = held.start("resume")
    assert FOLLOWS not in other.hear("log", "is Running", FOLLOWS)
    os.kill(child, 0)  # it lives

    held.finish_trainings()
    ended_well(other)
    worker.hear("end_of_child")
    ledger("fork", held)
    assert held.made("job", "task", "model") == (2, 2, 2)


def test_a_spawned_child(world: World, ledger: Ledger) -> None:
    worker = world.start("spawn")
    ended_well(worker)
    ledger("spawn", world)
    assert worker.said[-1]["exit_of_child"] == 0
    assert world.made("job", "task", "model") == (2, 2, 2)


def test_two_event_loops_share_a_journal(world: World, ledger: Ledger) -> None:
    """And one run, which only one of them orders."""
    worker = world.start("loops")
    ended_well(worker)
    ledger("event loops", world)
    ends = {str(line["result"]) for line in worker.said if "result" in line}
    assert len(ends) == 1
    assert world.made("job", "task", "model") == (3, 3, 3)


# --- a full disk -----------------------------------------------------------------------------------------------------


class Disk:
    """The disk of one process, as far as the journal goes."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._wal = Path(f"{world.journal}-wal")
        self._pid = worker.pid

    def fill(self) -> None:
        """Nothing that is there may grow any more."""
        self._limit(self._wal.stat().st_size)

    def clear(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        _, hard = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, proxied=True) as world:
        yield world


def full_disk_at(world: World, call: str, verb: str = "run", nth: int = 1) -> tuple[Worker, Disk]:
    """Start a process whose disk is full when a call is answered."""
    answer = threading.Event()
    world.proxy.script(call, hold(answer), nth=nth)
    worker = world.start(verb)
    assert world.proxy.holding.wait(60), worker.errors
    disk = Disk(world, worker)
    disk.fill()
    answer.set()
    return worker, disk


@needs_prlimit
@pytest.mark.parametrize("kind", ["task", "model"])
def test_a_disk_that_is_full_at_the_intent(kind: str, proxied: World, ledger: Ledger) -> None:
    """Nothing is sent, and the run waits for better times."""
    if kind == "task":  # which is looked for before it is ordered again
        assert proxied.run("run", faults="task.after_intent:1:exit").process.returncode == KILLED
        worker, _ = full_disk_at(proxied, "DescribeFineTuningTasks", "resume")
    else:  # the look before the model is ordered
        worker, _ = full_disk_at(proxied, "DescribeFineTuningTask", nth=4)
    assert (worker.end(), worker.error) == (1, "JournalWriteError")
    assert proxied.made(kind) == (0,)
    assert proxied.run_row().status == "open"

    ended_well(proxied.start("resume"))
    ledger("full disk", proxied)
    assert proxied.made("job", "task", "model") == (1, 1, 1)


@needs_prlimit
def test_a_disk_that_is_full_when_the_answer_comes(proxied: World, ledger: Ledger) -> None:
    """The id is kept in memory, and nothing uses it until it is written down."""
    worker, disk = full_disk_at(proxied, "CreateFineTuningTask")
    worker.hear("log", "cannot be written down")
    assert proxied.asked[-1] == "CreateFineTuningTask"
    assert proxied.rows()["task"].phase == "intent"
    disk.clear()
    ended_well(worker)
    ledger("full disk", proxied)
    assert proxied.asked.count("DescribeFineTuningTasks") == 0
    assert proxied.made("job", "task", "model") == (1, 1, 1)


@needs_prlimit
def test_a_disk_that_is_full_when_the_answer_comes_and_then_a_kill(proxied: World, ledger: Ledger) -> None:
    worker, _ = full_disk_at(proxied, "CreateFineTuningTask")
    worker.hear("log", "cannot be written down")
    worker.kill()
    ended_well(proxied.start("resume"))
    ledger("full disk", proxied, faults=2)
    assert "adopted" in [kind for _, _, kind in proxied.kept_events()]
    assert proxied.made("job", "task", "model") == (1, 1, 1)


@needs_prlimit
def test_a_disk_that_is_full_when_a_step_is_done(proxied: World, ledger: Ledger) -> None:
    worker, disk = full_disk_at(proxied, "DescribeFineTuningTask", nth=3)
    worker.hear("log", "is done, but that cannot be written down")
    assert proxied.rows()["train"].phase == "started"
    disk.clear()
    ended_well(worker)
    ledger("full disk", proxied)
    assert proxied.made("job", "task", "model") == (1, 1, 1)


# --- a journal that is locked or read-only ---------------------------------------------------------------------------


@needs_proc
def test_a_journal_that_another_program_is_writing_to(world: World, ledger: Ledger) -> None:
    """Who has patience gets through when it is free."""
    world.run("save")
    with world.locked_journal():
        impatient = world.run("impatient", "r-0")
        assert (impatient.process.returncode, impatient.error) == (1, "JournalBusyError")
        patient = world.start("run", "r-0")
        until(lambda: _has_open(patient, world.journal))
        assert world.asked == []
    ended_well(patient)
    ledger("locked journal", world, faults=2)
    assert world.made("job", "task", "model") == (1, 1, 1)


def _has_open(worker: Worker, path: Path) -> bool:
    assert worker.process.poll() is None, worker.errors
    found = []
    for link in Path(f"/proc/{worker.pid}/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:
            continue
    return str(path) in found


# For root no file is read-only as long as it may override that.
_UNPRIVILEGED = """
import ctypes, os, sys
DROP, OVERRIDE, READ_SEARCH = 24, 1, 2
prctl = ctypes.CDLL(None, use_errno=True).prctl
if os.getuid() == 0 and any(prctl(DROP, one, 0, 0, 0) for one in (OVERRIDE, READ_SEARCH)):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""
UNPRIVILEGED = (sys.executable, "-c", _UNPRIVILEGED)


@pytest.mark.parametrize("has_folder", [True, False], ids=["file", "file and folder"])
def test_a_journal_that_is_read_only(has_folder: bool, world: World, ledger: Ledger) -> None:
    world.run("save")
    before = world.journal.read_bytes()
    world.journal.chmod(0o444)
    world.cache.chmod(0o755 if has_folder else 0o555)
    worker = world.run("run", "r-0", before=UNPRIVILEGED)
    world.cache.chmod(0o755)
    if worker.process.returncode == 77:
        pytest.skip("the privileges of root cannot be dropped here")
    assert (worker.process.returncode, worker.error) == (1, "JournalWriteError")
    assert (world.asked, world.journal.read_bytes()) == ([], before)

    world.journal.chmod(0o600)
    ended_well(world.start("run", "r-0"))
    ledger("read-only journal", world)
    assert world.made("job", "task", "model") == (1, 1, 1)


def test_a_folder_that_is_read_only(world: World) -> None:
    """Then everything works but coming back, and that is said."""
    world.cache.mkdir(mode=0o555)
    worker = world.run("run", before=UNPRIVILEGED)
    if worker.process.returncode == 77:
        pytest.skip("the privileges of root cannot be dropped here")
    assert worker.process.returncode == 0, worker.errors
    assert [line["log"] for line in worker.said if "no journal can be kept" in line.get("log", "")] != []
    assert world.made("job", "task", "model") == (1, 1, 1)
    assert [*world.cache.iterdir()] == []


# --- a clock that is off ---------------------------------------------------------------------------------------------


def _faketime() -> dict[str, str] | None:
    """The variables with which a process believes in another time, if there is a library for that."""
    spec = importlib.util.find_spec("libfaketime")
    ours = [Path(spec.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"] if spec and spec.origin else []
    for library in [*ours, *map(Path, glob.glob("/usr/lib/*/faketime/libfaketime.so.1"))]:
        env = {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
        script = [sys.executable, "-c", "import time; print(time.time())"]
        told = subprocess.run(script, env={**os.environ, **env, "FAKETIME": "+2h"}, capture_output=True, text=True)
        if told.returncode == 0 and float(told.stdout) - time.time() > 3600:
            return env
    return None


@pytest.fixture(scope="module")
def faketime() -> dict[str, str]:
    env = _faketime()
    if env is None:
        pytest.skip("there is no libfaketime here; the dependency group `faults` has it")
    return env


def has_learnt(world: World, refused: int) -> bool:
    """Whether so many requests were refused because of their date, and the latest one was not."""
    return refusals(world) >= refused and world.emulator.requests[-1].status == 200


def set_clock(file: Path, offset: str) -> None:
    """Set the clock of the processes that read this file, at once."""
    new = file.with_suffix(".new")
    new.write_text(f"{offset}\n", encoding="utf-8")
    new.replace(file)


def refusals(world: World) -> int:
    """How many requests were refused because of their date."""
    return sum(request.status == 400 for request in world.emulator.requests)


@pytest.mark.parametrize("off", ["+1h", "-1h"])
def test_a_clock_that_is_off(off: str, world: World, ledger: Ledger, faketime: dict[str, str]) -> None:
    """The first refusal tells the platform's time, and that is signed with from then on."""
    ended_well(world.start("run", "r", "--deploy", env={**faketime, "FAKETIME": off}))
    ledger("clock", world)
    assert refusals(world) == 1
    assert world.made("job", "task", "model", "service") == (1, 1, 1, 1)


@pytest.mark.parametrize("kind", ["job", "task"])
@pytest.mark.parametrize("off", ["+1h", "-1h"])
@pytest.mark.parametrize("first", [True, False], ids=["before the kill", "after the kill"])
def test_a_clock_that_is_off_on_one_side_of_a_crash(
    first: bool, off: str, kind: str, world: World, ledger: Ledger, faketime: dict[str, str]
) -> None:
    """What was ordered then is found now."""
    env = {**faketime, "FAKETIME": off}
    killed = world.run("run", "r", "--deploy", faults=f"{kind}.after_reply:1:exit", env=env if first else None)
    assert killed.process.returncode == KILLED, killed.errors
    ended_well(world.start("resume", env=None if first else env))
    ledger("clock", world, faults=2)
    assert world.made("job", "task", "model", "service") == (1, 1, 1, 1)


def test_a_clock_that_jumps_during_a_run(held: World, ledger: Ledger, faketime: dict[str, str], tmp_path: Path) -> None:
    now = tmp_path / "now"
    set_clock(now, "+0")
    worker = held.start("run", env={**faketime, "FAKETIME_TIMESTAMP_FILE": str(now)})
    worker.hear("log", "is Running")
    for jump, refused in (("+1h", 1), ("-1h", 2)):
        set_clock(now, jump)
        until(lambda refused=refused: worker.process.poll() is not None or has_learnt(held, refused))
    held.finish_trainings()
    ended_well(worker)
    ledger("clock", held, faults=2)
    assert refusals(held) == 2
    assert held.made("job", "task", "model") == (1, 1, 1)


def test_a_clock_that_jumps_while_an_order_is_looked_for(
    world: World, ledger: Ledger, faketime: dict[str, str], tmp_path: Path
) -> None:
    """An hour is over in no time, but not the time to settle."""
    world.run("run", faults="task.after_intent:1:exit")
    now = tmp_path / "now"
    set_clock(now, "+0")
    env = {**faketime, "FAKETIME_TIMESTAMP_FILE": str(now)}
    worker = world.start("resume", env=env, submit_settle_seconds=0.5)
    worker.hear("log", "looking for")
    set_clock(now, "+1h")
    ended_well(worker)
    ledger("clock", world, faults=2)
    looks = [request.status for request in world.emulator.requests if request.name == "DescribeFineTuningTasks"]
    assert looks.count(200) == 2
    assert world.made("job", "task", "model") == (1, 1, 1)
