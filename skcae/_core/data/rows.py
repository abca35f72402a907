"""Rows of a matrix: their order, slices of them, and batches as tensors."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from skcae._core.data.arrays import (
    Array,
    array_on_disk,
    finite_range,
    is_on_disk,
    to_tensor,
    torch_dtype,
    within,
)
from skcae._core.data.sparse import SparseRows

# A chunk of an evaluation pass holds at most this many numbers per matrix (16 MB in
# float64), so that memory is bounded however many rows are transformed. Products of
# fewer rows take longer per row.
CHUNK_ELEMENTS = 2**21


def random_order(n_rows: int, generator: torch.Generator) -> Array:
    """Draw a permutation of the rows."""
    # On the processor: all devices take the same order.
    order: Array = torch.randperm(n_rows, generator=generator, device="cpu").numpy()
    return order


def evenly_spaced(n_rows: int, n: int) -> Array:
    """Return the positions of at most n of the rows."""
    return np.linspace(0, n_rows, min(n, n_rows), endpoint=False, dtype=np.intp)


def row_slices(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Cut rows into slices of bounded size, for matrices of at most n_columns."""
    step = max(1, CHUNK_ELEMENTS // n_columns)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def copy_rows(matrix: Any, position: Array | slice, out: Array) -> None:
    """Write the rows at these positions into an array, densified and cast."""
    if sparse.issparse(matrix):
        # Cast before it is dense: so many numbers fewer.
        matrix[position].astype(out.dtype, copy=False).toarray(out=out)
    elif (
        isinstance(position, np.ndarray)
        and matrix.dtype == out.dtype
        and matrix.flags.c_contiguous
    ):
        # "clip" writes straight into out; all positions are valid.
        np.take(matrix, position, axis=0, out=out, mode="clip")
    else:
        out[...] = matrix[position]


def small_chunks(rows: Any) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Go through all rows once, in chunks of which a few copies can be made."""
    for part, X in rows.chunks(16 * rows.n_features):
        yield X, rows.weights_of(part)


@dataclass(eq=False)
class WeightedRows:
    """What rows are, wherever their matrix lies.

    Parameters
    ----------
    matrix : matrix of shape (n, n_features)
        The data.
    weights : ndarray of shape (n,), optional
        The weight of each row, 1 by default.
    dtype, device
        What the batches are cast to and where they go.
    bounds : (float, float), optional
        Values are clipped to these bounds.
    subset : ndarray of int, or slice(None)
        The rows to use, all by default.

    Attributes
    ----------
    n_features : int
        The number of columns.
    may_change : bool
        The rows are the same in each pass.
    """

    may_change: ClassVar[bool] = False

    matrix: Any
    weights: Array | None = None
    dtype: np.dtype[Any] = field(kw_only=True)
    device: torch.device = field(kw_only=True)
    bounds: tuple[float, float] | None = field(default=None, kw_only=True)
    subset: Array | slice = field(default_factory=lambda: slice(None), kw_only=True)

    def __post_init__(self) -> None:
        self.n_features = int(self.matrix.shape[1])

    def __len__(self) -> int:
        if isinstance(self.subset, slice):
            return int(self.matrix.shape[0])
        return len(self.subset)

    def count(self, index: Array | Tensor | slice) -> int:
        """Return the number of rows of a batch."""
        return len(self) if isinstance(index, slice) else len(index)

    def batches(
        self, batch_size: int, *, shuffle: bool, generator: torch.Generator
    ) -> Iterator[Array | Tensor | slice]:
        """Cut the rows of one epoch into batches; the last may be short.

        A single batch of all rows is not shuffled: its order changes nothing but
        rounding.
        """
        if batch_size >= len(self):
            yield slice(None)
            return
        order = self._order(shuffle=shuffle, generator=generator)
        for start in range(0, len(self), batch_size):
            yield order[start : start + batch_size]

    def _order(self, *, shuffle: bool, generator: torch.Generator) -> Array | Tensor:
        """Return the positions of all rows in the order of an epoch."""
        return random_order(len(self), generator) if shuffle else np.arange(len(self))

    def total_weight(self) -> float:
        """Return the sum of the weights of all rows."""
        if self.weights is None:
            return float(len(self))
        return float(self.weights[self.subset].sum())


@dataclass(eq=False)
class Rows(WeightedRows):
    """Rows of a data matrix with their weights, handed out as tensors by the batch.

    The matrix stays what and where it is, memory-mapped or sparse; only the rows of
    one batch are ever copied, densified, cast and moved.

    Nobody has looked at a memory-mapped matrix before: its rows are checked as they are
    read.

    Parameters
    ----------
    matrix : ndarray or CSR matrix or array, shape (n, n_features)
        The data. What else there is to all rows, `WeightedRows` says.
    margin : float, optional
        How far a memory-mapped matrix may leave the bounds; any distance by default.
    name : str
        What errors call the matrix.
    """

    margin: float | None = field(default=None, kw_only=True)
    name: str = field(default="X", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._are_checked = not is_on_disk(self.matrix)
        # What rounding has moved out of the bounds is clipped, what lies further off
        # is refused.
        self._allowed = finite_range(self.dtype)
        if self.bounds is not None and self.margin is not None:
            low, high = self.bounds
            self._allowed = low - self.margin, high + self.margin
        # Where rows are gathered that go to a device; grows to the largest batch.
        self._staging = torch.empty(0, dtype=torch_dtype(self.dtype), device="cpu")

    def _position(self, index: Any) -> Any:
        """Turn positions among the rows in use into those in the matrix."""
        return index if isinstance(self.subset, slice) else self.subset[index]

    def read(self, index: Array | Tensor | slice, out: Tensor) -> None:
        """Write rows into a tensor on the device.

        `index` is what `batches` gives.
        """
        # On the processor in place, or else in memory to be moved.
        gathered = out if out.device.type == "cpu" else self._staging_of(out)
        copy_rows(self.matrix, self._position(index), gathered.numpy())
        self._check(gathered, index)
        if gathered is not out:
            out.copy_(gathered)
        # In the copy, so that the user's matrix stays what it is.
        if self.bounds is not None:
            out.clamp_(*self.bounds)

    def _staging_of(self, out: Tensor) -> Tensor:
        """Return memory of this shape, from where a card fetches by itself."""
        n, is_cuda = out.numel(), out.device.type == "cuda"
        if self._staging.numel() < n:
            self._staging = torch.empty(
                n, dtype=out.dtype, device="cpu", pin_memory=is_cuda
            )
        return self._staging[:n].view(out.shape)

    def _check(self, rows: Tensor, index: Any) -> None:
        """Refuse values that are not allowed in rows that were read just now."""
        # Two numbers tell whether all is well; where it is not is looked for only then.
        low, high = self._allowed
        if self._are_checked or within(rows, low, high):
            return
        row, column = (~((rows >= low) & (rows <= high))).nonzero()[0].tolist()
        position = self._position(index)
        number = (
            (position.start or 0) + row
            if isinstance(position, slice)
            else int(position[row])
        )
        value = float(rows[row, column])
        found = (
            f"row {number} (the first is 0) has the value {value:g} in column {column}"
        )
        where = "It was found as the row was read: the data is memory-mapped."
        if self._allowed == finite_range(self.dtype) or not math.isfinite(value):
            raise ValueError(
                f"{self.name} cannot be used: {found}, but all must be finite. {where}"
            )
        assert self.bounds is not None
        raise ValueError(
            f"The loss needs {self.name} in [{self.bounds[0]:g}, {self.bounds[1]:g}], "
            f"but {found}. {where} Scale the data, as by a MinMaxScaler, or use "
            "loss='squared_error'."
        )

    def weights_of(self, index: Array | Tensor | slice) -> Tensor | None:
        """Return the weights of the rows at these positions, None if all are 1."""
        if self.weights is None:
            return None
        return to_tensor(self.weights[self._position(index)], self.dtype, self.device)

    def results(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], *, to_disk: bool = False
    ) -> Array:
        """Return room for results of all rows, in memory or in a file."""
        new = array_on_disk if to_disk else np.empty
        return new((len(self), *shape), dtype)

    def blocks(self) -> Iterator[tuple[Any, Any]]:
        """Go through all rows once, in small tensors or sparse, with their weights."""
        if not sparse.issparse(self.matrix):
            yield from small_chunks(self)
            return
        # Sparse rows stay so: who takes them goes through stored entries alone, and has
        # a number for each column from each block.
        n_stored = self.matrix.nnz // max(1, self.matrix.shape[0])
        for part in row_slices(len(self), max(1, n_stored)):
            at = self._position(part)
            weights = None if self.weights is None else self.weights[at]
            yield self.matrix[at], weights

    def some(self, n: int) -> tuple[Tensor, Tensor | None]:
        """Return at most n rows from all over the data, with their weights."""
        index = evenly_spaced(len(self), n)
        shape = (len(index), self.n_features)
        rows = torch.empty(shape, dtype=self._staging.dtype, device=self.device)
        self.read(index, rows)
        return rows, self.weights_of(index)

    def chunks(self, n_columns: int) -> Iterator[tuple[slice, Tensor]]:
        """Go through all rows once, in order, in batches of bounded size.

        `n_columns` is the width of the widest matrix that will be made of them.
        """
        for part in row_slices(len(self), max(n_columns, self.n_features)):
            yield part, self._chunk(part)

    @property
    def are_sparse(self) -> bool:
        """Whether `sparse_chunks` and `read_sparse` have them as they are stored."""
        return sparse.issparse(self.matrix) and self.device.type == "cpu"

    def sparse_chunks(self, n_columns: int) -> Iterator[tuple[slice, SparseRows]]:
        """Go through sparse rows once, in order, as they are stored.

        `n_columns` is the width of what will be made of them.
        """
        for part in row_slices(len(self), n_columns):
            yield part, self.read_sparse(part)

    def read_sparse(self, index: Array | slice) -> SparseRows:
        """Return sparse rows as they are stored; `index` is what `batches` gives."""
        rows = self.matrix[self._position(index)].astype(self.dtype)
        rows.eliminate_zeros()
        if self.bounds is not None:
            # 0, which is not stored, lies within those of each loss.
            rows.data.clip(*self.bounds, out=rows.data)
        return SparseRows.of(rows)

    def _chunk(self, part: slice) -> Tensor:
        """Return rows for reading, without a copy where that is possible."""
        block = self.matrix[self._position(part)]
        if sparse.issparse(block):
            block = block.toarray()
        rows = to_tensor(block, self.dtype, self.device)
        self._check(rows, part)
        # Not in place: it may be a view of the user's matrix.
        return rows if self.bounds is None else rows.clamp(*self.bounds)
