"""What a few rows say of a layer, against plain NumPy."""

import math

import numpy as np
import pytest
import torch

from skcae._core.data.rows import Rows, evenly_spaced
from skcae._core.layers.coder import initial_parameters
from skcae._core.steps.diagnosis import look_at
from skcae._core.steps.objective import Objective
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES


@pytest.fixture
def X():
    return torch.rand(30, 4, generator=torch.Generator().manual_seed(0)).double()


def parameters_of(n_features=4, n_components=3, scale=1.0):
    generator = torch.Generator().manual_seed(1)
    W = torch.randn(n_components, n_features, generator=generator).double()
    return {
        "components": scale * W,
        "intercept_hidden": torch.linspace(-1, 1, n_components).double(),
        "intercept_visible": torch.linspace(0, 1, n_features).double(),
    }


def objective(activation="sigmoid", loss="squared_error"):
    return Objective(ACTIVATIONS[activation], LOSSES[loss])


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("weighted", [False, True])
def test_findings_are_those_of_numpy(loss, weighted, X):
    parameters = parameters_of()
    weights = torch.linspace(0, 2, 30).double() if weighted else None
    found = look_at(objective(loss=loss), parameters, X, weights)
    W, b, c = (parameter.numpy() for parameter in parameters.values())
    rows, part = X.numpy(), np.ones(30) if weights is None else weights.numpy()
    H = 1 / (1 + np.exp(-(rows @ W.T + b)))
    Z = H @ W + c
    Z = 1 / (1 + np.exp(-Z)) if loss == "cross_entropy" else Z

    def mean(values):
        return np.average(values, axis=0, weights=part)

    variance = mean((rows - mean(rows)) ** 2).sum()
    explained = 1 - mean((rows - Z) ** 2).sum() / variance
    np.testing.assert_allclose(found.explained, explained)
    deviation = np.sqrt(mean((H - mean(H)) ** 2).mean())
    np.testing.assert_allclose(found.deviation, deviation)
    fresh = 0.25 * np.sqrt(2 / (4 + 3) * variance)
    np.testing.assert_allclose(found.shrinkage, deviation / fresh)
    widest = np.sqrt(mean((rows - mean(rows)) ** 2)).max()
    np.testing.assert_allclose(found.widest, widest)
    assert not found.are_flat


def test_the_mean_explains_nothing_and_the_rows_all(X):
    parameters = parameters_of(n_components=4)
    parameters["components"] = torch.eye(4).double()
    parameters["intercept_hidden"].zero_()
    parameters["intercept_visible"].zero_()
    assert look_at(objective("identity"), parameters, X, None).explained == 1
    parameters["components"] = torch.zeros(4, 4).double()
    parameters["intercept_visible"] = X.mean(0)
    found = look_at(objective("identity"), parameters, X, None)
    assert abs(found.explained) < 1e-12
    assert found.deviation == 0


def test_far_out_all_units_are_flat(X):
    far = parameters_of(scale=1.0)
    far["intercept_hidden"] += 100
    assert look_at(objective(), far, X, None).are_flat
    assert not look_at(objective("identity"), far, X, None).are_flat


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e6])
def test_rows_that_are_all_alike_explain_nothing(value):
    rows = torch.full((5, 4), value).double()
    assert math.isnan(look_at(objective(), parameters_of(), rows, None).explained)


def test_fresh_weights_have_not_shrunk():
    """Whatever the size of the layer, and of the rows."""
    generator = torch.Generator().manual_seed(0)
    for d, h, scale in ((300, 40, 0.2), (20, 200, 0.1), (2000, 50, 0.01)):
        rows = scale * torch.randn(200, d, generator=generator).double()
        fresh = initial_parameters(
            d,
            h,
            tied_weights=True,
            generator=generator,
            dtype=torch.float64,
            device=rows.device,
        )
        for activation in ("sigmoid", "tanh", "identity"):
            found = look_at(objective(activation), fresh, rows, None)
            assert 0.8 < found.shrinkage < 1.2


def test_some_rows_come_from_all_over():
    np.testing.assert_array_equal(evenly_spaced(10, 5), [0, 2, 4, 6, 8])
    np.testing.assert_array_equal(evenly_spaced(3, 5), [0, 1, 2])
    matrix = np.arange(20.0).reshape(10, 2)
    weights = np.arange(10.0)
    rows = Rows(
        matrix,
        weights,
        dtype=matrix.dtype,
        device=torch.device("cpu"),
        subset=np.array([1, 3, 5, 7]),
    )
    some, theirs = rows.some(2)
    np.testing.assert_array_equal(some.numpy(), matrix[[1, 5]])
    np.testing.assert_array_equal(theirs.numpy(), [1, 5])
