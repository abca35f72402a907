"""What ONNX has no place for, or skl2onnx would make another model of."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline

from skcae.persistence._parts import everything_in


def last_steps(estimator: Any) -> list[Any]:
    """Return an estimator, the last step in it, the last one in that, and so on."""
    if isinstance(estimator, Pipeline):
        inside = estimator.steps[-1][1]
    else:
        inside = getattr(estimator, "best_estimator_", None)
    return [estimator] if inside is None else [estimator, *last_steps(inside)]


def check_zipmap(*, is_double: bool) -> None:
    """Refuse dictionaries of float64."""
    if is_double:
        raise ValueError(
            "The option zipmap=True makes a dictionary of probabilities for each row, "
            "which ONNX has for float32 only, but the graph computes in float64. Show "
            'float32 rows, or take zipmap=False or zipmap="columns".'
        )


def check_labels(scope: Any, network: Any) -> None:
    """Refuse labels that are neither strings nor integers of 64 bits."""
    if scope.get_options(network, {"nocl": False})["nocl"]:
        return
    classes = network.classes_
    if classes.dtype.kind not in "biufOU":
        raise ValueError(
            f"The labels are of type {classes.dtype}, but ONNX has strings and "
            "integers. Fit on such labels, or export their positions in classes_ by "
            "the option nocl=True."
        )
    largest = np.iinfo(np.int64).max
    if classes.dtype.kind in "uf" and int(classes[-1]) > largest:
        raise ValueError(
            f"The largest label is {int(classes[-1])}, but ONNX has no integers above "
            f"{largest}. Fit on smaller labels or on strings, or export their "
            "positions in classes_ by the option nocl=True."
        )


def check_options(scope: Any, network: Any) -> None:
    """Refuse options that make no graph of these labels."""
    options = scope.get_options(network, {"zipmap": True, "nocl": False})
    if options["zipmap"] == "columns" and options["nocl"]:
        raise ValueError(
            'The option zipmap="columns" names the outputs by the labels, which '
            "nocl=True leaves out: take one of them."
        )


def check_calibration(estimator: Any) -> None:
    """Refuse the calibrations of which skl2onnx makes other ones, wherever they are."""
    for step in everything_in(estimator):
        if not isinstance(step, CalibratedClassifierCV):
            continue
        if step.method != "sigmoid":
            raise ValueError(
                f"CalibratedClassifierCV(method={step.method!r}) is not what skl2onnx "
                "makes of it, which would give other probabilities. Take "
                "method='sigmoid'."
            )
        # What is a parameter alone is not fitted.
        for fitted in getattr(step, "calibrated_classifiers_", ()):
            check_calibrated(fitted.estimator)


def check_calibrated(inside: Any) -> None:
    """Refuse what skl2onnx calibrates by other numbers than it was fitted on."""
    if not hasattr(inside, "decision_function"):
        return
    for part in everything_in(inside):
        if len(last_steps(part)) > 1 and is_classifier(part):
            raise ValueError(
                f"Of a CalibratedClassifierCV around a {type(part).__name__}, "
                "skl2onnx calibrates probabilities, not the scores that it was fitted "
                "on: the labels would be wrong. Put it around the classifier alone, at "
                "the end of the pipeline."
            )
