"""A walk along the directions that an encoder keeps."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, validate_params
from torch import Tensor

from skcae._core.data.arrays import make_generator
from skcae._core.layers.chain import Chain
from skcae._fit.data import draw_seed
from skcae.inspection._encoder import decoder_of, measurement
from skcae.inspection._units import check_can_be_undone, undone


@validate_params(
    {
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "step_size": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def sample(
    encoder: Any,
    X: Any,
    *,
    n_steps: int = 10,
    step_size: float = 1.0,
    random_state: Any = None,
) -> np.ndarray:
    """Walk from each sample along the directions that the encoder keeps.

    A step encodes x to h = f(x), moves the code by J Jᵀ α with α ~ N(0, σ² I) and
    decodes it again: x ← g(h + J Jᵀ α) [1]_. The move is large along the leading
    singular vectors, which point along the data, and small across them.

    Parameters
    ----------
    encoder : fitted estimator
        An autoencoder of skcae, a `StackedCAE`, scikit-learn's `BernoulliRBM`, or a
        `Pipeline` that ends with some of them. Steps before the first encoder must
        have an `inverse_transform`.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Where the walks start.

    n_steps : int, default=10
        How many steps to take.

    step_size : float, default=1.0
        The standard deviation σ of α. The move grows with the squares of the singular
        values, too, and a useful size has to be found for each encoder.

    random_state : int, RandomState instance or None, default=None
        Where α comes from.

    Returns
    -------
    walks : ndarray of shape (n_samples, n_steps, n_features)
        Where each walk is after each step: decoded means, without visible noise.

    Raises
    ------
    TypeError
        If the encoder is none of these, or a step before it cannot be undone.
    NotFittedError
        If it is not fitted.
    ValueError
        If X is not usable or has another number of features, or a parameter is out of
        its range.

    References
    ----------
    .. [1] S. Rifai, Y. Bengio, Y. Dauphin and P. Vincent, "A Generative Process for
       Sampling Contractive Auto-Encoders", ICML 2012.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.inspection import sample
    >>> X = load_digits().data / 16
    >>> encoder = ContractiveAutoencoder(
    ...     32, loss="cross_entropy", max_iter=20, tol=0.1, random_state=0
    ... ).fit(X)
    >>> sample(encoder, X[:5], n_steps=3, random_state=0).shape
    (5, 3, 64)
    """
    measured = measurement(encoder, X)
    check_can_be_undone(measured.steps, measured.rows)
    decode = decoder_of(measured).decode
    generator = make_generator(draw_seed(random_state))
    shape = (n_steps, measured.layers.n_features)
    walks = measured.map(
        lambda rows: walked(
            measured.layers, decode, rows, n_steps, step_size, generator
        ),
        shape=shape,
        width=n_steps * measured.layers.n_features,
    )
    rows = undone(measured.steps, walks.reshape(-1, walks.shape[2]))
    return rows.reshape(len(walks), n_steps, rows.shape[1])


def walked(
    layers: Chain,
    decode: Callable[[Tensor], Tensor],
    X: Tensor,
    n_steps: int,
    step_size: float,
    generator: torch.Generator,
) -> Tensor:
    """Return where the walk from each row is after each step, (n, n_steps, d)."""
    visited = []
    for _ in range(n_steps):
        outputs, states = layers.linearized(X)
        h = outputs[-1]
        noise = torch.randn(
            h.shape, generator=generator, dtype=torch.float64, device="cpu"
        )
        alpha = step_size * noise.to(h)
        # J Jᵀ α, without J.
        move = layers.push_forward(states, layers.pull_back(states, alpha[:, None]))
        X = decode(h + move[:, 0])
        visited.append(X)
    return torch.stack(visited, 1)
