"""The step by hand computes what torch's differentiation gives."""

import numpy as np
import pytest
import torch

from skcae._core.data.rows import Rows
from skcae._core.layers.network import DenseArchitecture
from skcae._core.steps.joint import JointLearner, JointObjective
from skcae._core.steps.mirrored import MirroredStep
from skcae._core.training.solvers import Adam, Sgd
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES

CPU = torch.device("cpu")


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def parameters_of(architecture):
    return {
        name: 0.4 * draw(*shape, seed=k)
        for k, (name, shape) in enumerate(architecture.shapes.items())
    }


@pytest.mark.parametrize("sizes", [(7, 4), (5, 6), (7, 5, 3), (4, 6, 5, 3)], ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_it_is_what_torch_differentiates(sizes, activation, strength):
    for tied in (True, False):
        for loss in LOSSES.values():
            architecture = DenseArchitecture(sizes, ACTIVATIONS[activation], tied)
            parameters = parameters_of(architecture)
            leaves = {n: p.clone().requires_grad_() for n, p in parameters.items()}
            objective = JointObjective(architecture, loss, strength, n_probes=1)
            network = architecture.network(parameters)
            probes = objective.probes(network, 6, torch.Generator().manual_seed(0))
            X = torch.rand(6, sizes[0], generator=torch.Generator().manual_seed(1))
            X = X.double()
            # The memory has room for more rows than there are.
            step = MirroredStep(network, loss, strength, 9)
            for weights in (None, torch.linspace(0, 2, 6, dtype=torch.float64)):
                totals, expected = objective.totals_and_gradient(
                    leaves, X, weights, probes
                )
                step.rows(6).copy_(X)
                found, gradient = step.totals_and_gradient(6, weights, probes)
                torch.testing.assert_close(found, totals)
                for name, part in expected.items():
                    ours = torch.zeros_like(part)
                    gradient.add_to({name: ours}, parameters)
                    torch.testing.assert_close(6 * ours, part, msg=name)


def learner(solver, **objective):
    architecture = DenseArchitecture((5, 4, 3), ACTIVATIONS["tanh"], True)
    parameters = parameters_of(architecture)
    X = np.random.default_rng(0).random((20, 5))
    rows = Rows(X, np.linspace(0.5, 1.5, 20), dtype=X.dtype, device=CPU)
    return JointLearner(
        JointObjective(architecture, LOSSES["cross_entropy"], **objective),
        parameters,
        solver(parameters),
        rows,
        batch_size=6,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("solver", [Adam, Sgd])
@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_a_learner_learns_the_same_by_hand(solver, strength, monkeypatch):
    by_hand = learner(solver, strength=strength, n_probes=1)
    assert isinstance(by_hand.step, MirroredStep)
    monkeypatch.setattr(JointObjective, "mirrored", lambda *_: None)
    by_torch = learner(solver, strength=strength, n_probes=1)
    assert not isinstance(by_torch.step, MirroredStep)
    for index in (np.arange(6), np.array([7, 19, 3]), np.arange(2, 8)):
        totals = torch.zeros(2, 2, dtype=torch.float64)
        for one, of_step in zip((by_hand, by_torch), totals, strict=True):
            one.take_step(index, 0.01, of_step)
        torch.testing.assert_close(totals[0], totals[1])
    for name, part in by_hand.parameters.items():
        torch.testing.assert_close(part, by_torch.parameters[name], msg=name)


@pytest.mark.parametrize(
    "objective",
    [
        {"strength": 0.3},
        {"strength": 0.3, "n_probes": 2},
        {"strength": 0.3, "n_probes": 1, "decoder_strength": 0.1},
    ],
    ids=str,
)
def test_all_else_is_left_to_torch(objective):
    assert not isinstance(learner(Sgd, **objective).step, MirroredStep)
