"""What bad input, interrupts, forks and threads give: the rows of docs/faults.md."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)
from skcae.exceptions import DeadModelWarning
from tests.test_callbacks import Recorder

SHORT = {"max_iter": 12, "tol": 0.5, "random_state": 0}


def make_autoencoder():
    return ContractiveAutoencoder(6, learning_rate=0.01, **SHORT)


def make_stack():
    return StackedCAE((6, 4), **SHORT)


def make_classifier():
    return FineTunedClassifier(make_autoencoder(), **SHORT)


@pytest.fixture(params=[make_autoencoder, make_stack, make_classifier])
def model(request):
    """Make an unfitted autoencoder, stack or classifier."""
    return request.param()


@pytest.fixture
def y(unit_data):
    return (unit_data[:, 0] > 0.5).astype(int)


def codes_of(model, X):
    """What a model is for: its codes, or its probabilities."""
    return (model.predict_proba if hasattr(model, "classes_") else model.transform)(X)


# ---- data -----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_nan_and_infinity_are_refused(bad, kind, model, unit_data, y):
    X = unit_data.copy()
    X[17, 3] = bad
    frame_or_array = kind(X)
    if isinstance(frame_or_array, pd.DataFrame):
        frame_or_array.columns = list("abcdefgh")
    words = "contains NaN" if np.isnan(bad) else "contains infinity"
    with pytest.raises(ValueError, match=words):
        model.fit(frame_or_array, y)
    fitted = clone(model).fit(unit_data, y)
    with pytest.raises(ValueError, match=words):
        codes_of(fitted, X)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_refused(bad, unit_data):
    y = unit_data[:, 0].copy()
    y[5] = bad
    words = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(ValueError, match=f"Input y contains {words}"):
        FineTunedRegressor(make_autoencoder(), **SHORT).fit(unit_data, y)


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1e18, "f4"), (1e18, "f8"), (1e150, "f8")]
)
def test_huge_values_give_a_finite_model(scale, dtype, model, unit_data, y):
    X = (scale * unit_data).astype(dtype)
    with pytest.warns(DeadModelWarning, match="scale the data"):
        model.fit(X, y)
    assert np.isfinite(codes_of(model, X)).all()


@pytest.mark.parametrize(("scale", "dtype"), [(3e38, "f4"), (1e300, "f8")])
def test_values_whose_squares_overflow_diverge(scale, dtype, model, unit_data, y):
    X = (scale * unit_data).astype(dtype)
    with pytest.raises(ValueError, match=r"diverged in epoch 1 .* or scale the data"):
        model.fit(X, y)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize(("scale", "dtype"), [(3e38, "f4"), (1e300, "f8")])
@pytest.mark.parametrize(
    "make",
    [
        make_autoencoder,
        make_stack,
        lambda: Autoencoder(4, **SHORT),
        lambda: DenoisingAutoencoder(4, **SHORT),
    ],
)
def test_held_out_rows_whose_squares_overflow_are_noticed(
    make, scale, dtype, unit_data
):
    """An objective that is infinite or NaN has no best epoch, be there one or many."""
    model = make().set_params(early_stopping=True)
    X, X_val = unit_data[:30].astype(dtype), (scale * unit_data[30:]).astype(dtype)
    with pytest.raises(ValueError, match=r"epoch 1\b"):
        model.fit(X, X_val=X_val)
    assert not hasattr(model, "n_features_in_")


def test_held_out_values_whose_squares_overflow_are_noticed(unit_data):
    model = FineTunedRegressor(make_autoencoder(), early_stopping=True, **SHORT)
    X, y = unit_data[:, :-1], unit_data[:, -1]
    with pytest.raises(ValueError, match=r"epoch 1\b"):
        model.fit(X[:30], y[:30], X_val=X[30:], y_val=1e300 * y[30:])
    assert not hasattr(model, "n_features_in_")


def test_a_score_beyond_the_range_of_its_type_is_minus_infinity(unit_data):
    model = make_autoencoder().fit(unit_data)
    assert model.score(1e300 * unit_data) == -np.inf
    assert np.isfinite(model.transform(1e300 * unit_data)).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -7.0])
def test_constant_columns_are_columns(value, model, unit_data, y):
    X = unit_data.copy()
    X[:, 2:5] = value
    assert np.isfinite(codes_of(model.fit(X, y), X)).all()
    everywhere = np.full_like(X, value)
    assert np.isfinite(codes_of(model.fit(everywhere, y), everywhere)).all()


@pytest.mark.parametrize("make", [make_autoencoder, make_stack])
def test_one_sample_is_enough_for_an_encoder(make, unit_data):
    model = make().fit(unit_data[:1])
    assert np.isfinite(model.transform(unit_data)).all()


def test_one_sample_has_one_class(unit_data, y):
    with pytest.raises(ValueError, match=r"y has only one class, .* at least two"):
        make_classifier().fit(unit_data[:1], y[:1])


def test_equal_rows_have_equal_codes(model, unit_data, y):
    X = np.repeat(unit_data[:1], 40, axis=0)
    codes = codes_of(model.fit(X, y), X)
    # The last rows of a product may be summed up in another order.
    assert_allclose(codes, np.repeat(codes[:1], 40, axis=0), rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(
    "column",
    [["x"] * 40, pd.Categorical(["x", "y"] * 20)],
    ids=["strings", "categories"],
)
def test_frames_with_other_than_numbers_are_refused(column, model, unit_data, y):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh")).assign(d=column)
    with pytest.raises(
        ValueError, match=r"^Column 'd' of X .* could not convert string"
    ):
        model.fit(frame, y)


def test_dates_are_refused(model, unit_data, y):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    frame["d"] = pd.date_range("2020-01-01", periods=40)
    with pytest.raises(TypeError, match="Column 'd' of X has dates or times in it"):
        model.fit(frame, y)


def test_missing_values_of_pandas_are_nan(model, unit_data, y):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    frame["d"] = pd.array([None, *range(39)], dtype="Int64")
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(frame, y)


def test_missing_values_are_answered_with_an_imputer(model, unit_data, y):
    X = unit_data.copy()
    X[17, 3] = np.nan
    # That of a network sees rows without a label, too.
    what = "encoder" if hasattr(model, "encoder") else type(model).__name__
    words = f"Input X contains NaN.* Put a SimpleImputer before the {what} in"
    with pytest.raises(ValueError, match=words):
        model.fit(X, y)
    with pytest.raises(ValueError, match=words):
        codes_of(clone(model).fit(unit_data, y), X)
    pipeline = make_pipeline(SimpleImputer(add_indicator=True), model).fit(X, y)
    assert np.isfinite(codes_of(pipeline, X)).all()


def test_missing_values_behind_a_scaler_and_in_held_out_rows(unit_data, y):
    X = unit_data.copy()
    X[17, 3] = np.nan
    network = FineTunedClassifier(
        make_pipeline(StandardScaler(), make_autoencoder()), **SHORT
    )
    words = "Put a SimpleImputer before the ContractiveAutoencoder"
    with pytest.raises(ValueError, match=words):
        network.fit(X, y)
    with pytest.raises(ValueError, match=r"Input X contains NaN.* before the encoder"):
        network.fit(unit_data, y).predict(X)
    encoder = make_pipeline(SimpleImputer(), StandardScaler(), make_autoencoder())
    assert network.set_params(encoder=encoder).fit(X, y).predict(X).shape == (40,)
    with pytest.raises(ValueError, match=f"^X_val or sample_weight_val .*{words}"):
        make_autoencoder().set_params(early_stopping=True).fit(unit_data, X_val=X)


def test_a_frame_of_numbers_of_many_types_is_float64(model, unit_data, y):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh")).astype({"a": "f4"})
    frame["b"], frame["c"] = range(40), unit_data[:, 2] > 0.5
    plain = clone(model).fit(frame.astype(float).to_numpy(), y)
    codes = codes_of(model.fit(frame, y), frame)
    assert codes.dtype == np.float64
    assert_array_equal(codes, codes_of(plain, frame.astype(float).to_numpy()))


@pytest.mark.parametrize("width", ["i4", "i8"])
def test_indices_of_either_width_are_taken(width, model, unit_data, y):
    X = sparse.csr_array(np.where(unit_data > 0.7, unit_data, 0.0))
    X.indices, X.indptr = X.indices.astype(width), X.indptr.astype(width)
    dense = clone(model).fit(X.toarray(), y)
    np.testing.assert_allclose(
        codes_of(model.fit(X, y), X), codes_of(dense, X.toarray()), rtol=1e-9
    )
    assert X.indices.dtype == width


def test_columns_may_not_change_in_number_or_name(model, unit_data, y):
    model.fit(unit_data, y)
    with pytest.raises(ValueError, match=r"X has 5 features, .* expecting 8"):
        codes_of(model, unit_data[:, :5])
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    model.fit(frame, y)
    with pytest.raises(ValueError, match="feature names should match"):
        codes_of(model, frame.rename(columns={"a": "z"}))


def test_batches_may_not_change_in_width(unit_data):
    model = make_autoencoder().partial_fit(unit_data)
    before = model.components_.copy()
    with pytest.raises(ValueError, match=r"X has 5 features, .* expecting 8"):
        model.partial_fit(unit_data[:, :5])
    assert_array_equal(model.components_, before)


# ---- what goes on around --------------------------------------------------------


class InterruptAtFit(Recorder):
    """Interrupts a search in the second epoch of its n-th fit."""

    max_propagation_depth = None

    def __init__(self, number):
        super().__init__()
        self.left = number

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == 1:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def test_an_interrupted_search_is_what_it_was(unit_data):
    model = make_autoencoder()
    search = GridSearchCV(model, {"jacobian_penalty": [0.0, 0.1]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.set_callbacks(InterruptAtFit(3)).fit(unit_data)
    assert not hasattr(search, "cv_results_")
    assert not hasattr(search, "best_estimator_")
    assert not hasattr(model, "components_")

    search.set_callbacks().fit(unit_data)
    codes, results = search.transform(unit_data), search.cv_results_
    with pytest.raises(KeyboardInterrupt):
        search.set_callbacks(InterruptAtFit(3)).fit(unit_data[:20])
    assert search.cv_results_ is results
    assert_array_equal(search.transform(unit_data), codes)


FORKED = """
import multiprocessing
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
import warnings
from skcae import ContractiveAutoencoder

warnings.simplefilter("ignore", ConvergenceWarning)
torch.set_num_threads(2)
X = np.random.default_rng(0).random((400, 400), dtype=np.float32)
# Batches of 100 rows: 16 million multiplications, enough for several threads.
model = ContractiveAutoencoder(400, max_iter=2, random_state=0).fit(X)
codes = model.transform(X)

def in_child(queue):
    again = ContractiveAutoencoder(400, max_iter=2, random_state=0).fit(X)
    queue.put(np.allclose(model.transform(X), codes, rtol=1e-4, atol=1e-5))
    queue.put(np.allclose(again.transform(X), codes, rtol=1e-3, atol=1e-3))
    queue.put(torch.get_num_threads())

context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=in_child, args=(queue,))
child.start()
child.join(60)
hangs = child.exitcode is None
child.kill()
print("hangs" if hangs else [queue.get(timeout=5) for _ in range(3)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forking is safe on Linux only")
def test_a_forked_process_computes_after_several_threads():
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout == "[True, True, 1]\n"


def test_threads_may_share_a_fitted_model(model, unit_data, y):
    X = np.tile(unit_data, (20, 1))
    model.fit(unit_data, y)
    expected = codes_of(model, X)
    with ThreadPoolExecutor(8) as pool:
        for codes in pool.map(lambda _: codes_of(model, X), range(80)):
            assert_array_equal(codes, expected)


def anonymous_memory():
    """The memory of this process that no file stands behind, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_in_a_loop_do_not_grow(model):
    """Each keeps weights of 0.8 MB or more: one lost by each fit would be 160 MB.

    The bound is a tenth of that. What is allocated and freed in another order leaves
    some megabytes in the allocator's hands.
    """
    wide = ContractiveAutoencoder(256, max_iter=2, tol=0.5, n_iter_no_change=1)
    if isinstance(model, StackedCAE):
        model = StackedCAE((256, 16), max_iter=2, tol=0.5, n_iter_no_change=1)
    elif isinstance(model, FineTunedClassifier):
        model.set_params(encoder=wide, max_iter=2, n_iter_no_change=1)
    else:
        model = wide
    X = np.random.default_rng(0).random((30, 784), dtype=np.float32)
    y = np.arange(30) % 2
    for number in range(220):
        if number == 20:
            before = anonymous_memory()
        model.fit(X, y)
    assert anonymous_memory() - before < 16e6
