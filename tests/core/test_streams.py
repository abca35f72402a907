"""Rows that come in order, in blocks that are shuffled by themselves."""

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skcae._core.data import streams


def rows_of(X, sizes):
    """The rows of an array in pieces of these sizes."""
    return streams.StreamedRows(
        np.split(X, np.cumsum(sizes)[:-1]),
        X.shape,
        dtype=X.dtype,
        device=torch.device("cpu"),
    )


def epoch(X, sizes, batch_size, shuffle=True, seed=0):
    rows = rows_of(X, sizes)
    generator = torch.Generator().manual_seed(seed)
    taken = []
    for index in rows.batches(batch_size, shuffle=shuffle, generator=generator):
        out = torch.empty((rows.count(index), X.shape[1]), dtype=torch.float64)
        rows.read(index, out)
        taken.append(out.numpy())
    return taken


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("sizes", [(40,), (13, 13, 14), (1,) * 40, (39, 1)])
def test_blocks_hold_whole_batches_and_each_row_once(sizes, shuffle, monkeypatch):
    monkeypatch.setattr(streams, "BLOCK_ELEMENTS", 2 * 13)
    X = np.arange(80.0).reshape(40, 2)
    taken = epoch(X, sizes, 4, shuffle)
    assert [len(batch) for batch in taken] == [4] * 10
    blocks = [np.concatenate(taken[k : k + 3]) for k in range(0, 10, 3)]
    for k, block in enumerate(blocks):
        expected = X[12 * k : 12 * k + 12]
        assert_array_equal(np.sort(block, axis=0), expected)
        assert (block != expected).any() == shuffle


def test_a_block_holds_one_batch_at_least(monkeypatch):
    monkeypatch.setattr(streams, "BLOCK_ELEMENTS", 1)
    X = np.arange(40.0)[:, None]
    taken = epoch(X, (9, 31), 16)
    assert [len(batch) for batch in taken] == [16, 16, 8]
    assert_array_equal(np.sort(taken[1], axis=0), X[16:32])


def test_memory_is_that_of_a_block(monkeypatch):
    monkeypatch.setattr(streams, "BLOCK_ELEMENTS", 100)
    X = np.zeros((1000, 5))
    rows = rows_of(X, [50] * 20)
    for _ in rows.batches(4, shuffle=True, generator=torch.Generator()):
        assert rows._block.numel() <= 100


@pytest.mark.parametrize("batch_size", [10, 10_000])
def test_a_block_is_gone_before_the_next_epoch_makes_its_own(batch_size):
    X = np.zeros((10_000, 50))
    rows = rows_of(X, [100] * 100)
    tracemalloc.start()
    try:
        for _ in range(3):
            for _ in rows.batches(
                batch_size, shuffle=True, generator=torch.Generator()
            ):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert X.nbytes <= peak < 1.5 * X.nbytes
