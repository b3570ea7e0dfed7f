"""What a journal tells about a run to somebody who looks at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qianfan.pipeline._events import Event
from qianfan.pipeline._record import Row, RunStatus


@dataclass(frozen=True)
class NodeFacts:
    """One action or order of a run: its row's name, and the row."""

    node: str
    row: Row


@dataclass(frozen=True)
class RunFacts:
    """One run.

    spec: what whoever began it says it is. driven_by: pid of the live process that drives it, None without one.
    wants_stop: whether a stop was asked for that is not finished yet. recent: its last kept events, the latest first.
    """

    id: str
    spec: Mapping[str, Any]
    status: RunStatus
    created: datetime
    updated: datetime
    driven_by: int | None = None
    host: str | None = None
    wants_stop: bool = False
    rows: Mapping[str, Row] = field(default_factory=dict[str, Row])
    recent: Sequence[Event] = ()

    @property
    def nodes(self) -> list[NodeFacts]:
        """The rows, by name."""
        return [NodeFacts(node, row) for node, row in sorted(self.rows.items())]
