"""A second kind of layer, made here alone, goes through all that the dense one does.

It is a convolution with a stride and padding, whose border makes the norms of its units
differ. What it computes is held against torch's own and automatic differentiation.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.func import jacrev, vmap
from torch.nn import functional, grad

from skcae._core.data.rows import Rows
from skcae._core.layers import spectrum
from skcae._core.layers.chain import Chain
from skcae._core.layers.coder import Coder, initial_parameters
from skcae._core.layers.dense import Dense
from skcae._core.layers.layer import Affine
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae._core.steps.supervised import NetworkObjective
from skcae._core.steps.tangents import TangentObjective, Tangents
from skcae._core.training.solvers import Adam, Sgd
from skcae.activations import ACTIVATIONS
from skcae.losses import LOG_SOFTMAX, LOSSES
from skcae.penalties import DerivativePenalty, SampledHessianPenalty
from tests import oracles, steps

IMAGE, CODE = (2, 4, 5), (3, 2, 3)
N_FILTERS, SIZE, STRIDE, PADDING = 3, 3, 2, 1
N_FEATURES, N_UNITS, N_PLACES = 40, 18, 6
N_ROWS, N_CLASSES = 5, 3
CPU = torch.device("cpu")
NAMES = ["sigmoid", "tanh"]


@dataclass(frozen=True)
class Convolution(Affine):
    """A convolution of images whose pixels lie in a row."""

    n_inputs, n_units = N_FEATURES, N_UNITS

    @property
    def n_multiplications(self):
        return self.weights.numel() * N_PLACES

    @property
    def unit_intercepts(self):
        return self.intercept.repeat_interleave(N_PLACES)

    def push(self, V):
        images = V.reshape(-1, *IMAGE)
        found = functional.conv2d(images, self.weights, None, STRIDE, PADDING)
        return found.reshape(*V.shape[:-1], N_UNITS)

    def pull(self, U):
        codes = U.reshape(-1, *CODE)
        shape = (len(codes), *IMAGE)
        found = grad.conv2d_input(shape, self.weights, codes, STRIDE, PADDING)
        return found.reshape(*U.shape[:-1], N_FEATURES)

    def squared_norms(self, out=None):
        ones = torch.ones((1, *IMAGE), dtype=self.weights.dtype)
        found = functional.conv2d(ones, self.weights.square(), None, STRIDE, PADDING)
        return found.flatten() if out is None else out.copy_(found.flatten())

    def weight_gradient(self, dA, X, d_norms=None):
        how = {"stride": STRIDE, "padding": PADDING}
        dA, X, W = dA.mT.reshape(-1, *CODE), X.reshape(-1, *IMAGE), self.weights
        formed = grad.conv2d_weight(X, W.shape, dA, **how)
        if d_norms is not None:
            # ‖A_j‖² is the sum of the squares of those weights that lie in the image.
            ones, at_units = torch.ones_like(X[:1]), d_norms.view(1, *CODE)
            formed += 2 * W * grad.conv2d_weight(ones, W.shape, at_units, **how)
        return formed

    def intercept_gradient(self, dA):
        return dA.sum(1).view(N_FILTERS, -1).sum(1)

    def decoder(self, weights, intercept, activation):
        return Deconvolution(weights, intercept, activation)


class Deconvolution(Convolution):
    """The way back, with an intercept for each pixel."""

    n_inputs, n_units = N_UNITS, N_FEATURES
    push, pull = Convolution.pull, Convolution.push
    unit_intercepts = property(lambda self: self.intercept)
    intercept_gradient = Affine.intercept_gradient


def draw(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def naive_outputs(parameters, x, names=NAMES):
    """The outputs of a convolution, a dense layer and a linear one, for one row."""
    how = (parameters["intercepts.0"], STRIDE, PADDING)
    a = functional.conv2d(x.view(1, *IMAGE), parameters["coefs.0"], *how).flatten()
    outputs = [oracles.ACTIVATIONS[names[0]](a)]
    for k, name in enumerate(names[1:], 1):
        a = parameters[f"coefs.{k}"] @ outputs[-1] + parameters[f"intercepts.{k}"]
        outputs.append(oracles.ACTIVATIONS[name](a))
    return outputs


def chain_of(parameters, names=NAMES):
    kinds = [Convolution, *[Dense] * (len(names) - 1)]
    return Chain(
        tuple(
            kind(parameters[f"coefs.{k}"], parameters[f"intercepts.{k}"], phi)
            for k, (kind, phi) in enumerate(
                zip(kinds, (ACTIVATIONS[name] for name in names), strict=True)
            )
        )
    )


@pytest.fixture
def parameters():
    return {
        "coefs.0": 0.4 * draw(N_FILTERS, IMAGE[0], SIZE, SIZE),
        "coefs.1": 0.4 * draw(N_CLASSES, N_UNITS, seed=1),
        "intercepts.0": draw(N_FILTERS, seed=2),
        "intercepts.1": draw(N_CLASSES, seed=3),
    }


@pytest.fixture
def X():
    return draw(N_ROWS, N_FEATURES, seed=4)


# ---- a chain of both kinds ------------------------------------------------------


def test_its_outputs_are_torchs(parameters, X):
    """Whether samples are rows, as in measurements, or columns, as in training."""
    chain = chain_of(parameters)
    by_row = [naive_outputs(parameters, x) for x in X]
    expected = [torch.stack(layer) for layer in zip(*by_row, strict=True)]
    for H, columns, wanted in zip(
        chain.outputs(X), chain.forward(X.mT)[1:], expected, strict=True
    ):
        torch.testing.assert_close(H, wanted)
        torch.testing.assert_close(columns.mT, wanted)
    assert (chain.n_features, chain.n_components) == (N_FEATURES, N_CLASSES)
    assert (chain.width, chain.most_units) == (N_FEATURES, N_UNITS)
    assert chain.parameters.keys() == parameters.keys()
    assert chain.n_multiplications == 54 * N_PLACES


@pytest.mark.parametrize("n_layers", [1, 2])
def test_its_jacobian_is_autograds(parameters, X, n_layers):
    names = NAMES[:n_layers]
    chain = chain_of(parameters, names)
    J = vmap(jacrev(lambda x: naive_outputs(parameters, x, names)[-1]))(X)
    slopes = chain.states_at(X)
    V, U = draw(N_ROWS, 2, N_FEATURES), draw(N_ROWS, 2, J.shape[1])
    torch.testing.assert_close(chain.push_forward(slopes, V), V @ J.mT)
    torch.testing.assert_close(chain.pull_back(slopes, U), U @ J)
    torch.testing.assert_close(chain.jacobians(slopes), J)
    norms = J.square().sum((1, 2))
    torch.testing.assert_close(chain.squared_norms(slopes, 10**6), norms)
    values = spectrum.singular_values(chain, slopes, J.shape[1])
    torch.testing.assert_close(values, torch.linalg.svdvals(J), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("order", [1, 2])
def test_penalties_take_the_norms_of_its_units(parameters, X, order):
    """Which are smaller at the border, where a filter reaches beyond the image."""
    (layer,) = chain_of(parameters, ["sigmoid"]).layers
    derivatives = layer.activation.derivatives(layer.outputs(X), order)

    def code(x):
        return naive_outputs(parameters, x, ["sigmoid"])[-1]

    derivative = jacrev(code) if order == 1 else jacrev(jacrev(code))
    expected = vmap(derivative)(X).square().flatten(1).sum(1)
    squared_norms = layer.squared_norms()
    found = DerivativePenalty(order).per_sample(derivatives, squared_norms)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(squared_norms, layer.matrix.square().sum(1))
    assert squared_norms.view(N_FILTERS, -1).std(1).min() > 0.1


@pytest.mark.parametrize("n_tangents", [0, 2])
def test_fine_tuning_has_the_gradient_of_autograd(parameters, X, n_tangents):
    names = ["sigmoid", "identity"]
    chain = chain_of(parameters, names)
    T = torch.eye(N_CLASSES, dtype=torch.float64)[[0, 2, 1, 1, 0]]
    tangents = draw(N_ROWS, n_tangents, N_FEATURES, seed=5)
    objective = (
        TangentObjective(LOG_SOFTMAX, Tangents(tangents, 0.3, LOG_SOFTMAX.output))
        if n_tangents
        else NetworkObjective(LOG_SOFTMAX)
    )
    values, gradient = objective.values_and_gradient(chain, slice(None), X, T, None)

    tracked = {name: p.clone().requires_grad_() for name, p in parameters.items()}

    def probabilities(x):
        return torch.softmax(naive_outputs(tracked, x, names)[-1], 0)

    J = vmap(jacrev(probabilities))(X)
    o = torch.stack([probabilities(x) for x in X])
    penalties = 0.3 * (tangents @ J.mT).square().sum((1, 2))
    expected = torch.stack((-(T * o.log()).sum(1), penalties))
    expected.sum(0).mean().backward()
    torch.testing.assert_close(values, expected.detach())
    for name, parameter in tracked.items():
        found = torch.zeros_like(parameter)
        gradient.add_to({name: found}, parameters)
        torch.testing.assert_close(found, parameter.grad, msg=name)


# ---- an autoencoder of it ---------------------------------------------------------


def layer_parameters(tied):
    W = 0.4 * draw(N_FILTERS, IMAGE[0], SIZE, SIZE)
    parameters = {
        "components": W,
        "intercept_hidden": draw(N_FILTERS, seed=1),
        "intercept_visible": draw(N_FEATURES, seed=2),
    }
    if not tied:
        parameters["decoder_components"] = 0.3 * draw(*W.shape, seed=3)
    return parameters


def naive_loss(parameters, X, copies=None, noise=0.1):
    """The objective below, with dense Jacobians."""
    W = parameters["components"]

    def encode(x):
        b = parameters["intercept_hidden"]
        a = functional.conv2d(x.view(1, *IMAGE), W, b, STRIDE, PADDING)
        return torch.sigmoid(a).flatten()

    H = torch.stack([encode(x) for x in X]).view(-1, *CODE)
    V = parameters.get("decoder_components", W)
    Z = functional.conv_transpose2d(H, V, None, STRIDE, PADDING, (1, 0)).flatten(1)
    losses = (Z + parameters["intercept_visible"] - X).square().sum(1)
    J = vmap(jacrev(encode))(X)
    penalties = 0.2 * J.square().sum((1, 2))
    if copies is None:
        second = vmap(jacrev(jacrev(encode)))(X).square().flatten(1).sum(1)
    else:
        there = torch.stack([vmap(jacrev(encode))(copy) for copy in copies])
        second = (there - J).square().sum((2, 3)).mean(0) / noise**2
    return losses + penalties + 0.05 * second


def objective_of(second):
    return Objective(
        ACTIVATIONS["sigmoid"],
        LOSSES["squared_error"],
        ((0.2, DerivativePenalty(1)), (0.05, second)),
        Convolution,
    )


@pytest.mark.parametrize("n_copies", [0, 2])
@pytest.mark.parametrize("tied", [True, False])
def test_an_autoencoder_has_the_gradient_of_autograd(tied, n_copies, X):
    """Of loss and both penalties, through slopes and through norms."""
    parameters = layer_parameters(tied)
    weights = torch.linspace(0.5, 1.5, N_ROWS, dtype=torch.float64)
    copies = X + 0.1 * draw(n_copies, *X.shape, seed=6) if n_copies else None
    second = SampledHessianPenalty(0.1, n_copies) if copies is not None else None
    objective = objective_of(second or DerivativePenalty(2))
    value, gradient = steps.value_and_gradient(
        objective, parameters, X, weights, copies=copies
    )
    tracked = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    expected = weights @ naive_loss(tracked, X, copies) / N_ROWS
    expected.backward()
    torch.testing.assert_close(value, expected.detach())
    for name, parameter in tracked.items():
        torch.testing.assert_close(gradient[name], parameter.grad, msg=name)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("solver", [Sgd, Adam])
def test_it_is_trained_as_torch_trains_it(solver, tied, X):
    ours, start = layer_parameters(tied), layer_parameters(tied)
    rows = Rows(X.numpy(), dtype=np.dtype("f8"), device=CPU)
    learner = ReconstructionLearner(
        objective_of(DerivativePenalty(2)),
        ours,
        solver(ours),
        rows,
        batch_size=N_ROWS,
        validation=rows,
    )
    totals = torch.zeros(2, dtype=torch.float64)
    tracked = {name: p.requires_grad_() for name, p in start.items()}
    kind = {Sgd: torch.optim.SGD, Adam: torch.optim.Adam}[solver]
    optimizer = kind(list(tracked.values()), lr=1e-3)
    for _ in range(3):
        losses = naive_loss(tracked, X)
        assert learner.held_out() == pytest.approx(losses.mean().item())
        learner.take_step(slice(None), 1e-3, totals)
        torch.testing.assert_close(totals.sum(), losses.sum().detach())
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    for name, parameter in tracked.items():
        torch.testing.assert_close(ours[name], parameter.detach(), msg=name)


# ---- the dense layer ------------------------------------------------------------


class Plain(Dense):
    """The dense layer without what it knows better."""

    matrix = Affine.matrix
    pre_activations = Affine.pre_activations
    push_columns = Affine.push_columns
    pull_columns = Affine.pull_columns
    column_pre_activations = Affine.column_pre_activations
    pull_rows = Affine.pull_rows


def test_what_the_dense_layer_knows_better_is_the_same():
    parts = draw(3, 4), draw(3, seed=1), ACTIVATIONS["tanh"]
    dense, plain = Dense(*parts), Plain(*parts)
    rows, columns, codes = draw(5, 4), draw(4, 2, 5), draw(3, 2, 5)
    for name, argument in [
        ("pre_activations", rows),
        ("outputs", rows),
        ("push_columns", columns),
        ("pull_columns", codes),
        ("column_pre_activations", columns[:, 0]),
    ]:
        expected = getattr(plain, name)(argument)
        torch.testing.assert_close(getattr(dense, name)(argument), expected)
    for name, argument, expected in [
        ("pre_activations", rows, plain.pre_activations(rows)),
        ("pull_rows", codes[:, 0].mT, plain.pull(codes[:, 0].mT)),
    ]:
        for layer in (dense, plain):
            out = torch.empty_like(expected)
            assert getattr(layer, name)(argument, out=out) is out
            torch.testing.assert_close(out, expected)
    torch.testing.assert_close(dense.matrix, plain.matrix)


# ---- an encoder with its decoder --------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_a_coder_shares_its_parameters(tied):
    """Written to in place, they are those of the layers."""
    parameters = initial_parameters(
        4,
        3,
        tied_weights=tied,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
        device=CPU,
    )
    coder = Coder.of(parameters, ACTIVATIONS["tanh"])
    assert coder.is_tied == tied
    for name in parameters:
        parameters[name].normal_()
    V = parameters.get("decoder_components", parameters["components"])
    X = draw(5, 4)
    H = torch.tanh(X @ parameters["components"].mT + parameters["intercept_hidden"])
    Z = H @ V + parameters["intercept_visible"]
    torch.testing.assert_close(coder.encoder.outputs(X), H)
    torch.testing.assert_close(coder.decoder.outputs(H), Z)
