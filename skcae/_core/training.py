"""The mini-batch loop, one epoch at a time, and the rules that end it."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from skcae._core.arrays import Array, Rows
from skcae._core.batch import Batch, Workspace
from skcae._core.layers import Parameters, squared_row_norms
from skcae._core.objective import Objective
from skcae._core.solvers import Solver
from skcae._core.threads import fitting_threads

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
    rows: Rows, batch_size: int, *, shuffle: bool, generator: torch.Generator
) -> Iterator[Array | Tensor | slice]:
    """Cut the rows of one epoch into batches; the last may be short.

    A single batch of all rows is not shuffled: its order changes nothing but rounding.
    """
    n_rows = len(rows)
    if batch_size >= n_rows:
        yield slice(None)
        return
    drawn = random_order(n_rows, generator) if shuffle else np.arange(n_rows)
    order = rows.prepare(drawn)
    for start in range(0, n_rows, batch_size):
        yield order[start : start + batch_size]


def mean_objective(objective: Objective, parameters: Parameters, rows: Rows) -> float:
    """Return the weighted mean of the objective over the rows."""
    total = weight = 0.0
    W = parameters["components"]
    for part, X in rows.chunks(W.shape[0]):
        with fitting_threads(X.shape[0] * W.numel()):
            values = objective.per_sample(parameters, X)
        weights = rows.weights_of(part)
        total += float(values.sum() if weights is None else weights @ values)
        weight += len(values) if weights is None else float(weights.sum())
    return total / weight


def has_stalled(curve: Sequence[float], n_epochs: int, tol: float) -> bool:
    """Tell whether the last n_epochs lowered the objective by next to nothing.

    That is by no more than tol times the objective of the first epoch, which stands
    for the scale of the data. Too short a curve has not stalled.
    """
    before, recent = curve[:-n_epochs], curve[-n_epochs:]
    return bool(before) and min(before) - min(recent) <= tol * abs(curve[0])


def all_finite(tensor: Tensor) -> bool:
    """Tell whether no entry is infinite or NaN, without a copy."""
    smallest, largest = tensor.aminmax()
    return bool(smallest.isfinite() & largest.isfinite())


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
    corrupt : callable, optional
        Writes into its second argument a corrupted copy of the first, which is what is
        then encoded; what is to be reconstructed stays the first.
    keeps_epochs : bool
        Whether to keep a copy of the parameters, of the best epoch or, in case of an
        interrupt in the next, of the last.

    Attributes
    ----------
    loss_curve : list of float
        For each epoch the mean objective over its steps.
    validation_curve : list of float
        For each epoch the mean objective of the validation data at its end.
    kept : dict of tensors
        The parameters of the epoch that was best on the validation data, or without
        any those of the last complete epoch. Empty before the first.
    kept_epoch : int
        The number of that epoch, counted from 1.
    is_finite : bool
        Whether the last objectives and all parameters are finite.
    completed_generator : tensor
        The state of the generator after the last complete epoch.
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
        corrupt: Callable[[Tensor, Tensor], None] | None = None,
        keeps_epochs: bool = True,
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
        self.corrupt = corrupt
        self.keeps_epochs = keeps_epochs
        self.step = 0
        self.stalled_at: int | None = None
        self.loss_curve: list[float] = []
        self.validation_curve: list[float] = []
        self.kept: Parameters = {}
        self.kept_epoch = 0
        self.is_finite = True
        self.completed_generator = generator.get_state()
        self.squared_rows = squared_row_norms(parameters)
        rows.settle()
        if validation is not None:
            validation.settle()
        n = min(batch_size, len(rows))
        self.n_multiplications = n * parameters["components"].numel()
        with fitting_threads(self.n_multiplications):
            self.workspace = Workspace(
                n,
                rows.n_features,
                parameters["components"].shape[0],
                objective.n_scratch,
                tied="decoder_components" not in parameters,
                corrupts=corrupt is not None,
                dtype=self.squared_rows.dtype,
                device=self.squared_rows.device,
            )

    def run_epoch(self) -> None:
        """Pass once over the training data and add to the record."""
        with fitting_threads(self.n_multiplications):
            value = self._pass()
        order = self.generator.get_state()
        best, held_out = math.inf, -math.inf
        if self.validation is not None:
            held_out = mean_objective(self.objective, self.parameters, self.validation)
            best = min(self.validation_curve, default=math.inf)
        self.is_finite = math.isfinite(value) and all(
            all_finite(tensor) for tensor in self.parameters.values()
        )
        # The record first and then the copy, one call that no interrupt divides: what
        # is kept is then always what the record says.
        if self.validation is not None:
            self.validation_curve.append(held_out)
            self.is_finite = self.is_finite and math.isfinite(held_out)
        self.loss_curve.append(value)
        self.completed_generator = order
        if self.keeps_epochs and self.is_finite and held_out < best:
            self._keep()

    def _keep(self) -> None:
        self.kept_epoch = len(self.loss_curve)
        if not self.kept:
            self.kept = copy_of(self.parameters)
        else:
            torch._foreach_copy_(
                list(self.kept.values()), list(self.parameters.values())
            )

    def _pass(self) -> float:
        n_rows = len(self.rows)
        n_steps = math.ceil(n_rows / self.batch_size)
        values = self.squared_rows.new_zeros(n_steps)
        order = batches(
            self.rows, self.batch_size, shuffle=self.shuffle, generator=self.generator
        )
        for number, index in enumerate(order):
            value = values[number]
            n = n_rows if isinstance(index, slice) else len(index)
            batch, weights = self.workspace.batch(n), self.rows.weights_of(index)
            # A batch of all rows is in its place from the first epoch on.
            if n < n_rows or not self.loss_curve:
                self.rows.read(index, batch.target)
            if self.corrupt is not None:
                self.corrupt(batch.target, batch.X)
            self.take_step(batch, weights, value)
            if self.step % CHECK_EVERY == 0 and not bool(value.isfinite()):
                return math.nan
        # One transfer for the epoch, not one for each step.
        return math.fsum(values.tolist()) / n_rows

    def take_step(
        self, batch: Batch, weights: Tensor | None, value: Tensor | None = None
    ) -> None:
        """Change the parameters by one batch, which holds its rows already.

        If `value` is given, the batch's objective, summed over its rows, is put there.
        """
        self.objective.forward(self.parameters, batch)
        if value is not None:
            value.copy_(self.objective.total_loss(batch, weights))
        gradient, sums = self.objective.backward(
            self.parameters, self.squared_rows, batch, weights
        )
        if value is not None and sums:
            value.add_(self.objective.total_penalty(sums, self.squared_rows))
        self.solver.update(gradient, self.rate(self.step))
        self.step += 1
        if self.objective.penalties:
            squared_row_norms(self.parameters, out=self.squared_rows)

    @property
    def _watched_curve(self) -> list[float]:
        return self.validation_curve or self.loss_curve

    @property
    def value(self) -> float:
        """The last objective, on the validation data if there is any."""
        return self._watched_curve[-1]

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
