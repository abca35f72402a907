"""One fit in epochs: what solver, rates, stopping rules and callbacks do to any model.

Autoencoders and fine-tuned networks share it.
"""

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sklearn.callback._callback_context import CallbackContext
from sklearn.exceptions import ConvergenceWarning

from skcae._core.layers.layer import Parameters
from skcae._core.training.loop import Training, copy_of
from skcae._core.training.ranks import ALONE, Ranks
from skcae._core.training.schedules import (
    Schedule,
    StoppingRule,
    constant_rate,
    inverse_rate,
    linear_rate,
)
from skcae._core.training.solvers import ALIKE, Adam, Sgd, Solver, SolverState
from skcae._fit.data import FitData
from skcae._fit.verbose import Log, epoch_progress
from skcae.progress import in_words

# batch_size="auto" trains on all rows at once if they are fewer than this, ...
FULL_BATCH_ROWS = 64
# ... and otherwise on so many.
AUTO_BATCH_SIZE = 100

# learning_rate="auto" is this, ...
AUTO_RATE = 0.02
# ... unless a unit has more inputs than so many: it then falls as a power of them.
MOST_INPUTS = {"adam": 1000, "sgd": 500}
POWER = {"adam": 3 / 4, "sgd": 1}

# ... Adam's falls with the root mean square of small entries, too.
SMALL_ENTRIES = 1 / 8

# By learning_rate_schedule, where it is not constant.
FALLING_RATES = {"linear": linear_rate, "inverse": inverse_rate}

# Where a call of `fit` may pass through between the user's line and ours.
LIBRARIES = ("skcae", "sklearn", "joblib", "contextlib")


@dataclass(frozen=True)
class Watch:
    """Who looks on at a task of a fit: the callbacks, and the log.

    Parameters
    ----------
    call : dict
        The call of `fit`, as callbacks are told of it.
    context : CallbackContext
        The task, as scikit-learn has it.
    log : callable
        Takes a format string and its values.
    """

    call: dict[str, Any]
    context: CallbackContext
    log: Log

    def subtask(self, name: str, n_tasks: int = 0) -> "Watch":
        """Return the watch over a part of the task, which has parts of its own."""
        return replace(
            self, context=self.context.subcontext(name, max_subtasks=n_tasks)
        )

    def begin(self) -> None:
        """Tell callbacks that the task begins."""
        self.context.call_on_fit_task_begin(**self.call)

    def end(self, model: Callable[[], dict[str, Any]] | None = None) -> bool:
        """Tell callbacks that it has ended, and return whether one wants no more.

        `model` gives the attributes that the estimator is to be seen with, if it does
        not have them itself: what scikit-learn calls its reconstruction.
        """
        told = {**self.call, "reconstruction_attributes": model or {}}
        return bool(self.context.call_on_fit_task_end(**told))


@contextmanager
def watched(
    estimator: Any, given: FitData, n_tasks: int, rank: int = 0
) -> Iterator[Watch]:
    """Let callbacks, and who reads the progress, look on at a fit of so many tasks."""
    call = {"estimator": estimator, "X": given.X, "y": given.y}
    if given.metadata:
        call["metadata"] = given.metadata
    with epoch_progress(estimator, rank) as log:
        context = estimator._init_callback_context(max_subtasks=n_tasks)
        watch = Watch(call, context, log)
        watch.begin()
        yield watch
        watch.end()


@dataclass(eq=False)
class Fit:
    """One fit of an estimator, by the parameters of a training in epochs.

    A subclass sets the training up, and says what the model is: `attributes` describes
    the one that has these parameters, and `become` makes the estimator it.

    Parameters
    ----------
    estimator : estimator
        Whose fit it is. It changes at the end of the fit only.
    given : FitData
        What `fit` was called with.

    Attributes
    ----------
    ranks : Ranks
        Those who train together.
    size_of_entries : float
        The root mean square of what is to be reconstructed.
    unit : float
        What 1 of the training's objective is, where targets have units of their own.
    training : Training
        What the fit runs.
    """

    estimator: Any
    given: FitData
    ranks: Ranks = field(default=ALONE, init=False)
    size_of_entries: float = field(default=1.0, init=False)
    unit: float = field(default=1.0, init=False)
    training: Training = field(init=False)

    # ---- what a model is --------------------------------------------------------

    def attributes(self, parameters: Parameters) -> dict[str, Any]:
        """Describe the model that has these parameters, as NumPy arrays."""
        raise NotImplementedError

    def attributes_now(self) -> dict[str, Any]:
        """Describe the model as it is between two epochs, for callbacks to keep."""
        return self.attributes(copy_of(self.training.parameters))

    def _seen(self) -> dict[str, Any]:
        """Describe it without what it has not, but for what it takes the place of.

        scikit-learn sets all of it on a copy of the estimator.
        """
        return {
            name: value
            for name, value in self.attributes_now().items()
            if value is not None or hasattr(self.estimator, name)
        }

    def become(self, parameters: Parameters, *, in_step: bool = True) -> None:
        """Make the estimator the model that has these parameters.

        `in_step` says whether the solver's state belongs to them.
        """
        raise NotImplementedError

    # ---- what the estimator's parameters name -----------------------------------

    def solver(
        self,
        parameters: Parameters,
        state: SolverState | None = None,
        factors: Mapping[str, float] = ALIKE,
    ) -> Solver:
        """Return what makes steps of gradients."""
        if self.estimator.solver == "adam":
            return Adam(parameters, state, factors=factors)
        momentum = self.estimator.momentum
        return Sgd(parameters, state, momentum=momentum, factors=factors)

    def batch_size(self, n_rows: int) -> int:
        """Return how many of the rows a step takes."""
        if self.estimator.batch_size != "auto":
            return int(self.estimator.batch_size)
        return n_rows if n_rows < FULL_BATCH_ROWS else self.auto_batch_size(n_rows)

    def auto_batch_size(self, n_rows: int) -> int:
        """Return how many of many rows a step takes where that is not asked for."""
        return AUTO_BATCH_SIZE

    def schedule(self, n_rows: int, parameters: Parameters) -> Schedule:
        """Return the learning rate of each step."""
        rate, n_epochs = self.highest_rate(parameters), self.estimator.max_iter
        if self.estimator.learning_rate_schedule == "constant":
            return constant_rate(rate)
        falling = FALLING_RATES[self.estimator.learning_rate_schedule]
        return falling(rate, n_epochs * math.ceil(n_rows / self.batch_size(n_rows)))

    def highest_rate(self, parameters: Parameters) -> float:
        """Return the learning rate of the first step."""
        return rate_of(self.estimator, parameters, self.size_of_entries)

    def stopping(self) -> StoppingRule:
        """Return when the training ends."""
        estimator = self.estimator
        falling = estimator.learning_rate_schedule == "linear"
        return StoppingRule(
            estimator.tol,
            estimator.n_iter_no_change,
            # At a high rate the noise of the steps looks like a plateau.
            min_epochs=estimator.max_iter // 2 if falling else 0,
            cools_down=falling,
        )

    # ---- running ----------------------------------------------------------------

    def train(self, watch: Watch) -> None:
        """Train with callbacks on each epoch, and become what was learnt."""
        training = self.training
        try:
            self._run_epochs(watch)
            self.ranks.close()
            n_epochs = len(training.loss_curve)
            is_last = not training.validation_curve or training.kept_epoch == n_epochs
            self.become(training.learnt, in_step=is_last)
        except KeyboardInterrupt:
            # Raised again: a search must not take a truncated fit for a whole one.
            training.forget_what_is_not_complete()
            if training.kept:
                self.become(training.kept, in_step=False)
            raise

    def _run_epochs(self, watch: Watch) -> None:
        """Train until the objective stalls, a callback says stop, or max_iter."""
        training, max_iter = self.training, self.estimator.max_iter
        # One that is taken up after a crash has tasks behind it, or is at its end.
        n_done = len(training.loss_curve)
        if n_done > max_iter:
            raise ValueError(
                f"The fit to be taken up has done {n_done} epochs, but "
                f"max_iter={max_iter}."
            )
        for _ in training.loss_curve:
            watch.subtask("epoch")
        for number in range(len(training.loss_curve) + 1, max_iter + 1):
            if training.should_end():
                return
            epoch = watch.subtask("epoch")
            epoch.begin()
            training.run_epoch()
            self.check_finite()
            objective, held_out = training.last
            objective *= self.unit
            held_out = None if held_out is None else self.unit * held_out
            epoch.context.objective, epoch.context.held_out = objective, held_out
            measured = in_words(objective, held_out, digits=6)
            watch.log("epoch %d/%d: %s", number, max_iter, measured)
            if self.ranks.any(epoch.end(self._seen)):
                training.was_cut_short = training.is_unsettled()
                return
        training.was_cut_short = training.is_unsettled()
        if training.was_cut_short and self.ranks.rank == 0:
            warnings.warn(
                unsettled(self.estimator),
                ConvergenceWarning,
                stacklevel=level_of_caller(),
            )

    def check_finite(self) -> None:
        """Refuse to go on with what has diverged."""
        training = self.training
        if training.not_finite:
            rate = self.highest_rate(training.parameters)
            raise ValueError(
                f"Training diverged in epoch {len(training.loss_curve)} with "
                f"learning_rate={rate:g}: "
                f"{training.not_finite}. Try a smaller learning_rate, or scale the "
                "data, as by a StandardScaler or MinMaxScaler in a pipeline"
                f"{self.estimator._scaled_too}."
            )


def rate_of(estimator: Any, parameters: Parameters, size_of_entries: float) -> float:
    """Return the learning rate, at its largest, of a fit of these parameters.

    A step of Adam changes each weight by about the rate, and what a unit sums up by
    that times √d, for d inputs of about 1 and of any sign, to d, for those of one sign:
    3/4 lies between. Descent changes it by the rate times their squares, d together.
    What a linear decoder gives for an entry changes by about the rate as well, however
    small the entries are, as those of long rows of length 1.
    """
    if estimator.learning_rate != "auto":
        return float(estimator.learning_rate)
    # One row of a matrix, or one filter of a convolution, is one unit's.
    n_inputs = max(p[0].numel() for p in parameters.values() if p.ndim > 1)
    part = min(1.0, MOST_INPUTS[estimator.solver] / n_inputs) ** POWER[estimator.solver]
    if heeds_entries(estimator):
        part = min(part, size_of_entries / SMALL_ENTRIES or 1.0)
    return float(AUTO_RATE * part)


def heeds_entries(estimator: Any) -> bool:
    """Tell whether the learning rate depends on the size of the rows' entries."""
    is_auto, is_adam = estimator.learning_rate == "auto", estimator.solver == "adam"
    return is_auto and is_adam and bool(estimator.loss == "squared_error")


def unsettled(estimator: Any) -> str:
    """Say that the objective was still falling at the last epoch."""
    max_iter, n = estimator.max_iter, estimator.n_iter_no_change
    if max_iter <= n:
        return (
            f"max_iter={max_iter} epochs are too few to tell whether the objective "
            f"settles over n_iter_no_change={n}."
        )
    return (
        f"Training stopped at max_iter={max_iter}, but the objective did not settle: "
        f"the last {n} epochs lowered it by more than tol={estimator.tol:g} times that "
        "of the first. Increase max_iter, or raise tol if the model is good enough."
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
