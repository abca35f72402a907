"""Layers without parameters that join the pixels of a window, and the way back.

Windows lie side by side, each channel by itself. The last ones along an axis are cut at
the border, so that no pixel is lost. Images are rows with their channels last
(images.py).
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from skcae._core.layers.images import Pair, Shape, as_images, as_pair, as_rows
from skcae._core.layers.layer import Layer
from skcae._core.layers.receptive import ReceptiveField


@dataclass(frozen=True)
class Windows(Layer):
    """What the layers of this file have in common: they work on windows of images.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels.
    pool_size : int or (int, int)
        Height and width of a window.
    """

    image_shape: Shape
    pool_size: int | Pair = 2

    @property
    def code_shape(self) -> Shape:
        """How many windows are along the height and the width, and the channels."""
        height, width, channels = self.image_shape
        rows, columns = as_pair(self.pool_size)
        return -(-height // rows), -(-width // columns), channels

    @property
    def n_multiplications(self) -> int:
        """There is no product."""
        return 0

    def _mean(self, V: Tensor, divisor: int | None = None) -> Tensor:
        """Return the mean of each window of the images along the last axis.

        With a divisor, it is what their sum is divided by.
        """
        means = functional.avg_pool2d(
            as_images(V, self.image_shape),
            as_pair(self.pool_size),
            ceil_mode=True,
            divisor_override=divisor,
        )
        return as_rows(means, V.shape[:-1])

    def _repeat(self, U: Tensor) -> Tensor:
        """Return images that have the same number all over a window."""
        height, width, channels = self.image_shape
        rows, columns = as_pair(self.pool_size)
        n_rows, n_columns, _ = self.code_shape
        codes = U.reshape(-1, n_rows, 1, n_columns, 1, channels)
        images = codes.expand(-1, -1, rows, -1, columns, -1).reshape(
            -1, n_rows * rows, n_columns * columns, channels
        )
        # The last windows are cut.
        return images[:, :height, :width].reshape(
            *U.shape[:-1], height * width * channels
        )


class Linear(Windows):
    """A layer that is a linear map, and its own Jacobian everywhere."""

    @abstractmethod
    def push(self, V: Tensor) -> Tensor:
        """Return W v for vectors along the last axis, (…, d) → (…, h)."""

    @abstractmethod
    def pull(self, U: Tensor) -> Tensor:
        """Return Wᵀ u for vectors along the last axis, (…, h) → (…, d)."""

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return W x of each row, (n, d) → (n, h)."""
        H = self.push(X)
        return H if out is None else out.copy_(H)

    def linearized(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return W x of each row; nothing of the row decides about W."""
        return self.push(X), X[:, :1]

    def push_forward(self, state: Tensor, V: Tensor) -> Tensor:
        """Return W v for k vectors of each row, (n, k, d) → (n, k, h)."""
        return self.push(V)

    def pull_back(self, state: Tensor, U: Tensor) -> Tensor:
        """Return Wᵀ u for k vectors of each row, (n, k, h) → (n, k, d)."""
        return self.pull(U)


class Pooling(Windows):
    """A layer from images to one number for each window and channel."""

    @property
    def n_inputs(self) -> int:
        """The number of pixels, each channel by itself."""
        return math.prod(self.image_shape)

    @property
    def n_units(self) -> int:
        """The number of windows, in each channel by itself."""
        return math.prod(self.code_shape)

    @property
    def receptive_field(self) -> ReceptiveField:
        """The pixels of a window."""
        size = as_pair(self.pool_size)
        return ReceptiveField(self.image_shape, self.code_shape, size, size)

    def decoder(self) -> "Unpooling":
        """Return what repeats a number all over its window."""
        return Unpooling(self.image_shape, self.pool_size)


@dataclass(frozen=True)
class MaxPooling(Pooling):
    """The largest number of each window.

    The state of its Jacobian is where that stands in the row, (n, h). After a layer
    φ(Wx + b), the Jacobian has the rows φ'(a_j) W_j of the winners j, and no others.
    """

    scales = True

    def outputs(self, X: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the largest number of each window of each row, (n, d) → (n, h)."""
        images, window = as_images(X, self.image_shape), as_pair(self.pool_size)
        found = functional.max_pool2d(images, window, ceil_mode=True)
        H = as_rows(found, X.shape[:1])
        return H if out is None else out.copy_(H)

    def linearized(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs, and where in the row each of them stands."""
        images, window = as_images(X, self.image_shape), as_pair(self.pool_size)
        H, pixels = functional.max_pool2d_with_indices(images, window, ceil_mode=True)
        # torch counts the pixels of a channel; in a row the channels are between them.
        n_channels = self.image_shape[-1]
        channel = torch.arange(n_channels, device=X.device)[:, None, None]
        winners = pixels * n_channels + channel
        return as_rows(H, X.shape[:1]), as_rows(winners, X.shape[:1])

    def push_forward(self, state: Tensor, V: Tensor) -> Tensor:
        """Return J v for k vectors of each row, (n, k, d) → (n, k, h)."""
        return V.gather(2, state[:, None].expand(-1, V.shape[1], -1))

    def pull_back(self, state: Tensor, U: Tensor) -> Tensor:
        """Return Jᵀ u for k vectors of each row, (n, k, h) → (n, k, d)."""
        zeros = U.new_zeros(*U.shape[:2], self.n_inputs)
        return zeros.scatter_(2, state[:, None].expand_as(U), U)

    def squared_norms_at(self, state: Tensor, below: Tensor | None) -> Tensor | None:
        """Return those of the winners, (n, h)."""
        # (37): a row of J below stays where its unit is the largest, and only there.
        return None if below is None else below.gather(1, state)

    def unit_slopes(self, state: Tensor, below: Tensor | None) -> Tensor | None:
        """Return those of the winners, (n, h)."""
        return None if below is None else below.gather(1, state)


@dataclass(frozen=True)
class AveragePooling(Pooling, Linear):
    """The mean of each window, over those of its pixels that are in the image."""

    def push(self, V: Tensor) -> Tensor:
        """Return the mean of each window of the images along the last axis."""
        return self._mean(V)

    def pull(self, U: Tensor) -> Tensor:
        """Transpose that: each pixel has its part of what the window has."""
        sizes = self._mean(U.new_ones(self.n_inputs), divisor=1)
        return self._repeat(U / sizes)


@dataclass(frozen=True)
class Unpooling(Linear):
    """The layer back from windows to images: each pixel has what its window has."""

    @property
    def n_inputs(self) -> int:
        """The number of windows, in each channel by itself."""
        return math.prod(self.code_shape)

    @property
    def n_units(self) -> int:
        """The number of pixels, each channel by itself."""
        return math.prod(self.image_shape)

    def push(self, V: Tensor) -> Tensor:
        """Return images that have the same number all over a window."""
        return self._repeat(V)

    def pull(self, U: Tensor) -> Tensor:
        """Transpose that: the sum of each window."""
        return self._mean(U, divisor=1)
