"""What scikit-learn's own networks and transformers take, every estimator takes."""

import inspect
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skcae
from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    ModuleAutoencoder,
    StackedCAE,
)
from skcae.checkpoints import Checkpoint, resume
from skcae.persistence import get_weights, load, save
from tests.conftest import class_name

HOW = {"max_iter": 8, "random_state": 0}
ENCODER = ContractiveAutoencoder(4, **HOW, n_iter_no_change=np.inf)
ESTIMATORS = [
    ContractiveAutoencoder(4, **HOW),
    Autoencoder(4, **HOW),
    DenoisingAutoencoder(4, **HOW),
    StackedCAE((4, 3), **HOW),
    DeepCAE((4, 3), **HOW),
    ModuleAutoencoder(n_components=4, **HOW),
    ConvolutionalCAE(4, 3, **HOW),
    FineTunedClassifier(ENCODER, **HOW),
    FineTunedRegressor(ENCODER, **HOW),
]
AUTOENCODERS = ESTIMATORS[:7]


def each_of(estimators):
    names = [class_name(type(estimator)) for estimator in estimators]
    return pytest.mark.parametrize("estimator", estimators, ids=names)


each, each_autoencoder = each_of(ESTIMATORS), each_of(AUTOENCODERS)

X = np.random.default_rng(0).random((40, 6))
Y = (X[:, 0] > 0.5).astype(int)


def assert_same(model, expected):
    """Bit for bit."""
    weights, others = get_weights(model), get_weights(expected)
    assert weights.keys() == others.keys()
    for name, array in weights.items():
        assert_array_equal(array, others[name])
    assert model.n_iter_ == expected.n_iter_


def test_all_estimators_with_a_training_are_here():
    public = {getattr(skcae, name) for name in skcae.__all__}
    trained = {value for value in public if hasattr(value, "max_iter")}
    assert {type(e) for e in ESTIMATORS} == trained


# ---- n_iter_no_change=np.inf --------------------------------------------------------


@each
@pytest.mark.parametrize("schedule", ["linear", "constant"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_infinite_look_back_runs_all_epochs(estimator, schedule, early_stopping):
    """Even of what has stalled at once; and that is no reason to warn."""
    model = clone(estimator).set_params(
        learning_rate_schedule=schedule, early_stopping=early_stopping, tol=1e9
    )
    model.set_params(n_iter_no_change=np.inf).fit(X, Y)
    n_layers = len(getattr(model, "estimators_", [0]))
    assert model.n_iter_ == 8 * n_layers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(model, clone(model).set_params(n_iter_no_change=8).fit(X, Y))


@each
def test_an_infinite_look_back_is_kept_in_files_and_searches(estimator, tmp_path):
    model = clone(estimator).set_params(n_iter_no_change=np.inf).fit(X, Y)
    save(model, tmp_path / "model.skops")
    loaded = load(tmp_path / "model.skops")
    assert loaded.n_iter_no_change == np.inf
    assert_same(clone(loaded).fit(X, Y), model)
    grid = {"n_iter_no_change": [np.inf, np.float64(np.inf)]}
    search = GridSearchCV(estimator, grid, cv=2, error_score="raise").fit(X, Y)
    assert_same(search.best_estimator_, model)


@each_autoencoder
def test_an_infinite_look_back_goes_on_from_a_checkpoint(estimator, tmp_path):
    class Crash(Exception):
        pass

    class Crashing(Checkpoint):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            super().on_fit_task_end(
                estimator, context, fitted_estimator=fitted_estimator
            )
            if context.task_name == "epoch" and context.task_id == 4:
                raise Crash

    model = clone(estimator).set_params(n_iter_no_change=np.inf)
    whole = clone(model).fit(X)
    path = tmp_path / "model.skops"
    with pytest.raises(Crash):
        model.set_callbacks(Crashing(path)).fit(X)
    assert_same(resume(path, X), whole)


@each
@pytest.mark.parametrize("value", [0, 2.5, -np.inf, np.nan, "inf", None])
def test_other_look_backs_are_refused(estimator, value):
    with pytest.raises(ValueError, match=r"'n_iter_no_change' parameter .* inf"):
        clone(estimator).set_params(n_iter_no_change=value).fit(X, Y)


# ---- sample_weight ------------------------------------------------------------------


@each
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_every_method_that_averages_takes_weights(estimator, method):
    if hasattr(estimator, method):
        parameters = inspect.signature(getattr(estimator, method)).parameters
        assert parameters["sample_weight"].default is None
        assert hasattr(estimator, f"set_{method}_request")


@each
def test_weights_are_routed_through_a_pipeline(estimator):
    weights = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    with config_context(enable_metadata_routing=True):
        last = clone(estimator).set_params(n_iter_no_change=np.inf)
        if hasattr(getattr(last, "encoder", None), "fit"):
            last.encoder.set_fit_request(sample_weight=True)
        last.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(scaler, last).fit(X, Y, sample_weight=weights)
        score = pipeline.score(X, Y, sample_weight=weights)
    Z = StandardScaler().fit(X, sample_weight=weights).transform(X)
    alone = clone(estimator).set_params(n_iter_no_change=np.inf)
    alone.fit(Z, Y, sample_weight=weights)
    assert_same(pipeline[-1], alone)
    assert score == pytest.approx(alone.score(Z, Y, sample_weight=weights))
    assert score != pytest.approx(alone.score(Z, Y))
