"""Elementwise activations, each with its first three derivatives.

The Jacobian penalty takes φ', its gradient φ''; the Hessian penalty takes φ'', its
gradient φ'''. Each derivative is a function of the pre-activation a and of the output
h = φ(a), whichever is cheaper.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ACTIVATIONS", "Activation"]


@dataclass(frozen=True)
class Activation:
    """An elementwise function φ and what the library needs to know of it.

    Parameters
    ----------
    function : callable
        φ, from the pre-activation a.
    first, second, third : callable
        φ', φ'' and φ''', from (a, h) with h = φ(a).
    curved : bool
        Whether φ'' differs from zero on more than isolated points.
    largest_slope : float
        The supremum of φ'.

    Examples
    --------
    >>> import torch
    >>> from skcae.activations import ACTIVATIONS
    >>> sigmoid = ACTIVATIONS["sigmoid"]
    >>> a = torch.zeros(1)
    >>> sigmoid(a), sigmoid.derivatives(a, sigmoid(a), 3)
    (tensor([0.5000]), [tensor([0.2500]), tensor([0.]), tensor([-0.1250])])
    """

    function: Callable[[Tensor], Tensor]
    first: Callable[[Tensor, Tensor], Tensor]
    second: Callable[[Tensor, Tensor], Tensor]
    third: Callable[[Tensor, Tensor], Tensor]
    curved: bool = True
    largest_slope: float = 1.0

    def __call__(self, a: Tensor) -> Tensor:
        """Return φ(a)."""
        return self.function(a)

    def derivatives(self, a: Tensor, h: Tensor, n: int) -> list[Tensor]:
        """Return the first n derivatives of φ at a, given h = φ(a)."""
        return [
            derivative(a, h) for derivative in (self.first, self.second, self.third)[:n]
        ]


def _zero(a: Tensor, h: Tensor) -> Tensor:
    return torch.zeros_like(a)


def _softplus(a: Tensor) -> Tensor:
    # torch's own softplus is linear beyond a threshold, so its slope would not be the
    # sigmoid that the derivatives below say it is.
    return -functional.logsigmoid(-a)


def _elu_bend(a: Tensor, h: Tensor) -> Tensor:
    return torch.where(a > 0, 0.0, h + 1)


SIGMOID = Activation(
    function=torch.sigmoid,
    first=lambda a, h: h * (1 - h),
    second=lambda a, h: h * (1 - h) * (1 - 2 * h),
    third=lambda a, h: h * (1 - h) * (1 - 6 * h * (1 - h)),
    largest_slope=0.25,
)
TANH = Activation(
    function=torch.tanh,
    first=lambda a, h: 1 - h**2,
    second=lambda a, h: -2 * h * (1 - h**2),
    third=lambda a, h: -2 * (1 - h**2) * (1 - 3 * h**2),
)
RELU = Activation(
    function=torch.relu,
    first=lambda a, h: (a > 0).to(a.dtype),
    second=_zero,
    third=_zero,
    curved=False,
)
SOFTPLUS = Activation(
    function=_softplus,
    first=lambda a, h: torch.sigmoid(a),
    second=lambda a, h: SIGMOID.first(a, torch.sigmoid(a)),
    third=lambda a, h: SIGMOID.second(a, torch.sigmoid(a)),
)
ELU = Activation(
    function=functional.elu,
    first=lambda a, h: torch.where(a > 0, 1.0, h + 1),
    second=_elu_bend,
    third=_elu_bend,
)
IDENTITY = Activation(
    function=lambda a: a,
    first=lambda a, h: torch.ones_like(a),
    second=_zero,
    third=_zero,
    curved=False,
)

#: The activations by the name that estimators take.
ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "relu": RELU,
    "softplus": SOFTPLUS,
    "elu": ELU,
    "identity": IDENTITY,
}
