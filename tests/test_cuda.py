"""What is trained or measured on a CUDA device, beside the processor."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.frozen import FrozenEstimator
from torch import nn

from skcae import (
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    FineTunedClassifier,
    ModuleAutoencoder,
    StackedCAE,
)
from skcae.inspection import (
    contraction_ratio,
    jacobian,
    jacobian_norm,
    sample,
    saturation,
    singular_values,
    tangent_vectors,
)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

HOW = {"max_iter": 12, "tol": 0.5, "random_state": 0}


@pytest.fixture(params=[0.0, 0.5], ids=["by the batch", "resident"])
def resident_part(request, monkeypatch):
    monkeypatch.setattr("skcae._core.data.tensors.RESIDENT_PART", request.param)


@pytest.mark.usefixtures("resident_part")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_fit_with_weights(solver, digits):
    X, _ = digits
    weights = np.linspace(0.5, 1.5, len(X))
    how = {**HOW, "solver": solver, "learning_rate": 0.01}
    on_cpu, on_cuda = (
        ContractiveAutoencoder(6, device=device, **how).fit(X, sample_weight=weights)
        for device in ("cpu", "cuda")
    )
    assert_allclose(on_cuda.components_, on_cpu.components_, rtol=1e-6)
    assert_allclose(on_cuda.transform(X), on_cpu.transform(X), rtol=1e-6)


def gelu_encoder(n_features):
    return nn.Sequential(nn.Linear(n_features, 12), nn.GELU(), nn.Linear(12, 6))


NETWORKS = {
    "deep": lambda **how: DeepCAE((12, 6), jacobian_method="exact", **how),
    "probes": lambda **how: DeepCAE((12, 6), jacobian_method="probes", **how),
    "convolution": lambda **how: ConvolutionalCAE(
        4, 3, image_shape=(8, 8), pool="max", **how
    ),
    "modules": lambda **how: ModuleAutoencoder(gelu_encoder, **how),
}


@pytest.mark.usefixtures("resident_part")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_with_probes_of_the_processor(name, digits):
    X, _ = digits
    on_cpu, on_cuda = (
        NETWORKS[name](device=device, **HOW).fit(X) for device in ("cpu", "cuda")
    )
    for key, weights in on_cpu.parameters_.items():
        assert_allclose(
            on_cuda.parameters_[key], weights, rtol=1e-5, atol=1e-7, err_msg=key
        )
    assert_allclose(on_cuda.transform(X), on_cpu.transform(X), rtol=1e-5)
    norms = jacobian_norm(on_cpu, X[:20])
    assert_allclose(jacobian_norm(on_cuda, X[:20]), norms, rtol=1e-5)


@pytest.mark.usefixtures("resident_part")
@pytest.mark.parametrize("corruption", ["gaussian", "masking"])
def test_the_noise_is_the_processors(corruption, digits):
    X, _ = digits
    on_cpu, on_cuda = (
        DenoisingAutoencoder(
            6, corruption=corruption, early_stopping=True, device=device, **HOW
        ).fit(X)
        for device in ("cpu", "cuda")
    )
    assert_allclose(on_cuda.components_, on_cpu.components_, rtol=1e-5)


@pytest.mark.parametrize("corruption", ["gaussian", "masking"])
def test_noise_that_is_drawn_there_is_the_same_each_time(corruption, digits):
    X, _ = digits
    how = {"corruption": corruption, "early_stopping": True, "device": "cuda", **HOW}
    there, again, here = (
        DenoisingAutoencoder(6, noise_on_device=on_device, **how).fit(X)
        for on_device in (True, True, False)
    )
    assert_allclose(again.components_, there.components_, rtol=1e-5)
    assert not np.allclose(here.components_, there.components_, rtol=1e-5)


@pytest.mark.usefixtures("resident_part")
@pytest.mark.parametrize("tied", [True, False])
def test_the_noise_of_a_sampled_penalty_is_the_processors(tied, digits):
    X, _ = digits
    on_cpu, on_cuda = (
        ContractiveAutoencoder(
            6,
            hessian_penalty=0.1,
            hessian_noise=0.3,
            tied_weights=tied,
            early_stopping=True,
            device=device,
            **HOW,
        ).fit(X)
        for device in ("cpu", "cuda")
    )
    assert_allclose(on_cuda.components_, on_cpu.components_, rtol=1e-5)


@pytest.mark.usefixtures("resident_part")
def test_stacks_and_networks(digits):
    X, y = digits
    stacks = [
        StackedCAE((6, 5), device=device, **HOW).fit(X) for device in ("cpu", "cuda")
    ]
    assert_allclose(stacks[1].transform(X), stacks[0].transform(X), rtol=1e-5)
    assert_allclose(stacks[1].score(X), stacks[0].score(X), rtol=1e-5)
    for measure in (
        jacobian,
        jacobian_norm,
        saturation,
        lambda encoder, X: singular_values(encoder, X, 2).sample_values,
        lambda encoder, X: tangent_vectors(encoder, X, 1),
        lambda encoder, X: contraction_ratio(encoder, X, [1.0], random_state=0).mean,
        lambda encoder, X: sample(encoder, X, n_steps=2, random_state=0),
    ):
        on_cpu, on_cuda = (measure(encoder, X) for encoder in stacks)
        assert_allclose(on_cuda, on_cpu, rtol=1e-4, atol=1e-7)
    for penalty, n_rows in ((0.0, None), (0.5, None), (0.5, 20)):
        networks = [
            FineTunedClassifier(
                FrozenEstimator(stacks[0]),
                tangent_penalty=penalty,
                n_tangents=2,
                n_tangent_rows=n_rows,
                early_stopping=True,
                device=device,
                **HOW,
            ).fit(X, y, sample_weight=np.linspace(0.5, 1.5, len(X)))
            for device in ("cpu", "cuda")
        ]
        assert_allclose(
            networks[1].decision_function(X),
            networks[0].decision_function(X),
            rtol=1e-4,
        )
