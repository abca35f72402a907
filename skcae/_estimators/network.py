"""What every autoencoder of several layers that are trained together shares."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

from skcae._core.data.arrays import Array, to_array, to_tensor
from skcae._core.data.streams import TrainingRows
from skcae._core.layers.chain import Chain
from skcae._core.layers.layer import Layer, Parameters
from skcae._core.layers.network import Architecture, Network
from skcae._core.steps.joint import JointLearner, JointObjective
from skcae._core.training.solvers import Solver
from skcae._encoders.steps import DecodingLayer
from skcae._estimators.integrity import (
    check_arrays,
    check_curves,
    check_known,
    check_names,
    check_training_state,
)
from skcae._estimators.trained import BaseTrained
from skcae._fit.attributes import adopt, weights_only
from skcae._fit.data import FitData
from skcae._fit.parameters import STRENGTH
from skcae.losses import LOSSES

# jacobian_method="auto" multiplies Jacobians up where that takes no more
# multiplications for a row than this, and takes probes otherwise.
EXACT_MULTIPLICATIONS = 2**15


@dataclass(repr=False, eq=False, kw_only=True)
class BaseNetwork(BaseTrained):
    """An autoencoder of several layers as a scikit-learn transformer.

    A subclass says what its parameters make of a row: `_structure` names those that a
    fitted model has to keep, and `_architecture` makes the layers of them.
    """

    jacobian_penalty: float = 0.1
    decoder_jacobian_penalty: float = 0.0
    jacobian_method: str = "auto"
    n_probes: int = 1

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseTrained._parameter_constraints,
        "jacobian_penalty": [STRENGTH],
        "decoder_jacobian_penalty": [STRENGTH],
        "jacobian_method": [StrOptions({"auto", "exact", "probes"})],
        "n_probes": [Interval(Integral, 1, None, closed="left")],
    }

    # Fitted attributes, documented where the public class is.
    parameters_: ClassVar[dict[str, Array]]
    _fitted_structure: ClassVar[dict[str, Any]]

    def _structure(self) -> dict[str, Any]:
        """Return the parameters that make the layers, each in one form."""
        raise NotImplementedError

    def _architecture(self, structure: dict[str, Any], n_features: int) -> Architecture:
        """Return the layers of a structure for so many features."""
        raise NotImplementedError

    def _n_features_of(self, arrays: dict[str, Array]) -> int:
        """Return the number of features that weights take."""
        raise NotImplementedError

    # ---- what is trained ---------------------------------------------------------

    def _first_parameters(
        self, given: FitData, n_features: int, **how: Any
    ) -> Parameters:
        architecture = self._architecture(self._structure(), n_features)
        return architecture.initial_parameters(**how)

    def _learner(
        self, parameters: Parameters, solver: Solver, rows: TrainingRows, **how: Any
    ) -> JointLearner:
        architecture = self._architecture(self._structure(), rows.n_features)
        network, strengths = architecture.network(parameters), self._strengths()
        objective = JointObjective(
            architecture,
            LOSSES[self.loss],
            strengths.get("jacobian_penalty", 0.0),
            strengths.get("decoder_jacobian_penalty", 0.0),
            self._probes_of(network.encoder),
            self._probes_of(network.decoder),
        )
        return JointLearner(objective, parameters, solver, rows, **how)

    def _probes_of(self, chain: Chain) -> int:
        """Return by how many probes a norm is estimated; 0 is the norm itself."""
        n_multiplications = sum(layer.n_multiplications for layer in chain.layers)
        is_small = len(chain.code_vectors) * n_multiplications <= EXACT_MULTIPLICATIONS
        is_exact = {
            "auto": chain.has_closed_norms or is_small,
            "exact": True,
            "probes": False,
        }[self.jacobian_method]
        return 0 if is_exact else int(self.n_probes)

    def _strengths(self) -> dict[str, float]:
        names = ("jacobian_penalty", "decoder_jacobian_penalty")
        strengths = {name: float(getattr(self, name)) for name in names}
        return {name: value for name, value in strengths.items() if value > 0}

    # ---- how the model is kept ----------------------------------------------------

    def _weight_attributes(self, parameters: Parameters) -> dict[str, Any]:
        kept = {name: to_array(part) for name, part in parameters.items()}
        return {"parameters_": kept}

    def _fitted_marks(self) -> dict[str, Any]:
        return {"_fitted_structure": self._structure(), "_fitted_loss": self.loss}

    def _asked_for(self) -> dict[str, Any]:
        return {**self._structure(), "loss": self.loss}

    def _fitted_as(self) -> dict[str, Any]:
        return {**self._fitted_structure, "loss": self._fitted_loss}

    def _fitted_architecture(self) -> Architecture:
        return self._architecture(self._fitted_structure, self.n_features_in_)

    def _parameters(self, dtype: np.dtype[Any], device: torch.device) -> Parameters:
        arrays = self.parameters_.items()
        return {name: to_tensor(array, dtype, device) for name, array in arrays}

    def _coder(self, dtype: np.dtype[Any], device: torch.device) -> Network:
        return self._fitted_architecture().network(self._parameters(dtype, device))

    @property
    def _n_features_out(self) -> int:
        return int(self._stored_coder().n_components)

    # ---- what anything that takes a fitted model asks it ------------------------

    def _encoding_layers(self) -> list[Layer]:
        """Return what encodes, from the input up."""
        return [*self._stored_coder().encoder.layers]

    def _decoding_layers(self) -> list[DecodingLayer]:
        """Return what decodes, from the code down."""
        *hidden, last = self._stored_coder().decoder.layers
        return [
            *(DecodingLayer(layer, None) for layer in hidden),
            DecodingLayer(last, self._fitted_loss),
        ]

    def _named_weights(self) -> dict[str, Array]:
        """Return the weights by their names in a file."""
        return dict(self.parameters_)

    def _put_weights(self, arrays: dict[str, Array]) -> None:
        """Become the model of these weights, if they fit."""
        n_features = self._n_features_of(arrays)
        check_parameters(self, arrays, self._structure(), n_features)
        copies = {name: np.array(array, order="C") for name, array in arrays.items()}
        adopt(self, {**weights_only(self, n_features), "parameters_": copies})

    def _check_whole(self) -> None:
        """Refuse to be a model whose parts do not fit each other."""
        if not hasattr(self, "parameters_"):
            return
        structure = self._fitted_structure
        check_names(structure, [*self._structure()], "The structure of a network")
        constraints = {name: self._parameter_constraints[name] for name in structure}
        name = type(self).__name__
        validate_parameter_constraints(constraints, structure, caller_name=name)
        check_parameters(self, self.parameters_, structure, self.n_features_in_)
        check_known("loss", [self._fitted_loss], LOSSES)
        check_curves(self)
        check_training_state(self._training_state, self.parameters_)


def check_parameters(
    estimator: BaseNetwork,
    arrays: dict[str, Array],
    structure: dict[str, Any],
    n_features: int,
) -> None:
    """Refuse arrays that are not those of a structure."""
    shapes = estimator._architecture(structure, n_features).shapes
    owner = f"A {type(estimator).__name__} for {n_features} features"
    check_names(arrays, [*shapes], owner)
    check_arrays(arrays, shapes)
