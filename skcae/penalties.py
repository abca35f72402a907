"""Penalties on the encoder: what each computes and what it needs.

Each is one number per sample, Σ_j q_ij ‖W_j‖²ᵏ with some q of the codes, or of those of
noisy copies of the sample too; the objective weighs and averages them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from skcae._core.change import (
    add_through_changes,
    squared_change,
    sums_of_squared_changes,
)
from skcae._core.jacobian import (
    add_through_activations,
    squared_norm,
    sums_of_squares,
)
from skcae._core.objective import Penalty

__all__ = ["PENALTIES", "DerivativePenalty", "SampledHessianPenalty", "WeightDecay"]


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
        return squared_norm(derivatives, squared_rows, self.order)

    def sums(
        self,
        derivatives: Sequence[Tensor],
        weights: Tensor | None,
        scratch: Tensor,
        out: Tensor,
    ) -> None:
        """Compute Σ_i w_i q_ij for each unit j.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape (h, n)
            The derivatives of φ, φ' first, as many as `order`.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (h, n)
            Memory to use.
        out : Tensor of shape (h,)
            Where to put the sums.
        """
        sums_of_squares(derivatives, self.order, weights, scratch, out)

    def add_through_activations(
        self,
        gradient: Tensor,
        derivatives: Sequence[Tensor],
        factors: Tensor,
        weights: Tensor | None,
        scratch: Tensor,
    ) -> None:
        """Add the gradient of Σ_ij w_i q_ij factor_j with respect to a.

        Parameters
        ----------
        gradient : Tensor of shape (h, n)
            What the gradient is added to.
        derivatives : sequence of Tensors of shape (h, n)
            The derivatives of φ, φ' first, as many as `order` and one more.
        factors : Tensor of shape (h,)
            The factor of each unit.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (h, n)
            Memory to use.
        """
        add_through_activations(
            gradient, derivatives, self.order, factors, weights, scratch
        )


@dataclass(frozen=True)
class SampledHessianPenalty:
    """‖J_f(x + ε) − J_f(x)‖²_F / σ², the mean of S noisy copies x + ε of each sample.

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
        slopes = derivatives[0].view(1 + self.n_copies, -1, len(squared_rows))
        return squared_change(slopes, squared_rows).div_(self.divisor)

    def sums(
        self,
        derivatives: Sequence[Tensor],
        weights: Tensor | None,
        scratch: Tensor,
        out: Tensor,
    ) -> None:
        """Compute Σ_i w_i q_ij for each unit j.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape (h, (1 + S) n)
            The derivatives of φ, φ' first, as many as `order`.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (h, (1 + S) n)
            Memory to use.
        out : Tensor of shape (h,)
            Where to put the sums.
        """
        slopes, scratch = self._by_copy(derivatives[0]), self._by_copy(scratch)
        sums_of_squared_changes(slopes, weights, scratch, out)
        out.div_(self.divisor)

    def add_through_activations(
        self,
        gradient: Tensor,
        derivatives: Sequence[Tensor],
        factors: Tensor,
        weights: Tensor | None,
        scratch: Tensor,
    ) -> None:
        """Add the gradient of Σ_ij w_i q_ij factor_j with respect to a.

        Parameters
        ----------
        gradient : Tensor of shape (h, (1 + S) n)
            What the gradient is added to.
        derivatives : sequence of Tensors of shape (h, (1 + S) n)
            The derivatives of φ, φ' first, as many as `order` and one more.
        factors : Tensor of shape (h,)
            The factor of each unit.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (h, (1 + S) n)
            Memory to use.
        """
        matrices = (gradient, *derivatives[:2], scratch)
        gradient, slopes, bends, scratch = map(self._by_copy, matrices)
        factors = factors / self.divisor
        add_through_changes(gradient, slopes, bends, factors, weights, scratch)

    def _by_copy(self, matrix: Tensor) -> Tensor:
        """Return the matrix as one of shape (h, 1 + S, n)."""
        return matrix.view(len(matrix), 1 + self.n_copies, -1)


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
        out: Tensor,
    ) -> None:
        """Compute Σ_i w_i for each unit.

        Parameters
        ----------
        derivatives : sequence of Tensors of shape (h, n)
            Not used.
        weights : Tensor of shape (n,) or None
            The weights w of the samples; None stands for 1.
        scratch : Tensor of shape (h, n)
            Only its number n of columns counts.
        out : Tensor of shape (h,)
            Where to put the sums.
        """
        if weights is None:
            out.fill_(scratch.shape[1])
        else:
            out.copy_(weights.sum())

    def add_through_activations(
        self,
        gradient: Tensor,
        derivatives: Sequence[Tensor],
        factors: Tensor,
        weights: Tensor | None,
        scratch: Tensor,
    ) -> None:
        """Add nothing: the activations play no part.

        Parameters
        ----------
        gradient : Tensor of shape (h, n)
            Left as it is.
        derivatives : sequence of Tensors of shape (h, n)
            Not used.
        factors : Tensor of shape (h,)
            Not used.
        weights : Tensor of shape (n,) or None
            Not used.
        scratch : Tensor of shape (h, n)
            Not used.
        """


#: The penalties by the estimator parameter that gives their strength.
PENALTIES: dict[str, Penalty] = {
    "jacobian_penalty": DerivativePenalty(order=1),
    "hessian_penalty": DerivativePenalty(order=2),
    "weight_decay": WeightDecay(),
}
