"""Patches, regions, and codes pooled over them, against loops over all positions."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skcae._core.layers import regions
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.patches import (
    CONTRAST,
    WHITENING,
    Patches,
    joined,
    whitening,
)
from skcae._core.layers.rectified import Rectified
from skcae._core.layers.regions import PatchCodes, PooledPatches, parts
from skcae._core.layers.triangle import Triangle
from skcae.activations import ACTIVATIONS

SHAPE = (7, 9, 3)
POOLINGS = {"mean": np.mean, "sum": np.sum, "max": np.max}


def rows(n=4, seed=0):
    return torch.rand(n, 189, generator=torch.Generator().manual_seed(seed)).double()


def assert_derivatives(chain, X, V):
    """Compare the Jacobians of a chain, and their products with V, with autograd's."""
    J = torch.autograd.functional.jacobian(lambda X: chain.outputs(X)[-1].sum(0), X)
    states = chain.states_at(X)
    torch.testing.assert_close(chain.jacobians(states), J.transpose(0, 1))
    pushed = chain.push_forward(states, V[:, None])
    torch.testing.assert_close(pushed[:, 0], torch.einsum("hnd,nd->nh", J, V))


def dense(n_units, n_inputs, activation, seed=1):
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(n_units, n_inputs, generator=generator).double() / 3
    b = torch.randn(n_units, generator=generator).double()
    return Dense(W, b, ACTIVATIONS[activation])


def layer(pooling="mean", stride=(1, 1), **how):
    patches = Patches(SHAPE, (3, 4), stride, how.pop("normalize", True))
    rest = torch.linspace(0, 1, 3).double()
    pool = PooledPatches(patches, (2, 2), pooling, rest)
    code = Chain((dense(5, 36, "sigmoid"), dense(3, 5, "tanh")))
    return PatchCodes(pool, code)


def naive(x, found):
    """Loop over the positions of one image."""
    patches, pool = found.pool.patches, found.pool
    image, (h, w) = x.numpy().reshape(SHAPE), patches.size
    tops, lefts = (
        range(0, SHAPE[axis] - patches.size[axis] + 1, patches.stride[axis])
        for axis in (0, 1)
    )
    codes = np.empty((len(tops), len(lefts), len(pool.rest)))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            z = image[top : top + h, left : left + w].ravel()
            if patches.normalize:
                z = (z - z.mean()) / np.sqrt(z.var() + 10 / 255**2)
            for part in found.code.layers:
                a = torch.tensor(part.weights.numpy() @ z + part.intercept.numpy())
                z = part.activation(a).numpy()
            codes[i, j] = z
    codes = codes - pool.rest.numpy() if pool.pooling == "sum" else codes
    return np.concatenate(
        [
            POOLINGS[pool.pooling](block, axis=(0, 1))
            for line in np.array_split(codes, pool.regions[0], axis=0)
            for block in np.array_split(line, pool.regions[1], axis=1)
        ]
    )


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("k", [1, 2, 3])
def test_regions_are_cut_as_numpy_cuts(n, k):
    expected = np.array_split(np.arange(n), k)
    for part, positions in zip(parts(n, k), expected, strict=True):
        assert list(range(n))[part] == list(positions)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("how", [{}, {"stride": (2, 3)}, {"normalize": False}])
@pytest.mark.parametrize("band", [1, 40, 2**20])
def test_pooled_codes_are_those_of_a_loop(pooling, how, band, monkeypatch):
    monkeypatch.setattr(regions, "BAND_ELEMENTS", band)
    X, found = rows(), layer(pooling, **how)
    expected = [naive(x, found) for x in X]
    assert_allclose(found.outputs(X), expected, rtol=1e-12, atol=1e-12)
    assert found.n_units == 12


@pytest.mark.parametrize("pooling", POOLINGS)
def test_products_with_the_jacobian_are_those_of_autograd(pooling):
    X, found = rows(2), layer(pooling)
    J = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda x: found.outputs(x[None])[0], x)
            for x in X
        ]
    )
    chain = Chain((found,))
    states = chain.states_at(X)
    torch.testing.assert_close(chain.jacobians(states), J)
    V = rows(6, 2).view(2, 3, -1)
    torch.testing.assert_close(chain.push_forward(states, V), V @ J.mT)
    norms = chain.squared_norms(states, 2**20)
    torch.testing.assert_close(norms, J.square().sum((1, 2)))


def test_the_gradient_of_its_weights():
    X, found = rows(2), layer("sum")
    names = list(found.parameters)
    tensors = [part.clone().requires_grad_() for part in found.parameters.values()]
    assert torch.autograd.gradcheck(
        lambda *parts: found.with_parameters(
            dict(zip(names, parts, strict=True))
        ).outputs(X),
        tensors,
        fast_mode=True,
    )


def test_a_patch_without_contrast_is_nothing():
    patches = Patches(SHAPE, (3, 4), (1, 1), True)
    views = patches.views(torch.full((1, 189), 0.25))
    assert (patches.rows_of(views) == 0).all()
    # And a bright one is what a dark one is, in single precision too.
    X = rows().float() / 4
    dark, bright = (patches.rows_of(patches.views(Z)) for Z in (X, X + 0.7))
    torch.testing.assert_close(bright, dark, rtol=0, atol=1e-5)


def test_whitened_rows_have_the_covariance_that_the_constant_leaves():
    X = rows(300).view(-1, 21)
    X = X @ torch.linspace(0.2, 3, 21).diag().double() + 4
    white = whitening(X)
    U = white.outputs(X)
    torch.testing.assert_close(U.mean(0), torch.zeros(21).double(), atol=1e-12, rtol=0)
    D, V = np.linalg.eigh(np.cov(X.T, bias=True))
    assert_allclose(np.cov(U.T, bias=True), V * (D / (D + WHITENING)) @ V.T, atol=1e-12)
    # P is symmetric: of all matrices that whiten it moves the rows least.
    torch.testing.assert_close(white.weights, white.weights.mT)


def test_whitening_and_the_first_layer_are_one():
    X = rows(60).view(-1, 21)
    white, first = whitening(X), dense(4, 21, "tanh")
    both = joined(white, first)
    torch.testing.assert_close(both.outputs(X), first.outputs(white.outputs(X)))


def test_its_filters_are_images():
    found = layer()
    W = found.code.layers[0].weights.numpy()
    assert_allclose(found.filters, W.reshape(5, 3, 4, 3))
    assert CONTRAST == 10 / 255**2


# ---- k-means' code -------------------------------------------------------------------


def test_a_triangle_is_what_is_nearer_than_the_average():
    triangle, X = Triangle(rows(5)), torch.cat([rows(3, 1), rows(1)])
    z = np.linalg.norm(X.numpy()[:, None] - triangle.centres.numpy(), axis=2)
    expected = np.maximum(0, z.mean(1, keepdims=True) - z)
    assert_allclose(triangle.outputs(X), expected, atol=1e-12)
    assert expected[3, 0] == z[3].mean()  # a row that is a centre


def test_the_derivatives_of_a_triangle_are_those_of_autograd():
    generator = torch.Generator().manual_seed(0)
    C, X, V = (
        torch.randn(n, 4, generator=generator).double().requires_grad_()
        for n in (5, 2, 2)
    )
    assert_derivatives(Chain((Triangle(C), dense(3, 5, "tanh"))), X, V)
    assert torch.autograd.gradcheck(lambda C, X: Triangle(C).outputs(X), (C, X))


# ---- what is above a code at rest, and below ----------------------------------------


def test_a_rectified_code_is_what_is_above_its_rest():
    X, r = rows(4), rows(1)[0]
    D = (X - r).numpy()
    above, both = Rectified(r, False), Rectified(r, True)
    assert_allclose(above.outputs(X), np.maximum(0, D))
    assert_allclose(both.outputs(X), np.maximum(0, np.concatenate([D, -D], 1)))
    assert (both.outputs(r[None]) == 0).all()
    moved = both.to(torch.float32, torch.device("cpu"))
    assert moved.rest.dtype == moved.outputs(X.float()).dtype == torch.float32


@pytest.mark.parametrize("splits", [True, False])
def test_the_derivatives_of_a_rectified_code_are_those_of_autograd(splits):
    X, V = rows(3), rows(3, 1)
    rest = torch.full((5,), 0.1).double()
    chain = Chain((dense(5, X.shape[1], "tanh"), Rectified(rest, splits)))
    X.requires_grad_()
    assert_derivatives(chain, X, V)
    assert torch.autograd.gradcheck(lambda X: chain.outputs(X)[-1], (X,))
