import math

import numpy as np
import pytest
import torch

from skcae._core.data.rows import Rows
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import mean_objective
from skcae._core.training.loop import Training
from skcae._core.training.schedules import (
    StoppingRule,
    constant_rate,
    falling_rate,
    has_stalled,
    linear_rate,
)
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES

CPU = torch.device("cpu")


def rows_of(X, weights=None, **how):
    return Rows(X, weights, dtype=X.dtype, device=CPU, **how)


def take(n_rows, batch_size, shuffle=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    positions = np.arange(n_rows)
    rows = rows_of(positions[:, None].astype(float))
    return [
        positions[index]
        for index in rows.batches(batch_size, shuffle=shuffle, generator=generator)
    ]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("n_rows", "sizes"), [(7, [3, 3, 1]), (6, [3, 3]), (2, [2])])
def test_an_epoch_takes_each_row_once_and_keeps_the_short_batch(n_rows, sizes, shuffle):
    taken = take(n_rows, 3, shuffle)
    assert [len(batch) for batch in taken] == sizes
    assert sorted(np.concatenate(taken)) == list(range(n_rows))


def test_the_order_is_the_seeds():
    first, again, other = (np.concatenate(take(50, 8, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(np.concatenate(take(50, 8, False)), np.arange(50))


def test_linear_rate_rises_for_a_tenth_and_falls_to_zero():
    rate = linear_rate(0.5, 100)
    rates = [rate(step) for step in range(100)]
    assert np.argmax(rates) in (9, 10)
    assert max(rates) == pytest.approx(0.5)
    assert (np.diff(rates[:10]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert 0 < rates[-1] < 0.01
    assert 0 < rates[0] <= 0.05


@pytest.mark.parametrize("n_steps", [1, 2, 9, 10, 11])
def test_short_schedules_have_positive_rates(n_steps):
    rate = linear_rate(1.0, n_steps)
    assert all(0 < rate(step) <= 1 for step in range(n_steps))


def test_a_falling_rate_reaches_zero_and_stays_there():
    rate = falling_rate(constant_rate(2.0), 10, 4)
    assert [rate(step) for step in (10, 11, 12, 14, 20)] == [2.0, 1.5, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("curve", "stalled"),
    [
        ([10.0, 9.0], False),  # too short
        ([10.0, 9.0, 8.0, 7.0], False),
        ([10.0, 9.0, 8.96, 8.95], True),  # by 0.05, which is less than 1 % of 10
        ([10.0, 9.0, 8.95, 8.85], False),  # by 0.15 in two epochs together
        ([10.0, 9.0, 9.5, 9.4], True),  # rising
        ([-10.0, -11.0, -11.01, -11.02], True),
    ],
)
def test_has_stalled(curve, stalled):
    assert has_stalled(curve, 2, 0.01) is stalled
    assert has_stalled(curve, math.inf, 0.01) is False


def test_mean_objective_is_the_weighted_mean(layer):
    X = np.random.default_rng(0).random((9, 4))
    weights = np.arange(9.0)
    objective = Objective(ACTIVATIONS["tanh"], LOSSES["squared_error"])
    per_sample = objective.per_sample(
        objective.coder(layer()), torch.from_numpy(X)
    ).numpy()
    mean = mean_objective(objective, layer(), rows_of(X, weights))
    assert mean == pytest.approx(np.average(per_sample, weights=weights))


class Still:
    """A learner of twelve rows that learns nothing and notes the rate of each step."""

    n_multiplications = 1

    def __init__(self, values):
        self.parameters = {"weights": torch.zeros(1, dtype=torch.float64)}
        self.rows = rows_of(np.ones((12, 1)))
        self.values = iter(values)
        self.rates = []

    def take_step(self, index, rate, value):
        self.rates.append(rate)

    def held_out(self):
        return next(self.values)


def annealed(values):
    """A training of three steps an epoch that ends two epochs after it stalls."""
    learner = Still(values)
    return Training(
        learner,
        batch_size=4,
        rate=lambda step: 1000.0 + step,
        stopping=StoppingRule(tol=0.0, n_iter_no_change=2, cools_down=True),
        shuffle=True,
        generator=torch.Generator(),
    )


@pytest.mark.parametrize("taken_up_after", [None, 3, 4, 5])
def test_the_rate_falls_to_zero_from_the_end_of_the_epoch_that_stalls(taken_up_after):
    """After epoch 4 of three steps each, and over six steps."""
    values = [9.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    training, rates = annealed(values), []
    while not training.should_end():
        training.run_epoch()
        if len(training.loss_curve) == taken_up_after:
            rates, progress = training.learner.rates, training.progress()
            training = annealed(values[taken_up_after:])
            training.go_on_from(progress)
    falling = [(1000.0 + step) * (1 - (step - 12) / 6) for step in range(12, 18)]
    expected = [*(1000.0 + step for step in range(12)), *falling]
    assert [*rates, *training.learner.rates] == pytest.approx(expected)


def test_a_training_that_is_taken_up_leaves_the_record_as_it_is():
    earlier = annealed([9.0])
    earlier.run_epoch()
    progress = earlier.progress()
    training = annealed([8.0])
    training.go_on_from(progress)
    training.parameters["weights"].fill_(5.0)
    training.run_epoch()
    assert training.kept["weights"] == 5.0
    assert progress["kept"]["weights"] == 0.0
    assert progress["loss_curve"] == [0.0]
    assert progress["validation_curve"] == [9.0]
