"""Layers that are trained together: the objective, its gradient, and the probes."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from skcae._core.data.moments import Scaling
from skcae._core.data.rows import Rows
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.network import DenseArchitecture
from skcae._core.steps import joint
from skcae._core.steps.joint import (
    JointLearner,
    JointObjective,
    mean_objective,
    signs,
    squared_norms,
)
from skcae._core.training.solvers import Sgd
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from tests import oracles

CPU = torch.device("cpu")
SIZES = [(7, 4), (5, 6), (7, 5, 3), (4, 6, 5, 3), (6, 3, 5, 7)]
WEIGHTS = [None, torch.tensor([0.5, 2.0, 0.0, 1.0], dtype=torch.float64)]


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def parameters_of(architecture, scale=0.4):
    return {
        name: scale * draw(*shape, seed=k)
        for k, (name, shape) in enumerate(architecture.shapes.items())
    }


def rows_of(d, n=4):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, d, generator=generator, dtype=torch.float64)


# ---- the naive objective -------------------------------------------------------------


def naive_encoder(parameters, x, activation):
    for k in range(sum(name.startswith("encoder") for name in parameters) // 2):
        W, b = parameters[f"encoder.{k}.weight"], parameters[f"encoder.{k}.bias"]
        x = oracles.ACTIVATIONS[activation](W @ x + b)
    return x


def naive_decoder(parameters, h, activation):
    n = sum(name.startswith("encoder") for name in parameters) // 2
    for k in range(n):
        W = parameters[f"encoder.{n - 1 - k}.weight"]
        V = parameters.get(f"decoder.{k}.weight", W)
        h = V.T @ h + parameters[f"decoder.{k}.bias"]
        if k < n - 1:
            h = oracles.ACTIVATIONS[activation](h)
    return h


def naive_totals(parameters, X, weights, activation, loss, strengths):
    """Loss and penalties, summed over the rows."""
    losses = penalties = 0
    for i, x in enumerate(X):
        h = naive_encoder(parameters, x, activation)
        z = naive_decoder(parameters, h, activation)
        if loss == "squared_error":
            output, value = (lambda z: z), (z - x).square().sum()
        else:
            output = torch.sigmoid
            value = torch.nn.functional.binary_cross_entropy_with_logits(
                z, x, reduction="sum"
            )
        J_f = torch.autograd.functional.jacobian(
            lambda x: naive_encoder(parameters, x, activation), x, create_graph=True
        )
        J_g = torch.autograd.functional.jacobian(
            lambda h, output=output: output(naive_decoder(parameters, h, activation)),
            h,
            create_graph=True,
        )
        w = 1 if weights is None else weights[i]
        losses = losses + w * value
        for strength, J in zip(strengths, (J_f, J_g), strict=True):
            penalties = penalties + w * strength * J.square().sum()
    return torch.stack((losses, penalties))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_objective_and_gradient_are_the_naive_ones(sizes, activation):
    cases = [
        (tied, loss, weights)
        for tied in (True, False)
        for loss in LOSSES
        for weights in WEIGHTS
    ]
    for tied, loss, weights in cases:
        architecture = DenseArchitecture(sizes, ACTIVATIONS[activation], tied)
        leaves = parameters_of(architecture)
        leaves = {name: part.requires_grad_() for name, part in leaves.items()}
        X, strengths = rows_of(sizes[0]), (0.3, 0.2)
        objective = JointObjective(architecture, LOSSES[loss], *strengths)
        totals, found = objective.totals_and_gradient(leaves, X, weights, (None, None))
        naive = naive_totals(leaves, X, weights, activation, loss, strengths)
        torch.testing.assert_close(totals, naive.detach(), rtol=1e-12, atol=0)
        expected = torch.autograd.grad(naive.sum(), list(leaves.values()))
        for (name, ours), theirs in zip(found.items(), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("strengths", [(0.3, 0.0), (0.0, 0.2), (0.0, 0.0)])
def test_what_is_not_weighed_is_not_there(strengths):
    architecture = DenseArchitecture((5, 4, 3), ACTIVATIONS["tanh"], False)
    leaves = {n: p.requires_grad_() for n, p in parameters_of(architecture).items()}
    objective = JointObjective(architecture, LOSSES["squared_error"], *strengths)
    X = rows_of(5)
    totals, found = objective.totals_and_gradient(leaves, X, None, (None, None))
    naive = naive_totals(leaves, X, None, "tanh", "squared_error", strengths)
    torch.testing.assert_close(totals, naive.detach())
    for ours, theirs in zip(
        found.values(),
        torch.autograd.grad(naive.sum(), list(leaves.values())),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


# ---- probes --------------------------------------------------------------------------


def chain_of(*sizes):
    return Chain(
        tuple(
            Dense(draw(h, d, seed=h), draw(h, seed=d), ACTIVATIONS["sigmoid"])
            for d, h in pairwise(sizes)
        )
    )


@pytest.mark.parametrize("n_probes", [1, 3])
def test_probes_are_unbiased_and_of_the_stated_variance(n_probes):
    chain, n = chain_of(8, 6, 4), 20_000
    X = draw(1, 8)
    states = [state.expand(n, -1) for state in chain.states_at(X)]
    generator = torch.Generator().manual_seed(0)
    probes = signs((n, n_probes, 4), generator).double()
    found = squared_norms(chain, states, probes)
    exact = squared_norms(chain, chain.states_at(X), None)
    (J,) = chain.jacobians(chain.states_at(X))
    torch.testing.assert_close(exact[0], J.square().sum())
    G = J @ J.T
    variance = 2 * (G.square().sum() - G.diagonal().square().sum()) / n_probes
    error = (variance / n).sqrt()
    assert abs(found.mean() - exact[0]) < 3 * error
    torch.testing.assert_close(found.var(), variance, rtol=0.05, atol=0)


def test_one_probe_of_each_unit_vector_is_the_exact_norm():
    chain = chain_of(8, 6, 4)
    states = chain.states_at(draw(5, 8))
    eye = torch.eye(4, dtype=torch.float64).expand(5, 4, 4)
    torch.testing.assert_close(
        4 * squared_norms(chain, states, eye), squared_norms(chain, states, None)
    )


def test_signs_are_signs_and_of_the_generator_alone():
    before = torch.get_rng_state()
    first, again = (
        signs((50, 2, 9), torch.Generator().manual_seed(0)) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert set(first.unique().tolist()) == {-1, 1}
    assert abs(float(first.double().mean())) < 3 / 30
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("sizes", [(9, 5, 4), (4, 9, 3), (6, 5, 4, 3)], ids=str)
def test_norms_from_the_code_are_those_of_the_jacobians(sizes):
    chain = chain_of(*sizes)
    states = chain.states_at(draw(7, sizes[0]))
    J = chain.jacobians(states)
    torch.testing.assert_close(chain.norms_from_code(states), J.square().sum((1, 2)))


def test_sums_and_products_of_the_layers_norms_are_others():
    """What is sometimes taken for the norm of the whole encoder."""
    chain = chain_of(8, 6, 4)
    states = chain.states_at(draw(5, 8))
    own = [
        layer.squared_norms_at(state, None).sum(1)
        for layer, state in zip(chain.layers, states, strict=True)
    ]
    norms = squared_norms(chain, states, None)
    assert (sum(own) > 1.5 * norms).all()
    assert (own[0] * own[1] > 1.5 * norms).all()


# ---- learning ------------------------------------------------------------------------


def learner(n_probes=0, *, batch_size=6, strength=0.3, seed=0):
    architecture = DenseArchitecture((5, 4, 3), ACTIVATIONS["tanh"], True)
    parameters = parameters_of(architecture)
    X = rows_of(5, 20).numpy()
    rows = Rows(X, np.linspace(0.5, 1.5, 20), dtype=X.dtype, device=CPU)
    objective = JointObjective(
        architecture, LOSSES["squared_error"], strength, 0.1, n_probes, n_probes
    )
    return JointLearner(
        objective,
        parameters,
        Sgd(parameters),
        rows,
        batch_size=batch_size,
        validation=Rows(X[:7], dtype=X.dtype, device=CPU),
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.mark.parametrize("n_probes", [0, 2])
def test_parts_of_a_batch_add_up(n_probes, monkeypatch):
    """An exact norm that does not fit in memory takes a few rows at a time."""
    index, totals, found = np.arange(6), torch.zeros(2, 2).double(), []
    for budget, of_step in zip((joint.CHUNK_ELEMENTS, 30), totals, strict=True):
        monkeypatch.setattr(joint, "CHUNK_ELEMENTS", budget)
        one = learner(n_probes)
        one.take_step(index, 0.1, of_step)
        found.append(one.parameters)
    assert learner(n_probes).step.n_at_once < 6
    torch.testing.assert_close(*totals)
    for name, part in found[0].items():
        torch.testing.assert_close(part, found[1][name], msg=name)


def test_a_step_descends_along_the_mean_gradient():
    one = learner()
    before = {name: part.clone() for name, part in one.parameters.items()}
    index = np.array([3, 1, 7])
    X, w = torch.empty(3, 5).double(), one.rows.weights_of(index)
    one.rows.read(index, X)
    leaves = {name: part.clone().requires_grad_() for name, part in before.items()}
    naive = naive_totals(leaves, X, w, "tanh", "squared_error", (0.3, 0.1))
    gradient = torch.autograd.grad(naive.sum() / 3, list(leaves.values()))
    totals = torch.zeros(2, dtype=torch.float64)
    one.take_step(index, 0.1, totals)
    torch.testing.assert_close(totals, naive.detach())
    for part, (name, old) in zip(gradient, before.items(), strict=True):
        torch.testing.assert_close(one.parameters[name], old - 0.1 * part, msg=name)


def test_held_out_rows_have_the_same_probes_each_time():
    one = learner(1)
    first = one.held_out()
    one.generator.manual_seed(5)
    signs((3, 3), one.generator)
    other = learner(1, seed=5)
    assert first == learner(1).held_out() != other.held_out()
    many = learner(2000)
    assert many.held_out() == pytest.approx(learner(0).held_out(), rel=0.01)


def test_the_mean_objective_is_the_weighted_mean():
    one = learner()
    mean = mean_objective(one.objective, one.parameters, one.rows, one.generator)
    X = rows_of(5, 20)
    w = torch.linspace(0.5, 1.5, 20, dtype=torch.float64)
    totals = naive_totals(one.parameters, X, w, "tanh", "squared_error", (0.3, 0.1))
    assert mean == pytest.approx(float(totals.detach().sum() / w.sum()), rel=1e-12)


# ---- first weights -------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_fresh_weights_encode_scaled_columns(tied):
    architecture = DenseArchitecture((3, 4, 2), ACTIVATIONS["sigmoid"], tied)
    shift, scale = np.array([100.0, -3.0, 0.0]), np.array([16.0, 0.5, 1.0])

    def drawn(scaling):
        return architecture.initial_parameters(
            generator=torch.Generator().manual_seed(0),
            dtype=torch.float64,
            device=CPU,
            scaling=scaling,
        )

    plain = drawn(Scaling(np.zeros(3), np.ones(3)))
    assert list(plain) == list(architecture.shapes)
    assert {n: (*p.shape,) for n, p in plain.items()} == architecture.shapes
    moved, U = drawn(Scaling(shift, scale)), draw(5, 3)
    X = torch.from_numpy(shift) + torch.from_numpy(scale) * U
    torch.testing.assert_close(
        architecture.network(moved).encode(X), architecture.network(plain).encode(U)
    )
    torch.testing.assert_close(moved["decoder.1.bias"], torch.from_numpy(shift))
