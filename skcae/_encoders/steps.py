"""What counts as an encoder, and the layers that one is made of."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _num_samples, check_array, check_is_fitted

from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import Layer
from skcae._encoders.missing import naming_cure
from skcae._encoders.namespaces import received
from skcae._encoders.tensors import dense_layers, stored
from skcae.activations import ACTIVATIONS


class DecodingLayer(NamedTuple):
    """What undoes an encoding layer, and the loss whose output follows if one does.

    Parameters
    ----------
    layer : Layer
        From the code down: z = Vᵀh + c where a loss follows, with its activation
        otherwise.
    loss : str or None
        The name of the loss.
    """

    layer: Layer
    loss: str | None


def split_steps(encoder: Any) -> tuple[list[Any], list[Any]]:
    """Split an encoder into its fixed preprocessing and its trailing encoders.

    Raises
    ------
    TypeError
        If its last step is no encoder, or an encoder is followed by something else.
    """
    steps = list(_steps(encoder))
    are_encoders = [is_encoder(step) for step in steps]
    if not any(are_encoders):
        names = ", ".join(map(_name, steps)) or "nothing"
        raise TypeError(
            f"encoder has no step that is an encoder: it is made of {names}. Pass an "
            "autoencoder of skcae, a BernoulliRBM, or a Pipeline that ends with some."
        )
    first = are_encoders.index(True)
    if not all(are_encoders[first:]):
        position = first + are_encoders[first:].index(False)
        raise TypeError(
            f"{_name(steps[position])} follows an encoder in the pipeline, but has no "
            "layer to be differentiated. Only what comes before the encoders may be of "
            "another kind. Pass the pipeline without what follows them: "
            f"pipeline[:{position - len(steps)}]."
        )
    return steps[:first], steps[first:]


def _name(step: Any) -> str:
    """Name an estimator, or a class that was passed in place of one."""
    return (
        f"the class {step.__name__}" if isinstance(step, type) else type(step).__name__
    )


def _steps(encoder: Any) -> Iterator[Any]:
    """Go through the steps of pipelines, nested or frozen ones too."""
    if isinstance(encoder, FrozenEstimator):
        yield from _steps(encoder.estimator)
    elif isinstance(encoder, Pipeline):
        for _, step in used_steps(encoder):
            yield from _steps(step)
    else:
        yield encoder


def used_steps(pipeline: Pipeline) -> list[tuple[str, Any]]:
    """Return the steps of a pipeline that do something, with their names."""
    return [
        (name, step)
        for name, step in pipeline.steps
        if step is not None and step != "passthrough"
    ]


def thawed(encoder: Any) -> Any:
    """Return what is in a FrozenEstimator, or what is none."""
    while isinstance(encoder, FrozenEstimator):
        encoder = encoder.estimator
    return encoder


def begins_frozen(encoder: Any) -> bool:
    """Tell whether what rows come to first stays as it was fitted."""
    while isinstance(encoder, Pipeline):
        _, encoder = used_steps(encoder)[0]
    return isinstance(encoder, FrozenEstimator)


# ---- what an encoder says of itself --------------------------------------------


@dataclass(frozen=True)
class SigmoidUnits:
    """What our encoders say of themselves, of scikit-learn's RBM."""

    rbm: BernoulliRBM

    def _encoding_layers(self) -> list[Layer]:
        W, b = self.rbm.components_, self.rbm.intercept_hidden_
        return dense_layers([W], [b], ["sigmoid"])

    def _decoding_layers(self) -> list[DecodingLayer]:
        W, c = stored(self.rbm.components_), stored(self.rbm.intercept_visible_)
        decoder = Dense(W.mT, c, ACTIVATIONS["identity"])
        return [DecodingLayer(decoder, "cross_entropy")]

    def _code_size(self) -> Any:
        return self.rbm.n_components


def is_encoder(step: Any) -> bool:
    """Tell whether a step is made of layers, and no class that was passed for one."""
    return isinstance(step, BernoulliRBM) or hasattr(type(step), "_encoding_layers")


def encoding_layers(encoders: Sequence[Any]) -> list[Layer]:
    """Return the layers of fitted encoders, from the input up."""
    for encoder in encoders:
        check_is_fitted(encoder)
    parts = map(_asked, encoders)
    return [layer for part in parts for layer in part._encoding_layers()]


def decoding_layers(encoders: Sequence[Any]) -> list[DecodingLayer]:
    """Return the layers that decode what fitted encoders encode, from the code down.

    Raises
    ------
    TypeError
        If one of them has no decoder.
    """
    for encoder in encoders:
        if not hasattr(type(_asked(encoder)), "_decoding_layers"):
            raise TypeError(f"A {_name(encoder)} has no decoder.")
    parts = map(_asked, reversed(encoders))
    return [layer for part in parts for layer in part._decoding_layers()]


def code_size(encoder: Any) -> float:
    """Return the size of an encoder's code, which before its fit its parameters tell.

    It is infinite if they are of no use; its fit is going to refuse them.
    """
    if hasattr(encoder, "n_features_in_"):
        return encoding_layers([encoder])[-1].n_units
    n = _asked(encoder)._code_size()
    return int(n) if isinstance(n, Integral) and int(n) > 0 else math.inf


def _asked(encoder: Any) -> Any:
    """Return what answers for an encoder: itself, if it is of skcae."""
    return SigmoidUnits(encoder) if isinstance(encoder, BernoulliRBM) else encoder


def features_of(steps: Sequence[Any], X: Any) -> Any:
    """Apply the fixed preprocessing, if any, and return what rows are made of.

    Raises
    ------
    ValueError
        If it gives other than one row of finite numbers for each row.
    """
    if not steps:
        return X
    n_rows = _num_samples(X)
    for step in steps:
        X = step.transform(X)
    X, dtype = received(X)
    with naming_cure("encoder"):
        X = check_array(X, accept_sparse="csr", dtype=dtype, input_name="X")
    if X.shape[0] != n_rows:
        names = ", ".join(map(_name, steps))
        raise ValueError(
            f"The steps before the encoder ({names}) give {X.shape[0]} rows for "
            f"{n_rows}, so that it cannot be told which label or code is whose. Leave "
            "rows out, or add some, before they are passed."
        )
    return X
