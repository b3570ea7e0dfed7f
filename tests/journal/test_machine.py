"""Any order of claims, writes, crashes and takeovers keeps the promises about intents, ids and owners.

The journal is the real one, in a file, shared by three processes that crash and come back. A model says what each step
must lead to, and a reader of its own looks at what is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from qianfan.errors import LeaseLost
from qianfan.journal import SqliteJournal
from qianfan.pipeline import Phase, Row, RunRecord, RunStatus
from qianfan.pipeline._purchases import token_for

from .asking import abandon, claim

T = TypeVar("T")

NODE = "train.task"
RUNS = st.sampled_from(["a", "b"])
PROCESSES = st.integers(0, 2)


@dataclass(eq=False)
class Driver:
    """Somebody who once got a run to drive, and may not know yet that it is not his any longer."""

    process: int
    run: str
    epoch: int
    record: RunRecord

    @property
    def row(self) -> Row | None:
        return self.record.rows.get(NODE)


@dataclass
class Kept:
    """What the model knows of a run. owner: the one driver whose writes count, alive or not."""

    epoch: int = 0
    owner: Driver | None = None
    row: Row | None = None
    status: RunStatus = RunStatus.OPEN


class Journals(RuleBasedStateMachine):
    """Three processes, two runs, and a platform that keeps what reaches it."""

    drivers: Bundle[Driver] = Bundle("drivers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.sqlite3"
        self.loop = asyncio.new_event_loop()
        self.journals: dict[int, SqliteJournal] = {}
        self.runs: dict[str, Kept] = {}
        self.posts: list[tuple[str, str]] = []
        self.made = 0

    @initialize()
    def begin(self) -> None:
        for process in range(3):
            self.come_back(process)
        self.reader = sqlite3.connect(self.path, isolation_level=None)

    def teardown(self) -> None:
        if hasattr(self, "reader"):
            self.reader.close()
        for journal in self.journals.values():
            journal.close()
        self.loop.close()
        self.folder.cleanup()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    # --- processes ------------------------------------------------------------------------------------------

    def come_back(self, process: int) -> None:
        self.journals[process] = SqliteJournal(self.path)
        self.wait(self.journals[process].ready())

    @rule(process=PROCESSES)
    def crash(self, process: int) -> None:
        """Its lock is gone at once; what it owns stays written down as its own."""
        if process in self.journals:
            abandon(self.journals.pop(process))

    @precondition(lambda self: len(self.journals) < 3)
    @rule(process=PROCESSES)
    def reopen(self, process: int) -> None:
        if process not in self.journals:
            self.come_back(process)

    def is_alive(self, driver: Driver) -> bool:
        """Whether the process that got the run is still that process, and not one that came after it."""
        journal = self.journals.get(driver.process)
        return journal is not None and journal is driver.record._journal  # type: ignore[attr-defined]

    # --- owners ---------------------------------------------------------------------------------------------

    @rule(target=drivers, run=RUNS, process=PROCESSES, take_over=st.booleans())
    def claim(self, run: str, process: int, take_over: bool) -> Any:
        """P4: a run is given to one who asks unless somebody alive has it; taking it over is always possible."""
        if process not in self.journals:
            return multiple()
        kept = self.runs.setdefault(run, Kept())
        answer = self.wait(claim(self.journals[process], run, take_over=take_over))
        if kept.owner is not None and self.is_alive(kept.owner) and not take_over:
            assert answer.record is None
            return multiple()
        if kept.status is RunStatus.DONE:
            assert answer.record is None
            assert answer.rows == {NODE: kept.row}
            return multiple()
        assert answer.record is not None
        assert answer.record.rows == ({} if kept.row is None else {NODE: kept.row}), "all that was durable, and no more"
        kept.epoch += 1
        kept.owner = Driver(process, run, kept.epoch, answer.record)
        return kept.owner

    @rule(driver=drivers)
    def release(self, driver: Driver) -> None:
        if not self.is_alive(driver):
            return
        self.wait(driver.record.release())
        kept = self.runs[driver.run]
        if kept.owner is driver:
            kept.owner = None

    def write(self, driver: Driver, row: Row, status: RunStatus | None = None) -> bool:
        """Write as a driver; whether it counted. P4: it does for the owner, and for nobody else."""
        kept = self.runs[driver.run]
        before = driver.row
        try:
            self.wait(driver.record.write({NODE: row}, status=status))
        except LeaseLost:
            assert kept.owner is not driver
            assert driver.row == before
            return False
        assert kept.owner is driver
        kept.row, kept.status = row, status or kept.status
        return True

    # --- the order of a purchase ------------------------------------------------------------------------------

    @rule(driver=drivers)
    def order(self, driver: Driver) -> None:
        """Intent, then the request, unless the process ends between the two; the answer is on its way."""
        row = driver.row
        if not self.is_alive(driver) or (row is not None and row.phase is not Phase.STARTED):
            return
        token = token_for(driver.run, NODE, 0)
        intent = Row(Phase.INTENT, attempt=(row.attempt if row else 0) + 1, token=token, request={"n": 1})
        if self.write(driver, intent):
            self.post(driver)

    def post(self, driver: Driver) -> None:
        """P1: whenever a request is sent, somebody else can read the intent."""
        assert driver.row is not None
        [(phase, token)] = self.reader.execute("SELECT phase, token FROM node WHERE run=?", (driver.run,)).fetchall()
        assert (phase, token) == ("intent", driver.row.token)
        self.posts.append((driver.run, token))

    @rule(driver=drivers, is_clear=st.booleans())
    def answer(self, driver: Driver, is_clear: bool) -> None:
        """What the request made becomes known, or stays unknown."""
        row = driver.row
        if not self.is_alive(driver) or row is None or row.phase is not Phase.INTENT:
            return
        if not is_clear:
            self.write(driver, row.with_(phase=Phase.UNCERTAIN))
            return
        self.made += 1
        if self.write(driver, row.with_(phase=Phase.ACCEPTED, external_id=f"task-{self.made}")):
            self.use(driver)

    @rule(driver=drivers, shows=st.booleans())
    def look(self, driver: Driver, shows: bool) -> None:
        """An order of unknown fate is adopted, or begun anew."""
        row = driver.row
        if not self.is_alive(driver) or row is None or not row.is_dirty:
            return
        if not shows:
            self.write(driver, row.with_(phase=Phase.STARTED))
            return
        self.made += 1
        if self.write(driver, row.with_(phase=Phase.ACCEPTED, external_id=f"task-{self.made}")):
            self.use(driver)

    @rule(driver=drivers)
    def use(self, driver: Driver) -> None:
        """P3: an id that a driver may use is what everybody reads, or once was for one who lost the run."""
        row = driver.row
        if not self.is_alive(driver) or row is None or row.external_id is None:
            return
        if self.runs[driver.run].owner is driver:
            [(id,)] = self.reader.execute("SELECT external_id FROM node WHERE run=?", (driver.run,)).fetchall()
            assert id == row.external_id

    @rule(driver=drivers)
    def finish(self, driver: Driver) -> None:
        row = driver.row
        if self.is_alive(driver) and row is not None and row.phase is Phase.ACCEPTED:
            self.write(driver, row.with_(phase=Phase.DONE, output={"ok": True}), RunStatus.DONE)

    @rule(driver=drivers, wish=st.sampled_from(["stop", "detach"]))
    def stale_write(self, driver: Driver, wish: Any) -> None:
        """One who lost the run can change nothing of it in any way."""
        if not self.is_alive(driver) or self.runs[driver.run].owner is driver:
            return
        assert not self.write(driver, Row(Phase.FAILED), RunStatus.FAILED)
        with contextlib.suppress(LeaseLost):
            self.wait(driver.record.mark_cancelled(wish))

    # --- at any time --------------------------------------------------------------------------------------------

    @invariant()
    def what_is_durable_is_what_was_written(self) -> None:
        """P5, and again P4: nothing that was told to be written is missing, and nobody else wrote anything."""
        if not hasattr(self, "reader"):
            return
        found = self.reader.execute(
            "SELECT id, epoch, status, owner, cancel, phase, external_id FROM run LEFT JOIN node ON run=id"
        ).fetchall()
        expected = {
            (
                run,
                kept.epoch,
                kept.status.value,
                kept.owner.record._journal.worker.id if kept.owner else None,  # type: ignore[attr-defined]
                None,
                kept.row.phase.value if kept.row else None,
                kept.row.external_id if kept.row else None,
            )
            for run, kept in self.runs.items()
            if kept.epoch
        }
        assert {*found} == expected
        assert len(found) == len(expected)

    @invariant()
    def nobody_can_send_what_nobody_can_find(self) -> None:
        """P1, seen from the platform: whatever it got is written down under its token, also after every crash."""
        for run, token in self.posts:
            row = self.runs[run].row
            assert row is not None
            assert row.token == token


Journals.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
TestJournals = Journals.TestCase
