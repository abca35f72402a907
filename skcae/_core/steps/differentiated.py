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
from skcae.losses import IDENTITY, Output


@dataclass(frozen=True)
class DifferentiatedObjective(NetworkObjective):
    """The weighted mean of the loss, and of the changes along tangents if it has any.

    Parameters
    ----------
    strength : float
        Of the penalty on them.
    tangents : tensor of shape (n_rows, m, d) or None
        Those of each training row, where and in the precision that batches are.
    output : Output
        s: that of the loss, or the identity.
    """

    strength: float = field(default=0.0, kw_only=True)
    tangents: Tensor | None = field(default=None, kw_only=True)
    output: Output = field(default=IDENTITY, kw_only=True)

    @property
    def columns_per_row(self) -> int:
        """How many vectors each row has in the products of a step."""
        return 1 if self.tangents is None else 1 + self.tangents.shape[1]

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
        tangents = None if self.tangents is None else self.tangents[index]
        with torch.enable_grad():
            ends = self._ends(chain.with_parameters(leaves), X, tangents)
        Z, *changes = ends
        losses = self.loss.value(T, Z.detach())
        # dZ = w ∂L/∂z; the rows are the first axis.
        dZ = self.loss.gradient_in_place(T, Z.detach().clone())
        w = torch.ones_like(losses) if weights is None else weights
        starts = [dZ.mul_(w[:, None]), *(self.strength * w for _ in changes)]
        parts = derivatives(ends, starts, list(leaves.values()))
        gradient = Gradient(1 / len(X), dict(zip(leaves, parts, strict=True)))
        penalties = self.add_decay(chain, len(X), weights, gradient)
        for change in changes:
            penalties = penalties + self.strength * change.detach()
        return torch.stack((losses, penalties.expand_as(losses))), gradient

    def _ends(self, chain: Chain, X: Tensor, tangents: Tensor | None) -> list[Tensor]:
        """Return Z, (n, o), and with tangents Ω of each row, (n,)."""
        if tangents is None:
            return [chain.outputs(X)[-1]]
        outputs, states = chain.linearized(X)
        # (26) and (27): Ż = J u; then ȯ = s'(Z) Ż, as in (28).
        Z, Z_dot = outputs[-1], chain.push_forward(states, tangents)
        o_dot = self.output.along(self.output(Z)[:, None], Z_dot)
        return [Z, o_dot.square().sum((1, 2))]
