"""Where fine-tuning begins, its rates, and dead networks that warn."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcae import ContractiveAutoencoder, FineTunedClassifier, FineTunedRegressor
from skcae.exceptions import DeadModelWarning

SHORT = {"max_iter": 10, "tol": 1.0, "n_iter_no_change": 3, "random_state": 0}


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture
def encoder(diabetes):
    how = {"max_iter": 10, "tol": 1.0, "random_state": 0}
    return FrozenEstimator(ContractiveAutoencoder(16, **how).fit(diabetes[0]))


def silent(fit, *arguments):
    """Fit with no warning but that of an objective that did not settle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(*arguments)


# ---- the start ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_targets_may_be_of_any_scale(n_outputs, solver, dtype, encoder, diabetes):
    """Predictions, errors and the objective are in the units of the targets."""
    X, y = diabetes
    X = X.astype(dtype)
    y = (y - y.mean()) / y.std()
    y = y if n_outputs == 1 else np.column_stack([y, np.sin(y)])
    model = FineTunedRegressor(
        encoder, solver=solver, batch_size=100, early_stopping=True, **SHORT
    )
    standard = silent(clone(model).fit, X, y)
    tolerance = {"rtol": 1e-3 if dtype == np.float32 else 1e-6, "atol": 1e-5}
    for scale, shift in ((77.0, 152.0), (1e9, -1e9), (1e-9, 0.0)):
        scaled = silent(clone(model).fit, X, scale * y + shift)
        assert_allclose(
            (scaled.predict(X) - shift) / scale, standard.predict(X), **tolerance
        )
        assert_allclose(scaled.coefs_[0], standard.coefs_[0], **tolerance)
        assert scaled.coefs_[-1].dtype == dtype
        for curve in ("loss_curve_", "validation_error_curve_"):
            values = getattr(scaled, curve) / scale**2
            assert_allclose(values, getattr(standard, curve), **tolerance)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_targets_that_float32_rounds_warn(n_outputs, encoder, diabetes):
    """Predictions are then off by what the fit does not see."""
    X, y = diabetes
    y = (y - y.mean()) / y.std()
    y = y if n_outputs == 1 else np.column_stack([y, np.sin(y)])
    model = FineTunedRegressor(encoder, **SHORT)
    words = r"y is about 1e\+08, .* in float32, .* are 8 apart"
    with pytest.warns(UserWarning, match=words):
        clone(model).fit(X.astype("f4"), y + 1e8)
    silent(clone(model).fit, X, y + 1e8)
    silent(clone(model).fit, X.astype("f4"), y + 1e4)
    silent(clone(model).fit, X.astype("f4"), 0 * y + 1e8)  # all the same


@pytest.mark.parametrize("scale", [1e-40, 1e-25, 1e17])
def test_a_training_is_judged_in_the_units_of_its_steps(scale, encoder, diabetes):
    """Squares of such targets are 0, or infinite, in float32."""
    X, y = diabetes
    how = {"learning_rate_schedule": "constant", "max_iter": 100}
    model = FineTunedRegressor(encoder, tol=1e-2, random_state=0, **how)
    plain, scaled = (
        silent(clone(model).fit, X.astype("f4"), s * (y - y.mean())) for s in (1, scale)
    )
    assert plain.n_iter_ == scaled.n_iter_ > 6
    assert_allclose(scaled.loss_curve_ / scale**2, plain.loss_curve_, rtol=1e-3)


def test_targets_far_from_zero_are_not_equal(encoder, diabetes):
    """Such as seconds since 1970."""
    X, y = diabetes
    model = FineTunedRegressor(encoder, random_state=0)
    near, far = (silent(clone(model).fit, X, y + c).score(X, y + c) for c in (0, 2e9))
    assert near == pytest.approx(far, abs=1e-4)
    assert near > 0.5


def test_targets_of_half_precision_are_those_values(encoder, diabetes):
    X, y = diabetes
    y = np.where(y > 150, 65504, -65504).astype(np.float16)
    model = FineTunedRegressor(encoder, **SHORT)
    half, double = (silent(clone(model).fit, X, t) for t in (y, y.astype(float)))
    assert_array_equal(half.predict(X), double.predict(X))


def test_a_regressor_begins_at_the_weighted_mean(encoder, diabetes):
    """Before it has learnt anything it is no worse than the mean by much."""
    X, y = diabetes
    weights = np.random.default_rng(0).uniform(0, 2, len(y))
    model = FineTunedRegressor(encoder, learning_rate=1e-12, **SHORT)
    silent(model.fit, X, y, weights)
    assert_allclose(model.intercepts_[-1], np.average(y, weights=weights), rtol=1e-6)
    assert model.score(X, y, weights) > -1.5


def test_raw_targets_are_learnt(diabetes):
    """With targets of mean 152 and deviation 77."""
    encoder = ContractiveAutoencoder(32, max_iter=40, tol=0.1, random_state=0)
    model = FineTunedRegressor(encoder, random_state=0)
    assert silent(model.fit, *diabetes).score(*diabetes) > 0.5


@pytest.mark.parametrize("value", [0.0, 3.0, -1e8])
def test_equal_targets_are_answered(value, encoder, diabetes):
    X, _ = diabetes
    model = FineTunedRegressor(encoder, learning_rate=0.01, max_iter=30, random_state=0)
    silent(model.fit, X, np.full(len(X), value))
    assert_allclose(model.predict(X), value, rtol=1e-3, atol=0.5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_classifier_begins_at_the_weighted_shares(n_classes, wine):
    X, y = wine
    X, y = X[y < n_classes] / X.max(0), y[y < n_classes]
    weights = np.where(y == 0, 5.0, 1.0)
    model = FineTunedClassifier(
        ContractiveAutoencoder(8, **SHORT), learning_rate=1e-12, **SHORT
    )
    silent(model.fit, X, y, weights)
    shares = [np.average(y == k, weights=weights) for k in range(n_classes)]
    start = np.log(shares)
    start = start if n_classes > 2 else [start[1] - start[0]]
    assert_allclose(model.intercepts_[-1], start, atol=1e-8)


def test_the_start_draws_nothing(encoder, diabetes):
    """The output layer's weights are those of equal classes, whatever the shares."""
    X, y = diabetes
    how = {"learning_rate": 1e-12, **SHORT}
    few, many = (
        silent(FineTunedClassifier(encoder, **how).fit, X, y > np.quantile(y, share))
        for share in (0.1, 0.5)
    )
    assert_allclose(few.coefs_[-1], many.coefs_[-1], atol=1e-9)
    assert_array_equal(few.intercepts_[-1] > many.intercepts_[-1], [True])


# ---- rates and decay ------------------------------------------------------------


def test_a_rate_factor_of_zero_trains_the_output_layer_alone(encoder, wine, diabetes):
    X, y = diabetes
    model = FineTunedClassifier(encoder, encoder_rate_factor=0, **SHORT)
    silent(model.fit, X, y > 140)
    assert_array_equal(model.coefs_[0].T, encoder.components_)
    assert_array_equal(model.intercepts_[0], encoder.intercept_hidden_)
    assert model.score(X, y > 140) > 0.6


@pytest.mark.parametrize(
    ("n", "factor"), [(60, 0.001), (200, 0.02**1.5), (440, 0.044**1.5)]
)
def test_the_automatic_factor_follows_the_rows_that_count(n, factor, encoder, diabetes):
    X, y = diabetes
    weights = (np.arange(len(y)) < n).astype(float)
    auto, given = (
        silent(
            FineTunedClassifier(encoder, encoder_rate_factor=f, **SHORT).fit,
            X,
            y > 140,
            weights,
        )
        for f in ("auto", factor)
    )
    for mine, yours in zip(auto.coefs_, given.coefs_, strict=True):
        assert_allclose(mine, yours, rtol=1e-12)


def test_alpha_shrinks_the_output_layer(encoder, diabetes):
    X, y = diabetes
    norms = [
        np.linalg.norm(
            silent(
                FineTunedClassifier(encoder, alpha=a, **SHORT).fit, X, y > 140
            ).coefs_[-1]
        )
        for a in (0.0, 10.0, 1000.0)
    ]
    assert norms[0] > norms[1] > norms[2]


# ---- dead networks --------------------------------------------------------------


def test_raw_data_that_saturates_warns_of_what_was_seen_and_the_cure(wine):
    X, y = wine
    encoder = ContractiveAutoencoder(16, **SHORT).fit(X / X.max(0))
    encoder.components_ = 1e4 * np.abs(encoder.components_)
    model = FineTunedClassifier(FrozenEstimator(encoder), max_iter=30, random_state=0)
    with pytest.warns(DeadModelWarning, match="learnt nothing") as caught:
        model.fit(X, y)
    (warning,) = (w for w in caught if w.category is DeadModelWarning)
    words = str(warning.message)
    assert "on 178 of its training rows" in words
    assert "all are given one of their 3 labels" in words
    assert "16 of the 16 units of hidden layer 1 are constant" in words
    assert "StandardScaler" in words
    assert "learning_rate than 0.03" in words
    assert warning.filename == __file__
    assert len(set(model.predict(X))) == 1
    # The cure cures.
    cured = make_pipeline(StandardScaler(), ContractiveAutoencoder(16, random_state=0))
    assert silent(clone(model).set_params(encoder=cured).fit, X, y).score(X, y) > 0.9


@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_dead_regressor_warns(early_stopping, diabetes):
    X, y = diabetes
    dead = ContractiveAutoencoder(8, **SHORT).fit(X)
    dead.components_ = np.zeros_like(dead.components_)
    model = FineTunedRegressor(
        FrozenEstimator(dead),
        encoder_rate_factor=0,
        max_iter=30,
        early_stopping=early_stopping,
        random_state=0,
    )
    with pytest.warns(DeadModelWarning, match="8 of the 8 units of hidden layer 1 are"):
        silent(model.fit, X, y)
    assert abs(model.score(X, y)) < 0.01


def test_a_rate_that_is_too_high_warns(encoder, diabetes):
    """The outputs differ from row to row, and are worse than the mean."""
    X, y = diabetes
    how = {"learning_rate": 1e6, "learning_rate_schedule": "constant", "max_iter": 60}
    how["n_iter_no_change"] = 60
    model = FineTunedRegressor(encoder, tol=0.0, random_state=0, **how)
    with pytest.warns(DeadModelWarning, match="smaller learning_rate than 1e"):
        silent(model.fit, X, y)
    assert model.score(X, y) < -0.01


def test_an_output_that_is_small_beside_another_warns(encoder, diabetes):
    """Its part of the squared error is too small for it to be learnt."""
    X, y = diabetes
    model = FineTunedRegressor(encoder, max_iter=60, random_state=0)
    Y = np.column_stack([X[:, 0], 1e4 * y, np.full(len(y), 7.0)])
    with pytest.warns(
        DeadModelWarning, match="3 outputs, those of number 0 .* Scale y"
    ):
        silent(model.fit, X, Y)
    assert r2_score(Y[:, 0], model.predict(X)[:, 0]) < 0
    scaled = TransformedTargetRegressor(model, transformer=StandardScaler())
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeadModelWarning)
        silent(scaled.fit, X, Y)
    assert r2_score(Y[:, 0], scaled.predict(X)[:, 0]) > 0.5


@pytest.mark.parametrize(
    "parameters",
    [
        {"alpha": 1e6},
        {"tangent_penalty": 1e4, "tangent_output": "linear", "n_tangents": 8},
        {"corruption_level": 1.0},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_what_keeps_a_network_from_learning_is_named(parameters):
    X, y = load_digits(return_X_y=True)
    X, y = X[:300] / 16, y[:300]
    encoder = ContractiveAutoencoder(16, max_iter=20, tol=0.1, random_state=0).fit(X)
    how = {"max_iter": 60, "n_iter_no_change": np.inf, "corruption": "masking"}
    model = FineTunedClassifier(
        FrozenEstimator(encoder), random_state=0, **how, **parameters
    )
    ((name, value), *_) = parameters.items()
    with pytest.warns(DeadModelWarning, match=f"or {name} than ") as caught:
        silent(model.fit, X, y)
    words = str(caught[-1].message)
    assert words.endswith(f"{name} than {value:g}.")
    others = {"alpha", "tangent_penalty", "corruption_level"} - {name}
    assert not any(other in words for other in others)


def test_what_has_learnt_is_silent_however_rare_a_class(diabetes):
    """One class answered for all rows is right where the other is rare."""
    X, y = load_digits(return_X_y=True)
    rare = np.r_[np.flatnonzero(y != 8), np.flatnonzero(y == 8)[:9]]
    encoder = ContractiveAutoencoder(16, max_iter=20, tol=0.1, random_state=0)
    model = FineTunedClassifier(encoder, max_iter=30, random_state=0)
    silent(model.fit, X[rare] / 16, y[rare] == 8)


def test_one_row_and_one_value_are_no_cause_for_a_warning(encoder, diabetes):
    X, y = diabetes
    model = FineTunedRegressor(encoder, max_iter=30, random_state=0)
    silent(clone(model).fit, X[:1], y[:1])
    silent(clone(model).fit, X, np.zeros(len(X)))
