import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcae import Autoencoder, ContractiveAutoencoder
from skcae._core.layers.chain import Chain
from skcae.activations import ACTIVATIONS
from skcae.inspection import _encoder, jacobian, jacobian_norm, saturation
from tests import oracles
from tests.inspection.encoders import (
    HOW,
    KINDS,
    dense_jacobians,
    fitted,
    layers_of,
    stack,
)


def parameters_of(model):
    return {
        name: torch.from_numpy(getattr(model, f"{name}_"))
        for name in ("components", "intercept_hidden")
    }


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_jacobian_norm_equals_the_dense_jacobian(activation, small, unit_data):
    model = small(activation=activation).fit(unit_data)
    dense = oracles.squared_jacobian_norm(
        parameters_of(model), torch.from_numpy(unit_data), activation
    )
    assert_allclose(jacobian_norm(model, unit_data), dense.sqrt(), rtol=1e-12)


def test_saturation_of_a_sigmoid_is_the_papers(small, unit_data):
    model = small().fit(unit_data)
    # Far from the data the units saturate one after the other.
    X = np.linspace(-60, 60, 41)[:, None] * np.ones(8)
    h = model.transform(X)
    expected = ((h < 0.05) | (h > 0.95)).mean(1)
    assert_array_equal(saturation(model, X), expected)
    assert len(set(expected)) > 3


def test_saturation_of_the_others(small, unit_data):
    X = 10 * unit_data - 5
    tanh = small(activation="tanh").fit(unit_data)
    assert_array_equal(saturation(tanh, X), (np.abs(tanh.transform(X)) > 0.9).mean(1))
    relu = small(activation="relu").fit(unit_data)
    assert_array_equal(saturation(relu, X), (relu.transform(X) == 0).mean(1))
    identity = small(activation="identity").fit(unit_data)
    assert not saturation(identity, X).any()


@pytest.mark.parametrize("measure", [jacobian_norm, saturation])
def test_measures_take_what_transform_takes(measure, small, unit_data, monkeypatch):
    model = small().fit(unit_data)
    expected = measure(model, unit_data)
    assert expected.shape == (40,)
    assert_allclose(measure(model, sparse.csr_array(unit_data)), expected)
    assert measure(model, unit_data.astype("f4")).dtype == np.float32
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 50)
    assert_allclose(measure(model, unit_data), expected)


@pytest.mark.parametrize("measure", [jacobian_norm, saturation])
def test_wrong_arguments(measure, small, unit_data):
    with pytest.raises(TypeError, match="is made of PCA"):
        measure(PCA().fit(unit_data), unit_data)
    wrong = make_pipeline(small().fit(unit_data), PCA())
    with pytest.raises(TypeError, match=r"PCA follows an encoder.*: pipeline\[:-1\]\."):
        measure(wrong, unit_data)
    with pytest.raises(NotFittedError, match="not fitted"):
        measure(small(), unit_data)
    with pytest.raises(ValueError, match="expecting 8 features"):
        measure(small().fit(unit_data), unit_data[:, :3])


@pytest.mark.parametrize("kind", KINDS)
def test_jacobian_equals_the_dense_jacobian(kind, unit_data, monkeypatch):
    encoder, layers, X = fitted(kind, unit_data)
    dense = dense_jacobians(*layers, X)
    assert_allclose(jacobian(encoder, unit_data), dense, rtol=1e-10, atol=1e-14)
    single = jacobian(encoder, unit_data.astype("f4"))
    assert single.dtype == np.float32
    assert_allclose(single, dense, rtol=1e-3, atol=1e-5)
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 100)
    assert_allclose(jacobian(encoder, unit_data), dense, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("sizes", [(6,), (6, 5), (12, 5), (5, 12, 4), (9, 3, 7, 2)])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
# Two units of relu may be 0 at all rows, and are here.
@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_jacobian_norm_of_a_stack_equals_the_dense_jacobian(
    activation, sizes, unit_data, monkeypatch
):
    model = stack(sizes, activation).fit(unit_data)
    dense = dense_jacobians(
        layers_of(*model.estimators_), [activation] * len(sizes), unit_data
    )
    expected = dense.square().sum((1, 2))
    assert_allclose(jacobian_norm(model, unit_data) ** 2, expected, rtol=1e-10)
    assert_allclose(
        jacobian_norm(model, unit_data, mean_square=True),
        dense.square().mean((1, 2)),
        rtol=1e-10,
    )
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 100)
    assert_allclose(jacobian_norm(model, unit_data) ** 2, expected, rtol=1e-10)


def test_a_stack_and_the_pipeline_of_its_layers_measure_the_same(unit_data):
    model = stack((6, 5)).fit(unit_data)
    pipeline = make_pipeline(*model.estimators_)
    nested = make_pipeline(make_pipeline(model.estimators_[0]), model.estimators_[1])
    for measure in (jacobian_norm, saturation):
        expected = measure(model, unit_data)
        assert_array_equal(measure(pipeline, unit_data), expected)
        assert_array_equal(measure(nested, unit_data), expected)
        assert_array_equal(measure(FrozenEstimator(pipeline), unit_data), expected)


def test_what_precedes_the_encoder_is_not_differentiated(unit_data):
    X = 7 * unit_data - 3
    pipeline = make_pipeline(
        StandardScaler(), PCA(5), Autoencoder(4, max_iter=12, tol=0.5, random_state=0)
    ).fit(X)
    features = pipeline[:2].transform(X)
    for measure in (jacobian_norm, saturation):
        assert_array_equal(measure(pipeline, X), measure(pipeline[2], features))


def test_rbms_are_measured_as_sigmoid_layers(unit_data):
    first = BernoulliRBM(6, n_iter=3, random_state=0)
    second = ContractiveAutoencoder(4, activation="tanh", jacobian_penalty=1e-5, **HOW)
    pipeline = make_pipeline(first, second).fit(unit_data)
    dense = dense_jacobians(layers_of(first, second), ["sigmoid", "tanh"], unit_data)
    assert_allclose(
        jacobian_norm(pipeline, unit_data), dense.square().sum((1, 2)).sqrt()
    )
    h = first.transform(unit_data)
    assert_array_equal(saturation(first, unit_data), ((h < 0.05) | (h > 0.95)).mean(1))


def test_saturation_of_a_stack_is_that_of_its_code(unit_data):
    model = stack((6, 5)).fit(unit_data)
    X = 50 * unit_data - 25
    h = model.transform(X)
    assert_array_equal(saturation(model, X), ((h < 0.05) | (h > 0.95)).mean(1))


def test_products_are_built_for_a_few_samples_at_a_time(unit_data, monkeypatch):
    """However many rows there are, as many numbers as a chunk holds."""
    model = stack((30, 20)).fit(unit_data)
    X = np.repeat(unit_data, 20, axis=0)
    largest = []

    def spy(layers, slopes, first, product=Chain._product):
        largest.append(product(layers, slopes, first).numel())
        return product(layers, slopes, first)

    monkeypatch.setattr(Chain, "_product", spy)
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 3000)
    assert jacobian_norm(model, X).shape == (800,)
    assert max(largest) <= 3000


def test_an_encoder_of_other_features_is_refused(unit_data):
    model = stack((6, 5)).fit(unit_data)
    with pytest.raises(ValueError, match="expecting 8 features"):
        jacobian_norm(model, unit_data[:, :5])
    pipeline = make_pipeline(PCA(3).fit(unit_data), model.estimators_[0])
    with pytest.raises(ValueError, match="fitted on 8 features, but it is given 3"):
        jacobian_norm(pipeline, unit_data)


@pytest.mark.parametrize(
    ("devices", "asked"),
    [([None, "meta"], "meta"), (["meta", "cpu"], "meta"), ([None], "cpu")],
)
def test_the_device_is_that_of_the_first_encoder_that_has_one(
    devices, asked, unit_data, monkeypatch
):
    """scikit-learn's have none."""
    layers = [
        BernoulliRBM(6, n_iter=1, random_state=0)
        if device is None
        else ContractiveAutoencoder(6, jacobian_penalty=1e-5, **HOW)
        for device in devices
    ]
    pipeline = make_pipeline(*layers).fit(unit_data)
    for layer, device in zip(layers, devices, strict=True):
        if device is not None:
            layer.device = device
    seen = []

    def spy(device, dtype):
        seen.append(device)
        return torch.device("cpu")

    monkeypatch.setattr(_encoder, "resolve_device_or_cpu", spy)
    jacobian_norm(pipeline, unit_data)
    assert seen == [asked]
