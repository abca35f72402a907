"""What data of any container becomes, and what is refused whatever it comes in."""

import datetime as dt
import decimal

import dask.array
import dask.dataframe
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

from skcae import (
    ContractiveAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)
from skcae.inspection import jacobian_norm, tangent_vectors
from tests.test_out_of_core import Batches

NAMES = list("abcdefgh")
SHORT = {"max_iter": 3, "tol": 0.5, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make_encoder(**parameters):
    return ContractiveAutoencoder(4, **SHORT, **parameters)


MODELS = {
    "autoencoder": make_encoder,
    "stack": lambda: StackedCAE((4, 3), **SHORT),
    "classifier": lambda: FineTunedClassifier(make_encoder(), **SHORT),
    "regressor": lambda: FineTunedRegressor(make_encoder(), **SHORT),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request):
    return request.param()


@pytest.fixture
def y(unit_data):
    return np.arange(len(unit_data)) % 2


def outputs_of(model, X):
    """What a model is for: its codes, or what it answers."""
    names = ["predict_proba", "predict", "transform"]
    return getattr(model, next(n for n in names if hasattr(model, n)))(X)


def precision_of(model):
    """Of the weights."""
    if hasattr(model, "coefs_"):
        return model.coefs_[0].dtype
    return getattr(model, "estimators_", [model])[0].components_.dtype


def table(X):
    return pa.table(dict(zip(NAMES, X.T, strict=False)))


# ---- precision ------------------------------------------------------------------

MATRICES = {
    "array": lambda X: X,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "tensor": torch.from_numpy,
    "tensor with a gradient": lambda X: torch.from_numpy(X).requires_grad_(),
    "list of rows": list,
    "tuple of tensors": lambda X: tuple(torch.from_numpy(X)),
    "nested list": lambda X: [list(row) for row in X],
    "memoryview": lambda X: memoryview(X),
    "masked array": np.ma.masked_array,
    "pandas": lambda X: pd.DataFrame(X, columns=NAMES),
    "pandas, nullable": lambda X: pd.DataFrame(X, columns=NAMES).astype(
        X.dtype.name.capitalize()
    ),
    "pandas, Arrow": lambda X: table(X).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas, sparse": lambda X: pd.DataFrame(X, columns=NAMES).astype(
        pd.SparseDtype(X.dtype, 0)
    ),
    "polars": lambda X: pl.DataFrame(X, schema=NAMES),
    "Arrow table": table,
    "Arrow batch": lambda X: table(X).to_batches()[0],
    "Dask frame": lambda X: dask.dataframe.from_pandas(
        pd.DataFrame(X, columns=NAMES), npartitions=3
    ),
}
SOURCES = {
    "batches of tensors": lambda X: Batches(X, 30, 10, change=torch.from_numpy),
    "batches of polars": lambda X: Batches(X, 30, 10, change=pl.DataFrame),
    "batches of Arrow": lambda X: table(X).to_batches(max_chunksize=9),
    "DataLoader": lambda X: DataLoader(torch.from_numpy(X), batch_size=9),
    "DataLoader with labels": lambda X: DataLoader(
        TensorDataset(torch.from_numpy(X), torch.arange(len(X))), batch_size=9
    ),
    "Dask array": lambda X: dask.array.from_array(X, chunks=(11, 3)),
}


def test_what_numpy_has_no_type_for_is_float32(unit_data):
    """Also in a list, of which NumPy would ask each tensor for its numbers."""
    X = torch.from_numpy(unit_data).bfloat16()
    plain = make_encoder().fit(X.float())
    for kind in (X, list(X), tuple(X)):
        model = make_encoder().fit(kind)
        assert_array_equal(model.components_, plain.components_)
        assert model.transform(kind).dtype == np.float32


class Listed(Batches):
    """Gives the parts of a list."""

    def __iter__(self):
        return iter(self.X)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kind", MATRICES)
def test_numbers_keep_their_precision_in_any_container(
    kind, dtype, model, unit_data, y
):
    X = unit_data.astype(dtype)
    plain = clone(model).fit(X, y)
    contained = MATRICES[kind](X)
    model.fit(contained, y)
    assert precision_of(model) == dtype
    found, expected = outputs_of(model, contained), outputs_of(plain, X)
    assert found.dtype == expected.dtype
    rounding = {"rtol": 1e-4, "atol": 1e-5} if "sparse" in kind else {"rtol": 0}
    assert_allclose(found, expected, **rounding)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("name", ["autoencoder", "stack"])
def test_numbers_keep_their_precision_in_batches(name, kind, dtype, unit_data):
    X = unit_data.astype(dtype)
    plain = MODELS[name]().fit(X)
    source = SOURCES[kind](X)
    source = Listed(source) if isinstance(source, list) else source
    model = MODELS[name]().fit(source)
    assert precision_of(model) == dtype
    first, expected = (getattr(m, "estimators_", [m])[0] for m in (model, plain))
    assert_array_equal(first.components_, expected.components_)


@pytest.mark.parametrize("kind", MATRICES)
def test_what_else_takes_rows_keeps_their_precision(kind, unit_data):
    X = unit_data.astype("f4")
    contained = MATRICES[kind](X)
    model = make_encoder().fit(X)
    held_out = make_encoder(early_stopping=True).fit(contained, X_val=contained)
    assert precision_of(held_out) == "f4"
    assert precision_of(make_encoder().partial_fit(contained)) == "f4"
    if hasattr(contained, "columns"):
        model.fit(contained)
    for result in (
        model.score_samples(contained),
        jacobian_norm(model, contained),
        tangent_vectors(model, contained, 2),
    ):
        assert result.dtype == "f4"
    codes = pl.DataFrame(model.transform(contained))
    assert model.inverse_transform(codes).dtype == "f4"


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("steps", [(), (StandardScaler(),)], ids=["alone", "scaled"])
def test_frames_that_a_step_gives_keep_their_precision(library, steps, unit_data, y):
    """As steps with set_output do."""
    if library == "pyarrow" and steps:
        pytest.skip("no output of scikit-learn's")
    X = unit_data.astype("f4")
    steps = [clone(step).set_output(transform=library) for step in steps]
    network = FineTunedClassifier(make_pipeline(*steps, make_encoder()), **SHORT)
    assert precision_of(network.fit(X, y)) == "f4"


@pytest.mark.parametrize(
    ("column", "precision"),
    [
        (np.arange(40), "f8"),
        (np.arange(40, dtype="i2"), "f4"),
        (np.arange(40) % 2 == 0, "f4"),
        (np.arange(40.0), "f8"),
        ([decimal.Decimal("1.5")] * 40, "f8"),
        (["1.5"] * 40, "f8"),
    ],
    ids=["int64", "int16", "bool", "float64", "decimal", "numerals"],
)
@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_frame_of_several_types_has_the_type_that_holds_them(
    make, column, precision, unit_data
):
    X = unit_data.astype("f4")
    frame = make({"a": X[:, 0], "b": column, "c": X[:, 1]})
    assert precision_of(make_encoder().fit(frame)) == precision


def test_types_that_numpy_does_not_have_become_float32(unit_data):
    X = torch.from_numpy(unit_data).bfloat16()
    model, plain = make_encoder().fit(X), make_encoder().fit(X.float().numpy())
    assert precision_of(model) == "f4"
    assert_array_equal(model.transform(X), plain.transform(X.float().numpy()))
    loader = DataLoader(X, batch_size=9)
    assert_array_equal(make_encoder().fit(loader).components_, plain.components_)


def test_targets_and_weights_may_be_tensors(unit_data, y):
    values, weights = unit_data[:, 0].astype("f4"), unit_data[:, 1]
    for cast in (torch.Tensor.requires_grad_, torch.Tensor.bfloat16):
        v, w = cast(torch.from_numpy(values)), cast(torch.from_numpy(weights))
        model = MODELS["regressor"]().fit(unit_data, v, sample_weight=w)
        v, w = v.detach().float().numpy(), w.detach().double().numpy()
        plain = MODELS["regressor"]().fit(unit_data, v, sample_weight=w)
        assert_array_equal(model.predict(unit_data), plain.predict(unit_data))


def test_rows_without_labels_may_be_tensors(unit_data, y):
    X, U = unit_data.astype("f4"), unit_data[::-1].astype("f4").copy()
    for cast in (torch.Tensor.requires_grad_, torch.Tensor.bfloat16):
        tensors = cast(torch.from_numpy(X.copy())), cast(torch.from_numpy(U.copy()))
        arrays = [tensor.detach().float().numpy() for tensor in tensors]
        model = MODELS["classifier"]().fit(tensors[0], y, X_unlabeled=tensors[1])
        plain = MODELS["classifier"]().fit(arrays[0], y, X_unlabeled=arrays[1])
        assert_array_equal(model.coefs_[0], plain.coefs_[0])


# ---- dates ----------------------------------------------------------------------

DAYS = np.datetime64("2020-01-01") + np.arange(40)
WITH_NAT = np.where(np.arange(40) == 3, np.datetime64("NaT"), DAYS).astype("M8[ns]")
DATES = {
    "datetime64": DAYS,
    "NaT": WITH_NAT,
    "timedelta64": DAYS - DAYS[0],
    "date": np.array(DAYS.tolist(), dtype=object),
    "datetime64 objects": np.array([*DAYS, None], dtype=object)[:40],
    "time": np.array([dt.time(1)] * 40),
    "timedelta": np.array([dt.timedelta(1)] * 40, dtype=object),
}
PANDAS_DATES = {
    "Timestamp": pd.Series(pd.to_datetime(DAYS), dtype=object),
    "time zone": pd.Series(pd.date_range("2020", periods=40, tz="UTC")),
    "period": pd.Series(pd.period_range("2020", periods=40)),
    "category": pd.Series(pd.Categorical(DAYS)),
    "Arrow": pd.Series(DAYS).astype("timestamp[ns][pyarrow]"),
}
DATE_FRAMES = {
    **{f"pandas, {name}": pd.DataFrame({"d": v}) for name, v in DATES.items()},
    **{f"pandas, {name}": pd.DataFrame({"d": v}) for name, v in PANDAS_DATES.items()},
    "polars": pl.DataFrame({"d": DAYS}),
    "polars, NaT": pl.DataFrame({"d": WITH_NAT}),
    "polars, duration": pl.DataFrame({"d": (DAYS - DAYS[0]).astype("m8[ns]")}),
    "polars, time": pl.DataFrame({"d": [dt.time(1)] * 40}),
    "Arrow": pa.table({"d": DAYS}),
    "Arrow, NaT": pa.table({"d": WITH_NAT}),
    "Arrow batch": pa.record_batch({"d": pa.array(DAYS)}),
    "Dask": dask.dataframe.from_pandas(pd.DataFrame({"d": WITH_NAT}), npartitions=2),
}
IN_X = r"has dates or times in it .* no numbers\. Make numbers of them"


@pytest.mark.parametrize("values", DATES.values(), ids=DATES)
def test_dates_are_no_numbers(values, model, unit_data, y):
    fitted = clone(model).fit(unit_data[:, :1], y)
    for X in (values[:, None], [[value] for value in values]):
        with pytest.raises(TypeError, match=f"^X {IN_X}"):
            model.fit(X, y)
        with pytest.raises(TypeError, match=f"^X {IN_X}"):
            outputs_of(fitted, X)


@pytest.mark.parametrize("frame", DATE_FRAMES.values(), ids=DATE_FRAMES)
def test_dates_are_no_numbers_in_frames_either(frame, model, y):
    """Nor beside numbers, nor in batches."""
    with pytest.raises(TypeError, match=f"^Column 'd' of X {IN_X}"):
        model.fit(frame, y)
    if isinstance(frame, pd.DataFrame):
        with pytest.raises(TypeError, match=f"^Column 'd' of X {IN_X}"):
            model.fit(frame.assign(a=1.5), y)
    if not hasattr(model, "encoder") and not hasattr(frame, "compute"):
        with pytest.raises(TypeError, match=f"^Rows 0 to 39 .* Column 'd' of X {IN_X}"):
            model.fit(Listed([frame]))


@pytest.mark.parametrize(
    "values",
    [
        *(values for name, values in DATES.items() if name != "NaT"),
        *PANDAS_DATES.values(),
        pl.Series(DAYS),
        pa.array(DAYS),
        pa.chunked_array([DAYS]),
        dask.array.from_array(DAYS),
    ],
    ids=lambda values: type(values).__name__,
)
def test_dates_are_no_targets_and_no_weights(values, unit_data):
    v = unit_data[:, 0]
    regressor = FineTunedRegressor(make_encoder(), early_stopping=True, **SHORT)
    with pytest.raises(TypeError, match=f"^y {IN_X}"):
        regressor.fit(unit_data, values)
    with pytest.raises(TypeError, match=f"^X_val or y_val .* y {IN_X}"):
        regressor.fit(unit_data, v, X_val=unit_data, y_val=values)
    with pytest.raises(TypeError, match=f"^sample_weight {IN_X}"):
        make_encoder().fit(unit_data, sample_weight=values)


def test_held_out_and_unlabelled_rows_may_have_no_dates(unit_data, y):
    dates = np.repeat(DAYS[:, None], 8, 1)
    with pytest.raises(TypeError, match=f"^X_val or .* X {IN_X}"):
        make_encoder(early_stopping=True).fit(unit_data, X_val=dates)
    with pytest.raises(TypeError, match=f"^X_unlabeled .* X {IN_X}"):
        MODELS["classifier"]().fit(unit_data, y, X_unlabeled=dates)


# ---- missing values -------------------------------------------------------------

NUMBERS = [1.5, *range(2, 41)]
MISSING = {
    "None": [None, *range(1, 40)],
    "pandas.NA": [pd.NA, *range(1, 40)],
    "NaT": [pd.NaT, *range(1, 40)],
    "nan": [np.nan, *range(1, 40)],
}
MISSING_FRAMES = {
    **{
        f"pandas, objects, {name}": pd.DataFrame({"m": pd.Series(v, dtype=object)})
        for name, v in MISSING.items()
    },
    **{
        f"pandas, {dtype}": pd.DataFrame(
            {"m": pd.Series([None, *[True] * 39], dtype=dtype)}
        )
        for dtype in ["Int64", "Float32", "boolean", "int64[pyarrow]", "bool[pyarrow]"]
    },
    "polars, integers": pl.DataFrame({"m": MISSING["None"]}),
    "polars, float32": pl.DataFrame({"m": MISSING["None"]}, schema={"m": pl.Float32}),
    "polars, booleans": pl.DataFrame({"m": [None, *[True] * 39]}),
    "polars, nothing": pl.DataFrame({"m": [None] * 40}),
    "polars, strings": pl.DataFrame({"m": [None, *["1.5"] * 39]}),
    "Arrow, integers": pa.table({"m": MISSING["None"]}),
    "Arrow, booleans": pa.table({"m": [None, *[True] * 39]}),
    "Arrow, nothing": pa.table({"m": pa.nulls(40)}),
    "Arrow batch": pa.record_batch({"m": pa.array(MISSING["None"])}),
}


@pytest.mark.parametrize("frame", MISSING_FRAMES.values(), ids=MISSING_FRAMES)
def test_what_is_missing_in_frames_is_nan(frame, model, y):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.fit(frame, y)
    if not hasattr(model, "encoder"):
        with pytest.raises(ValueError, match=r"Rows 0 to 39 .* Input X contains NaN"):
            model.fit(Listed([frame]))


@pytest.mark.parametrize("values", MISSING.values(), ids=MISSING)
def test_what_is_missing_among_objects_is_nan(values, model, unit_data, y):
    X = unit_data.astype(object)
    X[:, 3] = values
    fitted = clone(model).fit(unit_data, y)
    for rows in (X, X.tolist()):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            model.fit(rows, y)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            outputs_of(fitted, rows)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?"])
def test_what_is_masked_is_missing(dtype, model, unit_data, y):
    X = np.ma.masked_array((9 * unit_data).astype(dtype), unit_data < 0.1)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.fit(X, y)
    weights = np.ma.masked_array(np.ones(40), np.arange(40) == 3)
    with pytest.raises(ValueError, match="Input sample_weight contains NaN"):
        model.fit(unit_data, y, sample_weight=weights)


@pytest.mark.parametrize(
    "values",
    [
        *MISSING.values(),
        np.array(MISSING["pandas.NA"], dtype=object),
        np.ma.masked_array(np.arange(40), np.arange(40) == 3),
        pd.Series(MISSING["None"], dtype="Int64"),
        pl.Series(MISSING["None"]),
        pa.array(MISSING["None"]),
        pl.DataFrame({"m": MISSING["None"], "n": NUMBERS}),
        pa.table({"m": MISSING["None"], "n": NUMBERS}),
    ],
    ids=lambda values: type(values).__name__,
)
def test_what_is_missing_in_targets_is_nan(values, unit_data):
    regressor = FineTunedRegressor(make_encoder(), early_stopping=True, **SHORT)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        regressor.fit(unit_data, values)
    if np.ndim(values) == 1:
        v = unit_data[:, 0]
        with pytest.raises(ValueError, match="Input y_val contains NaN"):
            regressor.fit(unit_data, v, X_val=unit_data, y_val=values)


# ---- what is no number, and no matrix -------------------------------------------


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["x"] * 40, "could not convert string to float: 'x'"),
        (pd.Categorical(["x", "y"] * 20), "could not convert string to float: 'x'"),
        ([b"x"] * 40, "could not convert string to float: b'x'"),
        ([[1.0, 2.0]] * 40, "setting an array element"),
        ([{"k": 1}] * 40, "not 'dict'|several values in each row"),
    ],
    ids=["strings", "categories", "bytes", "lists", "dicts"],
)
@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_an_error_names_the_column(make, column, words, model, unit_data, y):
    if isinstance(column, pd.Categorical) and make is not pd.DataFrame:
        pytest.skip("pandas' own")
    frame = make({"a": unit_data[:, 0], "other": column, "c": unit_data[:, 1]})
    with pytest.raises((ValueError, TypeError), match=f"^Column 'other' of X.*{words}"):
        model.fit(frame, y)
    if not hasattr(model, "encoder"):
        with pytest.raises((ValueError, TypeError), match=r"^Rows 0 to 39 .* 'other'"):
            model.fit(Listed([frame]))


class Pairs(torch.utils.data.Dataset):
    """Rows in dicts, as a loader collates them."""

    def __init__(self, X):
        self.X = torch.from_numpy(X)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, k):
        return {"x": self.X[k], "label": k}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X: pl.DataFrame(X).lazy(), r"X is a LazyFrame.*Pass X\.collect\(\)"),
        (lambda X: TensorDataset(torch.from_numpy(X)), r"DataLoader\(X, batch_size="),
        (Pairs, r"X is a Pairs.*DataLoader\(X, batch_size="),
    ],
    ids=["LazyFrame", "TensorDataset", "Dataset"],
)
def test_what_is_no_matrix_yet_is_refused(change, words, model, unit_data, y):
    with pytest.raises(TypeError, match=words):
        model.fit(change(unit_data), y)
    fitted = model.fit(unit_data, y)
    with pytest.raises(TypeError, match=words):
        outputs_of(fitted, change(unit_data))
    behind = FineTunedClassifier(make_pipeline(StandardScaler(), make_encoder()))
    with pytest.raises(TypeError, match=words):
        behind.fit(change(unit_data), y)


def test_a_loader_of_dicts_is_refused(unit_data):
    loader = DataLoader(Pairs(unit_data), batch_size=10)
    with pytest.raises(TypeError, match=r"dict with the keys \['x', 'label'\].*matrix"):
        make_encoder().fit(loader)


def test_a_loader_in_a_pipeline_is_refused_before_anything_is_fitted(unit_data, y):
    loader = DataLoader(torch.from_numpy(unit_data), batch_size=10)
    for make in (MODELS["autoencoder"], MODELS["stack"]):
        encoder = make()
        pipeline = make_pipeline(encoder, LogisticRegression())
        with pytest.raises(TypeError, match=r"in batches.*in a FrozenEstimator"):
            pipeline.fit(loader, y)
        assert not hasattr(encoder, "n_iter_")
    network = FineTunedClassifier(make_pipeline(StandardScaler(), make_encoder()))
    with pytest.raises(TypeError, match="in batches"):
        network.fit(loader, y)
    assert make_pipeline(make_encoder()).fit(loader)[-1].n_features_in_ == 8


@pytest.mark.parametrize("shape", [(40, 2, 2, 2), (40, 8, 1), (40, 4, 2)])
@pytest.mark.parametrize("cast", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_images_are_rows_of_pixels(cast, shape, model, unit_data, y):
    X = cast(unit_data.reshape(shape))
    words = rf"X has dim {len(shape)}, .* as by X\.reshape\(len\(X\), -1\)"
    with pytest.raises(ValueError, match=words):
        model.fit(X, y)


# ---- what needs no inspection ---------------------------------------------------


def test_a_row_of_finite_floats_is_not_validated_and_whatever_else_is_is(
    unit_data, monkeypatch
):
    """scikit-learn's validation takes longer than the code of one row."""
    model = make_encoder().fit(unit_data)
    named = make_encoder().fit(pd.DataFrame(unit_data, columns=NAMES))
    seen = []
    monkeypatch.setattr(
        "skcae._fit.data.validate_data",
        lambda estimator, X, **how: seen.append(X) or np.array(X, dtype=float),
    )
    row = unit_data[:1]
    for plain in (row, np.asfortranarray(unit_data), row.astype(np.float32)):
        model.transform(plain)
    assert not seen
    others = [
        row.tolist(),
        row.astype(int),
        row.astype(np.float16),
        row.astype(">f8"),
        row.view(np.matrix),
        np.repeat(row, 2**16, axis=0),
        torch.from_numpy(row),
    ]
    for n_seen, X in enumerate(others, start=1):
        model.transform(X)
        assert len(seen) == n_seen
    named.transform(row)
    assert len(seen) == len(others) + 1


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (lambda row: row * np.nan, "contains NaN"),
        (lambda row: row * np.inf, "contains infinity"),
        (lambda row: row[:, 1:], "is expecting 8 features"),
        (lambda row: row[0], "Expected 2D array"),
        (lambda row: row[None], "has dim 3"),
        (lambda row: row[:0], "0 sample"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(spoilt, reason, unit_data):
    model = make_encoder().fit(unit_data)
    with pytest.raises(ValueError, match=reason):
        model.transform(spoilt(unit_data[:1]))
