"""A run's record in a journal: every change goes there first, with proof that the run is still this process's."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qianfan.errors import LeaseLost
from qianfan.journal._rows import EventValues, event_values, put_event, put_row, values_of
from qianfan.pipeline._events import ActionState, Event
from qianfan.pipeline._record import Row, RunRecord, RunStatus, Stop, encoded

if TYPE_CHECKING:
    from qianfan.journal._journal import SqliteJournal

logger = logging.getLogger("qianfan")

PROGRESS_SECONDS = 60.0
"""At most one report of progress in this time is kept for each action."""


class JournalRecord(RunRecord):
    """The record of a run that this process drives."""

    def __init__(
        self,
        journal: SqliteJournal,
        run_id: str,
        epoch: int,
        rows: Mapping[str, Row],
        *,
        cancel: Stop | None,
        first_sequence: int,
        kinds: Mapping[str, type[Any]],
    ) -> None:
        super().__init__(rows, cancel=cancel, first_sequence=first_sequence)
        self.run_id = run_id
        self._journal = journal
        self._epoch = epoch
        self._lease = (run_id, journal.worker.id, epoch)
        self._kinds = kinds
        self._pending: list[Event] = []
        self._progress: dict[str, float] = {}
        self._kept_up_to = first_sequence - 1

    # --- changes --------------------------------------------------------------------------------------------

    async def write(
        self, changes: Mapping[str, Row], event: Event | None = None, *, status: RunStatus | None = None
    ) -> None:
        told = [event_values(one) for one in [*self._pending, *([event] if event is not None else [])]]
        pending, self._pending = self._pending, []
        values = {node: values_of(row) for node, row in changes.items()}

        def change(connection: sqlite3.Connection) -> Stop | None:
            wanted = self._touch(connection, status)
            for node, columns in values.items():
                put_row(connection, self.run_id, node, columns)
            for one in told:
                put_event(connection, self.run_id, one)
            return wanted

        try:
            wanted = await self._journal.writer.write(change)
        except Exception:
            self._pending = [*pending, *self._pending]
            raise
        except BaseException:
            # A cancellation that no scope holds off, such as `Task.cancel()`: the change is made nevertheless.
            self._made_durable(changes, told)
            raise
        self._made_durable(changes, told)
        self._hear_of_stop(wanted)

    def _made_durable(self, changes: Mapping[str, Row], told: Sequence[EventValues]) -> None:
        self._kept_up_to = max([self._kept_up_to, *(sequence for sequence, *_ in told)])
        self.rows.update(changes)

    def _touch(self, connection: sqlite3.Connection, status: RunStatus | None = None) -> Stop | None:
        """Prove that the run is still ours, and learn whether somebody wants it stopped."""
        found = connection.execute(
            "UPDATE run SET updated=?, status=coalesce(?, status) WHERE id=? AND owner=? AND epoch=?",
            (self._journal.now(), status.value if status is not None else None, *self._lease),
        )
        if found.rowcount != 1:
            raise LeaseLost(
                f"run {self.run_id!r} was taken over by another process; this one drops it. Nothing more is sent"
            )
        wanted: tuple[Stop | None] = connection.execute("SELECT cancel FROM run WHERE id=?", (self.run_id,)).fetchone()
        return wanted[0]

    def _hear_of_stop(self, wanted: Stop | None) -> None:
        if wanted is None or self.cancel is not None:
            return
        self.cancel = wanted
        if self.on_stop is not None:
            self.on_stop(wanted)

    def _encoded(self, output: Any, made: Any) -> Any:
        return encoded(output, made)

    async def mark_cancelled(self, how: Stop) -> None:
        if self.cancel is not None:
            return
        self.cancel = how

        def change(connection: sqlite3.Connection) -> None:
            self._touch(connection)
            connection.execute("UPDATE run SET cancel=? WHERE id=?", (how, self.run_id))

        await self._journal.writer.write(change)

    async def is_stop_wanted(self) -> bool:
        self._hear_of_stop(await self._journal.writer.write(self._touch))
        return self.cancel == "stop"

    def tell(self, event: Event) -> None:
        if event.action_state is not ActionState.Running or event.kind != ActionState.Running.value:
            self._pending.append(event)
            return
        if event.action_id not in self.rows:
            # A pipeline saying whom it calls next; that action's first event is about to be written.
            self._pending.append(event)
            return
        now = self._journal.monotonic()
        last = self._progress.get(event.action_id)
        if last is None or now - last >= PROGRESS_SECONDS:
            self._progress[event.action_id] = now
            self._pending.append(event)
            self._flush()

    def _flush(self) -> None:
        told = [event_values(one) for one in self._pending]
        self._pending = []

        def change(connection: sqlite3.Connection) -> Stop | None:
            wanted = self._touch(connection)
            for one in told:
                put_event(connection, self.run_id, one)
            return wanted

        self._journal.writer.post(change, self._hear_of_stop)

    # --- handlers -------------------------------------------------------------------------------------------

    async def undelivered(self, consumer: str) -> list[Event]:
        return await self._journal.undelivered(self.run_id, consumer, self._kinds)

    def delivered(self, consumer: str, event: Event) -> None:
        if event.sequence > self._kept_up_to:
            return  # may never be kept, so no cursor may stand on it
        self._journal.delivered(self.run_id, consumer, event)

    # --- the end --------------------------------------------------------------------------------------------

    async def release(self, *, keep: bool = False) -> None:
        self._journal.deactivate(self.run_id, self._epoch)
        if keep:
            return

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE run SET owner=NULL WHERE id=? AND owner=? AND epoch=?", self._lease)

        try:
            await self._journal.writer.write(change)
        except Exception as error:  # the run has ended; it is this process's until the process ends as well
            logger.debug("run %s could not be released: %s", self.run_id, error)
