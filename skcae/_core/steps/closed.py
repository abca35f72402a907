"""The step of one convolution each way, with its gradient in closed form.

Max-pooling may follow it, and then only the units that win have a gradient.
The equations are those of one dense layer (docs/gradient.md), on rows instead of
columns. What they need elementwise is computed for a few rows at a time, so that it
stays in a processor's cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.layers.convolution import Convolution, TransposedConvolution
from skcae._core.layers.layer import Parameters
from skcae._core.layers.network import Network
from skcae._core.layers.pooling import MaxPooling
from skcae._core.steps.step import Probes, summed
from skcae.losses import Loss

# How many units at most are looked at together, of one row at least.
TILE = 2**16


@dataclass(frozen=True)
class ClosedForm:
    """What one convolution each way is to lower: Σ_i w_i (L + λ ‖J_f(x_i)‖²_F).

    Parameters
    ----------
    encoder : Convolution
        f, but for the pooling.
    pooling : MaxPooling or None
        What selects units of it, if anything does; the decoder repeats them.
    decoder : TransposedConvolution
        The rest of g, without the loss's output.
    is_tied : bool
        Whether they have the same weights.
    loss : Loss
        L.
    strength : float
        λ.
    """

    encoder: Convolution
    pooling: MaxPooling | None
    decoder: TransposedConvolution
    is_tied: bool
    loss: Loss
    strength: float

    def totals_and_gradient(
        self,
        X: Tensor,
        weights: Tensor | None,
        probes: Probes = (None, None),
        *,
        n_at_once: int | None = None,
    ) -> tuple[Tensor, Parameters]:
        """Return loss and penalty of rows, summed, and the gradient by parameter.

        The norm is exact: there are no probes. The rows are taken so many at once; what
        is of the filters alone is computed once for all of them.
        """
        norms = self._norms() if self.strength else None

        def of_rows(rows: slice) -> list[Tensor]:
            w = None if weights is None else weights[rows]
            return self._of_rows(X[rows], w, norms)

        sums = summed(of_rows, len(X), n_at_once or len(X))
        loss, own, back, intercept, visible = sums
        penalty = torch.zeros_like(loss)
        if norms is not None:
            # (22) with its strength, and through the norms (6).
            d_norms = self.strength * norms.sums.sum(0)
            penalty = d_norms @ norms.squared
            own = own + self.encoder.norm_gradient(d_norms)
        totals = torch.stack((loss, penalty))
        # (15) and (16).
        gradient = {"encoder.0.bias": intercept, "decoder.0.bias": visible}
        if self.is_tied:
            return totals, {"encoder.0.weight": own + back, **gradient}
        return totals, {"encoder.0.weight": own, "decoder.0.weight": back, **gradient}

    def _norms(self) -> "Norms":
        """Return the norms of the units, and sums that are still 0."""
        squared = self.encoder.squared_norms()
        return Norms(squared, squared.new_zeros(self._n_rows, len(squared)))

    @property
    def _n_rows(self) -> int:
        """How many rows are looked at together."""
        layer = self.encoder if self.pooling is None else self.pooling
        return max(1, TILE // layer.n_units)

    def _of_rows(
        self, X: Tensor, weights: Tensor | None, norms: "Norms | None"
    ) -> list[Tensor]:
        """Return the loss, and the gradient by both weights and both intercepts.

        Of the penalty the sums are added to those of `norms`, and what goes through the
        activations is in the gradient.
        """
        encoder, pooling, decoder = self.encoder, self.pooling, self.decoder
        # (1): samples are rows. The code has units that win, or all of them.
        code, winners = encoder.outputs(X), None
        if pooling is not None:
            code, winners = pooling.linearized(code)
        H = code if pooling is None else pooling.decoder().push(code)
        Z = decoder.pre_activations(H)
        if weights is None:
            loss = self.loss.elementwise(X, Z).sum()
        else:
            loss = weights @ self.loss.value(X, Z)
        # (11): dZ in the place of Z.
        dZ = self.loss.gradient_in_place(X, Z)
        dZ = dZ if weights is None else dZ.mul_(weights[:, None])
        # dH = dZ Vᵀ, the first part of (12).
        dA = decoder.pull(dZ)
        dA = dA if pooling is None else pooling.decoder().pull(dA)
        self._through_activations(code, dA, winners, norms, weights)
        if pooling is not None and winners is not None:
            # The others get nothing.
            dA = pooling.pull_back(winners, dA[:, None])[:, 0]
        return [
            loss,
            # (13) and (14), with the filters at all places.
            encoder.weight_gradient(dA.mT, X),
            decoder.weight_gradient(dZ.mT, H),
            encoder.intercept_gradient(dA.mT),
            decoder.intercept_gradient(dZ.mT),
        ]

    def _through_activations(
        self,
        code: Tensor,
        dA: Tensor,
        winners: Tensor | None,
        norms: "Norms | None",
        weights: Tensor | None,
    ) -> None:
        """Turn dH, which dA holds, into dA, and add Σ_i w_i φ'(a_ij)² to the sums."""
        n_derivatives = 1 if norms is None else 2
        n_rows = self._n_rows
        scratch = [code.new_empty(n_rows, code.shape[1]) for _ in range(n_derivatives)]
        for start in range(0, len(code), n_rows):
            part = slice(start, start + n_rows)
            h, da = code[part], dA[part]
            out = [numbers[: len(h)] for numbers in scratch]
            first, *higher = self.encoder.activation.derivatives(h, n_derivatives, out)
            if norms is not None:
                w = None if weights is None else weights[part, None]
                second = higher[0] if w is None else higher[0].mul_(w)
                squared, sums = norms.squared, norms.sums[: len(h)]
                own = squared if winners is None else squared[winners[part]]
                # (5), before the factor φ' that it has in common with (12).
                da.addcmul_(second, own, value=2 * self.strength)
                # (22): q_j = Σ_i w_i φ'(a_ij)², of the rows where the unit wins.
                weighted = first if w is None else first * w
                if winners is None:
                    sums.addcmul_(first, weighted)
                else:
                    sums.scatter_add_(1, winners[part], first * weighted)
            # (12): dH ∘ φ'.
            da.mul_(first)


@dataclass(frozen=True)
class Norms:
    """What a step needs of the penalty, over all of its rows.

    Parameters
    ----------
    squared : tensor of shape (h,)
        ‖W_j‖² of each unit.
    sums : tensor of shape (rows that are looked at together, h)
        What is added up to the q_j of (22).
    """

    squared: Tensor
    sums: Tensor


def closed_form(network: Network, loss: Loss, strength: float) -> ClosedForm | None:
    """Return the closed form of a network's objective, if there is one here."""
    f, *pooling = network.encoder.layers
    *unpooling, g = network.decoder.layers
    if not (isinstance(f, Convolution) and isinstance(g, TransposedConvolution)):
        return None
    if not pooling and not unpooling:
        return ClosedForm(f, None, g, f.weights is g.weights, loss, strength)
    if len(pooling) == 1 and isinstance(pooling[0], MaxPooling):
        return ClosedForm(f, pooling[0], g, f.weights is g.weights, loss, strength)
    return None
