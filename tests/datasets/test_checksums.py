"""Checksums: the same seed gives the same bytes on every machine.

The sets in full size need MNIST itself. With an npz file of Keras' layout,

    SKCAE_MNIST=mnist.npz python -m pytest tests/datasets/test_checksums.py

makes all seven and compares them with the checksums in docs/datasets.md.
"""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

from skcae.datasets import make_mnist_variation
from skcae.datasets._photographs import PHOTOGRAPHS

DOCUMENT = Path(__file__).parents[2] / "docs" / "datasets.md"

# Of 40, 10 and 20 rows from the stand-in for MNIST, random_state=0.
SMALL = {
    "basic": "2eeb02426c916d47755e1279c732c9b863c76b822d6aac501a06260f31c20c72",
    "rot": "f02081e6fd349750a5a28a7bf13e81cb4b96562821dc3d307c0e1b7c1fdbe445",
    "bg-rand": "41c00bd69fe6e7008493257154d935d9233e3ba129e2288bc02ba47e737ec5cd",
    "bg-img": "b32ef1506111b26cb026644927cc144a029eb182dac47e581774aeef2fc78d7b",
    "bg-img-rot": "1a90a9fd8afc9ff419366670c9df95c5426da78d8b4eddfbbec8a8c281bb8537",
    "rect": "aad88fe719c98ab658c2b530275241a63d350a600b188413cfe8b34fbd37c7a1",
    "rect-img": "cc237569fec501974b4bc3a9da6982d89eb7369b0e687de64491ec94320dbf85",
}
# Of the published sizes from MNIST, random_state=0.
FULL = {
    "basic": "f77d12bc81342e863b58cda8c34a1d9b45298a02554d7104ebd97306036d0193",
    "rot": "e98dd0be53e1e0bab87589be6dd50133bba1a492d99cc263f30eba12ba5f73f3",
    "bg-rand": "0f84fa808e15f1e24836e5b81da06cedd61851ed39c4455f062b346523871cff",
    "bg-img": "d03641ee3495ae1db6fa9f56fd7fc5ed13ae2b6957a9fa84a5e45a09c52e6b5b",
    "bg-img-rot": "25ebd342dcd714744c99256097d56354bc39b5501045ecc1154f6f100cbf75fc",
    "rect": "a97673343ca613882566298eccfe728cc8c9acade331a8b3faa7fd9f6fea678d",
    "rect-img": "c6d0967245272dc0b85fe432091833622a3a5a3ba5a25f337773a446e6489679",
}


def checksum(data):
    """Return the sha256 of the six arrays, one after the other."""
    digest = hashlib.sha256()
    for split in ("train", "valid", "test"):
        digest.update(np.asarray(data[f"X_{split}"], dtype="<f4").tobytes())
        digest.update(np.asarray(data[f"y_{split}"], dtype="<i8").tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", SMALL)
def test_small_sets(name, mnist_file, tmp_path):
    for _ in range(2):
        data = make_mnist_variation(
            name, local_file=mnist_file, data_home=tmp_path, n_samples=(40, 10, 20)
        )
        assert checksum(data) == SMALL[name]


@pytest.mark.skipif(
    "SKCAE_MNIST" not in os.environ, reason="SKCAE_MNIST names no npz file of MNIST"
)
@pytest.mark.parametrize("name", FULL)
def test_full_sets(name):
    data = make_mnist_variation(name, local_file=os.environ["SKCAE_MNIST"], cache=False)
    assert checksum(data) == FULL[name]


def test_the_document_has_the_same_checksums():
    rows = re.findall(r"^\| `?([\w-]+)`? \| `([0-9a-f]{64})` \|", text(), re.MULTILINE)
    assert dict(rows) == FULL


def test_the_document_lists_the_photographs():
    for photograph in PHOTOGRAPHS:
        assert (
            f"| `{Path(photograph.path).name}` | {photograph.distribution} |" in text()
        )
    assert text().count("| scikit-image |") == 15


def text():
    return DOCUMENT.read_text(encoding="utf-8")
