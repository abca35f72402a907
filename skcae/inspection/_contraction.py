"""How far the code moves when the input moves by a given distance."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import Bunch, check_array
from sklearn.utils._param_validation import Interval, validate_params
from torch import Tensor

from skcae._core.data import rows as matrix_rows
from skcae._core.data.arrays import make_generator
from skcae._core.layers.layer import Affine
from skcae._estimators.documentation import documented
from skcae._fit.data import draw_seed
from skcae.inspection._encoder import Measurement, measurement


@documented
@validate_params(
    {
        "n_directions": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def contraction_ratio(
    encoder: Any,
    X: Any,
    radii: Any,
    *,
    n_directions: int = 10,
    random_state: Any = None,
) -> Bunch:
    """Compute how far the code moves when the input moves by a given distance.

    For each sample x₀ and each radius r it draws points x₁ uniformly on the sphere of
    radius r around x₀ and gives ‖f(x₁) − f(x₀)‖ / r. Averaged over samples it is the
    contraction curve of [1]_, figures 1 and 3. As r → 0 the root mean square over
    directions tends to ‖J_f(x₀)‖_F / √n_features, and the mean to something below it.

    Parameters
    ----------
    %(encoder)s

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The centres x₀, in the paper validation data.

    radii : array-like of shape (n_radii,)
        The distances r > 0, in units of what the first encoder takes. In float32, a
        radius below about 0.01 shows rounding.

    n_directions : int, default=10
        How many points to draw around each sample. All radii share the directions.

    random_state : int, RandomState instance or None, default=None
        Where the directions come from.

    Returns
    -------
    ratio : Bunch
        With the attributes

        radii : ndarray of shape (n_radii,)
            As they were passed.
        mean, root_mean_square, std : ndarray of shape (n_radii,)
            Of the ratio over all pairs of a sample and a direction.
        sample_mean, sample_root_mean_square : ndarray of shape (n_samples, n_radii)
            The same over the directions of each sample.

    Raises
    ------
    %(no encoder)s
    ValueError
        If X is not usable or has another number of features, or a radius is not
        positive.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    Examples
    --------
    Far away all units are saturated, and the code no longer moves:

    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import contraction_ratio
    >>> X = np.random.default_rng(0).normal(size=(50, 6))
    >>> encoder = ContractiveAutoencoder(4, random_state=0).fit(X)
    >>> near, far = contraction_ratio(encoder, X, [0.01, 100], random_state=0).mean
    >>> bool(far < 0.2 * near)
    True
    """
    radii = check_radii(radii)
    measured = measurement(encoder, X)
    generator = make_generator(draw_seed(random_state))
    width = max(measured.layers.most_units, measured.layers.n_features)
    # Not all directions of a row at once if they are too many.
    at_once = max(1, matrix_rows.CHUNK_ELEMENTS // width)
    portions = [min(at_once, n_directions - k) for k in range(0, n_directions, at_once)]
    moments = measured.map(
        lambda rows: moments_of_ratios(measured, rows, radii, portions, generator),
        shape=(2, len(radii)),
        width=portions[0] * width,
    )
    means, mean_squares = moments.astype(np.float64).transpose(1, 0, 2)
    mean, mean_square = means.mean(0), mean_squares.mean(0)
    return Bunch(
        radii=radii,
        mean=mean,
        root_mean_square=np.sqrt(mean_square),
        std=np.sqrt(np.maximum(mean_square - mean**2, 0)),
        sample_mean=means,
        sample_root_mean_square=np.sqrt(mean_squares),
    )


def check_radii(radii: Any) -> np.ndarray:
    """Validate the radii.

    Raises
    ------
    ValueError
        If they are not a sequence of positive numbers.
    """
    found: np.ndarray = check_array(
        np.atleast_1d(radii),
        dtype=np.float64,
        ensure_2d=False,
        ensure_min_samples=0,
        input_name="radii",
    )
    if np.ndim(radii) != 1 or not len(found) or not (found > 0).all():
        raise ValueError(f"radii must be one or more positive numbers, got {radii!r}.")
    return found


def moments_of_ratios(
    measured: Measurement,
    rows: Tensor,
    radii: np.ndarray,
    portions: list[int],
    generator: torch.Generator,
) -> Tensor:
    """Return each row's mean ratio and mean squared ratio, (n, 2, n_radii).

    The directions are drawn and used in portions of so many.
    """
    layers = measured.layers
    first = layers.layers[0]
    if isinstance(first, Affine):
        # W₁ (x₀ + r u) = W₁ x₀ + r W₁ u: one product with W₁ serves all radii.
        along: Callable[[Tensor], Tensor]
        origin, along = first.pre_activations(rows), first.push
        codes_of: Callable[[Tensor], list[Tensor]] = layers.outputs_from
    else:
        origin, along, codes_of = rows, torch.clone, layers.outputs
    codes = layers.outputs(rows)[-1]
    sums = rows.new_zeros((len(rows), 2, len(radii)))
    for n_directions in portions:
        U = along(unit_vectors(n_directions, rows, generator))
        for k, r in enumerate(radii.tolist()):
            moved = torch.add(origin[:, None], U, alpha=r).flatten(0, 1)
            differences = codes_of(moved)[-1].view(*U.shape[:2], -1)
            ratios = differences.sub_(codes[:, None]).norm(dim=2) / r
            sums[:, 0, k] += ratios.sum(1)
            sums[:, 1, k] += ratios.square().sum(1)
    return sums / sum(portions)


def unit_vectors(n: int, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Draw n directions for each row, uniformly on the sphere, (n_rows, n, d)."""
    shape = (rows.shape[0], n, rows.shape[1])
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    drawn /= drawn.norm(dim=2, keepdim=True)
    return drawn.to(rows)
