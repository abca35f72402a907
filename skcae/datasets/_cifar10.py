"""CIFAR-10 and its grey version from a local file."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skcae.datasets._files import (
    PathLike,
    existing_file,
    labels_of,
    read_npz,
    reading,
)
from skcae.datasets._images import import_pillow, luma, split
from skcae.datasets._pickles import load_batch

__all__ = ["load_cifar10"]

SIDE = 32
FOLDER = "cifar-10-batches-py"
TRAINING = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST = "test_batch"
CHUNK = 2**20
NAMES = ("jpeg_train", "off_train", "y_train", "jpeg_test", "off_test", "y_test")
LAYOUT = (
    "CIFAR-10 is read from cifar-10-python.tar.gz or from an npz file with jpeg_train, "
    "off_train, y_train, jpeg_test, off_test and y_test"
)
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_cifar10(local_file: PathLike, *, grey: bool = False) -> Bunch:
    """Load CIFAR-10, small colour photographs of ten classes, in its original order.

    Parameters
    ----------
    local_file : path-like
        One of two formats, told apart by content:

        - ``cifar-10-python.tar.gz`` as its authors publish it, which has a checksum, or
          unpacked to a ``.tar``, which has none: a tar archive with the
          pickles ``data_batch_1`` to ``data_batch_5`` and ``test_batch`` in the folder
          ``cifar-10-batches-py``. Of these pickles nothing but arrays, lists and
          strings is read; one that asks for more is refused.
        - an npz file with ``jpeg_train`` (uint8, the images as JPEG files one after the
          other), ``off_train`` (n + 1 integers: image i is the bytes from
          ``off_train[i]`` to ``off_train[i + 1]``), ``y_train`` (n,), ``jpeg_test``,
          ``off_test`` and ``y_test``. Reading it needs Pillow. JPEG is lossy: say so
          beside any number.
    grey : bool, default=False
        Return grey images, CIFAR-bw of the paper. The paper does not say how colours
        become grey. Here it is the luma of ITU-R 601, 0.299 R + 0.587 G + 0.114 B,
        rounded to 8 bits, as Pillow's mode ``"L"`` has it.

    Returns
    -------
    sklearn.utils.Bunch
        - ``X_train`` (40000, n_features), ``X_valid`` (10000, n_features) and
          ``X_test`` (10000, n_features): float32, the pixel values divided by 255.
          With colours n_features is 3072, an image of shape (32, 32, 3) flattened: row
          by row, and red, green and blue of each pixel together. In grey it is 1024.
        - ``y_train`` (40000,), ``y_valid`` (10000,) and ``y_test`` (10000,): int64,
          the classes.
        - ``target_names``: the names of the classes.

        The validation data are the last 10,000 of the 50,000 training images. Of a
        file with another number of training images they are the last fifth.

    Raises
    ------
    FileNotFoundError
        If ``local_file`` is not a file.
    OSError
        If it cannot be opened.
    ImportError
        If the file holds JPEG images and Pillow is not installed.
    ValueError
        If the file is of neither format, lacks something or is damaged, or if a pickle
        in it asks for more than arrays.

    References
    ----------
    Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html

    Examples
    --------
    A file of six white images:

    >>> import io, tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from skcae.datasets import load_cifar10
    >>> buffer = io.BytesIO()
    >>> Image.new("RGB", (32, 32), "white").save(buffer, "JPEG")
    >>> jpeg = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cifar10.npz"
    ...     np.savez(
    ...         path,
    ...         jpeg_train=np.tile(jpeg, 5),
    ...         off_train=len(jpeg) * np.arange(6),
    ...         y_train=np.arange(5),
    ...         jpeg_test=jpeg,
    ...         off_test=len(jpeg) * np.arange(2),
    ...         y_test=np.array([9]),
    ...     )
    ...     cifar = load_cifar10(path, grey=True)
    >>> cifar.X_train.shape, cifar.X_valid.shape, cifar.X_test.shape
    ((4, 1024), (1, 1024), (1, 1024))
    >>> float(cifar.X_test.min()), cifar.target_names[cifar.y_test[0]]
    (1.0, 'truck')
    """
    (x_train, y_train), (x_test, y_test) = read_cifar10(existing_file(local_file))
    images = np.concatenate([x_train, x_test])
    n_valid = len(x_train) // 5
    return split(
        luma(images) if grey else images,
        np.concatenate([y_train, y_test]),
        (len(x_train) - n_valid, n_valid, len(x_test)),
        target_names=list(CLASSES),
    )


def read_cifar10(path: Path) -> tuple[Images, Images]:
    """Read training and test images (n, 32, 32, 3) with their labels (n,)."""
    with reading(path):
        is_tar, is_zip = tarfile.is_tarfile(path), zipfile.is_zipfile(path)
    if is_tar:
        return read_archive(path)
    if is_zip:
        return read_packed(path)
    raise ValueError(f"{path} is neither a tar archive nor an npz file; {LAYOUT}")


# ---- the official archive -------------------------------------------------------


def read_archive(path: Path) -> tuple[Images, Images]:
    """Read the batches of the official archive; nothing is unpacked to disk."""
    with reading(path), tarfile.open(path) as archive:
        files = {name: content(archive, name) for name in (*TRAINING, TEST)}
        read_to_end(archive)
    batches = [read_batch(path, files, name) for name in TRAINING]
    images, labels = zip(*batches, strict=True)
    test = read_batch(path, files, TEST)
    return (np.concatenate(images), np.concatenate(labels)), test


def content(archive: tarfile.TarFile, name: str) -> bytes | None:
    """Return what is in the file of a batch, or None where there is none."""
    try:
        file = archive.extractfile(f"{FOLDER}/{name}")
    except KeyError:
        return None
    return None if file is None else file.read()


def read_to_end(archive: tarfile.TarFile) -> None:
    """Let the compressed stream be compared with its checksum, which comes last."""
    stream = archive.fileobj
    assert stream is not None
    while stream.read(CHUNK):
        pass


def read_batch(path: Path, files: dict[str, bytes | None], name: str) -> Images:
    """Read the images and labels of one batch."""
    place = f"{FOLDER}/{name} of {path}"
    data = files.pop(name)
    if data is None:
        raise ValueError(f"{path} has no file {FOLDER}/{name}; {LAYOUT}")
    try:
        batch = load_batch(io.BytesIO(data))
    except ValueError as error:
        raise ValueError(
            f"{place} is refused, being {error}; get the archive from its authors"
        ) from error
    missing = [key.decode() for key in (b"data", b"labels") if key not in batch]
    if missing:
        raise ValueError(f"{place} has no {' and no '.join(missing)}; {LAYOUT}")
    return images_of_batch(place, batch[b"data"], np.asarray(batch[b"labels"]))


def images_of_batch(place: str, data: Any, labels: NDArray[Any]) -> Images:
    """Bring the rows, which have all reds first, to (n, 32, 32, 3)."""
    if not isinstance(data, np.ndarray) or data.shape[1:] != (3 * SIDE**2,):
        found = getattr(data, "shape", type(data).__name__)
        raise ValueError(
            f"data of {place} must be an array of shape (n, {3 * SIDE**2}), but is "
            f"{found}"
        )
    images = data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return images, labels_of(place, "labels", labels, len(images))


# ---- JPEG images in an npz file -------------------------------------------------


def read_packed(path: Path) -> tuple[Images, Images]:
    """Read the npz file of JPEG images."""
    arrays = dict(zip(NAMES, read_npz(path, NAMES, LAYOUT), strict=True))
    train, test = (
        unpack(path, part, *(arrays[f"{name}_{part}"] for name in ("jpeg", "off", "y")))
        for part in ("train", "test")
    )
    return train, test


def unpack(
    path: Path,
    part: str,
    jpeg: NDArray[Any],
    offsets: NDArray[Any],
    labels: NDArray[Any],
) -> Images:
    """Decode the images between the offsets."""
    if jpeg.dtype != np.uint8 or jpeg.ndim != 1:
        raise ValueError(
            f"jpeg_{part} of {path} must be uint8 of shape (n_bytes,), but is "
            f"{jpeg.dtype} of shape {jpeg.shape}"
        )
    if not are_offsets(offsets, len(jpeg)):
        raise ValueError(
            f"off_{part} of {path} must be integers that rise from 0 to the "
            f"{len(jpeg)} bytes of jpeg_{part}, one more than there are images"
        )
    y = labels_of(path, f"y_{part}", labels, len(offsets) - 1)
    data = jpeg.tobytes()
    images = np.empty((len(y), SIDE, SIDE, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        image[:] = decode(data[offsets[i] : offsets[i + 1]], f"jpeg_{part}[{i}]", path)
    return images, y


def are_offsets(offsets: NDArray[Any], n_bytes: int) -> bool:
    """Whether these are where images of n_bytes together start, and the end."""
    return bool(
        offsets.ndim == 1
        and offsets.size
        and offsets.dtype.kind in "iu"
        and offsets[0] == 0
        and offsets[-1] == n_bytes
        and np.all(offsets[1:] > offsets[:-1])
    )


def decode(data: bytes, name: str, path: Path) -> NDArray[np.uint8]:
    """Decode one JPEG image to (32, 32, 3)."""
    pillow = import_pillow()
    try:
        with pillow.open(io.BytesIO(data), formats=["JPEG"]) as image:
            width, height = image.size
            is_small = (width, height) == (SIDE, SIDE)
            pixels = np.asarray(image.convert("RGB")) if is_small else None
    # Damaged bytes can make a decoder raise nearly anything.
    except Exception as error:
        raise ValueError(f"{name} of {path} is no JPEG image: {error}") from error
    if pixels is None:
        raise ValueError(
            f"{name} of {path} must be {SIDE} × {SIDE} pixels, but is {width} × "
            f"{height}"
        )
    return pixels
