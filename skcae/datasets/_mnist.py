"""MNIST from OpenML or from a local file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from skcae._core.extras import imported
from skcae.datasets._files import PathLike, existing_file, labels_of, read_npz
from skcae.datasets._images import split

__all__ = ["load_mnist", "read_mnist"]

N_TRAIN, N_IMAGES, SIDE = 60_000, 70_000, 28
NAMES = ("x_train", "y_train", "x_test", "y_test")
LAYOUT = (
    "MNIST is read from an npz file with x_train (n, 28, 28) uint8, y_train (n,), "
    "x_test and y_test, the layout of Keras"
)

Digits = tuple[NDArray[np.uint8], NDArray[np.int64], int]


def load_mnist(
    local_file: PathLike | None = None, *, data_home: PathLike | None = None
) -> Bunch:
    """Load MNIST, the handwritten digits, in their original order.

    Parameters
    ----------
    local_file : path-like, default=None
        An npz file with ``x_train`` (60000, 28, 28) uint8, ``y_train`` (60000,),
        ``x_test`` (10000, 28, 28) and ``y_test`` (10000,), the layout of Keras. Without
        one, scikit-learn's ``fetch_openml("mnist_784", version=1)`` downloads the data
        once (about 15 MB); it needs pandas, which ``pip install "skcae[datasets]"``
        brings.
    data_home : path-like, default=None
        Where scikit-learn keeps its downloads, by default
        ``sklearn.datasets.get_data_home()``. Not used with a local file.

    Returns
    -------
    sklearn.utils.Bunch
        - ``X_train`` (50000, 784), ``X_valid`` (10000, 784) and ``X_test``
          (10000, 784): float32, the pixel values divided by 255, row by row.
        - ``y_train`` (50000,), ``y_valid`` (10000,) and ``y_test`` (10000,): int64,
          the digits.

        The validation data are the last 10,000 of the 60,000 training images. Of a
        local file with another number of training images they are the last sixth.

    Raises
    ------
    FileNotFoundError
        If ``local_file`` is not a file.
    ImportError
        Without a local file and without pandas.
    OSError
        If it cannot be opened, and what ``fetch_openml`` raises without a network.
    ValueError
        If the file is no npz file, is damaged, or its arrays are not as above.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86, 1998.

    Examples
    --------
    A file of the same layout with twelve training images and three test images:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skcae.datasets import load_mnist
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "mnist.npz"
    ...     np.savez(
    ...         path,
    ...         x_train=np.full((12, 28, 28), 255, dtype=np.uint8),
    ...         y_train=np.arange(12) % 10,
    ...         x_test=np.zeros((3, 28, 28), dtype=np.uint8),
    ...         y_test=np.arange(3),
    ...     )
    ...     mnist = load_mnist(path)
    >>> mnist.X_train.shape, mnist.X_valid.shape, mnist.X_test.shape
    ((10, 784), (2, 784), (3, 784))
    >>> mnist.X_train.dtype, float(mnist.X_train.max()), mnist.y_valid
    (dtype('float32'), 1.0, array([0, 1]))
    """
    images, labels, n_train = read_mnist(local_file, data_home)
    n_valid = n_train // 6
    sizes = (n_train - n_valid, n_valid, len(images) - n_train)
    return split(images, labels, sizes)


def read_mnist(local_file: PathLike | None, data_home: PathLike | None) -> Digits:
    """Read all images (n, 28, 28), their labels (n,) and the number for training."""
    if local_file is None:
        return fetch_mnist(data_home)
    return read_keras_file(existing_file(local_file))


def read_keras_file(path: Path) -> Digits:
    """Read the training images, then the test images, of an npz file."""
    x_train, y_train, x_test, y_test = read_npz(path, NAMES, LAYOUT)
    for name, x in (("x_train", x_train), ("x_test", x_test)):
        if x.dtype != np.uint8 or x.shape[1:] != (SIDE, SIDE):
            raise ValueError(
                f"{name} of {path} must be uint8 of shape (n, {SIDE}, {SIDE}), but is "
                f"{x.dtype} of shape {x.shape}; {LAYOUT}"
            )
    labels = [
        labels_of(path, "y_train", y_train, len(x_train)),
        labels_of(path, "y_test", y_test, len(x_test)),
    ]
    return np.concatenate([x_train, x_test]), np.concatenate(labels), len(x_train)


def fetch_mnist(data_home: PathLike | None) -> Digits:
    """Fetch OpenML's copy, where the training images come first."""
    imported("pandas", extra="datasets", for_what="MNIST from OpenML")
    X, y = fetch_openml(
        "mnist_784",
        version=1,
        as_frame=False,
        return_X_y=True,
        data_home=None if data_home is None else str(data_home),
    )
    return pixels_of(np.asarray(X)), np.asarray(y).astype(np.int64), N_TRAIN


def pixels_of(X: NDArray[Any]) -> NDArray[np.uint8]:
    """Check what OpenML sent and return it as images."""
    if X.shape != (N_IMAGES, SIDE**2):
        raise ValueError(
            f"OpenML's mnist_784 should have shape ({N_IMAGES}, {SIDE**2}), but came "
            f"as {X.shape}; clear scikit-learn's data_home or give local_file"
        )
    return X.astype(np.uint8).reshape(-1, SIDE, SIDE)
