"""Data that is not held in memory: memory-mapped, or coming in batches."""

import runpy
import sys
from functools import partial
from pathlib import Path

import dask.array
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FineTunedClassifier,
    StackedCAE,
)
from skcae._core.data import arrays, streams
from skcae.checkpoints import resume
from skcae.inspection import jacobian_norm, tangent_vectors
from tests.test_checkpoints import Copies, assert_same

HOW = {"max_iter": 6, "tol": 1e-9, "random_state": 0, "batch_size": 8}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Batches:
    """Gives the rows of an array in batches of these sizes, each time anew."""

    def __init__(self, X, *sizes, change=lambda batch: batch):
        self.X, self.sizes, self.change = X, sizes, change
        self.n_passes = 0

    def __iter__(self):
        self.n_passes += 1
        start = 0
        for size in self.sizes or [len(self.X)]:
            yield self.change(self.X[start : start + size])
            start += size


class Dataset(IterableDataset):
    def __init__(self, X):
        self.X = torch.from_numpy(X)

    def __iter__(self):
        return iter(self.X)


def arrow_dataset(X):
    table = pa.table({f"x{k}": column for k, column in enumerate(X.T)})
    return pyarrow.dataset.dataset(table)


SOURCES = {
    "arrays": lambda X: Batches(X, 7, 20, 0, 1, 12),
    "lists": lambda X: Batches(X, 30, 10, change=np.ndarray.tolist),
    "tensors": lambda X: Batches(X, 30, 10, change=torch.from_numpy),
    "sparse": lambda X: Batches(X, 30, 10, change=sparse.csr_array),
    "frames": lambda X: Batches(X, 30, 10, change=pd.DataFrame),
    "with labels": lambda X: Batches(X, 30, 10, change=lambda b: (b, ["label"])),
    "DataLoader": lambda X: DataLoader(
        TensorDataset(torch.from_numpy(X)), batch_size=9
    ),
    "IterableDataset": lambda X: DataLoader(Dataset(X), batch_size=9),
    "Dask": lambda X: dask.array.from_array(X, chunks=(11, 3)),
    "record batches": lambda X: Batches(
        X, 30, 10, change=lambda b: pa.record_batch(list(b.T), [*"abcdefgh"])
    ),
    "Arrow": arrow_dataset,
}


# ---- a stream that fits a block is an array -------------------------------------


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_what_fits_one_block_gives_the_model_of_the_array(make, unit_data):
    expected = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    model = ContractiveAutoencoder(6, **HOW).fit(make(unit_data))
    assert_array_equal(model.components_, expected.components_)
    assert_array_equal(model.loss_curve_, expected.loss_curve_)
    assert model.n_features_in_ == 8


@pytest.mark.parametrize(
    "parameters",
    [
        {"shuffle": False},
        {"batch_size": 100},
        {"batch_size": 40},
        {"loss": "cross_entropy"},
        {"learning_rate_schedule": "constant", "solver": "sgd", "learning_rate": 1e-3},
    ],
)
@pytest.mark.parametrize("cls", [Autoencoder, DenoisingAutoencoder])
def test_for_any_parameters(cls, parameters, unit_data):
    parameters = {**HOW, **parameters}
    expected = cls(6, **parameters).fit(unit_data)
    model = cls(6, **parameters).fit(Batches(unit_data, 7, 20, 13))
    assert_array_equal(model.components_, expected.components_)


def test_names_of_columns_are_learnt(unit_data):
    names = [*"abcdefgh"]
    source = Batches(unit_data, 30, 10, change=lambda b: pd.DataFrame(b, columns=names))
    model = ContractiveAutoencoder(6, **HOW).fit(source)
    assert model.feature_names_in_.tolist() == names


def test_arrow_has_columns_by_position_only(unit_data):
    model = ContractiveAutoencoder(6, **HOW).fit(arrow_dataset(unit_data))
    assert not hasattr(model, "feature_names_in_")


def test_float32_stays(unit_data):
    source = Batches(unit_data.astype(np.float32), 30, 10)
    assert ContractiveAutoencoder(6, **HOW).fit(source).components_.dtype == np.float32


@pytest.mark.parametrize("first", [np.float32, np.float64, np.int8])
def test_batches_of_several_types_have_the_widest(first, unit_data):
    class Source:
        def __iter__(self):
            yield unit_data[:20].astype(first)
            yield unit_data[20:]

    model = ContractiveAutoencoder(6, **HOW).fit(Source())
    joined = np.concatenate([unit_data[:20].astype(first), unit_data[20:]])
    assert model.components_.dtype == np.float64
    plain = ContractiveAutoencoder(6, **HOW).fit(joined)
    assert_allclose(model.components_, plain.components_, rtol=1e-9)


def test_each_epoch_reads_the_source_once_and_the_fit_once_more(unit_data):
    source = Batches(unit_data, 30, 10)
    ContractiveAutoencoder(6, **HOW).fit(source)
    assert source.n_passes == 6 + 1


class Augmenting(Batches):
    """Gives other rows in each pass: those of the array plus the number of the pass."""

    def __iter__(self):
        return (batch + self.n_passes / 10 for batch in super().__iter__())


@pytest.mark.parametrize("batch_size", [8, 39, 40, 100, "auto"])
@pytest.mark.parametrize("cls", [ContractiveAutoencoder, DenoisingAutoencoder])
def test_every_pass_is_trained_on(cls, batch_size, unit_data):
    """As epochs of `partial_fit` on the rows of each pass, at any batch size."""
    how = {**HOW, "batch_size": batch_size, "learning_rate_schedule": "constant"}
    source = Augmenting(unit_data, 30, 10)
    model = cls(6, **how).fit(source)
    by_hand = cls(6, **how)
    for number in range(2, source.n_passes + 1):
        by_hand.partial_fit(unit_data + number / 10)
    assert_allclose(model.components_, by_hand.components_, rtol=1e-12)
    assert_allclose(model.loss_curve_, by_hand.loss_curve_, rtol=1e-12)


def test_every_pass_is_trained_on_in_a_stack(unit_data):
    how = {**HOW, "batch_size": 100, "learning_rate_schedule": "constant"}
    stack = StackedCAE((6, 4), **how).fit(Augmenting(unit_data, 30, 10))
    below, above = stack.estimators_
    by_hand = clone(above)
    # Nine are over then: one that counts, and for each layer another, and six epochs.
    for number in range(10, 16):
        by_hand.partial_fit(below.transform(unit_data + number / 10))
    assert_allclose(above.components_, by_hand.components_, rtol=1e-12)
    assert_allclose(above.loss_curve_, by_hand.loss_curve_, rtol=1e-12)


# ---- blocks ---------------------------------------------------------------------


def test_a_fit_in_blocks_reconstructs_as_well(digits, monkeypatch):
    X, _ = digits
    monkeypatch.setattr(streams, "BLOCK_ELEMENTS", 64 * 200)
    how = {"max_iter": 30, "tol": 0.1, "random_state": 0}
    model = ContractiveAutoencoder(16, **how).fit(Batches(X, *[100] * 17, 97))
    whole = ContractiveAutoencoder(16, **how).fit(X)
    assert (model.components_ != whole.components_).any()
    assert_allclose(model.score(X), whole.score(X), rtol=0.1)


# ---- stacks, held-out rows, checkpoints -----------------------------------------


def test_a_stack_on_a_stream_is_that_on_the_array(unit_data):
    how = {**HOW, "hidden_layer_sizes": (6, 4, 3)}
    expected = StackedCAE(**how).fit(unit_data)
    model = StackedCAE(**how).fit(Batches(unit_data, 7, 20, 13))
    for layer, one in zip(model.estimators_, expected.estimators_, strict=True):
        assert_allclose(layer.components_, one.components_, rtol=1e-9)


def test_early_stopping_takes_held_out_rows(unit_data):
    how = {**HOW, "early_stopping": True}
    expected = ContractiveAutoencoder(6, **how).fit(
        unit_data[:30], X_val=unit_data[30:]
    )
    source = Batches(unit_data[:30], 20, 10)
    model = ContractiveAutoencoder(6, **how).fit(source, X_val=unit_data[30:])
    assert_array_equal(model.components_, expected.components_)


@pytest.mark.parametrize("cls", [ContractiveAutoencoder, StackedCAE])
def test_early_stopping_cannot_hold_out_of_a_stream(cls, unit_data):
    model = cls(6, **HOW) if cls is not StackedCAE else cls((6, 4), **HOW)
    model.set_params(early_stopping=True)
    with pytest.raises(ValueError, match="none can be set aside"):
        model.fit(Batches(unit_data, 30, 10))


def test_a_checkpoint_of_a_fit_on_a_stream(unit_data, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BLOCK_ELEMENTS", 8 * 16)
    source = Batches(unit_data, 7, 20, 13)
    callback = Copies(tmp_path / "training.skops")
    whole = DenoisingAutoencoder(6, **HOW).set_callbacks(callback).fit(source)
    assert_same(resume(callback.files[2], source), whole)


# ---- what is refused ------------------------------------------------------------


def test_an_iterator_is_refused(unit_data):
    with pytest.raises(ValueError, match="X is an iterator, which gives its batches"):
        ContractiveAutoencoder(6).fit(iter(Batches(unit_data, 30, 10)))


@pytest.mark.parametrize(
    ("sizes", "message"), [((), "X gave no batch"), ((0, 0), "X gave no batch")]
)
def test_an_empty_stream_is_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        ContractiveAutoencoder(6).fit(Batches(np.empty((0, 3)), *sizes))


def spoil(row, column, value):
    def change(batch):
        batch = batch.copy()
        if len(batch) == 10:
            batch[row, column] = value
        return batch

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil(3, 2, np.nan), "Rows 30 to 39 of X, .* contains NaN"),
        (spoil(3, 2, np.inf), "Rows 30 to 39 of X, .* contains infinity"),
        (spoil(3, 2, 7.0), r"Rows 30 to 39 of X, .* needs X in \[0, 1\]"),
        (
            lambda b: b[:, len(b) == 10 :],
            "Rows 30 to 39 of X, .* 7 features, but",
        ),
        (lambda b: b if len(b) > 10 else b[0], "Rows 30 to 37 of X, .* 2D array"),
        (lambda b: b + 1j, "Rows 0 to 29 of X, .* Complex data not supported"),
        (lambda b: b.astype(str) + "x", "Rows 0 to 29 of X, .* could not convert"),
    ],
)
def test_errors_name_the_rows(change, message, unit_data):
    model = ContractiveAutoencoder(6, loss="cross_entropy", **HOW).fit(unit_data)
    before = model.components_
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        model.fit(Batches(unit_data, 30, 10, change=change))
    assert model.components_ is before


def test_other_names_of_columns_are_refused(unit_data):
    def named(batch):
        first = "a" if len(batch) == 30 else "z"
        return pd.DataFrame(batch, columns=[first, *"bcdefgh"])

    with pytest.raises(ValueError, match=r"(?s)Rows 30 to 39 .* feature names"):
        ContractiveAutoencoder(6).fit(Batches(unit_data, 30, 10, change=named))


@pytest.mark.parametrize(("later", "found"), [((30,), "30"), ((30, 10, 5), "at least")])
def test_a_source_that_changes_is_refused(later, found, unit_data):
    X = np.concatenate([unit_data, unit_data])

    class Changing(Batches):
        def __iter__(self):
            self.sizes = (30, 10) if self.n_passes < 3 else later
            return super().__iter__()

    with pytest.raises(ValueError, match=f"X had 40 rows .* now it has {found}"):
        ContractiveAutoencoder(6, **HOW).fit(Changing(X))


def test_a_batch_of_several_matrices_is_refused(unit_data):
    source = Batches(unit_data, 40, change=lambda b: [b, b, b])
    with pytest.raises(ValueError, match="not clear which has the rows"):
        ContractiveAutoencoder(6).fit(source)


def test_what_is_no_batch_is_named_by_where_it_came(unit_data):
    with pytest.raises(TypeError, match=r"batch of X after its first 40 rows .*float"):
        ContractiveAutoencoder(6).fit(
            Batches(unit_data, 40, 1, change=lambda b: b if len(b) else 5.0)
        )


def test_a_list_of_batches_is_none(unit_data):
    with pytest.raises(
        ValueError, match=r"X is a list whose .* object with an __iter_"
    ):
        ContractiveAutoencoder(6).fit([unit_data[:20], unit_data[20:33]])


def test_images_are_to_be_flattened(unit_data):
    source = Batches(unit_data, 40, change=lambda b: (b.reshape(-1, 2, 4), [0]))
    with pytest.raises(ValueError, match=r"Rows 0 to 39 of X, .* dim 3"):
        ContractiveAutoencoder(6).fit(source)


def test_weights_are_refused(unit_data):
    with pytest.raises(ValueError, match="sample_weight goes with an array"):
        ContractiveAutoencoder(6).fit(Batches(unit_data), sample_weight=np.ones(40))


@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
def test_only_fit_takes_a_stream(method, unit_data):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    with pytest.raises(TypeError, match="X is a Batches, which gives its rows in"):
        getattr(model, method)(Batches(unit_data))


def test_a_classifier_takes_no_stream(unit_data):
    classifier = FineTunedClassifier(ContractiveAutoencoder(4))
    with pytest.raises(TypeError, match="X is a Batches, which gives its rows in"):
        classifier.fit(Batches(unit_data), np.arange(40) % 2)


# ---- memory-mapped data ---------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    """Write an array to a file and map it."""

    def make(X, mode="r"):
        np.save(tmp_path / "X.npy", X)
        return np.load(tmp_path / "X.npy", mmap_mode=mode)

    return make


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_bad_value_is_found_when_its_row_is_read(
    value, dtype, shuffle, mapped, unit_data
):
    X = unit_data.astype(dtype)
    model = ContractiveAutoencoder(6, **HOW, shuffle=shuffle).fit(X)
    before = model.components_
    X[33, 5] = value
    named = f"row 33 .* has the value {value:g} in column 5, but all must be finite"
    with pytest.raises(ValueError, match=named):
        model.fit(mapped(X))
    assert model.components_ is before
    for method in ("transform", "score_samples", "partial_fit"):
        with pytest.raises(ValueError, match=named):
            getattr(model, method)(mapped(X))


def test_a_bad_value_is_found_in_a_batch_from_a_disk(mapped, unit_data):
    X = unit_data.copy()
    X[25, 3] = np.nan
    words = "^Rows 20 to 39 of X, .* one batch, cannot be used: row 5 .* value nan in"
    with pytest.raises(ValueError, match=words):
        ContractiveAutoencoder(3, **HOW).fit(Batches(mapped(X), 20, len(X) - 20))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_numbers_are_finite(dtype, mapped, unit_data):
    X = unit_data.astype(dtype)
    model = ContractiveAutoencoder(6, **HOW).fit(X)
    X[3, 5], X[4, 1] = np.finfo(dtype).max, np.finfo(dtype).min
    assert_array_equal(model.transform(mapped(X)), model.transform(X))


@pytest.mark.parametrize("row", [0, 9, 33, 39])
def test_a_bad_value_is_found_by_its_row_in_whichever_chunk(
    row, mapped, unit_data, monkeypatch
):
    """Ten chunks of four rows; a row's number is that in all the data."""
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 4 * 8)
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    stack = StackedCAE((6, 4), **HOW).fit(unit_data)
    X = unit_data.copy()
    X[row, 5] = np.nan
    for use in (
        model.transform,
        model.score_samples,
        stack.transform,
        partial(jacobian_norm, model),
        partial(tangent_vectors, model, n_tangents=2),
    ):
        with pytest.raises(ValueError, match=f"row {row} .* nan in column 5"):
            use(mapped(X))


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("value", [-0.5, 255.0, np.nan])
def test_cross_entropy_bounds_are_held_when_rows_are_read(
    value, early_stopping, mapped, unit_data
):
    X = unit_data.copy()
    X[33, 5] = value
    model = Autoencoder(6, loss="cross_entropy", early_stopping=early_stopping, **HOW)
    words = r"The loss needs X in \[0, 1\], but row 33"
    if np.isnan(value):  # which no scaler brings there
        words = (
            "X cannot be used: row 33 .* has the value nan in column 5, but all must"
        )
    with pytest.raises(ValueError, match=words):
        model.fit(mapped(X))
    X[33, 5] = 1 + 1e-12
    assert_array_equal(model.fit(mapped(X)).components_, model.fit(X).components_)


def test_held_out_rows_are_named(mapped, unit_data):
    X_val = unit_data.copy()
    X_val[7, 5] = np.nan
    model = ContractiveAutoencoder(6, early_stopping=True, **HOW)
    with pytest.raises(ValueError, match="X_val cannot be used: row 7"):
        model.fit(unit_data, X_val=mapped(X_val))


def test_text_is_looked_at_when_it_becomes_numbers(mapped, unit_data):
    X = unit_data.astype("U20")
    model = ContractiveAutoencoder(6, **HOW).fit(mapped(X))
    X[3, 2] = "nan"
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.transform(mapped(X))


def test_integers_need_no_look(mapped, unit_data):
    X = (255 * unit_data).astype(np.uint8)
    model = ContractiveAutoencoder(6, **{**HOW, "learning_rate": 1e-4})
    assert_array_equal(model.fit(mapped(X)).components_, model.fit(X).components_)


def test_a_stack_keeps_its_codes_where_its_data_is(mapped, unit_data, monkeypatch):
    made = []
    real = arrays.array_on_disk

    def recorded(shape, dtype):
        made.append(real(shape, dtype))
        return made[-1]

    monkeypatch.setattr("skcae._core.data.rows.array_on_disk", recorded)
    how = {**HOW, "hidden_layer_sizes": (6, 4, 3)}
    expected = StackedCAE(**how).fit(unit_data)
    assert not made
    model = StackedCAE(**how).fit(mapped(unit_data))
    assert [codes.shape for codes in made] == [(40, 6), (40, 4)]
    for layer, one in zip(model.estimators_, expected.estimators_, strict=True):
        assert_array_equal(layer.components_, one.components_)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("case", ["memory-mapped", "batches"])
def test_memory_does_not_grow_with_the_rows(case, tmp_path):
    """Fifty times the rows, less than a tenth more anonymous memory at its peak."""
    script = Path(__file__).parents[1] / "benchmarks" / "robustness" / "memory.py"
    names = runpy.run_path(str(script))
    peaks = []
    for n_rows in (1_000, 50_000):
        path = tmp_path / f"{n_rows}.dat"
        names["write_data"](path, n_rows)
        peaks.append(names["peak"](case, path, n_rows))
    assert peaks[1] < 1.1 * peaks[0]
