"""Norms of the encoder's derivatives in closed form.

For a layer f(x) = φ(Wx + b) with an elementwise φ, the k-th derivative of f_j along
directions u₁ … u_k is φ⁽ᵏ⁾(a_j) (W_j·u₁) … (W_j·u_k): a rank-one tensor. Its squared
Frobenius norm is φ⁽ᵏ⁾(a_j)² ‖W_j‖²ᵏ, so that

    ‖Dᵏf(x)‖²_F = Σ_j φ⁽ᵏ⁾(a_j)² ‖W_j‖²ᵏ.

k = 1 is the Jacobian norm of Rifai et al. (ICML 2011), for the sigmoid their equation
for ‖J_f(x)‖²_F; k = 2 is the Hessian norm that the stochastic term of Rifai et al.
(ECML PKDD 2011) tends to. No Jacobian is ever built.
"""

from collections.abc import Sequence

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


def squared_norm_gradient(
    derivatives: Sequence[Tensor],
    squared_rows: Tensor,
    order: int,
    weights: Tensor,
) -> tuple[Tensor, Tensor]:
    """Differentiate Σ_i weights_i ‖Dᵏf(x_i)‖²_F along its two paths.

    Parameters
    ----------
    derivatives : sequence of tensors of shape (n, h)
        φ'(a), φ''(a), …: at least the first `order + 1` of them.
    squared_rows : tensor of shape (h,)
        ‖W_j‖² for each hidden unit.
    order : int
        k: 1 for the Jacobian, 2 for the Hessian.
    weights : tensor of shape (n,)
        The weight of each sample.

    Returns
    -------
    through_activations : tensor of shape (n, h)
        The gradient with respect to a: 2 weights_i φ⁽ᵏ⁾ φ⁽ᵏ⁺¹⁾ ‖W_j‖²ᵏ.
    through_rows : tensor of shape (h,)
        The factor of W_j in the gradient with respect to W_j at fixed a:
        2k ‖W_j‖²ᵏ⁻² Σ_i weights_i φ⁽ᵏ⁾(a_ij)².
    """
    derivative, next_derivative = derivatives[order - 1], derivatives[order]
    through_activations = (
        2.0 * weights[:, None] * derivative * next_derivative * squared_rows.pow(order)
    )
    through_rows = (
        2.0 * order * squared_rows.pow(order - 1) * (weights @ derivative.square())
    )
    return through_activations, through_rows
