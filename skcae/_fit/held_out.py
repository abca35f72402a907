"""What early stopping holds out: rows of the user's, or a part of those to train on."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from skcae._core.data.arrays import Array, make_generator
from skcae._core.data.rows import random_order
from skcae._fit.data import CheckedData, check_weights, check_X, naming, scratch_of
from skcae._fit.streams import Stream


def check_held_out_arguments(
    early_stopping: bool, X_val: Any, sample_weight_val: Any
) -> None:
    """Refuse held-out data that would not be used."""
    if X_val is not None and not early_stopping:
        raise ValueError(
            "X_val is used for early stopping only, but early_stopping=False. Set "
            "early_stopping=True, or leave X_val out."
        )
    if sample_weight_val is not None and X_val is None:
        raise ValueError("sample_weight_val was given without X_val.")


def check_can_hold_out(X: Any) -> None:
    """Refuse to hold out rows of data that comes in batches."""
    if isinstance(X, Stream):
        raise ValueError(
            "early_stopping=True holds out a part of the rows, but X gives them in "
            "batches, of which none can be set aside. Pass X_val, an array of rows "
            "that are not in X."
        )


def check_held_out_data(
    estimator: Any, data: CheckedData, X_val: Any, sample_weight_val: Any
) -> CheckedData:
    """Validate held-out data against the columns of the training data."""
    scratch = scratch_of(estimator, continues=data.continues)
    scratch.__dict__.update(data.columns)
    with naming("X_val or sample_weight_val"):
        X_val = check_X(scratch, X_val)
        weights = check_weights(sample_weight_val, X_val, name="sample_weight_val")
    return replace(data, X=X_val, sample_weight=weights)


def check_can_be_split(n_rows: int) -> None:
    """Refuse to hold out rows where there is only one."""
    if n_rows < 2:
        raise ValueError(
            "early_stopping=True holds out a part of the rows, but X has only "
            f"{n_rows} sample of positive weight. Pass X_val, or set "
            "early_stopping=False."
        )


def split_rows(
    rows: Array, fraction: float, generator: torch.Generator
) -> tuple[Array, Array]:
    """Draw the rows to train on and those to hold out; each has one at least.

    The fit's seed alone decides, so that a warm start on the same data holds out the
    same rows again and never trains on them.
    """
    check_can_be_split(len(rows))
    order = random_order(len(rows), make_generator(generator.initial_seed()))
    count = min(math.ceil(float(fraction) * len(rows)), len(rows) - 1)
    return np.sort(rows[order[count:]]), np.sort(rows[order[:count]])


def split_by_class(
    rows: Array, y: Array, fraction: float, seed: int
) -> tuple[Array, Array]:
    """Draw the rows to train on and those to hold out, a part of each class."""
    check_can_be_split(len(rows))
    try:
        train, test = train_test_split(
            rows, test_size=float(fraction), stratify=y[rows], random_state=seed % 2**32
        )
    except ValueError as error:
        raise ValueError(
            "early_stopping=True holds out a part of each class, which cannot be: "
            f"{error}. Pass X_val and y_val, or set early_stopping=False."
        ) from error
    return np.sort(train), np.sort(test)
