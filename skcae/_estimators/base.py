"""What every autoencoder of one layer shares."""

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import (
    _fit_context,
)
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
)
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skcae._core.data.arrays import (
    Array,
    resolve_device_or_cpu,
    to_array,
    to_tensor,
    working_dtype,
)
from skcae._core.data.evaluation import map_rows
from skcae._core.data.rows import Rows
from skcae._core.layers.coder import Coder
from skcae._core.layers.layer import Layer, Parameters
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import Corruption
from skcae._encoders.steps import DecodingLayer
from skcae._estimators.encoder import BaseEncoder
from skcae._estimators.integrity import (
    LAYER_SHAPES,
    check_curve,
    check_known,
    check_layer_shapes,
    check_n_features_in,
    check_names,
    check_training_state,
)
from skcae._fit.attributes import adopt, weights_only
from skcae._fit.autoencoder import AutoencoderFit
from skcae._fit.data import FitData, check_codes, check_X
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from skcae.penalties import PENALTIES, Penalty


@dataclass(repr=False, eq=False, kw_only=True)
class BaseAutoencoder(BaseEncoder):
    """A one-layer autoencoder as a scikit-learn transformer.

    A subclass adds the parameters that make it the model that it is. Those that
    `skcae.penalties` names are its penalties.
    """

    n_components: int = field(default=256, kw_only=False)

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseEncoder._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
    }

    # Fitted attributes, documented where the public class is.
    components_: ClassVar[np.ndarray]
    intercept_hidden_: ClassVar[np.ndarray]
    intercept_visible_: ClassVar[np.ndarray]
    loss_curve_: ClassVar[np.ndarray]
    # The model is what it was fitted as, whatever its parameters have become since.
    _fitted_activation: ClassVar[str]
    _fitted_loss: ClassVar[str]
    # What warm_start and partial_fit go on from, besides the weights: the solver's name
    # and state, and the generator's. In the midst of a fit, as callbacks see the model,
    # also the "progress" from which that fit can be taken up.
    _training_state: ClassVar[dict[str, Any] | None] = None

    # ---- fitting ----------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit the autoencoder.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or iterable
            Training data. Sparse data is densified one batch at a time, and a
            memory-mapped array is not copied. An iterable gives batches of rows, from
            the start each time that it is iterated over.

        y : Ignored
            Not used, present for consistency with scikit-learn. It is handed to
            callbacks: a `ScoringMonitor` scores only when it is given.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, rescaled to mean 1. In full batches a weight of 2
            is the row twice and a weight of 0 is no row.

        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Held-out data for `early_stopping`, in place of `validation_fraction`.

        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the held-out data.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not usable, or the training diverges. The
            estimator is then what it was before.
        KeyboardInterrupt
            If the fit is interrupted. The estimator is then the model of the last
            complete epoch, or with `early_stopping` of the best.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` ends a fit whose objective was still falling.
        DeadModelWarning
            If the model has learnt nothing, as far as a few hundred rows tell.
        """
        AutoencoderFit(
            self, FitData(X, y, sample_weight, X_val, sample_weight_val)
        ).run()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Pass once over X at a constant rate, going on from the present state.

        `early_stopping`, `max_iter`, callbacks and `verbose` play no part in it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.

        y : Ignored
            Not used, present for consistency with scikit-learn.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, used as they are given. If all are 0, nothing happens.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not usable, or the training diverges. The
            estimator is then what it was before.
        """
        # scikit-learn validates the parameters only before the first call.
        self._validate_params()
        AutoencoderFit(self, FitData(X, y, sample_weight)).run_pass()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def _resume(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, weights_val: Any
    ) -> Self:
        """Take up the fit that this model was seen in the midst of, if it was."""
        given = FitData(X, y, sample_weight, X_val, weights_val)
        if self._progress is not None:
            AutoencoderFit(self, given, progress=self._progress).run()
        return self

    @property
    def _progress(self) -> dict[str, Any] | None:
        """The progress of a fit that has not come to its end."""
        return (self._training_state or {}).get("progress")

    # ---- what is to be lowered, and what is to be encoded -----------------------

    def _objective(self) -> Objective:
        activation = ACTIVATIONS[self.activation]
        penalties, strengths = self._penalties(), self._strengths()
        check_hessian_penalty(
            strengths.get("hessian_penalty", 0.0), self.activation, activation.curved
        )
        return Objective(
            activation,
            LOSSES[self.loss],
            tuple((strengths[name], penalties[name]) for name in strengths),
        )

    def _strengths(self) -> dict[str, float]:
        """Return the strengths of the penalties that have one."""
        penalties = self._penalties()
        return {
            name: strength
            for name, strength in self.get_params(deep=False).items()
            if name in penalties and strength > 0
        }

    def _penalties(self) -> dict[str, Penalty]:
        """Return the penalties by the parameter that gives their strength."""
        return PENALTIES

    def _corruption(self) -> Corruption | None:
        """Return what makes corrupted copies of the rows, if anything needs them."""
        return None

    # ---- the fitted encoder -----------------------------------------------------

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

    # ---- what anything that takes a fitted model asks it ------------------------

    def _encoding_layers(self) -> list[Layer]:
        """Return what encodes, from the input up."""
        return [self._stored_coder().encoder]

    def _decoding_layers(self) -> list[DecodingLayer]:
        """Return what decodes, from the code down; tied weights are the encoder's."""
        return [DecodingLayer(self._stored_coder().decoder, self._fitted_loss)]

    def _code_size(self) -> Any:
        """Return the size of the code that the parameters ask for."""
        return self.n_components

    def _named_weights(self) -> dict[str, Array]:
        """Return the weights by their names in a file."""
        return {n: vars(self)[n] for n in LAYER_SHAPES if n in vars(self)}

    def _put_weights(self, arrays: dict[str, Array], owner: str | None = None) -> None:
        """Become the model of these weights, if they fit; errors name their owner."""
        names = [*LAYER_SHAPES][: 3 if self.tied_weights else 4]
        check_names(arrays, names, owner or f"A {type(self).__name__}")
        check_layer_shapes(arrays)
        n_units, n_features = arrays["components_"].shape
        if n_units != self.n_components:
            raise ValueError(
                f"components_ has {n_units} rows, but n_components={self.n_components}."
            )
        copies = {name: np.array(array, order="C") for name, array in arrays.items()}
        adopt(self, {**weights_only(self, n_features), **copies})

    def _check_whole(self) -> None:
        """Refuse to be a model whose parts do not fit each other."""
        if not hasattr(self, "components_"):
            return
        held = vars(self)
        weights: dict[str, Any] = {n: held.get(n) for n in [*LAYER_SHAPES][:3]}
        weights |= self._named_weights()
        check_layer_shapes(weights)
        check_n_features_in(self, self.components_.shape[1])
        check_known("activation", [self._fitted_activation], ACTIVATIONS)
        check_known("loss", [self._fitted_loss], LOSSES)
        check_curve("loss_curve_", self.loss_curve_)
        check_training_state(self._training_state, weights)

    # ---- passes over rows -------------------------------------------------------

    def _parameters(self, dtype: np.dtype[Any], device: torch.device) -> Parameters:
        """Give the fitted weights as tensors, to be read only."""
        names = ["components", "intercept_hidden", "intercept_visible"]
        # Callbacks see None in the place of what a model has not.
        if getattr(self, "decoder_components_", None) is not None:
            names.append("decoder_components")
        return {
            name: to_tensor(getattr(self, f"{name}_"), dtype, device) for name in names
        }

    def _map_rows(
        self,
        X: Any,
        function: Callable[[Coder, Tensor, Tensor], object],
        n_columns: int | None = None,
        *,
        to_disk: bool = False,
    ) -> np.ndarray:
        """Apply a function of the layers and rows, in chunks of bounded memory.

        The function writes its result into its third argument.
        """
        dtype = working_dtype(X.dtype)
        device = resolve_device_or_cpu(self.device, dtype)
        coder = self._coder(dtype, device)
        return map_rows(
            Rows(X, dtype=dtype, device=device),
            lambda rows, out: function(coder, rows, out),
            shape=() if n_columns is None else (n_columns,),
            width=coder.width,
            n_multiplications=coder.n_multiplications,
            to_disk=to_disk,
        )

    def _coder(self, dtype: np.dtype[Any], device: torch.device) -> Coder:
        """Give the fitted layers as tensors, to be read only."""
        activation = ACTIVATIONS[self._fitted_activation]
        return Coder.of(self._parameters(dtype, device), activation)

    def _stored_coder(self) -> Coder:
        """Give the fitted layers in the precision that they are kept in."""
        return self._coder(working_dtype(self.components_.dtype), torch.device("cpu"))

    def _encode(self, coder: Coder, X: Tensor, out: Tensor) -> Tensor:
        return coder.encode(X, out)

    def _decode(self, coder: Coder, H: Tensor, out: Tensor) -> None:
        Z = coder.pre_outputs(H, out)
        out.copy_(LOSSES[self._fitted_loss].output(Z))

    def _negative_loss(self, coder: Coder, X: Tensor, out: Tensor) -> None:
        Z = coder.pre_outputs(coder.encode(X))
        out.copy_(LOSSES[self._fitted_loss].value(X, Z)).neg_()

    def _score_codes(self, X: Any, codes: np.ndarray) -> np.ndarray:
        """Compute minus the loss of few rows that are decoded from these codes."""
        device = resolve_device_or_cpu(self.device, codes.dtype)
        coder = self._coder(codes.dtype, device)
        ((_, rows),) = Rows(X, dtype=codes.dtype, device=device).chunks(1)
        Z = coder.pre_outputs(to_tensor(codes, codes.dtype, device))
        return to_array(-LOSSES[self._fitted_loss].value(rows, Z))


def check_hessian_penalty(strength: float, activation: str, curved: bool) -> None:
    """Refuse a Hessian penalty on an activation without curvature."""
    if strength > 0 and not curved:
        raise ValueError(
            f"hessian_penalty={strength:g} would have no effect: the second derivative "
            f"of activation={activation!r} is zero almost everywhere. Set "
            "hessian_penalty=0, or take a curved activation."
        )
