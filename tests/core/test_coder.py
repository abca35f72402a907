"""An encoding layer with its decoder, and where both start."""

import numpy as np
import pytest
import torch

from skcae._core.data.moments import Scaling
from skcae._core.layers.coder import Coder, initial_parameters
from skcae.activations import ACTIVATIONS

CPU = torch.device("cpu")


def started(tied, scaling=None, seed=0):
    return initial_parameters(
        5,
        3,
        tied_weights=tied,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
        device=CPU,
        scaling=scaling,
    )


@pytest.mark.parametrize("tied", [True, False])
def test_layers_share_the_parameters_and_compute_the_formula(tied):
    parameters = started(tied)
    coder = Coder.of(parameters, ACTIVATIONS["tanh"])
    W, b, c = (
        parameters[n] for n in ("components", "intercept_hidden", "intercept_visible")
    )
    V = parameters.get("decoder_components", W)
    assert coder.is_tied is tied
    for parameter in parameters.values():
        parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64))
    X = torch.randn(7, 5, dtype=torch.float64)
    H = torch.tanh(X @ W.T + b)
    torch.testing.assert_close(coder.encoder.outputs(X), H)
    torch.testing.assert_close(coder.decoder.pre_activations(H), H @ V + c)


def test_the_seed_decides_and_untied_weights_are_drawn_after_the_tied():
    tied, untied, other = started(True), started(False), started(True, seed=1)
    assert torch.equal(tied["components"], untied["components"])
    assert not torch.equal(untied["components"], untied["decoder_components"])
    assert not torch.equal(tied["components"], other["components"])
    assert not tied["intercept_hidden"].any()
    assert not tied["intercept_visible"].any()


def test_the_start_encodes_scaled_columns_and_decodes_to_their_means():
    shift, scale = np.array([100.0, 0, -8, 0, 3]), np.array([4.0, 1, 2, 1, 16])
    plain, scaled = started(True), started(True, Scaling(shift, scale))
    X = np.random.default_rng(0).normal(size=(6, 5))
    identity = ACTIVATIONS["identity"]
    expected = Coder.of(plain, identity).encoder.outputs(torch.from_numpy(X))
    found = Coder.of(scaled, identity).encoder.outputs(
        torch.from_numpy(X * scale + shift)
    )
    torch.testing.assert_close(found, expected)
    np.testing.assert_array_equal(scaled["intercept_visible"].numpy(), shift)
