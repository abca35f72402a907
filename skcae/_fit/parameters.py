"""The parameters that several estimators share, with what they may be.

`dataclass` writes the constructors: each takes the annotated parameters of its class
and of those above it, and does nothing but keep them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import Interval, Options, StrOptions

from skcae._core.data.arrays import generator_on
from skcae._core.steps.reconstruction import Corruption
from skcae.activations import ACTIVATIONS
from skcae.corruptions import CORRUPTIONS

# What the parameters of layers of ours may be.
LAYER: dict[str, list[Any]] = {
    "activation": [StrOptions(set(ACTIVATIONS))],
    "tied_weights": ["boolean"],
}
# What the hidden biases of a first layer may start from.
SPREAD: dict[str, list[Any]] = {
    "bias_spread": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
}
# bias_spread="auto" is this part of the activation's width, 3 for the sigmoid.
AUTO_SPREAD = 0.75
# What a learning rate may be.
RATE = Interval(Real, 0, None, closed="neither")
# What the strength of a penalty may be.
STRENGTH = Interval(Real, 0, None, closed="left")
WHERE_NOISE_IS_DRAWN: dict[str, list[Any]] = {"noise_on_device": ["boolean"]}
# What the fraction of the columns may be that are zero in a batch and looked at.
SAMPLING: dict[str, list[Any]] = {
    "reconstruction_sampling": [Interval(Real, 0, 1, closed="right"), None],
}
# What the noise on rows may be.
NOISE: dict[str, list[Any]] = {
    "corruption": [StrOptions(set(CORRUPTIONS))],
    "corruption_level": [STRENGTH],
    **WHERE_NOISE_IS_DRAWN,
}


@dataclass(repr=False, eq=False, kw_only=True)
class TrainingParameters(CallbackSupportMixin):
    """The parameters of a training in epochs, which callbacks may look on at."""

    solver: str = "adam"
    learning_rate: float | str = "auto"
    learning_rate_schedule: str = "linear"
    momentum: float = 0.9
    batch_size: int | str = "auto"
    max_iter: int = 50
    tol: float = 1e-3
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: float = 5
    shuffle: bool = True
    device: Any = None
    random_state: Any = None
    verbose: int = 0

    # What else is to be scaled where a training diverges.
    _scaled_too: ClassVar[str] = ""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "solver": [StrOptions({"adam", "sgd"})],
        "learning_rate": [RATE, StrOptions({"auto"})],
        "learning_rate_schedule": [StrOptions({"linear", "inverse", "constant"})],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {math.inf}),
        ],
        "shuffle": ["boolean"],
        "device": [str, torch.device, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }


@dataclass(repr=False, eq=False, kw_only=True)
class FineTuningParameters(TrainingParameters):
    """The parameters of networks that start at an encoder's weights."""

    encoder_rate_factor: float | str = "auto"
    alpha: float = 0.5
    corruption: str = "gaussian"
    corruption_level: float = 0.0
    noise_on_device: bool = False
    tangent_penalty: float = 0.0
    tangent_output: str = "prediction"
    n_tangents: int = 15
    n_tangent_rows: int | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TrainingParameters._parameter_constraints,
        "learning_rate": [RATE],
        "encoder_rate_factor": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "alpha": [STRENGTH],
        **NOISE,
        "tangent_penalty": [STRENGTH],
        "tangent_output": [StrOptions({"prediction", "linear"})],
        "n_tangents": [Interval(Integral, 1, None, closed="left")],
        "n_tangent_rows": [Interval(Integral, 1, None, closed="left"), None],
    }


def corruption_of(estimator: Any) -> Corruption:
    """Return what makes corrupted copies of rows, by an estimator's parameters.

    Raises
    ------
    ValueError
        If it is to mask more than everything.
    """
    level = estimator.corruption_level
    if estimator.corruption == "masking" and level > 1:
        raise ValueError(
            f"corruption_level={level:g} is the fraction of the features that "
            "corruption='masking' sets to 0, and must lie in [0, 1]."
        )
    return noise_of(estimator, CORRUPTIONS[estimator.corruption], level)


def noise_of(estimator: Any, corrupt: Callable[..., None], level: float) -> Corruption:
    """Return what draws noise where an estimator's parameters say."""
    # Whatever number it is, its products are to be in the precision of the rows.
    level = float(level)
    if not estimator.noise_on_device:
        return lambda X, generator, out: corrupt(X, level, generator, out)
    return lambda X, generator, out: corrupt(
        X, level, generator_on(X.device, generator), out
    )
