"""Whatever the graph, the failures, the cancellations and the handlers: the promises of the engine hold."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan.pipeline import Action, ActionState, Context, Event, Pipeline, RunRecord, run, start

from .steps import Verdict

FINAL = {ActionState.Done, ActionState.Error, ActionState.Stopped}


class Node(Action[Verdict]):
    """Behaves as told, always through a few checkpoints so that siblings interleave."""

    steps: int
    fails: bool = False

    async def run(self, ctx: Context) -> Verdict:
        for step in range(self.steps):
            ctx.report(f"step {step}")
            await anyio.lowlevel.checkpoint()
        if self.fails:
            raise ValueError(self.id)
        return Verdict(True)


@dataclass(frozen=True)
class Graph:
    steps: list[int]
    fails: list[bool]
    edges: list[set[int]]
    overlap: bool
    stop_at: int | None

    def pipeline(self) -> Pipeline:
        nodes: list[Node] = []
        for number, (steps, fails, before) in enumerate(zip(self.steps, self.fails, self.edges, strict=True)):
            node = Node(id=str(number), steps=steps, fails=fails)
            node.after(*[nodes[index] for index in before])
            nodes.append(node)
        return Pipeline(nodes, overlap=self.overlap)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 10))
    return Graph(
        steps=draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)),
        fails=draw(st.lists(st.booleans().map(lambda x: x), min_size=size, max_size=size))
        if draw(st.booleans())
        else [False] * size,
        edges=[draw(st.sets(st.integers(0, max(0, i - 1)), max_size=3)) if i else set() for i in range(size)],
        overlap=draw(st.booleans()),
        stop_at=draw(st.none() | st.integers(0, 20)),
    )


async def _run(graph: Graph) -> tuple[list[Event], list[Event], Any]:
    seen: list[Event] = []
    heard: list[Event] = []

    async def hear(event: Event) -> None:
        heard.append(event)
        await anyio.lowlevel.checkpoint()

    async def raise_always(event: Event) -> None:
        raise RuntimeError("trouble")

    error: Exception | None = None
    try:
        async with start(graph.pipeline(), hear, raise_always) as flight:
            async for event in flight.events:
                seen.append(event)
                if event.sequence == graph.stop_at:
                    flight.stop()
    except ValueError as caught:
        error = caught
    return seen, heard, error


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(graph=graphs())
@settings(max_examples=150, deadline=None)
def test_the_promises_of_the_engine(backend: str, graph: Graph) -> None:
    seen, heard, error = anyio.run(_run, graph, backend=backend)

    assert [event.sequence for event in seen] == list(range(len(seen))), "numbered without a gap"
    assert heard == seen, "every handler has heard every event, in order"

    by_action: dict[str, list[Event]] = defaultdict(list)
    for event in seen:
        by_action[event.action_id].append(event)
    for events in by_action.values():
        states = [event.action_state for event in events]
        assert states[0] is ActionState.Preceding
        assert states[-1] in FINAL
        assert not FINAL & set(states[:-1]), "exactly one end"

    first = {id: events[0].sequence for id, events in by_action.items()}
    done = {id: events[-1].sequence for id, events in by_action.items() if events[-1].action_state is ActionState.Done}
    for number, before in enumerate(graph.edges):
        waits = before if graph.overlap else before | set(range(number))
        if str(number) in first:
            assert all(done[str(index)] < first[str(number)] for index in waits), "nothing starts before its turn"

    ends = {events[-1].action_state for events in by_action.values()}
    if error is not None:
        assert graph.fails[int(str(error))], "the error is an action's own"
        assert seen[-1].action_state is ActionState.Error
    elif ActionState.Stopped not in ends:
        assert len(done) == len(graph.steps) + 1, "without failure or stop everything is done"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(graph=graphs(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_resume_runs_each_action_to_done_exactly_once(backend: str, graph: Graph, data: st.DataObject) -> None:
    """Stop a run anywhere and resume it: together the two runs finish every action once."""
    stop_at = data.draw(st.integers(0, 30))
    healthy = Graph(graph.steps, [False] * len(graph.steps), graph.edges, graph.overlap, stop_at)
    record, done = RunRecord(), []

    def note(event: Event) -> None:
        if event.action_class is Node and event.action_state is ActionState.Done:
            done.append(event.action_id)

    async def twice() -> None:
        async def hear(event: Event) -> None:
            note(event)

        async with start(healthy.pipeline(), hear, record=record) as flight:
            async for event in flight.events:
                if event.sequence == stop_at:
                    flight.stop()
        await run(healthy.pipeline(), hear, record=record)

    anyio.run(twice, backend=backend)
    assert sorted(done, key=int) == [str(number) for number in range(len(graph.steps))]
