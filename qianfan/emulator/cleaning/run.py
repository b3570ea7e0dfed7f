"""A cleaning from its order to its result. It holds no lock, so that it can run beside everything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qianfan._types import JSON
from qianfan.emulator.cleaning.operators import CHANGES, FILTERS
from qianfan.emulator.refusals import invalid
from qianfan.emulator.scans import Unit, read_unit, value_of
from qianfan.emulator.templates import BadRow, Template

STAGES = ("clean", "filter", "deduplication", "desensitization")
"""In the order in which rows go through them."""

Order = dict[str, list[dict[str, JSON]]]


@dataclass(frozen=True)
class Cleaned:
    """The rows that are left, and the platform's report by stage."""

    units: list[Unit]
    stages: dict[str, JSON]


@dataclass
class _Step:
    name: str
    remaining: int
    dropped: int


def order_of(operations: dict[str, JSON]) -> Order:
    """`operationsV2` checked and with defaults filled in. Refuses stages, operators and limits that there are not."""
    order: Order = {}
    for stage, wanted in operations.items():
        if stage not in STAGES:
            raise _bad(f"there is no stage {stage!r}; there are {', '.join(STAGES)}")
        order[stage] = [_operator(stage, one) for one in wanted or []]
    if not any(order.values()):
        raise _bad("there is no operator in it")
    return {stage: order[stage] for stage in STAGES if stage in order}


def _operator(stage: str, wanted: JSON) -> dict[str, JSON]:
    name, given = wanted.get("name"), wanted.get("args") or {}
    found = FILTERS.get(stage, {}).get(name)
    if found is None and name not in CHANGES.get(stage, {}):
        raise _bad(f"stage {stage!r} has no operator {name!r}")
    limits = found.limits if found is not None else {}
    args = {key: given.get(key, default) for key, default in limits.items()}
    for key, value in args.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise _bad(f"{name} needs {key}, a number from 0 up, found {value!r}")
    return {"name": name, "args": args}


def _bad(text: str) -> Exception:
    return invalid("operationsV2", f"operationsV2: {text}")


def clean(units: Sequence[Unit], template: Template, order: Order) -> Cleaned:
    """Take rows through the stages. A row that does not fit its template any more is dropped."""
    rows = list(units)
    stages: dict[str, JSON] = {}
    for stage, operators in order.items():
        before, steps = rows, []
        for operator in operators:
            count = len(rows)
            if stage in CHANGES:
                rows = _changed(rows, template, CHANGES[stage][operator["name"]])
            else:
                rows = _filtered(rows, FILTERS[stage][operator["name"]].keep(operator["args"]))
            steps.append(_Step(operator["name"], len(rows), count - len(rows)))
        # A row that comes out as it went in is the same object.
        touched = {id(unit) for unit in before} - {id(unit) for unit in rows}
        stages[stage] = _report(steps, len(touched))
    return Cleaned(rows, stages)


def _report(steps: Sequence[_Step], matched: int) -> JSON:
    return {
        "status": 2,
        "operator_count": len(steps),
        "entity_match_count": matched,
        "each_operator_result": [
            {"name": step.name, "remaining_count": step.remaining, "drop_count": step.dropped} for step in steps
        ],
    }


def _changed(units: Sequence[Unit], template: Template, change: Callable[[str], str]) -> list[Unit]:
    kept: list[Unit] = []
    for unit in units:
        value = value_of(unit)
        new = _with_texts(value, change)
        if new == value:
            kept.append(unit)
            continue
        content = str(new) if unit.whole else json.dumps(new, ensure_ascii=False)
        made = replace(unit, content=content.encode())
        try:
            read_unit(made, template)
        except BadRow:
            continue
        kept.append(made)
    return kept


def _filtered(units: Sequence[Unit], keep: Callable[[Sequence[str]], list[bool]]) -> list[Unit]:
    stays = keep(["\n".join(texts_in(value_of(unit))) for unit in units])
    return [unit for unit, stay in zip(units, stays, strict=True) if stay]


def _with_texts(value: JSON, change: Callable[[str], str]) -> JSON:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_with_texts(part, change) for part in value]
    if isinstance(value, dict):
        # The role of a message is a word of the format, and so is a link to an image.
        fixed = ("role", "image")
        return {key: part if key in fixed else _with_texts(part, change) for key, part in value.items()}
    return value


def texts_in(value: JSON) -> list[str]:
    """All texts of a row, in order."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, part in value.items() if key not in ("role", "image") for text in texts_in(part)]
    return [text for part in value for text in texts_in(part)] if isinstance(value, list) else []
