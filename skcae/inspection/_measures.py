"""The Jacobian of an encoder, its norm, and the saturation of its units."""

import math
from typing import Any

import numpy as np
from torch import Tensor

from skcae._core.data import rows as matrix_rows
from skcae._core.layers.layer import Affine
from skcae._estimators.documentation import documented
from skcae.inspection._encoder import measurement

# The slope of a sigmoid at 0.05 and at 0.95, as a part of its largest slope of 1/4.
SATURATED_SLOPE = 0.05 * 0.95 / 0.25


@documented
def jacobian(encoder: Any, X: Any) -> np.ndarray:
    """Compute the encoder's Jacobian at each sample.

    Of layers one after the other it is the product of their Jacobians, with respect to
    the input of the first. What a pipeline does before that, such as scaling, is not
    differentiated. It is large: for norms, singular values or tangents there are
    functions that do not keep it.

    Parameters
    ----------
    %(encoder)s

    %(where to measure)s

    Returns
    -------
    jacobian : ndarray of shape (n_samples, n_components, n_features)
        ∂h_j/∂x_i, in units of the code per unit of the input; float32 for float32
        data and float64 otherwise.

    Raises
    ------
    %(no encoder)s
    ValueError
        If X is not usable or has another number of features.

    See Also
    --------
    jacobian_norm : Its Frobenius norm.
    singular_values : Its singular values.
    tangent_vectors : The directions to which the code responds most.

    Examples
    --------
    The Jacobian of a linear encoder is W, whatever x:

    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import jacobian
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> encoder = ContractiveAutoencoder(2, activation="identity", random_state=0)
    >>> J = jacobian(encoder.fit(X), X)
    >>> J.shape
    (50, 2, 3)
    >>> np.allclose(J, encoder.components_)
    True
    """
    measured = measurement(encoder, X)
    layers = measured.layers
    shape = (layers.n_components, layers.n_features)
    return measured.map(
        lambda rows: layers.jacobians(layers.states_at(rows)),
        shape=shape,
        width=layers.jacobian_size,
    )


@documented
def jacobian_norm(encoder: Any, X: Any, *, mean_square: bool = False) -> np.ndarray:
    """Compute the Frobenius norm of the encoder's Jacobian at each sample.

    Of layers one after the other it is the norm of the product of their Jacobians,
    with respect to the input of the first. What a pipeline does before that, such as
    scaling, is not differentiated.

    Parameters
    ----------
    %(encoder)s

    %(where to measure)s

    mean_square : bool, default=False
        Whether to give the mean squared entry of the Jacobian instead, which is what
        the paper's tables average over the validation data.

    Returns
    -------
    norm : ndarray of shape (n_samples,)
        ‖J_f(x)‖_F, in units of the code per unit of the input; or with `mean_square`
        ‖J_f(x)‖²_F / (n_features · n_components).

    Raises
    ------
    %(no encoder)s
    ValueError
        If X is not usable or has another number of features.

    References
    ----------
    Rifai, Vincent, Muller, Glorot and Bengio, "Contractive Auto-Encoders: Explicit
    Invariance During Feature Extraction", ICML 2011, section 5.2.

    Examples
    --------
    The Jacobian of a linear encoder is W, whatever x:

    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import jacobian_norm
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> encoder = ContractiveAutoencoder(2, activation="identity", random_state=0)
    >>> norms = jacobian_norm(encoder.fit(X), X)
    >>> np.allclose(norms, np.linalg.norm(encoder.components_))
    True
    """
    measured = measurement(encoder, X)
    layers = measured.layers

    def norms(rows: Tensor) -> Tensor:
        states, scale = layers.scaled(layers.states_at(rows))
        squared = layers.squared_norms(states, matrix_rows.CHUNK_ELEMENTS)
        if mean_square:
            squared /= layers.n_features * layers.n_components
            return squared * scale[:, 0].square()
        return squared.sqrt() * scale[:, 0]

    return measured.map(norms)


@documented
def saturation(encoder: Any, X: Any) -> np.ndarray:
    """Compute the fraction of hidden units that are saturated at each sample.

    Of layers one after the other it is that of the last, whose outputs are the code.

    A unit is saturated where its slope is below 19 % of the activation's largest. For
    the sigmoid that is the paper's criterion, an output below 0.05 or above 0.95; for
    tanh it is an output beyond ±0.9; relu is saturated where it is 0, and the identity
    never.

    Parameters
    ----------
    %(encoder)s

    %(where to measure)s

    Returns
    -------
    fraction : ndarray of shape (n_samples,)
        Between 0 and 1.

    Raises
    ------
    %(no encoder)s
    ValueError
        If X is not usable or has another number of features.

    References
    ----------
    Rifai, Vincent, Muller, Glorot and Bengio, "Contractive Auto-Encoders: Explicit
    Invariance During Feature Extraction", ICML 2011, footnote 6.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import saturation
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> encoder = ContractiveAutoencoder(2, activation="identity", random_state=0)
    >>> float(saturation(encoder.fit(X), X).mean())
    0.0
    """
    measured = measurement(encoder, X)
    layers = measured.layers
    affine = [layer for layer in layers.layers if isinstance(layer, Affine)]
    largest = affine[-1].activation.largest_slope if affine else math.nan

    def fractions(rows: Tensor) -> Tensor:
        slopes = layers.unit_slopes(layers.states_at(rows))
        if slopes is None:
            raise TypeError(
                "The last layer of this encoder has no units with an activation of "
                "their own, so that none of them can be saturated."
            )
        is_saturated = slopes < SATURATED_SLOPE * largest
        fraction: Tensor = is_saturated.to(rows.dtype).mean(1)
        return fraction

    return measured.map(fractions)
