"""The recipes of the seven variations, on images of 8 bits.

After Larochelle, Erhan, Courville, Bergstra and Bengio, "An Empirical Evaluation of
Deep Architectures on Problems with Many Factors of Variation", ICML 2007. What their
text leaves open is decided here and listed in ``docs/datasets.md``.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from skcae.datasets._patches import cut_patches
from skcae.datasets._photographs import Photographs

__all__ = ["RECIPES", "RECIPE_VERSION", "Recipe", "Sources"]

#: Raised when a recipe changes what it makes, so that stored sets are made anew.
RECIPE_VERSION = 1
SIDE = 28
# Each quantity has a stream of its own: sets that share a quantity share its values.
STREAMS = ("rows", "angles", "noise", "backgrounds", "rectangles", "fillings")

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Sources(Protocol):
    """What recipes draw on, each read when first asked for."""

    @property
    def digits(self) -> tuple[Images, Labels]:
        """MNIST's images (n, 28, 28) and labels (n,)."""

    @property
    def photographs(self) -> Photographs:
        """The photographs to cut backgrounds from."""


Maker = Callable[[int, int, Sources], tuple[Images, Labels]]


class Recipe(NamedTuple):
    """One variation: how to make n images from a seed, and its published sizes."""

    make: Maker
    summary: str
    sizes: tuple[int, int, int] = (10_000, 2_000, 50_000)
    sources: tuple[str, ...] = ()


def stream(seed: int, quantity: str) -> np.random.RandomState:
    """Return the random numbers of one quantity; NumPy never changes this generator."""
    return np.random.RandomState([seed, STREAMS.index(quantity)])


# ---- digits ---------------------------------------------------------------------


def make_basic(seed: int, n: int, sources: Sources) -> tuple[Images, Labels]:
    """Take n of the images in random order, each at most once."""
    images, labels = sources.digits
    rows = stream(seed, "rows").permutation(len(images))[:n]
    return images[rows], labels[rows]


def make_rot(seed: int, n: int, sources: Sources) -> tuple[Images, Labels]:
    """Rotate the digits of basic by angles uniform in [0°, 360°)."""
    images, labels = make_basic(seed, n, sources)
    return rotate(images, stream(seed, "angles").uniform(0, 360, size=n)), labels


def make_bg_rand(seed: int, n: int, sources: Sources) -> tuple[Images, Labels]:
    """Put the digits of basic before pixels uniform on 0 to 255."""
    images, labels = make_basic(seed, n, sources)
    noise = stream(seed, "noise").randint(256, size=images.shape, dtype=np.uint8)
    return np.maximum(images, noise), labels


def make_bg_img(seed: int, n: int, sources: Sources) -> tuple[Images, Labels]:
    """Put the digits of basic before patches of photographs."""
    images, labels = make_basic(seed, n, sources)
    return np.maximum(images, backgrounds(seed, n, sources)), labels


def make_bg_img_rot(seed: int, n: int, sources: Sources) -> tuple[Images, Labels]:
    """Put the digits of rot before the patches of bg-img, which stay upright."""
    images, labels = make_rot(seed, n, sources)
    return np.maximum(images, backgrounds(seed, n, sources)), labels


def backgrounds(seed: int, n: int, sources: Sources) -> Images:
    """Cut the patches that lie behind digits and rectangles."""
    return cut_patches(sources.photographs, stream(seed, "backgrounds"), n)


def rotate(images: Images, degrees: NDArray[np.float64]) -> Images:
    """Rotate each image about its centre; what leaves the frame is cut off.

    Bilinear between pixels, 0 outside, rounded to 8 bits as MNIST is.
    """
    rotated = np.empty_like(images)
    plane = np.empty(images.shape[1:], dtype=np.float64)
    for image, angle, out in zip(images, degrees, rotated, strict=True):
        ndimage.rotate(
            image, angle, reshape=False, order=1, mode="grid-constant", output=plane
        )
        out[:] = np.rint(plane)
    return rotated


# ---- rectangles -----------------------------------------------------------------


def make_rect(seed: int, n: int, sources: Sources) -> tuple[Images, Labels]:
    """Draw white outlines, one pixel wide, on black."""
    # A side of 1 or 2 would leave no inside, and no outline but a bar.
    sides = np.array([(h, w) for h, w in all_sides(3) if abs(h - w) >= 3])
    top, left, height, width = place(stream(seed, "rectangles"), sides, n)
    whole = box(top, left, height, width)
    inner = box(top + 1, left + 1, height - 2, width - 2)
    images = np.where(whole & ~inner, np.uint8(255), np.uint8(0))
    return images, (height > width).astype(np.int64)


def make_rect_img(seed: int, n: int, sources: Sources) -> tuple[Images, Labels]:
    """Fill rectangles with one patch of a photograph and the rest with another."""
    sides = np.array(
        [
            (h, w)
            for h, w in all_sides(10)
            if abs(h - w) >= 5 and SIDE**2 <= 4 * h * w <= 3 * SIDE**2
        ]
    )
    top, left, height, width = place(stream(seed, "rectangles"), sides, n)
    filling = cut_patches(sources.photographs, stream(seed, "fillings"), n)
    images = np.where(
        box(top, left, height, width), filling, backgrounds(seed, n, sources)
    )
    return images, (height > width).astype(np.int64)


def all_sides(shortest: int) -> list[tuple[int, int]]:
    """List heights with widths, from the shortest side to the whole image."""
    lengths = range(shortest, SIDE + 1)
    return [(height, width) for height in lengths for width in lengths]


def place(random: np.random.RandomState, sides: Labels, n: int) -> Labels:
    """Draw n rectangles that lie inside the image, uniform in sides and in place.

    To draw from the admissible sides is to draw any and reject the others.

    Returns
    -------
    array of shape (4, n)
        Top, left, height, width.
    """
    height, width = sides[random.randint(len(sides), size=n, dtype=np.int64)].T
    top = random.randint(0, SIDE - height + 1, dtype=np.int64)
    left = random.randint(0, SIDE - width + 1, dtype=np.int64)
    return np.array([top, left, height, width])


def box(top: Labels, left: Labels, height: Labels, width: Labels) -> NDArray[np.bool_]:
    """Return which pixels lie in each rectangle, shape (n, 28, 28)."""
    rows, columns = np.arange(SIDE)[:, None], np.arange(SIDE)
    top, left, height, width = (x[:, None, None] for x in (top, left, height, width))
    inside: NDArray[np.bool_] = (
        (rows >= top)
        & (rows < top + height)
        & (columns >= left)
        & (columns < left + width)
    )
    return inside


RECIPES = {
    "basic": Recipe(make_basic, "MNIST's digits, split anew", sources=("digits",)),
    "rot": Recipe(make_rot, "digits rotated by any angle", sources=("digits",)),
    "bg-rand": Recipe(make_bg_rand, "digits before random pixels", sources=("digits",)),
    "bg-img": Recipe(
        make_bg_img,
        "digits before patches of photographs",
        sources=("digits", "photographs"),
    ),
    "bg-img-rot": Recipe(
        make_bg_img_rot,
        "rotated digits before patches of photographs",
        sources=("digits", "photographs"),
    ),
    "rect": Recipe(
        make_rect,
        "outlines of rectangles; 1 is taller than wide, 0 wider than tall",
        sizes=(1_000, 200, 50_000),
    ),
    "rect-img": Recipe(
        make_rect_img,
        "rectangles of one patch before another; 1 is taller than wide, 0 wider than "
        "tall",
        sources=("photographs",),
    ),
}
