"""Evaluators between processes: as JSON values, and made again from them.

An evaluator is kept as the import path of its class and its public attributes. It is made again by calling its class
with these as keywords; where the class does not take them, they are put back as they were. What cannot come back
exactly is refused when it is to be kept, not when it is missed.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from pydantic import BaseModel

from qianfan.errors import InvalidArgumentError, describe
from qianfan.evaluation.evaluator import Evaluator, LocalEvaluator, QianfanEvaluator, annotated

_CLASS, _SETTINGS = "class", "settings"


class LostEvaluator(LocalEvaluator):
    """Stands for an evaluator whose class could not be found again. It judges nothing, and is kept as the lost one is.

    why: what it could not be made again for.
    """

    kept: dict[str, Any]
    why: str

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        raise InvalidArgumentError(self.why)


def require_all(evaluators: Sequence[Evaluator]) -> None:
    """Raise InvalidArgumentError when one of them could not be made again."""
    for evaluator in evaluators:
        if isinstance(evaluator, LostEvaluator):
            raise InvalidArgumentError(evaluator.why)


_SECRET: Final = re.compile(
    r"(?i)^token$|(^|_)(ak|sk|api_?key|access_?key|secret|password|credentials?|(access|bearer|auth)_token)($|_)"
)
"""Names of attributes that hold what must not be written down."""


def stored(evaluator: Evaluator) -> dict[str, Any]:
    """An evaluator as JSON values. Raises InvalidArgumentError when it could not be made again from them."""
    if isinstance(evaluator, LostEvaluator):
        return evaluator.kept
    kind = type(evaluator)
    path = f"{kind.__module__}:{kind.__qualname__}"
    if "<" in kind.__qualname__:
        raise _refused(kind, "its class is inside a function: define it at the top level of a module")
    settings = _settings(evaluator)
    secret = next((name for name, value in settings.items() if value and _SECRET.search(name)), None)
    if secret is not None:
        raise _refused(
            kind,
            f"its attribute {secret!r} looks like a key, and what is kept can be read by others: read it from the "
            "environment where it is used, or keep it in an attribute that begins with '_'",
        )
    odd = next((name for name, value in settings.items() if not _is_json(value)), None)
    if odd is not None:
        raise _refused(
            kind,
            f"its attribute {odd!r} is no JSON value: let it be a text, a number, a list or a dictionary, or keep it "
            "in an attribute that begins with '_' and is made from the others",
        )
    _check_way_back(evaluator, settings)
    # A copy, since an evaluator may change while it judges.
    return {_CLASS: path, _SETTINGS: json.loads(json.dumps(settings))}


def revived(kept: Mapping[str, Any]) -> Evaluator:
    """The evaluator that `stored` described; a `LostEvaluator` where its class is not to be had in this process.

    Imports the module of its class.
    """
    path = str(kept[_CLASS])
    try:
        return _made(_class_at(path), dict(kept[_SETTINGS]))
    except Exception as error:  # a module of the user's own may fail in any way
        why = (
            f"the evaluator {path.replace(':', '.')} cannot be made again: {describe(error)}. Put its class where it "
            "can be imported from, or import the module that defines it first, and load the trainer again"
        )
        return LostEvaluator(kept=dict(kept), why=why)


# --- to JSON -----------------------------------------------------------------------------------------------------


def _settings(evaluator: Evaluator) -> dict[str, Any]:
    if isinstance(evaluator, BaseModel):
        try:
            return evaluator.model_dump(mode="json")
        except ValueError as error:
            raise _refused(type(evaluator), f"its fields are no JSON values: {error}") from error
    if dataclasses.is_dataclass(evaluator):
        return {field.name: getattr(evaluator, field.name) for field in dataclasses.fields(evaluator) if field.init}
    return {name: value for name, value in vars(evaluator).items() if not name.startswith("_")}


def _is_json(value: Any) -> bool:
    """Whether a value comes back from JSON as it went in."""
    if isinstance(value, list):
        items: list[Any] = value
        return all(_is_json(one) for one in items)
    if isinstance(value, dict):
        known: dict[Any, Any] = value
        return all(type(name) is str and _is_json(one) for name, one in known.items())
    if isinstance(value, float):
        return value - value == 0.0 and type(value) is float
    return value is None or type(value) in (str, int, bool)


def _check_way_back(evaluator: Evaluator, settings: Mapping[str, Any]) -> None:
    """Refuse what would come back as something else. Nothing of the user's is called but a model's own checks."""
    kind = type(evaluator)
    if isinstance(evaluator, BaseModel):
        try:
            is_same = vars(type(evaluator).model_validate(settings)) == vars(evaluator)
        except Exception:
            is_same = False
        if not is_same:
            raise _refused(kind, "a model of its JSON form is not equal to it: let its fields come back from JSON")
    elif not _takes(kind, settings) and any(name.startswith("_") for name in vars(evaluator)):
        raise _refused(
            kind,
            f"its constructor does not take {', '.join(settings) or 'nothing'} as keywords, so its private attributes "
            "could not be made again: let __init__ take every public attribute by its name, and no others",
        )


def _takes(kind: type[Evaluator], settings: Mapping[str, Any]) -> bool:
    if kind.__init__ is Evaluator.__init__:
        return settings.keys() <= {*annotated(kind)}
    try:
        inspect.signature(kind).bind(**settings)
    except TypeError:
        return False
    return True


def _refused(kind: type[Evaluator], why: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"the evaluator {kind.__qualname__} cannot be kept for another process that goes on with the trainer: {why}"
    )


# --- from JSON ---------------------------------------------------------------------------------------------------


def _class_at(path: str) -> type[Evaluator]:
    module, _, name = path.partition(":")
    found: Any = sys.modules["__main__"] if module == "__main__" else import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, (LocalEvaluator, QianfanEvaluator))):
        raise InvalidArgumentError(f"{name} is no evaluator")
    return found


def _made(kind: type[Evaluator], settings: dict[str, Any]) -> Evaluator:
    if issubclass(kind, BaseModel):
        return kind.model_validate(settings)
    if _takes(kind, settings):
        return kind(**settings)
    evaluator: Evaluator = kind.__new__(kind)
    vars(evaluator).update(settings)
    return evaluator
