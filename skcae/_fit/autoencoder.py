"""One fit of an autoencoder, from parameters and data to a fitted model."""

from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import torch

from skcae._core.data.arrays import (
    Array,
    device_for,
    make_generator,
    resolve_device,
    resume_generator,
    torch_dtype,
    working_dtype,
)
from skcae._core.data.modes import plainly
from skcae._core.data.moments import Moments, moments_of, scaling_of
from skcae._core.data.streams import StreamedRows, TrainingRows
from skcae._core.data.tensors import MatrixRows, on_device, rows_of
from skcae._core.layers.layer import Parameters
from skcae._core.training.loop import Training, copy_of
from skcae._core.training.ranks import ALONE, together
from skcae._core.training.schedules import constant_rate
from skcae._fit.agreement import check_agreement, weighted_alike
from skcae._fit.attributes import (
    adopt,
    check_continues,
    fitted_attributes,
    solver_state,
    state_in_midst,
    training_state,
)
from skcae._fit.collapse import warn_of_collapse
from skcae._fit.data import (
    CheckedData,
    check_data,
    check_same_rows,
    draw_seed,
    has_weight,
    normalized,
    rows_with_weight,
)
from skcae._fit.diagnosis import warn_if_dead
from skcae._fit.epochs import AUTO_BATCH_SIZE, Fit, heeds_entries, watched
from skcae._fit.held_out import (
    check_can_hold_out,
    check_held_out_arguments,
    check_held_out_data,
    split_rows,
)
from skcae._fit.streams import Stream, check_training_data

EVERY_ROW = slice(None)

# batch_size="auto" takes so many steps an epoch, as long as ...
STEPS_PER_EPOCH = 50
# ... a batch has no fewer rows than these.
FEWEST_ROWS = 20


@dataclass(eq=False)
class AutoencoderFit(Fit):
    """One fit of an autoencoder.

    Parameters
    ----------
    estimator : BaseAutoencoder
        Its parameters say what is to be fitted and how, `_objective` what is to be
        lowered, and `_corruption` what is to be encoded.
    given : FitData
        What `fit` or `partial_fit` was called with.
    progress : dict, optional
        That of a training that was cut off, to be taken up.
    of_codes : bool
        Whether the rows are codes of a layer below.

    Attributes
    ----------
    data : CheckedData
        The data to train on, and what is known of its columns.
    generator : torch.Generator
        The only source of randomness. Each rank has an order of the rows, and noise, of
        its own.
    dtype, device
        What is computed in, and where.
    moments : Moments or None
        Those of the rows, if fresh weights were drawn for them and nobody has others.
    """

    progress: dict[str, Any] | None = field(default=None, kw_only=True)
    of_codes: bool = field(default=False, kw_only=True)
    data: CheckedData = field(init=False)
    generator: torch.Generator = field(init=False)
    dtype: np.dtype[Any] = field(init=False)
    device: torch.device = field(init=False)
    moments: Moments | None = field(default=None, init=False)

    # ---- from the data to the model ---------------------------------------------

    @plainly()
    def run(self) -> None:
        """Fit, or take up the fit that was cut off."""
        estimator, given, progress = self.estimator, self.given, self.progress
        is_warm = estimator.warm_start and hasattr(estimator, "loss_curve_")
        with together(estimator.data_parallel) as self.ranks:
            self.data = check_training_data(
                estimator,
                given.X,
                given.sample_weight,
                loss=estimator.loss,
                continues=bool(progress) or is_warm,
            )
            if progress:
                self.data = replace(self.data, n_earlier=progress["n_earlier"])
            self._set_up()
            if progress:
                check_same_rows(progress["n_rows"], len(self.training.learner.rows))
                self.training.go_on_from(progress)
            rank = self.ranks.rank
            rows: Any = self.training.learner.rows
            is_warned = not self.of_codes and warn_of_collapse(
                estimator, rows, self.moments
            )
            with watched(estimator, given, estimator.max_iter, rank) as watch:
                self.train(watch)
            if rank == 0 and not is_warned:
                rate = self.highest_rate(self.training.parameters)
                warn_if_dead(estimator, self.training, rate)

    @plainly()
    def run_pass(self) -> None:
        """Pass over the data once, at a constant rate and with the weights as given.

        It takes a matrix alone: who has batches passes over each of them.
        """
        estimator, given = self.estimator, self.given
        with together(estimator.data_parallel) as self.ranks:
            self.data = check_data(
                estimator,
                given.X,
                given.sample_weight,
                loss=estimator.loss,
                continues=hasattr(estimator, "loss_curve_"),
                all_zero=True,
            )
            if self.ranks is not ALONE:
                check_agreement(self.ranks, estimator, self.data)
            weights = self.data.sample_weight
            if not any(self.ranks.gather(has_weight(weights))):
                return
            self._settle()
            rows = self._training_rows(weights)
            self._train_on(rows, constant=True)
            self.training.run_epoch()
            self.check_finite()
            self.ranks.close()
            self.become(self.training.parameters)

    def _set_up(self) -> None:
        """Settle what is trained on and what is held out, and what trains."""
        estimator, given, ranks = self.estimator, self.given, self.ranks
        check_held_out_arguments(
            estimator.early_stopping, given.X_val, given.sample_weight_val
        )
        if ranks is not ALONE:
            check_agreement(ranks, estimator, self.data, given.X_val)
            self.data = weighted_alike(ranks, self.data)
        data = self.data
        self._settle()
        train: slice | Array = rows_with_weight(data.sample_weight)
        validation = None
        if given.X_val is not None:
            validation = self._held_out_rows()
        elif estimator.early_stopping:
            check_can_hold_out(data.X)
            rows = np.arange(data.X.shape[0])[train]
            fraction = estimator.validation_fraction
            train, test = split_rows(rows, fraction, self.generator)
            weights = normalized(data.sample_weight, test, ranks)
            validation = self._training_rows(weights, test)
        weights = normalized(data.sample_weight, train, ranks)
        if isinstance(data.X, Stream):
            self._train_on(self._streamed_rows(), validation)
        else:
            self._train_on(self._training_rows(weights, train), validation)

    def _settle(self) -> None:
        """Settle where randomness comes from, and what is computed in and where."""
        data, estimator = self.data, self.estimator
        self.dtype = working_dtype(data.X.dtype)
        device = device_for(estimator.device, data.X)
        self.device = resolve_device(device, self.dtype)
        rank, state = self.ranks.rank, estimator._training_state
        kept = state["generator"] if data.continues and state else None
        if kept is None:
            generator = make_generator(draw_seed(estimator.random_state) + rank)
        else:
            generator = resume_generator(kept)
        # Those who go on from one model have one generator until here.
        states = self.ranks.gather(generator.get_state().numpy().tobytes())
        if states[rank] in states[:rank]:
            seed = int(torch.randint(2**31, (), generator=generator, device="cpu"))
            generator = make_generator(seed + rank)
        self.generator = generator

    # ---- rows -------------------------------------------------------------------

    def _training_rows(
        self, weights: Array | None, subset: slice | Array = EVERY_ROW
    ) -> MatrixRows:
        data = self.data
        return rows_of(
            data.X,
            weights,
            dtype=self.dtype,
            device=self.device,
            bounds=data.clip_to,
            margin=data.margin,
            subset=subset,
        )

    def _held_out_rows(self) -> MatrixRows:
        """Return the user's held-out rows.

        They may leave the loss's bounds, as a scaler's test rows do.
        """
        given, ranks = self.given, self.ranks
        data = check_held_out_data(
            self.estimator, self.data, given.X_val, given.sample_weight_val
        )
        if ranks is not ALONE:
            data = weighted_alike(ranks, data)
        weights = normalized(data.sample_weight, EVERY_ROW, ranks)
        how = {"dtype": self.dtype, "device": self.device, "name": "X_val"}
        return rows_of(data.X, weights, **how)

    def _streamed_rows(self) -> StreamedRows:
        X = self.data.X
        return StreamedRows(
            X, X.shape, dtype=self.dtype, device=self.device, bounds=self.data.clip_to
        )

    # ---- what trains ------------------------------------------------------------

    def _train_on(
        self,
        rows: TrainingRows,
        validation: MatrixRows | None = None,
        *,
        constant: bool = False,
    ) -> None:
        """Set up the training: many epochs, or a single one at a constant rate."""
        rows, validation = on_device(rows), on_device(validation)
        # All ranks take steps of as many rows.
        n_rows = max(self.ranks.gather(len(rows)))
        batch_size = self.batch_size(n_rows)
        learner = self._learner(rows, validation, batch_size)
        parameters = learner.parameters
        shards = self.ranks.open(parameters, len(rows))
        self.training = Training(
            learner,
            batch_size=batch_size,
            rate=constant_rate(self.highest_rate(parameters))
            if constant
            else self.schedule(n_rows, parameters),
            stopping=self.stopping(),
            shuffle=self.estimator.shuffle,
            generator=self.generator,
            keeps_epochs=not constant,
            shards=shards,
        )

    def _learner(
        self, rows: TrainingRows, validation: MatrixRows | None, batch_size: int
    ) -> Any:
        """Set up what learns from these rows."""
        estimator = self.estimator
        parameters = self._first_parameters(rows)
        state = solver_state(estimator) if self.data.continues else None
        parameters, solver = estimator._start(self, parameters, state)
        self.ranks.broadcast([*parameters.values(), *solver.state.values()])
        return estimator._learner(
            parameters,
            solver,
            rows,
            batch_size=batch_size,
            validation=validation,
            generator=self.generator,
            ranks=self.ranks,
        )

    def _first_parameters(self, rows: TrainingRows) -> Parameters:
        """Draw fresh weights, or copy the fitted ones."""
        estimator, X = self.estimator, self.data.X
        if self.data.continues:
            check_continues(estimator)
            if heeds_entries(estimator):
                self._look_at(rows)
            return copy_of(estimator._parameters(rows.dtype, rows.device))
        own, of_all = self._look_at(rows)
        self.moments = own if self.ranks is ALONE else None
        first: Parameters = estimator._first_parameters(
            self.given,
            X.shape[1],
            generator=self.generator,
            dtype=torch_dtype(rows.dtype),
            device=rows.device,
            scaling=scaling_of(of_all),
        )
        return first

    def _look_at(self, rows: TrainingRows) -> tuple[Moments, Moments]:
        """Return the moments of the rows, and of those of all ranks together."""
        X = self.data.X
        own = X.moments if isinstance(rows, StreamedRows) else moments_of(rows)
        of_all = reduce(add, self.ranks.gather(own))
        self.size_of_entries = of_all.root_mean_square
        return own, of_all

    def auto_batch_size(self, n_rows: int) -> int:
        """Return how many of many rows a step takes where that is not asked for."""
        return min(max(n_rows // STEPS_PER_EPOCH, FEWEST_ROWS), AUTO_BATCH_SIZE)

    # ---- the fitted model -------------------------------------------------------

    def attributes(self, parameters: Parameters) -> dict[str, Any]:
        """Describe the model that has these parameters, as NumPy arrays."""
        n_earlier = self.data.n_earlier if self.data.continues else 0
        found = fitted_attributes(self.estimator, parameters, self.training, n_earlier)
        return {**found, **self.data.columns}

    def attributes_now(self) -> dict[str, Any]:
        """Describe the model as it is between two epochs, and how to take it up."""
        n_earlier = self.data.n_earlier
        state = state_in_midst(self.estimator, self.training, n_earlier)
        return {**super().attributes_now(), "_training_state": state}

    def become(self, parameters: Parameters, *, in_step: bool = True) -> None:
        """Make the estimator the model that has these parameters.

        `in_step` says whether the solver's state belongs to them.
        """
        state = training_state(self.estimator, self.training, in_step=in_step)
        model = {**self.attributes(parameters), "_training_state": state}
        adopt(self.estimator, model)
