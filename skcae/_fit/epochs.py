"""Training in epochs: what solver, rates, stopping rules and callbacks do to any model.

Autoencoders and fine-tuned networks share it.
"""

import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.callback import CallbackSupportMixin
from sklearn.callback._callback_context import CallbackContext
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skcae._core.data.arrays import Array, make_generator, random_order
from skcae._core.layers.dense import Parameters
from skcae._core.training.loop import (
    Learner,
    Schedule,
    Training,
    constant_rate,
    copy_of,
    linear_rate,
)
from skcae._core.training.ranks import ALONE, Ranks
from skcae._core.training.solvers import ALIKE, Adam, Sgd, Solver, SolverState
from skcae._fit.data import check_can_be_split
from skcae._fit.parameters import TrainingParameters
from skcae.progress import in_words

# batch_size="auto" trains on all rows at once if they are fewer than this, ...
FULL_BATCH_ROWS = 64
# ... and otherwise on so many.
AUTO_BATCH_SIZE = 100

# Where a call of `fit` may pass through between the user's line and ours.
LIBRARIES = ("skcae", "sklearn", "joblib")


class EpochFitMixin(TrainingParameters, CallbackSupportMixin):
    """How the parameters of a training in epochs are followed.

    A subclass says what a model is: `_fitted_attributes` describes one that has these
    parameters, and `_finish` becomes it.
    """

    # What else is to be scaled where a training diverges.
    _scaled_too: ClassVar[str] = ""

    # ---- what a model is --------------------------------------------------------

    def _fitted_attributes(
        self, training: Training, data: Any, parameters: Parameters
    ) -> dict[str, Any]:
        """Describe the model that has these parameters, as NumPy arrays."""
        raise NotImplementedError

    def _present_attributes(self, training: Training, data: Any) -> dict[str, Any]:
        """Describe the model as it is between two epochs, for callbacks to keep."""
        return self._fitted_attributes(training, data, copy_of(training.parameters))

    def _finish(
        self,
        training: Training,
        data: Any,
        parameters: Parameters,
        *,
        in_step: bool = True,
    ) -> None:
        """Become the model that has these parameters.

        `in_step` says whether the solver's state belongs to them.
        """
        raise NotImplementedError

    # ---- what the parameters name -----------------------------------------------

    def _solver(
        self,
        parameters: Parameters,
        state: SolverState | None,
        factors: Mapping[str, float] = ALIKE,
    ) -> Solver:
        if self.solver == "adam":
            return Adam(parameters, state, factors=factors)
        return Sgd(parameters, state, momentum=self.momentum, factors=factors)

    def _batch_size(self, n_rows: int) -> int:
        if self.batch_size != "auto":
            return int(self.batch_size)
        return n_rows if n_rows < FULL_BATCH_ROWS else AUTO_BATCH_SIZE

    def _schedule(self, n_rows: int) -> Schedule:
        if self.learning_rate_schedule == "constant":
            return constant_rate(self.learning_rate)
        n_steps = self.max_iter * math.ceil(n_rows / self._batch_size(n_rows))
        return linear_rate(self.learning_rate, n_steps)

    def _training(
        self,
        learner: Learner,
        rate: Schedule,
        generator: torch.Generator,
        *,
        keeps_epochs: bool = True,
        ranks: Ranks = ALONE,
        shards: Sequence[int] | None = None,
    ) -> Training:
        falling = self.learning_rate_schedule == "linear"
        return Training(
            learner,
            batch_size=self._batch_size(max(shards or [len(learner.rows)])),
            rate=rate,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            # At a high rate the noise of the steps looks like a plateau.
            n_exempt=self.max_iter // 2 if falling else 0,
            anneals=falling,
            shuffle=self.shuffle,
            generator=generator,
            keeps_epochs=keeps_epochs,
            ranks=ranks,
            shards=shards,
        )

    def _split(self, rows: Array, generator: torch.Generator) -> tuple[Array, Array]:
        """Draw the rows to train on and those to hold out; each has one at least.

        The fit's seed alone decides, so that a warm start on the same data holds out
        the same rows again and never trains on them.
        """
        check_can_be_split(len(rows))
        order = random_order(len(rows), make_generator(generator.initial_seed()))
        count = min(math.ceil(self.validation_fraction * len(rows)), len(rows) - 1)
        return np.sort(rows[order[count:]]), np.sort(rows[order[:count]])

    # ---- running ----------------------------------------------------------------

    def _train(
        self,
        training: Training,
        data: Any,
        call: dict[str, Any],
        context: CallbackContext,
        log: Callable[..., None],
    ) -> None:
        """Train with callbacks on each epoch, and keep what was learnt."""
        try:
            self._run_epochs(training, data, call, context, log)
            training.ranks.close()
        except KeyboardInterrupt:
            # Raised again: a search must not take a truncated fit for a whole one.
            if training.kept:
                self._finish(training, data, training.kept, in_step=False)
            raise
        if training.validation_curve:
            is_last = training.kept_epoch == len(training.loss_curve)
            self._finish(training, data, training.kept, in_step=is_last)
        else:
            self._finish(training, data, training.parameters)

    def _run_epochs(
        self,
        training: Training,
        data: Any,
        call: dict[str, Any],
        context: CallbackContext,
        log: Callable[..., None],
    ) -> None:
        """Train until the objective stalls, a callback says stop, or max_iter."""
        # One that is taken up after a crash has tasks behind it, or is at its end.
        for _ in training.loss_curve:
            context.subcontext(task_name="epoch")
        for number in range(len(training.loss_curve) + 1, self.max_iter + 1):
            if training.should_end():
                return
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**call)
            training.run_epoch()
            self._check_finite(training)
            epoch.objective, epoch.held_out = training.last
            measured = in_words(*training.last, digits=6)
            log("epoch %d/%d: %s", number, self.max_iter, measured)
            stop = epoch.call_on_fit_task_end(
                **call,
                reconstruction_attributes=lambda: self._present_attributes(
                    training, data
                ),
            )
            if training.ranks.any(bool(stop)):
                training.was_cut_short = training.is_unsettled()
                return
        training.was_cut_short = training.is_unsettled()
        if training.was_cut_short and training.ranks.rank == 0:
            warnings.warn(
                self._unsettled(), ConvergenceWarning, stacklevel=level_of_caller()
            )

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
            "tol if the model is good enough."
        )

    def _check_finite(self, training: Training) -> None:
        if training.not_finite:
            raise ValueError(
                f"Training diverged in epoch {len(training.loss_curve)} with "
                f"learning_rate={self.learning_rate:g}: {training.not_finite}. Try a "
                "smaller learning_rate, or scale the data, as by a StandardScaler or "
                f"MinMaxScaler in a pipeline{self._scaled_too}."
            )


def level_of_caller() -> int:
    """Return the `stacklevel` of the line that called into skcae or scikit-learn."""
    frame: Any = sys._getframe(1)
    level = 1
    while frame.f_back is not None and _package(frame) in LIBRARIES:
        frame, level = frame.f_back, level + 1
    return level


def _package(frame: Any) -> str:
    # Code that is given to exec may have no name.
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def present_rows(weights: Array | None) -> slice | Array:
    """Return the rows of positive weight: one of weight 0 is no row."""
    if weights is None or weights.all():
        return slice(None)
    return np.flatnonzero(weights)


def has_weight(weights: Array | None) -> bool:
    """Tell whether there is any row to learn from."""
    return weights is None or bool(weights.any())


def draw_seed(random_state: Any) -> int:
    """Draw the seed of a fit; None gives a fresh one and touches no global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def described_call(
    estimator: Any, X: Any, y: Any, sample_weight: Any
) -> dict[str, Any]:
    """Describe a call of `fit` as callbacks are told of it."""
    call = {"estimator": estimator, "X": X, "y": y}
    if sample_weight is not None:
        call["metadata"] = {"sample_weight": sample_weight}
    return call
