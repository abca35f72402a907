"""Fits of a network that are refused, fail or are interrupted."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import (
    ConvergenceWarning,
    NotFittedError,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    StandardScaler,
)
from sklearn.svm import LinearSVC

from skcae import (
    ContractiveAutoencoder,
    ConvolutionalCAE,
    FineTunedClassifier,
    FineTunedRegressor,
)
from skcae._core.training.solvers import Adam
from tests.estimators.finetuned import (
    ENCODERS,
    HOW,
    NOISY,
    both,
    classifier,
    contractive,
    fitted_state,
    rbm,
    regressor,
    same_network,
    stack,
)
from tests.test_callbacks import Recorder

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


@pytest.mark.parametrize("wrap", [FrozenEstimator, clone])
def test_images_are_to_be_rows_whatever_the_encoder(wrap, X, y):
    encoder = ConvolutionalCAE(2, 2, image_shape=(2, 4), max_iter=12, tol=0.5).fit(X)
    with pytest.raises(ValueError, match=r"X has dim 3, while .* X.reshape"):
        classifier(wrap(encoder)).fit(X.reshape(-1, 2, 4), y)


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
    with pytest.raises(ValueError, match=rf"y reaches 1e\+200, .* squares .* {scaled}"):
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
    "encoder's parameter": (
        {"encoder": contractive(activation="softmax")},
        {},
        "'activation' parameter",
    ),
    "labels": ({}, {"y": np.full(40, np.nan)}, "NaN"),
    "short": ({}, {"y": np.arange(30) % 2}, "y has 30"),
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
