"""What a fitted autoencoder keeps, all of it as NumPy arrays."""

import copy
from typing import Any

import numpy as np
import torch

from skcae._core.data.arrays import to_array, to_tensor
from skcae._core.layers.layer import Parameters
from skcae._core.training.loop import Training
from skcae._core.training.solvers import SolverState

# Fitted attributes that some configurations have and others do not.
OPTIONAL_ATTRIBUTES = (
    "feature_names_in_",
    "decoder_components_",
    "validation_loss_curve_",
    "validation_error_curve_",
    "hidden_parameters_",
)

# The record of each epoch: the objective, and the parts that it is the sum of.
CURVES = ("loss_curve_", "reconstruction_curve_", "penalty_curve_")


def adopt(estimator: Any, attributes: dict[str, Any]) -> None:
    """Set fitted attributes; None stands for one that the model does not have."""
    kept = {name: value for name, value in attributes.items() if value is not None}
    estimator.__dict__.update(kept)
    for name in attributes.keys() - kept.keys():
        estimator.__dict__.pop(name, None)


def weights_only(estimator: Any, n_features: int) -> dict[str, Any]:
    """Return the fitted attributes of a model of which only the weights are known."""
    return {
        **dict.fromkeys(OPTIONAL_ATTRIBUTES),
        "n_features_in_": n_features,
        **{name: np.empty(0) for name in CURVES},
        "n_iter_": 0,
        **estimator._fitted_marks(),
        "_training_state": None,
    }


def fitted_attributes(
    estimator: Any, parameters: Parameters, training: Training, n_earlier: int
) -> dict[str, Any]:
    """Describe the model with these parameters after a training.

    `n_earlier` epochs of the fitted model's record came before it.
    """
    losses, penalties = (np.array(part) for part in zip(*training.means, strict=True))
    if n_earlier:
        losses = np.append(estimator.reconstruction_curve_[:n_earlier], losses)
        penalties = np.append(estimator.penalty_curve_[:n_earlier], penalties)
    curves = (losses + penalties, losses, penalties)
    attributes: dict[str, Any] = {
        # What is made of it may start as a copy of this estimator, which may have been
        # fitted before.
        **dict.fromkeys(OPTIONAL_ATTRIBUTES),
        **estimator._weight_attributes(parameters),
        **estimator._fitted_marks(),
        **dict(zip(CURVES, curves, strict=True)),
        "n_iter_": len(losses),
    }
    if training.validation_curve:
        attributes["validation_loss_curve_"] = np.array(training.validation_curve)
    return attributes


def training_state(
    estimator: Any, training: Training, *, in_step: bool
) -> dict[str, Any]:
    """Describe what a later training goes on from, besides the weights.

    `in_step` says whether the solver's state belongs to the weights.
    """
    state = training.learner.solver.state if in_step else {}
    return {
        "solver": estimator.solver,
        "solver_state": {name: to_array(tensor) for name, tensor in state.items()},
        "generator": to_array(training.complete.generator),
    }


def state_in_midst(
    estimator: Any, training: Training, n_earlier: int = 0
) -> dict[str, Any]:
    """Describe a training between two epochs, with all that it can be taken up from.

    `n_earlier` epochs of the model's record came before it.
    """
    state = training_state(estimator, training, in_step=True)
    progress = {**training.progress(), "n_earlier": n_earlier}
    return {**copy.deepcopy(state), "progress": progress}


def solver_state(estimator: Any) -> SolverState | None:
    """Give the solver's state, if the solver is still the same."""
    before = estimator._training_state
    if not before or before["solver"] != estimator.solver:
        return None
    return {
        name: to_tensor(array, array.dtype, torch.device("cpu"))
        for name, array in before["solver_state"].items()
    }


def forget_progress(estimator: Any) -> None:
    """Forget the midst of the fit that a model was seen in, if it was."""
    state = dict(estimator._training_state or {})
    state.pop("progress", None)
    estimator._training_state = state or None


def check_continues(estimator: Any) -> None:
    """Refuse to go on from a model of another kind."""
    asked_for = estimator._asked_for()
    for name, value in estimator._fitted_as().items():
        now = asked_for[name]
        if now != value:
            raise ValueError(
                f"The fitted model has {name}={value!r}, but the parameter is now "
                f"{now!r}: training cannot go on from it. Set it back, or fit anew "
                "with warm_start=False."
            )
