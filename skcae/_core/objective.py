"""The training objective of one layer, its value and its gradient in closed form.

For a batch of n rows with weights w_i,

    objective = 1/n Σ_i w_i ( L(x_i, z_i) + Σ_k strength_k penalty_k(x_i) ),

with a = Wx + b, h = φ(a), z = Vᵀh + c. The derivation of the gradient is in
docs/gradient.md; no graph is built for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from skcae._core.layers import (
    Parameters,
    decoder_weights,
    pre_activations,
    pre_outputs,
    squared_row_norms,
)


class Activation(Protocol):
    """What the objective needs of an activation."""

    def __call__(self, a: Tensor, /) -> Tensor:
        """Return φ(a)."""

    def derivatives(self, a: Tensor, h: Tensor, n: int, /) -> list[Tensor]:
        """Return φ'(a), …, φ⁽ⁿ⁾(a), given h = φ(a)."""


class Loss(Protocol):
    """What the objective needs of a reconstruction loss."""

    def value(self, X: Tensor, Z: Tensor, /) -> Tensor:
        """Return the loss of each row, summed over features."""

    def gradient(self, X: Tensor, Z: Tensor, /) -> Tensor:
        """Return the derivative of the loss with respect to Z."""


class Penalty(Protocol):
    """What the objective needs of a penalty on the encoder."""

    @property
    def order(self) -> int:
        """The highest derivative of φ in its value; its gradient takes one more."""

    def value(self, derivatives: Sequence[Tensor], squared_rows: Tensor, /) -> Tensor:
        """Return the penalty of each row."""

    def gradient(
        self, derivatives: Sequence[Tensor], squared_rows: Tensor, weights: Tensor, /
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient through a, (n, h), and the factors of W's rows, (h,)."""


@dataclass(frozen=True)
class Objective:
    """A loss, an activation and penalties with their strengths."""

    activation: Activation
    loss: Loss
    penalties: tuple[tuple[float, Penalty], ...] = ()

    @property
    def order(self) -> int:
        """The highest derivative of φ in the value; the gradient takes one more."""
        return max([penalty.order for _, penalty in self.penalties], default=0)

    def per_sample(self, parameters: Parameters, X: Tensor) -> Tensor:
        """Return loss plus penalties for each row of X, shape (n,)."""
        a = pre_activations(parameters, X)
        h = self.activation(a)
        derivatives = self.activation.derivatives(a, h, self.order)
        loss = self.loss.value(X, pre_outputs(parameters, h))
        return loss + self._penalty(derivatives, squared_row_norms(parameters))

    def value_and_gradient(
        self, parameters: Parameters, X: Tensor, weights: Tensor
    ) -> tuple[Tensor, Parameters]:
        """Return the batch objective and its gradient for each parameter."""
        weights = weights / X.shape[0]
        a = pre_activations(parameters, X)
        h = self.activation(a)
        z = pre_outputs(parameters, h)
        derivatives = self.activation.derivatives(a, h, self.order + 1)
        squared_rows = squared_row_norms(parameters)
        value = self.loss.value(X, z) + self._penalty(derivatives, squared_rows)

        dz = self.loss.gradient(X, z) * weights[:, None]
        da = (dz @ decoder_weights(parameters).mT) * derivatives[0]
        row_factors = torch.zeros_like(squared_rows)
        for strength, penalty in self.penalties:
            through_a, through_rows = penalty.gradient(
                derivatives, squared_rows, weights
            )
            da.add_(through_a, alpha=strength)
            row_factors.add_(through_rows, alpha=strength)

        gradient = {
            "components": (da.mT @ X).add_(
                row_factors[:, None] * parameters["components"]
            ),
            "intercept_hidden": da.sum(0),
            "intercept_visible": dz.sum(0),
        }
        if "decoder_components" in parameters:
            gradient["decoder_components"] = h.mT @ dz
        else:
            gradient["components"].addmm_(h.mT, dz)
        return weights @ value, gradient

    def _penalty(
        self, derivatives: Sequence[Tensor], squared_rows: Tensor
    ) -> Tensor | float:
        return sum(
            strength * penalty.value(derivatives, squared_rows)
            for strength, penalty in self.penalties
        )
