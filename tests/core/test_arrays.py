import numpy as np
import pytest
import torch

from skcae._core.data import arrays
from skcae._core.data.arrays import (
    resolve_device,
    resolve_device_or_cpu,
    to_tensor,
    working_dtype,
)

CPU = torch.device("cpu")
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@pytest.mark.parametrize(
    "name",
    [
        "cuda",
        "cuda:7",
        "nonsense",
        "meta",
        "mps",
        "hpu",
        "xpu",
        "xla",
        "vulkan",
        "lazy",
    ],
)
def test_a_missing_device_is_refused_with_those_there_are(name):
    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("CUDA is here")
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("MPS is here")
    words = rf"device='{name}'.*Available devices: cpu"
    for dtype in (FLOAT32, FLOAT64):
        with pytest.raises(ValueError, match=words) as refusal:
            resolve_device(name, dtype)
        assert len(str(refusal.value)) < 300
        assert "float64" not in str(refusal.value)
    assert resolve_device_or_cpu(name, FLOAT32) == CPU


def test_a_device_without_float64_says_so(monkeypatch):
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)  # MPS is here
    with pytest.raises(ValueError, match=r"'mps' cannot .* no float64, pass float32"):
        resolve_device("mps", FLOAT64)
    assert resolve_device_or_cpu("mps", FLOAT64) == CPU


def test_available_devices_lists_the_accelerators(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert arrays.available_devices() == ["cpu", "cuda:0", "cuda:1", "mps"]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("f4", "f4"),
        ("f8", "f8"),
        ("f2", "f8"),
        ("i4", "f8"),
        ("?", "f8"),
        (">f4", "f4"),
    ],
)
def test_working_dtype(dtype, expected):
    assert working_dtype(np.dtype(dtype)) == np.dtype(expected)


def test_tensors_share_writeable_memory_and_copy_read_only_memory():
    array = np.ones((2, 3))
    assert to_tensor(array, FLOAT64, CPU).data_ptr() == array.ctypes.data
    array.flags.writeable = False
    assert to_tensor(array, FLOAT64, CPU).data_ptr() != array.ctypes.data


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3)[:1][::-1],
        np.arange(6.0).reshape(6, 1)[:, ::-1],
        np.arange(3.0)[:1][::-1],
    ],
    ids=["row", "column", "number"],
)
def test_a_single_row_or_column_read_backwards(array):
    """NumPy calls it contiguous, whatever its stride."""
    np.testing.assert_array_equal(to_tensor(array, FLOAT64, CPU), array)
