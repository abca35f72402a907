"""Patches of images, less their brightness and contrast, and whitened.

A patch x of N numbers is made

    u = P (x' − m),   x' = (x − mean(x)) / √(var(x) + 10 / 255²),

where m is the mean of many x' and P = V (D + 0.1)^(−1/2) Vᵀ whitens them, with the
eigenvectors V and the variances D of their covariance. That is the preprocessing of
Coates, Ng and Lee (2011), with the constants of their demonstration for pixels in
[0, 1]. Whitening is a linear layer, which is joined with the one above it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from skcae._core.layers.convolution import Axis
from skcae._core.layers.dense import Dense
from skcae._core.layers.images import Pair, Shape
from skcae._core.layers.layer import Affine
from skcae.activations import ACTIVATIONS

#: What is added to the variance of a patch, and to those of the whole set.
CONTRAST = 10 / 255**2
WHITENING = 0.1

# So many patches at a time are cast to float64.
CHUNK_ROWS = 2**14


@dataclass(frozen=True)
class Patches:
    """The patches at all positions within an image, whose rows are flat.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels.
    size : (int, int)
        Height and width of a patch.
    stride : (int, int)
        How far it is from one position to the next.
    normalize : bool
        Whether a patch is less its brightness and contrast.
    """

    image_shape: Shape
    size: Pair
    stride: Pair
    normalize: bool

    @property
    def positions(self) -> Pair:
        """How many positions are along the height and the width."""
        sizes = zip(self.image_shape[:2], self.size, self.stride, strict=True)
        rows, columns = (Axis(*size, "valid").n_places for size in sizes)
        return rows, columns

    @property
    def shape(self) -> Shape:
        """Height, width and channels of a patch."""
        height, width = self.size
        return height, width, self.image_shape[2]

    @property
    def n_numbers(self) -> int:
        """The number N in a patch."""
        height, width, n_channels = self.shape
        return height * width * n_channels

    def views(self, X: Tensor) -> Tensor:
        """Return x at each position, (n, d) → (n, rows, columns, h, w, c)."""
        images = X.reshape(-1, *self.image_shape)
        rows = images.unfold(1, self.size[0], self.stride[0])
        # What is unfolded comes last: the channels are before it.
        return rows.unfold(2, self.size[1], self.stride[1]).permute(0, 1, 2, 4, 5, 3)

    def rows_of(self, views: Tensor) -> Tensor:
        """Return x', or x if they stay as they are, (…, h, w, c) → (m, N)."""
        rows = views.reshape(-1, self.n_numbers)
        # (x − mean) / √(var + constant) of the numbers of a patch, along the axis 1.
        is_normal = self.normalize
        return layer_norm(rows, rows.shape[1:], eps=CONTRAST) if is_normal else rows


def whitening(rows: Tensor) -> Dense:
    """Return the layer x' ↦ P (x' − m) that whitens these rows, in float64."""
    m, covariance = moments(rows)
    D, V = torch.linalg.eigh(covariance)
    P = V * (D.clamp(min=0) + WHITENING).rsqrt() @ V.mT
    return Dense(P, -P @ m, ACTIVATIONS["identity"])


def moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance of rows in float64, (N,) and (N, N)."""
    mean = rows.mean(0, dtype=torch.float64)
    # Samples are the axis 0.
    centred = (part.double() - mean for part in torch.split(rows, CHUNK_ROWS))
    products = sum((Z.mT @ Z for Z in centred), start=mean.new_zeros(()))
    return mean, products / len(rows)


def joined(whitening: Affine, layer: Affine) -> Dense:
    """Return the dense layer that both are, one after the other."""
    # W (P x' + t) + b = (W P) x' + (W t + b).
    W, P, t = layer.matrix.double(), whitening.matrix, whitening.unit_intercepts
    return Dense(W @ P, W @ t + layer.unit_intercepts, layer.activation)
