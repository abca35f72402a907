"""Probes: right on average, of the stated variance, from the given generator."""

import pytest
import torch
from torch import nn

from skcae.functional import hessian_penalty, jacobian_penalty
from tests.test_functional import built, dense_jacobians, dense_norms, rows

N = 20_000
ENCODERS = {
    "deep": ((6,), [nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sigmoid()]),
    "average pooling": ((1, 10), [nn.Conv1d(1, 2, 3), nn.Tanh(), nn.AvgPool1d(2)]),
}


@pytest.fixture(params=ENCODERS)
def encoder_and_row(request):
    shape, layers = ENCODERS[request.param]
    return built(*layers), rows(*shape, n=1)


def estimates(encoder, row, **how):
    """So many estimates of the norm at one row."""
    generator = torch.Generator().manual_seed(0)
    X = row.expand(N, *row.shape[1:])
    return jacobian_penalty(encoder, X, reduction="none", generator=generator, **how)


@pytest.mark.parametrize("n_probes", [1, 3])
def test_the_mean_is_the_norm(encoder_and_row, n_probes):
    encoder, row = encoder_and_row
    found = estimates(encoder, row, n_probes=n_probes)
    error = found.mean() - dense_norms(encoder, row)
    assert error.abs() < 3 * found.std() / N**0.5


def test_the_mean_gradient_is_the_gradient_of_the_norm(encoder_and_row):
    encoder, row = encoder_and_row
    X = row.expand(N, *row.shape[1:]).clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    total = jacobian_penalty(encoder, X, reduction="sum", generator=generator)
    (each,) = torch.autograd.grad(total, X)
    x = row.clone().requires_grad_()
    (expected,) = torch.autograd.grad(dense_norms(encoder, x).sum(), x)
    error = (each.mean(0) - expected[0]).abs()
    assert expected.abs().max() > 0
    assert (error < 4 * each.std(0) / N**0.5).all()  # of each of many numbers


@pytest.mark.parametrize("n_probes", [1, 3])
def test_the_variance(encoder_and_row, n_probes):
    """2 (‖G‖²_F − Σ_i G_ii²) / n_probes with G = JJᵀ."""
    encoder, row = encoder_and_row
    (J,) = dense_jacobians(encoder, row)
    G = J @ J.T
    expected = 2 * (G.square().sum() - G.diagonal().square().sum()) / n_probes
    found = estimates(encoder, row, n_probes=n_probes)
    squares = (found - found.mean()).square()
    assert (squares.mean() - expected).abs() < 3 * squares.std() / N**0.5


def test_units_that_do_not_meet_need_one_probe_only():
    """G is diagonal, so that a probe is exact."""
    X = rows(5)
    found = jacobian_penalty(torch.sin, X, reduction="none")
    torch.testing.assert_close(found, torch.cos(X).square().sum(1))


def test_one_probe_of_a_row_does_not_depend_on_other_rows():
    encoder, X = built(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)), rows(6, n=4)

    def found(X):
        generator = torch.Generator().manual_seed(0)
        return jacobian_penalty(encoder, X, reduction="none", generator=generator)

    torch.testing.assert_close(found(X)[:2], found(X[:2]))


@pytest.mark.parametrize("penalty", [jacobian_penalty, hessian_penalty])
def test_the_generator_alone_says_what_is_drawn(penalty):
    encoder, X = built(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)), rows(6)
    state = torch.get_rng_state()
    first, again = (
        penalty(encoder, X, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert first == again
    assert torch.equal(torch.get_rng_state(), state)
    assert penalty(encoder, X, generator=torch.Generator().manual_seed(2)) != first
    torch.manual_seed(5)
    first = penalty(encoder, X)
    second = penalty(encoder, X)
    torch.manual_seed(5)
    assert penalty(encoder, X) == first != second


def test_probes_of_the_second_derivative_are_right_on_average():
    encoder = built(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Sigmoid())
    row = rows(3, n=1)
    exact = hessian_penalty(encoder, row, method="exact")
    found = hessian_penalty(
        encoder,
        row.expand(N, 3),
        reduction="none",
        generator=torch.Generator().manual_seed(0),
    )
    assert (found.mean() - exact).abs() < 3 * found.std() / N**0.5


def test_probes_of_noisy_copies_are_right_on_average():
    encoder = built(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Sigmoid())
    X = rows(3, n=1).expand(N, 3)

    def found(method):
        generator = torch.Generator().manual_seed(0)
        return hessian_penalty(
            encoder,
            X,
            noise=0.3,
            n_samples=2,
            method=method,
            reduction="none",
            generator=generator,
        )

    # Noise is drawn before probes, so that both have the same copies.
    error = found("probes") - found("exact")
    assert error.mean().abs() < 3 * error.std() / N**0.5
    assert error.abs().max() > 0
