"""The scale of λ that data have, and a grid."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.validation import check_array

from skcae._core.data.arrays import Array
from skcae._core.data.moments import largest_variance, moments_of
from skcae._core.data.rows import Rows
from skcae._core.layers.convolution import Padding
from skcae._core.layers.convolutional import ConvolutionalArchitecture
from skcae._core.steps.diagnosis import largest_penalty
from skcae._encoders.containers import opened
from skcae._encoders.namespaces import on_host
from skcae._fit.data import check_weights
from skcae._fit.images import check_fits, pair_of, shape_of
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES

# Of the windows of images so many at most are looked at.
MOST_WINDOWS = 200_000
# The smallest λ of a grid that is not 0, as a part of the largest.
SMALLEST = 0.01

OF_DATA: dict[str, list[Any]] = {
    "activation": [StrOptions(set(ACTIVATIONS))],
    "loss": [StrOptions(set(LOSSES))],
    "sample_weight": ["array-like", Interval(Real, 0, None, closed="left"), None],
    "image_shape": ["array-like", None],
    "kernel_size": [Interval(Integral, 1, None, closed="left"), "array-like", None],
    "stride": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "padding": [StrOptions({"same", "valid"})],
}


@validate_params(
    {"X": ["array-like", "sparse matrix"], **OF_DATA},
    prefer_skip_nested_validation=True,
)
def jacobian_penalty_max(
    X: Any,
    *,
    activation: str = "sigmoid",
    loss: str = "squared_error",
    sample_weight: Any = None,
    image_shape: Sequence[int] | None = None,
    kernel_size: int | Sequence[int] | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = "same",
) -> float:
    r"""Compute the λ above which a code of tied weights collapses.

    Where all weights are small, the code is linear in them. Of one unit with weights w
    and slope :math:`\varphi'(0)` the squared error falls by
    :math:`2 \varphi'(0) w^\top C w` to the first order, with the covariance C of the
    rows, and the contraction costs :math:`\lambda \varphi'(0)^2 \lVert w \rVert^2`.
    The second is more than the first for every w if λ is above

    .. math::

        \lambda_{\max} = \frac{2 \sigma_1^2}{\varphi'(0)},

    where :math:`\sigma_1^2` is the largest eigenvalue of C: weights of zero are then a
    minimum. With the cross-entropy it is half of that. For the identity no code lives
    above it, and one lives below it. An activation with curvature may find another
    slope by its biases, and live above it for a while: then it is a scale, and no
    bound. Untied weights have none, since their encoder shrinks at no cost.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The training data, as the encoder gets it. Sparse data stays sparse.

    activation : str, default="sigmoid"
        That of the encoder.

    loss : {"squared_error", "cross_entropy"}, default="squared_error"
        That of the encoder.

    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the rows.

    image_shape : tuple of int, default=None
        For a convolution the shape of a row, as `ConvolutionalCAE` has it: by default
        it is a signal of one channel.

    kernel_size : int or (int, int), default=None
        For a convolution the size of its windows; by default it is a dense layer.

    stride : int or (int, int), default=1
        For a convolution how far it is from one window to the next.

    padding : {"same", "valid"}, default="same"
        For a convolution where its windows lie, as `ConvolutionalCAE` has it. C is the
        covariance of all windows, since one bias for each channel does not follow a
        mean that differs from place to place. Beyond the border there are zeros, and
        each entry counts as often as it is in the image, for the contraction as for C.
        At the border a constant code makes a pattern; where that is in the mean of the
        rows, a code lives above the limit, too, with ever smaller weights, and it is a
        scale.

    Returns
    -------
    penalty : float
        The limit λ_max, in units of X squared.

    Raises
    ------
    ValueError
        If all rows of X are the same, so that there is nothing to encode; or if X, the
        weights or the shapes are not usable.

    See Also
    --------
    jacobian_penalty_grid : Values of λ to choose from.

    Examples
    --------
    Twice the largest variance for the identity, of slope 1, and eight times for the
    sigmoid, of slope 1/4:

    >>> import numpy as np
    >>> from skcae.model_selection import jacobian_penalty_max
    >>> X = np.array([[3.0, 1.0], [3.0, -1.0], [-3.0, 1.0], [-3.0, -1.0]])
    >>> np.cov(X.T, bias=True).diagonal()
    array([9., 1.])
    >>> for activation in ("identity", "sigmoid"):
    ...     print(f"{jacobian_penalty_max(X, activation=activation):.0f}")
    18
    72
    """
    matrix, weights = checked(X, sample_weight)
    if kernel_size is not None:
        how = image_shape, kernel_size, stride, padding
        matrix, weights = windows_of(matrix, weights, *how)
    elif image_shape is not None:
        raise ValueError("image_shape is that of a convolution: give its kernel_size.")
    rows = Rows(matrix, weights, dtype=matrix.dtype, device=torch.device("cpu"))
    moments = moments_of(rows)
    if not np.isfinite(moments.variance).all():
        raise ValueError(
            "X has values of which the squares are infinite. Scale it, as by a "
            "StandardScaler or MinMaxScaler."
        )
    if moments.are_alike:
        raise ValueError(
            "X has no variance: all of its rows are the same, and there is nothing to "
            "encode."
        )
    variance = largest_variance(rows, moments)
    return largest_penalty(variance, ACTIVATIONS[activation], LOSSES[loss])


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "n": [Interval(Integral, 1, None, closed="left")],
        "top": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def jacobian_penalty_grid(
    X: Any, n: int = 4, *, top: float = 0.1, **of_data: Any
) -> Array:
    """Make a grid of λ for data: 0, and a geometric one up to a part of λ_max.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The training data, as the encoder gets it.

    n : int, default=4
        The number of values. With 4 they are 0, .01, .1 and 1 times the largest.

    top : float, default=0.1
        The largest, as a part of λ_max.

    **of_data : dict
        Further arguments of `jacobian_penalty_max`: the activation, the loss, weights,
        and the windows of a convolution.

    Returns
    -------
    grid : ndarray of shape (n,)
        In rising order.

    Raises
    ------
    ValueError
        If `jacobian_penalty_max` raises it.

    See Also
    --------
    jacobian_penalty_max : The scale of the grid.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae.model_selection import jacobian_penalty_grid
    >>> X = load_digits().data / 16
    >>> jacobian_penalty_grid(X).round(3)
    array([0.   , 0.006, 0.056, 0.559])
    """
    largest = top * jacobian_penalty_max(X, **of_data)
    # From the largest down, which is there however few there are.
    return np.append(0.0, largest * np.geomspace(1, SMALLEST, n - 1)[::-1])


def checked(X: Any, sample_weight: Any) -> tuple[Any, Array]:
    """Validate the rows, and return them with weights of sum 1."""
    X, _ = opened(on_host(X))
    rows = check_array(
        X, accept_sparse="csr", dtype=(np.float64, np.float32), input_name="X"
    )
    found = check_weights(sample_weight, rows)
    weights = np.ones(rows.shape[0]) if found is None else found
    return rows, weights / weights.sum()


def windows_of(
    rows: Any,
    weights: Array,
    image_shape: Sequence[int] | None,
    kernel_size: Any,
    stride: Any,
    padding: Padding,
) -> tuple[Array, Array]:
    """Return windows of images less the mean of each channel, and their weights.

    Entries that lie in the image at few of the places are the larger for it.
    """
    n_features, known = rows.shape[1], shape_of(image_shape)
    shape = known or (1, n_features, 1)
    kernel = pair_of("kernel_size", kernel_size, known)
    architecture = ConvolutionalArchitecture(
        image_shape=shape,
        n_filters=(1,),
        kernel_size=kernel,
        stride=pair_of("stride", stride, known),
        padding=padding,
        pool=None,
        pool_size=(1, 1),
        activation=ACTIVATIONS["identity"],
        is_tied=True,
    )
    check_fits(architecture, n_features)
    axes = architecture.stages[0][0].axes
    n_places = axes[0].n_places * axes[1].n_places
    step = max(1, len(weights) * n_places // MOST_WINDOWS)
    chosen = np.flatnonzero(weights)[::step]
    some, part = rows[chosen], weights[chosen] / weights[chosen].sum()
    some = some.toarray() if sparse.issparse(some) else some
    images = some.reshape(-1, *shape)
    images = images - np.einsum("n,nyxc->c", part, images) / (shape[0] * shape[1])
    images = np.pad(images, [(0, 0), *(axis.n_zeros for axis in axes), (0, 0)])
    found = np.lib.stride_tricks.sliding_window_view(images, kernel, (1, 2))
    found = found[:, :: axes[0].stride, :: axes[1].stride]
    # Of so many places a tap is in the image, along each axis.
    along = [axis.taps_at_places().numpy().mean(0) for axis in axes]
    counts = np.outer(*along)
    # Of a kernel twice the image some taps are in it nowhere, and 0 in all windows.
    found = found / np.sqrt(np.where(counts > 0, counts, 1))
    return found.reshape(len(images) * n_places, -1), np.repeat(
        part / n_places, n_places
    )
