"""Layers one after the other: their code, and its Jacobian.

The Jacobian of f = f_K ∘ ⋯ ∘ f_1 with f_k(x) = φ_k(W_k x + b_k) is the product
J = D_K W_K ⋯ D_1 W_1, with D_k the slopes φ_k' of layer k on the diagonal.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skcae.activations import Activation
from skcae.penalties import DerivativePenalty


@dataclass(frozen=True)
class Layers:
    """The layers of an encoder.

    Parameters
    ----------
    weights : list of tensors of shape (h_k, h_{k-1})
        W_1, …, W_K.
    intercepts : list of tensors of shape (h_k,)
        b_1, …, b_K.
    activations : list of Activation
        φ_1, …, φ_K.
    """

    weights: list[Tensor]
    intercepts: list[Tensor]
    activations: list[Activation]

    @property
    def n_features(self) -> int:
        """The size d of the input."""
        return self.weights[0].shape[1]

    @property
    def n_components(self) -> int:
        """The size h of the code."""
        return self.weights[-1].shape[0]

    @property
    def n_singular_values(self) -> int:
        """How many singular values a Jacobian has."""
        return min(self.n_components, self.n_features)

    @property
    def jacobian_size(self) -> int:
        """The most numbers that a sample's Jacobian takes on the way up."""
        return max(W.shape[0] for W in self.weights) * self.n_features

    def outputs(self, X: Tensor) -> list[Tensor]:
        """Return the output of each layer for each row, (n, h_k)."""
        return self.outputs_from(torch.addmm(self.intercepts[0], X, self.weights[0].mT))

    def outputs_from(self, A: Tensor) -> list[Tensor]:
        """Return the outputs where W_1 x + b_1 is A, which is overwritten."""
        found = [self.activations[0].in_place(A)]
        for W, b, phi in zip(
            self.weights[1:], self.intercepts[1:], self.activations[1:], strict=True
        ):
            found.append(phi.in_place(torch.addmm(b, found[-1], W.mT)))
        return found

    def slopes(self, outputs: list[Tensor]) -> list[Tensor]:
        """Return φ_k' of each layer where these are the outputs, (n, h_k)."""
        return [
            phi.derivatives(H, 1)[0]
            for phi, H in zip(self.activations, outputs, strict=True)
        ]

    def slopes_at(self, X: Tensor) -> list[Tensor]:
        """Return φ_k' of each layer for each row, (n, h_k)."""
        return self.slopes(self.outputs(X))

    def push_forward(self, slopes: list[Tensor], V: Tensor) -> Tensor:
        """Return J v for k vectors of each sample, (n, k, d) → (n, k, h)."""
        for W, s in zip(self.weights, slopes, strict=True):
            V = (V @ W.mT) * s[:, None]
        return V

    def pull_back(self, slopes: list[Tensor], U: Tensor) -> Tensor:
        """Return Jᵀ u for k vectors of each sample, (n, k, h) → (n, k, d)."""
        for W, s in zip(reversed(self.weights), reversed(slopes), strict=True):
            U = (U * s[:, None]) @ W
        return U

    def jacobians(self, slopes: list[Tensor]) -> Tensor:
        """Return the Jacobian of each sample, (n, h, d)."""
        return self._product(slopes, self.weights[0])

    def reduced_jacobians(self, slopes: list[Tensor]) -> Tensor:
        """Return a matrix R of each sample with R Rᵀ = J Jᵀ, (n, h, min(h_1, d))."""
        return self._product(slopes, self.first_row_space)

    @cached_property
    def first_row_space(self) -> Tensor:
        """A matrix with the Gram matrix W_1 W_1ᵀ, as narrow as possible."""
        return row_space(self.weights[0])

    @cached_property
    def first_gram_matrix(self) -> Tensor:
        """W_1 W_1ᵀ, (h_1, h_1)."""
        return self.weights[0] @ self.weights[0].mT

    def _product(self, slopes: list[Tensor], first: Tensor) -> Tensor:
        """Multiply up the Jacobians, with another matrix in place of W_1."""
        product = slopes[0][:, :, None] * first
        for W, s in zip(self.weights[1:], slopes[1:], strict=True):
            product = (W @ product).mul_(s[:, :, None])
        return product

    def squared_norms(self, slopes: list[Tensor], budget: int) -> Tensor:
        """Return ‖J‖²_F of each sample, (n,).

        For one layer no Jacobian is built. For more they are multiplied up for a few
        samples at a time, so that these hold no more numbers than the budget.
        """
        if len(self.weights) == 1:
            squared_rows = self.weights[0].square().sum(1)
            return DerivativePenalty(order=1).per_sample(slopes, squared_rows)
        widest = max(W.shape[0] for W in self.weights)
        step = max(1, budget // (widest * self.first_row_space.shape[1]))
        parts = [
            self.reduced_jacobians([s[start : start + step] for s in slopes])
            .square_()
            .sum((1, 2))
            for start in range(0, len(slopes[0]), step)
        ]
        return torch.cat(parts)


def scaled(slopes: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Return slopes of about 1, and what their Jacobians are to be multiplied by.

    That is a power of two for each sample, (n, 1), so that nothing is rounded.
    """
    scales = [power_of_two(s.abs().amax(1, keepdim=True)) for s in slopes]
    divided = [s / scale for s, scale in zip(slopes, scales, strict=True)]
    return divided, torch.stack(scales).prod(0)


def power_of_two(numbers: Tensor) -> Tensor:
    """Return the power of two next above each number, and 1 where there is none."""
    mantissa, _ = torch.frexp(numbers)
    has_one = (numbers > 0) & numbers.isfinite()
    return torch.where(has_one, numbers / mantissa, torch.ones_like(numbers))


def row_space(W: Tensor) -> Tensor:
    """Return a matrix with the Gram matrix W Wᵀ and as few columns as possible."""
    h, d = W.shape
    return torch.linalg.qr(W.mT, mode="r").R.mT if d > h else W
