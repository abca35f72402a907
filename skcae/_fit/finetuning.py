"""One fit of a network that starts at an encoder, from labels to the model."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from skcae._core.data.arrays import (
    Array,
    device_for,
    resolve_device,
    resume_generator,
    to_array,
    to_tensor,
    working_dtype,
)
from skcae._core.data.modes import plainly
from skcae._core.data.rows import random_order
from skcae._core.data.tensors import MatrixRows, as_tensor, on_device, rows_of
from skcae._core.layers.chain import Chain
from skcae._core.layers.layer import Affine, Layer, Parameters
from skcae._core.steps.differentiated import DifferentiatedObjective
from skcae._core.steps.reconstruction import Corruption
from skcae._core.steps.supervised import NetworkLearner, NetworkObjective
from skcae._core.steps.tangents import TangentObjective, Tangents
from skcae._core.training.loop import Training, copy_of
from skcae._core.training.solvers import SolverState
from skcae._encoders.steps import (
    encoding_layers,
    features_of,
    split_steps,
)
from skcae._encoders.tangents import tangents_of
from skcae._encoders.tensors import initial_network, name_of
from skcae._fit.attributes import adopt, solver_state, state_in_midst
from skcae._fit.data import (
    check_n_features,
    check_range,
    check_same_rows,
    normalized,
)
from skcae._fit.epochs import Fit, Watch, watched
from skcae._fit.network_diagnosis import warn_if_dead
from skcae._fit.parameters import corruption_of
from skcae._fit.plans import FineTuningData, Plan, plan_of
from skcae._fit.pretraining import fit_encoder, rows_of_pretraining
from skcae._fit.target_units import (
    TargetUnits,
    best_constant,
    check_squares,
    warn_if_rounded,
)
from skcae.losses import IDENTITY

# The penalty is spread over so many rows at least, and the encoder's rate does not fall
# below that of so many. Fewer rows are one batch, where a weight is a repetition.
FEWEST_ROWS = 100
# From so many labelled rows on, the encoder has the rate of the output layer.
ROWS_OF_ONE_RATE = 10_000


@dataclass(frozen=True)
class PretrainedModel:
    """What a fit knows of its model before fine-tuning.

    Parameters
    ----------
    attributes : dict
        The fitted attributes that fine-tuning does not change.
    layers : list of Layer
        Where the hidden layers start.
    units : TargetUnits
        Those of the outputs in fine-tuning.
    """

    attributes: dict[str, Any]
    layers: list[Layer]
    units: TargetUnits


@dataclass(eq=False)
class FineTuningFit(Fit):
    """One fit of a network whose hidden layers start at an encoder's weights.

    Parameters
    ----------
    estimator : BaseFineTuned
        Its parameters say what is to be fitted and how, and its hooks what the outputs
        mean.
    given : FineTuningData
        What `fit` was called with.

    Attributes
    ----------
    plan : Plan
        What is settled before anything is fitted.
    model : PretrainedModel
        What is known before fine-tuning.
    corrupt : callable or None
        What makes noisy copies of the rows that are fine-tuned on.
    n_done : int
        How many epochs of a fit that is taken up are done.
    """

    given: FineTuningData
    plan: Plan = field(init=False)
    model: PretrainedModel = field(init=False)
    corrupt: Corruption | None = field(init=False)
    n_done: int = field(default=0, init=False)

    # ---- from the data to the model ---------------------------------------------

    @plainly()
    def run(self) -> None:
        """Fit the encoder, and fine-tune the network."""
        estimator, given = self.estimator, self.given
        units = self._settle()
        rows = rows_of_pretraining(
            given.X, given.y, self.plan.sample_weight, given.X_unlabeled
        )
        with watched(estimator, given, n_tasks=2) as watch:
            encoder, task = clone(estimator.encoder), watch.subtask("pre-training")
            fit_encoder(estimator, encoder, *rows, task.context)
            self._set_up(encoder, units)
            self._fine_tune(watch)

    @plainly()
    def go_on(self) -> None:
        """Take up the fine-tuning that the estimator was seen in the midst of."""
        estimator = self.estimator
        units = self._settle(seed_of(estimator._training_state))
        self.n_done = len(estimator._training_state["progress"]["means"])
        with watched(estimator, self.given, n_tasks=2) as watch:
            # The first task, which was done then.
            watch.subtask("pre-training")
            self._set_up(estimator.encoder_, units, solver_state(estimator))
            self._take_up()
            self._fine_tune(watch)

    def _settle(self, seed: int | None = None) -> TargetUnits:
        """Settle what is going to be done, and return the units of the outputs."""
        estimator = self.estimator
        # Without noise nothing is drawn, so that a training is what it was.
        self.corrupt = corruption_of(estimator) if estimator.corruption_level else None
        self.plan = plan_of(estimator, self.given, seed)
        units: TargetUnits = estimator._units(*self.plan.labels)
        # An objective is a square.
        self.unit = units.one * units.one
        check_squares(self.unit, self.plan.data.targets)
        return units

    def _fine_tune(self, watch: Watch) -> None:
        """Train what has been set up, as the second task."""
        task = watch.subtask("fine-tuning", self.estimator.max_iter)
        task.begin()
        self.train(task)
        task.end()
        warn_if_dead(self.estimator, self.training, self.plan.loss, self.unit)

    def _set_up(
        self, encoder: Any, units: TargetUnits, state: SolverState | None = None
    ) -> None:
        """Settle where the network starts, and what trains it."""
        estimator, plan = self.estimator, self.plan
        steps, encoders = split_steps(encoder)
        self.model = PretrainedModel(
            {**plan.attributes, "encoder_": encoder},
            encoding_layers(encoders),
            units,
        )
        learner = self._learner(steps, state)
        n_rows = len(learner.rows)
        self.training = Training(
            learner,
            batch_size=self.batch_size(n_rows),
            rate=self.schedule(n_rows, learner.parameters),
            stopping=self.stopping(),
            shuffle=estimator.shuffle,
            generator=plan.generator,
        )

    def _take_up(self) -> None:
        """Go on from a training in its midst, which was set up as this one."""
        training, before = self.training, self.estimator._training_state
        check_same_rows(before["progress"]["n_rows"], len(training.learner.rows))
        for name, parameter in training.parameters.items():
            parameter.copy_(torch.from_numpy(before["parameters"][name].copy()))
        self.plan.generator.set_state(torch.from_numpy(before["generator"].copy()))
        training.go_on_from(before["progress"])

    # ---- what trains ------------------------------------------------------------

    def _learner(self, steps: list[Any], state: SolverState | None) -> NetworkLearner:
        """Set up what learns, from the rows as the first layer takes them."""
        plan, layers, units = self.plan, self.model.layers, self.model.units
        data, held_out = plan.data, plan.held_out
        X = features_of(steps, data.X)
        check_n_features(X, layers[0].n_inputs)
        dtype = working_dtype(X.dtype)
        device = resolve_device(device_for(self.estimator.device, X), dtype)
        check_range("y", data.targets, dtype)
        warn_if_rounded(units, data.targets, dtype)

        def in_units(targets: Array) -> Tensor:
            return to_tensor(units.of(targets), dtype, device)

        def selected(subset: Array | slice) -> tuple[MatrixRows, Tensor]:
            weights = normalized(plan.weights, subset)
            rows = rows_of(X, weights, dtype=dtype, device=device, subset=subset)
            return rows, in_units(data.targets[subset])

        validation = None if plan.test is None else selected(plan.test)
        if held_out is not None:
            X_val = features_of(steps, held_out.X)
            check_range("y_val", held_out.targets, dtype)
            rows_val = rows_of(X_val, dtype=dtype, device=device, name="X_val")
            validation = rows_val, in_units(held_out.targets)
        if validation is not None:
            validation = on_device(validation[0]), validation[1]
        rows, targets = selected(plan.train)
        constant = best_constant(plan.loss, targets, rows.weights_of(slice(None)))
        network = initial_network(
            layers, to_array(constant), plan.generator, dtype, device
        )
        factors = self._rate_factors(network, len(rows))
        return NetworkLearner(
            self._objective(steps, rows),
            network,
            self.solver(network.parameters, state, factors),
            on_device(rows),
            targets,
            batch_size=self.batch_size(len(rows)),
            validation=validation,
            error=partial(self.estimator._error, plan.loss),
            corrupt=self.corrupt,
            generator=plan.generator,
        )

    def _rate_factors(self, network: Chain, n_rows: int) -> dict[str, float]:
        """Return by what the rate of each of the encoder's parameters is multiplied."""
        factor = self.estimator.encoder_rate_factor
        if isinstance(factor, str):
            factor = min(1.0, (max(n_rows, FEWEST_ROWS) / ROWS_OF_ONE_RATE) ** 1.5)
        last = f".{len(network.layers) - 1}"
        names = [name for name in network.parameters if not name.endswith(last)]
        return dict.fromkeys(names, float(factor))

    def _objective(self, steps: list[Any], rows: MatrixRows) -> NetworkObjective:
        """Settle what to lower, along tangents too if there is a penalty on that."""
        estimator, loss = self.estimator, self.plan.loss
        decay = float(estimator.alpha) / max(len(rows), FEWEST_ROWS)
        tangents = None
        # They may take long, and are of no use where no step is left to be taken.
        if estimator.tangent_penalty and self.n_done < estimator.max_iter:
            tangents = self._tangents(steps, rows)
        if not Chain(tuple(self.model.layers)).is_affine:
            return DifferentiatedObjective(loss, tangents=tangents, decay=decay)
        if tangents is None:
            return NetworkObjective(loss, decay=decay)
        return TangentObjective(loss, tangents, decay=decay)

    def _tangents(self, steps: list[Any], rows: MatrixRows) -> Tangents:
        """Find the tangents of the rows to train on, or of rows that are drawn."""
        estimator, layers = self.estimator, self.model.layers
        linear = estimator.tangent_output == "linear"
        output = IDENTITY if linear else self.plan.loss.output
        strength = float(estimator.tangent_penalty)
        n_tangents = int(estimator.n_tangents)
        if estimator.n_tangent_rows is None:
            return Tangents(tangents_of(layers, rows, n_tangents), strength, output)
        X = self._rows_with_tangents(steps, rows)
        drawn = rows_of(X, dtype=rows.dtype, device=rows.device)
        return Tangents(
            tangents_of(layers, drawn, n_tangents),
            strength,
            output,
            rows=X,
            generator=self.plan.generator,
        )

    def _rows_with_tangents(self, steps: list[Any], rows: MatrixRows) -> Tensor:
        """Draw rows to train on and unlabelled ones, as the first layer takes them."""
        plan, X = self.plan, rows.matrix
        sources = [("X", X, np.arange(X.shape[0])[plan.train])]
        if plan.X_unlabeled is not None:
            others = features_of(steps, plan.X_unlabeled)
            sources.append(("X_unlabeled", others, np.arange(others.shape[0])))
        n = sum(len(usable) for _, _, usable in sources)
        # Positions among the usable rows of the first source, then of the second.
        drawn = np.sort(
            random_order(n, plan.generator)[: self.estimator.n_tangent_rows]
        )
        parts = []
        for name, X, usable in sources:
            is_here = drawn < len(usable)
            chosen, drawn = usable[drawn[is_here]], drawn[~is_here] - len(usable)
            part = rows_of(
                X, dtype=rows.dtype, device=rows.device, subset=chosen, name=name
            )
            parts.append(as_tensor(part))
        return torch.cat(parts)

    # ---- the fitted model -------------------------------------------------------

    def attributes(self, parameters: Parameters) -> dict[str, Any]:
        """Describe the model that has these parameters, as NumPy arrays."""
        training, layers = self.training, self.model.layers
        validation, units = training.validation_curve, self.model.units
        unit = self.unit
        arrays = {name: to_array(part) for name, part in parameters.items()}
        names = [(f"coefs.{k}", f"intercepts.{k}") for k in range(len(layers) + 1)]
        output = units.output_layer(*(arrays.pop(name) for name in names.pop()))
        # What is not dense is kept as it is.
        hidden = None if Chain(tuple(layers)).has_matrices else arrays
        dense = names if hidden is None else []
        pairs = [*((arrays[W], arrays[b]) for W, b in dense), output]
        return {
            "feature_names_in_": None,
            **self.model.attributes,
            # scikit-learn's networks have their weights that way round.
            "coefs_": [W.T for W, _ in pairs],
            "intercepts_": [b for _, b in pairs],
            "hidden_parameters_": hidden,
            "loss_curve_": unit * np.array(training.loss_curve),
            "penalty_curve_": unit * np.array([part for _, part in training.means]),
            "n_iter_": len(training.loss_curve),
            "validation_error_curve_": unit * np.array(validation)
            if validation
            else None,
            "_fitted_activations": [
                name_of(layer.activation)
                for layer in layers
                if isinstance(layer, Affine)
            ],
        }

    def attributes_now(self) -> dict[str, Any]:
        """Describe the model as it is between two epochs, and how to take it up."""
        state = state_in_midst(self.estimator, self.training)
        parameters = copy_of(self.training.parameters)
        # As they are trained: outputs in other units are not what they were, to a bit.
        own = {name: to_array(part) for name, part in parameters.items()}
        state["parameters"] = own
        return {**self.attributes(parameters), "_training_state": state}

    def become(self, parameters: Parameters, *, in_step: bool = True) -> None:
        """Make the estimator the model that has these parameters."""
        model = {**self.attributes(parameters), "_training_state": None}
        adopt(self.estimator, model)


def seed_of(state: dict[str, Any]) -> int:
    """Return the seed that all draws of a training in its midst have come from."""
    return resume_generator(state["generator"]).initial_seed()
