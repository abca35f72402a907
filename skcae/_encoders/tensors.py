"""Between an encoder's layers, torch's parameters and NumPy attributes."""

from typing import Any

import numpy as np
import torch

from skcae._core.data.arrays import Array, to_array, to_tensor, working_dtype
from skcae._core.data.evaluation import map_rows
from skcae._core.data.rows import Rows
from skcae._core.layers.chain import Layers
from skcae._core.layers.dense import Parameters
from skcae._core.steps.supervised import Network, initial_output, largest, widest
from skcae._encoders.steps import EncodingLayer
from skcae.activations import ACTIVATIONS


def network_of(activations: list[str]) -> Network:
    """Return a network with these hidden layers."""
    return Network(tuple(ACTIVATIONS[name] for name in activations))


def network_parameters(
    weights: list[Array],
    intercepts: list[Array],
    dtype: np.dtype[Any],
    device: torch.device,
) -> Parameters:
    """Return the parameters of a network as tensors, to be read only."""
    return {
        **{f"coefs.{k}": to_tensor(W, dtype, device) for k, W in enumerate(weights)},
        **{
            f"intercepts.{k}": to_tensor(b, dtype, device)
            for k, b in enumerate(intercepts)
        },
    }


def layers_of(
    layers: list[EncodingLayer], dtype: np.dtype[Any], device: torch.device
) -> Layers:
    """Return an encoder's layers as tensors, to be read only."""
    return Layers(
        [to_tensor(layer.weights, dtype, device) for layer in layers],
        [to_tensor(layer.intercept, dtype, device) for layer in layers],
        [ACTIVATIONS[layer.activation] for layer in layers],
    )


def initial_network(
    layers: list[EncodingLayer],
    output_intercepts: Array,
    generator: torch.Generator,
    dtype: np.dtype[Any],
    device: torch.device,
) -> Parameters:
    """Copy the encoder's layers and draw a fresh output layer with these biases."""
    n_inputs = layers[-1].weights.shape[0]
    output = initial_output(len(output_intercepts), n_inputs, generator)
    weights = [layer.weights for layer in layers] + [to_array(output["coefs"])]
    intercepts = [layer.intercept for layer in layers] + [output_intercepts]
    shared = network_parameters(weights, intercepts, dtype, device)
    return {name: tensor.clone() for name, tensor in shared.items()}


def outputs_of(
    activations: list[str],
    coefs: list[Array],
    intercepts: list[Array],
    X: Any,
    device: torch.device,
) -> Array:
    """Return a fitted network's linear outputs for each row, (n, n_outputs).

    `coefs` are of shape (inputs, outputs), as scikit-learn's networks have them.
    """
    dtype = working_dtype(X.dtype)
    network = network_of(activations)
    parameters = network_parameters([W.T for W in coefs], intercepts, dtype, device)
    return map_rows(
        Rows(X, dtype=dtype, device=device),
        lambda rows, out: out.copy_(network.forward(parameters, rows)[-1].mT),
        shape=coefs[-1].shape[1:],
        width=widest(parameters),
        n_multiplications=largest(parameters),
    )
