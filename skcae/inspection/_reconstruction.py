"""What is reconstructed of each row, and how badly."""

from typing import Any

import numpy as np
from torch import Tensor

from skcae._estimators.documentation import documented
from skcae.inspection._encoder import Measurement, decoder_of, measurement
from skcae.inspection._units import check_can_be_undone, undone


@documented
def reconstruction_losses(encoder: Any, X: Any) -> np.ndarray:
    """Compute the reconstruction loss of each feature of each sample.

    Their sum over the features is minus the `score_samples` of an autoencoder or a
    stack: they say which features a low score comes from. (A pipeline's is that of its
    last layer, and a `BernoulliRBM`'s another measure.) Layers one after the other
    encode and decode together, and the loss is that of the first. What a pipeline does
    before that, such as scaling, is not undone: the features are those that the first
    encoder takes.

    Parameters
    ----------
    %(encoder)s

    %(where to measure)s

    Returns
    -------
    losses : ndarray of shape (n_samples, n_features)
        The loss of each entry of what the first encoder takes, dense; float32 for
        float32 data and float64 otherwise.

    Raises
    ------
    %(no encoder)s
    ValueError
        If X is not usable or has another number of features.

    Examples
    --------
    >>> import numpy as np
    >>> from skcae import Autoencoder
    >>> from skcae.inspection import reconstruction_losses
    >>> X = np.random.default_rng(0).normal(size=(50, 1)) * [1.0, -1.0, 0.5]
    >>> encoder = Autoencoder(
    ...     1, activation="identity", max_iter=200, tol=1e-5, random_state=0
    ... ).fit(X)
    >>> broken = [[0.2, 0.8, 0.1]]  # the second should be −0.2
    >>> reconstruction_losses(encoder, broken).argmax(axis=1)
    array([1])
    >>> losses = reconstruction_losses(encoder, X)
    >>> np.allclose(losses.sum(axis=1), -encoder.score_samples(X))
    True
    """
    measured = measurement(encoder, X)
    layers, decoder = measured.layers, decoder_of(measured)

    def losses(rows: Tensor) -> Tensor:
        codes = layers.outputs(rows)[-1]
        return decoder.loss.elementwise(rows, decoder.pre_outputs(codes))

    return measured.map(losses, shape=(layers.n_features,))


def reconstructions(measured: Measurement) -> np.ndarray:
    """Return what each row is decoded to, in the units of what was measured."""
    check_can_be_undone(measured.steps, measured.rows)
    layers, decode = measured.layers, decoder_of(measured).decode
    decoded = measured.map(
        lambda rows: decode(layers.outputs(rows)[-1]), shape=(layers.n_features,)
    )
    return undone(measured.steps, decoded)
