"""Edges from signatures: which action feeds which parameter of which other action. Pure, so it is tested by tables."""

from __future__ import annotations

import hashlib
import inspect
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NewType, Union, get_args, get_origin

from qianfan.errors import PipelineError
from qianfan.pipeline._action import Action, hints_of
from qianfan.pipeline._context import Context

Previous = NewType("Previous", object)
"""Annotates a parameter that takes whatever the action before this one in the list made, or the run's input."""

FROM_INPUT = ""
"""Stands in a plan where a parameter takes the run's input, since there is no action before."""


def plan(actions: Iterable[Action[Any]]) -> dict[str, dict[str, str]]:
    """For each action's id, the id of the action behind each parameter.

    A parameter is fed by the one earlier action that makes its type, or a subclass of it; `.using()` decides where
    several do. Raises PipelineError with the fix in its message, so that a bad graph never starts.
    """
    listed = list(actions)
    _check_ids(listed)
    sources: dict[str, dict[str, str]] = {}
    makes: dict[str, Any] = {}
    before = FROM_INPUT
    for action in listed:
        sources[action.id] = _sources_of(action, makes, before)
        makes[action.id] = made_by(action)
        before = action.id
    return sources


def optional_needs(action: Action[Any]) -> set[str]:
    """The parameters that an action can do without: those with a default, and whatever came before."""
    hints = hints_of(type(action))
    return {
        name
        for name, parameter in _parameters(action, hints).items()
        if parameter.default is not parameter.empty or hints[name] is Previous
    }


def made_by(action: Action[Any]) -> Any:
    """The annotated result of an action's `run`."""
    try:
        return hints_of(type(action))["return"]
    except KeyError:
        raise PipelineError(f"{type(action).__name__}.run needs an annotated result: -> WhatItMakes") from None


def _check_ids(actions: Sequence[Action[Any]]) -> None:
    seen: dict[str, Action[Any]] = {}
    for action in actions:
        if not isinstance(action, Action):
            raise PipelineError(f"{action!r} is no action: derive it from Action, or from BaseAction for the old style")
        if action.id in seen:
            raise PipelineError(
                f"two actions have the id {action.id!r}: {label_of(seen[action.id])} and {label_of(action)}"
            )
        seen[action.id] = action
    known = seen.keys()
    for action in actions:
        strangers = ({*action._sources.values()} | action._after | action._conditions) - known
        if strangers:
            raise PipelineError(
                f"{label_of(action)} refers to actions that are not in the pipeline: {sorted(strangers)}"
            )


def _sources_of(action: Action[Any], makes: Mapping[str, Any], before: str) -> dict[str, str]:
    hints = hints_of(type(action))
    parameters = _parameters(action, hints)
    chosen = action._sources
    unknown = chosen.keys() - parameters.keys()
    if unknown:
        raise PipelineError(
            f"{label_of(action)} has no parameter {min(unknown)!r} to use an action for; it has {sorted(parameters)}"
        )
    found: dict[str, str] = {}
    for name, parameter in parameters.items():
        if name in chosen:
            found[name] = chosen[name]
        elif hints[name] is Previous:
            found[name] = before
        else:
            source = _source_by_type(action, name, parameter, hints[name], makes)
            if source is not None:
                found[name] = source
    return found


def _parameters(action: Action[Any], hints: Mapping[str, Any]) -> dict[str, inspect.Parameter]:
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(action.run).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PipelineError(f"{type(action).__name__}.run must name its needs; *args and **kwargs say nothing")
        if name not in hints:
            raise PipelineError(f"{type(action).__name__}.run: parameter {name!r} needs a type, so that it can be fed")
        if hints[name] is not Context:
            parameters[name] = parameter
    return parameters


def _source_by_type(
    action: Action[Any], name: str, parameter: inspect.Parameter, hint: Any, makes: Mapping[str, Any]
) -> str | None:
    wanted = _alternatives(hint)
    found = [id for id, made in makes.items() if any(_fits(made, one) for one in wanted)]
    if len(found) > 1:
        raise PipelineError(f"{name!r} of {label_of(action)} could come from {found}; say .using({name}=...)")
    if found:
        return found[0]
    if parameter.default is parameter.empty:
        raise PipelineError(f"nothing before {label_of(action)} makes {_spell(hint)} for its parameter {name!r}")
    return None


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(one for one in get_args(hint) if one is not type(None))
    return (hint,)


def _fits(made: Any, wanted: Any) -> bool:
    # Parametrised types (list[int]) are no classes in the sense of issubclass; they fit when they are equal.
    if get_origin(made) is None and get_origin(wanted) is None and isinstance(made, type) and isinstance(wanted, type):
        return issubclass(made, wanted)
    return bool(made == wanted)


def label_of(action: Action[Any]) -> str:
    """What messages call an action."""
    return f"{action.kind.__name__}[{action.id}]"


def _spell(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def predecessors(
    actions: Mapping[str, Action[Any]], sources: Mapping[str, Mapping[str, str]], *, chain: bool
) -> dict[str, set[str]]:
    """For each action, those it waits for: sources, `.after`, `.only_if`, and in a chain the one before."""
    waits = {
        id: ({*fed.values()} - {FROM_INPUT}) | actions[id]._after | actions[id]._conditions
        for id, fed in sources.items()
    }
    if chain:
        for before, id in pairwise(waits):
            waits[id].add(before)
    return waits


def mermaid(actions: Mapping[str, Action[Any]], waits: Mapping[str, Iterable[str]]) -> str:
    """The graph as a Mermaid flowchart, for documents and notebooks."""
    number = {id: f"a{index}" for index, id in enumerate(actions)}
    nodes = [f'    {number[id]}["{action.name or action.kind.__name__}"]' for id, action in actions.items()]
    edges = [f"    {number[before]} --> {number[id]}" for id, them in waits.items() for before in sorted(them)]
    return "\n".join(["flowchart LR", *nodes, *edges])


def fingerprint(actions: Mapping[str, Action[Any]], waits: Mapping[str, Iterable[str]]) -> str:
    """What tells one graph of actions from another: their names, versions, parameters and edges."""
    described = [
        [
            *(id, action.kind.__qualname__, action.version, action.parameters(), sorted(waits.get(id, ()))),
            *([sorted(action._conditions)] if action._conditions else []),
        ]
        for id, action in actions.items()
    ]
    text = json.dumps(described, sort_keys=True, ensure_ascii=False, default=lambda value: type(value).__qualname__)
    return hashlib.sha256(text.encode()).hexdigest()
