"""Whatever the data and the parameters, a finite model or a clear ValueError."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import is_classifier

from skcae import ContractiveAutoencoder
from tests.fuzzing import (
    AUTOENCODERS,
    ENCODERS,
    contractive,
    encoder_calls,
    fitted_state,
    inputs,
    inputs_for,
    is_huge,
    matrices,
    models,
    networks,
    outcome,
    targets,
)

METHODS = ["fit", "partial_fit"]


def name_of(model, method):
    return f"{type(model).__name__}.{method}"


def fit(model, X, method="fit", *more):
    """Fit, and say whether that went well; any error but a clear one is raised."""
    return outcome(name_of(model, method), getattr(model, method), X, *more) is not None


@given(models(ENCODERS), inputs())
def test_a_finite_encoder_or_a_clear_error(model, X):
    if not fit(model, X):
        assert not fitted_state(model)
        return
    assert model.n_features_in_ == X.shape[1]
    codes = model.transform(X)
    assert codes.shape[0] == X.shape[0]
    assert is_huge(model, X) or np.isfinite(codes).all()


@given(models(AUTOENCODERS), inputs(), st.data())
def test_partial_fits_that_are_finite_or_clear(model, X, data):
    if not fit(model, X, "partial_fit"):
        assert not fitted_state(model)
        return
    before = pickle.dumps(fitted_state(model))
    if not fit(model, data.draw(inputs_for(X.shape[1])), "partial_fit"):
        assert pickle.dumps(fitted_state(model)) == before


@given(models(ENCODERS), matrices((10, 5)), st.data())
def test_a_fitted_encoder_takes_or_refuses_any_data(model, X, data):
    if not fit(model, X):
        return
    calls = encoder_calls(model)
    method = data.draw(st.sampled_from(sorted(calls)))
    other = data.draw(inputs_for(5))
    huge = is_huge(model, other)
    outcome(name_of(model, method), calls[method], other, huge=huge)
    codes = data.draw(inputs_for(model.transform(X[:1]).shape[1]))
    outcome(
        name_of(model, "inverse_transform"),
        model.inverse_transform,
        codes,
        huge=is_huge(model, codes),
    )


@given(networks(), st.one_of(inputs((10, 5)), inputs()), st.data())
def test_a_finite_network_or_a_clear_error(model, X, data):
    y = data.draw(targets(X.shape[0], labels=is_classifier(model)))
    if not fit(model, X, "fit", y):
        assert not fitted_state(model)
        return
    other = data.draw(inputs_for(X.shape[1]))
    huge = is_huge(model, other)
    methods = ["predict"]
    if is_classifier(model):
        methods += ["predict_proba", "predict_log_proba", "decision_function"]
    for method in methods:
        outcome(name_of(model, method), getattr(model, method), other, huge=huge)


@given(st.fixed_dictionaries(contractive), matrices(), st.sampled_from(METHODS))
def test_a_fitted_model_survives_a_failed_refit(parameters, X, method):
    good = np.random.default_rng(0).random((10, 5))
    model = ContractiveAutoencoder(3, max_iter=8, tol=0.5, random_state=0).fit(good)
    before, codes = (
        pickle.loads(pickle.dumps(fitted_state(model))),
        model.transform(good),
    )
    if fit(model.set_params(**parameters), X, method):
        return
    after = fitted_state(model)
    assert_array_equal(model.transform(good), codes)
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert_array_equal(after[name], value)


@given(matrices(), st.sampled_from(["f2", "i4", "u1", "?"]))
def test_other_dtypes_are_taken_as_float64(X, dtype):
    X = np.nan_to_num(X, posinf=1.0).clip(0, 1).astype(dtype)
    model = ContractiveAutoencoder(3, max_iter=3, random_state=0)
    assert fit(model, X)
    other = ContractiveAutoencoder(3, max_iter=3, random_state=0)
    assert fit(other, X.astype("f8"))
    assert_array_equal(model.components_, other.components_)
    assert model.transform(X).dtype == np.float64


@given(
    st.sampled_from(sorted(ContractiveAutoencoder().get_params())),
    st.sampled_from([-1, "nonsense", 1.5, np.nan, np.inf, [], (2, 3)]),
)
def test_nonsense_parameters_are_refused_by_name(name, nonsense):
    """Or accepted, where they make sense after all: a tol of 1.5, say."""
    X = np.random.default_rng(0).random((8, 3))
    model = ContractiveAutoencoder(3, max_iter=2).set_params(**{name: nonsense})
    if not fit(model, X):
        with pytest.raises(ValueError, match=name):
            model.fit(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(3), "Expected 2D"),
        (np.ones((2, 2, 2)), "dim 3"),
        (np.ones((0, 3)), "0 sample"),
        (np.ones((3, 0)), "0 feature"),
        (np.ones((3, 2), complex), "Complex"),
        ([["a", "b"]], "could not convert"),
        (np.array([["a"]]), "could not convert"),
        ([[1.0, None]], "NaN"),
    ],
)
def test_other_shapes_and_types_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        ContractiveAutoencoder(2).fit(X)
