"""Penalties on the encoder, each with its value and its gradient.

Each is one number per sample, Σ_j q_ij ‖W_j‖²ᵏ with some q of the codes, or of those of
noisy copies of the sample too; the objective weighs and averages them. That form comes
from an elementwise φ: the k-th derivative of f_j(x) = φ(W_j·x + b_j) along directions
u₁ … u_k is φ⁽ᵏ⁾(a_j) (W_j·u₁) … (W_j·u_k), a rank-one tensor, whose squared Frobenius
norm is φ⁽ᵏ⁾(a_j)² ‖W_j‖²ᵏ. No Jacobian is ever built.

The gradient takes two paths (docs/gradient.md). Through the pre-activations a each
penalty adds it. Through the norms it is 2k ‖W_j‖²ᵏ⁻² Σ_i w_i q_ij W_j, of which the
objective knows the derivative by ‖W_j‖², and the layer the rest. Samples are rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["PENALTIES", "DerivativePenalty", "SampledHessianPenalty", "WeightDecay"]


class Penalty(Protocol):
    """What the objective needs of a penalty: Σ_j q_ij ‖W_j‖²ᵏ for each sample i.

    q depends on the derivatives of φ at row i, or there and at S noisy copies of it.
    Where matrices (n, h) are spoken of, they are (1 + S, n, h) in the second case, and
    for `per_sample` ((1 + S) n, h): all rows, then a copy of each, then another.
    Weights are of the n rows.
    """

    @property
    def n_copies(self) -> int:
        """How many noisy copies S of each row it looks at."""

    @property
    def order(self) -> int:
        """The highest derivative of φ in q; its gradient takes one more."""

    @property
    def power(self) -> int:
        """The power k."""

    def per_sample(
        self, derivatives: Sequence[Tensor], squared_rows: Tensor, /
    ) -> Tensor:
        """Return the penalty of each sample from (n, h) derivatives."""

    def sums(
        self,
        derivatives: Sequence[Tensor],
        weights: Tensor | None,
        scratch: Tensor,
        /,
    ) -> Tensor:
        """Return Σ_i w_i q_ij from (n, h) derivatives, (h,)."""

    def add_through_activations(
        self,
        gradient: Tensor,
        derivatives: Sequence[Tensor],
        norms: Tensor,
        weights: Tensor | None,
        scratch: Tensor,
        strength: float,
        /,
    ) -> None:
        """Add strength times the gradient of Σ_ij w_i q_ij ‖W_j‖²ᵏ by a, (n, h)."""


@dataclass(frozen=True)
class DerivativePenalty:
    """‖Dᵏf(x)‖²_F, the squared Frobenius norm of the encoder's k-th derivative.

    For one layer it is Σ_j φ⁽ᵏ⁾(a_j)² ‖W_j‖²ᵏ, so that q_ij = φ⁽ᵏ⁾(a_ij)².

    Parameters
    ----------
    order : int
        The order k: 1 for the Jacobian (contractive autoencoder), 2 for the Hessian
        (CAE+H).

    See Also
    --------
    SampledHessianPenalty : The second order, sampled.
    WeightDecay : What is left of the first without slopes.

    References
    ----------
    Rifai, Vincent, Muller, Glorot and Bengio, "Contractive Auto-Encoders: Explicit
    Invariance During Feature Extraction", ICML 2011.

    Rifai, Mesnil, Vincent, Muller, Bengio, Dauphin and Glorot, "Higher Order
    Contractive Auto-Encoder", ECML PKDD 2011.

    Examples
    --------
    A sigmoid layer of one unit with ‖W‖² = 4, at a = 0 where φ' is 1/4:

    >>> import torch
    >>> from skcae.penalties import DerivativePenalty
    >>> penalty = DerivativePenalty(1)
    >>> penalty.per_sample([torch.tensor([[0.25]])], torch.tensor([4.0]))
    tensor([0.2500])
    """

    order: int
    n_copies = 0

    @property
    def power(self) -> int:
        """The power k of ‖W_j‖²."""
        return self.order

    def per_sample(self, derivatives: Sequence[Tensor], squared_rows: Tensor) -> Tensor:
        """Return the penalty of each sample.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape (n, h)
            The derivatives of φ, φ' first, as many as `order`.
        squared_rows : Tensor of shape (h,)
            The squared norm of each row of W.

        Returns
        -------
        penalty : Tensor of shape (n,)
            The sum Σ_j q_ij ‖W_j‖²ᵏ of each sample i.
        """
        # Equation (4): rows are samples, the product sums over the units.
        return derivatives[self.order - 1].square() @ squared_rows.pow(self.order)

    def sums(
        self,
        derivatives: Sequence[Tensor],
        weights: Tensor | None,
        scratch: Tensor,
    ) -> Tensor:
        """Compute Σ_i w_i q_ij for each unit j.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape (n, h)
            The derivatives of φ, φ' first, as many as `order`.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (n, h)
            Memory to use.

        Returns
        -------
        q : Tensor of shape (h,)
            The sums.
        """
        # q_j of equation (22): rows are samples, the sum goes over them.
        squares = torch.square(derivatives[self.order - 1], out=scratch)
        return squares.sum(0) if weights is None else weights @ squares

    def add_through_activations(
        self,
        gradient: Tensor,
        derivatives: Sequence[Tensor],
        norms: Tensor,
        weights: Tensor | None,
        scratch: Tensor,
        strength: float,
    ) -> None:
        """Add strength times the gradient of Σ_ij w_i q_ij ‖W_j‖²ᵏ with respect to a.

        Parameters
        ----------
        gradient : Tensor of shape (n, h)
            What the gradient is added to.
        derivatives : sequence of Tensors of shape (n, h)
            The derivatives of φ, φ' first, as many as `order` and one more.
        norms : Tensor of shape (h,)
            ‖W_j‖²ᵏ of each unit.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (n, h)
            Memory to use.
        strength : float
            Of the penalty.
        """
        # Equation (5): 2 w_i φ⁽ᵏ⁾(a_ij) φ⁽ᵏ⁺¹⁾(a_ij) ‖W_j‖²ᵏ times the strength.
        k = self.order
        product = torch.mul(derivatives[k - 1], derivatives[k], out=scratch)
        if weights is not None:
            product.mul_(weights[:, None])
        gradient.addcmul_(product, norms, value=2 * strength)


@dataclass(frozen=True)
class SampledHessianPenalty:
    """‖J_f(x + ε) − J_f(x)‖²_F / σ², the mean of S noisy copies x + ε of each sample.

    A layer's Jacobian has the rows φ'(a_j) W_j, so that with the pre-activations ã of a
    copy this is Σ_j (φ'(ã_j) − φ'(a_j))² ‖W_j‖² / σ², a mean over copies.

    With ε ~ N(0, σ²I) its expectation tends to ‖H_f(x)‖²_F as σ tends to 0. Samples
    are followed by their copies: all samples, then a copy of each, then another.

    Parameters
    ----------
    noise : float
        The standard deviation σ of the noise in the copies.
    n_copies : int
        Their number S.

    See Also
    --------
    DerivativePenalty : The exact norm.

    References
    ----------
    Rifai, Mesnil, Vincent, Muller, Bengio, Dauphin and Glorot, "Higher Order
    Contractive Auto-Encoder", ECML PKDD 2011.

    Examples
    --------
    A layer of one unit with ‖W‖² = 4, whose slope is 1/4 at the sample and 1/5 and 1/4
    at its two copies:

    >>> import torch
    >>> from skcae.penalties import SampledHessianPenalty
    >>> penalty = SampledHessianPenalty(noise=0.5, n_copies=2)
    >>> slopes = torch.tensor([[0.25], [0.20], [0.25]])
    >>> penalty.per_sample([slopes], torch.tensor([4.0]))
    tensor([0.0200])
    """

    noise: float
    n_copies: int
    order = 1
    power = 1

    @property
    def divisor(self) -> float:
        """S σ²."""
        return self.n_copies * self.noise**2

    def per_sample(self, derivatives: Sequence[Tensor], squared_rows: Tensor) -> Tensor:
        """Return the penalty of each sample.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape ((1 + S) n, h)
            The derivatives of φ, φ' first, as many as `order`.
        squared_rows : Tensor of shape (h,)
            The squared norm of each row of W.

        Returns
        -------
        penalty : Tensor of shape (n,)
            The sum Σ_j q_ij ‖W_j‖² of each sample i.
        """
        # Equation (7): place 0 of the first axis is the row, the others its copies.
        slopes = derivatives[0].view(1 + self.n_copies, -1, len(squared_rows))
        change = (slopes[1:] - slopes[0]).square() @ squared_rows
        return change.sum(0).div_(self.divisor)

    def sums(
        self,
        derivatives: Sequence[Tensor],
        weights: Tensor | None,
        scratch: Tensor,
    ) -> Tensor:
        """Compute Σ_i w_i q_ij for each unit j.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape (1 + S, n, h)
            The derivatives of φ, φ' first, as many as `order`.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (1 + S, n, h)
            Memory to use.

        Returns
        -------
        q : Tensor of shape (h,)
            The sums.
        """
        # The sums in (10), over copies and samples: the first two axes.
        squares = changes(derivatives[0], scratch).square_()
        if weights is not None:
            squares.mul_(weights[:, None])
        return squares.sum((0, 1)).div_(self.divisor)

    def add_through_activations(
        self,
        gradient: Tensor,
        derivatives: Sequence[Tensor],
        norms: Tensor,
        weights: Tensor | None,
        scratch: Tensor,
        strength: float,
    ) -> None:
        """Add strength times the gradient of Σ_ij w_i q_ij ‖W_j‖²ᵏ with respect to a.

        Parameters
        ----------
        gradient : Tensor of shape (1 + S, n, h)
            What the gradient is added to.
        derivatives : sequence of Tensors of shape (1 + S, n, h)
            The derivatives of φ, φ' first, as many as `order` and one more.
        norms : Tensor of shape (h,)
            ‖W_j‖²ᵏ of each unit.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (1 + S, n, h)
            Memory to use.
        strength : float
            Of the penalty.
        """
        slopes, bends = derivatives[:2]
        # Equation (8), 2 w_i D_isj φ''(ã_isj) at each copy s, and equation (9),
        # −2 w_i Σ_s D_isj φ''(a_ij) at the row, whose place is the first.
        copies = changes(slopes, scratch)
        torch.sum(copies, 0, out=scratch[0]).neg_()
        product = scratch.mul_(bends)
        if weights is not None:
            product.mul_(weights[:, None])
        gradient.addcmul_(product, norms, value=2 * strength / self.divisor)


def changes(slopes: Tensor, out: Tensor) -> Tensor:
    """Compute φ'(ã) − φ'(a) for each copy, and return where that is in `out`."""
    return torch.sub(slopes[1:], slopes[0], out=out[1:])


@dataclass(frozen=True)
class WeightDecay:
    """‖W‖²_F, the same for each sample.

    It is what the Jacobian's norm becomes where every slope is 1.

    See Also
    --------
    DerivativePenalty : What weighs ‖W_j‖ by the slopes.

    Examples
    --------
    >>> import torch
    >>> from skcae.penalties import WeightDecay
    >>> WeightDecay().per_sample([], torch.tensor([4.0, 1.0]))
    tensor(5.)
    """

    order = 0
    power = 1
    n_copies = 0

    def per_sample(self, derivatives: Sequence[Tensor], squared_rows: Tensor) -> Tensor:
        """Return the penalty of any sample.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape (n, h)
            Not used.
        squared_rows : Tensor of shape (h,)
            The squared norm of each row of W.

        Returns
        -------
        penalty : Tensor of shape ()
            The norm ‖W‖²_F, which every sample has.
        """
        return squared_rows.sum()

    def sums(
        self,
        derivatives: Sequence[Tensor],
        weights: Tensor | None,
        scratch: Tensor,
    ) -> Tensor:
        """Compute Σ_i w_i for each unit.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape (n, h)
            Not used.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (n, h)
            Only its shape counts.

        Returns
        -------
        q : Tensor of shape (h,)
            The same sum for all.
        """
        n, h = scratch.shape
        total = n if weights is None else weights.sum()
        return scratch.new_ones(h).mul_(total)

    def add_through_activations(
        self,
        gradient: Tensor,
        derivatives: Sequence[Tensor],
        norms: Tensor,
        weights: Tensor | None,
        scratch: Tensor,
        strength: float,
    ) -> None:
        """Add nothing: the activations play no part.

        Parameters
        ----------
        gradient : Tensor of shape (n, h)
            Left as it is.
        derivatives : sequence of Tensors of shape (n, h)
            Not used.
        norms : Tensor of shape (h,)
            Not used.
        weights : Tensor of shape (n,) or None
            Not used.
        scratch : Tensor of shape (n, h)
            Not used.
        strength : float
            Not used.
        """


#: The penalties by the estimator parameter that gives their strength.
PENALTIES: dict[str, Penalty] = {
    "jacobian_penalty": DerivativePenalty(order=1),
    "hessian_penalty": DerivativePenalty(order=2),
    "weight_decay": WeightDecay(),
}
