"""Warnings of skcae that code may want to tell from others."""

__all__ = ["DeadModelWarning"]


class DeadModelWarning(UserWarning):
    """A fit ended with a model that has learnt nothing, or is about to.

    After a fit its message says what was seen on a few hundred rows of the training
    data, and what to try. Before one it names the λ above which a code of tied weights
    collapses.

    See Also
    --------
    sklearn.exceptions.ConvergenceWarning : A fit ended while its objective still fell.
    skcae.model_selection.jacobian_penalty_max : That λ.

    Examples
    --------
    A rate that is far too high saturates all units:

    >>> import warnings
    >>> import numpy as np
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.exceptions import DeadModelWarning
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> cae = ContractiveAutoencoder(8, learning_rate=1e3, random_state=0)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = cae.fit(X)
    >>> any(issubclass(warning.category, DeadModelWarning) for warning in caught)
    True
    """
