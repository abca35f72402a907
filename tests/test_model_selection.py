"""The scale of λ: its formula, what it means for a fit, and what has none."""

import re
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.linalg import eigh
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer

from skcae import ContractiveAutoencoder, ConvolutionalCAE
from skcae._fit import collapse
from skcae.activations import ACTIVATIONS
from skcae.exceptions import DeadModelWarning
from skcae.inspection import jacobian_norm
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


# Of 5 × 4 pixels the places of a window's first tap, some of them beyond the border.
PLACES = {
    ("same", 1): (range(-1, 4), range(4)),
    ("valid", 1): (range(3), range(3)),
    ("same", 2): ([-1, 1, 3], [0, 2]),
    ("valid", 2): ([0, 2], [0, 2]),
    ("same", (1, 3)): (range(-1, 4), [0, 3]),
}


@pytest.mark.parametrize(("padding", "stride"), PLACES, ids=str)
def test_a_convolution_has_that_of_its_windows(padding, stride):
    X = draw(30, 5 * 4 * 2)
    images = X.reshape(30, 5, 4, 2)
    images = images - images.mean((0, 1, 2))
    S, m, n = np.zeros((12, 12)), np.zeros(12), np.zeros(12)
    places = PLACES[padding, stride]
    for i, j in product(*places):
        w, is_in = np.zeros((30, 2, 3, 2)), np.zeros((2, 3, 2))
        for a, b in product(range(3), range(2)):
            if 0 <= i + a < 5 and 0 <= j + b < 4:
                w[:, :, a, b], is_in[:, a, b] = images[:, i + a, j + b], 1
        w = w.reshape(30, -1)
        S, m, n = S + w.T @ w / 30, m + w.mean(0), n + is_in.ravel()
    # The covariance of all windows, and ‖J‖² = wᵀ diag(n) w.
    C = S - np.outer(m, m) / len([*product(*places)])
    expected = 8 * eigh(C, np.diag(n), eigvals_only=True)[-1]
    how = {"image_shape": (5, 4, 2), "kernel_size": (3, 2), "padding": padding}
    how["stride"] = stride
    assert jacobian_penalty_max(X, **how) == pytest.approx(expected)
    thin = sparse.csr_array(X)
    assert jacobian_penalty_max(thin, **how) == pytest.approx(expected)
    alone = jacobian_penalty_max(X, image_shape=(1, 1, 40), kernel_size=1)
    assert alone == pytest.approx(jacobian_penalty_max(X))
    if padding == "same":  # more taps, of which some are in the image nowhere
        sizes = [(9, 7), (19, 17)]
        small, large = (
            jacobian_penalty_max(X, image_shape=(5, 4, 2), kernel_size=k) for k in sizes
        )
        assert large == pytest.approx(small)
    # One number is along the steps, whatever the channels of a signal.
    several = {"image_shape": (1, 20, 2)}
    assert jacobian_penalty_max(X, kernel_size=5, **several) == pytest.approx(
        jacobian_penalty_max(X, kernel_size=(1, 5), **several)
    )


# ---- what it means ---------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_so_does_a_convolution_of_rows_without_a_mean_image(padding, stride):
    X = load_digits().data[:150] / 16
    X -= X.mean(0)
    how = {"image_shape": (8, 8), "activation": "identity", "padding": padding}
    how["stride"] = stride
    largest = jacobian_penalty_max(X, kernel_size=3, **how)
    how |= {"max_iter": 200, "tol": 0.0, "n_iter_no_change": np.inf, "random_state": 0}
    below, above = (
        ConvolutionalCAE(1, 3, jacobian_penalty=part * largest, **how).fit(X)
        for part in (0.9, 1.1)
    )
    assert jacobian_norm(below, X).mean() > 0.1
    assert jacobian_norm(above, X).mean() < 1e-3


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
    """The rows of a matrix with λ_max below .1 have one code at defaults."""
    X = 0.3 * TfidfVectorizer().fit_transform(DOCUMENTS)
    assert jacobian_penalty_max(X) < ContractiveAutoencoder().jacobian_penalty
    ((category, message),) = warned_of(ContractiveAutoencoder(16, random_state=0), X)
    assert category is DeadModelWarning
    assert limit_in(message) == pytest.approx(jacobian_penalty_max(X), rel=0.01)


# ---- a look before the fit -------------------------------------------------------

DOCUMENTS = [f"word{k % 7} thing{k % 5} other{k % 11} w{k % 13}" for k in range(400)]


def warned_of(model, X, **more):
    """Fit, and return what was warned of, and how often."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, **more)
    return [(warning.category, str(warning.message)) for warning in caught]


def limit_in(message):
    found = re.search(r"is above (\S+), which is .*jacobian_penalty_max", message)
    return float(found[1])


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("d", [5, 80])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_a_fit_is_warned_of_before_it_begins_at_and_above_it(loss, d, make):
    X = np.random.default_rng(0).random((60, d)).round()
    X[:, 1] = X[:, 0]  # σ₁² is more than the variance of any column
    w = np.arange(60) % 3
    largest = jacobian_penalty_max(X, activation="tanh", loss=loss, sample_weight=w)
    how = {"activation": "tanh", "loss": loss, "max_iter": 1, "random_state": 0}
    for part, is_above in ((0.99, False), (1.01, True), (100, True)):
        model = ContractiveAutoencoder(3, jacobian_penalty=part * largest, **how)
        found = warned_of(model, make(X), sample_weight=w)
        assert [category for category, _ in found] == [DeadModelWarning] * is_above
        if is_above:
            assert limit_in(found[0][1]) == pytest.approx(largest, rel=0.01)
    untied = ContractiveAutoencoder(
        3, jacobian_penalty=100 * largest, tied_weights=False, **how
    )
    assert warned_of(untied, X) == []


def test_nothing_is_computed_for_a_smaller_one_nor_said_of_an_old_model(monkeypatch):
    X = draw(60, 80)
    model = ContractiveAutoencoder(3, jacobian_penalty=1e3, max_iter=1, random_state=0)
    assert len(warned_of(model, X)) == 1
    assert warned_of(model.set_params(warm_start=True), X) == []
    monkeypatch.setattr(collapse, "largest_variance", None)
    small = ContractiveAutoencoder(3, max_iter=1, random_state=0)
    assert warned_of(small, X) == []
    assert warned_of(model.set_params(warm_start=False), np.ones((5, 3))) == []


def test_one_fit_that_collapses_is_warned_of_once():
    X = draw(200, 5)
    model = ContractiveAutoencoder(4, jacobian_penalty=1e3, random_state=0)
    ((_, message),) = warned_of(model, X)
    assert "The code is likely to collapse" in message
    assert model.transform(X).std(0).max() < 0.01


# ---- a grid ----------------------------------------------------------------------


def test_a_grid_begins_at_zero_and_ends_at_a_part_of_it():
    X = draw(60, 4)
    largest = jacobian_penalty_max(X, activation="tanh")
    grid = jacobian_penalty_grid(X, activation="tanh")
    assert_allclose(grid, largest * np.array([0, 1e-3, 1e-2, 1e-1]))
    grid = jacobian_penalty_grid(X, 9, top=1.0, activation="tanh")
    assert_allclose(grid[1:], largest * np.geomspace(0.01, 1, 8))
    grid = jacobian_penalty_grid(X, 2, activation="tanh")
    assert_allclose(grid, [0, 0.1 * largest])
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


def test_rows_with_a_weight_that_are_all_the_same_have_none():
    with pytest.raises(ValueError, match="all of its rows are the same"):
        jacobian_penalty_grid(draw(3, 4), sample_weight=[0, 2, 0])


def test_rows_far_from_the_origin_are_not_the_same():
    X = draw(50, 4)
    assert jacobian_penalty_max(X + 1e7) == pytest.approx(jacobian_penalty_max(X))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": [[np.nan, 1.0]]}, "Input X contains NaN"),
        ({"X": sparse.csr_array([[np.nan, 1.0]])}, "Input X contains NaN"),
        ({"X": [[np.inf, 1.0]]}, "Input X contains infinity"),
        ({"X": np.ma.masked_greater(draw(5, 3), 1)}, "Input X contains NaN"),
        ({"X": draw(5, 3) * 1e200}, "squares are infinite"),
        ({"X": np.ones((0, 3))}, "0 sample"),
        ({"sample_weight": np.zeros(3)}, "at least one non-zero"),
        ({"X": [1.0, 2.0]}, "1D array"),
        ({"sample_weight": [-1.0, 2, 1]}, "must not be negative"),
        ({"sample_weight": [1.0, 2]}, "sample_weight"),
        ({"activation": "sine"}, "'activation'"),
        ({"loss": "hinge"}, "'loss'"),
        ({"image_shape": (2, 2)}, "give its kernel_size"),
        (
            {"image_shape": (3, 2), "kernel_size": 2},
            r"\(3, 2, 1\) has 6 numbers, but X",
        ),
        (
            {"image_shape": (2, 2), "kernel_size": 3, "padding": "valid"},
            r"\(3, 3\) is larger than the 2 × 2 pixels",
        ),
        ({"image_shape": (-2, -2), "kernel_size": 1}, "image_shape must be"),
        ({"image_shape": (2, 2), "kernel_size": (1, 1, 1)}, "or two of them"),
        ({"image_shape": (2, 2), "kernel_size": (1.5, 1)}, "or two of them"),
        ({"kernel_size": 2, "stride": 5}, r"stride=\(1, 5\) is larger"),
    ],
    ids=str,
)
def test_arguments_that_are_none_are_refused(arguments, message):
    arguments = {"X": draw(3, 4), **arguments}
    with pytest.raises(ValueError, match=message):
        jacobian_penalty_max(**arguments)


def test_rows_are_taken_as_fits_take_them():
    X = draw(20, 3)
    rounded = torch.tensor(X).bfloat16()
    expected = jacobian_penalty_max(rounded.float().numpy())
    assert jacobian_penalty_max(rounded) == expected
    given = torch.tensor(X, requires_grad=True)
    assert jacobian_penalty_max(given) == jacobian_penalty_max(X)
    with pytest.raises(TypeError, match="dates or times"):
        jacobian_penalty_max(X.astype("M8[s]"))


def test_a_grid_of_no_values_is_refused():
    with pytest.raises(ValueError, match="'n'"):
        jacobian_penalty_grid(draw(3, 4), 0)
    with pytest.raises(ValueError, match="'top'"):
        jacobian_penalty_grid(draw(3, 4), top=0.0)
