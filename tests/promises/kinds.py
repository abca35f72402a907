"""A small model of each estimator, which fits in milliseconds, and how they compare."""

from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from torch import nn

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    ModuleAutoencoder,
    StackedCAE,
)

HOW = {"learning_rate": 0.01, "max_iter": 12, "tol": 0.5, "random_state": 0}
# Nothing falls by more than all of it: a fit always settles.
TUNING = {**HOW, "tol": 1.0, "n_iter_no_change": 3}


def labels(X):
    """Labels of three classes that the data tells."""
    return np.array(["ash", "birch", "cedar"])[X[:, :3].argmax(1)]


def values(X):
    return X[:, 0] - 2 * X[:, 1]


@dataclass(frozen=True)
class Kind:
    """Makes models of one estimator, and knows what there is to ask them."""

    name: str
    cls: type
    defaults: dict
    methods: tuple[str, ...] = ("transform", "score_samples")
    learns: object = None
    #: Whether a row of weight 2 is that row twice.
    repeats: bool = True

    def __call__(self, **parameters):
        return self.cls(**{**deepcopy(self.defaults), **parameters})

    def target(self, X):
        """What is to be learnt of these rows, if anything is."""
        return self.learns(X) if self.learns else None

    def held_out(self, X):
        return {"X_val": X, "y_val": self.learns(X)} if self.learns else {"X_val": X}

    def answers(self, model, X):
        return [getattr(model, method)(X) for method in self.methods]


ONE_LAYER = {"n_components": 6, **HOW}
encoder = partial(ContractiveAutoencoder, **ONE_LAYER)
SAMPLED = {"hessian_penalty": 0.1, "hessian_noise": 0.2}
LAYERS = [
    Kind("contractive", ContractiveAutoencoder, ONE_LAYER),
    Kind("autoencoder", Autoencoder, ONE_LAYER),
    Kind("denoising", DenoisingAutoencoder, ONE_LAYER, repeats=False),
    Kind("sampled", ContractiveAutoencoder, {**ONE_LAYER, **SAMPLED}, repeats=False),
]
STACK = Kind("stack", StackedCAE, {"hidden_layer_sizes": (6, 4), **HOW})
DEEP = {"hidden_layer_sizes": (6, 4), **HOW}
PROBED = {"jacobian_method": "probes", "decoder_jacobian_penalty": 0.01}
CONVOLUTIONAL = {"n_filters": 4, "kernel_size": 3, "pool": "max", **HOW}
POOLED = {"n_filters": (4, 3), "pool": "average", **PROBED}


def hidden_layers(n_features):
    """An encoder of two layers that skcae has none of."""
    return nn.Sequential(nn.Linear(n_features, 6), nn.GELU(), nn.Linear(6, 4))


def curved_output(n_features):
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, n_features))


NETWORKS = [
    Kind("deep", DeepCAE, DEEP),
    Kind("probed", DeepCAE, {**DEEP, **PROBED}, repeats=False),
    Kind(
        "modules",
        ModuleAutoencoder,
        {"encoder": hidden_layers, "decoder": curved_output, **HOW},
    ),
    Kind("convolutional", ConvolutionalCAE, CONVOLUTIONAL),
    Kind("pooled", ConvolutionalCAE, {**CONVOLUTIONAL, **POOLED}, repeats=False),
]
ENCODERS = [*LAYERS, *NETWORKS, STACK]
TUNED = [
    Kind(
        "classifier",
        FineTunedClassifier,
        {"encoder": encoder(), **TUNING},
        methods=("predict", "decision_function", "predict_proba"),
        learns=labels,
    ),
    Kind(
        "regressor",
        FineTunedRegressor,
        {"encoder": encoder(), **TUNING},
        methods=("predict",),
        learns=values,
    ),
]
EVERY = [*ENCODERS, *TUNED]


def parts(value, name="", *, exact=False):
    """Give what a model has learnt by its path, but for the names of columns.

    If it is to be exactly the same, what training would go on from is a part, too.
    """
    if isinstance(value, BaseEstimator):
        kept = {
            key: part
            for key, part in vars(value).items()
            if (key not in value.get_params() if exact else key.endswith("_"))
            and key not in ("feature_names_in_", "_skl_callbacks")
        }
        yield from parts(kept, name, exact=exact)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from parts(part, f"{name}.{key}", exact=exact)
    elif isinstance(value, list | tuple):
        for k, part in enumerate(value):
            yield from parts(part, f"{name}.{k}", exact=exact)
    else:
        yield name, value


def assert_close(one, other, name="", **tolerance):
    if np.asarray(one).dtype.kind in "fiub":
        assert_allclose(one, other, err_msg=name, **tolerance)
    else:
        assert_array_equal(one, other, err_msg=name)


def assert_same_model(one, other, rtol=0, atol=0):
    """The same model, to the last bit if there is no tolerance."""
    exact = rtol == atol == 0
    mine, yours = (dict(parts(model, exact=exact)) for model in (one, other))
    assert mine.keys() == yours.keys()
    for name, value in mine.items():
        assert_close(value, yours[name], name, rtol=rtol, atol=atol)


def is_same_model(one, other):
    try:
        assert_same_model(one, other)
    except AssertionError:
        return False
    return True
