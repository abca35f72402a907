"""The Hessian penalty of any module, against dense second derivatives in float64."""

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian

from skcae._core.modules import parts
from skcae._core.modules.closed_form import closed_form
from skcae.activations import ACTIVATIONS as OURS
from skcae.functional import hessian_penalty
from skcae.penalties import DerivativePenalty, SampledHessianPenalty
from tests.test_functional import (
    ACTIVATIONS,
    CONVOLUTIONS,
    POOLS,
    built,
    dense_jacobians,
    rows,
)

DEEP = built(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 5), nn.Sigmoid())


def dense_norms(encoder, X):
    """‖H‖² of each row, from the second derivatives of each entry of its code."""

    def norm(x):
        n_codes = encoder(x[None]).numel()
        found = [
            hessian(lambda x, k=k: encoder(x[None]).flatten()[k], x, create_graph=True)
            for k in range(n_codes)
        ]
        return sum(H.square().sum() for H in found)

    return torch.stack([norm(x) for x in X])


def draws():
    return torch.Generator().manual_seed(0)


def noisy_copies(X, noise, n_samples):
    """The copies that `hessian_penalty` makes with `draws()`, of float64 rows."""
    shape = (n_samples, *X.shape)
    return X + noise * torch.randn(shape, generator=draws()).double()


def dense_change_norms(encoder, X, noise, n_samples):
    """The mean over copies of ‖J(x̃) − J(x)‖² / σ²."""
    J = dense_jacobians(encoder, X)
    copies = noisy_copies(X, noise, n_samples)
    changes = [dense_jacobians(encoder, copy) - J for copy in copies]
    return sum(C.square().sum((1, 2)) for C in changes) / n_samples / noise**2


def assert_same_with_gradient(found, expected, inputs):
    """Values of each row, and the gradient of their weighted sum."""
    torch.testing.assert_close(found, expected)
    weights = torch.arange(1.0, 1.0 + len(found)).double()
    pair = [
        torch.autograd.grad((v * weights).sum(), inputs, materialize_grads=True)
        for v in (found, expected)
    ]
    for ours, theirs in zip(*pair, strict=True):
        torch.testing.assert_close(ours, theirs)


def assert_exact(encoder, X):
    X = X.clone().requires_grad_()
    found = hessian_penalty(encoder, X, method="exact", reduction="none")
    inputs = [*encoder.parameters(), X]
    assert_same_with_gradient(found, dense_norms(encoder, X), inputs)


# ---- the second derivative itself ---------------------------------------------------

# What goes straight but for corners.
STRAIGHT = ("Hardsh", "Hardt", "Ident", "Leaky", "ReLU", "Softsh", "Thresh")
CURVED = [name for name in ACTIVATIONS if not name.startswith(STRAIGHT)]


@pytest.mark.parametrize("name", CURVED)
def test_every_activation(name):
    encoder = built(nn.Linear(3, 4), ACTIVATIONS[name])
    assert closed_form(encoder) is not None
    assert dense_norms(encoder, rows(3)).sum() > 0
    assert_exact(encoder, rows(3))


@pytest.mark.parametrize("name", ["stride", "all of it", "signal"])
def test_convolutions(name):
    shape, layer = CONVOLUTIONS[name]
    encoder = built(layer, nn.Sigmoid())
    X = rows(*(min(size, 4) for size in shape), n=1)
    norms = hessian_penalty(encoder, X, reduction="none")
    torch.testing.assert_close(norms, dense_norms(encoder, X))


@pytest.mark.parametrize("name", POOLS)
def test_pooling(name):
    encoder = built(nn.Conv2d(1, 2, 2, padding=1), nn.Softplus(), POOLS[name])
    assert_exact(encoder, rows(1, 4, 4, n=1))


def test_activations_of_activations():
    assert_exact(built(nn.Linear(3, 4), nn.Tanh(), nn.Softplus(), nn.Tanh()), rows(3))


def test_a_deep_encoder():
    assert closed_form(DEEP) is None
    assert_exact(DEEP, rows(4))


def test_a_deep_encoder_in_parts(monkeypatch):
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", 2500)
    assert_exact(DEEP, rows(4))


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("method", ["auto", "exact", "probes"])
def test_without_curvature_it_is_zero(depth, method):
    encoder = built(
        *[part for _ in range(depth) for part in (nn.Linear(4, 4), nn.ReLU())]
    )
    assert hessian_penalty(encoder, rows(4), method=method) == 0


def test_probes_by_hand():
    """‖Σ_k u_k H_k v‖² with the u and v that the generator draws."""
    X, generator = rows(4), draws()
    U, V = (2.0 * torch.randint(2, (3, k), generator=generator) - 1 for k in (5, 4))
    found = hessian_penalty(DEEP, X, reduction="none", generator=draws())
    for x, u, v, norm in zip(X, U.double(), V.double(), found, strict=True):
        H = hessian(lambda x, u=u: DEEP(x[None])[0] @ u, x)
        torch.testing.assert_close(norm, (H @ v).square().sum())


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "elu"])
def test_it_is_the_estimators_penalty(name):
    activation = {
        "sigmoid": nn.Sigmoid(),
        "tanh": nn.Tanh(),
        "softplus": nn.Softplus(threshold=40),
        "elu": nn.ELU(),
    }[name]
    encoder, X = built(nn.Linear(4, 3), activation), rows(4)
    codes, norms = encoder(X).detach(), encoder[0].weight.detach().square().sum(1)
    expected = DerivativePenalty(2).per_sample(OURS[name].derivatives(codes, 2), norms)
    found = hessian_penalty(encoder, X, reduction="none").detach()
    torch.testing.assert_close(found, expected)


# ---- noisy copies -------------------------------------------------------------------

NOISY = {
    "closed": built(nn.Linear(4, 3), nn.Sigmoid()),
    "deep": DEEP,
}
POOLED = built(nn.Conv1d(1, 2, 3), nn.Tanh(), nn.MaxPool1d(2, stride=1))


@pytest.mark.parametrize("name", NOISY)
def test_noisy_copies(name):
    encoder, X = NOISY[name], rows(4).requires_grad_()
    how = {"noise": 0.3, "n_samples": 3, "method": "exact", "reduction": "none"}
    found = hessian_penalty(encoder, X, generator=draws(), **how)
    expected = dense_change_norms(encoder, X, 0.3, 3)
    assert_same_with_gradient(found, expected, [*encoder.parameters(), X])


def test_noisy_copies_may_have_other_units_in_their_windows():
    """What is largest at a copy need not be what is largest at its row."""
    X = rows(1, 8)
    found = hessian_penalty(
        POOLED, X, noise=1.0, method="exact", reduction="none", generator=draws()
    )
    torch.testing.assert_close(found, dense_change_norms(POOLED, X, 1.0, 4))


@pytest.mark.parametrize("encoder", [DEEP, POOLED], ids=["deep", "pooled"])
def test_a_row_and_its_copies_have_the_same_probe(encoder):
    X = rows(4) if encoder is DEEP else rows(1, 8)
    generator = draws()
    copies = noisy_copies(X, 0.3, 2)
    torch.randn((2, *X.shape), generator=generator)
    J = dense_jacobians(encoder, X)
    u = 2.0 * torch.randint(2, encoder(X).shape, generator=generator).double() - 1
    expected = 0
    for copy in copies:
        change = dense_jacobians(encoder, copy) - J
        pulled = torch.einsum("nkd,nk->nd", change, u.flatten(1))
        expected = expected + pulled.square().sum(1) / 2 / 0.3**2
    found = hessian_penalty(
        encoder, X, noise=0.3, n_samples=2, reduction="none", generator=draws()
    )
    torch.testing.assert_close(found, expected)


def test_noisy_copies_are_the_estimators_penalty():
    encoder, X = NOISY["closed"], rows(4)
    stacked = torch.cat([X, *noisy_copies(X, 0.2, 3)])
    slopes = OURS["sigmoid"].derivatives(encoder(stacked).detach(), 1)
    norms = encoder[0].weight.detach().square().sum(1)
    expected = SampledHessianPenalty(noise=0.2, n_copies=3).per_sample(slopes, norms)
    found = hessian_penalty(
        encoder, X, noise=0.2, n_samples=3, reduction="none", generator=draws()
    )
    torch.testing.assert_close(found.detach(), expected)


def test_small_noise_gives_the_second_derivative():
    encoder, X = NOISY["closed"], rows(4, n=1)
    many = X.expand(20_000, 4)
    found = hessian_penalty(
        encoder, many, noise=1e-3, n_samples=1, reduction="none", generator=draws()
    )
    error = found.mean() - hessian_penalty(encoder, X)
    assert error.abs() < 3 * found.std() / len(many) ** 0.5


# ---- modes --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("noise", [None, 0.3])
@pytest.mark.parametrize("method", ["exact", "probes"])
def test_without_gradients_the_value_is_the_same(name, noise, method):
    encoder, X = NOISY[name], rows(4)
    how = {"noise": noise, "method": method}
    expected = hessian_penalty(encoder, X, generator=draws(), **how)
    assert expected.requires_grad
    with torch.no_grad():
        found = hessian_penalty(encoder, X, generator=draws(), **how)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=0)
    assert found > 0
