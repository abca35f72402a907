"""Mistakes that circulate in published contractive autoencoders, one test for each.

Every test would fail if our penalty had the mistake that its name says.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import jacrev, vmap

from skcae._core.data.rows import Rows
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import mean_objective
from skcae.activations import ACTIVATIONS
from skcae.functional import jacobian_penalty
from skcae.inspection import jacobian_norm
from skcae.losses import LOSSES, Loss
from skcae.penalties import DerivativePenalty
from tests import oracles, steps

CURVED = sorted(name for name in ACTIVATIONS if ACTIVATIONS[name].curved)
FLAT = sorted(set(ACTIVATIONS) - set(CURVED))
NOTHING = Loss(
    output=lambda Z: Z,
    elementwise=lambda X, Z: torch.zeros_like(X),
    gradient_in_place=lambda X, Z: Z.zero_(),
)


def penalty_alone(activation="sigmoid", order=1):
    """An objective that is the penalty and nothing else."""
    return Objective(
        ACTIVATIONS[activation], NOTHING, ((1.0, DerivativePenalty(order)),)
    )


def value_and_gradient(parameters, X, **kind):
    return steps.value_and_gradient(penalty_alone(**kind), parameters, X)


@pytest.fixture
def X():
    generator = torch.Generator().manual_seed(1)
    return torch.randn((6, 4), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_gradient_reaches_the_weights(activation, layer, X):
    """Floor division, a cut graph or a constant penalty would leave it at zero."""
    _, gradient = value_and_gradient(layer(), X, activation=activation)
    assert gradient["components"].any()


def test_the_penalty_follows_the_weights(layer, X):
    """Weights frozen at their initial values would not change it."""
    parameters = layer()
    before, _ = value_and_gradient(parameters, X)
    parameters["components"] *= 0.5
    after, _ = value_and_gradient(parameters, X)
    expected = oracles.squared_jacobian_norm(parameters, X, "sigmoid").mean()
    assert after != before
    torch.testing.assert_close(after, expected)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_weights_are_not_detached(activation, layer, X):
    """The gradient has a path through the activations and one through ‖W_j‖²."""
    parameters = layer()
    _, gradient = value_and_gradient(parameters, X, activation=activation)
    # At a fixed pre-activation only ‖W_j‖² is left: 2 mean(φ'²) W_j.
    a = X @ parameters["components"].T + parameters["intercept_hidden"]
    slope = torch.func.vmap(
        torch.func.vmap(torch.func.grad(oracles.ACTIVATIONS[activation]))
    )(a)
    direct = 2 * slope.square().mean(0)[:, None] * parameters["components"]
    through_activations = gradient["components"] - direct
    assert direct.abs().max() > 0
    if activation in CURVED:
        assert through_activations.abs().max() > 1e-6
    else:
        torch.testing.assert_close(gradient["components"], direct)


@pytest.mark.parametrize("activation", CURVED)
def test_the_gradient_reaches_the_hidden_bias(activation, layer, X):
    _, gradient = value_and_gradient(layer(), X, activation=activation)
    assert gradient["intercept_hidden"].any()


@pytest.mark.parametrize("activation", FLAT)
def test_without_curvature_the_hidden_bias_gets_exactly_nothing(activation, layer, X):
    _, gradient = value_and_gradient(layer(), X, activation=activation)
    assert not gradient["intercept_hidden"].any()


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_each_activation_has_its_own_derivative(activation, layer, X):
    """The sigmoid's h(1 − h) after another activation is wrong."""
    parameters = layer()
    value, _ = value_and_gradient(parameters, X, activation=activation)
    expected = oracles.squared_jacobian_norm(parameters, X, activation).mean()
    torch.testing.assert_close(value, expected)
    if activation != "sigmoid":
        a = X @ parameters["components"].T + parameters["intercept_hidden"]
        h = oracles.ACTIVATIONS[activation](a)
        rows = parameters["components"].square().sum(1)
        assert not torch.isclose(((h * (1 - h)) ** 2 @ rows).mean(), expected)


def test_opposite_units_do_not_cancel(layer, X):
    """The gradient of Σ_j h_j is not the Jacobian: units w and −w would add to zero."""
    w = layer(1)["components"]
    parameters = {
        "components": torch.cat([w, -w]),
        "intercept_hidden": torch.zeros(2, dtype=torch.float64),
        "intercept_visible": torch.zeros(4, dtype=torch.float64),
    }
    single = {
        **parameters,
        "components": w,
        "intercept_hidden": torch.zeros(1).double(),
    }
    pair, _ = value_and_gradient(parameters, X)
    one, _ = value_and_gradient(single, X)
    torch.testing.assert_close(pair, 2 * one)
    assert pair > 0


def test_a_duplicated_batch_changes_nothing(layer, X):
    """The penalty of the batch mean, or one divided by another count, would shrink."""
    parameters = layer()
    value, gradient = value_and_gradient(parameters, X)
    value_twice, gradient_twice = value_and_gradient(parameters, torch.cat([X, X]))
    torch.testing.assert_close(value_twice, value)
    for name in gradient:
        torch.testing.assert_close(gradient_twice[name], gradient[name])


def test_squares_are_summed_and_not_sums_squared(X):
    """(ΣW)² is zero for a unit whose weights add to zero; ‖W‖² is not."""
    parameters = {
        "components": torch.tensor([[1.0, -1.0, 2.0, -2.0]]).double(),
        "intercept_hidden": torch.zeros(1).double(),
        "intercept_visible": torch.zeros(4).double(),
    }
    value, _ = value_and_gradient(parameters, X, activation="identity")
    torch.testing.assert_close(value, torch.tensor(10.0).double())


def test_the_penalty_depends_on_the_data(layer, X):
    """Norms of weight products, without φ', are weight decay."""
    near, _ = value_and_gradient(layer(), X)
    far, _ = value_and_gradient(layer(), 100 * X)
    assert far < near / 2


def test_the_penalty_scales_with_the_square_of_the_map(layer, X):
    """A norm that is not squared, or one that is standardised, does not."""
    parameters = layer()
    value, _ = value_and_gradient(parameters, X, activation="identity")
    parameters["components"] *= 3
    tripled, _ = value_and_gradient(parameters, X, activation="identity")
    torch.testing.assert_close(tripled, 9 * value)


def test_the_gradient_has_no_factor_of_a_half(layer, X):
    """Published hand-written gradients are short by a factor of two, or of one term."""
    parameters, step = layer(), 1e-6
    _, gradient = value_and_gradient(parameters, X)
    for name in ("components", "intercept_hidden"):
        flat = parameters[name].view(-1)
        for k in range(len(flat)):
            flat[k] += step
            above, _ = value_and_gradient(parameters, X)
            flat[k] -= 2 * step
            below, _ = value_and_gradient(parameters, X)
            flat[k] += step
            expected = (above - below) / (2 * step)
            torch.testing.assert_close(
                gradient[name].view(-1)[k], expected, rtol=1e-5, atol=1e-7
            )


@pytest.mark.parametrize("copies", [2, 4])
def test_the_hessian_term_does_not_depend_on_the_layers_size(copies, layer, X):
    """A mean over units and inputs would make γ mean something else for each layer."""
    parameters = layer()
    value, _ = value_and_gradient(parameters, X, order=2)
    wide = {
        "components": parameters["components"].repeat(copies, 1),
        "intercept_hidden": parameters["intercept_hidden"].repeat(copies),
        "intercept_visible": parameters["intercept_visible"],
    }
    repeated, _ = value_and_gradient(wide, X, order=2)
    torch.testing.assert_close(repeated, copies * value)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_neither_term_is_an_average_over_features(loss, layer, X):
    """With every feature twice, loss and penalty double; a mean would stay."""
    Z = torch.randn((6, 4), generator=torch.Generator().manual_seed(2)).double()
    value = LOSSES[loss].value
    torch.testing.assert_close(
        value(torch.cat([X, X], 1), torch.cat([Z, Z], 1)), 2 * value(X, Z)
    )
    parameters = layer()
    doubled = {
        "components": torch.cat(2 * [parameters["components"]], 1),
        "intercept_hidden": parameters["intercept_hidden"],
        "intercept_visible": parameters["intercept_visible"].repeat(2),
    }
    # Half of each input twice gives the same pre-activations.
    once, _ = value_and_gradient(parameters, X)
    twice, _ = value_and_gradient(doubled, torch.cat([X, X], 1) / 2)
    torch.testing.assert_close(twice, 2 * once)


def test_a_batch_of_one(layer, X):
    parameters = layer()
    value, _ = value_and_gradient(parameters, X[:1])
    expected = oracles.sigmoid_penalty_loops(parameters, X[0])
    torch.testing.assert_close(value, expected)


def test_as_many_rows_as_units(layer):
    """Shapes that broadcast by accident when the batch is as long as the code."""
    X = torch.randn((5, 4), generator=torch.Generator().manual_seed(3)).double()
    value, _ = value_and_gradient(layer(5), X)
    expected = oracles.squared_jacobian_norm(layer(5), X, "sigmoid").mean()
    torch.testing.assert_close(value, expected)


def test_the_penalty_is_the_same_in_training_and_in_validation(layer, X):
    """A penalty that vanishes without gradients would flatter the validation loss."""
    parameters = layer()
    objective = Objective(
        ACTIVATIONS["sigmoid"], LOSSES["squared_error"], ((0.7, DerivativePenalty(1)),)
    )
    training, _ = steps.value_and_gradient(objective, parameters, X)
    with torch.no_grad():
        rows = Rows(X.numpy(), dtype=np.dtype(float), device=torch.device("cpu"))
        validation = mean_objective(objective, parameters, rows)
    assert validation == pytest.approx(float(training), rel=1e-12)


# ---- deep and convolutional encoders ------------------------------------------------


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn((6, 1, 8, 8), generator=generator, dtype=torch.float64)


def exact_norms(encoder, X):
    J = vmap(jacrev(lambda x: encoder(x[None])[0]))(X)
    return J.square().flatten(1).sum(1)


def convolution(*others):
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 4, 5, padding=2)
    return nn.Sequential(layer, nn.Sigmoid(), *others).double()


def squared_slopes(encoder, images):
    codes = encoder[:2](images)
    return (codes * (1 - codes)).square()


def test_filters_count_as_far_as_they_are_in_the_image(images):
    """With ‖W_o‖² at every place, borders would weigh more than they do."""
    encoder = convolution()
    norms = jacobian_penalty(encoder, images, reduction="none")
    torch.testing.assert_close(norms, exact_norms(encoder, images))
    whole = encoder[0].weight.square().sum((1, 2, 3))[:, None, None]
    wrong = (squared_slopes(encoder, images) * whole).sum((1, 2, 3))
    assert (wrong > 1.25 * norms).all()


@pytest.mark.parametrize("join", [torch.mul, torch.add])
def test_layers_are_not_measured_one_by_one(join, X):
    """Neither the product of the layers' norms is the norm, nor their sum."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()).double() for _ in range(2)]
    encoder = nn.Sequential(*layers)
    norms = jacobian_penalty(encoder, X, method="exact", reduction="none")
    torch.testing.assert_close(norms, exact_norms(encoder, X))
    wrong = join(
        jacobian_penalty(layers[0], X, reduction="none"),
        jacobian_penalty(layers[1], layers[0](X), reduction="none"),
    )
    assert (wrong > 1.25 * norms).all()


def test_rows_that_meet_in_batch_norm_have_no_penalty(X):
    """One backward pass for all rows lets what they do to each other cancel."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Sigmoid()).double()
    with pytest.raises(ValueError, match=r"BatchNorm1d.*statistics of the whole"):
        jacobian_penalty(encoder, X)
    wrong = jacobian_penalty(encoder, X, method="exact", check=False)
    J = torch.autograd.functional.jacobian(encoder, X)
    own = torch.stack([J[i, :, i] for i in range(len(X))]).square().sum((1, 2)).mean()
    assert wrong < own / 2


def test_squared_norms_are_not_averaged_where_codes_are(images):
    """The units of a window are added up before they are squared."""
    encoder = convolution(nn.AvgPool2d(2))
    norms = jacobian_penalty(encoder, images, method="exact", reduction="none")
    torch.testing.assert_close(norms, exact_norms(encoder, images))
    counted = nn.functional.conv2d(
        torch.ones_like(images[:1]), encoder[0].weight.square(), padding=2
    )
    squares = squared_slopes(encoder, images) * counted
    wrong = encoder[2](squares).sum((1, 2, 3))
    assert (wrong > 2 * norms).all()
    estimate = jacobian_penalty(
        encoder, images.repeat(500, 1, 1, 1), generator=torch.Generator().manual_seed(0)
    )
    assert (estimate / norms.mean() - 1).abs() < 0.05  # by probes


# ---- a whole fit ---------------------------------------------------------------------


def test_the_penalty_contracts(digits, small_contractive):
    """A whole fit: ‖J‖ falls as λ grows, which with frozen weights it hardly does."""
    X, _ = digits
    norms = [
        jacobian_norm(
            small_contractive(
                n_components=32,
                jacobian_penalty=strength,
                loss="cross_entropy",
                max_iter=40,
            ).fit(X),
            X,
        ).mean()
        for strength in (0.0, 0.1, 1.0)
    ]
    assert norms[1] < 0.85 * norms[0]
    assert norms[2] < 0.6 * norms[1]
