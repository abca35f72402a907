"""A network's outputs: their units in fine-tuning, and where they start."""

import warnings
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from skcae._core.data.arrays import Array
from skcae._fit.epochs import level_of_caller
from skcae.losses import Loss

# Targets whose deviation is this part of the largest of them are all the same. In
# float64, what is left of equal ones is a few units in the last place.
EQUAL = 1e-13
# Steps of this part of the targets' deviation are coarse: sums of some dozen products
# are off by several of them.
ROUNDED = 0.01


@dataclass(frozen=True)
class TargetUnits:
    """What is 0 and what is 1 in fine-tuning.

    Parameters
    ----------
    zero : ndarray of shape (n_outputs,) or float
        The target that is 0.
    one : float
        The difference from it that is 1.
    """

    zero: Array | float = 0.0
    one: float = 1.0

    def of(self, targets: Array) -> Array:
        """Return targets in these units."""
        if np.any(self.zero) or self.one != 1:
            return (targets - self.zero) / self.one
        return targets

    def output_layer(self, W: Array, b: Array) -> tuple[Array, Array]:
        """Return the weights and biases of a layer whose outputs are targets."""
        if np.any(self.zero) or self.one != 1:
            moved = b * self.one + self.zero
            return W * W.dtype.type(self.one), moved.astype(W.dtype)
        return W, b


def standard_units(targets: Array, weights: Array | None) -> TargetUnits:
    """Return the weighted mean of each target, and one deviation for all of them.

    The squared error has then the same minimum as before: it is divided by a number.
    """
    # The largest first, so that no square overflows or vanishes.
    largest = float(np.abs(targets).max()) or 1.0
    scaled = targets / largest
    mean = np.average(scaled, axis=0, weights=weights)
    square = np.average((scaled - mean) ** 2, axis=0, weights=weights).mean()
    # What is left of equal targets is rounding.
    deviation = float(np.sqrt(square)) if square > EQUAL**2 else 1 / largest
    return TargetUnits(mean * largest, deviation * largest)


def check_squares(unit: float, targets: Array) -> None:
    """Refuse targets whose squared errors are infinite in their own units.

    Raises
    ------
    ValueError
        If the unit of these is.
    """
    if not np.isfinite(unit):
        raise ValueError(
            f"y reaches {np.abs(targets).max():g}, and squares of it are infinite. "
            "Scale y, as by a TransformedTargetRegressor."
        )


def warn_if_rounded(
    units: TargetUnits, targets: Array, dtype: np.dtype[np.floating]
) -> None:
    """Warn of targets so far from 0 that predictions are rounded by a part of them."""
    largest = np.abs(units.zero).max()
    spacing = float(np.spacing(largest.astype(dtype)))
    if spacing > ROUNDED * units.one and np.ptp(targets, axis=0).any():
        warnings.warn(
            f"y is about {largest:g}, with a deviation of {units.one:g}, but in "
            f"{dtype.name}, the precision of X, numbers of that size are {spacing:g} "
            "apart, to which predictions are rounded. Pass X as float64, or y less "
            "its mean.",
            UserWarning,
            stacklevel=level_of_caller(),
        )


def best_constant(loss: Loss, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the outputs of the lowest weighted mean loss among those without inputs.

    In float64 on the processor: a log prior, a logit, or a mean.
    """
    targets = targets.cpu().double()
    if weights is None:
        return loss.link(targets.mean(0))
    weights = weights.cpu().double()
    return loss.link(weights @ targets / weights.sum())
