"""Layers h = φ(Wx + b) where W slides filters over an image, or is the transpose.

Weights are (filters, channels, height, width), as torch has them, and images are rows
with their channels last (images.py). At the border a filter reaches beyond the image,
where zeros are, so that the rows of W have different norms there.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional, grad

from skcae._core.layers.blocks import block_for, transposed
from skcae._core.layers.images import Pair, Shape, as_images, as_pair, as_rows
from skcae._core.layers.layer import Affine
from skcae._core.layers.receptive import ReceptiveField
from skcae.activations import Activation

Padding = Literal["same", "valid"]


@dataclass(frozen=True)
class Axis:
    """How a filter slides along one axis of an image.

    Parameters
    ----------
    n_pixels, n_taps : int
        The sizes of image and filter.
    stride : int
        How far it is from one place of the filter to the next.
    padding : {"same", "valid"}
        Whether there are ⌈pixels / stride⌉ places, with zeros around the image, and
        the odd one at the end; or only those in the image.
    """

    n_pixels: int
    n_taps: int
    stride: int
    padding: Padding

    @property
    def n_places(self) -> int:
        """At how many places the filter is applied."""
        room = self.n_pixels - (1 if self.padding == "same" else self.n_taps)
        return room // self.stride + 1

    @property
    def n_zeros(self) -> Pair:
        """How many zeros are before and after the image."""
        reach = (self.n_places - 1) * self.stride + self.n_taps
        n = max(reach - self.n_pixels, 0)
        return n // 2, n - n // 2

    @property
    def n_code_zeros(self) -> Pair:
        """How many zeros around a code make its pixels enough for each of the image.

        That is at a stride of 1, where taps before a pixel are places after it.
        """
        before = self.n_taps - 1 - self.n_zeros[0]
        return before, self.n_pixels + self.n_taps - 1 - self.n_places - before

    @property
    def n_uncovered(self) -> int:
        """How many pixels at the end are at no place under the filter."""
        covered = (self.n_places - 1) * self.stride + self.n_taps - sum(self.n_zeros)
        return self.n_pixels - covered

    def taps_at_places(self) -> Tensor:
        """Return which taps lie in the image at each place, (places, taps)."""
        place, tap = count(self.n_places), count(self.n_taps)
        pixel = place[:, None] * self.stride + tap - self.n_zeros[0]
        return (pixel >= 0) & (pixel < self.n_pixels)

    def taps_at_pixels(self) -> Tensor:
        """Return which taps ever lie on each pixel, (pixels, taps)."""
        pixel, tap = count(self.n_pixels), count(self.n_taps)
        start = pixel[:, None] - tap + self.n_zeros[0]
        is_place = (start >= 0) & (start < self.n_places * self.stride)
        return is_place & (start % self.stride == 0)


def count(n: int) -> Tensor:
    """Return 0 to n − 1, on the processor whatever the default device."""
    return torch.arange(n, device="cpu")


@dataclass(frozen=True)
class Sliding(Affine):
    """What a convolution and its transpose have in common.

    Parameters
    ----------
    weights : tensor of shape (filters, channels, height, width)
        The filters.
    intercept : tensor of shape (filters,), or (channels,) of the transpose
        b has it at each place.
    activation : Activation
        φ.
    image_shape : (int, int, int)
        Height, width and channels.
    stride : int or (int, int)
        How far it is from one place of a filter to the next.
    padding : {"same", "valid"}
        Whether zeros are added, so that there are ⌈size / stride⌉ places along each
        axis; the odd one is at the end.
    """

    image_shape: Shape
    stride: int | Pair = 1
    padding: Padding = "same"

    # The axis of the weights that a row of W sums over, beside the taps.
    summed: ClassVar[int]

    @cached_property
    def axes(self) -> tuple[Axis, Axis]:
        """How the filters slide, along the height and the width."""
        sizes = zip(
            self.image_shape[:2],
            self.weights.shape[2:],
            as_pair(self.stride),
            strict=True,
        )
        rows, columns = (Axis(*size, self.padding) for size in sizes)
        return rows, columns

    @property
    def code_shape(self) -> Shape:
        """Height, width and filters of a code."""
        rows, columns = self.axes
        return rows.n_places, columns.n_places, len(self.weights)

    @property
    def filters(self) -> Tensor:
        """The filters as images with their channels last, (filters, h, w, c)."""
        return self.weights.permute(0, 2, 3, 1)

    @property
    def n_multiplications(self) -> int:
        """How many multiplications W x takes."""
        return self.weights.numel() * math.prod(self.code_shape[:2])

    # ---- the map and its transpose -----------------------------------------------

    def _encode(self, V: Tensor, intercept: Tensor | None = None) -> Tensor:
        """Convolve the images along the last axis, (…, image) → (…, code)."""
        images = self._with_odd_zeros(as_images(V, self.image_shape))
        found = functional.conv2d(images, self.weights, intercept, *self.slide)
        return as_rows(found, V.shape[:-1])

    def _decode(self, U: Tensor, intercept: Tensor | None = None) -> Tensor:
        """Transpose that, (…, code) → (…, image)."""
        codes, (rows, columns) = as_images(U, self.code_shape), self.axes
        block = self._block(U)
        if block is not None:
            zeros = rows.n_code_zeros[0], columns.n_code_zeros[0]
            found = transposed(codes, self.weights, intercept, zeros, block)
            return found.view(*U.shape[:-1], math.prod(self.image_shape))
        uncovered = rows.n_uncovered, columns.n_uncovered
        found = functional.conv_transpose2d(
            codes, self.weights, intercept, *self.slide, uncovered
        )
        # The odd zeros at the end are not of the image.
        height, width, _ = self.image_shape
        return as_rows(found[:, :, :height, :width], U.shape[:-1])

    def _block(self, U: Tensor) -> Pair | None:
        """Return the block of pixels to decode at a time, if that is faster.

        Its derivative would not be.
        """
        is_even = all(
            axis.stride == 1 and axis.n_code_zeros[0] == axis.n_code_zeros[1]
            for axis in self.axes
        )
        is_tracked = U.requires_grad or self.weights.requires_grad
        return block_for(self.image_shape, U) if is_even and not is_tracked else None

    def _filter_gradient(self, images: Tensor, codes: Tensor) -> Tensor:
        """Return the gradient of Σ_i codes_iᵀ W images_i; both are rows."""
        found: Tensor = grad.conv2d_weight(  # type: ignore[no-untyped-call]
            self._with_odd_zeros(as_images(images, self.image_shape)),
            self.weights.shape,
            as_images(codes, self.code_shape),
            *self.slide,
        )
        return found

    @property
    def slide(self) -> tuple[Pair, Pair]:
        """Strides and zeros for torch, which takes as many after an image as before."""
        rows, columns = self.axes
        zeros = rows.n_zeros[0], columns.n_zeros[0]
        return (rows.stride, columns.stride), zeros

    @property
    def odd_zeros(self) -> Pair:
        """How many zeros more are after an image than before it."""
        rows, columns = (axis.n_zeros for axis in self.axes)
        return rows[1] - rows[0], columns[1] - columns[0]

    def _with_odd_zeros(self, images: Tensor) -> Tensor:
        """Add those zeros that are only after an image."""
        odd_rows, odd_columns = self.odd_zeros
        if not odd_rows and not odd_columns:
            return images
        return functional.pad(images, (0, odd_columns, 0, odd_rows))

    # ---- norms -------------------------------------------------------------------

    @property
    @abstractmethod
    def taps(self) -> tuple[Tensor, Tensor]:
        """Which taps a row of W has, along the height and along the width, 0 or 1."""

    def squared_norms(self, out: Tensor | None = None) -> Tensor:
        """Return ‖W_j‖² of each unit, (h,), which are smaller at the border."""
        # (37): only taps in the image count, so that places at the border have fewer.
        rows, columns = self.taps
        squares = self.weights.square().sum(self.summed)
        norms = (rows @ squares @ columns.mT).permute(1, 2, 0).flatten()
        return norms if out is None else out.copy_(norms)

    def norm_gradient(self, d_norms: Tensor) -> Tensor:
        """Return the gradient of Σ_j d_norms_j ‖W_j‖²."""
        # (6) with k = 1: 2 w for each unit that has the tap.
        rows, columns = self.taps
        by_place = d_norms.view(len(rows), len(columns), -1).permute(2, 0, 1)
        by_tap = (rows.mT @ by_place @ columns).unsqueeze(self.summed)
        return 2 * self.weights * by_tap

    # ---- intercepts --------------------------------------------------------------

    @property
    def unit_intercepts(self) -> Tensor:
        """b, (h,): the same at each place."""
        return self.intercept.repeat(self.n_units // len(self.intercept))

    def intercept_gradient(self, dA: Tensor) -> Tensor:
        """Return the gradient of the intercept from that of a, (h, n)."""
        # Summed over samples, then over places.
        return dA.sum(1).view(-1, len(self.intercept)).sum(0)


@dataclass(frozen=True)
class Convolution(Sliding):
    """The layer from images to codes, with an intercept for each filter."""

    summed = 1

    @staticmethod
    def initial_weights(
        n_channels: int,
        n_filters: int,
        kernel_size: Pair,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Tensor:
        """Draw filters, uniform within ±√(6 / (taps (channels + filters))).

        That is the bound of Glorot and Bengio (2010), where a unit sees so many inputs
        and an input so many units. The draw is made in float64 on the processor, so
        that float32 and float64 models start from the same point, wherever trained.
        """
        shape = (n_filters, n_channels, *kernel_size)
        bound = math.sqrt(6.0 / (math.prod(kernel_size) * (n_channels + n_filters)))
        drawn = torch.empty(shape, dtype=torch.float64, device="cpu")
        return drawn.uniform_(-bound, bound, generator=generator).to(device, dtype)

    @property
    def n_inputs(self) -> int:
        """The number d of pixels, each channel by itself."""
        return math.prod(self.image_shape)

    @property
    def n_units(self) -> int:
        """The number h of units: the filters at each place."""
        return math.prod(self.code_shape)

    @property
    def receptive_field(self) -> ReceptiveField:
        """The pixels under a filter."""
        height, width = self.weights.shape[2:]
        return ReceptiveField(
            self.image_shape, self.code_shape, (height, width), as_pair(self.stride)
        )

    def push(self, V: Tensor) -> Tensor:
        """Return W v for vectors along the last axis, (…, d) → (…, h)."""
        return self._encode(V)

    def pull(self, U: Tensor) -> Tensor:
        """Return Wᵀ u for vectors along the last axis, (…, h) → (…, d)."""
        return self._decode(U)

    def pre_activations(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a = Wx + b of each row, (n, d) → (n, h)."""
        A = self._encode(X, self.intercept)
        return A if out is None else out.copy_(A)

    @cached_property
    def taps(self) -> tuple[Tensor, Tensor]:
        """Which taps lie in the image at each place, 0 or 1."""
        rows, columns = (axis.taps_at_places().to(self.weights) for axis in self.axes)
        return rows, columns

    def weight_gradient(
        self, dA: Tensor, X: Tensor, d_norms: Tensor | None = None
    ) -> Tensor:
        """Return the gradient of the filters, summed over places and samples."""
        # (13), summed over places as over samples, and through the norms (6).
        formed = self._filter_gradient(X, dA.mT)
        return formed if d_norms is None else formed + self.norm_gradient(d_norms)

    def decoder(
        self, weights: Tensor, intercept: Tensor, activation: Activation
    ) -> "TransposedConvolution":
        """Return z ↦ φ(Wᵀz + c) of filters like these; c is (channels,)."""
        return TransposedConvolution(
            weights, intercept, activation, self.image_shape, self.stride, self.padding
        )

    def encode_scaled(self, shift: Tensor, scale: Tensor) -> None:
        """Let W encode (x − shift) / scale, in place; b is still zero.

        Both are float64 on the processor, (channels,). The zeros around an image are
        not scaled, so that units at the border see them as pixels of −shift / scale.
        """
        self.weights.div_(scale.to(self.weights)[:, None, None])
        # W (x − shift) / scale = (W / scale) x − (W / scale) shift; summed over taps.
        by_channel = self.weights.sum((2, 3)).to(shift)
        self.intercept.copy_(-(by_channel @ shift))


@dataclass(frozen=True)
class TransposedConvolution(Sliding):
    """The layer from codes back to images, with an intercept for each channel.

    Its weights have the shape of the encoder's, which they are when tied.
    """

    summed = 0

    @property
    def n_inputs(self) -> int:
        """The number of units that encode."""
        return math.prod(self.code_shape)

    @property
    def n_units(self) -> int:
        """The number of pixels, each channel by itself."""
        return math.prod(self.image_shape)

    def push(self, V: Tensor) -> Tensor:
        """Return W v for vectors along the last axis: codes → images."""
        return self._decode(V)

    def pull(self, U: Tensor) -> Tensor:
        """Return Wᵀ u for vectors along the last axis: images → codes."""
        return self._encode(U)

    def pre_activations(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a = Wx + b of each row: codes → images."""
        A = self._decode(X, self.intercept)
        return A if out is None else out.copy_(A)

    @cached_property
    def taps(self) -> tuple[Tensor, Tensor]:
        """Which taps ever lie on each pixel, 0 or 1."""
        rows, columns = (axis.taps_at_pixels().to(self.weights) for axis in self.axes)
        return rows, columns

    def weight_gradient(
        self, dA: Tensor, X: Tensor, d_norms: Tensor | None = None
    ) -> Tensor:
        """Return the gradient of the filters, summed over places and samples."""
        formed = self._filter_gradient(dA.mT, X)
        return formed if d_norms is None else formed + self.norm_gradient(d_norms)

    def decoder(
        self, weights: Tensor, intercept: Tensor, activation: Activation
    ) -> Convolution:
        """Return z ↦ φ(Wᵀz + c) of filters like these; c is (filters,)."""
        return Convolution(
            weights, intercept, activation, self.image_shape, self.stride, self.padding
        )
