"""What an encoder refuses, and in which words."""

import numpy as np
import pytest
import torch
from scipy import sparse

from skcae.activations import ACTIVATIONS
from tests.promises.kinds import assert_same_model


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize(("low", "high"), [(0.0, 16.0), (-0.5, 1.0)])
def test_cross_entropy_refuses_other_ranges(make, low, high, encoder, unit_data):
    X = unit_data.copy()
    X[0, 0], X[1, 1] = low, high
    smallest = f"{X.min():g}" if low < 0 else "0"
    with pytest.raises(ValueError, match=rf"ranges from {smallest}.* to {high:g}") as e:
        encoder(loss="cross_entropy").fit(make(X))
    assert "MinMaxScaler" in str(e.value)
    assert "squared_error" in str(e.value)


@pytest.mark.parametrize(
    ("dtype", "rounding"), [("f2", 2e-3), ("f4", 1e-6), ("f8", 1e-9)]
)
def test_cross_entropy_forgives_rounding(dtype, rounding, single, unit_data):
    X = unit_data.astype(dtype)
    X[0, 0], X[0, 1] = 1 + 0.5 * rounding, -0.5 * rounding
    over = single(loss="cross_entropy").fit(X)
    clipped = single(loss="cross_entropy").fit(X.clip(0, 1))
    assert_same_model(over, clipped)
    X[0, 0] = 1 + 3 * rounding
    with pytest.raises(ValueError, match="cross_entropy"):
        single(loss="cross_entropy").fit(X)


def test_a_small_step_over_the_range_is_shown(encoder, unit_data):
    X = unit_data.copy()
    X[0, 0] = 1 + 1e-7
    with pytest.raises(ValueError, match=r"to 1\.0000001\."):
        encoder(loss="cross_entropy").fit(X)


def test_cross_entropy_encodes_and_scores_any_finite_data(encoder, unit_data):
    model = encoder(loss="cross_entropy", early_stopping=True)
    model.fit(unit_data, X_val=1.5 * unit_data - 0.25)
    beyond = 3 * unit_data - 1
    assert np.isfinite(model.transform(beyond)).all()
    assert np.isfinite(model.score_samples(beyond)).all()
    assert np.isfinite(model.score(beyond))


@pytest.mark.parametrize("activation", ["softmax", "gelu", torch.softmax, None])
def test_an_activation_we_do_not_know_is_refused_with_the_list(
    activation, encoder, unit_data
):
    with pytest.raises(ValueError, match="'activation' parameter") as caught:
        encoder(activation=activation).fit(unit_data)
    for name in ACTIVATIONS:
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_hessian_penalty_without_effect_is_refused(
    activation, method, small_contractive, unit_data
):
    model = small_contractive(activation=activation, hessian_penalty=0.5)
    with pytest.raises(ValueError, match=r"hessian_penalty=0.5 would have no effect"):
        getattr(model, method)(unit_data)
