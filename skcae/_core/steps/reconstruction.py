"""An autoencoder in training: what a step over a batch of rows does to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from skcae._core.data.arrays import Array, make_generator
from skcae._core.data.evaluation import mean_over_rows
from skcae._core.data.streams import TrainingRows
from skcae._core.data.tensors import MatrixRows
from skcae._core.data.threads import fitting_threads
from skcae._core.layers.gradient import Gradient
from skcae._core.layers.layer import Parameters
from skcae._core.steps.objective import Objective
from skcae._core.steps.workspace import Batch, Workspace
from skcae._core.training.ranks import ALONE, Ranks
from skcae._core.training.solvers import Solver

# Writes into its third argument a corrupted copy of the first, or several that differ,
# with noise from the generator.
Corruption = Callable[[Tensor, torch.Generator, Tensor], None]


def mean_objective(
    objective: Objective,
    parameters: Parameters,
    rows: MatrixRows,
    corrupt: Callable[[Tensor], Tensor] | None = None,
) -> float:
    """Return the weighted mean of the objective over the rows.

    `corrupt` makes of some rows what is encoded: a corrupted copy, or for penalties
    that look at noisy copies the rows and, after them, those.
    """
    coder, n_inputs = objective.coder(parameters), 1 + objective.n_copies

    def values(part: slice, target: Tensor) -> Tensor:
        inputs = corrupt(target) if corrupt else target
        return objective.per_sample(coder, inputs, target)

    return mean_over_rows(
        rows,
        values,
        width=n_inputs * coder.encoder.width,
        n_multiplications=n_inputs * coder.encoder.n_multiplications,
    )


def same_each_time(
    corrupt: Corruption, generator: torch.Generator, n_copies: int = 0
) -> Callable[[Tensor], Tensor]:
    """Return what corrupts held-out rows, from the generator's first noise on."""
    again = make_generator(generator.initial_seed())

    def corrupted(target: Tensor) -> Tensor:
        inputs = target.repeat(1 + n_copies, 1, 1)
        corrupt(target, again, inputs[1:] if n_copies else inputs[0])
        return inputs.flatten(0, 1)

    return corrupted


@dataclass(eq=False)
class ReconstructionLearner:
    """One layer that learns to reconstruct its rows.

    Parameters
    ----------
    objective : Objective
        What to lower.
    parameters : dict of tensors
        Where to start; changed in place.
    solver : Solver
        What changes them.
    rows : TrainingRows
        The training data.
    batch_size : int
        The most rows to a step.
    validation : MatrixRows, optional
        Held-out data.
    corrupt : callable, optional
        What is encoded is a corrupted copy of each batch, fresh at each presentation;
        what is to be reconstructed stays the batch. If penalties look at noisy copies,
        those are the corrupted ones, and the batch itself is encoded as it is. The
        held-out rows are corrupted too, in the same way each time, so that their
        objective can be compared.
    generator : torch.Generator, optional
        Where the corruption comes from.
    ranks : Ranks, optional
        Those who train the same parameters on other rows.
    """

    objective: Objective
    parameters: Parameters
    solver: Solver
    rows: TrainingRows
    batch_size: int = field(kw_only=True)
    validation: MatrixRows | None = field(default=None, kw_only=True)
    corrupt: Corruption | None = field(default=None, kw_only=True)
    generator: torch.Generator = field(
        default_factory=lambda: make_generator(0), kw_only=True
    )
    ranks: Ranks = field(default=ALONE, kw_only=True)

    has_dense_batches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        objective, rows = self.objective, self.rows
        self.coder = objective.coder(self.parameters)
        encoder = self.coder.encoder
        self.squared_rows = encoder.squared_norms()
        # One for all steps, since it takes as long to make as some operations.
        self.inference = torch.inference_mode()
        # Of the batches of each size.
        self.gradients: dict[int, Gradient] = {}
        self.no_penalty = self.squared_rows.new_zeros(())
        self.no_totals = self.squared_rows.new_zeros(2)
        # Whether the workspace holds all rows, as it does from the first full batch on,
        # unless they are read anew because they may be others in each pass.
        self.holds_all = False
        n = min(self.batch_size, len(rows))
        n_inputs = n * (1 + objective.n_copies)
        self.n_multiplications = n_inputs * encoder.n_multiplications
        with fitting_threads(self.n_multiplications):
            self.workspace = Workspace(
                n,
                rows.n_features,
                encoder.n_units,
                objective.n_scratch,
                n_penalties=len(objective.penalties),
                corrupts=self.corrupt is not None and not objective.n_copies,
                n_copies=objective.n_copies,
                dtype=self.squared_rows.dtype,
                device=self.squared_rows.device,
            )

    def take_step(
        self, index: Array | Tensor | slice, rate: float, totals: Tensor
    ) -> None:
        """Change the parameters by one batch, and put loss and penalties into `totals`.

        A batch without rows is one to which only other ranks have any.
        """
        n_rows = self.rows.count(index)
        if not n_rows:
            self._update(None, n_rows, rate, totals)
            return
        batch = self.workspace.batch(n_rows)
        # (2): L compares with the rows as they are, whatever is encoded.
        is_all = isinstance(index, slice)
        if not (is_all and self.holds_all):
            self.rows.read(index, batch.target)
        self.holds_all = is_all and not self.rows.may_change
        if self.corrupt is not None:
            noisy = batch.X if batch.copies is None else batch.copies
            self.corrupt(batch.target, self.generator, noisy)
        self.step_on(batch, self.rows.weights_of(index), rate, totals)

    def step_on(
        self,
        batch: Batch,
        weights: Tensor | None,
        rate: float,
        totals: Tensor | None = None,
    ) -> None:
        """Change the parameters by one batch, which holds its rows already.

        If `totals` is given, the batch's loss and penalties, each summed over its rows,
        are put there.
        """
        objective, squared_rows = self.objective, self.squared_rows
        # Nothing here is differentiated: torch need not keep books for that.
        with self.inference:
            objective.forward(self.coder, batch)
            loss = None if totals is None else objective.total_loss(batch, weights)
            objective.backward(self.coder, squared_rows, batch, weights)
            if loss is not None:
                penalty = self.no_penalty
                if objective.penalties:
                    penalty = objective.total_penalty(squared_rows, batch)
                torch.stack((loss, penalty), out=totals)
            self._update(self._gradient_of(batch), len(batch), rate, totals)

    def _gradient_of(self, batch: Batch) -> Gradient:
        """Return the gradient; kept as factors it lies in the batch, at each step."""
        n = len(batch)
        if n in self.gradients:
            return self.gradients[n]
        gradient = self.objective.gradient(self.coder, batch)
        if gradient.is_kept:
            self.gradients[n] = gradient
        return gradient

    def _update(
        self, gradient: Gradient | None, n_rows: int, rate: float, totals: Tensor | None
    ) -> None:
        """Take a step along the gradient over the rows of all ranks."""
        if totals is None:
            totals = self.no_totals
        gradient = self.ranks.average(gradient, self.parameters, n_rows, totals)
        self.solver.update(gradient, rate)
        if self.objective.penalties:
            self.coder.encoder.squared_norms(out=self.squared_rows)

    def held_out(self) -> float | None:
        """Measure the objective of the held-out data of all ranks."""
        if self.validation is None:
            return None
        # (2) of rows that are not trained on.
        corrupt = self.corrupt and same_each_time(
            self.corrupt, self.generator, self.objective.n_copies
        )
        mean = mean_objective(self.objective, self.parameters, self.validation, corrupt)
        return self.ranks.mean(mean, self.validation.total_weight())
