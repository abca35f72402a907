"""The gradient as it is kept, against the one that is formed."""

import pytest
import torch

from skcae._core.layers.dense import MatrixFactors, VectorFactors
from skcae._core.layers.gradient import Gradient


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def parameters():
    return {"W": draw(3, 4), "b": draw(3, seed=1), "c": draw(3, seed=7)}


@pytest.fixture(params=[True, False], ids=["norms", "no norms"])
def gradient(request):
    """Half the sum over two samples, with or without what comes through the norms."""
    d_norms = draw(3, seed=2) if request.param else None
    factors = MatrixFactors(draw(3, 2, seed=3), draw(2, 4, seed=4), d_norms)
    sums = VectorFactors(draw(3, 2, seed=8), torch.ones(2).double())
    return Gradient(0.5, {"W": factors, "b": draw(3, seed=5), "c": sums})


def formed(gradient, parameters):
    factors = gradient.parts["W"]
    dW = factors.left @ factors.right
    if factors.d_norms is not None:
        dW += 2 * factors.d_norms[:, None] * parameters["W"]
    dc = gradient.parts["c"].dA.sum(1)
    return {"W": 0.5 * dW, "b": 0.5 * gradient.parts["b"], "c": 0.5 * dc}


@pytest.mark.parametrize("decay", [0.0, 1.0, 0.9])
def test_it_is_added_to_what_is_left_of_a_tensor(gradient, parameters, decay):
    for name, expected in formed(gradient, parameters).items():
        before = draw(*expected.shape, seed=6)
        tensor = before.clone()
        gradient.add_to({name: tensor}, parameters, decay=decay)
        torch.testing.assert_close(tensor, decay * before + expected)


def test_a_step_down_is_the_same_without_forming_it(gradient, parameters):
    before = {name: p.clone() for name, p in parameters.items()}
    expected = formed(gradient, before)
    rates = {"W": 0.1, "b": 0.3, "c": 0.2}
    gradient.descend(parameters, rates)
    for name, rate in rates.items():
        moved = before[name] - rate * expected[name]
        torch.testing.assert_close(parameters[name], moved)
