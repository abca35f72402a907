"""Norms of an encoder's derivatives by automatic differentiation, one for each row.

The encoder maps rows to rows, and no row depends on another. The pullback of
cotangents u, one for each row, is then Jᵀu of each, by one backward pass.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.modules.parts import sum_in_parts
from skcae._core.modules.referred import Encoder


def variable(X: Tensor) -> Tensor:
    """Return rows that can be differentiated by, X itself if it can be."""
    return X if X.requires_grad else X.detach().requires_grad_()


def codes_of(encoder: Encoder, x: Tensor) -> Tensor:
    """Return the codes of rows, (n, …), as a function of these that has a derivative.

    Raises
    ------
    TypeError
        If they are no tensor of floating-point numbers.
    ValueError
        If there is not one for each row, or torch sees no way from them to x.
    """
    codes = encoder(x.clone())  # which it may overwrite
    check_codes(codes, len(x))
    if not codes.requires_grad:
        raise ValueError(NO_DERIVATIVE)
    return codes


NO_DERIVATIVE = (
    "The code of the encoder has no derivative with respect to X: something in it is "
    "detached, under no_grad, or not a function of X. The penalty would be a silent 0."
)


def check_codes(codes: object, n_rows: int) -> None:
    """Refuse what is not one code of floating-point numbers for each row."""
    if not isinstance(codes, Tensor) or not codes.is_floating_point():
        got = codes.dtype if isinstance(codes, Tensor) else type(codes).__name__
        raise TypeError(
            "The encoder must return a tensor of real floating-point numbers, the "
            f"codes. It returned {got}: wrap it in a function that returns the code."
        )
    if codes.ndim == 0 or len(codes) != n_rows or codes.numel() == 0:
        raise ValueError(
            f"The encoder must return one code for each row, of shape ({n_rows}, ...). "
            f"It returned shape {tuple(codes.shape)}."
        )


def pullback(codes: Tensor, x: Tensor, U: Tensor, *, keep: bool = True) -> Tensor:
    """Return Jᵀu of each row, with a graph if it is to be kept."""
    # (40): no row's code depends on another row, so that one pass serves all.
    (found,) = torch.autograd.grad(
        codes, x, U, create_graph=keep, retain_graph=True, allow_unused=True
    )
    if found is None:
        raise ValueError(NO_DERIVATIVE)
    return found


def second_pullback(pulled: Tensor, x: Tensor, V: Tensor, *, keep: bool) -> Tensor:
    """Return the derivative of vᵀJᵀu of each row, 0 where Jᵀu is constant."""
    if not pulled.requires_grad:
        return torch.zeros_like(x)
    # ∂/∂x Σ_ki u_k v_i ∂f_k/∂x_i = Σ_k u_k H_k v.
    (found,) = torch.autograd.grad(
        pulled, x, V, create_graph=keep, retain_graph=True, allow_unused=True
    )
    return torch.zeros_like(x) if found is None else found


def row_sums(values: Tensor) -> Tensor:
    """Sum all but the first axis, in float32 at least."""
    at_least = torch.promote_types(values.dtype, torch.float32)
    return values.reshape(len(values), -1).sum(1, dtype=at_least)


# ---- probes -------------------------------------------------------------------------


@dataclass(frozen=True)
class Probes:
    """Random signs, so many for each row, drawn where the generator is."""

    number: int
    generator: torch.Generator | None

    def like(self, tensor: Tensor) -> Iterator[Tensor]:
        """Draw −1 or 1 for each entry of a tensor, again and again."""
        device = tensor.device if self.generator is None else self.generator.device
        for _ in range(self.number):
            bits = torch.randint(
                2, tensor.shape, generator=self.generator, device=device
            )
            yield bits.to(tensor).mul_(2).sub_(1)


def probed_jacobian_norms(
    encoder: Encoder, X: Tensor, probes: Probes, *, keep: bool
) -> Tensor:
    """Return unbiased estimates of ‖J‖²_F, (n,), with a graph if it is to be kept.

    E ‖Jᵀu‖² = tr JᵀE[uuᵀ]J = ‖J‖²_F, as E[uuᵀ] is the identity (Hutchinson, 1990). With
    G = JJᵀ its variance is 2 (‖G‖²_F − Σ_i G_ii²) for signs u.
    """
    x = variable(X)
    codes = codes_of(encoder, x)
    # (39): the mean over the probes, for each row by itself.
    pulled = (pullback(codes, x, U, keep=keep) for U in probes.like(codes))
    return total(row_sums(V.square()) for V in pulled) / probes.number


def probed_hessian_norms(
    encoder: Encoder, X: Tensor, probes: Probes, *, keep: bool
) -> Tensor:
    """Return unbiased estimates of ‖H‖²_F, (n,), with a graph if it is to be kept.

    With signs u for the code and v for the row, Σ_k u_k H_k v is the derivative of
    vᵀJᵀu, and E ‖Σ_k u_k H_k v‖² = Σ_k E ‖H_k v‖² = Σ_k ‖H_k‖²_F.
    """
    x = variable(X)
    codes = codes_of(encoder, x)

    def norms(U: Tensor) -> Tensor:
        pulled = pullback(codes, x, U)
        (V,) = Probes(1, probes.generator).like(x)
        return row_sums(second_pullback(pulled, x, V, keep=keep).square())

    return total(norms(U) for U in probes.like(codes)) / probes.number


def probed_change_norms(
    encoder: Encoder, X: Tensor, copies: Tensor, probes: Probes, *, keep: bool
) -> Tensor:
    """Return unbiased estimates of the mean of ‖J(x + ε) − J(x)‖²_F over copies, (n,).

    With one sign vector u for both, (J(x + ε) − J(x))ᵀu is a difference of pullbacks.
    """
    x = variable(X)
    pairs = [(codes_of(encoder, y), y) for y in (x, *(x + noise for noise in copies))]
    return changes(pairs, probes.like(pairs[0][0]), keep=keep) / (
        probes.number * len(copies)
    )


def changes(
    pairs: Sequence[tuple[Tensor, Tensor]], U: Iterator[Tensor], *, keep: bool
) -> Tensor:
    """Sum ‖J(y)ᵀu − J(x)ᵀu‖² over cotangents and over all y but the first, x."""
    first, *others = pairs

    def norms(u: Tensor) -> Tensor:
        # (7) before it is divided by Sσ², row by row of J.
        at_rows = pullback(*first, u, keep=keep)
        moved = (pullback(*pair, u, keep=keep) for pair in others)
        return total(row_sums((V - at_rows).square()) for V in moved)

    return total(map(norms, U))


def total(values: Iterator[Tensor]) -> Tensor:
    """Return the sum of tensors, without keeping them."""
    found = next(values)
    for value in values:
        found = found + value
    return found


# ---- unit by unit -------------------------------------------------------------------


def exact_jacobian_norms(encoder: Encoder, X: Tensor, *, keep: bool) -> Tensor:
    """Return ‖J‖²_F = Σ_k ‖∇f_k‖² of each row, (n,), with a graph if it is to be kept.

    Neither Jacobians nor graphs of more than a part of the units are held at once.
    """

    def norms(x: Tensor, part: range, keep: bool) -> Tensor:
        codes = codes_of(encoder, x)
        # Row k of J is what the unit vector of k is pulled back to.
        rows = (pullback(codes, x, U, keep=keep) for U in units_of(codes, part))
        return total(row_sums(row.square()) for row in rows)

    return sum_in_parts(norms, encoder, X, n_units(encoder, X), keep=keep)


def exact_hessian_norms(encoder: Encoder, X: Tensor, *, keep: bool) -> Tensor:
    """Return ‖H‖²_F = Σ_ki ‖∂∇f_k/∂x_i‖² of each row, (n,)."""
    inputs = range(X[0].numel())

    def norms(x: Tensor, part: range, keep: bool) -> Tensor:
        codes = codes_of(encoder, x)
        # Column i of H_k, for each unit and each entry of a row.
        gradients = (pullback(codes, x, U) for U in units_of(codes, part))
        return total(
            row_sums(second_pullback(gradient, x, V, keep=keep).square())
            for gradient in gradients
            for V in units_of(x, inputs)
        )

    return sum_in_parts(norms, encoder, X, n_units(encoder, X), keep=keep)


def exact_change_norms(
    encoder: Encoder, X: Tensor, copies: Tensor, *, keep: bool
) -> Tensor:
    """Return the mean of ‖J(x + ε) − J(x)‖²_F over copies, (n,)."""

    def norms(x: Tensor, part: range, keep: bool) -> Tensor:
        places = (x, *(x + noise for noise in copies))
        pairs = [(codes_of(encoder, y), y) for y in places]
        return changes(pairs, units_of(pairs[0][0], part), keep=keep)

    return sum_in_parts(norms, encoder, X, n_units(encoder, X), keep=keep) / len(copies)


def n_units(encoder: Encoder, X: Tensor) -> int:
    """Return of how many numbers a code is."""
    with torch.no_grad():
        codes = encoder(X.clone())
        check_codes(codes, len(X))
    return math.prod(codes.shape[1:])


def units_of(like: Tensor, places: range) -> Iterator[Tensor]:
    """Give tensors with 1 at one place of each row, and 0 elsewhere."""
    for k in places:
        one_hot = torch.zeros(like.shape, dtype=like.dtype, device=like.device)
        one_hot.view(len(like), -1)[:, k] = 1
        yield one_hot
