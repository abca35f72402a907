"""What may happen to rows: equal to plain transcriptions, and as strong as asked."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skcae.perturbations import (
    PERTURBATIONS,
    gaussian,
    masking,
    occlusion,
    rotation,
    shift,
)

HEIGHT, WIDTH = 5, 8
X = np.random.default_rng(0).random((40, HEIGHT * WIDTH * 3)) + 1
OF_IMAGES = {"image_shape": (HEIGHT, WIDTH, 3)}
HOW = dict.fromkeys(("occlusion", "shift", "rotation"), OF_IMAGES)


def rng(seed=0):
    return np.random.default_rng(seed)


def images(rows):
    return rows.reshape(-1, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_nothing_happens_at_strength_zero_and_the_type_stays(name):
    for rows in (X, X.astype(np.float32)):
        before = rows.copy()
        perturb = PERTURBATIONS[name]
        assert_allclose(perturb(rows, 0, rng(), **HOW.get(name, {})), rows, atol=1e-12)
        changed = perturb(rows, 0.5, rng(), **HOW.get(name, {}))
        assert changed.dtype == rows.dtype
        assert (changed != rows).any(axis=1).all()
        assert_array_equal(rows, before)
        assert_array_equal(changed, perturb(rows, 0.5, rng(), **HOW.get(name, {})))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16])
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_other_numbers_are_perturbed_as_floats(name, dtype):
    """Which integers become where they move, or there is noise on them."""
    rows, strength = np.rint(20 * X).astype(dtype), 0.4
    how = HOW.get(name, {})
    found = PERTURBATIONS[name](rows, strength, rng(), **how)
    exact = PERTURBATIONS[name](rows.astype(float), strength, rng(), **how)
    assert_allclose(found, exact, rtol=2e-3 if dtype == np.float16 else 1e-6, atol=0.02)


@pytest.mark.parametrize("strength", [-1, 1.5, np.nan])
@pytest.mark.parametrize("name", ["masking", "occlusion"])
def test_a_part_is_between_none_and_all(name, strength):
    with pytest.raises(ValueError, match="strength must be between 0 and 1, got"):
        PERTURBATIONS[name](X, strength, rng(), **HOW.get(name, {}))


def test_noise_and_masks_are_as_strong_as_asked():
    Z = np.ones((300, 400))
    assert_allclose((gaussian(Z, 0.3, rng()) - Z).std(), 0.3, rtol=0.02)
    weak, strong = (masking(Z, strength, rng()) for strength in (0.2, 0.6))
    assert_allclose([weak.mean(), strong.mean()], [0.8, 0.4], atol=0.01)
    # What is gone at a strength is gone at a larger one.
    assert (strong <= weak).all()
    assert_array_equal(masking(Z, 1, rng()), 0)


def test_a_window_of_the_image_is_hidden_wherever_it_fits():
    tall, wide = 2, 5  # a quarter of 5 × 8 is 2.5 × 4; 2.5 goes to 2, and 4 to 5
    hidden = (images(occlusion(X, 0.25, rng(), **OF_IMAGES)) == 0).all(axis=3)
    places = set()
    for image in hidden:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert (len(rows), len(columns), image.sum()) == (tall, wide, tall * wide)
        places.add((rows[0], columns[0]))
    assert {row for row, _ in places} == set(range(HEIGHT - tall + 1))
    assert {column for _, column in places} == set(range(WIDTH - wide + 1))
    assert_array_equal(occlusion(X, 1, rng(), **OF_IMAGES), 0)


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (3, 20), (6, 10, 3), (5, 5)])
@pytest.mark.parametrize("strength", [0.01, 0.2, 0.25, 0.3, 0.5, 0.9])
def test_a_window_hides_the_part_that_is_asked_for(shape, strength):
    """To a row or column of pixels, and at least one; of signals to one step."""
    rows = np.ones((4, np.prod(shape)))
    hidden = 1 - occlusion(rows, strength, rng(), shape).mean(axis=1)
    height, width = shape[:2]
    assert len(set(hidden.round(9))) == 1
    assert hidden[0] >= 1 / (height * width) - 1e-9
    by = min(height, width) if height != width else 2 * height
    assert abs(hidden[0] - strength) <= max(0.5 * by, 1) / (height * width) + 1e-9


def interpolated(image, row, column):
    """Return a pixel between pixels, bilinearly, with the edge repeated beyond it."""
    row = np.clip(row, 0, HEIGHT - 1)
    column = np.clip(column, 0, WIDTH - 1)
    top, left = int(min(row, HEIGHT - 2)), int(min(column, WIDTH - 2))
    down, right = row - top, column - left
    upper, lower = image[top : top + 2, left : left + 2]
    upper = (1 - right) * upper[0] + right * upper[1]
    lower = (1 - right) * lower[0] + right * lower[1]
    return (1 - down) * upper + down * lower


def test_shifts_are_by_so_many_pixels_in_any_direction():
    moved = images(shift(X, 1.7, rng(3), **OF_IMAGES))
    angles = 2 * np.pi * rng(3).random(len(X))
    for angle, before, after in zip(angles, images(X), moved, strict=True):
        down, right = 1.7 * np.sin(angle), 1.7 * np.cos(angle)
        for row, column in np.ndindex(HEIGHT, WIDTH):
            expected = interpolated(before, row + down, column + right)
            assert_allclose(after[row, column], expected)


def test_rotations_are_about_the_middle_and_go_both_ways():
    square = X[:, :75].reshape(-1, 5, 5, 3)
    turned = rotation(X[:, :75], 90, rng(), image_shape=(5, 5, 3)).reshape(-1, 5, 5, 3)
    ways = [
        [np.allclose(after, np.rot90(before, way)) for way in (1, -1)]
        for before, after in zip(square, turned, strict=True)
    ]
    assert_array_equal(np.sum(ways, axis=1), 1)
    assert np.any(ways, axis=0).all()
    half = rotation(X, 180, rng(), **OF_IMAGES)
    assert_allclose(images(half), images(X)[:, ::-1, ::-1])


@pytest.mark.parametrize("name", HOW)
def test_rows_that_are_no_images_are_refused(name):
    with pytest.raises(ValueError, match="40 features are no square grey image"):
        PERTURBATIONS[name](np.ones((2, 40)), 0.5, rng())
    with pytest.raises(ValueError, match=r"image_shape=\(3, 3\) is no grey or RGB"):
        PERTURBATIONS[name](np.ones((2, 40)), 0.5, rng(), image_shape=(3, 3))
