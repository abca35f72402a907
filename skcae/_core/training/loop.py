"""The mini-batch loop, one epoch at a time, and its record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from skcae._core.data.arrays import Array, all_finite, to_array
from skcae._core.data.streams import TrainingRows
from skcae._core.data.threads import fitting_threads
from skcae._core.layers.layer import Parameters
from skcae._core.training.schedules import Schedule, StoppingRule, falling_rate
from skcae._core.training.solvers import Solver

# Steps between two looks at whether the objective is still finite. Each look waits for
# the device.
CHECK_EVERY = 100

# More than this is a large part of the change of the objective for the last epochs.
PART_OF_CHANGE = 0.1

# The batch of a rank that has gone through its rows while others have some left.
NO_ROWS = np.empty(0, dtype=np.intp)


def copy_of(parameters: Parameters) -> Parameters:
    """Copy every tensor."""
    return {name: parameter.clone() for name, parameter in parameters.items()}


class Learner(Protocol):
    """A model with its data and its solver: what a training trains."""

    n_multiplications: int
    has_dense_batches: ClassVar[bool]

    @property
    def solver(self) -> Solver:
        """What changes it."""

    @property
    def parameters(self) -> Parameters:
        """What is trained, as it is now."""

    @property
    def rows(self) -> TrainingRows:
        """The training data."""

    def take_step(
        self, index: Array | Tensor | slice, rate: float, totals: Tensor
    ) -> None:
        """Change the parameters by one batch, and put loss and penalties into `totals`.

        Both are summed over the batch's rows; the objective is their sum.
        """

    def held_out(self) -> float | None:
        """Measure the model on held-out data, if there is any; less is better."""


@dataclass(frozen=True)
class Complete:
    """What belongs to the epochs that are complete, put in place by one assignment.

    No interrupt divides that, wherever it comes.

    Parameters
    ----------
    n_epochs, n_validated : int
        How much of the curves they are.
    generator : tensor
        The state of the generator after the last of them.
    kept : dict of tensors
        The parameters that are kept.
    kept_epoch : int
        The number of their epoch, counted from 1.
    """

    n_epochs: int
    n_validated: int
    generator: Tensor
    kept: Parameters = field(default_factory=dict)
    kept_epoch: int = 0


@dataclass(eq=False, kw_only=True)
class Training:
    """A training in progress: a model, what changes it, and the record so far.

    Parameters
    ----------
    learner : Learner
        What is trained; its parameters are changed in place.
    batch_size : int
        Rows to a step.
    rate : callable
        The learning rate of each step, counted from 0.
    stopping : StoppingRule
        When it ends.
    shuffle : bool
        Whether each epoch goes through the rows in a fresh order.
    generator : torch.Generator
        Where the order comes from.
    keeps_epochs : bool
        Whether to keep a copy of the parameters, of the best epoch or, in case of an
        interrupt in the next, of the last.
    shards : sequence of int, optional
        How many rows each of those has who train together.

    Attributes
    ----------
    means : list of (float, float)
        For each epoch the mean loss and the mean penalties, over its steps.
    loss_curve : list of float
        For each epoch the mean objective, which is their sum.
    validation_curve : list of float
        For each epoch what was measured on held-out data at its end.
    complete : Complete
        What belongs to the epochs that are complete. Kept are the parameters of the
        one that was best on the held-out data, or without any those of the last.
    not_finite : str
        What of the last objectives and the parameters is not finite, in words; empty if
        all of it is.
    was_cut_short : bool
        Whether it ended while the objective was still falling.
    """

    learner: Learner = field(kw_only=False)
    batch_size: int
    rate: Schedule
    stopping: StoppingRule
    shuffle: bool
    generator: torch.Generator
    keeps_epochs: bool = True
    shards: Sequence[int] = ()
    step: int = field(default=0, init=False)
    stalled_at: int | None = field(default=None, init=False)
    means: list[tuple[float, float]] = field(default_factory=list, init=False)
    loss_curve: list[float] = field(default_factory=list, init=False)
    validation_curve: list[float] = field(default_factory=list, init=False)
    complete: Complete = field(init=False)
    not_finite: str = field(default="", init=False)
    was_cut_short: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.shards = self.shards or [len(self.learner.rows)]
        self.complete = Complete(0, 0, self.generator.get_state())
        # Where the copy is that is kept.
        self._copy: Parameters = {}

    @property
    def parameters(self) -> Parameters:
        """What is being trained."""
        return self.learner.parameters

    @property
    def kept(self) -> Parameters:
        """The parameters that are kept, none before the first epoch is complete."""
        return self.complete.kept

    @property
    def kept_epoch(self) -> int:
        """The number of their epoch, counted from 1."""
        return self.complete.kept_epoch

    @property
    def learnt(self) -> Parameters:
        """What is to be kept: of the best epoch on held-out data, or of the last."""
        return self.kept if self.validation_curve else self.parameters

    def run_epoch(self) -> None:
        """Pass once over the training data and add to the record."""
        with fitting_threads(self.learner.n_multiplications):
            means = self._pass()
        order = self.generator.get_state()
        held_out = self.learner.held_out()
        best = min(self.validation_curve, default=math.inf)
        self.not_finite = self._what_is_not_finite(sum(means), held_out)
        if held_out is not None:
            self.validation_curve.append(held_out)
        self.means.append(means)
        self.loss_curve.append(sum(means))
        counts = len(self.loss_curve), len(self.validation_curve)
        # Of epochs with the same error the last: its rate is the lowest.
        is_best = held_out is None or held_out <= best
        # The epoch is complete by one assignment, and not before.
        if self.keeps_epochs and not self.not_finite and is_best:
            # Until they are copied, what is kept are the parameters themselves.
            self.complete = Complete(*counts, order, self.parameters, counts[0])
            self.complete = replace(self.complete, kept=self._copied())
        else:
            self.complete = Complete(*counts, order, self.kept, self.kept_epoch)

    def forget_what_is_not_complete(self) -> None:
        """Leave an epoch out of the curves that an interrupt has ended in its midst."""
        del self.means[self.complete.n_epochs :]
        del self.loss_curve[self.complete.n_epochs :]
        del self.validation_curve[self.complete.n_validated :]

    def _what_is_not_finite(self, value: float, held_out: float | None) -> str:
        if not math.isfinite(value):
            return f"the training objective is {value:g}"
        for name, tensor in self.parameters.items():
            if not all_finite(tensor):
                return f"not all numbers of {name} are finite any more"
        if held_out is not None and not math.isfinite(held_out):
            return (
                f"the held-out objective is {held_out:g}, while that of training is "
                f"{value:g}"
            )
        return ""

    def _copied(self) -> Parameters:
        """Copy the parameters to where nothing is kept."""
        if not self._copy:
            self._copy = copy_of(self.parameters)
        else:
            into, values = self._copy.values(), self.parameters.values()
            torch._foreach_copy_([*into], [*values])
        return self._copy

    def _pass(self) -> tuple[float, float]:
        n_steps = math.ceil(max(self.shards) / self.batch_size)
        # Of each step loss and penalties, summed over its rows.
        totals = next(iter(self.parameters.values())).new_zeros(n_steps, 2)
        order = self.learner.rows.batches(
            self.batch_size, shuffle=self.shuffle, generator=self.generator
        )
        padded = chain(order, repeat(NO_ROWS))
        for of_step, index in zip(totals, padded, strict=False):
            self.learner.take_step(index, self.rate(self.step), of_step)
            self.step += 1
            if self.step % CHECK_EVERY == 0 and not all_finite(of_step):
                return math.nan, math.nan
        next(order, None)  # lets a source of batches see that it gave all its rows
        # One transfer for the epoch, not one for each step.
        loss, penalty = map(math.fsum, totals.T.tolist())
        return loss / sum(self.shards), penalty / sum(self.shards)

    @property
    def _watched_curve(self) -> list[float]:
        return self.validation_curve or self.loss_curve

    @property
    def last(self) -> tuple[float, float | None]:
        """The last objective, and what held-out data gave if there is any."""
        held_out = self.validation_curve[-1] if self.validation_curve else None
        return self.loss_curve[-1], held_out

    def should_end(self) -> bool:
        """Judge whether the objective has stalled and the rate has run out.

        To be called after each epoch: at a stall the rate begins its last fall.
        """
        rule, n_done = self.stopping, len(self.loss_curve)
        if self.stalled_at is None:
            if n_done < rule.min_epochs or not rule.has_stalled(self._watched_curve):
                return False
            self.stalled_at = n_done
            self._let_rate_fall(n_done)
        return not rule.cools_down or n_done >= self.stalled_at + rule.n_iter_no_change

    def is_unsettled(self) -> bool:
        """Judge, at the end of the last epoch, whether the objective still falls.

        It judges first whether the training should end, with all that this begins.

        A rate that falls to zero by plan lowers the objective to its end: that is no
        more than a sign of too few epochs where the last of them made a large part of
        the whole change.
        """
        if self.should_end() or self.stalled_at is not None:
            return False
        # Who looks back over all epochs that there may be has asked for max_iter.
        if math.isinf(self.stopping.n_iter_no_change):
            return False
        curve, n = self._watched_curve, int(self.stopping.n_iter_no_change)
        if not self.stopping.cools_down or len(curve) <= n:
            return True
        before, end = min(curve[:-n]), min(curve)
        return before - end > PART_OF_CHANGE * (curve[0] - end)

    def _let_rate_fall(self, stalled_at: int) -> None:
        """Begin the rate's last fall at the end of this epoch."""
        n_steps = self.step // len(self.loss_curve)
        n_falling = self.stopping.n_iter_no_change * n_steps
        self.rate = falling_rate(self.rate, stalled_at * n_steps, n_falling)

    # ---- to be stopped and taken up again ---------------------------------------

    def progress(self) -> dict[str, Any]:
        """Return a copy of the record, with which `go_on_from` takes a training up.

        The parameters, the solver's state and the generator's are not in it.
        """
        return {
            "n_rows": len(self.learner.rows),
            "step": self.step,
            "stalled_at": self.stalled_at,
            "means": np.array(self.means),
            "validation_curve": list(self.validation_curve),
            "kept": {name: to_array(kept.clone()) for name, kept in self.kept.items()},
            "kept_epoch": self.kept_epoch,
        }

    def go_on_from(self, progress: dict[str, Any]) -> None:
        """Take up a training that has come so far, before its first epoch here."""
        self.step = progress["step"]
        self.means = [(loss, penalty) for loss, penalty in progress["means"].tolist()]
        self.loss_curve = [loss + penalty for loss, penalty in self.means]
        self.validation_curve = list(progress["validation_curve"])
        kept = {
            name: torch.from_numpy(progress["kept"][name]).to(parameter, copy=True)
            for name, parameter in self.parameters.items()
            if name in progress["kept"]
        }
        self.complete = Complete(
            len(self.loss_curve),
            len(self.validation_curve),
            self.generator.get_state(),
            kept,
            progress["kept_epoch"],
        )
        self.stalled_at = progress["stalled_at"]
        if self.stalled_at is not None:
            self._let_rate_fall(self.stalled_at)
