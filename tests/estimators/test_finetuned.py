"""The fine-tuned classifier and regressor as their users meet them."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import (
    ConvergenceWarning,
    DataConversionWarning,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    StandardScaler,
)

from skcae import (
    ContractiveAutoencoder,
    FineTunedClassifier,
)
from skcae.activations import ACTIVATIONS
from skcae.persistence._integrity import check_model
from tests.estimators.finetuned import (
    ENCODERS,
    basic,
    both,
    classifier,
    contractive,
    regressor,
    same_network,
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


def test_a_sigmoid_for_each_class(X, y):
    model = classifier(output="sigmoid").fit(X, y)
    assert model.output_ == "sigmoid"
    assert not same_network(model, classifier().fit(X, y))
    Z = model.decision_function(X)
    sigmoids = 1 / (1 + np.exp(-Z))
    P = sigmoids / sigmoids.sum(1, keepdims=True)
    assert_allclose(model.predict_proba(X), P, rtol=1e-12)
    assert_allclose(model.predict_log_proba(X), np.log(P), rtol=1e-12)
    assert_array_equal(model.predict(X), model.classes_[Z.argmax(1)])
    # It is kept from then on.
    model.set_params(output="softmax")
    assert_allclose(model.predict_proba(X), P, rtol=1e-12)
    model.output_ = "tanh"
    with pytest.raises(ValueError, match="output_ is 'tanh'"):
        check_model(model)


def test_early_stopping_with_a_sigmoid_for_each_class_counts_wrong_classes(X, y):
    model = classifier(output="sigmoid", early_stopping=True)
    model.fit(X, y, X_val=X, y_val=y)
    assert_allclose(min(model.validation_error_curve_), 1 - model.score(X, y))


def test_two_classes_have_a_sigmoid_in_any_case(X, two):
    one, other = (classifier(output=s).fit(X, two) for s in ("softmax", "sigmoid"))
    assert one.output_ == other.output_ == "sigmoid"
    assert same_network(one, other)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_probabilities_of_huge_outputs_are_finite(output, X, y, two):
    for target in (y, two):
        model = classifier(output=output).fit(X, target)
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
