"""Images of 8 bits: Pillow, luma, and the way to what the loaders return."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skcae._core.extras import imported

__all__ = ["INSTALL", "import_pillow", "luma", "split"]

#: The command that installs what the extra brings.
INSTALL = 'pip install "skcae[datasets]"'


def import_pillow() -> Any:
    """Import Pillow's Image, or say how to install it."""
    return imported("PIL.Image", extra="datasets", for_what="reading image files")


def luma(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of ITU-R 601 of images (..., 3), shape (...), 8 bits.

    0.299 R + 0.587 G + 0.114 B in the fixed-point arithmetic that Pillow's mode "L"
    uses, so that both agree in every bit.
    """
    grey = np.full(images.shape[:-1], 1 << 15, dtype=np.uint32)
    for channel, weight in enumerate((19595, 38470, 7471)):
        grey += images[..., channel].astype(np.uint32) * np.uint32(weight)
    return (grey >> 16).astype(np.uint8)


def split(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]],
    sizes: Sequence[int],
    **more: object,
) -> Bunch:
    """Cut rows into training, validation and test data, one after the other.

    Parameters
    ----------
    images : array of shape (n, ...), uint8
    labels : array of shape (n,), integers
    sizes : three ints
        Rows for training, validation and testing.
    **more : object
        Further entries of the result.

    Returns
    -------
    Bunch
        ``X_*`` float32 in [0, 1] of shape (size, n_features) and ``y_*`` int64 of
        shape (size,) for ``train``, ``valid`` and ``test``.
    """
    flat = images.reshape(len(images), -1)
    result = Bunch(**more)
    bounds = pairwise(accumulate(sizes, initial=0))
    for name, (start, stop) in zip(("train", "valid", "test"), bounds, strict=True):
        result[f"X_{name}"] = np.divide(flat[start:stop], 255, dtype=np.float32)
        result[f"y_{name}"] = labels[start:stop].astype(np.int64)
    return result
