"""Whatever the data and the parameters, a finite model or a clear ValueError."""

import pickle
import re
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from skcae import ContractiveAutoencoder
from skcae.activations import ACTIVATIONS

few = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

parameters = st.fixed_dictionaries(
    {
        "n_components": st.integers(1, 6),
        "jacobian_penalty": st.sampled_from([0.0, 0.1, 1e3]),
        "hessian_penalty": st.sampled_from([0.0, 0.0, 0.1]),
        "hessian_noise": st.sampled_from([None, 1e-6, 0.3, 1e6]),
        "n_hessian_samples": st.integers(1, 3),
        "activation": st.sampled_from(sorted(ACTIVATIONS)),
        "loss": st.sampled_from(["squared_error", "cross_entropy"]),
        "tied_weights": st.booleans(),
        "solver": st.sampled_from(["adam", "sgd"]),
        "learning_rate": st.sampled_from([1e-6, 1e-2, 1.0, 1e6]),
        "learning_rate_schedule": st.sampled_from(["linear", "constant"]),
        "momentum": st.sampled_from([0.0, 0.9]),
        "batch_size": st.sampled_from(["auto", 1, 3, 1000]),
        "max_iter": st.integers(1, 6),
        "early_stopping": st.booleans(),
        "validation_fraction": st.sampled_from([1e-9, 0.5, 1 - 1e-9]),
        "n_iter_no_change": st.integers(1, 3),
        "shuffle": st.booleans(),
    }
)
shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
POISONS = {
    "none": lambda X: X,
    "nan": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 0, np.nan, X),
    "inf": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 0, np.inf, X),
    "constant": np.ones_like,
    "zero": np.zeros_like,
    "large": lambda X: 1e18 * X,
    "tiny": lambda X: 1e-30 * X,
    "repeated": lambda X: X[:1].repeat(len(X), axis=0),
    "negative": lambda X: -X,
    "outside": lambda X: X + 1.5,
}


@st.composite
def matrices(draw):
    """Well-behaved numbers in [0, 1], poisoned in one way."""
    shape = draw(shapes)
    seed = draw(st.integers(0, 2**16))
    X = np.random.default_rng(seed).random(shape)
    X = POISONS[draw(st.sampled_from(sorted(POISONS)))](X)
    return X.astype(draw(st.sampled_from(["f4", "f8"])))


def state(model):
    return {name: v for name, v in vars(model).items() if name.endswith("_")}


def fit(model, X, method="fit"):
    """Fit, and say whether that went well; any error but a clear one is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            getattr(model, method)(X)
        except ValueError as error:
            message = str(error)
        else:
            return True
    assert clear(message), message
    return False


def clear(message):
    """Whether a message says what was wrong, with a word of what to do or expect."""
    return re.search(
        "must|needs|Try|Set|Use|Available|contains|holds|Found|expecting", message
    )


@few
@given(parameters, matrices(), st.sampled_from(["fit", "partial_fit"]))
def test_a_finite_model_or_a_clear_error(parameters, X, method):
    model = ContractiveAutoencoder(random_state=0, **parameters)
    if fit(model, X, method):
        for name, value in state(model).items():
            assert np.isfinite(value).all(), name
        assert model.components_.shape == (parameters["n_components"], X.shape[1])
        assert model.components_.dtype == X.dtype
        assert model.transform(X).shape == (len(X), parameters["n_components"])
    else:
        assert not state(model)


@few
@given(parameters, matrices(), st.sampled_from(["fit", "partial_fit"]))
def test_a_fitted_model_survives_a_failed_refit(parameters, X, method):
    good = np.random.default_rng(0).random((10, 5))
    model = ContractiveAutoencoder(3, max_iter=8, tol=0.5, random_state=0).fit(good)
    before, codes = pickle.loads(pickle.dumps(state(model))), model.transform(good)
    if fit(model.set_params(**parameters), X, method):
        return
    after = state(model)
    assert_array_equal(model.transform(good), codes)
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert_array_equal(after[name], value)


@few
@given(matrices(), st.sampled_from(["f2", "i4", "u1", "?"]))
def test_other_dtypes_are_taken_as_float64(X, dtype):
    X = np.nan_to_num(X, posinf=1.0).clip(0, 1).astype(dtype)
    model = ContractiveAutoencoder(3, max_iter=3, random_state=0)
    assert fit(model, X)
    other = ContractiveAutoencoder(3, max_iter=3, random_state=0)
    assert fit(other, X.astype("f8"))
    assert_array_equal(model.components_, other.components_)
    assert model.transform(X).dtype == np.float64


@few
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
