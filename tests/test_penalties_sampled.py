"""The ladder of the sampled Hessian: dense autograd, gradcheck, its limit and noise."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from skcae._core.data.rows import Rows
from skcae._core.steps import workspace as batch
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import ReconstructionLearner, mean_objective
from skcae._core.training.loop import Training
from skcae._core.training.schedules import StoppingRule, constant_rate
from skcae._core.training.solvers import Adam, Sgd
from skcae.activations import ACTIVATIONS
from skcae.corruptions import gaussian
from skcae.losses import LOSSES, Loss
from skcae.penalties import DerivativePenalty, SampledHessianPenalty
from tests import oracles, steps

NAMES = sorted(ACTIVATIONS)
CURVED = [name for name in NAMES if ACTIVATIONS[name].curved]
CPU = torch.device("cpu")
NOISE = 0.4
NOTHING = Loss(
    output=lambda Z: Z,
    elementwise=lambda X, Z: torch.zeros_like(X),
    gradient_in_place=lambda X, Z: Z.zero_(),
)


def make_objective(
    activation, loss="squared_error", jacobian_penalty=0.3, noise=NOISE, n_copies=3
):
    penalties = (
        (jacobian_penalty, DerivativePenalty(1)),
        (0.2, SampledHessianPenalty(noise, n_copies)),
    )
    kept = tuple((strength, penalty) for strength, penalty in penalties if strength)
    return Objective(ACTIVATIONS[activation], LOSSES[loss], kept)


def penalty_alone(activation, noise, n_copies):
    """An objective that is the sampled penalty and nothing else."""
    penalty = SampledHessianPenalty(noise, n_copies)
    return Objective(ACTIVATIONS[activation], NOTHING, ((1.0, penalty),))


def values_at(objective, parameters, inputs):
    """The objective of each row."""
    return objective.per_sample(objective.coder(parameters), inputs)


def stacked(X, copies):
    return torch.cat([X[None], copies]).flatten(0, 1)


def noisy(X, noise, n_copies, generator):
    copies = X.new_empty((n_copies, *X.shape))
    gaussian(X, noise, generator, copies)
    return copies


def corruption(noise):
    return lambda X, generator, out: gaussian(X, noise, generator, out)


@pytest.fixture
def X():
    generator = torch.Generator().manual_seed(1)
    return torch.rand((6, 4), generator=generator, dtype=torch.float64)


@pytest.fixture
def copies(X):
    return noisy(X, NOISE, 3, torch.Generator().manual_seed(2))


# ---- the formula ----------------------------------------------------------------


def squared_change(slopes, squared_rows):
    """The sum over copies: with σ² = 1 / S their mean."""
    n_copies = len(slopes) - 1
    penalty = SampledHessianPenalty(noise=n_copies**-0.5, n_copies=n_copies)
    return penalty.per_sample([slopes.flatten(0, 1)], squared_rows)


@pytest.mark.parametrize("activation", NAMES)
def test_the_change_equals_that_of_the_dense_jacobian(activation, layer, X, copies):
    parameters = layer()
    W, b = parameters["components"], parameters["intercept_hidden"]
    phi = ACTIVATIONS[activation]
    slopes = torch.stack(
        [phi.derivatives(phi(rows @ W.T + b), 1)[0] for rows in (X, *copies)]
    )
    expected = oracles.sampled_hessian_norm(parameters, X, copies, activation, 1.0)
    actual = squared_change(slopes, W.square().sum(1)) / 3
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", CURVED)
def test_gradcheck_on_weights_bias_and_input(activation, layer, X, copies):
    parameters, phi = layer(), ACTIVATIONS[activation]
    noise = copies - X

    def change(W, b, x):
        a = torch.stack([x, *(x + noise)]) @ W.T + b
        h = oracles.ACTIVATIONS[activation](a)
        return squared_change(phi.derivatives(h, 1)[0], W.square().sum(1))

    arguments = [
        tensor.clone().requires_grad_()
        for tensor in (parameters["components"], parameters["intercept_hidden"], X)
    ]
    assert gradcheck(change, arguments)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("jacobian_penalty", [0.0, 0.3])
@pytest.mark.parametrize("activation", CURVED)
def test_value_and_gradient_equal_autograd_of_the_naive_objective(
    activation, jacobian_penalty, loss, tied, weighted, layer, X, copies
):
    ones = torch.ones(len(X), dtype=X.dtype)
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5, 1.5, 1.0]) * ones if weighted else None
    parameters = {n: p.requires_grad_() for n, p in layer(tied=tied).items()}
    expected = oracles.objective(
        parameters,
        X,
        weights if weighted else ones,
        activation=activation,
        loss=loss,
        jacobian_penalty=jacobian_penalty,
        hessian_penalty=0.2,
        copies=copies,
        noise=NOISE,
    )
    expected.backward()

    objective = make_objective(activation, loss, jacobian_penalty)
    value, gradient = steps.value_and_gradient(
        objective, parameters, X, weights, copies=copies
    )
    with torch.no_grad():
        per_sample = values_at(objective, parameters, stacked(X, copies))
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    mean = (weights if weighted else ones) @ per_sample / len(X)
    torch.testing.assert_close(mean, value, rtol=1e-12, atol=1e-12)
    assert gradient.keys() == parameters.keys()
    for name, parameter in parameters.items():
        torch.testing.assert_close(
            gradient[name], parameter.grad, rtol=1e-10, atol=1e-10, msg=name
        )


def test_the_gradient_takes_all_three_paths(layer, X, copies):
    """Each is there: that of the copies, of the row, and of ‖W_j‖²."""
    parameters = layer()
    W, b = parameters["components"], parameters["intercept_hidden"]
    _, gradient = steps.value_and_gradient(
        penalty_alone("sigmoid", NOISE, 3), parameters, X, copies=copies
    )

    def through(path):
        """The naive gradient of W with the other two paths cut."""
        free = W.clone().requires_grad_()
        paths = dict.fromkeys(("row", "copies", "norm"), W) | {path: free}
        slopes = [
            h * (1 - h)
            for h in (
                torch.sigmoid(X @ paths["row"].T + b),
                torch.sigmoid(copies @ paths["copies"].T + b),
            )
        ]
        change = (slopes[1] - slopes[0]).square() @ paths["norm"].square().sum(1)
        (change.mean() / NOISE**2).backward()
        return free.grad

    paths = [through(path) for path in ("row", "copies", "norm")]
    assert all(path.abs().max() > 1e-3 for path in paths)
    torch.testing.assert_close(gradient["components"], sum(paths))


@pytest.mark.parametrize("activation", CURVED)
def test_tiles_and_a_short_batch_change_nothing(
    activation, layer, X, copies, monkeypatch
):
    weights = torch.linspace(0.5, 1.5, len(X), dtype=torch.float64)
    objective = make_objective(activation, "cross_entropy")
    parameters = layer(n_components=7)
    given = {"copies": copies}
    value, gradient = steps.value_and_gradient(
        objective, parameters, X, weights, **given
    )
    monkeypatch.setattr(batch, "TILE_ELEMENTS", 90)
    tiled_value, tiled_gradient = steps.value_and_gradient(
        objective, parameters, X, weights, batch_size=10, **given
    )
    torch.testing.assert_close(tiled_value, value, rtol=1e-13, atol=0)
    for name, expected in gradient.items():
        torch.testing.assert_close(
            tiled_gradient[name], expected, rtol=1e-12, atol=1e-14
        )


def test_the_exact_norm_beside_it_sees_the_rows_alone(layer, X, copies):
    """Penalties that look at copies and others that do not add up."""
    both = Objective(
        ACTIVATIONS["tanh"],
        NOTHING,
        ((0.3, DerivativePenalty(2)), (0.2, SampledHessianPenalty(NOISE, 3))),
    )
    value, _ = steps.value_and_gradient(both, layer(), X, copies=copies)
    exact = oracles.squared_hessian_norm(layer(), X, "tanh").mean()
    sampled = oracles.sampled_hessian_norm(layer(), X, copies, "tanh", NOISE).mean()
    torch.testing.assert_close(value, 0.3 * exact + 0.2 * sampled)


def test_everything_runs_on_the_meta_device(layer, X):
    parameters = {n: p.to("meta") for n, p in layer().items()}
    X = X.to("meta")
    copies = noisy(X, NOISE, 3, torch.Generator())
    objective = make_objective("sigmoid")
    value, gradient = steps.value_and_gradient(
        objective, parameters, X, X[:, 0], copies=copies
    )
    assert value.is_meta
    assert all(g.is_meta for g in gradient.values())
    assert values_at(objective, parameters, stacked(X, copies)).is_meta


# ---- the limit and the noise ----------------------------------------------------


@pytest.mark.parametrize("noise", [1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("activation", CURVED)
def test_it_tends_to_the_exact_norm(activation, noise, layer, X):
    """To 8σ², with noise along all axes both ways, whose second moment is σ²I exactly.

    elu's φ'' jumps at 0, so no pre-activation may be within reach of that: such noise
    moves it by σ√d ‖W_j‖ at most.
    """
    parameters, d = layer(), X.shape[1]
    W, b = parameters["components"], parameters["intercept_hidden"]
    assert (abs(X @ W.T + b) > noise * d**0.5 * W.norm(dim=1)).all()
    directions = d**0.5 * torch.cat([torch.eye(d), -torch.eye(d)]).double()
    copies = X + noise * directions[:, None]
    sampled = values_at(
        penalty_alone(activation, noise, 2 * d), parameters, stacked(X, copies)
    )
    exact = oracles.squared_hessian_norm(parameters, X, activation)
    torch.testing.assert_close(sampled, exact, rtol=8 * noise**2, atol=0)


@pytest.mark.parametrize("activation", CURVED)
def test_gaussian_noise_tends_to_the_exact_norm(activation, layer, X):
    """To 3 %, from 20,000 copies: three standard errors of one unit's mean square."""
    parameters, noise, n_copies = layer(), 1e-3, 20_000
    copies = noisy(X, noise, n_copies, torch.Generator().manual_seed(3))
    sampled = values_at(
        penalty_alone(activation, noise, n_copies), parameters, stacked(X, copies)
    )
    exact = oracles.squared_hessian_norm(parameters, X, activation)
    torch.testing.assert_close(sampled, exact, rtol=0.03, atol=0.0)


def test_at_elus_kink_half_of_the_noise_counts():
    """There alone the limit is not the norm: φ'' is 1 on one side, 0 on the other."""
    W = torch.tensor([[0.6, 0.8]]).double()
    parameters = {
        "components": W,
        "intercept_hidden": torch.zeros(1).double(),
        "intercept_visible": torch.zeros(2).double(),
    }
    x, noise, n_copies = torch.zeros(1, 2).double(), 1e-4, 20_000
    copies = noisy(x, noise, n_copies, torch.Generator().manual_seed(4))
    sampled = values_at(
        penalty_alone("elu", noise, n_copies), parameters, stacked(x, copies)
    )
    torch.testing.assert_close(sampled, torch.tensor([0.5]).double(), rtol=0.03, atol=0)


def test_the_gradient_sees_elus_kink_from_afar():
    """On average over a in [−1, 1] it is the change from φ''(−1)² to φ''(1)², halved.

    The exact norm's gradient is that of the smooth parts alone and has the other sign.
    The tolerance is five standard errors of the sampled one.
    """
    one = torch.ones(1).double()
    parameters = {
        "components": one[:, None],
        "intercept_hidden": 0 * one,
        "intercept_visible": 0 * one,
    }
    a = torch.linspace(-1, 1, 100_000, dtype=torch.float64)[:, None]
    copies = noisy(a, 0.01, 10, torch.Generator().manual_seed(8))
    _, sampled = steps.value_and_gradient(
        penalty_alone("elu", 0.01, 10), parameters, a, copies=copies
    )
    exact = Objective(ACTIVATIONS["elu"], NOTHING, ((1.0, DerivativePenalty(2)),))
    _, of_exact = steps.value_and_gradient(exact, parameters, a)
    torch.testing.assert_close(
        sampled["intercept_hidden"], -np.exp(-2) / 2 * one, rtol=0, atol=0.04
    )
    torch.testing.assert_close(
        of_exact["intercept_hidden"], (1 - np.exp(-2)) / 2 * one, rtol=1e-4, atol=0
    )


def test_more_copies_estimate_the_same_with_less_variance(layer, X):
    """Four copies: the same mean, a quarter of the variance."""
    parameters, n_estimates = layer(), 8000
    rows = X[:1].expand(n_estimates, -1)
    generator = torch.Generator().manual_seed(5)
    one, four = (
        values_at(
            penalty_alone("sigmoid", NOISE, n),
            parameters,
            stacked(rows, noisy(rows, NOISE, n, generator)),
        )
        for n in (1, 4)
    )
    standard_error = float((one.var() + four.var()) / n_estimates) ** 0.5
    assert abs(float(one.mean() - four.mean())) < 3 * standard_error
    assert float(one.var() / four.var()) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("activation", CURVED)
def test_single_precision_is_enough_for_small_noise(activation):
    """At σ = 10⁻³ and data in [0, 1], to three digits of the gradient."""
    generator = torch.Generator().manual_seed(6)
    W = 0.05 * torch.randn((1000, 784), generator=generator)
    parameters = {
        "components": W,
        "intercept_hidden": torch.zeros(1000),
        "intercept_visible": torch.zeros(784),
    }
    X = torch.rand((20, 784), generator=generator)
    copies = noisy(X, 1e-3, 1, generator)
    objective = penalty_alone(activation, 1e-3, 1)
    single = steps.value_and_gradient(objective, parameters, X, copies=copies)
    double = steps.value_and_gradient(
        objective,
        {name: p.double() for name, p in parameters.items()},
        X.double(),
        copies=copies.double(),
    )
    torch.testing.assert_close(single[0].double(), double[0], rtol=1e-4, atol=0)
    difference = single[1]["components"].double() - double[1]["components"]
    assert difference.norm() < 1e-3 * double[1]["components"].norm()


# ---- in training ----------------------------------------------------------------


def learner(parameters, X, weights=None, *, solver=Adam, n_copies=3, **how):
    return ReconstructionLearner(
        make_objective("tanh", n_copies=n_copies),
        parameters,
        solver(parameters),
        Rows(X, weights, dtype=X.dtype, device=CPU),
        corrupt=corruption(NOISE),
        generator=torch.Generator().manual_seed(7),
        **how,
    )


def naive_objective(parameters, X, copies, weights):
    """The objective of `make_objective("tanh")` in torch's own operations."""
    W, b = parameters["components"], parameters["intercept_hidden"]
    V, c = parameters.get("decoder_components", W), parameters["intercept_visible"]
    h = torch.tanh(X @ W.T + b)
    loss = (h @ V + c - X).square().sum(1)
    slope, moved = 1 - h**2, 1 - torch.tanh(copies @ W.T + b) ** 2
    norms = W.square().sum(1)
    jacobian = slope.square() @ norms
    hessian = ((moved - slope).square() @ norms).mean(0) / NOISE**2
    return (weights * (loss + 0.3 * jacobian + 0.2 * hessian)).sum() / len(X)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("solver", "optimizer"), [(Adam, torch.optim.Adam), (Sgd, torch.optim.SGD)]
)
def test_fifty_steps_equal_autograd_and_torchs_optimizers(
    solver, optimizer, tied, layer
):
    """Fresh noise at each step, drawn after the order of the epoch."""
    X = np.random.default_rng(0).random((18, 4))
    weights = np.random.default_rng(1).uniform(0.5, 1.5, 18)
    start = {name: 0.3 * p for name, p in layer(tied=tied).items()}
    parameters = {name: p.clone() for name, p in start.items()}
    learns = learner(parameters, X, weights, solver=solver, batch_size=4)
    training = Training(
        learns,
        batch_size=4,
        rate=constant_rate(0.01),
        stopping=StoppingRule(tol=0.0, n_iter_no_change=10),
        shuffle=True,
        generator=learns.generator,
    )
    for _ in range(10):
        training.run_epoch()

    naive = {name: p.clone().requires_grad_() for name, p in start.items()}
    optimizes = optimizer(list(naive.values()), lr=0.01)
    generator = torch.Generator().manual_seed(7)
    rows, every_weight = torch.from_numpy(X), torch.from_numpy(weights)
    for _ in range(10):
        total = 0.0
        for index in torch.randperm(18, generator=generator).split(4):
            copies = noisy(rows[index], NOISE, 3, generator)
            optimizes.zero_grad()
            value = naive_objective(naive, rows[index], copies, every_weight[index])
            value.backward()
            total += float(value.detach()) * len(index) / 18
            optimizes.step()
    assert training.loss_curve[-1] == pytest.approx(total, rel=1e-9)
    for name, parameter in parameters.items():
        torch.testing.assert_close(
            parameter, naive[name].detach(), rtol=1e-8, atol=1e-10, msg=name
        )


def test_rows_that_stay_in_memory_get_fresh_copies(layer):
    """A single batch of all rows is read once, and its copies are drawn each time."""
    X = np.random.default_rng(0).random((5, 4))
    learns = learner(layer(), X, batch_size=5)
    totals, seen = torch.zeros(2, dtype=torch.float64), []
    for _ in range(3):
        learns.take_step(slice(None), 0.0, totals)
        batch = learns.workspace.batch(5)
        np.testing.assert_array_equal(batch.X, X)
        seen.append(batch.copies - batch.X)
    distinct = torch.stack(seen).flatten(0, 1)
    assert len(distinct) == 9
    assert all((distinct[0] != other).all() for other in distinct[1:])


@pytest.mark.parametrize("step", [16, 100])
def test_the_held_out_objective_has_the_same_noise_each_time(step, layer, monkeypatch):
    # Drawn for a chunk of rows at a time: with three copies and five units, so many.
    monkeypatch.setattr("skcae._core.data.rows.CHUNK_ELEMENTS", step * (1 + 3) * 5)
    X = np.random.default_rng(0).random((30, 4))
    weights = np.random.default_rng(1).uniform(0.5, 1.5, 30)
    held_out = Rows(X, weights, dtype=X.dtype, device=CPU)
    parameters = layer()
    learns = learner(parameters, X, validation=held_out, batch_size=30)
    value = learns.held_out()
    generator = torch.Generator().manual_seed(7)
    expected = sum(
        float(naive_objective(parameters, rows, copies, w)) * len(rows)
        for rows, w in zip(
            torch.from_numpy(X).split(step),
            torch.from_numpy(weights).split(step),
            strict=True,
        )
        for copies in [noisy(rows, NOISE, 3, generator)]
    )
    assert value == pytest.approx(expected / weights.sum(), rel=1e-12)
    learns.take_step(slice(None), 0.0, torch.zeros(2, dtype=torch.float64))
    assert learns.held_out() == value


def test_mean_objective_is_the_mean_of_the_naive_one(layer, X, copies):
    mean = mean_objective(
        make_objective("sigmoid"),
        layer(),
        Rows(X.numpy(), dtype=np.dtype("f8"), device=CPU),
        lambda rows: stacked(rows, copies),
    )
    expected = oracles.objective(
        layer(),
        X,
        torch.ones(len(X)),
        activation="sigmoid",
        loss="squared_error",
        jacobian_penalty=0.3,
        hessian_penalty=0.2,
        copies=copies,
        noise=NOISE,
    )
    assert mean == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_noise_of_several_copies_is_independent(dtype):
    X = torch.rand(50, 40, dtype=dtype)
    noise = noisy(X, 0.7, 6, torch.Generator().manual_seed(0)) - X
    assert float(noise.std()) == pytest.approx(0.7, abs=0.01)
    correlation = np.corrcoef(noise.flatten(1).numpy())
    assert abs(correlation - np.eye(6)).max() < 0.1
