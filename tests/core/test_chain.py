"""Layers one after the other, as what they are made of says.

The formulas are held against automatic differentiation in `test_layers.py`.
"""

from itertools import pairwise

import pytest
import torch

from skcae._core.layers.chain import Chain, row_space
from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import power_of_two
from skcae.activations import ACTIVATIONS


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def chain_of(*sizes, activation="tanh"):
    return Chain(
        tuple(
            Dense(draw(h, d, seed=d), draw(h, seed=h), ACTIVATIONS[activation])
            for d, h in pairwise(sizes)
        )
    )


def test_its_sizes():
    chain = chain_of(3, 9, 5)
    assert (chain.n_features, chain.n_components, chain.most_units) == (3, 5, 9)
    assert (chain.n_singular_values, chain.jacobian_size, chain.width) == (3, 27, 9)
    assert chain.n_multiplications == 45


def test_its_parameters_are_the_layers_own():
    chain = chain_of(3, 4, 2)
    names = ["coefs.0", "coefs.1", "intercepts.0", "intercepts.1"]
    assert list(chain.parameters) == names
    X = draw(5, 3)
    other = {name: 2 * p for name, p in chain.parameters.items()}
    doubled, before = chain.with_parameters(other), chain.outputs(X)[-1]
    for parameter in chain.parameters.values():
        parameter.mul_(2)
    assert torch.equal(doubled.outputs(X)[-1], chain.outputs(X)[-1])
    assert not torch.equal(before, chain.outputs(X)[-1])


def test_it_goes_to_another_precision():
    chain = chain_of(3, 4).to(torch.float32, torch.device("cpu"))
    assert {p.dtype for p in chain.parameters.values()} == {torch.float32}
    assert chain.to(torch.float32, torch.device("meta")).parameters["coefs.0"].is_meta


def test_outputs_can_start_at_a_pre_activation_which_they_overwrite():
    chain, X = chain_of(3, 4, 2), draw(5, 3)
    A = chain.layers[0].pre_activations(X)
    first, second = chain.outputs_from(A)
    assert first.data_ptr() == A.data_ptr()
    expected = chain.outputs(X)
    assert torch.equal(first, expected[0])
    assert torch.equal(second, expected[1])


def test_a_training_step_writes_to_nothing_that_it_is_given():
    chain, X = chain_of(3, 4, 2), draw(3, 5)
    before = X.clone()
    outputs = chain.forward(X)
    dA = torch.ones_like(outputs.pop())
    gradient = chain.backward(outputs, dA)
    assert torch.equal(X, before)
    assert (dA == 1).all()
    assert gradient.scale == 1 / 5
    assert gradient.parts.keys() == chain.parameters.keys()


@pytest.mark.parametrize("budget", [1, 40, 10**6])
def test_norms_are_those_of_the_jacobians_whatever_the_budget(budget):
    for chain in (chain_of(6, 4), chain_of(6, 4, 5), chain_of(3, 9, 5)):
        slopes = chain.states_at(draw(7, chain.n_features))
        expected = chain.jacobians(slopes).square().sum((1, 2))
        torch.testing.assert_close(chain.squared_norms(slopes, budget), expected)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5), (1, 3)])
def test_the_row_space_has_the_gram_matrix(shape):
    W = draw(*shape)
    basis = row_space(W)
    assert basis.shape == (shape[0], min(shape))
    torch.testing.assert_close(basis @ basis.mT, W @ W.mT)


def test_slopes_are_divided_by_powers_of_two_so_that_nothing_is_rounded():
    slopes = [1e-300 * draw(5, 4).abs(), 1e20 * draw(5, 3).abs()]
    layers = [Dense(draw(h, 3), draw(h), ACTIVATIONS["tanh"]) for h in (4, 3)]
    divided, scale = Chain(tuple(layers)).scaled(slopes)
    assert all(((s >= 0.5) & (s <= 1)).any(1).all() for s in divided)
    product = divided[0][:, :1] * scale * divided[1][:, :1]
    assert torch.equal(product, slopes[0][:, :1] * slopes[1][:, :1])


def test_what_has_no_power_of_two_is_left_alone():
    numbers = torch.tensor([0.0, torch.inf, torch.nan, 3.0, 0.25], dtype=torch.float64)
    assert power_of_two(numbers).tolist() == [1, 1, 1, 4, 0.5]
