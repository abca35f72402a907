"""Each promise is kept by every estimator, or by those that the promise is about."""

import pytest

from tests.promises.kinds import ENCODERS, EVERY, LAYERS, NETWORKS


def name_of(kind):
    return kind.name


@pytest.fixture(params=EVERY, ids=name_of)
def kind(request):
    """Make a small model of each estimator."""
    return request.param


@pytest.fixture(params=ENCODERS, ids=name_of)
def encoder(request):
    """Make a small model of each encoder."""
    return request.param


@pytest.fixture(params=[*LAYERS, *NETWORKS], ids=name_of)
def single(request):
    """Make a small model of each encoder that one training fits."""
    return request.param


@pytest.fixture(params=[kind for kind in EVERY if kind.repeats], ids=name_of)
def repeating(request):
    """Make a small model to which a weight of 2 is the row twice."""
    return request.param
