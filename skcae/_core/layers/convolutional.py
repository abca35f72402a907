"""Encoders of convolutions, with pooling after each, and the decoders that mirror them.

A layer of the encoder is a convolution with its activation, and then the windows that
are joined if there are any. The decoder repeats each code within its window, crops what
is beyond the border, and convolves transposed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from skcae._core.data.moments import Scaling
from skcae._core.layers.convolution import Convolution, Padding
from skcae._core.layers.images import Pair, Shape
from skcae._core.layers.layer import Parameters
from skcae._core.layers.network import (
    Network,
    drawn_parameters,
    mirrored,
    mirrored_shapes,
)
from skcae._core.layers.pooling import AveragePooling, MaxPooling, Pooling
from skcae.activations import Activation

Pool = Literal["max", "average"]
POOLING: dict[Pool, type[Pooling]] = {"max": MaxPooling, "average": AveragePooling}


@dataclass(frozen=True)
class ConvolutionalArchitecture:
    """Convolutions of given numbers of filters.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels.
    n_filters : tuple of int
        Those of each layer.
    kernel_size, stride : (int, int)
        Those of all layers, along the height and the width.
    padding : {"same", "valid"}
        What is beyond the border: zeros, or no place for a filter.
    pool : {"max", "average"} or None
        What joins the pixels of a window after each layer.
    pool_size : (int, int)
        The size of a window.
    activation : Activation
        φ.
    is_tied : bool
        Whether the decoder has the encoder's weights.
    """

    image_shape: Shape
    n_filters: tuple[int, ...]
    kernel_size: Pair
    stride: Pair
    padding: Padding
    pool: Pool | None
    pool_size: Pair
    activation: Activation
    is_tied: bool

    @property
    def n_layers(self) -> int:
        """The number of convolutions."""
        return len(self.n_filters)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter."""
        channels = (self.image_shape[2], *self.n_filters)
        return mirrored_shapes(channels, self.kernel_size, is_tied=self.is_tied)

    @cached_property
    def stages(self) -> list[tuple[Convolution, Pooling | None]]:
        """The layers of the encoder, with shapes but without numbers."""
        shapes = self.shapes.items()
        empty = {name: torch.empty(shape, device="meta") for name, shape in shapes}
        return [*self._stages(empty)]

    @property
    def code_shape(self) -> Shape:
        """Height, width and channels of a code."""
        convolution, pooling = self.stages[-1]
        return (pooling or convolution).code_shape

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
            lambda n_filters, n_channels, *kernel: Convolution.initial_weights(
                n_channels,
                n_filters,
                kernel,
                generator=generator,
                dtype=dtype,
                device=device,
            ),
            dtype,
            device,
        )
        if scaling is not None:
            # All pixels of a channel are seen by the same weights.
            joined = scaling.joined(self.image_shape[2])
            shift, scale = map(torch.from_numpy, (joined.shift, joined.scale))
            first, _ = next(self._stages(parameters))
            first.encode_scaled(shift, scale)
            parameters[f"decoder.{self.n_layers - 1}.bias"].copy_(shift)
        return parameters

    def network(self, parameters: Parameters) -> Network:
        """Return the layers that have these tensors."""
        return mirrored([*self._stages(parameters)], parameters, self.activation)

    def _stages(
        self, parameters: Parameters
    ) -> Iterator[tuple[Convolution, Pooling | None]]:
        """Go up through the encoder: a convolution, and what joins its pixels."""
        shape = self.image_shape
        for k in range(self.n_layers):
            convolution = Convolution(
                parameters[f"encoder.{k}.weight"],
                parameters[f"encoder.{k}.bias"],
                self.activation,
                shape,
                self.stride,
                self.padding,
            )
            shape = convolution.code_shape
            pooling = None
            if self.pool is not None:
                pooling = POOLING[self.pool](shape, self.pool_size)
                shape = pooling.code_shape
            yield convolution, pooling
