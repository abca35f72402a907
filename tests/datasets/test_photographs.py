"""The photographs, and the patches cut from them."""

import hashlib
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from skcae.datasets import _photographs, make_mnist_variation
from skcae.datasets._images import luma
from skcae.datasets._patches import (
    MIN_STANDARD_DEVIATION,
    cut_patches,
    draw_patches,
    has_texture,
)
from skcae.datasets._photographs import (
    PHOTOGRAPHS,
    Photograph,
    decode,
    load_photographs,
    pack,
    read_file,
)


@pytest.fixture(scope="module")
def photographs():
    return load_photographs()


def test_all_eighteen_are_there(photographs):
    assert len(PHOTOGRAPHS) == len(set(PHOTOGRAPHS)) == len(photographs.starts) == 18
    assert {photograph.distribution for photograph in PHOTOGRAPHS} == {
        "scikit-learn",
        "scikit-image",
        "matplotlib",
    }


def test_the_pixels_are_those_that_the_checksums_of_the_sets_belong_to(photographs):
    """If this fails, Pillow has decoded a photograph in another way than before."""
    assert photographs.checksum == (
        "ac77c93e47bc818addc73d0060cf74eeac3c2386b8d2e15da99f2b340303941c"
    )


def test_every_photograph_has_its_place(photographs):
    for k in (0, 5, 17):
        expected = decode(read_file(PHOTOGRAPHS[k]))
        start, height, width = (
            getattr(photographs, name)[k] for name in ("starts", "heights", "widths")
        )
        assert expected.shape == (height, width)
        received = photographs.pixels[start : start + height * width]
        np.testing.assert_array_equal(received.reshape(height, width), expected)


def test_luma_is_that_of_pillow():
    # Every colour of a grid, with the corners of the cube.
    levels = np.append(np.arange(0, 255, 12), 255)
    colours = np.array(np.meshgrid(levels, levels, levels), dtype=np.uint8).T
    image = np.ascontiguousarray(colours.reshape(-1, len(levels), 3))
    np.testing.assert_array_equal(
        luma(image), np.asarray(Image.fromarray(image).convert("L"))
    )


def test_the_checksum_sees_pixels_and_sizes():
    flat = np.arange(28 * 56, dtype=np.uint8)
    checksums = {
        pack([image]).checksum
        for image in (flat.reshape(28, 56), flat.reshape(56, 28), 0 * flat[None])
    }
    assert len(checksums) == 3


# ---- patches --------------------------------------------------------------------


def test_patches_are_cut_from_anywhere_within_a_photograph():
    images = [
        np.arange(30 * 31, dtype=np.int64).reshape(30, 31),
        np.arange(1000, 1000 + 28 * 29).reshape(28, 29),
    ]
    patches = draw_patches(pack(images), np.random.RandomState(0), 400)
    windows = {
        window.tobytes()
        for image in images
        for window in np.lib.stride_tricks.sliding_window_view(image, (28, 28)).reshape(
            -1, 28, 28
        )
    }
    assert {patch.tobytes() for patch in patches} == windows
    from_second = np.mean(patches[:, 0, 0] >= 1000)
    assert 0.4 < from_second < 0.6


def test_texture_is_a_standard_deviation():
    random = np.random.RandomState(0)
    levels = random.uniform(0, 80, size=(200, 1, 1))
    patches = (random.uniform(size=(200, 28, 28)) * levels).astype(np.uint8)
    expected = patches.std(axis=(1, 2)) >= MIN_STANDARD_DEVIATION
    assert 0.05 < expected.mean() < 0.95
    np.testing.assert_array_equal(has_texture(patches), expected)
    # Half 0 and half 40: the standard deviation is the threshold itself.
    even = np.zeros((1, 28, 28), dtype=np.uint8)
    even[:, ::2] = 2 * MIN_STANDARD_DEVIATION
    assert has_texture(even).all()


def test_patches_without_texture_are_skipped():
    plain = np.full((40, 40), 7, dtype=np.uint8)
    lively = np.random.RandomState(0).randint(256, size=(40, 40), dtype=np.uint8)
    patches = cut_patches(pack([plain, lively]), np.random.RandomState(0), 5000)
    assert patches.shape == (5000, 28, 28)
    assert has_texture(patches).all()


def test_fewer_patches_are_the_first_of_more(photographs):
    few, many = (
        cut_patches(photographs, np.random.RandomState(3), n) for n in (10, 6000)
    )
    np.testing.assert_array_equal(few, many[:10])


# ---- errors ---------------------------------------------------------------------


def make_bg_img(mnist_file):
    make_mnist_variation(
        "bg-img", local_file=mnist_file, n_samples=(1, 1, 1), cache=False
    )


@pytest.mark.parametrize(
    ("package", "path"), [("skcae_has_none", "data/moon.png"), ("skcae", "none.png")]
)
def test_a_missing_photograph(package, path, mnist_file, monkeypatch):
    wrong = Photograph("scikit-image", package, path, "0" * 64)
    monkeypatch.setattr(_photographs, "PHOTOGRAPHS", (*PHOTOGRAPHS[:2], wrong))
    message = (
        f"the photograph {package}/{path}, a part of scikit-image, is missing; "
        'install it with pip install "skcae[datasets]"'
    )
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        make_bg_img(mnist_file)


def test_an_altered_photograph(mnist_file, monkeypatch):
    other = PHOTOGRAPHS[1]._replace(sha256="0" * 64)
    monkeypatch.setattr(_photographs, "PHOTOGRAPHS", (PHOTOGRAPHS[0], other))
    with pytest.raises(
        ValueError,
        match=r"flower.jpg, a part of scikit-learn, is not the photograph .* its "
        rf"sha256 is {PHOTOGRAPHS[1].sha256}, not 0+; install scikit-learn anew with "
        r'pip install "skcae\[datasets\]"',
    ):
        make_bg_img(mnist_file)


def test_no_pillow(mnist_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(
        ImportError, match=r'needs Pillow; install it with pip install "skcae\[data'
    ):
        make_bg_img(mnist_file)


def test_rectangles_and_noise_need_no_photograph(mnist_file, monkeypatch):
    monkeypatch.setattr(_photographs, "PHOTOGRAPHS", ())
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    for name in ("rect", "bg-rand", "rot", "basic"):
        make_mnist_variation(
            name, local_file=mnist_file, n_samples=(1, 1, 1), cache=False
        )


def test_listed_checksums_are_of_whole_files():
    data = read_file(PHOTOGRAPHS[0])
    assert hashlib.sha256(data).hexdigest() == PHOTOGRAPHS[0].sha256
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (640, 427)
