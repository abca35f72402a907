"""Training data: an array, or batches that are validated as they are read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import _num_samples

from skcae._core.data.arrays import working_dtype
from skcae._core.data.moments import Moments, moments_of
from skcae._core.data.rows import Rows
from skcae._encoders.containers import batches_of, is_stream
from skcae._encoders.namespaces import on_host
from skcae._fit.data import (
    CheckedData,
    check_bounds,
    check_data,
    check_X,
    columns_of,
    naming,
    scratch_of,
)
from skcae.losses import LOSSES


@dataclass(eq=False)
class Stream:
    """Batches of rows that are validated each time that they are read.

    Parameters
    ----------
    source : object
        What `is_stream` takes for one.
    estimator : estimator
        A copy of the one that is fitted. It learns the columns from the first batch,
        unless it knows them.
    loss : str
        Its loss.
    knows_columns : bool
        Whether the data must have the columns of an earlier fit.

    Attributes
    ----------
    shape : (int, int)
        Of all the data, from a first pass over it.
    moments : Moments
        Of its columns, from the same pass.
    dtype : dtype
        The widest of all batches.
    """

    source: Any
    estimator: Any
    loss: str
    knows_columns: bool
    dtype: np.dtype[Any] = field(default=np.dtype(np.float64), init=False)
    moments: Moments = field(init=False)
    shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._n_rows: int | None = None
        self.shape = self._look_through()
        self._n_rows = self.shape[0]

    def _look_through(self) -> tuple[int, int]:
        """Read all batches once."""
        if isinstance(self.source, Iterator):
            raise ValueError(
                "X is an iterator, which gives its batches only once, but a fit reads "
                "them once for each epoch. Pass an object whose __iter__ begins anew "
                "each time, or give each batch to partial_fit."
            )
        n_rows = 0
        for rows in self:
            known = rows.dtype if n_rows == 0 else self.dtype
            self.dtype = np.promote_types(known, rows.dtype)
            moments = moments_of(
                Rows(
                    rows,
                    dtype=working_dtype(rows.dtype),
                    device=torch.device("cpu"),
                    name=batch_name(n_rows, rows.shape[0]),
                )
            )
            self.moments = self.moments + moments if n_rows else moments
            n_rows += rows.shape[0]
        if n_rows == 0:
            raise ValueError("X gave no batch with rows in it. At least 1 is needed.")
        return n_rows, int(self.estimator.n_features_in_)

    def __iter__(self) -> Iterator[Any]:
        first = 0
        for batch in batches_of(self.source):
            rows = on_host(rows_of(batch))
            with naming(f"The batch of X after its first {first} rows"):
                n = _num_samples(rows)
            if n == 0:
                continue
            with naming(batch_name(first, n)):
                rows = check_X(self.estimator, rows, reset=not self.knows_columns)
                check_bounds(rows, self.loss)
            self.knows_columns = True
            first += n
            self._check_count(first, is_last=False)
            yield rows
        self._check_count(first, is_last=True)

    def _check_count(self, seen: int, *, is_last: bool) -> None:
        """Refuse a source that has not the same number of rows each time."""
        n_rows = self._n_rows
        if n_rows is not None and (seen > n_rows or (is_last and seen < n_rows)):
            raise ValueError(
                f"X had {n_rows} rows when it was first read, but now it has "
                f"{seen if is_last else f'at least {seen}'}: it must give all its rows "
                "each time that it is iterated over."
            )


def batch_name(first: int, n: int) -> str:
    """Name the batch that has so many rows of X, from this one on."""
    return f"Rows {first} to {first + n - 1} of X, which came as one batch,"


def rows_of(batch: Any) -> Any:
    """Return the rows of a batch that may have more with them, as loaders give."""
    if isinstance(batch, Mapping):
        raise TypeError(
            f"X gave a batch that is a {type(batch).__name__} with the keys "
            f"{list(batch)}, of which it is not clear which has the rows. Give the "
            "matrix alone, as by an object whose __iter__ returns (batch[key] for "
            "batch in loader), or a pair of rows and labels."
        )
    if not (isinstance(batch, (tuple, list)) and batch and np.ndim(batch[0]) >= 2):
        return batch
    if len(batch) > 2 and all(np.ndim(part) == 2 for part in batch):
        raise ValueError(
            f"X gave a batch of {len(batch)} matrices, of which it is not clear which "
            "has the rows. Give one matrix, or a pair of rows and labels."
        )
    return batch[0]


def check_training_data(
    estimator: Any, X: Any, sample_weight: Any, *, loss: str, continues: bool
) -> CheckedData:
    """Validate the data of a fit without changing the estimator."""
    if not is_stream(X):
        return check_data(estimator, X, sample_weight, loss=loss, continues=continues)
    if sample_weight is not None:
        raise ValueError(
            "sample_weight goes with an array, but X gives its rows in batches. Pass "
            "an array, such as a numpy.memmap, or repeat rows in the batches."
        )
    scratch = scratch_of(estimator, continues=continues)
    stream = Stream(X, scratch, loss, knows_columns=continues)
    return CheckedData(
        stream,
        None,
        columns_of(scratch),
        continues,
        n_earlier=len(getattr(estimator, "loss_curve_", ())) if continues else 0,
        clip_to=LOSSES[loss].bounds,
    )
