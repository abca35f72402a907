"""What a few rows say of a fitted layer: whether it has learnt anything."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skcae._core.layers.layer import Parameters
from skcae._core.steps.objective import Objective
from skcae.activations import Activation
from skcae.losses import Loss

# A unit is flat where its slope is less than this part of the activation's largest.
FLAT = 0.01
# Rows are all alike where their variance is less than this part of their mean square.
ALIKE = 1e-12


@dataclass(frozen=True)
class Findings:
    """What was seen of a layer on a few rows.

    Parameters
    ----------
    explained : float
        The part of the variance of the rows that their reconstructions explain,
        1 − Σ‖x − g(f(x))‖² / Σ‖x − x̄‖². It is 0 for the mean x̄ in place of all
        reconstructions, and NaN if the rows are all alike.
    deviation : float
        The root of the mean variance of the units.
    shrinkage : float
        That, as a part of what fresh weights would give to rows of this variance.
    are_flat : bool
        Whether all units are flat at all rows.
    widest : float
        The largest standard deviation of a column.
    n_units : int
        The size of the code.
    """

    explained: float
    deviation: float
    shrinkage: float
    are_flat: bool
    widest: float
    n_units: int


def largest_penalty(variance: float, activation: Activation, loss: Loss) -> float:
    """Return λ_max for rows of this largest variance: above it no tied code begins.

    With unit weights w of slope φ'(0) the loss falls by |L''| φ'(0) σ₁², to the first
    order, and λ φ'(0)² is to be paid; |L''| is the derivative of dL/dz by x.
    """
    zero = torch.zeros((), dtype=torch.float64, device="cpu")
    (slope,) = activation.derivatives(activation(zero), 1)
    # relu has its kink there, and takes its largest.
    steepness = float(slope) or activation.largest_slope
    # dL/dz = 2 (z − x), or s(z) − x.
    change = loss.gradient_in_place(zero.clone(), zero.clone())
    change = change - loss.gradient_in_place(zero + 1, zero.clone())
    return float(change) * variance / steepness


def look_at(
    objective: Objective, parameters: Parameters, X: Tensor, weights: Tensor | None
) -> Findings:
    """Encode and decode some rows, and say what was seen."""
    part = torch.full_like(X[:, 0], 1 / len(X)) if weights is None else weights
    part = part / part.sum()

    def variance(values: Tensor) -> Tensor:
        """Return the variance of each column."""
        return part @ (values - part @ values).square_()

    coder, activation = objective.coder(parameters), objective.activation
    H, slopes = coder.code_and_slopes(X)
    error = objective.loss.output(coder.pre_outputs(H)) - X
    largest_slope = 1.0 if activation is None else activation.largest_slope
    spread = variance(X)
    total, mean_square = spread.sum(), (spread + (part @ X).square()).sum()
    deviation = float(variance(H).mean().sqrt())
    # Fresh weights have the variance 2 / (d + h), and are smaller for columns that are
    # not scaled: pre-activations deviate by about 1 at the most.
    fresh = math.sqrt(2 * float(total) / (X.shape[1] + H.shape[1]))
    fresh = largest_slope * min(1.0, fresh)
    explained = 1 - part @ error.square().sum(1) / total
    return Findings(
        explained=float(explained) if total > ALIKE * mean_square else math.nan,
        deviation=deviation,
        shrinkage=deviation / fresh if fresh else math.nan,
        are_flat=slopes is not None and bool((slopes < FLAT * largest_slope).all()),
        widest=float(spread.max().sqrt()),
        n_units=H.shape[1],
    )
