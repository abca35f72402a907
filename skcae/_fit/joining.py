"""Rows with and without labels under each other, in frames of any library too."""

import sys
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from scipy import sparse

from skcae._encoders.containers import as_array, as_table
from skcae._encoders.namespaces import is_dispatched, like, on_host, tensor_of


def join_polars(above: Any, below: Any) -> Any:
    """Join frames whose columns may be of other types, but not numbers and text."""
    frame = sys.modules["polars"].concat([above, below], how="vertical_relaxed")
    for name, kind in frame.schema.items():
        kinds = [above.schema[name], below.schema[name]]
        if len({is_text_in_polars(kind) for kind in [kind, *kinds]}) > 1:
            raise TypeError(
                f"Column {name!r} is {kinds[0]} in X, but {kinds[1]} in X_unlabeled. "
                "Cast one of them."
            )
    return frame


def is_text_in_polars(kind: Any) -> bool:
    """Whether values of this type are neither numbers nor true or false."""
    return not kind.is_numeric() and kind != sys.modules["polars"].Boolean


def join_arrow(above: Any, below: Any) -> Any:
    """Join tables, or batches of records, which scikit-learn knows no names of."""
    pyarrow = sys.modules["pyarrow"]
    tables = [as_table(rows) for rows in (above, below)]
    table = pyarrow.concat_tables(tables, promote_options="permissive")
    if isinstance(above, pyarrow.Table):
        return table
    return table.combine_chunks().to_batches()[0]


#: How the frames of each library are joined.
JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "dask": lambda X, U: sys.modules["dask.dataframe"].concat([X, U]),
    "pandas": lambda X, U: sys.modules["pandas"].concat([X, U], ignore_index=True),
    "polars": join_polars,
    "pyarrow": join_arrow,
}


def check_same_kind(X: Any, X_unlabeled: Any) -> None:
    """Refuse to join the rows of a frame with those of anything else."""
    both = (X, X_unlabeled)
    if not any(map(is_frame, both)):
        return
    libraries = set(map(library_of, both))
    if len(libraries) > 1 or not all(map(is_frame, both)):
        raise TypeError(
            f"X_unlabeled must be of the same kind as X, but X is a {kind_of(X)} and "
            f"X_unlabeled a {kind_of(X_unlabeled)}. Convert one of them."
        )
    if not libraries <= JOINS.keys():
        raise TypeError(
            f"X is a {kind_of(X)}, which cannot be joined with X_unlabeled: pass both "
            f"as arrays, or as frames of one of {', '.join(JOINS)}."
        )


def joined(X: Any, X_unlabeled: Any) -> Any:
    """Put the rows of two matrices, or of two frames, under each other."""
    if sparse.issparse(X) or sparse.issparse(X_unlabeled):
        return sparse.vstack([X, X_unlabeled], format="csr")
    if is_dispatched(X):
        above = tensor_of(X)
        below = torch.from_numpy(np.asarray(on_host(X_unlabeled)))
        # To the wider type of both.
        return like(torch.cat([above, below.to(above.device)]), X)
    if not is_frame(X):
        return joined_arrays(X, on_host(X_unlabeled))
    check_same_names(names_of(X), names_of(X_unlabeled))
    library = library_of(X)
    try:
        return JOINS[library](X, X_unlabeled)
    except Exception as error:
        if library_of(error) != library:
            raise
        raise TypeError(f"X_unlabeled cannot be joined to X: {error}") from error


def joined_arrays(X: Any, X_unlabeled: Any) -> Any:
    """Join rows that are no frame's: lists of whatever stay lists."""
    both = (X, X_unlabeled)
    are_lists = [isinstance(rows, list | tuple) for rows in both]
    if all(are_lists):
        return [*X, *X_unlabeled]
    if any(getattr(getattr(rows, "dtype", None), "kind", "") == "O" for rows in both):
        # Numbers beside text stay numbers.
        return np.concatenate([np.asarray(rows, dtype=object) for rows in both])
    return np.concatenate([as_array(rows) for rows in both])


def check_same_names(names: list[Any], others: list[Any]) -> None:
    """Refuse columns that scikit-learn knows no names of, if these differ."""
    for k, (name, other) in enumerate(zip_longest(names, others)):
        if name != other:
            raise ValueError(
                "X_unlabeled must have the columns of X in their order, but column "
                f"{k} is {name!r} in X and {other!r} in X_unlabeled."
            )


def names_of(frame: Any) -> list[Any]:
    """Return the names of a frame's columns."""
    return list(getattr(frame, "column_names", frame.columns))


def is_frame(X: Any) -> bool:
    """Whether something has columns."""
    return hasattr(type(X), "columns")


def library_of(value: Any) -> str:
    """Return the library that an object, or the class that its own is from, is of."""
    packages = [cls.__module__.partition(".")[0] for cls in type(value).__mro__]
    return next((name for name in packages if name in JOINS), packages[0])


def kind_of(value: Any) -> str:
    """Name the type of an object with its library, unless that is Python itself."""
    name, library = type(value).__name__, library_of(value)
    return name if library == "builtins" else f"{library}.{name}"
