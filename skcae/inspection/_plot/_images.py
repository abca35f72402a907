"""Rows of data, weights or tangents as images, and images in a grid."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np

from skcae._core.layers.convolution import Convolution
from skcae._core.layers.layer import Layer

# Between two images of a grid, in pixels of an image.
GAP = 1
# The height of a line of names, and the width of a letter, in sizes of the font.
LINE, LETTER = 1.3, 0.6


def signal_shape_of(
    n_features: int, image_shape: tuple[int, ...] | None
) -> tuple[int, int] | None:
    """Return steps and channels if rows are signals, whose images are one pixel high.

    Without a shape that is what makes no square.
    """
    if image_shape is None:
        is_square = math.isqrt(n_features) ** 2 == n_features
        return None if is_square else (n_features, 1)
    shape = tuple(image_shape) if isinstance(image_shape, Iterable) else ()
    if shape == (n_features,):
        return n_features, 1
    if len(shape) == 3 and shape[0] == 1 and math.prod(shape) == n_features:
        return shape[1], shape[2]
    return None


def shape_of_convolution(layer: Layer, n_features: int) -> tuple[int, ...] | None:
    """Return the shape of the images that a layer takes, if rows are such images."""
    is_convolution = isinstance(layer, Convolution) and layer.n_inputs == n_features
    return cast(Convolution, layer).image_shape if is_convolution else None


def signed_images(rows: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Turn rows of signed numbers into RGB images, each scaled to its largest entry.

    Zero is white in grey images, whose signs are blue (−) and red (+), and mid-grey in
    the channels of colour images. Shape (n, height, width, 3).
    """
    largest = np.abs(rows).max(axis=1, keepdims=True)
    zeros = np.zeros(rows.shape)
    scaled = np.divide(rows, largest, out=zeros, where=largest > 0)
    images: np.ndarray = (scaled.reshape(len(rows), *shape) + 1) / 2
    if shape[2] == 3:
        return images
    from matplotlib import colormaps

    colours: np.ndarray = colormaps["RdBu_r"](images[..., 0])[..., :3]
    return colours


def plain_images(
    rows: np.ndarray,
    shape: tuple[int, int, int],
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """Turn rows of data into RGB images, from the smallest value to the largest.

    What is beyond given limits is cut. Shape (n, height, width, 3).
    """
    low, high = (rows.min(), rows.max()) if limits is None else limits
    scaled = (rows - low) / (high - low) if high > low else np.zeros_like(rows)
    images = scaled.clip(0, 1).reshape(len(rows), *shape)
    return np.broadcast_to(images, (*images.shape[:3], 3))


def grid_of(images: np.ndarray, n_columns: int) -> np.ndarray:
    """Put RGB images side by side on white, row by row."""
    n, height, width, _ = images.shape
    n_rows = -(-n // n_columns)
    grid = np.ones((n_rows * (height + GAP) - GAP, n_columns * (width + GAP) - GAP, 3))
    for k, image in enumerate(images):
        row, column = divmod(k, n_columns)
        top, left = row * (height + GAP), column * (width + GAP)
        grid[top : top + height, left : left + width] = image
    return grid


def name_images(ax: Any, axis: str, labels: Sequence[str], length: int) -> None:
    """Name the rows or columns of a grid of images, as small as they have to be.

    `length` is that of an image along the axis, in pixels.
    """
    high, wide = ax.images[-1].get_size()
    box = ax.get_window_extent()
    # The pixels of an image are squares.
    scale = min(box.width / wide, box.height / high) * 72 / ax.figure.dpi
    pitch = (length + GAP) * scale
    ticks = ax.xaxis if axis == "x" else ax.yaxis
    ticks.set_ticks(centres(len(labels), length), labels)
    size = ticks.get_ticklabels()[0].get_size()
    fits = LETTER * size * max(map(len, labels)) <= pitch
    ax.tick_params(
        axis=axis,
        length=0,
        labelsize=min(size, pitch / LINE),
        labelrotation=90 if axis == "x" and not fits else 0,
    )


def centres(n: int, length: int) -> np.ndarray:
    """Return the middle of each of n images of a grid along one side, in pixels."""
    return np.arange(n) * (length + GAP) + (length - 1) / 2
