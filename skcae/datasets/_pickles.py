"""Reading the pickled arrays of a downloaded file without trusting it."""

import pickle
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_batch"]

RECONSTRUCT = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


class PickledType:
    """Stands in for a pickled NumPy type; its state is of no interest."""

    def __init__(self, name: object) -> None:
        self.name = name.decode("latin1") if isinstance(name, bytes) else name

    def __setstate__(self, state: object) -> None:
        """Take the byte order and the like, which bytes do not have."""


class PickledArray:
    """Stands in for a pickled NumPy array, of which it admits arrays of bytes."""

    array: NDArray[np.uint8]

    def __setstate__(self, state: Any) -> None:
        """Make the array of its state: version, shape, type, column order, bytes."""
        _, shape, kind, by_column, data = state
        if not (isinstance(kind, PickledType) and kind.name == "u1"):
            raise pickle.UnpicklingError("only arrays of uint8 are expected")
        order = "F" if by_column else "C"
        flat = np.frombuffer(data, dtype=np.uint8)
        self.array = flat.reshape(shape, order=order)  # type: ignore[call-overload]


class BatchUnpickler(pickle.Unpickler):
    """Admits what is in the batches of CIFAR-10: dicts, lists, strings and arrays.

    A pickle can name any function of Python for the reader to call. This one lets it
    name those that NumPy's arrays need, and answers with stand-ins, so that nothing
    which the file chooses is called, not even in NumPy. What stands in for them are
    bound methods and strings: a file can set attributes of what it was given, and
    those of classes would last.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in, or refuse."""
        if (module, name) in RECONSTRUCT:
            return self.make_array
        if (module, name) == ("numpy", "dtype"):
            return self.make_type
        if (module, name) == ("numpy", "ndarray"):
            return "numpy.ndarray"
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def make_array(self, *_: object) -> PickledArray:
        """Make an array whose content is to come."""
        return PickledArray()

    def make_type(self, name: object, *_: object) -> PickledType:
        """Make a type; whether it is the right one the array will say."""
        return PickledType(name)


def load_batch(file: IO[bytes]) -> dict[Any, Any]:
    """Load a pickled dict of arrays of bytes, lists and strings.

    Strings of Python 2 become bytes.

    Raises
    ------
    ValueError
        If the pickle is damaged, asks for anything else or is no dict.
    """
    try:
        batch = BatchUnpickler(file, encoding="bytes").load()
    # A damaged pickle can make its reader raise nearly anything.
    except Exception as error:
        raise ValueError(f"no admissible pickle: {error}") from error
    if not isinstance(batch, dict):
        raise ValueError(f"a pickle of {type(batch).__name__}, not of dict")
    return {
        key: value.array if isinstance(value, PickledArray) else value
        for key, value in batch.items()
    }
