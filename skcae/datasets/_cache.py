"""Generated sets on disk."""

import hashlib
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skcae._core.data.disk import write_whole

__all__ = ["cached", "fingerprint"]

Pair = tuple[NDArray[np.uint8], NDArray[np.int64]]


def fingerprint(**content: object) -> str:
    """Return a short text that differs when anything of the content does."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cached(path: Path, shape: tuple[int, ...], make: Callable[[], Pair]) -> Pair:
    """Read images of this shape and their labels, or make and keep them.

    Warns
    -----
    UserWarning
        If there is a file that cannot be read. It is replaced.
    """
    pair = read(path, shape) if path.exists() else None
    if pair is None:
        pair = make()
        write(path, *pair)
    return pair


def read(path: Path, shape: tuple[int, ...]) -> Pair | None:
    """Read a stored set; of a damaged file warn and return nothing."""
    # Not being allowed to read is no damage: opening the file may raise.
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                images, labels = arrays["X"], arrays["y"]
            check(images, labels, shape)
        # Damaged bytes can make zip and NumPy raise nearly anything.
        except Exception as error:
            warnings.warn(
                f"{path} is damaged ({type(error).__name__}: {error}) and is "
                "generated anew",
                stacklevel=4,
            )
            return None
    return images, labels


def check(
    images: NDArray[np.uint8], labels: NDArray[np.int64], shape: tuple[int, ...]
) -> None:
    """Raise if these are not n images of 8 bits and n labels."""
    if images.dtype != np.uint8 or images.shape != shape:
        raise ValueError(f"X is {images.dtype} of shape {images.shape}")
    if labels.dtype != np.int64 or labels.shape != shape[:1]:
        raise ValueError(f"y is {labels.dtype} of shape {labels.shape}")


def write(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Write the whole file or none, also when interrupted or beside another process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, X=images, y=labels)
    write_whole(path, buffer.getvalue())
