"""Moments of the columns, and what columns that are not scaled ask of the start."""

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from scipy import sparse

from skcae._core.data.arrays import make_generator
from skcae._core.data.moments import (
    Moments,
    moments_of,
    moments_of_block,
    scaling_of,
)
from skcae._core.data.tensors import rows_of as make_rows
from skcae._core.layers.coder import initial_parameters

CPU = torch.device("cpu")


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 4)) * [0.1, 4.0, 32.0, 1.0] + [0.0, 1e6, -5.0, 0.5]


def rows_of(X, weights=None, **how):
    return make_rows(X, weights, dtype=np.dtype(np.float64), device=CPU, **how)


def moments_of_array(X, weights=None):
    weights = None if weights is None else torch.from_numpy(weights)
    return moments_of_block(torch.from_numpy(X.copy()), weights)


def assert_same_moments(one, other):
    np.testing.assert_allclose(one.weight, other.weight)
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-9)


@pytest.mark.parametrize(
    "kind",
    [np.asarray, sparse.csr_matrix, torch.tensor],
    ids=["dense", "csr", "tensor"],
)
@pytest.mark.parametrize("zeros", [0, 30])
def test_moments_are_those_of_numpy_in_chunks_of_any_size(kind, zeros, X, monkeypatch):
    X[::3, 1] = X[:zeros, 2] = 0
    expected = Moments(50, X.mean(0), X.var(0))
    for size in (4, 12, 2**21):
        monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", size)
        assert_same_moments(moments_of(rows_of(kind(X))), expected)


def test_a_weight_of_two_is_the_row_twice_and_one_of_zero_no_row(X):
    weights = np.random.default_rng(1).integers(0, 3, 50)
    repeated = X.repeat(weights, axis=0)
    assert_same_moments(
        moments_of(rows_of(X, weights.astype(float))), moments_of(rows_of(repeated))
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("level", [50.0, 1e8])
def test_of_columns_that_are_stored_as_a_whole_nothing_is_left(level, seed):
    """Whatever rounding makes of their weights, and of rows that have none."""
    rng = np.random.default_rng(seed)
    weights = rng.random(60) * (np.arange(60) % 7 > 0)
    X = np.c_[np.full(60, level), level + rng.normal(size=60), rng.normal(size=60)]
    X[3, 2] = 0
    dense, found = (
        moments_of(rows_of(kind(X), weights)) for kind in (np.asarray, sparse.csr_array)
    )
    np.testing.assert_allclose(found.variance, dense.variance, rtol=1e-6, atol=1e-12)
    one, other = scaling_of(dense), scaling_of(found)
    np.testing.assert_array_equal(one.shift, other.shift)
    np.testing.assert_array_equal(one.scale, other.scale)


def test_only_the_subset_counts(X):
    subset = np.array([3, 7, 8])
    assert_same_moments(
        moments_of(rows_of(X, subset=subset)), moments_of_array(X[subset])
    )


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_part_without_weight_adds_nothing(empty, X):
    parts = [moments_of_array(X[:20]), moments_of_array(X[20:])]
    parts.insert(empty, moments_of_array(X[:3], np.zeros(3)))
    assert_same_moments(reduce(add, parts), moments_of_array(X))


# ---- what is left alone ---------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    {
        "unit": np.random.default_rng(0).random((30, 3)),
        "ends": np.array([[0.0, 1.0], [0.0, 1.0]]),
        "standardised": np.random.default_rng(0).normal(size=(400, 3)),
        "without weight": np.zeros((0, 3)),
        "overflowing": np.full((2, 3), 1e200) * [[1], [-1]],
    }.values(),
    ids=str,
)
def test_scaled_columns_are_left_alone(columns):
    assert scaling_of(moments_of_array(columns, np.ones(len(columns)))) is None


def test_far_columns_are_shifted_and_scaled_and_the_others_not(X):
    scaling = scaling_of(moments_of_array(X))
    assert scaling.scale[1] in (2, 4, 8)
    assert scaling.scale[2] in (16, 32, 64)
    np.testing.assert_array_equal(scaling.scale[[0, 3]], 1)
    np.testing.assert_array_equal(scaling.shift[[0, 3]], 0)
    scaled = (X - scaling.shift) / scaling.scale
    assert np.abs(scaled.mean(0)[1:3]).max() < 0.1
    assert np.all((scaled.std(0)[1:3] > 2**-0.5) & (scaled.std(0)[1:3] < 2**0.5))


def test_the_order_of_the_rows_does_not_change_a_bit(X):
    scalings = [
        scaling_of(reduce(add, map(moments_of_array, parts)))
        for parts in ([X], [X[::-1]], [X[:7], X[7:]], [X[40:], X[:40]])
    ]
    for scaling in scalings[1:]:
        np.testing.assert_array_equal(scaling.shift, scalings[0].shift)
        np.testing.assert_array_equal(scaling.scale, scalings[0].scale)


# ---- the start ------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_start_encodes_the_scaled_rows_and_draws_nothing_more(X, tied, dtype):
    generators = make_generator(0), make_generator(0)
    scaling = scaling_of(moments_of_array(X))
    plain, scaled = (
        initial_parameters(
            4,
            6,
            tied_weights=tied,
            generator=generator,
            dtype=dtype,
            device=CPU,
            scaling=given,
        )
        for generator, given in zip(generators, (None, scaling), strict=True)
    )
    assert torch.equal(*(generator.get_state() for generator in generators))
    rows = torch.from_numpy(X).to(dtype)
    inputs = (rows - torch.from_numpy(scaling.shift)) / torch.from_numpy(scaling.scale)
    encoded = rows @ scaled["components"].T + scaled["intercept_hidden"]
    expected = inputs.to(dtype) @ plain["components"].T
    tolerance = {torch.float32: 0.5, torch.float64: 1e-8}[dtype]  # of 1e6 × 1e-7
    torch.testing.assert_close(encoded, expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(
        scaled["intercept_visible"], torch.from_numpy(scaling.shift).to(dtype)
    )
    if not tied:
        assert torch.equal(scaled["decoder_components"], plain["decoder_components"])


def test_few_entries_in_many_columns_are_one_block():
    """Each block takes a number for each column, however few entries it has."""
    X = sparse.random_array((500, 100_000), density=1e-5, format="csr", rng=0)
    ((block, weights),) = rows_of(X).blocks()
    assert (block != X).nnz == 0
    assert weights is None
