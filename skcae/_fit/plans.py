"""What a fine-tuning is going to do, settled before anything is fitted."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_consistent_length

from skcae._core.data.arrays import Array, make_generator, resolve_device
from skcae._encoders.steps import split_steps
from skcae._encoders.tangents import check_n_tangents
from skcae._fit.data import (
    check_columns,
    check_names,
    check_weights,
    check_X,
    columns_of,
    naming,
    normalized,
)
from skcae._fit.epochs import EpochFitMixin, draw_seed, present_rows
from skcae._fit.frames import check_same_kind
from skcae._fit.labels import (
    check_held_out_labels,
    check_n_labels,
    check_n_outputs,
    check_none_missing,
)
from skcae._fit.parameters import FineTuningParameters
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
    """

    X: Any
    y: Array
    targets: Array


@dataclass(frozen=True)
class Plan:
    """What a fit is going to do, settled before anything is fitted.

    Parameters
    ----------
    attributes : dict
        The fitted attributes that are known already.
    data : LabelledData
        The labelled rows.
    loss : Loss
        Of the outputs.
    sample_weight, weights : ndarray of shape (n_samples,) or None
        Their weights in pre-training, and in fine-tuning.
    train : ndarray of int or slice
        Which of them to fine-tune on.
    held_out : LabelledData or None
        The user's held-out data.
    test : ndarray of int or None
        Or which of the labelled rows are held out.
    generator : torch.Generator
        The only source of randomness of fine-tuning.
    """

    attributes: dict[str, Any]
    data: LabelledData
    loss: Loss
    sample_weight: Array | None
    weights: Array | None
    train: Array | slice
    held_out: LabelledData | None
    test: Array | None
    generator: torch.Generator

    @property
    def labels(self) -> tuple[Array, Array | None]:
        """The targets of the rows to fine-tune on, and their weights of mean 1."""
        weights = normalized(self.weights, self.train)
        targets = self.data.targets[self.train]
        return targets, None if weights is None else weights[self.train]


class PlanMixin(EpochFitMixin, FineTuningParameters):
    """How data and parameters become the plan of a fine-tuning.

    A subclass says what the labels or values are.
    """

    encoder: Any

    # ---- what a subclass says ---------------------------------------------------

    def _targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        """Validate y, and return it with the targets; `scratch` learns the classes."""
        raise NotImplementedError

    def _loss(self, scratch: Any) -> Loss:
        """Return the loss of the outputs, which `_targets` has prepared."""
        raise NotImplementedError

    def _learnt(self, scratch: Any) -> dict[str, Any]:
        """Return the fitted attributes that `_targets` has learnt."""
        return {}

    def _held_out_targets(self, scratch: Any, y: Any) -> tuple[Array, Array]:
        """Validate held-out y, and return it with the targets."""
        raise NotImplementedError

    def _fine_tuning_weights(
        self, y: Array, sample_weight: Array | None
    ) -> Array | None:
        """Return the weights of the rows in fine-tuning."""
        return sample_weight

    def _hold_out(
        self, rows: Array, y: Array, generator: torch.Generator
    ) -> tuple[Array, Array]:
        """Draw the rows to train on and those to hold out."""
        return self._split(rows, generator)

    # ---- the plan ---------------------------------------------------------------

    def _plan(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_unlabeled: Any,
        X_val: Any,
        y_val: Any,
    ) -> Plan:
        """Validate everything, and settle which rows are for what."""
        scratch = copy.copy(self)
        data = self._check_labelled(scratch, X, y)
        sample_weight = check_weights(sample_weight, data.X)
        weights = self._fine_tuning_weights(data.y, sample_weight)
        if X_unlabeled is not None:
            check_same_kind(X, X_unlabeled)
            with naming("X_unlabeled"):
                self._check_rows(scratch, X_unlabeled)
        held_out = self._check_held_out(scratch, data, X_val, y_val)
        if self.tangent_penalty > 0:
            check_n_tangents(self.n_tangents, self.encoder, data.X)
        resolve_device(self.device, np.dtype(np.float32))
        generator = make_generator(draw_seed(self.random_state))
        train, test = present_rows(weights), None
        if self.early_stopping and held_out is None:
            rows = np.arange(len(data.y))[train]
            train, test = self._hold_out(rows, data.y, generator)
        attributes = {**columns_of(scratch), **self._learnt(scratch)}
        return Plan(
            attributes,
            data,
            self._loss(scratch),
            sample_weight,
            weights,
            train,
            held_out,
            test,
            generator,
        )

    def _check_rows(self, scratch: Any, X: Any, *, reset: bool = False) -> Any:
        """Validate X as far as the preprocessing, if there is any, does not do it."""
        steps, encoders = split_steps(self.encoder)
        if steps:
            return check_names(scratch, X, reset=reset)
        if reset and isinstance(self.encoder, FrozenEstimator):
            check_columns(encoders[0], X)
        return check_X(scratch, X, reset=reset)

    def _check_labelled(self, scratch: Any, X: Any, y: Any) -> LabelledData:
        X = self._check_rows(scratch, X, reset=True)
        check_none_missing("y", y)
        y, targets = self._targets(scratch, y)
        check_n_labels(X, y)
        return LabelledData(X, y, targets)

    def _check_held_out(
        self, scratch: Any, data: LabelledData, X_val: Any, y_val: Any
    ) -> LabelledData | None:
        check_held_out_labels(self.early_stopping, X_val, y_val)
        if X_val is None:
            return None
        check_none_missing("y_val", y_val)
        with naming("X_val or y_val"):
            X_val = self._check_rows(scratch, X_val)
            y_val, targets = self._held_out_targets(scratch, y_val)
            check_consistent_length(X_val, y_val)
        check_n_outputs(data.targets, targets)
        return LabelledData(X_val, y_val, targets)
