"""Receptive fields: what units see, and norms by sums of rows that do not meet."""

import numpy as np
import pytest
import torch

from skcae import ConvolutionalCAE
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.receptive import Comb, single
from skcae.activations import ACTIVATIONS
from skcae.inspection import jacobian, jacobian_norm
from tests.core.test_convolutional import make, parameters_of

N_ROWS = 2
# Beside what all have, and how many of the units (rows, columns, filters) a norm takes
# in one period.
CASES = {
    "mean of a layer": ({"pool": "average"}, (2, 2, 3)),
    "strides of their own": ({"stride": (2, 1)}, (2, 3, 3)),
    "valid": ({"padding": "valid", "kernel_size": (2, 4)}, (2, 4, 3)),
    "two layers": ({"n_filters": (2, 3)}, (5, 5, 3)),
    "two layers of means": ({"n_filters": (2, 3), "pool": "average"}, (3, 3, 3)),
    "two layers of the largest": ({"n_filters": (2, 3), "pool": "max"}, (3, 3, 3)),
    "two layers of strides": ({"n_filters": (2, 3), "stride": (2, 2)}, (2, 2, 3)),
    "windows without overlap": ({"stride": (3, 3), "kernel_size": (3, 3)}, (1, 1, 3)),
    "a signal": ({"image_shape": (1, 30, 2), "kernel_size": (1, 3)}, (1, 3, 3)),
}


def encoder(**parts):
    """The encoder of such convolutions, with random weights."""
    architecture = make(**parts)
    return architecture.network(parameters_of(architecture)).encoder


@pytest.fixture(params=CASES)
def case(request):
    """An encoder, and the period along the axes of its code."""
    given, expected = CASES[request.param]
    return encoder(**{"image_shape": (13, 11, 2), **given}), expected


def jacobians(chain):
    """States at some rows, and dense Jacobians there by torch alone."""
    how = {"generator": torch.Generator().manual_seed(1), "dtype": torch.float64}
    X = torch.randn(N_ROWS, chain.n_features, **how)
    J = torch.stack(
        [
            torch.autograd.functional.jacobian(
                lambda x: chain.linearized(x[None])[0][-1][0], x
            )
            for x in X
        ]
    )
    return chain.states_at(X), J


def test_a_period_is_the_least_that_keeps_fields_apart(case):
    chain, expected = case
    comb = chain.code_vectors
    assert (*comb.period, comb.shape[2]) == expected
    assert len(comb) == np.prod(expected) < chain.n_components


@pytest.mark.parametrize("side", ["code", "input"])
def test_what_a_vector_sums_up_does_not_meet(case, side):
    chain, _ = case
    _, J = jacobians(chain)
    vectors = (chain.code_vectors if side == "code" else chain.input_vectors).vectors()
    # Each unit, or pixel, is in one of them.
    assert torch.equal(vectors.sum(0), torch.ones(vectors.shape[1]))
    assert set(vectors.unique().tolist()) == {0, 1}
    touched = (J if side == "code" else J.mT) != 0
    assert (vectors.double() @ touched.double()).max() == 1


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shorter_period_would_not_do(case, axis):
    chain, expected = case
    period = list(expected[:2])
    if period[axis] == 1:
        pytest.skip("no unit meets another")
    period[axis] -= 1
    vectors = Comb(chain.code_vectors.shape, tuple(period)).vectors()
    _, J = jacobians(chain)
    # At a border, and where there is another winner, units may see less.
    assert (vectors.double() @ (J != 0).double()).max() > 1


def test_norms_are_those_of_dense_jacobians(case):
    chain, _ = case
    states, J = jacobians(chain)
    expected = J.square().sum((1, 2))
    for found in (chain.norms_from_code(states), chain.squared_norms(states, 1000)):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)


def test_the_side_of_fewer_vectors_is_taken():
    """One channel of pixels, and many filters."""
    chain = encoder(
        image_shape=(9, 9, 1), n_filters=(20,), kernel_size=(2, 2), pool="average"
    )
    assert (len(chain.code_vectors), len(chain.input_vectors)) == (80, 9)
    states, J = jacobians(chain)
    torch.testing.assert_close(
        chain.squared_norms(states, 10**6), J.square().sum((1, 2)), rtol=1e-13, atol=0
    )


def test_the_gradient_is_that_by_unit_vectors(case):
    chain, _ = case
    leaves = {n: p.clone().requires_grad_() for n, p in chain.parameters.items()}
    chain = chain.with_parameters(leaves)
    X = torch.randn(N_ROWS, chain.n_features, dtype=torch.float64)
    states = chain.states_at(X)
    unit = chain.unit_vectors(states, chain.n_components)
    naive = chain.pull_back(states, unit).square().sum()
    pairs = [
        torch.autograd.grad(value, list(leaves.values()), retain_graph=True)
        for value in (chain.norms_from_code(states).sum(), naive)
    ]
    for found, expected in zip(*pairs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_dense_layer_sees_all():
    W = torch.ones(4, 6, dtype=torch.float64)
    chain = Chain((Dense(W, W.new_zeros(4), ACTIVATIONS["tanh"]),))
    assert chain.receptive_field is None
    assert torch.equal(chain.code_vectors.vectors(), torch.eye(4))
    assert torch.equal(single(6).vectors(), torch.eye(6))


def test_a_fitted_encoder_has_the_norm_of_its_jacobian():
    X = np.random.default_rng(0).random((6, 12 * 10))
    model = ConvolutionalCAE(
        3,
        3,
        image_shape=(12, 10),
        pool="average",
        jacobian_penalty=0.1,
        jacobian_method="exact",
        max_iter=10,
        tol=1,
        random_state=0,
    ).fit(X)
    expected = np.linalg.norm(jacobian(model, X), axis=(1, 2))
    np.testing.assert_allclose(jacobian_norm(model, X), expected, rtol=1e-12)
