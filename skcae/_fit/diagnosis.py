"""The look after a fit: has the model learnt anything, and if not, what to do."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from skcae._core.data.arrays import to_array
from skcae._core.data.moments import LARGEST_UNSCALED, moments_of
from skcae._core.data.rows import CHUNK_ELEMENTS, Rows
from skcae._core.steps.diagnosis import Findings, look_at
from skcae._core.training.loop import Training
from skcae._fit.collapse import exceeded_penalty, named_penalty
from skcae._fit.epochs import level_of_caller
from skcae.exceptions import DeadModelWarning

# How many rows are looked at, if they are not wider than a batch may be.
N_ROWS = 256
# q directions at random explain q / d of the variance of d columns of a common scale.
# What explains less than this part of that has learnt nothing.
PART_OF_RANDOM = 0.1
# A code with less than this part of the deviation that fresh weights give has shrunk.
SHRUNK = 1 / 3
# From so many steps on a model should say something of any rows; or from fewer, if they
# are as many epochs.
MANY_STEPS, SOME_STEPS, MANY_EPOCHS = 300, 150, 25
# Before so many an objective has no course yet: Adam's first steps may raise it.
FIRST_EPOCHS, FIRST_STEPS = 3, 30
# An objective that ends so many times as high as it began has risen.
RISE = 1.1


def warn_if_dead(estimator: Any, training: Training, rate: float) -> None:
    """Look at a few training rows by the model, and warn if it has learnt nothing.

    `rate` is the highest of the fit. One that `max_iter` cut short has had its warning.
    """
    learner: Any = training.learner
    parameters = training.learnt
    # There was room for a batch, where one was dense.
    n_dense = training.batch_size if learner.has_dense_batches else 2
    n_that_fit = max(n_dense, CHUNK_ELEMENTS // learner.rows.n_features)
    X, weights = learner.rows.some(min(N_ROWS, n_that_fit))
    if len(X) < 2 or (weights is not None and not weights.any()):
        return
    found = look_at(learner.objective, parameters, X, weights)
    if not found.explained < PART_OF_RANDOM * min(1, found.n_units / X.shape[1]):
        return
    rose = has_risen(training)
    if rose or found.are_flat or (took_long(training) and has_a_cause(found)):
        seen = "; ".join(symptoms(found, len(X), training.loss_curve if rose else []))
        cure = " ".join(cures(estimator, found, rate, rose, host_rows(X, weights)))
        warnings.warn(
            f"The model has learnt next to nothing: {seen}. {cure}",
            DeadModelWarning,
            stacklevel=level_of_caller(),
        )


def host_rows(X: Tensor, weights: Tensor | None) -> Rows:
    """Return rows that were looked at as rows on the processor."""
    arrays = to_array(X), None if weights is None else to_array(weights)
    return Rows(*arrays, dtype=arrays[0].dtype, device=torch.device("cpu"))


def took_long(training: Training) -> bool:
    """Tell whether a fit had the steps in which any model should learn something."""
    steps, epochs = training.step, len(training.loss_curve)
    is_long = steps >= MANY_STEPS or (steps >= SOME_STEPS and epochs >= MANY_EPOCHS)
    return is_long and not training.was_cut_short


def has_a_cause(found: Findings) -> bool:
    """Tell whether the code could say more of the rows."""
    is_unscaled = found.widest > LARGEST_UNSCALED
    return found.explained < 0 or found.shrinkage < SHRUNK or is_unscaled


def has_risen(training: Training) -> bool:
    """Tell whether the objective ended well above where it began."""
    curve = training.loss_curve
    has_course = len(curve) >= FIRST_EPOCHS and training.step >= FIRST_STEPS
    return has_course and curve[-1] > RISE * abs(curve[0])


def symptoms(found: Findings, n_rows: int, risen: Sequence[float]) -> Iterator[str]:
    """Say what was seen."""
    if risen:
        yield f"its objective rose from {risen[0]:.4g} to {risen[-1]:.4g}"
    if found.explained < 0:
        yield (
            f"on {n_rows} training rows its reconstructions are worse than the mean "
            "of the rows"
        )
    else:
        yield (
            f"its reconstructions explain {found.explained:.2%} of the variance of "
            f"{n_rows} training rows"
        )
    yield f"the standard deviation of its units is {found.deviation:.2g}"
    if found.are_flat:
        yield "all units are saturated at all of them"


def cures(
    estimator: Any, found: Findings, rate: float, rose: bool, rows: Rows
) -> Iterator[str]:
    """Say what to try, the likeliest first."""
    is_scaled = found.widest <= LARGEST_UNSCALED
    if not is_scaled:
        yield (
            f"A column of X has a standard deviation of {found.widest:.4g}: scale the "
            "data, as by a StandardScaler or MinMaxScaler in a pipeline."
        )
    shrinking = [
        f"{name} (now {strength:g})"
        for name, strength in estimator._strengths().items()
    ]
    if is_scaled and shrinking and not found.are_flat and not rose:
        largest = exceeded_penalty(estimator, rows, moments_of(rows))
        limit = "" if largest is None else f"; it is above {named_penalty(largest)}"
        yield f"Try a smaller {' or '.join(shrinking)}{limit}."
    elif is_scaled or rose:
        yield f"Try a smaller learning_rate (now {rate:g})."
