"""The one-layer autoencoders as their users meet them."""

import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import sparse
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_fit2d_1sample

from skcae import ContractiveAutoencoder
from skcae._core.data import arrays, threads
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae._core.training import loop as training
from skcae._core.training.loop import Training
from skcae._core.training.solvers import Adam, Sgd
from skcae._fit.autoencoder import AutoencoderFit
from skcae.activations import ACTIVATIONS
from tests import oracles
from tests.conftest import MODELS, class_name, maker_of

LOSSES = ["squared_error", "cross_entropy"]
CONFIGURATIONS = [
    {"loss": loss, "tied_weights": tied, "activation": activation}
    for loss in LOSSES
    for tied in (True, False)
    for activation in ("sigmoid", "relu")
]


def sampled_contractive(**parameters):
    """Make a contractive autoencoder whose Hessian penalty is sampled."""
    sampled = {"hessian_penalty": 0.1, "hessian_noise": 0.2}
    return ContractiveAutoencoder(**{**sampled, **parameters})


@pytest.fixture(params=[*MODELS, sampled_contractive], ids=class_name)
def small(request):
    """Make a small autoencoder of each kind, and of what draws noise among them."""
    return maker_of(request.param)


def fitted_state(estimator):
    return {name: v for name, v in vars(estimator).items() if name.endswith("_")}


def assert_same_model(one, other, **tolerance):
    assert fitted_state(one).keys() == fitted_state(other).keys()
    for name in fitted_state(one):
        assert_allclose(
            getattr(one, name), getattr(other, name), err_msg=name, **tolerance
        )


# ---- the model ------------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_methods_are_what_the_formulas_say(configuration, small_weighted, unit_data):
    X = unit_data
    model = small_weighted(**configuration).fit(X)
    phi = oracles.ACTIVATIONS[model.activation]
    H = phi(torch.from_numpy(X @ model.components_.T + model.intercept_hidden_)).numpy()
    V = model.components_ if model.tied_weights else model.decoder_components_
    Z = H @ V + model.intercept_visible_
    if model.loss == "squared_error":
        reconstruction, loss = Z, ((Z - X) ** 2).sum(1)
    else:
        reconstruction = 1 / (1 + np.exp(-Z))
        loss = -(X * np.log(reconstruction) + (1 - X) * np.log(1 - reconstruction))
        loss = loss.sum(1)
    assert_allclose(model.transform(X), H, rtol=1e-12)
    assert_allclose(model.inverse_transform(H), reconstruction, rtol=1e-12)
    assert_allclose(model.score_samples(X), -loss, rtol=1e-10)
    assert model.score(X) == pytest.approx(-loss.mean())
    assert model.score(X, sample_weight=X[:, 0]) == pytest.approx(
        -np.average(loss, weights=X[:, 0])
    )
    assert hasattr(model, "decoder_components_") != model.tied_weights


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_without_a_penalty_it_is_the_plain_autoencoder(activation, loss, unit_data):
    """λ = 0 against an autoencoder written with torch's own modules."""
    X = torch.from_numpy(unit_data)
    model = ContractiveAutoencoder(
        6,
        jacobian_penalty=0.0,
        activation=activation,
        loss=loss,
        learning_rate=0.01,
        learning_rate_schedule="constant",
        max_iter=15,
        tol=0.0,
        n_iter_no_change=15,
        random_state=3,
    )
    with pytest.warns(ConvergenceWarning, match="max_iter=15"):
        model.fit(unit_data)

    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max)
    draw = torch.rand(
        (6, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    encoder = torch.nn.Linear(8, 6, dtype=torch.float64)
    visible = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        encoder.weight.copy_((2 * draw - 1) * (6 / 14) ** 0.5)
        encoder.bias.zero_()
    optimizer = torch.optim.Adam([*encoder.parameters(), visible], lr=0.01)
    for _ in range(15):
        optimizer.zero_grad()
        h = oracles.ACTIVATIONS[activation](encoder(X))
        z = h @ encoder.weight + visible
        if loss == "squared_error":
            value = torch.nn.functional.mse_loss(z, X, reduction="sum") / len(X)
        else:
            y = torch.sigmoid(z)
            value = torch.nn.functional.binary_cross_entropy(y, X, reduction="sum")
            value = value / len(X)
        value.backward()
        optimizer.step()
    assert_allclose(model.components_, encoder.weight.detach(), rtol=1e-9, atol=1e-12)
    assert_allclose(model.intercept_hidden_, encoder.bias.detach(), atol=1e-11)
    assert_allclose(model.intercept_visible_, visible.detach(), atol=1e-11)


def test_a_linear_autoencoder_finds_the_subspace_of_pca():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) @ (3 * rng.normal(size=(3, 10)))
    X = X - X.mean(0) + 0.05 * rng.normal(size=X.shape)
    model = ContractiveAutoencoder(
        3,
        activation="identity",
        jacobian_penalty=0.0,
        max_iter=400,
        random_state=0,
    ).fit(X)
    pca = PCA(3).fit(X)
    angles = subspace_angles(model.components_.T, pca.components_.T)
    assert np.degrees(angles.max()) < 0.5
    residual = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum(1).mean()
    assert -model.score(X) < 1.01 * residual


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softplus", "elu"])
def test_the_hessian_penalty_flattens_the_encoder(
    activation, small_contractive, unit_data
):
    def curvature(strength):
        model = small_contractive(
            activation=activation, hessian_penalty=strength, max_iter=200, tol=1e-3
        ).fit(unit_data)
        parameters = {
            name: torch.from_numpy(getattr(model, f"{name}_"))
            for name in ("components", "intercept_hidden")
        }
        X = torch.from_numpy(unit_data)
        return float(oracles.squared_hessian_norm(parameters, X, activation).mean())

    assert curvature(3.0) < 0.7 * curvature(0.0)


@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_hessian_penalty_without_effect_is_refused(
    activation, method, small_contractive, unit_data
):
    model = small_contractive(activation=activation, hessian_penalty=0.5)
    with pytest.raises(ValueError, match=r"hessian_penalty=0.5 would have no effect"):
        getattr(model, method)(unit_data)


@pytest.mark.parametrize("activation", ["softmax", "gelu", torch.softmax, None])
def test_an_activation_we_do_not_know_is_refused_with_the_list(
    activation, small, unit_data
):
    with pytest.raises(ValueError, match="'activation' parameter") as caught:
        small(activation=activation).fit(unit_data)
    for name in ACTIVATIONS:
        assert repr(name) in str(caught.value)


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


def test_the_linear_schedule_ends_lower_than_the_constant_one(digits):
    X, _ = digits
    ends = {}
    for schedule in ("linear", "constant"):
        model = ContractiveAutoencoder(
            32, learning_rate=0.1, learning_rate_schedule=schedule, random_state=0
        )
        ends[schedule] = model.fit(X).loss_curve_[-1]
    assert ends["linear"] < ends["constant"]


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


def test_the_linear_schedule_anneals_before_it_stops(small, digits):
    model = small(max_iter=40, tol=10.0, n_iter_no_change=3).fit(digits[0])
    # Half of max_iter in any case, then three epochs of a falling rate.
    assert model.n_iter_ == 23


def test_a_fit_that_has_not_settled_warns(small, digits):
    with pytest.warns(ConvergenceWarning, match="max_iter=4.*tol=0.0001") as caught:
        model = small(max_iter=4, n_iter_no_change=2, tol=1e-4).fit(digits[0])
    assert model.n_iter_ == 4
    # The warning points at the line that called fit.
    assert caught[0].filename == __file__


def test_too_few_epochs_to_settle_warn_of_that(small, unit_data):
    with pytest.warns(ConvergenceWarning, match="max_iter=3 epochs are too few"):
        small(max_iter=3, tol=10.0).fit(unit_data)


def test_code_without_a_module_is_warned_too(small, unit_data):
    names = {"make": small, "X": unit_data}
    with pytest.warns(ConvergenceWarning, match="max_iter=3 epochs are too few"):
        exec("make(max_iter=3, tol=10.0).fit(X)", names)


def test_batch_size_auto_is_full_batch_for_few_rows(small, digits):
    X = digits[0][:63]
    auto, full = small().fit(X), small(batch_size=63).fit(X)
    assert_same_model(auto, full, rtol=0)
    assert_same_model(auto, small(shuffle=False).fit(X), rtol=0)
    many = digits[0][:64].repeat(2, axis=0)
    assert_same_model(small().fit(many), small(batch_size=100).fit(many), rtol=0)


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
        early_stopping=True,
        learning_rate_schedule="constant",
        learning_rate=0.03,
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

    def spy(self, rows, validation):
        seen.append((rows.subset, validation.subset))
        return make(self, rows, validation)

    monkeypatch.setattr(AutoencoderFit, "_learner", spy)
    model.fit(X)
    train, held_out = seen[0]
    assert len(held_out) == 15
    assert sorted([*train, *held_out]) == list(range(50))


def test_validation_weights_count(small_weighted, unit_data):
    X_val = np.vstack([unit_data[:5], 100 + unit_data[5:6]])
    weights = [1, 1, 1, 1, 1, 0]
    model = small_weighted(early_stopping=True)
    weighted = clone(model).fit(unit_data, X_val=X_val, sample_weight_val=weights)
    without = clone(model).fit(unit_data, X_val=X_val[:5])
    assert_same_model(weighted, without, rtol=1e-12)


def test_x_val_without_early_stopping_is_refused(small, unit_data):
    with pytest.raises(ValueError, match="early_stopping=False"):
        small().fit(unit_data, X_val=unit_data)
    with pytest.raises(ValueError, match="without X_val"):
        small(early_stopping=True).fit(unit_data, sample_weight_val=[1])


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ({"X_val": np.ones((3, 7))}, r"7 features.*expecting 8"),
        ({"X_val": np.full((3, 8), np.nan)}, "NaN"),
        ({"X_val": np.ones((3, 8)), "sample_weight_val": [1, 2]}, "expected"),
        ({"X_val": np.ones((3, 8)), "sample_weight_val": [0, 0, 0]}, "non-zero"),
        ({"X_val": np.ones((3, 8)), "sample_weight_val": [1, -1, 0]}, "negative"),
    ],
)
def test_errors_of_held_out_data_name_it(held_out, message, small, unit_data):
    with pytest.raises(ValueError, match=rf"X_val or sample_weight_val.*{message}"):
        small(early_stopping=True).fit(unit_data, **held_out)


def test_one_row_cannot_be_split(small, unit_data):
    with pytest.raises(ValueError, match="only 1 sample"):
        small(early_stopping=True).fit(unit_data[:1])
    small(early_stopping=True).fit(unit_data[:1], X_val=unit_data)


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


# ---- cross-entropy --------------------------------------------------------------


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize(("low", "high"), [(0.0, 16.0), (-0.5, 1.0)])
def test_cross_entropy_refuses_other_ranges(make, low, high, small, unit_data):
    X = unit_data.copy()
    X[0, 0], X[1, 1] = low, high
    smallest = f"{X.min():g}" if low < 0 else "0"
    with pytest.raises(ValueError, match=rf"ranges from {smallest}.* to {high:g}") as e:
        small(loss="cross_entropy").fit(make(X))
    assert "MinMaxScaler" in str(e.value)
    assert "squared_error" in str(e.value)


@pytest.mark.parametrize(
    ("dtype", "rounding"), [("f2", 2e-3), ("f4", 1e-6), ("f8", 1e-9)]
)
def test_cross_entropy_forgives_rounding(dtype, rounding, small, unit_data):
    X = unit_data.astype(dtype)
    X[0, 0], X[0, 1] = 1 + 0.5 * rounding, -0.5 * rounding
    over = small(loss="cross_entropy").fit(X)
    clipped = small(loss="cross_entropy").fit(X.clip(0, 1))
    assert_same_model(over, clipped, rtol=0)
    X[0, 0] = 1 + 3 * rounding
    with pytest.raises(ValueError, match="cross_entropy"):
        small(loss="cross_entropy").fit(X)


def test_a_small_step_over_the_range_is_shown(small, unit_data):
    X = unit_data.copy()
    X[0, 0] = 1 + 1e-7
    with pytest.raises(ValueError, match=r"to 1\.0000001\."):
        small(loss="cross_entropy").fit(X)


def test_cross_entropy_encodes_and_scores_any_finite_data(small, unit_data):
    model = small(loss="cross_entropy", early_stopping=True)
    model.fit(unit_data, X_val=1.5 * unit_data - 0.25)
    beyond = 3 * unit_data - 1
    assert np.isfinite(model.transform(beyond)).all()
    assert np.isfinite(model.score_samples(beyond)).all()
    assert np.isfinite(model.score(beyond))


def test_cross_entropy_in_a_grid_search_behind_a_scaler(digits):
    X, y = digits
    pipeline = Pipeline(
        [
            ("scale", MinMaxScaler()),
            ("code", ContractiveAutoencoder(16, loss="cross_entropy", max_iter=20)),
            ("svm", LinearSVC()),
        ]
    ).set_params(code__tol=0.1, code__random_state=0)
    grid = {"code__jacobian_penalty": [0.0, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(16 * X[:400], y[:400])
    assert search.best_score_ > 0.6


# ---- sample weights -------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_weights_are_repetitions_in_full_batches(
    configuration, small_weighted, unit_data
):
    X = unit_data[:20]
    weights = np.arange(20) % 3
    weighted = small_weighted(**configuration).fit(X, sample_weight=weights)
    repeated = small_weighted(**configuration).fit(X.repeat(weights, axis=0))
    scaled = small_weighted(**configuration).fit(X, sample_weight=1e300 * weights)
    assert_same_model(weighted, repeated, rtol=1e-6, atol=1e-9)
    assert_same_model(weighted, scaled, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(40), "must not be negative"),
        (np.zeros(40), "non-zero"),
        (np.ones(39), "expected"),
        (np.full(40, np.nan), "NaN"),
    ],
)
def test_bad_weights_are_refused(weights, message, small, unit_data):
    with pytest.raises(ValueError, match=message):
        small().fit(unit_data, sample_weight=weights)


def test_a_row_of_weight_zero_is_no_row_even_in_mini_batches(small, digits):
    X = digits[0][:200].copy()
    weights = np.ones(200)
    weights[::3] = 0.0
    X[0] = 1e200  # whose loss overflows
    for parameters in ({}, {"early_stopping": True}):
        weighted = small(**parameters).fit(X, sample_weight=weights)
        absent = small(**parameters).fit(X[weights > 0])
        assert_same_model(weighted, absent, rtol=1e-12)


def test_one_row_of_positive_weight_cannot_be_split(small, unit_data):
    weights = np.zeros(40)
    weights[0] = 1.0
    with pytest.raises(ValueError, match="only 1 sample of positive weight"):
        small(early_stopping=True).fit(unit_data, sample_weight=weights)


def test_weights_whose_sum_overflows_are_weights(small, unit_data):
    weights = np.random.default_rng(0).uniform(0.5, 1.5, 40)
    huge = 1e308 * weights
    weighted = small().fit(unit_data, sample_weight=weights)
    scaled = small().fit(unit_data, sample_weight=huge)
    assert_same_model(weighted, scaled, rtol=1e-6)
    held_out = small(early_stopping=True)
    weighted = clone(held_out).fit(unit_data, sample_weight=weights)
    assert_same_model(weighted, held_out.fit(unit_data, sample_weight=huge), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-300, 1e-50, 1e39, 1e300, 1.7e308])
def test_the_scale_of_validation_weights_does_not_matter(scale, small, unit_data):
    X, X_val = unit_data[:30].astype("f4"), unit_data[30:].astype("f4")
    model = small(early_stopping=True)
    weighted = clone(model).fit(X, X_val=X_val, sample_weight_val=np.full(10, scale))
    assert_same_model(weighted, model.fit(X, X_val=X_val), rtol=1e-5)


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


def test_warm_start_goes_on(small, digits):
    X, _ = digits
    model = small(warm_start=True, learning_rate=0.003).fit(X)
    first = model.components_.copy()
    n_first, loss_first = model.n_iter_, model.loss_curve_[-1]
    model.fit(X)
    assert model.n_iter_ > n_first
    assert model.loss_curve_[n_first] < model.loss_curve_[0]
    assert model.loss_curve_[-1] < loss_first
    assert not np.array_equal(first, model.components_)
    cold = clone(model).set_params(warm_start=False).fit(X)
    assert cold.fit(X).n_iter_ == n_first


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_components": 5},
        {"tied_weights": False},
        {"activation": "tanh"},
        {"loss": "cross_entropy"},
    ],
    ids=str,
)
def test_going_on_as_another_model_is_refused(parameters, small, unit_data):
    model = small(warm_start=True).fit(unit_data).set_params(**parameters)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="cannot go on"):
            method(unit_data)
    model.set_params(warm_start=False).fit(unit_data)


def test_a_warm_start_holds_out_the_same_rows(small, digits, monkeypatch):
    subsets = []
    make = AutoencoderFit._learner

    def spy(self, rows, validation):
        subsets.append(validation.subset)
        return make(self, rows, validation)

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


def test_the_solver_may_change_between_fits(small, unit_data):
    model = small(warm_start=True).fit(unit_data)
    model.set_params(solver="sgd", learning_rate=1e-3).fit(unit_data)
    assert np.isfinite(model.components_).all()


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_training_may_go_on_in_another_precision(solver, small, unit_data):
    model = small(solver=solver, learning_rate=1e-3).fit(unit_data)
    double = pickle.loads(pickle.dumps(model)).partial_fit(unit_data)
    single = model.partial_fit(unit_data.astype("f4"))
    assert single.components_.dtype == np.float32
    assert_allclose(single.components_, double.components_, rtol=1e-4, atol=1e-6)


# ---- kinds of input -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("interface", ["matrix", "array"])
def test_sparse_input_gives_the_same_model(kind, interface, small, unit_data):
    X = np.where(unit_data > 0.7, unit_data, 0.0)
    X_sparse = getattr(sparse, f"{kind}_{interface}")(X)
    dense, thin = small(batch_size=7).fit(X), small(batch_size=7).fit(X_sparse)
    assert_same_model(dense, thin, rtol=1e-12)
    assert_array_equal(thin.transform(X_sparse), dense.transform(X))
    assert_allclose(thin.score_samples(X_sparse), dense.score_samples(X))


def test_repeated_entries_of_a_sparse_matrix_add_up(small, unit_data):
    entries = ([0.6, 0.3, 1.0], ([0, 0, 1], [2, 2, 0]))
    X = sparse.csr_array(sparse.coo_array(entries, shape=(3, 4)))
    twice = sparse.csr_array(
        (np.array([0.6, 0.3, 1.0]), np.array([2, 2, 0]), np.array([0, 2, 3, 3])),
        shape=(3, 4),
    )
    once = small(loss="cross_entropy").fit(X)
    assert_same_model(once, small(loss="cross_entropy").fit(twice), rtol=0)
    assert twice.nnz == 3
    twice.data[1] = 0.6
    with pytest.raises(ValueError, match=r"to 1\.2\."):
        small(loss="cross_entropy").fit(twice)


def test_sparse_input_is_never_densified_as_a_whole(small, monkeypatch):
    X = sparse.csr_array(sparse.random(500, 30, density=0.1, random_state=0))
    sizes = []
    toarray = type(X).toarray

    def spy(self, *args, **kwargs):
        sizes.append(self.shape[0])
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(type(X), "toarray", spy)
    small(batch_size=20).fit(X)
    # A batch at a time, and the rows that are looked at after the fit.
    assert set(sizes) == {20, 256}
    sizes.clear()
    small(batch_size=20).partial_fit(X)
    assert set(sizes) == {20}


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_memory_mapped_data_gives_the_same_model_uncopied(
    dtype, small, digits, tmp_path, monkeypatch
):
    X = (16 * digits[0]).astype(dtype)
    path = tmp_path / "X.npy"
    np.save(path, X)
    mapped = np.load(path, mmap_mode="r")
    matrices = []
    make = AutoencoderFit._learner

    def spy(self, rows, validation):
        matrices.append(rows.matrix)
        return make(self, rows, validation)

    monkeypatch.setattr(AutoencoderFit, "_learner", spy)
    for method, parameters in [
        ("fit", {}),
        ("fit", {"early_stopping": True}),
        ("partial_fit", {}),
    ]:
        from_disk, from_memory = (
            getattr(small(**parameters), method)(data) for data in (mapped, X)
        )
        assert np.shares_memory(matrices[-2], mapped)
        assert_same_model(from_disk, from_memory, rtol=0)
    assert_array_equal(from_disk.transform(mapped), from_memory.transform(X))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("i8", "f8"), ("u1", "f8"), ("?", "f8")],
)
def test_float32_and_float64_stay(dtype, expected, small, unit_data):
    X = (unit_data > 0.5).astype(dtype)
    model = small().fit(X)
    assert model.components_.dtype == expected
    assert model.transform(X).dtype == expected
    assert model.score_samples(X).dtype == expected
    assert model.inverse_transform(model.transform(X)).dtype == expected
    assert model.transform(X.astype("f4")).dtype == "f4"


def test_float32_and_float64_start_from_the_same_weights(small, unit_data):
    fits = [small().fit(unit_data.astype(dtype)) for dtype in ("f4", "f8")]
    assert_allclose(fits[0].components_, fits[1].components_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: X[:, ::-1][:, ::-1],
        lambda X: X.tolist(),
        lambda X: X.astype(object),
        lambda X: X.astype(">f8"),
        pd.DataFrame,
    ],
    ids=["fortran", "strided", "reversed", "list", "object", "big-endian", "frame"],
)
def test_layouts_make_no_difference(change, small, unit_data):
    X = change(unit_data)
    if isinstance(X, pd.DataFrame):
        X.columns = [f"x{k}" for k in X]
    model, plain = small().fit(X), small().fit(unit_data)
    assert_array_equal(model.components_, plain.components_)
    assert_array_equal(model.transform(X), plain.transform(unit_data))


def test_read_only_data_is_accepted_and_data_is_not_changed(small, unit_data):
    X = unit_data.copy()
    X.flags.writeable = False
    model = small(loss="cross_entropy").fit(X)
    model.score(X)
    model.transform(X)
    model.inverse_transform(model.transform(X))
    writeable = unit_data.copy()
    small(loss="cross_entropy").fit(writeable).transform(writeable)
    assert_array_equal(writeable, X)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "score_samples", "score"]
)
def test_passes_over_rows_work_in_chunks(method, make, small, digits, monkeypatch):
    """The same numbers, and never more rows at a time than the bound allows."""
    X, _ = digits
    model = small().fit(X)
    if method == "inverse_transform":
        X, make = model.transform(X), np.asarray
    whole = getattr(model, method)(X)
    sizes = []
    to_tensor = arrays.to_tensor

    def spy(array, *where):
        sizes.append(len(array))
        return to_tensor(array, *where)

    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 64 * 100)
    monkeypatch.setattr("skcae._core.data.rows.to_tensor", spy)
    assert_allclose(getattr(model, method)(make(X)), whole, rtol=1e-11)
    assert sizes == [*[100] * 17, 97]


def test_inverse_transform_refuses_other_widths(small, unit_data):
    model = small().fit(unit_data)
    with pytest.raises(ValueError, match=r"7 columns, but the codes .* have 6"):
        model.inverse_transform(np.ones((2, 7)))


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "score", "score_samples"]
)
def test_unfitted(method, small, unit_data):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(small(), method)(unit_data)


def test_labels_of_any_kind_are_ignored(small, unit_data):
    labels = np.array(["a", "b"] * 20)
    assert_same_model(small().fit(unit_data, labels), small().fit(unit_data), rtol=0)


# ---- scikit-learn around it -----------------------------------------------------


@pytest.fixture
def enable_routing():
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize(("library", "frame"), [("pandas", pd), ("polars", pl)])
def test_set_output(library, frame, small, unit_data):
    model = small().set_output(transform=library)
    out = model.fit_transform(unit_data)
    assert isinstance(out, frame.DataFrame)
    assert list(out.columns) == [f"{type(model).__name__.lower()}{k}" for k in range(6)]
    assert_array_equal(model.get_feature_names_out(), out.columns)


def test_names_of_features_are_kept_and_forgotten(small, unit_data):
    model = small().fit(pd.DataFrame(unit_data, columns=list("abcdefgh")))
    assert list(model.feature_names_in_) == list("abcdefgh")
    model.fit(unit_data)
    assert not hasattr(model, "feature_names_in_")


def test_pickle_keeps_the_model_and_where_it_stood(small, unit_data):
    model = small(tied_weights=False).fit(unit_data)
    loaded = pickle.loads(pickle.dumps(model))
    assert_same_model(model, loaded, rtol=0)
    assert_array_equal(loaded.transform(unit_data), model.transform(unit_data))
    assert_same_model(
        model.partial_fit(unit_data), loaded.partial_fit(unit_data), rtol=0
    )


def test_no_torch_in_the_fitted_state(small, unit_data):
    def leaves(value):
        if isinstance(value, dict):
            for part in value.values():
                yield from leaves(part)
        else:
            yield value

    model = small(early_stopping=True, tied_weights=False).fit(unit_data)
    for value in leaves({**vars(model)}):
        assert not isinstance(value, torch.Tensor)
    assert {type(v) for v in fitted_state(model).values()} <= {np.ndarray, int}


def test_a_model_of_a_missing_device_transforms_here(small, unit_data):
    model = small().fit(unit_data)
    expected = model.transform(unit_data)
    model.set_params(device="cuda:63")
    assert_array_equal(model.transform(unit_data), expected)
    with pytest.raises(ValueError, match="Available devices: cpu"):
        model.fit(unit_data)


def test_a_device_may_be_a_torch_device(small, unit_data):
    device = torch.device("cpu")
    model = clone(small(device=device)).fit(unit_data)
    assert model.get_params()["device"] == device


def test_global_random_states_are_left_alone(small, unit_data):
    for seed in (0, None):
        np_state = np.random.get_state(legacy=False)  # noqa: NPY002
        torch_state = torch.get_rng_state()
        small(random_state=seed, early_stopping=True).fit(unit_data)
        assert_equal(np.random.get_state(legacy=False), np_state)  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), torch_state)


def test_a_default_device_of_torch_makes_no_difference(small, digits):
    X = digits[0][:150]
    plain = small(early_stopping=True).fit(X)
    torch.set_default_device("meta")
    try:
        other = small(early_stopping=True).fit(X).partial_fit(X)
    finally:
        torch.set_default_device(None)
    assert_same_model(plain.partial_fit(X), other, rtol=0)


def test_seeds(small, digits):
    X = digits[0][:150]
    assert_same_model(small().fit(X), small().fit(X), rtol=0)
    one, other = (small(random_state=seed).fit(X) for seed in (None, None))
    assert (one.components_ != other.components_).any()
    state = np.random.RandomState(0)
    first, second = (small(random_state=state).fit(X) for _ in range(2))
    assert (first.components_ != second.components_).any()
    assert_array_equal(first.components_, small().fit(X).components_)


def test_threads_change_nothing_but_rounding(small, digits, monkeypatch):
    monkeypatch.setattr(threads, "MULTIPLICATIONS_PER_THREAD", 1)
    take_step, seen = ReconstructionLearner.take_step, []

    def watched(self, *arguments):
        seen.append(torch.get_num_threads())
        take_step(self, *arguments)

    monkeypatch.setattr(ReconstructionLearner, "take_step", watched)
    X, _ = digits
    fits = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        fits.append(small(n_components=64).fit(X))
    torch.set_num_threads(1)
    assert set(seen) == {1, 2}
    assert_same_model(*fits, rtol=1e-6, atol=1e-9)


def test_grid_search_over_the_penalty_in_parallel(digits):
    X, y = digits
    cae = ContractiveAutoencoder(16, max_iter=20, tol=0.1, random_state=0)
    results = []
    for n_jobs in (1, 2):
        search = GridSearchCV(
            make_pipeline(cae, LinearSVC(random_state=0)),
            {"contractiveautoencoder__jacobian_penalty": [0.0, 0.1, 1.0]},
            cv=2,
            n_jobs=n_jobs,
            error_score="raise",
        ).fit(X[:300], y[:300])
        results.append(search)
    one, two = results
    assert_allclose(
        one.cv_results_["mean_test_score"],
        two.cv_results_["mean_test_score"],
        rtol=1e-9,
    )
    assert_allclose(
        one.best_estimator_[0].components_,
        two.best_estimator_[0].components_,
        rtol=1e-9,
    )


def test_grid_search_without_labels_uses_our_score(small, unit_data):
    search = GridSearchCV(small(), {"n_components": [1, 6]}, cv=2, error_score="raise")
    search.fit(unit_data)
    held_out = search.best_estimator_.score(unit_data)
    assert held_out < 0
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])


# ---- when things go wrong -------------------------------------------------------

DIVERGENT = {"solver": "sgd", "learning_rate": 1e20, "activation": "elu"}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence_names_the_epoch_the_rate_and_what_to_try(method, small, digits):
    model = small(batch_size=10, **DIVERGENT)
    with pytest.raises(ValueError, match=r"diverged in epoch 1 .*=1e\+20.* nan") as e:
        getattr(model, method)(digits[0][:200])
    assert "smaller learning_rate" in str(e.value)


@pytest.mark.parametrize("sizes", [(64, 32), [64], np.array([64, 32])])
def test_sizes_of_several_layers_are_for_a_stack(sizes, small, unit_data):
    with pytest.raises(ValueError, match=r"'n_components' .* int.* take StackedCAE\("):
        small(n_components=sizes).fit(unit_data)


def test_one_row_cannot_be_split_in_the_words_of_scikit_learn(small, unit_data):
    with pytest.raises(ValueError, match="1 sample"):
        small(early_stopping=True).fit(unit_data[:1])
    check_fit2d_1sample("model", small(early_stopping=True))


def test_divergence_names_what_is_not_finite(small, unit_data, monkeypatch):
    X = unit_data.astype("f4")
    held_out = small(early_stopping=True)
    words = r"the held-out objective is inf, while that of training is \d"
    with pytest.raises(ValueError, match=f"diverged in epoch 1 .*: {words}"):
        held_out.fit(X, X_val=np.full_like(X, 1e30))
    with pytest.raises(ValueError, match=r"the training objective is (inf|nan)"):
        small().fit(1e30 * X)

    def too_far(self, gradient, rate):
        self.parameters["components"].fill_(np.inf)

    # The step that is too long is the last of its epoch: the objective is from before.
    monkeypatch.setattr(Sgd, "update", too_far)
    with pytest.raises(ValueError, match="not all numbers of components are finite"):
        small(solver="sgd", batch_size=40).fit(X)


def test_weights_that_are_used_as_they_are_have_the_precision_of_the_data(
    small_weighted, unit_data
):
    weights = {"sample_weight": np.full(40, 1e39)}
    with pytest.raises(ValueError, match=r"sample_weight reaches 1e\+39.* in float32"):
        small_weighted().partial_fit(unit_data.astype("f4"), **weights)
    assert hasattr(small_weighted().fit(unit_data.astype("f4"), **weights), "n_iter_")


def test_divergence_stops_a_long_epoch(small, monkeypatch):
    steps = []
    update = Sgd.update

    def counted(self, gradient, rate):
        steps.append(rate)
        update(self, gradient, rate)

    monkeypatch.setattr(Sgd, "update", counted)
    X = np.random.default_rng(0).random((5000, 4))
    with pytest.raises(ValueError, match="diverged in epoch 1"):
        small(batch_size=1, **DIVERGENT).fit(X)
    assert len(steps) == 100


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("parameters", "change", "message"),
    [
        ({**DIVERGENT, "batch_size": 1}, lambda X: X, "diverged"),
        ({"activation": "softmax"}, lambda X: X, "'activation' parameter"),
        ({"learning_rate": -1}, lambda X: X, "'learning_rate' parameter"),
        ({}, lambda X: np.full_like(X, np.nan), "NaN"),
        ({"device": "cuda:63"}, lambda X: X, "Available devices"),
        ({"activation": "relu", "hessian_penalty": 1}, lambda X: X, "no effect"),
        ({"loss": "cross_entropy"}, lambda X: 9 * X, "MinMaxScaler"),
        ({"n_components": 0}, lambda X: X, "'n_components' parameter"),
    ],
    ids=[
        "divergence",
        "activation",
        "rate",
        "nan",
        "device",
        "hessian",
        "range",
        "parameter",
    ],
)
def test_a_failed_refit_leaves_the_old_model(
    parameters, change, message, method, small_contractive, unit_data
):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    # So that the refit fails by what it is to fail by, not by the change of activation.
    start = {"activation": "elu"} if message == "diverged" else {}
    model = small_contractive(**start).fit(frame)
    codes, scores = model.transform(frame), model.score_samples(frame)
    before = pickle.loads(pickle.dumps(vars(model)))
    # Only `fit` takes other columns, which must not stick when it fails later.
    X = pd.DataFrame(change(unit_data), columns=frame.columns)
    if method == "fit":
        X = X.add_prefix("other_").join(X)
    with pytest.raises(ValueError, match=message):
        getattr(model.set_params(**parameters), method)(X)
    after = fitted_state(model)
    assert after.keys() == {name for name in before if name.endswith("_")}
    for name, value in after.items():
        assert_array_equal(value, before[name])
    for name, value in model._training_state["solver_state"].items():
        assert_array_equal(value, before["_training_state"]["solver_state"][name])
    # The model is what it was fitted as, although the parameters have changed.
    assert_array_equal(model.transform(frame), codes)
    assert_array_equal(model.score_samples(frame), scores)


def test_an_interrupt_leaves_the_last_complete_epoch(small, digits, monkeypatch):
    X, _ = digits
    model = small(max_iter=30, batch_size=50, learning_rate_schedule="constant")
    steps = []
    update = Adam.update

    def interrupted(self, gradient, rate):
        steps.append(1)
        # In the middle of the fourth epoch of 36 steps.
        if len(steps) == 3 * 36 + 10:
            raise KeyboardInterrupt
        update(self, gradient, rate)

    monkeypatch.setattr(Adam, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(tol=1e-6).fit(X)
    monkeypatch.undo()
    assert model.n_iter_ == 3
    with pytest.warns(ConvergenceWarning):
        three = clone(model).set_params(max_iter=3).fit(X)
    assert_same_model(model, three, rtol=0)
    # The solver had gone on; it starts afresh, in the order of the fourth epoch.
    assert model._training_state["solver_state"] == {}
    assert_array_equal(
        model._training_state["generator"], three._training_state["generator"]
    )


def test_an_interrupt_with_early_stopping_leaves_the_best_epoch(
    small, digits, monkeypatch
):
    X, _ = digits
    model = ContractiveAutoencoder(
        64,
        early_stopping=True,
        learning_rate_schedule="constant",
        learning_rate=0.03,
        n_iter_no_change=100,
        random_state=0,
    )
    X_train, X_val = X[:50], X[400:600]
    run_epoch = Training.run_epoch

    def interrupted(self):
        run_epoch(self)
        if len(self.loss_curve) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Training, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X_train, X_val=X_val)
    monkeypatch.undo()
    with pytest.warns(ConvergenceWarning):
        whole = clone(model).set_params(max_iter=4).fit(X_train, X_val=X_val)
    assert_same_model(model, whole, rtol=0)
    assert np.argmin(model.validation_loss_curve_) < 3


@pytest.mark.parametrize("moment", ["all_finite", "copy_of"])
def test_an_interrupt_after_the_steps_leaves_a_whole_epoch(
    moment, small, digits, monkeypatch
):
    """While it is looked at and kept, an epoch is not yet, or already, the last."""
    X, _ = digits
    model = small(max_iter=9, learning_rate_schedule="constant", tol=1e-6)
    function, calls = getattr(training, moment), []

    def interrupted(tensors):
        calls.append(1)
        result = function(tensors)
        if len(calls) == (8 if moment == "all_finite" else 1):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(training, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    monkeypatch.undo()
    if moment == "copy_of":
        assert not fitted_state(model)
        return
    with pytest.warns(ConvergenceWarning):
        two = clone(model).set_params(max_iter=2).fit(X)
    assert_same_model(model, two, rtol=0)


def test_fits_in_threads_equal_fits_one_after_another(small, digits):
    X, _ = digits
    models = [small(random_state=seed, max_iter=20) for seed in range(4)]
    alone = [clone(model).fit(X) for model in models]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda model: model.fit(X), models))
        codes = list(pool.map(lambda model: model.transform(X), together * 2))
    for one, other, H in zip(alone, together, codes, strict=False):
        assert_same_model(other, one, rtol=0)
        assert_array_equal(H, one.transform(X))


INTERRUPTED = """
import os, signal, threading, numpy as np
from skcae import ContractiveAutoencoder
X = np.random.default_rng(0).random((2000, 50))
model = ContractiveAutoencoder(100, max_iter=100_000, tol=0, random_state=0)
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    model.fit(X)
except KeyboardInterrupt:
    print(model.n_iter_ == len(model.loss_curve_) > 0, model.transform(X).shape)
"""


def test_a_real_interrupt():
    out = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True
    )
    assert out.stdout == "True (2000, 100)\n"


def test_an_interrupt_before_the_first_epoch_leaves_nothing(
    small, unit_data, monkeypatch
):
    def interrupted(self, gradient, rate):
        raise KeyboardInterrupt

    monkeypatch.setattr(Adam, "update", interrupted)
    model = small()
    with pytest.raises(KeyboardInterrupt):
        model.fit(unit_data)
    assert not fitted_state(model)
