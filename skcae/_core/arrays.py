"""Between NumPy and torch: devices, dtypes, random generators and rows of data.

Data and weights are converted here and nowhere else.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

Array = NDArray[Any]

# A chunk of an evaluation pass holds at most this many numbers per matrix (32 MB in
# float64), so that memory is bounded however many rows are transformed.
CHUNK_ELEMENTS = 2**22


def available_devices() -> list[str]:
    """Name the devices that this machine can compute on."""
    devices = ["cpu"]
    devices += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def resolve_device(device: str | torch.device, dtype: np.dtype[Any]) -> torch.device:
    """Turn a device name into a device that exists here and computes in this dtype.

    Raises
    ------
    ValueError
        If the name is not a device's, the device is not on this machine, or it does
        not compute in this dtype.
    """
    try:
        resolved = torch.device(device)
        if resolved.type == "meta":
            raise RuntimeError("the meta device holds no data")
        if resolved.type == "mps" and dtype == np.float64:
            raise RuntimeError("it has no float64, pass float32 data")
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={str(device)!r} cannot be used here: {reason}. "
            f"Available devices: {', '.join(available_devices())}."
        ) from error
    return resolved


def resolve_device_or_cpu(
    device: str | torch.device, dtype: np.dtype[Any]
) -> torch.device:
    """Resolve the device, or fall back to the processor where it is missing.

    A model fitted on an accelerator must work on a machine without one.
    """
    try:
        return resolve_device(device, dtype)
    except ValueError:
        return torch.device("cpu")


def working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return float32 for float32 and float64 for everything else."""
    is_single = dtype.newbyteorder("=") == np.float32
    return np.dtype(np.float32) if is_single else np.dtype(np.float64)


def torch_dtype(dtype: np.dtype[Any]) -> torch.dtype:
    """Return torch's name for float32 or float64."""
    return torch.float32 if dtype == np.float32 else torch.float64


def to_tensor(array: Array, dtype: np.dtype[Any], device: torch.device) -> Tensor:
    """Give the array's values as a tensor, sharing its memory where that is possible.

    The tensor is for reading: it may be a view of the user's data.
    """
    array = np.asarray(array, dtype=dtype, order="C")
    # torch has no read-only tensors and warns about arrays that are.
    if not array.flags.writeable:
        array = array.copy()
    return torch.from_numpy(array).to(device)


def to_array(tensor: Tensor) -> Array:
    """Give the tensor's values as an array, sharing its memory where possible."""
    array: Array = tensor.cpu().numpy()
    return array


def make_generator(seed: int) -> torch.Generator:
    """Make a generator on the processor, so that all devices draw the same numbers."""
    return torch.Generator().manual_seed(seed)


def resume_generator(state: Array) -> torch.Generator:
    """Make a generator that goes on from a saved state."""
    return torch.Generator().set_state(torch.from_numpy(state.copy()))


def row_slices(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Cut rows into slices of bounded size, for matrices of at most n_columns."""
    step = max(1, CHUNK_ELEMENTS // n_columns)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


class Rows:
    """Rows of a data matrix with their weights, handed out as tensors by the batch.

    The matrix stays what and where it is, memory-mapped or sparse; only the rows of
    one batch are ever copied, densified, cast and moved.

    Parameters
    ----------
    matrix : ndarray or CSR matrix or array, shape (n, n_features)
        The data.
    weights : ndarray of shape (n,), optional
        The weight of each row, 1 by default.
    dtype, device
        What the batches are cast to and where they go.
    bounds : (float, float), optional
        Values are clipped to these bounds.
    subset : ndarray of int, or slice(None)
        The rows to use, all by default.
    """

    def __init__(
        self,
        matrix: Any,
        weights: Array | None = None,
        *,
        dtype: np.dtype[Any],
        device: torch.device,
        bounds: tuple[float, float] | None = None,
        subset: Array | slice = slice(None),
    ) -> None:
        self.matrix = matrix
        self.weights = weights
        self.dtype = dtype
        self.device = device
        self.bounds = bounds
        self.subset = subset

    def __len__(self) -> int:
        if isinstance(self.subset, slice):
            return int(self.matrix.shape[0])
        return len(self.subset)

    def batch(self, index: Array | slice) -> tuple[Tensor, Tensor]:
        """Return the rows at these positions, (n, n_features), and weights, (n,)."""
        position = index if isinstance(self.subset, slice) else self.subset[index]
        block = self.matrix[position]
        if sparse.issparse(block):
            block = block.toarray()
        rows = to_tensor(block, self.dtype, self.device)
        if self.bounds is not None:
            rows = rows.clamp(*self.bounds)
        if self.weights is None:
            return rows, rows.new_ones(rows.shape[0])
        return rows, to_tensor(self.weights[position], self.dtype, self.device)

    def chunks(self, n_columns: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Go through all rows once, in order, in batches of bounded size."""
        for part in row_slices(len(self), max(n_columns, self.matrix.shape[1])):
            yield part, *self.batch(part)
