"""What torch differentiates is what the closed forms are, and goes beyond them."""

import pytest
import torch
from torch.func import jvp, vmap

from skcae._core.layers.chain import Chain
from skcae._core.layers.convolution import Convolution
from skcae._core.layers.dense import Dense
from skcae._core.layers.pooling import AveragePooling, MaxPooling
from skcae._core.steps.differentiated import DifferentiatedObjective
from skcae._core.steps.supervised import NetworkObjective
from skcae._core.steps.tangents import TangentObjective, Tangents
from skcae.activations import ACTIVATIONS
from skcae.losses import IDENTITY, LOG_SOFTMAX, LOSSES
from tests import oracles

LOSS = {**LOSSES, "log_softmax": LOG_SOFTMAX}
WEIGHTS = [None, torch.tensor([0.5, 2.0, 0.0, 1.0, 1.5], dtype=torch.float64)]


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def output_of(h, o=3):
    return Dense(draw(o, h, seed=5), draw(o, seed=6), ACTIVATIONS["identity"])


def formed(gradient, chain):
    """The gradient of the mean, as tensors."""
    found = {name: torch.zeros_like(part) for name, part in chain.parameters.items()}
    for name, tensor in found.items():
        gradient.add_to({name: tensor}, chain.parameters)
    return found


def of_closed_form(loss, tangents, decay):
    if tangents is None:
        return NetworkObjective(loss, decay=decay)
    return TangentObjective(loss, tangents, decay=decay)


@pytest.mark.parametrize("loss", LOSS)
@pytest.mark.parametrize("weights", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("n_tangents", [0, 2])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softplus", "elu"])
@pytest.mark.parametrize("linear", [False, True], ids=["outputs", "linear"])
def test_it_is_the_closed_form_of_dense_layers(
    loss, weights, n_tangents, activation, linear
):
    first = Dense(draw(6, 4), draw(6, seed=1), ACTIVATIONS[activation])
    second = Dense(draw(5, 6, seed=2), draw(5, seed=3), ACTIVATIONS[activation])
    chain = Chain((first, second, output_of(5)))
    X, T = draw(5, 4, seed=7), torch.rand(5, 3, dtype=torch.float64)
    T = T / T.sum(1, keepdim=True)
    output = IDENTITY if linear else LOSS[loss].output
    tangents = None
    if n_tangents:
        tangents = Tangents(draw(5, n_tangents, 4, seed=8), 0.3, output)
    closed = of_closed_form(LOSS[loss], tangents, 0.1)
    ours = DifferentiatedObjective(LOSS[loss], tangents=tangents, decay=0.1)
    assert ours.columns_per_row == closed.columns_per_row
    every = slice(None)
    values, gradient = ours.values_and_gradient(chain, every, X, T, weights)
    expected, others = closed.values_and_gradient(chain, every, X, T, weights)
    torch.testing.assert_close(values, expected)
    found, expected = formed(gradient, chain), formed(others, chain)
    assert found.keys() == expected.keys()
    for name, part in found.items():
        torch.testing.assert_close(part, expected[name], msg=name)


@pytest.mark.parametrize("pooling", [MaxPooling, AveragePooling])
def test_pooled_convolutions_have_a_naive_objective(pooling):
    tanh, identity = ACTIVATIONS["tanh"], ACTIVATIONS["identity"]
    first = Convolution(draw(2, 1, 3, 3), draw(2, seed=1), tanh, (5, 4, 1))
    chain = Chain((first, pooling(first.code_shape, 2), output_of(12)))
    X, T, U = draw(4, 20, seed=2), draw(4, 3, seed=3), draw(4, 2, 20, seed=4)
    tangents = Tangents(U, 0.3, IDENTITY)
    objective = DifferentiatedObjective(LOSSES["squared_error"], tangents=tangents)
    index = torch.tensor([2, 0, 3])
    values, gradient = objective.values_and_gradient(
        chain, index, X[index], T[index], None
    )
    leaves = [part.clone().requires_grad_() for part in chain.parameters.values()]
    names = dict(zip(chain.parameters, leaves, strict=True))

    def outputs(x):
        images = x.view(1, 5, 4, 1).permute(0, 3, 1, 2)
        a = torch.nn.functional.conv2d(
            images, names["coefs.0"], names["intercepts.0"], padding=1
        )
        pool = torch.nn.functional.max_pool2d
        if pooling is AveragePooling:
            pool = torch.nn.functional.avg_pool2d
        how = {"ceil_mode": True}
        if pooling is AveragePooling:
            how["count_include_pad"] = False
        h = pool(oracles.ACTIVATIONS["tanh"](a), 2, **how)
        h = h.permute(0, 2, 3, 1).flatten()
        return names["coefs.2"] @ h + names["intercepts.2"]

    expected = []
    for i in index:
        z = outputs(X[i])
        changes = vmap(lambda u, i=i: jvp(outputs, (X[i],), (u,))[1])(U[i])
        loss = (z - T[i]).square().sum()
        expected.append(torch.stack((loss, 0.3 * changes.square().sum())))
    expected = torch.stack(expected, 1)
    assert identity is chain.layers[-1].activation
    torch.testing.assert_close(values, expected.detach())
    derivatives = torch.autograd.grad(expected.sum(0).mean(), leaves)
    for name, derivative in zip(names, derivatives, strict=True):
        torch.testing.assert_close(formed(gradient, chain)[name], derivative, msg=name)
