"""Tangent propagation: its value, its gradient and its limits."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.func import jacrev, vmap

from skcae._core.steps.differentiated import DifferentiatedObjective
from skcae._core.steps.supervised import NetworkObjective
from skcae._core.steps.tangents import TangentObjective, Tangents
from skcae.activations import ACTIVATIONS
from skcae.losses import IDENTITY, LOG_SOFTMAX, LOSSES
from tests.core.test_supervised import (
    N_FEATURES,
    NETWORK_LOSSES,
    chain_of,
    dense,
    draw_parameters,
    draw_rows,
    draw_targets,
    draw_weights,
    learner_of,
    naive_outputs,
    network_of,
    rows_of,
    training_of,
)

# The output of each loss, as torch has it for one row.
OUTPUTS = {
    "log_softmax": lambda z: torch.softmax(z, 0),
    "cross_entropy": torch.sigmoid,
    "squared_error": lambda z: z,
}
STRENGTH = 0.7


def draw_tangents(n, m=2, seed=4):
    """Directions of any length, at any angle."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, m, N_FEATURES)))


def objective_of(loss, tangents, strength=STRENGTH, *, linear=False):
    loss = NETWORK_LOSSES[loss][0]
    output = IDENTITY if linear else loss.output
    return TangentObjective(loss, Tangents(tangents, strength, output))


def value_and_gradient(objective, chain, X, T, weights=None, index=slice(None)):
    """Return the objective of a batch and its gradient, as a step computes them."""
    values, gradient = objective.values_and_gradient(chain, index, X, T, weights)
    mean = (values if weights is None else weights * values).sum() / len(X)
    return mean, dense(gradient, chain.parameters)


def naive_penalties(parameters, X, tangents, names, loss, *, linear=False):
    """Σ_u ‖(∂o/∂x) u‖² of each row, with the whole Jacobian of the whole network."""

    def output(x):
        z = naive_outputs(parameters, x[None], names)[0]
        return z if linear else OUTPUTS[loss](z)

    products = vmap(jacrev(output))(X) @ tangents.mT
    return products.square().sum((1, 2))


def naive_values(parameters, X, T, tangents, names, loss, *, linear=False):
    losses = NETWORK_LOSSES[loss][1](T, naive_outputs(parameters, X, names))
    penalties = naive_penalties(parameters, X, tangents, names, loss, linear=linear)
    return torch.stack((losses, STRENGTH * penalties))


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_values_are_the_formulas(depth, loss):
    network, names = network_of("sigmoid", depth)
    parameters = draw_parameters(depth, NETWORK_LOSSES[loss][2])
    before = {name: p.clone() for name, p in parameters.items()}
    X, T = torch.from_numpy(draw_rows(7)), draw_targets(loss, 7)
    tangents, rows = draw_tangents(7), X.clone()
    objective = objective_of(loss, tangents)
    values, _ = objective.values_and_gradient(
        network(parameters), slice(None), X, T, None
    )
    expected = naive_values(parameters, X, T, tangents, names, loss)
    torch.testing.assert_close(values, expected, rtol=1e-11, atol=1e-13)
    # What is the penalty's is more than nothing.
    assert (naive_penalties(parameters, X, tangents, names, loss) > 1e-6).any()
    # Nothing that is given is written to.
    assert torch.equal(X, rows)
    assert torch.equal(tangents, draw_tangents(7))
    assert all(torch.equal(parameters[name], before[name]) for name in before)


@pytest.mark.parametrize("linear", [False, True], ids=["outputs", "linear"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_gradient_equals_autograd(activation, depth, loss, weighted, linear):
    network, names = network_of(activation, depth)
    parameters = draw_parameters(depth, NETWORK_LOSSES[loss][2])
    X, T = torch.from_numpy(draw_rows(7)), draw_targets(loss, 7)
    tangents = draw_tangents(7, m=3)
    weights = torch.from_numpy(draw_weights(7)) if weighted else None
    objective = objective_of(loss, tangents, linear=linear)
    value, gradient = value_and_gradient(objective, network(parameters), X, T, weights)

    tracked = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    values = naive_values(tracked, X, T, tangents, names, loss, linear=linear)
    expected = (values if weights is None else weights * values).sum() / 7
    expected.backward()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-12)
    assert gradient.keys() == parameters.keys()
    for name, tensor in gradient.items():
        torch.testing.assert_close(
            tensor, tracked[name].grad, rtol=1e-10, atol=1e-12, msg=name
        )


@pytest.mark.parametrize("objective_class", [TangentObjective, DifferentiatedObjective])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
@pytest.mark.parametrize("depth", [1, 3])
def test_at_rows_of_their_own_the_gradient_equals_autograd(
    depth, loss, weighted, objective_class
):
    """As many as the batch has, drawn anew, of which the loss is not."""
    network, names = network_of("sigmoid", depth)
    function = NETWORK_LOSSES[loss][0]
    parameters = draw_parameters(depth, NETWORK_LOSSES[loss][2])
    X, T = torch.from_numpy(draw_rows(7)), draw_targets(loss, 7)
    weights = torch.from_numpy(draw_weights(7)) if weighted else None
    rows, vectors = torch.from_numpy(draw_rows(30, seed=8)), draw_tangents(30, m=3)
    generator = torch.Generator().manual_seed(0)
    tangents = Tangents(
        vectors, STRENGTH, function.output, rows=rows, generator=generator
    )
    objective = objective_class(function, tangents=tangents)
    assert objective.columns_per_row == 5
    chain, same = network(parameters), torch.Generator().manual_seed(0)
    for _ in range(2):
        value, gradient = value_and_gradient(objective, chain, X, T, weights)
        index = torch.randint(30, (7,), generator=same)

        tracked = {name: p.clone().requires_grad_() for name, p in parameters.items()}
        losses = NETWORK_LOSSES[loss][1](T, naive_outputs(tracked, X, names))
        at = rows[index], vectors[index]
        penalty = STRENGTH * naive_penalties(tracked, *at, names, loss).mean()
        w = torch.ones(7, dtype=torch.float64) if weights is None else weights
        expected = (w * (losses + penalty)).mean()
        expected.backward()
        torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-13)
        for name, tensor in gradient.items():
            torch.testing.assert_close(
                tensor, tracked[name].grad, rtol=1e-10, atol=1e-12, msg=name
            )


@pytest.mark.parametrize(
    ("activation", "loss"),
    [(activation, "log_softmax") for activation in sorted(ACTIVATIONS)]
    + [("sigmoid", "cross_entropy"), ("sigmoid", "squared_error")],
)
def test_gradcheck(activation, loss):
    """The gradient against finite differences of our own value."""
    network, _ = network_of(activation, 2)
    start = draw_parameters(2, NETWORK_LOSSES[loss][2], scale=0.7)
    X, T = torch.from_numpy(draw_rows(3)), draw_targets(loss, 3)
    weights = torch.from_numpy(draw_weights(3))
    objective = objective_of(loss, draw_tangents(3))

    class Ours(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            parameters = dict(zip(start, (t.detach() for t in tensors), strict=True))
            value, gradient = value_and_gradient(
                objective, network(parameters), X, T, weights
            )
            ctx.gradient = [gradient[name] for name in start]
            return value

        @staticmethod
        def backward(ctx, outer):
            return tuple(outer * tensor for tensor in ctx.gradient)

    tracked = [p.clone().requires_grad_() for p in start.values()]
    assert torch.autograd.gradcheck(Ours.apply, tracked)


@pytest.mark.parametrize("loss", sorted(OUTPUTS))
def test_the_derivatives_of_an_output_are_autograds(loss):
    output = NETWORK_LOSSES[loss][0].output
    random = np.random.default_rng(0)
    Z, V, U = (torch.from_numpy(random.normal(size=(6, 3))) for _ in range(3))

    def slope(z):
        return jacrev(OUTPUTS[loss])(z)

    def form(z, u, v):
        return u @ slope(z) @ v

    o = output(Z)
    torch.testing.assert_close(o, vmap(OUTPUTS[loss])(Z))
    along = (vmap(slope)(Z) @ V[:, :, None])[:, :, 0]
    torch.testing.assert_close(output.along(o, V), along)
    torch.testing.assert_close(output.bend(o, U, V), vmap(jacrev(form))(Z, U, V))
    # Several directions for each row.
    both = output.along(o, torch.stack((V, U)))
    torch.testing.assert_close(both[0], output.along(o, V))
    torch.testing.assert_close(both[1], output.along(o, U))


def test_two_classes_of_a_softmax_are_twice_those_of_a_sigmoid():
    """With z = (0, a) the probabilities are 1 − o and o: the penalty counts both."""
    random = np.random.default_rng(0)
    a, v = (torch.from_numpy(random.normal(size=(5, 1))) for _ in range(2))
    zero = torch.zeros_like(a)
    sigmoid, softmax = LOSSES["cross_entropy"].output, LOG_SOFTMAX.output
    one = sigmoid.along(sigmoid(a), v)
    two = softmax.along(softmax(torch.cat((zero, a), 1)), torch.cat((zero, v), 1))
    torch.testing.assert_close(two, torch.cat((-one, one), 1))


# ---- limits ---------------------------------------------------------------------


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_without_strength_it_is_the_loss_alone(loss, activation):
    network, _ = network_of(activation, 2)
    parameters = draw_parameters(2, NETWORK_LOSSES[loss][2])
    X, T = torch.from_numpy(draw_rows(7)), draw_targets(loss, 7)
    weights = torch.from_numpy(draw_weights(7))
    plain = NetworkObjective(NETWORK_LOSSES[loss][0])
    for tangents, strength in ((draw_tangents(7), 0.0), (0 * draw_tangents(7), 1.0)):
        objective = objective_of(loss, tangents, strength)
        torch.testing.assert_close(
            value_and_gradient(objective, network(parameters), X, T, weights),
            value_and_gradient(plain, network(parameters), X, T, weights),
            rtol=1e-12,
            atol=1e-14,
        )


@pytest.mark.parametrize("depth", [1, 2])
def test_of_a_linear_network_it_is_the_product_of_the_weights(depth):
    network = partial(chain_of, ["identity"] * depth)
    parameters = draw_parameters(depth, 2)
    product = torch.eye(N_FEATURES, dtype=torch.float64)
    for k in range(depth + 1):
        product = parameters[f"coefs.{k}"] @ product
    X, T, tangents = (
        torch.from_numpy(draw_rows(3)),
        draw_targets("squared_error", 3),
        draw_tangents(3),
    )
    values, _ = objective_of("squared_error", tangents).values_and_gradient(
        network(parameters), slice(None), X, T, None
    )
    losses = (X @ product.T + naive_bias(parameters, depth) - T).square().sum(1)
    penalties = (tangents @ product.T).square().sum((1, 2))
    torch.testing.assert_close(values, torch.stack((losses, STRENGTH * penalties)))


def naive_bias(parameters, depth):
    """What a linear network answers to zero."""
    zero = torch.zeros((1, N_FEATURES), dtype=torch.float64)
    return naive_outputs(parameters, zero, ["identity"] * depth)


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_along_all_directions_it_is_the_norm_of_the_jacobian(loss):
    """And any orthonormal basis gives the same, so that signs make no difference."""
    network, names = network_of("tanh", 2)
    parameters = draw_parameters(2, NETWORK_LOSSES[loss][2])
    X, T = torch.from_numpy(draw_rows(5)), draw_targets(loss, 5)
    drawn = draw_tangents(5, m=N_FEATURES)
    bases = [torch.eye(N_FEATURES).double().expand(5, -1, -1), torch.linalg.qr(drawn).Q]

    def output(x):
        return OUTPUTS[loss](naive_outputs(parameters, x[None], names)[0])

    norms = vmap(jacrev(output))(X).square().sum((1, 2))
    losses = NETWORK_LOSSES[loss][0].value(T, naive_outputs(parameters, X, names))
    for tangents in bases:
        values, _ = objective_of(loss, tangents).values_and_gradient(
            network(parameters), slice(None), X, T, None
        )
        torch.testing.assert_close(values, torch.stack((losses, STRENGTH * norms)))


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_weights_are_repetitions(loss):
    network, _ = network_of("sigmoid", 2)
    parameters = draw_parameters(2, NETWORK_LOSSES[loss][2])
    X, T = torch.from_numpy(draw_rows(6)), draw_targets(loss, 6)
    counts = torch.tensor([0, 1, 2, 3, 1, 2])
    weights = (counts * 6 / counts.sum()).double()  # of mean 1
    tangents = draw_tangents(6)
    weighted = value_and_gradient(
        objective_of(loss, tangents), network(parameters), X, T, weights
    )
    again = tangents.repeat_interleave(counts, 0)
    repeated = value_and_gradient(
        objective_of(loss, again),
        network(parameters),
        X.repeat_interleave(counts, 0),
        T.repeat_interleave(counts, 0),
    )
    torch.testing.assert_close(weighted, repeated, rtol=1e-6, atol=1e-8)


def test_each_batch_takes_the_tangents_of_its_rows():
    network, names = network_of("sigmoid", 2)
    parameters = draw_parameters(2, 3)
    X, T = torch.from_numpy(draw_rows(9)), draw_targets("log_softmax", 9)
    tangents = draw_tangents(9)
    objective = objective_of("log_softmax", tangents)
    expected = naive_values(parameters, X, T, tangents, names, "log_softmax")
    order = np.array([7, 2, 2, 5])
    for index in (order, torch.from_numpy(order)):
        values, _ = objective.values_and_gradient(
            network(parameters), index, X[index], T[index], None
        )
        torch.testing.assert_close(values, expected[:, order])


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_fifty_steps_equal_autograd_and_torchs_optimizers(loss, solver):
    """Batches of a few rows in random order, the last of them short."""
    _, names = network_of("sigmoid", 2)
    X, T, weights = draw_rows(18), draw_targets(loss, 18), draw_weights(18)
    tangents = draw_tangents(18)
    start = draw_parameters(2, NETWORK_LOSSES[loss][2], scale=0.3)
    learner = learner_of(
        loss,
        rows_of(X, weights),
        T,
        parameters={name: p.clone() for name, p in start.items()},
        solver=solver,
    )
    plain = learner.n_multiplications
    learner = learner_of(
        loss,
        rows_of(X, weights),
        T,
        parameters={name: p.clone() for name, p in start.items()},
        solver=solver,
        objective=objective_of(loss, tangents),
    )
    assert learner.n_multiplications == 3 * plain
    training = training_of(learner)
    for _ in range(10):
        training.run_epoch()
    assert training.step == 50

    tracked = {name: p.clone().requires_grad_() for name, p in start.items()}
    makers = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    optimizer = makers[solver](list(tracked.values()), lr=0.01)
    generator = torch.Generator().manual_seed(7)
    rows, w = torch.from_numpy(X), torch.from_numpy(weights)
    for _ in range(10):
        total = 0.0
        for i in torch.randperm(18, generator=generator).split(4):
            optimizer.zero_grad()
            values = naive_values(tracked, rows[i], T[i], tangents[i], names, loss)
            value = (w[i] * values).sum() / len(i)
            value.backward()
            total += float(value.detach()) * len(i) / 18
            optimizer.step()
    assert training.loss_curve[-1] == pytest.approx(total, rel=1e-9)
    for name, parameter in learner.parameters.items():
        torch.testing.assert_close(
            parameter, tracked[name].detach(), rtol=1e-8, atol=1e-10, msg=name
        )


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_held_out_error_is_the_plain_error(loss):
    """Held-out rows have no tangents."""
    X, T = draw_rows(18), draw_targets(loss, 18)
    validation = rows_of(X[12:]), T[12:]
    tangents = draw_tangents(12)
    learners = [
        learner_of(loss, rows_of(X[:12]), T[:12], validation=validation, **objective)
        for objective in ({}, {"objective": objective_of(loss, tangents)})
    ]
    assert learners[0].held_out() == learners[1].held_out() > 0


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_single_precision_follows_double(loss):
    network, _ = network_of("sigmoid", 2)
    X, T = torch.from_numpy(draw_rows(9)), draw_targets(loss, 9)
    parameters, tangents = draw_parameters(2, NETWORK_LOSSES[loss][2]), draw_tangents(9)
    double = value_and_gradient(objective_of(loss, tangents), network(parameters), X, T)
    single = value_and_gradient(
        objective_of(loss, tangents.float()),
        network({name: p.float() for name, p in parameters.items()}),
        X.float(),
        T.float(),
    )
    assert single[0].dtype == torch.float32
    torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("size", [1e3, 1e30])
@pytest.mark.parametrize("loss", ["log_softmax", "cross_entropy"])
def test_certain_outputs_hold_still(loss, size):
    """Where a probability is 1 to rounding, nothing overflows and nothing is left."""
    network, _ = network_of("identity", 1)
    parameters = draw_parameters(1, NETWORK_LOSSES[loss][2])
    bias = parameters["intercepts.1"]
    bias.copy_(size * torch.arange(1, 1 + len(bias)))
    X, T, tangents = (
        torch.from_numpy(draw_rows(3)),
        draw_targets(loss, 3),
        draw_tangents(3),
    )
    values, _ = objective_of(loss, tangents).values_and_gradient(
        network(parameters), slice(None), X, T, None
    )
    plain, _ = NetworkObjective(NETWORK_LOSSES[loss][0]).values_and_gradient(
        network(parameters), slice(None), X, T, None
    )
    torch.testing.assert_close(values, plain)
    assert values.isfinite().all()
