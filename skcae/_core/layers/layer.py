"""What the rest of the library asks of a layer, whatever its linear map is.

A layer is h = φ(Wx + b) with an elementwise φ and a linear map W that its weights
give: they themselves, or the matrix that a convolution stands for. The pre-activations
a of several samples are a matrix A, and dA is the derivative with respect to it. The
layer's Jacobian is D W with the slopes φ' on the diagonal of D, so that all
derivatives, and all penalties on them, need no more than W, Wᵀ and the squared norms
of the rows of W.

Where a model is looked at, samples are rows; in a training step they are columns,
which is faster for a matrix. A layer has a form of each map for both, those for
columns from those for rows unless it knows better.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from skcae.activations import Activation

# By the names of fitted attributes without their last "_".
Parameters = dict[str, Tensor]


class Factors(Protocol):
    """The gradient of a layer's weights, kept as what it is a product of."""

    def add_to(
        self, tensor: Tensor, weights: Tensor, *, scale: float, decay: float
    ) -> None:
        """Set tensor ← decay · tensor + scale · gradient."""

    def descend(self, weights: Tensor, step: float) -> None:
        """Set weights ← weights − step · gradient."""


@dataclass(frozen=True)
class Layer(ABC):
    """One layer h = φ(Wx + b), of d inputs and h units.

    A new kind of layer is a subclass in a file of its own. It has to say what is
    abstract here, and may say more to be faster. `matrix` is asked for where Jacobians
    of several layers are multiplied up.

    Parameters
    ----------
    weights : tensor
        What W is made of, in the shape that it is trained and kept in.
    intercept : tensor
        What b is made of.
    activation : Activation
        φ.
    """

    weights: Tensor
    intercept: Tensor
    activation: Activation

    # ---- sizes ------------------------------------------------------------------

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """The number d of inputs."""

    @property
    @abstractmethod
    def n_units(self) -> int:
        """The number h of units."""

    @property
    @abstractmethod
    def n_multiplications(self) -> int:
        """How many multiplications W x takes."""

    @property
    def width(self) -> int:
        """How many numbers a row is at most, on either side."""
        return max(self.n_inputs, self.n_units)

    # ---- samples are rows -------------------------------------------------------

    @abstractmethod
    def push(self, V: Tensor) -> Tensor:
        """Return W v for vectors along the last axis, (…, d) → (…, h)."""

    @abstractmethod
    def pull(self, U: Tensor) -> Tensor:
        """Return Wᵀ u for vectors along the last axis, (…, h) → (…, d)."""

    def pre_activations(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a = Wx + b of each row, (n, d) → (n, h)."""
        return torch.add(self.push(X), self.unit_intercepts, out=out)

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return h = φ(a) of each row, (n, d) → (n, h)."""
        return self.activation.in_place(self.pre_activations(X, out))

    # ---- samples are columns ----------------------------------------------------

    def push_columns(self, V: Tensor) -> Tensor:
        """Return W v for vectors along the first axis, (d, …) → (h, …)."""
        return self.push(V.movedim(0, -1)).movedim(-1, 0)

    def pull_columns(self, U: Tensor, out: Tensor | None = None) -> Tensor:
        """Return Wᵀ u for vectors along the first axis, (h, …) → (d, …)."""
        found = self.pull(U.movedim(0, -1)).movedim(-1, 0)
        return found if out is None else out.copy_(found)

    def column_pre_activations(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a = Wx + b of each column, (d, n) → (h, n)."""
        return torch.add(self.push_columns(X), self.unit_intercepts[:, None], out=out)

    # ---- derivatives ------------------------------------------------------------

    @property
    def unit_intercepts(self) -> Tensor:
        """b, (h,)."""
        return self.intercept

    @property
    def matrix(self) -> Tensor:
        """W itself, (h, d)."""
        identity = torch.eye(self.n_inputs).to(self.weights)
        return self.push_columns(identity)

    def slopes(self, H: Tensor) -> Tensor:
        """Return φ'(a) where the outputs are H, in its shape."""
        return self.activation.derivatives(H, 1)[0]

    @abstractmethod
    def squared_norms(self, out: Tensor | None = None) -> Tensor:
        """Return the squared norm of each row of W, ‖W_j‖², (h,)."""

    # ---- gradients, summed over samples -------------------------------------------

    @abstractmethod
    def weight_gradient(
        self, dA: Tensor, X: Tensor, d_norms: Tensor | None = None
    ) -> Tensor | Factors:
        """Return the gradient of the weights, formed or as factors of it.

        Parameters
        ----------
        dA : tensor of shape (h, n)
            The derivative with respect to a; samples are columns.
        X : tensor of shape (n, d)
            The inputs; samples are rows. Both may be stacked of several parts, since
            the gradient is linear in either.
        d_norms : tensor of shape (h,), optional
            The derivative with respect to ‖W_j‖², if anything weighs that.
        """

    def intercept_gradient(self, dA: Tensor) -> Tensor:
        """Return the gradient of the intercept from that of a, (h, n)."""
        return dA.sum(1)

    # ---- other layers -----------------------------------------------------------

    def with_parameters(self, weights: Tensor, intercept: Tensor) -> Self:
        """Return the same layer with these parameters."""
        return replace(self, weights=weights, intercept=intercept)

    def to(self, dtype: torch.dtype, device: torch.device) -> Self:
        """Return the same layer in this precision and there."""
        parts = (self.weights, self.intercept)
        return self.with_parameters(*(part.to(device, dtype) for part in parts))

    @abstractmethod
    def decoder(
        self, weights: Tensor, intercept: Tensor, activation: Activation
    ) -> "Layer":
        """Return the layer z ↦ φ(Wᵀz + c) with W of weights like these."""


# Makes a layer of a kind from weights, intercept and activation.
MakeLayer = Callable[[Tensor, Tensor, Activation], Layer]
