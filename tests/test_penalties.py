"""The ladder of the closed forms: dense autograd, gradcheck, the paper, limits."""

import pytest
import torch
from torch.autograd import gradcheck

from skcae.activations import ACTIVATIONS
from skcae.penalties import DerivativePenalty
from tests import oracles

NAMES = sorted(ACTIVATIONS)
CURVED = [name for name in NAMES if ACTIVATIONS[name].curved]


def closed_form(parameters, X, activation, order):
    a = X @ parameters["components"].T + parameters["intercept_hidden"]
    phi, h = ACTIVATIONS[activation], oracles.ACTIVATIONS[activation](a)
    squared_rows = parameters["components"].square().sum(1)
    penalty = DerivativePenalty(order)
    return penalty.per_sample(phi.derivatives(h, order), squared_rows)


@pytest.fixture
def X():
    generator = torch.Generator().manual_seed(1)
    return torch.randn((7, 4), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("activation", NAMES)
def test_jacobian_norm_equals_the_dense_jacobian(activation, layer, X):
    parameters = layer()
    expected = oracles.squared_jacobian_norm(parameters, X, activation)
    actual = closed_form(parameters, X, activation, 1)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", NAMES)
def test_hessian_norm_equals_the_dense_hessian(activation, layer, X):
    parameters = layer()
    expected = oracles.squared_hessian_norm(parameters, X, activation)
    actual = closed_form(parameters, X, activation, 2)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_jacobian_norm_equals_the_papers_double_sum(layer, X):
    parameters = layer()
    expected = torch.stack([oracles.sigmoid_penalty_loops(parameters, x) for x in X])
    torch.testing.assert_close(closed_form(parameters, X, "sigmoid", 1), expected)


def test_hessian_norm_is_the_limit_of_the_stochastic_term(layer, X):
    """E‖J(x) − J(x + ε)‖² / σ² tends to ‖H‖²_F (Rifai et al., ECML PKDD 2011)."""
    parameters, sigma, n_draws = layer(), 1e-3, 20_000
    generator = torch.Generator().manual_seed(2)
    x = X[:1]
    noise = torch.randn((n_draws, 4), generator=generator, dtype=torch.float64)
    moved = oracles.jacobian(parameters, x + sigma * noise, "sigmoid")
    change = moved - oracles.jacobian(parameters, x, "sigmoid")
    stochastic = change.square().sum((1, 2)).mean() / sigma**2
    exact = closed_form(parameters, x, "sigmoid", 2)[0]
    torch.testing.assert_close(stochastic, exact, rtol=0.03, atol=0.0)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("activation", NAMES)
def test_gradcheck_on_weights_bias_and_input(activation, order, layer, X):
    """The closed form itself is differentiable in W, b and x, and rightly so."""
    parameters = layer()

    def penalty(W, b, x):
        return closed_form(
            {"components": W, "intercept_hidden": b}, x, activation, order
        )

    arguments = [
        tensor.clone().requires_grad_()
        for tensor in (parameters["components"], parameters["intercept_hidden"], X)
    ]
    assert gradcheck(penalty, arguments)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("activation", NAMES)
def test_gradient_equals_autograd_of_the_dense_norm(activation, order, layer, X):
    parameters = {name: p.requires_grad_() for name, p in layer().items()}
    weights = torch.linspace(0.0, 2.0, len(X), dtype=torch.float64)
    dense = [oracles.squared_jacobian_norm, oracles.squared_hessian_norm][order - 1]
    dense_norms = dense(parameters, X, activation)
    if dense_norms.requires_grad:
        (weights @ dense_norms).backward()

    with torch.no_grad():
        W, b = parameters["components"], parameters["intercept_hidden"]
        phi = ACTIVATIONS[activation]
        H = phi(X @ W.T + b)
        derivatives = phi.derivatives(H, order + 1)
        squared_rows = W.square().sum(1)
        dA, scratch = torch.zeros_like(H), torch.empty_like(H)
        penalty = DerivativePenalty(order)
        q = penalty.sums(derivatives, weights, scratch)
        penalty.add_through_activations(
            dA, derivatives, squared_rows**order, weights, scratch, 1.0
        )
        rows = 2 * order * squared_rows ** (order - 1) * q
        dW = dA.T @ X + rows[:, None] * W
        db = dA.sum(0)
    for actual, parameter in [(dW, W), (db, b)]:
        expected = (
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        )
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-11)


def test_identity_gives_the_squared_norm_of_the_weights(layer, X):
    parameters = layer()
    expected = parameters["components"].square().sum().expand(len(X))
    torch.testing.assert_close(closed_form(parameters, X, "identity", 1), expected)


@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_without_curvature_the_hessian_vanishes(activation, layer, X):
    assert not closed_form(layer(), X, activation, 2).any()
