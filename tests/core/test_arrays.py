import os
import resource
import signal
from mmap import mmap

import numpy as np
import pytest
import torch
from scipy import sparse

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


def test_what_is_on_disk(tmp_path, unit_data):
    np.save(tmp_path / "X.npy", unit_data)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    for view in (X, X[3:], X.T, np.asarray(X), X.view(np.ndarray)[::2]):
        assert arrays.is_on_disk(view)
    with open(X.filename, "rb") as file, mmap(file.fileno(), 0, prot=1) as whole:
        frombuffer = np.frombuffer(whole, np.uint8)
        assert arrays.is_on_disk(frombuffer)
        del frombuffer
    for computed in (X / 2, X[[1, 2]], X.copy(), unit_data, sparse.csr_array(X), [X]):
        assert not arrays.is_on_disk(computed)
    assert arrays.is_on_disk(arrays.array_on_disk((2, 3), np.dtype(float)))


def test_a_full_disk_is_an_error_and_no_crash(monkeypatch):
    """A page of a mapped file that the disk has no room for would end the process."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OSError, match="large"):
            arrays.array_on_disk((1000, 10), np.dtype(float))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="cannot be reserved")
def test_an_array_on_disk_has_its_room_from_the_start(monkeypatch):
    """A file with holes would end the process when the disk is full later."""
    files, make = [], arrays.TemporaryFile

    def kept(**how):
        file = make(**how)
        files.append(os.dup(file.fileno()))
        return file

    monkeypatch.setattr(arrays, "TemporaryFile", kept)
    array = arrays.array_on_disk((1000, 100), np.dtype(float))
    (file,) = files
    try:
        assert 512 * os.fstat(file).st_blocks >= array.nbytes
    finally:
        os.close(file)
