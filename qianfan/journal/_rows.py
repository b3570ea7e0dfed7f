"""Rows and events, to and from the tables. Pure but for the statements they run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeAlias

from pydantic_core import to_jsonable_python

from qianfan.errors import facts_of, revived
from qianfan.pipeline._events import ActionState, Event
from qianfan.pipeline._record import Phase, Row

_COLUMNS: tuple[str, ...] = (
    "gen", "phase", "attempt", "token", "request", "request_hash", "external_id", "output", "error", "retiring",
    "progress", "at",
)  # fmt: skip
_AS_JSON = frozenset({"request", "output", "error", "progress"})

_UPSERT = (
    f"INSERT INTO node(run, node, {', '.join(_COLUMNS)}) VALUES({', '.join('?' * (len(_COLUMNS) + 2))}) "
    f"ON CONFLICT(run, node) DO UPDATE SET {', '.join(f'{name}=excluded.{name}' for name in _COLUMNS)}"
)
_SELECT = f"SELECT node, {', '.join(_COLUMNS)} FROM node WHERE run=?"  # noqa: S608

EventValues: TypeAlias = tuple[int, str, str, str, float]
"""Number, node, kind, data and date of an event, as they are written."""

_LONGEST_DATA = 65536
"""Characters of an event's data that are kept."""


def rows_of(connection: sqlite3.Connection, run_id: str) -> dict[str, Row]:
    """All rows of a run."""
    return {node: _row(values) for node, *values in connection.execute(_SELECT, (run_id,))}


def _row(values: list[Any]) -> Row:
    found: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
    for name in _AS_JSON:
        if found[name] is not None:
            found[name] = json.loads(found[name])
    return Row.of(found)


def values_of(row: Row) -> list[Any]:
    """A row as the values of its columns."""
    return [_plain(name, getattr(row, name)) for name in _COLUMNS]


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Phase):
        return value.value
    if name in _AS_JSON and value is not None:
        return _json(value)
    return value


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, from an odd file name for example, is no text to SQLite
        return json.dumps(value)
    return text


def put_row(connection: sqlite3.Connection, run_id: str, node: str, values: list[Any]) -> None:
    """Write one row."""
    connection.execute(_UPSERT, (run_id, node, *values))


def event_values(event: Event) -> EventValues:
    """An event as the values of its columns."""
    try:
        data = to_jsonable_python(event.data, fallback=_said)
    except Exception:  # bytes that are no text, a circle: what somebody reports must not end their run
        data = _said(event.data)
    told: dict[str, Any] = {
        "state": event.action_state.value,
        "class": event.action_class.__name__ if event.action_class is not None else None,
        "name": event.action_name,
        "description": event.description,
        "data": data,
        "progress": event.progress,
    }
    if event.exception is not None:
        told["exception"] = facts_of(event.exception)
    text = _json(told)
    if len(text) > _LONGEST_DATA:
        text = _json({**told, "data": {"left_out": len(text)}})
    return event.sequence, event.action_id, event.kind, text, event.timestamp.timestamp()


def _said(value: Any) -> str:
    return f"<{type(value).__name__}>"


def put_event(connection: sqlite3.Connection, run_id: str, values: EventValues) -> None:
    """Write one event."""
    connection.execute("INSERT INTO event(run, seq, node, kind, data, at) VALUES(?,?,?,?,?,?)", (run_id, *values))


def events_of(connection: sqlite3.Connection, run_id: str, after: int, kinds: Mapping[str, type[Any]]) -> list[Event]:
    """The kept events of a run that come after a number, oldest first."""
    found = connection.execute(
        "SELECT seq, node, kind, data, at FROM event WHERE run=? AND seq>? ORDER BY seq", (run_id, after)
    )
    return [event_from(run_id, values, kinds) for values in found]


def event_from(run_id: str, values: tuple[Any, ...], kinds: Mapping[str, type[Any]]) -> Event:
    """An event from the values of its columns. What was no JSON in its data is lost."""
    sequence, node, kind, text, at = values
    told = json.loads(text)
    exception = told.get("exception")
    return Event(
        kinds.get(node) or _stand_in(told.get("class")),
        node,
        ActionState(told["state"]),
        told.get("description"),
        told.get("data"),
        exception=revived(exception) if exception else None,
        progress=told.get("progress"),
        action_name=told.get("name") or "",
        run_id=run_id,
        sequence=sequence,
        timestamp=datetime.fromtimestamp(at, timezone.utc),
        kind=kind,
    )


def _stand_in(name: str | None) -> type[Any] | None:
    """A class of the right name, where the real one is not at hand."""
    return type(name, (), {}) if name else None
