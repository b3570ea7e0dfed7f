"""Collects what a check finds: everything is counted, the first are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from qianfan.dataset.checking.rules import RULES, Choice, severity_of
from qianfan.dataset.reading import RowProblem
from qianfan.dataset.report import Group, Severity

EXAMPLES = 3
"""Findings that are shown of each group."""

_MAX_GROUPS = 200
"""Rows with keys of their own must not make as many groups."""

_RANKS = {name: rank for rank, name in enumerate(RULES, start=1)}
_POSITION = re.compile(r"\[\d+\]")


@dataclass(slots=True)
class _Gathered:
    count: int = 0
    first: list[RowProblem] = field(default_factory=list[RowProblem])


class Findings:
    """What was found so far.

    limit: how many errors, and how many warnings, are kept; None keeps all.

    The passes of a check come in any order, but each goes through the rows from first to last. So for every rule the
    first ones are kept, and they are merged by their rows at the end.
    """

    def __init__(self, limit: int | None, choices: Mapping[str, Choice]) -> None:
        self._limit = limit
        self._choices = choices
        self._counts: dict[Severity, int] = {"error": 0, "warning": 0}
        self._kept: dict[str, list[tuple[int, RowProblem]]] = {}
        self._groups: dict[tuple[str, str], _Gathered] = {}

    def wants(self, *rules: str) -> bool:
        """Whether any of the rules is to be looked at."""
        return any(severity_of(rule, self._choices) != "off" for rule in rules)

    def add(self, position: int, problem: RowProblem) -> None:
        """Note a finding about the row at a position; -1 for the whole dataset."""
        rule = problem.rule or "other"
        severity = severity_of(rule, self._choices)
        if severity == "off":
            return
        self._counts[severity] += 1
        kept = self._kept.setdefault(rule, [])
        if self._limit is None or len(kept) < self._limit:
            kept.append((position, replace(problem, fix=problem.fix or _usual_fix(rule))))
        group = self._group(rule, _POSITION.sub("[]", problem.field))
        group.count += 1
        if len(group.first) < EXAMPLES:
            group.first.append(problem)

    def count_more(self, rule: str, count: int) -> None:
        """Count findings that nobody needs to see, of a rule of which some were added."""
        severity = severity_of(rule, self._choices)
        if count and severity != "off":
            self._counts[severity] += count
            self._group(rule, "").count += count

    def count(self, severity: Severity) -> int:
        """How many were found."""
        return self._counts[severity]

    def kept(self, severity: Severity) -> tuple[RowProblem, ...]:
        """Those that were kept, in the order of the rows."""
        chosen = [
            (position, 0 if _is_error(rule) else _RANKS[rule], problem)
            for rule, found in self._kept.items()
            if severity_of(rule, self._choices) == severity
            for position, problem in found
        ]
        chosen.sort(key=lambda one: (one[0], one[1], one[2].line, one[2].column))
        return tuple(problem for _, _, problem in chosen[: self._limit])

    def groups(self) -> tuple[Group, ...]:
        """Errors first, then by how many there are."""
        made = [
            Group(
                rule=rule,
                severity="error" if severity_of(rule, self._choices) == "error" else "warning",
                field=where,
                count=gathered.count,
                fix=gathered.first[0].fix or _usual_fix(rule),
                first=tuple(gathered.first),
            )
            for (rule, where), gathered in self._groups.items()
        ]
        return tuple(sorted(made, key=lambda group: (group.severity, -group.count, group.rule, group.field)))

    def _group(self, rule: str, where: str) -> _Gathered:
        key = (rule, where)
        if key not in self._groups and len(self._groups) >= _MAX_GROUPS:
            key = (rule, "…")
        return self._groups.setdefault(key, _Gathered())


def _is_error(rule: str) -> bool:
    return rule not in RULES or RULES[rule].severity == "error"


def _usual_fix(rule: str) -> str:
    return RULES[rule].fix if rule in RULES else RULES["other"].fix
