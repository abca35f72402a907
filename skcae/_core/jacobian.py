"""Norms of the encoder's derivatives in closed form.

For a layer f(x) = φ(Wx + b) with an elementwise φ, the k-th derivative of f_j along
directions u₁ … u_k is φ⁽ᵏ⁾(a_j) (W_j·u₁) … (W_j·u_k): a rank-one tensor. Its squared
Frobenius norm is φ⁽ᵏ⁾(a_j)² ‖W_j‖²ᵏ, so that

    ‖Dᵏf(x)‖²_F = Σ_j φ⁽ᵏ⁾(a_j)² ‖W_j‖²ᵏ.

k = 1 is the Jacobian norm of Rifai et al. (ICML 2011), for the sigmoid their equation
for ‖J_f(x)‖²_F; k = 2 is the Hessian norm that the stochastic term of Rifai et al.
(ECML PKDD 2011) tends to. No Jacobian is ever built.

Its gradient takes two paths, derived in docs/gradient.md: through the pre-activations,
and through the norms of W's rows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def squared_norm(
    derivatives: Sequence[Tensor], squared_rows: Tensor, order: int
) -> Tensor:
    """Return ‖Dᵏf(x)‖²_F for each sample, shape (n,).

    Parameters
    ----------
    derivatives : sequence of tensors of shape (n, h)
        φ'(a), φ''(a), …: at least the first `order` of them.
    squared_rows : tensor of shape (h,)
        ‖W_j‖² for each hidden unit.
    order : int
        k: 1 for the Jacobian, 2 for the Hessian.
    """
    return derivatives[order - 1].square() @ squared_rows.pow(order)


def sums_of_squares(
    derivatives: Sequence[Tensor],
    order: int,
    weights: Tensor | None,
    scratch: Tensor,
    out: Tensor,
) -> None:
    """Compute q_j = Σ_i w_i φ⁽ᵏ⁾(a_ij)² for each hidden unit, shape (h,).

    The norms of a batch sum up to Σ_j q_j ‖W_j‖²ᵏ, and 2k ‖W_j‖²ᵏ⁻² q_j is the factor
    of W_j in the gradient of that sum with respect to W_j at fixed a.

    Parameters
    ----------
    derivatives : sequence of tensors of shape (h, n)
        φ'(a), φ''(a), …: at least the first `order` of them.
    order : int
        k: 1 for the Jacobian, 2 for the Hessian.
    weights : tensor of shape (n,) or None
        The weight of each sample, 1 if None.
    scratch : tensor of shape (h, n)
        Overwritten.
    out : tensor of shape (h,)
        Where q goes.
    """
    squares = torch.square(derivatives[order - 1], out=scratch)
    if weights is None:
        torch.sum(squares, 1, out=out)
    else:
        torch.mv(squares, weights, out=out)


def add_through_activations(
    gradient: Tensor,
    derivatives: Sequence[Tensor],
    order: int,
    factors: Tensor,
    weights: Tensor | None,
    scratch: Tensor,
) -> None:
    """Add 2 w_i φ⁽ᵏ⁾(a_ij) φ⁽ᵏ⁺¹⁾(a_ij) factor_j, the path through a.

    Parameters
    ----------
    gradient : tensor of shape (h, n)
        Where to add it.
    derivatives : sequence of tensors of shape (h, n)
        φ'(a), φ''(a), …: at least the first `order + 1` of them.
    order : int
        k: 1 for the Jacobian, 2 for the Hessian.
    factors : tensor of shape (h,)
        ‖W_j‖²ᵏ times the strength of the penalty.
    weights : tensor of shape (n,) or None
        The weight of each sample, 1 if None.
    scratch : tensor of shape (h, n)
        Overwritten.
    """
    product = torch.mul(derivatives[order - 1], derivatives[order], out=scratch)
    if weights is not None:
        product.mul_(weights)
    gradient.addcmul_(product, factors[:, None], value=2)


def row_space(W: Tensor) -> Tensor:
    """Return a matrix with the Gram matrix W Wᵀ and as few columns as possible."""
    h, d = W.shape
    return torch.linalg.qr(W.mT, mode="r").R.mT if d > h else W


def composed_squared_norm(
    weights: Sequence[Tensor], slopes: Sequence[Tensor], budget: int
) -> Tensor:
    """Return ‖J_f(x)‖²_F for each sample of layers one after the other, shape (n,).

    The Jacobian is the product D_K W_K ⋯ D_1 W_1, with D_k the slopes of layer k on
    the diagonal. For one layer it is not built. For more it is multiplied up for a few
    samples at a time, in the row space of W_1 only, and up to the last D_K.

    Parameters
    ----------
    weights : sequence of tensors of shape (h_k, h_{k-1})
        W_1, …, W_K.
    slopes : sequence of tensors of shape (n, h_k)
        φ'(a) of each layer.
    budget : int
        How many numbers the products of some samples may hold.
    """
    first, *others = weights
    if not others:
        return squared_norm(slopes, first.square().sum(1), 1)
    basis = row_space(first)
    widest = max(W.shape[0] for W in weights)
    step = max(1, budget // (widest * basis.shape[1]))
    parts = [
        _norms_of_products(basis, others, [s[start : start + step] for s in slopes])
        for start in range(0, len(slopes[0]), step)
    ]
    return torch.cat(parts)


def _norms_of_products(
    basis: Tensor, weights: Sequence[Tensor], slopes: Sequence[Tensor]
) -> Tensor:
    n, r = len(slopes[0]), basis.shape[1]
    # (h, n, r): each product with W is then one for all samples.
    product = slopes[0].mT[:, :, None] * basis[:, None, :]
    for W, slope in zip(weights[:-1], slopes[1:-1], strict=True):
        product = (W @ product.flatten(1)).view(-1, n, r)
        product.mul_(slope.mT[:, :, None])
    last = (weights[-1] @ product.flatten(1)).view(-1, n, r)
    squared_rows = last.square_().sum(2)
    return (slopes[-1].mT.square() * squared_rows).sum(0)
