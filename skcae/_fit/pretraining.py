"""Fitting an encoder, whatever it is, as the first part of another fit."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from sklearn.callback._callback_context import CallbackContext
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import _num_samples, has_fit_parameter

from skcae._fit.data import normalized, rows_with_weight
from skcae._fit.joining import joined


def fit_encoder(
    owner: Any,
    encoder: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    task: CallbackContext,
) -> None:
    """Fit the encoder that belongs to another estimator, with weights and callbacks."""
    if isinstance(encoder, FrozenEstimator):
        return
    with _propagated(owner, task, encoder):
        task.call_on_fit_task_begin(estimator=owner, X=X, y=y)
        encoder.fit(X, y, **_weights_for(owner, encoder, sample_weight))
        task.call_on_fit_task_end(estimator=owner, X=X, y=y)


def _weights_for(owner: Any, encoder: Any, sample_weight: Any) -> dict[str, Any]:
    """Return the fit arguments that hand weights to what takes them."""
    if sample_weight is None:
        return {}
    if _routing_enabled():
        routed = process_routing(owner, "fit", sample_weight=sample_weight)
        return dict(routed["encoder"]["fit"])
    if isinstance(encoder, Pipeline):
        return {
            f"{name}__{weights}": sample_weight
            for name, step in encoder.steps
            for weights in _weights_for(owner, step, sample_weight)
        }
    takes_them = has_fit_parameter(encoder, "sample_weight")
    return {"sample_weight": sample_weight} if takes_them else {}


@contextmanager
def _propagated(owner: Any, task: CallbackContext, encoder: Any) -> Iterator[None]:
    """Let callbacks reach the encoder; one that has none is no cause for a warning."""
    with ExitStack() as stack:
        # Filters are the whole process's: they are left alone where there is no need.
        if getattr(owner, "_skl_callbacks", []):
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "The estimator .* does not support call")
        stack.enter_context(task.propagate_callback_context(encoder))
        yield


def rows_of_pretraining(
    X: Any, y: Any, sample_weight: Any, X_unlabeled: Any
) -> tuple[Any, Any, Any]:
    """Return X, y and weights with the rows that have no label.

    Those have no weight of their own and get 1, the mean of the others, of which rows
    of weight 0 are none. Where they are, there is no y.
    """
    if X_unlabeled is None:
        return X, y, sample_weight
    if sample_weight is not None:
        ones = np.ones(_num_samples(X_unlabeled))
        own = normalized(sample_weight, rows_with_weight(sample_weight))
        sample_weight = np.concatenate([own, ones])
    return joined(X, X_unlabeled), None, sample_weight
