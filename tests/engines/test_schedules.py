"""Learning rates over the course of a training, as transformers computes them."""

from __future__ import annotations

import pytest

from qianfan.engines.schedules import SCHEDULES, ScheduleName, schedule, warmup_steps

RATES = {
    # of 8 updates with a peak of 1, the first 2 of them for the warm-up, and one past the end
    "linear": [0, 0.5, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0],
    "cosine": [0, 0.5, 1, 0.9330127, 0.75, 0.5, 0.25, 0.0669873, 0],
    "polynomial": [0, 0.5, 1, 0.725, 0.5, 0.325, 0.2, 0.125, 0.1],
    "constant": [1, 1, 1, 1, 1, 1, 1, 1, 1],
    "constant_with_warmup": [0, 0.5, 1, 1, 1, 1, 1, 1, 1],
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(name: ScheduleName) -> None:
    rate = schedule(name, 1.0, 8, 2, lr_end=0.1, power=2)
    assert [rate(done) for done in range(9)] == pytest.approx(RATES[name])


def test_a_quarter_of_a_wave_ends_halfway() -> None:
    rate = schedule("cosine", 2.0, 4, num_cycles=0.25)
    assert rate(0) == 2.0
    assert rate(4) == pytest.approx(1.0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_training_that_is_all_warmup(name: ScheduleName) -> None:
    rate = schedule(name, 1.0, 2, 2)
    assert rate(1) == (1.0 if name == "constant" else 0.5)


@pytest.mark.parametrize(("ratio", "steps", "expected"), [(0, 10, 0), (0.1, 10, 1), (0.1, 11, 2), (0.5, 7, 4)])
def test_warmup_steps_are_rounded_up(ratio: float, steps: int, expected: int) -> None:
    assert warmup_steps(ratio, steps) == expected
