"""Between fitted attributes, which are NumPy arrays, and layers of tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from skcae._core.data.arrays import Array, to_tensor, torch_dtype, working_dtype
from skcae._core.data.evaluation import map_rows
from skcae._core.data.tensors import rows_of
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import Layer
from skcae.activations import ACTIVATIONS, Activation

CPU = torch.device("cpu")


def stored(array: Array) -> torch.Tensor:
    """Give fitted numbers as a tensor in the precision that they are kept in."""
    return to_tensor(array, working_dtype(array.dtype), CPU)


def dense_layers(
    weights: Sequence[Array], intercepts: Sequence[Array], activations: Sequence[str]
) -> list[Layer]:
    """Return fitted dense layers, to be read only; weights are (units, inputs)."""
    parts = zip(weights, intercepts, activations, strict=True)
    return [Dense(stored(W), stored(b), ACTIVATIONS[name]) for W, b, name in parts]


def name_of(activation: Activation) -> str:
    """Return the name that an estimator takes for an activation."""
    return next(name for name, known in ACTIVATIONS.items() if known is activation)


def chain_of(
    layers: Sequence[Layer], dtype: np.dtype[Any], device: torch.device
) -> Chain:
    """Return layers one after the other, in this precision and there."""
    return Chain(tuple(layers)).to(torch_dtype(dtype), device)


def initial_network(
    layers: Sequence[Layer],
    output_intercepts: Array,
    generator: torch.Generator,
    dtype: np.dtype[Any],
    device: torch.device,
) -> Chain:
    """Copy the encoder's layers and draw a fresh output layer with these biases."""
    output = Dense(
        Dense.initial_weights(
            layers[-1].n_units,
            len(output_intercepts),
            generator=generator,
            dtype=torch_dtype(dtype),
            device=device,
        ),
        stored(output_intercepts),
        ACTIVATIONS["identity"],
    )
    network = chain_of([*layers, output], dtype, device)
    copies = {name: tensor.clone() for name, tensor in network.parameters.items()}
    return network.with_parameters(copies)


def outputs_of(chain: Chain, X: Any, device: torch.device) -> Any:
    """Return the outputs of a fitted network's last layer for each row."""
    return map_rows(
        rows_of(X, dtype=working_dtype(X.dtype), device=device),
        lambda rows, out: out.copy_(chain.forward(rows.mT)[-1].mT),
        shape=(chain.n_components,),
        width=chain.width,
        n_multiplications=chain.n_multiplications,
    )
