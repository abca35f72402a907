"""Tangent propagation: a network whose outputs are to hold still along directions.

Each row x has tangents u, and the objective of a row is L(t, z) + strength · Ω(x) with

    Ω(x) = Σ_u ‖(∂o/∂x) u‖²,  o = s(z).

Rows that Ω is of may be others than those of the loss: nothing of it asks for a target.
The derivatives along the tangents go forward through the layers beside the values,

    Ḣ_0 = u,  Ȧ_k = W_k Ḣ_{k−1},  Ḣ_k = φ_k'(A_k) ∘ Ȧ_k,  Ż = W_K Ḣ_{K−1},  ȯ = s'(Z) Ż,

and the gradient comes back through both (docs/gradient.md). One tensor of shape
(units, 1 + m, n) holds the values of n rows, and then the derivatives along m tangents.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._core.layers.chain import Chain
from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Affine, Factors
from skcae._core.steps.supervised import NetworkObjective
from skcae.losses import Output


@dataclass(frozen=True)
class Tangents:
    """Directions along which the outputs are to hold still, and at which rows.

    Parameters
    ----------
    vectors : tensor of shape (n_rows, m, d)
        Those of each row, where and in the precision that batches are.
    strength : float
        Of the penalty.
    output : Output
        s: that of the loss, or the identity.
    rows : tensor of shape (n_rows, d), optional
        Where they are: a step draws as many of them as its batch has rows. Else they
        are those of the training rows.
    generator : torch.Generator
        What draws them.
    """

    vectors: Tensor
    strength: float
    output: Output
    rows: Tensor | None = field(default=None, kw_only=True)
    generator: torch.Generator = field(default_factory=torch.Generator, kw_only=True)

    @property
    def have_rows(self) -> bool:
        """Whether they are at rows of their own."""
        return self.rows is not None

    @property
    def columns_per_row(self) -> int:
        """How many columns a row has beside its own: tangents, and one drawn row."""
        return self.vectors.shape[1] + self.have_rows

    def drawn(self, n: int) -> tuple[Tensor, Tensor]:
        """Return n of the rows, (n, d), and the tangents of each, (n, m, d)."""
        assert self.rows is not None
        index = torch.randint(
            len(self.rows), (n,), generator=self.generator, device="cpu"
        ).to(self.rows.device)
        return self.rows[index], self.vectors[index]

    def changes(self, Z: Tensor, Z_dot: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return strength · Ω of each row, (n,), and its gradient by Z and by Ż.

        Z has the shape (n, o) and Ż (m, n, o).
        """
        s, strength = self.output, self.strength
        o = s(Z)
        o_dot = s.along(o, Z_dot)
        values = strength * o_dot.square().sum((0, 2))
        # dȯ = 2 strength ȯ; (29) for Z, which s' depends on, and then (28) for Ż.
        d_o_dot = o_dot.mul_(2 * strength)
        return values, s.bend(o, d_o_dot, Z_dot).sum(0), s.along(o, d_o_dot)


@dataclass(frozen=True)
class TangentObjective(NetworkObjective):
    """The weighted mean of the loss and the penalty on changes along tangents.

    Parameters
    ----------
    tangents : Tangents
        The directions. With rows of their own a row of the loss counts together with
        the mean of the penalty over those that are drawn.
    """

    tangents: Tangents

    @property
    def columns_per_row(self) -> int:
        """How many columns each row has in the products of a step."""
        return 1 + self.tangents.columns_per_row

    def values_and_gradient(
        self,
        chain: Chain,
        index: Array | Tensor | slice,
        X: Tensor,
        T: Tensor,
        weights: Tensor | None,
    ) -> tuple[Tensor, Gradient]:
        """Return loss and penalties of each row, (2, n), and the mean's gradient."""
        if self.tangents.have_rows:
            values, gradient = super().values_and_gradient(chain, index, X, T, weights)
            mass = len(X) if weights is None else float(weights.sum())
            changes, further = self._at_drawn_rows(chain, len(X), mass / len(X))
            values[1] += changes.mean()
            return values, gradient.plus(further, chain.parameters)
        outputs, rates = forward(chain, X, self.tangents.vectors[index])
        # (Z, Ż), which becomes (dZ, dŻ).
        both = outputs.pop()
        Z, Z_dot = parts(both)
        losses = self.loss.value(T, Z)
        changes, dZ, dZ_dot = self.tangents.changes(Z, Z_dot)
        self.loss.gradient_in_place(T, Z).add_(dZ)
        Z_dot.copy_(dZ_dot)
        if weights is not None:
            both.mul_(weights)
        gradient = backward(chain, outputs, rates, both)
        decay = self.add_decay(chain, len(X), weights, gradient)
        return torch.stack((losses, changes + decay)), gradient

    def _at_drawn_rows(
        self, chain: Chain, n: int, weight: float
    ) -> tuple[Tensor, Gradient]:
        """Return strength · Ω at n rows, and the gradient of its weighted mean."""
        outputs, rates = forward(chain, *self.tangents.drawn(n))
        both = outputs.pop()
        Z, Z_dot = parts(both)
        changes, dZ, dZ_dot = self.tangents.changes(Z, Z_dot)
        Z.copy_(dZ)
        Z_dot.copy_(dZ_dot)
        return changes, backward(chain, outputs, rates, both.mul_(weight))


def parts(both: Tensor) -> tuple[Tensor, Tensor]:
    """Return Z, (n, o), and Ż, (m, n, o), as views of what holds both, (o, 1 + m, n).

    Rows are samples for the loss, as in (25).
    """
    return both[:, 0].mT, both[:, 1:].permute(1, 2, 0)


def forward(
    chain: Chain, X: Tensor, vectors: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Return (H_0, Ḣ_0), …, (H_{K−1}, Ḣ_{K−1}) and (Z, Ż); and Ȧ_1, …, Ȧ_{K−1}.

    X of shape (n, d) holds the rows, and (n, m, d) are the tangents of each.
    """
    start = torch.cat((X[None], vectors.transpose(0, 1)))
    outputs, rates = [start.permute(2, 0, 1)], []
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
    found: dict[str, Tensor | Factors] = {}
    for k in reversed(range(len(chain.layers))):
        layer, below = chain.affine[k], outputs[k]
        # (32): rows and tangents count alike in W; (33): rows alone in b.
        X = below.flatten(1).mT
        found[f"coefs.{k}"] = layer.weight_gradient(d_both.flatten(1), X)
        found[f"intercepts.{k}"] = layer.intercept_gradient(d_both[:, 0])
        if k > 0:
            activation = chain.affine[k - 1].activation
            first, second = activation.derivatives(below[:, 0], 2)
            # (34) for both.
            d_both = layer.pull_columns(d_both)
            # (31): the way to A through the slope in Ḣ = φ'(A) ∘ Ȧ, and (30).
            through_slopes = second * (rates[k - 1] * d_both[:, 1:]).sum(1)
            d_both.mul_(first[:, None])[:, 0] += through_slopes
    return Gradient(1 / d_both.shape[2], found)


def pre_activations(layer: Affine, both: Tensor) -> Tensor:
    """Return W H + b beside W Ḣ."""
    result = layer.push_columns(both)
    result[:, 0] += layer.unit_intercepts[:, None]
    return result
