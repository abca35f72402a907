"""From an encoder's layers as NumPy arrays to a chain of tensors."""

from typing import Any

import numpy as np
import torch

from skcae._core.data.arrays import Array, to_tensor, torch_dtype, working_dtype
from skcae._core.data.evaluation import map_rows
from skcae._core.data.rows import Rows
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._encoders.steps import EncodingLayer
from skcae.activations import ACTIVATIONS


def chain_of(
    layers: list[EncodingLayer], dtype: np.dtype[Any], device: torch.device
) -> Chain:
    """Return layers as tensors, to be read only."""
    return Chain(
        tuple(
            Dense(
                to_tensor(layer.weights, dtype, device),
                to_tensor(layer.intercept, dtype, device),
                ACTIVATIONS[layer.activation],
            )
            for layer in layers
        )
    )


def initial_network(
    layers: list[EncodingLayer],
    output_intercepts: Array,
    generator: torch.Generator,
    dtype: np.dtype[Any],
    device: torch.device,
) -> Chain:
    """Copy the encoder's layers and draw a fresh output layer with these biases."""
    encoder = chain_of(layers, dtype, device)
    output = Dense(
        Dense.initial_weights(
            encoder.n_components,
            len(output_intercepts),
            generator=generator,
            dtype=torch_dtype(dtype),
            device=device,
        ),
        to_tensor(output_intercepts, dtype, device),
        ACTIVATIONS["identity"],
    )
    network = Chain((*encoder.layers, output))
    copies = {name: tensor.clone() for name, tensor in network.parameters.items()}
    return network.with_parameters(copies)


def outputs_of(layers: list[EncodingLayer], X: Any, device: torch.device) -> Array:
    """Return the outputs of a fitted network's last layer for each row."""
    dtype = working_dtype(X.dtype)
    chain = chain_of(layers, dtype, device)
    return map_rows(
        Rows(X, dtype=dtype, device=device),
        lambda rows, out: out.copy_(chain.forward(rows.mT)[-1].mT),
        shape=(chain.n_components,),
        width=chain.width,
        n_multiplications=chain.n_multiplications,
    )
