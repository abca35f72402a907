"""What a fine-tuning is going to do, settled before anything is fitted."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import _num_samples, check_consistent_length

from skcae._core.data.arrays import (
    Array,
    device_for,
    is_on_disk,
    make_generator,
    resolve_device,
    working_dtype,
)
from skcae._core.data.rows import Rows
from skcae._encoders.steps import begins_frozen, split_steps
from skcae._encoders.tangents import check_n_tangents
from skcae._fit.data import (
    FitData,
    check_names,
    check_weights,
    check_X,
    columns_of,
    draw_seed,
    naming,
    normalized,
    rows_with_weight,
)
from skcae._fit.held_out import check_held_out_arguments
from skcae._fit.joining import check_same_kind
from skcae._fit.labels import check_n_labels, check_n_outputs, check_none_missing
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
    X_unlabeled : {array, sparse matrix or frame} or None
        Validated rows without a label.
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
    X_unlabeled: Any
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


@dataclass(frozen=True)
class FineTuningData(FitData):
    """What a call of `fit` passes, unlabelled rows and held-out labels with it."""

    X_unlabeled: Any = None
    y_val: Any = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What callbacks are told of beside X and y, if there is any."""
        others = self.X_unlabeled
        further = {} if others is None else {"X_unlabeled": others}
        return super().metadata | further


def plan_of(estimator: Any, given: FineTuningData, seed: int | None = None) -> Plan:
    """Validate everything, and settle which rows are for what.

    A copy of the estimator learns the columns and the labels, so that a fit that fails
    later leaves the estimator as it was. A seed is that of a fit which goes on, and
    knows the columns.
    """
    scratch = copy.copy(estimator)
    data = check_labelled(scratch, given, reset=seed is None)
    sample_weight = check_weights(given.sample_weight, data.X)
    weights = estimator._fine_tuning_weights(data.y, sample_weight)
    X_unlabeled = None
    if given.X_unlabeled is not None:
        check_same_kind(given.X, given.X_unlabeled)
        X_unlabeled = check_unlabeled(scratch, given.X_unlabeled)
    held_out = check_held_out(scratch, data, given)
    if estimator.tangent_penalty > 0:
        check_n_tangents(estimator.n_tangents, estimator.encoder, data.X)
    resolve_device(device_for(estimator.device, data.X), np.dtype(np.float32))
    seed = draw_seed(estimator.random_state) if seed is None else seed
    generator = make_generator(seed)
    train, test = rows_with_weight(weights), None
    if estimator.early_stopping and held_out is None:
        rows = np.arange(len(data.y))[train]
        train, test = estimator._hold_out(rows, data.y, generator)
    return Plan(
        attributes={**columns_of(scratch), **estimator._learnt(scratch)},
        data=data,
        X_unlabeled=X_unlabeled,
        loss=estimator._loss(scratch),
        sample_weight=sample_weight,
        weights=weights,
        train=train,
        held_out=held_out,
        test=test,
        generator=generator,
    )


def check_rows(scratch: Any, X: Any, *, reset: bool = False) -> Any:
    """Validate X as far as the preprocessing, if there is any, does not do it."""
    steps, encoders = split_steps(scratch.encoder)
    if steps:
        X = check_names(scratch, X, reset=reset)
        if _num_samples(X) == 0:
            raise ValueError("Found 0 rows, while at least 1 is required.")
        return X
    rows = check_X(scratch, X, reset=reset)
    if reset and begins_frozen(scratch.encoder):
        with naming("The frozen encoder"):
            check_names(copy.copy(encoders[0]), X)
    return rows


def check_unlabeled(scratch: Any, X: Any) -> Any:
    """Validate rows without a label."""
    with naming("X_unlabeled"):
        X = check_rows(scratch, X)
    steps, _ = split_steps(scratch.encoder)
    if not (steps or isinstance(scratch.encoder, FrozenEstimator)) and is_on_disk(X):
        # Pre-training copies them as a whole: each is read here, and looked at.
        dtype = working_dtype(X.dtype)
        rows = Rows(X, dtype=dtype, device=torch.device("cpu"), name="X_unlabeled")
        for _ in rows.chunks(X.shape[1]):
            pass
    return X


def check_labelled(scratch: Any, given: FineTuningData, *, reset: bool) -> LabelledData:
    """Validate the labelled rows; `scratch` learns the columns and the labels."""
    X = check_rows(scratch, given.X, reset=reset)
    check_none_missing("y", given.y)
    y, targets = scratch._targets(scratch, given.y)
    check_n_labels(X, y)
    return LabelledData(X, y, targets)


def check_held_out(
    scratch: Any, data: LabelledData, given: FineTuningData
) -> LabelledData | None:
    """Validate the user's held-out rows, if there are any."""
    if (given.X_val is None) != (given.y_val is None):
        missing = "X_val" if given.X_val is None else "y_val"
        raise ValueError(f"X_val and y_val belong together, but {missing} is missing.")
    check_held_out_arguments(scratch.early_stopping, given.X_val, None)
    if given.X_val is None:
        return None
    check_none_missing("y_val", given.y_val)
    with naming("X_val or y_val"):
        X_val = check_rows(scratch, given.X_val)
        y_val, targets = scratch._held_out_targets(scratch, given.y_val)
        check_consistent_length(X_val, y_val)
    check_n_outputs(data.targets, targets)
    return LabelledData(X_val, y_val, targets)
