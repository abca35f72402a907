"""The closed-form gradient of the whole objective against automatic differentiation."""

import pytest
import torch

from skcae._core.steps import workspace as batch
from skcae._core.steps.objective import Objective
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from skcae.penalties import DerivativePenalty, WeightDecay
from tests import oracles, steps

NAMES = sorted(ACTIVATIONS)
SETTINGS = [
    pytest.param(0.0, 0.0, id="plain"),
    pytest.param(0.3, 0.0, id="jacobian"),
    pytest.param(0.0, 0.05, id="hessian"),
    pytest.param(0.3, 0.05, id="both"),
]


def make_objective(activation, loss, jacobian_penalty, hessian_penalty):
    penalties = ((jacobian_penalty, 1), (hessian_penalty, 2))
    return Objective(
        ACTIVATIONS[activation],
        LOSSES[loss],
        tuple((s, DerivativePenalty(order)) for s, order in penalties if s),
    )


@pytest.fixture
def X():
    generator = torch.Generator().manual_seed(1)
    return torch.rand((6, 4), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize(("jacobian_penalty", "hessian_penalty"), SETTINGS)
@pytest.mark.parametrize("activation", NAMES)
def test_value_and_gradient_equal_autograd_of_the_naive_objective(
    activation, jacobian_penalty, hessian_penalty, loss, tied, layer, X
):
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5, 1.5, 1.0], dtype=torch.float64)
    parameters = {n: p.requires_grad_() for n, p in layer(tied=tied).items()}
    expected = oracles.objective(
        parameters,
        X,
        weights,
        activation=activation,
        loss=loss,
        jacobian_penalty=jacobian_penalty,
        hessian_penalty=hessian_penalty,
    )
    expected.backward()

    objective = make_objective(activation, loss, jacobian_penalty, hessian_penalty)
    value, gradient = steps.value_and_gradient(objective, parameters, X, weights)
    with torch.no_grad():
        per_sample = objective.per_sample(objective.coder(parameters), X)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(weights @ per_sample / len(X), value)
    assert gradient.keys() == parameters.keys()
    for name, parameter in parameters.items():
        torch.testing.assert_close(
            gradient[name], parameter.grad, rtol=1e-10, atol=1e-10, msg=name
        )


def test_cross_entropy_is_stable_at_extreme_logits():
    X = torch.tensor([[0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    Z = torch.tensor([[800.0, -800.0, 800.0, -800.0]], dtype=torch.float64)
    loss = LOSSES["cross_entropy"]
    torch.testing.assert_close(loss.value(X, Z), torch.tensor([1600.0]).double())
    torch.testing.assert_close(
        loss.gradient_in_place(X, Z), torch.tensor([[1.0, -1.0, 0.0, 0.0]]).double()
    )


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_everything_runs_on_the_meta_device(loss, layer):
    """No tensor of the step is made on another device than its operands."""
    parameters = {n: p.to("meta") for n, p in layer(tied=False).items()}
    X = torch.empty((6, 4), dtype=torch.float64, device="meta")
    objective = make_objective("sigmoid", loss, 0.1, 0.1)
    value, gradient = steps.value_and_gradient(objective, parameters, X, X[:, 0])
    assert value.is_meta
    assert all(g.is_meta for g in gradient.values())


@pytest.mark.parametrize("activation", NAMES)
def test_tiles_and_a_short_batch_change_nothing(activation, layer, X, monkeypatch):
    """A batch smaller than its memory, its work cut in pieces that do not divide it."""
    weights = torch.linspace(0.5, 1.5, len(X), dtype=torch.float64)
    hessian_penalty = 0.05 if ACTIVATIONS[activation].curved else 0.0
    objective = make_objective(activation, "cross_entropy", 0.3, hessian_penalty)
    parameters = layer(n_components=7)
    value, gradient = steps.value_and_gradient(objective, parameters, X, weights)
    monkeypatch.setattr(batch, "TILE_ELEMENTS", 20)
    tiled_value, tiled_gradient = steps.value_and_gradient(
        objective, parameters, X, weights, batch_size=10
    )
    torch.testing.assert_close(tiled_value, value, rtol=1e-13, atol=0)
    for name, expected in gradient.items():
        torch.testing.assert_close(
            tiled_gradient[name], expected, rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("tied", [True, False])
def test_no_weights_are_weights_of_one(tied, layer, X):
    objective = make_objective("tanh", "squared_error", 0.3, 0.05)
    parameters = layer(tied=tied)
    ones = torch.ones(len(X), dtype=X.dtype)
    value, gradient = steps.value_and_gradient(objective, parameters, X)
    weighted = steps.value_and_gradient(objective, parameters, X, ones)
    torch.testing.assert_close(weighted[0], value)
    for name, expected in gradient.items():
        torch.testing.assert_close(weighted[1][name], expected)


def test_linear_units_with_a_jacobian_penalty_have_weight_decay(layer, X):
    weights = torch.linspace(0.5, 1.5, len(X), dtype=torch.float64)
    value, gradient = steps.value_and_gradient(
        make_objective("identity", "squared_error", 0.3, 0.0), layer(), X, weights
    )
    decay = Objective(
        ACTIVATIONS["identity"], LOSSES["squared_error"], ((0.3, WeightDecay()),)
    )
    decayed_value, decayed = steps.value_and_gradient(decay, layer(), X, weights)
    torch.testing.assert_close(decayed_value, value)
    for name, expected in gradient.items():
        torch.testing.assert_close(decayed[name], expected)
    unweighted, _ = steps.value_and_gradient(decay, layer(), X)
    torch.testing.assert_close(
        decay.per_sample(decay.coder(layer()), X).mean(), unweighted
    )
