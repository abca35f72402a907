"""What is put into a file, and what cannot be."""

import json
import sys
from copy import copy
from itertools import chain
from types import FunctionType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skcae.persistence._parts import contents_of, everything_in, with_parts

# What scikit-learn's callbacks leave on an estimator while it is fitted, and after.
CALLBACKS = {
    "_callback_fit_ctx",
    "_parent_callback_ctx",
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
}
# What set_fit_request and its like do, which knows the estimator that it is of.
REQUESTS = "_metadata_request"


def as_written(value: Any) -> Any:
    """Return a value as it is put into a file.

    Estimators are without their callbacks, memory-mapped arrays in memory, and keys
    that are True and False the numbers that they are equal to. What has such parts is
    copied, and each object once.
    """
    done: dict[int, tuple[Any, Any]] = {}

    def bare(part: Any) -> Any:
        if id(part) not in done:
            done[id(part)] = part, part  # where a part leads back to itself
            done[id(part)] = part, with_parts(_written(part), bare)
        return done[id(part)][1]

    return bare(value)


def check_names(estimator: Any) -> None:
    """Refuse functions and classes that are not where their names say.

    A file has no more of them.

    Raises
    ------
    TypeError
        If there is one in it.
    """
    estimators = (p for p in everything_in(estimator) if isinstance(p, BaseEstimator))
    values = chain.from_iterable(vars(part).values() for part in estimators)
    for part in chain.from_iterable(map(contents_of, values)):
        is_itself = isinstance(part, FunctionType | type)
        named = part if is_itself else type(part)
        if not is_itself and "<locals>" not in named.__qualname__:
            continue  # of types that C defines some are nowhere
        module, name = named.__module__, named.__name__
        if getattr(sys.modules.get(module), name, None) is not named:
            kind = "class" if isinstance(named, type) else "function"
            raise TypeError(
                f"The {kind} {module}.{named.__qualname__} cannot be written: a file "
                f"has its name alone, by which it is not found as {module}.{name}. "
                "Define it at the top level of a module, by a statement of its own."
            )


def check_keys(estimator: Any) -> None:
    """Refuse keys that would be others when they are read, as text of their types.

    Raises
    ------
    TypeError
        If a dictionary in it has some.
    """
    for part in everything_in(estimator):
        if not isinstance(part, dict) or all(type(key) is str for key in part):
            continue
        try:
            texts = json.loads(json.dumps({as_item(key): None for key in part}))
            pairs = zip(part, texts, strict=True)
            is_same = all(type(key)(text) == key for key, text in pairs)
        except (TypeError, ValueError):
            is_same = False
        if not is_same:
            raise TypeError(
                f"A dictionary with the keys {[*part]!r:.200} cannot be written: in a "
                "file they are text, from which these would not be read as they are."
            )


def as_item(key: Any) -> Any:
    """Return a key as Python has it."""
    return key.item() if isinstance(key, np.generic) else key


def _written(value: Any) -> Any:
    """Return a value as it is written, but for its parts."""
    if isinstance(value, np.memmap):
        return np.array(value)
    if type(value) is dict and any(map(is_bool, value)):
        return {int(k) if is_bool(k) else k: part for k, part in value.items()}
    changes = {*CALLBACKS, REQUESTS}
    if not isinstance(value, BaseEstimator) or changes.isdisjoint(vars(value)):
        return value
    bare = copy(value)
    for name in CALLBACKS:
        vars(bare).pop(name, None)
    if REQUESTS in vars(bare):
        vars(bare)[REQUESTS] = _of_name(bare)
    return bare


def is_bool(key: Any) -> bool:
    """Tell whether a key is True or False, of whatever kind."""
    return isinstance(key, bool | np.bool_)


def _of_name(estimator: Any) -> Any:
    """Copy what an estimator requests, with its name in the place of itself.

    Otherwise it would lead back to itself, without an end for who writes it.
    """
    name, requests = type(estimator).__name__, copy(vars(estimator)[REQUESTS])
    for part, value in vars(requests).items():
        if hasattr(value, "owner"):
            vars(requests)[part] = of_name = copy(value)
            of_name.owner = name
    requests.owner = name
    return requests
