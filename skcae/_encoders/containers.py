"""What rows may come in: frames, tensors, lists, arrays, batches; and what is none."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date, time, timedelta
from typing import Any, cast

import narwhals.stable.v2 as nw
import numpy as np
from scipy import sparse
from torch import Tensor, strided
from torch.utils.data import Dataset

from skcae._core.data.arrays import Array, array_of

# What becomes a number where nobody looks; pandas' own kinds derive from them.
DATES = (np.datetime64, np.timedelta64, date, time, timedelta)

# The kinds of NumPy's dtypes that are real numbers.
NUMBERS = "fiub"
# What an array that is no array of numbers is to become.
FLOATS = (np.float64, np.float32)


def check_is_read(X: Any) -> None:
    """Refuse what has rows to give, but is not their matrix.

    Raises
    ------
    TypeError
        If it gives them in batches, one by one, or when it is asked to.
    """
    kind = type(X).__name__
    if is_stream(X):
        raise TypeError(
            f"X is a {kind}, which gives its rows in batches: only as X of "
            "fit does an autoencoder or a StackedCAE take them so. Pass an array, or "
            "each batch by itself. For a Pipeline, fit the encoder before, and put it "
            "there in a FrozenEstimator."
        )
    if isinstance(X, Dataset):
        raise TypeError(
            f"X is a {kind}, which gives its rows one by one. Pass their matrix, or to "
            "the fit of an autoencoder or a StackedCAE "
            "torch.utils.data.DataLoader(X, batch_size=1000)."
        )
    if nw.dependencies.is_polars_lazyframe(X):
        raise TypeError(
            f"X is a {kind}, whose rows are not computed yet. Pass X.collect()."
        )


def is_stream(X: Any) -> bool:
    """Tell whether X gives its rows in batches, and is no array of any kind."""
    if isinstance(X, np.ndarray):
        return False
    if _is_dask(X) or _is_dataset(X):
        return True
    is_array = hasattr(X, "shape") or hasattr(X, "__array__")
    # A list of rows is a matrix to NumPy, and a text no data at all.
    is_collection = isinstance(X, (Sequence, Set, Mapping, str, bytes))
    return isinstance(X, Iterable) and not is_array and not is_collection


def _is_dask(X: Any) -> bool:
    """Tell whether X is one of Dask's arrays, which compute their blocks."""
    return hasattr(X, "numblocks") and hasattr(X, "blocks")


def _is_dataset(X: Any) -> bool:
    """Tell whether X is one of Arrow's datasets, which are not tables in memory."""
    return hasattr(X, "to_batches") and not hasattr(X, "shape")


def batches_of(X: Any) -> Iterator[Any]:
    """Go through the batches of a stream, from its start."""
    if _is_dask(X):
        for number in range(X.numblocks[0]):
            yield X.blocks[number].compute()
    else:
        yield from X.to_batches() if _is_dataset(X) else X


def opened(X: Any, name: str = "X") -> tuple[Any, Any]:
    """Return X as scikit-learn's checks read it, and the dtype they are to give it.

    Numbers keep their precision, whatever they come in. What is missing is NaN, for the
    checks to refuse.

    Raises
    ------
    TypeError
        If there are dates or times in it.
    ValueError
        If there is something else in a column of a frame that is no number.
    """
    if type(X) is np.ndarray and X.dtype.kind in NUMBERS:
        return X, "numeric"
    X = computed(X)
    # A frame is asked column by column: as an array it might be all objects.
    frame = as_frame(X)
    if frame is not None:
        return X, dtype_of(frame, name)
    X = without_mask(as_array(X, name))
    kind = X.dtype.kind
    if kind == "O" and not sparse.issparse(X):
        X = np.asarray(X)
    refuse_dates(X, name)
    if X.dtype.kind == "O" and not sparse.issparse(X):
        return numbers_of(X), FLOATS
    return X, "numeric" if kind in NUMBERS else FLOATS


def computed(X: Any) -> Any:
    """Return a frame of Dask as one of pandas, and anything else as it is."""
    return cast(Any, X).compute() if nw.dependencies.is_dask_dataframe(X) else X


def as_frame(X: Any) -> Any:
    """Return any library's frame as one of narwhals, and None for what is no frame."""
    X = as_table(X)
    return nw.from_native(X) if nw.dependencies.is_into_dataframe(X) else None


def as_table(X: Any) -> Any:
    """Return a batch of Arrow's records as a table, and anything else as it is."""
    # Who has not imported it has no such batch.
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow and isinstance(X, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([X])
    return X


def check_is_dense(tensor: Tensor, name: str) -> None:
    """Refuse torch's sparse tensors, which nothing here reads."""
    if tensor.layout != strided:
        raise TypeError(
            f"{name} is a tensor of layout {tensor.layout}, but must be a dense one, "
            f"or a sparse matrix of scipy. Pass {name}.to_dense()."
        )


def as_array(X: Any, name: str = "X") -> Any:
    """Return what is no array, but holds the numbers of one, as an array."""
    if isinstance(X, Tensor):
        check_is_dense(X, name)
        return array_of(X)
    if isinstance(X, list | tuple) and X and isinstance(X[0], Tensor):
        # NumPy asks each for its numbers, of which it has not all types.
        X = [array_of(row) for row in X]
    if isinstance(X, list | tuple) and X and sparse.issparse(X[0]):
        raise TypeError(
            "X is a list of sparse matrices: join them by scipy.sparse.vstack, or pass "
            "an object whose __iter__ gives one after the other."
        )
    if hasattr(getattr(X, "dtype", None), "kind"):
        return X
    try:
        return np.asarray(X)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(
            f"{name} is a {type(X).__name__} whose parts are not of one shape. Batches "
            "of rows are taken from an object with an __iter__ that gives one after "
            "the other, and not from a list."
        ) from error


def without_mask(X: Any) -> Any:
    """Return a masked array with NaN for what is masked."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if not np.ma.getmaskarray(X).any():
        return X.data
    # Integers have no NaN: they become floats that hold them.
    numbers = X.astype(np.result_type(X.dtype, np.float32))
    return np.ma.filled(numbers, np.nan)


def dtype_of(frame: Any, name: str) -> Any:
    """Return the dtype that a frame's numbers are to have, and refuse anything else."""
    kinds = [
        dtype_of_column(frame, k, kind, name)
        for k, kind in enumerate(frame.schema.values())
    ]
    # Single precision only where it holds what every column has.
    is_single = bool(kinds) and np.result_type(*set(kinds)) == np.float32
    return np.float32 if is_single else FLOATS


def dtype_of_column(
    frame: Any, k: int, kind: nw.dtypes.DType, name: str
) -> np.dtype[Any]:
    """Return the dtype of a column, by what its frame says, or by its values."""
    if kind == nw.Boolean:
        return np.dtype(bool)
    if kind.is_numeric() and kind != nw.Decimal:
        return np.dtype(str(kind).lower())
    what = f"Column {frame.columns[k]!r} of {name}"
    values = np.asarray(frame[:, k].to_native())
    if values.dtype.kind in "fiubc" and values.ndim == 1:
        return values.dtype
    refuse_dates(values, what)
    try:
        numbers = numbers_of(values)
    except (TypeError, ValueError) as error:
        refusal = ValueError if isinstance(error, ValueError) else TypeError
        raise refusal(
            f"{what} cannot be used: {str(error).rstrip('.')}. Make numbers of it, as "
            "by a OneHotEncoder or an OrdinalEncoder in a ColumnTransformer, or leave "
            "it out."
        ) from error
    if numbers.ndim > 1:
        raise ValueError(
            f"{what} has several values in each row. Make a column of each of them, or "
            "leave it out."
        )
    if np.isnan(numbers).any():
        raise ValueError(
            f"Input {name} contains NaN, in its column {frame.columns[k]!r}. Fill in "
            "what is missing, as by a SimpleImputer in a pipeline, or leave it out."
        )
    return numbers.dtype


def numbers_of(values: Array) -> Array:
    """Return objects or strings as numbers, with NaN for what is missing."""
    values = values.astype(object)
    if "pandas" in sys.modules:
        # Its marks of what is missing are neither numbers nor None.
        values = np.where(sys.modules["pandas"].isna(values), np.nan, values)
    return values.astype(np.float64)


def refuse_dates(values: Any, what: str) -> None:
    """Refuse dates, times and spans of time, of which a cast would make numbers."""
    found = [values.dtype.name] if values.dtype.kind in "mM" else []
    if values.dtype.kind == "O":
        pandas = sys.modules.get("pandas")
        types = (*DATES, pandas.Period) if pandas else DATES
        # NaT is a date by its type, but stands for anything that is missing.
        kinds = set(map(type, values.flat)) - {type(getattr(pandas, "NaT", None))}
        found = [kind.__name__ for kind in kinds if issubclass(kind, types)]
    if found:
        raise TypeError(
            f"{what} has dates or times in it ({found[0]}), which are no numbers. Make "
            "numbers of them that mean something, such as the days since one of them, "
            "or leave them out."
        )
