"""The spectrum of the Jacobian."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcae._estimators.documentation import documented
from skcae.inspection._plot._axes import (
    axes_for,
    draw_curve,
    include_origin,
    named,
    spelled_out,
)
from skcae.inspection._spectrum import singular_values

# The squares of n singular values are rounded to n times that part of the largest.
EPSILON = np.finfo(float).eps


@documented
class JacobianSpectrumDisplay:
    """Spectra: the singular values of the Jacobian, averaged over samples by rank.

    Figure 2 of [1]_. It is made by `from_estimator`; `singular_values` says what is
    measured.

    Parameters
    ----------
    spectra : dict of Bunch
        By the name of each encoder what `singular_values` gives.

    Attributes
    ----------
    %(axes)s

    lines_ : list of matplotlib Line2D
        The curves.

    See Also
    --------
    singular_values : The numbers.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import JacobianSpectrumDisplay
    >>> X = load_digits().data / 16
    >>> encoder = ContractiveAutoencoder(
    ...     32, loss="cross_entropy", max_iter=20, tol=0.1, random_state=0
    ... ).fit(X)
    >>> display = JacobianSpectrumDisplay.from_estimator(encoder, X, scale="log")
    >>> display.ax_.get_yscale()
    'log'
    """

    def __init__(self, spectra: dict[str, Bunch]) -> None:
        self.spectra = spectra

    @classmethod
    @documented
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_values: int | None = None,
        ax: Any = None,
        **plot_parameters: Any,
    ) -> Self:
        """Measure fitted encoders, and draw their spectra.

        Parameters
        ----------
        estimator : fitted encoder or dict of them
            One that `singular_values` takes, or several by the names that they are to
            have in the picture.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Where to measure. Some hundred samples give a smooth curve.

        n_values : int, default=None
            How many of the largest; all by default.

        %(ax)s

        %(plot parameters)s

        Returns
        -------
        display : JacobianSpectrumDisplay
            With the picture drawn.
        """
        check_matplotlib_support(cls.__name__)
        spectra = {
            name: singular_values(encoder, X, n_values)
            for name, encoder in named(estimator).items()
        }
        return cls(spectra).plot(ax=ax, **plot_parameters)

    @documented
    def plot(
        self,
        *,
        ax: Any = None,
        scale: str = "linear",
        spread: bool = True,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the mean of each rank, and one standard deviation about it.

        On a logarithmic scale without what is below √(n ε) of the largest of n values:
        that is noise.

        Parameters
        ----------
        %(ax)s

        scale : {"linear", "log"}, default="linear"
            Of the singular values.

        spread : bool, default=True
            Whether to shade one standard deviation about the mean.

        %(line_kw)s

        Returns
        -------
        display : JacobianSpectrumDisplay
            Itself.
        """
        ax = axes_for(self, ax)
        self.lines_ = []
        for number, (name, spectrum) in enumerate(self.spectra.items()):
            mean, std = spectrum.mean, spectrum.std
            noise = np.sqrt(len(mean) * EPSILON) * mean.max()
            floor = noise if scale == "log" else -np.inf
            mean = np.where(mean > floor, mean, np.nan)
            style = {"label": name, **spelled_out(line_kw)}
            if spread:
                # The values of a sample are never below zero.
                low = np.maximum(mean - std, spectrum.sample_values.min(0))
                style["band"] = np.maximum(low, floor), mean + std
            rank = np.arange(1, len(mean) + 1)
            self.lines_.append(draw_curve(ax, number, rank, mean, **style))
        # Where all values are 0 there is none on a logarithmic scale.
        if any(np.isfinite(line.get_ydata()).any() for line in self.lines_):
            ax.set_yscale(scale)
        if scale == "linear":
            include_origin(ax)
        ax.set_xlabel("rank of the singular value")
        ax.set_ylabel("singular value of the Jacobian, code per input")
        ax.legend()
        return self
