"""Tangent propagation: a network whose outputs are to hold still along directions.

Each row x has tangents u, and the objective of a row is L(t, z) + strength · Ω(x) with

    Ω(x) = Σ_u ‖(∂o/∂x) u‖²,  o = s(z).

The derivatives along the tangents go forward through the layers beside the values,

    Ḣ_0 = u,  Ȧ_k = W_k Ḣ_{k−1},  Ḣ_k = φ_k'(A_k) ∘ Ȧ_k,  Ż = W_K Ḣ_{K−1},  ȯ = s'(Z) Ż,

and the gradient comes back through both (docs/gradient.md). One tensor of shape
(units, 1 + m, n) holds the values of n rows, and then the derivatives along m tangents.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.layers.chain import Chain
from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Affine, Factors
from skcae._core.steps.supervised import NetworkObjective
from skcae.losses import Output


@dataclass(frozen=True)
class TangentObjective(NetworkObjective):
    """The weighted mean of the loss and the penalty on changes along tangents.

    Parameters
    ----------
    strength : float
        Of the penalty.
    tangents : tensor of shape (n_rows, m, d)
        Those of each training row, where and in the precision that batches are.
    output : Output
        s: that of the loss, or the identity.
    """

    strength: float
    tangents: Tensor
    output: Output

    @property
    def columns_per_row(self) -> int:
        """How many columns each row has in the products of a step."""
        return 1 + self.tangents.shape[1]

    def values_and_gradient(
        self,
        chain: Chain,
        index: Array | Tensor | slice,
        X: Tensor,
        T: Tensor,
        weights: Tensor | None,
    ) -> tuple[Tensor, Gradient]:
        """Return loss and penalties of each row, (2, n), and the mean's gradient."""
        tangents = self.tangents[index].transpose(0, 1)
        outputs, rates = forward(chain, torch.cat((X[None], tangents)))
        # (Z, Ż), which becomes (dZ, dŻ).
        both = outputs.pop()
        losses, changes = self._values_and_output_gradient(T, both)
        if weights is not None:
            both.mul_(weights)
        gradient = backward(chain, outputs, rates, both)
        decay = self.add_decay(chain, len(X), weights, gradient)
        return torch.stack((losses, changes + decay)), gradient

    def _values_and_output_gradient(
        self, T: Tensor, both: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return L and strength · Ω of each row; (Z, Ż) becomes their gradient."""
        loss, s = self.loss, self.output
        # Rows are samples for the loss, as in (25): (n, o), and (m, n, o) of tangents.
        Z, Z_dot = both[:, 0].mT, both[:, 1:].permute(1, 2, 0)
        o = s(Z)
        o_dot = s.along(o, Z_dot)
        losses = loss.value(T, Z)
        changes = self.strength * o_dot.square().sum((0, 2))
        # dȯ = 2 strength ȯ; (29) for Z, which s' depends on, and then (28) for Ż.
        d_o_dot = o_dot.mul_(2 * self.strength)
        loss.gradient_in_place(T, Z).add_(s.bend(o, d_o_dot, Z_dot).sum(0))
        Z_dot.copy_(s.along(o, d_o_dot))
        return losses, changes


def forward(chain: Chain, X: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return (H_0, Ḣ_0), …, (H_{K−1}, Ḣ_{K−1}) and (Z, Ż); and Ȧ_1, …, Ȧ_{K−1}.

    X of shape (1 + m, n, d) holds the rows, and then the tangents of each.
    """
    outputs, rates = [X.permute(2, 0, 1)], []
    *hidden, last = chain.affine
    for layer in hidden:
        # (23) at position 0 of the second axis and (26) at the others.
        both = pre_activations(layer, outputs[-1])
        H = layer.activation.in_place(both[:, 0])
        # Ḣ = φ'(A) ∘ Ȧ; H, which stands at position 0, is put back.
        outputs.append(both * layer.slopes(H)[:, None])
        outputs[-1][:, 0] = H
        rates.append(both[:, 1:])
    # (24) and (27).
    outputs.append(pre_activations(last, outputs[-1]))
    return outputs, rates


def backward(
    chain: Chain, outputs: list[Tensor], rates: list[Tensor], d_both: Tensor
) -> Gradient:
    """Return the gradient from that with respect to (Z, Ż), summed over the rows."""
    parts: dict[str, Tensor | Factors] = {}
    for k in reversed(range(len(chain.layers))):
        layer, below = chain.affine[k], outputs[k]
        # (32): rows and tangents count alike in W; (33): rows alone in b.
        X = below.flatten(1).mT
        parts[f"coefs.{k}"] = layer.weight_gradient(d_both.flatten(1), X)
        parts[f"intercepts.{k}"] = layer.intercept_gradient(d_both[:, 0])
        if k > 0:
            activation = chain.affine[k - 1].activation
            first, second = activation.derivatives(below[:, 0], 2)
            # (34) for both.
            d_both = layer.pull_columns(d_both)
            # (31): the way to A through the slope in Ḣ = φ'(A) ∘ Ȧ, and (30).
            through_slopes = second * (rates[k - 1] * d_both[:, 1:]).sum(1)
            d_both.mul_(first[:, None])[:, 0] += through_slopes
    return Gradient(1 / d_both.shape[2], parts)


def pre_activations(layer: Affine, both: Tensor) -> Tensor:
    """Return W H + b beside W Ḣ."""
    result = layer.push_columns(both)
    result[:, 0] += layer.unit_intercepts[:, None]
    return result
