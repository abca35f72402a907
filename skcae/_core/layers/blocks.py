"""Transposed convolution onto images of few channels, a block of pixels at a time.

On the processor torch gives each channel of what it computes a lane of its own, so that
images of one to three leave most of them empty. Here the pixels of a block are channels
of one coarser pixel. Its filters are those of the images, moved to the place of each
pixel in the block.
"""

import torch
from torch import Tensor
from torch.nn import functional

from skcae._core.layers.images import Pair, Shape

MOST_CHANNELS = 3


def block_for(image_shape: Shape, like: Tensor) -> Pair | None:
    """Return the height and width of a block, if that pays for images of this type."""
    height, width, n_channels = image_shape
    rows = next(n for n in (4, 2, 1) if height % n == 0)
    columns = next(n for n in (2, 1) if width % n == 0)
    pays = like.dtype == torch.float32 and like.device.type == "cpu"
    return (
        (rows, columns) if pays and n_channels <= MOST_CHANNELS and rows > 1 else None
    )


def transposed(
    codes: Tensor,
    weights: Tensor,
    intercept: Tensor | None,
    zeros: Pair,
    block: Pair,
) -> Tensor:
    """Return rows of images from codes of torch, at a stride of 1.

    `zeros` are those around the codes, and a block divides the images.
    """
    rows, columns = block
    # An image's pixel y is Σ_i w_i code_{y−i}, the convolution with flipped filters;
    # that of the pixel r in a block begins r codes later.
    flipped = weights.flip(2, 3).transpose(0, 1)
    moved = [
        functional.pad(flipped, (t, columns - 1 - t, r, rows - 1 - r))
        for r in range(rows)
        for t in range(columns)
    ]
    b = None if intercept is None else intercept.repeat(rows * columns)
    found = functional.conv2d(codes, torch.cat(moved), b, block, zeros)
    # The channels of a coarse pixel are (row, column, channel) of the block.
    m, _, height, width = found.shape
    blocks = found.view(m, rows, columns, weights.shape[1], height, width)
    return blocks.permute(0, 4, 1, 5, 2, 3).reshape(m, found.shape[1:].numel())
