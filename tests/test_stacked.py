"""Contractive autoencoders trained one on top of the other."""

import logging
import pickle
import re
import warnings
import weakref
from inspect import signature

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcae import ContractiveAutoencoder, StackedCAE
from skcae._core.training.solvers import Adam
from skcae._estimators.base import BaseAutoencoder
from skcae._fit.autoencoder import AutoencoderFit
from skcae.activations import ACTIVATIONS
from tests import oracles
from tests.test_estimator_checks import FURTHER_CHECKS

SMALL = {"learning_rate": 0.01, "max_iter": 12, "tol": 0.5, "random_state": 0}
CONSTANT = {"learning_rate_schedule": "constant", "tol": 0.0, "n_iter_no_change": 50}
LOSSES = ["squared_error", "cross_entropy"]
METHODS = ["transform", "inverse_transform", "score_samples", "score"]


def small_stack(sizes=(6, 4), **parameters):
    return StackedCAE(sizes, **{**SMALL, **parameters})


def small_layer(size=6, **parameters):
    return ContractiveAutoencoder(size, **{**SMALL, **parameters})


def fitted_state(estimator):
    return {name: v for name, v in vars(estimator).items() if name.endswith("_")}


def assert_same_layer(one, other):
    """Bit for bit the same model, from which training goes on alike."""
    states = [
        {
            **fitted_state(layer),
            **layer._training_state["solver_state"],
            "solver": layer._training_state["solver"],
            "generator": layer._training_state["generator"],
            "activation": layer._fitted_activation,
            "loss": layer._fitted_loss,
        }
        for layer in (one, other)
    ]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert_array_equal(value, states[1][name], err_msg=name, strict=True)


def assert_same_stack(one, other):
    assert fitted_state(one).keys() == fitted_state(other).keys()
    assert one.n_iter_ == other.n_iter_
    for lower, upper in zip(one.estimators_, other.estimators_, strict=True):
        assert_same_layer(lower, upper)


def fit_by_hand(sizes, X, strengths=None, X_val=None, **how):
    """Fit single estimators on each other's codes, with the seeds of a stack."""
    strengths = strengths or [{}] * len(sizes)
    names = ("sample_weight", "sample_weight_val")
    given = {name: how.pop(name) for name in names if name in how}
    stream = np.random.RandomState(0)
    layers = []
    for size, strength in zip(sizes, strengths, strict=True):
        drawn = int(stream.randint(np.iinfo(np.int32).max))
        # The first layer draws from the seed what all the others get of it.
        seed = drawn if layers else 0
        layer = small_layer(size, **{**how, **strength, "random_state": seed})
        if X_val is not None:
            given["X_val"] = X_val
        layers.append(layer.fit(X, **given))
        X = layer.transform(X)
        X_val = None if X_val is None else layer.transform(X_val)
    return layers


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
    assert_array_equal(stack.score_samples(X), single.score_samples(X), strict=True)
    assert stack.score(X) == single.score(X)
    weights = np.arange(X.shape[0])
    assert stack.score(X, sample_weight=weights) == single.score(
        X, sample_weight=weights
    )


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


def test_fitting_again_gives_the_same(unit_data):
    stack = small_stack()
    codes = stack.fit_transform(unit_data)
    assert_array_equal(stack.transform(unit_data), codes)
    assert_array_equal(stack.fit(unit_data).transform(unit_data), codes)


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
    stack = small_stack((6, 90, 4)).fit(X)
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
    fit = ContractiveAutoencoder.fit

    def watched(self, X, y=None, sample_weight=None, *, X_val=None, **how):
        fit(self, X, y, sample_weight, X_val=X_val, **how)
        alive.append([(rows() is not None) for rows in data])
        data.extend([weakref.ref(X), weakref.ref(X_val)])
        return self

    monkeypatch.setattr(ContractiveAutoencoder, "fit", watched)
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


def test_global_random_states_are_left_alone(unit_data):
    for seed in (0, None, np.random.RandomState(0)):
        np_state = np.random.get_state(legacy=False)  # noqa: NPY002
        torch_state = torch.get_rng_state()
        small_stack(random_state=seed, early_stopping=True).fit(unit_data)
        # Where it stands in its stream is a part of the state.
        assert_equal(np.random.get_state(legacy=False), np_state)  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), torch_state)


# ---- what is refused ------------------------------------------------------------


@pytest.fixture
def no_training(monkeypatch):
    """Fail if any layer is trained."""

    def trained(self, *arguments, **how):
        raise AssertionError("a layer was trained")

    monkeypatch.setattr(AutoencoderFit, "train", trained)


@pytest.mark.parametrize(
    "sizes",
    [
        5,
        0,
        None,
        "64",
        (),
        [],
        (0,),
        (6, 0),
        (6, -4),
        (6.0, 4.0),
        (6, None),
        (6, np.nan),
        ("6", "4"),
        ((6, 4),),
        (6, (4, 3)),
        [[6], [4]],
        np.array([[6, 4]]),
        np.array(5),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("no_training")
def test_bad_sizes_are_refused(sizes, unit_data):
    stack = small_stack(sizes)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes.* must be a") as caught:
        stack.fit(unit_data)
    assert repr(sizes) in str(caught.value)
    assert not fitted_state(stack)


@pytest.mark.parametrize("name", ["jacobian_penalty", "hessian_penalty"])
@pytest.mark.parametrize(
    "value",
    [
        -0.1,
        np.nan,
        np.inf,
        "0.1",
        None,
        [],
        (0.1,),
        (0.1, 0.2, 0.3),
        (0.1, -0.2),
        (0.1, np.nan),
        (np.inf, 0.1),
        (0.1, "0.2"),
        (0.1, None),
        [[0.1, 0.2]],
        [0.1, [0.2]],
        np.array([[0.1], [0.2]]),
        np.array(-0.1),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("no_training")
def test_bad_penalties_are_refused(name, value, unit_data):
    stack = small_stack(**{name: value})
    with pytest.raises(ValueError, match=rf"{name}.* must be ") as caught:
        stack.fit(unit_data)
    assert repr(value) in str(caught.value)
    assert not fitted_state(stack)


def test_penalties_of_the_wrong_number_say_the_right_one(unit_data):
    with pytest.raises(ValueError, match="one for each of the 3 layers"):
        small_stack((6, 5, 4), jacobian_penalty=[0.1, 0.2]).fit(unit_data)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"sigmoid"}))
@pytest.mark.usefixtures("no_training")
def test_cross_entropy_refuses_codes_out_of_its_range(activation, unit_data):
    stack = small_stack(loss="cross_entropy", activation=activation)
    message = (
        r"loss='cross_entropy' needs codes in \[0, 1\] from the second layer on, which "
        rf"activation='{activation}' does not give"
    )
    with pytest.raises(ValueError, match=message):
        stack.fit(unit_data)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_cross_entropy_takes_what_can_be_fitted(activation, unit_data):
    sizes = (6, 4) if activation == "sigmoid" else (6,)
    stack = small_stack(sizes, loss="cross_entropy", activation=activation)
    assert np.isfinite(stack.fit(unit_data).score(unit_data))


@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("penalty", [0.5, (0, 0.5), (0.5, 0)])
@pytest.mark.usefixtures("no_training")
def test_a_hessian_penalty_without_effect_is_refused(activation, penalty, unit_data):
    stack = small_stack(activation=activation, hessian_penalty=penalty)
    with pytest.raises(ValueError, match=r"hessian_penalty=0.5 would have no effect"):
        stack.fit(unit_data)


@pytest.mark.parametrize(
    ("parameters", "change", "message"),
    [
        ({"activation": "softmax"}, {}, "'activation' parameter of StackedCAE"),
        ({"learning_rate": -1}, {}, "'learning_rate' parameter of StackedCAE"),
        ({"device": "cuda:63"}, {}, "Available devices: cpu"),
        ({"loss": "cross_entropy"}, {"X": np.full((40, 8), 9.0)}, "MinMaxScaler"),
        ({}, {"X": np.full((40, 8), np.nan)}, "NaN"),
        ({}, {"X": np.ones(40)}, "Expected 2D array"),
        ({}, {"sample_weight": -np.ones(40)}, "must not be negative"),
        ({}, {"sample_weight": np.ones(39)}, "expected"),
        ({}, {"X_val": np.ones((3, 8))}, "early_stopping=False"),
        ({}, {"sample_weight_val": [1]}, "without X_val"),
        (
            {"early_stopping": True},
            {"X_val": np.ones((3, 7))},
            "X_val or sample_weight_val.*7 features.*StackedCAE is expecting 8",
        ),
        (
            {"early_stopping": True},
            {"X_val": np.ones((3, 8)), "sample_weight_val": [1, 2]},
            "X_val or sample_weight_val.*expected",
        ),
        ({"early_stopping": True}, {"X": np.ones((1, 8))}, "only 1 sample"),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_what_cannot_be_used_is_refused_before_any_training(
    parameters, change, message, unit_data
):
    stack = small_stack(**parameters)
    with pytest.raises(ValueError, match=message):
        stack.fit(**{"X": unit_data, **change})
    assert not fitted_state(stack)


@pytest.mark.parametrize("method", METHODS)
def test_unfitted(method, unit_data):
    with pytest.raises(NotFittedError, match="This StackedCAE instance is not fitted"):
        getattr(small_stack(), method)(unit_data)


def test_other_widths_are_refused(unit_data):
    stack = small_stack().fit(unit_data)
    with pytest.raises(ValueError, match=r"7 columns, but the codes of .* have 4"):
        stack.inverse_transform(np.ones((2, 7)))
    for method in ("transform", "score_samples", "score"):
        with pytest.raises(ValueError, match=r"7 features, but StackedCAE is expec"):
            getattr(stack, method)(unit_data[:, :7])
    with pytest.raises(ValueError, match="must not be negative"):
        stack.score(unit_data, sample_weight=-np.ones(40))


# ---- when things go wrong -------------------------------------------------------

# The huge penalty lets the second layer diverge, and the first one not.
DIVERGENT_ABOVE = {
    "solver": "sgd",
    "learning_rate": 1e-3,
    "batch_size": 1,
    "jacobian_penalty": (0.0, 1e30),
}


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    ("parameters", "change", "message"),
    [
        (DIVERGENT_ABOVE, lambda X: X, r"diverged in epoch 1 .*=0\.001"),
        (
            {**DIVERGENT_ABOVE, "jacobian_penalty": (1e30, 0)},
            lambda X: X,
            r"diverged in epoch 1 .*=0\.001",
        ),
        ({}, lambda X: np.full_like(X, np.nan), "NaN"),
        ({"device": "cuda:63"}, lambda X: X, "Available devices"),
        ({"hessian_penalty": (0, 1)}, lambda X: X, "no effect"),
        ({"hidden_layer_sizes": (0, 3)}, lambda X: X, "hidden_layer_sizes must be"),
        ({"jacobian_penalty": (1, 2, 3)}, lambda X: X, "each of the 2 layers"),
    ],
    ids=["above", "below", "nan", "device", "hessian", "sizes", "penalties"],
)
def test_a_failed_refit_leaves_the_old_model(
    parameters, change, message, warm_start, unit_data
):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    stack = small_stack(activation="identity", tied_weights=False).fit(frame)
    codes, scores = stack.transform(frame), stack.score_samples(frame)
    before = pickle.loads(pickle.dumps(stack))
    X = pd.DataFrame(change(unit_data), columns=frame.columns)
    if not warm_start:
        # Other columns must not stick when the fit fails later.
        X = X.add_prefix("other_").join(X)
    stack.set_params(warm_start=warm_start, **parameters)
    with pytest.raises(ValueError, match=message):
        stack.fit(X)
    assert_same_stack(stack, before)
    assert_array_equal(stack.feature_names_in_, frame.columns)
    assert stack.n_features_in_ == 8
    assert_array_equal(stack.transform(frame), codes)
    assert_array_equal(stack.score_samples(frame), scores)


def test_a_failure_above_leaves_nothing_of_a_first_fit(unit_data):
    stack = small_stack(activation="identity", **DIVERGENT_ABOVE)
    with pytest.raises(ValueError, match="diverged in epoch 1"):
        stack.fit(unit_data)
    assert not fitted_state(stack)


class Watcher:
    """Notes where each epoch of each layer ends; may interrupt there, or stop."""

    max_propagation_depth = None

    def __init__(self, interrupt_at=None, stop_at=None):
        self.interrupt_at = interrupt_at
        self.stop_at = stop_at
        self.ended, self.labels = [], []
        self.is_set_up = False

    def setup(self, estimator, context):
        self.is_set_up = True

    def teardown(self, estimator, context):
        self.is_set_up = False

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, y):
        assert self.is_set_up
        if context.task_name != "epoch":
            return False
        assert type(estimator) is ContractiveAutoencoder
        layer = context.parent
        assert (layer.source_estimator_name, layer.source_task_name) == (
            "StackedCAE",
            "layer",
        )
        place = (layer.task_id, context.task_id)
        self.ended.append(place)
        self.labels.append(y)
        if place == self.interrupt_at:
            raise KeyboardInterrupt
        return place == self.stop_at


def assert_no_trace(stack):
    """The fit has left nothing of callbacks on the stack and its layers."""
    for estimator in (stack, *stack.estimators_):
        for name in vars(estimator):
            assert "callback" not in name, name


def test_an_interrupt_leaves_the_layers_so_far(unit_data):
    watcher = Watcher(interrupt_at=(1, 2))
    stack = small_stack((6, 5, 4), learning_rate_schedule="constant")
    with pytest.raises(KeyboardInterrupt):
        stack.set_callbacks(watcher).fit(unit_data)
    assert not watcher.is_set_up
    first, second = stack.estimators_
    how = {"learning_rate_schedule": "constant"}
    whole = fit_by_hand((6, 5, 4), unit_data, **how)
    assert_same_layer(first, whole[0])
    # What `ContractiveAutoencoder` leaves: the last complete epoch.
    three = clone(whole[1]).set_params(max_iter=3)
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        three.fit(whole[0].transform(unit_data))
    assert_array_equal(second.components_, three.components_)
    assert second.n_iter_ == 3
    assert stack.n_iter_ == first.n_iter_ + 3
    assert stack.transform(unit_data).shape == (40, 5)
    assert np.isfinite(stack.score(unit_data))
    stack.set_callbacks()
    assert_no_trace(stack)


def test_an_interrupt_replaces_an_old_model(unit_data):
    """A refit that is interrupted is the new stack as far as it came."""
    old = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    stack = small_stack((6, 5, 4)).fit(old)
    stack.set_params(hidden_layer_sizes=(7, 3), random_state=1)
    with pytest.raises(KeyboardInterrupt):
        stack.set_callbacks(Watcher(interrupt_at=(0, 3))).fit(unit_data[:, :5])
    (layer,) = stack.estimators_
    assert layer.components_.shape == (7, 5)
    assert stack.n_features_in_ == 5
    assert stack.n_iter_ == layer.n_iter_ == 4
    assert not hasattr(stack, "feature_names_in_")
    assert stack.transform(unit_data[:, :5]).shape == (40, 7)


def test_an_interrupted_stack_can_go_on(unit_data):
    stack = small_stack((6, 5, 4), warm_start=True)
    with pytest.raises(KeyboardInterrupt):
        stack.set_callbacks(Watcher(interrupt_at=(1, 2))).fit(unit_data)
    before = [layer.n_iter_ for layer in stack.estimators_]
    stack.set_callbacks().fit(unit_data)
    after = [layer.n_iter_ for layer in stack.estimators_]
    assert len(after) == 3
    assert after[0] > before[0]
    assert after[1] > before[1] == 3
    assert stack.transform(unit_data).shape == (40, 4)


def test_an_interrupt_is_not_swallowed_by_a_search(unit_data):
    search = GridSearchCV(small_stack(), {"hidden_layer_sizes": [(6, 4)]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.set_callbacks(Watcher(interrupt_at=(1, 2))).fit(unit_data)


def test_an_interrupt_between_the_layers_leaves_those_below(unit_data, monkeypatch):
    """While the codes are computed, the layer that gives them is already trained."""

    def interrupted(self, *arguments, **where):
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseAutoencoder, "_map_rows", interrupted)
    stack = small_stack()
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    monkeypatch.undo()
    (layer,) = stack.estimators_
    assert_same_layer(layer, small_layer(6).fit(unit_data))
    assert stack.transform(unit_data).shape == (40, 6)


@pytest.fixture
def interrupted_steps(monkeypatch):
    """Interrupt each fit in its very first step."""

    def interrupted(self, gradient, rate):
        raise KeyboardInterrupt

    monkeypatch.setattr(Adam, "update", interrupted)


@pytest.mark.usefixtures("interrupted_steps")
def test_an_interrupt_before_the_first_epoch_leaves_nothing(unit_data):
    stack = small_stack()
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    assert not fitted_state(stack)


@pytest.mark.parametrize("warm_start", [False, True])
def test_an_interrupt_before_the_first_epoch_leaves_the_old_model(
    warm_start, unit_data, request
):
    stack = small_stack(warm_start=warm_start).fit(unit_data)
    before = pickle.loads(pickle.dumps(stack))
    request.getfixturevalue("interrupted_steps")
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    assert_same_stack(stack, before)


def test_an_interrupt_before_the_second_layers_first_epoch(unit_data, monkeypatch):
    update, n_steps = Adam.update, small_layer(6).fit(unit_data).n_iter_
    steps = []

    def interrupted(self, gradient, rate):
        steps.append(1)
        if len(steps) > n_steps:
            raise KeyboardInterrupt
        update(self, gradient, rate)

    monkeypatch.setattr(Adam, "update", interrupted)
    stack = small_stack()
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    monkeypatch.undo()
    (layer,) = stack.estimators_
    assert_same_layer(layer, small_layer(6).fit(unit_data))


# ---- convergence ----------------------------------------------------------------


def test_each_layer_that_has_not_settled_warns(digits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small_stack(max_iter=4, n_iter_no_change=2, tol=1e-9).fit(digits[0])
    assert [w.category for w in caught] == [ConvergenceWarning] * 2
    assert all("Training stopped at max_iter=4" in str(w.message) for w in caught)


def test_a_layer_that_has_settled_does_not_warn(unit_data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small_stack().fit(unit_data).score(unit_data)
    assert caught == []


def test_the_warning_points_at_the_line_that_called_fit(digits):
    with pytest.warns(ConvergenceWarning, match="max_iter=4") as caught:
        small_stack(max_iter=4, n_iter_no_change=2, tol=1e-9).fit(digits[0])
    assert {w.filename for w in caught} == {__file__}


# ---- going on -------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_warm_start_goes_on_with_every_layer(early_stopping, unit_data):
    how = {"warm_start": True, "batch_size": 7, "early_stopping": early_stopping}
    stack = small_stack((6, 5, 4), **how).fit(unit_data)
    first = [layer.n_iter_ for layer in stack.estimators_]
    stack.fit(unit_data)

    layers = fit_by_hand((6, 5, 4), unit_data, **how)
    codes = unit_data
    for layer in layers:
        codes = layer.fit(codes).transform(codes)
    for layer, expected, n_before in zip(stack.estimators_, layers, first, strict=True):
        assert_same_layer(layer, expected)
        assert layer.n_iter_ == len(layer.loss_curve_) > n_before
    assert stack.n_iter_ == sum(layer.n_iter_ for layer in layers)
    assert_array_equal(stack.transform(unit_data), codes)

    stack.set_params(warm_start=False).fit(unit_data)
    assert [layer.n_iter_ for layer in stack.estimators_] == first


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_warm_start_is_one_long_training_of_the_first_layer(unit_data):
    how = {"batch_size": 7, **CONSTANT}
    halves = small_stack(max_iter=4, warm_start=True, **how)
    halves.fit(unit_data).fit(unit_data)
    whole = small_stack(max_iter=8, **how).fit(unit_data)
    for name, value in fitted_state(whole.estimators_[0]).items():
        assert_array_equal(getattr(halves.estimators_[0], name), value, err_msg=name)
    assert halves.n_iter_ == whole.n_iter_ == 16


def test_going_on_leaves_earlier_layers_alone(unit_data):
    """What was taken out of the stack before is not trained on."""
    stack = small_stack(warm_start=True).fit(unit_data)
    layers = stack.estimators_
    before = pickle.loads(pickle.dumps(layers))
    stack.fit(unit_data)
    for layer, expected in zip(layers, before, strict=True):
        assert_same_layer(layer, expected)


def test_a_warm_start_follows_the_parameters_of_now(unit_data):
    stack = small_stack(warm_start=True).fit(unit_data)
    stack.set_params(jacobian_penalty=(0.2, 0.4), solver="sgd", learning_rate=1e-3)
    stack.fit(unit_data)
    assert [layer.jacobian_penalty for layer in stack.estimators_] == [0.2, 0.4]
    assert {layer.solver for layer in stack.estimators_} == {"sgd"}


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"hidden_layer_sizes": (5, 4)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (6, 5)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (6,)}, "hidden_layer_sizes"),
        ({"tied_weights": False}, "tied_weights"),
        ({"activation": "tanh"}, "activation"),
        ({"loss": "cross_entropy"}, "loss"),
    ],
    ids=str,
)
def test_going_on_as_another_model_is_refused_before_any_training(
    parameters, name, unit_data, request
):
    stack = small_stack(warm_start=True).fit(unit_data).set_params(**parameters)
    before = pickle.loads(pickle.dumps(stack))
    request.getfixturevalue("no_training")
    with pytest.raises(ValueError, match=rf"{name}.*cannot go on"):
        stack.fit(unit_data)
    assert_same_stack(stack, before)


def test_going_on_with_other_columns_is_refused(unit_data):
    stack = small_stack(warm_start=True).fit(unit_data)
    with pytest.raises(ValueError, match="7 features, but StackedCAE is expecting 8"):
        stack.fit(unit_data[:, :7])


# ---- kinds of input -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("interface", ["matrix", "array"])
def test_sparse_input_gives_the_same_model(kind, interface, unit_data):
    X = np.where(unit_data > 0.7, unit_data, 0.0)
    X_sparse = getattr(sparse, f"{kind}_{interface}")(X)
    dense, thin = (small_stack(batch_size=7).fit(data) for data in (X, X_sparse))
    for one, other in zip(dense.estimators_, thin.estimators_, strict=True):
        assert_allclose(one.components_, other.components_, rtol=1e-12)
    assert_array_equal(thin.transform(X_sparse), dense.transform(X))
    assert_allclose(thin.score_samples(X_sparse), dense.score_samples(X))
    assert thin.score(X_sparse) == pytest.approx(dense.score(X))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("i8", "f8"), ("u1", "f8"), ("?", "f8")],
)
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_float32_and_float64_stay(make, dtype, expected, unit_data):
    X = (unit_data > 0.5).astype(dtype)
    if dtype != "f2":  # scipy has no sparse float16
        X = make(X)
    stack = small_stack((6, 5, 4)).fit(X)
    for layer in stack.estimators_:
        for name in ("components_", "intercept_hidden_", "intercept_visible_"):
            assert getattr(layer, name).dtype == expected
    assert stack.transform(X).dtype == expected
    assert stack.score_samples(X).dtype == expected
    assert stack.inverse_transform(stack.transform(X)).dtype == expected
    assert stack.transform(X.astype("f4")).dtype == "f4"
    assert stack.score_samples(X.astype("f4")).dtype == "f4"


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda X: X[:, ::-1][:, ::-1],
        lambda X: X.tolist(),
        lambda X: X.astype(object),
        lambda X: X.astype(">f8"),
        lambda X: pd.DataFrame(X, columns=list("abcdefgh")),
    ],
    ids=["fortran", "reversed", "list", "object", "big-endian", "frame"],
)
def test_layouts_make_no_difference(change, unit_data):
    X = change(unit_data)
    stack, plain = small_stack().fit(X), small_stack().fit(unit_data)
    for one, other in zip(stack.estimators_, plain.estimators_, strict=True):
        assert_same_layer(one, other)
    assert_array_equal(stack.transform(X), plain.transform(unit_data))
    assert_array_equal(stack.score_samples(X), plain.score_samples(unit_data))


def test_memory_mapped_data_gives_the_same_model_uncopied(
    unit_data, tmp_path, monkeypatch
):
    np.save(tmp_path / "X.npy", unit_data)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    matrices = []
    make = AutoencoderFit._learner

    def spy(self, rows, validation):
        matrices.append(rows.matrix)
        return make(self, rows, validation)

    monkeypatch.setattr(AutoencoderFit, "_learner", spy)
    stack = small_stack().fit(mapped)
    assert np.shares_memory(matrices[0], mapped)
    assert_same_stack(stack, small_stack().fit(unit_data))
    assert_array_equal(stack.score_samples(mapped), stack.score_samples(unit_data))


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


def test_weights_are_repetitions_in_full_batches(unit_data):
    X, weights = unit_data[:20], np.arange(20) % 3
    weighted = small_stack().fit(X, sample_weight=weights)
    repeated = small_stack().fit(X.repeat(weights, axis=0))
    for one, other in zip(weighted.estimators_, repeated.estimators_, strict=True):
        assert_allclose(one.components_, other.components_, rtol=1e-6, atol=1e-9)


def test_a_row_of_weight_zero_is_no_row_even_in_mini_batches(digits):
    X = digits[0][:200].copy()
    weights = np.ones(200)
    weights[::3] = 0.0
    X[0] = 1e200  # whose loss overflows
    for parameters in ({}, {"early_stopping": True}):
        weighted = small_stack(**parameters).fit(X, sample_weight=weights)
        absent = small_stack(**parameters).fit(X[weights > 0])
        for one, other in zip(weighted.estimators_, absent.estimators_, strict=True):
            assert_allclose(one.components_, other.components_, rtol=1e-10)


def test_rows_are_independent_of_their_company(unit_data):
    stack = small_stack((6, 5, 4)).fit(unit_data)
    for method in (stack.transform, stack.score_samples):
        alone = np.concatenate([method(row[None]) for row in unit_data])
        assert_allclose(alone, method(unit_data), rtol=1e-9)


# ---- callbacks ------------------------------------------------------------------


class Recorder:
    """Notes each task of the stack itself; may act when a layer is done."""

    def __init__(self, act=None):
        self.act = act
        self.begun, self.ended, self.models = [], [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.ended.append((context.task_name, context.task_id, X, y, metadata))
        if context.task_name != "layer":
            return False
        self.models.append(fitted_estimator)
        return self.act is not None and self.act(fitted_estimator, context.task_id)


def interrupt(model, number):
    raise KeyboardInterrupt


def test_one_task_for_each_layer(unit_data):
    recorder, weights = Recorder(), np.ones(40)
    stack = small_stack().set_callbacks(recorder)
    stack.fit(unit_data, y="labels", sample_weight=weights)
    assert recorder.begun == [("fit", 0), ("layer", 0), ("layer", 1)]
    places = [tuple(task[:2]) for task in recorder.ended]
    assert places == [("layer", 0), ("layer", 1), ("fit", 0)]
    for _, _, _, y, metadata in recorder.ended:
        assert y == "labels"
        assert metadata["sample_weight"] is weights
    assert recorder.ended[-1][2] is unit_data


def test_callbacks_see_the_stack_as_far_as_it_is(unit_data):
    """Together with data that it takes."""
    recorder = Recorder()
    stack = small_stack((6, 5, 4)).set_callbacks(recorder).fit(unit_data)
    widths = [seen.transform(unit_data).shape[1] for seen in recorder.models]
    assert widths == [6, 5, 4]
    assert recorder.models[-1].score(unit_data) == stack.score(unit_data)
    for seen, task in zip(recorder.models, recorder.ended, strict=False):
        X = task[2]
        assert seen.transform(X).shape[0] == 40


def test_callbacks_of_a_refit_see_nothing_of_the_old_model(unit_data):
    stack = small_stack().fit(pd.DataFrame(unit_data, columns=list("abcdefgh")))
    recorder, fresh = Recorder(), Recorder()
    stack.set_callbacks(recorder).fit(unit_data)
    small_stack().set_callbacks(fresh).fit(unit_data)
    for seen, expected in zip(recorder.models, fresh.models, strict=True):
        assert seen.score(unit_data) == expected.score(unit_data)
        assert getattr(seen, "feature_names_in_", None) is None


def test_callbacks_cannot_change_the_fit(unit_data):
    def vandalise(model, number):
        for layer in model.estimators_:
            layer.components_[:] = 0
            layer.partial_fit(np.ones((3, layer.n_features_in_)))
        model.estimators_.clear()

    stack = small_stack().set_callbacks(Recorder(vandalise)).fit(unit_data)
    assert_same_stack(stack, small_stack().fit(unit_data))


def test_callbacks_change_nothing(unit_data):
    stack = small_stack().set_callbacks(Recorder(), Watcher()).fit(unit_data)
    assert_same_stack(stack, small_stack().fit(unit_data))


def test_a_callback_that_returns_true_stops_after_a_layer(unit_data):
    recorder = Recorder(lambda model, number: number == 1)
    stack = small_stack((6, 5, 4)).set_callbacks(recorder).fit(unit_data)
    assert_same_stack(stack, small_stack((6, 5)).fit(unit_data))


def test_an_interrupt_in_a_callback_keeps_the_layer_and_is_raised(unit_data):
    stack = small_stack().set_callbacks(Recorder(interrupt))
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    (layer,) = stack.estimators_
    assert_same_layer(layer, small_layer(6).fit(unit_data))


def test_callbacks_that_propagate_see_layer_and_epoch(unit_data):
    watcher = Watcher()
    stack = small_stack((6, 5, 4)).set_callbacks(watcher)
    stack.fit(unit_data, "labels")
    assert set(watcher.labels) == {"labels"}
    assert watcher.ended == [
        (number, epoch)
        for number, layer in enumerate(stack.estimators_)
        for epoch in range(layer.n_iter_)
    ]
    assert stack._skl_callbacks == [watcher]
    assert_no_trace(stack.set_callbacks())


def test_a_callback_that_returns_true_stops_a_layer_alone(unit_data):
    watcher = Watcher(stop_at=(0, 2))
    stack = small_stack().set_callbacks(watcher).fit(unit_data)
    first, second = stack.estimators_
    assert first.n_iter_ == 3
    assert second.n_iter_ > 3


def test_callbacks_reach_us_through_pipelines_and_searches(unit_data):
    watcher = Watcher()
    pipeline = Pipeline([("scale", StandardScaler()), ("code", small_stack())])
    pipeline.set_callbacks(watcher).fit(unit_data)
    assert len(watcher.ended) == pipeline["code"].n_iter_
    search = GridSearchCV(
        pipeline.set_callbacks(), {"code__hidden_layer_sizes": [(3, 2)]}, cv=2
    )
    watcher = Watcher()
    search.set_callbacks(watcher).fit(unit_data)
    # Two folds and the refit, of two layers each.
    assert [place for place in watcher.ended if place[1] == 0] == 3 * [(0, 0), (1, 0)]


def test_a_scoring_monitor_logs_a_score_for_each_layer(digits):
    X, y = digits[0][:100], digits[1][:100]
    monitor = ScoringMonitor(
        scoring=lambda estimator, X, y: {"loss": -estimator.score(X)}
    )
    stack = small_stack((16, 8)).set_callbacks(monitor).fit(X, y)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "layer"]
    assert len(log) == 2
    assert log[-1]["loss"] == pytest.approx(-stack.score(X))
    first = small_stack((16,)).fit(X)
    assert log[0]["loss"] == pytest.approx(-first.score(X))


# ---- verbose --------------------------------------------------------------------


@pytest.fixture
def without_rich(monkeypatch):
    monkeypatch.setattr("skcae._fit.progress.find_spec", lambda name: None)


def shown(estimator, X, capsys):
    """Fit where nobody has set up logging, as pytest does, and return what shows."""
    logger = logging.getLogger("skcae")
    logger.propagate = False
    try:
        estimator.fit(X)
    finally:
        logger.propagate = True
    return capsys.readouterr()


def assert_epochs_logged_once(text, stack):
    epochs = [int(number) for number in re.findall(r"epoch (\d+)/12: objective", text)]
    assert epochs == [
        number for layer in stack.estimators_ for number in range(1, layer.n_iter_ + 1)
    ]


def assert_logged_once(text, stack):
    """Each epoch once, in order, and which layer it is of."""
    assert_epochs_logged_once(text, stack)
    layers = [int(number) for number in re.findall(r"layer (\d+)\b", text)]
    assert sorted(set(layers)) == [*range(1, len(stack.estimators_) + 1)]
    assert layers == sorted(layers)


def test_verbose_shows_layers_and_their_epochs_in_a_bar(unit_data, capsys):
    stack = small_stack(verbose=1)
    out, err = shown(stack, unit_data, capsys)
    assert out.count("StackedCAE - fit") == 1
    for number in (1, 2):
        assert out.count(f"layer {number}/2 · epoch ") == 1
    assert err == ""
    assert_no_trace(stack)
    assert_same_stack(stack, small_stack().fit(unit_data))


@pytest.mark.usefixtures("without_rich")
def test_verbose_without_rich_shows_layers_and_their_epochs(unit_data, capsys):
    stack = small_stack(verbose=1)
    out, err = shown(stack, unit_data, capsys)
    assert out == ""
    assert_logged_once(err, stack)
    assert_no_trace(stack)
    assert_same_stack(stack, small_stack().fit(unit_data))


def test_verbose_inside_a_pipeline_logs(unit_data, capsys):
    pipeline = Pipeline([("code", small_stack(verbose=1))])
    out, err = shown(pipeline, unit_data, capsys)
    assert out == ""
    assert_logged_once(err, pipeline["code"])


def test_verbose_is_heard_once_where_logging_is_set_up(unit_data, caplog, capsys):
    caplog.set_level(logging.INFO, logger="skcae")
    pipeline = Pipeline([("code", small_stack(verbose=1))]).fit(unit_data)
    assert_logged_once(caplog.text, pipeline["code"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [1, None])
def test_verbose_beside_a_progress_bar_shows_one(depth, unit_data, capsys):
    bar = ProgressBar(max_propagation_depth=depth)
    out, err = shown(small_stack(verbose=1).set_callbacks(bar), unit_data, capsys)
    assert out.count("StackedCAE - fit") == 1
    assert out.count("ContractiveAutoencoder - fit") == 2
    assert err == ""


def test_verbose_beside_a_bar_that_ends_above_the_layers_logs(unit_data, capsys):
    """The log shows the epochs, which the bar does not."""
    stack = small_stack(verbose=1).set_callbacks(ProgressBar(max_propagation_depth=0))
    out, err = shown(stack, unit_data, capsys)
    assert out.count("StackedCAE - fit") == 1
    assert "ContractiveAutoencoder" not in out
    assert_epochs_logged_once(err, stack)


def test_a_bar_on_the_pipeline_shows_our_epochs(unit_data, capsys):
    pipeline = Pipeline([("code", small_stack(verbose=1))])
    pipeline.set_callbacks(ProgressBar(max_propagation_depth=None))
    out, err = shown(pipeline, unit_data, capsys)
    assert out.count("ContractiveAutoencoder - fit") == 2
    assert err == ""


@pytest.mark.parametrize("rich", [True, False])
def test_verbose_leaves_no_trace(rich, unit_data, request):
    if not rich:
        request.getfixturevalue("without_rich")
    logger = logging.getLogger("skcae")
    stack = small_stack(verbose=1).fit(unit_data)
    assert_no_trace(stack)
    stack.set_params(activation="identity", **DIVERGENT_ABOVE)
    with pytest.raises(ValueError, match="diverged"):
        stack.fit(unit_data)
    assert_no_trace(stack)
    recorder = Recorder()
    stack = small_stack(verbose=1).set_callbacks(recorder).fit(unit_data)
    assert stack._skl_callbacks == [recorder]
    assert logger.handlers == []
    assert logger.level == logging.NOTSET


def test_silent_by_default(unit_data, capfd):
    small_stack().fit(unit_data)
    assert capfd.readouterr() == ("", "")


# ---- scikit-learn around it -----------------------------------------------------


def test_no_torch_in_the_fitted_state(unit_data):
    def leaves(value):
        if isinstance(value, ContractiveAutoencoder):
            value = vars(value)
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for part in value:
                yield from leaves(part)
        else:
            yield value

    stack = small_stack(early_stopping=True, tied_weights=False).fit(unit_data)
    for value in leaves(vars(stack)):
        assert not type(value).__module__.startswith("torch"), value
    state = {name: type(value) for name, value in fitted_state(stack).items()}
    assert state == {"estimators_": list, "n_iter_": int, "n_features_in_": int}
    assert {type(layer) for layer in stack.estimators_} == {ContractiveAutoencoder}
    # Nothing else is kept.
    assert set(vars(stack)) == {*stack.get_params(), *state}


def test_clone_and_parameters(unit_data):
    stack = small_stack([6, 4], jacobian_penalty=[0.1, 0.2])
    parameters = stack.get_params()
    copy = clone(stack.fit(unit_data))
    assert copy.get_params() == stack.get_params() == parameters
    assert not fitted_state(copy)
    assert_same_stack(copy.fit(unit_data), stack)


def test_constraints_cover_the_parameters():
    names = set(signature(StackedCAE).parameters)
    assert set(StackedCAE._parameter_constraints) == names
    expected = set(signature(ContractiveAutoencoder).parameters) - {"n_components"}
    assert names == expected | {"hidden_layer_sizes"}


def test_every_parameter_is_documented():
    described = StackedCAE.__doc__.partition("Parameters\n")[2]
    described = described.partition("Attributes\n")[0]
    for name, parameter in signature(StackedCAE).parameters.items():
        shown = repr(parameter.default).replace("'", '"').replace("0.001", "1e-3")
        (line,) = re.findall(rf"^    {name} : .*(?:\n            .*)?", described, re.M)
        assert line.endswith(f"default={shown}"), line


def test_sizes_come_first_and_by_position():
    assert StackedCAE((3, 2)).hidden_layer_sizes == (3, 2)
    assert StackedCAE().hidden_layer_sizes == (1000, 1000)
    with pytest.raises(TypeError, match="positional argument"):
        StackedCAE((3, 2), 0.1)


def test_pickle_keeps_the_model_and_where_it_stood(unit_data):
    stack = small_stack(tied_weights=False, warm_start=True).fit(unit_data)
    loaded = pickle.loads(pickle.dumps(stack))
    assert_same_stack(stack, loaded)
    assert_array_equal(loaded.transform(unit_data), stack.transform(unit_data))
    assert_same_stack(stack.fit(unit_data), loaded.fit(unit_data))


@pytest.mark.parametrize(("library", "frame"), [("pandas", pd), ("polars", pl)])
def test_set_output(library, frame, unit_data):
    stack = small_stack().set_output(transform=library)
    out = stack.fit_transform(unit_data)
    assert isinstance(out, frame.DataFrame)
    assert list(out.columns) == [f"stackedcae{k}" for k in range(4)]
    assert_array_equal(stack.get_feature_names_out(), out.columns)
    assert_array_equal(out.to_numpy(), small_stack().fit_transform(unit_data))
    assert isinstance(stack.inverse_transform(out), np.ndarray)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_what_others_are_set_to_give_out_stays_outside(library, unit_data):
    """A global setting changes what `transform` returns, and nothing else."""
    plain = small_stack().fit(unit_data)
    with sklearn.config_context(transform_output=library):
        stack = small_stack().fit(unit_data)
        frame = plain.transform(unit_data)
        assert plain.score(unit_data) == stack.score(unit_data)
    assert_same_stack(stack, plain)
    assert list(frame.columns) == [f"stackedcae{k}" for k in range(4)]
    assert_array_equal(stack.transform(unit_data), frame.to_numpy())


def test_names_of_features_are_kept_and_forgotten(unit_data):
    stack = small_stack().fit(pd.DataFrame(unit_data, columns=list("abcdefgh")))
    assert list(stack.feature_names_in_) == list("abcdefgh")
    stack.fit(unit_data)
    assert not hasattr(stack, "feature_names_in_")
    assert stack.transform(unit_data).shape == (40, 4)


def test_names_of_a_frame_must_match(unit_data):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    stack = small_stack().fit(frame)
    assert stack.transform(frame).shape == (40, 4)
    with pytest.raises(ValueError, match="feature names should match"):
        stack.transform(frame[list("hgfedcba")])


def test_labels_of_any_kind_are_ignored(unit_data):
    labels = np.array(["a", "b"] * 20)
    assert_same_stack(
        small_stack().fit(unit_data, labels), small_stack().fit(unit_data)
    )


def test_a_model_of_a_missing_device_transforms_here(unit_data):
    stack = small_stack().fit(unit_data)
    expected = stack.transform(unit_data), stack.score_samples(unit_data)
    # As if it had been fitted there, and loaded here.
    for estimator in (stack, *stack.estimators_):
        estimator.set_params(device="cuda:63")
    assert_array_equal(stack.transform(unit_data), expected[0])
    assert_array_equal(stack.score_samples(unit_data), expected[1])


def test_a_device_may_be_a_torch_device(unit_data):
    device = torch.device("cpu")
    stack = clone(small_stack(device=device)).fit(unit_data)
    assert stack.get_params()["device"] == device
    assert_same_stack(stack, small_stack().fit(unit_data))


def test_a_default_device_of_torch_makes_no_difference(unit_data):
    plain = small_stack(early_stopping=True).fit(unit_data)
    torch.set_default_device("meta")
    try:
        other = small_stack(early_stopping=True).fit(unit_data)
        scores = other.score_samples(unit_data)
    finally:
        torch.set_default_device(None)
    assert_same_stack(plain, other)
    assert_array_equal(scores, plain.score_samples(unit_data))


def test_grid_search_over_sizes_and_penalties(digits):
    X, y = digits[0][:150], digits[1][:150]
    pipeline = make_pipeline(MinMaxScaler(), small_stack(), LinearSVC(random_state=0))
    grid = [
        {
            "stackedcae__hidden_layer_sizes": [(8,), (8, 6), [8, 6, 4]],
            "stackedcae__jacobian_penalty": [0.0, 0.1],
        },
        {
            "stackedcae__hidden_layer_sizes": [(8, 6)],
            "stackedcae__jacobian_penalty": [(0.0, 0.1), [0.1, 0.0]],
        },
    ]
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_grid_search_without_labels_uses_our_score(unit_data):
    grid = {"hidden_layer_sizes": [(1,), (6, 6)]}
    search = GridSearchCV(small_stack(), grid, cv=2, error_score="raise")
    search.fit(unit_data)
    assert search.best_estimator_.score(unit_data) < 0
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])


@pytest.fixture
def enable_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("enable_routing")
def test_x_val_goes_through_the_pipelines_scaler(digits):
    X, X_val = digits[0][:300], digits[0][300:400]
    weights = np.arange(300) % 3
    stack = small_stack(early_stopping=True, max_iter=30)
    stack.set_fit_request(X_val=True, sample_weight=True)
    pipeline = Pipeline(
        [
            ("scale", StandardScaler().set_fit_request(sample_weight=False)),
            ("code", stack),
        ],
        transform_input=["X_val"],
    ).fit(16 * X, X_val=16 * X_val, sample_weight=weights)
    scaler = StandardScaler().fit(16 * X)
    by_hand = clone(stack).fit(
        scaler.transform(16 * X),
        X_val=scaler.transform(16 * X_val),
        sample_weight=weights,
    )
    assert_same_stack(pipeline["code"], by_hand)


@pytest.mark.usefixtures("enable_routing")
def test_weights_are_routed_through_a_search(unit_data):
    weights = np.arange(40) % 3 + 1.0
    stack = small_stack().set_fit_request(sample_weight=True)
    stack.set_score_request(sample_weight=True)
    search = GridSearchCV(stack, {"jacobian_penalty": [0.1]}, cv=2)
    search.fit(unit_data, sample_weight=weights)
    halves = [np.arange(20), np.arange(20, 40)]
    scores = [
        clone(stack)
        .fit(unit_data[train], sample_weight=weights[train])
        .score(unit_data[test], sample_weight=weights[test])
        for test, train in (halves, halves[::-1])
    ]
    assert search.best_score_ == pytest.approx(np.mean(scores), rel=1e-12)


# ---- scikit-learn's own checks --------------------------------------------------

CHECKED = [
    StackedCAE((16, 8), max_iter=5),
    StackedCAE(
        [8, 6, 4],
        activation="tanh",
        tied_weights=False,
        jacobian_penalty=[0.1, 0.0, 0.3],
        hessian_penalty=[0.1, 0.0, 0.0],
        learning_rate=0.003,
        max_iter=5,
    ),
]
# Whether data of any scale converge is not what the checks are about, and some of them
# mix arrays and frames on purpose.
lenient = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:X (has|does not have valid) feature names, but StackedCAE:UserWarning",
)


@lenient
@parametrize_with_checks(
    CHECKED, expected_failed_checks=lambda estimator: {}, xfail_strict=True
)
def test_check_estimator(estimator, check):
    check(estimator)


@lenient
@pytest.mark.parametrize("check", FURTHER_CHECKS, ids=lambda check: check.__name__)
def test_further_checks(check):
    check("StackedCAE", CHECKED[0])


def test_an_interrupted_warm_start_keeps_the_layers_above(unit_data, monkeypatch):
    stack = small_stack(warm_start=True).fit(unit_data)
    above = pickle.loads(pickle.dumps(stack.estimators_[1]))
    steps, update = [], Adam.update

    def interrupted(self, gradient, rate):
        steps.append(rate)
        if len(steps) == 3:
            raise KeyboardInterrupt
        update(self, gradient, rate)

    monkeypatch.setattr(Adam, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    assert [layer.n_iter_ for layer in stack.estimators_] == [
        above.n_iter_ + 2,
        above.n_iter_,
    ]
    assert_same_layer(stack.estimators_[1], above)
    assert stack.transform(unit_data).shape == (40, 4)


def test_divergence_names_the_layer(unit_data):
    with pytest.raises(ValueError, match="Layer 1 of 2: Training diverged in epoch"):
        small_stack(solver="sgd", learning_rate=1e30).fit(unit_data)


def test_a_warm_start_that_a_callback_ends_keeps_the_layers_above(unit_data):
    stack = small_stack((6, 5, 4), warm_start=True).fit(unit_data)
    above = pickle.loads(pickle.dumps(stack.estimators_[1:]))
    stack.set_callbacks(Recorder(lambda model, number: number == 0)).fit(unit_data)
    assert len(stack.estimators_) == 3
    for layer, before in zip(stack.estimators_[1:], above, strict=True):
        assert_same_layer(layer, before)
