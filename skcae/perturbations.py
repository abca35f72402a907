"""Perturbations: what may happen to rows after a model was fitted, by its strength.

Each takes the rows, a strength and a generator of NumPy, and returns changed rows; with
strength 0 they are the same. Those of images take their shape.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import affine_transform

from skcae._fit.images import image_shape_of

__all__ = ["PERTURBATIONS", "gaussian", "masking", "occlusion", "rotation", "shift"]


def gaussian(X: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of standard deviation `strength` to each entry.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows.
    strength : float
        The standard deviation, in the units of the data.
    rng : numpy.random.Generator
        Where the noise comes from.

    Returns
    -------
    perturbed : ndarray of shape (n_samples, n_features)
        The noisy rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae.perturbations import gaussian
    >>> noisy = gaussian(np.zeros((100, 100)), 0.5, np.random.default_rng(0))
    >>> print(f"{noisy.std():.2f}")
    0.50
    """
    noise = strength * rng.standard_normal(X.shape)
    # Integers become floats that hold them.
    noisy: np.ndarray = X + noise.astype(X.dtype if X.dtype.kind == "f" else float)
    return noisy


def masking(X: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Set each entry to 0 with probability `strength`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows.
    strength : float
        The probability, between 0 and 1.
    rng : numpy.random.Generator
        What draws the entries.

    Returns
    -------
    perturbed : ndarray of shape (n_samples, n_features)
        Rows with fewer entries.

    Raises
    ------
    ValueError
        If the strength is no probability.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae.perturbations import masking
    >>> fewer = masking(np.ones((100, 100)), 0.25, np.random.default_rng(0))
    >>> print(f"{fewer.mean():.2f}")
    0.75
    """
    check_part(strength)
    return np.where(rng.random(X.shape) < strength, X.dtype.type(0), X)


def occlusion(
    X: np.ndarray,
    strength: float,
    rng: np.random.Generator,
    image_shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Set a window of each image to 0, at a place of its own.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The images as rows.
    strength : float
        The part of an image that the window hides, between 0 and 1. It has the
        proportions of the image, up to whole pixels, and one pixel at least.
    rng : numpy.random.Generator
        What draws the places.
    image_shape : tuple of int, default=None
        (height, width), or (height, width, 3) for colours; a square by default.

    Returns
    -------
    perturbed : ndarray of shape (n_samples, n_features)
        The images, each with a window of zeros.

    Raises
    ------
    ValueError
        If so many features make no such images, or the strength is no part.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae.perturbations import occlusion
    >>> image = np.ones((1, 64))
    >>> int(occlusion(image, 0.25, np.random.default_rng(0)).sum())
    48
    """
    check_part(strength)
    height, width, channels = image_shape_of(X.shape[1], image_shape)
    sides = sides_of_window(strength, height, width)
    # The first row and column of each window, (n, 2).
    first = np.floor(rng.random((len(X), 2)) * ([height, width] - sides + 1))
    in_rows, in_columns = (
        (first[:, k, None] <= np.arange(n)) & (np.arange(n) < first[:, k, None] + side)
        for k, (n, side) in enumerate(zip((height, width), sides, strict=True))
    )
    hidden = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    images = X.reshape(-1, height, width, channels)
    return np.where(hidden, X.dtype.type(0), images).reshape(X.shape)


def sides_of_window(strength: float, height: int, width: int) -> np.ndarray:
    """Return height and width of a window that hides this part of an image."""
    if strength == 0:
        return np.zeros(2, int)
    image = np.array([height, width])
    sides = np.sqrt(strength) * image
    if height != width:
        # What the shorter side is rounded by, the longer one makes up for.
        short = int(np.argmin(image))
        sides[short] = max(1.0, np.rint(sides[short]))
        sides[1 - short] = strength * height * width / sides[short]
    found: np.ndarray = np.rint(sides).clip(1, image).astype(int)
    return found


def shift(
    X: np.ndarray,
    strength: float,
    rng: np.random.Generator,
    image_shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Move each image by `strength` pixels, in a direction of its own.

    Between pixels it is interpolated linearly, and beyond the edge is what is on it.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The images as rows.
    strength : float
        The distance in pixels.
    rng : numpy.random.Generator
        What draws the directions.
    image_shape : tuple of int, default=None
        (height, width), or (height, width, 3) for colours; a square by default.

    Returns
    -------
    perturbed : ndarray of shape (n_samples, n_features)
        The moved images.

    Raises
    ------
    ValueError
        If so many features make no such images.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae.perturbations import shift
    >>> ramp = np.tile(np.arange(9.0), (9, 1)).reshape(1, -1)
    >>> moved = shift(ramp, 2, np.random.default_rng(0)) - ramp
    >>> bool((abs(moved) <= 2).all())
    True
    """
    angles = 2 * np.pi * rng.random(len(X))
    offsets = strength * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    stay = np.broadcast_to(np.eye(2), (len(X), 2, 2))
    return _moved(X, stay, offsets, image_shape_of(X.shape[1], image_shape))


def rotation(
    X: np.ndarray,
    strength: float,
    rng: np.random.Generator,
    image_shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Turn each image by `strength` degrees about its middle, one way or the other.

    Between pixels it is interpolated linearly, and beyond the edge is what is on it.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The images as rows.
    strength : float
        The angle in degrees.
    rng : numpy.random.Generator
        What draws the ways.
    image_shape : tuple of int, default=None
        (height, width), or (height, width, 3) for colours; a square by default.

    Returns
    -------
    perturbed : ndarray of shape (n_samples, n_features)
        The turned images.

    Raises
    ------
    ValueError
        If so many features make no such images.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae.perturbations import rotation
    >>> image = np.arange(9.0).reshape(1, -1)
    >>> half_a_turn = rotation(image, 180, np.random.default_rng(0))
    >>> np.allclose(half_a_turn, image[:, ::-1])
    True
    """
    shape = image_shape_of(X.shape[1], image_shape)
    angles = np.deg2rad(strength) * np.where(rng.random(len(X)) < 0.5, -1, 1)
    cos, sin = np.cos(angles), np.sin(angles)
    turns = np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2)
    # The middle c stays where it is: R c + offset = c.
    middle = (np.array(shape[:2]) - 1) / 2
    return _moved(X, turns, middle - turns @ middle, shape)


def _moved(
    X: np.ndarray,
    matrices: np.ndarray,
    offsets: np.ndarray,
    shape: tuple[int, int, int],
) -> np.ndarray:
    """Return images whose pixel p is at `matrices` p + `offsets` of the given ones."""
    images = X.reshape(-1, *shape)
    # Of float16 SciPy interpolates nothing, and of integers no numbers in between.
    images = images.astype(np.result_type(X.dtype, np.float32), copy=False)
    moved = np.empty_like(images)
    for n, image in enumerate(images):
        for channel in range(shape[2]):
            affine_transform(
                image[:, :, channel],
                matrices[n],
                offsets[n],
                output=moved[n, :, :, channel],
                order=1,
                mode="nearest",
            )
    return moved.reshape(X.shape).astype(
        X.dtype if X.dtype.kind == "f" else moved.dtype
    )


def check_part(strength: float) -> None:
    """Refuse what is no part of a whole.

    Raises
    ------
    ValueError
        If it is below 0 or above 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1, got {strength:g}.")


#: The perturbations by the name that `skcae.inspection.RobustnessCurveDisplay` takes.
PERTURBATIONS: dict[str, Callable[..., np.ndarray]] = {
    "gaussian": gaussian,
    "masking": masking,
    "occlusion": occlusion,
    "shift": shift,
    "rotation": rotation,
}
