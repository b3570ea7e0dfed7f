"""Models of answers, there and back: what is read from the wire, written as the wire has it, reads the same again."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
import pydantic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo

from qianfan.resources._base import WireModel

Made = TypeVar("Made", bound=BaseModel)
Path = tuple[str | int, ...]

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: st.datetimes().map(datetime.isoformat),
}


def round_trips(model: type[WireModel]) -> None:
    """Check a model with answers that hypothesis invents: every field, some fields, and fields it does not know."""

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(original=instances(model))
    def check(original: WireModel) -> None:
        assert model.model_validate(to_wire(original)) == original

    check()


def instances(model: type[Made]) -> st.SearchStrategy[Made]:
    """Models that were read from an answer."""
    return wire_of(model).map(lambda body: _read(model, body)).filter(lambda made: made is not None)


def wire_of(kind: Any) -> st.SearchStrategy[Any]:
    """What the platform could write for a type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _object_of(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from([member.value for member in kind])
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _limited(parts[0], parts[1:])
    if origin in (Union, types.UnionType):
        return st.one_of([wire_of(part) for part in parts])
    if origin is Literal:
        return st.sampled_from(parts)
    if origin in (list, tuple):
        return st.lists(wire_of(parts[0]), max_size=3)
    if origin in (dict, Mapping):
        return st.dictionaries(st.text(max_size=8), wire_of(parts[1]), max_size=3)
    return _PLAIN.get(kind, _JSON)


def to_wire(value: Any) -> Any:
    """A model as the answer it could have been read from, each field under the first name that it is read by."""
    if isinstance(value, BaseModel):
        body: Any = dict(value.model_extra or {})
        for name, field in type(value).model_fields.items():
            body = _put(body, _path(name, field), to_wire(getattr(value, name)))
        return body
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: to_wire(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_wire(part) for part in value]
    return value


def _object_of(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    fields = model.model_fields
    some = {
        name: _limited(field.annotation, field.metadata) for name, field in fields.items() if not field.is_required()
    }
    needed = {name: _limited(field.annotation, field.metadata) for name, field in fields.items() if name not in some}
    grown = st.dictionaries(st.just("aFieldOfTomorrow"), _JSON, max_size=1)

    def laid_out(values: Mapping[str, Any], extra: dict[str, Any]) -> Any:
        body: Any = dict(extra)
        for name, value in values.items():
            body = _put(body, _path(name, fields[name]), value)
        return body

    return st.builds(laid_out, st.fixed_dictionaries(needed, optional=some), grown)


def _limited(kind: Any, limits: Iterable[Any]) -> st.SearchStrategy[Any]:
    values = wire_of(kind)
    for limit in limits:
        if isinstance(limit, annotated_types.MinLen):
            shortest = limit.min_length
            values = values.filter(lambda value, shortest=shortest: len(value) >= shortest)
    return values


def _read(model: type[Made], body: Any) -> Made | None:
    try:
        return model.model_validate(body)
    except pydantic.ValidationError:
        return None


def _path(name: str, field: FieldInfo) -> Path:
    alias: Any = field.validation_alias or field.alias or name
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return tuple(alias.path) if isinstance(alias, AliasPath) else (alias,)


def _put(body: Any, path: Path, value: Any) -> Any:
    """A body with a value in its place; objects and lists on the way are made."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        filled = [*(body or []), *[None] * (step + 1 - len(body or []))]
        filled[step] = _put(filled[step], rest, value)
        return filled
    return {**(body or {}), step: _put((body or {}).get(step), rest, value)}
