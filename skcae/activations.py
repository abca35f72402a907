"""Elementwise activations, each with its first three derivatives.

The Jacobian penalty takes φ', its gradient φ''; the Hessian penalty takes φ'', its
gradient φ'''. All of them follow from the output h = φ(a) alone: φ' is a function of h,
and each higher derivative one of h and those before it. The functions that compute them
take an `out`, as torch's own do, so that training can use its memory again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ACTIVATIONS", "Activation"]

# From (h, lower derivatives, out).
Derivative = Callable[[Tensor, Sequence[Tensor], Tensor | None], Tensor]


def softplus(a: Tensor) -> Tensor:
    """Return log(1 + exp(a)).

    Beyond 40 that is a to rounding, in float64 too; torch's own threshold of 20 shows.
    """
    return functional.softplus(a, 1.0, 40.0)


@dataclass(frozen=True)
class Activation:
    """An elementwise function φ and what the library needs to know of it.

    Called with pre-activations it returns φ of each, in a new tensor.

    Parameters
    ----------
    in_place : callable
        Turns a pre-activation a into φ(a) where it stands.
    first, second, third : callable
        The derivatives φ', φ'' and φ''', from (h, lower, out): the output h = φ(a),
        the derivatives of lower order, and where to put the result (None for a new
        tensor).
    curved : bool
        Whether φ'' differs from zero on more than isolated points.
    largest_slope : float
        The supremum of φ'.
    bounds : (float, float) or None
        The range of φ, if it has two ends.

    See Also
    --------
    skcae.losses.Loss : What is at the other end of an autoencoder.

    Examples
    --------
    >>> import torch
    >>> from skcae.activations import ACTIVATIONS
    >>> sigmoid = ACTIVATIONS["sigmoid"]
    >>> h = sigmoid(torch.zeros(1))
    >>> h, sigmoid.derivatives(h, 3)
    (tensor([0.5000]), [tensor([0.2500]), tensor([0.]), tensor([-0.1250])])
    """

    in_place: Callable[[Tensor], Tensor]
    first: Derivative
    second: Derivative
    third: Derivative
    curved: bool = True
    largest_slope: float = 1.0
    bounds: tuple[float, float] | None = None

    def __call__(self, a: Tensor) -> Tensor:
        """Return φ(a)."""
        return self.in_place(a.clone())

    @property
    def width(self) -> float:
        """How far it takes from one end to the other at its largest slope, if at all.

        4 for the sigmoid, 2 for tanh, and 0 for what has no ends.
        """
        if self.bounds is None:
            return 0.0
        low, high = self.bounds
        return (high - low) / self.largest_slope

    def derivatives(
        self, h: Tensor, n: int, out: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Return the first derivatives of φ where it has the value h.

        Parameters
        ----------
        h : Tensor of any shape
            The values φ(a).
        n : int
            How many derivatives, at most 3.
        out : sequence of n Tensors like h, default=None
            Where to put them.

        Returns
        -------
        derivatives : list of n Tensors like h
            The derivatives, φ' first.
        """
        lower: list[Tensor] = []
        for k, derivative in enumerate((self.first, self.second, self.third)[:n]):
            lower.append(derivative(h, lower, None if out is None else out[k]))
        return lower


def _zero(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    return torch.zeros_like(h) if out is None else out.zero_()


def _one(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    return torch.ones_like(h) if out is None else out.fill_(1)


# ---- sigmoid --------------------------------------------------------------------


def _sigmoid_first(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ' = h − h²."""
    return torch.addcmul(h, h, h, value=-1, out=out)


def _sigmoid_second(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ'' = φ' − 2hφ'."""
    return torch.addcmul(lower[0], lower[0], h, value=-2, out=out)


def _sigmoid_third(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ''' = φ' − 6φ'²."""
    return torch.addcmul(lower[0], lower[0], lower[0], value=-6, out=out)


# ---- tanh -----------------------------------------------------------------------


def _tanh_first(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ' = 1 − h²."""
    return torch.sub(1, torch.square(h, out=out), out=out)


def _tanh_second(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ'' = −2hφ'."""
    return torch.mul(torch.mul(h, lower[0], out=out), -2, out=out)


def _tanh_third(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ''' = 4φ' − 6φ'²."""
    squared = torch.square(lower[0], out=out)
    return torch.sub(torch.mul(squared, -6, out=out), lower[0], alpha=-4, out=out)


# ---- softplus: its slope is a sigmoid ---------------------------------------------


def _softplus_first(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ' = 1 − exp(−h)."""
    negative = torch.expm1(torch.neg(h, out=out), out=out)
    return torch.neg(negative, out=out)


def _softplus_second(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    return _sigmoid_first(lower[0], [], out)


def _softplus_third(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    return _sigmoid_second(lower[0], lower[1:], out)


# ---- elu ------------------------------------------------------------------------


def _elu_first(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ' = 1 + min(h, 0)."""
    return torch.add(torch.clamp(h, max=0, out=out), 1, out=out)


def _elu_bend(h: Tensor, lower: Sequence[Tensor], out: Tensor | None) -> Tensor:
    """φ'' = φ''' = φ' where h ≤ 0, and 0 elsewhere."""
    return torch.mul(lower[0], h <= 0, out=out)


#: The activations by the name that estimators take.
ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": Activation(
        in_place=torch.sigmoid_,
        first=_sigmoid_first,
        second=_sigmoid_second,
        third=_sigmoid_third,
        largest_slope=0.25,
        bounds=(0.0, 1.0),
    ),
    "tanh": Activation(
        in_place=torch.tanh_,
        first=_tanh_first,
        second=_tanh_second,
        third=_tanh_third,
        bounds=(-1.0, 1.0),
    ),
    "relu": Activation(
        in_place=torch.relu_,
        first=lambda h, lower, out: torch.sign(h, out=out),
        second=_zero,
        third=_zero,
        curved=False,
    ),
    "softplus": Activation(
        in_place=lambda a: a.copy_(softplus(a)),
        first=_softplus_first,
        second=_softplus_second,
        third=_softplus_third,
    ),
    "elu": Activation(
        in_place=functional.elu_,
        first=_elu_first,
        second=_elu_bend,
        third=_elu_bend,
    ),
    "identity": Activation(
        in_place=lambda a: a,
        first=_one,
        second=_zero,
        third=_zero,
        curved=False,
    ),
}
