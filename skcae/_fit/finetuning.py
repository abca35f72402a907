"""Fine-tuning: from an encoder's weights and labelled data to a trained network."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone
from sklearn.callback._callback_context import CallbackContext
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skcae._core.data.arrays import (
    Array,
    Rows,
    resolve_device,
    resolve_device_or_cpu,
    to_array,
    to_tensor,
    working_dtype,
)
from skcae._core.layers.dense import Parameters
from skcae._core.steps.supervised import NetworkLearner, NetworkObjective
from skcae._core.steps.tangents import TangentObjective
from skcae._core.training.loop import Training
from skcae._encoders.steps import (
    EncodingLayer,
    encoding_layers,
    features_of,
    split_steps,
)
from skcae._encoders.tangents import tangents_of
from skcae._encoders.tensors import initial_network, network_of, outputs_of
from skcae._fit.data import check_n_features, check_range, check_X, normalized
from skcae._fit.epochs import described_call
from skcae._fit.outcomes import warn_if_dead
from skcae._fit.outputs import TargetUnits, best_constant
from skcae._fit.parameters import FineTuningParameters
from skcae._fit.plans import Plan, PlanMixin
from skcae._fit.pretraining import fit_encoder, rows_of_pretraining
from skcae._fit.progress import epoch_progress
from skcae._fit.snapshot import adopt
from skcae.losses import Loss

# The penalty is spread over so many rows at least, and the encoder's rate does not fall
# below that of so many. Fewer rows are one batch, where a weight is a repetition.
FEWEST_ROWS = 100
# From so many labelled rows on, the encoder has the rate of the output layer.
ROWS_OF_ONE_RATE = 10_000


@dataclass(frozen=True)
class PretrainedModel:
    """What a fit knows of its model before fine-tuning.

    Parameters
    ----------
    attributes : dict
        The fitted attributes that fine-tuning does not change.
    layers : list of EncodingLayer
        Where the hidden layers start.
    units : TargetUnits
        Those of the outputs in fine-tuning.
    """

    attributes: dict[str, Any]
    layers: list[EncodingLayer]
    units: TargetUnits


@dataclass(repr=False, eq=False, kw_only=True)
class BaseFineTuned(MetaEstimatorMixin, PlanMixin, BaseEstimator):
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

    # ---- what a subclass says ---------------------------------------------------

    def _error(self, loss: Loss, targets: Tensor, outputs: Tensor) -> Tensor:
        """Return what early stopping measures of each row; less is better."""
        raise NotImplementedError

    def _units(self, targets: Array, weights: Array | None) -> TargetUnits:
        """Return the units to fine-tune in, from the weighted rows' targets."""
        return TargetUnits()

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
            Further data of the same kind as X, for pre-training only, each row with
            weight 1. Through the `fit` of a search or `cross_validate` it is cut into
            folds if it has as many rows as X, as all that scikit-learn is given of that
            length: give those a `FrozenEstimator` of an encoder that was fitted on
            these rows.

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
        plan = self._plan(X, y, sample_weight, X_unlabeled, X_val, y_val)
        rows = rows_of_pretraining(X, y, plan.sample_weight, X_unlabeled)
        call = described_call(self, X, y, sample_weight)
        with epoch_progress(self) as log:
            context = self._init_callback_context(max_subtasks=2)
            context.call_on_fit_task_begin(**call)
            encoder = clone(self.encoder)
            fit_encoder(self, encoder, *rows, context)
            self._fine_tune(plan, encoder, call, context, log)
            context.call_on_fit_task_end(**call, reconstruction_attributes={})
        return self

    # ---- fine-tuning ------------------------------------------------------------

    def _fine_tune(
        self,
        plan: Plan,
        encoder: Any,
        call: dict[str, Any],
        context: CallbackContext,
        log: Callable[..., None],
    ) -> None:
        """Train the network that starts at the fitted encoder, and become it."""
        steps, encoders = split_steps(encoder)
        layers = encoding_layers(encoders)
        units = self._units(*plan.labels)
        model = PretrainedModel({**plan.attributes, "encoder_": encoder}, layers, units)
        learner = self._learner(plan, steps, model)
        rate = self._schedule(len(learner.rows))
        training = self._training(learner, rate, plan.generator)
        task = context.subcontext("fine-tuning", max_subtasks=self.max_iter)
        task.call_on_fit_task_begin(**call)
        self._train(training, model, call, task, log)
        task.call_on_fit_task_end(**call, reconstruction_attributes={})
        kept = training.kept if training.validation_curve else training.parameters
        warn_if_dead(training, plan.loss, kept, self.learning_rate)

    def _learner(
        self, plan: Plan, steps: list[Any], model: PretrainedModel
    ) -> NetworkLearner:
        """Set up what learns, from the rows as the first layer takes them."""
        data, held_out, layers = plan.data, plan.held_out, model.layers
        X = features_of(steps, data.X)
        check_n_features(X, layers[0].weights.shape[1])
        dtype = working_dtype(X.dtype)
        device = resolve_device(self.device, dtype)
        check_range("y", data.targets, dtype)

        def in_units(targets: Array) -> Tensor:
            return to_tensor(model.units.of(targets), dtype, device)

        def selected(subset: Array | slice) -> tuple[Rows, Tensor]:
            weights = normalized(plan.weights, subset)
            rows = Rows(X, weights, dtype=dtype, device=device, subset=subset)
            return rows, in_units(data.targets[subset])

        validation = None if plan.test is None else selected(plan.test)
        if held_out is not None:
            X_val = features_of(steps, held_out.X)
            check_range("y_val", held_out.targets, dtype)
            rows_val = Rows(X_val, dtype=dtype, device=device, name="X_val")
            validation = rows_val, in_units(held_out.targets)
        rows, targets = selected(plan.train)
        constant = best_constant(plan.loss, targets, rows.weights_of(slice(None)))
        parameters = initial_network(
            layers, to_array(constant), plan.generator, dtype, device
        )
        return NetworkLearner(
            self._objective(plan.loss, layers, rows),
            parameters,
            self._solver(parameters, None, self._rate_factors(len(layers), len(rows))),
            rows,
            targets,
            batch_size=self._batch_size(len(rows)),
            validation=validation,
            error=partial(self._error, plan.loss),
            unit=model.units.one * model.units.one,
        )

    def _rate_factors(self, n_layers: int, n_rows: int) -> dict[str, float]:
        """Return by what the rate of each of the encoder's parameters is multiplied."""
        factor = self.encoder_rate_factor
        if isinstance(factor, str):
            factor = min(1.0, (max(n_rows, FEWEST_ROWS) / ROWS_OF_ONE_RATE) ** 1.5)
        parts = ("coefs", "intercepts")
        return {f"{part}.{k}": factor for part in parts for k in range(n_layers)}

    def _objective(
        self, loss: Loss, layers: list[EncodingLayer], rows: Rows
    ) -> NetworkObjective:
        """Settle what to lower, with the tangents of the rows if it takes any."""
        network = network_of([layer.activation for layer in layers])
        decay = self.alpha / max(len(rows), FEWEST_ROWS)
        if self.tangent_penalty == 0:
            return NetworkObjective(network, loss, decay=decay)
        tangents = tangents_of(layers, rows, self.n_tangents)
        return TangentObjective(
            network, loss, self.tangent_penalty, tangents, decay=decay
        )

    # ---- the fitted model -------------------------------------------------------

    def _fitted_attributes(
        self, training: Training, data: PretrainedModel, parameters: Parameters
    ) -> dict[str, Any]:
        """Describe the model that has these parameters, as NumPy arrays."""
        validation = training.validation_curve
        coefs, intercepts = data.units.layers(parameters, len(data.layers) + 1)
        return {
            "feature_names_in_": None,
            **data.attributes,
            # scikit-learn's networks have their weights that way round.
            "coefs_": [W.T for W in coefs],
            "intercepts_": intercepts,
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
        check_n_features(X, self.coefs_[0].shape[0])
        device = resolve_device_or_cpu(self.device, working_dtype(X.dtype))
        return outputs_of(
            self._fitted_activations, self.coefs_, self.intercepts_, X, device
        )

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
        # What is no estimator is refused by `fit`, not here.
        if hasattr(self.encoder, "fit") and not isinstance(self.encoder, type):
            encoder_tags = get_tags(self.encoder).input_tags
            tags.input_tags.sparse = encoder_tags.sparse
            tags.input_tags.allow_nan = encoder_tags.allow_nan
        return tags
