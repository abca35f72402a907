"""The training objective of one layer, its value and its gradient in closed form.

For a batch of n rows with weights w_i,

    objective = 1/n Σ_i w_i ( L(x_i, z_i) + Σ_p strength_p penalty_p(x_i) ),

with a = Wx + b, h = φ(a), z = Vᵀh + c. A penalty may look at noisy copies of x_i, too,
which are encoded beside the rows and not decoded. The derivation of the gradient, and
the equations whose numbers stand here, are in docs/gradient.md; no graph is built.
Its s_i are w_i / n there: here the weights are w_i, and 1 / n is the gradient's scale.
"""

from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from skcae._core.layers.coder import Coder
from skcae._core.layers.dense import Dense
from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Factors, MakeLayer, Parameters
from skcae._core.steps.workspace import Batch, Units, UnitTile, Work
from skcae.activations import Activation
from skcae.losses import Loss
from skcae.penalties import Penalty


@dataclass(frozen=True)
class Objective:
    """An activation, a loss, penalties with their strengths, and a kind of layer."""

    activation: Activation
    loss: Loss
    penalties: tuple[tuple[float, Penalty], ...] = ()
    make: MakeLayer = Dense

    def coder(self, parameters: Parameters) -> Coder:
        """Return the layers of which this is the objective."""
        return Coder.of(parameters, self.activation, self.make)

    @cached_property
    def order(self) -> int:
        """The highest derivative of φ in the value; the gradient takes one more."""
        return max([penalty.order for _, penalty in self.penalties], default=0)

    @property
    def n_copies(self) -> int:
        """How many noisy copies of each row the penalties look at."""
        return max([penalty.n_copies for _, penalty in self.penalties], default=0)

    @property
    def n_scratch(self) -> int:
        """How many scratch matrices `backward` needs: the derivatives, and one."""
        return self.order + 1 + bool(self.penalties)

    # ---- the value, sample by sample --------------------------------------------

    def per_sample(
        self, coder: Coder, inputs: Tensor, target: Tensor | None = None
    ) -> Tensor:
        """Return loss plus penalties for each row, shape (n,).

        `inputs` are the rows X and, after them, the noisy copies that the penalties
        look at. What is to be reconstructed is X unless a target is given.
        """
        # Samples are rows here, in X, H and the derivatives.
        n = len(inputs) // (1 + self.n_copies)
        target = inputs[:n] if target is None else target
        H = coder.encoder.outputs(inputs)
        value = self.loss.value(target, coder.decoder.pre_activations(H[:n]))
        if self.penalties:
            # (4), and of copies (7), from the derivatives of φ and ‖W_j‖².
            every = self.activation.derivatives(H, self.order)
            own = [derivative[:n] for derivative in every]
            squared_rows = coder.encoder.squared_norms()
            for strength, penalty in self.penalties:
                derivatives = every if penalty.n_copies else own
                value += strength * penalty.per_sample(derivatives, squared_rows)
        return value

    # ---- a training step: forward, backward, and between them what is to be known -

    def forward(self, coder: Coder, batch: Batch) -> None:
        """Encode all inputs, and decode X again: H = φ(XWᵀ + b), Z = HV + c."""
        # (1): samples are rows.
        coder.encoder.pre_activations(batch.inputs, out=batch.codes)
        self.activation.in_place(batch.codes)
        coder.decoder.pre_activations(batch.H, out=batch.Z)

    def total_loss(self, batch: Batch, weights: Tensor | None) -> Tensor:
        """Return Σ_i w_i L(target_i, z_i), between `forward` and `backward`."""
        if weights is None:
            return total([self.loss.elementwise(X, Z).sum() for X, Z in batch.outputs])
        losses = [self.loss.value(X, Z) for X, Z in batch.outputs]
        return weights @ torch.cat(losses)

    def backward(
        self,
        coder: Coder,
        squared_rows: Tensor,
        batch: Batch,
        weights: Tensor | None,
    ) -> None:
        """Put dZ, dA and the derivatives by ‖W_j‖² into the batch.

        `squared_rows` holds ‖W_j‖², which only penalties read.
        """
        # (11): dZ in the place of Z; samples have their weights.
        for X, Z in batch.outputs:
            self.loss.gradient_in_place(X, Z)
        if weights is not None:
            batch.Z.mul_(weights[:, None])
        # dH = dZ Vᵀ, the first part of (12).
        coder.decoder.pull_rows(batch.Z, out=batch.dA)
        if batch.copies is not None:
            # Copies are not decoded: what they get is the penalties' alone.
            batch.gradients[len(batch) :].zero_()
        self.through_activations(squared_rows, batch, weights)
        if self.penalties:
            self.put_d_norms(squared_rows, batch)

    def gradient(self, coder: Coder, batch: Batch) -> Gradient:
        """Return the gradient, from what `backward` has put into the batch."""
        encoder, decoder, columns = coder.encoder, coder.decoder, batch.columns
        d_norms = batch.d_norms if self.penalties else None
        return Gradient(
            scale=1 / len(batch),
            parts={
                **weight_gradients(coder, batch, d_norms),
                # (15) and (16): sums over the samples.
                "intercept_hidden": encoder.intercept_gradient(columns.gradients),
                "intercept_visible": decoder.intercept_gradient(columns.Z),
            },
        )

    def through_activations(
        self, squared_rows: Tensor, batch: Batch | Units, weights: Tensor | None
    ) -> None:
        """Turn dH, which the tiles hold, into dA, and sum up the penalties' shares.

        That of penalty p is strength_p Σ_i w_i q_ij for each unit j.
        """
        for share in batch.shares:
            share.zero_()
        for rows, codes, every, own in batch.units:
            self.activation.derivatives(codes, self.order + 1, every.scratch)
            # (12): dH ∘ φ' of the rows themselves.
            own.gradient.mul_(own.scratch[0])
            w = None if weights is None else weights[rows]
            for (strength, p), share in zip(self.penalties, batch.shares, strict=True):
                # q_j of (22), and (5), or (8) and (9), added to dA.
                dA, (*derivatives, scratch) = every if p.n_copies else own
                share.add_(p.sums(derivatives, w, scratch), alpha=strength)
                norms = times_power(squared_rows, squared_rows, p.power - 1)
                p.add_through_activations(dA, derivatives, norms, w, scratch, strength)

    def through_units(
        self, H: Tensor, dH: Tensor, squared_rows: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Turn dH into dA, and return it, the r of (13), and the penalties' sum.

        It takes codes alone, (n, h), where there is no batch that holds them.
        """
        scratch = [torch.empty_like(H) for _ in range(self.n_scratch)]
        every = Work(dH[None], [matrix[None] for matrix in scratch])
        tile = UnitTile(slice(None), H[None], every, Work(dH, scratch))
        r = torch.zeros_like(squared_rows)
        units = Units([tile], [torch.empty_like(r) for _ in self.penalties], r)
        self.through_activations(squared_rows, units, weights)
        if not self.penalties:
            return dH, r, squared_rows.new_zeros(())
        self.put_d_norms(squared_rows, units)
        return dH, 2 * r, self.total_penalty(squared_rows, units)

    def put_d_norms(self, squared_rows: Tensor, batch: Batch | Units) -> None:
        """Put Σ_p strength_p k_p ‖W_j‖²ᵏ⁻² q_pj there, the derivative by each ‖W_j‖².

        The shares get the powers of ‖W_j‖², too.
        """
        # Twice this is what weighs the rows of W in (6), (10) and (17).
        batch.d_norms.zero_()
        for (_, p), share in zip(self.penalties, batch.shares, strict=True):
            if p.power > 1:
                share.mul_(squared_rows ** (p.power - 1))
            batch.d_norms.add_(share, alpha=p.power)

    def total_penalty(self, squared_rows: Tensor, batch: Batch | Units) -> Tensor:
        """Return Σ_p strength_p Σ_j q_pj ‖W_j‖²ᵏ, after `backward`."""
        # (22): the product sums over the units.
        return torch.dot(total(batch.shares), squared_rows)


def total(terms: list[Tensor]) -> Tensor:
    """Return the sum of at least one tensor."""
    return reduce(torch.add, terms)


def weighted_sums(
    losses: Tensor, penalties: Tensor | None, weights: Tensor | None
) -> Tensor:
    """Return Σ_i w_i of the losses and the penalties of rows, (2,); None are zeros."""
    if penalties is None:
        penalties = torch.zeros_like(losses)
    both = torch.stack((losses, penalties))
    return both.sum(1) if weights is None else both @ weights


def times_power(x: Tensor, base: Tensor, exponent: int) -> Tensor:
    """Return x times a power of the base, and x itself where the power is 0."""
    return x if exponent == 0 else x * base.pow(exponent)


def weight_gradients(
    coder: Coder, batch: Batch, d_norms: Tensor | None
) -> dict[str, Tensor | Factors]:
    """Return the gradient of each layer's weights.

    Tied weights have one, of stacked operands: dAᵀ X + Hᵀ dZ = [dA; H]ᵀ [X; dZ], with
    copies further rows of dA and X.
    """
    gradient, columns = coder.encoder.weight_gradient, batch.columns
    if not coder.is_tied:
        # (13) and (14): the products sum over the samples.
        return {
            "components": gradient(columns.gradients, batch.inputs, d_norms),
            "decoder_components": gradient(columns.H, batch.Z),
        }
    # (18), or with copies (19): they lie one below the other already.
    return {"components": gradient(columns.left, batch.right, d_norms)}
