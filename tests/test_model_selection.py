"""The scale of λ: its formula, what it means for a fit, and what has none."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from skcae import ContractiveAutoencoder
from skcae.activations import ACTIVATIONS
from skcae.exceptions import DeadModelWarning
from skcae.model_selection import jacobian_penalty_grid, jacobian_penalty_max

SLOPES = {
    "sigmoid": 0.25,
    "softplus": 0.5,
    "tanh": 1.0,
    "elu": 1.0,
    "identity": 1.0,
    "relu": 1.0,
}


def largest_eigenvalue(X, weights=None):
    return np.linalg.eigvalsh(np.cov(X.T, bias=True, aweights=weights))[-1]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# ---- the formula -----------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("d", [3, 200])
def test_it_is_the_largest_variance_over_the_slope(activation, loss, d):
    X = draw(50, d) + 5
    found = jacobian_penalty_max(X, activation=activation, loss=loss)
    factor = 2 if loss == "squared_error" else 1
    expected = factor * largest_eigenvalue(X) / SLOPES[activation]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [6, 150])
def test_sparse_rows_have_the_same_and_stay_sparse(d, monkeypatch):
    X = sparse.random(300, d, density=0.1, random_state=0, format="csr")
    expected = jacobian_penalty_max(X.toarray())

    def refuse(self, *args, **kwargs):
        raise AssertionError("densified")

    monkeypatch.setattr(type(X), "toarray", refuse)
    monkeypatch.setattr(type(X), "todense", refuse)
    assert jacobian_penalty_max(X) == pytest.approx(expected, rel=1e-9)


def test_weights_are_repetitions():
    X, w = draw(40, 100), np.arange(40) % 3
    found = jacobian_penalty_max(X, sample_weight=w)
    assert found == pytest.approx(jacobian_penalty_max(X.repeat(w, 0)), rel=1e-9)
    assert found != pytest.approx(jacobian_penalty_max(X), rel=1e-3)
    assert jacobian_penalty_max(X, sample_weight=7 * w) == pytest.approx(found)


def test_a_convolution_has_that_of_its_windows():
    X = draw(30, 5 * 4 * 2)
    images = (X - X.mean(0)).reshape(30, 5, 4, 2)
    C = np.zeros((12, 12))
    for i in range(3):
        for j in range(3):
            w = images[:, i : i + 3, j : j + 2].transpose(0, 3, 1, 2).reshape(30, -1)
            C += w.T @ w / 30 / 9
    expected = 8 * np.linalg.eigvalsh(C)[-1]
    how = {"image_shape": (5, 4, 2), "kernel_size": (3, 2)}
    assert jacobian_penalty_max(X, **how) == pytest.approx(expected)
    thin = sparse.csr_array(X)
    assert jacobian_penalty_max(thin, **how) == pytest.approx(expected)
    signal = jacobian_penalty_max(X, image_shape=(40,), kernel_size=40)
    assert signal == pytest.approx(jacobian_penalty_max(X))


# ---- what it means ---------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_the_identity_lives_below_it_and_has_collapsed_above(loss):
    X = draw(200, 5) * [3.0, 1.0, 1.0, 1.0, 1.0]
    if loss == "cross_entropy":
        X = 1 / (1 + np.exp(-X))
    largest = jacobian_penalty_max(X, activation="identity", loss=loss)
    how = {"activation": "identity", "loss": loss, "random_state": 0}
    how |= {"max_iter": 1500, "n_iter_no_change": np.inf, "batch_size": 200}
    alive, dead = (
        ContractiveAutoencoder(2, jacobian_penalty=part * largest, **how)
        .fit_transform(X)
        .std(0)
        .max()
        for part in (0.9, 1.1)
    )
    assert alive > 0.1 > 1e-3 > dead


def test_text_that_collapses_at_the_default_is_warned_of_by_its_name():
    documents = [
        f"word{k % 7} thing{k % 5} other{k % 11} w{k % 13}" for k in range(400)
    ]
    X = TfidfVectorizer().fit_transform(documents)
    largest = jacobian_penalty_max(X)
    cae = ContractiveAutoencoder(16, jacobian_penalty=1.5 * largest, random_state=0)
    with pytest.warns(DeadModelWarning) as caught:
        cae.fit(X)
    (message,) = (str(warning.message) for warning in caught)
    found = re.search(r"above (\S+), which is .*jacobian_penalty_max", message)
    # Of the rows that were looked at.
    assert float(found[1]) == pytest.approx(largest, rel=0.2)


# ---- a grid ----------------------------------------------------------------------


def test_a_grid_begins_at_zero_and_ends_at_a_part_of_it():
    X = draw(60, 4)
    largest = jacobian_penalty_max(X, activation="tanh")
    grid = jacobian_penalty_grid(X, activation="tanh")
    assert_allclose(grid, largest * np.array([0, 1e-3, 1e-2, 1e-1]))
    grid = jacobian_penalty_grid(X, 9, top=1.0, activation="tanh")
    assert_allclose(grid[1:], largest * np.geomspace(0.01, 1, 8))
    assert_array_equal(jacobian_penalty_grid(X, 1), [0.0])


# ---- what has none ---------------------------------------------------------------


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("d", [3, 300])
@pytest.mark.parametrize(
    "X", [0.1 * np.ones((5, 1)), np.zeros((4, 1)), np.ones((1, 1))]
)
def test_rows_that_are_all_the_same_have_none(X, d, make):
    with pytest.raises(ValueError, match="all of its rows are the same"):
        jacobian_penalty_max(make(X.repeat(d, 1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": [[np.nan, 1.0]]}, "NaN"),
        ({"X": [1.0, 2.0]}, "1D array"),
        ({"sample_weight": [-1.0, 2, 1]}, "must not be negative"),
        ({"sample_weight": [1.0, 2]}, "sample_weight"),
        ({"activation": "sine"}, "'activation'"),
        ({"loss": "hinge"}, "'loss'"),
        ({"image_shape": (2, 2)}, "belong together"),
        ({"image_shape": (3, 2), "kernel_size": 2}, r"\(3, 2\) is not the shape"),
        ({"image_shape": (2, 2), "kernel_size": 3}, "is larger than images"),
    ],
    ids=str,
)
def test_arguments_that_are_none_are_refused(arguments, message):
    arguments = {"X": draw(3, 4), **arguments}
    with pytest.raises(ValueError, match=message):
        jacobian_penalty_max(**arguments)


def test_a_grid_of_no_values_is_refused():
    with pytest.raises(ValueError, match="'n'"):
        jacobian_penalty_grid(draw(3, 4), 0)
    with pytest.raises(ValueError, match="'top'"):
        jacobian_penalty_grid(draw(3, 4), top=0.0)
