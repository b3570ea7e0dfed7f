"""Edges by type: tables of graphs, and what a bad graph is told."""

from __future__ import annotations

from typing import Any

import pytest

from qianfan.errors import PipelineError
from qianfan.pipeline import Action, Context, Pipeline, plan

from .steps import Data, Gate, Job, Load, Train, Verdict


class Both(Action[Verdict]):
    async def run(self, data: Data, job: Job | None = None) -> Verdict:
        return Verdict(job is not None)


class Untyped(Action[Verdict]):
    async def run(self, data) -> Verdict:  # type: ignore[no-untyped-def]
        return Verdict(True)


class Spread(Action[Verdict]):
    async def run(self, *needs: Any) -> Verdict:
        return Verdict(True)


class NoResult(Action[Verdict]):
    async def run(self, data: Data):  # type: ignore[no-untyped-def]
        return Verdict(True)


class Lists(Action["list[int]"]):
    async def run(self) -> list[int]:
        return [1]


class TakesList(Action[Verdict]):
    async def run(self, numbers: list[int], ctx: Context) -> Verdict:
        return Verdict(bool(numbers))


def test_needs_are_fed_by_type() -> None:
    load, train, gate = Load(id="load"), Train(id="train"), Gate(id="gate")
    assert plan([load, train, gate]) == {"load": {}, "train": {"data": "load"}, "gate": {"job": "train"}}


def test_an_optional_need_stays_empty_without_a_source() -> None:
    assert plan([Load(id="load"), Both(id="both")])["both"] == {"data": "load"}


def test_an_optional_need_is_fed_when_there_is_a_source() -> None:
    made = plan([Load(id="load"), Train(id="train"), Both(id="both")])
    assert made["both"] == {"data": "load", "job": "train"}


def test_parametrised_types_match_when_equal() -> None:
    assert plan([Lists(id="a"), TakesList(id="b")])["b"] == {"numbers": "a"}


def test_two_candidates_are_an_error_that_using_answers() -> None:
    load, first, second = Load(id="load"), Train(id="first"), Train(id="second")
    with pytest.raises(PipelineError, match=r"\.using\(job=\.\.\.\)"):
        plan([load, first, second, Gate()])
    gate = Gate(id="gate").using(job=first)
    assert plan([load, first, second, gate])["gate"] == {"job": "first"}


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        pytest.param([Gate()], "nothing before .* makes Job for its parameter 'job'", id="missing"),
        pytest.param([Load(id="x"), Train(id="x")], "two actions have the id 'x'", id="same id"),
        pytest.param([Load(), Untyped()], "parameter 'data' needs a type", id="untyped"),
        pytest.param([Load(), Spread()], "must name its needs", id="star args"),
        pytest.param([Load(), NoResult()], "needs an annotated result", id="no result"),
        pytest.param([Load(), Train().using(dataset=Load())], "not in the pipeline", id="stranger"),
        pytest.param([load := Load(), Train().using(nonsense=load)], "no parameter 'nonsense'", id="wrong parameter"),
        pytest.param([object()], "is no action", id="no action"),
    ],
)
def test_a_bad_graph_is_refused_with_the_reason(actions: list[Any], says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        Pipeline(actions)


def test_types_that_only_a_function_knows_are_explained() -> None:
    class Hidden:
        pass

    class Makes(Action[Any]):
        async def run(self) -> Hidden:
            return Hidden()

    with pytest.raises(PipelineError, match="at module level"):
        Pipeline([Makes()])


def test_a_circle_is_refused_at_construction() -> None:
    load, train = Load(id="load"), Train(id="train")
    load.after(train)
    with pytest.raises(PipelineError, match="in a circle"):
        Pipeline([load, train])


def test_a_pipeline_reads_like_a_list_of_its_actions() -> None:
    load, train = Load(id="load"), Train(id="train", name="fine-tune")
    pipeline = Pipeline([load, train])
    assert len(pipeline) == 2
    assert list(pipeline) == [load, train]
    assert pipeline["train"] is train
    assert pipeline.mermaid().splitlines() == [
        "flowchart LR",
        '    a0["Load"]',
        '    a1["fine-tune"]',
        "    a0 --> a1",
    ]
