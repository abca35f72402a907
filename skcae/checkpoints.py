"""Checkpoints of a training, and going on from one after a crash."""

import copy
import os
import warnings
from numbers import Integral
from pathlib import Path
from typing import Any

from sklearn.utils.validation import has_fit_parameter

from skcae._core.data.disk import check_can_be_written
from skcae._core.training.ranks import together
from skcae._fit.attributes import OPTIONAL_ATTRIBUTES
from skcae._fit.same_data import check_same_data, fingerprints
from skcae.persistence._files import DATA, read, save

__all__ = ["Checkpoint", "resume"]


class Checkpoint:
    """Callback that writes the training to a file every few epochs.

    After a crash `resume` goes on from the file as if nothing had happened: the fit
    that it completes ends with the same bits. The file holds the weights, the solver's
    state, the generator's, the position in the schedule, the record of early stopping
    and the epoch, and a fingerprint of X and `sample_weight`, and of the labels of a
    network and its rows without any that have tangents. A new one takes the old one's
    place only when it is on the disk, so that a crash at any moment leaves one
    that is whole.

    Parameters
    ----------
    path : str or path-like
        The file. A new fit replaces it.

    every : int, default=1
        Number of epochs from one checkpoint to the next. The end of the fit, and of
        each layer of a stack, is always kept.

    Warns
    -----
    UserWarning
        If the file cannot be written, as on a full disk. The training goes on, and the
        file is what it was.

    See Also
    --------
    resume : Goes on from the file.

    Notes
    -----
    It is set on an autoencoder, a `StackedCAE` or a fine-tuned network, in a pipeline
    too, and not in a search, whose fits would all write to the same file. That of a
    network begins with the first epoch of fine-tuning: pre-training, if it is long, has
    one of its own, or is done before with a `FrozenEstimator` around it. The file is in
    skops' format and can be given to `skcae.persistence.load`: the model is then that
    of the epoch, ready to transform or to predict.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.checkpoints import Checkpoint, resume
    >>> X = np.random.default_rng(0).random((50, 8))
    >>> folder = TemporaryDirectory()
    >>> path = Path(folder.name) / "training.skops"
    >>> cae = ContractiveAutoencoder(4, max_iter=20, tol=0.1, random_state=0)
    >>> cae = cae.set_callbacks(Checkpoint(path, every=5)).fit(X)

    Where that did not come to its end, the same data and the file do:

    >>> again = resume(path, X)
    >>> np.array_equal(again.transform(X), cae.transform(X))
    True
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = path
        self.every = every
        self._data: dict[str, str] | None = None

    def setup(self, estimator: Any, context: Any) -> None:
        """Check what it is set on, before the fit begins.

        Parameters
        ----------
        estimator : estimator
            What is to be fitted.

        context : CallbackContext
            The task of the fit, as scikit-learn tells it to callbacks.

        Raises
        ------
        TypeError
            If the estimator has no checkpoints, or is fitted by a search.
            Or if `path` is no path.
        ValueError
            If `every` is no positive integer, or `path` has characters that the
            system cannot write.
        OSError
            If the file cannot be written: its folder is not there, or the file is one,
            say.
        """
        if not can_be_resumed(estimator):
            raise TypeError(
                "A Checkpoint is for the fit of an autoencoder, a stack or a "
                f"fine-tuned network, not of a {type(estimator).__name__}."
            )
        if _in_search(context):
            raise TypeError(
                "A Checkpoint is one file for one fit, but a search runs many. Set it "
                "on the best estimator, for the fit that follows the search."
            )
        if not isinstance(self.every, Integral) or self.every < 1:
            raise ValueError(f"every={self.every!r} must be a positive integer.")
        self.path = checked_path(self.path)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Leave the file as it is.

        Parameters
        ----------
        estimator, context : object
            Not used.
        """

    def on_fit_task_begin(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any
    ) -> None:
        """Take the fingerprint of the data when the fit begins.

        Parameters
        ----------
        estimator : estimator
            The one that is fitted.

        context : object
            The task, as scikit-learn describes it.

        X : {array-like, sparse matrix} or iterable
            The training data.

        y : array-like or None
            The targets, of a network.

        metadata : dict or None
            The weights of the rows, and rows without a label, if there are any.
        """
        if context.task_name == "fit":
            self._data = fingerprints(estimator, X, y, metadata or {}, reset=True)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any
    ) -> None:
        """Write the file after an epoch whose turn it is, a layer, and the fit.

        Parameters
        ----------
        estimator : estimator
            Not used.

        context : CallbackContext
            The task that has ended.

        fitted_estimator : estimator
            The model as it is then.
        """
        is_due = (context.task_id + 1) % self.every == 0
        name = context.task_name
        if name in ("fit", "layer") or (name == "epoch" and is_due):
            self._write(fitted_estimator)

    def for_layer(self, in_stack: Any) -> "LayerCheckpoint":
        """Return a callback for the epochs of a layer of a stack.

        Parameters
        ----------
        in_stack : callable
            Makes of the layer, as it is, the stack with it.

        Returns
        -------
        callback : callback
            What writes the stack.
        """
        return LayerCheckpoint(self, in_stack)

    def _write(self, model: Any) -> None:
        model = without_absent(model)
        if self._data is not None:
            setattr(model, DATA, self._data)
        try:
            save(model, self.path)
        except OSError as error:
            warnings.warn(
                f"The checkpoint {os.fspath(self.path)!r} could not be written: "
                f"{error}. Training goes on; the file is what it was.",
                UserWarning,
                stacklevel=2,
            )


class LayerCheckpoint:
    """Writes the checkpoint of a stack at the end of a layer's epochs."""

    def __init__(self, checkpoint: Checkpoint, in_stack: Any) -> None:
        self.checkpoint = checkpoint
        self.in_stack = in_stack

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any
    ) -> None:
        """Write the stack with the layer as it is; the stack itself ends the layer."""
        if context.task_name == "epoch":
            stack = self.in_stack(without_absent(fitted_estimator))
            self.checkpoint.on_fit_task_end(estimator, context, fitted_estimator=stack)


def checked_path(path: Any) -> Path:
    """Return the path from the root, wherever the process goes meanwhile.

    What can be known now is not to end a fit after its first epoch.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path={path!r} must be a str or a path.")
    absolute = Path(path).absolute()
    try:
        check_can_be_written(absolute)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There is no folder {absolute.parent} for the checkpoint."
        ) from error
    except IsADirectoryError as error:
        raise IsADirectoryError(
            f"The checkpoint's path {absolute} is a folder."
        ) from error
    except (OSError, ValueError) as error:
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(
            f"The checkpoint {str(absolute)!r} cannot be written: {error}. Take "
            "another path."
        ) from error
    return absolute


def can_be_resumed(estimator: Any) -> bool:
    """Tell whether an estimator can take up a fit that it was seen in the midst of."""
    return hasattr(type(estimator), "_resume")


def without_absent(seen: Any) -> Any:
    """Return the model that callbacks see without the attributes that it has not."""
    model = copy.copy(seen)
    for name in OPTIONAL_ATTRIBUTES:
        if getattr(model, name, 0) is None:
            vars(model).pop(name, None)
    return model


def _in_search(context: Any) -> bool:
    """Tell whether a task is one of several that run side by side."""
    while context.parent is not None:
        context = context.parent
        if not context.sequential_subtasks:
            return True
    return False


def resume(
    path: str | os.PathLike[str],
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    X_val: Any = None,
    sample_weight_val: Any = None,
    X_unlabeled: Any = None,
    y_val: Any = None,
    callbacks: tuple[Any, ...] = (),
    trusted: list[str] | None = None,
) -> Any:
    """Go on with a fit from its checkpoint, and complete it.

    On the same machine with the same number of threads the result is, bit for bit, that
    of a fit that nothing has cut off. If the fit was complete, it is returned as it is.

    That X and `sample_weight` are those of the fit is checked, and of a network y and
    `X_unlabeled`: their types, shapes, values and order; of rows on a disk the values
    of some hundred. What comes in batches is not looked at, nor are the
    values of held-out data.

    Parameters
    ----------
    path : str or path-like
        What a `Checkpoint` has written.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The same training data.

    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        The same labels or values, of a fine-tuned network, as it got them: behind a
        `TransformedTargetRegressor` they are transformed. Autoencoders have no use for
        y, and hand it to callbacks.

    sample_weight : array-like of shape (n_samples,), default=None
        The same weights.

    X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
        The same held-out data.

    sample_weight_val : array-like of shape (n_val,), default=None
        The same weights of the held-out data, of an autoencoder.

    X_unlabeled : {array-like, sparse matrix} of shape (n_unlabeled, n_features), \
            default=None
        The same rows without a label, of a network with `n_tangent_rows`. Others do not
        need them any more.

    y_val : array-like like y, default=None
        The same labels or values of the held-out data, of a network.

    callbacks : sequence of callbacks, default=()
        Callbacks for the rest of the fit, such as a `Checkpoint` for the same file.

    trusted : list of str, default=None
        Further types to be trusted, as `skcae.persistence.load` takes them: that of a
        class of your own that is derived from one of skcae's, say.

    Returns
    -------
    estimator : estimator
        The fitted autoencoder, stack or network.

    Raises
    ------
    ImportError
        If skops is not installed.
    OSError
        If the file cannot be opened.
    TypeError
        If the file holds an estimator that has no checkpoints, or types that are not
        trusted, or if data are passed that its `fit` does not take.
    ValueError
        If the file is damaged, or the data is not that of the training, as far as it
        is checked. With `data_parallel` also if the fit is complete on some ranks only.

    Examples
    --------
    See `Checkpoint`.
    """
    estimator = read(path, trusted)
    if not can_be_resumed(estimator):
        raise TypeError(
            f"{os.fspath(path)!r} holds a {type(estimator).__name__}, and no "
            "checkpoint of an autoencoder, a stack or a fine-tuned network."
        )
    then = vars(estimator).pop(DATA, None)
    seen = {"sample_weight": sample_weight, "X_unlabeled": X_unlabeled}
    held_out = {"X_val": X_val, "sample_weight_val": sample_weight_val, "y_val": y_val}
    # A rank that fails here ends all of those who train together.
    with together(getattr(estimator, "data_parallel", False)) as ranks:
        metadata = taken(estimator, seen)
        check_same_data(then, fingerprints(estimator, X, y, metadata, reset=False))
        data = metadata | taken(estimator, held_out)
        progress = getattr(estimator, "_progress", None)
        check_same_end(ranks.gather(progress is not None))
        ranks.end()
    estimator.set_callbacks(*callbacks)._resume(X, y, **data)
    return estimator.set_callbacks()


def check_same_end(are_in_midst: list[bool]) -> None:
    """Refuse the files of ranks of which some are complete and some are not."""
    if any(are_in_midst) and not all(are_in_midst):
        rank = are_in_midst.index(False)
        raise ValueError(
            f"The fit is complete in the checkpoint of rank {rank}, and not in that of "
            f"rank {are_in_midst.index(True)}. It is one model: load it on all ranks "
            f"from the file of rank {rank}, by skcae.persistence.load."
        )


def taken(estimator: Any, data: dict[str, Any]) -> dict[str, Any]:
    """Return the data that there are, and refuse what the fit does not take."""
    given = {name: value for name, value in data.items() if value is not None}
    for name in given:
        if not has_fit_parameter(estimator, name):
            raise TypeError(
                f"resume() was given {name}, which the fit of a "
                f"{type(estimator).__name__} does not take."
            )
    return given
