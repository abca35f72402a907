"""An encoding layer with its decoder, and where both start."""

import numpy as np
import pytest
import torch

from skcae._core.data.moments import Scaling
from skcae._core.layers.coder import Coder, initial_parameters
from skcae.activations import ACTIVATIONS

CPU = torch.device("cpu")


def started(tied, scaling=None, seed=0, n_units=3, **how):
    return initial_parameters(
        5,
        n_units,
        tied_weights=tied,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
        device=CPU,
        scaling=scaling,
        **how,
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


@pytest.mark.parametrize("tied", [True, False])
def test_biases_are_spread_and_the_weights_are_those_without(tied):
    scaling = Scaling(np.full(5, 3.0), np.full(5, 4.0))
    plain = started(tied, scaling, n_units=4000)
    spread = started(tied, scaling, n_units=4000, bias_spread=2.5)
    added = spread.pop("intercept_hidden") - plain.pop("intercept_hidden")
    assert added.std() == pytest.approx(2.5, rel=0.05)
    assert added.mean().abs() < 0.2
    assert all(torch.equal(spread[name], plain[name]) for name in plain)


def test_spread_biases_are_the_same_in_single_precision():
    single, double = (
        initial_parameters(
            2,
            50,
            tied_weights=True,
            generator=torch.Generator().manual_seed(0),
            dtype=dtype,
            device=CPU,
            bias_spread=3.0,
        )["intercept_hidden"]
        for dtype in (torch.float32, torch.float64)
    )
    assert torch.equal(single, double.float())


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
