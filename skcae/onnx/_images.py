"""Layers of images as nodes: ONNX has the channels first, and rows have them last."""

from typing import Any

import numpy as np

from skcae._core.layers.convolution import Convolution, Sliding, TransposedConvolution
from skcae._core.layers.images import Shape, as_pair
from skcae._core.layers.pooling import (
    AveragePooling,
    MaxPooling,
    Pooling,
    Unpooling,
)


def reshaped(graph: Any, values: str, *shape: int) -> str:
    """Give values a shape with the samples along the first axis."""
    sizes = graph.constant(np.array([-1, *shape]))
    found: str = graph.node("Reshape", values, sizes)
    return found


def as_images(graph: Any, rows: str, shape: Shape) -> str:
    """Make images of rows, (n, d) → (n, c, h, w)."""
    pixels = reshaped(graph, rows, *shape)
    found: str = graph.node("Transpose", pixels, perm=[0, 3, 1, 2])
    return found


def as_rows(graph: Any, images: str, n: int) -> str:
    """Make rows of images, (n, c, h, w) → (n, d)."""
    return reshaped(graph, graph.node("Transpose", images, perm=[0, 2, 3, 1]), n)


def in_single(graph: Any, operator: str, images: str, *parts: Any, **how: Any) -> str:
    """Add an operator that onnxruntime has in float32 only, with these parameters."""
    is_double = graph.dtype == np.float64
    images = graph.cast(images, np.float32) if is_double else images
    names = [graph.constant(np.asarray(part, np.float32)) for part in parts]
    found: str = graph.node(operator, images, *names, **how)
    if is_double:
        found = graph.cast(found)
    return found


def add_convolution(graph: Any, layer: Convolution, x: str) -> str:
    """Add Wx + b."""
    images = as_images(graph, x, layer.image_shape)
    parts = layer.weights, layer.intercept
    codes = in_single(graph, "Conv", images, *parts, **sliding(layer))
    return as_rows(graph, codes, layer.n_units)


def add_transposed_convolution(graph: Any, layer: TransposedConvolution, x: str) -> str:
    """Add Wx + b; what is beyond the border is left out."""
    codes = as_images(graph, x, layer.code_shape)
    images = in_single(
        graph,
        "ConvTranspose",
        codes,
        layer.weights,
        layer.intercept,
        output_padding=[axis.n_uncovered for axis in layer.axes],
        **sliding(layer),
    )
    return as_rows(graph, images, layer.n_units)


def sliding(layer: Sliding) -> dict[str, list[int]]:
    """Return how filters slide: strides, and zeros before and after an image."""
    before, after = zip(*(axis.n_zeros for axis in layer.axes), strict=True)
    return {
        "strides": [axis.stride for axis in layer.axes],
        "pads": [*before, *after],
    }


def add_max_pooling(graph: Any, layer: MaxPooling, x: str) -> str:
    """Add the largest number of each window."""
    return add_pooling(graph, "MaxPool", layer, x)


def add_average_pooling(graph: Any, layer: AveragePooling, x: str) -> str:
    """Add the mean of each window, over those of its pixels that are in the image."""
    return add_pooling(graph, "AveragePool", layer, x, count_include_pad=0)


def add_pooling(
    graph: Any, operator: str, layer: Pooling, x: str, **attributes: int
) -> str:
    """Add one number for each window; the last ones reach beyond the image."""
    window = as_pair(layer.pool_size)
    shapes = zip(layer.code_shape, window, layer.image_shape, strict=False)
    beyond = [n_windows * size - n_pixels for n_windows, size, n_pixels in shapes]
    images = as_images(graph, x, layer.image_shape)
    codes = in_single(
        graph,
        operator,
        images,
        kernel_shape=window,
        strides=window,
        pads=[0, 0, *beyond],
        **attributes,
    )
    return as_rows(graph, codes, layer.n_units)


def add_unpooling(graph: Any, layer: Unpooling, x: str) -> str:
    """Add images that have the same number all over a window."""
    height, width, channels = layer.image_shape
    (n_rows, n_columns, _), (rows, columns) = layer.code_shape, as_pair(layer.pool_size)
    codes = reshaped(graph, x, n_rows, 1, n_columns, 1, channels)
    sizes = graph.constant(np.array([1, 1, rows, 1, columns, 1]))
    windows = graph.node("Expand", codes, sizes)
    images = reshaped(graph, windows, n_rows * rows, n_columns * columns, channels)
    # The last windows are cut.
    ends = [np.array(part) for part in ([0, 0], [height, width], [1, 2])]
    cut = graph.node("Slice", images, *map(graph.constant, ends))
    return reshaped(graph, cut, layer.n_units)
