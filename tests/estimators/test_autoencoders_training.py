"""How the autoencoders of one layer are trained, stop and go on."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skcae import ContractiveAutoencoder
from skcae._fit.autoencoder import AutoencoderFit
from skcae._fit.epochs import rate_of
from skcae.activations import ACTIVATIONS
from tests import oracles
from tests.estimators.autoencoders import CONFIGURATIONS, LOSSES, assert_same_model

# ---- defaults, rates and stopping -----------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_the_defaults_converge_on_digits(loss, digits):
    X, _ = digits
    # Warnings are errors: a fit that had not converged would fail the test.
    model = ContractiveAutoencoder(loss=loss, random_state=0).fit(X)
    mean_only = X.mean(0)
    if loss == "squared_error":
        baseline = ((X - mean_only) ** 2).sum(1).mean()
    else:
        p = np.clip(mean_only, 1e-9, 1 - 1e-9)
        baseline = -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(1).mean()
    assert -model.score(X) < 0.6 * baseline


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_defaults_converge_on_standardised_tables(activation):
    X = StandardScaler().fit_transform(load_breast_cancer().data)
    model = ContractiveAutoencoder(activation=activation, random_state=0).fit(X)
    assert -model.score(X) < 0.2 * X.shape[1]


def test_schedules_that_fall_end_lower_than_the_constant_one(digits):
    X, _ = digits
    ends = {}
    for schedule in ("linear", "inverse", "constant"):
        model = ContractiveAutoencoder(
            32, learning_rate=0.1, learning_rate_schedule=schedule, random_state=0
        )
        ends[schedule] = model.fit(X).loss_curve_[-1]
    assert ends["linear"] < ends["inverse"] < ends["constant"]


def assert_rates(model, expected, size_of_entries=1.0):
    for n_inputs, rate in expected.items():
        parameters = {"components": torch.empty(3, n_inputs), "bias": torch.empty(9000)}
        assert rate_of(model, parameters, size_of_entries) == pytest.approx(rate)


def test_the_default_rate_is_the_same_up_to_a_thousand_inputs(small, unit_data):
    auto, given = (small(learning_rate=rate).fit(unit_data) for rate in ("auto", 0.02))
    assert_same_model(auto, given)
    assert_rates(auto, {1000: 0.02, 16_000: 0.0025, 10_000_000: 2e-5})
    assert_rates(given, {1000: 0.02, 100_000: 0.02})
    auto.set_params(solver="sgd")
    assert_rates(auto, {500: 0.02, 5000: 0.002, 100_000: 0.0001})
    # An image of many pixels has filters of few inputs each.
    filters = {"encoder.0.weight": torch.empty(64, 3, 5, 5)}
    assert rate_of(auto, filters, 1.0) == 0.02


def test_the_default_rate_is_less_for_small_entries(small):
    auto = small(learning_rate="auto", loss="squared_error", solver="adam")
    assert_rates(auto, {10: 0.0016, 16_000: 0.0016}, size_of_entries=0.01)
    assert_rates(auto, {10: 0.016, 16_000: 0.0025}, size_of_entries=0.1)
    assert_rates(auto, {10: 0.02}, size_of_entries=0.0)
    auto.set_params(loss="cross_entropy")
    assert_rates(auto, {10: 0.02}, size_of_entries=0.01)
    auto.set_params(loss="squared_error", solver="sgd")
    assert_rates(auto, {10: 0.02}, size_of_entries=0.01)


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_steps_are_of_the_default_rate(method):
    """Adam's first step changes each weight by the rate."""
    X = np.random.default_rng(0).random((5, 16_000), dtype=np.float32)
    how = {"learning_rate_schedule": "constant", "max_iter": 1, "random_state": 0}
    before = ContractiveAutoencoder(2, learning_rate=1e-30, **how)
    after = ContractiveAutoencoder(2, **how)
    moved = getattr(after, method)(X).components_ - before.fit(X).components_
    assert_allclose(np.abs(moved), 0.0025, rtol=1e-2)


def test_sgd_and_momentum_descend(small, unit_data):
    plain, heavy = (
        small(solver="sgd", momentum=momentum, learning_rate=0.003)
        .fit(unit_data)
        .loss_curve_
        for momentum in (0.0, 0.9)
    )
    assert plain[-1] < plain[0]
    assert heavy[-1] < plain[-1]


def test_the_constant_schedule_stops_as_soon_as_it_stalls(small, digits):
    model = small(
        learning_rate_schedule="constant", max_iter=500, tol=0.01, n_iter_no_change=3
    ).fit(digits[0])
    curve = model.loss_curve_
    n = model.n_iter_
    assert n == len(curve) < 500
    assert min(curve[: n - 3]) - min(curve[n - 3 :]) <= 0.01 * curve[0]
    assert min(curve[: n - 4]) - min(curve[n - 4 : n - 1]) > 0.01 * curve[0]


@pytest.mark.parametrize("n_samples", [1, 2, 3, 99, 101])
@pytest.mark.parametrize("batch_size", ["auto", 1, 100])
def test_any_number_of_rows(n_samples, batch_size, small, digits):
    X = digits[0][:n_samples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = small(batch_size=batch_size, max_iter=3).fit(X)
    assert model.transform(X).shape == (n_samples, 6)


# ---- early stopping -------------------------------------------------------------


def test_early_stopping_keeps_the_best_weights(digits):
    X, _ = digits
    model = ContractiveAutoencoder(
        64,
        jacobian_penalty=0.05,
        bias_spread=0,
        early_stopping=True,
        learning_rate_schedule="constant",
        learning_rate=0.03,
        max_iter=200,
        random_state=0,
    )
    X_train, X_val = X[:50], X[400:600]
    model.fit(X_train, X_val=X_val)
    curve = model.validation_loss_curve_
    assert len(curve) == model.n_iter_ < model.max_iter
    # The objective of the restored weights, penalty included, is the best of all.
    parameters = {
        name: torch.from_numpy(getattr(model, f"{name}_"))
        for name in ("components", "intercept_hidden")
    }
    norms = oracles.squared_jacobian_norm(
        parameters, torch.from_numpy(X_val), "sigmoid"
    )
    objective = -model.score(X_val) + 0.05 * float(norms.mean())
    assert objective == pytest.approx(curve.min(), rel=1e-10)
    assert curve.argmin() < len(curve) - 1


def test_early_stopping_holds_out_a_fraction(small, digits, monkeypatch):
    X = digits[0][:50]
    seen = []
    model = small(early_stopping=True, validation_fraction=0.3)
    make = AutoencoderFit._learner

    def spy(self, rows, validation, batch_size):
        seen.append((rows.subset, validation.subset))
        return make(self, rows, validation, batch_size)

    monkeypatch.setattr(AutoencoderFit, "_learner", spy)
    model.fit(X)
    train, held_out = seen[0]
    assert len(held_out) == 15
    assert sorted([*train, *held_out]) == list(range(50))


def test_x_val_goes_through_the_pipelines_scaler(enable_routing, digits):
    """The held-out rows reach the step transformed, not as they were passed."""
    X, _ = digits
    cae = ContractiveAutoencoder(8, early_stopping=True, max_iter=30, random_state=0)
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("code", cae.set_fit_request(X_val=True))],
        transform_input=["X_val"],
    ).fit(16 * X[:900], X_val=16 * X[900:])
    scaler = StandardScaler().fit(16 * X[:900])
    by_hand = clone(cae).fit(
        scaler.transform(16 * X[:900]), X_val=scaler.transform(16 * X[900:])
    )
    assert_array_equal(
        pipeline["code"].validation_loss_curve_, by_hand.validation_loss_curve_
    )


# ---- sample weights -------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_weights_are_repetitions_in_full_batches(
    configuration, small_contractive, unit_data
):
    X = unit_data[:20]
    weights = np.arange(20) % 3
    weighted = small_contractive(**configuration).fit(X, sample_weight=weights)
    repeated = small_contractive(**configuration).fit(X.repeat(weights, axis=0))
    scaled = small_contractive(**configuration).fit(X, sample_weight=1e300 * weights)
    assert_same_model(weighted, repeated, rtol=1e-6, atol=1e-9)
    assert_same_model(weighted, scaled, rtol=1e-6, atol=1e-9)


def test_partial_fit_takes_weights_as_they_are(small, unit_data):
    start = small(solver="sgd", momentum=0.0, learning_rate=1e-3).fit(unit_data)
    once, twice, nothing = (
        pickle.loads(pickle.dumps(start)).partial_fit(
            unit_data, sample_weight=np.full(40, weight)
        )
        for weight in (1.0, 2.0, 0.0)
    )
    assert_array_equal(nothing.components_, start.components_)
    assert_allclose(
        twice.components_ - start.components_,
        2 * (once.components_ - start.components_),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "parameters",
    [{"solver": "adam"}, {"solver": "sgd", "momentum": 0.9, "learning_rate": 1e-3}],
)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_weights_of_zero_alone_change_nothing(
    dtype, parameters, small_weighted, unit_data
):
    """Nor does what the solver remembers move the model, or its precision change."""
    fresh = small_weighted(**parameters)
    nothing = {"sample_weight": np.zeros(40)}
    assert fresh.partial_fit(unit_data, **nothing) is fresh
    assert not hasattr(fresh, "components_")
    model = fresh.partial_fit(unit_data)
    before = pickle.dumps(vars(model))
    assert model.partial_fit(unit_data.astype(dtype), **nothing) is model
    assert pickle.dumps(vars(model)) == before
    with pytest.raises(ValueError, match="non-zero"):
        fresh.fit(unit_data, **nothing)
    for wrong, words in [(unit_data[:, :5], "expecting 8"), (unit_data[1:], "shape")]:
        with pytest.raises(ValueError, match=words):
            model.partial_fit(wrong, **nothing)


# ---- going on -------------------------------------------------------------------


def test_partial_fit_returns_self_and_counts_epochs(small, digits):
    X, _ = digits
    model = small(learning_rate=0.01)
    for part in np.array_split(X, 6):
        assert model.partial_fit(part) is model
    assert model.n_iter_ == len(model.loss_curve_) == 6
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.n_features_in_ == 64


def test_partial_fit_keeps_the_solvers_state(small, unit_data):
    """Passes over the data one by one are the epochs of one constant-rate fit."""
    whole = small(
        learning_rate_schedule="constant", max_iter=8, n_iter_no_change=8, tol=0
    )
    with pytest.warns(ConvergenceWarning):
        whole.fit(unit_data)
    steps = clone(whole)
    for _ in range(8):
        steps.partial_fit(unit_data)
    assert_same_model(whole, steps, rtol=1e-12)


def test_partial_fit_draws_a_new_order_each_time(small, digits):
    """Two passes differ from one pass whose order is repeated."""
    X = digits[0][:200]
    model = small(batch_size=10, learning_rate_schedule="constant", max_iter=2)
    model.set_params(n_iter_no_change=2, tol=0)
    with pytest.warns(ConvergenceWarning):
        whole = clone(model).fit(X)
    steps = clone(model).partial_fit(X).partial_fit(X)
    assert_same_model(whole, steps, rtol=1e-12)


def test_a_warm_start_holds_out_the_same_rows(small, digits, monkeypatch):
    subsets = []
    make = AutoencoderFit._learner

    def spy(self, rows, validation, batch_size):
        subsets.append(validation.subset)
        return make(self, rows, validation, batch_size)

    monkeypatch.setattr(AutoencoderFit, "_learner", spy)
    model = small(warm_start=True, early_stopping=True)
    for _ in range(3):
        model.fit(digits[0][:100])
    assert_array_equal(subsets[1], subsets[0])
    assert_array_equal(subsets[2], subsets[0])


def test_weights_from_elsewhere_can_be_trained_on(small, unit_data):
    """Fitted attributes are enough; there need be no solver to go on from."""
    model = small().fit(unit_data)
    model._training_state = None
    assert model.partial_fit(unit_data).n_iter_ == len(model.loss_curve_)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_training_may_go_on_in_another_precision(solver, small, unit_data):
    model = small(solver=solver, learning_rate=1e-3).fit(unit_data)
    double = pickle.loads(pickle.dumps(model)).partial_fit(unit_data)
    single = model.partial_fit(unit_data.astype("f4"))
    assert single.components_.dtype == np.float32
    assert_allclose(single.components_, double.components_, rtol=1e-4, atol=1e-6)
