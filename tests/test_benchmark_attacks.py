"""Attacks reach what is known of linear classifiers, and stay where they may be."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from benchmarks.studies.attacks import (
    Ball,
    margins,
    with_gradients,
    without_gradients,
)

N, D, K = 30, 12, 4
RNG = np.random.default_rng(0)
X, W, B = (torch.tensor(RNG.normal(size=size)) for size in ((N, D), (K, D), K))
Y = (X @ W.T + B).argmax(1)


def linear(Z):
    return Z @ W.T + B


def gradients(scores, ball, near=X, y=Y, **how):
    generator = torch.Generator().manual_seed(0)
    return with_gradients(scores, near, y, ball, generator, **how)


def search(scores, ball, near=X, y=Y):
    axes = torch.eye(near.shape[1], dtype=X.dtype)
    return without_gradients(scores, near, y, ball, axes)


def worst_margins(radius, norm):
    """Return min over k of s_y − s_k − r ‖w_y − w_k‖, in the dual norm."""
    scores, order = linear(X), 2 if norm == "l2" else 1
    all_of = [
        [
            scores[n, y] - scores[n, k] - radius * (W[y] - W[k]).norm(p=order)
            for k in range(K)
            if k != y
        ]
        for n, y in enumerate(Y)
    ]
    return np.min(all_of, axis=1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("radius", [0.1, 1.0])
def test_gradients_reach_the_worst_of_a_linear_classifier(norm, radius):
    found = gradients(linear, Ball(radius, norm), n_restarts=K - 1)
    assert_allclose(margins(linear(found), Y), worst_margins(radius, norm), rtol=1e-6)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_search_without_gradients_comes_near(norm):
    """Of two classes; the margin to more has edges, where no axis leads down."""
    order = 2 if norm == "l2" else 1
    two = X @ (W[:2] - W[0]).T
    y = two.argmax(1)
    found = search(lambda Z: Z @ W[:2].T, Ball(0.3, norm), y=y)
    falls = margins(two, y) - margins(found @ (W[:2] - W[0]).T, y)
    most = 0.3 * (W[0] - W[1]).norm(p=order)
    assert falls.max() <= most + 1e-9
    assert falls.min() > 0.95 * most


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("attack", [gradients, search])
def test_no_attack_leaves_the_ball_or_the_values(norm, attack):
    ball = Ball(0.7, norm, -1.0, 0.8)
    near = X.clamp(ball.low, ball.high)
    found = attack(linear, ball, near)
    order = 2 if norm == "l2" else torch.inf
    assert (found - near).norm(p=order, dim=1).max() <= 0.7 + 1e-9
    assert found.min() >= ball.low
    assert found.max() <= ball.high
    assert (margins(linear(found), Y) <= margins(linear(near), Y)).all()


def test_nothing_changes_in_a_ball_of_no_radius():
    for attack in (gradients, search):
        assert_allclose(attack(linear, Ball(0.0)), X, rtol=0, atol=1e-12)


def test_saturated_units_hide_gradients_but_not_rows():
    """The slope is 0 in float64 at all rows, and one step along an axis is enough."""
    steep = torch.tensor([[4e3, 0, 0, 0], [-4e3, 0, 0, 0]], dtype=X.dtype)
    near = torch.full((5, 4), 0.3, dtype=X.dtype)
    y = torch.zeros(5, dtype=torch.long)

    def saturated(Z):
        return torch.sigmoid(Z @ steep.T)

    one_start = {"n_restarts": 1, "n_steps": 10}
    hidden = gradients(saturated, Ball(0.5), near, y, **one_start)
    seen = search(saturated, Ball(0.5), near, y)
    assert (margins(saturated(hidden), y) > 0).all()
    assert (margins(saturated(seen), y) < 0).all()


def test_restarts_find_the_class_that_the_nearest_one_hides():
    """Of two other classes the nearer cannot be reached, and the farther can."""
    weights = torch.tensor([[0.0], [-0.01], [5.0]], dtype=X.dtype)
    bias = torch.tensor([0.0, -1.0, -2.0], dtype=X.dtype)
    near = torch.zeros(1, 1, dtype=X.dtype)
    y = torch.zeros(1, dtype=torch.long)

    def scores(Z):
        return Z.sin() @ weights.T + bias

    nearest, both = (
        gradients(scores, Ball(1.0), near, y, n_restarts=n) for n in (1, 2)
    )
    assert margins(scores(nearest), y) > 0 > margins(scores(both), y)
