"""Passes over all rows of a fitted model's data, in chunks of bounded memory.

The width is that of the widest matrix that a row passes through, and a row takes so
many multiplications in the largest product: the first bounds the memory of a chunk, and
the second says how many threads it deserves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skcae._core.data.arrays import Array, array_on_disk
from skcae._core.data.rows import Rows
from skcae._core.data.threads import fitting_threads


def map_rows(
    rows: Rows,
    function: Callable[[Tensor, Tensor], object],
    *,
    shape: tuple[int, ...] = (),
    width: int,
    n_multiplications: int,
    dtype: np.dtype[Any] | None = None,
    to_disk: bool = False,
) -> Array:
    """Apply a function to all rows; it writes its result into its second argument.

    Returns an array of shape (n_rows, *shape), of the rows' dtype unless another is
    given, in memory or in a file that is gone with it.
    """
    new = array_on_disk if to_disk else np.empty
    # Rows are the first axis, here and of what the function is given.
    result = new((len(rows), *shape), dtype or rows.dtype)
    for part, X in rows.chunks(width):
        # On the processor it writes straight into the result.
        whole = torch.from_numpy(result[part])
        is_here = X.device.type == "cpu"
        out = whole if is_here else whole.new_empty(whole.shape, device=X.device)
        with fitting_threads(len(X) * n_multiplications):
            function(X, out)
        if not is_here:
            whole.copy_(out)
    return result


def mean_over_rows(
    rows: Rows,
    function: Callable[[slice, Tensor], Tensor],
    *,
    width: int,
    n_multiplications: int,
) -> float:
    """Return the weighted mean of a function that gives one number for each row.

    The function gets the positions of the rows, too.
    """
    # In double precision, whatever the data's is.
    total = weight = 0.0
    for part, X in rows.chunks(width):
        with fitting_threads(len(X) * n_multiplications):
            values = function(part, X)
        weights = rows.weights_of(part)
        total += float(values.sum() if weights is None else weights @ values)
        weight += len(values) if weights is None else float(weights.sum())
    return total / weight
