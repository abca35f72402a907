"""The scikit-learn shell that every autoencoder shares."""

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils._param_validation import Interval, InvalidParameterError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skcae._core.data.arrays import (
    Rows,
    resolve_device_or_cpu,
    to_array,
    to_tensor,
    working_dtype,
)
from skcae._core.data.containers import check_is_read
from skcae._core.data.passes import map_rows
from skcae._core.layers.dense import Parameters, pre_activations, pre_outputs
from skcae._fit.autoencoder import AutoencoderFitMixin
from skcae._fit.data import check_codes, check_weights, check_X
from skcae._fit.parameters import LayerParameters
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES


class EncoderMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """What scikit-learn asks of anything that encodes rows and scores their codes."""

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
        scores = self.score_samples(X)
        weights = check_weights(sample_weight, scores)
        return float(np.average(scores, weights=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass(repr=False, eq=False, kw_only=True)
class BaseAutoencoder(
    EncoderMixin,
    AutoencoderFitMixin,
    LayerParameters,
    BaseEstimator,
):
    """A one-layer autoencoder as a scikit-learn transformer.

    How it fits is in `AutoencoderFitMixin`. A subclass adds the parameters that make
    it the model that it is.
    """

    n_components: int = field(default=256, kw_only=False)

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **LayerParameters._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
    }

    def _validate_params(self) -> None:
        sizes = self.n_components
        if np.iterable(sizes) and not isinstance(sizes, str):
            raise InvalidParameterError(
                f"The 'n_components' parameter of {type(self).__name__} must be an "
                f"int, the size of its one layer. Got {sizes!r} instead. For layers "
                f"one on top of the other take StackedCAE({sizes!r}), or a Pipeline of "
                "autoencoders."
            )
        super()._validate_params()

    def transform(self, X: Any) -> np.ndarray:
        """Encode X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            The codes φ(Wx + b), float32 for float32 data and float64 otherwise.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not usable or has another number of features.
        """
        return self._codes(X)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` gives them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The reconstruction: Vᵀh + c, through a sigmoid with `loss="cross_entropy"`.

        Raises
        ------
        ValueError
            If X has another number of columns than `n_components`.
        """
        check_is_fitted(self)
        H = check_codes(self, X)
        return self._map_rows(H, self._decode, self.n_features_in_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Compute minus the reconstruction loss of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to reconstruct.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Minus the loss, summed over features, without penalties.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not usable or has another number of features.
        """
        check_is_fitted(self)
        return self._map_rows(check_X(self, X), self._negative_loss)

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def _codes(self, X: Any, *, to_disk: bool = False) -> np.ndarray:
        """Encode X; an array whatever `set_output` says."""
        check_is_fitted(self)
        X = check_X(self, X)
        return self._map_rows(X, self._encode, self._n_features_out, to_disk=to_disk)

    # ---- passes over rows -------------------------------------------------------

    def _map_rows(
        self,
        X: Any,
        function: Callable[[Parameters, Tensor, Tensor], object],
        n_columns: int | None = None,
        *,
        to_disk: bool = False,
    ) -> np.ndarray:
        """Apply a function of parameters and rows, in chunks of bounded memory.

        The function writes its result into its third argument.
        """
        dtype = working_dtype(X.dtype)
        device = resolve_device_or_cpu(self.device, dtype)
        parameters = self._parameters(dtype, device)
        return map_rows(
            Rows(X, dtype=dtype, device=device),
            lambda rows, out: function(parameters, rows, out),
            shape=() if n_columns is None else (n_columns,),
            width=max(self.components_.shape),
            n_multiplications=self.components_.size,
            to_disk=to_disk,
        )

    def _encode(self, parameters: Parameters, X: Tensor, out: Tensor) -> Tensor:
        in_place = ACTIVATIONS[self._fitted_activation].in_place
        return in_place(pre_activations(parameters, X, out))

    def _decode(self, parameters: Parameters, H: Tensor, out: Tensor) -> None:
        out.copy_(LOSSES[self._fitted_loss].output(pre_outputs(parameters, H, out)))

    def _negative_loss(self, parameters: Parameters, X: Tensor, out: Tensor) -> None:
        codes = X.new_empty((len(X), self._n_features_out))
        Z = pre_outputs(parameters, self._encode(parameters, X, codes))
        out.copy_(LOSSES[self._fitted_loss].value(X, Z)).neg_()

    def _score_codes(self, X: Any, codes: np.ndarray) -> np.ndarray:
        """Compute minus the loss of few rows that are decoded from these codes."""
        device = resolve_device_or_cpu(self.device, codes.dtype)
        parameters = self._parameters(codes.dtype, device)
        ((_, rows),) = Rows(X, dtype=codes.dtype, device=device).chunks(1)
        Z = pre_outputs(parameters, to_tensor(codes, codes.dtype, device))
        return to_array(-LOSSES[self._fitted_loss].value(rows, Z))
