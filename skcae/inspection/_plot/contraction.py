"""The contraction curve."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcae._estimators.documentation import documented
from skcae.inspection._contraction import contraction_ratio
from skcae.inspection._encoder import dense_rows, measurement
from skcae.inspection._plot._axes import (
    axes_for,
    draw_curve,
    include_origin,
    named,
    spelled_out,
)

# The distances between examples are taken between at most so many of them.
MAX_EXAMPLES = 1000
# Radii up to so many times the largest distance between two examples, as in the paper.
FARTHEST = 3.0
# Names at the top that are no further apart than this, in points, are joined.
ROOM = 18
N_RADII = 21
STATISTICS = ("mean", "root_mean_square")


@documented
class ContractionCurveDisplay:
    """Contraction curves: how far codes move when inputs move by a given distance.

    Figures 1 and 3 of [1]_. It is made by `from_estimator`; `contraction_ratio` says
    what is measured.

    Parameters
    ----------
    ratios : dict of Bunch
        By the name of each encoder what `contraction_ratio` gives.

    distances : ndarray of shape (3,), default=None
        The smallest, median and largest distance between two examples.

    Attributes
    ----------
    %(axes)s

    lines_ : list of matplotlib Line2D
        The curves.

    See Also
    --------
    contraction_ratio : The numbers.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import Autoencoder, ContractiveAutoencoder
    >>> from skcae.inspection import ContractionCurveDisplay
    >>> X = load_digits().data / 16
    >>> how = {"loss": "cross_entropy", "max_iter": 20, "tol": 0.1, "random_state": 0}
    >>> encoders = {
    ...     "AE": Autoencoder(32, **how).fit(X),
    ...     "CAE": ContractiveAutoencoder(32, **how).fit(X),
    ... }
    >>> display = ContractionCurveDisplay.from_estimator(encoders, X, random_state=0)
    >>> [line.get_label() for line in display.lines_]
    ['AE', 'CAE']
    """

    def __init__(
        self, ratios: dict[str, Bunch], *, distances: np.ndarray | None = None
    ) -> None:
        self.ratios = ratios
        self.distances = distances

    @classmethod
    @documented
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        radii: Any = None,
        n_directions: int = 10,
        random_state: Any = None,
        ax: Any = None,
        **plot_parameters: Any,
    ) -> Self:
        """Measure fitted encoders, and draw their curves.

        Parameters
        ----------
        estimator : fitted encoder or dict of them
            One that `contraction_ratio` takes, or several by the names that they are
            to have in the picture. Distances are those of what the first of them takes
            after its preprocessing: what is to be compared must have the same.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The examples, in the paper validation data.

        radii : array-like of shape (n_radii,), default=None
            The distances, by default up to three times the largest distance between
            two examples.

        n_directions : int, default=10
            How many points to draw around each example.

        random_state : int, RandomState instance or None, default=None
            Where the directions come from, and which examples distances are measured
            between if there are more than 1000.

        %(ax)s

        %(plot parameters)s

        Returns
        -------
        display : ContractionCurveDisplay
            With the picture drawn.

        Raises
        ------
        ValueError
            If there is no encoder, or no two examples differ and there are no radii.
        """
        check_matplotlib_support(cls.__name__)
        encoders = named(estimator)
        random = check_random_state(random_state)
        distances = distances_between(next(iter(encoders.values())), X, random)
        if radii is None:
            if distances is None:
                raise ValueError(
                    "All examples are the same: pass X with different rows, or radii."
                )
            farthest = FARTHEST * distances[-1]
            radii = np.linspace(0, farthest, N_RADII)
            radii[0] = radii[1] / 10
        seed = random.randint(np.iinfo(np.int32).max)
        ratios = {
            name: contraction_ratio(
                encoder, X, radii, n_directions=n_directions, random_state=seed
            )
            for name, encoder in encoders.items()
        }
        return cls(ratios, distances=distances).plot(ax=ax, **plot_parameters)

    @documented
    def plot(
        self,
        *,
        ax: Any = None,
        statistic: str = "mean",
        spread: bool = False,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the curves, and the distances between examples as vertical lines.

        Parameters
        ----------
        %(ax)s

        statistic : {"mean", "root_mean_square"}, default="mean"
            Which average over examples and directions. The paper's is the mean.

        spread : bool, default=False
            Whether to shade one standard deviation about the mean.

        %(line_kw)s

        Returns
        -------
        display : ContractionCurveDisplay
            Itself.

        Raises
        ------
        ValueError
            If there is no such statistic.
        """
        if statistic not in STATISTICS:
            raise ValueError(
                f"statistic must be one of {STATISTICS}, got {statistic!r}."
            )
        ax = axes_for(self, ax)
        self.lines_ = []
        for number, (name, ratio) in enumerate(self.ratios.items()):
            style = {"label": name, **spelled_out(line_kw)}
            if spread:
                style["band"] = ratio.mean - ratio.std, ratio.mean + ratio.std
            line = draw_curve(ax, number, ratio.radii, ratio[statistic], **style)
            self.lines_.append(line)
        include_origin(ax)
        if self.distances is not None:
            mark_distances(ax, self.distances)
        ax.set_xlabel("distance r from an example, in units of the input")
        ax.set_ylabel("contraction ratio ‖f(x + ru) − f(x)‖ / r")
        ax.legend()
        return self


def distances_between(encoder: Any, X: Any, random: Any) -> np.ndarray | None:
    """Return the smallest, median and largest distance between different examples.

    None if no two examples differ.

    They are measured where the radii are: in what the encoder takes after the fixed
    preprocessing.
    """
    rows = measurement(encoder, X, in_double=True).rows
    chosen = np.arange(len(rows))
    if len(rows) > MAX_EXAMPLES:
        chosen = np.sort(random.permutation(len(rows))[:MAX_EXAMPLES])
    distances = pdist(dense_rows(rows, chosen))
    distances = distances[distances > 0]
    return np.quantile(distances, [0, 0.5, 1]) if len(distances) else None


def points_between(ax: Any, low: float, high: float) -> float:
    """Return how far apart two positions on the x axis are on the page."""
    ends = ax.transData.transform([(low, 0), (high, 0)])[:, 0]
    return float(72 / ax.figure.dpi * np.diff(ends)[0])


def mark_distances(ax: Any, distances: np.ndarray) -> None:
    """Draw vertical lines with their names at the top, joined where they are close."""
    names: dict[float, str] = {}
    for name, distance in zip(("min", "median", "max"), distances, strict=True):
        ax.axvline(distance, color="0.6", linestyle=(0, (6, 2, 1, 2)), linewidth=0.9)
        first = next(reversed(names), None)
        if first is not None and points_between(ax, first, distance) < ROOM:
            names[first] += f", {name}"
        else:
            names[distance] = name
    for distance, name in names.items():
        ax.annotate(
            name,
            (distance, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            rotation=30,
            ha="left",
            va="bottom",
            rotation_mode="anchor",
            color="0.35",
            fontsize="small",
        )
