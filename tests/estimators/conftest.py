"""Fixtures that the tests of single estimators share."""

import numpy as np
import pytest
import sklearn

from skcae._fit.autoencoder import AutoencoderFit
from tests.conftest import MODELS, class_name, maker_of
from tests.estimators.autoencoders import sampled_contractive


@pytest.fixture(params=[*MODELS, sampled_contractive], ids=class_name)
def small(request):
    """Make a small autoencoder of each kind, and of what draws noise among them."""
    return maker_of(request.param)


@pytest.fixture
def enable_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def no_training(monkeypatch):
    """Fail if any layer is trained."""

    def trained(self, *arguments, **how):
        raise AssertionError("a layer was trained")

    monkeypatch.setattr(AutoencoderFit, "train", trained)


@pytest.fixture
def without_rich(monkeypatch):
    monkeypatch.setattr("skcae._fit.verbose.find_spec", lambda name: None)


@pytest.fixture
def X(unit_data):
    return unit_data


@pytest.fixture
def y(X):
    """Labels of three classes that the data tells, as strings."""
    return np.array(["ash", "birch", "cedar"])[X[:, :3].argmax(1)]


@pytest.fixture
def two(X):
    """Labels of two classes."""
    return np.array(["no", "yes"])[(X[:, 0] > 0.5).astype(int)]


@pytest.fixture
def values(X):
    return X[:, 0] - 2 * X[:, 1]


@pytest.fixture
def weights():
    return np.random.default_rng(1).uniform(0.5, 2.0, 40)
