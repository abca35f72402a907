"""What fine-tuning learns from: rows of any kind, and rows without labels."""

from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    StandardScaler,
)

from skcae import ContractiveAutoencoder
from skcae._fit import network_diagnosis
from skcae.inspection import saturation
from tests.estimators.finetuned import (
    ENCODERS,
    HOW,
    assert_same_network,
    both,
    classifier,
    contractive,
    same_network,
)


def test_few_of_wide_rows_are_looked_at_in_the_end(y, monkeypatch):
    """As many as there was room for: a batch, or more if they are narrow."""
    rows = sparse.random_array((len(y), 500), density=0.05, format="csr", rng=0)
    looked_at = []

    def is_dead(seen, losses):
        looked_at.append(seen.X.shape)
        return False

    monkeypatch.setattr(network_diagnosis, "is_dead", is_dead)
    model = classifier(contractive(), batch_size=7)
    model.fit(rows, y)
    monkeypatch.setattr(network_diagnosis, "CHUNK_ELEMENTS", 500 * 9)
    model.fit(rows, y)
    model.set_params(batch_size=20).fit(rows, y)
    assert looked_at == [(len(y), 500), (9, 500), (20, 500)]


# ---- kinds of input -------------------------------------------------------------


@both
@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix"])
def test_sparse_input_behind_a_scaler_gives_the_same_model(kind, make, X, y, values):
    X = np.where(X > 0.6, X, 0.0)
    X_sparse = getattr(sparse, kind)(X)
    model = make(make_pipeline(MaxAbsScaler(), contractive()), batch_size=7)
    target = y if is_classifier(model) else values
    dense, thin = (clone(model).fit(data, target) for data in (X, X_sparse))
    assert_same_network(dense, thin, rtol=1e-10)
    if is_classifier(model):
        assert_array_equal(thin.predict(X_sparse), dense.predict(X))
    else:
        assert_allclose(thin.predict(X_sparse), dense.predict(X), rtol=1e-9)


@both
@pytest.mark.parametrize("kind", ["preprocessed", "rbm", "stack"])
@pytest.mark.parametrize(
    ("dtype", "expected"), [("f4", "f4"), ("f8", "f8"), ("i8", "f8"), ("?", "f8")]
)
def test_float32_and_float64_stay_whatever_comes_first(
    dtype, expected, kind, make, X, two, values
):
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
def test_layouts_behind_preprocessing_make_no_difference(change, make, X, two, values):
    model = make(ENCODERS["preprocessed"](X))
    target = two if is_classifier(model) else values
    plain, other = clone(model).fit(X, target), model.fit(change(X), target.tolist())
    assert_same_network(plain, other, rtol=1e-9)
    assert_array_equal(other.predict(change(X)), other.predict(X))


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


@pytest.mark.parametrize("depth", [1, 2])
def test_a_frozen_encoder_in_a_pipeline_knows_its_columns(depth, X, y):
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    encoder = FrozenEstimator(contractive().fit(frame))
    for _ in range(depth):
        encoder = make_pipeline("passthrough", encoder)
    classifier(encoder).fit(frame, y)
    with pytest.raises(ValueError, match=r"frozen encoder .* names should match"):
        classifier(encoder).fit(frame[list("hgfedcba")], y)


def less(X):
    return X[:-1]


def more(X):
    return np.vstack([X, X[:1]])


@both
@pytest.mark.parametrize("change", [less, more])
def test_each_row_is_one_row_behind_the_preprocessing(change, make, X, two, values):
    """Or labels would be those of other rows."""
    target = two if make is classifier else values
    steps = FunctionTransformer(change), StandardScaler()
    words = (
        rf"\(FunctionTransformer, StandardScaler\) give {len(change(X))} rows for 40"
    )
    for encoder in (
        make_pipeline(*steps, contractive()),
        FrozenEstimator(make_pipeline(*steps, contractive()).fit(X)),
    ):
        with pytest.raises(ValueError, match=words):
            make(encoder).fit(X, target)
    pipeline = make_pipeline(*steps, contractive()).fit(X)
    with pytest.raises(ValueError, match=words):
        saturation(pipeline, X)


@both
def test_held_out_rows_stay_as_many(make, X, two, values):
    target = two if make is classifier else values
    dropped = FunctionTransformer(lambda X: X[X[:, 0] < 2])
    model = make(make_pipeline(dropped, contractive()), early_stopping=True)
    held_out = X.copy()
    held_out[3, 0] = 3
    with pytest.raises(ValueError, match="give 39 rows for 40"):
        model.fit(X, target, X_val=held_out, y_val=target)


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
    # Those of rows with labels have the mean 1 among themselves.
    joined = np.concatenate([weights[:25] / weights[:25].mean(), np.ones(15)])
    model.fit(X[:25], target, X_unlabeled=X[25:], **how)
    if weighted and kind in ("contractive", "stack"):
        alone = clone(model.encoder).fit(X, sample_weight=joined)
    elif weighted and kind == "preprocessed":
        alone = clone(model.encoder).fit(
            X,
            standardscaler__sample_weight=joined,
            contractiveautoencoder__sample_weight=joined,
        )
    else:
        alone = clone(model.encoder).fit(X)
    assert_allclose(model.encoder_.transform(X), alone.transform(X), rtol=1e-9)
    few = clone(model.encoder).fit(X[:25])
    assert not np.array_equal(alone.transform(X), few.transform(X))
    tuned_alone = make(FrozenEstimator(model.encoder_)).fit(X[:25], target, **how)
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


@pytest.mark.parametrize("kind", ["contractive", "preprocessed"])
def test_no_rows_without_labels_are_refused(kind, X, y):
    with pytest.raises(ValueError, match=r"^X_unlabeled cannot be used: .* 0 "):
        classifier(ENCODERS[kind](X)).fit(X, y, X_unlabeled=X[:0])


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_bad_value_on_a_disk_is_found_in_rows_without_labels(
    is_frozen, X, y, tmp_path
):
    U = X[::-1].copy()
    U[30, 4] = np.nan
    np.save(tmp_path / "U.npy", U)
    mapped = np.load(tmp_path / "U.npy", mmap_mode="r")
    encoder = contractive()
    if is_frozen:
        encoder = FrozenEstimator(encoder.fit(X))
    tangents = {"tangent_penalty": 0.5, "n_tangents": 3, "n_tangent_rows": 100}
    words = "X_unlabeled cannot be used: row 30 .* has the value nan in column 4"
    with pytest.raises(ValueError, match=words):
        classifier(encoder, **tangents).fit(X, y, X_unlabeled=mapped)
    np.save(tmp_path / "U.npy", X[::-1])
    mapped = np.load(tmp_path / "U.npy", mmap_mode="r")
    model, plain = (
        classifier(encoder, **tangents).fit(X, y, X_unlabeled=rows)
        for rows in (mapped, X[::-1])
    )
    assert_same_network(model, plain)


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
