"""An encoder and a decoder of several layers, and what they are built by.

The encoder is f = f_K ∘ ⋯ ∘ f_1. The decoder mirrors it: each of its layers undoes one
of the encoder's, the last first. Its hidden layers have the encoder's activation, and
the last one is linear: it gives the pre-outputs z, from which the loss's output makes
the reconstruction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from skcae._core.data.moments import Scaling
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import Affine, Layer, Parameters
from skcae._core.layers.pooling import Pooling
from skcae.activations import ACTIVATIONS, Activation


@dataclass(frozen=True)
class Network:
    """What encodes rows, and what decodes their codes.

    Parameters
    ----------
    encoder : Chain
        From x to the code.
    decoder : Chain
        From the code to the pre-outputs z.
    """

    encoder: Chain
    decoder: Chain

    @property
    def n_components(self) -> int:
        """The number h of units of a code."""
        return self.encoder.n_components

    @property
    def width(self) -> int:
        """How many numbers a row is at most on its way."""
        return max(self.encoder.width, self.decoder.width)

    @property
    def n_multiplications(self) -> int:
        """How many multiplications a row takes in the largest product."""
        return max(self.encoder.n_multiplications, self.decoder.n_multiplications)

    @property
    def sparse_width(self) -> int | None:
        """The same of sparse rows, but for X itself, if it encodes them as they are."""
        return self.encoder.most_units if self.encoder.layers[0].takes_sparse else None

    def encode(self, X: Any, out: Tensor | None = None) -> Tensor:
        """Return the code of each row, (n, d) → (n, h)."""
        # (23).
        H = self.encoder.outputs(X)[-1]
        return H if out is None else out.copy_(H)

    def pre_outputs(self, H: Tensor, out: Tensor | None = None) -> Tensor:
        """Return z of each code, (n, h) → (n, d)."""
        # (24), from the code down.
        Z = self.decoder.outputs(H)[-1]
        return Z if out is None else out.copy_(Z)

    def code_and_slopes(self, X: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the code of each row, and the slope of each of its units if any."""
        outputs, states = self.encoder.linearized(X)
        return outputs[-1], self.encoder.unit_slopes(states)


class Architecture(Protocol):
    """What a network is made of, but for its parameters.

    Parameters are named as torch names those of a module: "encoder.0.weight",
    "encoder.0.bias", …, "decoder.0.bias", with the layers in the order in which they
    are applied. Untied decoders have weights too, in the shape of those that they undo.
    """

    @property
    def activation(self) -> Activation | None:
        """That of the code, if it has one."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter."""

    def initial_parameters(
        self,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device,
        scaling: Scaling | None,
    ) -> Parameters:
        """Draw the weights."""

    def network(self, parameters: Parameters) -> Network:
        """Return the layers that have these tensors."""


@dataclass(frozen=True)
class DenseArchitecture:
    """Dense layers of given sizes.

    Parameters
    ----------
    sizes : tuple of int
        d, h_1, …, h_K.
    activation : Activation
        φ.
    is_tied : bool
        Whether the decoder has the encoder's weights.
    """

    sizes: tuple[int, ...]
    activation: Activation
    is_tied: bool

    @property
    def n_layers(self) -> int:
        """The number K of the encoder's layers."""
        return len(self.sizes) - 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter."""
        return mirrored_shapes(self.sizes, is_tied=self.is_tied)

    def initial_parameters(
        self,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device,
        scaling: Scaling | None,
    ) -> Parameters:
        """Draw the weights; biases start at zero, unless the data are to be scaled."""
        parameters = drawn_parameters(
            self.shapes,
            lambda h, d: Dense.initial_weights(
                d, h, generator=generator, dtype=dtype, device=device
            ),
            dtype,
            device,
        )
        if scaling is not None:
            shift, scale = map(torch.from_numpy, (scaling.shift, scaling.scale))
            self._encoder(parameters)[0].encode_scaled(shift, scale)
            parameters[f"decoder.{self.n_layers - 1}.bias"].copy_(shift)
        return parameters

    def network(self, parameters: Parameters) -> Network:
        """Return the layers that have these tensors."""
        stages = [(layer, None) for layer in self._encoder(parameters)]
        return mirrored(stages, parameters, self.activation)

    def _encoder(self, parameters: Parameters) -> list[Dense]:
        return [
            Dense(
                parameters[f"encoder.{k}.weight"],
                parameters[f"encoder.{k}.bias"],
                self.activation,
            )
            for k in range(self.n_layers)
        ]


def mirrored(
    stages: Sequence[tuple[Affine, Pooling | None]],
    parameters: Parameters,
    activation: Activation,
) -> Network:
    """Return an encoder of layers with what pools them, and the decoder of both."""
    encoder: list[Layer] = []
    decoder: list[Layer] = []
    for layer, pooling in stages:
        encoder += [layer] if pooling is None else [layer, pooling]
    for k, (layer, pooling) in enumerate(reversed(stages)):
        # (1) for each layer: z = Vᵀh + c, where V is W if it is tied.
        V = parameters.get(f"decoder.{k}.weight", layer.weights)
        is_last = k == len(stages) - 1
        output = ACTIVATIONS["identity"] if is_last else activation
        decoder += [] if pooling is None else [pooling.decoder()]
        decoder.append(layer.decoder(V, parameters[f"decoder.{k}.bias"], output))
    return Network(Chain(tuple(encoder)), Chain(tuple(decoder)))


def mirrored_shapes(
    sizes: Sequence[int], kernel: tuple[int, ...] = (), *, is_tied: bool
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter of layers, and of those that undo them.

    `sizes` are d, h_1, …, h_K, of a convolution its channels and filters, and `kernel`
    is what weights have beside them.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (d, h) in enumerate(pairwise(sizes)):
        shapes |= {f"encoder.{k}.weight": (h, d, *kernel), f"encoder.{k}.bias": (h,)}
    for k, (h, d) in enumerate(pairwise(sizes[::-1])):
        shapes |= {} if is_tied else {f"decoder.{k}.weight": (h, d, *kernel)}
        shapes[f"decoder.{k}.bias"] = (d,)
    return shapes


def drawn_parameters(
    shapes: dict[str, tuple[int, ...]],
    draw: Callable[..., Tensor],
    dtype: torch.dtype,
    device: torch.device,
) -> Parameters:
    """Return biases of zero, and weights that `draw` makes of their shape."""
    return {
        name: torch.zeros(shape, dtype=dtype, device=device)
        if name.endswith("bias")
        else draw(*shape)
        for name, shape in shapes.items()
    }
