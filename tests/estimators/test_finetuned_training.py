"""When fine-tuning stops, and what callbacks see of it."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skcae._fit.data import draw_seed
from skcae._fit.finetuning import FineTuningFit
from skcae._fit.held_out import split_rows
from tests.estimators.finetuned import (
    ENCODERS,
    NOISY,
    both,
    classifier,
    contractive,
    rbm,
    regressor,
    same_network,
)
from tests.test_callbacks import Propagated, Recorder


def misclassified(model, X, y, weights=None):
    return np.average(model.predict(X) != y, weights=weights)


# ---- stopping -------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "counts", [[39, 1], [4] * 10], ids=["one of a class", "too few held out"]
)
def test_classes_that_cannot_be_split_are_refused_with_a_way_out(counts, X):
    y = np.repeat(np.arange(len(counts)), counts)
    with pytest.raises(ValueError, match=r"early_stopping(.|\n)*X_val"):
        classifier(early_stopping=True).fit(X, y)
    classifier(early_stopping=True).fit(X, y, X_val=X, y_val=y)


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


# ---- noise ----------------------------------------------------------------------


@both
def test_noise_on_the_rows_is_part_of_the_training(make, X, digits):
    target = digits[1][: len(X)] % 2
    plain = make().fit(X, target)
    # Of a level of 0 nothing is drawn, whatever kind of noise it would be.
    assert same_network(make(corruption="masking").fit(X, target), plain)
    noisy = make(corruption_level=0.3).fit(X, target)
    assert same_network(make(corruption_level=0.3).fit(X, target), noisy)
    assert not same_network(noisy, plain)
    # The encoder has noise of its own, if any.
    assert np.array_equal(noisy.encoder_.components_, plain.encoder_.components_)


@both
def test_too_much_noise_is_refused_before_anything_is_fitted(make, X):
    model = make(corruption="masking", corruption_level=1.5)
    with pytest.raises(ValueError, match=r"corruption_level=1\.5 is the fraction"):
        model.fit(X, np.arange(len(X)) % 2)
    assert not hasattr(model, "encoder_")
