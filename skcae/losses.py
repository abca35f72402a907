"""Losses, each with the output that belongs to it.

A loss takes the pre-output z of a decoder, or of a network's last layer, and is summed
over features, so that it stands on the same scale as the penalties: one number per
sample.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from skcae.activations import ACTIVATIONS, softplus

__all__ = ["IDENTITY", "LOG_SOFTMAX", "LOSSES", "ONE_VERSUS_REST", "Loss", "Output"]

# A share below this is taken for this, so that its logarithm is finite.
RAREST = 1e-6


@dataclass(frozen=True)
class Output:
    """The output o = s(z) of a pre-output z, with its first two derivatives.

    They follow from o alone. The last axis of a tensor is that of the features, and s'
    is a symmetric matrix for each row.

    Parameters
    ----------
    function : callable
        From z to o.
    along : callable
        From (o, v) to s'(z) v, the derivative of o along v.
    bend : callable
        From (o, u, v) to the gradient of uᵀ s'(z) v with respect to z.

    See Also
    --------
    Loss : What an output is compared by.

    Examples
    --------
    >>> import torch
    >>> from skcae.losses import LOSSES
    >>> sigmoid = LOSSES["cross_entropy"].output
    >>> o = sigmoid(torch.zeros(1, 1))
    >>> o, sigmoid.along(o, torch.ones(1, 1))
    (tensor([[0.5000]]), tensor([[0.2500]]))
    """

    function: Callable[[Tensor], Tensor]
    along: Callable[[Tensor, Tensor], Tensor]
    bend: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __call__(self, Z: Tensor) -> Tensor:
        """Return s(z) of each row."""
        return self.function(Z)


@dataclass(frozen=True)
class Loss:
    """A loss L(x, z) and its output.

    It is a function of the pre-output z and not of the output, which may be rounded to
    an end of its range.

    Parameters
    ----------
    output : Output
        From the pre-output z to the reconstruction or prediction.
    elementwise : callable
        From (x, z) to the loss of each entry.
    gradient_in_place : callable
        From (x, z) to the derivative with respect to z, written over z.
    bounds : (float, float) or None
        The range that the data must lie in.
    link : callable
        From the mean of x to the constant z of the lowest mean loss.
    one_of_many : bool
        Whether what is decided is the largest of the outputs.

    See Also
    --------
    Output : From pre-outputs to outputs.
    skcae.activations.Activation : What is at the other end of an autoencoder.

    Examples
    --------
    >>> import torch
    >>> from skcae.losses import LOSSES
    >>> LOSSES["squared_error"].value(torch.ones(1, 2), torch.zeros(1, 2))
    tensor([2.])
    """

    output: Output
    elementwise: Callable[[Tensor, Tensor], Tensor]
    gradient_in_place: Callable[[Tensor, Tensor], Tensor]
    bounds: tuple[float, float] | None = None
    link: Callable[[Tensor], Tensor] = field(default_factory=lambda: _itself)
    one_of_many: bool = False

    def value(self, X: Tensor, Z: Tensor) -> Tensor:
        """Return the loss of each row, summed over features.

        Parameters
        ----------
        X : Tensor of shape (n, d)
            What the outputs are compared with.
        Z : Tensor of shape (n, d)
            The pre-outputs.

        Returns
        -------
        value : Tensor of shape (n,)
            The losses.
        """
        return self.elementwise(X, Z).sum(1)


def _itself(mean: Tensor) -> Tensor:
    return mean


def _cross_entropy(X: Tensor, Z: Tensor) -> Tensor:
    """log(1 + exp(z)) − xz: no logarithm meets a zero, and nothing overflows."""
    return softplus(Z).addcmul_(X, Z, value=-1)


def _elementwise_output(function: Callable[[Tensor], Tensor], name: str) -> Output:
    """Make an output of an activation: s' is φ' on the diagonal."""
    derivatives = ACTIVATIONS[name].derivatives
    return Output(
        function,
        along=lambda o, v: derivatives(o, 1)[0] * v,
        bend=lambda o, u, v: derivatives(o, 2)[1] * u * v,
    )


def _centred(o: Tensor, v: Tensor) -> Tensor:
    """Return v less its mean under the probabilities o."""
    return v - (o * v).sum(-1, keepdim=True)


#: The output that is the pre-output.
IDENTITY = _elementwise_output(lambda Z: Z, "identity")
_SIGMOID = _elementwise_output(torch.sigmoid, "sigmoid")
# s'(z) v = o ∘ (v − o·v): the second derivative of the logarithm of Σ exp z_j, and
# `bend` is its third, with the third cumulant for each entry.
_SOFTMAX = Output(
    lambda Z: functional.softmax(Z, dim=-1),
    along=lambda o, v: o * _centred(o, v),
    bend=lambda o, u, v: o * _centred(o, _centred(o, u) * _centred(o, v)),
)

#: The reconstruction losses by the name that estimators take.
LOSSES: dict[str, Loss] = {
    "squared_error": Loss(
        output=IDENTITY,
        elementwise=lambda X, Z: torch.sub(Z, X).square_(),
        # 2 (z − x): of a factor 2 torch would make a tensor first.
        gradient_in_place=lambda X, Z: Z.add_(Z).sub_(X, alpha=2),
    ),
    "cross_entropy": Loss(
        output=_SIGMOID,
        elementwise=_cross_entropy,
        gradient_in_place=lambda X, Z: Z.sigmoid_().sub_(X),
        bounds=(0.0, 1.0),
        link=lambda mean: mean.logit(RAREST),
    ),
}

#: The loss of a classifier among more than two classes: x is 1 for the class of the
#: sample and 0 for the others.
LOG_SOFTMAX = Loss(
    output=_SOFTMAX,
    elementwise=lambda X, Z: X * -functional.log_softmax(Z, dim=1),
    gradient_in_place=lambda X, Z: Z.copy_(functional.softmax(Z, dim=1)).sub_(X),
    link=lambda mean: mean.clamp(min=RAREST).log(),
    one_of_many=True,
)

#: The same with a sigmoid for each class, and the sum of their cross-entropies.
ONE_VERSUS_REST = replace(LOSSES["cross_entropy"], one_of_many=True)
