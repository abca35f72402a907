"""Losses, each with the output that belongs to it.

A loss takes the pre-output z of a decoder, or of a network's last layer, and is summed
over features, so that it stands on the same scale as the penalties: one number per
sample.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from skcae.activations import softplus

__all__ = ["LOG_SOFTMAX", "LOSSES", "Loss"]


@dataclass(frozen=True)
class Loss:
    """A loss L(x, z) and its output.

    Parameters
    ----------
    output : callable
        From the pre-output z to the reconstruction or prediction.
    elementwise : callable
        From (x, z) to the loss of each entry.
    gradient_in_place : callable
        From (x, z) to the derivative with respect to z, written over z.
    bounds : (float, float) or None
        The range that the data must lie in.

    Examples
    --------
    >>> import torch
    >>> from skcae.losses import LOSSES
    >>> LOSSES["squared_error"].value(torch.ones(1, 2), torch.zeros(1, 2))
    tensor([2.])
    """

    output: Callable[[Tensor], Tensor]
    elementwise: Callable[[Tensor, Tensor], Tensor]
    gradient_in_place: Callable[[Tensor, Tensor], Tensor]
    bounds: tuple[float, float] | None = None

    def value(self, X: Tensor, Z: Tensor) -> Tensor:
        """Return the loss of each row, summed over features, shape (n,)."""
        return self.elementwise(X, Z).sum(1)


def _cross_entropy(X: Tensor, Z: Tensor) -> Tensor:
    """log(1 + exp(z)) − xz: no logarithm meets a zero, and nothing overflows."""
    return softplus(Z).addcmul_(X, Z, value=-1)


#: The reconstruction losses by the name that estimators take.
LOSSES: dict[str, Loss] = {
    "squared_error": Loss(
        output=lambda Z: Z,
        elementwise=lambda X, Z: functional.mse_loss(Z, X, reduction="none"),
        gradient_in_place=lambda X, Z: Z.sub_(X).mul_(2),
    ),
    "cross_entropy": Loss(
        output=torch.sigmoid,
        elementwise=_cross_entropy,
        gradient_in_place=lambda X, Z: Z.sigmoid_().sub_(X),
        bounds=(0.0, 1.0),
    ),
}

#: The loss of a classifier among more than two classes: x is 1 for the class of the
#: sample and 0 for the others.
LOG_SOFTMAX = Loss(
    output=lambda Z: functional.softmax(Z, dim=1),
    elementwise=lambda X, Z: X * -functional.log_softmax(Z, dim=1),
    gradient_in_place=lambda X, Z: Z.copy_(functional.softmax(Z, dim=1)).sub_(X),
)
