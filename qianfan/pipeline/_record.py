"""What is known of a run: one row for each action and for each order an action places.

`RunRecord` keeps the rows in memory. The journal has one that writes every change down before it counts, through the
one method that changes anything, `write`. So an action cannot tell where its run is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Literal, Protocol, TypeAlias

from pydantic import TypeAdapter

from qianfan.errors import InternalError
from qianfan.pipeline._events import Event


class Phase(str, Enum):
    """How far an action or an order has come."""

    STARTED = "started"
    """An action is at work; of an order: nothing is out."""
    INTENT = "intent"
    """The order may be out."""
    ACCEPTED = "accepted"
    """What was ordered exists, under the row's external id."""
    UNCERTAIN = "uncertain"
    """The order got no clear answer."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunStatus(str, Enum):
    """How a run stands."""

    OPEN = "open"
    """Under way, or interrupted and waiting to be gone on with."""
    HELD = "held"
    """A person has to decide about an order of unknown fate."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


Stop: TypeAlias = Literal["stop", "detach"]
"""What a cancellation means for work that goes on elsewhere: stop it, or leave it running."""


_SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of an action, or of an order it placed.

    gen: counts the deliberate new beginnings; attempt: the tries within one of them.
    token, request, request_hash, external_id, retiring: of orders, see `Purchases`.
    output: what was made, as JSON. error: what ended it, as JSON. progress: notes and the latest report, as JSON.
    at: seconds since 1970 when this generation began; for people, and for deadlines that outlive a process.
    """

    phase: Phase
    gen: int = 0
    attempt: int = 0
    token: str | None = None
    request: Any = None
    request_hash: str | None = None
    external_id: str | None = None
    output: Any = None
    error: dict[str, Any] | None = None
    retiring: int | None = None
    progress: dict[str, Any] | None = None
    at: float = 0.0

    def with_(self, **changes: Any) -> Row:
        """The row with some columns changed."""
        return replace(self, **changes)

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Row:
        """A row from plain values."""
        return cls(Phase(columns["phase"]), **{name: value for name, value in columns.items() if name != "phase"})

    def renewed(self, now: float) -> Row:
        """The row of the next generation: nothing is out, and whatever is ordered gets a new token."""
        return Row(Phase.STARTED, self.gen + 1, at=now)

    def skipped(self, why: str) -> Row:
        """The row of an action that is passed over."""
        return self.with_(phase=Phase.DONE, output=None, error=None, progress={_SKIPPED: why})

    @property
    def why_skipped(self) -> str | None:
        """Why the action was passed over, if it was."""
        return (self.progress or {}).get(_SKIPPED)

    @property
    def is_dirty(self) -> bool:
        """Whether an order may be out without anybody knowing."""
        return self.phase in (Phase.INTENT, Phase.UNCERTAIN)


def order_of(action_id: str, name: str) -> str:
    """The row of an order that an action places."""
    return f"{action_id}.{name}"


def action_of(node: str) -> str:
    """The action that a row belongs to."""
    return node.partition(".")[0]


class RunRecord:
    """What is known of a run, in memory.

    rows: by action id, or by action id and name of an order.
    cancel: what a stop that was asked for, by whatever process, means for remote work; None while nobody asked.
    on_stop: told, on the run's event loop, when another process asks for a stop.
    first_sequence: number of the first event to come.
    """

    def __init__(self, rows: Mapping[str, Row] | None = None, *, cancel: Stop | None = None, first_sequence: int = 0):
        self.rows: dict[str, Row] = dict(rows or {})
        self.cancel: Stop | None = cancel
        self.first_sequence = first_sequence
        self.on_stop: Callable[[Stop], object] | None = None
        self._made: dict[str, Any] = {}

    # --- what is known --------------------------------------------------------------------------------------

    def __contains__(self, action_id: str) -> bool:
        """Whether the action is done."""
        row = self.rows.get(action_id)
        return row is not None and row.phase is Phase.DONE

    def why_skipped(self, action_id: str) -> str | None:
        """Why the action was skipped, if it was; it then counts as done, and has made nothing."""
        row = self.rows.get(action_id)
        return row.why_skipped if row is not None else None

    def output(self, action_id: str, made: Any) -> Any:
        """What a finished action made. made: the type that it makes."""
        if action_id not in self._made:
            self._made[action_id] = TypeAdapter(made).validate_python(self.rows[action_id].output)
        return self._made[action_id]

    def notes(self, action_id: str) -> dict[str, Any]:
        """A copy of what the action noted so far."""
        row = self.rows.get(action_id)
        return dict((row.progress or {}).get("notes", {})) if row is not None else {}

    def orders(self) -> Iterator[tuple[str, Row]]:
        """The orders that were placed: (row name, row)."""
        return ((node, row) for node, row in self.rows.items() if "." in node)

    # --- changes --------------------------------------------------------------------------------------------

    async def write(
        self, changes: Mapping[str, Row], event: Event | None = None, *, status: RunStatus | None = None
    ) -> None:
        """Make changes, the event that tells of them, and the run's new status; all of it or nothing.

        Durable, where the record is, once this returns. Raises JournalError when it cannot be.
        """
        self.rows.update(changes)

    async def done(
        self, action_id: str, output: Any, made: Any, event: Event | None = None, *, status: RunStatus | None = None
    ) -> None:
        """Remember that an action is done, and what it made, of the type `made`."""
        row = self.rows.get(action_id, Row(Phase.STARTED))
        changed = row.with_(phase=Phase.DONE, error=None, output=self._encoded(output, made))
        await self.write({action_id: changed}, event, status=status)
        self._made[action_id] = output

    def _encoded(self, output: Any, made: Any) -> Any:
        return None

    async def note(self, action_id: str, facts: Mapping[str, Any]) -> None:
        """Add facts (JSON values) to an action's notes."""
        row = self.rows.get(action_id, Row(Phase.STARTED))
        notes = {**(row.progress or {}).get("notes", {}), **facts}
        await self.write({action_id: row.with_(progress={**(row.progress or {}), "notes": notes})})

    async def mark_cancelled(self, how: Stop) -> None:
        """Remember that the run is to end, before anything is done about it."""
        self.cancel = self.cancel or how

    async def is_stop_wanted(self) -> bool:
        """Whether some process has asked for a stop; `on_stop` is told then."""
        return self.cancel == "stop"

    def tell(self, event: Event) -> None:
        """Hear of an event that changes nothing; it may be lost with the process."""

    # --- handlers -------------------------------------------------------------------------------------------

    async def undelivered(self, consumer: str) -> list[Event]:
        """Events of earlier processes that a handler has not been told about for certain, oldest first."""
        return []

    def delivered(self, consumer: str, event: Event) -> None:
        """A handler has been told about an event."""

    # --- the end --------------------------------------------------------------------------------------------

    async def release(self, *, keep: bool = False) -> None:
        """This process is done with the run for now. keep: nobody else may go on with it while the process lives."""


def encoded(output: Any, made: Any) -> Any:
    """What an action made, as JSON values. Raises InternalError when it cannot be that."""
    try:
        return TypeAdapter(made).dump_python(output, mode="json")
    except Exception as error:
        raise InternalError(f"{output!r} cannot be kept in a journal as {made!r}: {error}") from error


# --- where runs are kept -------------------------------------------------------------------------------------


Renew: TypeAlias = Literal["unfinished", "everything"]
"""What a run begins anew with, on purpose: all but what is done, or all of it."""


@dataclass(frozen=True)
class Claim:
    """The answer to asking for a run.

    record: the run is this process's to drive; None when it is over, or somebody else's.
    status: how it stands. rows: what is known of it. last_sequence: number of its latest kept event, -1 without one.
    owner: who drives it, for messages.
    """

    status: RunStatus
    record: RunRecord | None = None
    rows: Mapping[str, Row] = field(default_factory=dict[str, Row])
    last_sequence: int = -1
    owner: str = ""


@dataclass(frozen=True)
class Glance:
    """What somebody who does not drive a run sees of it. events: those after the one asked for."""

    status: RunStatus
    is_driven: bool
    events: list[Event]
    rows: Mapping[str, Row]


class Journal(Protocol):
    """Where runs are kept so that another process can go on with them."""

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
        """Ask to drive a run, which begins if there is none of that id.

        spec: what the run is, as JSON. fingerprint: of its actions and parameters. kinds: class of each action.
        renew: begin anew with actions, except `keep`. take_over: also from a process that may be alive.
        Raises PipelineChanged when it began with another fingerprint, ForeignOwner.
        """
        ...

    async def glance(self, run_id: str, *, after: int, kinds: Mapping[str, type[Any]]) -> Glance:
        """Look at a run without driving it."""
        ...

    async def undelivered(self, run_id: str, consumer: str, kinds: Mapping[str, type[Any]]) -> list[Event]:
        """The kept events that a handler has not been told about for certain, oldest first.

        One that the run has not met before hears only what happens from now on.
        """
        ...

    def delivered(self, run_id: str, consumer: str, event: Event) -> None:
        """A handler has been told about a kept event."""
        ...
