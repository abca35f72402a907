"""The convolutional contractive autoencoder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from skcae._core.data.arrays import Array
from skcae._core.layers.convolutional import POOLING, ConvolutionalArchitecture
from skcae._core.layers.images import Shape
from skcae._estimators.documentation import documented
from skcae._estimators.network import BaseNetwork
from skcae._fit.images import check_fits, filters_of, flat_images, pair_of, shape_of
from skcae._fit.parameters import LAYER
from skcae.activations import ACTIVATIONS

# One count, or one for each of several.
COUNTS = [Interval(Integral, 1, None, closed="left"), "array-like"]


@documented
@dataclass(repr=False, eq=False, kw_only=True)
class ConvolutionalCAE(BaseNetwork):
    r"""Contractive autoencoder of convolutional layers, trained together.

    Filters slide over images or signals, and what they see in each place is the code;
    windows of it may be joined. The encoder f and the decoder g, which mirrors it,
    minimise the mean over samples of

    .. math::

        L(x, g(f(x))) + \lambda \lVert J_f(x) \rVert_F^2
                      + \mu \lVert J_g(f(x)) \rVert_F^2,

    where :math:`J_f` is the Jacobian of all layers together, as in [1]_ for one dense
    layer. Of one convolution the norm is exact in closed form,
    :math:`\sum_j \varphi'(a_j)^2 \lVert W_j \rVert^2` with a unit j for each filter
    and place: at the border, where a part of a filter is beyond the image,
    :math:`\lVert W_j \rVert` is smaller. With `pool="max"` the sum is over the units
    that are the largest of their windows.

    Parameters
    ----------
    n_filters : int or sequence of int, default=(32,)
        The number of filters, for several layers that of each, from the input up.

    kernel_size : int or (int, int), default=5
        Height and width of the filters of all layers. One number is both, and for
        signals along the steps only.

    image_shape : tuple of int or None, default=None
        What a row is: a signal of (steps,), or an image of (height, width) or (height,
        width, channels), with the channels last; a signal of several channels is (1,
        steps, channels). None is a signal of `n_features_in_` steps. Rows are flat, in
        C order. Arrays of more dimensions are taken, too, as (n_samples, height,
        width), if a row is of this shape.

    stride : int or (int, int), default=1
        How far it is from one place of a filter to the next.

    padding : {"same", "valid"}, default="same"
        With "same" there are zeros around the image, so that a filter has
        ⌈size / stride⌉ places along each axis; of an odd number of zeros the last is
        at the end. With "valid" it has those within the image.

    pool : {"max", "average"} or None, default=None
        What joins the pixels of each window of a layer's code: the largest, or their
        mean. The decoder repeats a number all over its window.

    pool_size : int or (int, int), default=2
        Height and width of a window. Windows lie side by side, and the last ones along
        an axis are cut at the border.

    jacobian_penalty : float, default=0.1
        Strength λ of the contraction of the whole encoder.

    %(network penalties)s

    %(layer)s

    %(solver)s

    %(stopping)s

    %(warm start)s

    %(data parallel)s

    %(running)s

    Attributes
    ----------
    code_shape_ : tuple of int
        Height, width and filters of a code, which `transform` gives as a row in that
        order.

    %(network attributes)s

    See Also
    --------
    DeepCAE : The same for dense layers.
    skcae.inspection.FilterDisplay : Shows the filters.

    Notes
    -----
    The norm of several layers, or under `pool="average"`, takes several vectors where a
    probe is one: units that see no pixel in common share one, so that it is
    ⌈r / s⌉ along each axis, if a unit sees r pixels and the next one is s further on,
    for each filter, whatever the size of the image [2]_. That is 36 for the mean of
    2 × 2 and 4 filters of 5 × 5. `jacobian_method="auto"` takes probes where that is
    much. With probes, v a vector of independent signs,
    :math:`E \lVert J^\top v \rVert^2` is the squared norm.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.
    .. [2] A. R. Curtis, M. J. D. Powell and J. K. Reid, "On the Estimation of Sparse
       Jacobian Matrices", IMA Journal of Applied Mathematics 13, 1974.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ConvolutionalCAE
    >>> X = load_digits().data / 16
    >>> cae = ConvolutionalCAE(
    ...     8, 3, image_shape=(8, 8), pool="max", max_iter=20, tol=0.1, random_state=0
    ... ).fit(X)
    >>> cae.code_shape_
    (4, 4, 8)
    >>> cae.transform(X).shape
    (1797, 128)
    >>> {name: array.shape for name, array in cae.parameters_.items()}
    {'encoder.0.weight': (8, 1, 3, 3), 'encoder.0.bias': (8,), 'decoder.0.bias': (1,)}
    """

    n_filters: int | Sequence[int] = field(default=(32,), kw_only=False)
    kernel_size: int | Sequence[int] = field(default=5, kw_only=False)
    image_shape: Sequence[int] | None = None
    stride: int | Sequence[int] = 1
    padding: str = "same"
    pool: str | None = None
    pool_size: int | Sequence[int] = 2
    activation: str = "sigmoid"
    tied_weights: bool = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseNetwork._parameter_constraints,
        **LAYER,
        "n_filters": COUNTS,
        "kernel_size": COUNTS,
        "image_shape": ["array-like", None],
        "stride": COUNTS,
        "padding": [StrOptions({"same", "valid"})],
        "pool": [StrOptions(set(POOLING)), None],
        "pool_size": COUNTS,
    }

    @property
    def code_shape_(self) -> Shape:
        """Height, width and filters of a code."""
        return self._fitted_architecture().code_shape

    def _structure(self) -> dict[str, Any]:
        names = ("padding", "pool", "activation", "tied_weights")
        return normal(
            {
                "n_filters": self.n_filters,
                "kernel_size": self.kernel_size,
                "image_shape": self.image_shape,
                "stride": self.stride,
                "pool_size": self.pool_size,
                **{name: getattr(self, name) for name in names},
            }
        )

    def _architecture(
        self, structure: dict[str, Any], n_features: int
    ) -> ConvolutionalArchitecture:
        parts = normal(structure)
        architecture = ConvolutionalArchitecture(
            image_shape=parts["image_shape"] or (1, n_features, 1),
            n_filters=parts["n_filters"],
            kernel_size=parts["kernel_size"],
            stride=parts["stride"],
            padding=parts["padding"],
            pool=parts["pool"],
            pool_size=parts["pool_size"],
            activation=ACTIVATIONS[parts["activation"]],
            is_tied=parts["tied_weights"],
        )
        check_fits(architecture, n_features)
        return architecture

    def _fitted_architecture(self) -> ConvolutionalArchitecture:
        return self._architecture(self._fitted_structure, self.n_features_in_)

    def _scale_of_penalty(self) -> dict[str, Any] | None:
        structure = self._structure()
        is_one = len(structure["n_filters"]) == 1 and self.pool is None
        if not (is_one and self.tied_weights):
            return None
        names = ("activation", "image_shape", "kernel_size", "stride", "padding")
        return {"loss": self.loss, **{name: structure[name] for name in names}}

    def _n_features_of(self, arrays: dict[str, Array]) -> int:
        shape = shape_of(self.image_shape)
        if shape is not None:
            return math.prod(shape)
        if hasattr(self, "n_features_in_"):
            return int(self.n_features_in_)
        raise ValueError(
            "Weights of filters do not tell how long a signal is. Set image_shape "
            "to (steps,), or to the shape of the images, and then the weights."
        )

    def _code_size(self) -> float:
        """Return the size of the code, if the parameters ask for one that can be."""
        try:
            structure = self._structure()
            n_features = math.prod(structure["image_shape"] or (0,))
            return math.prod(self._architecture(structure, n_features).code_shape)
        except (TypeError, ValueError):
            return math.inf

    def _as_rows(self, X: Any) -> Any:
        """Return X with a row for each image, whatever dimensions it comes in."""
        known = getattr(self, "_fitted_structure", None) or self._structure()
        return flat_images(X, known["image_shape"])


def normal(structure: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that make the layers, each in one form.

    Raises
    ------
    ValueError
        If one of them has none.
    """
    shape = shape_of(structure["image_shape"])
    return {
        **structure,
        "n_filters": filters_of(structure["n_filters"]),
        "image_shape": shape,
        **{
            name: pair_of(name, structure[name], shape)
            for name in ("kernel_size", "stride", "pool_size")
        },
    }
