"""An encoder of any kind as the layers to be measured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skcae._core.arrays import (
    Rows,
    resolve_device_or_cpu,
    to_tensor,
    working_dtype,
)
from skcae._core.passes import map_rows
from skcae._encoders import encoding_layers, features_of, split_steps
from skcae._validation import check_n_features, check_X
from skcae.activations import ACTIVATIONS, Activation


@dataclass(frozen=True)
class Layers:
    """The layers of a fitted encoder as tensors.

    Parameters
    ----------
    weights : list of tensors of shape (h_k, h_{k-1})
        W_1, …, W_K.
    intercepts : list of tensors of shape (h_k,)
        b_1, …, b_K.
    activations : list of Activation
        φ_1, …, φ_K.
    """

    weights: list[Tensor]
    intercepts: list[Tensor]
    activations: list[Activation]

    @property
    def n_features(self) -> int:
        """The size of the input."""
        return self.weights[0].shape[1]

    @property
    def n_components(self) -> int:
        """The size of the code."""
        return self.weights[-1].shape[0]

    def slopes(self, X: Tensor) -> list[Tensor]:
        """Return φ_k'(a) of each layer for each row, (n, h_k)."""
        found, H = [], X
        for W, b, phi in zip(
            self.weights, self.intercepts, self.activations, strict=True
        ):
            H = phi.in_place(torch.addmm(b, H, W.mT))
            found.append(phi.derivatives(H, 1)[0])
        return found


def measure_rows(
    encoder: Any, X: Any, function: Callable[[Layers, Tensor], Tensor]
) -> np.ndarray:
    """Apply a function of layers and rows to all rows, in chunks of bounded memory.

    X is what the encoder takes; the function sees what its first layer takes. It
    returns one number for each row.
    """
    steps, encoders = split_steps(encoder)
    found = encoding_layers(encoders)
    X = features_of(steps, X) if steps else check_X(encoders[0], X)
    check_n_features(X, found[0].weights.shape[1])
    dtype = working_dtype(X.dtype)
    device = resolve_device_or_cpu(getattr(encoders[0], "device", "cpu"), dtype)
    layers = Layers(
        [to_tensor(layer.weights, dtype, device) for layer in found],
        [to_tensor(layer.intercept, dtype, device) for layer in found],
        [ACTIVATIONS[layer.activation] for layer in found],
    )
    return map_rows(
        Rows(X, dtype=dtype, device=device),
        lambda rows, out: out.copy_(function(layers, rows)),
        width=max(max(layer.weights.shape) for layer in found),
        n_multiplications=max(layer.weights.size for layer in found),
    )
