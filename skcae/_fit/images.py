"""Rows that are images or signals: what shape they have, and what fits it."""

import math
import sys
from collections.abc import Iterable
from numbers import Integral
from typing import Any

from skcae._core.layers.convolutional import ConvolutionalArchitecture
from skcae._core.layers.images import Pair, Shape


def counts_of(name: str, value: Any, lengths: Iterable[int], form: str) -> list[int]:
    """Return a sequence of positive integers of one of these lengths.

    Raises
    ------
    ValueError
        If it is none; `form` says what it has to be.
    """
    # An array may be of one number.
    is_sequence = isinstance(value, Iterable) and getattr(value, "ndim", None) != 0
    counts = list(value) if is_sequence else []
    are_counts = all(isinstance(n, Integral) and int(n) > 0 for n in counts)
    if len(counts) not in lengths or not are_counts:
        raise ValueError(f"{name} must be {form}, but it is {value!r}.")
    return [int(n) for n in counts]


def shape_of(image_shape: Any) -> Shape | None:
    """Return height, width and channels; None is a signal of any length."""
    if image_shape is None:
        return None
    form = (
        "(steps,), (height, width) or (height, width, channels) of positive integers, "
        "or None for signals of one channel"
    )
    sizes = counts_of("image_shape", image_shape, (1, 2, 3), form)
    if len(sizes) == 1:
        return 1, sizes[0], 1
    height, width, channels = (*sizes, 1)[:3]
    return height, width, channels


def image_shape_of(
    n_features: int, image_shape: tuple[int, ...] | None
) -> tuple[int, int, int]:
    """Return height, width and channels, of a square grey image if none is given.

    Raises
    ------
    ValueError
        If so many features make no such image.
    """
    if image_shape is None:
        side = math.isqrt(n_features)
        if side * side != n_features:
            raise ValueError(
                f"{n_features} features are no square grey image. Pass image_shape="
                "(height, width), or (height, width, 3) for colours."
            )
        return side, side, 1
    shape = tuple(image_shape) if isinstance(image_shape, Iterable) else ()
    is_shape = all(isinstance(side, Integral) and side > 0 for side in shape)
    if is_shape and math.prod(shape) == n_features:
        if len(shape) == 2:
            return *shape, 1
        if len(shape) == 3 and shape[2] in (1, 3):
            return shape
        if len(shape) == 3:
            raise ValueError(
                f"Images of the shape {shape} have {shape[2]} channels, of which "
                "nothing says how to show or move them: 1 is grey, and 3 are colours."
            )
    raise ValueError(
        f"image_shape={image_shape} is no grey or RGB image of {n_features} features."
    )


def pair_of(name: str, value: Any, shape: Shape | None) -> Pair:
    """Return what is along the height and along the width.

    One number is along both, and for signals along the steps only.
    """
    if isinstance(value, Integral):
        is_signal = shape is None or shape[0] == 1
        return (1 if is_signal else int(value)), int(value)
    form = "a positive integer, or two of them: along the height and the width"
    along_height, along_width = counts_of(name, value, (2,), form)
    return along_height, along_width


def filters_of(n_filters: Any) -> tuple[int, ...]:
    """Return the number of filters of each layer."""
    if isinstance(n_filters, Integral):
        return (int(n_filters),)
    form = "a positive integer, or one for each layer from the input up"
    return tuple(counts_of("n_filters", n_filters, range(1, sys.maxsize), form))


def flat_images(X: Any, shape: Shape | None) -> Any:
    """Return rows of images that come as an array of more dimensions.

    Raises
    ------
    ValueError
        If the images are of another shape.
    """
    if getattr(X, "ndim", 2) <= 2:
        return X
    if shape is None:
        raise ValueError(
            f"X has the shape {X.shape}, but with image_shape=None each row is a "
            "signal of one channel. Set image_shape to (height, width), or to (height, "
            "width, channels); signals of several channels are (1, steps, channels)."
        )
    height, width, channels = shape
    forms: list[tuple[int, ...]] = [shape]
    forms += [(height, width)] if channels == 1 else []
    forms += [(width, channels)] if height == 1 else []
    found = X.shape[1:]
    if found in forms:
        return X.reshape(len(X), -1)
    _, shortest = min((len(form), form) for form in forms)
    sizes = ", ".join(map(str, shortest))
    expected = f"image_shape={shape} asks for (n, {sizes})"
    if found in ((channels, height, width), (channels, width)):
        raise ValueError(
            f"X has the shape {X.shape}, with its channels first, but {expected}, the "
            "channels last. Pass numpy.moveaxis(X, 1, -1)."
        )
    raise ValueError(
        f"X has the shape {X.shape}, but {expected}, or for rows that are flat in that "
        f"order (n, {math.prod(shape)})."
    )


def check_fits(architecture: ConvolutionalArchitecture, n_features: int) -> None:
    """Refuse rows that are no such images, and layers that these are too small for."""
    shape = architecture.image_shape
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape} has {math.prod(shape)} numbers, but X has "
            f"{n_features} features. Set image_shape to what a row is: (steps,), "
            "(height, width) or (height, width, channels)."
        )
    for k, (convolution, pooling) in enumerate(architecture.stages):
        map_size = convolution.image_shape[:2]
        if architecture.padding == "valid":
            kernel, remedy = architecture.kernel_size, ', or padding="same"'
            check_within("kernel_size", kernel, map_size, k, remedy)
        check_within("stride", architecture.stride, map_size, k)
        if pooling is not None:
            sizes = pooling.image_shape[:2]
            check_within("pool_size", architecture.pool_size, sizes, k)


def check_within(
    name: str, pair: Pair, map_size: Pair, k: int, remedy: str = ""
) -> None:
    """Refuse a size that is larger than the image, or the map of it at a layer."""
    if any(n > size for n, size in zip(pair, map_size, strict=True)):
        height, width = map_size
        raise ValueError(
            f"{name}={pair} is larger than the {height} × {width} pixels that it is "
            f"for in layer {k}. Take a smaller {name}{remedy}."
        )
