"""The step of one convolution in closed form, against torch's differentiation."""

import math

import pytest
import torch
from numpy.random import default_rng

from skcae._core.data.rows import Rows
from skcae._core.layers.convolution import Convolution
from skcae._core.layers.network import DenseArchitecture
from skcae._core.steps import closed, joint
from skcae._core.steps.joint import JointLearner, JointObjective
from skcae._core.training.solvers import Sgd
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from tests.core.test_convolutional import draw, make, parameters_of

N_ROWS = 5
WEIGHTS = [None, torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0], dtype=torch.float64)]
CASES = ["one layer", "strides", "valid", "max pooling", "overhanging windows"]


def rows_of(architecture):
    return draw(N_ROWS, math.prod(architecture.image_shape), seed=1).sigmoid()


def assert_same_gradient(
    architecture, loss="squared_error", strength=0.3, weights=None, n_at_once=None
):
    objective = JointObjective(architecture, LOSSES[loss], strength)
    parameters, X = parameters_of(architecture), rows_of(architecture)
    leaves = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    expected, by_torch = objective.totals_and_gradient(leaves, X, weights, (None, None))
    form = objective.closed_form(architecture.network(parameters))
    totals, gradient = form.totals_and_gradient(X, weights, n_at_once=n_at_once)
    torch.testing.assert_close(totals, expected)
    assert gradient.keys() == by_torch.keys() == parameters.keys()
    for name, other in by_torch.items():
        torch.testing.assert_close(gradient[name], other)


@pytest.mark.parametrize("weights", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("case", CASES)
def test_its_gradient_is_autograds(case, tied, weights):
    assert_same_gradient(make(case, tied=tied), weights=weights)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", ["one layer", "max pooling"])
def test_so_it_is_with_every_activation_and_loss(case, activation, loss):
    assert_same_gradient(make(case, activation), loss)


@pytest.mark.parametrize("weights", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("case", ["one layer", "max pooling"])
def test_so_it_is_without_a_penalty(case, weights):
    assert_same_gradient(make(case), strength=0.0, weights=weights)


@pytest.mark.parametrize("n_at_once", [1, 3, 5])
@pytest.mark.parametrize("n_rows", [1, 2, 10])
@pytest.mark.parametrize("weights", WEIGHTS, ids=["plain", "weighted"])
@pytest.mark.parametrize("case", ["one layer", "max pooling"])
def test_rows_may_be_taken_a_few_at_a_time(
    case, n_rows, n_at_once, weights, monkeypatch
):
    architecture = make(case)
    monkeypatch.setattr(closed, "TILE", n_rows * math.prod(architecture.code_shape))
    assert_same_gradient(architecture, weights=weights, n_at_once=n_at_once)


def test_what_is_of_the_filters_is_computed_once_a_step(monkeypatch):
    """However few rows are taken at a time."""
    calls = []
    for name in ("squared_norms", "norm_gradient"):
        method = getattr(Convolution, name)

        def counted(*args, name=name, method=method):
            calls.append(name)
            return method(*args)

        monkeypatch.setattr(Convolution, name, counted)
    architecture = make("one layer")
    objective = JointObjective(architecture, LOSSES["squared_error"], 0.3)
    form = objective.closed_form(architecture.network(parameters_of(architecture)))
    form.totals_and_gradient(rows_of(architecture), None, n_at_once=1)
    assert calls == ["squared_norms", "norm_gradient"]


def test_nothing_else_has_it():
    loss = LOSSES["squared_error"]
    dense = DenseArchitecture((40, 3), ACTIVATIONS["tanh"], is_tied=True)
    others = [
        *(
            JointObjective(make(name), loss, 0.3)
            for name in ("average pooling", "two layers")
        ),
        JointObjective(dense, loss, 0.3),
        JointObjective(make(), loss, 0.3, 0.1),
        JointObjective(make(), loss, 0.3, n_probes=1),
    ]
    for objective in others:
        network = objective.coder(parameters_of(objective.architecture))
        assert objective.closed_form(network) is None
    # Without a strength there is nothing that probes would estimate.
    objective = JointObjective(make(), loss, 0.0, n_probes=1)
    network = objective.coder(parameters_of(objective.architecture))
    assert objective.closed_form(network) is not None


@pytest.mark.parametrize("elements", [2**21, 100])
@pytest.mark.parametrize("case", ["strides", "max pooling"])
def test_a_training_takes_the_same_steps_with_it(case, elements, monkeypatch):
    """Also where a batch is taken a few rows at a time."""
    monkeypatch.setattr(joint, "CHUNK_ELEMENTS", elements)
    architecture = make(case)
    X = default_rng(0).random((20, 40))
    learners = []
    for is_closed in (True, False):
        if not is_closed:
            monkeypatch.setattr(JointObjective, "closed_form", lambda *_: None)
        parameters = parameters_of(architecture)
        objective = JointObjective(architecture, LOSSES["cross_entropy"], 0.3)
        learner = JointLearner(
            objective,
            parameters,
            Sgd(parameters, momentum=0.9),
            Rows(
                X, default_rng(1).random(20), dtype=X.dtype, device=torch.device("cpu")
            ),
            batch_size=10,
        )
        of_part = learner.step.of_part.func.__self__
        assert isinstance(of_part, closed.ClosedForm) == is_closed
        totals = torch.zeros(4, 2, dtype=torch.float64)
        for start, of_step in zip((0, 10, 0, 10), totals, strict=True):
            learner.take_step(default_rng(start).permutation(20)[:10], 0.05, of_step)
        learners.append((parameters, totals))
    (ours, our_totals), (theirs, their_totals) = learners
    torch.testing.assert_close(our_totals, their_totals)
    for name, parameter in ours.items():
        torch.testing.assert_close(parameter, theirs[name])
