"""From what the first encoder takes back to the units of what its pipeline takes."""

from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from skcae._core.data.rows import Rows
from skcae.inspection._encoder import dense_rows


def check_can_be_undone(steps: list[Any], rows: Rows) -> None:
    """Refuse preprocessing without an inverse that gives rows of numbers.

    Raises
    ------
    TypeError
        If a step has none.
    """
    # Not the row itself: of what is decoded, as an indicator, a number is in between.
    some = dense_rows(rows, np.arange(1)) + 0.1
    for step in reversed(steps):
        if hasattr(step, "inverse_transform") and not has_no_inverse_func(step):
            with suppress(IndexError, TypeError, ValueError):
                # A vectorizer of text gives words.
                some = np.asarray(step.inverse_transform(some))
                if some.ndim == 2 and np.issubdtype(some.dtype, np.number):
                    continue
        raise TypeError(
            f"{type(step).__name__} has no inverse_transform to numbers, so that "
            "samples cannot be given in units of X. Pass the part of the pipeline "
            "after it, and its output as X."
        )


def has_no_inverse_func(step: Any) -> bool:
    """Tell whether a step's inverse would silently be the identity."""
    is_function = isinstance(step, FunctionTransformer)
    return is_function and step.func is not None and step.inverse_func is None


def undone(steps: list[Any], rows: np.ndarray) -> np.ndarray:
    """Turn what the first encoder takes into what the pipeline takes."""
    for step in reversed(steps):
        rows = np.asarray(step.inverse_transform(rows))
    return rows
