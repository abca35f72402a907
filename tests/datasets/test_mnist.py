"""MNIST from a file and from OpenML."""

import re

import numpy as np
import pytest

from skcae.datasets import _mnist, load_mnist

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
    with pytest.raises(ValueError, match=r"is damaged \(Bad CRC-32"):
        load_mnist(path)


def test_members_that_are_no_arrays(stand_in, saved):
    import zipfile

    path = saved(**{name: stand_in[name] for name in ("x_train", "y_train", "x_test")})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_test", b"some text")
    with pytest.raises(ValueError, match=r"y_test of .* is not an array"):
        load_mnist(path)
