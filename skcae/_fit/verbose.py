"""What `verbose` shows: a progress bar, or lines of our own logger."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from sklearn.callback import ProgressBar

from skcae.progress import EpochBar

# Takes a format string and its values.
Log = Callable[..., None]

logger = logging.getLogger("skcae")


@contextmanager
def epoch_progress(estimator: Any, rank: int = 0) -> Iterator[Log]:
    """Show the epochs of a fit while the context lasts, if the estimator is verbose.

    Of processes that train together only the first, of rank 0, does.
    Yields a function to call with a format string and its values after each epoch.
    """
    if not estimator.verbose or rank > 0 or _bar_reaches(estimator):
        yield lambda message, *values: None
    elif find_spec("rich") is not None and not _is_nested(estimator):
        with _progress_bar(estimator):
            yield lambda message, *values: None
    else:
        with _log_handler():
            yield logger.info


def _is_nested(estimator: Any) -> bool:
    """Tell whether a meta-estimator runs this fit: the bars are then its own matter."""
    return hasattr(estimator, "_parent_callback_ctx")


def _bar_reaches(estimator: Any) -> bool:
    """Tell whether a meta-estimator's bar shows this fit already."""
    callbacks = getattr(estimator, "_skl_callbacks", [])
    return _is_nested(estimator) and any(isinstance(c, ProgressBar) for c in callbacks)


@contextmanager
def _progress_bar(estimator: Any) -> Iterator[None]:
    """Add a progress bar to the estimator's callbacks for one fit."""
    callbacks = list(getattr(estimator, "_skl_callbacks", []))
    if not any(isinstance(callback, ProgressBar) for callback in callbacks):
        estimator.set_callbacks(*callbacks, EpochBar())
    try:
        yield
    finally:
        estimator.set_callbacks(*callbacks)


@contextmanager
def _log_handler() -> Iterator[None]:
    """Make our logger heard on standard error, unless the user has set up logging.

    A notebook shows that in red, as what went wrong: there it is standard output.
    """
    in_notebook = type(sys.stderr).__module__.partition(".")[0] == "ipykernel"
    handler = logging.StreamHandler(sys.stdout if in_notebook else sys.stderr)
    heard = logger.hasHandlers()
    level = logger.level
    if not heard:
        logger.addHandler(handler)
    logger.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
