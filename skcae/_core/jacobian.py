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
