"""What the rest of the library asks of a layer.

A layer is a differentiable map of rows. Most are affine, h = φ(Wx + b) with an
elementwise activation φ and a linear map W that their weights give: they themselves, or
the matrix that a convolution stands for. The pre-activations a of several samples are a
matrix A, and dA is the derivative with respect to it. The Jacobian of such a layer is
D W with the slopes φ' on the diagonal of D, so that all derivatives, and all penalties
on them, need no more than W, Wᵀ and the squared norms of the rows of W. Pooling, or a
module of the user's, is a layer too, with a Jacobian of its own at each row.

Samples are rows; where a chain of layers is fine-tuned they are columns. An affine
layer has a form of each map for both, those for columns from those for rows unless it
knows better.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from skcae._core.layers.receptive import ReceptiveField
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


class Layer(ABC):
    """A differentiable map of rows, of d inputs and h units.

    A new kind of layer is a subclass in a file of its own. It has to say what is
    abstract here, and may say more to be faster. What `linearized`, `push_forward` and
    `pull_back` compute can be differentiated by torch, in their arguments and in the
    layer's parameters.
    """

    # Whether W is a matrix that is kept, so that Jacobians are multiplied up with it.
    has_matrix: ClassVar[bool] = False
    # Whether `outputs` takes rows as they are stored, `SparseRows`.
    takes_sparse: ClassVar[bool] = False
    # Whether each unit is a multiple of one of the inputs, at each row.
    scales: ClassVar[bool] = False

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
        """How many multiplications a row takes."""

    @property
    def width(self) -> int:
        """How many numbers a row is at most, on either side."""
        return max(self.n_inputs, self.n_units)

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """What a unit sees, if units and inputs are images and that is not all."""
        return None

    # ---- parameters -------------------------------------------------------------

    @property
    def parameters(self) -> Parameters:
        """What is trained."""
        return {}

    def with_parameters(self, parameters: Parameters) -> Self:
        """Return the same layer with these parameters."""
        return self

    def to(self, dtype: torch.dtype, device: torch.device) -> Self:
        """Return the same layer in this precision and there."""
        return self.with_parameters(
            {name: part.to(device, dtype) for name, part in self.parameters.items()}
        )

    # ---- outputs, and their derivatives ------------------------------------------

    @abstractmethod
    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the units of each row, (n, d) → (n, h)."""

    def column_outputs(self, X: Tensor) -> Tensor:
        """Return the units of each column, (d, n) → (h, n)."""
        return self.outputs(X.mT).mT

    @abstractmethod
    def linearized(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the units of each row, and what the derivative there depends on.

        The methods below take this state, whose first axis is that of the rows.
        """

    @abstractmethod
    def push_forward(self, state: Tensor, V: Tensor) -> Tensor:
        """Return J v for k vectors of each row, (n, k, d) → (n, k, h)."""

    @abstractmethod
    def pull_back(self, state: Tensor, U: Tensor) -> Tensor:
        """Return Jᵀ u for k vectors of each row, (n, k, h) → (n, k, d)."""

    def squared_norms_at(self, state: Tensor, below: Tensor | None) -> Tensor | None:
        """Return the squared norm of each row of the Jacobian, (n, h), if it is known.

        `below` has those of the layers below, (n, d), and is None for the first layer.
        """
        return None

    def unit_slopes(self, state: Tensor, below: Tensor | None) -> Tensor | None:
        """Return the slope that each unit is limited by, (n, h), if it has one.

        `below` has those of the layers below, (n, d).
        """
        return None

    def scaled(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return a state whose Jacobian is about 1 in size, and what it lacks.

        That is a power of two for each row, (n, 1), so that nothing is rounded.
        """
        return state, torch.ones_like(state[:, :1])


@dataclass(frozen=True)
class Affine(Layer):
    """One layer h = φ(Wx + b); its state are the slopes φ'(a), (n, h).

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

    @property
    def parameters(self) -> Parameters:
        """The weights and the intercept."""
        return {"weights": self.weights, "intercept": self.intercept}

    def with_parameters(self, parameters: Parameters) -> Self:
        """Return the same layer with these parameters."""
        return replace(
            self, weights=parameters["weights"], intercept=parameters["intercept"]
        )

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
        A = self.pre_activations(X, out)
        if torch.is_grad_enabled() and A.requires_grad:
            return activated(self.activation, A)[0]
        return self.activation.in_place(A)

    def pull_rows(self, U: Tensor, out: Tensor) -> Tensor:
        """Put Wᵀ u of each row there, (n, h) → (n, d)."""
        return out.copy_(self.pull(U))

    def linearized(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return h = φ(a) and φ'(a) of each row, (n, h) both."""
        return activated(self.activation, self.pre_activations(X))

    def push_forward(self, state: Tensor, V: Tensor) -> Tensor:
        """Return D W v for k vectors of each row, (n, k, d) → (n, k, h)."""
        # (26): the slopes of a row are those of all its vectors.
        return self.push(V) * state[:, None]

    def pull_back(self, state: Tensor, U: Tensor) -> Tensor:
        """Return Wᵀ D u for k vectors of each row, (n, k, h) → (n, k, d)."""
        # (40).
        return self.pull(U * state[:, None])

    def squared_norms_at(self, state: Tensor, below: Tensor | None) -> Tensor | None:
        """Return φ'(a_j)² ‖W_j‖², (n, h), if there is no layer below."""
        # (4) with k = 1, unit by unit.
        return state.square() * self.squared_norms() if below is None else None

    def unit_slopes(self, state: Tensor, below: Tensor | None) -> Tensor:
        """Return φ'(a), (n, h)."""
        return state

    def scaled(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return slopes of about 1, and what they are to be multiplied by."""
        scale = power_of_two(state.abs().amax(1, keepdim=True))
        return state / scale, scale

    # ---- samples are columns ----------------------------------------------------

    def push_columns(self, V: Tensor) -> Tensor:
        """Return W v for vectors along the first axis, (d, …) → (h, …)."""
        return self.push(V.movedim(0, -1)).movedim(-1, 0)

    def pull_columns(self, U: Tensor) -> Tensor:
        """Return Wᵀ u for vectors along the first axis, (h, …) → (d, …)."""
        return self.pull(U.movedim(0, -1)).movedim(-1, 0)

    def column_pre_activations(self, X: Tensor) -> Tensor:
        """Return a = Wx + b of each column, (d, n) → (h, n)."""
        return self.push_columns(X) + self.unit_intercepts[:, None]

    def column_outputs(self, X: Tensor) -> Tensor:
        """Return h = φ(a) of each column, (d, n) → (h, n)."""
        return self.activation.in_place(self.column_pre_activations(X))

    # ---- derivatives ------------------------------------------------------------

    @property
    def unit_intercepts(self) -> Tensor:
        """b, (h,)."""
        return self.intercept

    @property
    def matrix(self) -> Tensor:
        """W itself, (h, d)."""
        identity = torch.eye(self.n_inputs, device="cpu").to(self.weights)
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

    def intercept_gradient(self, dA: Tensor) -> Tensor | Factors:
        """Return the gradient of the intercept from that of a, (h, n)."""
        return dA.sum(1)

    # ---- other layers -----------------------------------------------------------

    @abstractmethod
    def decoder(
        self, weights: Tensor, intercept: Tensor, activation: Activation
    ) -> "Affine":
        """Return the layer z ↦ φ(Wᵀz + c) with W of weights like these."""


# Makes a layer of a kind from weights, intercept and activation.
MakeLayer = Callable[[Tensor, Tensor, Activation], Affine]


class Activated(torch.autograd.Function):
    """φ(A), in the place of A, and φ'(A), with derivatives in closed form."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
        """Return H = φ(A) and S = φ'(A)."""
        ctx.set_materialize_grads(False)
        # What computed A does not need it again, so that its memory is free.
        H = activation.in_place(A.detach())
        (S,) = activation.derivatives(H, 1)
        ctx.save_for_backward(H, S)
        ctx.activation = activation
        return H, S

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        """Return dA = φ' ∘ dH + φ'' ∘ dS."""
        (H, S), (dH, dS) = ctx.saved_tensors, gradients
        if dS is None:
            return None if dH is None else S * dH, None
        through_slopes = ctx.activation.derivatives(H, 2)[1] * dS
        return (through_slopes if dH is None else through_slopes + S * dH), None


def activated(activation: Activation, A: Tensor) -> tuple[Tensor, Tensor]:
    """Return φ(A), in the place of A, and φ'(A), as torch can differentiate them."""
    found: tuple[Tensor, Tensor]
    found = Activated.apply(A, activation)  # type: ignore[no-untyped-call]
    return found


def power_of_two(numbers: Tensor) -> Tensor:
    """Return the power of two next above each number, and 1 where there is none."""
    mantissa, _ = torch.frexp(numbers)
    has_one = (numbers > 0) & numbers.isfinite()
    return torch.where(has_one, numbers / mantissa, torch.ones_like(numbers))
