"""Samples beside their tangents."""

from typing import Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcae._estimators.documentation import documented
from skcae._fit.images import image_shape_of
from skcae.inspection._encoder import dense_rows, measurement
from skcae.inspection._plot._axes import axes_for
from skcae.inspection._plot._images import (
    grid_of,
    name_images,
    plain_images,
    shape_of_convolution,
    signed_images,
)
from skcae.inspection._spectrum import tangent_vectors


@documented
class TangentDisplay:
    """Tangents: each sample beside the directions to which its code responds most.

    It is made by `from_estimator`; `tangent_vectors` says what they are.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        What the first encoder takes.

    tangents : ndarray of shape (n_samples, n_tangents, n_features)
        Their tangents.

    %(image shape)s

    Attributes
    ----------
    %(axes)s

    image_ : matplotlib AxesImage
        The grid.

    See Also
    --------
    tangent_vectors : The numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import TangentDisplay
    >>> X = load_digits().data / 16
    >>> encoder = ContractiveAutoencoder(
    ...     32, loss="cross_entropy", max_iter=20, tol=0.1, random_state=0
    ... ).fit(X)
    >>> display = TangentDisplay.from_estimator(encoder, X[:4], n_tangents=5)
    >>> display.tangents.shape
    (4, 5, 64)
    """

    def __init__(
        self,
        samples: np.ndarray,
        tangents: np.ndarray,
        *,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.samples = samples
        self.tangents = tangents
        self.image_shape = image_shape

    @classmethod
    @documented
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_tangents: int = 5,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
    ) -> Self:
        """Compute the tangents of a few samples, and draw them.

        Parameters
        ----------
        estimator : fitted estimator
            An autoencoder of skcae, a `StackedCAE`, scikit-learn's `BernoulliRBM`, or
            a `Pipeline` that ends with some of them.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples, one to a row of the picture.

        n_tangents : int, default=5
            How many tangents of each.

        image_shape : tuple of int, default=None
            (height, width), or (height, width, 3) for colours; by default that of a
            `ConvolutionalCAE`, and else a square.

        %(ax)s

        Returns
        -------
        display : TangentDisplay
            With the picture drawn.

        Raises
        ------
        ValueError
            If the samples make no such images, or there are not so many tangents.
        """
        check_matplotlib_support(cls.__name__)
        measured = measurement(estimator, X)
        samples = dense_rows(measured.rows, np.arange(len(measured.rows)))
        if image_shape is None:
            first = measured.layers.layers[0]
            image_shape = shape_of_convolution(first, samples.shape[1])
        image_shape_of(samples.shape[1], image_shape)
        tangents = tangent_vectors(estimator, X, n_tangents)
        return cls(samples, tangents, image_shape=image_shape).plot(ax=ax)

    @documented
    def plot(self, *, ax: Any = None) -> Self:
        """Draw a row of images for each sample: itself, then its tangents.

        Blue is negative, white zero and red positive, each tangent scaled to its
        largest entry.

        Parameters
        ----------
        %(ax)s

        Returns
        -------
        display : TangentDisplay
            Itself.
        """
        n, n_tangents, n_features = self.tangents.shape
        shape = image_shape_of(n_features, self.image_shape)
        ax = axes_for(self, ax)
        images = signed_images(self.tangents.reshape(-1, n_features), shape)
        images = images.reshape(n, n_tangents, *images.shape[1:])
        samples = plain_images(self.samples, shape)[:, None]
        rows = np.concatenate([samples, images], axis=1)
        grid = grid_of(rows.reshape(-1, *rows.shape[2:]), n_tangents + 1)
        self.image_ = ax.imshow(grid, interpolation="nearest")
        labels = ["sample", *(f"{k + 1}" for k in range(n_tangents))]
        name_images(ax, "x", labels, shape[1])
        ax.set_xlabel("tangents, in the order of their singular values")
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
        return self
