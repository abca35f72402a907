"""What networks share that start at an encoder's weights and are fine-tuned."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skcae._core.data.arrays import (
    Array,
    device_for,
    resolve_device_or_cpu,
    working_dtype,
)
from skcae._core.layers.chain import Chain
from skcae._core.layers.layer import Affine, Layer
from skcae._encoders.kept import kept_layers
from skcae._encoders.namespaces import on_host
from skcae._encoders.steps import encoding_layers, features_of, split_steps
from skcae._encoders.tensors import chain_of, dense_layers, outputs_of, stored
from skcae._estimators.integrity import (
    check_arrays,
    check_known,
    check_n_features_in,
    check_names,
    check_training_state,
)
from skcae._fit.attributes import adopt
from skcae._fit.data import check_n_features, check_weights, check_X
from skcae._fit.finetuning import FineTuningFit
from skcae._fit.held_out import split_rows
from skcae._fit.parameters import FineTuningParameters
from skcae._fit.plans import FineTuningData, check_rows
from skcae._fit.target_units import TargetUnits
from skcae.activations import ACTIVATIONS
from skcae.losses import Loss

# What is kept of a fine-tuning that has not come to its end.
MIDST = ("generator", "parameters", "progress", "solver", "solver_state")


@dataclass(repr=False, eq=False, kw_only=True)
class BaseFineTuned(MetaEstimatorMixin, FineTuningParameters, BaseEstimator):
    """A network whose hidden layers start at an encoder's weights.

    A subclass says what the outputs mean.
    """

    encoder: Any = field(kw_only=False)

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **FineTuningParameters._parameter_constraints,
        "encoder": [HasMethods(["fit", "transform"])],
    }

    # Fitted attributes, documented where the public classes are.
    encoder_: ClassVar[Any]
    coefs_: ClassVar[list[Array]]
    intercepts_: ClassVar[list[Array]]
    _fitted_activations: ClassVar[list[str]]

    # What a fit that it was seen in the midst of can be taken up from.
    _training_state: ClassVar[dict[str, Any] | None] = None

    # Where an imputer belongs, so that it sees rows without a label, too.
    _imputed_before: ClassVar[str] = "encoder"

    # ---- what a subclass says ---------------------------------------------------

    def _targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        """Validate y, and return it with the targets; `scratch` learns the classes."""
        raise NotImplementedError

    def _held_out_targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        """Validate held-out y, and return it with the targets."""
        raise NotImplementedError

    def _loss(self, scratch: Any) -> Loss:
        """Return the loss of the outputs, which `_targets` has prepared."""
        raise NotImplementedError

    def _error(self, loss: Loss, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return what early stopping measures of each row; less is better."""
        raise NotImplementedError

    def _learnt(self, scratch: Any) -> dict[str, Any]:
        """Return the fitted attributes that `_targets` has learnt."""
        return {}

    def _units(self, targets: Array, weights: Array | None) -> TargetUnits:
        """Return the units to fine-tune in, from the weighted rows' targets."""
        return TargetUnits()

    def _fine_tuning_weights(
        self, y: Array, sample_weight: Array | None
    ) -> Array | None:
        """Return the weights of the rows in fine-tuning."""
        return sample_weight

    def _hold_out(
        self, rows: Array, y: Array, generator: torch.Generator
    ) -> tuple[Array, Array]:
        """Draw the rows to train on and those to hold out."""
        return split_rows(rows, self.validation_fraction, generator)

    # ---- fitting ----------------------------------------------------------------

    # The encoder is to be validated when it is fitted.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_unlabeled: Any = None,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Fit the encoder, and fine-tune the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Labelled data.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            For a classifier the labels, one for each row, of any kind, or of rows with
            any number of labels an indicator matrix, dense or sparse: 1 where a row has
            the label of a column, else 0. For a regressor the values.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, rescaled to mean 1. They count in fine-tuning, and in
            pre-training for those steps of the encoder whose `fit` takes them.

        X_unlabeled : {array-like, sparse matrix} of shape (n_unlabeled, n_features), \
                default=None
            Further data of the same kind as X, each row with weight 1: for
            pre-training, and with `n_tangent_rows` for the penalty along tangents. What
            comes before the whole estimator in a pipeline does not see it: imputers and
            scalers belong into `encoder`.
            Through the `fit` of a search or `cross_validate` it is cut into folds if it
            has as many rows as X, as all that scikit-learn is given of that length:
            give those a `FrozenEstimator` of an encoder that was fitted on these rows.

        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Held-out data for `early_stopping`, in place of `validation_fraction`.

        y_val : array-like like y, default=None
            The same of the held-out data.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If the encoder is none, or is followed by something else.
        ValueError
            If a parameter or the data is not usable, or the training diverges. The
            estimator is then what it was before.
        KeyboardInterrupt
            If the fit is interrupted. The estimator is then the network of the last
            complete epoch of fine-tuning, or with `early_stopping` of the best; before
            the first it is what it was before.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` ends fine-tuning while its objective was still falling.
        DeadModelWarning
            If the network has learnt nothing, or one of its outputs.
        UserWarning
            If a classifier's label -1 looks like one of rows without a label.
        """
        given = FineTuningData(
            X,
            on_host(y),
            sample_weight,
            X_val,
            X_unlabeled=X_unlabeled,
            y_val=on_host(y_val),
        )
        FineTuningFit(self, given).run()
        return self

    def _data_of_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_unlabeled: Any = None,
        *,
        reset: bool,
    ) -> dict[str, Any]:
        """Return what tells the data of a fit from other data, by name.

        Rows without a label take part in fine-tuning only where they have tangents.
        """
        scratch, y = copy.copy(self), on_host(y)
        rows = check_rows(scratch, on_host(X), reset=reset)
        others = None
        if self.n_tangent_rows is not None and X_unlabeled is not None:
            others = check_rows(scratch, on_host(X_unlabeled))
        return {
            "X": rows,
            # In memory, where all of it is looked at.
            "y": y if sparse.issparse(y) else np.array(y),
            "sample_weight": check_weights(sample_weight, rows),
            "X_unlabeled": others,
        }

    @_fit_context(prefer_skip_nested_validation=False)
    def _resume(self, X: Any, y: Any, y_val: Any = None, **others: Any) -> Self:
        """Take up the fine-tuning that this model was seen in the midst of, if so."""
        if self._training_state is not None:
            y, y_val = on_host(y), on_host(y_val)
            given = FineTuningData(X, y, y_val=y_val, **others)
            FineTuningFit(self, given).go_on()
        return self

    def _leave_midst(self) -> None:
        """Be the network of an epoch, and no longer one in the midst of its fit."""
        self.__dict__.pop("_training_state", None)

    # ---- the fitted model -------------------------------------------------------

    def _outputs(self, X: Any) -> Any:
        """Return the network's linear outputs, (n, n_outputs), as array or tensor."""
        check_is_fitted(self)
        steps, _ = split_steps(self.encoder_)
        X = features_of(steps, X) if steps else check_X(self, X)
        layers = self._network_layers()
        check_n_features(X, layers[0].n_inputs)
        dtype = working_dtype(X.dtype)
        device = resolve_device_or_cpu(device_for(self.device, X), dtype)
        make = partial(chain_of, layers)
        return outputs_of(kept_layers(self, make, dtype, device), X, device)

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata goes where.

        Returns
        -------
        routing : MetadataRouter
            The requests of this estimator, and those of the encoder's `fit`.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(encoder=self.encoder, method_mapping=mapping)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        # What is no estimator is refused by `fit`, not here.
        if hasattr(self.encoder, "fit") and not isinstance(self.encoder, type):
            encoder_tags = get_tags(self.encoder).input_tags
            tags.input_tags.sparse = encoder_tags.sparse
            tags.input_tags.allow_nan = encoder_tags.allow_nan
        return tags

    # ---- what anything that takes a fitted model asks it ------------------------

    def _preprocessing(self) -> list[Any]:
        """Return the fixed steps before the first layer."""
        return split_steps(self.encoder_)[0]

    def _network_layers(self) -> list[Layer]:
        """Return the layers from the input up, the last of them linear."""
        check_is_fitted(self)
        weights = [W.T for W in self.coefs_]
        if self._hidden_parameters is None:
            activations = [*self._fitted_activations, "identity"]
            return dense_layers(weights, self.intercepts_, activations)
        hidden = Chain(tuple(encoding_layers(split_steps(self.encoder_)[1])))
        tuned = {name: stored(part) for name, part in self._hidden_parameters.items()}
        output = dense_layers(weights, self.intercepts_, ["identity"])
        return [*hidden.with_parameters(tuned).layers, *output]

    @property
    def _hidden_parameters(self) -> dict[str, Array] | None:
        """Those of hidden layers that are not dense, or None if all are."""
        return getattr(self, "hidden_parameters_", None)

    def _named_weights(self) -> dict[str, Array]:
        """Return the weights by their names in a file."""
        parts = {"coefs_": self.coefs_, "intercepts_": self.intercepts_}
        hidden = self._hidden_parameters or {}
        return {
            **{f"hidden.{name}": array for name, array in hidden.items()},
            **{
                f"{k}.{name}": array
                for name, arrays in parts.items()
                for k, array in enumerate(arrays)
            },
        }

    def _weights_of_layers(
        self, hidden: Sequence[Affine], output: Sequence[Affine]
    ) -> dict[str, Tensor]:
        """Return the weights of such layers by their names in a file."""
        layers = [*hidden, *output]
        coefs = {f"{k}.coefs_": layer.weights.mT for k, layer in enumerate(layers)}
        biases = {f"{k}.intercepts_": layer.intercept for k, layer in enumerate(layers)}
        return coefs | biases

    def _put_weights(self, arrays: dict[str, Array]) -> None:
        """Become the network of these weights, if they fit; the rest of it stays."""
        check_is_fitted(self)
        held = self._named_weights()
        check_names(arrays, list(held), f"This {type(self).__name__}")
        check_arrays(arrays, {name: array.shape for name, array in held.items()})
        layers = range(len(self.coefs_))
        parts = ("coefs_", "intercepts_")
        hidden = self._hidden_parameters
        if hidden is not None:
            hidden = {name: np.array(arrays[f"hidden.{name}"]) for name in hidden}
        kept = {p: [np.array(arrays[f"{k}.{p}"]) for k in layers] for p in parts}
        adopt(self, {**kept, "hidden_parameters_": hidden, "_training_state": None})

    def _check_whole(self) -> None:
        """Refuse to be a network whose parts do not fit each other."""
        if not hasattr(self, "coefs_"):
            return
        sizes = [*(np.shape(W)[0] for W in self.coefs_), np.shape(self.coefs_[-1])[1]]
        shapes: dict[str, tuple[int, ...]] = {
            **{f"{k}.coefs_": shape for k, shape in enumerate(pairwise(sizes))},
            **{f"{k}.intercepts_": (n,) for k, n in enumerate(sizes[1:])},
        }
        hidden = self._hidden_parameters
        weights = {
            name: array
            for name, array in self._named_weights().items()
            if not name.startswith("hidden.")
        }
        check_names(weights, list(shapes), "A network")
        check_arrays(weights, shapes)
        names = self._fitted_activations
        check_known("activation", names, ACTIVATIONS)
        if hidden is None and len(names) != len(self.coefs_) - 1:
            raise ValueError(
                f"It has {len(names)} activations for {len(sizes)} layers."
            )
        steps, encoders = split_steps(self.encoder_)
        check_is_fitted(encoders[0])
        n_features = sizes[0]
        if hidden is not None:
            prototype = Chain(tuple(encoding_layers(encoders)))
            n_features = prototype.n_features
            parts = prototype.parameters.items()
            check_names(hidden, [name for name, _ in parts], "The hidden layers")
            check_arrays(hidden, {name: tuple(part.shape) for name, part in parts})
            if len(sizes) != 2 or sizes[0] != prototype.n_components:
                raise ValueError("The output layer does not take the code.")
        if not steps:
            check_n_features_in(self, n_features)
        self._check_outputs(sizes[-1])
        self._check_state()

    def _check_state(self) -> None:
        """Refuse what fine-tuning could not go on from."""
        if self._training_state is None:
            return
        check_names(self._training_state, [*MIDST], "The midst of a fine-tuning")
        layers = self._network_layers()
        of_network = Chain(tuple(layers)).parameters
        own = self._training_state["parameters"]
        check_names(own, list(of_network), "The network in training")
        shapes = {name: tuple(part.shape) for name, part in of_network.items()}
        check_arrays(own, shapes)
        check_training_state(self._training_state, own)

    def _check_outputs(self, n_outputs: int) -> None:
        """Refuse to say of so many outputs what they cannot mean."""
