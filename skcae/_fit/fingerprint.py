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
    kind = f"{X.dtype.newbyteorder('=')} of shape {X.shape}"
    if sparse.issparse(X):
        arrays = X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)
        return f"sparse {kind}: {_digest(*arrays)}"
    some = _digest(X[:: max(1, len(X) // ROWS_ON_DISK)])
    return f"{kind}: {some}" if is_on_disk(X) else f"{kind}: {some} {_digest(X)}"


def are_alike(one: str, other: str) -> bool:
    """Tell whether two texts may be of the same data, by what both have looked at."""
    (kind, _, mine), (its_kind, _, its) = (t.partition(": ") for t in (one, other))
    both = zip(mine.split(), its.split(), strict=False)
    return kind == its_kind and all(a == b for a, b in both)


def _digest(*arrays: Array) -> str:
    """Digest the values of arrays, without a copy of all of one."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        native = array.dtype.newbyteorder("=")
        for part in row_slices(len(array), max(1, array[:1].size)):
            digest.update(np.ascontiguousarray(array[part], dtype=native).data)
    return digest.hexdigest()
