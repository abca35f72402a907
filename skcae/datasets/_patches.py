"""Patches of photographs, cut at random where there is texture."""

import numpy as np
from numpy.typing import NDArray

from skcae.datasets._photographs import Photographs

__all__ = ["MIN_STANDARD_DEVIATION", "cut_patches"]

SIDE = 28
BLOCK = 4096
#: Patches with less spread, in grey levels of 0 to 255, are skipped as texture-less.
MIN_STANDARD_DEVIATION = 20


def cut_patches(
    photographs: Photographs, random: np.random.RandomState, n: int
) -> NDArray[np.uint8]:
    """Cut n patches of 28 × 28 at random, skipping those without texture.

    Each draw takes a photograph, then a place in it, all equally likely. A patch whose
    standard deviation is below ``MIN_STANDARD_DEVIATION`` is skipped together with the
    draw of its photograph, so that a photograph with much sky gives fewer patches.

    Returns
    -------
    array of shape (n, 28, 28), uint8
    """
    kept: list[NDArray[np.uint8]] = []
    while sum(map(len, kept)) < n:
        patches = draw_patches(photographs, random, BLOCK)
        kept.append(patches[has_texture(patches)])
    return np.concatenate(kept)[:n]


def draw_patches(
    photographs: Photographs, random: np.random.RandomState, n: int
) -> NDArray[np.uint8]:
    """Cut n patches, texture or not."""
    # With the type left to NumPy the stream would depend on the operating system.
    which = random.randint(len(photographs.starts), size=n, dtype=np.int64)
    widths = photographs.widths[which]
    rows = random.randint(0, photographs.heights[which] - SIDE + 1, dtype=np.int64)
    columns = random.randint(0, widths - SIDE + 1, dtype=np.int64)
    corners = photographs.starts[which] + rows * widths + columns
    steps = np.arange(SIDE)
    down = steps[:, None] * widths[:, None, None]
    return photographs.pixels[corners[:, None, None] + down + steps]


def has_texture(patches: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether standard deviations reach the threshold.

    N Σx² − (Σx)² ≥ (N · threshold)² in integers, so that rounding plays no part.
    """
    values = patches.reshape(len(patches), -1).astype(np.int64)
    n = values.shape[1]
    spread: NDArray[np.int64] = n * (values**2).sum(axis=1) - values.sum(axis=1) ** 2
    return spread >= (n * MIN_STANDARD_DEVIATION) ** 2
