"""The modes of torch that a program is in make no difference to a model."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from torch import nn

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    FineTunedClassifier,
    ModuleAutoencoder,
    PatchEncoder,
    StackedCAE,
)
from skcae.inspection import jacobian_norm, sample, singular_values, tangent_vectors

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def module(n_features):
    return nn.Sequential(nn.Linear(n_features, 8), nn.Tanh())


HOW = {"max_iter": 3, "random_state": 0}
GREY = {"image_shape": (6, 6), **HOW}
KMEANS = KMeans(3, n_init=1, random_state=0)
MODELS = {
    "contractive": ContractiveAutoencoder(6, hessian_penalty=0.1, **HOW),
    "sampled": ContractiveAutoencoder(6, hessian_penalty=0.1, hessian_noise=0.1, **HOW),
    "denoising": DenoisingAutoencoder(6, **HOW),
    "stack": StackedCAE((6, 4), **HOW),
    "deep": DeepCAE((6, 4), **HOW),
    "probed": DeepCAE((6, 4), jacobian_method="probes", **HOW),
    "convolutional": ConvolutionalCAE((3, 2), 3, pool="average", **GREY),
    "max-pooled": ConvolutionalCAE(3, 3, pool="max", **GREY),
    "module": ModuleAutoencoder(module, **HOW),
    "patches": PatchEncoder(
        ContractiveAutoencoder(4, **HOW), patch_size=3, random_state=0
    ),
    "k-means": PatchEncoder(KMEANS, patch_size=3, random_state=0),
}
MODES = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    # Whatever is made there by mistake has no numbers.
    "device": partial(torch.device, "meta"),
}
X = np.random.default_rng(0).random((40, 36)).astype("f4")


def answers(model):
    """What a model gives that is fitted and asked here."""
    encoder = clone(model).fit(X)
    tangents = {"tangent_penalty": 0.1, "n_tangents": 2, "n_tangent_rows": 9}
    network = FineTunedClassifier(FrozenEstimator(encoder), **tangents, **HOW)
    found = {
        "codes": encoder.transform(X),
        "norms": jacobian_norm(encoder, X[:5]),
        "singular values": singular_values(encoder, X[:5]).sample_values,
        "tangents": np.abs(tangent_vectors(encoder, X[:5], 2)),
        "network": network.fit(X, np.arange(40) % 3).predict_proba(X),
    }
    if not isinstance(encoder, PatchEncoder):
        found["walk"] = sample(encoder, X[:5], n_steps=2, random_state=0)
    if hasattr(encoder, "partial_fit"):
        found["a pass more"] = encoder.partial_fit(X).transform(X)
    return found


@pytest.fixture(scope="module")
def expected():
    return {name: answers(model) for name, model in MODELS.items()}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("name", MODELS)
def test_they_make_no_difference(name, mode, expected):
    with mode():
        found = answers(MODELS[name])
    for what, values in expected[name].items():
        assert_allclose(found[what], values, rtol=1e-4, atol=1e-5, err_msg=what)
        assert np.ptp(values) > 0


@pytest.mark.parametrize("name", MODELS)
def test_a_model_fitted_outside_is_asked_inside(name):
    encoder = clone(MODELS[name]).fit(X)
    norms = jacobian_norm(encoder, X)
    with torch.inference_mode():
        assert_allclose(jacobian_norm(encoder, X), norms, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(5, solver="sgd", momentum=0.0, **HOW),
        ContractiveAutoencoder(5, reconstruction_sampling=0.2, **HOW),
    ],
    ids=["factored", "sampled"],
)
def test_nor_to_sparse_steps(model, mode):
    rows = sparse.random(60, 200, 0.05, format="csr", random_state=0, dtype="f4")
    plain = clone(model).fit(rows).transform(rows)
    with mode():
        assert_allclose(clone(model).fit(rows).transform(rows), plain, rtol=1e-4)
