"""The promises of scikit-learn's checks where the checks themselves cannot look.

Cross-entropy refuses most of the checks' data, and early stopping splits it; here the
same promises are held on data in [0, 1].
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
)
from skcae.activations import ACTIVATIONS

CONFIGURATIONS = [
    *(
        {"loss": "cross_entropy", "activation": name, "tied_weights": bool(k % 2)}
        for k, name in enumerate(ACTIVATIONS)
    ),
    {"loss": "cross_entropy", "early_stopping": True},
    {"loss": "squared_error", "early_stopping": True},
    {"loss": "cross_entropy", "solver": "sgd", "learning_rate": 0.003},
    {"loss": "cross_entropy", "hessian_penalty": 0.1},
    {"loss": "cross_entropy", "hessian_penalty": 0.1, "hessian_noise": 0.3},
]


PROBES = {"jacobian_method": "probes", "n_probes": 2}
MODELS = [
    *((ContractiveAutoencoder, configuration) for configuration in CONFIGURATIONS),
    (Autoencoder, {"loss": "cross_entropy", "weight_decay": 0.01}),
    (Autoencoder, {"loss": "cross_entropy", "early_stopping": True}),
    (DenoisingAutoencoder, {"loss": "cross_entropy"}),
    (DenoisingAutoencoder, {"loss": "cross_entropy", "early_stopping": True}),
    (DenoisingAutoencoder, {"loss": "cross_entropy", "corruption": "masking"}),
    (DeepCAE, {"loss": "cross_entropy"}),
    (DeepCAE, {"loss": "cross_entropy", "early_stopping": True, **PROBES}),
    (DeepCAE, {"tied_weights": False, "decoder_jacobian_penalty": 0.1}),
    (ConvolutionalCAE, {"loss": "cross_entropy", "pool": "max"}),
    (ConvolutionalCAE, {"image_shape": (2, 5), "pool": "average", **PROBES}),
]


def make(cls, configuration):
    size = (8, 6) if cls is DeepCAE else 8
    return cls(size, max_iter=20, tol=0.5, random_state=0, **configuration)


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    return make(*request.param)


@pytest.fixture
def X():
    return np.random.default_rng(0).random((60, 10))


def assert_same_weights(one, other, **tolerance):
    mine, yours = one._named_weights(), other._named_weights()
    assert mine.keys() == yours.keys()
    for name, weights in mine.items():
        assert_allclose(weights, yours[name], err_msg=name, **tolerance)


def test_fitting_again_gives_the_same(model, X):
    first = model.fit(X).transform(X)
    assert_array_equal(model.fit(X).transform(X), first)
    assert_array_equal(clone(model).fit_transform(X), first)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_dtype_is_preserved(dtype, model, X):
    codes = model.fit_transform(X.astype(dtype))
    assert codes.dtype == dtype
    assert model.inverse_transform(codes).dtype == dtype
    assert model.score_samples(X.astype(dtype)).dtype == dtype


def test_rows_are_independent_of_their_company(model, X):
    model.fit(X)
    order = np.random.default_rng(1).permutation(60)
    for function in (model.transform, model.score_samples):
        whole = function(X)
        alone = np.concatenate([function(row[None]) for row in X])
        assert_allclose(alone, whole, rtol=1e-9)
        assert_allclose(function(X[order]), whole[order], rtol=1e-9)


def test_all_ones_are_no_weights(model, X):
    weighted = clone(model).fit(X, sample_weight=np.full(60, 3.0))
    plain = model.fit(X)
    assert_same_weights(weighted, plain, rtol=1e-6, atol=1e-9)


def test_sparse_is_dense(model, X):
    X = np.where(X > 0.5, X, 0.0)
    dense, thin = clone(model).fit(X), model.fit(sparse.csr_array(X))
    assert_same_weights(thin, dense, rtol=1e-9, atol=1e-12)


def test_objective_falls(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        curve = model.set_params(tol=0, max_iter=60).fit(X).loss_curve_
    assert curve[-1] < curve[0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:Skipping check:UserWarning")
def test_what_cross_entropy_fails_of_the_checks_is_its_range_alone():
    """Every check that fails does so with our refusal, and for no other reason."""
    results = check_estimator(
        ContractiveAutoencoder(4, loss="cross_entropy", max_iter=5), on_fail=None
    )
    failures = [r for r in results if r["status"] == "failed"]
    assert failures
    for result in failures:
        error, messages = result["exception"], []
        while error is not None:
            messages.append(str(error))
            error = error.__cause__ or error.__context__
        assert any("needs X in [0, 1]" in m for m in messages), result["check_name"]
