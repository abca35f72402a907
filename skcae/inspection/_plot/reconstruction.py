"""Samples beside their reconstructions."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing, check_scalar
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import _num_samples

from skcae._estimators.documentation import documented
from skcae._fit.images import image_shape_of
from skcae.inspection._encoder import Measurement, dense_rows, measurement
from skcae.inspection._plot._axes import axes_for, curve_style, named
from skcae.inspection._plot._images import (
    grid_of,
    name_images,
    plain_images,
    shape_of_convolution,
    signal_shape_of,
)
from skcae.inspection._reconstruction import reconstructions

# Between two signals, in parts of the range of all.
SPACE = 1.1
# So many names stand side by side in the legend of signals.
MOST_NAMES = 3


@documented
class ReconstructionDisplay:
    """Reconstructions: what is left of samples that were encoded and decoded again.

    Images are in columns, the sample on top and each encoder's reconstruction below;
    of signals the lines are drawn over each other.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        The samples.

    reconstructions : dict of ndarray of shape (n_samples, n_features)
        By the name of each encoder what it makes of them.

    image_shape : tuple of int, default=None
        (height, width), or (height, width, 3) for colours. (steps,) is a signal, and
        (1, steps, channels) one of several channels. By default a square image, or a
        signal if there is no such square.

    Attributes
    ----------
    %(axes)s

    image_ : matplotlib AxesImage
        The grid, if the samples are images.

    lines_ : list of matplotlib Line2D
        The curves, if they are signals: all of the samples, then those of each encoder,
        one for each sample and channel.

    See Also
    --------
    reconstruction_losses : How badly each feature is reconstructed.
    sample : Goes on from the code to others near it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import Autoencoder, ContractiveAutoencoder
    >>> from skcae.inspection import ReconstructionDisplay
    >>> X = load_digits().data / 16
    >>> how = {"loss": "cross_entropy", "max_iter": 20, "tol": 0.1, "random_state": 0}
    >>> encoders = {
    ...     "AE": Autoencoder(32, **how).fit(X),
    ...     "CAE": ContractiveAutoencoder(32, **how).fit(X),
    ... }
    >>> display = ReconstructionDisplay.from_estimator(encoders, X, n_samples=5)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['sample', 'AE', 'CAE']
    """

    def __init__(
        self,
        samples: np.ndarray,
        reconstructions: Mapping[str, np.ndarray],
        *,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.samples = samples
        self.reconstructions = reconstructions
        self.image_shape = image_shape

    @classmethod
    @documented
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_samples: int = 10,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
    ) -> Self:
        """Encode and decode a few samples, and draw them.

        Parameters
        ----------
        estimator : fitted estimator or dict of them
            An autoencoder of skcae, a `StackedCAE`, scikit-learn's `BernoulliRBM`, or a
            `Pipeline` that ends with some of them, or several by the names that they
            are to have in the picture. Steps before the first encoder must have an
            `inverse_transform`: reconstructions are in the units of X.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        n_samples : int, default=10
            How many of them to draw, from the first on.

        image_shape : tuple of int, default=None
            (height, width), or (height, width, 3) for colours. (steps,) is a signal,
            and (1, steps, channels) one of several channels. By default that of a
            `ConvolutionalCAE`, and otherwise a square image, or a signal if there is
            no such square.

        %(ax)s

        Returns
        -------
        display : ReconstructionDisplay
            With the picture drawn.

        Raises
        ------
        TypeError
            If the encoder is none of these, or a step before it cannot be undone.
        ValueError
            If the samples make no such images, or there is no encoder.
        """
        check_matplotlib_support(cls.__name__)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        X = X.tocsr() if sparse.issparse(X) else X
        X = _safe_indexing(X, np.arange(min(n_samples, _num_samples(X))))
        measured = {
            name: measurement(encoder, X) for name, encoder in named(estimator).items()
        }
        made = {name: reconstructions(each) for name, each in measured.items()}
        first = next(iter(measured.values()))
        samples = as_passed(first, X)
        if image_shape is None:
            layers = (each.layers.layers[0] for each in measured.values())
            shapes = (shape_of_convolution(layer, samples.shape[1]) for layer in layers)
            image_shape = next(filter(None, shapes), None)
        return cls(samples, made, image_shape=image_shape).plot(ax=ax)

    @documented
    def plot(self, *, ax: Any = None) -> Self:
        """Draw the samples and their reconstructions.

        Images go from the smallest value of the samples to the largest, and what
        reconstructions have beyond is cut. Signals are one below the other, all on one
        scale.

        Parameters
        ----------
        %(ax)s

        Returns
        -------
        display : ReconstructionDisplay
            Itself.
        """
        signal_shape = signal_shape_of(self.samples.shape[1], self.image_shape)
        if signal_shape is None:
            return self._plot_images(ax)
        return self._plot_signals(signal_shape, ax)

    def _plot_images(self, ax: Any) -> Self:
        n, n_features = self.samples.shape
        shape = image_shape_of(n_features, self.image_shape)
        rows = np.concatenate([self.samples, *self.reconstructions.values()])
        # What is missing in a sample is drawn as its lowest value.
        limits = np.nanmin(self.samples), np.nanmax(self.samples)
        rows = np.nan_to_num(rows, nan=limits[0])
        grid = grid_of(plain_images(rows, shape, limits), n)
        height, width, _ = grid.shape
        # As wide as other figures, and as high as the grid is then, with some room.
        ax = axes_for(self, ax, figsize=(6.4, np.clip(6.4 * height / width, 0.5, 6.4)))
        self.image_ = ax.imshow(grid, interpolation="nearest")
        name_images(ax, "y", ["sample", *self.reconstructions], shape[0])
        ax.set_xticks([])
        ax.spines[:].set_visible(False)
        return self

    def _plot_signals(self, shape: tuple[int, int], ax: Any) -> Self:
        ax = axes_for(self, ax)
        curves = {"sample": self.samples, **self.reconstructions}
        numbers = np.stack([*curves.values()])
        # What is missing in a sample is a gap.
        distance = SPACE * (np.nanmax(numbers) - np.nanmin(numbers))
        self.lines_ = []
        for number, (name, X) in enumerate(curves.items(), -1):
            # A curve for each sample and channel, (steps, n · channels).
            Y = np.moveaxis(X.reshape(-1, *shape), 1, 0).reshape(shape[0], -1)
            wide_and_grey = {"color": "0.75", "linewidth": 3}
            style = wide_and_grey if number < 0 else curve_style(number)
            lines = ax.plot(Y - distance * np.arange(Y.shape[1]), **style)
            lines[0].set_label(name)
            self.lines_ += lines
        ax.set_xlabel("step")
        ax.set_yticks([])
        n = min(len(curves), MOST_NAMES)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=n, frameon=False)
        return self


def as_passed(measured: Measurement, X: Any) -> np.ndarray:
    """Return X as it was before the preprocessing, with a row for each sample."""
    if not measured.steps:
        return dense_rows(measured.rows, np.arange(len(measured.rows)))
    return X.toarray() if sparse.issparse(X) else np.asarray(X)
