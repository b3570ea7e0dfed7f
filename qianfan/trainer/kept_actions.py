"""Actions between processes: as JSON values, and made again from them.

An action is kept as the import path of its class and what it was made with: the fields of a new one, the public
attributes of an old-style one. Nothing is ever unpickled. What cannot come back is refused when it is to be kept.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, cast

from qianfan.errors import InvalidArgumentError, describe
from qianfan.evaluation.stored import revived
from qianfan.pipeline import Action, BaseAction, Pipeline
from qianfan.pipeline._adapter import _Adapted
from qianfan.trainer.actions import (
    BatchInferAction,
    DeployAction,
    EvaluateAction,
    LoadDataSetAction,
    ModelPublishAction,
    TrainAction,
)
from qianfan.trainer.configs import DatasetConfig
from qianfan.trainer.fields import Fields
from qianfan.trainer.gate import GateAction, kept_gate_rule

__all__ = ["kept_action", "made_action", "made_actions"]

_OWN: dict[str, type[Action[Any]]] = {
    kind.__name__: kind
    for kind in (
        LoadDataSetAction, TrainAction, ModelPublishAction, DeployAction, EvaluateAction, GateAction, BatchInferAction,
        Pipeline,
    )
}  # fmt: skip
"""The actions that are kept by their name alone."""


def kept_action(action: Action[Any] | BaseAction) -> dict[str, Any]:
    """An action as JSON values. Raises InvalidArgumentError when it could not be made again from them."""
    old = action.old if isinstance(action, _Adapted) else action
    kept: dict[str, Any] = {"type": _path_of(type(old)), "id": old.id, "name": old.name}
    if isinstance(old, Pipeline):
        kept["actions"] = [kept_action(one) for one in old]
    kept["init_params"] = _parameters(old)
    if isinstance(action, Action):
        kept |= {
            "using": dict(action._sources),
            "after": sorted(action._after),
            "only_if": sorted(action._conditions),
        }
    return {name: value for name, value in kept.items() if value not in ("", {}, [])}


def made_actions(kept: Sequence[Mapping[str, Any]]) -> list[Action[Any] | BaseAction]:
    """The actions of a trainer that `kept_action` described. Raises InvalidArgumentError that names the action."""
    return [made_action(Fields("the trainer", f"post_actions[{index}]", one)) for index, one in enumerate(kept)]


def made_action(fields: Fields) -> Action[Any] | BaseAction:
    """The action that `kept_action` described. Imports its module.

    Raises TrainerFileError that names the action when its class is not to be had in this process, or has changed.
    """
    path = fields.get("type", str)
    kind = _class_at(path, fields)
    facts = {"id": fields.get("id", str), "name": fields.get("name", str, "")}
    parameters = fields.get("init_params", dict, {})
    inside = [made_action(one) for one in fields.each("actions")]
    using, after = fields.get("using", dict, {}), fields.get("after", list, [])
    conditions = fields.get("only_if", list, [])
    fields.end()
    try:
        action = _made(kind, facts, parameters, inside)
    except Exception as error:  # a constructor of the user's own may fail in any way
        raise fields.error("init_params", f"{path} cannot be made of these: {describe(error)}") from error
    if isinstance(action, Action):
        action._sources.update(using)
        action._after.update(after)
        action._conditions.update(conditions)
    return action


# --- to JSON -----------------------------------------------------------------------------------------------------


def _path_of(kind: type[Any]) -> str:
    if _OWN.get(kind.__name__) is kind:
        return kind.__name__
    if kind.__name__ == "Pipeline" and issubclass(kind, Pipeline):
        return "Pipeline"  # the one with blocking names
    if "<" in kind.__qualname__:
        raise _refused(kind, "its class is inside a function: define it at the top level of a module")
    return f"{kind.__module__}:{kind.__qualname__}"


def _parameters(action: Action[Any] | BaseAction) -> dict[str, Any]:
    kind = type(action)
    if isinstance(action, Pipeline):
        return {"overlap": True} if action.overlap else {}
    if isinstance(action, Action):
        values = _fields_of(action)
    else:
        values = {name: value for name, value in vars(action).items() if not name.startswith("_")}
        values = {name: value for name, value in values.items() if name not in ("id", "name", "event_handler")}
    odd = next((name for name, value in values.items() if not _is_json(value)), None)
    if odd is not None:
        raise _refused(kind, f"its {odd!r} is no JSON value, but of type {type(values[odd]).__name__}")
    if not isinstance(action, Action):
        if not _takes(kind, values) and not _takes(kind, {}):
            raise _refused(kind, f"its constructor does not take {', '.join(values) or 'nothing'} as keywords")
    elif not isinstance(action, (*_OWN.values(),)):
        _check_way_back(action, values)
    return cast("dict[str, Any]", json.loads(json.dumps(values)))


def _fields_of(action: Action[Any]) -> dict[str, Any]:
    if isinstance(action, (LoadDataSetAction, EvaluateAction, GateAction, BatchInferAction)):
        return dict(action.parameters())  # which find their dataset, evaluators or rule again
    try:
        return action.model_dump(mode="json", exclude={"id", "name"}, exclude_defaults=True)
    except Exception as error:
        raise _refused(type(action), f"its fields are no JSON values: {error}") from error


def _check_way_back(action: Action[Any], values: Mapping[str, Any]) -> None:
    kind = type(action)
    try:
        is_same = vars(kind(id=action.id, name=action.name, **values)) == vars(action)
    except Exception:
        is_same = False
    if not is_same:
        raise _refused(kind, "one made of its JSON form is not equal to it: let its fields come back from JSON")


def _is_json(value: Any) -> bool:
    """Whether a value comes back from JSON as it went in."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def _takes(kind: type[Any], values: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(kind).bind(**values)
    except TypeError:
        return False
    return True


def _refused(kind: type[Any], why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"the action {kind.__qualname__} cannot be kept for another process: {why}")


# --- from JSON ---------------------------------------------------------------------------------------------------


def _class_at(path: str, fields: Fields) -> type[Any]:
    if path in _OWN:
        return _OWN[path]
    module, _, name = path.partition(":")
    try:
        found: Any = sys.modules["__main__"] if module == "__main__" else import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module of the user's own may fail in any way
        raise fields.error(
            "type",
            f"the action {path.replace(':', '.')} cannot be made again: {describe(error)}. Put its class where it can "
            "be imported from",
        ) from error
    if not (isinstance(found, type) and issubclass(found, (Action, BaseAction))):
        raise fields.error("type", f"{path.replace(':', '.')} is no action")
    return found


def _made(
    kind: type[Any], facts: Mapping[str, str], parameters: dict[str, Any], inside: Sequence[Action[Any] | BaseAction]
) -> Action[Any] | BaseAction:
    if issubclass(kind, Pipeline):
        return kind(inside, **facts, **parameters)
    if isinstance(parameters.get("dataset"), Mapping) and issubclass(kind, LoadDataSetAction):
        parameters = {**parameters, "dataset": DatasetConfig(**parameters["dataset"])}
    if issubclass(kind, EvaluateAction):
        parameters = {**parameters, "evaluators": [revived(kept) for kept in parameters.get("evaluators", [])]}
    if issubclass(kind, GateAction):
        parameters = {**parameters, "rule": kept_gate_rule(parameters["rule"])}
    if issubclass(kind, BaseAction):
        return _made_old(kind, facts, parameters)
    made: Action[Any] = kind(**facts, **parameters)
    return made


def _made_old(kind: type[BaseAction], facts: Mapping[str, str], parameters: Mapping[str, Any]) -> BaseAction:
    made = kind(**parameters) if _takes(kind, parameters) else kind()
    if not hasattr(made, "id"):  # its constructor never called that of BaseAction
        BaseAction.__init__(made)
    vars(made).update(parameters, **facts)
    return made
