import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from skcae.activations import ACTIVATIONS
from skcae.inspection import jacobian_norm, saturation
from tests import oracles


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
    monkeypatch.setattr("skcae._core.arrays.CHUNK_ELEMENTS", 50)
    assert_allclose(measure(model, unit_data), expected)


@pytest.mark.parametrize("measure", [jacobian_norm, saturation])
def test_wrong_arguments(measure, small, unit_data):
    with pytest.raises(TypeError, match="it is of type PCA"):
        measure(PCA().fit(unit_data), unit_data)
    with pytest.raises(NotFittedError, match="not fitted"):
        measure(small(), unit_data)
    with pytest.raises(ValueError, match="expecting 8 features"):
        measure(small().fit(unit_data), unit_data[:, :3])
