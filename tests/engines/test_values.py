"""Hyper-parameters are read as what they are meant to be, and refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from qianfan.engines.backend import BadHyperParameter
from qianfan.engines.values import Values, checkpoint_steps


@pytest.mark.parametrize("value", [8, 8.0, "8"])
def test_whole_numbers_come_in_several_shapes(value: Any) -> None:
    assert Values({"loraRank": value}).whole("loraRank", 4) == 8


@pytest.mark.parametrize("value", ["True", True])
def test_so_does_truth(value: Any) -> None:
    assert Values({"earlyStopping": value}).flag("earlyStopping", False)


def test_what_is_missing_or_null_has_its_default() -> None:
    values = Values({"power": None})
    assert values.number("power", 2) == 2
    assert values.names("loraTargetModules") == []
    assert not values.has("power")


@pytest.mark.parametrize("names", [["q_proj", "v_proj"], "q_proj, v_proj"])
def test_names_come_as_a_list_or_in_a_row(names: Any) -> None:
    assert Values({"loraTargetModules": names}).names("loraTargetModules") == ["q_proj", "v_proj"]


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (lambda values: values.number("x", 0), "much", "x: 'much' is no number"),
        (lambda values: values.number("x", 0), float("nan"), "x: nan is not at least 0"),
        (lambda values: values.number("x", 0), float("inf"), "x: inf is not at least 0"),
        (lambda values: values.number("x", 0, most=1), 1.5, "x: 1.5 is not between 0 and 1"),
        (lambda values: values.whole("x", 0), 1.5, "x: 1.5 is no whole number"),
        (lambda values: values.whole("x", 0, least=1), 0, "x: 0 is not at least 1"),
        (lambda values: values.flag("x", True), "maybe", "x: 'maybe' is none of True, False"),
        (lambda values: values.names("x"), 3, "x: 3 is no list of names"),
    ],
)
def test_other_values_are_refused_by_name(read: Any, value: Any, message: str) -> None:
    with pytest.raises(BadHyperParameter) as refused:
        read(Values({"x": value}))
    assert str(refused.value) == message
    assert refused.value.key == "x"


def test_keys_that_nobody_reads_are_known() -> None:
    values = Values({"epoch": 1, "power": 2, "lrEnd": None, "splitRatio": 20, "alpha": 1})
    values.number("epoch", 1)
    assert values.unread() == ["alpha", "power"]


@pytest.mark.parametrize(
    ("total", "every", "keep", "kept"),
    [
        (100, 64, 1, (100,)),
        (200, 64, 3, (128, 192, 200)),
        (128, 64, 10, (64, 128)),
        (5, 64, 10, (5,)),
    ],
)
def test_the_last_checkpoints_are_kept(total: int, every: int, keep: int, kept: tuple[int, ...]) -> None:
    assert checkpoint_steps(total, every, keep) == kept
