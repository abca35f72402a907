"""Generated data and parameters for the whole interface, and what may come of them.

A call may give finite numbers, or an error in words that are known here. Anything else
fails the test. What came of each is counted in `OUTCOMES`.
"""

import re
import warnings
from collections import Counter
from numbers import Real

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
    inspection,
)
from skcae.activations import ACTIVATIONS
from skcae.corruptions import CORRUPTIONS
from skcae.exceptions import DeadModelWarning
from skcae.losses import LOSSES

# How often a call of an estimator or function had an outcome.
OUTCOMES = Counter()

# The errors that there may be, each by words that say what to do or to expect.
ERRORS = {
    "diverged": r"Training diverged .* Try a smaller learning_rate",
    "outside the range of the loss": r"needs X in \[.* Put a MinMaxScaler",
    "NaN": r"contains NaN",
    "infinity": r"contains infinity",
    "dtype": r"Complex data not supported|could not convert|must be real numbers",
    "other columns": r"is expecting \d+ features|columns, but the codes|features, but",
    "no row to hold out": r"holds out a part of",
    "codes out of the loss's range": r"needs codes in \[.* Take activation='sigmoid'",
    "a Hessian penalty without effect": r"would have no effect: .* Set hessian_penalty",
    "samples of dense rows": r"samples the zeros of a sparse .* Pass scipy",
    "samples of all columns": r"reconstruction_sampling=.* cannot be used with",
    "more masking than everything": r"corruption_level=.* must lie in \[0, 1\]",
    "labels of one class": r"y has only one class|y has no labels|no two rows that",
    "labels of another kind": r"Unknown label type|y should be|not valid for",
    "sparse codes": r"dense data is required",
    "sparse data for a scaler": r"Cannot center sparse matrices",
    "device": r"Available devices",
    "lengths that differ": r"rows, but y has|inconsistent numbers of samples",
    "more values than the Jacobian has": r"more than the Jacobian has",
    "a parameter": r"parameter of \w+ must be|must be (a sequence|one non-negative)",
    "going on as another model": r"training cannot go on from it",
}

# Data or weights beyond this may overflow when they are squared and multiplied.
HUGE = 1e9

penalties = st.sampled_from([0.0, 0.1, 1e3])
curvatures = st.sampled_from([0.0, 0.0, 0.1])

training = {
    "solver": st.sampled_from(["adam", "sgd"]),
    "learning_rate": st.sampled_from(["auto", 1e-6, 1e-2, 1.0, 1e6]),
    "learning_rate_schedule": st.sampled_from(["linear", "inverse", "constant"]),
    "momentum": st.sampled_from([0.0, 0.9]),
    "batch_size": st.sampled_from(["auto", 1, 3, 1000]),
    "max_iter": st.integers(1, 6),
    "early_stopping": st.booleans(),
    "validation_fraction": st.sampled_from([1e-9, 0.5, 1 - 1e-9]),
    "n_iter_no_change": st.sampled_from([1, 2, 3, float("inf")]),
    "shuffle": st.booleans(),
    "random_state": st.integers(0, 3),
}
layers = {
    **training,
    "activation": st.sampled_from(sorted(ACTIVATIONS)),
    "loss": st.sampled_from(sorted(LOSSES)),
    "tied_weights": st.booleans(),
}
units = {"n_components": st.integers(1, 6)}
sampling = {
    "hessian_noise": st.sampled_from([None, 1e-6, 0.3, 1e6]),
    "n_hessian_samples": st.integers(1, 3),
}
columns = {"reconstruction_sampling": st.sampled_from([None] * 9 + [0.1, 1.0])}
contractive = {
    **layers,
    **columns,
    **units,
    **sampling,
    "jacobian_penalty": penalties,
    "hessian_penalty": curvatures,
}
tangents = {
    **training,
    "tangent_penalty": st.sampled_from([0.0, 0.1]),
    "tangent_output": st.sampled_from(["prediction", "linear"]),
    "n_tangents": st.integers(1, 3),
    "n_tangent_rows": st.sampled_from([None, 3, 100]),
}

AUTOENCODERS = {
    ContractiveAutoencoder: contractive,
    Autoencoder: {
        **layers,
        **columns,
        **units,
        "weight_decay": st.sampled_from([0.0, 1e-3, 1e3]),
    },
    DenoisingAutoencoder: {
        **layers,
        **columns,
        **units,
        "corruption": st.sampled_from(sorted(CORRUPTIONS)),
        "corruption_level": st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    },
}
STACKS = {
    StackedCAE: {
        **layers,
        **columns,
        **sampling,
        "hidden_layer_sizes": st.sampled_from(
            [(1,), (6,), (4, 2), (2, 5, 3)] * 3 + [()]
        ),
        "jacobian_penalty": st.sampled_from([0.0, 0.1, 1e3] * 3 + [(0.1, 0.0), (1.0,)]),
        "hessian_penalty": curvatures,
    }
}
ENCODERS = {**AUTOENCODERS, **STACKS}


def models(table):
    """Make unfitted estimators of these classes."""
    return st.sampled_from(sorted(table, key=lambda cls: cls.__name__)).flatmap(
        lambda cls: st.builds(cls, **table[cls])
    )


@st.composite
def networks(draw):
    """Make an unfitted classifier or regressor on a small encoder."""
    encoder = draw(models(ENCODERS))
    if draw(st.booleans()):
        encoder = make_pipeline(StandardScaler(), encoder)
    cls = draw(st.sampled_from([FineTunedClassifier, FineTunedRegressor]))
    how = draw(st.fixed_dictionaries(tangents))
    if cls is FineTunedClassifier:
        how["output"] = draw(st.sampled_from(["softmax", "sigmoid"]))
        how["class_weight"] = draw(st.sampled_from([None, "balanced"]))
    return cls(encoder, **how)


shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
POISONS = {
    "none": lambda X: X,
    "nan": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 0, np.nan, X),
    "inf": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 0, np.inf, X),
    "constant": np.ones_like,
    "zero": np.zeros_like,
    "large": lambda X: 1e18 * X,
    "tiny": lambda X: 1e-30 * X,
    "repeated": lambda X: X[:1].repeat(len(X), axis=0),
    "negative": lambda X: -X,
    "outside": lambda X: X + 1.5,
}
KINDS = {
    "array": lambda X: X,
    "fortran": np.asfortranarray,
    "reversed": lambda X: X[::-1, ::-1],
    "object": lambda X: X.astype(object),
    "sparse": sparse.csr_array,
}


@st.composite
def matrices(draw, shape=None):
    """Well-behaved numbers in [0, 1], poisoned in one way."""
    shape = draw(shapes) if shape is None else shape
    seed = draw(st.integers(0, 2**16))
    X = np.random.default_rng(seed).random(shape)
    X = POISONS[draw(st.sampled_from(sorted(POISONS) + ["none"] * len(POISONS)))](X)
    return X.astype(draw(st.sampled_from(["f4", "f8"])))


@st.composite
def inputs(draw, shape=None):
    """Make matrices in the layouts and containers in which they may come."""
    X = draw(matrices(shape))
    return KINDS[draw(st.sampled_from(sorted(KINDS)))](X)


@st.composite
def inputs_for(draw, n_features, n_rows=None):
    """Make inputs with as many columns as a model knows, mostly."""
    columns = n_features + draw(st.sampled_from([0] * 9 + [1]))
    return draw(inputs((n_rows or draw(st.integers(1, 12)), columns)))


LABELS = {
    "integers": lambda y, rng: y,
    "strings": lambda y, rng: np.array(list("abcd"))[y],
    "objects": lambda y, rng: np.array(list("abcd"), object)[y],
    "booleans": lambda y, rng: y > 0,
    "whole floats": lambda y, rng: y.astype(float),
    "list": lambda y, rng: y.tolist(),
    "indicators": lambda y, rng: rng.integers(2, size=(len(y), 3)),
}
VALUES = {
    "floats": lambda y, rng: y + rng.random(len(y)),
    "float32": lambda y, rng: (y + rng.random(len(y))).astype("f4"),
    "two columns": lambda y, rng: np.column_stack([y, y + 1.5]),
    "integers": LABELS["integers"],
    "large": lambda y, rng: 1e18 * y,
}
OTHERS = {
    **LABELS,
    **VALUES,
    "nan": lambda y, rng: np.where(np.arange(len(y)) == 0, np.nan, y),
}


@st.composite
def targets(draw, n_rows, *, labels):
    """Make labels or values of many kinds, some of which are of no use."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n_rows += draw(st.sampled_from([0] * 19 + [1]))
    y = rng.integers(draw(st.sampled_from([2, 3, 4, 1])), size=n_rows)
    fitting = LABELS if labels else VALUES
    kinds = draw(st.sampled_from([fitting, fitting, fitting, OTHERS]))
    return kinds[draw(st.sampled_from(sorted(kinds)))](y, rng)


def kind_of_error(error):
    """Name an error by its words, or fail."""
    message = str(error).replace("\n", " ")
    for name, words in ERRORS.items():
        if re.search(words, message):
            return name
    raise AssertionError(f"an unclear error: {error!r}") from error


def outcome(name, function, *args, huge=False, **how):
    """Call a function; return its result, or None after an error that is clear.

    Where numbers are huge, the result may overflow.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Of many of these parameters and data it is true.
        warnings.simplefilter("ignore", DeadModelWarning)
        # The scaler divides by how many values of a column are not NaN.
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning, "sklearn")
        # NumPy says so where float64 weights of a model that all but diverged meet
        # float32 data.
        warnings.filterwarnings("ignore", "overflow encountered in cast")
        try:
            result = function(*args, **how)
        except (ValueError, TypeError) as error:
            kind = f"{type(error).__name__}: {kind_of_error(error)}"
            OUTCOMES[name, kind] += 1
            return None
    finite = is_finite(result)
    assert finite or huge, f"{name} is not finite: {result!r}"
    OUTCOMES[name, "finite" if finite else "overflow of huge numbers"] += 1
    return result


def numbers_in(thing):
    """Give the arrays of a result, or of all that a model has learnt."""
    if hasattr(thing, "get_params"):
        thing = fitted_state(thing)
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, list | tuple):
        for part in thing:
            yield from numbers_in(part)
    elif sparse.issparse(thing):
        yield thing.data
    else:
        values = np.asarray(thing)
        if values.dtype == object:  # numbers, or the labels that a classifier knows
            values = np.array([v for v in values.flat if isinstance(v, Real)], float)
        yield values


def is_finite(result):
    """Whether all numbers of a result, or of a fitted model, are finite."""
    return all(
        np.isfinite(values).all()
        for values in numbers_in(result)
        if values.dtype.kind in "fc"
    )


def fitted_state(model):
    return {name: v for name, v in vars(model).items() if name.endswith("_")}


def is_huge(*things):
    """Whether squares and products of data and weights may leave their type's range."""
    return any(
        np.nan_to_num(np.abs(values), posinf=0).max(initial=0) > HUGE
        for values in numbers_in(things)
        if values.dtype.kind == "f"
    )


def encoder_calls(model):
    """The methods of a fitted encoder, and the functions that measure one."""
    return {
        "transform": model.transform,
        "score": model.score,
        "score_samples": model.score_samples,
        **{
            f"inspection.{name}": measuring(model, name, *more)
            for name, more in MEASURES.items()
        },
    }


MEASURES = {
    "jacobian": (),
    "jacobian_norm": (),
    "reconstruction_losses": (),
    "saturation": (),
    "singular_values": (),
    "tangent_vectors": (2,),
    "contraction_ratio": ([0.1, 1.0],),
    "sample": (),
}


def measuring(model, name, *more):
    return lambda X: getattr(inspection, name)(model, X, *more)
