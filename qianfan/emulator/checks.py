"""The JSON body of a call, read field by field. A field that does not fit refuses the call and is named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TypeVar

from qianfan._types import JSON
from qianfan.emulator.records import Record
from qianfan.emulator.refusals import Problem, Refused, invalid

_SUFFIX = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")
_MODEL_NAME_LENGTH = 100

R = TypeVar("R", bound=Record)


class Body:
    """The fields of a request. Every reader raises Refused with the field's name."""

    def __init__(self, fields: dict[str, JSON]) -> None:
        self.fields = fields

    def get(self, key: str) -> JSON:
        """A field as it is, None when absent."""
        return self.fields.get(key)

    def text(self, key: str, *, shortest: int = 1, longest: int | None = None) -> str:
        """A required text."""
        value = self.fields.get(key)
        if not isinstance(value, str) or len(value) < shortest or (longest is not None and len(value) > longest):
            limit = f", {shortest} to {longest} characters" if longest else ""
            raise invalid(key, f"{key} must be a text{limit}, found {_shown(value)}")
        return value

    def optional_text(self, key: str, *, longest: int | None = None) -> str:
        """A text that may be absent or null; then it is empty."""
        return "" if self.fields.get(key) in (None, "") else self.text(key, longest=longest)

    def one_of(self, key: str, allowed: Sequence[JSON]) -> JSON:
        """A required value out of a set."""
        value = self.fields.get(key)
        if isinstance(value, bool) or value not in allowed:
            raise invalid(key, f"{key} must be one of {list(allowed)}, found {_shown(value)}")
        return value

    def number(self, key: str, low: float, high: float, *, default: float | None = None) -> float:
        """A number within limits; required unless there is a default."""
        value = self.fields.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise invalid(key, f"{key} must be a number from {low:g} to {high:g}, found {_shown(value)}")
        return value

    def moment(self, key: str) -> datetime:
        """A required time in UTC."""
        try:
            return datetime.strptime(self.text(key), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        except ValueError:
            value = _shown(self.fields.get(key))
            raise invalid(key, f"{key} must be like 2024-05-16T15:23:30Z, found {value}") from None

    def object(self, key: str, *, required: bool = True) -> dict[str, JSON]:
        """An object; absent and not required: an empty one."""
        value = self.fields.get(key)
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            raise invalid(key, f"{key} must be an object, found {_shown(value)}")
        return value

    def items(self, key: str) -> list[JSON]:
        """A list with at least one element."""
        value = self.fields.get(key)
        if not isinstance(value, list) or not value:
            raise invalid(key, f"{key} must be a list with at least one element, found {_shown(value)}")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts that may be absent; then it is empty."""
        value = self.fields.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid(key, f"{key} must be a list of texts, found {_shown(value)}")
        return value

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """True or false; required unless there is a default."""
        value = self.fields.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, bool):
            raise invalid(key, f"{key} must be true or false, found {_shown(value)}")
        return value


def name_of_2_to_20(body: Body, key: str = "name") -> str:
    """The name of a job or a service."""
    return body.text(key, shortest=2, longest=20)


def url_suffix(body: Body, key: str = "urlSuffix") -> str:
    """The last part of a service's address: 2 to 20 of a-z 0-9 _ -, letter or digit at both ends."""
    value = body.text(key, shortest=2, longest=20)
    if not _SUFFIX.fullmatch(value):
        raise invalid(key, f"{key} must be of a-z 0-9 _ - with a letter or digit at both ends, found {value!r}")
    return value


def model_name(body: Body, key: str) -> str:
    """The name of a model."""
    if not body.get(key):
        raise Refused(Problem.MODEL_NAME_EMPTY, key, "the model name is empty")
    return body.text(key, longest=_MODEL_NAME_LENGTH)


def distinct(records: Iterable[R]) -> list[R]:
    """Each record once, though a call names it twice."""
    return list({record.id: record for record in records}.values())


def found(record: R | None, problem: Problem, field: str, key: JSON) -> R:
    """The record that was looked up, or a refusal that names what does not exist."""
    if record is None:
        raise Refused(problem, field, f"{field} {_shown(key)} does not exist")
    return record


def _shown(value: JSON) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
