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
    to_array,
    to_tensor,
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
)
from skcae._progress import epoch_progress
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

# Fitted attributes that some configurations have and others do not.
OPTIONAL_ATTRIBUTES = (
    "feature_names_in_",
    "decoder_components_",
    "validation_loss_curve_",
)


class EpochFitMixin(CallbackSupportMixin):
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
        """
        goes_on = self.warm_start and hasattr(self, "components_")
        bounds = LOSSES[self.loss].bounds
        data = check_data(self, X, sample_weight, bounds=bounds, goes_on=goes_on)
        training = self._start_fit(data, X_val, sample_weight_val)
        call = {"estimator": self, "X": X, "y": y}
        if sample_weight is not None:
            call["metadata"] = {"sample_weight": sample_weight}
        self._run_fit(training, data, call)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Pass once over X at a constant rate, going on from the present state.

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
        goes_on = hasattr(self, "components_")
        data = check_data(
            self,
            X,
            sample_weight,
            bounds=LOSSES[self.loss].bounds,
            goes_on=goes_on,
            all_zero=True,
        )
        training = self._training(
            data,
            self._training_rows(data, data.sample_weight),
            generator=self._generator(goes_on=goes_on),
            rate=constant_rate(self.learning_rate),
        )
        training.run_epoch()
        self._check_finite(training)
        self._finish(training, data, training.completed)
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
        state = None
        if goes_on and self._training_state["solver"] == self.solver:
            state = {
                name: torch.from_numpy(array.copy())
                for name, array in self._training_state["solver_state"].items()
            }
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
        if goes_on:
            state = torch.from_numpy(self._training_state["generator"].copy())
            return torch.Generator().set_state(state)
        return make_generator(draw_seed(self.random_state))

    # ---- training ---------------------------------------------------------------

    def _start_fit(
        self, data: CheckedData, X_val: Any, sample_weight_val: Any
    ) -> Training:
        """Set up a fit: what it trains on, and what it holds out to stop early."""
        check_held_out_arguments(self.early_stopping, X_val, sample_weight_val)
        generator = self._generator(goes_on=data.goes_on)
        train: slice | np.ndarray = slice(None)
        validation = None
        if X_val is not None:
            held_out = check_held_out_data(self, data, X_val, sample_weight_val)
            # Held-out data may leave the loss's bounds, as a scaler's test rows do.
            validation = Rows(
                held_out.X,
                held_out.sample_weight,
                dtype=working_dtype(data.X.dtype),
                device=resolve_device(self.device),
            )
        elif self.early_stopping:
            train, test = self._split(data.X.shape[0], generator)
            weights = normalized(data.sample_weight, test)
            validation = self._training_rows(data, weights, test)
        rows = self._training_rows(data, normalized(data.sample_weight, train), train)
        rate = self._schedule(len(rows))
        return self._training(
            data, rows, generator=generator, rate=rate, validation=validation
        )

    def _split(
        self, n_rows: int, generator: torch.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the rows to train on and those to hold out; each has one at least."""
        check_can_be_split(n_rows)
        order = torch.randperm(n_rows, generator=generator).numpy()
        count = min(math.ceil(self.validation_fraction * n_rows), n_rows - 1)
        return np.sort(order[count:]), np.sort(order[:count])

    def _training_rows(
        self,
        data: CheckedData,
        weights: np.ndarray | None,
        subset: slice | np.ndarray = slice(None),
    ) -> Rows:
        return Rows(
            data.X,
            weights,
            dtype=working_dtype(data.X.dtype),
            device=resolve_device(self.device),
            bounds=LOSSES[self.loss].bounds,
            subset=subset,
        )

    def _training(
        self,
        data: CheckedData,
        rows: Rows,
        *,
        generator: torch.Generator,
        rate: Schedule,
        validation: Rows | None = None,
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
                self.n_components,
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
        )

    def _check_goes_on(self) -> None:
        """Refuse to go on from a model of another shape."""
        fitted = (self._n_features_out, not hasattr(self, "decoder_components_"))
        if fitted != (self.n_components, self.tied_weights):
            raise ValueError(
                f"The fitted model has n_components={fitted[0]} and "
                f"tied_weights={fitted[1]}, but the parameters now say "
                f"{self.n_components} and {self.tied_weights}: training cannot go on "
                "from it. Set them back, or fit anew with warm_start=False."
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
                if training.completed:
                    self._finish(training, data, training.completed)
                raise
            self._finish(training, data, training.best or training.completed)
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
                reconstruction_attributes=lambda: self._fitted_attributes(
                    training, data, training.completed
                ),
            )
            if stop or training.has_converged():
                return
        if training.stalled_at is None:
            warnings.warn(
                f"Training stopped at max_iter={self.max_iter}, but the objective did "
                f"not settle: the last {self.n_iter_no_change} epochs lowered it by "
                f"more than tol={self.tol:g} times that of the first. Increase "
                "max_iter, or raise tol if the features are good enough.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _check_finite(self, training: Training) -> None:
        if not training.is_finite:
            raise ValueError(
                f"Training diverged in epoch {len(training.loss_curve)} with "
                f"learning_rate={self.learning_rate:g}: the objective is "
                f"{training.value:g}. Try a smaller learning_rate, or put a "
                "StandardScaler or MinMaxScaler before the autoencoder."
            )

    # ---- fitted state -----------------------------------------------------------

    def _fitted_attributes(
        self, training: Training, data: CheckedData, parameters: Parameters
    ) -> dict[str, Any]:
        """Describe the model that has these parameters, as NumPy arrays."""
        earlier = self.loss_curve_ if data.goes_on else []
        curve = np.array([*earlier, *training.loss_curve])
        attributes: dict[str, Any] = {
            **data.columns,
            **{f"{name}_": to_array(parameters[name]) for name in parameters},
            "loss_curve_": curve,
            "n_iter_": len(curve),
        }
        if training.validation_curve:
            attributes["validation_loss_curve_"] = np.array(training.validation_curve)
        return attributes

    def _finish(
        self, training: Training, data: CheckedData, parameters: Parameters
    ) -> None:
        """Become the fitted model: the only place where fitted attributes change."""
        attributes = self._fitted_attributes(training, data, parameters)
        for name in OPTIONAL_ATTRIBUTES:
            self.__dict__.pop(name, None)
        self.__dict__.update(attributes)
        # What warm_start and partial_fit go on from, besides the weights.
        self._training_state = {
            "solver": self.solver,
            "solver_state": {
                name: to_array(tensor) for name, tensor in training.solver.state.items()
            },
            "generator": training.generator.get_state().numpy(),
        }

    def _parameters(self, dtype: np.dtype[Any], device: torch.device) -> Parameters:
        """Give the fitted weights as tensors, to be read only."""
        names = ["components", "intercept_hidden", "intercept_visible"]
        if hasattr(self, "decoder_components_"):
            names.append("decoder_components")
        return {
            name: to_tensor(getattr(self, f"{name}_"), dtype, device) for name in names
        }


def draw_seed(random_state: Any) -> int:
    """Draw the seed of a fit; None gives a fresh one and touches no global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
