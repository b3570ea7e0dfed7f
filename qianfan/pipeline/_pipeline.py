"""Pipelines: actions in the order that their graph gives them, and the walk that performs them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar, cast

import anyio
from pydantic import PrivateAttr

from qianfan.errors import PipelineError
from qianfan.pipeline._action import Action, hints_of
from qianfan.pipeline._adapter import BaseAction, adapt
from qianfan.pipeline._context import Context
from qianfan.pipeline._perform import perform, skip
from qianfan.pipeline._plan import (
    FROM_INPUT,
    Previous,
    fingerprint,
    label_of,
    made_by,
    mermaid,
    optional_needs,
    plan,
    predecessors,
)
from qianfan.pipeline._record import RunRecord

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

Made = TypeVar("Made")


class Results:
    """What each action made: `results[train]` has the type that `train` makes; an id works too.

    An action that was skipped made nothing, and is not in it.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, Any] = {}

    def __getitem__(self, action: Action[Made] | str) -> Made:
        return cast(Made, self.by_id[action if isinstance(action, str) else action.id])

    def __contains__(self, action: Action[Any] | str) -> bool:
        return (action if isinstance(action, str) else action.id) in self.by_id

    def __len__(self) -> int:
        return len(self.by_id)

    def __repr__(self) -> str:
        return f"Results({self.by_id!r})"


class Pipeline(Action[Results]):
    """Actions and the order that their types, `.using()` and `.after()` give them.

    A list is a chain: each action also waits for the one before it. With `overlap=True` only data and `.after` order
    them, and what can run side by side does. Raises PipelineError at construction when the graph cannot run.
    """

    overlap: bool = False

    _actions: dict[str, Action[Any]] = PrivateAttr()
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _plan: dict[str, dict[str, str]] = PrivateAttr()
    _waits: dict[str, set[str]] = PrivateAttr()

    def __init__(self, actions: Iterable[Action[Any] | BaseAction], **settings: Any) -> None:
        super().__init__(**settings)
        adapted = [adapt(action) if isinstance(action, BaseAction) else action for action in actions]
        self._plan = plan(adapted)
        self._actions = {action.id: action for action in adapted}
        self._waits = predecessors(self._actions, self._plan, chain=not self.overlap)
        self._graph()  # a circle is refused here, not half-way through a run

    @property
    def actions(self) -> tuple[Action[Any], ...]:
        """The actions in the order they were given."""
        return tuple(self._actions.values())

    @property
    def is_recorded(self) -> bool:
        """A pipeline is found again through its own actions."""
        return False

    def parameters(self) -> Any:
        """The graph."""
        return fingerprint(self._actions, self._waits)

    def __len__(self) -> int:
        return len(self._actions)

    def __iter__(self) -> Iterator[Action[Any]]:  # type: ignore[override]  # a pipeline is read as its actions, not as its fields
        return iter(self._actions.values())

    def __getitem__(self, action_id: str) -> Action[Any]:
        return self._actions[action_id]

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        return mermaid(self._actions, self._waits)

    def event_data(self, made: Results) -> Any:
        """The Done event of a pipeline carries what its last action made, of those that were not skipped."""
        return next((made.by_id[id] for id in reversed(self._actions) if id in made.by_id), None)

    def _graph(self) -> TopologicalSorter[str]:
        graph = TopologicalSorter(self._waits)
        try:
            graph.prepare()
        except CycleError as error:
            circle = [label_of(self._actions[id]) for id in error.args[1]]
            raise PipelineError(f"the actions wait for each other in a circle: {' → '.join(circle)}") from error
        return graph

    def _ancestors(self, id: str) -> set[str]:
        """Everything an action waits for, directly or not."""
        found: set[str] = set()
        ahead = [*self._waits[id]]
        while ahead:
            one = ahead.pop()
            if one not in found:
                found.add(one)
                ahead += self._waits[one]
        return found

    async def run(self, ctx: Context) -> Results:
        """Perform every action that the run's record does not already hold as done."""
        visits = _Visits(self, ctx)
        await visits.all()
        return visits.results


class _Visits:
    """One walk through a pipeline's graph."""

    def __init__(self, pipeline: Pipeline, ctx: Context) -> None:
        self.results = Results()
        self._pipeline = pipeline
        self._ctx = ctx
        self._graph = pipeline._graph()
        self._failures: list[Exception] = []

    async def all(self) -> None:
        ready = self._graph.get_ready()
        # Most pipelines are chains, and a task group for each step would cost more than the engine itself.
        while len(ready) == 1:
            ready = await self._visit(ready[0])
        if ready:
            await self._side_by_side(ready)

    async def _side_by_side(self, ready: tuple[str, ...]) -> None:
        try:
            async with anyio.create_task_group() as group:
                await self._follow(ready, group)
        except BaseExceptionGroup:
            if not self._failures:
                raise
        # Outside the except block, so that the first failure comes out as itself and not with the group behind it.
        if self._failures:
            raise self._failures[0]

    async def _follow(self, ready: tuple[str, ...], group: Any) -> None:
        """Visit the nodes and all that they free: the first here, the others as tasks beside it."""
        while ready:
            first, *others = ready
            for other in others:
                group.start_soon(self._follow, (other,), group)
            try:
                ready = await self._visit(first)
            except Exception as error:
                self._failures.append(error)
                raise

    async def _visit(self, id: str) -> tuple[str, ...]:
        """Perform one action and return the ids of those it freed."""
        state, action = self._ctx.state, self._pipeline._actions[id]
        if id not in state.record:
            self._ctx.report(f"next is {label_of(action)}", {"action": id})
            why = self._why_not(action)
            if why is None:
                self.results.by_id[id] = await perform(action, self._needs(action), state)
            else:
                await skip(action, why, state)
        elif state.record.why_skipped(id) is None:
            self.results.by_id[id] = state.record.output(id, made_by(action))
        self._graph.done(id)
        return self._graph.get_ready()

    def _why_not(self, action: Action[Any]) -> str | None:
        """Why an action is to be skipped; None if it is to be performed."""
        made, conditions = self.results.by_id, sorted(action._conditions)
        fed = {name: source for name, source in self._pipeline._plan[action.id].items() if source != FROM_INPUT}
        missing = [source for source in [*conditions, *fed.values()] if source not in made]
        if missing:
            optional = optional_needs(action)
            needed = {*conditions, *(source for name, source in fed.items() if name not in optional)}
            missing = [source for source in missing if source in needed]
        if missing:
            return f"{label_of(self._pipeline._actions[missing[0]])} was skipped"
        refused = next((id for id in conditions if not made[id]), None)
        return f"{label_of(self._pipeline._actions[refused])} made {made[refused]!r}" if refused is not None else None

    def _needs(self, action: Action[Any]) -> dict[str, Any]:
        made, hints = self.results.by_id, hints_of(type(action))
        needs: dict[str, Any] = {}
        for name, source in self._pipeline._plan[action.id].items():
            if hints[name] is Previous:
                source = self._last_made(source)
            if source == FROM_INPUT:
                needs[name] = self._ctx.state.input
            elif source in made:
                needs[name] = made[source]
        return needs

    def _last_made(self, id: str) -> str:
        """The action itself, or the last one before it in the list, among those it waited for, that was not skipped."""
        if id in self.results.by_id or id == FROM_INPUT:
            return id
        over, found = self._pipeline._ancestors(id), FROM_INPUT
        for one in self._pipeline._actions:
            found = one if one in over and one in self.results.by_id else found
        return found


def outputs_so_far(pipeline: Pipeline, record: RunRecord) -> Mapping[str, Any]:
    """What the actions of a pipeline have made according to a record, by action id."""
    made = [action for action in pipeline if action.id in record and record.why_skipped(action.id) is None]
    return {action.id: record.output(action.id, made_by(action)) for action in made}
