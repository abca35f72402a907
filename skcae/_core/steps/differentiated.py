"""Layers of any kind with targets: torch differentiates what they are to lower.

The objective of a row is L(t, z) + strength · Ω(x), with Ω as in `tangents.py`. Chains
of affine layers have its gradient in closed form, there and in `supervised.py`.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.layers.chain import Chain
from skcae._core.layers.gradient import Gradient, derivatives
from skcae._core.steps.supervised import NetworkObjective
from skcae._core.steps.tangents import Tangents


@dataclass(frozen=True)
class DifferentiatedObjective(NetworkObjective):
    """The weighted mean of the loss, and of the changes along tangents if it has any.

    Parameters
    ----------
    tangents : Tangents or None
        The directions, as `TangentObjective` has them.
    """

    tangents: Tangents | None = field(default=None, kw_only=True)

    @property
    def columns_per_row(self) -> int:
        """How many vectors each row has in the products of a step."""
        return 1 + (self.tangents.columns_per_row if self.tangents else 0)

    def values_and_gradient(
        self,
        chain: Chain,
        index: Array | Tensor | slice,
        X: Tensor,
        T: Tensor,
        weights: Tensor | None,
    ) -> tuple[Tensor, Gradient]:
        """Return loss and penalties of each row, (2, n), and the mean's gradient."""
        leaves = {
            name: part.detach().requires_grad_()
            for name, part in chain.parameters.items()
        }
        apart = self.tangents is not None and self.tangents.have_rows
        with torch.enable_grad():
            ends = self._ends(chain.with_parameters(leaves), index, X)
        Z, *changes = ends
        losses = self.loss.value(T, Z.detach())
        # dZ = w ∂L/∂z; the rows are the first axis.
        dZ = self.loss.gradient_in_place(T, Z.detach().clone())
        w = torch.ones_like(losses) if weights is None else weights
        dZ.mul_(w[:, None])
        if apart:
            # Each row counts together with the mean over those that are drawn.
            w = w.mean().expand_as(w)
        parts = derivatives(ends, [dZ, *(w for _ in changes)], list(leaves.values()))
        gradient = Gradient(1 / len(X), dict(zip(leaves, parts, strict=True)))
        penalties = self.add_decay(chain, len(X), weights, gradient)
        for change in changes:
            values = change.detach()
            penalties = penalties + (values.mean() if apart else values)
        return torch.stack((losses, penalties.expand_as(losses))), gradient

    def _ends(
        self, chain: Chain, index: Array | Tensor | slice, X: Tensor
    ) -> list[Tensor]:
        """Return Z, (n, o), and with tangents strength · Ω of n rows, (n,)."""
        if self.tangents is None:
            return [chain.outputs(X)[-1]]
        if self.tangents.have_rows:
            rows, vectors = self.tangents.drawn(len(X))
            return [chain.outputs(X)[-1], self._changes(chain, rows, vectors)[1]]
        return list(self._changes(chain, X, self.tangents.vectors[index]))

    def _changes(
        self, chain: Chain, X: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return Z, (n, o), and strength · Ω of each row, (n,)."""
        assert self.tangents is not None
        strength, s = self.tangents.strength, self.tangents.output
        outputs, states = chain.linearized(X)
        # (26) and (27): Ż = J u; then ȯ = s'(Z) Ż, as in (28).
        Z, Z_dot = outputs[-1], chain.push_forward(states, vectors)
        o_dot = s.along(s(Z)[:, None], Z_dot)
        return Z, strength * o_dot.square().sum((1, 2))
