"""The dense layer: h = φ(Wx + b), where W is the weights themselves."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from skcae._core.data.sparse import SparseRows
from skcae._core.layers.layer import Affine
from skcae.activations import Activation


@dataclass(eq=False)
class MatrixFactors:
    """The gradient left right + 2 diag(d_norms) W of a matrix, kept as its factors.

    That is (20) of docs/gradient.md, with 2 d_norms for its r.

    Parameters
    ----------
    left, right : tensors of shapes (h, k) and (k, d)
        The factors of what comes through the products with W.
    d_norms : tensor of shape (h,), optional
        The derivative with respect to the squared norms of W's rows.
    """

    left: Tensor
    right: Tensor
    d_norms: Tensor | None = None

    def add_to(
        self, tensor: Tensor, weights: Tensor, *, scale: float, decay: float
    ) -> None:
        """Set tensor ← decay · tensor + scale · gradient."""
        # The product sums over the samples.
        tensor.addmm_(self.left, self.right, beta=decay, alpha=scale)
        if self.d_norms is not None:
            # The gradient of ‖W_j‖² is 2 W_j.
            tensor.addcmul_(self.d_norms.unsqueeze(1), weights, value=2 * scale)

    def descend(self, weights: Tensor, step: float) -> None:
        """Set weights ← weights − step · gradient."""
        if self.d_norms is not None:
            # W_j − step 2 d_norms_j W_j: the rows shrink, and no matrix is made.
            kept = torch.rsub(self.d_norms, 1, alpha=2 * step)
            weights.mul_(kept.unsqueeze(1))
        weights.addmm_(self.left, self.right, alpha=-step)


@dataclass(eq=False)
class VectorFactors:
    """The gradient dA 1 of an intercept, that of the weights of an input that is 1.

    Parameters
    ----------
    dA : tensor of shape (h, n)
        The derivative with respect to a; samples are columns.
    ones : tensor of shape (n,)
        1.
    """

    dA: Tensor
    ones: Tensor

    def add_to(
        self, tensor: Tensor, weights: Tensor, *, scale: float, decay: float
    ) -> None:
        """Set tensor ← decay · tensor + scale · gradient."""
        # (15) and (16): the product sums over the samples.
        tensor.addmv_(self.dA, self.ones, beta=decay, alpha=scale)

    def descend(self, weights: Tensor, step: float) -> None:
        """Set weights ← weights − step · gradient."""
        weights.addmv_(self.dA, self.ones, alpha=-step)


@lru_cache
def ones(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return n ones, the same ones each time."""
    return torch.ones(n, dtype=dtype, device=device)


@dataclass(frozen=True)
class Dense(Affine):
    """A layer with weights W of shape (h, d) and an intercept b of shape (h,)."""

    has_matrix = True
    takes_sparse = True

    @staticmethod
    def initial_weights(
        n_inputs: int,
        n_units: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Tensor:
        """Draw W, uniform within ±√(6 / (inputs + units)) (Glorot and Bengio, 2010).

        The draw is made in float64 on the processor, so that float32 and float64
        models, wherever they are trained, start from the same point.
        """
        bound = math.sqrt(6.0 / (n_inputs + n_units))
        drawn = torch.empty((n_units, n_inputs), dtype=dtype, device=device)
        # Row by row, since a whole float64 matrix is twice the memory of float32.
        row = torch.empty(n_inputs, dtype=torch.float64, device="cpu")
        for weights in drawn:
            weights.copy_(row.uniform_(-bound, bound, generator=generator))
        return drawn

    @property
    def n_inputs(self) -> int:
        """The number d of inputs."""
        return self.weights.shape[1]

    @property
    def n_units(self) -> int:
        """The number h of units."""
        return self.weights.shape[0]

    @property
    def n_multiplications(self) -> int:
        """How many multiplications W x takes."""
        return self.weights.numel()

    @property
    def matrix(self) -> Tensor:
        """W."""
        return self.weights

    def push(self, V: Tensor) -> Tensor:
        """Return W v for vectors along the last axis, (…, d) → (…, h)."""
        return V @ self.weights.mT

    def pull(self, U: Tensor) -> Tensor:
        """Return Wᵀ u for vectors along the last axis, (…, h) → (…, d)."""
        return U @ self.weights

    def pre_activations(
        self, X: Tensor | SparseRows, out: Tensor | None = None
    ) -> Tensor:
        """Return a = Wx + b of each row, (n, d) → (n, h)."""
        if isinstance(X, SparseRows):
            return torch.add(X.push(self.weights), self.intercept, out=out)
        # Its `out` is not in torch's annotations.
        return functional.linear(X, self.weights, self.intercept, out=out)  # type: ignore[call-arg]

    def pull_rows(self, U: Tensor, out: Tensor) -> Tensor:
        """Put Wᵀ u of each row there, (n, h) → (n, d)."""
        return torch.mm(U, self.weights, out=out)

    def push_columns(self, V: Tensor) -> Tensor:
        """Return W v for vectors along the first axis, (d, …) → (h, …)."""
        return times(self.weights, V)

    def pull_columns(self, U: Tensor) -> Tensor:
        """Return Wᵀ u for vectors along the first axis, (h, …) → (d, …)."""
        return times(self.weights.mT, U)

    def column_pre_activations(self, X: Tensor) -> Tensor:
        """Return a = Wx + b of each column, (d, n) → (h, n)."""
        return torch.addmm(self.intercept[:, None], self.weights, X)

    def squared_norms(self, out: Tensor | None = None) -> Tensor:
        """Return ‖W_j‖² of each unit, (h,)."""
        # No matrix of squares is made for it.
        norms: Tensor = torch.linalg.vector_norm(self.weights, dim=1, out=out)
        return norms.square() if out is None else norms.square_()

    def weight_gradient(
        self, dA: Tensor, X: Tensor, d_norms: Tensor | None = None
    ) -> MatrixFactors:
        """Return dA X and, through the norms, 2 diag(d_norms) W."""
        return MatrixFactors(dA, X, d_norms)

    def intercept_gradient(self, dA: Tensor) -> VectorFactors:
        """Return the gradient of the intercept from that of a, (h, n)."""
        return VectorFactors(dA, ones(dA.shape[1], dA.dtype, dA.device))

    def decoder(
        self, weights: Tensor, intercept: Tensor, activation: Activation
    ) -> "Dense":
        """Return z ↦ φ(Vᵀz + c)."""
        return Dense(weights.mT, intercept, activation)

    def encode_scaled(self, shift: Tensor, scale: Tensor) -> None:
        """Let W encode (x − shift) / scale, in place; b is still zero.

        Both are float64 on the processor, (d,).
        """
        # W (x − shift) / scale = (W / scale) x − (W / scale) shift.
        self.weights.div_(scale.to(self.weights))
        for j, row in enumerate(self.weights):
            self.intercept[j] = -(row.to(shift) @ shift)


def times(W: Tensor, V: Tensor) -> Tensor:
    """Return W v for vectors along the first axis of V."""
    if V.ndim == 2:
        return W @ V
    return (W @ V.flatten(1)).view(-1, *V.shape[1:])
