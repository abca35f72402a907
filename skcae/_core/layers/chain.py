"""Layers one after the other: their outputs, their Jacobian and their gradient.

The Jacobian of f = f_K ∘ ⋯ ∘ f_1 with f_k(x) = φ_k(W_k x + b_k) is the product
J = D_K W_K ⋯ D_1 W_1, with D_k the slopes φ_k' of layer k on the diagonal.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Factors, Layer, Parameters
from skcae.penalties import DerivativePenalty


@dataclass(frozen=True)
class Chain:
    """Layers f_1, …, f_K, each of which takes what the one before it gives.

    Its parameters are named "coefs.k" and "intercepts.k", from 0 on.
    """

    layers: tuple[Layer, ...]

    # ---- parameters -------------------------------------------------------------

    @property
    def parameters(self) -> Parameters:
        """The tensors of the layers themselves, by name."""
        return {
            **{f"coefs.{k}": layer.weights for k, layer in enumerate(self.layers)},
            **{f"intercepts.{k}": f.intercept for k, f in enumerate(self.layers)},
        }

    def with_parameters(self, parameters: Parameters) -> "Chain":
        """Return the same layers with these parameters."""
        return Chain(
            tuple(
                layer.with_parameters(
                    parameters[f"coefs.{k}"], parameters[f"intercepts.{k}"]
                )
                for k, layer in enumerate(self.layers)
            )
        )

    def to(self, dtype: torch.dtype, device: torch.device) -> "Chain":
        """Return the same layers in this precision and there."""
        return Chain(tuple(layer.to(dtype, device) for layer in self.layers))

    # ---- sizes ------------------------------------------------------------------

    @property
    def n_features(self) -> int:
        """The size d of the input."""
        return self.layers[0].n_inputs

    @property
    def n_components(self) -> int:
        """The size h of the code."""
        return self.layers[-1].n_units

    @property
    def n_singular_values(self) -> int:
        """How many singular values a Jacobian has."""
        return min(self.n_components, self.n_features)

    @property
    def most_units(self) -> int:
        """The units of the largest layer."""
        return max(layer.n_units for layer in self.layers)

    @property
    def jacobian_size(self) -> int:
        """The most numbers that a sample's Jacobian takes on the way up."""
        return self.most_units * self.n_features

    @property
    def width(self) -> int:
        """How many numbers a row is at most on its way."""
        return max(layer.width for layer in self.layers)

    @property
    def n_multiplications(self) -> int:
        """How many multiplications a row takes in the largest product."""
        return max(layer.n_multiplications for layer in self.layers)

    # ---- samples are rows: outputs ----------------------------------------------

    def outputs(self, X: Tensor) -> list[Tensor]:
        """Return the output of each layer for each row, (n, h_k)."""
        return self.outputs_from(self.layers[0].pre_activations(X))

    def outputs_from(self, A: Tensor) -> list[Tensor]:
        """Return the outputs where W_1 x + b_1 is A, which is overwritten."""
        first, *others = self.layers
        found = [first.activation.in_place(A)]
        for layer in others:
            found.append(layer.outputs(found[-1]))
        return found

    def slopes(self, outputs: list[Tensor]) -> list[Tensor]:
        """Return φ_k' of each layer where these are the outputs, (n, h_k)."""
        pairs = zip(self.layers, outputs, strict=True)
        return [layer.slopes(H) for layer, H in pairs]

    def slopes_at(self, X: Tensor) -> list[Tensor]:
        """Return φ_k' of each layer for each row, (n, h_k)."""
        return self.slopes(self.outputs(X))

    # ---- samples are rows: Jacobians --------------------------------------------

    def push_forward(self, slopes: list[Tensor], V: Tensor) -> Tensor:
        """Return J v for k vectors of each sample, (n, k, d) → (n, k, h)."""
        # D_K W_K ⋯ D_1 W_1 v, from the right; samples and vectors are the first axes.
        for layer, s in zip(self.layers, slopes, strict=True):
            V = layer.push(V) * s[:, None]
        return V

    def pull_back(self, slopes: list[Tensor], U: Tensor) -> Tensor:
        """Return Jᵀ u for k vectors of each sample, (n, k, h) → (n, k, d)."""
        # W_1ᵀ D_1 ⋯ W_Kᵀ D_K u, from the right.
        for layer, s in zip(reversed(self.layers), reversed(slopes), strict=True):
            U = layer.pull(U * s[:, None])
        return U

    def jacobians(self, slopes: list[Tensor]) -> Tensor:
        """Return the Jacobian of each sample, (n, h, d)."""
        return self._product(slopes, self.layers[0].matrix)

    def reduced_jacobians(self, slopes: list[Tensor]) -> Tensor:
        """Return a matrix R of each sample with R Rᵀ = J Jᵀ, (n, h, min(h_1, d))."""
        return self._product(slopes, self.first_row_space)

    @cached_property
    def first_row_space(self) -> Tensor:
        """A matrix with the Gram matrix W_1 W_1ᵀ, as narrow as possible."""
        return row_space(self.layers[0].matrix)

    @cached_property
    def first_gram_matrix(self) -> Tensor:
        """W_1 W_1ᵀ, (h_1, h_1)."""
        matrix = self.layers[0].matrix
        return matrix @ matrix.mT

    def _product(self, slopes: list[Tensor], first: Tensor) -> Tensor:
        """Multiply up the Jacobians, with another matrix in place of W_1."""
        # From the right: the first axis is the samples', and D scales rows.
        product = slopes[0][:, :, None] * first
        for layer, s in zip(self.layers[1:], slopes[1:], strict=True):
            product = (layer.matrix @ product).mul_(s[:, :, None])
        return product

    def squared_norms(self, slopes: list[Tensor], budget: int) -> Tensor:
        """Return ‖J‖²_F of each sample, (n,).

        For one layer no Jacobian is built. For more they are multiplied up for a few
        samples at a time, so that these hold no more numbers than the budget.
        """
        if len(self.layers) == 1:
            # (4) with k = 1.
            squared_rows = self.layers[0].matrix.square().sum(1)
            return DerivativePenalty(order=1).per_sample(slopes, squared_rows)
        # ‖J‖² = tr J Jᵀ = tr R Rᵀ = ‖R‖².
        step = max(1, budget // (self.most_units * self.first_row_space.shape[1]))
        parts = [
            self.reduced_jacobians([s[start : start + step] for s in slopes])
            .square_()
            .sum((1, 2))
            for start in range(0, len(slopes[0]), step)
        ]
        return torch.cat(parts)

    # ---- samples are columns: a training step -----------------------------------

    def forward(self, X: Tensor) -> list[Tensor]:
        """Return H_0 = X, …, H_K with the samples as columns."""
        outputs = [X]
        # (23) and (24), one layer after the other.
        for layer in self.layers:
            A = layer.column_pre_activations(outputs[-1])
            outputs.append(layer.activation.in_place(A))
        return outputs

    def backward(self, outputs: list[Tensor], dA: Tensor) -> Gradient:
        """Return the gradient from that with respect to A_K, summed over samples.

        `outputs` are H_0, …, H_{K−1}.
        """
        parts: dict[str, Tensor | Factors] = {}
        for k in reversed(range(len(self.layers))):
            layer, H = self.layers[k], outputs[k]
            # (32) and (33) without tangents: sums over the samples.
            parts[f"coefs.{k}"] = layer.weight_gradient(dA, H.mT)
            parts[f"intercepts.{k}"] = layer.intercept_gradient(dA)
            if k > 0:
                # (34), and (31) without tangents: dA_{k−1} = φ' ∘ W_kᵀ dA_k.
                slopes = self.layers[k - 1].slopes(H)
                dA = layer.pull_columns(dA).mul_(slopes)
        return Gradient(1 / H.shape[1], parts)


def scaled(slopes: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Return slopes of about 1, and what their Jacobians are to be multiplied by.

    That is a power of two for each sample, (n, 1), so that nothing is rounded.
    """
    # J is linear in each D_k, so that it scales by the product.
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
