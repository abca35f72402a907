"""The mini-batch loop, one epoch at a time, and the rules that end it."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from skcae._core.arrays import Array, Rows
from skcae._core.layers import Parameters
from skcae._core.objective import Objective
from skcae._core.solvers import Solver

Schedule = Callable[[int], float]

# Steps between two looks at whether the objective is still finite. Each look waits for
# the device.
CHECK_EVERY = 100


def constant_rate(learning_rate: float) -> Schedule:
    """Keep the rate."""
    return lambda step: learning_rate


def linear_rate(learning_rate: float, n_steps: int) -> Schedule:
    """Raise the rate linearly over the first tenth of the steps, then lower it to 0.

    Without the rise Adam's first steps, each as long as the rate whatever the gradient,
    throw wide layers far off.
    """
    n_rising = max(1, n_steps // 10)

    def rate(step: int) -> float:
        rising = (step + 1) / n_rising
        falling = (n_steps - step) / (n_steps - n_rising + 1)
        return learning_rate * min(rising, falling)

    return rate


def falling_rate(rate: Schedule, step: int, n_steps: int) -> Schedule:
    """Let a rate fall to zero within n_steps from the given step."""
    return lambda at: rate(at) * max(0.0, 1.0 - (at - step) / n_steps)


def random_order(n_rows: int, generator: torch.Generator) -> Array:
    """Draw a permutation of the rows."""
    order: Array = torch.randperm(n_rows, generator=generator, device="cpu").numpy()
    return order


def batches(
    n_rows: int, batch_size: int, *, shuffle: bool, generator: torch.Generator
) -> Iterator[Array | slice]:
    """Cut the rows of one epoch into batches; the last may be short.

    A single batch of all rows is not shuffled: its order changes nothing but rounding.
    """
    if batch_size >= n_rows:
        yield slice(None)
        return
    order = random_order(n_rows, generator) if shuffle else np.arange(n_rows)
    for start in range(0, n_rows, batch_size):
        yield order[start : start + batch_size]


def mean_objective(objective: Objective, parameters: Parameters, rows: Rows) -> float:
    """Return the weighted mean of the objective over the rows."""
    total = weight = 0.0
    n_components = parameters["components"].shape[0]
    for _, X, weights in rows.chunks(n_components):
        total += float(weights @ objective.per_sample(parameters, X))
        weight += float(weights.sum())
    return total / weight


def has_stalled(curve: Sequence[float], n_epochs: int, tol: float) -> bool:
    """Tell whether the last n_epochs lowered the objective by next to nothing.

    That is by no more than tol times the objective of the first epoch, which stands
    for the scale of the data. Too short a curve has not stalled.
    """
    before, recent = curve[:-n_epochs], curve[-n_epochs:]
    return bool(before) and min(before) - min(recent) <= tol * abs(curve[0])


def copy_of(parameters: Parameters) -> Parameters:
    """Copy every tensor."""
    return {name: parameter.clone() for name, parameter in parameters.items()}


class Training:
    """A training in progress: parameters, what changes them, and the record so far.

    Parameters
    ----------
    objective : Objective
        What to lower.
    parameters : dict of tensors
        Where to start; changed in place.
    solver : Solver
        What changes them.
    rows : Rows
        The training data.
    batch_size : int
        Rows to a step.
    rate : callable
        The learning rate of each step, counted from 0.
    n_iter_no_change : int
        Number of epochs over which the objective must fall.
    tol : float
        By how much, as a part of the first epoch's objective.
    n_exempt : int
        Number of epochs to run in any case.
    anneals : bool
        Whether the rate falls to zero, over n_iter_no_change epochs, before a training
        that has stalled ends.
    shuffle : bool
        Whether each epoch goes through the rows in a fresh order.
    generator : torch.Generator
        Where the order comes from.
    validation : Rows, optional
        Held-out data. Its objective is measured after each epoch, and the parameters
        of the best epoch are kept.

    Attributes
    ----------
    loss_curve : list of float
        For each epoch the mean objective over its steps.
    validation_curve : list of float
        For each epoch the mean objective of the validation data at its end.
    completed : dict of tensors
        The parameters at the end of the last complete epoch.
    completed_generator : tensor
        The state of the generator then.
    best : dict of tensors
        The parameters of the epoch that was best on the validation data.
    """

    def __init__(
        self,
        objective: Objective,
        parameters: Parameters,
        solver: Solver,
        rows: Rows,
        *,
        batch_size: int,
        rate: Schedule,
        n_iter_no_change: int,
        tol: float,
        n_exempt: int,
        anneals: bool,
        shuffle: bool,
        generator: torch.Generator,
        validation: Rows | None = None,
    ) -> None:
        self.objective = objective
        self.parameters = parameters
        self.solver = solver
        self.rows = rows
        self.batch_size = batch_size
        self.rate = rate
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.n_exempt = n_exempt
        self.anneals = anneals
        self.shuffle = shuffle
        self.generator = generator
        self.validation = validation
        self.step = 0
        self.stalled_at: int | None = None
        self.loss_curve: list[float] = []
        self.validation_curve: list[float] = []
        self.completed: Parameters = {}
        self.completed_generator = generator.get_state()
        self.best: Parameters = {}

    def run_epoch(self) -> None:
        """Pass once over the training data and add to the record."""
        value = self._pass()
        completed = copy_of(self.parameters)
        order = self.generator.get_state()
        if self.validation is not None:
            held_out = mean_objective(self.objective, completed, self.validation)
            if held_out < min(self.validation_curve, default=math.inf):
                self.best = completed
            self.validation_curve.append(held_out)
        # Nothing from the last comparison on takes time, so that an interrupt finds
        # the record of a whole epoch.
        self.loss_curve.append(value)
        self.completed = completed
        self.completed_generator = order

    def _pass(self) -> float:
        values: list[Tensor] = []
        sizes: list[int] = []
        order = batches(
            len(self.rows),
            self.batch_size,
            shuffle=self.shuffle,
            generator=self.generator,
        )
        for index in order:
            X, weights = self.rows.batch(index)
            value, gradient = self.objective.value_and_gradient(
                self.parameters, X, weights
            )
            self.solver.update(gradient, self.rate(self.step))
            self.step += 1
            values.append(value)
            sizes.append(X.shape[0])
            if self.step % CHECK_EVERY == 0 and not bool(value.isfinite()):
                break
        # One transfer for the epoch, not one for each step.
        return float(np.average(torch.stack(values).cpu().numpy(), weights=sizes))

    @property
    def _watched_curve(self) -> list[float]:
        return self.validation_curve or self.loss_curve

    @property
    def value(self) -> float:
        """The last objective, on the validation data if there is any."""
        return self._watched_curve[-1]

    @property
    def is_finite(self) -> bool:
        """Whether the last objectives and all parameters are finite."""
        return (
            math.isfinite(self.loss_curve[-1])
            and math.isfinite(self.value)
            and all(bool(tensor.isfinite().all()) for tensor in self.completed.values())
        )

    def should_end(self) -> bool:
        """Judge whether the objective has stalled and the rate has run out.

        To be called after each epoch: at a stall the rate begins its last fall.
        """
        n_done = len(self.loss_curve)
        if self.stalled_at is None:
            stalled = has_stalled(self._watched_curve, self.n_iter_no_change, self.tol)
            if n_done < self.n_exempt or not stalled:
                return False
            self.stalled_at = n_done
            n_steps = self.n_iter_no_change * self.step // n_done
            self.rate = falling_rate(self.rate, self.step, n_steps)
        return not self.anneals or n_done >= self.stalled_at + self.n_iter_no_change
