"""One update of AdamW, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from qianfan.engines.tiny.optimizer import AdamW
from qianfan.engines.tiny.parameters import Parameters


def parameters(matrix: float, gain: float) -> Parameters:
    return Parameters.of({"matrix": np.full((1, 1), matrix), "gain": np.full(1, gain)})


def updated(gradients: Parameters, **more: float) -> tuple[float, float]:
    """Where a matrix and a gain of 1 go with a learning rate of 0.1."""
    values = parameters(1.0, 1.0)
    AdamW(values, **more).update(gradients, 0.1)  # type: ignore[arg-type]
    return values["matrix"].item(), values["gain"].item()


def test_the_first_update_goes_by_the_rate_against_the_gradient() -> None:
    assert updated(parameters(0.5, -0.001)) == (pytest.approx(0.9), pytest.approx(1.1, abs=1e-4))


def test_gains_do_not_decay() -> None:
    assert updated(parameters(0.0, 0.0), weight_decay=0.5) == (pytest.approx(0.95), 1.0)


def test_long_gradients_are_cut_in_their_direction() -> None:
    # With an epsilon as large as this the size of a gradient matters: 0.1 * g / (|g| + 1).
    long, cut = updated(parameters(30.0, 40.0), epsilon=1.0), updated(parameters(0.6, 0.8), epsilon=1.0)
    assert long == pytest.approx(cut)
    assert updated(parameters(30.0, 40.0), epsilon=1.0, clip=1e9) != pytest.approx(cut)


def test_later_updates_remember_earlier_ones() -> None:
    values, gradients = parameters(1.0, 1.0), (1.0, -1.0)
    optimizer = AdamW(values, betas=(0.9, 0.99))
    for gradient in gradients:
        optimizer.update(parameters(gradient, 0.0), 0.1)
    mean = (0.9 * 0.1 * 1.0 - 0.1 * 1.0) / (1 - 0.9**2)
    square = (0.99 * 0.01 + 0.01) / (1 - 0.99**2)
    assert values["matrix"].item() == pytest.approx(0.9 - 0.1 * mean / square**0.5)
