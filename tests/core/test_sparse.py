"""Rows as their stored entries."""

import numpy as np
import pytest
import torch
from scipy import sparse

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
