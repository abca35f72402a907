"""Layers one after the other: their outputs, their Jacobian and their gradient.

The Jacobian of f = f_K ∘ ⋯ ∘ f_1 with f_k(x) = φ_k(W_k x + b_k) is the product
J = D_K W_K ⋯ D_1 W_1, with D_k the slopes φ_k' of layer k on the diagonal.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Affine, Factors, Layer, Parameters
from skcae._core.layers.receptive import Comb, ReceptiveField, single

# What the parameters of a layer are called in a chain.
NAMES = {"weights": "coefs", "intercept": "intercepts"}


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
        parts = [layer.parameters for layer in self.layers]
        # All weights, and then all intercepts.
        names = dict.fromkeys(name for named in parts for name in named)
        return {
            f"{NAMES.get(name, name)}.{k}": named[name]
            for name in names
            for k, named in enumerate(parts)
            if name in named
        }

    def with_parameters(self, parameters: Parameters) -> "Chain":
        """Return the same layers with these parameters."""
        return Chain(
            tuple(
                layer.with_parameters(
                    {n: parameters[f"{NAMES.get(n, n)}.{k}"] for n in layer.parameters}
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

    @property
    def receptive_field(self) -> ReceptiveField | None:
        """The pixels that a number of the code sees, if these are not all."""
        fields = [layer.receptive_field for layer in self.layers]
        found = fields[0]
        for field in fields[1:]:
            found = found and field and found.below(field)
        return found

    @property
    def code_vectors(self) -> Comb:
        """The vectors of the code that an exact norm takes, as few as are known."""
        field = self.receptive_field
        return single(self.n_components) if field is None else field.of_code

    @property
    def input_vectors(self) -> Comb:
        """Those of the input."""
        field = self.receptive_field
        return single(self.n_features) if field is None else field.of_image

    @property
    def is_affine(self) -> bool:
        """Whether it has affine layers only, whose gradient is in closed form."""
        return all(isinstance(layer, Affine) for layer in self.layers)

    @property
    def affine(self) -> tuple[Affine, ...]:
        """The layers of a chain that has affine ones only."""
        return cast(tuple[Affine, ...], self.layers)

    @property
    def has_matrices(self) -> bool:
        """Whether Jacobians are products with matrices that are kept."""
        return all(layer.has_matrix for layer in self.layers)

    # ---- samples are rows: outputs ----------------------------------------------

    def outputs(self, X: Any) -> list[Tensor]:
        """Return the output of each layer for each row, (n, h_k)."""
        found = [X]
        for layer in self.layers:
            found.append(layer.outputs(found[-1]))
        return found[1:]

    def outputs_from(self, A: Tensor) -> list[Tensor]:
        """Return the outputs where W_1 x + b_1 is A, which is overwritten."""
        found = [self.affine[0].activation.in_place(A)]
        for layer in self.layers[1:]:
            found.append(layer.outputs(found[-1]))
        return found

    def linearized(self, X: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the output of each layer, and what its derivative there depends on."""
        outputs, states = [], []
        for layer in self.layers:
            X, state = layer.linearized(X)
            outputs.append(X)
            states.append(state)
        return outputs, states

    def unit_slopes(self, states: list[Tensor]) -> Tensor | None:
        """Return the slope that each unit of the code is limited by, if it has one."""
        slopes = None
        for layer, state in zip(self.layers, states, strict=True):
            slopes = layer.unit_slopes(state, slopes)
        return slopes

    def states_at(self, X: Tensor) -> list[Tensor]:
        """Return what the derivative of each layer depends on, at each row."""
        return self.linearized(X)[1]

    # ---- samples are rows: Jacobians --------------------------------------------

    def push_forward(self, states: list[Tensor], V: Tensor) -> Tensor:
        """Return J v for k vectors of each sample, (n, k, d) → (n, k, h)."""
        # D_K W_K ⋯ D_1 W_1 v, from the right; samples and vectors are the first axes.
        for layer, state in zip(self.layers, states, strict=True):
            V = layer.push_forward(state, V)
        return V

    def pull_back(self, states: list[Tensor], U: Tensor) -> Tensor:
        """Return Jᵀ u for k vectors of each sample, (n, k, h) → (n, k, d)."""
        # W_1ᵀ D_1 ⋯ W_Kᵀ D_K u, from the right.
        for layer, state in zip(reversed(self.layers), reversed(states), strict=True):
            U = layer.pull_back(state, U)
        return U

    def jacobians(self, states: list[Tensor]) -> Tensor:
        """Return the Jacobian of each sample, (n, h, d)."""
        if self.has_matrices:
            return self._product(states, self.affine[0].matrix)
        if self.n_components <= self.n_features:
            return self.pull_back(states, self.unit_vectors(states, self.n_components))
        return self.push_forward(states, self.unit_vectors(states, self.n_features)).mT

    def unit_vectors(self, states: list[Tensor], n: int) -> Tensor:
        """Return the n unit vectors of n numbers for each sample, (…, n, n)."""
        return self.of_each(states, torch.eye(n, device="cpu"))

    def of_each(self, states: list[Tensor], vectors: Tensor) -> Tensor:
        """Return the same k vectors for each sample, (k, n) → (…, k, n)."""
        # Where units are selected, states are places.
        like = next((s for s in states if s.is_floating_point()), states[0].double())
        return vectors.to(like).expand(len(like), *vectors.shape)

    def reduced_jacobians(self, slopes: list[Tensor]) -> Tensor:
        """Return a matrix R of each sample with R Rᵀ = J Jᵀ, (n, h, min(h_1, d))."""
        return self._product(slopes, self.first_row_space)

    @cached_property
    def first_row_space(self) -> Tensor:
        """A matrix with the Gram matrix W_1 W_1ᵀ, as narrow as possible."""
        return row_space(self.affine[0].matrix)

    @cached_property
    def first_gram_matrix(self) -> Tensor:
        """W_1 W_1ᵀ, (h_1, h_1)."""
        matrix = self.affine[0].matrix
        return matrix @ matrix.mT

    def _product(self, slopes: list[Tensor], first: Tensor) -> Tensor:
        """Multiply up the Jacobians, with another matrix in place of W_1."""
        # From the right: the first axis is the samples', and D scales rows.
        product = slopes[0][:, :, None] * first
        for layer, s in zip(self.affine[1:], slopes[1:], strict=True):
            product = (layer.matrix @ product).mul_(s[:, :, None])
        return product

    @property
    def has_closed_norms(self) -> bool:
        """Whether the norms of the Jacobians are known without building any.

        They are of one affine layer, and of what selects or scales its units above it.
        """
        first, *others = self.layers
        return isinstance(first, Affine) and all(layer.scales for layer in others)

    def squared_norms_at(self, states: list[Tensor]) -> Tensor | None:
        """Return the squared norm of each row of the Jacobians, (n, h), if it is known.

        (4) with k = 1.
        """
        norms = None
        for layer, state in zip(self.layers, states, strict=True):
            norms = layer.squared_norms_at(state, norms)
            if norms is None:
                return None
        return norms

    def squared_norms(self, states: list[Tensor], budget: int) -> Tensor:
        """Return ‖J‖²_F of each sample, (n,).

        For one layer no Jacobian is built. For more they are multiplied up for a few
        samples at a time, so that these hold no more numbers than the budget.
        """
        norms = self.squared_norms_at(states)
        if norms is not None:
            return norms.sum(1)
        if not self.has_matrices:
            return self._squared_norms_by_vectors(states, budget)
        # ‖J‖² = tr J Jᵀ = tr R Rᵀ = ‖R‖².
        step = max(1, budget // (self.most_units * self.first_row_space.shape[1]))
        parts = [
            self.reduced_jacobians([s[start : start + step] for s in states])
            .square_()
            .sum((1, 2))
            for start in range(0, len(states[0]), step)
        ]
        return torch.cat(parts)

    def norms_from_code(self, states: list[Tensor]) -> Tensor:
        """Return ‖J‖²_F of each sample, (n,), in a form that torch differentiates.

        The vectors of the code are pulled back, all at once.
        """
        *others, last = self.layers
        if last.has_matrix:
            # D_K W_K, of which each row is a unit vector that was pulled back.
            U = states[-1][:, :, None] * self.affine[-1].matrix
        else:
            U = self.of_each(states, self.code_vectors.vectors())
            U = last.pull_back(states[-1], U)
        if not others:
            return U.square().sum((1, 2))
        for layer, state in zip(others[:0:-1], states[-2:0:-1], strict=True):
            U = layer.pull_back(state, U)
        first = self.layers[0]
        if not (first.has_matrix and first.n_units < first.n_inputs):
            return first.pull_back(states[0], U).square().sum((1, 2))
        # (38), where W_1 is wide.
        U = U * states[0][:, None]
        return ((U @ self.first_gram_matrix) * U).sum((1, 2))

    def _squared_norms_by_vectors(self, states: list[Tensor], budget: int) -> Tensor:
        """Do it with the vectors of the side that has fewer, a few at a time."""
        # (52), along the rows of J or along its columns.
        of_code, of_input = self.code_vectors, self.input_vectors
        is_of_code = len(of_code) <= len(of_input)
        move = self.pull_back if is_of_code else self.push_forward
        some = of_code if is_of_code else of_input
        vectors = self.of_each(states, some.vectors())
        step = max(1, budget // (len(vectors) * self.width))
        parts = [
            move(states, V).square().sum((1, 2)) for V in torch.split(vectors, step, 1)
        ]
        return torch.stack(parts).sum(0)

    def scaled(self, states: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return states of Jacobians of about 1, and what these lack.

        That is a power of two for each sample, (n, 1), so that nothing is rounded.
        """
        # J is linear in each D_k, so that it scales by the product.
        pairs = zip(self.layers, states, strict=True)
        scaled, scales = zip(*(f.scaled(state) for f, state in pairs), strict=True)
        return list(scaled), torch.stack(scales).prod(0)

    # ---- samples are columns: a training step -----------------------------------

    def forward(self, X: Tensor) -> list[Tensor]:
        """Return H_0 = X, …, H_K with the samples as columns."""
        outputs = [X]
        # (23) and (24), one layer after the other.
        for layer in self.layers:
            outputs.append(layer.column_outputs(outputs[-1]))
        return outputs

    def backward(self, outputs: list[Tensor], dA: Tensor) -> Gradient:
        """Return the gradient from that with respect to A_K, summed over samples.

        `outputs` are H_0, …, H_{K−1}.
        """
        parts: dict[str, Tensor | Factors] = {}
        for k in reversed(range(len(self.affine))):
            layer, H = self.affine[k], outputs[k]
            # (32) and (33) without tangents: sums over the samples.
            parts[f"coefs.{k}"] = layer.weight_gradient(dA, H.mT)
            parts[f"intercepts.{k}"] = layer.intercept_gradient(dA)
            if k > 0:
                # (34), and (31) without tangents: dA_{k−1} = φ' ∘ W_kᵀ dA_k.
                slopes = self.affine[k - 1].slopes(H)
                dA = layer.pull_columns(dA).mul_(slopes)
        return Gradient(1 / H.shape[1], parts)


def row_space(W: Tensor) -> Tensor:
    """Return a matrix with the Gram matrix W Wᵀ and as few columns as possible."""
    h, d = W.shape
    return torch.linalg.qr(W.mT, mode="r").R.mT if d > h else W
