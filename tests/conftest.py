"""Fixtures that the tests share."""

import gc
import os
from pathlib import Path

# Lets scikit-learn run its check of array API input; scipy reads it when imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest
import skops.io
import torch
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_digits

from skcae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skcae.persistence._written import as_written

# The models here are too small to gain from a second thread.
torch.set_num_threads(1)


# Generated cases: the same few in each run, or with `--hypothesis-profile=long` many
# new ones. benchmarks/robustness/fuzz.py counts what comes of those.
cases = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
settings.register_profile("short", cases, max_examples=120, derandomize=True)
long = settings(cases, max_examples=4000)
settings.register_profile("long", long)
settings.load_profile("short")


@pytest.fixture(autouse=True)
def seeded():
    """Start each test from the same draws, where a model or a module has no seed."""
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits():
    """Digits with values in [0, 1], and their labels."""
    X, y = load_digits(return_X_y=True)
    return X / 16.0, y


@pytest.fixture
def unit_data():
    """Forty rows of eight features in [0, 1]."""
    return np.random.default_rng(0).random((40, 8))


def maker_of(cls):
    """Make small autoencoders of a class, which fit in milliseconds."""

    def make(**parameters):
        defaults = {
            "n_components": 6,
            "learning_rate": 0.01,
            "max_iter": 12,
            "tol": 0.5,
            "random_state": 0,
        }
        return cls(**{**defaults, **parameters})

    return make


def class_name(cls):
    return cls.__name__


MODELS = [ContractiveAutoencoder, Autoencoder, DenoisingAutoencoder]


@pytest.fixture(params=MODELS, ids=class_name)
def small(request):
    """Make a small autoencoder of each kind."""
    return maker_of(request.param)


@pytest.fixture(params=[ContractiveAutoencoder, Autoencoder], ids=class_name)
def small_weighted(request):
    """Make a small autoencoder of each kind to which a weight of 2 is the row twice."""
    return maker_of(request.param)


@pytest.fixture
def small_contractive():
    """Make a small contractive autoencoder."""
    return maker_of(ContractiveAutoencoder)


@pytest.fixture
def layer():
    """Make random float64 parameters of a layer with n_components and n_features."""

    def make(n_components=5, n_features=4, *, tied=True, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        parameters = {
            "components": draw(n_components, n_features),
            "intercept_hidden": draw(n_components),
            "intercept_visible": draw(n_features),
        }
        if not tied:
            parameters["decoder_components"] = draw(n_components, n_features)
        return parameters

    return make


def pytest_collection_finish():
    """Spare collections of garbage what is imported: it stays to the end."""
    gc.collect()
    gc.freeze()


def write_unchecked(estimator, path):
    """Write an estimator as it is, also one that `save` refuses."""
    Path(path).write_bytes(skops.io.dumps(as_written(estimator)))
