"""The rates of steps, and the rule by which a training has stalled."""

import math

import numpy as np
import pytest

from skcae._core.training.schedules import (
    StoppingRule,
    constant_rate,
    falling_rate,
    inverse_rate,
    linear_rate,
)


def test_linear_rate_rises_for_a_tenth_and_falls_to_zero():
    rate = linear_rate(0.5, 100)
    rates = [rate(step) for step in range(100)]
    assert np.argmax(rates) in (9, 10)
    assert max(rates) == pytest.approx(0.5)
    assert (np.diff(rates[:10]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert 0 < rates[-1] < 0.01
    assert 0 < rates[0] <= 0.05


def test_inverse_rate_stays_for_a_tenth_and_falls_as_one_over_the_steps():
    rate = inverse_rate(0.5, 100)
    assert [rate(step) for step in (0, 9)] == [0.5, 0.5]
    # ε_t = ε_0 τ / max(t, τ), the first step is t = 1.
    assert [rate(step) for step in (10, 19, 99)] == [
        0.5 * 10 / t for t in (11, 20, 100)
    ]
    assert inverse_rate(1.0, 3)(2) == 1 / 3


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
    assert StoppingRule(0.01, 2).has_stalled(curve) is stalled
    assert StoppingRule(0.01, math.inf).has_stalled(curve) is False
