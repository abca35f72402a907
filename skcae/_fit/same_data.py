"""Whether a fit is taken up on the data that it began with."""

import hashlib
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import _num_samples

from skcae._encoders.containers import is_stream
from skcae._fit.data import check_same_rows
from skcae._fit.fingerprint import are_alike, fingerprint

N_ROWS = "number of rows"


def fingerprints(
    estimator: Any, X: Any, y: Any, metadata: dict[str, Any], *, reset: bool
) -> dict[str, str] | None:
    """Return the fingerprints of the data of a fit; None if it comes in batches.

    `reset` is False where the estimator knows the columns.
    """
    if is_stream(X):
        return None
    data = estimator._data_of_fit(X, y, **metadata, reset=reset)
    n_rows = str(_num_samples(data["X"]))
    return {name: text_of(part) for name, part in data.items()} | {N_ROWS: n_rows}


def text_of(data: Any) -> str:
    """Return a text that tells data from other data, numbers or what else they are."""
    if data is None:
        return "None"
    if sparse.issparse(data):
        return fingerprint(sparse.csr_array(data))
    try:
        values = np.asarray(data)
    except ValueError:  # lists of several lengths
        values = np.asarray(data, dtype=object)
    if values.dtype.kind in "biuf":
        return fingerprint(values)
    # By what each value is, and not by which objects are one and the same.
    digest = hashlib.blake2b(digest_size=16)
    for value in values.astype(object).flat:
        digest.update(f"{type(value).__name__} {value!r}\n".encode())
    return f"{type(data).__name__} of shape {values.shape}: {digest.hexdigest()}"


def check_same_data(then: Any, now: dict[str, str] | None) -> None:
    """Refuse to take a training up on other data than a checkpoint was made of."""
    if then is None or now is None:  # of an earlier release, or in batches
        return
    has_names = type(then) is dict and then.keys() == now.keys()
    are_texts = has_names and all(type(text) is str for text in then.values())
    if not are_texts or not then[N_ROWS].isdecimal():
        raise ValueError("The checkpoint is damaged in what it knows of its data.")
    check_same_rows(int(then[N_ROWS]), int(now[N_ROWS]))
    for name, text in now.items():
        if not are_alike(then[name], text):
            before, after = (t.partition(": ")[0] for t in (then[name], text))
            difference = (
                f"was {before} and is {after}"
                if before != after
                else "has other values, or its rows in another order"
            )
            raise ValueError(
                f"The checkpoint is of a training on other data: {name} {difference}. "
                "Pass the same data, or fit anew."
            )
