"""Hyper-parameters for a model that starts from scratch."""

from __future__ import annotations

from typing import Any

import pytest

from qianfan.engines.backend import BadHyperParameter
from qianfan.engines.calibrate import NEEDS, PREFERENCES, SUPERVISED, Need, calibrate

DEFAULTS = {"epoch": 1, "learningRate": 3e-5, "weightDecay": 0.01}

CALIBRATED = {
    "as it comes": ({}, 1_000, 20, 4e-3),
    "half the rate": ({"learningRate": 1.5e-5}, 1_000, 20, 2e-3),
    "ten times the rate is too much": ({"learningRate": 3e-4}, 1_000, 20, 2e-2),
    "a thousandth is too little": ({"learningRate": 3e-8}, 1_000, 20, 1e-4),
    "more passes": ({"epoch": 30}, 1_000, 30, 4e-3),
    "more passes than fit": ({"epoch": 30}, 1_000_000, 30, 4e-3),
    "fewer passes than needed": ({"epoch": 5}, 1_000, 20, 4e-3),
    "many rows": ({}, 50_000, 4, 4e-3),
    "too many rows": ({}, 1_000_000, 1, 4e-3),
    "null": ({"epoch": None, "learningRate": None}, 1_000, 20, 4e-3),
    "no rows": ({}, 0, 20, 4e-3),
    "text": ({"epoch": "25", "learningRate": "6e-5"}, 1_000, 25, 8e-3),
}


@pytest.mark.parametrize(("asked", "tokens", "epoch", "rate"), CALIBRATED.values(), ids=CALIBRATED)
def test_calibrated(asked: dict[str, Any], tokens: int, epoch: int, rate: float) -> None:
    calibrated = calibrate(asked, DEFAULTS, SUPERVISED, tokens)
    assert calibrated == {"epoch": epoch, "learningRate": pytest.approx(rate), "weightDecay": 0.01}


def test_a_model_that_compares_needs_less() -> None:
    assert NEEDS["SFT"] == NEEDS["PostPretrain"] == SUPERVISED
    assert NEEDS["DPO"] == NEEDS["KTO"] == PREFERENCES
    calibrated = calibrate({}, {"epoch": 1, "learningRate": 1e-6}, PREFERENCES, 1_000)
    assert calibrated == {"epoch": 3, "learningRate": 5e-4}


def test_a_rate_without_a_usual_one_changes_nothing() -> None:
    assert calibrate({"learningRate": 1e-5}, {}, SUPERVISED, 1_000)["learningRate"] == 4e-3


def test_a_need_of_ones_own() -> None:
    calibrated = calibrate({}, DEFAULTS, Need(learning_rate=1e-3, passes=7, tokens=500), 100)
    assert (calibrated["epoch"], calibrated["learningRate"]) == (5, pytest.approx(1e-3))


@pytest.mark.parametrize(
    ("key", "value"), [("epoch", 0), ("learningRate", -1), ("learningRate", "fast"), ("epoch", "inf")]
)
def test_what_is_no_number_above_0(key: str, value: Any) -> None:
    with pytest.raises(BadHyperParameter, match=r"no number above 0") as refused:
        calibrate({key: value}, DEFAULTS, SUPERVISED, 1_000)
    assert refused.value.key == key
