"""The same rows give the same model, whatever they come in."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError

from skcae._core.data import rows as rows_module
from skcae._core.data.arrays import to_tensor
from skcae._core.data.rows import Rows
from skcae._core.data.sparse import SparseRows
from tests.promises.kinds import assert_close, assert_same_model, parts

FORMATS = [f"{kind}_{x}" for kind in ("csr", "csc", "coo") for x in ("matrix", "array")]


def test_sparse_input_gives_the_same_model(kind, unit_data):
    X, y = np.where(unit_data > 0.7, unit_data, 0.0), kind.target(unit_data)
    dense = kind(batch_size=7).fit(X, y)
    rtol = 1e-10 if kind.learns else 1e-12
    for name in FORMATS:
        X_sparse = getattr(sparse, name)(X)
        thin = kind(batch_size=7).fit(X_sparse, y)
        assert_same_model(dense, thin, rtol=rtol)
        for one, other in zip(
            kind.answers(thin, X_sparse), kind.answers(dense, X), strict=True
        ):
            assert_close(one, other, rtol=1e-9)
        if not kind.learns:
            assert thin.score(X_sparse) == pytest.approx(dense.score(X))


def test_repeated_entries_of_a_sparse_matrix_add_up(encoder, unit_data):
    entries = ([0.6, 0.3, 1.0], ([0, 0, 1], [2, 2, 0]))
    X = sparse.csr_array(sparse.coo_array(entries, shape=(3, 4)))
    twice = sparse.csr_array(
        (np.array([0.6, 0.3, 1.0]), np.array([2, 2, 0]), np.array([0, 2, 3, 3])),
        shape=(3, 4),
    )
    once = encoder(loss="cross_entropy").fit(X)
    assert_same_model(once, encoder(loss="cross_entropy").fit(twice))
    assert twice.nnz == 3
    twice.data[1] = 0.6
    with pytest.raises(ValueError, match=r"to 1\.2\."):
        encoder(loss="cross_entropy").fit(twice)


# The rows are noise, of which a few units of a deep code learn next to nothing.
@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_sparse_input_is_never_densified_as_a_whole(single, monkeypatch):
    X = sparse.csr_array(sparse.random(500, 30, density=0.1, random_state=0))
    sizes = []
    toarray = type(X).toarray

    def spy(self, *args, **kwargs):
        sizes.append(self.shape[0])
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(type(X), "toarray", spy)
    single(batch_size=20).fit(X)
    # A batch at a time, and the rows that are looked at after the fit.
    assert set(sizes) == {20, 256}
    sizes.clear()
    single(batch_size=20).partial_fit(X)
    assert set(sizes) == {20}


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_memory_mapped_data_gives_the_same_model_uncopied(
    dtype, kind, digits, tmp_path, monkeypatch
):
    X = (16 * digits[0][:200]).astype(dtype)
    y = kind.target(X)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    matrices, init = [], Rows.__init__

    def spy(self, matrix, *how, **more):
        if matrix.shape == X.shape:
            matrices.append(matrix)
        init(self, matrix, *how, **more)

    monkeypatch.setattr(Rows, "__init__", spy)
    ways = [("fit", {}), ("fit", {"early_stopping": True})]
    if hasattr(kind.cls, "partial_fit"):
        ways.append(("partial_fit", {}))
    for method, parameters in ways:
        from_memory = getattr(kind(**parameters), method)(X, y)
        matrices.clear()
        from_disk = getattr(kind(**parameters), method)(mapped, y)
        assert matrices
        assert all(np.shares_memory(matrix, mapped) for matrix in matrices)
        assert_same_model(from_disk, from_memory)
    answers = kind.answers(from_disk, mapped)
    for one, other in zip(answers, kind.answers(from_memory, X), strict=True):
        assert_array_equal(one, other)


WEIGHTS = ("components_", "intercept", "coefs_", "parameters_")


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("i8", "f8"), ("u1", "f8"), ("?", "f8")],
)
def test_float32_and_float64_stay(dtype, expected, kind, unit_data):
    X, y = (unit_data > 0.5).astype(dtype), kind.target(unit_data)
    # scipy has no sparse float16.
    for make in (np.asarray, sparse.csr_array)[: 1 if dtype == "f2" else 2]:
        data = make(X)
        model = kind().fit(data, y)
        dtypes = {
            array.dtype
            for name, array in parts(model)
            if any(weights in name for weights in WEIGHTS)
        }
        assert dtypes == {np.dtype(expected)}
        numbers = [answer.dtype for answer in kind.answers(model, data)]
        if kind.name == "classifier":
            del numbers[0]
        else:
            single = kind.answers(model, data.astype("f4"))
            assert {answer.dtype for answer in single} == {np.dtype("f4")}
        assert set(numbers) == {np.dtype(expected)}
        if not kind.learns:
            codes = model.transform(data)
            assert model.inverse_transform(codes).dtype == expected


def test_float32_and_float64_start_from_the_same_weights(single, unit_data):
    fits = [single().fit(unit_data.astype(dtype)) for dtype in ("f4", "f8")]
    single_precision, double = (model._named_weights() for model in fits)
    for name, weights in double.items():
        assert_allclose(single_precision[name], weights, rtol=1e-3, atol=1e-5)


LAYOUTS = [
    np.asfortranarray,
    lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    lambda X: X[:, ::-1][:, ::-1],
    lambda X: X.tolist(),
    lambda X: X.astype(object),
    lambda X: X.astype(">f8"),
    lambda X: pd.DataFrame(X, columns=list("abcdefgh")),
]


def test_layouts_make_no_difference(kind, unit_data):
    """Columns, steps of any size, lists, objects, other ends first, and frames."""
    y = kind.target(unit_data)
    plain = kind().fit(unit_data, y)
    expected = kind.answers(plain, unit_data)
    for change in LAYOUTS:
        X = change(unit_data)
        model = kind().fit(X, y if y is None else y.tolist())
        assert_same_model(model, plain)
        for one, other in zip(kind.answers(model, X), expected, strict=True):
            assert_array_equal(one, other)


def test_read_only_data_is_accepted_and_data_is_not_changed(kind, unit_data):
    target = kind.target(unit_data)
    given = {
        "X": unit_data,
        "y": np.array(["a", "b"] * 20) if target is None else target,
        "sample_weight": np.random.default_rng(2).random(40),
        "X_unlabeled" if kind.learns else "X_val": unit_data[::-1],
    }
    # The range of cross-entropy is looked at, and what is just beyond it is cut.
    how = {} if kind.learns else {"loss": "cross_entropy", "early_stopping": True}
    for writeable in (False, True):
        passed = {name: array.copy() for name, array in given.items()}
        for array in passed.values():
            array.flags.writeable = writeable
        model = kind(**how)
        parameters = model.get_params(deep=False)
        model.fit(**passed)
        kind.answers(model, passed["X"])
        model.score(passed["X"], passed["y"], sample_weight=passed["sample_weight"])
        if not kind.learns:
            model.inverse_transform(model.transform(passed["X"]))
        for name, array in passed.items():
            assert_array_equal(array, given[name])
        assert model.get_params(deep=False) == parameters


def test_rows_are_independent_of_their_company(kind, unit_data):
    model = kind().fit(unit_data, kind.target(unit_data))
    whole = kind.answers(model, unit_data)
    alone = [kind.answers(model, row[None]) for row in unit_data]
    order = np.random.default_rng(1).permutation(40)
    for k, other in enumerate(kind.answers(model, unit_data[order])):
        assert_close(np.concatenate([row[k] for row in alone]), whole[k], rtol=1e-9)
        assert_close(other, whole[k][order], rtol=1e-9)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_passes_over_rows_work_in_chunks(make, single, digits, monkeypatch):
    """The same numbers, and never more rows at a time than the bound allows."""
    X, _ = digits
    model = single().fit(X[:100])
    codes = model.transform(X)
    data = {"transform": X, "score_samples": X, "score": X, "inverse_transform": codes}
    whole = {name: getattr(model, name)(rows) for name, rows in data.items()}
    sizes, coder = [], model._stored_coder()

    def spy(array, *where):
        sizes.append(len(array))
        return to_tensor(array, *where)

    def spy_of_sparse(matrix):
        sizes.append(matrix.shape[0])
        return SparseRows.of(matrix)

    monkeypatch.setattr(rows_module, "CHUNK_ELEMENTS", 64 * 100)
    monkeypatch.setattr(rows_module, "to_tensor", spy)
    monkeypatch.setattr(rows_module, "SparseRows", SimpleNamespace(of=spy_of_sparse))
    for name, rows in data.items():
        sizes.clear()
        given = rows if rows is codes else make(rows)
        assert_allclose(getattr(model, name)(given), whole[name], rtol=1e-11)
        # Of rows that are encoded as they are stored there are more at a time.
        as_stored = name == "transform" and sparse.issparse(given)
        width = coder.sparse_width if as_stored else None
        n = 64 * 100 // (width or coder.width)
        assert sizes == [min(n, 1797 - start) for start in range(0, 1797, n)]


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_names_of_features_are_kept_and_forgotten(library, kind, unit_data):
    frame = library.DataFrame(dict(zip("abcdefgh", unit_data.T, strict=True)))
    y = kind.target(unit_data)
    model = kind().fit(frame, y)
    assert list(model.feature_names_in_) == list("abcdefgh")
    # Without a warning that the names were not there.
    named = kind.answers(model, frame)
    with pytest.raises(ValueError, match="feature names should match"):
        kind.answers(model, frame[list("hgfedcba")])
    model.fit(unit_data, y)
    assert not hasattr(model, "feature_names_in_")
    for one, other in zip(named, kind.answers(model, unit_data), strict=True):
        assert_array_equal(one, other)


def test_other_widths_are_refused(kind, unit_data):
    model = kind().fit(unit_data, kind.target(unit_data))
    for method in (*kind.methods, "score"):
        target = [kind.target(unit_data)] if method == "score" else []
        with pytest.raises(ValueError, match=r"7 features, but .* is expecting 8"):
            getattr(model, method)(unit_data[:, :7], *target)
    if not kind.learns:
        n_codes = model.transform(unit_data).shape[1]
        message = rf"7 columns, but the codes .* have {n_codes}"
        with pytest.raises(ValueError, match=message):
            model.inverse_transform(np.ones((2, 7)))


def test_unfitted(kind, unit_data):
    methods = [*kind.methods, "score", *([] if kind.learns else ["inverse_transform"])]
    name = kind.cls.__name__
    for method in methods:
        target = [kind.target(unit_data)] if method == "score" else []
        with pytest.raises(NotFittedError, match=f"This {name} instance is not fitted"):
            getattr(kind(), method)(unit_data, *target)


def test_labels_of_any_kind_are_ignored(encoder, unit_data):
    labels = np.array(["a", "b"] * 20)
    assert_same_model(encoder().fit(unit_data, labels), encoder().fit(unit_data))
