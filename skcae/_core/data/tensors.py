"""Rows of a matrix that is a tensor, gathered where it lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from skcae._core.data.arrays import Array, to_tensor, torch_dtype
from skcae._core.data.rows import (
    Rows,
    WeightedRows,
    evenly_spaced,
    row_slices,
    small_chunks,
)

# Data moves to an accelerator as a whole if it takes at most this part of the memory
# that is free there.
RESIDENT_PART = 0.5


@dataclass(eq=False)
class TensorRows(WeightedRows):
    """Rows of a tensor with their weights, handed out by the batch.

    It stands where `Rows` does. The tensor stays what and where it is; the rows of one
    batch are gathered there, cast, and moved if they are to be computed with elsewhere.

    Parameters
    ----------
    matrix : tensor of shape (n, n_features)
        The data, whose values somebody has looked at.
        What else there is to all rows, `WeightedRows` says.
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        # What is used of each batch is where the batch is gathered, or goes.
        self._positions, self._weights = None, None
        if not isinstance(self.subset, slice):
            self._positions = self._there(self.subset)
        if self.weights is not None:
            used = self.weights[self.subset]
            self._weights = to_tensor(used, self.dtype, self.device)

    def _there(self, positions: Array | Tensor) -> Tensor:
        """Put positions where the matrix is."""
        return torch.as_tensor(positions, device=self.matrix.device)

    def _order(self, *, shuffle: bool, generator: torch.Generator) -> Array | Tensor:
        order = super()._order(shuffle=shuffle, generator=generator)
        # Once for an epoch: its batches are slices of it.
        return self._there(order) if self.matrix.device == self.device else order

    def _gathered(self, index: Any) -> Tensor:
        """Return rows as they are, where they are."""
        if isinstance(index, np.ndarray):
            index = self._there(index)
        return self.matrix[index if self._positions is None else self._positions[index]]

    def read(self, index: Array | Tensor | slice, out: Tensor) -> None:
        """Write rows into a tensor on the device; `index` is what `batches` gives."""
        is_same = (out.dtype, out.device) == (self.matrix.dtype, self.matrix.device)
        if is_same and self._positions is None and isinstance(index, Tensor):
            torch.index_select(self.matrix, 0, index, out=out)
        else:
            out.copy_(self._gathered(index))
        # In the copy, so that the user's tensor stays what it is.
        if self.bounds is not None:
            out.clamp_(*self.bounds)

    def weights_of(self, index: Array | Tensor | slice) -> Tensor | None:
        """Return the weights of the rows at these positions, None if all are 1."""
        if self._weights is None or isinstance(index, slice):
            return None if self._weights is None else self._weights[index]
        return self._weights[torch.as_tensor(index, device=self.device)]

    def results(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], *, to_disk: bool = False
    ) -> Tensor:
        """Return room for results of all rows, where the rows are."""
        kind = torch_dtype(dtype)
        return torch.empty((len(self), *shape), dtype=kind, device=self.matrix.device)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Go through all rows once, in small tensors, with their weights."""
        return small_chunks(self)

    def some(self, n: int) -> tuple[Tensor, Tensor | None]:
        """Return at most n rows from all over the data, with their weights."""
        index = evenly_spaced(len(self), n)
        return self._cast(self._gathered(index)), self.weights_of(index)

    def chunks(self, n_columns: int) -> Iterator[tuple[slice, Tensor]]:
        """Go through all rows once, in order, in batches of bounded size.

        `n_columns` is the width of the widest matrix that will be made of them.
        """
        for part in row_slices(len(self), max(n_columns, self.n_features)):
            yield part, self._cast(self._gathered(part))

    def _cast(self, rows: Tensor) -> Tensor:
        """Return rows for reading, without a copy where that is possible."""
        rows = rows.to(self.device, torch_dtype(self.dtype))
        # Not in place: it may be a view of the user's tensor.
        return rows if self.bounds is None else rows.clamp(*self.bounds)


# Rows of a matrix that is held as a whole.
MatrixRows = Rows | TensorRows


def rows_of(matrix: Any, weights: Array | None = None, **how: Any) -> MatrixRows:
    """Return the rows of an array, a sparse matrix or a tensor.

    What else `Rows` takes matters to data on a disk alone.
    """
    if not isinstance(matrix, Tensor):
        return Rows(matrix, weights, **how)
    return TensorRows(
        matrix,
        weights,
        **{
            name: value for name, value in how.items() if name not in ("margin", "name")
        },
    )


def fits_on(device: torch.device, n_bytes: int) -> bool:
    """Tell whether data of this size is to be kept on an accelerator."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= RESIDENT_PART * free


def on_device(rows: Any) -> Any:
    """Move rows to their device for many passes, if they are dense and fit there.

    Rows that come in batches stay where they come from, and None is none.
    """
    if not isinstance(rows, MatrixRows) or sparse.issparse(rows.matrix):
        return rows
    is_there = isinstance(rows, TensorRows) and rows.matrix.device == rows.device
    n_bytes = len(rows) * rows.n_features * rows.dtype.itemsize
    if is_there or not fits_on(rows.device, n_bytes):
        return rows
    weights = None if rows.weights is None else rows.weights[rows.subset]
    return TensorRows(as_tensor(rows), weights, dtype=rows.dtype, device=rows.device)


def as_tensor(rows: MatrixRows) -> Tensor:
    """Return all rows as one dense tensor on their device, (n, n_features)."""
    shape = (len(rows), rows.n_features)
    X = torch.empty(shape, dtype=torch_dtype(rows.dtype), device=rows.device)
    for part in row_slices(*shape):
        rows.read(part, X[part])
    return X
