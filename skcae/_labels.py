"""Checks of labels and values to be learnt, with errors that say what to do."""

import copy
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, column_or_1d, validate_data

from skcae._core.arrays import Array
from skcae._validation import check_held_out_arguments

# What to do about rows that have no label or value, by the argument they are in.
CURES = {
    "y": "Pass the rows without one as X_unlabeled: they join X in pre-training.",
    "y_val": "Leave these rows out of X_val and y_val.",
}


def check_none_missing(name: str, y: Any) -> None:
    """Refuse labels or values that are missing, in whatever container."""
    if y is None:
        return
    missing = missing_rows(y)
    if missing.any():
        raise ValueError(
            f"Input {name} contains NaN, None or another mark of a missing value in "
            f"{missing.sum()} of {missing.size} rows, the first of them row "
            f"{missing.argmax()}. {CURES[name]}"
        )


def missing_rows(y: Any) -> Array:
    """Return for each row whether any of its labels or values is missing."""
    if sparse.issparse(y):
        y = y.toarray()
    # A list that becomes strings would make a label of what is missing.
    values = np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)
    if values.dtype == object:
        missing = np.vectorize(is_missing, otypes=[bool])(values)
    elif values.dtype.kind in "mM":
        missing = np.isnat(values)
    else:
        missing = values != values
    if isinstance(y, np.ma.MaskedArray):
        missing = missing | np.ma.getmaskarray(y)
    rows: Array = missing.any(axis=tuple(range(1, missing.ndim)))
    return rows


def is_missing(value: Any) -> bool:
    """Whether a value is None, pandas' NA, or not equal to itself: NaN or NaT."""
    if value is None or type(value).__name__ == "NAType":
        return True
    differs = value != value
    return isinstance(differs, bool | np.bool_) and bool(differs)


def check_labels(estimator: Any, y: Any) -> tuple[Array, Array]:
    """Validate the labels of a classifier, and return them with the classes."""
    y = labels_of(estimator, y)
    check_classification_targets(y)
    classes: Array = np.unique(y)
    if len(classes) == 0:
        raise ValueError("y has no labels, but a classifier needs some to learn from.")
    if len(classes) < 2:
        raise ValueError(
            f"y has only one class, {classes.tolist()[0]!r}, but a classifier needs at "
            "least two."
        )
    return y, classes


def labels_of(estimator: Any, y: Any) -> Array:
    """Validate one label, or value, for each row."""
    # A copy, since scikit-learn would forget the names of the columns.
    labels: Array = column_or_1d(validate_data(copy.copy(estimator), y=y), warn=True)
    return labels


def looks_unlabelled(y: Array, classes: Array) -> bool:
    """Whether -1 seems to mark rows without a label, and not a class.

    It does beside classes 0, 1, 2 and so on, or in most rows. {-1, 1} and {-1, 0, 1}
    are common sets of real labels.
    """
    if classes.dtype.kind not in "if" or classes[0] != -1 or len(classes) < 3:
        return False
    counts_up = np.array_equal(classes[1:], np.arange(len(classes) - 1))
    return (counts_up and len(classes) > 3) or bool(np.mean(y == -1) > 0.5)


def known_labels(estimator: Any, y: Any, classes: Array) -> Array:
    """Validate held-out labels, which must be among the classes."""
    labels = labels_of(estimator, y)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise ValueError(
            f"{unknown.tolist()} are no labels of y: the classes are "
            f"{classes.tolist()}."
        )
    return labels


def check_values(estimator: Any, y: Any) -> Array:
    """Validate the values of a regressor."""
    if sparse.issparse(y):
        raise TypeError("y must be an array of values, but it is a sparse matrix.")
    values: Array = validate_data(
        copy.copy(estimator), y=y, multi_output=True, y_numeric=True
    )
    if values.ndim == 2 and values.shape[1] == 1:
        return labels_of(estimator, values)
    return values


def check_n_labels(X: Any, y: Array) -> None:
    """Refuse rows without labels."""
    n_rows = _num_samples(X)
    if len(y) == n_rows:
        return
    hint = f" {CURES['y']}" if len(y) < n_rows else ""
    raise ValueError(f"X has {n_rows} rows, but y has {len(y)} labels or values.{hint}")


def check_held_out_labels(early_stopping: bool, X_val: Any, y_val: Any) -> None:
    """Refuse held-out data that would not or could not be used."""
    if (X_val is None) != (y_val is None):
        missing = "X_val" if X_val is None else "y_val"
        raise ValueError(f"X_val and y_val belong together, but {missing} is missing.")
    check_held_out_arguments(early_stopping, X_val, None)


def check_class_weights(weights: Array) -> Array:
    """Refuse class weights that leave nothing, or less, to learn from."""
    if not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise ValueError(
            "class_weight, times sample_weight, must be finite and not negative, nor 0 "
            f"for all rows, but it ranges from {weights.min():g} to {weights.max():g}."
        )
    return weights


def check_n_outputs(targets: Array, held_out: Array) -> None:
    """Refuse held-out values of another kind than those to be learnt."""
    if held_out.shape[1] != targets.shape[1]:
        raise ValueError(
            f"y has {targets.shape[1]} values for each row, but y_val has "
            f"{held_out.shape[1]}."
        )
