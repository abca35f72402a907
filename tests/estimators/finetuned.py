"""What the tests of fine-tuning share."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    StandardScaler,
)

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)

HOW = {"learning_rate": 0.01, "max_iter": 12, "tol": 0.5, "random_state": 0}
# Codes of so few epochs bear the default λ if biases start at zero.
LAYERS = {**HOW, "bias_spread": 0}


contractive = partial(ContractiveAutoencoder, n_components=6, **LAYERS)


basic = partial(Autoencoder, n_components=6, **LAYERS)


denoising = partial(DenoisingAutoencoder, n_components=6, **LAYERS)


stack = partial(StackedCAE, (6, 5), **LAYERS)


rbm = partial(BernoulliRBM, n_components=6, n_iter=3, random_state=0)


#: Every kind of encoder, from the data that frozen parts are fitted on.
ENCODERS = {
    "contractive": lambda X: contractive(),
    "autoencoder": lambda X: basic(activation="tanh", tied_weights=False),
    "denoising": lambda X: denoising(activation="relu"),
    "stack": lambda X: stack(activation="elu"),
    "rbm": lambda X: rbm(),
    "three rbms": lambda X: make_pipeline(rbm(), rbm(), rbm(n_components=4)),
    "ours": lambda X: make_pipeline(
        contractive(activation="tanh"), basic(), stack(jacobian_penalty=1e-4)
    ),
    "mixed": lambda X: make_pipeline(contractive(), rbm(), denoising()),
    "nested": lambda X: make_pipeline(
        make_pipeline(StandardScaler(), PCA(7)),
        make_pipeline(make_pipeline(contractive()), denoising()),
    ),
    "preprocessed": lambda X: make_pipeline(
        StandardScaler(), PCA(5, random_state=0), contractive()
    ),
    "passthrough": lambda X: Pipeline(
        [
            ("no scaler", "passthrough"),
            ("code", contractive()),
            ("nothing", None),
            ("last", "passthrough"),
        ]
    ),
    "frozen": lambda X: FrozenEstimator(contractive().fit(X[:20])),
    "frozen pipeline": lambda X: FrozenEstimator(
        make_pipeline(StandardScaler(), contractive(), rbm()).fit(X[:20])
    ),
    "frozen scaler": lambda X: make_pipeline(
        FrozenEstimator(StandardScaler().fit(X[:20])), contractive()
    ),
    "frozen first layer": lambda X: make_pipeline(
        FrozenEstimator(contractive().fit(X[:20])), basic()
    ),
}


def tuned(cls, encoder=None, **parameters):
    """Make a small estimator that fits in milliseconds."""
    encoder = contractive() if encoder is None else encoder
    # Nothing falls by more than all of it: a fit always settles.
    return cls(encoder, **{**HOW, "tol": 1.0, "n_iter_no_change": 3, **parameters})


classifier = partial(tuned, FineTunedClassifier)


regressor = partial(tuned, FineTunedRegressor)


both = pytest.mark.parametrize(
    "make", [classifier, regressor], ids=["classifier", "regressor"]
)


def fitted_state(estimator):
    return {name: v for name, v in vars(estimator).items() if name.endswith("_")}


def assert_same_network(one, other, **tolerance):
    for name in ("coefs_", "intercepts_"):
        parts = zip(getattr(one, name), getattr(other, name), strict=True)
        for k, (mine, yours) in enumerate(parts):
            assert_allclose(mine, yours, err_msg=f"{name}[{k}]", **tolerance)


def same_network(one, other):
    return all(
        np.array_equal(mine, yours)
        for mine, yours in zip(one.coefs_, other.coefs_, strict=True)
    )


# Noise, learnt fast: the best epoch is not the last.
NOISY = {
    "learning_rate_schedule": "constant",
    "learning_rate": 0.05,
    "max_iter": 60,
    "tol": 0.0,
    "n_iter_no_change": 10,
    "early_stopping": True,
    "encoder_rate_factor": 1.0,
    "alpha": 0.0,
}
