"""What every autoencoder that one training fits shares, whatever it is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skcae._core.data.arrays import (
    Array,
    device_for,
    resolve_device_or_cpu,
    to_tensor,
    working_dtype,
)
from skcae._core.data.evaluation import map_rows
from skcae._core.data.moments import Scaling
from skcae._core.data.streams import TrainingRows
from skcae._core.data.tensors import rows_of
from skcae._core.layers.layer import Parameters
from skcae._core.training.loop import Learner
from skcae._core.training.solvers import Solver, SolverState
from skcae._encoders.kept import kept_layers
from skcae._encoders.namespaces import like
from skcae._estimators.encoder import BaseEncoder
from skcae._fit.attributes import forget_progress
from skcae._fit.autoencoder import AutoencoderFit
from skcae._fit.data import FitData, check_codes, check_X
from skcae.losses import LOSSES


@dataclass(repr=False, eq=False, kw_only=True)
class BaseTrained(BaseEncoder):
    """An autoencoder that one training fits, as a scikit-learn transformer.

    A subclass says what is trained, in the hooks that raise NotImplementedError here,
    and how its weights are kept.
    """

    # Fitted attributes, documented where the public class is.
    loss_curve_: ClassVar[np.ndarray]
    reconstruction_curve_: ClassVar[np.ndarray]
    penalty_curve_: ClassVar[np.ndarray]
    # The model is what it was fitted as, whatever its parameters have become since.
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
            Training data. Sparse data is densified one batch at a time; with
            `reconstruction_sampling` it is not, nor with `solver="sgd"`, `momentum=0`
            and the squared error where that is less work. A memory-mapped array is not
            copied. An iterable gives batches of rows, from the start each time that it
            is iterated over.

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
            If the model has learnt nothing, as far as a few hundred rows tell; or
            before a fit whose λ lets no code of tied weights begin.
        """
        AutoencoderFit(
            self, FitData(X, y, sample_weight, X_val, sample_weight_val)
        ).run()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit_on_codes(self, H: Any, y: Any, **others: Any) -> Self:
        """Fit to the codes of a layer below, of which nobody knew how far they reach.

        So there is no warning before the fit that its λ is too large for them.
        """
        given = FitData(H, y, **others)
        AutoencoderFit(self, given, of_codes=True).run()
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
    def _resume(self, X: Any, y: Any, **others: Any) -> Self:
        """Take up the fit that this model was seen in the midst of, if it was."""
        given = FitData(X, y, **others)
        if self._progress is not None:
            AutoencoderFit(self, given, progress=self._progress).run()
        return self

    def _leave_midst(self) -> None:
        """Be the model of an epoch, and no longer one in the midst of its fit."""
        forget_progress(self)

    @property
    def _progress(self) -> dict[str, Any] | None:
        """The progress of a fit that has not come to its end."""
        return (self._training_state or {}).get("progress")

    # ---- what is trained ---------------------------------------------------------

    def _first_parameters(
        self,
        given: FitData,
        n_features: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device,
        scaling: Scaling | None,
    ) -> Parameters:
        """Draw the weights that a training starts from."""
        raise NotImplementedError

    def _start(
        self, fit: AutoencoderFit, parameters: Parameters, state: SolverState | None
    ) -> tuple[Parameters, Solver]:
        """Return the parameters as they are trained, and what makes steps."""
        return parameters, fit.solver(parameters, state)

    def _learner(
        self, parameters: Parameters, solver: Solver, rows: TrainingRows, **how: Any
    ) -> Learner:
        """Return what learns from the rows, and lowers what is to be lowered."""
        raise NotImplementedError

    def _strengths(self) -> dict[str, float]:
        """Return the strengths of the penalties that have one."""
        raise NotImplementedError

    def _scale_of_penalty(self) -> dict[str, Any] | None:
        """Return what `jacobian_penalty_max` needs besides X, None if there is none."""
        return None

    # ---- how the model is kept ----------------------------------------------------

    def _weight_attributes(self, parameters: Parameters) -> dict[str, Any]:
        """Return the fitted attributes that hold these parameters."""
        raise NotImplementedError

    def _fitted_marks(self) -> dict[str, Any]:
        """Return the fitted attributes that say what a model was fitted as."""
        raise NotImplementedError

    def _asked_for(self) -> dict[str, Any]:
        """Return the parameters that a model has to keep, as they are now."""
        raise NotImplementedError

    def _fitted_as(self) -> dict[str, Any]:
        """Return the same, as the model was fitted with them."""
        raise NotImplementedError

    def _parameters(self, dtype: np.dtype[Any], device: torch.device) -> Parameters:
        """Give the fitted weights as tensors, to be read only."""
        raise NotImplementedError

    def _coder(self, dtype: np.dtype[Any], device: torch.device) -> Any:
        """Give the fitted layers as tensors, to be read only."""
        raise NotImplementedError

    # ---- the fitted encoder -----------------------------------------------------

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
        return like(self._codes(X), X)

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
        columns = (self.n_features_in_,)
        return like(self._map_rows(H, self._decode, lambda coder: columns), X)

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
        return like(self._map_rows(check_X(self, X), self._negative_loss), X)

    def _codes(self, X: Any, *, to_disk: bool = False) -> Any:
        """Encode X; an array, or a tensor, whatever `set_output` says."""
        check_is_fitted(self)
        X = check_X(self, X)
        return self._map_rows(
            X,
            self._encode,
            lambda coder: (coder.n_components,),
            to_disk=to_disk,
            keeps_sparse=True,
        )

    # ---- passes over rows -------------------------------------------------------

    def _map_rows(
        self,
        X: Any,
        function: Callable[[Any, Tensor, Tensor], object],
        shape_of: Callable[[Any], tuple[int, ...]] = lambda coder: (),
        *,
        to_disk: bool = False,
        keeps_sparse: bool = False,
    ) -> Any:
        """Apply a function of the layers and rows, in chunks of bounded memory.

        The function writes its result into its third argument, which has for each row
        the shape that `shape_of` gives for the layers. If it keeps sparse rows sparse,
        it does no more with them than encode them.
        """
        dtype = working_dtype(X.dtype)
        device = resolve_device_or_cpu(device_for(self.device, X), dtype)
        coder = kept_layers(self, self._coder, dtype, device)
        return map_rows(
            rows_of(X, dtype=dtype, device=device),
            lambda rows, out: function(coder, rows, out),
            shape=shape_of(coder),
            width=coder.width,
            sparse_width=coder.sparse_width if keeps_sparse else None,
            n_multiplications=coder.n_multiplications,
            to_disk=to_disk,
        )

    def _stored_coder(self) -> Any:
        """Give the fitted layers in the precision that they are kept in."""
        some = next(iter(self._named_weights().values()))
        return self._coder(working_dtype(some.dtype), torch.device("cpu"))

    def _named_weights(self) -> dict[str, Array]:
        """Return the weights by their names in a file."""
        raise NotImplementedError

    def _encode(self, coder: Any, X: Any, out: Tensor) -> Tensor:
        found: Tensor = coder.encode(X, out)
        return found

    def _decode(self, coder: Any, H: Tensor, out: Tensor) -> None:
        Z = coder.pre_outputs(H, out)
        out.copy_(LOSSES[self._fitted_loss].output(Z))

    def _negative_loss(self, coder: Any, X: Tensor, out: Tensor) -> None:
        Z = coder.pre_outputs(coder.encode(X))
        out.copy_(LOSSES[self._fitted_loss].value(X, Z)).neg_()

    def _score_codes(self, X: Any, codes: Any) -> Any:
        """Compute minus the loss of few rows that are decoded from these codes."""

        def negative_loss(coder: Any, rows: Tensor, out: Tensor) -> None:
            Z = coder.pre_outputs(to_tensor(codes, working_dtype(X.dtype), rows.device))
            out.copy_(LOSSES[self._fitted_loss].value(rows, Z)).neg_()

        return self._map_rows(X, negative_loss)
