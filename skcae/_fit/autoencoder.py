"""`fit` and `partial_fit` of an autoencoder: from parameters and data to a training."""

from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import _fit_context

from skcae._core.data.arrays import (
    Rows,
    make_generator,
    resolve_device,
    resume_generator,
    torch_dtype,
    working_dtype,
)
from skcae._core.data.moments import moments_of_rows, scaling_of, total_moments
from skcae._core.data.streams import StreamedRows, TrainingRows
from skcae._core.layers.dense import Parameters, initial_parameters
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import Corruption, ReconstructionLearner
from skcae._core.training.loop import Training, constant_rate, copy_of
from skcae._core.training.ranks import Ranks, together
from skcae._fit.agreement import check_agreement, weighted_alike
from skcae._fit.data import (
    CheckedData,
    check_data,
    check_held_out_arguments,
    check_held_out_data,
    check_hessian_penalty,
    check_same_rows,
    normalized,
)
from skcae._fit.diagnosis import warn_if_dead
from skcae._fit.epochs import described_call, draw_seed, has_weight, present_rows
from skcae._fit.progress import epoch_progress
from skcae._fit.snapshot import FittedStateMixin
from skcae._fit.streams import Stream, check_can_hold_out, check_training_data
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from skcae.penalties import PENALTIES, Penalty


class AutoencoderFitMixin(FittedStateMixin):
    """`fit` and `partial_fit` for an autoencoder.

    It reads the parameters that `BaseAutoencoder` declares. A subclass's parameters
    that `skcae.penalties` names are its penalties.
    """

    # Parameters that it reads besides those of a training in epochs.
    n_components: int
    tied_weights: bool
    warm_start: bool
    data_parallel: bool

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
        return self._fit(X, y, sample_weight, X_val, sample_weight_val)

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
        return self._partial_fit(X, sample_weight)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        sample_weight_val: Any,
        *,
        progress: dict[str, Any] | None = None,
    ) -> Self:
        """Fit; given the progress of a training that was cut off, take it up."""
        goes_on = bool(progress) or (self.warm_start and hasattr(self, "components_"))
        call = described_call(self, X, y, sample_weight)
        with together(self.data_parallel) as ranks:
            data = check_training_data(
                self, X, sample_weight, loss=self.loss, goes_on=goes_on
            )
            if progress:
                data = replace(data, n_earlier=progress["n_earlier"])
            training = self._start_fit(data, X_val, sample_weight_val, ranks)
            if progress:
                check_same_rows(progress["n_rows"], len(training.learner.rows))
                training.go_on_from(progress)
            self._run_fit(training, data, call)
        return self

    def _run_fit(
        self, training: Training, data: CheckedData, call: dict[str, Any]
    ) -> None:
        """Train, and let callbacks and progress know of it."""
        with epoch_progress(self, training.ranks.rank) as log:
            context = self._init_callback_context(max_subtasks=self.max_iter)
            context.call_on_fit_task_begin(**call)
            self._train(training, data, call, context, log)
            context.call_on_fit_task_end(**call, reconstruction_attributes={})
        if training.ranks.rank == 0:
            warn_if_dead(self, training)

    @_fit_context(prefer_skip_nested_validation=True)
    def _resume(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, weights_val: Any
    ) -> Self:
        """Take up the fit that this model was seen in the midst of, if it was."""
        if self._progress is None:
            return self
        how = X, y, sample_weight, X_val, weights_val
        return self._fit(*how, progress=self._progress)

    def _partial_fit(self, X: Any, sample_weight: Any) -> Self:
        # scikit-learn validates the parameters only before the first call.
        self._validate_params()
        goes_on = hasattr(self, "components_")
        with together(self.data_parallel) as ranks:
            data = check_data(
                self, X, sample_weight, loss=self.loss, goes_on=goes_on, all_zero=True
            )
            check_agreement(ranks, self, data)
            if not any(ranks.gather(has_weight(data.sample_weight))):
                return self
            training = self._start_pass(data, ranks)
            training.run_epoch()
            self._check_finite(training)
            ranks.close()
            self._finish(training, data, training.parameters)
        return self

    # ---- what the parameters name -----------------------------------------------

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

    def _generator(self, ranks: Ranks, *, goes_on: bool) -> torch.Generator:
        """Make the fit's only source of randomness, or take it up where it stopped.

        Each rank has an order of the rows, and noise, of its own.
        """
        if goes_on and self._training_state:
            return resume_generator(self._training_state["generator"])
        return make_generator(draw_seed(self.random_state) + ranks.rank)

    # ---- training ---------------------------------------------------------------

    def _start_fit(
        self, data: CheckedData, X_val: Any, sample_weight_val: Any, ranks: Ranks
    ) -> Training:
        """Set up a fit: what it trains on, and what it holds out to stop early."""
        check_held_out_arguments(self.early_stopping, X_val, sample_weight_val)
        check_agreement(ranks, self, data, X_val)
        data = weighted_alike(ranks, data)
        generator = self._generator(ranks, goes_on=data.goes_on)
        train, validation = present_rows(data.sample_weight), None
        if X_val is not None:
            held_out = check_held_out_data(self, data, X_val, sample_weight_val)
            held_out = weighted_alike(ranks, held_out)
            # Held-out data may leave the loss's bounds, as a scaler's test rows do.
            validation = self._rows(
                held_out,
                normalized(held_out.sample_weight, slice(None), ranks),
                dtype=working_dtype(data.X.dtype),
                name="X_val",
            )
        elif self.early_stopping:
            check_can_hold_out(data.X)
            train, test = self._split(np.arange(data.X.shape[0])[train], generator)
            weights = normalized(data.sample_weight, test, ranks)
            validation = self._training_rows(data, weights, test)
        weights = normalized(data.sample_weight, train, ranks)
        rows: TrainingRows
        if isinstance(data.X, Stream):
            rows = self._streamed_rows(data)
        else:
            rows = self._training_rows(data, weights, train)
        learner = self._learner(data, rows, generator, ranks, validation)
        shards = ranks.open(learner.parameters, len(rows))
        rate = self._schedule(max(shards))
        return self._training(learner, rate, generator, ranks=ranks, shards=shards)

    def _start_pass(self, data: CheckedData, ranks: Ranks) -> Training:
        """Set up a single pass over the data at a constant rate."""
        generator = self._generator(ranks, goes_on=data.goes_on)
        rows = self._training_rows(data, data.sample_weight)
        learner = self._learner(data, rows, generator, ranks)
        return self._training(
            learner,
            constant_rate(self.learning_rate),
            generator,
            keeps_epochs=False,
            ranks=ranks,
            shards=ranks.open(learner.parameters, len(rows)),
        )

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
            margin=data.margin,
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

    def _streamed_rows(self, data: CheckedData) -> StreamedRows:
        dtype = working_dtype(data.X.dtype)
        device = resolve_device(self.device, dtype)
        return StreamedRows(
            data.X, data.X.shape, dtype=dtype, device=device, bounds=data.clip_to
        )

    def _learner(
        self,
        data: CheckedData,
        rows: TrainingRows,
        generator: torch.Generator,
        ranks: Ranks,
        validation: Rows | None = None,
    ) -> ReconstructionLearner:
        """Set up what learns from these rows."""
        objective, corrupt = self._objective(), self._corruption()
        parameters = self._start(data, rows, generator, ranks)
        state = self._solver_state() if data.goes_on else None
        solver = self._solver(parameters, state)
        ranks.broadcast([*parameters.values(), *solver.state.values()])
        return ReconstructionLearner(
            objective,
            parameters,
            solver,
            rows,
            batch_size=self._batch_size(len(rows)),
            validation=validation,
            corrupt=corrupt,
            generator=generator,
            ranks=ranks,
        )

    def _start(
        self,
        data: CheckedData,
        rows: TrainingRows,
        generator: torch.Generator,
        ranks: Ranks,
    ) -> Parameters:
        """Draw fresh weights, or copy the fitted ones."""
        if data.goes_on:
            self._check_goes_on()
            return copy_of(self._parameters(rows.dtype, rows.device))
        own = moments_of_rows(rows) if isinstance(rows, Rows) else data.X.moments
        return initial_parameters(
            data.X.shape[1],
            int(self.n_components),
            tied_weights=self.tied_weights,
            generator=generator,
            dtype=torch_dtype(rows.dtype),
            device=rows.device,
            scaling=scaling_of(total_moments(ranks.gather(own))),
        )
