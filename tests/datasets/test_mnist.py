"""MNIST from a file and from OpenML."""

import io
import os
import re
import sys
import zipfile

import numpy as np
import pytest

from skcae.datasets import _mnist, load_mnist
from tests.datasets.conftest import every_outcome

SPLITS = ("train", "valid", "test")


def test_the_last_sixth_is_for_validation(mnist_file, stand_in):
    mnist = load_mnist(mnist_file)
    x, y = stand_in["x_train"].reshape(1500, 784), stand_in["y_train"]
    for name, rows in (("train", slice(0, 1250)), ("valid", slice(1250, 1500))):
        np.testing.assert_array_equal(mnist[f"X_{name}"], x[rows] / np.float32(255))
        np.testing.assert_array_equal(mnist[f"y_{name}"], y[rows])
    np.testing.assert_array_equal(mnist.y_test, stand_in["y_test"])
    np.testing.assert_array_equal(
        mnist.X_test, stand_in["x_test"].reshape(-1, 784) / np.float32(255)
    )


def test_types_and_range(mnist_file):
    mnist = load_mnist(str(mnist_file))
    for name in SPLITS:
        X, y = mnist[f"X_{name}"], mnist[f"y_{name}"]
        assert X.dtype == np.float32
        assert y.dtype == np.int64
        assert len(X) == len(y)
        assert X.min() == 0
        assert 0.9 < X.max() <= 1


def test_the_home_directory_is_understood(mnist_file, monkeypatch):
    monkeypatch.setenv("HOME", str(mnist_file.parent))
    monkeypatch.setenv("USERPROFILE", str(mnist_file.parent))
    assert len(load_mnist("~/mnist.npz").X_train) == 1250


@pytest.fixture
def openml(monkeypatch):
    """OpenML's MNIST of 70,000 images, and what it was asked for."""
    asked = []
    X = np.zeros((70_000, 784), dtype=np.uint8)
    X[:, 0] = np.arange(70_000) // 10_000
    y = (np.arange(70_000) % 10).astype(str).astype(object)

    def fetch_openml(*args, **how):
        asked.append((args, how))
        return X, y

    monkeypatch.setattr(_mnist, "fetch_openml", fetch_openml)
    return asked, X


def test_openml_is_asked_when_there_is_no_file(openml, tmp_path):
    mnist = load_mnist(data_home=tmp_path)
    assert openml[0] == [
        (
            ("mnist_784",),
            {
                "version": 1,
                "as_frame": False,
                "return_X_y": True,
                "data_home": str(tmp_path),
            },
        )
    ]
    assert [len(mnist[f"X_{name}"]) for name in SPLITS] == [50_000, 10_000, 10_000]
    firsts = {
        name: np.unique(np.rint(255 * mnist[f"X_{name}"][:, 0])) for name in SPLITS
    }
    np.testing.assert_array_equal(firsts["train"], np.arange(5))
    np.testing.assert_array_equal(firsts["valid"], [5])
    np.testing.assert_array_equal(firsts["test"], [6])
    assert mnist.y_test.dtype == np.int64
    np.testing.assert_array_equal(mnist.y_test[:10], np.arange(10))


def test_openml_needs_pandas(openml, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    words = r'OpenML needs pandas; install it with pip install "skcae\[datasets\]"'
    with pytest.raises(ImportError, match=words):
        load_mnist()
    assert openml[0] == []


def test_openml_of_another_shape_is_refused(monkeypatch):
    monkeypatch.setattr(
        _mnist, "fetch_openml", lambda *args, **how: (np.zeros((5, 784)), np.zeros(5))
    )
    with pytest.raises(ValueError, match=r"shape \(70000, 784\), but came as \(5, 784"):
        load_mnist()


# ---- errors ---------------------------------------------------------------------


def test_a_missing_file(tmp_path):
    path = tmp_path / "none.npz"
    with pytest.raises(FileNotFoundError, match=r"none.npz' is not a file; give the"):
        load_mnist(path)
    with pytest.raises(FileNotFoundError, match="is not a file"):
        load_mnist(tmp_path)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "mnist.txt"
    path.write_text("no images")
    with pytest.raises(
        ValueError, match=r"mnist.txt is not an npz file; MNIST is read"
    ):
        load_mnist(path)


def test_missing_arrays(saved):
    with pytest.raises(
        ValueError,
        match=r"has no x_train, y_train, x_test, y_test; it has X; MNIST is read from",
    ):
        load_mnist(saved(X=np.zeros(3)))
    with pytest.raises(ValueError, match="it has nothing"):
        load_mnist(saved())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("x_train", lambda x: x / 255, "x_train of .* is float64 of shape (1500, 28"),
        ("x_test", lambda x: x.reshape(-1, 784), "x_test of .* is uint8 of shape (297"),
        ("y_train", lambda y: y[:-1], "integers of shape (1500,), .* of shape (1499,)"),
        ("y_test", lambda y: y / 1.0, "y_test of .* but is float64 of shape (297,)"),
        (
            "y_test",
            lambda y: y + 3,
            "y_test of .* from 0 to 9, but ranges from 3 to 12",
        ),
        ("y_test", lambda y: y.astype(object), "y_test of .* cannot be read (.*pickle"),
    ],
)
def test_wrong_arrays(name, change, message, stand_in, saved):
    path = saved(**{**stand_in, name: change(stand_in[name])})
    pattern = ".*".join(map(re.escape, message.split(".*")))
    with pytest.raises(ValueError, match=pattern):
        load_mnist(path)


def test_damaged_arrays(stand_in, saved):
    path = saved(**stand_in)
    data = bytearray(path.read_bytes())
    data[100_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"is damaged \(.* checksum of x_train.npy"):
        load_mnist(path)


def test_members_that_are_no_arrays(stand_in, saved):
    path = saved(**{name: stand_in[name] for name in ("x_train", "y_train", "x_test")})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_test", b"some text")
    with pytest.raises(ValueError, match=r"y_test of .* is not an array"):
        load_mnist(path)


@pytest.fixture
def few():
    """Two images for training and one for testing: a file that is mostly headers."""
    return {
        "x_train": np.zeros((2, 28, 28), np.uint8),
        "y_train": np.array([3, 4]),
        "x_test": np.zeros((1, 28, 28), np.uint8),
        "y_test": np.array([5]),
    }


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required:UserWarning")
@pytest.mark.parametrize(("save", "each"), [(np.savez, 5), (np.savez_compressed, 1)])
def test_no_flipped_bit_gives_other_digits(save, each, few, tmp_path):
    """The same digits, or the error that is documented."""
    path = tmp_path / "mnist.npz"
    save(path, **few)
    outcomes = every_outcome(load_mnist, path, each)
    assert set(outcomes) == {"the same", "ValueError"}
    assert outcomes["ValueError"] > outcomes["the same"]


def test_no_cut_gives_other_digits(few, tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **few)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"mnist\.npz is (damaged|not an npz)"):
            load_mnist(path)


def with_header(header, data=b""):
    """Lay out an array of the format's first version, whatever its header says."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required:UserWarning")
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10**12, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 28, 28, }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2, 28, 28), }",
        "{'descr': '|u1', 'shape': (2, 28, 28), }",
        "(" * 100,
    ],
)
def test_headers_that_cannot_be_read(header, few, tmp_path):
    """With checksums that fit: as somebody has made it."""
    path = tmp_path / "mnist.npz"
    del few["x_train"]
    np.savez(path, **few)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", with_header(header, bytes(2 * 784)))
    with pytest.raises(ValueError, match=r"x_train of .* cannot be read"):
        load_mnist(path)


def test_an_archive_behind_an_array(few, tmp_path):
    """What is an archive by its end and an array by its beginning is neither."""
    path, buffer = tmp_path / "mnist.npz", io.BytesIO()
    np.save(buffer, np.zeros(3))
    with path.open("wb") as file:
        file.write(buffer.getvalue())
        np.savez(file, **few)
    with pytest.raises(ValueError, match="is damaged"):
        load_mnist(path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything"
)
def test_a_file_that_is_closed_is_not_said_to_be_damaged(few, saved):
    path = saved(**few)
    path.chmod(0)
    with pytest.raises(PermissionError):
        load_mnist(path)
