"""What values a hyper-parameter may have, and how a value that breaks the rule is reported.

The platform names hyper-parameters in camelCase (`learningRate`), users in snake_case (`learning_rate`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qianfan._strict import suggestion

SERVER = "server"
BUILT_IN = "built-in table"

# The one key that the platform does not write in camelCase.
_ODD_KEYS = {"packing": "Packing"}
_ODD_FIELDS = {key: field for field, key in _ODD_KEYS.items()}

_NUMBERS = {"int", "integer", "float", "number"}
_WHOLE_NUMBERS = {"int", "integer"}
_TEXTS = {"str", "string"}


def field_name(key: str) -> str:
    """The user's spelling of a hyper-parameter: `learningRate` -> `learning_rate`."""
    return _ODD_FIELDS.get(key) or re.sub(r"(?<=.)(?=[A-Z])", "_", key).lower()


def wire_key(field: str) -> str:
    """The platform's spelling of a hyper-parameter: `learning_rate` -> `learningRate`."""
    if field in _ODD_KEYS:
        return _ODD_KEYS[field]
    head, *tail = field.split("_")
    return head + "".join(part.capitalize() for part in tail)


@dataclass(frozen=True, slots=True)
class Limit:
    """The rule for one hyper-parameter.

    field: its name in snake_case; type: the platform's word for its type.
    check: `range` (allowed holds the ends, or one value that is meant exactly), `choice` (allowed holds the values)
        or `mult_choice` (the value is a list, allowed holds its possible elements). Other checks are not made.
    """

    field: str
    type: str
    check: str
    allowed: tuple[Any, ...]
    default: Any = None

    @classmethod
    def from_wire(cls, entry: Mapping[str, Any]) -> Limit:
        """Read one entry of the platform's list; what it lacks or spells in a new way is not checked."""
        allowed = entry.get("checkValue")
        return cls(
            field=field_name(str(entry["key"])),
            type=str(entry.get("type", "")),
            check=str(entry.get("checkType", "")),
            allowed=tuple(allowed) if isinstance(allowed, list) else (),
            default=entry.get("default"),
        )

    def allows(self, value: Any) -> bool:
        """Whether the platform takes the value."""
        if self.check == "mult_choice":
            return isinstance(value, (list, tuple)) and all(element in self.allowed for element in value)
        return self._has_the_type(value) and self._is_inside(value)

    def _has_the_type(self, value: Any) -> bool:
        if self.type in _NUMBERS:
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return is_number and (self.type not in _WHOLE_NUMBERS or float(value).is_integer())
        return isinstance(value, str) if self.type in _TEXTS else True

    def _is_inside(self, value: Any) -> bool:
        if not self.allowed:
            return True
        if self.check == "range" and len(self.allowed) == 2:
            lowest, highest = self.allowed
            return bool(lowest <= value <= highest)
        return value in self.allowed if self.check in ("range", "choice") else True

    def __str__(self) -> str:
        """The rule in words: `1 to 50`, `one of 4096, 8192`."""
        if not self.allowed:
            return f"any {self.type}" if self.type else "anything"
        listed = ", ".join(repr(value) if isinstance(value, str) else str(value) for value in self.allowed)
        if self.check == "mult_choice":
            return f"a list of {listed}"
        if self.check == "range" and len(self.allowed) == 2:
            return f"{self.allowed[0]} to {self.allowed[1]}"
        return f"one of {listed}" if len(self.allowed) > 1 else f"exactly {listed}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One value that a model cannot be trained with.

    kind: `unknown` when the model has no such parameter, `limit` when the value lies outside the allowed ones.
    allowed: what would be right, in words; source: who says so, `server` or `built-in table`.
    """

    field: str
    value: Any
    kind: Literal["unknown", "limit"]
    allowed: str
    source: str

    def __str__(self) -> str:
        if self.kind == "unknown":
            return f"{self.field}={self.value!r}: {self.allowed} (by the {self.source})"
        return f"{self.field}={self.value!r} is outside the allowed values: {self.allowed} (by the {self.source})"


class TrainLimit(Mapping[str, Limit]):
    """The rules for all hyper-parameters of a model, by field name; `limits.epoch` and `limits["epoch"]` are the same.

    `a | b` holds the rules of both; where both have one, that of `b`.
    """

    def __init__(self, limits: Mapping[str, Limit] | None = None, *, source: str = BUILT_IN) -> None:
        self._limits = dict(limits or {})
        self.source = source

    def __getitem__(self, field: str) -> Limit:
        return self._limits[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._limits)

    def __len__(self) -> int:
        return len(self._limits)

    def __getattr__(self, name: str) -> Limit:
        # Only called for names that are not attributes. Private ones are asked for while an object is being copied.
        if name.startswith("_") or name not in self._limits:
            raise AttributeError(f"no limit for {name!r}")
        return self._limits[name]

    def __or__(self, other: Mapping[str, Limit]) -> TrainLimit:
        return TrainLimit({**self._limits, **other}, source=self.source)

    def __repr__(self) -> str:
        rules = ", ".join(f"{field}: {limit}" for field, limit in self._limits.items())
        return f"TrainLimit({rules}; by the {self.source})"

    def problems(self, values: Mapping[str, Any], *, owner: str = "this model") -> list[Problem]:
        """Everything wrong with some hyper-parameters, by field name. None stands for a value that is not sent."""
        return [
            problem
            for field, value in values.items()
            if value is not None and (problem := self._problem(field, value, owner)) is not None
        ]

    def _problem(self, field: str, value: Any, owner: str) -> Problem | None:
        limit = self._limits.get(field)
        if limit is None:
            advice = f"{owner} has no such parameter; {suggestion(field, self._limits)}"
            return Problem(field, value, "unknown", advice, self.source)
        return None if limit.allows(value) else Problem(field, value, "limit", str(limit), self.source)
