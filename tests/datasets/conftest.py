"""A stand-in for MNIST: scikit-learn's digits in whole numbers, 28 × 28 pixels."""

from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def stand_in():
    """Arrays under the names that Keras gives them; every image differs."""
    X, y = load_digits(return_X_y=True)
    # 8 × 8 pixels of 0 to 16 become 24 × 24 of 0 to 240, with a margin of 2.
    images = np.kron(X.reshape(-1, 8, 8).astype(np.uint8), np.full((3, 3), 15))
    images = np.pad(images.astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    y = y.astype(np.uint8)
    return {
        "x_train": images[:1500],
        "y_train": y[:1500],
        "x_test": images[1500:],
        "y_test": y[1500:],
    }


@pytest.fixture(scope="session")
def mnist_file(stand_in, tmp_path_factory):
    """The stand-in as an npz file."""
    path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
    np.savez(path, **stand_in)
    return path


@pytest.fixture
def saved(tmp_path):
    """Write arrays to an npz file and return its path."""

    def save(**arrays):
        path = tmp_path / "arrays.npz"
        np.savez(path, **arrays)
        return path

    return save


def every_outcome(load, path, each, *, start=0, stop=None):
    """Count what a file gives with one bit flipped, in each so manieth byte."""
    whole, random = path.read_bytes(), np.random.RandomState(0)
    expected, outcomes = load(path), Counter()
    for position in range(start, len(whole) if stop is None else stop, each):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << random.randint(8)
        path.write_bytes(damaged)
        try:
            received = load(path)
        except Exception as error:
            outcomes[type(error).__name__] += 1
        else:
            is_same = all(np.array_equal(received[k], expected[k]) for k in expected)
            outcomes["the same" if is_same else "other data"] += 1
    return outcomes
