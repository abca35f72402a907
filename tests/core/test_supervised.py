"""The network under the fine-tuned estimators: its formulas, steps and epochs."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn import functional

from skcae._core.data.rows import Rows
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.steps.supervised import (
    NetworkLearner,
    NetworkObjective,
)
from skcae._core.steps.tangents import TangentObjective, Tangents
from skcae._core.training.loop import Training
from skcae._core.training.schedules import StoppingRule, constant_rate
from skcae._core.training.solvers import Adam, Sgd
from skcae.activations import ACTIVATIONS
from skcae.corruptions import gaussian
from skcae.losses import LOG_SOFTMAX, LOSSES
from tests import oracles

CPU = torch.device("cpu")
N_FEATURES = 5
HIDDEN = (4, 6, 3)

# The losses, each with torch's own form of it and a number of outputs to it.
NETWORK_LOSSES = {
    "log_softmax": (
        LOG_SOFTMAX,
        lambda T, Z: functional.cross_entropy(Z, T.argmax(1), reduction="none"),
        3,
    ),
    "cross_entropy": (
        LOSSES["cross_entropy"],
        lambda T, Z: functional.binary_cross_entropy_with_logits(
            Z, T, reduction="none"
        ).sum(1),
        1,
    ),
    "squared_error": (
        LOSSES["squared_error"],
        lambda T, Z: ((Z - T) ** 2).sum(1),
        2,
    ),
}
SOLVERS = {
    "adam": lambda parameters: Adam(parameters),
    "sgd": lambda parameters: Sgd(parameters, momentum=0.0),
    "momentum": lambda parameters: Sgd(parameters, momentum=0.9),
}
OPTIMIZERS = {
    "adam": lambda tensors: torch.optim.Adam(tensors, lr=0.01),
    "sgd": lambda tensors: torch.optim.SGD(tensors, lr=0.01),
    "momentum": lambda tensors: torch.optim.SGD(tensors, lr=0.01, momentum=0.9),
}


def network_of(activation, depth):
    """What makes a network, with another activation in its second layer."""
    names = [activation, "tanh", activation][:depth]
    return partial(chain_of, names), names


def chain_of(names, parameters):
    """Hidden layers with these activations, and a linear one."""
    return Chain(
        tuple(
            Dense(parameters[f"coefs.{k}"], parameters[f"intercepts.{k}"], phi)
            for k, phi in enumerate(ACTIVATIONS[name] for name in [*names, "identity"])
        )
    )


def draw_parameters(depth, n_outputs, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    sizes = [N_FEATURES, *HIDDEN[:depth], n_outputs]
    parameters = {}
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        parameters[f"coefs.{k}"] = torch.from_numpy(
            scale * rng.normal(size=(n_out, n_in))
        )
        parameters[f"intercepts.{k}"] = torch.from_numpy(rng.normal(size=n_out))
    return parameters


def draw_targets(loss, n, seed=1):
    rng = np.random.default_rng(seed)
    if loss == "log_softmax":
        return torch.eye(3, dtype=torch.float64)[rng.integers(3, size=n)]
    if loss == "cross_entropy":
        return torch.from_numpy(rng.integers(2, size=(n, 1)).astype(float))
    return torch.from_numpy(rng.normal(size=(n, 2)))


def draw_rows(n, seed=2):
    return np.random.default_rng(seed).normal(size=(n, N_FEATURES))


def draw_weights(n, seed=3):
    return np.random.default_rng(seed).uniform(0.5, 1.5, n)


def naive_outputs(parameters, X, names):
    """The formula for one row after the other."""
    outputs = []
    for x in X:
        h = x
        for k, name in enumerate(names):
            a = parameters[f"coefs.{k}"] @ h + parameters[f"intercepts.{k}"]
            h = oracles.ACTIVATIONS[name](a)
        k = len(names)
        outputs.append(parameters[f"coefs.{k}"] @ h + parameters[f"intercepts.{k}"])
    return torch.stack(outputs)


def dense(gradient, parameters):
    """Give every part of a gradient as a tensor."""
    result = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for name, tensor in result.items():
        gradient.add_to({name: tensor}, parameters)
    return result


def value_and_gradient(network, loss, parameters, X, T, weights=None):
    """Return the objective of a batch and its gradient, as a step computes them."""
    objective = NetworkObjective(loss)
    values, gradient = objective.values_and_gradient(
        network(parameters), slice(None), X, T, weights
    )
    value = (values if weights is None else weights * values).sum() / len(X)
    return value, dense(gradient, parameters)


def rows_of(X, weights=None, **how):
    dtype = np.dtype(how.pop("dtype", X.dtype))
    return Rows(X, weights, dtype=dtype, device=CPU, **how)


def learner_of(loss, rows, targets, **changes):
    """A learner with two hidden layers."""
    function, _, n_outputs = NETWORK_LOSSES[loss]
    how = {
        "parameters": draw_parameters(2, n_outputs, scale=0.3),
        "solver": "adam",
        "batch_size": 4,
        "validation": None,
        "activation": "sigmoid",
        **changes,
    }
    network, _ = network_of(how["activation"], 2)
    return NetworkLearner(
        how.get("objective", NetworkObjective(function)),
        network(how["parameters"]),
        SOLVERS[how["solver"]](how["parameters"]),
        rows,
        targets,
        batch_size=how["batch_size"],
        validation=how["validation"],
        error=function.value,
        corrupt=how.get("corrupt"),
        generator=torch.Generator().manual_seed(3),
    )


def training_of(learner, batch_size=4, seed=7):
    return Training(
        learner,
        batch_size=batch_size,
        rate=constant_rate(0.01),
        stopping=StoppingRule(tol=0.0, n_iter_no_change=10),
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
    )


# ---- outputs and gradient -------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_outputs_are_the_formulas(activation, depth):
    network, names = network_of(activation, depth)
    parameters, X = draw_parameters(depth, 2), torch.from_numpy(draw_rows(7))
    before = {name: p.clone() for name, p in parameters.items()}
    rows = X.clone()
    outputs = network(parameters).forward(X.mT)
    assert [len(H) for H in outputs] == [N_FEATURES, *HIDDEN[:depth], 2]
    torch.testing.assert_close(outputs[-1].mT, naive_outputs(parameters, X, names))
    # Neither the rows nor the parameters are written to.
    assert torch.equal(X, rows)
    assert all(torch.equal(parameters[name], before[name]) for name in before)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_gradient_equals_autograd(activation, depth, loss, weighted):
    network, names = network_of(activation, depth)
    function, naive, n_outputs = NETWORK_LOSSES[loss]
    parameters = draw_parameters(depth, n_outputs)
    X, T = torch.from_numpy(draw_rows(7)), draw_targets(loss, 7)
    weights = torch.from_numpy(draw_weights(7)) if weighted else None
    value, gradient = value_and_gradient(network, function, parameters, X, T, weights)

    tracked = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    losses = naive(T, naive_outputs(tracked, X, names))
    expected = (losses if weights is None else weights * losses).sum() / 7
    expected.backward()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-12)
    assert gradient.keys() == parameters.keys()
    for name, tensor in gradient.items():
        torch.testing.assert_close(
            tensor, tracked[name].grad, rtol=1e-10, atol=1e-12, msg=name
        )


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_gradcheck(activation, loss):
    """The gradient against finite differences of our own value."""
    network, _ = network_of(activation, 3)
    function, _, n_outputs = NETWORK_LOSSES[loss]
    start = draw_parameters(3, n_outputs, scale=0.7)
    X, T = torch.from_numpy(draw_rows(4)), draw_targets(loss, 4)
    weights = torch.from_numpy(draw_weights(4))

    class Ours(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            parameters = dict(zip(start, (t.detach() for t in tensors), strict=True))
            value, gradient = value_and_gradient(
                network, function, parameters, X, T, weights
            )
            ctx.gradient = [gradient[name] for name in start]
            return value

        @staticmethod
        def backward(ctx, outer):
            return tuple(outer * tensor for tensor in ctx.gradient)

    tracked = [p.clone().requires_grad_() for p in start.values()]
    assert torch.autograd.gradcheck(Ours.apply, tracked)


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_weights_are_repetitions(loss):
    network, _ = network_of("sigmoid", 2)
    function, _, n_outputs = NETWORK_LOSSES[loss]
    parameters = draw_parameters(2, n_outputs)
    X, T = torch.from_numpy(draw_rows(6)), draw_targets(loss, 6)
    counts = torch.tensor([0, 1, 2, 3, 1, 2])
    weights = counts * 6 / counts.sum()  # of mean 1
    weighted = value_and_gradient(network, function, parameters, X, T, weights.double())
    repeated = value_and_gradient(
        network,
        function,
        parameters,
        X.repeat_interleave(counts, 0),
        T.repeat_interleave(counts, 0),
    )
    torch.testing.assert_close(weighted, repeated, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("n_tangents", [0, 2])
@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_the_decay_of_the_output_layer_equals_autograd(loss, n_tangents, weighted):
    """It weighs as the rows do, and leaves the other layers alone."""
    network, _ = network_of("sigmoid", 2)
    function, _, n_outputs = NETWORK_LOSSES[loss]
    parameters = draw_parameters(2, n_outputs)
    X, T = torch.from_numpy(draw_rows(7)), draw_targets(loss, 7)
    weights = torch.from_numpy(draw_weights(7)) if weighted else None
    tangents = Tangents(
        torch.ones(7, n_tangents, N_FEATURES, dtype=torch.float64),
        0.3,
        function.output,
    )

    def outcome(decay):
        objective = (
            TangentObjective(function, tangents, decay=decay)
            if n_tangents
            else NetworkObjective(function, decay=decay)
        )
        values, gradient = objective.values_and_gradient(
            network(parameters), slice(None), X, T, weights
        )
        return (values if weights is None else weights * values).sum(1) / 7, gradient

    (plain, without), (value, gradient) = outcome(0.0), outcome(0.4)
    W = parameters["coefs.2"].clone().requires_grad_()
    mass = 1.0 if weights is None else float(weights.mean())
    decay = mass * 0.2 * W.square().sum()
    decay.backward()
    expected = torch.stack((0 * decay, decay)).detach()
    torch.testing.assert_close(value - plain, expected, rtol=1e-10, atol=1e-12)
    expected = dense(without, parameters)
    expected["coefs.2"] += W.grad
    for name, tensor in dense(gradient, parameters).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-10, atol=1e-12)
    # Plain descent, which forms no gradient, takes the same step.
    moved = {name: p.clone() for name, p in parameters.items()}
    gradient.descend(moved, dict.fromkeys(moved, 0.1))
    for name, p in parameters.items():
        torch.testing.assert_close(moved[name], p - 0.1 * expected[name])


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_a_rate_for_each_parameter_is_that_of_torchs_groups(solver):
    """Over steps of a rate that changes, in float64; a factor of 0 changes nothing."""
    factors = {"coefs.0": 0.1, "intercepts.0": 0.0, "intercepts.2": 3.0}
    parameters = draw_parameters(2, 3, scale=0.3)
    ours = {name: p.clone() for name, p in parameters.items()}
    make = Adam if solver == "adam" else Sgd
    how = {"momentum": 0.9} if solver == "momentum" else {}
    stepping = make(ours, factors=factors, **how)
    theirs = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    optimizer = OPTIMIZERS[solver]([{"params": [p]} for p in theirs.values()])
    network, names = network_of("sigmoid", 2)
    objective, chain = NetworkObjective(LOG_SOFTMAX), network(ours)
    X, T = torch.from_numpy(draw_rows(9)), draw_targets("log_softmax", 9)
    for step in range(20):
        rate = 0.05 / (1 + step)
        _, gradient = objective.values_and_gradient(chain, slice(None), X, T, None)
        stepping.update(gradient, rate)
        for name, group in zip(theirs, optimizer.param_groups, strict=True):
            group["lr"] = rate * factors.get(name, 1.0)
        optimizer.zero_grad()
        losses = NETWORK_LOSSES["log_softmax"][1](T, naive_outputs(theirs, X, names))
        losses.mean().backward()
        optimizer.step()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor.detach(), rtol=1e-11, atol=1e-13)
    assert torch.equal(ours["intercepts.0"], parameters["intercepts.0"])
    assert not torch.equal(ours["coefs.0"], parameters["coefs.0"])


@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
def test_the_link_gives_the_best_constant_output(loss):
    """Its gradient is zero, and shares of 0 and 1 have a finite one."""
    function, naive, n_outputs = NETWORK_LOSSES[loss]
    T, weights = draw_targets(loss, 50), torch.from_numpy(draw_weights(50))
    z = function.link(weights @ T / weights.sum()).requires_grad_()
    (weights * naive(T, z.expand(50, n_outputs))).sum().backward()
    torch.testing.assert_close(z.grad, torch.zeros_like(z), rtol=0, atol=1e-10)
    edges = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert function.link(edges).isfinite().all()


def test_the_width_is_the_largest_number_of_columns():
    assert chain_of(["tanh"] * 2, draw_parameters(2, 2)).width == 6
    assert chain_of(["tanh"], draw_parameters(1, 9)).width == 9


def test_fresh_weights_are_uniform_and_the_seeds():
    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        how = {"generator": generator, "dtype": torch.float64, "device": CPU}
        return Dense.initial_weights(70, 30, **how)

    weights, again, other = draw(1), draw(1), draw(2)
    bound = (6 / 100) ** 0.5
    assert weights.shape == (30, 70)
    assert 0.99 * bound < weights.abs().max() <= bound
    assert float(weights.std()) == pytest.approx(bound / 3**0.5, rel=0.03)
    assert torch.equal(weights, again)
    assert not torch.equal(weights, other)


# ---- the softmax loss -----------------------------------------------------------


def test_log_softmax_is_torchs_cross_entropy():
    Z = torch.from_numpy(np.random.default_rng(0).normal(size=(9, 4))).requires_grad_()
    y = torch.arange(9) % 4
    T = torch.eye(4, dtype=torch.float64)[y]
    expected = functional.cross_entropy(Z, y, reduction="none")
    torch.testing.assert_close(LOG_SOFTMAX.value(T, Z), expected)
    (slope,) = torch.autograd.grad(expected.sum(), Z)
    # Written over Z where it stands, a transposed view in the training step.
    columns = Z.detach().mT.contiguous()
    result = LOG_SOFTMAX.gradient_in_place(T, columns.mT)
    assert result.data_ptr() == columns.data_ptr()
    torch.testing.assert_close(columns.mT, slope)
    torch.testing.assert_close(
        LOG_SOFTMAX.output(Z.detach()), functional.softmax(Z.detach(), 1)
    )


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (torch.float32, 1e3),
        (torch.float32, 1e30),
        (torch.float64, 1e3),
        (torch.float64, 1e300),
    ],
)
def test_huge_logits_do_not_overflow(dtype, size):
    Z = size * torch.tensor([[1, 0, -1], [0, 1, -1], [1, 1, 1]], dtype=dtype)
    T = torch.eye(3, dtype=dtype)[[0, 2, 1]]
    values = LOG_SOFTMAX.value(T, Z)
    expected = functional.cross_entropy(Z, T.argmax(1), reduction="none")
    assert values.isfinite().all()
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(values[0], torch.zeros((), dtype=dtype))
    torch.testing.assert_close(values[1], torch.tensor(2 * size, dtype=dtype))
    torch.testing.assert_close(LOG_SOFTMAX.output(Z).sum(1), torch.ones(3, dtype=dtype))
    slopes = LOG_SOFTMAX.gradient_in_place(T, Z)
    torch.testing.assert_close(
        slopes,
        torch.tensor([[0, 0, 0], [0, 1, -1], [1, -2, 1]], dtype=dtype).div_(
            torch.tensor([[1], [1], [3]], dtype=dtype)
        ),
    )


# ---- steps and epochs -----------------------------------------------------------


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("loss", sorted(NETWORK_LOSSES))
@pytest.mark.parametrize("solver", sorted(SOLVERS))
@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "relu"])
def test_fifty_steps_equal_autograd_and_torchs_optimizers(
    activation, solver, loss, weighted
):
    """The same trajectory, to rounding, as a graph and torch.optim give."""
    _, naive, n_outputs = NETWORK_LOSSES[loss]
    _, names = network_of(activation, 2)
    X, T = draw_rows(18), draw_targets(loss, 18)
    weights = draw_weights(18) if weighted else None
    start = draw_parameters(2, n_outputs, scale=0.3)
    learner = learner_of(
        loss,
        rows_of(X, weights),
        T,
        parameters={name: p.clone() for name, p in start.items()},
        solver=solver,
        activation=activation,
    )
    training = training_of(learner)
    for _ in range(10):
        training.run_epoch()
    assert training.step == 50

    tracked = {name: p.clone().requires_grad_() for name, p in start.items()}
    optimizer = OPTIMIZERS[solver](list(tracked.values()))
    generator = torch.Generator().manual_seed(7)
    rows = torch.from_numpy(X)
    every_weight = torch.ones(18) if weights is None else torch.from_numpy(weights)
    for _ in range(10):
        total = 0.0
        for index in torch.randperm(18, generator=generator).split(4):
            optimizer.zero_grad()
            H = rows[index]
            for k, name in enumerate(names):
                a = H @ tracked[f"coefs.{k}"].T + tracked[f"intercepts.{k}"]
                H = oracles.ACTIVATIONS[name](a)
            Z = H @ tracked["coefs.2"].T + tracked["intercepts.2"]
            value = (every_weight[index] * naive(T[index], Z)).sum() / len(index)
            value.backward()
            total += float(value.detach()) * len(index) / 18
            optimizer.step()
    assert training.loss_curve[-1] == pytest.approx(total, rel=1e-9)
    for name, parameter in learner.parameters.items():
        torch.testing.assert_close(
            parameter, tracked[name].detach(), rtol=1e-8, atol=1e-10, msg=name
        )


def test_sparse_rows_and_a_part_of_the_rows_take_the_same_steps():
    X, T = draw_rows(12), draw_targets("log_softmax", 12)
    X[X < 0.3] = 0.0
    part = np.array([1, 2, 4, 7, 9, 10, 11])
    weights = draw_weights(12)
    ways = [
        (rows_of(X[part], weights[part]), T[part]),
        (rows_of(X, weights, subset=part), T[part]),
        (rows_of(sparse.csr_array(X), weights, subset=part), T[part]),
    ]
    ends = []
    for rows, targets in ways:
        learner = learner_of("log_softmax", rows, targets)
        training = training_of(learner)
        for _ in range(3):
            training.run_epoch()
        ends.append(learner.parameters)
    for other in ends[1:]:
        for name, parameter in ends[0].items():
            torch.testing.assert_close(other[name], parameter, rtol=1e-12, atol=0)


def test_single_precision_follows_double():
    X, T = draw_rows(12), draw_targets("squared_error", 12)
    ends = []
    for dtype in (torch.float64, torch.float32):
        numpy_dtype = "f8" if dtype == torch.float64 else "f4"
        learner = learner_of(
            "squared_error",
            rows_of(X, dtype=numpy_dtype),
            T.to(dtype),
            parameters={name: p.to(dtype) for name, p in draw_parameters(2, 2).items()},
        )
        training = training_of(learner)
        for _ in range(5):
            training.run_epoch()
        ends.append(learner.parameters)
    for name, parameter in ends[1].items():
        assert parameter.dtype == torch.float32
        torch.testing.assert_close(
            parameter.double(), ends[0][name], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("weighted", [True, False])
def test_held_out_error_is_the_weighted_mean_whatever_the_chunks(weighted, monkeypatch):
    X, T = draw_rows(11), draw_targets("squared_error", 11)
    weights = draw_weights(11) if weighted else None
    subset = np.array([0, 3, 4, 5, 8, 9, 10])
    validation = rows_of(X, weights, subset=subset), T[subset]
    learner = learner_of(
        "squared_error", rows_of(X), T, validation=validation, activation="relu"
    )
    Z = naive_outputs(learner.parameters, torch.from_numpy(X), ["relu", "tanh"])
    errors = ((Z - T) ** 2).sum(1).numpy()[subset]
    expected = np.average(errors, weights=None if weights is None else weights[subset])
    assert learner.held_out() == pytest.approx(expected, rel=1e-12)
    # The widest matrix has six columns: three rows at a time.
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", 18)
    assert [len(part) for _, part in validation[0].chunks(6)] == [3, 3, 1]
    assert learner.held_out() == pytest.approx(expected, rel=1e-12)
    assert learner_of("squared_error", rows_of(X), T).held_out() is None


def test_the_best_epoch_on_held_out_data_is_kept():
    X, T = draw_rows(30), draw_targets("log_softmax", 30)
    validation = rows_of(X[20:]), T[20:]
    learner = learner_of("log_softmax", rows_of(X[:20]), T[:20], validation=validation)
    training = training_of(learner)
    seen = []
    for _ in range(40):
        training.run_epoch()
        seen.append({name: p.clone() for name, p in learner.parameters.items()})
    best = int(np.argmin(training.validation_curve))
    assert best < 39
    assert training.kept_epoch == best + 1
    for name, parameter in training.kept.items():
        assert torch.equal(parameter, seen[best][name])


def test_an_interrupt_keeps_the_last_epoch():
    X, T = draw_rows(18), draw_targets("cross_entropy", 18)
    learner = learner_of("cross_entropy", rows_of(X), T)
    training = training_of(learner)
    for _ in range(3):
        training.run_epoch()
    whole = {name: p.clone() for name, p in learner.parameters.items()}
    update, steps = learner.solver.update, []

    def interrupted(gradient, rate):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        update(gradient, rate)

    learner.solver.update = interrupted
    with pytest.raises(KeyboardInterrupt):
        training.run_epoch()
    assert training.kept_epoch == len(training.loss_curve) == 3
    for name, parameter in training.kept.items():
        assert torch.equal(parameter, whole[name])
    assert not torch.equal(learner.parameters["coefs.0"], whole["coefs.0"])


def test_a_training_that_leaves_the_finite_numbers_says_so():
    X, T = draw_rows(18), draw_targets("squared_error", 18)
    learner = learner_of(
        "squared_error", rows_of(X), T, activation="identity", solver="sgd"
    )
    training = training_of(learner)
    training.rate = constant_rate(1e200)
    training.run_epoch()
    assert training.not_finite
    assert training.kept == {}


# ---- noise ----------------------------------------------------------------------


def test_each_step_takes_fresh_noise_and_held_out_rows_none():
    X, T = draw_rows(4), draw_targets("squared_error", 4)
    generator = torch.Generator().manual_seed(3)
    level = 0.2
    noise = [
        torch.empty(4, N_FEATURES).normal_(0, level, generator=generator)
        for _ in range(2)
    ]
    noisy, clean = (
        learner_of("squared_error", rows_of(X), T, corrupt=corrupt, **how)
        for corrupt, how in (
            (lambda X, generator, out: gaussian(X, level, generator, out), {}),
            (None, {"validation": (rows_of(X), T)}),
        )
    )
    noisy.validation = clean.validation
    for drawn in noise:
        found, expected = torch.zeros(2, 2).double()
        noisy.take_step(slice(None), 0.01, found)
        clean.rows = rows_of(X + drawn.numpy())
        clean.take_step(slice(None), 0.01, expected)
        torch.testing.assert_close(found, expected)
    for name, part in noisy.parameters.items():
        torch.testing.assert_close(part, clean.parameters[name])
    assert noisy.held_out() == pytest.approx(clean.held_out(), rel=1e-12)
