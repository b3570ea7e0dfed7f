"""Evaluators as JSON: what comes back exactly, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from qianfan.errors import InvalidArgumentError
from qianfan.evaluation import ExactMatchEvaluator, LocalEvaluator, SimilarityEvaluator
from qianfan.evaluation.stored import LostEvaluator, require_all, revived, stored
from tests.evaluation.judges import Bounds, Length, Matching, Modelled, Plain, Weighted

EVALUATORS = [
    SimilarityEvaluator(),
    ExactMatchEvaluator(ignore_case=True),
    Length(),
    Length(limit=3),
    Matching("^a"),
    Plain("word"),
    Weighted({"a": 0.5}),
    Modelled(bounds=Bounds(low=2, high=3), tags=("x", "y")),
]


@pytest.mark.parametrize("evaluator", EVALUATORS, ids=lambda one: repr(one))
def test_what_is_kept_comes_back_exactly(evaluator: LocalEvaluator) -> None:
    again = revived(json.loads(json.dumps(stored(evaluator))))
    assert type(again) is type(evaluator)
    assert vars(again) == vars(evaluator)
    assert again.evaluate("q", "abc", "abc") == evaluator.evaluate("q", "abc", "abc")
    assert stored(again) == stored(evaluator)


class Client:
    pass


class Holding(LocalEvaluator):
    def __init__(self, value: Any) -> None:
        self.value = value

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return {}


class Hidden(Holding):
    def __init__(self, given: str) -> None:
        super().__init__(given)
        self._from_outside = given


class Secret(BaseModel, LocalEvaluator):
    key: SecretStr

    def evaluate(self, input: Any, reference: str, output: str) -> dict[str, Any]:
        return {}


def _of_a_function() -> LocalEvaluator:
    class Local(Length):
        pass

    return Local()


@pytest.mark.parametrize(
    ("evaluator", "why"),
    [
        (_of_a_function(), "Local cannot be kept .* top level of a module"),
        (Holding(Client()), "Holding cannot be kept .* 'value' is no JSON value"),
        (Holding((1, 2)), "'value' is no JSON value"),
        (Holding({1: 2}), "'value' is no JSON value"),
        (Holding(float("nan")), "'value' is no JSON value"),
        (Hidden("x"), "constructor does not take value"),
        (Secret(key=SecretStr("x")), "not equal to it"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, LocalEvaluator) else "",
)
def test_what_could_not_come_back_is_refused_with_the_fix(evaluator: LocalEvaluator, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        stored(evaluator)


@pytest.mark.parametrize(
    "path", ["nowhere.at_all:Length", "tests.evaluation.judges:Longth", "tests.evaluation.judges:Bounds"]
)
def test_an_evaluator_that_is_not_to_be_had_is_lost_but_not_forgotten(path: str) -> None:
    kept = {"class": path, "settings": {"limit": 3}}
    lost = revived(kept)
    assert isinstance(lost, LostEvaluator)
    assert stored(lost) == kept
    with pytest.raises(InvalidArgumentError, match="import the module that defines it first"):
        require_all([Length(), lost])


def test_what_an_evaluator_becomes_later_is_not_in_what_was_kept() -> None:
    evaluator = Plain("word")
    kept = stored(evaluator)
    evaluator.words.append("more")
    assert kept["settings"] == {"words": ["word", "WORD"]}


class Keyed(LocalEvaluator):
    def __init__(self, api_key: str = "") -> None:
        self.api_key = api_key

    def evaluate(self, input: Any, reference: Any, output: Any) -> dict[str, Any]:
        return {}


def test_an_evaluator_that_holds_a_key_is_not_kept() -> None:
    with pytest.raises(InvalidArgumentError, match="'api_key' looks like a key") as refused:
        stored(Keyed("sk-SECRET"))
    assert "sk-SECRET" not in str(refused.value)
