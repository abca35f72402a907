"""What becomes of an encoder as its contraction grows: a fit for each λ."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import check_scoring
from sklearn.model_selection import ShuffleSplit, check_cv
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import _safe_indexing, check_array, indexable
from sklearn.utils.parallel import Parallel, delayed

from skcae._encoders.steps import split_steps, used_steps
from skcae._estimators.stacked import StackedCAE
from skcae._fit.collapse import scale_of_penalty
from skcae._fit.data import rows_for
from skcae.exceptions import DeadModelWarning
from skcae.inspection._measures import jacobian_norm, saturation
from skcae.model_selection import jacobian_penalty_max

# A unit is live if its standard deviation over the rows is at least this.
LIVE = 0.01
# By default λ is 0, and so many values from this part of its scale up to all of it.
N_PENALTIES, SMALLEST = 7, 1e-3
# The part of the rows that is held out by default.
HELD_OUT = 0.25
# How strong the ridge of the default judge may be.
STRENGTHS = np.logspace(-4, 4, 9)


def penalty_path(
    encoder: Any,
    X: Any,
    y: Any,
    penalties: Sequence[float],
    *,
    judge: Any = None,
    scoring: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
) -> dict[str, np.ndarray]:
    """Fit a copy of the encoder for each λ and split, and measure it on held-out rows.

    Returns what was measured by its name, (n_penalties, n_splits).
    """
    X, y = indexable(X, y)
    score = None
    if y is not None:
        judge = default_judge(y) if judge is None else judge
        score = check_scoring(judge, scoring)
    splits = splits_of(cv, X, y, judge)
    found = Parallel(n_jobs=n_jobs)(
        delayed(measures_at)(encoder, X, y, penalty, *split, judge, score)
        for penalty in penalties
        for split in splits
    )
    shape = len(penalties), len(splits)
    return {
        measure: np.reshape([each[measure] for each in found], shape)
        for measure in found[0]
    }


def measures_at(
    encoder: Any,
    X: Any,
    y: Any,
    penalty: float,
    train: np.ndarray,
    test: np.ndarray,
    judge: Any,
    score: Any,
) -> dict[str, float]:
    """Fit a copy of the encoder on some rows, and measure it at others."""
    X_train, X_test = (_safe_indexing(X, rows) for rows in (train, test))
    y_train, y_test = (
        None if y is None else _safe_indexing(y, rows) for rows in (train, test)
    )
    fitted = fit_with(encoder, penalty, X_train, y_train)
    codes = np.asarray(fitted.transform(X_test))
    norms = jacobian_norm(fitted, X_test)
    loss = -scores(fitted, X_test).mean()
    # λ E‖J‖² of E[L] + λ E‖J‖²; rows are the only axis of the norms.
    contraction = penalty * np.square(norms).mean()
    found = {
        "reconstruction_loss": loss,
        "penalty_share": contraction / (loss + contraction),
        "jacobian_norm": norms.mean(),
        "live_units": np.mean(codes.std(axis=0) >= LIVE),
    }
    # The last layer of a module need not have an activation.
    with suppress(TypeError):
        found["saturation"] = saturation(fitted, X_test).mean()
    if score is not None:
        judge = clone(judge).fit(np.asarray(fitted.transform(X_train)), y_train)
        found["score"] = score(judge, codes, y_test)
    return found


def fit_with(encoder: Any, penalty: float, X: Any, y: Any) -> Any:
    """Fit a copy of the encoder with this λ."""
    fitted = clone(encoder).set_params(**{name_of_penalty(encoder): penalty})
    with warnings.catch_warnings():
        # A code that has collapsed is what is to be seen.
        warnings.simplefilter("ignore", DeadModelWarning)
        return fitted.fit(X, y)


def name_of_penalty(encoder: Any) -> str:
    """Return the parameter that is λ, of an encoder or of the pipeline that it ends.

    Raises
    ------
    TypeError
        If there is none, or it is not that of one encoder alone.
    """
    _, encoders = split_steps(encoder)
    # Steps before the encoder may have a λ of their own.
    names, _, _ = taken_apart(encoder)
    name = "__".join([*names, "jacobian_penalty"])
    if len(encoders) > 1 or isinstance(encoders[0], StackedCAE):
        raise TypeError(
            "A path is that of one λ, but here each layer is trained by itself, with a "
            "penalty of its own. Draw it for one layer after the other: a "
            "ContractiveAutoencoder of the codes below it."
        )
    if name not in encoder.get_params():
        raise TypeError(
            f"{type(encoders[0]).__name__} has no jacobian_penalty to be varied. Pass "
            "a ContractiveAutoencoder, ConvolutionalCAE, DeepCAE or ModuleAutoencoder, "
            "or a Pipeline that ends with one."
        )
    return name


def taken_apart(encoder: Any) -> tuple[list[str], list[Any], Any]:
    """Return the names of the last steps of pipelines, what is before, and the last."""
    names, before = [], []
    while isinstance(encoder, Pipeline):
        *first, (name, encoder) = used_steps(encoder)
        names.append(name)
        before += [step for _, step in first]
    return names, before, encoder


def check_penalties(penalties: Any) -> np.ndarray:
    """Return the values of λ in rising order, each once.

    Raises
    ------
    ValueError
        If they are not a sequence of numbers, 0 or larger.
    """
    found: np.ndarray = check_array(
        np.atleast_1d(penalties),
        dtype=np.float64,
        ensure_2d=False,
        ensure_min_samples=0,
        input_name="penalties",
    )
    if np.ndim(penalties) != 1 or not len(found) or (found < 0).any():
        raise ValueError(
            f"penalties must be one or more numbers, 0 or larger, got {penalties!r}."
        )
    return np.unique(found)


def default_penalties(
    encoder: Any, X: Any, y: Any, largest: float | None
) -> np.ndarray:
    """Return 0, and values up to λ_max, or up to another scale where there is none."""
    scale = balance(encoder, X, y) if largest is None else largest
    return np.append(0.0, scale * np.geomspace(SMALLEST, 1, N_PENALTIES))


def scores(encoder: Any, X: Any) -> np.ndarray:
    """Return the scores of the last step that does something, (n,)."""
    while isinstance(encoder, Pipeline):
        *before, (_, encoder) = used_steps(encoder)
        for _, step in before:
            X = step.transform(X)
    found: np.ndarray = encoder.score_samples(X)
    return found


def balance(encoder: Any, X: Any, y: Any) -> float:
    """Return the λ with which λ E‖J‖² is E[L], of a fit without contraction."""
    fitted = fit_with(encoder, 0.0, X, y)
    loss = -scores(fitted, X).mean()
    return float(loss / np.square(jacobian_norm(fitted, X)).mean())


def penalty_max_of(encoder: Any, X: Any, y: Any) -> float | None:
    """Return λ_max of an encoder for what it takes after its preprocessing, if any."""
    _, steps, encoder = taken_apart(encoder)
    scale = scale_of_penalty(encoder)
    if scale is None:
        return None
    if steps:
        # Those that are frozen stay what they are.
        X = make_pipeline(*map(clone, steps)).fit_transform(X, y)
    return float(jacobian_penalty_max(rows_for(encoder, X), **scale))


def default_judge(y: Any) -> Any:
    """Return a ridge that finds its strength: for numbers of floats, or for classes."""
    is_number = np.asarray(y).dtype.kind == "f"
    return RidgeCV(STRENGTHS) if is_number else RidgeClassifierCV(STRENGTHS)


def splits_of(cv: Any, X: Any, y: Any, judge: Any) -> list[tuple[Any, Any]]:
    """Return the rows to fit on and those to measure at, of each split."""
    if cv is None:
        cv = ShuffleSplit(1, test_size=HELD_OUT, random_state=0)
    classes = judge is not None and is_classifier(judge)
    return list(check_cv(cv, y, classifier=classes).split(X, y))
