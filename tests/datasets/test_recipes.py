"""What each recipe makes: properties that hold for every image."""

import numpy as np
import pytest

from skcae.datasets import make_mnist_variation
from skcae.datasets._recipes import RECIPES, rotate, stream

DIGITS = ("basic", "rot", "bg-rand", "bg-img", "bg-img-rot")
N = (300, 40, 60)


@pytest.fixture(scope="module")
def sets(mnist_file):
    """All seven sets, small, as images of 8 bits (n, 28, 28) with labels (n,)."""

    def one(name):
        data = make_mnist_variation(
            name, local_file=mnist_file, n_samples=N, cache=False
        )
        X = np.concatenate([data.X_train, data.X_valid, data.X_test])
        y = np.concatenate([data.y_train, data.y_valid, data.y_test])
        pixels = 255 * X.astype(np.float64)
        np.testing.assert_allclose(pixels, np.rint(pixels), atol=1e-4)
        return np.rint(pixels).astype(int).reshape(-1, 28, 28), y

    return {name: one(name) for name in RECIPES}


@pytest.fixture(scope="module")
def numbers_of(stand_in):
    """Tell which image of the stand-in each image is."""
    images = np.concatenate([stand_in["x_train"], stand_in["x_test"]])
    labels = np.concatenate([stand_in["y_train"], stand_in["y_test"]])
    numbers = {image.tobytes(): i for i, image in enumerate(images)}
    assert len(numbers) == len(images)

    def find(some):
        rows = [numbers[image.astype(np.uint8).tobytes()] for image in some]
        return rows, labels[rows]

    return find


def test_published_sizes():
    for name, recipe in RECIPES.items():
        rect = name == "rect"
        assert recipe.sizes == ((1000, 200, 50_000) if rect else (10_000, 2000, 50_000))
    assert tuple(RECIPES) == (*DIGITS, "rect", "rect-img")


def test_streams_differ():
    draws = {stream(0, name).randint(2**31) for name in ("rows", "angles", "noise")}
    assert len(draws | {stream(1, "rows").randint(2**31)}) == 4


# ---- digits ---------------------------------------------------------------------


def test_basic_takes_each_image_once_and_keeps_its_label(sets, numbers_of):
    images, y = sets["basic"]
    rows, labels = numbers_of(images)
    assert len(set(rows)) == sum(N)
    np.testing.assert_array_equal(y, labels)
    # Both parts of the source are in it, in no order.
    assert min(rows) < 1500 <= max(rows)
    assert abs(np.corrcoef(rows, np.arange(sum(N)))[0, 1]) < 0.2


@pytest.mark.parametrize("name", DIGITS)
def test_sets_of_digits_share_digits(name, sets):
    np.testing.assert_array_equal(sets[name][1], sets["basic"][1])


def test_rotation_keeps_roughly_the_mass(sets):
    before, after = sets["basic"][0], sets["rot"][0]
    ratio = after.sum(axis=(1, 2)) / before.sum(axis=(1, 2))
    # Only corners are lost; the stand-in reaches further into them than MNIST.
    assert np.median(ratio) > 0.99
    assert ratio.min() > 0.8
    assert ratio.max() < 1.01
    assert (after.max(axis=(1, 2)) <= before.max(axis=(1, 2))).all()


def test_rotation_turns_about_the_centre(stand_in):
    images = stand_in["x_train"][:4]
    turns = rotate(images, np.array([0.0, 90.0, 180.0, 270.0]))
    for k in range(4):
        np.testing.assert_array_equal(turns[k], np.rot90(images[k], k))


def test_angles_cover_the_circle():
    angles = stream(0, "angles").uniform(0, 360, size=10_000)
    np.testing.assert_allclose(np.histogram(angles, 8, (0, 360))[0], 1250, atol=150)


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("bg-rand", "basic"),
        ("bg-img", "basic"),
        ("bg-img-rot", "rot"),
    ],
)
def test_backgrounds_never_darken_the_digit(name, digits, sets):
    images, pure = sets[name][0], sets[digits][0]
    assert (images >= pure).all()
    # Behind the digit the background is as it was.
    changed = images[pure == 0]
    assert changed.mean() > 60


def test_random_pixels_are_uniform(sets):
    noise = sets["bg-rand"][0][sets["basic"][0] == 0]
    share, _ = np.histogram(noise, bins=8, range=(0, 256), density=True)
    np.testing.assert_allclose(256 * share, 1, atol=0.02)
    assert (noise.min(), noise.max()) == (0, 255)


def test_photographs_lie_upright_behind_rotated_digits(sets):
    outside = (sets["basic"][0] == 0) & (sets["rot"][0] == 0)
    np.testing.assert_array_equal(
        sets["bg-img"][0][outside], sets["bg-img-rot"][0][outside]
    )


# ---- rectangles -----------------------------------------------------------------


def corners(mask):
    """Return the first and last row and column that a mask of one image fills."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1], columns[0], columns[-1]


def test_rect_is_an_outline(sets):
    for image, label in zip(*sets["rect"], strict=True):
        top, bottom, left, right = corners(image > 0)
        height, width = bottom - top + 1, right - left + 1
        assert abs(height - width) >= 3
        assert min(height, width) >= 3
        assert label == (height > width)
        outline = np.zeros((28, 28), dtype=int)
        outline[[top, bottom], left : right + 1] = 255
        outline[top : bottom + 1, [left, right]] = 255
        np.testing.assert_array_equal(image, outline)


def drawn_boxes(name, seed, n):
    """Draw what make_rect_img draws, but with plain patches: filling 1, behind 0."""
    from skcae.datasets import _recipes

    def plain(photographs, random, n):
        return np.full((n, 28, 28), next(values), dtype=np.uint8)

    values = iter((1, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_recipes, "cut_patches", plain)

        class Sources:
            photographs = None

        return RECIPES[name].make(seed, n, Sources())


def test_rect_img_has_boxes_of_the_right_sizes():
    images, y = drawn_boxes("rect-img", 0, 2000)
    places, areas = set(), []
    for image, label in zip(images, y, strict=True):
        top, bottom, left, right = corners(image)
        height, width = bottom - top + 1, right - left + 1
        assert image[top : bottom + 1, left : right + 1].all()
        assert abs(height - width) >= 5
        assert min(height, width) >= 10
        assert label == (height > width)
        areas.append(height * width / 784)
        places |= {("top", top), ("bottom", bottom), ("left", left), ("right", right)}
    assert 0.25 <= min(areas) < 0.27
    assert 0.73 < max(areas) <= 0.75
    assert {("top", 0), ("bottom", 27), ("left", 0), ("right", 27)} <= places
    assert 0.45 < y.mean() < 0.55


def test_rect_img_puts_the_filling_before_the_background(sets, mnist_file):
    images = sets["rect-img"][0]
    inside, _ = drawn_boxes("rect-img", 0, sum(N))
    # Without a rectangle the same patches lie behind the digits of bg-img.
    behind = (inside == 0) & (sets["basic"][0] == 0)
    np.testing.assert_array_equal(images[behind], sets["bg-img"][0][behind])
    assert (images != sets["bg-img"][0])[inside == 1].mean() > 0.9


def test_both_labels_of_rectangles_are_as_likely(sets):
    for name in ("rect", "rect-img"):
        assert set(sets[name][1]) == {0, 1}
        assert 0.4 < sets[name][1].mean() < 0.6
