"""A look before a fit: whether its λ lets a code of tied weights begin at all."""

import warnings
from typing import Any

from skcae._core.data.moments import Moments, largest_variance
from skcae._core.data.streams import StreamedRows, TrainingRows
from skcae._core.data.tensors import MatrixRows
from skcae._core.steps.diagnosis import largest_penalty
from skcae._fit.epochs import level_of_caller
from skcae.activations import ACTIVATIONS
from skcae.exceptions import DeadModelWarning
from skcae.losses import LOSSES

# The relative error of λ_max that is allowed here.
TOLERANCE = 1e-3


def warn_of_collapse(
    estimator: Any, rows: TrainingRows, moments: Moments | None
) -> bool:
    """Warn if weights of zero are a minimum, and return whether they are.

    Nothing is known of rows that come in batches, or without their moments.
    """
    if moments is None or isinstance(rows, StreamedRows):
        return False
    largest = exceeded_penalty(estimator, rows, moments)
    if largest is None:
        return False
    warnings.warn(
        f"jacobian_penalty={estimator.jacobian_penalty:g} is above "
        f"{named_penalty(largest)}. The code is likely to collapse: choose a "
        "smaller one, as from skcae.model_selection.jacobian_penalty_grid.",
        DeadModelWarning,
        stacklevel=level_of_caller(),
    )
    return True


def exceeded_penalty(
    estimator: Any, rows: MatrixRows, moments: Moments
) -> float | None:
    """Return λ_max of one tied layer for these rows, if its λ is no less than that."""
    strength = estimator._strengths().get("jacobian_penalty", 0.0)
    scale = scale_of_penalty(estimator)
    # That of windows is no matter of these moments.
    if scale is None or "kernel_size" in scale or moments.are_alike:
        return None
    activation, loss = ACTIVATIONS[scale["activation"]], LOSSES[scale["loss"]]

    def limit(variance: float) -> float:
        return largest_penalty(variance, activation, loss)

    # max_j C_jj ≤ σ₁²: the variances of the columns are enough for most fits.
    if strength < limit(float(moments.variance.max())):
        return None
    largest = limit(largest_variance(rows, moments, TOLERANCE))
    return None if strength < largest else largest


def scale_of_penalty(estimator: Any) -> dict[str, Any] | None:
    """Return what `jacobian_penalty_max` needs besides X, None if λ has no such scale.

    It is that of one layer of tied weights; of estimators that are none of ours nothing
    is known.
    """
    ask = getattr(estimator, "_scale_of_penalty", None)
    return None if ask is None else ask()


def named_penalty(largest: float) -> str:
    """Say what λ_max is."""
    return (
        f"{largest:.3g}, which is skcae.model_selection.jacobian_penalty_max of these "
        "rows: from there on weights and biases of zero are a minimum"
    )
