"""Rows as their stored entries."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone

from skcae import Autoencoder, DeepCAE
from skcae._core.data.rows import Rows
from skcae._core.data.sparse import SparseRows


def csr(values, indices, starts, n_features=5, index_type=np.int32):
    parts = (
        np.array(values, float),
        *(np.array(part, index_type) for part in (indices, starts)),
    )
    return sparse.csr_array(parts, shape=(len(starts) - 1, n_features))


#: Column 1 is empty in all of them.
MATRICES = {
    "plain": csr([1, 2, 3], [0, 4, 2], [0, 2, 3]),
    "wide indices": csr([1, 2, 3], [0, 4, 2], [0, 2, 3], index_type=np.int64),
    "unsorted": csr([2, 1, 3], [4, 0, 2], [0, 2, 3]),
    "duplicates": csr([0.5, 0.5, 2, 3], [0, 0, 4, 2], [0, 3, 4]),
    "explicit zeros": csr([1, 0, 2, 0], [0, 3, 4, 2], [0, 2, 4]),
    "empty rows": csr([1, 3], [0, 2], [0, 0, 1, 1, 2]),
    "nothing": csr([], [], [0, 0, 0]),
}


@pytest.mark.parametrize("X", MATRICES.values(), ids=MATRICES)
def test_the_product_is_that_of_the_dense_rows(X):
    W = torch.linspace(-1, 2, 15).double().view(3, 5)
    rows = SparseRows.of(X)
    assert len(rows) == X.shape[0]
    torch.testing.assert_close(rows.push(W), torch.from_numpy(X.toarray()) @ W.mT)


def test_values_are_clipped_in_a_copy():
    X = csr([-1e-9, 1 + 1e-9], [0, 1], [0, 2])
    rows = Rows(X, dtype=X.dtype, device=torch.device("cpu"), bounds=(0, 1))
    np.testing.assert_array_equal(rows.read_sparse(slice(None)).entries.data, [0, 1])
    assert X.data[0] < 0


@pytest.mark.parametrize("kind", [Autoencoder, DeepCAE])
def test_codes_of_sparse_rows_are_made_of_what_is_stored(kind, monkeypatch):
    X = np.random.default_rng(0).random((8, 5))
    sizes = 3 if kind is Autoencoder else (4, 3)
    model = kind(sizes, max_iter=2, n_iter_no_change=np.inf, random_state=0).fit(X)
    for matrix in MATRICES.values():
        expected = model.transform(matrix.toarray())
        with monkeypatch.context() as patched:
            patched.setattr(sparse.csr_array, "toarray", None)
            found = model.transform(matrix)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


SOLVERS_OF_SPARSE_ROWS = {
    "factored": {"solver": "sgd", "momentum": 0},
    "sampled": {"reconstruction_sampling": 1.0},
    "sampled, cross-entropy": {"reconstruction_sampling": 1, "loss": "cross_entropy"},
}


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@pytest.mark.parametrize("rows", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("how", SOLVERS_OF_SPARSE_ROWS.values(), ids=str)
def test_a_fit_is_that_of_the_dense_rows(how, rows, monkeypatch):
    parts = (rows.data / 4, rows.indices, rows.indptr)
    X = sparse.csr_array(parts, shape=(rows.shape[0], 300))
    kept = X.copy()
    model = Autoencoder(
        2, weight_decay=0.1, max_iter=3, n_iter_no_change=np.inf, random_state=0
    )
    dense = clone(model).set_params(**{**how, "reconstruction_sampling": None})
    dense.fit(X.toarray())
    monkeypatch.setattr("skcae._estimators.base.ReconstructionLearner", None)
    model.set_params(**how).fit(X)
    for name in ("loss_curve_", "penalty_curve_", *dense._named_weights()):
        found, expected = getattr(model, name), getattr(dense, name)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(X, name), getattr(kept, name))


@pytest.mark.parametrize("how", SOLVERS_OF_SPARSE_ROWS.values(), ids=str)
@pytest.mark.parametrize("bad", [-0.5, np.nan])
def test_a_fit_refuses_what_that_of_dense_rows_refuses(bad, how):
    X = csr([1, bad], [0, 2], [0, 1, 2], n_features=300)
    model = Autoencoder(2, max_iter=1, n_iter_no_change=np.inf).set_params(**how)
    if bad < 0 and model.loss == "squared_error":
        model.fit(X)
        return
    words = "needs X in.*-0.5" if bad < 0 else "contains NaN"
    for rows in (X, X.toarray()):
        with pytest.raises(ValueError, match=words):
            model.fit(rows)


def test_a_stored_zero_is_no_entry():
    """Samples are of the columns that are zero, stored or not."""
    X = sparse.random(30, 200, 0.02, format="csr", random_state=0)
    with_zeros = X.copy()
    with_zeros.data[::3] = 0
    without = with_zeros.copy()
    without.eliminate_zeros()
    model = Autoencoder(
        2, reconstruction_sampling=0.1, max_iter=2, n_iter_no_change=np.inf
    ).set_params(random_state=0)
    W = model.fit(with_zeros).components_
    assert np.array_equal(W, model.fit(without).components_)
