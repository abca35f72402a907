"""Between NumPy and torch: devices, dtypes and random generators."""

import math
import os
from mmap import mmap
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


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
        # torch knows names of devices that are not here; a tensor there is the proof.
        torch.empty(0, device=resolved)
        if resolved.type == "mps" and dtype == np.float64:
            raise RuntimeError("it has no float64, pass float32 data")
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, NotImplementedError) or "INTERNAL ASSERT" in reason:
            reason = "torch has no such device on this machine"
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


def device_for(device: str | torch.device | None, X: Any) -> str | torch.device:
    """Return the device that is named, or else the one that X is on."""
    if device is not None:
        return device
    return X.device if isinstance(X, Tensor) else "cpu"


def working_dtype(dtype: np.dtype[Any] | torch.dtype) -> np.dtype[Any]:
    """Return float32 for what it has all numbers of, and float64 for everything else.

    That is float32 itself, and of torch's types bfloat16.
    """
    if isinstance(dtype, torch.dtype):
        is_single = dtype in (torch.float32, torch.bfloat16)
        return np.dtype(np.float32 if is_single else np.float64)
    # Data from another machine may have its bytes the other way round.
    is_single = dtype.newbyteorder("=") == np.float32
    return np.dtype(np.float32) if is_single else np.dtype(np.float64)


def torch_dtype(dtype: np.dtype[Any]) -> torch.dtype:
    """Return torch's name for float32 or float64."""
    return torch.float32 if dtype == np.float32 else torch.float64


def to_tensor(
    array: Array | Tensor, dtype: np.dtype[Any], device: torch.device
) -> Tensor:
    """Give the values as a tensor, sharing their memory where that is possible.

    The tensor is for reading: it may be a view of the user's data.
    """
    if isinstance(array, Tensor):
        return array.to(device, torch_dtype(dtype))
    array = np.asarray(array, dtype=dtype, order="C")
    # torch has no read-only tensors and warns about arrays that are. It has no negative
    # strides either, which a C-contiguous array has where it has a single row.
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    return torch.from_numpy(array).to(device)


def to_array(tensor: Tensor) -> Array:
    """Give the tensor's values as an array, sharing its memory where possible."""
    array: Array = tensor.cpu().numpy()
    return array


def array_of(tensor: Tensor | Array) -> Array:
    """Give the values of a user's tensor, wherever and whatever it is.

    Types that NumPy does not have, such as bfloat16, become float32, which has all of
    their numbers. An array is given as it is.
    """
    if not isinstance(tensor, Tensor):
        return tensor
    known = (torch.float16, torch.float32, torch.float64)
    if tensor.is_floating_point() and tensor.dtype not in known:
        tensor = tensor.float()
    # A sign or a conjugate may be a mark on the tensor, which NumPy does not read.
    return to_array(tensor.detach().resolve_neg().resolve_conj())


def make_generator(seed: int) -> torch.Generator:
    """Make a generator on the processor, so that all devices draw the same numbers."""
    return torch.Generator().manual_seed(seed)


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """Make a generator on a device, seeded with a number that another one draws."""
    seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
    return torch.Generator(device).manual_seed(int(seed))


def resume_generator(state: Array) -> torch.Generator:
    """Make a generator that goes on from a saved state."""
    # A copy, since a state out of a file may be read-only.
    return torch.Generator().set_state(torch.from_numpy(state.copy()))


def is_on_disk(array: Any) -> bool:
    """Tell whether an array, or what it is a view of, is mapped from a file."""
    while isinstance(array, (np.ndarray, memoryview)):
        if isinstance(array, memoryview):
            array = array.obj
            continue
        # What is computed from a memmap is one by type, but has no map.
        if getattr(array, "_mmap", None) is not None:
            return True
        array = array.base
    return isinstance(array, mmap)


def array_on_disk(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array in a file that is gone with the array."""
    with TemporaryFile(prefix="skcae-") as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is an error now, not later
            os.posix_fallocate(file.fileno(), 0, math.prod(shape) * dtype.itemsize)
        # The map keeps what it maps when the file is closed and has no name.
        return np.memmap(file, dtype=dtype, shape=shape)


def finite_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the smallest and the largest number of a type."""
    limits = np.finfo(dtype)
    return float(limits.min), float(limits.max)


def within(tensor: Tensor, low: float, high: float) -> bool:
    """Tell whether no entry is NaN or out of these bounds, without a copy."""
    # Both are NaN if anything is, and then no comparison holds.
    smallest, largest = tensor.aminmax()
    return bool((smallest >= low) & (largest <= high))


def all_finite(tensor: Tensor) -> bool:
    """Tell whether no entry is infinite or NaN, without a copy."""
    limits = torch.finfo(tensor.dtype)
    return within(tensor, limits.min, limits.max)
