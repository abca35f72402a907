"""How autoencoders fit: from parameters and data to a training, and what is kept."""

import math
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.callback import CallbackContext, CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skcae._core.arrays import (
    Rows,
    make_generator,
    resolve_device,
    resume_generator,
    torch_dtype,
    working_dtype,
)
from skcae._core.layers import Parameters, initial_parameters
from skcae._core.objective import Objective
from skcae._core.solvers import Adam, Sgd, Solver
from skcae._core.training import (
    Schedule,
    Training,
    constant_rate,
    copy_of,
    linear_rate,
    random_order,
)
from skcae._progress import epoch_progress
from skcae._state import OPTIONAL_ATTRIBUTES, FittedStateMixin
from skcae._validation import (
    CheckedData,
    check_can_be_split,
    check_data,
    check_held_out_arguments,
    check_held_out_data,
    check_hessian_penalty,
    normalized,
)
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from skcae.penalties import PENALTIES

# batch_size="auto" trains on all rows at once if they are fewer than this, ...
FULL_BATCH_ROWS = 64
# ... and otherwise on so many.
AUTO_BATCH_SIZE = 100


class EpochFitMixin(FittedStateMixin, CallbackSupportMixin):
    """`fit` and `partial_fit` for an autoencoder trained in epochs.

    It reads the parameters that `BaseAutoencoder` declares. The penalties are those of
    the parameters that `skcae.penalties` names.
    """

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
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. Sparse data is densified one batch at a time, and a
            memory-mapped array is not copied.

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
        """
        goes_on = self.warm_start and hasattr(self, "components_")
        data = check_data(self, X, sample_weight, loss=self.loss, goes_on=goes_on)
        training = self._start_fit(data, X_val, sample_weight_val)
        call = {"estimator": self, "X": X, "y": y}
        if sample_weight is not None:
            call["metadata"] = {"sample_weight": sample_weight}
        self._run_fit(training, data, call)
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
            Non-negative weights, used as they are given.

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
        goes_on = hasattr(self, "components_")
        data = check_data(
            self, X, sample_weight, loss=self.loss, goes_on=goes_on, all_zero=True
        )
        training = self._training(
            data,
            self._training_rows(data, data.sample_weight),
            generator=self._generator(goes_on=goes_on),
            rate=constant_rate(self.learning_rate),
            keeps_epochs=False,
        )
        training.run_epoch()
        self._check_finite(training)
        self._finish(training, data, training.parameters)
        return self

    # ---- what the parameters name -----------------------------------------------

    def _objective(self) -> Objective:
        activation = ACTIVATIONS[self.activation]
        strengths = {
            name: strength
            for name, strength in self.get_params(deep=False).items()
            if name in PENALTIES and strength > 0
        }
        check_hessian_penalty(
            strengths.get("hessian_penalty", 0.0), self.activation, activation.curved
        )
        penalties = tuple((strengths[name], PENALTIES[name]) for name in strengths)
        return Objective(activation, LOSSES[self.loss], penalties)

    def _solver(self, parameters: Parameters, *, goes_on: bool) -> Solver:
        state = self._solver_state() if goes_on else None
        if self.solver == "adam":
            return Adam(parameters, state)
        return Sgd(parameters, state, momentum=self.momentum)

    def _batch_size(self, n_rows: int) -> int:
        if self.batch_size != "auto":
            return int(self.batch_size)
        return n_rows if n_rows < FULL_BATCH_ROWS else AUTO_BATCH_SIZE

    def _schedule(self, n_rows: int) -> Schedule:
        if self.learning_rate_schedule == "constant":
            return constant_rate(self.learning_rate)
        n_steps = self.max_iter * math.ceil(n_rows / self._batch_size(n_rows))
        return linear_rate(self.learning_rate, n_steps)

    def _generator(self, *, goes_on: bool) -> torch.Generator:
        """Make the fit's only source of randomness, or take it up where it stopped."""
        if goes_on and self._training_state:
            return resume_generator(self._training_state["generator"])
        return make_generator(draw_seed(self.random_state))

    # ---- training ---------------------------------------------------------------

    def _start_fit(
        self, data: CheckedData, X_val: Any, sample_weight_val: Any
    ) -> Training:
        """Set up a fit: what it trains on, and what it holds out to stop early."""
        check_held_out_arguments(self.early_stopping, X_val, sample_weight_val)
        generator = self._generator(goes_on=data.goes_on)
        train, validation = present_rows(data.sample_weight), None
        if X_val is not None:
            held_out = check_held_out_data(self, data, X_val, sample_weight_val)
            # Held-out data may leave the loss's bounds, as a scaler's test rows do.
            validation = self._rows(
                held_out,
                normalized(held_out.sample_weight, slice(None)),
                dtype=working_dtype(data.X.dtype),
            )
        elif self.early_stopping:
            train, test = self._split(np.arange(data.X.shape[0])[train], generator)
            weights = normalized(data.sample_weight, test)
            validation = self._training_rows(data, weights, test)
        rows = self._training_rows(data, normalized(data.sample_weight, train), train)
        rate = self._schedule(len(rows))
        return self._training(
            data, rows, generator=generator, rate=rate, validation=validation
        )

    def _split(
        self, rows: np.ndarray, generator: torch.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the rows to train on and those to hold out; each has one at least.

        The fit's seed alone decides, so that a warm start on the same data holds out
        the same rows again and never trains on them.
        """
        check_can_be_split(len(rows))
        order = random_order(len(rows), make_generator(generator.initial_seed()))
        count = min(math.ceil(self.validation_fraction * len(rows)), len(rows) - 1)
        return np.sort(rows[order[count:]]), np.sort(rows[order[:count]])

    def _training_rows(
        self,
        data: CheckedData,
        weights: np.ndarray | None,
        subset: slice | np.ndarray = slice(None),
    ) -> Rows:
        return self._rows(
            data,
            weights,
            dtype=working_dtype(data.X.dtype),
            bounds=data.clip_to,
            subset=subset,
        )

    def _rows(
        self,
        data: CheckedData,
        weights: np.ndarray | None,
        *,
        dtype: np.dtype[Any],
        **how: Any,
    ) -> Rows:
        device = resolve_device(self.device, dtype)
        return Rows(data.X, weights, dtype=dtype, device=device, **how)

    def _training(
        self,
        data: CheckedData,
        rows: Rows,
        *,
        generator: torch.Generator,
        rate: Schedule,
        validation: Rows | None = None,
        keeps_epochs: bool = True,
    ) -> Training:
        """Set up training from fresh weights, or from the fitted ones."""
        objective = self._objective()
        falling = self.learning_rate_schedule == "linear"
        if data.goes_on:
            self._check_goes_on()
            parameters = copy_of(self._parameters(rows.dtype, rows.device))
        else:
            parameters = initial_parameters(
                data.X.shape[1],
                int(self.n_components),
                tied_weights=self.tied_weights,
                generator=generator,
                dtype=torch_dtype(rows.dtype),
                device=rows.device,
            )
        return Training(
            objective,
            parameters,
            self._solver(parameters, goes_on=data.goes_on),
            rows,
            batch_size=self._batch_size(len(rows)),
            rate=rate,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            # At a high rate the noise of the steps looks like a plateau.
            n_exempt=self.max_iter // 2 if falling else 0,
            anneals=falling,
            shuffle=self.shuffle,
            generator=generator,
            validation=validation,
            keeps_epochs=keeps_epochs,
        )

    def _run_fit(
        self, training: Training, data: CheckedData, call: dict[str, Any]
    ) -> None:
        """Train with callbacks, and keep what was learnt."""
        with epoch_progress(self) as log:
            context = self._init_callback_context(max_subtasks=self.max_iter)
            context.call_on_fit_task_begin(**call)
            try:
                self._run_epochs(training, data, call, context, log)
            except KeyboardInterrupt:
                # Raised again: a search must not take a truncated fit for a whole one.
                if training.kept:
                    self._finish(training, data, training.kept, in_step=False)
                raise
            if training.validation is None:
                self._finish(training, data, training.parameters)
            else:
                is_last = training.kept_epoch == len(training.loss_curve)
                self._finish(training, data, training.kept, in_step=is_last)
            context.call_on_fit_task_end(**call, reconstruction_attributes={})

    def _run_epochs(
        self,
        training: Training,
        data: CheckedData,
        call: dict[str, Any],
        context: CallbackContext,
        log: Callable[..., None],
    ) -> None:
        """Train until the objective stalls, a callback says stop, or max_iter."""
        for number in range(1, self.max_iter + 1):
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**call)
            training.run_epoch()
            self._check_finite(training)
            log("epoch %d/%d: objective %.6g", number, self.max_iter, training.value)
            stop = epoch.call_on_fit_task_end(
                **call,
                reconstruction_attributes=lambda: {
                    # The callback's model starts as a copy of this estimator, which
                    # may have been fitted before.
                    **dict.fromkeys(OPTIONAL_ATTRIBUTES),
                    **self._fitted_attributes(
                        training, data, copy_of(training.parameters)
                    ),
                },
            )
            if stop or training.should_end():
                return
        if training.stalled_at is None:
            warnings.warn(self._unsettled(), ConvergenceWarning, stacklevel=5)

    def _unsettled(self) -> str:
        if self.max_iter <= self.n_iter_no_change:
            return (
                f"max_iter={self.max_iter} epochs are too few to tell whether the "
                f"objective settles over n_iter_no_change={self.n_iter_no_change}."
            )
        return (
            f"Training stopped at max_iter={self.max_iter}, but the objective did not "
            f"settle: the last {self.n_iter_no_change} epochs lowered it by more than "
            f"tol={self.tol:g} times that of the first. Increase max_iter, or raise "
            "tol if the features are good enough."
        )

    def _check_finite(self, training: Training) -> None:
        if not training.is_finite:
            raise ValueError(
                f"Training diverged in epoch {len(training.loss_curve)} with "
                f"learning_rate={self.learning_rate:g}: the objective is "
                f"{training.value:g}. Try a smaller learning_rate, or put a "
                "StandardScaler or MinMaxScaler before the autoencoder."
            )


def present_rows(weights: np.ndarray | None) -> slice | np.ndarray:
    """Return the rows of positive weight: one of weight 0 is no row."""
    if weights is None or weights.all():
        return slice(None)
    return np.flatnonzero(weights)


def draw_seed(random_state: Any) -> int:
    """Draw the seed of a fit; None gives a fresh one and touches no global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
