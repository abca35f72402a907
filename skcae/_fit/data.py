"""Checks of what users pass, with errors that say what to do."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_array,
    validate_data,
)
from torch import Tensor

from skcae._core.data.arrays import Array, finite_range, is_on_disk, working_dtype
from skcae._core.training.ranks import ALONE, Ranks
from skcae._encoders.containers import check_is_read, opened
from skcae._encoders.missing import naming_cure
from skcae._encoders.namespaces import on_host, received
from skcae.losses import LOSSES

# How far data may leave a loss's bounds before it is refused: MinMaxScaler itself
# overshoots by a unit in the last place.
ROUNDING = {
    np.float16: 2e-3,
    np.float32: 1e-6,
    torch.bfloat16: 1e-2,
    torch.float16: 2e-3,
    torch.float32: 1e-6,
}
ROUNDING_OTHERWISE = 1e-9

# Rows of so few numbers are looked at before scikit-learn's validation is asked.
FEW_NUMBERS = 2**16

# What scikit-learn's validation learns of the data's columns.
COLUMN_ATTRIBUTES = ("n_features_in_", "feature_names_in_")


@dataclass(frozen=True)
class FitData:
    """What a call of `fit` passes, as the user has it."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    X_val: Any = None
    sample_weight_val: Any = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What callbacks are told of beside X and y, if there is any."""
        weights = self.sample_weight
        return {} if weights is None else {"sample_weight": weights}


@dataclass(frozen=True)
class CheckedData:
    """Validated data for one call of `fit` or `partial_fit`.

    Parameters
    ----------
    X : ndarray, tensor or CSR matrix of shape (n_samples, n_features)
        The data.
    sample_weight : ndarray of shape (n_samples,) or None
        Its weights.
    columns : dict
        The fitted attributes that describe the columns.
    continues : bool
        Whether training goes on from the fitted model.
    n_earlier : int
        The epochs in that model's record which came before this training.
    clip_to : (float, float) or None
        The bounds of the loss, if X leaves them by rounding, or may do so.
    margin : float or None
        By how much, if that is to be seen when X is read.
    """

    X: Any
    sample_weight: Array | None
    columns: dict[str, Any]
    continues: bool
    n_earlier: int = 0
    clip_to: tuple[float, float] | None = None
    margin: float | None = None


def check_X(estimator: Any, X: Any, *, reset: bool = False) -> Any:
    """Validate a data matrix; numbers of any type stay what they are.

    They are cast a batch at a time, so that a memory-mapped matrix of integers, say, is
    never copied as a whole. An array that is dispatched becomes a tensor.
    """
    if not reset and is_plain(estimator, X):
        return X
    check_is_read(X)
    with naming_cure(getattr(estimator, "_imputed_before", type(estimator).__name__)):
        X, dtype = received(X)
        X = rows_for(estimator, X)
        X = validate_data(
            estimator,
            X,
            accept_sparse="csr",
            dtype=dtype,
            # What lies on a disk is looked at when it is read.
            ensure_all_finite=not (dtype == "numeric" and is_on_disk(X)),
            reset=reset,
        )
    if sparse.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def is_plain(estimator: Any, X: Any) -> bool:
    """Tell whether X is a small array of finite floats with the fitted columns.

    There is nothing to say about it then: to ask scikit-learn's validation takes longer
    than to encode a row. It does not know of names of columns.
    """
    known = vars(estimator)
    return (
        type(X) is np.ndarray
        and X.dtype in (np.float64, np.float32)
        and X.ndim == 2
        and X.shape[1] == known.get("n_features_in_")
        and 0 < X.size <= FEW_NUMBERS
        and "feature_names_in_" not in known
        and bool(np.isfinite(X).all())
    )


def check_names(estimator: Any, X: Any, *, reset: bool = False) -> Any:
    """Validate the columns of a matrix or frame, whatever is in them."""
    check_is_read(X)
    return validate_data(estimator, X, reset=reset, skip_check_array=True)


def rows_for(estimator: Any, X: Any) -> Any:
    """Return X with a row for each sample, as of images where an estimator has any."""
    return getattr(estimator, "_as_rows", flat)(X)


def flat(X: Any) -> Any:
    """Return X, whose rows must not be images or sequences.

    Raises
    ------
    ValueError
        If X has more than two dimensions.
    """
    n_dimensions = getattr(X, "ndim", 2)
    if n_dimensions > 2:
        raise ValueError(
            f"X has dim {n_dimensions}, while dim <= 2 is required: each row is the "
            "features of one sample. Make a row of each image or sequence, as by "
            "X.reshape(len(X), -1)."
        )
    return X


def check_codes(estimator: Any, X: Any) -> Any:
    """Validate codes to be decoded: as many columns as the estimator gives."""
    X, dtype = received(X)
    H = check_array(X, dtype=dtype, input_name="X")
    if H.shape[1] != estimator._n_features_out:
        raise ValueError(
            f"X has {H.shape[1]} columns, but the codes of this "
            f"{type(estimator).__name__} have {estimator._n_features_out}."
        )
    return H


@contextmanager
def naming(arguments: str) -> Iterator[None]:
    """Say in what a check raises which arguments were checked."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{arguments} cannot be used: {error}") from error


def check_weights(
    sample_weight: Any, X: Any, *, name: str = "sample_weight", all_zero: bool = False
) -> Array | None:
    """Validate sample weights: one finite number per row, none negative."""
    if sample_weight is None:
        return None
    if not isinstance(sample_weight, Real):
        sample_weight, _ = opened(on_host(sample_weight), name)
    # Of X only the number of rows matters, not where they are.
    like_rows = np.empty(_num_samples(X))
    weights: Array = _check_sample_weight(
        sample_weight, like_rows, dtype=np.float64, allow_all_zero_weights=all_zero
    )
    if weights.min() < 0:
        raise ValueError(
            f"{name} must not be negative, but its smallest value is "
            f"{weights.min():g}. Use 0 to leave a row out."
        )
    return weights


def check_range(name: str, values: Array, dtype: np.dtype[Any]) -> None:
    """Refuse targets or weights that are infinite in the precision of the data."""
    largest = float(np.abs(values).max(initial=0))
    if largest > finite_range(dtype)[1]:
        raise ValueError(
            f"{name} reaches {largest:g}, which is infinite in {dtype.name}, the "
            "precision of X. Scale it, as the y of a regressor by a "
            "TransformedTargetRegressor, or pass X as float64."
        )


def check_data(
    estimator: Any,
    X: Any,
    sample_weight: Any,
    *,
    loss: str,
    continues: bool,
    all_zero: bool = False,
) -> CheckedData:
    """Validate training data without changing the estimator.

    A copy of the estimator learns the columns, so that a fit that fails later leaves
    the estimator as it was.
    """
    scratch = scratch_of(estimator, continues=continues)
    X = check_X(scratch, X, reset=not continues)
    weights = check_weights(sample_weight, X, all_zero=all_zero)
    if all_zero and weights is not None:  # they are used as they are
        check_range("sample_weight", weights, working_dtype(X.dtype))
    n_earlier = len(getattr(estimator, "loss_curve_", ())) if continues else 0
    data = CheckedData(X, weights, columns_of(scratch), continues, n_earlier)
    if is_on_disk(X):
        return replace(data, clip_to=LOSSES[loss].bounds, margin=rounding_of(X))
    return replace(data, clip_to=check_bounds(X, loss))


def scratch_of(estimator: Any, *, continues: bool) -> Any:
    """Return a copy that may learn the columns.

    Unless training goes on from it, what was fitted before does not matter to it.
    """
    scratch = copy.copy(estimator)
    if not continues:
        vars(scratch).pop("_fitted_structure", None)
    return scratch


def check_same_rows(n_rows: int, n_now: int) -> None:
    """Refuse to take a training up on other rows, as far as their number tells."""
    if n_now != n_rows:
        raise ValueError(
            f"The checkpoint is of a training on {n_rows} rows, but X and "
            f"sample_weight now leave {n_now}. Pass the same data, with X_val if there "
            "was one and without if there was none, or fit anew."
        )


def columns_of(estimator: Any) -> dict[str, Any]:
    """Return the fitted attributes that describe the columns."""
    known = vars(estimator)
    return {name: known[name] for name in COLUMN_ATTRIBUTES if name in known}


def rows_with_weight(weights: Array | None) -> slice | Array:
    """Return the rows of positive weight: one of weight 0 is no row."""
    if weights is None or weights.all():
        return slice(None)
    return np.flatnonzero(weights)


def has_weight(weights: Array | None) -> bool:
    """Tell whether there is any row to learn from."""
    return weights is None or bool(weights.any())


def draw_seed(random_state: Any) -> int:
    """Draw the seed of a fit; None gives a fresh one and touches no global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def normalized(
    weights: Array | None, rows: Array | slice, ranks: Ranks = ALONE
) -> Array | None:
    """Rescale weights so that their mean over these rows, of all ranks, is 1.

    Either all ranks have weights or none has.
    """
    if weights is None:
        return None
    # The largest first, so that the sum of huge weights does not overflow.
    scaled: Array = weights / max(ranks.gather(float(weights[rows].max())))
    totals = ranks.gather((float(scaled[rows].sum()), len(scaled[rows])))
    scaled /= sum(total for total, _ in totals) / sum(n for _, n in totals)
    return scaled


def check_bounds(X: Any, loss: str) -> tuple[float, float] | None:
    """Refuse data that leaves the bounds of the loss by more than rounding.

    Returns the bounds if the data leaves them by less, so that it must be clipped.
    """
    bounds = LOSSES[loss].bounds
    if bounds is None:
        return None
    low, high = bounds
    if sparse.issparse(X):
        smallest, largest = X.data.min(initial=0), X.data.max(initial=0)
    else:
        smallest, largest = X.min(), X.max()
    excess = max(low - float(smallest), float(largest) - high)
    if excess > rounding_of(X):
        raise ValueError(
            f"loss={loss!r} needs X in [{low:g}, {high:g}], but X ranges from "
            f"{float(smallest)!r} to {float(largest)!r}. Put a MinMaxScaler before the "
            "autoencoder, or use loss='squared_error'."
        )
    return bounds if excess > 0 else None


def rounding_of(X: Any) -> float:
    """Return how far data may leave the bounds of a loss."""
    kind = X.dtype if isinstance(X, Tensor) else X.dtype.type
    return ROUNDING.get(kind, ROUNDING_OTHERWISE)


def check_n_features(X: Any, n_features: int) -> None:
    """Refuse data that the encoder's first layer cannot take."""
    if X.shape[1] != n_features:
        raise ValueError(
            f"The encoder was fitted on {n_features} features, but it is given "
            f"{X.shape[1]}."
        )
