"""A short text that tells the data of a training from other data."""

import hashlib
from typing import Any

import numpy as np
from scipy import sparse

from skcae._core.data.arrays import Array, is_on_disk
from skcae._core.data.rows import row_slices

# So many rows of an array on a disk, from all over it, stand for all.
ROWS_ON_DISK = 100


def fingerprint(X: Any) -> str:
    """Return a text that differs with the type, the shape, any value or their order.

    Of data on a disk only some rows are read. Where values are in memory, and whether
    by rows or by columns, makes no difference.
    """
    arrays: tuple[Array, ...]
    digest = hashlib.blake2b(digest_size=16)
    if sparse.issparse(X):
        arrays = X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)
    elif is_on_disk(X):
        arrays = (X[:: max(1, len(X) // ROWS_ON_DISK)],)
    else:
        arrays = (X,)
    for array in arrays:
        _add(digest, array)
    kind = "sparse " if sparse.issparse(X) else ""
    return f"{kind}{X.dtype.newbyteorder('=')} of shape {X.shape}, {digest.hexdigest()}"


def _add(digest: Any, array: Array) -> None:
    """Add the values of an array, without a copy of all of it."""
    native = array.dtype.newbyteorder("=")
    for part in row_slices(len(array), max(1, array[:1].size)):
        digest.update(np.ascontiguousarray(array[part], dtype=native).data)
