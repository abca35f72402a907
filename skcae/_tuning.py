"""Fine-tuning: from an encoder's weights and labelled data to a trained network."""

import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    validate_data,
)
from torch import Tensor

from skcae._core.arrays import (
    Array,
    Rows,
    make_generator,
    resolve_device,
    resolve_device_or_cpu,
    to_array,
    to_tensor,
    working_dtype,
)
from skcae._core.layers import Parameters
from skcae._core.network import Network, NetworkLearner, initial_output, widest
from skcae._core.threads import fitting_threads
from skcae._core.training import Training
from skcae._encoders import EncodingLayer, encoding_layers, features_of, split_steps
from skcae._epochs import EpochFitMixin, draw_seed, present_rows
from skcae._parameters import TrainingParameters
from skcae._pretraining import fit_encoder, join_rows, join_weights
from skcae._progress import epoch_progress
from skcae._state import adopt
from skcae._validation import (
    COLUMN_ATTRIBUTES,
    check_columns,
    check_held_out_labels,
    check_n_features,
    check_n_labels,
    check_n_outputs,
    check_weights,
    check_X,
    naming,
    normalized,
)
from skcae.activations import ACTIVATIONS
from skcae.losses import Loss


@dataclass(frozen=True)
class LabelledData:
    """Validated rows, with what the network is to answer for each.

    Parameters
    ----------
    X : {array, sparse matrix or frame} of shape (n_samples, n_features)
        As the encoder takes it.
    y : ndarray
        The labels or values, as they were passed.
    targets : ndarray of shape (n_samples, n_outputs)
        What the outputs are compared with.
    sample_weight : ndarray of shape (n_samples,) or None
        The user's weights.
    """

    X: Any
    y: Array
    targets: Array
    sample_weight: Array | None = None


@dataclass(frozen=True)
class PretrainedModel:
    """What a fit knows of its model before fine-tuning.

    Parameters
    ----------
    attributes : dict
        The fitted attributes that fine-tuning does not change.
    layers : list of EncodingLayer
        Where the hidden layers start.
    """

    attributes: dict[str, Any]
    layers: list[EncodingLayer]


@dataclass(repr=False, eq=False, kw_only=True)
class BaseFineTuned(
    MetaEstimatorMixin, EpochFitMixin, TrainingParameters, BaseEstimator
):
    """A network whose hidden layers start at an encoder's weights.

    A subclass says what the outputs mean.
    """

    encoder: Any = field(kw_only=False)

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TrainingParameters._parameter_constraints,
        "encoder": [HasMethods(["fit", "transform"])],
    }

    # Fitted attributes, documented where the public classes are.
    encoder_: ClassVar[Any]
    coefs_: ClassVar[list[Array]]
    intercepts_: ClassVar[list[Array]]
    _fitted_activations: ClassVar[list[str]]

    # ---- what a subclass says ---------------------------------------------------

    def _loss(self, n_outputs: int) -> Loss:
        """Return the loss of the outputs."""
        raise NotImplementedError

    def _error(self, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return what early stopping measures of each row; less is better."""
        raise NotImplementedError

    def _targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        """Validate y, and return it with the targets; `scratch` learns the classes."""
        raise NotImplementedError

    def _held_out_targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        """Validate held-out y, and return it with the targets."""
        raise NotImplementedError

    def _fine_tuning_weights(self, data: LabelledData) -> Array | None:
        """Return the weights of fine-tuning."""
        return data.sample_weight

    def _hold_out(
        self, rows: Array, y: Array, generator: torch.Generator
    ) -> tuple[Array, Array]:
        """Draw the rows to train on and those to hold out."""
        return self._split(rows, generator)

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
            For a classifier the labels, one for each row, of any kind; for a regressor
            the values.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, rescaled to mean 1. They count in fine-tuning, and in
            pre-training for those steps of the encoder whose `fit` takes them.

        X_unlabeled : {array-like, sparse matrix} of shape (n_unlabeled, n_features), \
                default=None
            Further data of the same kind as X, for pre-training only, each row with
            weight 1.

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
        """
        scratch = copy.copy(self)
        data = self._check_labelled(scratch, X, y, sample_weight)
        everything = X
        if X_unlabeled is not None:
            with naming("X_unlabeled"):
                self._check_rows(scratch, X_unlabeled)
            everything = join_rows(X, X_unlabeled)
        held_out = self._check_held_out(scratch, X_val, y_val)
        if held_out is not None:
            check_n_outputs(data.targets, held_out.targets)
        call = {"estimator": self, "X": X, "y": y}
        if sample_weight is not None:
            call["metadata"] = {"sample_weight": sample_weight}
        with epoch_progress(self) as log:
            context = self._init_callback_context(max_subtasks=2)
            context.call_on_fit_task_begin(**call)
            encoder = clone(self.encoder)
            fit_encoder(
                self,
                encoder,
                everything,
                y if X_unlabeled is None else None,
                join_weights(data.sample_weight, X_unlabeled),
                context,
            )
            model, training = self._start(scratch, encoder, data, held_out)
            task = context.subcontext("fine-tuning", max_subtasks=self.max_iter)
            task.call_on_fit_task_begin(**call)
            self._train(training, model, call, task, log)
            task.call_on_fit_task_end(**call, reconstruction_attributes={})
            context.call_on_fit_task_end(**call, reconstruction_attributes={})
        return self

    def _check_rows(self, scratch: Any, X: Any, *, reset: bool = False) -> Any:
        """Validate X as far as the preprocessing, if there is any, does not do it."""
        steps, encoders = split_steps(self.encoder)
        if steps:
            return validate_data(scratch, X, reset=reset, skip_check_array=True)
        if reset and isinstance(self.encoder, FrozenEstimator):
            check_columns(encoders[0], X)
        return check_X(scratch, X, reset=reset)

    def _check_labelled(
        self, scratch: Any, X: Any, y: Any, sample_weight: Any
    ) -> LabelledData:
        X = self._check_rows(scratch, X, reset=True)
        y, targets = self._targets(scratch, y)
        check_n_labels(X, y)
        return LabelledData(X, y, targets, check_weights(sample_weight, X))

    def _check_held_out(
        self, scratch: Any, X_val: Any, y_val: Any
    ) -> LabelledData | None:
        check_held_out_labels(self.early_stopping, X_val, y_val)
        if X_val is None:
            return None
        with naming("X_val or y_val"):
            X_val = self._check_rows(scratch, X_val)
            y_val, targets = self._held_out_targets(scratch, y_val)
            check_consistent_length(X_val, y_val)
        return LabelledData(X_val, y_val, targets)

    def _start(
        self,
        scratch: Any,
        encoder: Any,
        data: LabelledData,
        held_out: LabelledData | None,
    ) -> tuple[PretrainedModel, Training]:
        """Set up fine-tuning from the fitted encoder."""
        steps, encoders = split_steps(encoder)
        layers = encoding_layers(encoders)
        known = vars(scratch)
        attributes = {
            name: known[name]
            for name in (*COLUMN_ATTRIBUTES, "classes_")
            if name in known
        }
        model = PretrainedModel({**attributes, "encoder_": encoder}, layers)
        X = features_of(steps, data.X) if steps else data.X
        check_n_features(X, layers[0].weights.shape[1])
        generator = make_generator(draw_seed(self.random_state))
        weights = self._fine_tuning_weights(data)
        train, validation = present_rows(weights), None
        dtype = working_dtype(X.dtype)
        device = resolve_device(self.device, dtype)

        def selected(X: Any, targets: Array, *subset: Any) -> tuple[Rows, Tensor]:
            of_subset = normalized(weights, *subset) if subset else None
            return rows_and_targets(X, targets, of_subset, dtype, device, *subset)

        if held_out is not None:
            X_val = features_of(steps, held_out.X) if steps else held_out.X
            validation = selected(X_val, held_out.targets)
        elif self.early_stopping:
            train, test = self._hold_out(
                np.arange(len(data.y))[train], data.y, generator
            )
            validation = selected(X, data.targets, test)
        rows, targets = selected(X, data.targets, train)
        learner = self._learner(layers, rows, targets, validation, generator)
        rate = self._schedule(len(rows))
        return model, self._training(learner, rate, generator)

    def _learner(
        self,
        layers: list[EncodingLayer],
        rows: Rows,
        targets: Tensor,
        validation: tuple[Rows, Tensor] | None,
        generator: torch.Generator,
    ) -> NetworkLearner:
        n_outputs = targets.shape[1]
        parameters = initial_network(
            layers, n_outputs, generator, rows.dtype, rows.device
        )
        return NetworkLearner(
            network_of([layer.activation for layer in layers]),
            self._loss(n_outputs),
            parameters,
            self._solver(parameters, None),
            rows,
            targets,
            batch_size=self._batch_size(len(rows)),
            validation=validation,
            error=self._error,
        )

    # ---- the fitted model -------------------------------------------------------

    def _fitted_attributes(
        self, training: Training, data: PretrainedModel, parameters: Parameters
    ) -> dict[str, Any]:
        """Describe the model that has these parameters, as NumPy arrays."""
        n_layers = len(data.layers) + 1
        validation = training.validation_curve
        return {
            "feature_names_in_": None,
            **data.attributes,
            # scikit-learn's networks have their weights that way round.
            "coefs_": [to_array(parameters[f"coefs.{k}"]).T for k in range(n_layers)],
            "intercepts_": [
                to_array(parameters[f"intercepts.{k}"]) for k in range(n_layers)
            ],
            "loss_curve_": np.array(training.loss_curve),
            "n_iter_": len(training.loss_curve),
            "validation_error_curve_": np.array(validation) if validation else None,
            "_fitted_activations": [layer.activation for layer in data.layers],
        }

    def _finish(
        self,
        training: Training,
        data: PretrainedModel,
        parameters: Parameters,
        *,
        in_step: bool = True,
    ) -> None:
        """Become the fitted model: the only place where fitted attributes change."""
        adopt(self, self._fitted_attributes(training, data, parameters))

    def _outputs(self, X: Any) -> Array:
        """Return the network's linear outputs, (n, n_outputs)."""
        check_is_fitted(self)
        steps, _ = split_steps(self.encoder_)
        X = features_of(steps, X) if steps else check_X(self, X)
        dtype = working_dtype(X.dtype)
        device = resolve_device_or_cpu(self.device, dtype)
        parameters = network_parameters(
            [W.T for W in self.coefs_], self.intercepts_, dtype, device
        )
        network = network_of(self._fitted_activations)
        n_multiplications = max(W.size for W in self.coefs_)
        result = np.empty((X.shape[0], self.coefs_[-1].shape[1]), dtype)
        for part, rows in Rows(X, dtype=dtype, device=device).chunks(
            widest(parameters)
        ):
            with fitting_threads(len(rows) * n_multiplications):
                result[part] = to_array(network.forward(parameters, rows)[-1]).T
        return result

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
        encoder_tags = get_tags(self.encoder).input_tags
        tags.input_tags.sparse = encoder_tags.sparse
        tags.input_tags.allow_nan = encoder_tags.allow_nan
        return tags


def rows_and_targets(
    X: Any,
    targets: Array,
    weights: Array | None,
    dtype: np.dtype[Any],
    device: torch.device,
    subset: Array | slice = slice(None),
) -> tuple[Rows, Tensor]:
    """Return some of the rows and their targets, in this precision."""
    rows = Rows(X, weights, dtype=dtype, device=device, subset=subset)
    return rows, to_tensor(targets[subset], dtype, device)


def network_of(activations: list[str]) -> Network:
    """Return a network with these hidden layers."""
    return Network(tuple(ACTIVATIONS[name] for name in activations))


def network_parameters(
    weights: list[Array],
    intercepts: list[Array],
    dtype: np.dtype[Any],
    device: torch.device,
) -> Parameters:
    """Return the parameters of a network as tensors, to be read only."""
    return {
        **{f"coefs.{k}": to_tensor(W, dtype, device) for k, W in enumerate(weights)},
        **{
            f"intercepts.{k}": to_tensor(b, dtype, device)
            for k, b in enumerate(intercepts)
        },
    }


def initial_network(
    layers: list[EncodingLayer],
    n_outputs: int,
    generator: torch.Generator,
    dtype: np.dtype[Any],
    device: torch.device,
) -> Parameters:
    """Copy the encoder's layers and draw a fresh output layer."""
    n_inputs = layers[-1].weights.shape[0]
    output = initial_output(n_outputs, n_inputs, generator)
    weights = [layer.weights for layer in layers] + [to_array(output["coefs"])]
    intercepts = [layer.intercept for layer in layers] + [
        to_array(output["intercepts"])
    ]
    shared = network_parameters(weights, intercepts, dtype, device)
    return {name: tensor.clone() for name, tensor in shared.items()}
