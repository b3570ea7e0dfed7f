"""Actions that are performed only if others said yes: what is told, kept and handed on when they did not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from qianfan.errors import PipelineChanged, PipelineError
from qianfan.journal import SqliteJournal
from qianfan.pipeline import Action, BaseAction, Context, Pipeline, Previous, Results, RunRecord, run, start

from .steps import Collect, Data, Job, Load, Train

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Answer:
    yes: bool

    def __bool__(self) -> bool:
        return self.yes


@dataclass(frozen=True)
class Shipped:
    id: str


class Ask(Action[Answer]):
    yes: bool = True
    log: Any = Field(default=None, exclude=True)

    async def run(self, data: Data) -> Answer:
        if self.log is not None:
            self.log.append(self.id)
        return Answer(self.yes)


class Ship(Action[Shipped]):
    async def run(self, job: Job) -> Shipped:
        return Shipped(job.id)


class Follow(Action[str]):
    async def run(self, shipped: Shipped) -> str:
        return shipped.id


class Report(Action[str]):
    async def run(self, job: Job, shipped: Shipped | None = None) -> str:
        return f"{job.id}: {shipped}"


class Echo(Action[str]):
    async def run(self, previous: Previous, ctx: Context) -> str:
        return repr(previous)


class Old(BaseAction):
    def exec(self, input: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        return {"given": input}


def steps(yes: bool) -> tuple[Load, Train, Ask, Ship]:
    ask = Ask(id="ask", yes=yes)
    return Load(id="load"), Train(id="train"), ask, Ship(id="ship").only_if(ask)


async def test_what_was_agreed_to_is_performed() -> None:
    load, train, ask, ship = steps(yes=True)
    made = await run(Pipeline([load, train, ask, ship]))
    assert made[ship] == Shipped("ds/1")


async def test_a_skipped_action_tells_its_beginning_and_one_end() -> None:
    load, train, ask, ship = steps(yes=False)
    handler = Collect()
    pipeline = Pipeline([load, train, ask, ship])
    made = await run(pipeline, handler)
    assert ship not in made
    assert len(made) == 3
    assert handler.told()[-5:] == [
        ("Ask", "Done"),
        ("Pipeline", "Running"),
        ("Ship", "Preceding"),
        ("Ship", "Done"),
        ("Pipeline", "Done"),
    ]
    skipped, end = handler.events[-2:]
    assert skipped.kind == "skipped"
    assert skipped.data == {"skipped": "Ask[ask] made Answer(yes=False)"}
    assert end.data == Answer(False)


async def test_what_needs_a_skipped_action_is_skipped_and_what_can_do_without_is_not() -> None:
    load, train, ask, ship = steps(yes=False)
    follow, report, echo, old = Follow(id="follow"), Report(id="report"), Echo(id="echo"), Old(id="old")
    pipeline = Pipeline([load, train, ask, ship, echo, follow, report, old])
    handler = Collect()
    made = await run(pipeline, handler)
    assert {event.action_id: event.data["skipped"] for event in handler.events if event.kind == "skipped"} == {
        "ship": "Ask[ask] made Answer(yes=False)",
        "follow": "Ship[ship] was skipped",
    }
    assert made[report] == "ds/1: None"
    assert made[echo] == "Answer(yes=False)"
    assert made["old"] == {"given": {}}


async def test_the_first_action_may_be_followed_by_one_that_takes_what_came_before() -> None:
    class First(Action[Answer]):
        async def run(self) -> Answer:
            return Answer(False)

    first = First(id="first")
    inner = Pipeline([Load(id="load")], id="inner").only_if(first)
    made = await run(Pipeline([first, inner, Echo(id="echo")]))
    assert made["echo"] == "Answer(yes=False)"
    assert "inner" not in made


async def test_a_condition_that_was_skipped_is_not_met() -> None:
    no = Ask(id="no", yes=False)
    second = Ask(id="second").only_if(no)
    third = Load(id="third").only_if(second)
    made = await run(Pipeline([Load(id="load"), no, second, third]))
    assert list(made.by_id) == ["load", "no"]


async def test_all_conditions_have_to_be_met_side_by_side_too() -> None:
    load, yes, no = Load(id="load"), Ask(id="yes"), Ask(id="no", yes=False)
    train = Train(id="train").only_if(yes, no)
    other = Train(id="other").only_if(yes)
    made = await run(Pipeline([load, yes, no, train, other], overlap=True))
    assert sorted(made.by_id) == ["load", "no", "other", "yes"]


def test_a_condition_outside_the_pipeline_is_refused() -> None:
    with pytest.raises(PipelineError, match="not in the pipeline"):
        Pipeline([Load(id="load").only_if(Load(id="stranger"))])


# --- kept ---------------------------------------------------------------------------------------------------------


async def test_in_memory_nothing_is_asked_twice() -> None:
    log: list[str] = []
    ask = Ask(id="ask", yes=False, log=log)
    pipeline = Pipeline([Load(id="load"), Train(id="train"), ask, Ship(id="ship").only_if(ask)])
    record, handler = RunRecord(), Collect()
    await run(pipeline, record=record)
    async with start(pipeline, handler, record=record) as flight:
        pass
    assert "ship" not in flight.output
    assert record.why_skipped("ship") == "Ask[ask] made Answer(yes=False)"
    assert log == ["ask"]
    assert handler.told() == [("Pipeline", "Preceding"), ("Pipeline", "Done")]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(tmp_path / "runs.sqlite3")) as opened:
        yield opened


async def test_the_journal_keeps_that_an_action_was_skipped(journal: SqliteJournal) -> None:
    log: list[str] = []

    def pipeline() -> Pipeline:
        ask = Ask(id="ask", yes=False, log=log)
        ship = Ship(id="ship").only_if(ask)
        return Pipeline([Load(id="load"), Train(id="train"), ask, ship, Follow(id="follow")], id="whole")

    await run(pipeline(), journal=journal, run_id="r")
    async with start(pipeline(), journal=journal, run_id="r") as flight:
        pass
    assert flight.was_done
    made: Results = flight.output
    assert list(made.by_id) == ["load", "train", "ask"]
    kinds = [event.kind for event in await journal.events("r") if event.action_id in ("ship", "follow")]
    assert kinds == ["Preceding", "skipped", "Preceding", "skipped"]
    assert log == ["ask"]


async def test_a_condition_is_part_of_the_run(journal: SqliteJournal) -> None:
    load, train, ask, ship = steps(yes=True)
    await run(Pipeline([load, train, ask, ship], id="whole"), journal=journal, run_id="r")
    bare = Pipeline([load, train, ask, Ship(id="ship")], id="whole")
    with pytest.raises(PipelineChanged):
        await run(bare, journal=journal, run_id="r")


async def test_begun_anew_a_skipped_action_may_be_performed(journal: SqliteJournal) -> None:
    for yes in (False, True):
        made = await run(Pipeline([*steps(yes)], id="whole"), journal=journal, run_id="r", renew="everything")
        assert ("ship" in made) is yes


# --- any graph ----------------------------------------------------------------------------------------------------


@given(
    answers=st.lists(st.booleans(), min_size=1, max_size=5),
    conditions=st.lists(st.sets(st.integers(0, 4), max_size=3), min_size=1, max_size=5),
    overlap=st.booleans(),
)
def test_exactly_what_all_conditions_allow_is_performed(
    answers: list[bool], conditions: list[set[int]], overlap: bool
) -> None:
    asks = [Ask(id=f"ask{n}", yes=yes) for n, yes in enumerate(answers)]
    trains = [
        Train(id=f"train{n}").only_if(*(asks[one] for one in named if one < len(asks)))
        for n, named in enumerate(conditions)
    ]
    for before, train in pairwise(trains):
        train.using(previous=before)
    handler = Collect()
    made = anyio.run(run, Pipeline([Load(id="load"), *asks, *trains], overlap=overlap), handler)
    for n, named in enumerate(conditions):
        assert (f"train{n}" in made) is all(answers[one] for one in named if one < len(answers))
    ends = [event for event in handler.events if event.action_state.value == "Done"]
    assert len(ends) == len({event.action_id for event in ends}) == 2 + len(asks) + len(trains)
