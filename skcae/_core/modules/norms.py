"""The penalties of a module or function, one number for each row."""

import torch
from torch import Tensor, nn

from skcae._core.modules.closed_form import ClosedForm, closed_form
from skcae._core.modules.dense_chain import chain_jacobian_norms, dense_chain
from skcae._core.modules.derivatives import (
    Probes,
    exact_change_norms,
    exact_hessian_norms,
    exact_jacobian_norms,
    probed_change_norms,
    probed_hessian_norms,
    probed_jacobian_norms,
    row_sums,
    total,
)
from skcae._core.modules.independence import check_by_trial, check_layers
from skcae._core.modules.modes import differentiating
from skcae._core.modules.referred import Encoder


def jacobian_norms(
    encoder: Encoder, X: Tensor, *, method: str, probes: Probes, check: bool
) -> Tensor:
    """Return ‖J_f(x)‖²_F of each row, or estimates of it, (n,)."""
    keep = torch.is_grad_enabled()
    with differentiating(X, encoder) as X:
        form = known_form(encoder, X, check=check)
        if form is not None and method != "probes":
            units = form.units(X, 1)
            # (4) with k = 1, or (37); all axes but the first are the units of a row.
            found = row_sums(units.derivatives[0].square() * units.squared_norms)
        elif method == "exact":
            chain = dense_chain(encoder)
            if chain is not None and chain.takes(X):
                found = chain_jacobian_norms(chain, encoder, X, keep=keep)
            else:
                found = exact_jacobian_norms(encoder, X, keep=keep)
        else:
            found = probed_jacobian_norms(encoder, X, probes, keep=keep)
    return found if keep else found.detach()


def hessian_norms(
    encoder: Encoder, X: Tensor, *, method: str, probes: Probes, check: bool
) -> Tensor:
    """Return ‖H_f(x)‖²_F of each row, or estimates of it, (n,)."""
    keep = torch.is_grad_enabled()
    with differentiating(X, encoder) as X:
        form = known_form(encoder, X, check=check)
        if form is not None and method != "probes":
            units = form.units(X, 2)
            # (4) with k = 2.
            bends = units.derivatives[1] * units.squared_norms
            found = row_sums(bends.square())
        elif method == "exact":
            found = exact_hessian_norms(encoder, X, keep=keep)
        else:
            found = probed_hessian_norms(encoder, X, probes, keep=keep)
    return found if keep else found.detach()


def change_norms(
    encoder: Encoder,
    X: Tensor,
    *,
    noise: float,
    n_copies: int,
    method: str,
    probes: Probes,
    check: bool,
) -> Tensor:
    """Return the mean of ‖J_f(x + ε) − J_f(x)‖²_F / σ² over copies, of each row."""
    keep = torch.is_grad_enabled()
    with differentiating(X, encoder) as X:
        form = known_form(encoder, X, check=check)
        copies = noise * normal((n_copies, *X.shape), X, probes.generator)
        if form is not None and not form.selects and method != "probes":
            found = closed_change_norms(form, X, copies)
        elif method == "exact":
            found = exact_change_norms(encoder, X, copies, keep=keep)
        else:
            found = probed_change_norms(encoder, X, copies, probes, keep=keep)
    # (7) has σ² below.
    found = found / noise**2
    return found if keep else found.detach()


def closed_change_norms(form: ClosedForm, X: Tensor, copies: Tensor) -> Tensor:
    """Return the mean over copies of Σ (ψ'(ã_i) − ψ'(a_i))² ‖W_i‖², (n,)."""
    at_rows = form.units(X, 1)

    def norms(noise: Tensor) -> Tensor:
        moved = form.units(X + noise, 1)
        # (7) of units: D² ‖W‖².
        change = moved.derivatives[0] - at_rows.derivatives[0]
        return row_sums(change.square() * at_rows.squared_norms)

    return total(map(norms, copies)) / len(copies)


def normal(
    shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Draw from a standard normal distribution, on the generator's device."""
    device = like.device if generator is None else generator.device
    drawn = torch.randn(shape, generator=generator, device=device, dtype=torch.float32)
    return drawn.to(like)


def known_form(encoder: Encoder, X: Tensor, *, check: bool) -> ClosedForm | None:
    """Return the encoder's closed form, if it has one; refuse what mixes rows.

    With a form that is seen by the axes of X, otherwise it is tried out.
    """
    if check and isinstance(encoder, nn.Module):
        check_layers(encoder)
    form = closed_form(encoder)
    if form is not None:
        form.inputs(X)
    elif check:
        check_by_trial(encoder, X)
    return form
