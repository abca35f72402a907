"""Writing and reading models, and taking weights out and putting them in."""

import os
from importlib import import_module
from typing import Any
from zipfile import ZIP_STORED

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skcae._core.data.arrays import Array
from skcae._core.data.disk import write_whole
from skcae._core.data.threads import OneAtATime
from skcae._core.extras import imported
from skcae.persistence._archive import TRUSTED, check_archive
from skcae.persistence._integrity import check_model
from skcae.persistence._written import as_written, check_keys, check_names

# The attribute of a checkpoint that tells its data from others.
DATA = "_checkpointed_data"


# NumPy reads an array's header with Python's own parser, which before Python 3.13 can
# fail where another thread parses too.
READING = OneAtATime()


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write an estimator to a file, without pickle.

    The file appears as a whole or not at all: what was there before stays until the new
    one is on the disk, and of several writers one has the last word. Behind a symbolic
    link its target is written, and a file that is there leaves its mode to the new one.
    Who is killed in the midst of a write leaves a file beside it, ``.skcae-*.part``.

    Parameters
    ----------
    estimator : estimator
        An estimator of skcae, or any that skops can write, such as a pipeline. Its
        callbacks are left out. Of a search write `best_estimator_`.

    path : str or path-like
        Where to.

    Raises
    ------
    ImportError
        If skops is not installed.
    TypeError
        If a part of the estimator cannot be written, or could not be read again.
    ValueError
        If the estimator is none, or one of ours in it is not whole, or has parameters
        that do not go together.
    OSError
        If the file cannot be written. What was there before is then still there.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.persistence import load, save
    >>> X = np.random.default_rng(0).random((50, 8))
    >>> cae = ContractiveAutoencoder(4, max_iter=20, tol=0.1, random_state=0).fit(X)
    >>> with TemporaryDirectory() as folder:
    ...     save(cae, Path(folder) / "cae.skops")
    ...     again = load(Path(folder) / "cae.skops")
    >>> np.array_equal(again.transform(X), cae.transform(X))
    True
    """
    bare = as_written(estimator)
    check_model(bare)
    check_names(bare)
    check_keys(bare)
    data = _skops().dumps(bare, compression=ZIP_STORED)
    write_whole(path, data)


def load(path: str | os.PathLike[str], *, trusted: list[str] | None = None) -> Any:
    """Read an estimator that `save` has written.

    Whoever made the file cannot make it run anything: only objects of scikit-learn's,
    NumPy's and skcae's types are built, and the models among them are checked.

    Parameters
    ----------
    path : str or path-like
        Where from.

    trusted : list of str, default=None
        Further types to be trusted, by their full names, for pipelines with steps from
        elsewhere, and for those of scikit-learn's whose content can crash a process,
        such as trees.

    Returns
    -------
    estimator : estimator
        A new object.

    Raises
    ------
    ImportError
        If skops is not installed.
    OSError
        If the file cannot be opened.
    TypeError
        If the file holds objects of types that are not trusted.
    ValueError
        If the file is cut off, damaged, unpacks to far more than its size, or holds no
        model.

    Examples
    --------
    See `save`.
    """
    estimator = read(path, trusted)
    vars(estimator).pop(DATA, None)  # which it may be fitted anew without
    if hasattr(estimator, "_leave_midst"):
        estimator._leave_midst()
    return estimator


def read(path: str | os.PathLike[str], trusted: list[str] | None) -> Any:
    """Read an estimator with what a checkpoint knows of its data."""
    skops = _skops()
    untrusted = import_module("skops.io.exceptions").UntrustedTypesFoundException
    with open(path, "rb") as file:
        try:
            check_archive(file)
            with READING.lock:
                estimator = skops.load(file, trusted=[*TRUSTED, *(trusted or [])])
            check_model(estimator)
        except untrusted as error:
            raise TypeError(
                f"{os.fspath(path)!r} was not loaded: {error} If you know where it "
                "comes from, pass their names as trusted."
            ) from error
        # A damaged file may break anything in the reading of it.
        except Exception as error:
            raise ValueError(
                f"{os.fspath(path)!r} is damaged or holds no model of skcae: "
                f"{type(error).__name__}: {error}"
            ) from error
    return estimator


def get_weights(estimator: Any) -> dict[str, Array]:
    """Return the weights of a fitted estimator, for a file without code of any kind.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of skcae.

    Returns
    -------
    weights : dict of ndarray
        Copies, under the names that the attributes have. Those of a stack's layers
        begin with "0.", "1." and so on, and so do a fine-tuned network's.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no autoencoder or fine-tuned network of skcae.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from sklearn.base import clone
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.persistence import get_weights, set_weights
    >>> X = np.random.default_rng(0).random((50, 8))
    >>> cae = ContractiveAutoencoder(4, max_iter=20, tol=0.1, random_state=0).fit(X)
    >>> file = io.BytesIO()
    >>> np.savez(file, **get_weights(cae))
    >>> with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as weights:
    ...     again = set_weights(clone(cae), weights)
    >>> np.array_equal(again.transform(X), cae.transform(X))
    True
    """
    check_is_fitted(estimator)
    check_has_weights(estimator)
    weights: dict[str, Array] = estimator._named_weights()
    return {name: np.array(array, order="C") for name, array in weights.items()}


def set_weights(estimator: Any, weights: Any) -> Any:
    """Make an estimator the fitted model that has these weights.

    The activation and the loss are those of its parameters, and the numbers of units
    must be, too. Training can go on from it, with a fresh solver.

    Parameters
    ----------
    estimator : estimator
        An autoencoder or a `StackedCAE`; or a fitted `FineTunedClassifier` or
        `FineTunedRegressor`, whose classes and preprocessing stay.

    weights : mapping of str to array-like
        As `get_weights` gives them: a dictionary, an open npz file, or what
        `safetensors.numpy.load_file` returns.

    Returns
    -------
    estimator : estimator
        The same object.

    Raises
    ------
    NotFittedError
        If the estimator is a fine-tuned one and not fitted.
    TypeError
        If it is no autoencoder or fine-tuned network of skcae.
    ValueError
        If names are missing or unknown, or an array has another shape or type or is not
        finite. The estimator is then what it was before.

    Examples
    --------
    See `get_weights`.
    """
    check_has_weights(estimator)
    estimator._put_weights({name: np.asarray(weights[name]) for name in weights})
    return estimator


def check_has_weights(estimator: Any) -> None:
    """Refuse what is not made of named weights."""
    if not hasattr(type(estimator), "_named_weights"):
        raise TypeError(
            f"A {type(estimator).__name__} has no named weights: give the autoencoder "
            "or the fine-tuned network of skcae that is in it, if there is one, such "
            "as a step of a pipeline or the encoder_ of a PatchEncoder."
        )


def _skops() -> Any:
    return imported("skops.io", extra="io", for_what="A model in a file")
