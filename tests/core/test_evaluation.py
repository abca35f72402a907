"""All rows of a fitted model's data, a chunk at a time."""

import numpy as np
import pytest
import torch

from skcae._core.data import rows as rows_module
from skcae._core.data.evaluation import map_rows, mean_over_rows
from skcae._core.data.rows import Rows

HOW = {"width": 2, "n_multiplications": 4}


@pytest.fixture(params=[4, 1000], ids=["chunks of two rows", "one chunk"])
def X(request, monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK_ELEMENTS", request.param)
    return np.random.default_rng(0).random((5, 2))


def rows_of(X, weights=None):
    return Rows(X, weights, dtype=X.dtype, device=torch.device("cpu"))


@pytest.mark.parametrize("to_disk", [False, True])
@pytest.mark.parametrize("dtype", [None, np.dtype(np.float32)])
def test_results_are_rows_by_rows(X, dtype, to_disk):
    def outer(rows, out):
        out.copy_(rows[:, :, None] * rows[:, None])

    found = map_rows(
        rows_of(X), outer, shape=(2, 2), dtype=dtype, to_disk=to_disk, **HOW
    )
    assert found.dtype == (dtype or X.dtype)
    assert isinstance(found, np.memmap) == to_disk
    np.testing.assert_allclose(found, X[:, :, None] * X[:, None], rtol=1e-6)


@pytest.mark.parametrize("weights", [None, np.array([0.0, 1.0, 0.5, 2.0, 3.0])])
def test_the_mean_is_weighted(X, weights):
    def value(part, rows):
        np.testing.assert_array_equal(rows, X[part])
        return rows.sum(1)

    mean = mean_over_rows(rows_of(X, weights), value, **HOW)
    assert mean == pytest.approx(np.average(X.sum(1), weights=weights), rel=1e-12)
