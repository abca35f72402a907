"""The step of one convolution each way, with its gradient in closed form.

The equations are those of one dense layer (docs/gradient.md), on rows instead of
columns. What they need elementwise is computed for a few rows at a time, so that it
stays in a processor's cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.layers.convolution import Convolution, TransposedConvolution
from skcae._core.layers.network import Network
from skcae.losses import Loss

# How many units at most are looked at together, of one row at least.
TILE = 2**16


@dataclass(frozen=True)
class ClosedForm:
    """What one convolution each way is to lower: Σ_i w_i (L + λ ‖J_f(x_i)‖²_F).

    Parameters
    ----------
    encoder : Convolution
        f.
    decoder : TransposedConvolution
        g, without the loss's output.
    is_tied : bool
        Whether they have the same weights.
    loss : Loss
        L.
    strength : float
        λ.
    """

    encoder: Convolution
    decoder: TransposedConvolution
    is_tied: bool
    loss: Loss
    strength: float

    def total_and_gradient(
        self, X: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the objective of rows, summed, and its gradient by parameter."""
        encoder, decoder = self.encoder, self.decoder
        # (1): samples are rows.
        H = encoder.outputs(X)
        Z = decoder.pre_activations(H)
        if weights is None:
            total = self.loss.elementwise(X, Z).sum()
        else:
            total = weights @ self.loss.value(X, Z)
        # (11): dZ in the place of Z.
        dZ = self.loss.gradient_in_place(X, Z)
        dZ = dZ if weights is None else dZ.mul_(weights[:, None])
        # dH = dZ Vᵀ, the first part of (12).
        dA = decoder.pull(dZ)
        norms = encoder.squared_norms() if self.strength else None
        d_norms = self._through_activations(H, dA, norms, weights)
        if norms is not None and d_norms is not None:
            # (22) with its strength.
            total += d_norms @ norms
        # (13) and (14), with the filters at all places.
        own = encoder.weight_gradient(dA.mT, X, d_norms)
        back = decoder.weight_gradient(dZ.mT, H)
        gradient = {
            # (15) and (16).
            "encoder.0.bias": encoder.intercept_gradient(dA.mT),
            "decoder.0.bias": decoder.intercept_gradient(dZ.mT),
        }
        if self.is_tied:
            return total, {"encoder.0.weight": own + back, **gradient}
        return total, {"encoder.0.weight": own, "decoder.0.weight": back, **gradient}

    def _through_activations(
        self, H: Tensor, dA: Tensor, norms: Tensor | None, weights: Tensor | None
    ) -> Tensor | None:
        """Turn dH, which dA holds, into dA, and return λ Σ_i w_i φ'(a_ij)² if asked."""
        n_derivatives = 1 if norms is None else 2
        n_rows = max(1, TILE // H.shape[1])
        scratch = [H.new_empty(n_rows, H.shape[1]) for _ in range(n_derivatives)]
        sums = None if norms is None else torch.zeros_like(scratch[0])
        for start in range(0, len(H), n_rows):
            part = slice(start, start + n_rows)
            h, da = H[part], dA[part]
            out = [numbers[: len(h)] for numbers in scratch]
            first, *second = self.encoder.activation.derivatives(h, n_derivatives, out)
            if norms is not None and sums is not None:
                if weights is not None:
                    second[0].mul_(weights[part, None])
                # (5), before the factor φ' that it has in common with (12).
                da.addcmul_(second[0], norms, value=2 * self.strength)
            # (12): dH ∘ φ'.
            da.mul_(first)
            if sums is not None:
                # (22): q_j = Σ_i w_i φ'(a_ij)².
                weighted = first if weights is None else first * weights[part, None]
                sums[: len(h)].addcmul_(first, weighted, value=self.strength)
        return None if sums is None else sums.sum(0)


def closed_form(network: Network, loss: Loss, strength: float) -> ClosedForm | None:
    """Return the closed form of a network's objective, if there is one here."""
    encoder, decoder = network.encoder.layers, network.decoder.layers
    if len(encoder) != 1 or len(decoder) != 1:
        return None
    f, g = encoder[0], decoder[0]
    if not (isinstance(f, Convolution) and isinstance(g, TransposedConvolution)):
        return None
    return ClosedForm(f, g, f.weights is g.weights, loss, strength)
