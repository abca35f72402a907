"""What a network has learnt: one look at a few hundred rows after its training."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from skcae._core.data.arrays import Array, to_array
from skcae._core.data.rows import evenly_spaced
from skcae._core.layers.layer import Parameters
from skcae._core.steps.supervised import NetworkLearner
from skcae._core.training.loop import Training
from skcae._fit.epochs import level_of_caller
from skcae._fit.target_units import best_constant
from skcae.exceptions import DeadModelWarning
from skcae.losses import LOSSES, Loss

# So many rows are looked at, evenly spread over those of the training.
N_ROWS = 300
# Values that differ by less than this, as a part of the largest, are the same.
SAME = 1e-7
# The loss of what has learnt is lower than that of a constant by this part of it.
GAIN = 0.01
# In fewer epochs than this an objective need not have fallen.
N_EPOCHS = 50


@dataclass(frozen=True)
class Look:
    """What was seen of a network on some of its rows.

    Parameters
    ----------
    X : tensor of shape (n, n_features)
        The rows.
    hidden : list of tensors of shape (n_units, n)
        The output of each hidden layer.
    Z : tensor of shape (n, n_outputs)
        The network's outputs.
    targets : tensor of shape (n, n_outputs)
        What they are compared with.
    loss : float
        The weighted mean loss.
    constant_loss : float
        That of the best outputs without inputs.
    """

    X: Tensor
    hidden: list[Tensor]
    Z: Tensor
    targets: Tensor
    loss: float
    constant_loss: float


def look(learner: NetworkLearner, loss: Loss, parameters: Parameters) -> Look:
    """Look at what a network with these parameters makes of the learner's rows."""
    rows = learner.rows
    X, weights = rows.some(N_ROWS)
    targets = learner.targets[evenly_spaced(len(rows), N_ROWS)]
    _, *hidden, Z = learner.chain.with_parameters(parameters).forward(X.mT)
    every = rows.weights_of(slice(None))
    constant = best_constant(loss, learner.targets, every).to(Z)

    def mean_loss(outputs: Tensor) -> float:
        losses = loss.value(targets, outputs)
        return float(losses.mean() if weights is None else weights @ losses / len(X))

    return Look(
        X, hidden, Z.mT, targets, mean_loss(Z.mT), mean_loss(constant.expand_as(Z.mT))
    )


def warn_if_dead(training: Training, loss: Loss, learning_rate: float) -> None:
    """Warn of a network that answers all rows alike, or has gained nothing."""
    learner: Any = training.learner
    seen = look(learner, loss, training.learnt)
    if not is_dead(seen, training.loss_curve):
        return
    found = "; ".join(findings(seen, loss, learner.unit))
    warnings.warn(
        f"The network has learnt nothing: on {len(seen.Z)} of its training rows, "
        f"{found}. Scale the data, as by a StandardScaler or MinMaxScaler before the "
        "encoder in a pipeline, or try a smaller learning_rate than "
        f"{learning_rate:g}.",
        DeadModelWarning,
        stacklevel=level_of_caller(),
    )


def is_dead(seen: Look, curve: list[float]) -> bool:
    """Tell whether a network has learnt nothing of rows that differ in their targets.

    It answers all of them alike; or after enough epochs it is worse than a constant
    answer, or no better, and the objective is where it began.
    """
    teaches = not (alike(seen.X.mT).all() or alike(seen.targets.mT).all())
    if seen.loss < (1 - GAIN) * seen.constant_loss or not teaches:
        return False
    is_worse = seen.loss > (1 + GAIN) * seen.constant_loss
    has_fallen = curve[-1] < (1 - GAIN) * curve[0]
    has_had_time = len(curve) >= N_EPOCHS
    return bool(alike(seen.Z.mT).all()) or (
        has_had_time and (is_worse or not has_fallen)
    )


def findings(seen: Look, loss: Loss, unit: float) -> Iterator[str]:
    """Say what is wrong with a network."""
    yield (
        f"its loss is {unit * seen.loss:.4g}, and {unit * seen.constant_loss:.4g} for "
        "the best constant answer"
    )
    if loss is not LOSSES["squared_error"]:
        n_answers, n_labels = (
            len(np.unique(decided(outputs, loss), axis=0))
            for outputs in (seen.Z, seen.targets - 0.5)
        )
        if n_answers == 1 < n_labels:
            yield f"all are given one of their {n_labels} labels"
    for k, H in enumerate(seen.hidden, 1):
        n_alike = int(alike(H).sum())
        if n_alike:
            yield f"{n_alike} of the {len(H)} units of hidden layer {k} are constant"


def decided(outputs: Tensor, loss: Loss) -> Array:
    """Return the class, or the set of labels, that each row of outputs means."""
    return to_array(outputs.argmax(1) if loss.one_of_many else outputs > 0)


def alike(values: Tensor) -> Tensor:
    """Tell for each row of values whether they are all the same."""
    low, high = values.aminmax(dim=1)
    return high - low <= SAME * values.abs().amax()
