"""Passes over all rows of a fitted model's data, in chunks of bounded memory.

The width is that of the widest matrix that a row passes through, and a row takes so
many multiplications in the largest product: the first bounds the memory of a chunk, and
the second says how many threads it deserves.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skcae._core.data.modes import plainly
from skcae._core.data.rows import Rows
from skcae._core.data.sparse import SparseRows
from skcae._core.data.tensors import MatrixRows
from skcae._core.data.threads import fitting_threads


@plainly()
def map_rows(
    rows: MatrixRows,
    function: Callable[[Any, Tensor], object],
    *,
    shape: tuple[int, ...] = (),
    width: int,
    sparse_width: int | None = None,
    n_multiplications: int,
    dtype: np.dtype[Any] | None = None,
    to_disk: bool = False,
) -> Any:
    """Apply a function to all rows; it writes its result into its second argument.

    Returns shape (n_rows, *shape), of the rows' dtype unless another is given: a tensor
    where the rows are one, or else an array in memory, or in a file that is gone with
    it.

    With a width for sparse rows, X itself left out, the function gets them as they are
    stored.
    """
    # Rows are the first axis, here and of what the function is given.
    result = rows.results(shape, dtype or rows.dtype, to_disk=to_disk)
    whole = result if isinstance(result, Tensor) else torch.from_numpy(result)
    chunks: Iterator[tuple[slice, Any]] = rows.chunks(width)
    if sparse_width is not None and isinstance(rows, Rows) and rows.are_sparse:
        chunks = rows.sparse_chunks(sparse_width)
    for part, X in chunks:
        # Where the rows are it writes straight into the result.
        room = whole[part]
        is_there = isinstance(X, SparseRows) or X.device == room.device
        out = room if is_there else torch.empty_like(room, device=X.device)
        with fitting_threads(len(X) * n_multiplications):
            function(X, out)
        if not is_there:
            room.copy_(out)
    return result


def mean_over_rows(
    rows: MatrixRows,
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
