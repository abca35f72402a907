"""Modules that are several dense layers, whose Jacobian is a product of matrices.

With f = f_K ∘ ⋯ ∘ f_1 and f_k(x) = ψ_k(W_k x + b_k) it is J = D_K W_K ⋯ D_1 W_1, where
D_k has the slopes of layer k at a row on the diagonal.
"""

from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from skcae._core.modules import parts
from skcae._core.modules.closed_form import (
    ELEMENTWISE,
    ClosedForm,
    is_affine,
    keeps_rows,
    leaves,
)
from skcae._core.modules.derivatives import row_sums, total
from skcae._core.modules.parts import sum_in_parts
from skcae._core.modules.referred import Encoder


@dataclass(frozen=True)
class DenseChain:
    """A module taken apart: each dense layer with the functions that follow it."""

    layers: list[ClosedForm]

    def takes(self, X: Tensor) -> bool:
        """Tell whether each row is one vector, and not several."""
        for step in self.layers[0].before:
            X = step(X)
        return X.ndim == 2

    @property
    def weights(self) -> list[Tensor]:
        """W_1, …, W_K."""
        return [layer.affine.weight for layer in self.layers]

    def slopes(self, X: Tensor) -> list[Tensor]:
        """Return the slopes of each layer at each row, (n, h_k)."""
        found = []
        for layer in self.layers:
            units = layer.units(X, 1)
            X = units.values
            found.append(units.derivatives[0])
        return found

    def squared_norms(self, slopes: list[Tensor], some: range) -> Tensor:
        """Return the sum of ‖∇f_k‖² over some units k of the code, (n,)."""
        first, *others = self.weights
        units = slice(some.start, some.stop)
        # (36), from the code down: U = D_K W_K, and U ← (U D_k) W_k.
        U = slopes[-1][:, units, None] * others[-1][units]
        for W, s in zip(others[-2::-1], slopes[-2:0:-1], strict=True):
            U = (U * s[:, None]) @ W
        U = U * slopes[0][:, None]
        if len(first) >= first.shape[1]:
            return row_sums((U @ first).square())
        # (38), where W_1 is wide.
        return row_sums((U @ (first @ first.mT)) * U)


def dense_chain(encoder: Any) -> DenseChain | None:
    """Take a module apart, or return None if it is not several dense layers alone."""
    steps = list(leaves(encoder))
    before = list(takewhile(keeps_rows, steps))
    layers: list[ClosedForm] = []
    for step in steps[len(before) :]:
        if type(step) is nn.Linear and is_affine(step):
            layers.append(ClosedForm([] if layers else before, step, []))
        elif type(step) in ELEMENTWISE and layers:
            layers[-1].after.append(step)
        else:
            return None
    return DenseChain(layers) if len(layers) > 1 else None


def chain_jacobian_norms(
    chain: DenseChain, encoder: Encoder, X: Tensor, *, keep: bool
) -> Tensor:
    """Return ‖J‖²_F of each row, (n,), with a graph if it is to be kept."""
    widest = max(len(W) for W in chain.weights)
    step = max(1, parts.GRAPH_ELEMENTS // (len(X) * widest))

    def norms(x: Tensor, part: range, keep: bool) -> Tensor:
        slopes = chain.slopes(x)
        with torch.set_grad_enabled(keep):
            return total(
                chain.squared_norms(slopes, some) for some in parts.split(part, step)
            )

    return sum_in_parts(norms, encoder, X, len(chain.weights[-1]), keep=keep)
