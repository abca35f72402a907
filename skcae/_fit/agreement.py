"""What ranks agree on before they train together."""

from dataclasses import replace
from functools import partial
from textwrap import shorten
from typing import Any

import numpy as np

from skcae._core.data.arrays import working_dtype
from skcae._core.training.ranks import Ranks
from skcae._fit.data import CheckedData
from skcae._fit.streams import Stream

# Parameters that are each rank's own.
OWN_PARAMETERS = {"device", "random_state", "verbose"}


def check_agreement(
    ranks: Ranks, estimator: Any, data: CheckedData, X_val: Any = None
) -> None:
    """Refuse, on all ranks at once, to train what is not the same on all.

    Raises
    ------
    ValueError
        If a parameter, or what the data is like, differs.
    """
    everyones = ranks.gather(settings(estimator, data, X_val))
    for name, first in everyones[0].items():
        for rank, theirs in enumerate(everyones):
            if theirs[name] != first:
                here, there = (shorten(value, 80) for value in (first, theirs[name]))
                raise ValueError(
                    f"data_parallel=True trains one model, but {name} is {here} on "
                    f"rank 0 and {there} on rank {rank}. Make it the same on all ranks."
                )


def settings(estimator: Any, data: CheckedData, X_val: Any) -> dict[str, str]:
    """Describe, in words that can be compared, what is to be trained on what."""
    parameters = {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if name not in OWN_PARAMETERS
    }
    names = data.columns.get("feature_names_in_")
    description = {
        "the estimator": type(estimator).__name__,
        "the number of features": data.X.shape[1],
        "the names of the features": names if names is None else list(names),
        "the precision": working_dtype(data.X.dtype).name,
        "whether there is a fitted model to go on from": data.continues,
        "whether there is X_val": X_val is not None,
        "whether X comes in batches": isinstance(data.X, Stream),
        "the step to go on from": (getattr(estimator, "_progress", None) or {}).get(
            "step"
        ),
        **parameters,
    }
    return {name: described(value) for name, value in description.items()}


def described(value: Any) -> str:
    """Describe a value in words that are the same in every process."""
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, partial):
        return described([value.func, value.args, value.keywords])
    if isinstance(value, dict):
        return described([*value.items()])
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(described, value))}]"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    own: Any = type(value).__repr__
    if own is object.__repr__:
        # That would say where the object lies.
        return f"{described(type(value))}({described(getattr(value, '__dict__', {}))})"
    return repr(value)


def weighted_alike(ranks: Ranks, data: CheckedData) -> CheckedData:
    """Give each row the weight 1 if there are weights on other ranks alone."""
    are_weighted = ranks.gather(data.sample_weight is not None)
    if data.sample_weight is not None or not any(are_weighted):
        return data
    return replace(data, sample_weight=np.ones(data.X.shape[0]))
