"""What a network has learnt: one look at a few hundred rows after its training."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skcae._core.data.arrays import Array, to_array
from skcae._core.data.rows import CHUNK_ELEMENTS, evenly_spaced
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
    constant_loss_of_all : float
        The same of all rows of the training.
    worse : tensor of bool of shape (n_outputs,)
        Which outputs have a small part of the squared error and are worse than that.
    """

    X: Tensor
    hidden: list[Tensor]
    Z: Tensor
    targets: Tensor
    loss: float
    constant_loss: float
    constant_loss_of_all: float
    worse: Tensor


def look(learner: NetworkLearner, loss: Loss, parameters: Parameters) -> Look:
    """Look at what a network with these parameters makes of the learner's rows."""
    rows = learner.rows
    # There was room for a batch.
    n = min(N_ROWS, max(learner.batch_size, CHUNK_ELEMENTS // rows.n_features))
    X, weights = rows.some(n)
    targets = learner.targets[evenly_spaced(len(rows), n)]
    _, *hidden, Z = learner.chain.with_parameters(parameters).forward(X.mT)
    every = rows.weights_of(slice(None))
    constant = best_constant(loss, learner.targets, every).to(Z)

    def mean(losses: Tensor, w: Tensor | None = weights) -> Tensor:
        return losses.mean(0) if w is None else w @ losses / len(w)

    def mean_loss(outputs: Tensor) -> float:
        return float(mean(loss.value(targets, outputs)))

    of_all = loss.value(learner.targets, constant.expand_as(learner.targets))

    constants = constant.expand_as(Z.mT)
    worse = torch.zeros_like(Z[:, 0], dtype=torch.bool)
    if loss is LOSSES["squared_error"]:
        each, best = (
            mean(loss.elementwise(targets, outputs)) for outputs in (Z.mT, constants)
        )
        is_small = (best < GAIN * best.max()) & (targets.amax(0) > targets.amin(0))
        worse = is_small & (each > (1 + GAIN) * best)
    return Look(
        X,
        hidden,
        Z.mT,
        targets,
        mean_loss(Z.mT),
        mean_loss(constants),
        float(mean(of_all, every)),
        worse,
    )


def warn_if_dead(estimator: Any, training: Training, loss: Loss, unit: float) -> None:
    """Warn of a network that answers all rows alike, or has gained nothing.

    And of outputs of which that is true beside others that have learnt. `unit` is what
    a loss of 1 is.
    """
    learner: Any = training.learner
    seen = look(learner, loss, training.learnt)
    losses = [of_epoch for of_epoch, _ in training.means]
    if is_dead(seen, losses):
        found = "; ".join(findings(seen, loss, unit))
        text = (
            f"The network has learnt nothing: on {len(seen.Z)} of its training rows, "
            f"{found}. Scale the data, as by a StandardScaler or MinMaxScaler before "
            "the encoder in a pipeline, or try a smaller "
            f"{' or '.join(too_large(estimator))}."
        )
    elif len(losses) >= N_EPOCHS and seen.worse.any():
        names = ", ".join(map(str, seen.worse.nonzero()[:, 0].tolist()))
        text = (
            f"Of the {len(seen.worse)} outputs, those of number {names} (the first is "
            f"0) are worse on {len(seen.Z)} of the training rows than their means: "
            "their values are small beside the others', and so is their part of the "
            "squared error. Scale y, as by a TransformedTargetRegressor with a "
            "StandardScaler."
        )
    else:
        return
    warnings.warn(text, DeadModelWarning, stacklevel=level_of_caller())


def too_large(estimator: Any) -> list[str]:
    """Name what hinders learning if it is large, with what it is."""
    names = ["learning_rate", "tangent_penalty", "corruption_level"]
    # The decay has a default that is small.
    if estimator.alpha > type(estimator).alpha:
        names.append("alpha")
    values = {name: getattr(estimator, name) for name in names}
    return [f"{name} than {value:g}" for name, value in values.items() if value]


def is_dead(seen: Look, losses: list[float]) -> bool:
    """Tell whether a network has learnt nothing of rows that differ in their targets.

    It answers all of them alike; or after enough epochs it is worse than a constant
    answer, or in all of the training no better.
    """
    teaches = not (alike(seen.X.mT).all() or alike(seen.targets.mT).all())
    if seen.loss < (1 - GAIN) * seen.constant_loss or not teaches:
        return False
    is_worse = seen.loss > (1 + GAIN) * seen.constant_loss
    has_gained = losses[-1] < (1 - GAIN) * seen.constant_loss_of_all
    has_had_time = len(losses) >= N_EPOCHS
    return bool(alike(seen.Z.mT).all()) or (
        has_had_time and (is_worse or not has_gained)
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
