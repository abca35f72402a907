"""What all autoencoders share, of one layer or several."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils._param_validation import StrOptions

from skcae._encoders.containers import check_is_read
from skcae._encoders.namespaces import on_host
from skcae._fit.data import check_weights, check_X
from skcae._fit.parameters import TrainingParameters
from skcae.losses import LOSSES


@dataclass(repr=False, eq=False, kw_only=True)
class BaseEncoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, TrainingParameters, BaseEstimator
):
    """What all autoencoders share: the parameters of their layers, and their score."""

    loss: str = "squared_error"
    warm_start: bool = False
    data_parallel: bool = False

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TrainingParameters._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "warm_start": ["boolean"],
        "data_parallel": ["boolean"],
    }

    def _data_of_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, reset: bool
    ) -> dict[str, Any]:
        """Return what tells the data of a fit from other data, by name."""
        rows = check_X(copy.copy(self), on_host(X), reset=reset)
        return {"X": rows, "sample_weight": check_weights(sample_weight, rows)}

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit to X, and encode it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, present for consistency with scikit-learn.

        **fit_params : dict
            Further arguments of `fit`.

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            The codes, as `transform` gives them.

        Raises
        ------
        TypeError
            If X gives its rows in batches, which `transform` does not take.
        ValueError
            If `fit` raises it.
        """
        check_is_read(X)
        H: np.ndarray = super().fit_transform(X, y, **fit_params)
        return H

    def score_samples(self, X: Any) -> np.ndarray:
        """Compute minus the reconstruction loss of each sample."""
        raise NotImplementedError

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Compute minus the mean reconstruction loss.

        The penalties are left out, so that models of different penalties can be
        compared. By this score alone the best penalty tends to 0: choose it by what
        the features are for.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to reconstruct.

        y : Ignored
            Not used, present for consistency with scikit-learn.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the mean.

        Returns
        -------
        score : float
            The weighted mean of `score_samples`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not usable or has another number of features.
        """
        scores = on_host(self.score_samples(X))
        weights = check_weights(sample_weight, scores)
        return float(np.average(scores, weights=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
