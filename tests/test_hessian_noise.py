"""The sampled Hessian penalty as users of the contractive autoencoders meet it."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from skcae import StackedCAE
from skcae._estimators import contractive
from skcae.activations import ACTIVATIONS
from skcae.corruptions import gaussian
from tests import oracles

CURVED = sorted(name for name in ACTIVATIONS if ACTIVATIONS[name].curved)
SAMPLED = {"hessian_penalty": 0.5, "hessian_noise": 0.3}
ATTRIBUTES = ("components_", "intercept_hidden_", "intercept_visible_", "loss_curve_")


@pytest.fixture
def small(small_contractive):
    """Make small contractive autoencoders with a sampled Hessian penalty."""
    return lambda **how: small_contractive(**{**SAMPLED, **how})


def small_stack(**how):
    defaults = {"learning_rate": 0.01, "max_iter": 12, "tol": 0.5, "random_state": 0}
    return StackedCAE((6, 4), **{**defaults, **SAMPLED, **how})


def layers_of(model):
    return getattr(model, "estimators_", [model])


def assert_same_model(one, other, **tolerance):
    for layer, expected in zip(layers_of(one), layers_of(other), strict=True):
        for name in ATTRIBUTES:
            assert_allclose(
                getattr(layer, name),
                getattr(expected, name),
                err_msg=name,
                **({"rtol": 0} | tolerance),
            )


def squared_hessian_norm(model, X):
    parameters = {
        name: torch.from_numpy(getattr(model, f"{name}_"))
        for name in ("components", "intercept_hidden")
    }
    X = torch.from_numpy(X)
    norms = oracles.squared_hessian_norm(parameters, X, model.activation)
    return float(norms.mean())


@pytest.fixture
def noises(monkeypatch):
    """Note the noise of each presentation: for how many rows, and what."""
    seen = []

    def watched(X, level, generator, out):
        gaussian(X, level, generator, out)
        assert level == SAMPLED["hessian_noise"]
        seen.append((len(X), (out - X).numpy()))

    monkeypatch.setattr(contractive, "gaussian", watched)
    return seen


# ---- what it does ---------------------------------------------------------------


@pytest.mark.parametrize("activation", CURVED)
def test_it_flattens_the_encoder(activation, small, unit_data):
    how = {"activation": activation, "max_iter": 200, "tol": 1e-3}
    curvatures = [
        squared_hessian_norm(
            small(hessian_penalty=strength, **how).fit(unit_data), unit_data
        )
        for strength in (0.0, 3.0)
    ]
    assert curvatures[1] < 0.7 * curvatures[0]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", sorted({*CURVED} - {"elu"}))
def test_little_noise_and_many_samples_fit_the_model_of_the_exact_norm(
    activation, tied, small, unit_data
):
    """γ means the same in both: after 60 epochs the weights agree to 2 %.

    elu's are not the same: only the sampled norm's gradient sees φ'' jump.
    """
    how = {"activation": activation, "tied_weights": tied, "max_iter": 60}
    exact, sampled, without = (
        small(**how, **sampling).fit(unit_data)
        for sampling in (
            {"hessian_noise": None},
            {"hessian_noise": 1e-4, "n_hessian_samples": 200},
            {"hessian_penalty": 0.0},
        )
    )
    scale = np.linalg.norm(exact.components_)
    difference = np.linalg.norm(sampled.components_ - exact.components_)
    assert difference < 0.02 * scale
    assert np.linalg.norm(without.components_ - exact.components_) > 2 * difference
    assert_allclose(sampled.loss_curve_, exact.loss_curve_, rtol=0.02)


def test_noise_is_fresh_at_each_presentation(noises, small, digits):
    X, _ = digits
    model = small(batch_size=30, n_hessian_samples=2).fit(X[:70])
    assert [n for n, _ in noises] == [30, 30, 10] * model.n_iter_
    drawn = np.concatenate([noise.reshape(-1, 64) for _, noise in noises])
    assert len(drawn) == 2 * 70 * model.n_iter_
    assert len(np.unique(drawn[:, 0])) > 0.99 * len(drawn)
    assert drawn.std() == pytest.approx(SAMPLED["hessian_noise"], rel=0.02)


def test_held_out_rows_have_the_same_noise_after_each_epoch(noises, small, digits):
    X, _ = digits
    model = small(early_stopping=True).fit(X[:50], X_val=X[50:80])
    held_out = [noise for n, noise in noises if n == 30]
    assert len(held_out) == model.n_iter_ == len(model.validation_loss_curve_)
    for noise in held_out[1:]:
        assert_array_equal(noise, held_out[0])


def test_early_stopping_keeps_the_best_weights(small, digits):
    X, _ = digits
    model = small(
        early_stopping=True,
        learning_rate=0.05,
        learning_rate_schedule="constant",
        max_iter=60,
        tol=0.0,
        n_iter_no_change=3,
    ).fit(X[:150], X_val=X[150:250])
    curve = model.validation_loss_curve_
    assert len(curve) < 60
    best = int(np.argmin(curve)) + 1
    assert best < len(curve)
    same = clone(model).set_params(early_stopping=False, max_iter=best, tol=1e-9)
    with pytest.warns(UserWarning, match="max_iter"):
        same.fit(X[:150])
    assert_array_equal(model.components_, same.components_)


def test_nothing_is_sampled_after_the_fit(noises, small, unit_data):
    model = small().fit(unit_data)
    noises.clear()
    codes = model.transform(unit_data)
    model.score(unit_data)
    model.inverse_transform(codes)
    assert noises == []


# ---- where it plays no part -----------------------------------------------------


@pytest.mark.parametrize("make", ["small", "stack"])
def test_without_a_hessian_penalty_it_is_unused(make, noises, small, digits):
    X = digits[0][:150]
    make = {"small": small, "stack": small_stack}[make]
    unused = make(hessian_penalty=0, early_stopping=True).fit(X)
    plain = make(hessian_penalty=0, hessian_noise=None, early_stopping=True).fit(X)
    assert noises == []
    assert_same_model(unused, plain)
    for one, other in zip(layers_of(unused), layers_of(plain), strict=True):
        assert_array_equal(
            one._training_state["generator"], other._training_state["generator"]
        )


def test_the_exact_norm_knows_nothing_of_samples(noises, small, unit_data):
    how = {"hessian_noise": None}
    one, other = (small(n_hessian_samples=n, **how).fit(unit_data) for n in (1, 7))
    assert noises == []
    assert_same_model(one, other)


@pytest.mark.parametrize("noise", [1e-200, 1e200])
def test_noise_whose_square_is_no_number_is_refused(noise, small, unit_data):
    with pytest.raises(ValueError, match=r"'hessian_noise' .* \[1e-150, 1e\+150\]"):
        small(hessian_noise=noise).fit(unit_data)


# ---- seeds, precision, input ----------------------------------------------------


@pytest.mark.parametrize("make", ["small", "stack"])
def test_seeds_decide_the_noise(make, small, digits):
    X = digits[0][:150]
    make = {"small": small, "stack": small_stack}[make]
    fits = [make(random_state=seed).fit(X) for seed in (0, 0, 1)]
    assert_same_model(fits[0], fits[1])
    assert (fits[0].transform(X) != fits[2].transform(X)).any()


def test_both_precisions_have_the_same_noise(small, digits):
    X = digits[0][:150]
    single, double = (small().fit(X.astype(dtype)) for dtype in ("f4", "f8"))
    assert single.components_.dtype == np.float32
    assert_allclose(single.components_, double.components_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", ["small", "stack"])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_sparse_is_dense(early_stopping, make, small, digits):
    X = digits[0][:150]
    make = {"small": small, "stack": small_stack}[make]
    dense, thin = (
        make(early_stopping=early_stopping).fit(data)
        for data in (X, sparse.csr_array(X))
    )
    assert_same_model(thin, dense, rtol=1e-9, atol=1e-12)


# ---- weights --------------------------------------------------------------------


def test_all_ones_are_no_weights(small, digits):
    X = digits[0][:150]
    weighted = small(early_stopping=True).fit(X, sample_weight=np.full(150, 3.0))
    assert_same_model(weighted, small(early_stopping=True).fit(X), rtol=1e-9)


def test_a_row_of_weight_zero_is_no_row(small, digits):
    X = digits[0][:150]
    weights = np.arange(150) % 3
    weighted = small().fit(X, sample_weight=weights)
    present = weights > 0
    other = small().fit(X[present], sample_weight=weights[present])
    assert_same_model(weighted, other, rtol=1e-12)


def test_weights_are_repetitions_on_average(small, unit_data):
    """With so many samples that the noise hardly differs, to 2 % of the weights."""
    weights = np.arange(40) % 3
    how = {"batch_size": 1000, "n_hessian_samples": 300, "max_iter": 40}
    weighted, repeated, plain = (
        small(**how).fit(X, sample_weight=w)
        for X, w in (
            (unit_data, weights),
            (unit_data.repeat(weights, axis=0), None),
            (unit_data, None),
        )
    )
    scale = np.linalg.norm(repeated.components_)
    difference = np.linalg.norm(weighted.components_ - repeated.components_)
    assert difference < 0.02 * scale
    assert np.linalg.norm(plain.components_ - repeated.components_) > 2 * difference


@pytest.mark.parametrize("make", ["small", "stack"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature:UserWarning")
def test_of_the_checks_it_fails_repetition_alone(make, small):
    """Each row has noise of its own: a repeated one has other than one of weight 2."""
    make = {"small": small, "stack": small_stack}[make]
    results = check_estimator(make(max_iter=5, tol=1e-3), on_fail=None)
    # The checks of arrays have a place of their own, tests/promises/test_arrays.py.
    failed = {
        r["check_name"]
        for r in results
        if r["status"] == "failed" and "array_api" not in r["check_name"]
    }
    assert failed == {
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    }


# ---- going on -------------------------------------------------------------------


def test_warm_start_goes_on_with_the_noise(noises, small, unit_data):
    model = small(warm_start=True).fit(unit_data)
    n_iter, first = model.n_iter_, noises[-1][1].copy()
    noises.clear()
    model.fit(unit_data)
    assert model.n_iter_ == n_iter + len(noises)
    assert (noises[0][1] != first).all()


def test_passes_by_partial_fit_are_the_epochs_of_a_fit(small, digits):
    """Of one at a constant rate: the same order of rows, and the same noise."""
    X = digits[0][:150]
    how = {"learning_rate_schedule": "constant", "max_iter": 8}
    fitted = small(**how).fit(X)
    passes = small(**how)
    for _ in range(fitted.n_iter_):
        passes.partial_fit(X)
    assert_same_model(passes, fitted)


def test_a_fit_may_go_on_with_another_form_of_the_penalty(small, unit_data):
    model = small(warm_start=True).fit(unit_data)
    n_iter = model.n_iter_
    for how in ({"hessian_noise": None}, {"hessian_noise": 0.1}):
        model.set_params(**how).fit(unit_data)
        assert model.n_iter_ > n_iter
        n_iter = model.n_iter_


@pytest.mark.parametrize("make", ["small", "stack"])
def test_clone_parameters_and_pickle(make, small, digits):
    X = digits[0][:150]
    make = {"small": small, "stack": small_stack}[make]
    model = make(n_hessian_samples=2)
    parameters = model.get_params()
    assert parameters["hessian_noise"] == 0.3
    assert parameters["n_hessian_samples"] == 2
    model.fit(X)
    assert model.get_params() == clone(model).get_params() == parameters
    assert_same_model(pickle.loads(pickle.dumps(model)), model)
    assert_same_model(clone(model).fit(X), model)


# ---- stacks ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_all_layers_of_a_stack_share_it(digits):
    X = digits[0][:150]
    how = {"hessian_noise": 0.2, "n_hessian_samples": 2}
    stack = small_stack(hessian_penalty=(0.0, 0.4), **how).fit(X)
    for layer, strength in zip(stack.estimators_, (0.0, 0.4), strict=True):
        assert layer.get_params() | how == layer.get_params()
        assert layer.hessian_penalty == strength
        single = clone(layer).fit(X)
        assert_same_model(layer, single)
        X = single.transform(X)


# ---- what is refused ------------------------------------------------------------


@pytest.mark.parametrize("make", ["small", "stack"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("hessian_noise", v) for v in (0, 0.0, -0.1, np.nan, np.inf, "0.1", [0.1])),
        *(("n_hessian_samples", v) for v in (0, -1, 1.5, None, "4", np.inf)),
    ],
)
def test_bad_values_are_refused(name, value, method, make, small, unit_data):
    model = {"small": small, "stack": small_stack}[make](**{name: value})
    if not hasattr(model, method):
        method = "fit"
    with pytest.raises(
        ValueError, match=f"'{name}' parameter of {type(model).__name__}"
    ):
        getattr(model, method)(unit_data)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("make", ["small", "stack"])
@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - set(CURVED)))
def test_activations_without_curvature_are_refused(activation, make, small, unit_data):
    model = {"small": small, "stack": small_stack}[make](activation=activation)
    with pytest.raises(ValueError, match=r"hessian_penalty=0.5 would have no effect"):
        model.fit(unit_data)
    model.set_params(hessian_penalty=0.0).fit(unit_data)
