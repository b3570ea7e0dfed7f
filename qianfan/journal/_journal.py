"""The journal: who drives a run, what is known of it, and what a person decides about it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from qianfan._clock import SYSTEM_CLOCK, Clock
from qianfan.errors import (
    ForeignOwner,
    InvalidArgumentError,
    OutcomeUnknownError,
    PipelineChanged,
    RunBusyError,
    UnknownRunError,
    facts_of,
)
from qianfan.journal._database import BUSY_SECONDS, open_file, open_memory
from qianfan.journal._facts import RunFacts
from qianfan.journal._record import JournalRecord
from qianfan.journal._rows import event_from, event_values, events_of, put_event, put_row, rows_of, values_of
from qianfan.journal._workers import Worker
from qianfan.journal._writer import CLOSE_PATIENCE, InlineWriter, ThreadWriter, Writer
from qianfan.pipeline._events import ActionState, Event
from qianfan.pipeline._record import Claim, Glance, Phase, Renew, Row, RunStatus, action_of

_ALL_ENDED: Final = "SELECT id, spec FROM run WHERE status IN ('done', 'failed', 'cancelled')"

_MOST_IN_MEMORY: Final = 1000
"""Ended runs that a journal in memory holds; a process that runs for months must not grow with each of them."""

_RECENT: Final = 8
"""How many of a run's events its facts hold."""


class SqliteJournal:
    """Runs in a SQLite file of this machine, or in memory.

    path: the file, begun when it is not there; None for memory. Not for network file systems.
    Making one opens nothing. Raises JournalError from whatever is asked of it first, when the file cannot be used.
    """

    def __init__(self, path: Path | None = None, *, clock: Clock = SYSTEM_CLOCK, busy_seconds: float = BUSY_SECONDS):
        self.path = path
        self.worker = Worker(Path(f"{path}.workers") if path is not None else None)
        self._clock = clock
        self._active: dict[str, int] = {}
        self._lock = threading.Lock()
        self._busy_seconds = busy_seconds
        self.is_closed = False
        self.writer: Writer = ThreadWriter(path, self._open) if path is not None else InlineWriter(self._open())
        living.add(self)

    def __repr__(self) -> str:
        return f"SqliteJournal({str(self.path) if self.path is not None else 'in memory'!r})"

    def _open(self) -> sqlite3.Connection:
        connection = open_file(self.path, self._busy_seconds) if self.path is not None else open_memory()
        try:
            self.worker.come_alive()
            worker = self.worker
            # Not the first time when the file had to be let go of for a fork.
            connection.execute(
                "INSERT OR IGNORE INTO worker VALUES(?,?,?,?)", (worker.id, worker.host, worker.pid, self.now())
            )
            self._clear_dead_workers(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _clear_dead_workers(self, connection: sqlite3.Connection) -> None:
        """Forget workers of this machine that are gone and own nothing."""
        worker = self.worker
        found = connection.execute(
            "SELECT id FROM worker WHERE host=? AND id<>? "
            "AND id NOT IN (SELECT owner FROM run WHERE owner IS NOT NULL)",
            (worker.host, worker.id),
        ).fetchall()
        for [id] in found:
            if not worker.is_alive(id):
                connection.execute("DELETE FROM worker WHERE id=?", (id,))
                worker.clear(id)

    def now(self) -> float:
        """Seconds since 1970; for people."""
        return self._clock.wall().timestamp()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return self._clock.monotonic()

    @property
    def survives(self) -> bool:
        """Whether another process can go on with the runs."""
        return self.path is not None

    @property
    def is_driving(self) -> bool:
        """Whether this process drives a run."""
        with self._lock:
            return bool(self._active)

    async def ready(self) -> None:
        """Open the file. Raises JournalError when it cannot be used."""
        await self.writer.write(lambda connection: None)

    def close(self, patience: float = CLOSE_PATIENCE) -> None:
        """Write what is queued and close the file. Runs that are open stay so.

        patience: seconds to wait for that.
        """
        self.is_closed = True
        self.writer.close(patience)
        self.worker.end()

    def forget(self) -> None:
        """In a forked child: leave everything to the parent."""
        self.writer.forget()
        self.worker.forget()

    def deactivate(self, run_id: str, epoch: int) -> None:
        """This process does not drive the run any longer on the strength of a claim."""
        with self._lock:
            if self._active.get(run_id) == epoch:
                del self._active[run_id]

    def _is_active(self, run_id: str, epoch: int) -> bool:
        # A claim that was not committed, and one that was taken over, are of another epoch.
        with self._lock:
            return self._active.get(run_id) == epoch

    # --- driving --------------------------------------------------------------------------------------------

    async def claim(
        self,
        run_id: str,
        *,
        spec: Mapping[str, Any],
        fingerprint: str,
        kinds: Mapping[str, type[Any]],
        renew: Renew | None = None,
        keep: Collection[str] = (),
        take_over: bool = False,
    ) -> Claim:
        """Ask to drive a run; see `Journal`."""
        text = json.dumps(spec, ensure_ascii=False)

        def change(connection: sqlite3.Connection) -> Claim:
            now = self.now()
            found = connection.execute(
                "SELECT status, fingerprint, owner, epoch, cancel FROM run WHERE id=?", (run_id,)
            ).fetchone()
            if found is None:
                if not self.survives:
                    self._forget(connection, f"{_ALL_ENDED} ORDER BY updated DESC LIMIT -1 OFFSET {_MOST_IN_MEMORY}")
                connection.execute(
                    "INSERT INTO run VALUES(?,?,?,'open',?,1,NULL,?,?)",
                    (run_id, text, fingerprint, self.worker.id, now, now),
                )
                return self._claimed(connection, run_id, 1, None, kinds)
            status, known, owner, epoch, cancel = found
            if known != fingerprint and renew != "everything":
                raise PipelineChanged(
                    f"run {run_id!r} began with other actions or parameters than these. Nothing was sent. Go on with "
                    "the old ones, choose another id, or begin anew with force=True, which orders everything again"
                )
            if self._is_driven(connection, run_id, owner, epoch, take_over=take_over):
                last = self._last_sequence(connection, run_id)
                return Claim(RunStatus.OPEN, last_sequence=last, owner=self._described(connection, owner))
            if status == RunStatus.DONE.value and renew != "everything":
                return Claim(RunStatus.DONE, rows=rows_of(connection, run_id))
            # A run that was brought to its end is begun again on purpose; one that was being stopped is stopped first.
            cancel = None if status != RunStatus.OPEN.value or renew else cancel
            if renew is not None:
                self._renew(connection, run_id, renew, keep, now)
            connection.execute(
                "UPDATE run SET spec=?, fingerprint=?, status='open', owner=?, epoch=?, cancel=?, updated=? WHERE id=?",
                (text, fingerprint, self.worker.id, epoch + 1, cancel, now, run_id),
            )
            return self._claimed(connection, run_id, epoch + 1, cancel, kinds)

        return await self.writer.write(change)

    def _claimed(
        self, connection: sqlite3.Connection, run_id: str, epoch: int, cancel: Any, kinds: Mapping[str, type[Any]]
    ) -> Claim:
        last = self._last_sequence(connection, run_id)
        rows = rows_of(connection, run_id)
        record = JournalRecord(self, run_id, epoch, rows, cancel=cancel, first_sequence=last + 1, kinds=kinds)
        with self._lock:
            self._active[run_id] = epoch
        return Claim(RunStatus.OPEN, record, rows, last)

    def _is_driven(
        self, connection: sqlite3.Connection, run_id: str, owner: str | None, epoch: int, *, take_over: bool = False
    ) -> bool:
        """Whether a live process drives the run. Raises ForeignOwner when that cannot be seen from here."""
        if owner is None or take_over:
            return False
        if owner == self.worker.id:
            return self._is_active(run_id, epoch)
        host = self._host_of(connection, owner)
        if host is not None and host != self.worker.host:
            raise ForeignOwner(
                f"run {run_id!r} is driven by a process on {host!r}, and this is {self.worker.host!r}: whether it "
                "lives cannot be seen from here. If it is gone for certain, take the run over with take_over=True",
                host=host,
            )
        return self.worker.is_alive(owner)

    def _host_of(self, connection: sqlite3.Connection, owner: str) -> str | None:
        found = connection.execute("SELECT host FROM worker WHERE id=?", (owner,)).fetchone()
        return found[0] if found else None

    def _described(self, connection: sqlite3.Connection, owner: str) -> str:
        if owner == self.worker.id:
            return "this process"
        found = connection.execute("SELECT pid FROM worker WHERE id=?", (owner,)).fetchone()
        return f"process {found[0]}" if found else "another process"

    @staticmethod
    def _last_sequence(connection: sqlite3.Connection, run_id: str) -> int:
        [last] = connection.execute("SELECT coalesce(max(seq), -1) FROM event WHERE run=?", (run_id,)).fetchone()
        return int(last)

    @staticmethod
    def _renew(connection: sqlite3.Connection, run_id: str, renew: Renew, keep: Collection[str], now: float) -> None:
        rows = rows_of(connection, run_id)
        done = {node for node, row in rows.items() if row.phase is Phase.DONE}
        for node, row in rows.items():
            action = action_of(node)
            if action not in keep and (renew == "everything" or action not in done):
                put_row(connection, run_id, node, values_of(row.renewed(now)))

    # --- looking --------------------------------------------------------------------------------------------

    async def glance(self, run_id: str, *, after: int, kinds: Mapping[str, type[Any]]) -> Glance:
        """Look at a run without driving it; see `Journal`."""

        def look(connection: sqlite3.Connection) -> Glance:
            status, owner, epoch = self._require(connection, run_id)
            ended = status != RunStatus.OPEN.value
            return Glance(
                RunStatus(status),
                self._is_driven(connection, run_id, owner, epoch),
                events_of(connection, run_id, after, kinds),
                rows_of(connection, run_id) if ended else {},
            )

        return await self.writer.write(look)

    def _require(self, connection: sqlite3.Connection, run_id: str) -> tuple[str, str | None, int]:
        """Status, owner and epoch of a run."""
        found = connection.execute("SELECT status, owner, epoch FROM run WHERE id=?", (run_id,)).fetchone()
        if found is None:
            where = f"the journal {str(self.path)!r}" if self.path is not None else "this process"
            raise UnknownRunError(f"{where} has no run {run_id!r}")
        return found[0], found[1], found[2]

    async def run(self, run_id: str) -> RunFacts:
        """What is known of a run. Raises UnknownRunError when there is none of that id."""

        def look(connection: sqlite3.Connection) -> RunFacts:
            self._require(connection, run_id)
            [facts] = self._facts(connection, "WHERE run.id=?", (run_id,))
            return facts

        return await self.writer.write(look)

    async def runs(self, *, statuses: Collection[RunStatus] = ()) -> list[RunFacts]:
        """What is known of all runs, the latest first. statuses: only these."""
        names = tuple(status.value for status in statuses)
        where = f"WHERE run.status IN ({', '.join('?' * len(names))})" if names else ""
        return await self.writer.write(lambda connection: self._facts(connection, where, names))

    def _facts(self, connection: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> list[RunFacts]:
        found = connection.execute(
            "SELECT run.id, spec, status, cancel, created, updated, owner, epoch, host, pid FROM run "  # noqa: S608
            f"LEFT JOIN worker ON worker.id=owner {where} ORDER BY run.created DESC, run.rowid DESC",
            values,
        ).fetchall()
        alive: dict[str, bool] = {}
        facts: list[RunFacts] = []
        for id, spec, status, cancel, created, updated, owner, epoch, host, pid in found:
            if owner is not None and owner not in alive:
                alive[owner] = host == self.worker.host and self.worker.is_alive(owner)
            driven = owner is not None and alive[owner] and (owner != self.worker.id or self._is_active(id, epoch))
            facts.append(
                RunFacts(
                    id,
                    json.loads(spec),
                    RunStatus(status),
                    datetime.fromtimestamp(created, timezone.utc),
                    datetime.fromtimestamp(updated, timezone.utc),
                    driven_by=pid if driven else None,
                    host=host,
                    wants_stop=cancel is not None and RunStatus(status) in (RunStatus.OPEN, RunStatus.HELD),
                    rows=rows_of(connection, id),
                    recent=self._recent(connection, id),
                )
            )
        return facts

    @staticmethod
    def _recent(connection: sqlite3.Connection, run_id: str) -> list[Event]:
        found = connection.execute(
            "SELECT seq, node, kind, data, at FROM event WHERE run=? ORDER BY seq DESC LIMIT ?", (run_id, _RECENT)
        )
        return [event_from(run_id, values, {}) for values in found]

    async def events(self, run_id: str, *, after: int = -1) -> list[Event]:
        """The kept events of a run, oldest first, from the one after a number on."""
        return await self.writer.write(lambda connection: events_of(connection, run_id, after, {}))

    # --- handlers -------------------------------------------------------------------------------------------

    async def undelivered(self, run_id: str, consumer: str, kinds: Mapping[str, type[Any]]) -> list[Event]:
        """The kept events that a handler has not been told about for certain; see `Journal`."""

        def change(connection: sqlite3.Connection) -> list[Event]:
            known = connection.execute(
                "SELECT seq FROM cursor WHERE consumer=? AND run=?", (consumer, run_id)
            ).fetchone()
            if known is None:
                # A handler that the run has not met before hears what happens from now on.
                last = self._last_sequence(connection, run_id)
                connection.execute("INSERT INTO cursor VALUES(?,?,?)", (consumer, run_id, last))
                return []
            return events_of(connection, run_id, known[0], kinds)

        return await self.writer.write(change)

    def delivered(self, run_id: str, consumer: str, event: Event) -> None:
        """A handler has been told about a kept event."""
        sequence = event.sequence

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE cursor SET seq=max(seq, ?) WHERE consumer=? AND run=?", (sequence, consumer, run_id)
            )

        self.writer.post(change)

    # --- deciding -------------------------------------------------------------------------------------------

    async def decide(
        self,
        runs: Iterable[str],
        node: str | None = None,
        *,
        adopt: str | None = None,
        resubmit: bool = False,
        fail: bool = False,
    ) -> list[str]:
        """Decide about orders of unknown fate; gives the runs that go on. Resume them then.

        node: the order; the only one of unknown fate when left out. adopt: it made the thing of this id. resubmit: it
        made nothing, so it is sent again. fail: give it up.
        Raises RunBusyError while a live process drives a run, InvalidArgumentError when there is nothing to decide.
        """
        if [adopt is not None, resubmit, fail].count(True) != 1:
            raise InvalidArgumentError("decide exactly one of adopt=ID, resubmit=True and fail=True")
        wanted = [*runs]
        if adopt is not None and len(wanted) > 1:
            raise InvalidArgumentError("one id can be adopted for one run only")

        def change(connection: sqlite3.Connection) -> list[str]:
            return [id for id in wanted if self._decide(connection, id, node, adopt=adopt, fail=fail)]

        return await self.writer.write(change)

    def _decide(
        self, connection: sqlite3.Connection, run_id: str, node: str | None, *, adopt: str | None, fail: bool
    ) -> bool:
        self._require_free(connection, run_id)
        rows = rows_of(connection, run_id)
        open_orders = [name for name, row in rows.items() if row.is_dirty]
        chosen = node if node is not None else (open_orders[0] if len(open_orders) == 1 else None)
        if chosen is None or chosen not in open_orders:
            raise InvalidArgumentError(f"run {run_id!r} has no order {node!r} to decide about; open are {open_orders}")
        row = rows[chosen]
        if adopt is not None:
            decided = row.with_(phase=Phase.ACCEPTED, external_id=adopt, output=None, error=None, retiring=None)
        elif fail:
            error = OutcomeUnknownError(
                f"order {chosen!r} of run {run_id!r} was given up by decision; resume(resubmit=True) orders it anew",
                what=chosen.rpartition(".")[2],
                name=row.token or "",
                run_id=run_id,
                node=chosen,
            )
            error.decided = True
            decided = row.with_(phase=Phase.FAILED, error=facts_of(error))
        else:
            decided = row.with_(phase=Phase.STARTED, error=None, retiring=None)
        put_row(connection, run_id, chosen, values_of(decided))
        verb = f"adopt {adopt}" if adopt is not None else "give up" if fail else "order again"
        self._say(connection, run_id, chosen, f"decided about {chosen}: {verb}", "decided")
        status = RunStatus.FAILED if fail else RunStatus.OPEN
        connection.execute("UPDATE run SET status=?, updated=? WHERE id=?", (status.value, self.now(), run_id))
        return not fail

    def _require_free(self, connection: sqlite3.Connection, run_id: str) -> None:
        _, owner, epoch = self._require(connection, run_id)
        if self._is_driven(connection, run_id, owner, epoch):
            found = connection.execute("SELECT pid FROM worker WHERE id=?", (owner,)).fetchone()
            raise RunBusyError(
                f"run {run_id!r} is driven by {self._described(connection, str(owner))}, which may still find out by "
                "itself; stop that process first",
                pid=found[0] if found else None,
            )

    def _say(self, connection: sqlite3.Connection, run_id: str, node: str, text: str, kind: str) -> None:
        event = Event(
            None,
            action_of(node),
            ActionState.Running,
            text,
            {"node": node},
            run_id=run_id,
            sequence=self._last_sequence(connection, run_id) + 1,
            timestamp=self._clock.wall(),
            kind=kind,
        )
        put_event(connection, run_id, event_values(event))

    async def request_stop(self, run_id: str) -> RunFacts:
        """Ask whoever drives a run, now or next, to stop it and its remote work. Nothing for a run that is over."""

        def change(connection: sqlite3.Connection) -> RunFacts:
            self._require(connection, run_id)
            connection.execute(
                "UPDATE run SET cancel='stop', status='open', updated=? WHERE id=? AND status IN ('open', 'held')",
                (self.now(), run_id),
            )
            [facts] = self._facts(connection, "WHERE run.id=?", (run_id,))
            return facts

        return await self.writer.write(change)

    # --- in and out -----------------------------------------------------------------------------------------

    async def put(self, run_id: str, *, spec: Mapping[str, Any], fingerprint: str, rows: Mapping[str, Row]) -> bool:
        """Bring in a run that was known elsewhere, unless there is one of that id; whether it was brought in.

        It counts as ended, so that it is gone on with when somebody asks for it, and not by whoever recovers runs.
        """

        def change(connection: sqlite3.Connection) -> bool:
            now = self.now()
            made = connection.execute(
                "INSERT OR IGNORE INTO run VALUES(?,?,?,'cancelled',NULL,0,NULL,?,?)",
                (run_id, json.dumps(spec, ensure_ascii=False), fingerprint, now, now),
            )
            if made.rowcount != 1:
                return False
            for node, row in rows.items():
                put_row(connection, run_id, node, values_of(row))
            return True

        return await self.writer.write(change)

    async def prune(
        self, older_than: timedelta, *, only: Callable[[Mapping[str, Any]], bool] = lambda spec: True
    ) -> int:
        """Forget runs that have ended and were not touched for so long; gives how many.

        only: asked with a run's spec whether it may be forgotten.
        """

        def change(connection: sqlite3.Connection) -> int:
            limit = self.now() - older_than.total_seconds()
            return self._forget(connection, f"{_ALL_ENDED} AND updated<?", limit, only=only)

        return await self.writer.write(change)

    @staticmethod
    def _forget(
        connection: sqlite3.Connection,
        which: str,
        *values: float,
        only: Callable[[Mapping[str, Any]], bool] = lambda spec: True,
    ) -> int:
        found = [(id,) for id, spec in connection.execute(which, values).fetchall() if only(json.loads(spec))]
        connection.executemany("DELETE FROM event WHERE run=?", found)
        connection.executemany("DELETE FROM cursor WHERE run=?", found)
        connection.executemany("DELETE FROM run WHERE id=?", found)
        return len(found)


living: WeakSet[SqliteJournal] = WeakSet()
"""Every journal of this process, also those that are on no shelf."""
