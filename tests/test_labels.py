"""Labels and values to be learnt: what is missing in them, and what marks it."""

import warnings

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from skcae import ContractiveAutoencoder, FineTunedClassifier, FineTunedRegressor

HOW = {"max_iter": 4, "tol": 1.0, "n_iter_no_change": 3, "random_state": 0}
ROWS = 40
WORDS, NUMBERS = ["ash", "birch", "cedar", "ash"] * 10, [0.0, 1.0, 2.0, 0.0] * 10


@pytest.fixture
def X(unit_data):
    return unit_data


@pytest.fixture
def frozen(X):
    return FrozenEstimator(ContractiveAutoencoder(4, **HOW).fit(X))


def without(values, mark, rows=(17, 23)):
    return [mark if k in rows else value for k, value in enumerate(values)]


def dated(mark):
    return without(["2020-01-01", "2021-01-01"] * 20, mark)


#: How labels or values are missing, by the container they are in.
MISSING = {
    "floats": lambda: np.array(without(NUMBERS, np.nan)),
    "float32": lambda: np.array(without(NUMBERS, np.nan), np.float32),
    "objects with None": lambda: np.array(without(WORDS, None), object),
    "objects with NaN": lambda: np.array(without(WORDS, np.nan), object),
    "objects with NA": lambda: np.array(without(WORDS, pd.NA), object),
    "objects with NaT": lambda: np.array(without(WORDS, pd.NaT), object),
    "numbers with None": lambda: np.array(without(NUMBERS, None), object),
    "masked": lambda: np.ma.masked_array(NUMBERS, without([False] * ROWS, True)),
    "dates": lambda: np.array(dated("NaT"), "M8[ns]"),
    "torch": lambda: torch.tensor(without(NUMBERS, torch.nan)),
    "a list of words": lambda: without(WORDS, None),
    "a list of words and NaN": lambda: without(WORDS, np.nan),
    "a list of numbers": lambda: without(NUMBERS, None),
    "a tuple": lambda: tuple(without(NUMBERS, np.nan)),
    "a list of rows": lambda: [[value] for value in without(NUMBERS, None)],
    "pandas": lambda: pd.Series(without(WORDS, None)),
    "pandas objects": lambda: pd.Series(without(WORDS, None), dtype=object),
    "pandas categories": lambda: pd.Series(without(WORDS, None), dtype="category"),
    "pandas Categorical": lambda: pd.Categorical(without(NUMBERS, None)),
    "pandas integers": lambda: pd.Series(without(NUMBERS, None), dtype="Int64"),
    "pandas booleans": lambda: pd.Series(without([True] * 40, None), dtype="boolean"),
    "pandas strings": lambda: pd.Series(without(WORDS, None), dtype="string"),
    "pandas of Arrow": lambda: pd.Series(
        without(NUMBERS, None), dtype="int64[pyarrow]"
    ),
    "pandas dates": lambda: pd.Series(pd.to_datetime(dated(None))),
    "a pandas frame": lambda: pd.DataFrame({"y": without(WORDS, None)}),
    "polars": lambda: pl.Series(without(NUMBERS, None)),
    "polars NaN": lambda: pl.Series(without(NUMBERS, np.nan)),
    "polars strings": lambda: pl.Series(without(WORDS, None)),
    "polars categories": lambda: pl.Series(without(WORDS, None), dtype=pl.Categorical),
    "a polars frame": lambda: pl.DataFrame({"y": without(WORDS, None)}),
    "Arrow": lambda: pa.array(without(NUMBERS, None)),
    "Arrow strings": lambda: pa.array(without(WORDS, None)),
    "Arrow chunks": lambda: pa.chunked_array([without(WORDS, None)]),
    "Arrow dictionary": lambda: pa.array(without(WORDS, None)).dictionary_encode(),
    "an Arrow table": lambda: pa.table({"y": without(NUMBERS, None)}),
    "Dask": lambda: dd.from_pandas(pd.Series(without(NUMBERS, np.nan)), npartitions=2),
}
both = pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])


@both
@pytest.mark.parametrize("kind", MISSING)
def test_missing_labels_and_values_are_refused_in_the_same_words(kind, cls, frozen, X):
    y = MISSING[kind]()
    seen = (
        r"Input {} contains NaN, None or another mark of a missing value in 2 of 40 "
        r"rows, the first of them row 17\. {}$"
    )
    with pytest.raises(
        ValueError, match=seen.format("y", "Pass the rows .* as X_unlabeled: .*")
    ):
        cls(frozen, **HOW).fit(X, y)
    with pytest.raises(
        ValueError, match=seen.format("y_val", r"Leave these rows out of X_val .*")
    ):
        cls(frozen, early_stopping=True, **HOW).fit(X, NUMBERS, X_val=X, y_val=y)


def test_one_missing_value_of_several_makes_a_row_that_is_refused(frozen, X):
    Y = np.column_stack([NUMBERS, NUMBERS])
    Y[3, 1] = Y[5, 0] = Y[5, 1] = np.nan
    for values in (Y, Y.tolist(), pd.DataFrame(Y), Y.astype(object)):
        with pytest.raises(ValueError, match=r"y contains NaN.* 2 of 40 .* row 3\."):
            FineTunedRegressor(frozen, **HOW).fit(X, values)


@both
@pytest.mark.parametrize("y", [[], 3.0, np.nan, np.zeros((0, 2))], ids=str)
def test_what_has_no_rows_is_still_refused(y, cls, frozen, X):
    with pytest.raises((ValueError, TypeError), match=r"y|array|0 sample"):
        cls(frozen, **HOW).fit(X, y)


# ---- a mark that is none --------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "n_marked"),
    [
        ([-1, 0, 1, 2] * 10, 10),
        ([-1.0, 0.0, 1.0, 2.0, 3.0] * 8, 8),
        ([-1, -1, 0, 1, -1] * 8, 24),
        ([-1, -1, -1, 5, 6] * 8, 24),
    ],
    ids=str,
)
def test_minus_one_that_looks_like_no_label_warns(labels, n_marked, frozen, X):
    model = FineTunedClassifier(frozen, **HOW)
    said = rf"^{n_marked} of 40 rows have the label -1, .* pass them as X_unlabeled\.$"
    with pytest.warns(UserWarning, match=said) as caught:
        model.fit(X, labels)
    assert [warning.filename for warning in caught] == [__file__]
    # It is learnt all the same.
    assert model.classes_[0] == -1


@pytest.mark.parametrize(
    "labels",
    [
        [-1, 1] * 20,
        [-1, -1, -1, 1] * 10,
        [-1, 0, 1, 1] * 10,
        [-1, -1, 0, 1] * 10,
        [-1, 0, 1, 3] * 10,
        [-2, -1, 0, 1, 2] * 8,
        ["-1", "0", "1", "2"] * 10,
        [0, 1, 2, 3] * 10,
    ],
    ids=str,
)
def test_minus_one_among_other_labels_is_a_label(labels, frozen, X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = FineTunedClassifier(frozen, **HOW).fit(X, labels)
    assert len(model.classes_) == len(set(labels))
