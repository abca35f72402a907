"""The fine-tuned classifier of rows that have any number of labels."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from onnxruntime import InferenceSession
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from skcae import ContractiveAutoencoder, FineTunedClassifier, StackedCAE
from skcae.inspection import tangent_vectors
from skcae.onnx import to_onnx
from skcae.persistence import get_weights, load, save, set_weights
from skcae.persistence._integrity import check_model
from tests.test_callbacks import Recorder

HOW = {"learning_rate": 0.01, "max_iter": 12, "tol": 1.0, "random_state": 0}
contractive = partial(ContractiveAutoencoder, 6, **HOW)


# scikit-learn's own network, beside ours, is not trained to its end.
briefly = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(encoder=None, **parameters):
    encoder = contractive() if encoder is None else encoder
    how = {**HOW, "n_iter_no_change": 3, **parameters}
    return FineTunedClassifier(encoder, **how)


@pytest.fixture
def X(unit_data):
    return unit_data


@pytest.fixture
def Y(X):
    """Three labels: some rows have none, and some all."""
    return (X[:, :3] + X[:, 3:6] > 1).astype(int)


@pytest.fixture
def frozen(X):
    return FrozenEstimator(contractive().fit(X))


@pytest.fixture
def weights():
    return np.random.default_rng(1).uniform(0.5, 2.0, 40)


def outputs(model, X):
    """The network's outputs, transcribed to NumPy, of sigmoid layers."""
    for W, b in zip(model.coefs_[:-1], model.intercepts_, strict=False):
        X = 1 / (1 + np.exp(-X @ W - b))
    return X @ model.coefs_[-1] + model.intercepts_[-1]


def assert_same(one, other, **tolerance):
    for mine, yours in zip(one.coefs_, other.coefs_, strict=True):
        assert_allclose(mine, yours, **tolerance)


# ---- what is trained ------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_it_is_the_network_of_torchs_own_modules(strength, frozen, X, Y, weights):
    """The whole fit against automatic differentiation, with and without tangents."""
    how = {"learning_rate_schedule": "constant", "solver": "sgd", "momentum": 0.0}
    how |= {"encoder_rate_factor": 1, "alpha": 0}
    model = classifier(frozen, tangent_penalty=strength, n_tangents=2, **how)
    still = clone(model).set_params(learning_rate=1e-300)
    still.fit(X, Y, sample_weight=weights)
    model.set_params(learning_rate=0.2).fit(X, Y, sample_weight=weights)
    layers = [torch.nn.Linear(*W.shape, dtype=torch.float64) for W in still.coefs_]
    with torch.no_grad():
        for layer, W, b in zip(layers, still.coefs_, still.intercepts_, strict=True):
            layer.weight.copy_(torch.from_numpy(W.T))
            layer.bias.copy_(torch.from_numpy(b))
    network = torch.nn.Sequential(layers[0], torch.nn.Sigmoid(), layers[1])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2)
    rows, targets = torch.from_numpy(X), torch.from_numpy(Y.astype(float))
    w = torch.from_numpy(weights / weights.mean())
    tangents = torch.from_numpy(tangent_vectors(frozen.estimator, X, 2))
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    for _ in range(model.n_iter_):
        optimizer.zero_grad()
        losses = entropy(network(rows), targets, reduction="none").sum(1)
        for u in tangents.unbind(1):
            _, along = torch.func.jvp(
                lambda rows: network(rows).sigmoid(), (rows,), (u,)
            )
            losses = losses + strength * along.square().sum(1)
        value = (w * losses).mean()
        value.backward()
        optimizer.step()
    assert model.loss_curve_[-1] == pytest.approx(float(value.detach()), rel=1e-9)
    for k, layer in enumerate(layers):
        assert_allclose(model.coefs_[k].T, layer.weight.detach(), rtol=1e-8, atol=1e-10)
    assert np.abs(model.coefs_[1] - still.coefs_[1]).max() > 1e-3


@briefly
def test_it_learns_as_well_as_a_perceptron():
    X, Y = make_multilabel_classification(600, n_classes=5, random_state=0)
    encoder = make_pipeline(
        StandardScaler(), ContractiveAutoencoder(32, max_iter=40, random_state=0)
    )
    model = FineTunedClassifier(encoder, max_iter=60, random_state=0)
    perceptron = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=400))
    perceptron.set_params(mlpclassifier__random_state=0).fit(X[:400], Y[:400])
    score = model.fit(X[:400], Y[:400]).score(X[400:], Y[400:])
    assert score > perceptron.score(X[400:], Y[400:]) - 0.05
    hits = (model.predict(X[400:]) == Y[400:]).mean()
    assert hits > max((Y == 0).mean(), (Y == 1).mean()) + 0.1


# ---- what it answers ------------------------------------------------------------


@briefly
@pytest.mark.parametrize("n_labels", [2, 3])
def test_answers(n_labels, X, Y):
    Y = Y[:, :n_labels]
    model = classifier(learning_rate=0.1, max_iter=40).fit(X, Y)
    Z = outputs(model, X)
    assert_allclose(model.decision_function(X), Z, rtol=1e-10)
    P = model.predict_proba(X)
    assert P.shape == (40, n_labels)
    assert_allclose(P, 1 / (1 + np.exp(-Z)), rtol=1e-10)
    assert_allclose(model.predict_log_proba(X), np.log(P), rtol=1e-8)
    answers = model.predict(X)
    assert answers.dtype == int
    assert_array_equal(answers, P > 0.5)
    assert 0 < answers.mean() < 1
    assert model.score(X, Y) == accuracy_score(Y, answers) > 0.1
    assert_array_equal(model.classes_, np.arange(n_labels))
    assert model.multilabel_ is True
    # scikit-learn's own network has the same forms.
    perceptron = MLPClassifier((4,), max_iter=2, tol=1e3, n_iter_no_change=1).fit(X, Y)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        mine, theirs = getattr(model, method)(X), getattr(perceptron, method)(X)
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
    assert_array_equal(model.classes_, perceptron.classes_)


@pytest.mark.parametrize(
    "container",
    [
        np.ndarray.tolist,
        sparse.csr_array,
        sparse.csc_matrix,
        pd.DataFrame,
        lambda Y: pd.DataFrame(Y).astype("Int64"),
        pl.DataFrame,
        torch.from_numpy,
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype("f4"),
        lambda Y: Y.astype(object),
        np.asfortranarray,
    ],
)
def test_indicators_in_any_container(container, frozen, X, Y):
    how = {"class_weight": "balanced", "early_stopping": True}
    held_out = {"X_val": X[:9], "y_val": container(Y[:9])}
    plain = classifier(frozen, **how).fit(X, Y, X_val=X[:9], y_val=Y[:9])
    other = classifier(frozen, **how).fit(X, container(Y), **held_out)
    assert_same(plain, other, rtol=0)
    assert_array_equal(other.predict(X), plain.predict(X))


def test_one_column_is_one_label(frozen, X, Y):
    with pytest.warns(UserWarning, match="column-vector y was passed"):
        model = classifier(frozen).fit(X, Y[:, :1])
    assert model.predict(X).shape == (40,)
    assert model.multilabel_ is False


def test_a_refit_on_one_label_forgets_the_others(frozen, X, Y):
    model = classifier(frozen).fit(X, Y)
    model.fit(X, Y[:, 0] + Y[:, 1])
    assert model.multilabel_ is False
    assert_allclose(model.predict_proba(X).sum(1), 1)
    assert model.predict(X).shape == (40,)
    assert model.fit(X, Y).predict(X).shape == (40, 3)


def test_float32_stays(X, Y):
    model = classifier().fit(X.astype("f4"), Y)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        assert getattr(model, method)(X.astype("f4")).dtype == np.float32


@pytest.mark.parametrize("labels", ["two", "three", "several"])
def test_logarithms_of_probabilities(labels, X, Y):
    """They are finite where a probability is not above 0."""
    y = {"two": Y[:, 0], "three": X[:, :3].argmax(1), "several": Y}[labels]
    model = classifier().fit(X, y)
    assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)))
    model.coefs_ = [*model.coefs_[:-1], 1e6 * model.coefs_[-1]]
    assert (model.predict_proba(X) == 0).any()
    logs = model.predict_log_proba(X)
    assert np.isfinite(logs).all()
    assert logs.min() < -1e4


# ---- weights --------------------------------------------------------------------


def test_weights_are_repetitions(frozen, X, Y):
    counts = np.arange(40) % 3
    model = classifier(frozen, batch_size=1000)
    weighted = clone(model).fit(X, Y, sample_weight=counts)
    repeated = clone(model).fit(X.repeat(counts, 0), Y.repeat(counts, 0))
    assert_same(weighted, repeated, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "class_weight", ["balanced", [{0: 1, 1: 5}, {0: 2, 1: 1}, {0: 1, 1: 1}]], ids=str
)
def test_class_weights_are_those_of_scikit_learn(class_weight, frozen, X, Y, weights):
    by_row = compute_sample_weight(class_weight, Y)
    assert len(np.unique(by_row)) > 2
    weighted = classifier(frozen, class_weight=class_weight)
    by_hand = classifier(frozen).fit(X, Y, sample_weight=by_row)
    assert_same(clone(weighted).fit(X, Y), by_hand, rtol=1e-10)
    # Rows of weight 0 have no part in the frequencies.
    there = np.arange(40) % 4 > 0
    left_out = clone(weighted).fit(X, Y, sample_weight=there.astype(float))
    assert_same(left_out, clone(weighted).fit(X[there], Y[there]), rtol=1e-10)


@pytest.mark.parametrize(
    ("class_weight", "several", "message"),
    [
        ({0: 1, 1: 2}, True, r'"balanced", or a list of 3 dicts.*\{0: 1, 1: 2\}'),
        ([{0: 1, 1: 2}] * 2, True, "a list of 3 dicts"),
        ([{0: 1, 1: 2}, {0: 1, 1: 2}, 7], True, "class_weight"),
        ([{0: 1, 1: -2}] * 3, True, "class_weight, times sample_weight, must be"),
        ([{0: 1, 1: 2}], False, "A list as class_weight is for an indicator matrix"),
    ],
)
def test_class_weights_of_another_form_are_refused(
    class_weight, several, message, frozen, X, Y
):
    model = classifier(frozen, class_weight=class_weight)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y if several else Y[:, 0])


# ---- stopping and callbacks -----------------------------------------------------


@pytest.mark.parametrize("weighted", [True, False])
def test_early_stopping_watches_rows_that_are_wrong_in_any_label(
    weighted, frozen, X, Y, weights
):
    noisy = {"learning_rate": 0.1, "max_iter": 40, "early_stopping": True}
    given = classifier(frozen, **noisy).fit(X[:25], Y[:25], X_val=X[25:], y_val=Y[25:])
    wrong = (given.predict(X[25:]) != Y[25:]).any(1)
    assert given.validation_error_curve_.min() == pytest.approx(wrong.mean())
    assert len(np.unique(given.validation_error_curve_)) > 1
    # A quarter of the rows, at random: no row may be one of a kind.
    model = classifier(frozen, validation_fraction=0.25, **noisy)
    recorder = Recorder()
    model.set_callbacks(recorder)
    model.fit(X, Y, sample_weight=weights if weighted else None)
    curve = model.validation_error_curve_
    if not weighted:
        assert_allclose(curve * 10, np.round(curve * 10))
    best = recorder.models[len(curve) - 1 - int(curve[::-1].argmin())]
    assert_same(model, best, rtol=0)
    assert best.predict(X).shape == (40, 3)


def test_in_searches_and_pipelines(X, Y):
    model = classifier(learning_rate=0.1)
    scores = cross_val_score(model, X, Y, cv=3, scoring="f1_micro", error_score="raise")
    assert (scores > 0.4).all()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model),
        {"finetunedclassifier__learning_rate": [0.01, 0.1]},
        scoring="roc_auc",
        cv=3,
        error_score="raise",
    )
    assert search.fit(X, Y).predict(X).shape == (40, 3)


# ---- files and graphs -----------------------------------------------------------


def test_files(tmp_path, frozen, X, Y):
    model = classifier(StackedCAE((6, 4), **HOW)).fit(X, Y)
    save(model, tmp_path / "model.skops")
    for again in (load(tmp_path / "model.skops"), pickle.loads(pickle.dumps(model))):
        assert_array_equal(again.predict(X), model.predict(X))
        assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    other = clone(model).set_params(random_state=3).fit(X, Y)
    set_weights(other, get_weights(model))
    assert_array_equal(other.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "change",
    [
        {"multilabel_": 1},
        {"multilabel_": None},
        {"classes_": np.array([0, 1, 3])},
        {"classes_": np.arange(4)},
        {"classes_": np.array(["a", "b", "c"])},
    ],
    ids=str,
)
def test_a_model_that_is_not_whole_is_refused(change, frozen, X, Y):
    model = classifier(frozen).fit(X, Y)
    check_model(model)
    vars(model).update(change)
    with pytest.raises(ValueError, match=r"multilabel_ is|classes for"):
        check_model(model)


def test_one_output_is_not_of_several_labels(frozen, X, Y):
    model = classifier(frozen).fit(X, Y[:, 0])
    model.multilabel_ = True
    with pytest.raises(ValueError, match=r"multilabel_ is True.* 1 outputs"):
        check_model(model)


def test_a_model_of_before_is_of_one_label(frozen, X, Y):
    """Files that say nothing of it are from when there was nothing else."""
    model = classifier(frozen).fit(X, X[:, :3].argmax(1))
    probabilities = model.predict_proba(X)
    del model.multilabel_
    check_model(model)
    assert_array_equal(model.predict_proba(X), probabilities)


@pytest.mark.parametrize(("dtype", "tolerance"), [("f4", 1e-5), ("f8", 1e-12)])
def test_the_exported_graph_is_the_same(dtype, tolerance, X, Y):
    X = X.astype(dtype)
    encoder = make_pipeline(StandardScaler(), contractive())
    model = classifier(encoder, learning_rate=0.1, max_iter=40).fit(X, Y)
    exported = to_onnx(model, X[:1])
    labels, probabilities = run(exported, X)
    assert_array_equal(labels, model.predict(X))
    assert labels.dtype == np.int64
    assert probabilities.dtype == dtype
    assert_allclose(probabilities, model.predict_proba(X), atol=tolerance)
    shapes = [
        [size.dim_value for size in output.type.tensor_type.shape.dim]
        for output in exported.graph.output
    ]
    assert shapes == [[0, 3], [0, 3]]
    raw = {id(model): {"zipmap": False, "raw_scores": True}}
    _, scores = run(to_onnx(model, X[:1], options=raw), X)
    assert_allclose(scores, model.decision_function(X), atol=10 * tolerance)


def run(exported, X):
    return InferenceSession(exported.SerializeToString()).run(None, {"X": X})


# ---- what is refused ------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Y: 2 * Y, r"y should be a 1d array .* an indicator matrix.* has 2\."),
        (lambda Y: Y - 0.5, r"indicator matrix.* has -?0\.5\."),
        (lambda Y: np.where(Y, "yes", "no"), r"indicator matrix.* has '(yes|no)'\."),
        (lambda Y: np.where(Y, 1, -1), r"indicator matrix.* has -1\."),
        (lambda Y: np.where(Y, 1, np.nan), "y contains NaN, None or"),
        (lambda Y: sparse.csr_array(np.where(Y, np.nan, 0)), "y contains NaN, None or"),
        (np.ones_like, "3 columns, but no two rows that differ"),
        (lambda Y: Y[:30], "X has 40 rows, but y has 30 labels"),
        (lambda Y: Y[..., None], "dim 3"),
    ],
)
def test_what_is_no_indicator_matrix_is_refused(change, message, frozen, X, Y):
    with pytest.raises(ValueError, match=message):
        classifier(frozen).fit(X, change(Y))


@pytest.mark.parametrize(
    "rows",
    [
        [("ash",), ("ash", "birch"), ("birch",), ("birch", "ash", "cedar")],
        [{"ash"}, {"ash", "birch"}, {"birch"}, {"birch", "cedar"}],
        [[0], [0, 1], [1], [2, 1, 0]],
    ],
    ids=["tuples", "sets", "lists"],
)
def test_collections_of_labels_are_refused_with_what_makes_a_matrix(rows, frozen, X):
    rows *= 10
    for y in (rows, pd.Series(rows)):
        with pytest.raises(
            ValueError, match=r"y should be a 1d array.*, but its first "
        ):
            classifier(frozen).fit(X, y)
    Y = MultiLabelBinarizer().fit_transform(rows)
    assert classifier(frozen).fit(X, Y).predict(X).shape == Y.shape


def test_a_label_that_all_rows_have_is_learnt(X, Y):
    Y[:, 1] = 1
    assert classifier(learning_rate=0.1).fit(X, Y).predict(X)[:, 1].all()


def test_held_out_labels_of_another_form_are_refused(frozen, X, Y):
    model = classifier(frozen, early_stopping=True)
    with pytest.raises(ValueError, match=r"y_val .*indicator matrix.* shape \(40,\)"):
        model.fit(X, Y, X_val=X, y_val=Y[:, 0])
    with pytest.raises(ValueError, match=r"y has 3 labels .* y_val has 2"):
        model.fit(X, Y, X_val=X, y_val=Y[:, :2])
    with pytest.raises(ValueError, match=r"y_val .* 1d array"):
        model.fit(X, Y[:, 0], X_val=X, y_val=Y)
    # All of its rows may have the same.
    model.fit(X, Y, X_val=X[:3], y_val=np.ones((3, 3)))
