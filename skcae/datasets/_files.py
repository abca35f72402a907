"""Files that users name: finding them and reading their arrays."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["existing_file", "labels_of", "read_npz", "reading"]

PathLike = str | os.PathLike[str]


def existing_file(local_file: PathLike) -> Path:
    """Return the path, or say that there is no such file or that it is closed to us."""
    path = Path(local_file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"local_file={str(local_file)!r} is not a file; give the path of one "
            f"(relative paths start from {Path.cwd()})"
        )
    path.open("rb").close()  # not to be allowed to read is no damage
    return path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say of a file that it is damaged, whatever its bytes make a reader raise."""
    try:
        yield
    except Exception as error:
        kind = type(error).__name__
        raise ValueError(f"{path} is damaged ({kind}: {error}); get it anew") from error


def read_npz(path: Path, names: Sequence[str], layout: str) -> list[NDArray[Any]]:
    """Read the named arrays of an npz file without unpickling anything.

    Parameters
    ----------
    path : Path
    names : sequence of str
    layout : str
        What the file is expected to be, for the error.

    Raises
    ------
    ValueError
        If the file is no npz, lacks a name, or an array is damaged or pickled.
    """
    with reading(path):
        is_archive = zipfile.is_zipfile(path)
    if not is_archive:
        raise ValueError(f"{path} is not an npz file; {layout}")
    with reading(path):
        check_sums(path)
        file = np.load(path, allow_pickle=False)
        present = file.files
    with file:
        missing = [name for name in names if name not in present]
        if missing:
            raise ValueError(
                f"{path} has no {', '.join(missing)}; it has "
                f"{', '.join(sorted(present)) or 'nothing'}; {layout}"
            )
        return [read_member(path, file, name) for name in names]


def check_sums(path: Path) -> None:
    """Read a zip archive to its checksums.

    An array of another shape might not be read so far.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} does not fit")


def read_member(path: Path, file: Any, name: str) -> NDArray[Any]:
    """Read one array; what is wrong with it is said with its name."""
    try:
        array = file[name]
    except Exception as error:
        raise ValueError(
            f"{name} of {path} cannot be read ({error}); it must be a whole array of "
            "numbers"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} of {path} is not an array")
    return array


def labels_of(path: object, name: str, y: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Check the n labels of ten classes and return them as int64."""
    if y.shape != (n,) or y.dtype.kind not in "iu":
        raise ValueError(
            f"{name} of {path} must be integers of shape ({n},), one for each image, "
            f"but is {y.dtype} of shape {y.shape}"
        )
    if n and not (y.min() >= 0 and y.max() <= 9):
        raise ValueError(
            f"{name} of {path} must be labels from 0 to 9, but ranges from {y.min()} "
            f"to {y.max()}"
        )
    return y.astype(np.int64)
