"""The singular values of the Jacobian, and the directions that go with them."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params
from torch import Tensor

from skcae._core.layers import spectrum
from skcae._encoders.tangents import check_at_most, tangents_at
from skcae._estimators.documentation import documented
from skcae.inspection._encoder import measurement


@documented
@validate_params(
    {"n_values": [Interval(Integral, 1, None, closed="left"), None]},
    prefer_skip_nested_validation=True,
)
def singular_values(encoder: Any, X: Any, n_values: int | None = None) -> Bunch:
    """Compute the singular values of the encoder's Jacobian at each sample.

    They say by how much the code responds to a small change of the input, direction by
    direction: a contractive encoder keeps few directions, and its spectrum falls fast.
    Averaged over samples it is figure 2 of [1]_. The sum of the squares is ‖J_f(x)‖²_F.

    They are computed in float64, from the smaller Gram matrix of the Jacobian: values
    below 1e-8 of the largest are noise. A few leading values (up to a sixteenth of
    them) are found by a Lanczos iteration instead of a factorisation.

    Parameters
    ----------
    %(encoder)s

    %(where to measure)s

    n_values : int, default=None
        How many of the largest; all min(n_components, n_features) by default.

    Returns
    -------
    spectrum : Bunch
        With the attributes

        sample_values : ndarray of shape (n_samples, n_values)
            The singular values of each sample, in falling order, in units of the code
            per unit of the input.
        mean : ndarray of shape (n_values,)
            The mean over samples of each rank.
        std : ndarray of shape (n_values,)
            The standard deviation over samples of each rank.

    Raises
    ------
    %(no encoder)s
    ValueError
        If X is not usable or has another number of features, or there are not so many
        values.

    References
    ----------
    .. [1] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive
       Auto-Encoders: Explicit Invariance During Feature Extraction", ICML 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import jacobian_norm, singular_values
    >>> X = np.random.default_rng(0).normal(size=(50, 6))
    >>> encoder = ContractiveAutoencoder(4, random_state=0).fit(X)
    >>> spectrum = singular_values(encoder, X)
    >>> spectrum.sample_values.shape
    (50, 4)
    >>> squared = jacobian_norm(encoder, X) ** 2
    >>> np.allclose((spectrum.sample_values**2).sum(1), squared)
    True
    """
    measured = measurement(encoder, X, in_double=True)
    layers = measured.layers
    largest = layers.n_singular_values
    n = largest if n_values is None else n_values
    check_at_most("n_values", n, largest)

    def values(rows: Tensor) -> Tensor:
        return spectrum.singular_values(layers, layers.states_at(rows), n)

    found = measured.map(values, shape=(n,), width=layers.jacobian_size)
    return Bunch(sample_values=found, mean=found.mean(0), std=found.std(0))


@documented
@validate_params(
    {"n_tangents": [Interval(Integral, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def tangent_vectors(encoder: Any, X: Any, n_tangents: int) -> np.ndarray:
    """Compute the input directions to which the code responds most.

    They are the leading right singular vectors of J_f(x), an estimate of the tangent
    plane at x of the manifold near which the data lies [1]_.

    Parameters
    ----------
    %(encoder)s

    %(where to measure)s

    n_tangents : int
        How many, at most min(n_components, n_features).

    Returns
    -------
    tangents : ndarray of shape (n_samples, n_tangents, n_features)
        Orthonormal, in the order of their singular values, each with the sign that
        makes its largest entry positive. Beyond the rank of the Jacobian they are any
        directions. What precedes the first encoder in a pipeline is not undone:
        n_features is then that of the encoder.

    Raises
    ------
    %(no encoder)s
    ValueError
        If X is not usable or has another number of features, or there are not so many
        tangents.

    References
    ----------
    .. [1] S. Rifai, Y. Dauphin, P. Vincent, Y. Bengio and X. Muller, "The Manifold
       Tangent Classifier", NIPS 2011.

    Examples
    --------
    Of data along a line, the first tangent is the line's direction:

    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import tangent_vectors
    >>> X = np.linspace(-1, 1, 100)[:, None] * [0.6, 0.0, 0.8]
    >>> encoder = ContractiveAutoencoder(
    ...     8, activation="tanh", tol=0.01, random_state=0
    ... ).fit(X)
    >>> tangent_vectors(encoder, X[:1], n_tangents=1).round(1) + 0.0
    array([[[0.6, 0. , 0.8]]])
    """
    measured = measurement(encoder, X, in_double=True)
    tangents: np.ndarray = tangents_at(
        measured.layers, measured.rows, n_tangents, measured.dtype
    )
    return tangents
