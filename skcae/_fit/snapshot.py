"""What a fitted autoencoder keeps, all of it as NumPy arrays."""

import copy
from typing import Any

import numpy as np
import torch

from skcae._core.data.arrays import to_array, to_tensor
from skcae._core.layers.dense import Parameters
from skcae._core.training.loop import Training
from skcae._core.training.solvers import SolverState
from skcae._fit.data import CheckedData
from skcae._fit.epochs import EpochFitMixin

# Fitted attributes that some configurations have and others do not.
OPTIONAL_ATTRIBUTES = (
    "feature_names_in_",
    "decoder_components_",
    "validation_loss_curve_",
)


def adopt(estimator: Any, attributes: dict[str, Any]) -> None:
    """Set fitted attributes; None stands for one that the model does not have."""
    kept = {name: value for name, value in attributes.items() if value is not None}
    estimator.__dict__.update(kept)
    for name in attributes.keys() - kept.keys():
        estimator.__dict__.pop(name, None)


def weights_only(layer: Any, n_features: int) -> dict[str, Any]:
    """Return the fitted attributes of a model of which only the weights are known."""
    return {
        **dict.fromkeys(OPTIONAL_ATTRIBUTES),
        "n_features_in_": n_features,
        "loss_curve_": np.empty(0),
        "n_iter_": 0,
        "_fitted_activation": layer.activation,
        "_fitted_loss": layer.loss,
        "_training_state": None,
    }


class FittedStateMixin(EpochFitMixin):
    """The fitted attributes: how they come from a training and go into the next."""

    # Parameters that it reads besides those of a training in epochs.
    activation: str
    loss: str

    # Fitted attributes, documented where the public class is.
    components_: np.ndarray
    intercept_hidden_: np.ndarray
    intercept_visible_: np.ndarray
    loss_curve_: np.ndarray
    # The model is what it was fitted as, whatever its parameters have become since.
    _fitted_activation: str
    _fitted_loss: str
    # What warm_start and partial_fit go on from, besides the weights: the solver's name
    # and state, and the generator's. In the midst of a fit, as callbacks see the model,
    # also the "progress" from which that fit can be taken up.
    _training_state: dict[str, Any] | None = None

    def _check_goes_on(self) -> None:
        """Refuse to go on from a model of another kind."""
        fitted = {
            "n_components": self.components_.shape[0],
            "tied_weights": self._decoder_components is None,
            "activation": self._fitted_activation,
            "loss": self._fitted_loss,
        }
        for name, value in fitted.items():
            now = getattr(self, name)
            if now != value:
                raise ValueError(
                    f"The fitted model has {name}={value!r}, but the parameter is now "
                    f"{now!r}: training cannot go on from it. Set it back, or fit anew "
                    "with warm_start=False."
                )

    def _fitted_attributes(
        self, training: Training, data: CheckedData, parameters: Parameters
    ) -> dict[str, Any]:
        """Describe the model that has these parameters, as NumPy arrays."""
        earlier = self.loss_curve_[: data.n_earlier] if data.goes_on else np.empty(0)
        curve = np.concatenate([earlier, training.loss_curve])
        attributes: dict[str, Any] = {
            # What is made of it may start as a copy of this estimator, which may have
            # been fitted before.
            **dict.fromkeys(OPTIONAL_ATTRIBUTES),
            **data.columns,
            **{f"{name}_": to_array(parameters[name]) for name in parameters},
            "loss_curve_": curve,
            "n_iter_": len(curve),
            "_fitted_activation": self.activation,
            "_fitted_loss": self.loss,
        }
        if training.validation_curve:
            attributes["validation_loss_curve_"] = np.array(training.validation_curve)
        return attributes

    def _finish(
        self,
        training: Training,
        data: CheckedData,
        parameters: Parameters,
        *,
        in_step: bool = True,
    ) -> None:
        """Become the fitted model: the only place where fitted attributes change.

        `in_step` says whether the solver's state belongs to these parameters.
        """
        attributes = self._fitted_attributes(training, data, parameters)
        attributes["_training_state"] = self._state(training, in_step=in_step)
        adopt(self, attributes)

    def _present_attributes(
        self, training: Training, data: CheckedData
    ) -> dict[str, Any]:
        progress = {**training.progress(), "n_earlier": data.n_earlier}
        state = copy.deepcopy(self._state(training, in_step=True))
        return {
            **super()._present_attributes(training, data),
            "_training_state": {**state, "progress": progress},
        }

    def _leave_progress(self) -> None:
        """Forget the midst of the fit that this model was seen in, if it was."""
        state = dict(self._training_state or {})
        state.pop("progress", None)
        self._training_state = state or None

    def _state(self, training: Training, *, in_step: bool) -> dict[str, Any]:
        """Describe what a later training goes on from, besides the weights."""
        state = training.learner.solver.state if in_step else {}
        return {
            "solver": self.solver,
            "solver_state": {name: to_array(tensor) for name, tensor in state.items()},
            "generator": to_array(training.completed_generator),
        }

    @property
    def _progress(self) -> dict[str, Any] | None:
        """The progress of a fit that has not come to its end."""
        return (self._training_state or {}).get("progress")

    @property
    def _decoder_components(self) -> np.ndarray | None:
        return getattr(self, "decoder_components_", None)

    def _parameters(self, dtype: np.dtype[Any], device: torch.device) -> Parameters:
        """Give the fitted weights as tensors, to be read only."""
        arrays = {
            "components": self.components_,
            "intercept_hidden": self.intercept_hidden_,
            "intercept_visible": self.intercept_visible_,
        }
        if self._decoder_components is not None:
            arrays["decoder_components"] = self._decoder_components
        return {name: to_tensor(array, dtype, device) for name, array in arrays.items()}

    def _solver_state(self) -> SolverState | None:
        """Give the solver's state, if the solver is still the same."""
        before = self._training_state
        if not before or before["solver"] != self.solver:
            return None
        return {
            name: to_tensor(array, array.dtype, torch.device("cpu"))
            for name, array in before["solver_state"].items()
        }
