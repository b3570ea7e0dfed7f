"""What trainers keep between processes: the journal below the cache folder, and what it says about them.

Without a usable folder everything works but coming back after the process has ended; that is said once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from qianfan._sync import in_thread
from qianfan.config import Settings
from qianfan.errors import InvalidArgumentError, JournalWriteError
from qianfan.journal import RunFacts, SqliteJournal, journal_at, open_journal
from qianfan.pipeline import Phase, Row, RunStatus, Terms
from qianfan.pipeline._record import action_of
from qianfan.resources.purchase import token_for
from qianfan.trainer.consts import TrainStatus
from qianfan.trainer.status import Status, latest_status
from qianfan.utils.logging import logger

JOURNAL = "journal.sqlite3"
SHORTEST_SETTLE = 30.0
"""Seconds that a paid request may live; looking for less long can miss it."""

_said: set[str] = set()


def journal_path(settings: Settings) -> Path:
    """Where the journal of an account's runs is."""
    return Path(settings.cache_dir).expanduser() / JOURNAL


async def journal_of(settings: Settings) -> SqliteJournal:
    """The journal, or one in memory when it is switched off or there cannot be one.

    Raises JournalError for one that is there and cannot be used: it may know of orders that must not be repeated.
    """
    path = journal_path(settings)
    if settings.disable_cache:
        _say_once("QIANFAN_DISABLE_CACHE is set, so no run can be resumed after this process has ended")
        return journal_at(None)
    try:
        return await open_journal(path)
    except JournalWriteError as error:
        if await _is_there(path):
            raise
        _say_once(
            f"no journal can be kept in {str(path.parent)!r} ({error.__cause__ or error}), so no run can be resumed "
            "after this process has ended. Set QIANFAN_CACHE_DIR to a folder that can be written"
        )
        return journal_at(None)


async def journal_to_read(settings: Settings) -> SqliteJournal:
    """The journal for somebody who only looks: nothing is begun where there is nothing."""
    if not settings.disable_cache and not await _is_there(journal_path(settings)):
        return journal_at(None)
    return await journal_of(settings)


async def _is_there(path: Path) -> bool:
    # Not Path.exists, which raises for a folder that may not be looked into.
    return await in_thread(os.path.exists, path)


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        logger.warning("%s", text)


def terms_of(settings: Settings, submission: str | None) -> Terms:
    """What happens to a paid order that cannot be found."""
    if submission not in (None, "strict"):
        raise InvalidArgumentError(f"submission must be 'strict' or left out, not {submission!r}")
    if settings.submit_settle_seconds < SHORTEST_SETTLE:
        _say_once(
            f"QIANFAN_SUBMIT_SETTLE_SECONDS is {settings.submit_settle_seconds:g}: an order may show up later than "
            f"that and be repeated; on the real platform let it be more than {SHORTEST_SETTLE:g}"
        )
    return Terms("hold" if submission == "strict" else settings.submit_on_absent, settings.submit_settle_seconds)


# --- what is known ---------------------------------------------------------------------------------------------

_ID_KEYS = {kind: f"{kind}_id" for kind in ("job", "task", "service", "evaluation", "inference")}


def is_id(key: str) -> bool:
    """Whether a key of a result names something that exists on the platform."""
    return key.endswith("_id") or key == "service_endpoint"


def ids_in(rows: Mapping[str, Row]) -> dict[str, Any]:
    """The ids of what was ordered, under the keys of a result."""
    found: dict[str, Any] = {}
    for node, row in rows.items():
        kind = node.partition(".")[2]
        if row.external_id is None:
            continue
        if kind in _ID_KEYS:
            found[_ID_KEYS[kind]] = row.external_id
        elif kind == "model":
            is_version = not row.external_id.startswith("am-")
            found["model_set_id"] = (row.output or {}).get("set_id") or (None if is_version else row.external_id)
            found["model_id"] = row.external_id if is_version else None
    return {key: value for key, value in found.items() if value is not None}


def about(facts: RunFacts) -> dict[str, Any]:
    """What the journal says of a trainer, as JSON values."""
    return {
        "id": facts.id,
        "kind": facts.spec.get("kind"),
        "name": facts.spec.get("name") or "",
        "train_type": facts.spec.get("train_type"),
        "status": status_of(facts).value,
        "run_status": facts.status.value,
        "driven_by": facts.driven_by,
        "left_running": is_left_running(facts),
        "wants_stop": facts.wants_stop,
        "needs_decision": [order["node"] for order in to_decide(facts)],
        "created": facts.created.isoformat(timespec="seconds"),
        "updated": facts.updated.isoformat(timespec="seconds"),
        "ids": ids_in(facts.rows),
    }


def status_of(facts: RunFacts) -> Status:
    """Where a trainer stands, read off its kept events."""
    status = latest_status(facts.recent)
    if status is TrainStatus.Unknown and "task_id" in ids_in(facts.rows):
        return TrainStatus.Training  # a process that was killed could not say how far it had come
    return status


def is_left_running(facts: RunFacts) -> bool:
    """Whether work goes on on the platform while nobody watches it."""
    ids = ids_in(facts.rows)
    is_open = facts.status in (RunStatus.OPEN, RunStatus.HELD) and facts.driven_by is None
    return is_open and bool(ids.keys() & {"task_id", "service_id"})


_STEPS = ("load", "train", "publish", "deploy", "evaluate")
_GATED_STEPS = ("load", "train", "publish", "evaluate", "gate", "deploy")


def steps_of(facts: RunFacts) -> list[dict[str, Any]]:
    """How far a trainer's steps and the orders they placed are, in the order of the steps, as JSON values.

    step: load, train, publish, deploy, evaluate or gate. order: what was ordered, None for the step itself.
    """
    steps = _GATED_STEPS if "deploy_if" in facts.spec.get("arguments", {}) else _STEPS
    names = {token_for(facts.id, name): name for name in steps}

    def place(known: tuple[str, Row]) -> tuple[int, bool, float, str]:
        node, row = known
        name = names.get(action_of(node), "")
        return (steps.index(name) if name else len(steps), "." in node, row.at, node)

    return [
        {
            "step": names.get(action_of(node), action_of(node)),
            "order": node.partition(".")[2] or None,
            "node": node,
            "phase": "skipped" if row.why_skipped is not None else row.phase.value,
            "generation": row.gen,
            "attempt": row.attempt,
            "token": row.token,
            "id": row.external_id,
            "since": _moment(row.at),
            "error": (row.error or {}).get("message"),
        }
        for node, row in sorted(facts.rows.items(), key=place)
    ]


def to_decide(facts: RunFacts) -> list[dict[str, Any]]:
    """The orders that a person has to decide about, as JSON values.

    node: what `decide` calls it. what: it would have made. look_for: in the console.
    """
    if facts.status not in (RunStatus.HELD, RunStatus.FAILED):
        return []
    asked = [event.data for event in facts.recent if event.kind == "needs_decision" and isinstance(event.data, Mapping)]
    look_for = {str(data.get("node")): data.get("look_for") for data in reversed(asked)}
    return [
        {
            "trainer_id": facts.id,
            "node": node,
            "what": node.partition(".")[2],
            "token": row.token,
            "look_for": look_for.get(node) or repr(row.token),
            "since": _moment(row.at),
        }
        for node, row in facts.rows.items()
        if row.is_dirty
    ]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def is_complete(rows: Mapping[str, Row], action_ids: Iterable[str]) -> bool:
    """Whether all of these actions are done."""
    done = {action_of(node) for node, row in rows.items() if row.phase is Phase.DONE}
    return set(action_ids) <= done
