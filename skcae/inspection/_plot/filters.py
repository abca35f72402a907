"""The weights of the first layer as images."""

import math
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skcae._core.layers.layer import Affine
from skcae._encoders.steps import encoding_layers, split_steps
from skcae._estimators.documentation import documented
from skcae._fit.images import image_shape_of
from skcae.inspection._plot._axes import axes_for
from skcae.inspection._plot._images import grid_of, signed_images


@documented
class FilterDisplay:
    """Filters: the weights of units of the first layer, each as an image.

    Of a `ConvolutionalCAE` it is the filters themselves.

    Each image is scaled by itself, to its largest weight in absolute value.

    Parameters
    ----------
    weights : ndarray of shape (n_filters, n_features)
        W_j of each unit to show.

    %(image shape)s

    Attributes
    ----------
    %(axes)s

    image_ : matplotlib AxesImage
        The grid.

    See Also
    --------
    TangentDisplay : The directions to which all units together respond at a row.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import FilterDisplay
    >>> X = load_digits().data / 16
    >>> encoder = ContractiveAutoencoder(
    ...     32, loss="cross_entropy", max_iter=20, tol=0.1, random_state=0
    ... ).fit(X)
    >>> FilterDisplay.from_estimator(encoder, n_filters=12).weights.shape
    (12, 64)
    """

    def __init__(
        self, weights: np.ndarray, *, image_shape: tuple[int, ...] | None = None
    ) -> None:
        self.weights = weights
        self.image_shape = image_shape

    @classmethod
    @documented
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_filters: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **plot_parameters: Any,
    ) -> Self:
        """Draw the filters of a fitted encoder.

        Parameters
        ----------
        estimator : fitted estimator
            An autoencoder of skcae, a `StackedCAE`, scikit-learn's `BernoulliRBM`, or
            a `Pipeline` that ends with some of them.

        n_filters : int, default=None
            How many units, those whose weights have the largest norms; all by
            default, in their order.

        image_shape : tuple of int, default=None
            (height, width), or (height, width, 3) for colours; by default that of the
            filters of a convolution or of patches, and else a square.

        %(ax)s

        %(plot parameters)s

        Returns
        -------
        display : FilterDisplay
            With the picture drawn.

        Raises
        ------
        TypeError
            If the first layer is a module of the user's, without such weights.
        ValueError
            If the weights make no such images.
        """
        check_matplotlib_support(cls.__name__)
        _, encoders = split_steps(estimator)
        first = encoding_layers(encoders)[0]
        filters = getattr(first, "filters", None)
        if filters is None and not isinstance(first, Affine):
            raise TypeError(
                "The first layer of this encoder has no weights for each unit: it is a "
                f"{type(first).__name__}, whose parameters are "
                f"{', '.join(first.parameters) or 'none'}."
            )
        if filters is None:
            weights = first.parameters["weights"].numpy()
        else:
            weights = filters.flatten(1).numpy()
            image_shape = image_shape or tuple(filters.shape[1:])
        if n_filters is not None:
            check_scalar(n_filters, "n_filters", Integral, min_val=1)
            largest_first = np.argsort(-np.linalg.norm(weights, axis=1), kind="stable")
            weights = weights[largest_first[:n_filters]]
        return cls(weights, image_shape=image_shape).plot(ax=ax, **plot_parameters)

    @documented
    def plot(self, *, ax: Any = None, n_columns: int | None = None) -> Self:
        """Draw the grid.

        Blue is negative, white zero and red positive, each filter scaled to its
        largest weight. Filters of colour images are shown in their colours, about
        grey.

        Parameters
        ----------
        %(ax)s

        n_columns : int, default=None
            Images to a row; as wide as high by default.

        Returns
        -------
        display : FilterDisplay
            Itself.
        """
        shape = image_shape_of(self.weights.shape[1], self.image_shape)
        if n_columns is None:
            n_columns = math.ceil(math.sqrt(len(self.weights)))
        check_scalar(n_columns, "n_columns", Integral, min_val=1)
        ax = axes_for(self, ax)
        grid = grid_of(signed_images(self.weights, shape), n_columns)
        self.image_ = ax.imshow(grid, interpolation="nearest")
        ax.set_axis_off()
        return self
