"""How far a layer's Jacobian changes under noise: its Hessian norm, sampled.

For a layer f(x) = φ(Wx + b) with an elementwise φ, the Jacobian's rows are φ'(a_j) W_j.
With a noisy copy x + ε of x, whose pre-activations are ã = W(x + ε) + b,

    ‖J(x + ε) − J(x)‖²_F = Σ_j (φ'(ã_j) − φ'(a_j))² ‖W_j‖².

Its mean over ε ~ N(0, σ²I), divided by σ², is the stochastic term of Rifai et al.
(ECML PKDD 2011), which tends to ‖H_f(x)‖²_F as σ tends to 0.

In what follows S copies of each row stand beside it: position 0 of an axis of 1 + S is
the row itself. All sums are over the copies, not their mean. The gradient takes three
paths, derived in docs/gradient.md: through the pre-activations of the row, through
those of the copies, and through the norms of W's rows.
"""

import torch
from torch import Tensor


def squared_change(slopes: Tensor, squared_rows: Tensor) -> Tensor:
    """Return Σ_s ‖J(x + ε_s) − J(x)‖²_F for each sample, shape (n,).

    Parameters
    ----------
    slopes : tensor of shape (1 + S, n, h)
        φ' at each row and, after it, at its copies.
    squared_rows : tensor of shape (h,)
        ‖W_j‖² for each hidden unit.
    """
    return ((slopes[1:] - slopes[0]).square() @ squared_rows).sum(0)


def changes(slopes: Tensor, out: Tensor) -> Tensor:
    """Compute φ'(ã) − φ'(a) for each copy, and return where that is in `out`."""
    return torch.sub(slopes[:, 1:], slopes[:, :1], out=out[:, 1:])


def sums_of_squared_changes(
    slopes: Tensor, weights: Tensor | None, scratch: Tensor, out: Tensor
) -> None:
    """Compute Σ_i w_i Σ_s (φ'(ã_sij) − φ'(a_ij))² for each hidden unit, shape (h,).

    Parameters
    ----------
    slopes : tensor of shape (h, 1 + S, n)
        φ' at each row and, after it, at its copies.
    weights : tensor of shape (n,) or None
        The weight of each sample, 1 if None.
    scratch : tensor of shape (h, 1 + S, n)
        Overwritten.
    out : tensor of shape (h,)
        Where the sums go.
    """
    squares = changes(slopes, scratch).square_()
    if weights is not None:
        squares.mul_(weights)
    torch.sum(squares, (1, 2), out=out)


def add_through_changes(
    gradient: Tensor,
    slopes: Tensor,
    bends: Tensor,
    factors: Tensor,
    weights: Tensor | None,
    scratch: Tensor,
) -> None:
    """Add the gradient of Σ_isj w_i (φ'(ã_sij) − φ'(a_ij))² factor_j through a and ã.

    With D = φ'(ã) − φ'(a) that is 2 w_i D_sij φ''(ã_sij) factor_j at each copy and
    −2 w_i Σ_s D_sij φ''(a_ij) factor_j at the row.

    Parameters
    ----------
    gradient : tensor of shape (h, 1 + S, n)
        Where to add it.
    slopes, bends : tensors of shape (h, 1 + S, n)
        φ' and φ'' at each row and, after it, at its copies.
    factors : tensor of shape (h,)
        ‖W_j‖² times the strength of the penalty.
    weights : tensor of shape (n,) or None
        The weight of each sample, 1 if None.
    scratch : tensor of shape (h, 1 + S, n)
        Overwritten.
    """
    copies = changes(slopes, scratch)
    torch.sum(copies, 1, out=scratch[:, 0]).neg_()
    product = scratch.mul_(bends)
    if weights is not None:
        product.mul_(weights)
    gradient.addcmul_(product, factors[:, None, None], value=2)
