"""Rows that are kept as their stored entries, and products with them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from skcae._core.data.arrays import Array


@dataclass(frozen=True)
class SparseRows:
    """Rows X of which only some columns have entries, on the processor.

    Parameters
    ----------
    columns : ndarray of int, shape (m,)
        Those that have an entry, in order.
    entries : CSR array of shape (n, m)
        What is stored in them.
    n_features : int
        The number d of all columns.
    """

    columns: Array
    entries: Any
    n_features: int

    @classmethod
    def of(cls, X: Any) -> "SparseRows":
        """Return the rows of a CSR matrix."""
        n, d = X.shape
        has_entry = np.zeros(d, bool)
        has_entry[X.indices] = True
        columns = np.flatnonzero(has_entry)
        # Where each of the columns stands among them.
        place = np.empty(d, X.indices.dtype)
        place[columns] = np.arange(len(columns))
        parts = (X.data, place[X.indices], X.indptr)
        return cls(columns, sparse.csr_array(parts, shape=(n, len(columns))), d)

    def __len__(self) -> int:
        return int(self.entries.shape[0])

    def with_columns(self, others: Array) -> "SparseRows":
        """Return the same rows with further columns behind, without an entry."""
        e, columns = self.entries, np.append(self.columns, others)
        parts = (e.data, e.indices, e.indptr)
        wide = sparse.csr_array(parts, shape=(len(self), len(columns)))
        return SparseRows(columns, wide, self.n_features)

    def push(self, W: Tensor) -> Tensor:
        """Return X Wᵀ, (n, h), for W of shape (h, d)."""
        # Of W the columns that meet an entry: few rows read little of it.
        return torch.from_numpy(self.entries @ W.numpy()[:, self.columns].T)

    def squared_norms(self) -> Tensor:
        """Return ‖x‖² of each row, (n,), in float64."""
        squares = np.square(self.entries.data, dtype=np.float64)
        row = np.repeat(np.arange(len(self)), np.diff(self.entries.indptr))
        return torch.from_numpy(np.bincount(row, squares, len(self)))

    def ones(self) -> Tensor:
        """Return 1 for each row, (n,), in float64."""
        return torch.ones(len(self), dtype=torch.float64, device="cpu")
