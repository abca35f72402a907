"""Contractive autoencoders trained one on top of the other."""

import weakref

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import sparse

from skcae import StackedCAE
from skcae._estimators.base import BaseAutoencoder
from skcae._fit.autoencoder import AutoencoderFit
from tests import oracles
from tests.estimators.stacks import (
    assert_same_layer,
    assert_same_stack,
    fit_by_hand,
    small_layer,
    small_stack,
)

# ---- one layer ------------------------------------------------------------------


def assert_is_the_single(stack, single, X):
    (layer,) = stack.estimators_
    assert_same_layer(layer, single)
    assert type(stack.n_iter_) is int
    assert stack.n_iter_ == single.n_iter_
    assert stack.n_features_in_ == single.n_features_in_
    codes = single.transform(X)
    assert_array_equal(stack.transform(X), codes, strict=True)
    assert_array_equal(
        stack.inverse_transform(codes), single.inverse_transform(codes), strict=True
    )
    # A stack encodes sparse rows as they are stored, to score them, and one layer does
    # not: the sums are of another order.
    rtol = 1e-14 if sparse.issparse(X) else 0.0
    scores = single.score_samples(X)
    assert_allclose(stack.score_samples(X), scores, rtol=rtol, strict=True)
    assert stack.score(X) == pytest.approx(single.score(X), rel=rtol, abs=0)
    how = {"sample_weight": np.arange(X.shape[0])}
    weighted = single.score(X, **how)
    assert stack.score(X, **how) == pytest.approx(weighted, rel=rtol, abs=0)


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"loss": "cross_entropy"},
        {"loss": "cross_entropy", "activation": "tanh", "tied_weights": False},
        {"activation": "relu", "jacobian_penalty": 0.3},
        {"early_stopping": True, "batch_size": 7},
        {"solver": "sgd", "learning_rate": 1e-3, "shuffle": False, "batch_size": 9},
        {"hessian_penalty": 0.1, "learning_rate_schedule": "constant"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "make",
    [np.asarray, np.float32, sparse.csr_array],
    ids=["dense", "single", "sparse"],
)
def test_one_layer_is_the_single_estimator(make, configuration, unit_data):
    X = make(np.where(unit_data > 0.3, unit_data, 0.0))
    stack = small_stack((6,), **configuration).fit(X)
    assert_is_the_single(stack, small_layer(6, **configuration).fit(X), X)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_one_layer_takes_weights_as_the_single_estimator(early_stopping, unit_data):
    weights = np.arange(40) % 3
    how = {"batch_size": 7, "early_stopping": early_stopping}
    stack = small_stack([6], **how).fit(unit_data, sample_weight=weights)
    single = small_layer(6, **how).fit(unit_data, sample_weight=weights)
    assert_is_the_single(stack, single, unit_data)


def test_one_layer_takes_held_out_data_as_the_single_estimator(unit_data):
    # Held-out data may leave the bounds of the loss.
    how = {"early_stopping": True, "loss": "cross_entropy"}
    held_out = {"X_val": 2 * unit_data[30:] - 0.5, "sample_weight_val": np.arange(10)}
    stack = small_stack((6,), **how).fit(unit_data[:30], **held_out)
    single = small_layer(6, **how).fit(unit_data[:30], **held_out)
    assert_is_the_single(stack, single, unit_data)


def test_one_layer_draws_what_the_single_estimator_draws(unit_data):
    one, other = np.random.RandomState(3), np.random.RandomState(3)
    stack = small_stack((6,), random_state=one)
    single = small_layer(6, random_state=other)
    for _ in range(2):
        assert_is_the_single(stack.fit(unit_data), single.fit(unit_data), unit_data)
    assert_equal(one.get_state(legacy=False), other.get_state(legacy=False))


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_one_layer_goes_on_as_the_single_estimator(schedule, unit_data):
    how = {"warm_start": True, "learning_rate_schedule": schedule, "batch_size": 7}
    stack, single = small_stack((6,), **how), small_layer(6, **how)
    for _ in range(3):
        assert_is_the_single(stack.fit(unit_data), single.fit(unit_data), unit_data)


# ---- several layers -------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"loss": "cross_entropy", "tied_weights": False},
        {"early_stopping": True, "batch_size": 7},
        {"solver": "sgd", "learning_rate": 1e-3, "activation": "elu"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "make",
    [np.asarray, np.float32, sparse.csr_array],
    ids=["dense", "single", "sparse"],
)
def test_each_layer_is_fitted_on_the_codes_of_the_one_below(
    make, configuration, unit_data
):
    X = make(unit_data)
    stack = small_stack((6, 9, 3), **configuration).fit(X)
    layers = fit_by_hand((6, 9, 3), X, **configuration)
    codes = X
    for layer, expected in zip(stack.estimators_, layers, strict=True):
        assert_same_layer(layer, expected)
        assert layer.get_params() == expected.get_params()
        codes = expected.transform(codes)
    assert_array_equal(stack.transform(X), codes, strict=True)
    assert type(stack.n_iter_) is int
    assert stack.n_iter_ == sum(layer.n_iter_ for layer in layers)
    for layer in reversed(layers):
        codes = layer.inverse_transform(codes)
    assert_array_equal(stack.inverse_transform(stack.transform(X)), codes, strict=True)


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_weights_and_held_out_data_go_through_the_layers(unit_data):
    given = {
        "sample_weight": np.arange(30) % 4,
        "X_val": sparse.csr_array(unit_data[30:]),
        "sample_weight_val": np.arange(10),
    }
    how = {"early_stopping": True, "batch_size": 7, "max_iter": 30}
    stack = small_stack((6, 4, 3), **how).fit(unit_data[:30], **given)
    layers = fit_by_hand((6, 4, 3), unit_data[:30], **given, **how)
    for layer, expected in zip(stack.estimators_, layers, strict=True):
        assert_same_layer(layer, expected)


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@pytest.mark.parametrize("make", [list, tuple, np.array])
def test_one_penalty_for_each_layer(make, unit_data):
    stack = small_stack(
        make([6, 4]),
        jacobian_penalty=make([0.0, 0.5]),
        hessian_penalty=make([0.2, 0.0]),
    ).fit(unit_data)
    strengths = [
        {"jacobian_penalty": 0.0, "hessian_penalty": 0.2},
        {"jacobian_penalty": 0.5, "hessian_penalty": 0.0},
    ]
    layers = fit_by_hand((6, 4), unit_data, strengths)
    for layer, expected in zip(stack.estimators_, layers, strict=True):
        assert layer.get_params() == expected.get_params()
        assert_same_layer(layer, expected)


def test_one_penalty_for_all_layers(unit_data):
    for one in (0, 0.5, np.float64(0.5)):
        how = {"jacobian_penalty": one, "hessian_penalty": one}
        each = {"jacobian_penalty": [one, one], "hessian_penalty": [one, one]}
        assert_same_stack(
            small_stack(**how).fit(unit_data), small_stack(**each).fit(unit_data)
        )


def test_each_layer_stops_early_by_itself(digits):
    X = digits[0][:150]
    stack = small_stack(
        (8, 6, 4),
        early_stopping=True,
        learning_rate_schedule="constant",
        max_iter=50,
        tol=0.02,
        n_iter_no_change=2,
    ).fit(X)
    curves = [layer.validation_loss_curve_ for layer in stack.estimators_]
    assert [len(c) for c in curves] == [layer.n_iter_ for layer in stack.estimators_]
    assert len({len(curve) for curve in curves}) > 1
    assert all(len(curve) < 50 for curve in curves)


@pytest.mark.parametrize("tied_weights", [True, False])
@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        ("squared_error", "tanh"),
        ("squared_error", "softplus"),
        ("cross_entropy", "sigmoid"),
    ],
)
def test_methods_are_what_the_formulas_say(loss, activation, tied_weights, unit_data):
    X = unit_data
    stack = small_stack(
        (6, 5, 3), loss=loss, activation=activation, tied_weights=tied_weights
    ).fit(X)
    phi = oracles.ACTIVATIONS[activation]
    H = X
    for layer in stack.estimators_:
        A = H @ layer.components_.T + layer.intercept_hidden_
        H = phi(torch.from_numpy(A)).numpy()
    Y = H
    for layer in stack.estimators_[::-1]:
        V = layer.components_ if tied_weights else layer.decoder_components_
        Z = Y @ V + layer.intercept_visible_
        Y = Z if loss == "squared_error" else 1 / (1 + np.exp(-Z))
    if loss == "squared_error":
        values = ((Y - X) ** 2).sum(1)
    else:
        values = -(X * np.log(Y) + (1 - X) * np.log(1 - Y)).sum(1)
    assert_allclose(stack.transform(X), H, rtol=1e-12)
    assert_allclose(stack.inverse_transform(H), Y, rtol=1e-12)
    assert_allclose(stack.score_samples(X), -values, rtol=1e-10)
    assert stack.score(X) == pytest.approx(-values.mean())
    assert stack.score(X, sample_weight=X[:, 0]) == pytest.approx(
        -np.average(values, weights=X[:, 0])
    )


def test_the_defaults_learn_digits(digits):
    """Warnings are errors: each layer converges, and the codes keep the digits."""
    X = digits[0][:600]
    stack = StackedCAE((64, 32), random_state=0).fit(X)
    baseline = ((X - X.mean(0)) ** 2).sum(1).mean()
    assert -stack.score(X) < 0.75 * baseline


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_scores_are_computed_in_chunks(make, digits, monkeypatch):
    """The same numbers, and never more rows at a time than the bound allows."""
    X = digits[0][:350]
    stack = small_stack((6, 90, 4), batch_size=100, bias_spread=0).fit(X)
    whole = stack.score_samples(X)
    sizes = []
    map_rows = BaseAutoencoder._map_rows

    def spy(self, X, *how, **where):
        sizes.append(X.shape[0])
        return map_rows(self, X, *how, **where)

    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 90 * 100)
    monkeypatch.setattr(BaseAutoencoder, "_map_rows", spy)
    assert_allclose(stack.score_samples(make(X)), whole, rtol=1e-11)
    assert set(sizes) == {100, 50}


def test_codes_are_let_go_when_those_above_them_are_there(digits, monkeypatch):
    data, alive = [], []
    run = AutoencoderFit.run

    def watched(fit):
        run(fit)
        alive.append([(rows() is not None) for rows in data])
        data.extend([weakref.ref(fit.given.X), weakref.ref(fit.given.X_val)])

    monkeypatch.setattr(AutoencoderFit, "run", watched)
    X, X_val = digits[0][:100], digits[0][100:150]
    stack = small_stack((9, 8, 7, 6), early_stopping=True, max_iter=40)
    stack.fit(X, X_val=X_val)
    # The data themselves are there all the time, and codes only while they are fitted.
    codes = [False, False]
    here = [True, True]
    assert alive == [[], here, here + codes, here + 2 * codes]
    assert [rows() is not None for rows in data] == here + 3 * codes


# ---- seeds ----------------------------------------------------------------------


def test_seeds(unit_data):
    first = small_stack().fit(unit_data)
    assert_same_stack(first, small_stack().fit(unit_data))
    assert_same_stack(first, small_stack(random_state=np.int64(0)).fit(unit_data))
    state = np.random.RandomState(0)
    stack = small_stack(random_state=state).fit(unit_data)
    assert_same_stack(stack, first)
    assert stack.random_state is state
    again = small_stack(random_state=state).fit(unit_data)
    for one, other in zip(stack.estimators_, again.estimators_, strict=True):
        assert (one.components_ != other.components_).any()
    # Two fits of two layers have drawn a number for each.
    expected = np.random.RandomState(0)
    expected.randint(np.iinfo(np.int32).max, size=4)
    assert state.randint(10**9) == expected.randint(10**9)


def hardly_trained(sizes, **parameters):
    """A stack whose weights are those that it drew to begin with, but for rounding."""
    return small_stack(sizes, max_iter=1, learning_rate=1e-9, **parameters)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_seed_is_another_one_each_time(unit_data):
    one, other = (
        hardly_trained((8, 8), random_state=None).fit(unit_data) for _ in range(2)
    )
    for lower, upper in zip(one.estimators_, other.estimators_, strict=True):
        assert abs(lower.components_ - upper.components_).max() > 0.1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_layers_do_not_start_alike(unit_data):
    """Layers of one shape have seeds of their own."""
    for seed in (0, None, np.random.RandomState(0)):
        stack = hardly_trained((8, 8, 8), random_state=seed).fit(unit_data)
        one, two, three = (layer.components_ for layer in stack.estimators_)
        assert abs(one - two).max() > 0.1
        assert abs(two - three).max() > 0.1


# ---- kinds of input -------------------------------------------------------------


def test_what_is_passed_is_not_changed(unit_data):
    weights, sizes, penalties = np.arange(40.0), [6, 4], [0.1, 0.2]
    X, before = unit_data.copy(), weights.copy()
    stack = small_stack(sizes, jacobian_penalty=penalties, loss="cross_entropy")
    parameters = stack.get_params()
    stack.fit(X, np.array(["a"] * 40), sample_weight=weights)
    stack.score(X)
    stack.inverse_transform(stack.transform(X))
    assert_array_equal(X, unit_data)
    assert_array_equal(weights, before)
    assert stack.get_params() == parameters
    assert stack.hidden_layer_sizes is sizes
    assert (sizes, penalties) == ([6, 4], [0.1, 0.2])
