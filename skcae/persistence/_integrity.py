"""What makes a model whole: its arrays fit each other and its parameters.

Models from files are checked here, and weights are taken from models and put into them.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skcae._core.data.arrays import Array, resume_generator
from skcae._encoders.steps import split_steps
from skcae._estimators.base import BaseAutoencoder
from skcae._estimators.contractive import ContractiveAutoencoder
from skcae._estimators.finetuned import BaseFineTuned
from skcae._estimators.stacked import StackedCAE
from skcae._fit.snapshot import adopt, weights_only
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from skcae.persistence._parts import everything_in

# The arrays of one layer, as their shapes in (h, d) show; the last one is optional.
LAYER_SHAPES = {
    "components_": (0, 1),
    "intercept_hidden_": (0,),
    "intercept_visible_": (1,),
    "decoder_components_": (0, 1),
}
# What scikit-learn checks parameters by.
CONSTRAINTS = "_parameter_constraints"
PROGRESS = {
    "n_earlier",
    "n_rows",
    "step",
    "stalled_at",
    "loss_curve",
    "validation_curve",
    "kept",
    "kept_epoch",
}


def named_weights(estimator: Any) -> dict[str, Array]:
    """Return the weights of a fitted estimator of ours by name."""
    if isinstance(estimator, BaseAutoencoder):
        present = vars(estimator)
        return {name: present[name] for name in LAYER_SHAPES if name in present}
    if isinstance(estimator, StackedCAE):
        return {
            f"{k}.{name}": array
            for k, layer in enumerate(estimator.estimators_)
            for name, array in named_weights(layer).items()
        }
    if isinstance(estimator, BaseFineTuned):
        parts = {"coefs_": estimator.coefs_, "intercepts_": estimator.intercepts_}
        return {
            f"{k}.{name}": array
            for name, arrays in parts.items()
            for k, array in enumerate(arrays)
        }
    raise TypeError(
        f"A {type(estimator).__name__} is no estimator of skcae: take the weights of "
        "each step that is one."
    )


# ---- weights into models --------------------------------------------------------


def put_weights(estimator: Any, weights: Mapping[str, Any]) -> Any:
    """Make an estimator the model that has these weights, if they fit it."""
    arrays = {name: np.asarray(weights[name]) for name in weights}
    if isinstance(estimator, BaseAutoencoder):
        _put_into_layer(estimator, arrays, f"A {type(estimator).__name__}")
    elif isinstance(estimator, StackedCAE):
        _put_into_stack(estimator, arrays)
    else:
        _put_into_network(estimator, arrays)
    return estimator


def _put_into_layer(layer: Any, arrays: dict[str, Array], owner: str) -> None:
    names = [*LAYER_SHAPES][: 3 if layer.tied_weights else 4]
    _check_names(arrays, names, owner)
    _check_layer_shapes(arrays)
    n_units, n_features = arrays["components_"].shape
    if n_units != layer.n_components:
        raise ValueError(
            f"components_ has {n_units} rows, but n_components={layer.n_components}."
        )
    copies = {name: np.array(array, order="C") for name, array in arrays.items()}
    adopt(layer, {**weights_only(layer, n_features), **copies})


def _put_into_stack(stack: StackedCAE, arrays: dict[str, Array]) -> None:
    layers = stack._layers()
    known = tuple(f"{k}." for k in range(len(layers)))
    _check_names({n: a for n, a in arrays.items() if not n.startswith(known)}, [], "A")
    for k, layer in enumerate(layers):
        mine = {
            name.partition(".")[2]: array
            for name, array in arrays.items()
            if name.startswith(f"{k}.")
        }
        _put_into_layer(layer, mine, f"Layer {k} of the stack")
    _check_layers_meet(layers)
    columns = {"n_features_in_": layers[0].n_features_in_, "feature_names_in_": None}
    state = {"_training_state": None}
    adopt(stack, {"estimators_": layers, "n_iter_": 0, **columns, **state})


def _put_into_network(network: Any, arrays: dict[str, Array]) -> None:
    present = named_weights(network)
    _check_names(arrays, list(present), f"This {type(network).__name__}")
    _check_arrays(arrays, {name: array.shape for name, array in present.items()})
    n_layers = len(network.coefs_)
    adopt(
        network,
        {
            name: [np.array(arrays[f"{k}.{name}"]) for k in range(n_layers)]
            for name in ("coefs_", "intercepts_")
        },
    )


# ---- checks of arrays -----------------------------------------------------------


def _check_names(arrays: Iterable[str], names: list[str], owner: str) -> None:
    if set(arrays) != set(names):
        raise ValueError(
            f"{owner} takes weights of the names {sorted(names)}, but was given "
            f"{sorted(arrays)}."
        )


def _check_arrays(
    arrays: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse what is no finite array of floats of its shape."""
    for name, shape in shapes.items():
        array = arrays[name]
        # Not of a subclass: a mask would hide what is under it.
        is_array = type(array) is np.ndarray
        is_float = is_array and array.dtype in (np.float32, np.float64)
        if not is_float or array.shape != shape:
            found = getattr(array, "dtype", type(array).__name__)
            raise ValueError(
                f"{name} must be a float32 or float64 array of shape {shape}, but is "
                f"{found} of shape {np.shape(array)}."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has values that are NaN or infinite.")


def _check_layer_shapes(arrays: Mapping[str, Any]) -> None:
    """Refuse arrays of a layer that do not fit each other."""
    sizes = np.shape(arrays["components_"])
    if len(sizes) != 2 or 0 in sizes:
        raise ValueError(
            f"components_ must have two dimensions and no empty one, but its shape is "
            f"{sizes}."
        )
    shapes = {
        name: tuple(sizes[axis] for axis in axes)
        for name, axes in LAYER_SHAPES.items()
        if name in arrays
    }
    _check_arrays(arrays, shapes)


def _check_layers_meet(layers: list[Any]) -> None:
    """Refuse layers of which one does not take the codes of that below."""
    for k, (below, above) in enumerate(pairwise(layers)):
        n_codes, n_inputs = below.components_.shape[0], above.components_.shape[1]
        if n_codes != n_inputs:
            raise ValueError(
                f"Layer {k} gives {n_codes} codes, but layer {k + 1} takes {n_inputs}."
            )


# ---- checks of models -----------------------------------------------------------


def check_model(estimator: Any) -> None:
    """Refuse what is no estimator, or has a model of ours in it that is not whole."""
    if not isinstance(estimator, BaseEstimator):
        raise ValueError(
            f"It holds a {type(estimator).__name__}, which is no estimator."
        )
    for part in everything_in(estimator):
        if isinstance(part, BaseAutoencoder):
            _check_layer(part)
        elif isinstance(part, StackedCAE):
            _check_stack(part)
        elif isinstance(part, BaseFineTuned):
            _check_network(part)
        elif sparse.issparse(part):
            _check_indices(part)


def _check_indices(matrix: Any) -> None:
    """Refuse a sparse matrix whose indices leave it: SciPy follows them unlooked."""
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)


def _check_attributes(estimator: Any) -> None:
    """Refuse attributes in the place of methods, and parameters out of range."""
    for name in vars(estimator):
        meant = getattr(type(estimator), name, None)
        if callable(meant) or isinstance(meant, property) or name == CONSTRAINTS:
            raise ValueError(
                f"It has an attribute {name}, where the class has its own."
            )
    estimator._validate_params()


def _check_layer(layer: Any) -> None:
    _check_attributes(layer)
    if not hasattr(layer, "components_"):
        return
    weights = {name: vars(layer).get(name) for name in [*LAYER_SHAPES][:3]}
    weights |= named_weights(layer)
    _check_layer_shapes(weights)
    _check_n_features(layer, layer.components_.shape[1])
    _check_known("activation", [layer._fitted_activation], ACTIVATIONS)
    _check_known("loss", [layer._fitted_loss], LOSSES)
    _check_curve("loss_curve_", layer.loss_curve_)
    _check_training_state(layer._training_state, weights)


def _check_stack(stack: StackedCAE) -> None:
    _check_attributes(stack)
    if not hasattr(stack, "estimators_"):
        return
    layers, state = stack.estimators_, stack._training_state
    _check_fitted_layers(layers)
    _check_n_features(stack, layers[0].components_.shape[1])
    if state is not None:
        _check_names(state, ["above", "n_done"], "The progress of a stack")
        _check_fitted_layers([*layers, *state["above"]])
        n_done = sum(layer._progress is None for layer in layers)
        if state["n_done"] != n_done or len(layers) - n_done > 1:
            raise ValueError("The progress of the stack is not that of its layers.")


def _check_fitted_layers(layers: Any) -> None:
    """Refuse what are no layers that encode each other's codes."""
    are_layers = type(layers) is list and all(
        isinstance(layer, ContractiveAutoencoder) and hasattr(layer, "components_")
        for layer in layers
    )
    if not are_layers or not layers:
        raise ValueError("estimators_ of a stack must be a list of fitted layers.")
    _check_layers_meet(layers)


def _check_curve(name: str, curve: Any) -> None:
    """Refuse a record that is not one of numbers."""
    if type(curve) is not np.ndarray or curve.ndim != 1 or curve.dtype.kind != "f":
        raise ValueError(f"{name} must be an array of floats, but is {curve!r:.80}.")


def _check_network(network: Any) -> None:
    _check_attributes(network)
    if not hasattr(network, "coefs_"):
        return
    sizes = [
        *(np.shape(W)[0] for W in network.coefs_),
        np.shape(network.coefs_[-1])[1],
    ]
    shapes: dict[str, tuple[int, ...]] = {
        f"{k}.coefs_": shape for k, shape in enumerate(pairwise(sizes))
    }
    shapes |= {f"{k}.intercepts_": (n,) for k, n in enumerate(sizes[1:])}
    weights = named_weights(network)
    _check_names(weights, list(shapes), "A network")
    _check_arrays(weights, shapes)
    names = network._fitted_activations
    _check_known("activation", names, ACTIVATIONS)
    if len(names) != len(network.coefs_) - 1:
        raise ValueError(f"It has {len(names)} activations for {len(sizes)} layers.")
    steps, encoders = split_steps(network.encoder_)
    check_is_fitted(encoders[0])
    if not steps:
        _check_n_features(network, sizes[0])
    if isinstance(network, ClassifierMixin):
        _check_classes(network.classes_, network.multilabel_, sizes[-1])


def _check_classes(classes: Any, multilabel: Any, n_outputs: int) -> None:
    """Refuse labels of another number or kind than the outputs stand for."""
    n_classes = len(classes) if type(classes) is np.ndarray else 0
    are_columns = n_outputs > 1 and np.array_equal(classes, np.arange(n_outputs))
    if type(multilabel) is not bool or (multilabel and not are_columns):
        raise ValueError(
            f"multilabel_ is {multilabel!r}, with classes {classes!r:.80} for "
            f"{n_outputs} outputs."
        )
    if n_classes != (2 if n_outputs == 1 else n_outputs):
        raise ValueError(f"It has {n_classes} classes for {n_outputs} outputs.")


def _check_n_features(estimator: Any, n_features: int) -> None:
    if estimator.n_features_in_ != n_features:
        raise ValueError(
            f"n_features_in_ is {estimator.n_features_in_}, but the weights take "
            f"{n_features} features."
        )


def _check_known(what: str, names: list[Any], known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is no {what}: known are {sorted(known)}.")


def _check_training_state(
    state: dict[str, Any] | None, weights: dict[str, Array]
) -> None:
    """Refuse what a training could not go on from."""
    if state is None:
        return
    resume_generator(state["generator"])
    _check_known("solver", [state["solver"]], {"adam": None, "sgd": None})
    shapes = {name.removesuffix("_"): array.shape for name, array in weights.items()}
    moments = dict(state["solver_state"])
    _check_arrays(moments, {n: (len(shapes),) for n in moments if n == "step"})
    _check_arrays(
        moments, {n: shapes[n.partition(".")[2]] for n in moments if n != "step"}
    )
    if "progress" in state:
        _check_progress(state["progress"], shapes)


def _check_progress(
    progress: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> None:
    _check_names(progress, sorted(PROGRESS), "The progress of a training")
    _check_arrays(progress["kept"], shapes if progress["kept"] else {})
    counts = [progress[name] for name in ("n_earlier", "n_rows", "step", "kept_epoch")]
    n_done = len(progress["loss_curve"])
    stalled_at = progress["stalled_at"]
    if stalled_at is not None:
        counts.append(stalled_at)
    are_counts = all(type(count) is int and count >= 0 for count in counts)
    curves = [progress["loss_curve"], progress["validation_curve"]]
    are_curves = all(
        type(curve) is list and all(type(value) is float for value in curve)
        for curve in curves
    )
    is_whole = (
        are_counts
        and are_curves
        and n_done > 0
        and progress["step"] % n_done == 0
        and progress["kept_epoch"] <= n_done
        and len(progress["validation_curve"]) in (0, n_done)
        and (stalled_at is None or 0 < stalled_at <= n_done)
    )
    if not is_whole:
        raise ValueError("The progress of the training is not one.")
