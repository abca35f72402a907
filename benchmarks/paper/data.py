"""The data sets of the tables, each as six arrays."""

import hashlib
from functools import lru_cache

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from skcae.datasets import load_cifar10, load_mnist, make_mnist_variation

PARTS = ("train", "valid", "test")


def digits():
    """scikit-learn's 1,797 small digits: no benchmark, but always at hand."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype("float32")
    X_train, X_rest, y_train, y_rest = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=0
    )
    X_valid, X_test, y_valid, y_test = train_test_split(
        X_rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
    )
    return Bunch(
        X_train=X_train,
        y_train=y_train,
        X_valid=X_valid,
        y_valid=y_valid,
        X_test=X_test,
        y_test=y_test,
    )


@lru_cache(maxsize=1)
def load(name, local_file=None, sizes=None):
    """Load a set by name, cut to the first rows of each part if sizes are given."""
    if name == "digits":
        bunch = digits()
    elif name == "mnist":
        bunch = load_mnist(local_file)
    elif name == "cifar-bw":
        bunch = load_cifar10(local_file, grey=True)
    else:
        bunch = make_mnist_variation(name, local_file=local_file)
    for part, size in zip(PARTS, sizes or (), strict=False):
        bunch[f"X_{part}"] = bunch[f"X_{part}"][:size]
        bunch[f"y_{part}"] = bunch[f"y_{part}"][:size]
    return bunch


@lru_cache(maxsize=8)
def checksum(name, local_file=None, sizes=None):
    """Tell the rows of a set from any others."""
    images, digest = load(name, local_file, sizes), hashlib.sha256()
    for part in PARTS:
        digest.update(images[f"X_{part}"].tobytes())
        digest.update(images[f"y_{part}"].tobytes())
    return digest.hexdigest()[:12]
