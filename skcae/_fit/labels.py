"""From labels and values to targets, with errors that say what to do."""

import copy
import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, column_or_1d, validate_data
from torch import Tensor

from skcae._core.data.arrays import Array, array_of
from skcae._encoders.containers import opened
from skcae._fit.epochs import level_of_caller

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
    if isinstance(y, Tensor):
        y = array_of(y)
    if sparse.issparse(y):
        y = y.toarray()
    values = values_of(y)
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


def values_of(y: Any) -> Array:
    """Return y as an array, a list as one of objects.

    As one of strings it would make a label of what is missing.
    """
    return np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)


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
    if looks_unlabelled(y, classes):
        warnings.warn(
            f"{np.count_nonzero(y == -1)} of {len(y)} rows have the label -1, which is "
            "learnt as a class like the others. If it marks rows without a label, take "
            "them out of X and y and pass them as X_unlabeled.",
            UserWarning,
            stacklevel=level_of_caller(),
        )
    return y, classes


def n_columns(y: Any) -> int:
    """Return how many columns of labels y has, and refuse collections of labels."""
    y = y if hasattr(y, "shape") else values_of(y)
    kind = getattr(getattr(y, "dtype", None), "kind", "")
    if kind == "O" and len(y.shape) == 1 and len(y) > 0:
        first = np.asarray(y)[0]
        if isinstance(first, list | tuple | set | frozenset):
            raise ValueError(
                f"y should be a 1d array of labels, but its first row is {first!r:.80}."
                " Of rows with any number of labels MultiLabelBinarizer makes the "
                "indicator matrix that stands for them."
            )
    return int(y.shape[1]) if len(y.shape) == 2 else 1


def check_indicators(estimator: Any, y: Any) -> Array:
    """Validate an indicator matrix: 1 where a row has the label of a column, else 0."""
    Y: Any = validate_data(copy.copy(estimator), y=y, multi_output=True)
    Y = Y.toarray() if sparse.issparse(Y) else Y
    others = Y[~np.isin(Y, (0, 1))]
    if Y.ndim != 2 or len(others):
        has = f"has {others.tolist()[0]!r}" if len(others) else f"is of shape {Y.shape}"
        raise ValueError(
            "y should be a 1d array of one label for each row, or where rows have any "
            "number of labels an indicator matrix, 1 where a row has the label of a "
            f"column and else 0, but it {has}."
        )
    found: Array = Y.astype(int)
    return found


def check_labels_differ(Y: Array) -> None:
    """Refuse an indicator matrix of which all rows are the same."""
    if not (Y - Y[0]).any():
        raise ValueError(
            f"y has {Y.shape[1]} columns, but no two rows that differ in one. A "
            "classifier needs at least one label that some rows have and others not."
        )


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


def indicators(y: Array, classes: Array) -> Array:
    """Return 1 for each row's class and 0 for others; one column for two classes."""
    is_class: Array = (y[:, None] == classes).astype(np.float32)
    return is_class if len(classes) > 2 else is_class[:, 1:]


def check_values(estimator: Any, y: Any) -> Array:
    """Validate the values of a regressor."""
    if sparse.issparse(y):
        raise TypeError("y must be an array of values, but it is a sparse matrix.")
    if y is not None:
        y, _ = opened(y, "y")
    values: Array = validate_data(
        copy.copy(estimator), y=y, multi_output=True, y_numeric=True
    )
    if values.dtype.kind in "SU":
        values = values.astype(np.float64)
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


def weights_by_class(class_weight: Any, y: Array, weights: Array) -> Array:
    """Return the weights of rows times those of their classes, or of all their labels.

    As in scikit-learn, a row's weights by its labels are multiplied.
    """
    if y.ndim == 1:
        return check_class_weights(weights * class_factors(class_weight, y, weights))
    n_labels = y.shape[1]
    is_one = class_weight == "balanced"
    each = [class_weight] * n_labels if is_one else class_weight
    if not isinstance(each, list) or len(each) != n_labels:
        raise ValueError(
            'class_weight of an indicator matrix must be "balanced", or a list of '
            f"{n_labels} dicts, one for each column, but it is {class_weight!r}."
        )
    factors = [class_factors(each[k], y[:, k], weights) for k in range(n_labels)]
    return check_class_weights(weights * np.prod(factors, axis=0))


def class_factors(class_weight: Any, y: Array, weights: Array) -> Array:
    """Return the weight of each row's class."""
    if isinstance(class_weight, list):
        raise ValueError(
            "A list as class_weight is for an indicator matrix as y. For one label to "
            f"a row it must be a dict, or 'balanced', but it is {class_weight!r}."
        )
    factors = np.ones(len(y))
    # A class of which no row counts has no frequency.
    rows = weights > 0 if class_weight == "balanced" else slice(None)
    classes, positions = np.unique(y[rows], return_inverse=True)
    factors[rows] = compute_class_weight(
        class_weight, classes=classes, y=y[rows], sample_weight=weights[rows]
    )[positions]
    return factors


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
            f"y has {targets.shape[1]} labels or values for each row, but y_val has "
            f"{held_out.shape[1]}."
        )
