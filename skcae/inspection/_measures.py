"""The paper's two measurements of an encoder."""

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skcae._base import BaseAutoencoder
from skcae._core.jacobian import squared_norm
from skcae._core.layers import Parameters, pre_activations, squared_row_norms
from skcae._validation import check_X
from skcae.activations import ACTIVATIONS

# The slope of a sigmoid at 0.05 and at 0.95, as a part of its largest slope of 1/4.
SATURATED_SLOPE = 0.05 * 0.95 / 0.25


def jacobian_norm(encoder: BaseAutoencoder, X: Any) -> np.ndarray:
    """Compute the Frobenius norm of the encoder's Jacobian at each sample.

    Parameters
    ----------
    encoder : fitted autoencoder
        A `ContractiveAutoencoder`.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Where to measure.

    Returns
    -------
    norm : ndarray of shape (n_samples,)
        ‖J_f(x)‖_F, in units of the code per unit of the input. The paper's tables give
        the mean of ‖J_f(x)‖²_F / (n_features · n_components) instead.

    Raises
    ------
    TypeError
        If the encoder is not one of skcae's.
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
    check_encoder(encoder)

    def norms(parameters: Parameters, rows: Tensor, out: Tensor) -> None:
        slopes = _slopes(encoder, parameters, rows)
        squared = squared_norm([slopes], squared_row_norms(parameters), 1)
        torch.sqrt(squared, out=out)

    return encoder._map_rows(check_X(encoder, X), norms)


def saturation(encoder: BaseAutoencoder, X: Any) -> np.ndarray:
    """Compute the fraction of hidden units that are saturated at each sample.

    A unit is saturated where its slope is below 19 % of the activation's largest. For
    the sigmoid that is the paper's criterion, an output below 0.05 or above 0.95; for
    tanh it is an output beyond ±0.9; relu is saturated where it is 0, and the identity
    never.

    Parameters
    ----------
    encoder : fitted autoencoder
        A `ContractiveAutoencoder`.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Where to measure.

    Returns
    -------
    fraction : ndarray of shape (n_samples,)
        Between 0 and 1.

    Raises
    ------
    TypeError
        If the encoder is not one of skcae's.
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
    check_encoder(encoder)
    threshold = SATURATED_SLOPE * ACTIVATIONS[encoder._fitted_activation].largest_slope

    def fractions(parameters: Parameters, rows: Tensor, out: Tensor) -> None:
        slopes = _slopes(encoder, parameters, rows)
        torch.mean((slopes < threshold).to(slopes.dtype), 1, out=out)

    return encoder._map_rows(check_X(encoder, X), fractions)


def check_encoder(encoder: Any) -> None:
    """Refuse what is not a fitted autoencoder of this library."""
    if not isinstance(encoder, BaseAutoencoder):
        raise TypeError(
            "encoder must be a fitted autoencoder of skcae, such as "
            f"ContractiveAutoencoder, but it is of type {type(encoder).__name__}. "
            "Take it out of its pipeline, and transform X by the steps before it."
        )
    check_is_fitted(encoder)


def _slopes(encoder: BaseAutoencoder, parameters: Parameters, rows: Tensor) -> Tensor:
    """Return φ'(a) for each row and hidden unit, (n, h)."""
    activation = ACTIVATIONS[encoder._fitted_activation]
    codes = activation.in_place(pre_activations(parameters, rows))
    return activation.derivatives(codes, 1)[0]
