"""The backward pass, written by hand, against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qianfan.engines.tiny.batches import Passage, batch_of
from qianfan.engines.tiny.lora import AllWeights, LowRank, Trained, merged
from qianfan.engines.tiny.loss import DirectPreference, Likelihood, Objective, sequence_log_probs
from qianfan.engines.tiny.model import MATRICES, Config, initial
from qianfan.engines.tiny.parameters import Array, Parameters

SIZE = Config(vocabulary=11, context=8, width=8, layers=2, heads=2)
PAIRS = [
    (Passage((1, 2, 3, 4), 2), Passage((1, 2, 5, 5, 6, 0), 2)),
    (Passage((7, 8, 9, 10, 1), 3), Passage((7, 8, 9, 4), 3)),
    (Passage((3, 3, 3), 1), Passage((3, 9), 1)),
]
BATCH = batch_of(PAIRS, np.arange(3))
STEP = 1e-6

OBJECTIVES: list[Objective] = [Likelihood(), DirectPreference(0.5, np.full((3, 2), -9.0))]


def full() -> Trained:
    return AllWeights(weights())


def low_rank() -> Trained:
    names = [f"{layer}.{matrix}" for layer in range(2) for matrix in MATRICES]
    trained = LowRank(weights(), names, rank=3, scale=2.0, dropout=0.3, random=np.random.default_rng(2))
    trained.parameters.flat[...] += 0.1 * np.random.default_rng(3).standard_normal(trained.parameters.flat.shape)
    return trained


def weights() -> Parameters:
    """Larger than a training starts with, so that no gradient is near nothing; gains other than 1."""
    random = np.random.default_rng(1)
    small = initial(SIZE, random)
    return Parameters.of({name: 2 * array.astype(np.float64) + 0.1 * random.standard_normal(array.shape)
                          for name, array in small.items()})  # fmt: skip


def loss_of(trained: Trained, objective: Objective) -> float:
    tally, _ = objective(sequence_log_probs(trained.weights(dropout())[0], SIZE, BATCH)[0], BATCH)
    return tally.mean_loss


def gradients_of(trained: Trained, objective: Objective) -> Parameters:
    computed_with, to_trained = trained.weights(dropout())
    log_probs, backward = sequence_log_probs(computed_with, SIZE, BATCH)
    by_weights = Parameters(SIZE.shapes(), np.float64)
    backward(objective(log_probs, BATCH)[1], by_weights)
    return to_trained(by_weights)


def dropout() -> np.random.Generator:
    """The same inputs are left out each time."""
    return np.random.default_rng(4)


def central_difference(values: Array, direction: Array, loss: Callable[[], float]) -> float:
    start = values.copy()
    values[...] = start + STEP * direction
    above = loss()
    values[...] = start - STEP * direction
    below = loss()
    values[...] = start
    return (above - below) / (2 * STEP)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=["likelihood", "preference"])
@pytest.mark.parametrize("make", [full, low_rank])
def test_gradients(make: Callable[[], Trained], objective: Objective) -> None:
    """Along a random direction through each parameter array, and by some of its numbers alone."""
    trained, random = make(), np.random.default_rng(5)
    gradients = gradients_of(trained, objective)
    for name, values in trained.parameters.items():
        gradient, directions = gradients[name], [random.standard_normal(values.shape)]
        for place in random.choice(values.size, 2):
            directions.append(np.eye(1, values.size, place).reshape(values.shape))
        for direction in directions:
            expected = central_difference(values, direction, lambda: loss_of(trained, objective))
            found = float((gradient * direction).sum())
            scale = np.sqrt((gradient**2).sum()) * np.sqrt((direction**2).sum())
            assert abs(found - expected) <= 1e-5 * max(abs(expected), 0.01 * scale), name


def test_adapters_train_no_matrix() -> None:
    trained = low_rank()
    assert {name for name in trained.parameters if not name.endswith((".a", ".b"))} == {"tokens", "positions"}


def test_merged_adapters_compute_the_same() -> None:
    trained = low_rank()
    together = merged(trained.state(), scale=2.0)
    expected = sequence_log_probs(trained.weights()[0], SIZE, BATCH)[0]
    assert sequence_log_probs(together, SIZE, BATCH)[0] == pytest.approx(expected)


def test_dropout_leaves_out_inputs_of_adapters() -> None:
    trained = low_rank()
    without, some = trained.weights()[0]["0.qkv"], trained.weights(dropout())[0]["0.qkv"]
    frozen = trained.state()["0.qkv"]
    untouched = (some == frozen).all(1)
    assert 0 < untouched.sum() < len(frozen)
    assert (some - frozen)[~untouched] == pytest.approx((without - frozen)[~untouched] / 0.7)


def test_padding_changes_nothing() -> None:
    alone = batch_of([(passage,) for pair in PAIRS for passage in pair], np.array([2]))
    together = sequence_log_probs(weights(), SIZE, batch_of([(PAIRS[1][0],), (PAIRS[0][1],)], np.arange(2)))[0]
    assert sequence_log_probs(weights(), SIZE, alone)[0][0] == pytest.approx(together[0])


def test_what_comes_later_changes_nothing() -> None:
    one, other = (batch_of([(Passage((1, 2, 3, last), 1),)], np.arange(1)) for last in (4, 5))
    assert (one.tokens == other.tokens).all()
    longer = batch_of([(Passage((1, 2, 3, 4, 5, 6), 1),)], np.arange(1))
    longer.targets[:, 3:] = -1
    log_probs = [sequence_log_probs(weights(), SIZE, batch)[0][0] for batch in (one, longer)]
    assert log_probs[0] == pytest.approx(log_probs[1])
