import numpy as np
import pytest
import torch
from scipy import sparse

from skcae._core.data import rows as rows_module
from skcae._core.data import tensors
from skcae._core.data.rows import Rows, row_slices
from skcae._core.data.tensors import TensorRows, fits_on, on_device, rows_of

CPU = torch.device("cpu")
FLOAT64 = np.dtype(np.float64)


def take(n_rows, batch_size, shuffle=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    positions = np.arange(n_rows)
    rows = Rows(positions[:, None].astype(float), dtype=FLOAT64, device=CPU)
    return [
        positions[index]
        for index in rows.batches(batch_size, shuffle=shuffle, generator=generator)
    ]


MATRICES = {
    "plain": np.asarray,
    "fortran": np.asfortranarray,
    "reversed": lambda X: X[::-1].copy()[::-1],
    "integers": lambda X: X.astype(np.uint8),
    "big-endian": lambda X: X.astype(">f8"),
    "read-only": lambda X: np.broadcast_to(X, X.shape),
    "csr": sparse.csr_array,
    "csr float32": lambda X: sparse.csr_array(X.astype(np.float32)),
    "tensor": torch.from_numpy,
    "tensor of columns": lambda X: torch.from_numpy(np.asfortranarray(X)),
    "tensor of integers": lambda X: torch.from_numpy(X.astype(np.uint8)),
    "bfloat16": lambda X: torch.from_numpy(X).bfloat16(),
}


def read(rows, index, n):
    out = torch.full((n, rows.n_features), torch.nan, dtype=torch.float64)
    rows.read(index, out)
    return out


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("make", MATRICES.values(), ids=MATRICES)
def test_batches_hold_the_rows_and_weights_asked_for(make, resident, monkeypatch):
    monkeypatch.setattr(tensors, "fits_on", lambda device, n_bytes: resident)
    monkeypatch.setattr(rows_module, "CHUNK_ELEMENTS", 4)
    X = np.arange(12.0).reshape(6, 2)
    weights = np.arange(6.0)
    how = {"dtype": FLOAT64, "device": CPU, "subset": np.array([5, 1, 3])}
    rows = on_device(rows_of(make(X), weights, **how))
    is_tensor = isinstance(rows.matrix, torch.Tensor)
    assert is_tensor >= (resident and not sparse.issparse(rows.matrix))
    index, last = rows.batches(2, shuffle=False, generator=torch.Generator())
    assert isinstance(index, torch.Tensor) == is_tensor
    assert len(rows) == 3
    np.testing.assert_array_equal(read(rows, index, 2), X[[5, 1]])
    np.testing.assert_array_equal(read(rows, last, 1), X[[3]])
    np.testing.assert_array_equal(rows.weights_of(index), [5.0, 1.0])
    np.testing.assert_array_equal(read(rows, slice(None), 3), X[[5, 1, 3]])
    chunks = list(rows.chunks(2))
    assert [part for part, _ in chunks] == [slice(0, 2), slice(2, 3)]
    np.testing.assert_array_equal(
        np.concatenate([chunk for _, chunk in chunks]), X[[5, 1, 3]]
    )


def test_rows_without_weights_have_none():
    rows = Rows(np.ones((2, 2)), dtype=FLOAT64, device=CPU)
    assert rows.weights_of(slice(None)) is None


@pytest.mark.parametrize("subset", [np.array([5, 1, 3]), slice(None)])
def test_the_total_weight_is_that_of_the_rows_in_use(subset):
    X, weights = np.ones((6, 2)), np.arange(6.0)
    how = {"dtype": FLOAT64, "device": CPU, "subset": subset}
    assert Rows(X, weights, **how).total_weight() == weights[subset].sum()
    assert Rows(X, **how).total_weight() == len(weights[subset])


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_some_rows_are_from_all_over_the_data(make):
    X, weights = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    how = {"dtype": FLOAT64, "device": CPU, "subset": np.array([5, 1, 3, 0])}
    some, of_some = rows_of(make(X), weights, **how).some(2)
    np.testing.assert_array_equal(some, X[[5, 3]])
    np.testing.assert_array_equal(of_some, [5.0, 3.0])


def test_a_tensor_on_another_device_is_gathered_there():
    """On a device without data of its own, to see that the way from it is taken."""
    there = torch.arange(12.0).reshape(6, 2).to("meta")
    rows = TensorRows(there, dtype=FLOAT64, device=CPU, subset=np.array([5, 1, 3]))
    index, _ = rows.batches(2, shuffle=False, generator=torch.Generator())
    # Targets and tangents beside it are of the device that computes.
    assert isinstance(index, np.ndarray)
    assert rows._gathered(index).device.type == "meta"
    assert rows.results((4,), FLOAT64).device.type == "meta"


def test_dense_data_moves_to_cuda_as_a_whole_if_it_fits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    cuda = torch.device("cuda")
    assert fits_on(cuda, 500)
    assert not fits_on(cuda, 501)
    assert not fits_on(CPU, 1)


def test_what_does_not_fit_on_a_device_goes_there_by_the_batch():
    """On a device without data of its own, to see that the way there is taken."""
    X = np.arange(12.0).reshape(6, 2)
    rows = Rows(X, dtype=FLOAT64, device=torch.device("meta"))
    out = torch.empty((2, 2), dtype=torch.float64, device="meta")
    rows.read(np.array([2, 0]), out)
    np.testing.assert_array_equal(rows._staging, X[[2, 0]].ravel())


def test_clipping_leaves_the_data_alone():
    X = np.array([[-1e-9, 0.5, 1.0 + 1e-9]])
    rows = Rows(X, dtype=FLOAT64, device=CPU, bounds=(0, 1))
    np.testing.assert_array_equal(read(rows, slice(None), 1), [[0.0, 0.5, 1.0]])
    [(_, chunk)] = rows.chunks(3)
    np.testing.assert_array_equal(chunk, [[0.0, 0.5, 1.0]])
    assert X[0, 0] < 0


def test_slices_cover_all_rows_within_bounded_memory(monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK_ELEMENTS", 100)
    parts = list(row_slices(33, 10))
    assert [part.stop - part.start for part in parts] == [10, 10, 10, 3]
    assert list(row_slices(2, 1000)) == [slice(0, 1), slice(1, 2)]


def test_a_thousand_small_images_are_one_chunk():
    assert list(row_slices(1000, 28 * 28)) == [slice(0, 1000)]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("n_rows", "sizes"), [(7, [3, 3, 1]), (6, [3, 3]), (2, [2])])
def test_an_epoch_takes_each_row_once_and_keeps_the_short_batch(n_rows, sizes, shuffle):
    taken = take(n_rows, 3, shuffle)
    assert [len(batch) for batch in taken] == sizes
    assert sorted(np.concatenate(taken)) == list(range(n_rows))


def test_the_order_is_the_seeds():
    first, again, other = (np.concatenate(take(50, 8, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(np.concatenate(take(50, 8, False)), np.arange(50))
