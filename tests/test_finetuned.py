"""The fine-tuned classifier and regressor as their users meet them."""

import logging
import pickle
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import signature
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import (
    ConvergenceWarning,
    DataConversionWarning,
    NotFittedError,
    UnsetMetadataPassedError,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_checks
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)
from skcae._core.training.solvers import Adam
from skcae._fit.data import draw_seed
from skcae._fit.epochs import split_rows
from skcae._fit.finetuning import FineTuningFit
from skcae.activations import ACTIVATIONS
from tests.test_callbacks import Propagated, Recorder

HOW = {"learning_rate": 0.01, "max_iter": 12, "tol": 0.5, "random_state": 0}
contractive = partial(ContractiveAutoencoder, n_components=6, **HOW)
basic = partial(Autoencoder, n_components=6, **HOW)
denoising = partial(DenoisingAutoencoder, n_components=6, **HOW)
stack = partial(StackedCAE, (6, 5), **HOW)
rbm = partial(BernoulliRBM, n_components=6, n_iter=3, random_state=0)

#: Every kind of encoder, from the data that frozen parts are fitted on.
ENCODERS = {
    "contractive": lambda X: contractive(),
    "autoencoder": lambda X: basic(activation="tanh", tied_weights=False),
    "denoising": lambda X: denoising(activation="relu"),
    "stack": lambda X: stack(activation="elu"),
    "rbm": lambda X: rbm(),
    "three rbms": lambda X: make_pipeline(rbm(), rbm(), rbm(n_components=4)),
    "ours": lambda X: make_pipeline(contractive(activation="tanh"), basic(), stack()),
    "mixed": lambda X: make_pipeline(contractive(), rbm(), denoising()),
    "nested": lambda X: make_pipeline(
        make_pipeline(StandardScaler(), PCA(7)),
        make_pipeline(make_pipeline(contractive()), denoising()),
    ),
    "preprocessed": lambda X: make_pipeline(
        StandardScaler(), PCA(5, random_state=0), contractive()
    ),
    "passthrough": lambda X: Pipeline(
        [
            ("no scaler", "passthrough"),
            ("code", contractive()),
            ("nothing", None),
            ("last", "passthrough"),
        ]
    ),
    "frozen": lambda X: FrozenEstimator(contractive().fit(X[:20])),
    "frozen pipeline": lambda X: FrozenEstimator(
        make_pipeline(StandardScaler(), contractive(), rbm()).fit(X[:20])
    ),
    "frozen scaler": lambda X: make_pipeline(
        FrozenEstimator(StandardScaler().fit(X[:20])), contractive()
    ),
    "frozen first layer": lambda X: make_pipeline(
        FrozenEstimator(contractive().fit(X[:20])), basic()
    ),
}


def tuned(cls, encoder=None, **parameters):
    """Make a small estimator that fits in milliseconds."""
    encoder = contractive() if encoder is None else encoder
    # Nothing falls by more than all of it: a fit always settles.
    return cls(encoder, **{**HOW, "tol": 1.0, "n_iter_no_change": 3, **parameters})


classifier = partial(tuned, FineTunedClassifier)
regressor = partial(tuned, FineTunedRegressor)
both = pytest.mark.parametrize(
    "make", [classifier, regressor], ids=["classifier", "regressor"]
)


@pytest.fixture
def X(unit_data):
    return unit_data


@pytest.fixture
def y(X):
    """Labels of three classes that the data tells, as strings."""
    return np.array(["ash", "birch", "cedar"])[X[:, :3].argmax(1)]


@pytest.fixture
def two(X):
    """Labels of two classes."""
    return np.array(["no", "yes"])[(X[:, 0] > 0.5).astype(int)]


@pytest.fixture
def values(X):
    return X[:, 0] - 2 * X[:, 1]


@pytest.fixture
def weights():
    return np.random.default_rng(1).uniform(0.5, 2.0, 40)


def fitted_state(estimator):
    return {name: v for name, v in vars(estimator).items() if name.endswith("_")}


def assert_same_network(one, other, **tolerance):
    for name in ("coefs_", "intercepts_"):
        parts = zip(getattr(one, name), getattr(other, name), strict=True)
        for k, (mine, yours) in enumerate(parts):
            assert_allclose(mine, yours, err_msg=f"{name}[{k}]", **tolerance)


def same_network(one, other):
    return all(
        np.array_equal(mine, yours)
        for mine, yours in zip(one.coefs_, other.coefs_, strict=True)
    )


def hidden_output(model, H):
    """The last hidden layer's output, transcribed to NumPy."""
    numpy = {
        "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
        "tanh": np.tanh,
        "relu": lambda a: np.maximum(a, 0),
        "softplus": lambda a: np.log1p(np.exp(a)),
        "elu": lambda a: np.where(a > 0, a, np.expm1(a)),
        "identity": lambda a: a,
    }
    layers = zip(model.coefs_[:-1], model.intercepts_, strict=False)
    names = model._fitted_activations
    for name, (W, b) in zip(names, layers, strict=True):
        H = numpy[name](H @ W + b)
    return H


def network_outputs(model, H):
    return hidden_output(model, H) @ model.coefs_[-1] + model.intercepts_[-1]


def misclassified(model, X, y, weights=None):
    return np.average(model.predict(X) != y, weights=weights)


# ---- where the network starts ---------------------------------------------------


@both
@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_the_hidden_layers_start_as_the_encoder(kind, make, X, y):
    """With next to no fine-tuning the hidden layers are the encoder."""
    encoder = ENCODERS[kind](X)
    model = make(encoder, max_iter=1, learning_rate=1e-12)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 epochs are too few"):
        model.fit(X, y if is_classifier(model) else X[:, 0])
    assert model.n_iter_ == len(model.loss_curve_) == 1
    features = X
    for step in preprocessing_of(model.encoder_):
        features = step.transform(features)
    assert model.coefs_[0].shape[0] == features.shape[1]
    codes = hidden_output(model, features)
    assert_allclose(codes, model.encoder_.transform(X), rtol=1e-7, atol=1e-9)
    # A fresh output layer that begins at the prior or the mean, and all the rest by the
    # formula.
    bound = (6 / sum(model.coefs_[-1].shape)) ** 0.5
    if is_classifier(model):
        _, counts = np.unique(y, return_counts=True)
        assert_allclose(model.intercepts_[-1], np.log(counts / 40), atol=1e-9)
    else:
        bound *= X[:, 0].std()
        assert_allclose(model.intercepts_[-1], X[:, 0].mean(), atol=1e-9)
    assert bound / 100 < np.abs(model.coefs_[-1]).max() < bound
    Z = network_outputs(model, features)
    if is_classifier(model):
        assert_allclose(model.decision_function(X), Z, rtol=1e-10)
        P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
        assert_allclose(model.predict_proba(X), P, rtol=1e-10)
        assert_array_equal(model.predict(X), model.classes_[Z.argmax(1)])
    else:
        assert_allclose(model.predict(X), Z[:, 0], rtol=1e-10)


def preprocessing_of(encoder):
    """The fitted steps before the encoders, for the pipelines of `ENCODERS`."""
    if isinstance(encoder, FrozenEstimator):
        encoder = encoder.estimator
    if isinstance(encoder, Pipeline):
        for _, step in encoder.steps:
            if step not in (None, "passthrough"):
                yield from preprocessing_of(step)
    elif isinstance(encoder, (StandardScaler, PCA)):
        yield encoder


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation(activation, X, y):
    model = classifier(contractive(activation=activation)).fit(X, y)
    assert_allclose(model.decision_function(X), network_outputs(model, X), rtol=1e-10)


@pytest.mark.parametrize("kind", [k for k in sorted(ENCODERS) if "frozen" not in k])
@both
def test_the_encoder_is_that_of_a_fit_alone(kind, make, X, two, values):
    """To the byte, after all of the network has been trained."""
    encoder = ENCODERS[kind](X)
    model = make(encoder, learning_rate=0.1, encoder_rate_factor=1)
    target = two if is_classifier(model) else values
    model.fit(X, target)
    alone = clone(encoder).fit(X, target)
    assert model.encoder_ is not encoder
    assert not hasattr(encoder, "n_features_in_")
    assert model.encoder_.transform(X).tobytes() == alone.transform(X).tobytes()
    if hasattr(alone, "components_"):
        for name in ("components_", "intercept_hidden_", "intercept_visible_"):
            trained = getattr(model.encoder_, name)
            assert trained.tobytes() == getattr(alone, name).tobytes()
        # The network is no view of it, and has moved away from it.
        assert not np.shares_memory(model.coefs_[0], model.encoder_.components_)
        assert np.abs(model.coefs_[0].T - alone.components_).max() > 1e-3


SOLVERS = {
    "adam": lambda groups, rate: torch.optim.Adam(groups, lr=rate),
    "sgd": lambda groups, rate: torch.optim.SGD(groups, lr=rate),
    "momentum": lambda groups, rate: torch.optim.SGD(groups, lr=rate, momentum=0.9),
}


@both
@pytest.mark.parametrize(
    ("solver", "factor", "alpha"),
    [
        ("adam", 1.0, 0.0),
        ("adam", 0.1, 3.0),
        ("adam", 0.0, 3.0),
        ("sgd", 0.1, 3.0),
        ("momentum", 2.0, 3.0),
        ("momentum", "auto", 3.0),
    ],
)
def test_it_is_the_network_of_torchs_own_modules(
    solver, factor, alpha, make, X, y, values, weights
):
    """The whole fit against torch.nn and torch.optim."""
    encoder = make_pipeline(contractive(activation="tanh"), basic())
    frozen = FrozenEstimator(encoder.fit(X))
    model = make(
        frozen,
        solver="adam" if solver == "adam" else "sgd",
        momentum=0.9 if solver == "momentum" else 0.0,
        encoder_rate_factor=factor,
        alpha=alpha,
        learning_rate_schedule="constant",
        max_iter=15,
        n_iter_no_change=15,
        random_state=3,
    )
    target = y if is_classifier(model) else values
    with pytest.warns(ConvergenceWarning, match="max_iter=15"):
        model.fit(X, target, sample_weight=weights)

    n_outputs = 3 if is_classifier(model) else 1
    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max)
    draw = torch.rand(
        (n_outputs, 6),
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    layers = [torch.nn.Linear(d, h, dtype=torch.float64) for d, h in [(8, 6), (6, 6)]]
    output = torch.nn.Linear(6, n_outputs, dtype=torch.float64)
    with torch.no_grad():
        for layer, (_, step) in zip(layers, frozen.estimator.steps, strict=True):
            layer.weight.copy_(torch.from_numpy(step.components_))
            layer.bias.copy_(torch.from_numpy(step.intercept_hidden_))
        output.weight.copy_((2 * draw - 1) * (6 / (n_outputs + 6)) ** 0.5)
    network = torch.nn.Sequential(
        layers[0], torch.nn.Tanh(), layers[1], torch.nn.Sigmoid(), output
    )
    rows, w = torch.from_numpy(X), torch.from_numpy(weights / weights.mean())
    # Values are learnt in units of their deviation, classes from their shares.
    zero = np.average(values, weights=weights)
    one = np.average((values - zero) ** 2, weights=weights) ** 0.5
    shares = [np.average(y == name, weights=weights) for name in np.unique(y)]
    start = torch.tensor(shares).log() if is_classifier(model) else torch.zeros(1)
    output.bias.data.copy_(start)
    factor = 0.001 if factor == "auto" else factor
    groups = [{"params": layer.parameters(), "lr": factor * 0.01} for layer in layers]
    optimizer = SOLVERS[solver]([*groups, {"params": output.parameters()}], 0.01)
    for _ in range(15):
        optimizer.zero_grad()
        Z = network(rows)
        if is_classifier(model):
            labels = torch.from_numpy(np.searchsorted(model.classes_, y))
            losses = torch.nn.functional.cross_entropy(Z, labels, reduction="none")
        else:
            losses = (Z[:, 0] - torch.from_numpy((values - zero) / one)) ** 2
        # As if spread over 100 rows, for there are fewer.
        value = (w * losses).mean() + alpha / 200 * output.weight.square().sum()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        if not is_classifier(model):
            value = one**2 * value
            output.weight.mul_(one)
            output.bias.mul_(one).add_(zero)
    assert model.loss_curve_[-1] == pytest.approx(float(value.detach()), rel=1e-9)
    for k, layer in enumerate([*layers, output]):
        assert_allclose(model.coefs_[k].T, layer.weight.detach(), rtol=1e-8, atol=1e-10)
        assert_allclose(model.intercepts_[k], layer.bias.detach(), atol=1e-10)


# ---- frozen encoders ------------------------------------------------------------


@both
def test_a_frozen_encoder_is_reused_as_the_same_object(make, X, two, values):
    frozen = FrozenEstimator(contractive().fit(X[:10]))
    before = pickle.dumps(frozen)
    model = make(frozen)
    target = two if is_classifier(model) else values
    assert model.fit(X, target).encoder_ is frozen
    assert clone(model).fit(X, target).encoder_ is frozen
    search = GridSearchCV(model, {"learning_rate": [0.01, 0.1]}, cv=2, n_jobs=1)
    assert search.fit(X, target).best_estimator_.encoder_ is frozen
    assert pickle.dumps(frozen) == before


def test_a_frozen_step_of_a_pipeline_is_reused_and_the_others_are_fitted(X, y):
    frozen = FrozenEstimator(contractive().fit(X[:10]))
    before = frozen.components_.copy()
    model = classifier(make_pipeline(frozen, basic())).fit(X, y)
    assert model.encoder_[0] is frozen
    assert_array_equal(frozen.components_, before)
    alone = basic().fit(frozen.transform(X))
    assert_array_equal(model.encoder_[1].components_, alone.components_)


def test_a_frozen_encoder_may_stand_in_another(X, y):
    frozen = FrozenEstimator(make_pipeline(StandardScaler(), contractive()).fit(X))
    twice = FrozenEstimator(frozen)
    assert same_network(classifier(frozen).fit(X, y), classifier(twice).fit(X, y))


# ---- what the classifier answers ------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        ["no", "yes"],
        ["ash", "birch", "cedar"],
        [-1, 1],
        [False, True],
        [7, -1, 3],
        [2.0, 4.0, 1.0],
    ],
    ids=str,
)
def test_labels_of_any_kind(labels, X):
    y = np.array(labels)[X[:, : len(labels)].argmax(1)]
    model = classifier().fit(X, y)
    assert_array_equal(model.classes_, sorted(labels))
    scores, P = model.decision_function(X), model.predict_proba(X)
    assert P.shape == (40, len(labels))
    assert_allclose(P.sum(1), 1)
    assert (P > 0).all()
    if len(labels) == 2:
        assert scores.shape == (40,)
        assert_allclose(P[:, 1], 1 / (1 + np.exp(-scores)))
        assert_array_equal(model.predict(X), model.classes_[(scores > 0).astype(int)])
        assert [W.shape for W in model.coefs_] == [(8, 6), (6, 1)]
    else:
        assert scores.shape == P.shape
        assert_allclose(P, np.exp(scores) / np.exp(scores).sum(1, keepdims=True))
        assert_array_equal(model.predict(X), model.classes_[scores.argmax(1)])
        assert [W.shape for W in model.coefs_] == [(8, 6), (6, 3)]
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    # The names of the classes are no more than names.
    named = np.searchsorted(model.classes_, y)
    assert same_network(model, classifier().fit(X, named))
    if isinstance(labels[0], str):
        assert same_network(model, classifier().fit(X, y.astype(object)))


def test_minus_one_is_an_ordinary_label(X):
    y = np.array([-1, 1] * 20)
    model = classifier().fit(X, y)
    assert_array_equal(model.classes_, [-1, 1])
    assert same_network(model, classifier().fit(X, np.array([0, 1] * 20)))
    assert_array_equal(model.encoder_.components_, contractive().fit(X).components_)


def test_probabilities_of_huge_outputs_are_finite(X, y, two):
    for target in (y, two):
        model = classifier().fit(X, target)
        model.coefs_ = [*model.coefs_[:-1], 1e6 * model.coefs_[-1]]
        P = model.predict_proba(X)
        assert np.isfinite(P).all()
        assert_allclose(P.sum(1), 1)


def test_it_learns_digits(digits):
    X, y = digits
    encoder = ContractiveAutoencoder(64, max_iter=20, tol=0.1, random_state=0)
    model = FineTunedClassifier(
        encoder,
        learning_rate=0.01,
        encoder_rate_factor=1.0,
        max_iter=30,
        tol=0.1,
        random_state=0,
    )
    model.fit(X[:1000], y[:1000])
    assert model.score(X[1000:], y[1000:]) > 0.9
    assert model.loss_curve_[-1] < 0.2 * model.loss_curve_[0]
    # Fine-tuned, and not the output layer alone.
    assert np.abs(model.coefs_[0].T - model.encoder_.components_).max() > 0.01


# ---- what the regressor answers -------------------------------------------------


def test_a_regressor_of_several_outputs(X, values):
    Y = np.column_stack([values, X[:, 2], values**2])
    model = regressor().fit(X, Y)
    assert is_regressor(model)
    assert model.predict(X).shape == (40, 3)
    assert_allclose(model.predict(X), network_outputs(model, X), rtol=1e-10)
    assert [W.shape for W in model.coefs_] == [(8, 6), (6, 3)]
    assert not hasattr(model, "classes_")


def test_a_single_column_is_a_vector_of_values(X, values):
    plain = regressor().fit(X, values)
    assert plain.predict(X).shape == (40,)
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        column = regressor().fit(X, values[:, None])
    assert column.predict(X).shape == (40,)
    assert same_network(plain, column)


def test_a_regressor_learns(digits):
    X = digits[0][:400]
    target = X @ np.sin(np.arange(64))
    model = regressor(
        contractive(n_components=16), max_iter=60, tol=1e-3, learning_rate=0.02
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[:300], target[:300])
    assert model.score(X[300:], target[300:]) > 0.8


def test_a_regressor_of_scaled_targets(X, values):
    scaled = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    assert scaled.fit(X, 1e6 * values).predict(X).shape == (40,)


# ---- kinds of input -------------------------------------------------------------


@both
@pytest.mark.parametrize("front", [[], [MaxAbsScaler()]], ids=["plain", "scaled"])
@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix"])
def test_sparse_input_gives_the_same_model(kind, front, make, X, y, values):
    X = np.where(X > 0.6, X, 0.0)
    X_sparse = getattr(sparse, kind)(X)
    model = make(make_pipeline(*front, contractive()), batch_size=7)
    target = y if is_classifier(model) else values
    dense, thin = (clone(model).fit(data, target) for data in (X, X_sparse))
    assert_same_network(dense, thin, rtol=1e-10)
    if is_classifier(model):
        assert_array_equal(thin.predict(X_sparse), dense.predict(X))
    else:
        assert_allclose(thin.predict(X_sparse), dense.predict(X), rtol=1e-9)


@both
@pytest.mark.parametrize("kind", ["contractive", "preprocessed", "rbm", "stack"])
@pytest.mark.parametrize(
    ("dtype", "expected"), [("f4", "f4"), ("f8", "f8"), ("i8", "f8"), ("?", "f8")]
)
def test_float32_and_float64_stay(dtype, expected, kind, make, X, two, values):
    X = (X > 0.5).astype(dtype)
    model = make(ENCODERS[kind](X))
    model.fit(X, two if is_classifier(model) else values)
    assert {W.dtype for W in [*model.coefs_, *model.intercepts_]} == {
        np.dtype(expected)
    }
    if is_classifier(model):
        assert model.decision_function(X).dtype == expected
        assert model.predict_proba(X).dtype == expected
    else:
        assert model.predict(X).dtype == expected


@both
@pytest.mark.parametrize("dtypes", [("f4", "f8"), ("f8", "f4"), ("f4", "i8")])
def test_held_out_data_may_have_another_precision(dtypes, make, X, two, values):
    X, X_val = (10 * X[:30]).astype(dtypes[0]), (10 * X[30:]).astype(dtypes[1])
    model = make(early_stopping=True)
    target = two if is_classifier(model) else values
    model.fit(X, target[:30], X_val=X_val, y_val=target[30:])
    same = clone(model).fit(
        X, target[:30], X_val=X_val.astype(dtypes[0]), y_val=target[30:]
    )
    assert_allclose(
        model.validation_error_curve_, same.validation_error_curve_, rtol=1e-4
    )
    assert model.coefs_[0].dtype == dtypes[0]


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_memory_mapped_data_gives_the_same_model_uncopied(
    dtype, digits, tmp_path, monkeypatch
):
    X, y = (16 * digits[0][:200]).astype(dtype), digits[1][:200]
    path = tmp_path / "X.npy"
    np.save(path, X)
    mapped = np.load(path, mmap_mode="r")
    matrices = []
    make = FineTuningFit._learner

    def spy(self, *how):
        learner = make(self, *how)
        matrices.append(learner.rows.matrix)
        return learner

    monkeypatch.setattr(FineTuningFit, "_learner", spy)
    for how in ({}, {"early_stopping": True}):
        from_disk, from_memory = (
            classifier(**how).fit(data, y) for data in (mapped, X)
        )
        assert np.shares_memory(matrices[-2], mapped)
        assert_same_network(from_disk, from_memory, rtol=0)
    assert_array_equal(from_disk.predict_proba(mapped), from_memory.predict_proba(X))


@both
@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: X.tolist(),
        lambda X: X.astype(object),
    ],
    ids=["fortran", "strided", "list", "object"],
)
@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
def test_layouts_make_no_difference(kind, change, make, X, two, values):
    model = make(ENCODERS[kind](X))
    target = two if is_classifier(model) else values
    plain, other = clone(model).fit(X, target), model.fit(change(X), target.tolist())
    assert_same_network(plain, other, rtol=1e-9)
    assert_array_equal(other.predict(change(X)), other.predict(X))


@both
def test_data_and_labels_are_not_changed(make, X, two, values):
    rows, target = X.copy(), (two if make is classifier else values)
    labels, weights = target.copy(), np.ones(40)
    for array in (rows, labels, weights):
        array.flags.writeable = False
    make().fit(rows, labels, weights, X_unlabeled=rows).predict(rows)
    writeable = X.copy()
    make().fit(writeable, target.copy()).predict(writeable)
    assert_array_equal(writeable, X)


@both
@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_names_of_features_are_kept_and_forgotten(library, kind, make, X, two, values):
    frame = library.DataFrame(dict(zip("abcdefgh", X.T, strict=True)))
    model = make(ENCODERS[kind](X))
    target = two if is_classifier(model) else values
    model.fit(frame, target, X_unlabeled=frame)
    assert list(model.feature_names_in_) == list("abcdefgh")
    # Without a warning that the names were not there.
    answers = model.predict(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("hgfedcba")])
    plain = make(model.encoder).fit(X, target, X_unlabeled=X)
    assert_same_network(model, plain, rtol=1e-9)
    if is_classifier(model):
        assert_array_equal(answers, plain.predict(X))
    model.fit(X, target)
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
def test_a_frozen_encoder_of_a_frame(kind, X, y):
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    encoder = FrozenEstimator(ENCODERS[kind](X).fit(frame))
    model = classifier(encoder).fit(frame, y)
    assert list(model.feature_names_in_) == list("abcdefgh")
    assert set(model.predict(frame)) <= set(y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.fit(frame[list("hgfedcba")], y)


@both
def test_frames_behind_a_column_transformer(make, X, two, values):
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    frame["wood"] = np.array(["hard", "soft"])[(X[:, 4] > 0.5).astype(int)]
    columns = ColumnTransformer(
        [
            ("scaled", StandardScaler(), list("abcdefgh")),
            ("coded", OneHotEncoder(), ["wood"]),
        ]
    )
    model = make(make_pipeline(columns, contractive()), early_stopping=True)
    target = two if is_classifier(model) else values
    model.fit(
        frame[:25],
        target[:25],
        X_unlabeled=frame[10:30],
        X_val=frame[30:],
        y_val=target[30:],
    )
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.coefs_[0].shape == (10, 6)
    assert len(model.predict(frame)) == 40
    alone = clone(model.encoder).fit(pd.concat([frame[:25], frame[10:30]]))
    assert_array_equal(model.encoder_.transform(frame), alone.transform(frame))
    search = GridSearchCV(
        clone(model).set_params(early_stopping=False),
        {"encoder__columntransformer__scaled__with_mean": [True, False]},
        cv=2,
        error_score="raise",
    )
    search.fit(frame, target)
    assert len(search.predict(frame)) == 40


@both
def test_preprocessing_may_fill_missing_values(make, X, two, values):
    X = np.where(X > 0.1, X, np.nan)
    model = make(make_pipeline(SimpleImputer(), contractive()))
    target = two if is_classifier(model) else values
    model.fit(X, target, X_unlabeled=X)
    assert len(model.predict(X)) == 40
    with pytest.raises(ValueError, match="NaN"):
        make().fit(X, target)


def test_frames_out_of_the_preprocessing(X, y):
    encoder = make_pipeline(StandardScaler(), contractive())
    plain = classifier(encoder).fit(X, y)
    encoder.set_output(transform="pandas")
    assert same_network(plain, classifier(encoder).fit(X, y))


# ---- weights --------------------------------------------------------------------


@both
@pytest.mark.parametrize("kind", ["contractive", "autoencoder", "stack"])
def test_weights_are_repetitions_in_full_batches(kind, make, X, two, values):
    """In pre-training and in fine-tuning."""
    X, target = X[:20], (two if make is classifier else values)[:20]
    weights = np.arange(20) % 3
    model = make(ENCODERS[kind](X))
    weighted = clone(model).fit(X, target, sample_weight=weights)
    repeated = clone(model).fit(X.repeat(weights, axis=0), target.repeat(weights))
    scaled = clone(model).fit(X, target, sample_weight=1e300 * weights)
    assert_same_network(weighted, repeated, rtol=1e-6, atol=1e-9)
    assert_same_network(weighted, scaled, rtol=1e-6, atol=1e-9)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_)
    assert_allclose(
        weighted.encoder_.transform(X), repeated.encoder_.transform(X), rtol=1e-6
    )
    unweighted = clone(model).fit(X, target)
    assert not np.allclose(unweighted.coefs_[0], weighted.coefs_[0], rtol=1e-3)


@both
@pytest.mark.parametrize("early_stopping", [True, False])
def test_weights_whose_sum_overflows_are_weights(early_stopping, make, X):
    target = (X[:, 0] > 0.5).astype(int)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, 40)
    model = make(contractive(), early_stopping=early_stopping)
    weighted = clone(model).fit(X, target, sample_weight=weights)
    scaled = model.fit(X, target, sample_weight=1e308 * weights)
    assert_same_network(scaled, weighted, rtol=1e-6, atol=1e-9)


@both
@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_row_of_weight_zero_is_no_row_even_in_mini_batches(
    early_stopping, make, digits
):
    X, y = digits[0][:200].copy(), digits[1][:200] % 3
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 200)
    weights[::3] = 0.0
    X[0] = 1e200  # whose loss overflows
    model = make(early_stopping=early_stopping, validation_fraction=0.2)
    weighted = clone(model).fit(X, y, sample_weight=weights)
    there = weights > 0
    absent = clone(model).fit(X[there], y[there], sample_weight=weights[there])
    assert_same_network(weighted, absent, rtol=1e-10)


@both
@pytest.mark.parametrize("kind", ["rbm", "frozen"])
def test_where_pretraining_takes_no_weights_fine_tuning_does(
    kind, make, X, two, values, weights
):
    model = make(ENCODERS[kind](X))
    target = two if is_classifier(model) else values
    plain = clone(model).fit(X, target)
    weighted = clone(model).fit(X, target, sample_weight=weights)
    assert_array_equal(weighted.encoder_.transform(X), plain.encoder_.transform(X))
    assert not same_network(weighted, plain)
    # Fine-tuning sees them as it would from any encoder.
    by_hand = make(FrozenEstimator(plain.encoder_)).fit(X, target, weights)
    assert same_network(by_hand, weighted)


def test_weights_reach_the_steps_that_take_them(X, y, weights):
    """At any depth of pipelines; PCA takes none."""
    inner = make_pipeline(PCA(7, random_state=0), contractive())
    encoder = make_pipeline(StandardScaler(), inner, denoising(), "passthrough")
    model = classifier(encoder).fit(X, y, sample_weight=weights)
    scaler = StandardScaler().fit(X, sample_weight=weights)
    assert_array_equal(model.encoder_[0].mean_, scaler.mean_)
    assert np.abs(scaler.mean_ - X.mean(0)).max() > 1e-3
    codes = PCA(7, random_state=0).fit_transform(scaler.transform(X))
    alone = contractive().fit(codes, sample_weight=weights)
    assert_array_equal(model.encoder_[1][1].components_, alone.components_)
    above = denoising().fit(alone.transform(codes), sample_weight=weights)
    assert_array_equal(model.encoder_[2].components_, above.components_)


@pytest.mark.parametrize(
    "class_weight", [{"ash": 1.0, "birch": 3.0, "cedar": 0.5}, {"ash": 4.0}, "balanced"]
)
def test_class_weights_are_sample_weights_of_fine_tuning(class_weight, X, y, weights):
    frozen = FrozenEstimator(contractive().fit(X))
    model = classifier(frozen, class_weight=class_weight)
    classes = np.unique(y)
    for given in (None, weights):
        by_class = compute_class_weight(
            class_weight, classes=classes, y=y, sample_weight=given
        )
        by_hand = by_class[np.searchsorted(classes, y)]
        assert len(set(by_hand)) > 1
        both_weights = by_hand if given is None else by_hand * given
        assert_same_network(
            clone(model).fit(X, y, sample_weight=given),
            classifier(frozen).fit(X, y, sample_weight=both_weights),
            rtol=1e-10,
        )
    # Pre-training does without.
    weighted = classifier(class_weight=class_weight).fit(X, y)
    assert_array_equal(weighted.encoder_.components_, contractive().fit(X).components_)


@both
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(40), "sample_weight must not be negative"),
        (np.zeros(40), "non-zero"),
        (np.ones(39), "expected"),
        (np.full(40, np.nan), "NaN"),
    ],
    ids=["negative", "zero", "short", "nan"],
)
def test_bad_weights_are_refused(weights, message, make, X, two, values):
    model = make()
    with pytest.raises(ValueError, match=message):
        model.fit(X, two if is_classifier(model) else values, sample_weight=weights)


@pytest.mark.parametrize(
    "class_weight", [{"no": 0, "yes": 0}, {"no": -1, "yes": 1}], ids=str
)
def test_bad_class_weights_are_refused(class_weight, X, two):
    with pytest.raises(ValueError, match="class_weight"):
        classifier(class_weight=class_weight).fit(X, two)


def test_weights_that_together_leave_no_row_are_refused(X, two):
    model = classifier(class_weight={"no": 0, "yes": 1})
    with pytest.raises(ValueError, match="class_weight"):
        model.fit(X, two, sample_weight=(two == "no").astype(float))


# ---- metadata routing -----------------------------------------------------------


@pytest.fixture
def enable_routing():
    with config_context(enable_metadata_routing=True):
        yield


@both
@pytest.mark.parametrize("requested", [True, False])
def test_requested_weights_are_routed_to_the_encoder(
    requested, enable_routing, make, X, two, values, weights
):
    model = make(contractive().set_fit_request(sample_weight=requested))
    target = two if is_classifier(model) else values
    model.fit(X, target, sample_weight=weights)
    alone = contractive().fit(X, sample_weight=weights if requested else None)
    assert_array_equal(model.encoder_.components_, alone.components_)
    by_hand = make(FrozenEstimator(alone)).fit(X, target, sample_weight=weights)
    assert same_network(model, by_hand)


def test_weights_that_are_neither_requested_nor_declined_are_refused(
    enable_routing, X, y, weights
):
    with pytest.raises(UnsetMetadataPassedError, match=r"ContractiveAutoencoder\.fit"):
        classifier().fit(X, y, sample_weight=weights)
    classifier().fit(X, y)


def test_weights_are_routed_to_the_steps_of_pipelines(enable_routing, X, y, weights):
    encoder = make_pipeline(
        StandardScaler().set_fit_request(sample_weight=False),
        contractive().set_fit_request(sample_weight=True),
    )
    model = classifier(encoder).fit(X, y, sample_weight=weights)
    scaler = StandardScaler().fit(X)
    assert_array_equal(model.encoder_[0].mean_, scaler.mean_)
    alone = contractive().fit(scaler.transform(X), sample_weight=weights)
    assert_array_equal(model.encoder_[1].components_, alone.components_)


@pytest.mark.parametrize("kind", ["rbm", "three rbms", "frozen"])
def test_routing_with_an_encoder_that_takes_no_weights(
    kind, enable_routing, X, y, weights
):
    model = classifier(ENCODERS[kind](X)).fit(X, y, sample_weight=weights)
    with config_context(enable_metadata_routing=False):
        plain = clone(model).fit(X, y, sample_weight=weights)
    assert same_network(model, plain)


def test_weights_are_routed_through_a_search(enable_routing, X, y, weights):
    model = classifier(contractive().set_fit_request(sample_weight=True))
    model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    search = GridSearchCV(model, {"learning_rate": [0.01]}, cv=2, error_score="raise")
    search.fit(X, y, sample_weight=weights)
    assert same_network(
        search.best_estimator_, clone(model).fit(X, y, sample_weight=weights)
    )


def test_the_router_tells_of_the_encoder(enable_routing):
    model = classifier(contractive().set_fit_request(sample_weight=True))
    assert model.get_metadata_routing().consumes("fit", ["sample_weight"]) == {
        "sample_weight"
    }


# ---- rows without labels --------------------------------------------------------


@both
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kind", ["contractive", "preprocessed", "stack", "rbm"])
def test_rows_without_labels_join_pretraining_alone(
    kind, weighted, make, X, two, values, weights
):
    model = make(ENCODERS[kind](X))
    target = (two if is_classifier(model) else values)[:25]
    how = {"sample_weight": weights[:25]} if weighted else {}
    model.fit(X[:25], target, X_unlabeled=X[25:], **how)
    if weighted and kind in ("contractive", "stack"):
        joined = np.concatenate([weights[:25], np.ones(15)])
        alone = clone(model.encoder).fit(X, sample_weight=joined)
    elif weighted and kind == "preprocessed":
        joined = np.concatenate([weights[:25], np.ones(15)])
        alone = clone(model.encoder).fit(
            X,
            standardscaler__sample_weight=joined,
            contractiveautoencoder__sample_weight=joined,
        )
    else:
        alone = clone(model.encoder).fit(X)
    assert_array_equal(model.encoder_.transform(X), alone.transform(X))
    few = clone(model.encoder).fit(X[:25])
    assert not np.array_equal(alone.transform(X), few.transform(X))
    tuned_alone = make(FrozenEstimator(alone)).fit(X[:25], target, **how)
    assert same_network(model, tuned_alone)
    assert_array_equal(model.loss_curve_, tuned_alone.loss_curve_)


@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
@pytest.mark.parametrize(
    ("labelled", "unlabelled"),
    [
        (sparse.csr_array, sparse.csr_array),
        (sparse.csr_matrix, sparse.csc_matrix),
        (sparse.csr_array, np.asarray),
        (np.asarray, sparse.csr_array),
        (np.asarray, np.ndarray.tolist),
        (np.ndarray.tolist, np.ndarray.tolist),
    ],
    ids=["arrays", "matrices", "dense", "sparse", "list", "lists"],
)
def test_rows_without_labels_of_any_kind(labelled, unlabelled, kind, X, y):
    X = np.where(X > 0.5, X, 0.0)
    encoder = ENCODERS[kind](X)
    if kind == "preprocessed":
        encoder = make_pipeline(MaxAbsScaler(), contractive())
    model = classifier(encoder)
    given = clone(model).fit(labelled(X[:25]), y[:25], X_unlabeled=unlabelled(X[25:]))
    dense = clone(model).fit(X[:25], y[:25], X_unlabeled=X[25:])
    assert_same_network(given, dense, rtol=1e-9)


@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_frames_without_labels(library, kind, X, y):
    frame = library.DataFrame(dict(zip("abcdefgh", X.T, strict=True)))
    model = classifier(ENCODERS[kind](X)).fit(
        frame[:25], y[:25], X_unlabeled=frame[25:]
    )
    plain = clone(model).fit(X[:25], y[:25], X_unlabeled=X[25:])
    assert_same_network(model, plain, rtol=1e-9)
    assert list(model.encoder_.feature_names_in_) == list("abcdefgh")


def test_rows_without_labels_keep_the_precision_of_the_labelled(X, y):
    model = classifier().fit(X.astype("f4"), y, X_unlabeled=X)
    assert model.coefs_[0].dtype == np.float32
    assert model.decision_function(X.astype("f4")).dtype == np.float32


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
def test_an_array_cannot_join_a_frame(kind, X, y):
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    with pytest.raises((TypeError, ValueError), match="X_unlabeled"):
        classifier(ENCODERS[kind](X)).fit(frame, y, X_unlabeled=X)


class Counting(ContractiveAutoencoder):
    """Notes how many rows its fits have seen."""

    seen: ClassVar[list[int]] = []

    def fit(self, X, y=None, **how):
        self.seen.append(len(X))
        return super().fit(X, y, **how)


@both
@pytest.mark.parametrize(("n_unlabelled", "kept"), [(20, 10), (19, 19), (21, 21)])
def test_a_search_cuts_rows_without_labels_of_the_length_of_x(
    n_unlabelled, kept, make, X, two, values
):
    """As the page says: no fault of the estimator, which is not told."""
    model = make(Counting(6, **HOW))
    target = (two if is_classifier(model) else values)[:20]
    search = GridSearchCV(model, {"learning_rate": [0.01]}, cv=2, error_score="raise")
    Counting.seen.clear()
    rest = np.resize(X[20:], (n_unlabelled, 8))
    search.fit(X[:20], target, X_unlabeled=rest)
    assert Counting.seen == [10 + kept, 10 + kept, 20 + n_unlabelled]


@both
@pytest.mark.parametrize(
    "wrap", [lambda code: code, partial(make_pipeline, MaxAbsScaler())]
)
def test_a_search_over_encoders_of_rows_without_labels(wrap, make, X, two, values):
    """Fitted before it, they see all of these, as many as X has rows or not."""
    codes = [contractive(jacobian_penalty=strength) for strength in (0.0, 1.0)]
    encoders = [FrozenEstimator(wrap(code).fit(X[20:])) for code in codes]
    model = make(encoders[0])
    target = (two if is_classifier(model) else values)[:20]
    search = GridSearchCV(model, {"encoder": encoders}, cv=2, error_score="raise")
    best = search.fit(X[:20], target).best_estimator_
    assert best.encoder_ is search.best_params_["encoder"]
    assert any(best.encoder_ is encoder for encoder in encoders)
    alone = make(best.encoder_).fit(X[:20], target)
    assert same_network(best, alone)


# ---- stopping -------------------------------------------------------------------

# Noise, learnt fast: the best epoch is not the last.
NOISY = {
    "learning_rate_schedule": "constant",
    "learning_rate": 0.05,
    "max_iter": 60,
    "tol": 0.0,
    "n_iter_no_change": 10,
    "early_stopping": True,
    "encoder_rate_factor": 1.0,
    "alpha": 0.0,
}


@both
@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
def test_early_stopping_keeps_the_best_network(kind, make, X, digits):
    rng = np.random.default_rng(0)
    X, X_val = digits[0][:50, 20:28], digits[0][400:450, 20:28]
    model = make(ENCODERS[kind](X), **NOISY)
    if is_classifier(model):
        target, held_out = (
            (D[:, 0] + rng.normal(size=50) > 0.7).astype(int) for D in (X, X_val)
        )
    else:
        target, held_out = (D[:, 0] + rng.normal(size=50) for D in (X, X_val))
    model.fit(X, target, X_val=X_val, y_val=held_out)
    curve = model.validation_error_curve_
    assert len(curve) == len(model.loss_curve_) == model.n_iter_ < model.max_iter
    if is_classifier(model):
        error = misclassified(model, X_val, held_out)
    else:
        error = np.mean((model.predict(X_val) - held_out) ** 2)
    assert error == pytest.approx(curve.min(), rel=1e-10)
    assert curve.argmin() < len(curve) - 1
    assert curve[-1] > curve.min()
    # Without it there is no such curve.
    model.set_params(early_stopping=False, tol=10.0).fit(X, target)
    assert not hasattr(model, "validation_error_curve_")


@pytest.mark.parametrize("weighted", [True, False])
@both
def test_early_stopping_holds_out_a_fraction(weighted, make, X, weights, monkeypatch):
    seen = []
    inner = FineTuningFit._learner

    def spy(self, *how):
        learner = inner(self, *how)
        seen.append((learner.rows.subset, learner.validation[0].subset))
        return learner

    monkeypatch.setattr(FineTuningFit, "_learner", spy)
    target = np.repeat([0, 1, 2, 3], [16, 12, 8, 4])
    model = make(validation_fraction=0.25, **NOISY)
    model.fit(X, target, sample_weight=weights if weighted else None)
    train, test = seen[0]
    assert sorted([*train, *test]) == list(range(40))
    assert len(test) == 10
    held_out_weights = weights[test] if weighted else None
    if is_classifier(model):
        # Each class in its proportion.
        assert_array_equal(np.bincount(target[test]), [4, 3, 2, 1])
        error = misclassified(model, X[test], target[test], held_out_weights)
    else:
        error = np.average(
            (model.predict(X[test]) - target[test]) ** 2, weights=held_out_weights
        )
    assert error == pytest.approx(model.validation_error_curve_.min(), rel=1e-10)
    # The held-out rows take part in pre-training.
    alone = contractive().fit(X, sample_weight=weights if weighted else None)
    assert_array_equal(model.encoder_.components_, alone.components_)
    # The seed decides.
    clone(model).fit(X, target)
    clone(model).set_params(random_state=5).fit(X, target)
    assert_array_equal(seen[1][1], test)
    assert not np.array_equal(seen[2][1], test)


@pytest.mark.parametrize("n_outputs", [1, 2, 5])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_error_of_several_outputs_is_their_mean(weighted, n_outputs, X, weights):
    Y = np.random.default_rng(0).normal(size=(40, n_outputs))
    Y = Y if n_outputs > 1 else Y[:, 0]
    held_out = {"X_val": X[:10], "y_val": Y[:10]}
    given = regressor(early_stopping=True).fit(X, Y, **held_out)
    # On all of the rows, drawn by hand.
    drawn = regressor(early_stopping=True, validation_fraction=0.25)
    drawn.fit(X, Y, sample_weight=weights if weighted else None)
    rows = np.arange(40)
    generator = torch.Generator().manual_seed(draw_seed(drawn.random_state))
    _, test = split_rows(rows, 0.25, generator)
    w = weights[test] if weighted else None
    for error, model in (
        (mean_squared_error(Y[:10], given.predict(X[:10])), given),
        (mean_squared_error(Y[test], drawn.predict(X[test]), sample_weight=w), drawn),
    ):
        assert model.validation_error_curve_.min() == pytest.approx(error, rel=1e-10)


def test_held_out_data_may_be_sparse_or_a_frame(X, y):
    model = classifier(**NOISY)
    plain = clone(model).fit(X[:25], y[:25], X_val=X[25:], y_val=y[25:])
    thin = clone(model).fit(
        X[:25], y[:25], X_val=sparse.csr_array(X[25:]), y_val=list(y[25:])
    )
    assert same_network(plain, thin)
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    framed = clone(model).fit(
        frame[:25], y[:25], X_val=frame[25:], y_val=pd.Series(y[25:])
    )
    assert same_network(plain, framed)


@both
def test_held_out_data_that_would_not_be_used_is_refused(make, X, two, values):
    target = two if make is classifier else values
    with pytest.raises(ValueError, match="early_stopping=False"):
        make().fit(X, target, X_val=X, y_val=target)
    with pytest.raises(ValueError, match="belong together, but y_val is missing"):
        make(early_stopping=True).fit(X, target, X_val=X)
    with pytest.raises(ValueError, match="belong together, but X_val is missing"):
        make(early_stopping=True).fit(X, target, y_val=target)


def test_unknown_held_out_labels_are_refused(X, two):
    held_out = {"X_val": X[:3], "y_val": ["yes", "maybe", "no"]}
    with pytest.raises(ValueError, match=r"y_val.*'maybe'.*'no', 'yes'"):
        classifier(early_stopping=True).fit(X, two, **held_out)


def test_held_out_labels_may_lack_a_class(X, y):
    few = y != "ash"
    model = classifier(early_stopping=True).fit(X, y, X_val=X[few], y_val=y[few])
    assert len(model.classes_) == 3


@pytest.mark.parametrize(("n_outputs", "n_held_out"), [(1, 2), (3, 1), (3, 2)], ids=str)
def test_held_out_values_of_another_number_are_refused(n_outputs, n_held_out, X):
    y, y_val = (X[:, :n] if n > 1 else X[:, 0] for n in (n_outputs, n_held_out))
    with pytest.raises(ValueError, match="y_val"):
        regressor(early_stopping=True).fit(X, y, X_val=X, y_val=y_val)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X_val": np.ones((40, 7))}, r"X_val.*7 features"),
        ({"X_val": np.full((40, 8), np.nan)}, r"X_val.*NaN"),
        ({"y_val": np.ones(39)}, r"y_val.*39"),
        ({"y_val": np.full(40, np.nan)}, r"y_val.*NaN"),
        ({"y_val": None}, r"y_val is missing"),
    ],
    ids=["features", "nan", "short", "nan values", "none"],
)
def test_errors_of_held_out_data_name_it(change, message, X, values):
    held_out = {"X_val": X, "y_val": values, **change}
    with pytest.raises(ValueError, match=message) as caught:
        regressor(early_stopping=True).fit(X, values, **held_out)
    # These rows are not to join pre-training.
    assert "X_unlabeled" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [lambda X: X[:, :7], lambda X: np.full_like(X, np.nan), lambda X: X[:0]],
    ids=["features", "nan", "empty"],
)
def test_errors_of_rows_without_labels_name_them(change, X, values):
    with pytest.raises(ValueError, match="X_unlabeled"):
        regressor().fit(X, values, X_unlabeled=change(X))


@both
def test_one_row_cannot_be_split(make, X):
    target, weights = np.arange(40) % 2, np.zeros(40)
    weights[:1] = 1.0
    with pytest.raises(ValueError, match="only 1 sample of positive weight"):
        make(early_stopping=True).fit(X, target, sample_weight=weights)


@pytest.mark.parametrize(
    "counts", [[39, 1], [4] * 10], ids=["one of a class", "too few held out"]
)
def test_classes_that_cannot_be_split_are_refused_with_a_way_out(counts, X):
    y = np.repeat(np.arange(len(counts)), counts)
    with pytest.raises(ValueError, match=r"early_stopping(.|\n)*X_val"):
        classifier(early_stopping=True).fit(X, y)
    classifier(early_stopping=True).fit(X, y, X_val=X, y_val=y)


@both
def test_a_fit_that_has_not_settled_warns(make, X):
    model = make(max_iter=4, n_iter_no_change=2, tol=0.0)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=4.*tol=0 ") as caught:
        model.fit(X, np.arange(40) % 2)
    assert model.n_iter_ == 4
    # The warning points at the line that called fit.
    assert caught[0].filename == __file__


@both
def test_the_linear_schedule_anneals_before_it_stops(make, X):
    model = make(max_iter=40, tol=10.0).fit(X, np.arange(40) % 2)
    # Half of max_iter in any case, then three epochs of a falling rate.
    assert model.n_iter_ == 23


# ---- callbacks and verbose ------------------------------------------------------


@both
def test_the_tasks_of_a_fit(make, X, two, values, weights):
    recorder = Recorder()
    model = make().set_callbacks(recorder)
    target = two if is_classifier(model) else values
    model.fit(X, target, sample_weight=weights)
    epochs = ["epoch"] * model.n_iter_
    assert recorder.begun == ["fit", "pre-training", "fine-tuning", *epochs]
    names = [name for name, *_ in recorder.ended]
    assert names == ["pre-training", *epochs, "fine-tuning", "fit"]
    assert not recorder.is_set_up
    ids = [number for name, number, *_ in recorder.ended if name == "epoch"]
    assert ids == list(range(model.n_iter_))
    for name, _, seen_X, seen_y, metadata in recorder.ended:
        assert seen_X is X
        assert seen_y is target
        if name != "pre-training":
            assert metadata["sample_weight"] is weights


def test_pretraining_shows_all_rows_and_a_frozen_encoder_none(X, y):
    recorder = Recorder()
    classifier().set_callbacks(recorder).fit(X[:25], y[:25], X_unlabeled=X[25:])
    name, _, seen_X, seen_y, _ = recorder.ended[0]
    assert name == "pre-training"
    assert_array_equal(seen_X, X)
    assert seen_y is None
    recorder = Recorder()
    frozen = FrozenEstimator(contractive().fit(X))
    classifier(frozen).set_callbacks(recorder).fit(X, y)
    assert "pre-training" not in recorder.begun
    assert recorder.begun[:2] == ["fit", "fine-tuning"]


@both
@pytest.mark.parametrize("refitted", [True, False])
def test_callbacks_see_the_model_as_it_is_at_each_epoch(refitted, make, X):
    target = np.arange(40) % 3 / 2
    recorder = Recorder()
    model = make()
    if refitted:
        # Of another number of classes, of features, with names, and early stopped.
        names = pd.DataFrame(X[:, :5], columns=list("abcde"))
        model.set_params(early_stopping=True).fit(names, np.arange(40) % 2)
        model.set_params(early_stopping=False)
    model.set_callbacks(recorder).fit(X, np.rint(2 * target))
    assert len(recorder.models) == model.n_iter_
    outputs = [seen.predict(X) for seen in recorder.models]
    assert_array_equal(outputs[-1], model.predict(X))
    assert [seen.n_iter_ for seen in recorder.models] == [*range(1, model.n_iter_ + 1)]
    losses = [
        np.linalg.norm(seen.coefs_[0] - model.encoder_.components_.T)
        for seen in recorder.models
    ]
    assert losses == sorted(losses)
    assert len(set(losses)) == model.n_iter_
    if is_classifier(model):
        assert recorder.models[0].predict_proba(X).shape == (40, 3)


def test_callbacks_cannot_change_the_fit(X, y):
    class Vandal(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch":
                fitted_estimator.coefs_[0][:] = 0
                fitted_estimator.intercepts_[1][:] = 7

    model = classifier().set_callbacks(Vandal()).fit(X, y)
    assert same_network(model, classifier().fit(X, y))


@both
def test_a_scoring_monitor_logs_a_score_for_each_epoch(make, digits):
    X, y = digits[0][:300], digits[1][:300]
    name = "accuracy" if make is classifier else "r2"
    monitor = ScoringMonitor(scoring=name)
    model = make(max_iter=20).set_callbacks(monitor)
    model.fit(X, y if is_classifier(model) else y / 9)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(log) == model.n_iter_
    score = model.score(X, y if is_classifier(model) else y / 9)
    assert log[-1][name] == pytest.approx(score)
    assert log[-1][name] > log[0][name]


@both
def test_a_callback_that_returns_true_stops_fine_tuning(make, X):
    recorder = Recorder(stop_after=4)
    model = make().set_callbacks(recorder).fit(X, np.arange(40) % 2)
    assert model.n_iter_ == 4
    assert [name for name, *_ in recorder.ended][-2:] == ["fine-tuning", "fit"]


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_callbacks_reach_the_encoder_and_none_that_cannot_hear_them_warns(kind, X, y):
    recorder = Propagated()
    model = classifier(ENCODERS[kind](X)).set_callbacks(recorder).fit(X, y)
    heard = recorder.ended
    assert heard[-model.n_iter_ :] == ["FineTunedClassifier"] * model.n_iter_
    expected = {
        "contractive": {"ContractiveAutoencoder"},
        "ours": {"ContractiveAutoencoder", "Autoencoder"},
        "mixed": {"ContractiveAutoencoder", "DenoisingAutoencoder"},
        "nested": {"ContractiveAutoencoder", "DenoisingAutoencoder"},
        "autoencoder": {"Autoencoder"},
        "denoising": {"DenoisingAutoencoder"},
        "stack": {"ContractiveAutoencoder"},
        "rbm": set(),
        "three rbms": set(),
        "preprocessed": {"ContractiveAutoencoder"},
        "passthrough": {"ContractiveAutoencoder"},
        "frozen": set(),
        "frozen pipeline": set(),
        "frozen scaler": {"ContractiveAutoencoder"},
        "frozen first layer": {"Autoencoder"},
    }[kind]
    assert set(heard) - {"FineTunedClassifier"} == expected
    # Nothing of the callbacks stays behind, and none changes anything.
    assert not hasattr(model.encoder_, "_parent_callback_ctx")
    assert not getattr(model.encoder_, "_skl_callbacks", [])
    assert same_network(model, classifier(ENCODERS[kind](X)).fit(X, y))


def test_callbacks_reach_us_and_the_encoder_through_a_search(X, y):
    recorder = Propagated()
    grid = {"encoder": [contractive(), rbm()]}
    search = GridSearchCV(classifier(), grid, cv=2, error_score="raise")
    search.set_callbacks(recorder).fit(X, y)
    assert {"FineTunedClassifier", "ContractiveAutoencoder"} <= set(recorder.ended)


@both
def test_verbose_shows_pretraining_and_fine_tuning(make, X, capsys):
    model = make(verbose=1).fit(X, np.arange(40) % 2)
    shown = capsys.readouterr().out
    assert f"{type(model).__name__} - fit" in shown
    assert "ContractiveAutoencoder · epoch " in shown
    assert "fine-tuning · epoch " in shown
    assert not hasattr(model, "_skl_callbacks")
    assert not hasattr(model.encoder_, "_skl_callbacks")


@pytest.mark.parametrize("kind", ["rbm", "three rbms", "frozen", "nested"])
def test_a_progress_bar_over_any_encoder(kind, X, y, capsys):
    model = classifier(ENCODERS[kind](X), verbose=1)
    model.set_callbacks(ProgressBar()).fit(X, y)
    assert capsys.readouterr().out.count("FineTunedClassifier - fit") == 1


def test_verbose_inside_a_pipeline_logs(X, y, caplog):
    caplog.set_level(logging.INFO, logger="skcae")
    Pipeline([("tuned", classifier(verbose=1))]).fit(X, y)
    assert "epoch 1/12: objective" in caplog.text


def test_silent_by_default(X, two, values, capfd):
    classifier().fit(X, two).predict_proba(X)
    regressor(rbm()).fit(X, values).predict(X)
    assert capfd.readouterr() == ("", "")


# ---- scikit-learn around it -----------------------------------------------------


def test_grid_search_over_both_trainings(X, y):
    grid = {"encoder__jacobian_penalty": [0.0, 5.0], "learning_rate": [0.001, 0.05]}
    search = GridSearchCV(classifier(), grid, cv=2, error_score="raise").fit(X, y)
    best = search.best_estimator_
    assert len(search.cv_results_["params"]) == 4
    assert best.encoder.jacobian_penalty == best.encoder_.jacobian_penalty
    assert set(search.best_params_.values()) == {
        best.encoder_.jacobian_penalty,
        best.learning_rate,
    }
    assert same_network(best, clone(best).fit(X, y))
    codes = [
        classifier(contractive(jacobian_penalty=penalty)).fit(X, y).encoder_
        for penalty in grid["encoder__jacobian_penalty"]
    ]
    assert not np.allclose(codes[0].components_, codes[1].components_)


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_every_encoder_in_a_grid_search(kind, X, two):
    search = GridSearchCV(
        classifier(ENCODERS[kind](X)),
        {"class_weight": [None, "balanced"]},
        cv=2,
        scoring=["accuracy", "roc_auc", "neg_log_loss"],
        refit="roc_auc",
        error_score="raise",
    ).fit(X, two)
    for scorer in search.scorer_:
        assert np.isfinite(search.cv_results_[f"mean_test_{scorer}"]).all()
    assert set(search.predict(X)) <= {"no", "yes"}
    assert_array_equal(search.classes_, ["no", "yes"])


@pytest.mark.parametrize("early_stopping", [True, False])
def test_fit_arguments_in_a_grid_search(early_stopping, X, y, weights):
    model = classifier(early_stopping=early_stopping)
    held_out = {"X_val": X[30:], "y_val": y[30:]} if early_stopping else {}
    how = {"X_unlabeled": X[25:], **held_out}
    search = GridSearchCV(model, {"learning_rate": [0.01]}, cv=2, error_score="raise")
    search.fit(X[:30], y[:30], sample_weight=weights[:30], **how)
    alone = clone(model).fit(X[:30], y[:30], weights[:30], **how)
    assert same_network(search.best_estimator_, alone)


def test_grid_search_of_the_regressor(X, values):
    search = GridSearchCV(
        regressor(make_pipeline(StandardScaler(), contractive())),
        {
            "encoder__contractiveautoencoder__n_components": [2, 6],
            "encoder__standardscaler": [StandardScaler(), "passthrough"],
        },
        cv=2,
        error_score="raise",
    ).fit(X, np.column_stack([values, values]))
    assert search.predict(X).shape == (40, 2)


@both
@pytest.mark.parametrize("kind", ["stack", "preprocessed", "rbm", "frozen pipeline"])
def test_pickle_keeps_the_model(kind, make, X, two, values):
    model = make(ENCODERS[kind](X), early_stopping=True)
    model.fit(X, two if is_classifier(model) else values)
    loaded = pickle.loads(pickle.dumps(model))
    assert_same_network(model, loaded, rtol=0)
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert fitted_state(loaded).keys() == fitted_state(model).keys()


@both
def test_no_torch_in_the_fitted_state(make, X, two, values):
    def leaves(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, (list, tuple)):
            for part in value:
                yield from leaves(part)
        elif isinstance(value, (ContractiveAutoencoder, FrozenEstimator)):
            yield from leaves(vars(value))
        else:
            yield value

    model = make(early_stopping=True)
    model.fit(X, two if is_classifier(model) else values)
    for value in leaves(vars(model)):
        assert not type(value).__module__.startswith("torch"), value
    assert {type(v) for v in fitted_state(model).values()} <= {
        np.ndarray,
        int,
        bool,
        list,
        ContractiveAutoencoder,
    }
    for array in [*model.coefs_, *model.intercepts_]:
        assert type(array) is np.ndarray
        assert array.flags.writeable


@both
def test_seeds(make, X, two, values):
    target = two if make is classifier else values
    assert_same_network(make().fit(X, target), make().fit(X, target), rtol=0)
    frozen = FrozenEstimator(contractive().fit(X))
    one, other = (make(frozen, random_state=s).fit(X, target) for s in (None, None))
    assert not same_network(one, other)
    state = np.random.RandomState(0)
    first, second = (make(frozen, random_state=state).fit(X, target) for _ in range(2))
    assert not same_network(first, second)
    assert same_network(first, make(frozen, random_state=0).fit(X, target))


@both
@pytest.mark.parametrize("seed", [0, None])
def test_global_random_states_are_left_alone(seed, make, X, two, values):
    target = two if make is classifier else values
    np_state = np.random.get_state(legacy=False)  # noqa: NPY002
    torch_state = torch.get_rng_state()
    encoder = contractive(random_state=seed)
    make(encoder, random_state=seed, early_stopping=True).fit(X, target)
    assert_equal(np.random.get_state(legacy=False), np_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_a_default_device_of_torch_makes_no_difference(X, y):
    plain = classifier(early_stopping=True).fit(X, y)
    torch.set_default_device("meta")
    try:
        other = classifier(early_stopping=True).fit(X, y)
        scores = other.decision_function(X)
    finally:
        torch.set_default_device(None)
    assert same_network(plain, other)
    assert_array_equal(scores, plain.decision_function(X))


def test_a_model_of_a_missing_device_predicts_here(X, y):
    model = classifier().fit(X, y)
    expected = model.decision_function(X)
    model.set_params(device="cuda:63")
    assert_array_equal(model.decision_function(X), expected)
    with pytest.raises(ValueError, match="Available devices: cpu"):
        model.fit(X, y)


def test_fits_in_threads_equal_fits_one_after_another(X, y):
    models = [classifier(random_state=seed) for seed in range(4)]
    alone = [clone(model).fit(X, y) for model in models]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda model: model.fit(X, y), models))
    assert all(map(same_network, alone, together))


def test_what_a_fitted_model_was_fitted_as_decides(X, y):
    """Later changes of the parameters change nothing until the next fit."""
    model = classifier(make_pipeline(SimpleImputer(), contractive(activation="tanh")))
    gaps = np.where(X > 0.1, X, np.nan)
    scores = model.fit(gaps, y).decision_function(gaps)
    for encoder in (contractive(activation="relu"), PCA(3)):
        model.set_params(encoder=encoder)
        assert_array_equal(model.decision_function(gaps), scores)


@both
def test_unfitted(make, X):
    model = make()
    for method in ("predict", "predict_proba", "decision_function", "score"):
        if hasattr(model, method):
            call = partial(getattr(model, method), X)
            with pytest.raises(NotFittedError, match="not fitted"):
                call(np.arange(40) % 2) if method == "score" else call()


@both
@pytest.mark.parametrize("kind", ["contractive", "preprocessed", "frozen"])
def test_another_number_of_features_is_refused(kind, make, X):
    model = make(ENCODERS[kind](X)).fit(X, np.arange(40) % 2)
    with pytest.raises(ValueError, match=r"7 features, but .* is expecting 8"):
        model.predict(X[:, :7])


@both
def test_another_number_of_features_is_refused_whatever_comes_first(make, X):
    """A first step that looks at nothing, too."""
    model = make(make_pipeline(FunctionTransformer(), contractive()))
    model.fit(X, np.arange(40) % 2)
    with pytest.raises(ValueError, match=r"7 features|given 7"):
        model.predict(X[:, :7])


# ---- when things go wrong -------------------------------------------------------

NO_ENCODERS = {
    "none": (None, "'encoder' parameter"),
    "a name": ("ContractiveAutoencoder", "'encoder' parameter"),
    "a class": (ContractiveAutoencoder, "ContractiveAutoencoder"),
    "PCA": (PCA(3), "no step that is an encoder: it is made of PCA"),
    "a classifier": (LinearSVC(), "'encoder' parameter"),
    "a pipeline of none": (
        make_pipeline(StandardScaler(), PCA(3)),
        "made of StandardScaler, PCA",
    ),
    "an empty pipeline": (make_pipeline("passthrough"), "made of nothing"),
    "a scaler after": (
        make_pipeline(contractive(), StandardScaler()),
        "StandardScaler follows an encoder",
    ),
    "PCA between": (
        make_pipeline(contractive(), PCA(3), contractive()),
        "PCA follows an encoder",
    ),
    "a nested scaler after": (
        make_pipeline(make_pipeline(contractive()), make_pipeline(StandardScaler())),
        "StandardScaler follows an encoder",
    ),
    "a classifier after": (
        make_pipeline(contractive(), LinearSVC()),
        "'encoder' parameter",
    ),
    "a fine-tuned one": (classifier(), "'encoder' parameter"),
}


@both
@pytest.mark.parametrize("kind", sorted(NO_ENCODERS))
def test_what_is_no_encoder_is_refused(kind, make, X):
    encoder, message = NO_ENCODERS[kind]
    recorder = Recorder()
    # Not by `make`, which would put the default in the place of None.
    cls = FineTunedClassifier if make is classifier else FineTunedRegressor
    model = cls(encoder, **HOW).set_callbacks(recorder)
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(X, np.arange(40) % 2)
    # Before anything is fitted.
    assert recorder.begun == []


@pytest.mark.parametrize("wrap", [True, False])
def test_a_frozen_encoder_of_another_number_of_features_is_refused(wrap, X, y):
    encoder = FrozenEstimator(contractive().fit(X[:, :7]))
    if wrap:
        encoder = make_pipeline(StandardScaler(), encoder)
    with pytest.raises(ValueError, match=r"7 features.*8|8 features.*7"):
        classifier(encoder).fit(X, y)
    fits_both = classifier(FrozenEstimator(contractive().fit(X)))
    with pytest.raises(ValueError, match=r"7 features, but .* expecting 8 features"):
        fits_both.fit(X[:, :7], y)


@pytest.mark.parametrize(
    "encoder",
    [
        FrozenEstimator(contractive()),
        FrozenEstimator(stack()),
        FrozenEstimator(rbm()),
        FrozenEstimator(make_pipeline(StandardScaler(), contractive())),
        make_pipeline(StandardScaler(), FrozenEstimator(contractive())),
    ],
    ids=["contractive", "stack", "rbm", "pipeline", "step"],
)
def test_a_frozen_encoder_that_is_not_fitted_is_refused(encoder, X, y):
    with pytest.raises(NotFittedError, match="not fitted"):
        classifier(encoder).fit(X, y)


@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
def test_one_class_is_refused(kind, X):
    with pytest.raises(ValueError, match="y has only one class, 'oak'"):
        classifier(ENCODERS[kind](X)).fit(X, ["oak"] * 40)


@both
@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
def test_fewer_labels_than_rows_are_refused_with_the_way_to_give_more(kind, make, X):
    target = np.arange(30) % 2
    with pytest.raises(ValueError, match=r"X has 40 rows, but y has 30.*X_unlabeled"):
        make(ENCODERS[kind](X)).fit(X, target)


@both
def test_more_labels_than_rows_are_refused(make, X):
    with pytest.raises(ValueError, match=r"X has 30 rows, but y has 40") as caught:
        make().fit(X[:30], np.arange(40) % 2)
    # There is no row to move.
    assert "X_unlabeled" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "requires y to be passed"),
        (np.linspace(0, 1, 40), "Unknown label type: continuous"),
        (np.arange(80).reshape(40, 2), "y should be a 1d array"),
        (np.ones((40, 2), int), "2 columns, but no two rows that differ"),
        (np.full(40, np.nan), "NaN"),
    ],
    ids=["none", "continuous", "columns", "equal columns", "nan"],
)
def test_labels_that_are_none_are_refused(target, message, X):
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "requires y to be passed"),
        (["oak"] * 40, "could not convert string to float"),
        (np.full(40, np.inf), "infinity"),
        (sparse.csr_array(np.ones((40, 2))), "y"),
    ],
    ids=["none", "strings", "infinity", "sparse"],
)
def test_values_that_are_none_are_refused(target, message, X):
    with pytest.raises((ValueError, TypeError), match=rf"\b{message}\b"):
        regressor().fit(X, target)


DIVERGENT = {"solver": "sgd", "learning_rate": 1e200}


@both
@pytest.mark.parametrize("early_stopping", [True, False])
def test_divergence_names_the_epoch_the_rate_and_what_to_try(early_stopping, make, X):
    encoder = FrozenEstimator(contractive(activation="identity").fit(X))
    model = make(encoder, batch_size=10, early_stopping=early_stopping, **DIVERGENT)
    with pytest.raises(
        ValueError, match=r"diverged in epoch 1 .*=1e\+200.* (nan|inf)"
    ) as caught:
        model.fit(X, np.arange(40) % 3)
    assert "smaller learning_rate" in str(caught.value)


def test_targets_that_are_too_large_are_named(X):
    """Whether they are infinite in the precision of the data, or their squares are."""
    y, single = np.linspace(0, 1, 40), X.astype("f4")
    scaled = "TransformedTargetRegressor"
    with pytest.raises(
        ValueError, match=rf"diverged in epoch 1 .* and y by a {scaled}"
    ):
        regressor().fit(X, 1e200 * y)
    for name, held_out in [("y", y), ("y_val", 1e39 * y)]:
        with pytest.raises(ValueError, match=rf"{name} reaches 1e\+39.*{scaled}"):
            regressor(early_stopping=True).fit(
                single, 1e39 * y if name == "y" else y, X_val=single, y_val=held_out
            )
    with pytest.raises(ValueError, match=r"held-out objective is inf") as caught:
        regressor(early_stopping=True).fit(single, y, X_val=single, y_val=1e30 * y)
    assert scaled in str(caught.value)
    encoder = FrozenEstimator(contractive(activation="identity").fit(X))
    with pytest.raises(ValueError, match=r"in a pipeline\.$"):
        classifier(encoder, batch_size=10, **DIVERGENT).fit(X, np.arange(40) % 3)
    model = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    assert np.isfinite(model.fit(single, 1e30 * y).predict(single)).all()


FAILURES = {
    "divergence": (
        {**DIVERGENT, "encoder": contractive(activation="identity")},
        {},
        "diverged in epoch",
    ),
    "divergence in pre-training": (
        {
            "encoder": contractive(
                activation="identity", solver="sgd", learning_rate=1e200
            )
        },
        {},
        "diverged in epoch",
    ),
    "encoder": ({"encoder": PCA(3)}, {}, "no step that is an encoder"),
    "order": (
        {"encoder": make_pipeline(contractive(), PCA(2))},
        {},
        "PCA follows an encoder",
    ),
    "parameter": ({"learning_rate": -1}, {}, "'learning_rate' parameter"),
    "encoder's parameter": (
        {"encoder": contractive(activation="softmax")},
        {},
        "'activation' parameter",
    ),
    "device": ({"device": "cuda:63"}, {}, "Available devices"),
    "nan": ({}, {"X": np.full((40, 8), np.nan)}, "NaN"),
    "labels": ({}, {"y": np.full(40, np.nan)}, "NaN"),
    "short": ({}, {"y": np.arange(30) % 2}, "y has 30"),
    "weights": ({}, {"sample_weight": -np.ones(40)}, "negative"),
    "unlabelled": (
        {},
        {"X": np.ones((40, 8)), "X_unlabeled": np.ones((3, 7))},
        "X_unlabeled cannot be used: X has 7 features",
    ),
    "unlabelled array": ({}, {"X_unlabeled": np.ones((3, 8))}, "of the same kind as X"),
    "held out": ({}, {"X_val": np.ones((3, 8))}, "y_val is missing"),
}


@both
@pytest.mark.parametrize("reason", sorted(FAILURES))
def test_a_failed_refit_leaves_the_old_model(reason, make, X):
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    model = make(early_stopping=True).fit(frame, np.arange(40) % 2)
    before, encoder = pickle.dumps(fitted_state(model)), model.encoder_
    activations = list(model._fitted_activations)
    answers = model.predict(frame)
    parameters, call, message = FAILURES[reason]
    how = {"X": X, "y": np.arange(40) % 4, **call}
    if "X" not in call:
        # Other names, which must not stick when the fit fails later.
        how["X"] = pd.DataFrame(X, columns=list("ijklmnop"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises((ValueError, TypeError), match=message):
            model.set_params(**parameters).fit(**how)
    assert pickle.dumps(fitted_state(model)) == before
    assert model.encoder_ is encoder
    assert model._fitted_activations == activations
    # The model is what it was fitted as, although the parameters have changed.
    assert_array_equal(model.predict(frame), answers)


@both
def test_an_interrupt_in_fine_tuning_leaves_the_last_complete_epoch(
    make, digits, monkeypatch
):
    X, y = digits[0][:200], digits[1][:200] % 3
    frozen = FrozenEstimator(contractive().fit(X))
    model = make(frozen, batch_size=50, learning_rate_schedule="constant", tol=0.0)
    model.set_params(max_iter=30, n_iter_no_change=20)
    steps = []
    update = Adam.update

    def interrupted(self, gradient, rate):
        steps.append(1)
        # In the middle of the fourth epoch of four steps.
        if len(steps) == 3 * 4 + 2:
            raise KeyboardInterrupt
        update(self, gradient, rate)

    monkeypatch.setattr(Adam, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    monkeypatch.undo()
    assert model.n_iter_ == len(model.loss_curve_) == 3
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        three = clone(model).set_params(max_iter=3).fit(X, y)
    assert same_network(model, three)
    assert_array_equal(model.predict(X), three.predict(X))


def test_an_interrupt_in_a_callback_keeps_the_epoch_and_is_raised(X, y):
    recorder = Recorder(interrupt_after=3)
    model = classifier().set_callbacks(recorder)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.n_iter_ == 3
    assert not recorder.is_set_up
    assert same_network(model, recorder.models[-1])
    # A search does not take the truncated fit for a whole one.
    search = GridSearchCV(model, {"learning_rate": [0.1]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, y)


def test_an_interrupt_with_early_stopping_leaves_the_best_epoch(X, y):
    y = np.random.default_rng(0).permutation(y)
    best = classifier(**NOISY).fit(X[:25], y[:25], X_val=X[25:], y_val=y[25:])
    number = int(best.validation_error_curve_.argmin())
    recorder = Recorder(interrupt_after=number + 4)
    model = classifier(**NOISY).set_callbacks(recorder)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:25], y[:25], X_val=X[25:], y_val=y[25:])
    assert model.n_iter_ == number + 4
    # Of several epochs with the lowest error the last.
    backwards = best.validation_error_curve_[: number + 4][::-1]
    assert same_network(model, recorder.models[number + 3 - int(backwards.argmin())])


@both
@pytest.mark.parametrize("fitted", [True, False])
def test_an_interrupt_in_pretraining_changes_nothing(fitted, make, X, monkeypatch):
    model = make()
    if fitted:
        model.fit(X, np.arange(40) % 2)
    before = pickle.dumps(vars(model))

    def interrupted(self, gradient, rate):
        raise KeyboardInterrupt

    monkeypatch.setattr(Adam, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, np.arange(40) % 3)
    assert pickle.dumps(vars(model)) == before


# ---- scikit-learn's own checks --------------------------------------------------

# The checks set the classifier's random_state, and not the encoder's.
small_encoder = partial(ContractiveAutoencoder, 8, max_iter=10, random_state=0)

ESTIMATORS = [
    FineTunedClassifier(small_encoder(), max_iter=30, learning_rate=0.02),
    FineTunedRegressor(small_encoder(), max_iter=30, learning_rate=0.05),
    # Some checks have data of one column.
    FineTunedClassifier(
        small_encoder(),
        tangent_penalty=0.01,
        n_tangents=1,
        max_iter=30,
        learning_rate=0.02,
    ),
]

# Checks of what preprocessing, and not the estimator itself, validates.
INPUT_CHECKS = [
    estimator_checks.check_complex_data,
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_dtype_object,
    estimator_checks.check_estimators_empty_data_messages,
    estimator_checks.check_estimators_nan_inf,
    estimator_checks.check_fit1d,
    estimator_checks.check_fit2d_predict1d,
    estimator_checks.check_n_features_in,
    estimator_checks.check_n_features_in_after_fitting,
    estimator_checks.check_requires_y_none,
    estimator_checks.check_supervised_y_2d,
    estimator_checks.check_supervised_y_no_nan,
]

# Checks that scikit-learn runs on its own estimators but does not hand to others.
FURTHER_CHECKS = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_param_validation,
    estimator_checks.check_inplace_ensure_writeable,
]

# The checks fit data of any scale for a few epochs: whether these converge is not
# what they are about. Some of them mix arrays and frames on purpose.
ignore_the_checks_own = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:X (has|does not have valid) feature names:UserWarning",
)


@ignore_the_checks_own
# Some of the checks' data saturate all units.
@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@parametrize_with_checks(
    ESTIMATORS, expected_failed_checks=lambda estimator: {}, xfail_strict=True
)
def test_check_estimator(estimator, check):
    check(estimator)


@ignore_the_checks_own
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("check", FURTHER_CHECKS, ids=lambda check: check.__name__)
def test_further_checks(estimator, check):
    check(type(estimator).__name__, estimator)


@ignore_the_checks_own
@pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])
@pytest.mark.parametrize("check", INPUT_CHECKS, ids=lambda check: check.__name__)
def test_checks_of_input_behind_preprocessing(check, cls):
    encoder = make_pipeline(StandardScaler(), small_encoder())
    check(cls.__name__, cls(encoder, max_iter=30, learning_rate=0.02))


@pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])
def test_constraints_cover_the_parameters(cls):
    assert set(cls._parameter_constraints) == set(signature(cls).parameters)


@pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])
def test_every_parameter_is_documented(cls):
    described = cls.__doc__.partition("Parameters\n")[2].partition("Attributes\n")[0]
    for name, parameter in signature(cls).parameters.items():
        (line,) = re.findall(rf"^    {name} : .*(?:\n            .*)?", described, re.M)
        if parameter.default is not parameter.empty:
            shown = repr(parameter.default).replace("'", '"').replace("0.001", "1e-3")
            assert line.endswith(f"default={shown}"), line


@pytest.mark.parametrize(
    "wrong",
    [
        {"class_weight": {"no": -1, "yes": 1}},
        {"class_weight": {"no": np.inf, "yes": 1}},
        {"early_stopping": True, "validation_fraction": 0.001},
        {"device": "nonsense"},
    ],
    ids=str,
)
def test_what_fine_tuning_cannot_do_is_refused_before_pre_training(wrong, X, two):
    recorder = Recorder()
    with pytest.raises(ValueError, match=r"class_weight|early_stopping|device"):
        classifier(**wrong).set_callbacks(recorder).fit(X, two)
    assert recorder.begun == []


def test_a_class_of_which_no_row_counts_has_no_balanced_weight(X, y):
    weights = (y != "ash").astype(float)
    model = classifier(class_weight="balanced").fit(X, y, sample_weight=weights)
    by_class = compute_class_weight(
        "balanced", classes=np.array(["birch", "cedar"]), y=y[y != "ash"]
    )
    by_hand = np.select([y == "birch", y == "cedar"], by_class, 0.0)
    encoder = contractive().fit(X, sample_weight=weights)
    alone = classifier(FrozenEstimator(encoder)).fit(X, y, sample_weight=by_hand)
    assert_same_network(model, alone, rtol=1e-10)
