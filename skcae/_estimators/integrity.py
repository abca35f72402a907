"""What makes a fitted model whole: its arrays fit each other, and its parameters."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skcae._core.data.arrays import Array, resume_generator
from skcae._fit.attributes import CURVES

# The arrays of one layer, as their shapes in (h, d) show; the last one is optional.
LAYER_SHAPES = {
    "components_": (0, 1),
    "intercept_hidden_": (0,),
    "intercept_visible_": (1,),
    "decoder_components_": (0, 1),
}
# What is kept of a training that has not come to its end.
PROGRESS = {
    "n_earlier",
    "n_rows",
    "step",
    "stalled_at",
    "means",
    "validation_curve",
    "kept",
    "kept_epoch",
}


# ---- checks of arrays -----------------------------------------------------------


def check_names(arrays: Iterable[str], names: list[str], owner: str) -> None:
    """Refuse missing and unknown names."""
    if set(arrays) != set(names):
        raise ValueError(
            f"{owner} takes weights of the names {sorted(names)}, but was given "
            f"{sorted(arrays)}."
        )


def check_arrays(
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


def check_layer_shapes(arrays: Mapping[str, Any]) -> None:
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
    check_arrays(arrays, shapes)


def check_layers_meet(layers: list[Any]) -> None:
    """Refuse layers of which one does not take the codes of that below."""
    for k, (below, above) in enumerate(pairwise(layers)):
        n_codes, n_inputs = below.components_.shape[0], above.components_.shape[1]
        if n_codes != n_inputs:
            raise ValueError(
                f"Layer {k} gives {n_codes} codes, but layer {k + 1} takes {n_inputs}."
            )


# ---- checks of what a model keeps besides ---------------------------------------


def check_tied(decoding: Tensor, encoding: Tensor | None) -> None:
    """Refuse a decoder with other weights than the encoder has."""
    if encoding is None or not torch.equal(decoding, encoding):
        raise ValueError(
            "With tied_weights=True the decoder has the encoder's weights, but was "
            "given others: set tied_weights=False."
        )


def check_n_features_in(estimator: Any, n_features: int) -> None:
    """Refuse a model whose weights take another number of features than it says."""
    if estimator.n_features_in_ != n_features:
        raise ValueError(
            f"n_features_in_ is {estimator.n_features_in_}, but the weights take "
            f"{n_features} features."
        )


def check_known(what: str, names: list[Any], known: Mapping[str, Any]) -> None:
    """Refuse names that nothing has."""
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is no {what}: known are {sorted(known)}.")


def check_curves(estimator: Any) -> None:
    """Refuse a record that is not one of numbers, of all epochs."""
    shape = (estimator.n_iter_,)
    for name in CURVES:
        curve = vars(estimator).get(name)
        is_array = type(curve) is np.ndarray
        if not is_array or curve.dtype.kind != "f" or curve.shape != shape:
            raise ValueError(
                f"{name} must be an array of floats, one for each of the "
                f"n_iter_={estimator.n_iter_} epochs, but is {curve!r:.80}."
            )


def check_training_state(
    state: dict[str, Any] | None, weights: dict[str, Array]
) -> None:
    """Refuse what a training could not go on from."""
    if state is None:
        return
    resume_generator(state["generator"])
    check_known("solver", [state["solver"]], {"adam": None, "sgd": None})
    shapes = {name.removesuffix("_"): array.shape for name, array in weights.items()}
    moments = dict(state["solver_state"])
    check_arrays(moments, {n: (len(shapes),) for n in moments if n == "step"})
    check_arrays(
        moments, {n: shapes[n.partition(".")[2]] for n in moments if n != "step"}
    )
    if "progress" in state:
        check_progress(state["progress"], shapes)
        check_solver_is_whole(state["solver"], moments, shapes)


def check_solver_is_whole(
    solver: str, moments: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Refuse the state of a solver in its midst that lacks a part."""
    found = {name.partition(".")[0] for name in moments}
    # Descent without momentum has no state.
    slots = {"mean", "square"} if solver == "adam" else {"velocity"} & found
    check_names(
        {name for name in moments if name.partition(".")[0] in slots},
        [f"{slot}.{name}" for slot in slots for name in names],
        "The solver's state",
    )


def check_progress(
    progress: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> None:
    """Refuse what no training could have left in its midst."""
    check_names(progress, sorted(PROGRESS), "The progress of a training")
    check_arrays(progress["kept"], shapes if progress["kept"] else {})
    counts = [progress[name] for name in ("n_earlier", "n_rows", "step", "kept_epoch")]
    n_done = len(progress["means"])
    check_arrays(progress, {"means": (n_done, 2)})
    stalled_at = progress["stalled_at"]
    if stalled_at is not None:
        counts.append(stalled_at)
    are_counts = all(type(count) is int and count >= 0 for count in counts)
    held_out = progress["validation_curve"]
    is_possible = (
        are_counts
        and n_done > 0
        and type(held_out) is list
        and all(type(value) is float for value in held_out)
        and progress["step"] % n_done == 0
        and progress["kept_epoch"] <= n_done
        # What was best on held-out rows is there.
        and bool(progress["kept"]) == (progress["kept_epoch"] > 0)
        and (bool(progress["kept"]) or not held_out)
        and len(held_out) in (0, n_done)
        and (stalled_at is None or 0 < stalled_at <= n_done)
    )
    if not is_possible:
        raise ValueError("The progress of the training is not one.")
