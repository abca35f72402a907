"""Rows with and without labels in frames of many libraries."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skcae import ContractiveAutoencoder, FineTunedClassifier, FineTunedRegressor
from tests.test_callbacks import Recorder

HOW = {"max_iter": 4, "tol": 1.0, "n_iter_no_change": 3, "random_state": 0}
NUMBERS = ["a", "b", "n"]
WOOD = np.array(["hard", "soft"])
RANDOM = np.random.default_rng(0)


def columns_of(n, kind=np.int64, wood=True):
    """Two columns of floats, one of another type, and one of words."""
    columns = {"a": RANDOM.random(n), "b": RANDOM.random(n)}
    columns["n"] = (np.arange(n) % 5 * 0.75).astype(kind)
    return columns | ({"wood": WOOD[np.arange(n) % 2]} if wood else {})


class Records(pd.DataFrame):
    """A frame of a library that builds on pandas."""


def batch(columns):
    return pa.RecordBatch.from_pydict({k: pa.array(v) for k, v in columns.items()})


def of_dask(columns):
    return dd.from_pandas(pd.DataFrame(columns), npartitions=2)


FRAMES = {
    "pandas": pd.DataFrame,
    "pandas of Arrow": lambda c: pd.DataFrame(c).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "on pandas": Records,
    "polars": pl.DataFrame,
    "Arrow table": pa.table,
    "Arrow batch": batch,
    "Dask": of_dask,
}
# Those of which scikit-learn knows the names of columns.
NAMED = [kind for kind in FRAMES if kind not in ("Arrow batch", "Dask")]
INSIDE = {
    "plain": lambda: ContractiveAutoencoder(4, **HOW),
    "scaled": lambda: make_pipeline(StandardScaler(), ContractiveAutoencoder(4, **HOW)),
}
both = pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])


def mixed():
    columns = make_column_transformer(
        (StandardScaler(), NUMBERS), (OneHotEncoder(sparse_output=False), ["wood"])
    )
    return make_pipeline(columns, ContractiveAutoencoder(4, **HOW))


def matrix(columns):
    return np.column_stack([np.asarray(column, float) for column in columns.values()])


@both
@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("types", [("i8", "f8"), ("f8", "i8"), ("i4", "i8")], ids=str)
@pytest.mark.parametrize("kind", FRAMES)
def test_columns_may_differ_in_type(kind, types, inside, cls):
    labelled, others = (
        columns_of(n, t, wood=False) for n, t in zip((30, 20), types, strict=True)
    )
    X, U = FRAMES[kind](labelled), FRAMES[kind](others)
    y = np.arange(30) % 2
    plain = cls(INSIDE[inside](), **HOW)
    plain.fit(matrix(labelled), y, X_unlabeled=matrix(others))
    model = cls(INSIDE[inside](), **HOW).fit(X, y, X_unlabeled=U)
    for mine, yours in zip(model.coefs_, plain.coefs_, strict=True):
        assert_allclose(mine, yours, rtol=1e-9)
    # Without a warning that the encoder knows names where the network knows none.
    assert_allclose(model.predict(X), plain.predict(matrix(labelled)), rtol=1e-9)
    for estimator in (model, model.encoder_):
        names = getattr(estimator, "feature_names_in_", None)
        # A Dask frame is computed where no step of scikit-learn's comes first.
        is_computed = kind == "Dask" and inside == "plain"
        assert (names is None) == (kind not in NAMED and not is_computed)
        assert names is None or list(names) == NUMBERS


@both
@pytest.mark.parametrize("kind", NAMED)
def test_names_are_kept_on_the_way_to_a_column_transformer(kind, cls):
    labelled, others = columns_of(30), columns_of(20, "f8")
    y = np.arange(30) % 2
    model = cls(mixed(), **HOW)
    model.fit(FRAMES[kind](labelled), y, X_unlabeled=FRAMES[kind](others))
    assert list(model.encoder_.feature_names_in_) == [*NUMBERS, "wood"]
    frames = [pd.DataFrame(columns) for columns in (labelled, others)]
    alone = mixed().fit(pd.concat(frames, ignore_index=True))
    codes = model.encoder_.transform(FRAMES[kind](labelled))
    assert_allclose(codes, alone.transform(frames[0]), rtol=1e-9)


@pytest.mark.parametrize("kind", [list, tuple, "objects", "other objects"])
def test_lists_of_numbers_and_words_stay_what_they_are(kind):
    """A category that is a number is one with and without unlabelled rows."""
    rows = [[k % 3, WOOD[k % 2].item(), k / 60] for k in range(60)]
    labelled, unlabelled = rows[:40], rows[40:]
    if kind == "objects":
        labelled, unlabelled = (np.array(part, object) for part in (labelled, rows))
    elif kind == "other objects":
        unlabelled = np.array(unlabelled, object)
    else:
        labelled = kind(labelled)
    columns = make_column_transformer(
        (OneHotEncoder(), [0, 1]), (StandardScaler(), [2])
    )
    encoder = make_pipeline(columns, ContractiveAutoencoder(4, **HOW))
    y = [row[0] for row in rows[:40]]
    model = FineTunedClassifier(encoder, **HOW)
    model.fit(labelled, y, X_unlabeled=unlabelled)
    numbers, words = model.encoder_[0].named_transformers_["onehotencoder"].categories_
    assert [*numbers, *words] == [0, 1, 2, "hard", "soft"]


def test_lists_of_words_of_any_number_are_joined():
    texts = [["oak", "elm"][: 1 + k % 2] for k in range(40)]
    hashed = FeatureHasher(8, input_type="string")
    encoder = make_pipeline(hashed, ContractiveAutoencoder(4, **HOW))
    model = FineTunedClassifier(encoder, **HOW)
    model.fit(texts[:20], np.arange(20) % 2, X_unlabeled=texts[20:])
    assert model.predict(texts).shape == (40,)


def test_rows_of_dask_stay_in_their_order():
    """Whatever their index: the weights go by the row."""
    labelled, others = (columns_of(n, wood=False) for n in (30, 20))
    downward = pd.DataFrame(labelled, index=range(90, 60, -1))
    X, U = dd.from_pandas(downward, npartitions=2, sort=False), of_dask(others)
    y, weights = np.arange(30) % 2, RANDOM.random(30)
    encoder = INSIDE["plain"]()
    model = FineTunedClassifier(encoder, **HOW)
    model.fit(X, y, X_unlabeled=U, sample_weight=weights)
    plain = FineTunedClassifier(encoder, **HOW)
    plain.fit(matrix(labelled), y, X_unlabeled=matrix(others), sample_weight=weights)
    assert_allclose(model.coefs_[0], plain.coefs_[0], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_table_and_a_batch_of_one_library_are_joined():
    labelled, others = columns_of(30), columns_of(20)
    y = np.arange(30) % 2
    model = FineTunedClassifier(mixed(), **HOW)
    model.fit(pa.table(labelled), y, X_unlabeled=batch(others))
    assert list(model.encoder_.feature_names_in_) == [*NUMBERS, "wood"]


# ---- what is refused ------------------------------------------------------------


class Frame:
    """A frame of a library that nobody here knows."""

    def __init__(self, columns):
        self.values = matrix(columns)

    @property
    def columns(self):
        return NUMBERS

    @property
    def shape(self):
        return self.values.shape

    def __array__(self, dtype=None, copy=None):
        return self.values


Frame.__module__ = "elsewhere.frames"

KINDS = {
    "pandas.DataFrame": pd.DataFrame,
    "polars.DataFrame": pl.DataFrame,
    "pyarrow.Table": pa.table,
    "pyarrow.RecordBatch": batch,
    "dask.DataFrame": of_dask,
    "elsewhere.Frame": Frame,
    "numpy.ndarray": matrix,
    "list": lambda columns: matrix(columns).tolist(),
    "scipy.csr_array": lambda columns: sparse.csr_array(matrix(columns)),
}
NO_FRAMES = ["numpy.ndarray", "list", "scipy.csr_array"]


@pytest.mark.parametrize("unlabelled", KINDS)
@pytest.mark.parametrize("labelled", KINDS)
def test_a_frame_is_joined_with_none_of_another_library(labelled, unlabelled):
    libraries = {name.partition(".")[0] for name in (labelled, unlabelled)}
    if len(libraries) == 1 or {labelled, unlabelled} <= set(NO_FRAMES):
        return
    columns = columns_of(30, wood=False)
    recorder = Recorder()
    model = FineTunedClassifier(INSIDE["plain"](), **HOW).set_callbacks(recorder)
    with pytest.raises(
        TypeError,
        match=rf"of the same kind as X, but X is a {labelled} and X_unlabeled a "
        rf"{unlabelled}\. Convert one of them\.",
    ):
        model.fit(
            KINDS[labelled](columns),
            np.arange(30) % 2,
            X_unlabeled=KINDS[unlabelled](columns),
        )
    # Before anything is fitted.
    assert recorder.begun == []


def test_frames_that_nobody_here_can_join_are_refused():
    X = Frame(columns_of(30, wood=False))
    model = FineTunedClassifier(INSIDE["plain"](), **HOW)
    with pytest.raises(
        TypeError,
        match=r"X is a elsewhere\.Frame, which .* X_unlabeled: .* arrays.* polars",
    ):
        model.fit(X, np.arange(30) % 2, X_unlabeled=X)
    model.fit(X, np.arange(30) % 2)


@pytest.mark.parametrize("kind", ["polars", "Arrow table", "Arrow batch"])
def test_numbers_and_words_are_not_joined(kind):
    labelled, others = columns_of(30), columns_of(20)
    others["n"] = others["wood"]
    recorder = Recorder()
    model = FineTunedClassifier(mixed(), **HOW).set_callbacks(recorder)
    for X, U in ((labelled, others), (others, labelled)):
        frames = FRAMES[kind](X), FRAMES[kind](U)
        with pytest.raises(
            TypeError, match=r"'n' is .* in X_unlabeled|X_unlabeled .* n "
        ):
            model.fit(frames[0], np.arange(len(X["n"])) % 2, X_unlabeled=frames[1])
    assert recorder.begun == []


def test_what_polars_cannot_join_names_the_argument():
    one, other = (
        pl.DataFrame(columns_of(30)).with_columns(pl.col("wood").cast(pl.Enum(words)))
        for words in (["hard", "soft"], ["soft", "hard", "cork"])
    )
    model = FineTunedClassifier(mixed(), **HOW)
    with pytest.raises(TypeError, match=r"X_unlabeled cannot be joined to X: .*enum"):
        model.fit(one, np.arange(30) % 2, X_unlabeled=other)


@pytest.mark.parametrize("kind", FRAMES)
def test_other_columns_are_refused(kind):
    columns = columns_of(30, wood=False)
    others = {name: columns[name] for name in ("a", "n", "b")}
    model = FineTunedClassifier(INSIDE["plain"](), **HOW)
    with pytest.raises(
        ValueError,
        match=r"column 1 is 'b' in X and 'n' in X_unlabeled"
        r"|X_unlabeled .* feature names should match",
    ):
        model.fit(
            FRAMES[kind](columns), np.arange(30) % 2, X_unlabeled=FRAMES[kind](others)
        )
