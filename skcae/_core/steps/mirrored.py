"""The gradient of (35) for dense layers with one probe of each row, by hand.

Three kinds of rows meet each W_k: those on the way up to the code, those of the probes
on their way down (40), and those that the decoder takes down to the input:

    P_k = U_k ∘ S_k        U_{k−1} = P_k W_k        U_K = v, S_k = φ'(A_k)
    Z_k = G_k V_k + c_k    G_{k−1} = φ(Z_k)         G_K = H_K, z = Z_1

and the penalty is λ ‖U_0‖². What W_k is multiplied by is stacked, so that with tied
weights two of the kinds are one product, and the gradient of W_k is one product too, of

    left_k = [ dA_k; P_k; G_k ]    and    right_k = [ H_{k−1}; dU_{k−1}; dZ_k ].

Samples are rows everywhere.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.layers.dense import MatrixFactors
from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Affine, Factors
from skcae._core.layers.network import Network
from skcae._core.steps.objective import weighted_sums
from skcae._core.steps.step import Probes
from skcae.losses import Loss


@dataclass(frozen=True)
class Level:
    """What there is of n rows at one layer; the parts of `left` and `right` are views.

    Parameters
    ----------
    layer, decoder : Affine
        W_k, b_k, φ; and V_k, c_k with what follows.
    left, right : tensors of shapes (3n, h_k) and (3n, h_{k−1}), or of 2n rows
        The operands above, without those of the probes if there are none.
    n : int
        The number of rows.
    slopes, bends : tensors of shape (n, h_k)
        φ'(A_k), and φ''(A_k), which then becomes the part of dA_k through S_k.
    """

    layer: Affine
    decoder: Affine
    left: Tensor
    right: Tensor
    n: int
    slopes: Tensor
    bends: Tensor

    @property
    def has_probes(self) -> bool:
        """Whether there are rows of probes."""
        return len(self.left) == 3 * self.n

    @property
    def is_tied(self) -> bool:
        """Whether V is W."""
        return self.decoder.weights.data_ptr() == self.layer.weights.data_ptr()

    @property
    def own(self) -> tuple[Tensor, Tensor]:
        """dA_k and H_{k−1}."""
        return self.left[: self.n], self.right[: self.n]

    @property
    def probe(self) -> tuple[Tensor, Tensor]:
        """P_k, and U_{k−1} or dU_{k−1}."""
        return self.left[self.n : -self.n], self.right[self.n : -self.n]

    @property
    def decoded(self) -> tuple[Tensor, Tensor]:
        """G_k, and Z_k or dZ_k."""
        return self.left[-self.n :], self.right[-self.n :]

    def take_down(self) -> None:
        """Set U_{k−1} and Z_k from P_k and G_k."""
        (P, U), (G, Z) = self.probe, self.decoded
        # U_{k−1} = P_k W_k and Z_k = G_k V_k + c_k, at once where V is W.
        if self.has_probes and self.is_tied:
            torch.mm(self.left[self.n :], self.layer.weights, out=self.right[self.n :])
            Z.add_(self.decoder.intercept)
            return
        torch.mm(P, self.layer.weights, out=U)
        self.decoder.pre_activations(G, Z)

    def take_up(self) -> tuple[Tensor, Tensor]:
        """Return dP_k and dG_k from dU_{k−1} and dZ_k."""
        # dP_k = dU_{k−1} W_kᵀ and dG_k = dZ_k V_kᵀ, at once where V is W.
        if self.is_tied:
            both = self.right[self.n :] @ self.layer.weights.mT
            return both[: -self.n], both[-self.n :]
        (_, dU), (_, dZ) = self.probe, self.decoded
        return self.layer.push(dU), self.decoder.pull(dZ)

    def gradient(self, k: int, j: int) -> dict[str, Tensor | Factors]:
        """Return those of W_k, b_k, V_k and c_k, summed over the rows."""
        # (33) and (16): sums over the rows.
        parts: dict[str, Tensor | Factors] = {
            f"encoder.{k}.bias": self.own[0].sum(0),
            f"decoder.{j}.bias": self.decoded[1].sum(0),
        }
        # (32): the product sums over the rows of all kinds, as (18) does.
        if self.is_tied:
            whole = MatrixFactors(self.left.mT, self.right)
            return {**parts, f"encoder.{k}.weight": whole}
        left, right = self.left[: -self.n], self.right[: -self.n]
        G, dZ = self.decoded
        parts[f"encoder.{k}.weight"] = MatrixFactors(left.mT, right)
        parts[f"decoder.{j}.weight"] = MatrixFactors(G.mT, dZ)
        return parts


class MirroredStep:
    """A step of dense layers and of the decoder that mirrors them.

    Parameters
    ----------
    network : Network
        Their tensors change in place.
    loss : Loss
        L.
    strength : float
        λ; 0 takes no probes.
    n : int
        The rows of the largest batch.
    """

    def __init__(self, network: Network, loss: Loss, strength: float, n: int) -> None:
        self.network, self.loss, self.strength = network, loss, strength
        self.n_parts = 3 if strength else 2
        self.memory = [
            [
                layer.weights.new_empty((rows, size))
                for rows, size in (
                    (self.n_parts * n, layer.n_units),
                    (self.n_parts * n, layer.n_inputs),
                    (n, layer.n_units),
                    (n, layer.n_units),
                )
            ]
            for layer in network.encoder.affine
        ]

    def rows(self, n: int) -> Tensor:
        """Return where the n rows of a batch are to be put, (n, d)."""
        _, first, *_ = self.memory[0]
        return first[:n]

    def levels(self, n: int) -> list[Level]:
        """Return the memory of a batch of n rows; the first H is X."""
        pairs = zip(
            self.network.encoder.affine,
            self.network.decoder.affine[::-1],
            self.memory,
            strict=True,
        )
        m = self.n_parts * n
        return [
            Level(layer, decoder, left[:m], right[:m], n, slopes[:n], bends[:n])
            for layer, decoder, (left, right, slopes, bends) in pairs
        ]

    def totals_and_gradient(
        self, n: int, weights: Tensor | None, probes: Probes
    ) -> tuple[Tensor, Gradient]:
        """Return loss and penalty of the rows that are there, and the gradient."""
        of_code, _ = probes
        v = None if of_code is None else of_code[:, 0]
        levels = self.levels(n)
        self._encode(levels)
        self._decode(levels, v)
        totals = self._differentiate_ends(levels[0], weights)
        dH = self._take_up(levels, v)
        self._differentiate_encoder(levels, dH)
        K = len(levels)
        parts: dict[str, Tensor | Factors] = {}
        for k, level in enumerate(levels):
            parts |= level.gradient(k, K - 1 - k)
        return totals, Gradient(1 / n, parts)

    def _encode(self, levels: list[Level]) -> None:
        """(23), with the slopes of each layer."""
        for level, above in zip(levels, [*levels[1:], None], strict=True):
            out = level.decoded[0] if above is None else above.own[1]
            H = level.layer.outputs(level.own[1], out)
            derivatives = [level.slopes, level.bends][: 2 if self.strength else 1]
            level.layer.activation.derivatives(H, len(derivatives), derivatives)

    def _decode(self, levels: list[Level], probes: Tensor | None) -> None:
        """Take codes and probes down, to z and U_0."""
        U = probes
        for k in reversed(range(len(levels))):
            level = levels[k]
            if U is not None:
                # P_k = U_k ∘ S_k.
                torch.mul(U, level.slopes, out=level.probe[0])
            level.take_down()
            U = None if probes is None else level.probe[1]
            if k:
                # G_{k−1} = φ(Z_k); where Z_k stands there will be dZ_k.
                G = levels[k - 1].decoded[0].copy_(level.decoded[1])
                level.decoder.activation.in_place(G)

    def _differentiate_ends(self, first: Level, weights: Tensor | None) -> Tensor:
        """Return loss and penalty; z and U_0 become the derivatives by them."""
        X, U, Z = first.own[1], first.probe[1], first.decoded[1]
        losses, penalties = self.loss.value(X, Z), None
        if self.strength:
            # λ ‖U_0‖² of each row, and its derivative by U_0.
            penalties = U.square().sum(1).mul_(self.strength)
            U.mul_(2 * self.strength)
        # (11).
        self.loss.gradient_in_place(X, Z)
        if weights is not None:
            U.mul_(weights[: len(U), None])
            Z.mul_(weights[:, None])
        return weighted_sums(losses, penalties, weights)

    def _take_up(self, levels: list[Level], probes: Tensor | None) -> Tensor:
        """Take both derivatives up again, and return dH_K; bends become parts of dA."""
        for level, above in zip(levels, [*levels[1:], None], strict=True):
            dP, dG = level.take_up()
            if probes is not None:
                U = probes if above is None else above.probe[1]
                # The way to A_k through S_k: φ'' ∘ dS_k, with dS_k = U_k ∘ dP_k.
                level.bends.mul_(U).mul_(dP)
            if above is not None:
                # dU_k = dP_k ∘ S_k, in the place of U_k.
                torch.mul(dP, level.slopes[: len(dP)], out=above.probe[1])
                # dZ_{k+1} = dG_k ∘ φ'(Z_{k+1}).
                (slopes,) = above.decoder.activation.derivatives(level.decoded[0], 1)
                torch.mul(dG, slopes, out=above.decoded[1])
        return dG

    def _differentiate_encoder(self, levels: list[Level], dH: Tensor) -> None:
        """(31) and (34), from the code down."""
        for k in reversed(range(len(levels))):
            level = levels[k]
            # dA_k = φ' ∘ dH_k + φ'' ∘ dS_k.
            dA = torch.mul(dH, level.slopes, out=level.own[0])
            if self.strength:
                dA += level.bends
            if k:
                dH = dA @ level.layer.weights
