"""What is known of trainers, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_FACTS = (
    "id",
    "kind",
    "name",
    "train_type",
    "status",
    "run_status",
    "driven_by",
    "left_running",
    "wants_stop",
    "needs_decision",
    "created",
    "updated",
)

COLUMNS = {
    "id": "trainer",
    "train_type": "model",
    "status": "status",
    "updated": "updated (UTC)",
    "job_id": "job",
    "task_id": "task",
}
"""Of a table of trainers."""

STEP_COLUMNS = {
    "step": "step",
    "phase": "phase",
    "id": "id",
    "tries": "tries",
    "since": "since (UTC)",
}
DECISION_COLUMNS = {
    "trainer_id": "trainer",
    "node": "order",
    "what": "of a",
    "look_for": "look in the console for",
    "since": "since (UTC)",
}

_STEPS = {
    "load": "dataset",
    "train": "training",
    "publish": "model",
    "deploy": "service",
    "evaluate": "evaluation",
}


def known_facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """What the journal says of a trainer, with the ids of what it made beside the rest."""
    return {**{name: about.get(name) for name in _FACTS}, **(about.get("ids") or {})}


def status_words(facts: Mapping[str, Any]) -> str:
    """Where a trainer stands, and whether anybody sees to it."""
    if facts["needs_decision"]:
        more = "needs a decision"
    elif facts["run_status"] != "open":
        more = ""
    elif facts["driven_by"] is not None:
        more = f"process {facts['driven_by']}, is to stop" if facts["wants_stop"] else f"process {facts['driven_by']}"
    elif facts["wants_stop"]:
        more = "is to stop"
    else:
        more = "left running" if facts["left_running"] else "interrupted"
    status = str(facts["status"])
    if not more:
        return status
    # That the latest attempt ended says nothing about the training.
    ended = facts["driven_by"] is None and status.endswith(("Stopped", "Failed"))
    return more if ended else f"{status} ({more})"


def for_people(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same facts, shorter."""
    moments = {name: to_the_minute(facts[name]) for name in ("created", "updated") if name in facts}
    return {**facts, **moments, "status": status_words(facts)}


def in_words(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that a person reads below each other; those that the status tells already are left out."""
    told = ("run_status", "driven_by", "left_running", "wants_stop", "needs_decision")
    return {name: value for name, value in for_people(facts).items() if name not in told}


def steps_for_people(steps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Steps, each with the orders it placed below it."""
    return [
        {
            **step,
            "step": f"  {step['order']}" if step["order"] else _STEPS.get(step["step"], step["step"]),
            "tries": step["attempt"] if step["attempt"] > 1 else None,
            "since": to_the_minute(step["since"]),
        }
        for step in steps
    ]


def orders_for_people(orders: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Orders of unknown fate."""
    return [{**order, "since": to_the_minute(order["since"])} for order in orders]


def to_the_minute(moment: str | None) -> str:
    """A moment as short as people read it."""
    return (moment or "")[:16].replace("T", " ")
