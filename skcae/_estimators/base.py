"""What every autoencoder of one layer shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, InvalidParameterError
from torch import Tensor

from skcae._core.data.arrays import Array, to_array, to_tensor
from skcae._core.data.rows import Rows
from skcae._core.data.streams import TrainingRows
from skcae._core.layers.coder import Coder, initial_parameters
from skcae._core.layers.layer import Affine, Layer, Parameters
from skcae._core.steps.factored import FactoredLearner, pays
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import Corruption, ReconstructionLearner
from skcae._core.steps.sampled import SampledLearner
from skcae._core.training.lazy import LAZY, LazySolver, by_columns
from skcae._core.training.ranks import ALONE
from skcae._core.training.solvers import Solver, SolverState
from skcae._encoders.steps import DecodingLayer
from skcae._estimators.integrity import (
    LAYER_SHAPES,
    check_curves,
    check_known,
    check_layer_shapes,
    check_n_features_in,
    check_names,
    check_tied,
    check_training_state,
)
from skcae._estimators.trained import BaseTrained
from skcae._fit.attributes import adopt, weights_only
from skcae._fit.autoencoder import AutoencoderFit
from skcae._fit.data import FitData
from skcae._fit.parameters import AUTO_SPREAD, LAYER, SPREAD
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from skcae.penalties import PENALTIES, Penalty


@dataclass(repr=False, eq=False, kw_only=True)
class BaseAutoencoder(BaseTrained):
    """A one-layer autoencoder as a scikit-learn transformer.

    A subclass adds the parameters that make it the model that it is. Those that
    `skcae.penalties` names are its penalties.
    """

    n_components: int = field(default=256, kw_only=False)
    activation: str = "sigmoid"
    tied_weights: bool = True
    bias_spread: float | str = "auto"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseTrained._parameter_constraints,
        **LAYER,
        **SPREAD,
        "n_components": [Interval(Integral, 1, None, closed="left")],
    }

    # Fitted attributes, documented where the public class is.
    components_: ClassVar[np.ndarray]
    intercept_hidden_: ClassVar[np.ndarray]
    intercept_visible_: ClassVar[np.ndarray]
    _fitted_activation: ClassVar[str]

    # ---- what is to be lowered, and what is to be encoded -----------------------

    def _objective(self) -> Objective:
        activation = ACTIVATIONS[self.activation]
        penalties, strengths = self._penalties(), self._strengths()
        check_hessian_penalty(
            strengths.get("hessian_penalty", 0.0), self.activation, activation.curved
        )
        return Objective(
            activation,
            LOSSES[self.loss],
            tuple((strengths[name], penalties[name]) for name in strengths),
        )

    def _strengths(self) -> dict[str, float]:
        """Return the strengths of the penalties that have one."""
        penalties = self._penalties()
        return {
            name: float(strength)
            for name, strength in self.get_params(deep=False).items()
            if name in penalties and strength > 0
        }

    def _scale_of_penalty(self) -> dict[str, Any] | None:
        how = {"activation": self.activation, "loss": self.loss}
        return how if self.tied_weights else None

    def _penalties(self) -> dict[str, Penalty]:
        """Return the penalties by the parameter that gives their strength."""
        return PENALTIES

    def _corruption(self) -> Corruption | None:
        """Return what makes corrupted copies of the rows, if anything needs them."""
        return None

    def _fills_zeros(self) -> tuple[str, str] | None:
        """Name what makes copies of rows without zeros, and what to set instead."""
        return None

    # ---- what is trained ---------------------------------------------------------

    def _validate_params(self) -> None:
        sizes = self.n_components
        if np.iterable(sizes) and not isinstance(sizes, str):
            raise InvalidParameterError(
                f"The 'n_components' parameter of {type(self).__name__} must be an "
                f"int, the size of its one layer. Got {sizes!r} instead. For layers "
                f"one on top of the other take StackedCAE({sizes!r}), or a Pipeline of "
                "autoencoders."
            )
        super()._validate_params()
        self._objective()
        if self._sampling is not None:
            check_can_sample(self)

    def _first_parameters(
        self, given: FitData, n_features: int, **how: Any
    ) -> Parameters:
        is_auto = self.bias_spread == "auto"
        width = ACTIVATIONS[self.activation].width
        return initial_parameters(
            n_features,
            int(self.n_components),
            tied_weights=self.tied_weights,
            bias_spread=AUTO_SPREAD * width if is_auto else float(self.bias_spread),
            **how,
        )

    @property
    def _sampling(self) -> float | None:
        """The fraction of a batch's zero columns that steps look at, None for all."""
        return getattr(self, "reconstruction_sampling", None)

    def _start(
        self, fit: AutoencoderFit, parameters: Parameters, state: SolverState | None
    ) -> tuple[Parameters, Solver]:
        if self._sampling is None:
            return super()._start(fit, parameters, state)
        parameters = by_columns(parameters)
        return parameters, LAZY[self.solver](parameters, state)

    def _learner(
        self, parameters: Parameters, solver: Solver, rows: TrainingRows, **how: Any
    ) -> ReconstructionLearner | FactoredLearner | SampledLearner:
        objective, corrupt = self._objective(), self._corruption()
        if self._sampling is not None:
            assert isinstance(solver, LazySolver)
            names = ("batch_size", "validation", "generator")
            return SampledLearner(
                objective,
                parameters,
                solver,
                kept_sparse(rows),
                sampling=self._sampling,
                corrupt=corrupt,
                **{name: how[name] for name in names},
            )
        is_plain = corrupt is None and how.get("ranks", ALONE) is ALONE
        n, h = how["batch_size"], int(self.n_components)
        if is_plain and pays(rows, objective, solver, n, h):
            parts = {name: how[name] for name in ("batch_size", "validation")}
            return FactoredLearner(objective, parameters, solver, rows, **parts)
        return ReconstructionLearner(
            objective, parameters, solver, rows, corrupt=corrupt, **how
        )

    # ---- how the model is kept ----------------------------------------------------

    def _weight_attributes(self, parameters: Parameters) -> dict[str, Any]:
        return {
            f"{name}_": to_array(part.contiguous()) for name, part in parameters.items()
        }

    def _fitted_marks(self) -> dict[str, Any]:
        return {"_fitted_activation": self.activation, "_fitted_loss": self.loss}

    def _asked_for(self) -> dict[str, Any]:
        names = ("n_components", "tied_weights", "activation", "loss")
        return {name: getattr(self, name) for name in names}

    def _fitted_as(self) -> dict[str, Any]:
        return {
            "n_components": self._n_features_out,
            "tied_weights": getattr(self, "decoder_components_", None) is None,
            "activation": self._fitted_activation,
            "loss": self._fitted_loss,
        }

    def _parameters(self, dtype: np.dtype[Any], device: torch.device) -> Parameters:
        """Give the fitted weights as tensors, to be read only."""
        names = ["components", "intercept_hidden", "intercept_visible"]
        # Callbacks see None in the place of what a model has not.
        if getattr(self, "decoder_components_", None) is not None:
            names.append("decoder_components")
        return {
            name: to_tensor(getattr(self, f"{name}_"), dtype, device) for name in names
        }

    def _coder(self, dtype: np.dtype[Any], device: torch.device) -> Coder:
        """Give the fitted layers as tensors, to be read only."""
        activation = ACTIVATIONS[self._fitted_activation]
        return Coder.of(self._parameters(dtype, device), activation)

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    # ---- what anything that takes a fitted model asks it ------------------------

    def _encoding_layers(self) -> list[Layer]:
        """Return what encodes, from the input up."""
        return [self._stored_coder().encoder]

    def _decoding_layers(self) -> list[DecodingLayer]:
        """Return what decodes, from the code down; tied weights are the encoder's."""
        return [DecodingLayer(self._stored_coder().decoder, self._fitted_loss)]

    def _code_size(self) -> Any:
        """Return the size of the code that the parameters ask for."""
        return self.n_components

    def _named_weights(self) -> dict[str, Array]:
        """Return the weights by their names in a file."""
        held = vars(self)
        return {n: held[n] for n in LAYER_SHAPES if held.get(n) is not None}

    def _weights_of_layers(
        self, encoding: Sequence[Affine], decoding: Sequence[Affine]
    ) -> dict[str, Tensor]:
        """Return the weights of such layers by their names in a file."""
        if len(encoding) != 1 or len(decoding) != 1:
            raise ValueError(
                f"A {type(self).__name__} has one layer that encodes and one that "
                f"decodes, but was given {len(encoding)} and {len(decoding)}."
            )
        W, V = encoding[0].weights, decoding[0].weights.mT
        biases = encoding[0].intercept, decoding[0].intercept
        named = dict(zip(LAYER_SHAPES, (W, *biases, V), strict=True))
        if self.tied_weights:
            check_tied(named.pop("decoder_components_"), W)
        return named

    def _put_weights(self, arrays: dict[str, Array], owner: str | None = None) -> None:
        """Become the model of these weights, if they fit; errors name their owner."""
        names = [*LAYER_SHAPES][: 3 if self.tied_weights else 4]
        check_names(arrays, names, owner or f"A {type(self).__name__}")
        check_layer_shapes(arrays)
        n_units, n_features = arrays["components_"].shape
        if n_units != self.n_components:
            raise ValueError(
                f"components_ has {n_units} rows, but n_components={self.n_components}."
            )
        copies = {name: np.array(array, order="C") for name, array in arrays.items()}
        adopt(self, {**weights_only(self, n_features), **copies})

    def _check_whole(self) -> None:
        """Refuse to be a model whose parts do not fit each other."""
        if not hasattr(self, "components_"):
            return
        held = vars(self)
        weights: dict[str, Any] = {n: held.get(n) for n in [*LAYER_SHAPES][:3]}
        weights |= self._named_weights()
        check_layer_shapes(weights)
        check_n_features_in(self, self.components_.shape[1])
        check_known("activation", [self._fitted_activation], ACTIVATIONS)
        check_known("loss", [self._fitted_loss], LOSSES)
        check_curves(self)
        check_training_state(self._training_state, weights)


def check_hessian_penalty(strength: float, activation: str, curved: bool) -> None:
    """Refuse a Hessian penalty on an activation without curvature."""
    if strength > 0 and not curved:
        raise ValueError(
            f"hessian_penalty={strength:g} would have no effect: the second derivative "
            f"of activation={activation!r} is zero almost everywhere. Set "
            "hessian_penalty=0, or take a curved activation."
        )


def check_can_sample(estimator: BaseAutoencoder) -> None:
    """Refuse to sample columns where each step needs all of them."""
    asked = f"reconstruction_sampling={estimator._sampling:g}"
    filling = estimator._fills_zeros()
    if filling is not None:
        noise, remedy = filling
        raise ValueError(
            f"{asked} cannot be used with {noise}: rows with noise have no zeros. "
            f"{remedy}."
        )
    if estimator.data_parallel:
        raise ValueError(
            f"{asked} cannot be used with data_parallel=True: each process has columns "
            "of its own. Set one of them to its default."
        )
    if estimator.solver == "sgd" and estimator.momentum:
        raise ValueError(
            f"{asked} cannot be used with momentum={estimator.momentum:g}, which moves "
            "all columns at each step. Set momentum=0, or take solver='adam'."
        )


def kept_sparse(rows: TrainingRows) -> Rows:
    """Return the rows of a sparse matrix, and refuse to sample the zeros of others."""
    if isinstance(rows, Rows) and rows.are_sparse:
        return rows
    is_here = rows.device.type == "cpu"
    what = "dense, or comes in batches" if is_here else f"computed on {rows.device}"
    raise ValueError(
        "reconstruction_sampling samples the zeros of a sparse matrix on the "
        f"processor, but X is {what}. Pass scipy.sparse.csr_array(X) with "
        "device='cpu', or set reconstruction_sampling=None."
    )
