"""Contraction penalties: what each computes and what it needs.

Each returns one number per sample; the objective weighs and averages them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from skcae._core.jacobian import squared_norm, squared_norm_gradient

__all__ = ["PENALTIES", "DerivativePenalty"]


@dataclass(frozen=True)
class DerivativePenalty:
    """‖Dᵏf(x)‖²_F, the squared Frobenius norm of the encoder's k-th derivative.

    Parameters
    ----------
    order : int
        k: 1 for the Jacobian (contractive autoencoder), 2 for the Hessian (CAE+H).

    References
    ----------
    Rifai, Vincent, Muller, Glorot and Bengio, "Contractive Auto-Encoders: Explicit
    Invariance During Feature Extraction", ICML 2011.

    Rifai, Mesnil, Vincent, Muller, Bengio, Dauphin and Glorot, "Higher Order
    Contractive Auto-Encoder", ECML PKDD 2011.

    Examples
    --------
    A sigmoid layer of one unit with ‖W‖² = 4, at a = 0 where φ' is 1/4:

    >>> import torch
    >>> from skcae.penalties import DerivativePenalty
    >>> DerivativePenalty(1).value([torch.tensor([[0.25]])], torch.tensor([4.0]))
    tensor([0.2500])
    """

    order: int

    def value(self, derivatives: Sequence[Tensor], squared_rows: Tensor) -> Tensor:
        """Return the penalty of each sample, shape (n,)."""
        return squared_norm(derivatives, squared_rows, self.order)

    def gradient(
        self, derivatives: Sequence[Tensor], squared_rows: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient through a, (n, h), and the factors of W's rows, (h,)."""
        return squared_norm_gradient(derivatives, squared_rows, self.order, weights)


#: The penalties by the estimator parameter that gives their strength.
PENALTIES: dict[str, DerivativePenalty] = {
    "jacobian_penalty": DerivativePenalty(order=1),
    "hessian_penalty": DerivativePenalty(order=2),
}
