"""A module of torch as a layer: what it computes, its Jacobian, and what it refuses."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian
from torch.nn import functional

from skcae._core.data.moments import Scaling
from skcae._core.layers.chain import Chain
from skcae._core.layers.dense import Dense
from skcae._core.layers.module import Module, ModuleArchitecture
from skcae._core.steps.joint import JointObjective
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES

TANH = ACTIVATIONS["tanh"]


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Sines(nn.Module):
    """A module with a buffer, whose codes are no flat rows."""

    def __init__(self, n_features):
        super().__init__()
        self.linear = nn.Linear(n_features, 6)
        self.register_buffer("phases", torch.randn(2, 3))

    def forward(self, X):
        return torch.sin(self.linear(X).view(-1, 2, 3) + self.phases)


class Centred(nn.Module):
    """A module that looks at all rows."""

    def forward(self, X):
        return X - X.mean(0)


class Noisy(nn.Module):
    """A module that draws at random whatever its mode."""

    def forward(self, X):
        return X + torch.rand_like(X)


class Writing(nn.Module):
    """A module that writes where it should only read."""

    def __init__(self, d, *, to_buffer):
        super().__init__()
        self.to_buffer = to_buffer
        self.linear = nn.Linear(d, 3)
        self.register_buffer("n_calls", torch.zeros(()))

    def forward(self, X):
        (self.n_calls if self.to_buffer else X).add_(1)
        return self.linear(X)


class InSingle(nn.Module):
    def forward(self, X):
        return X.float()


class Roots(nn.Module):
    """A module for positive numbers, with parameters that do nothing or are fixed."""

    def __init__(self, d):
        super().__init__()
        self.linear, self.unused = nn.Linear(d, 3), nn.Linear(2, 2)
        self.fixed = nn.Parameter(torch.rand(3, 3), requires_grad=False)

    def forward(self, X):
        return self.linear(X.sqrt()) @ self.fixed


class Selecting(nn.Module):
    """A module without parameters, whose codes are a view of the rows."""

    def forward(self, X):
        return X[:, :2]


class Steps(nn.Module):
    """A module without a derivative, and with whole numbers in a buffer."""

    def __init__(self, d):
        super().__init__()
        self.register_buffer("places", torch.arange(d))

    def forward(self, X):
        return (X > 0.5).to(X)[:, self.places]


def attending(n_features):
    steps = nn.Sequential(nn.Unflatten(1, (n_features, 1)), nn.Linear(1, 4))
    block = nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True)
    return nn.Sequential(steps, block, nn.Flatten(), nn.Linear(4 * n_features, 3))


class Resampling(nn.Module):
    """A module that turns images, which torch does not differentiate forwards."""

    def __init__(self, d):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(d))

    def forward(self, X):
        images = (X * self.scale).view(-1, 1, 2, 2)
        turn = torch.tensor([[[0.9, 0.3, 0.0], [-0.3, 0.9, 0.1]]]).to(X)
        turn = turn.expand(len(X), -1, -1)
        grid = functional.affine_grid(turn, images.shape, align_corners=False)
        return functional.grid_sample(images, grid, align_corners=False).sin()


class OfGraph(nn.Module):
    """A module that mixes neighbours, by a sparse matrix, and leaves out a place."""

    def __init__(self, d, noise=0.0):
        super().__init__()
        self.linear = nn.Linear(d, 3)
        neighbours = (1 + noise) * torch.eye(d).roll(1, 0)
        self.register_buffer("neighbours", neighbours.to_sparse())
        self.register_buffer("is_kept", torch.arange(d) > 0)

    def forward(self, X):
        return torch.tanh(self.linear((self.neighbours @ X.mT).mT * self.is_kept))


def layer_of(module, d=4):
    layer = Module.of(module, d)
    parts = {n: p.double() for n, p in layer.parameters.items()}
    return layer.with_parameters(parts)


MODULES = {
    "normed": lambda d: nn.Sequential(nn.Linear(d, 5), nn.LayerNorm(5), nn.GELU()),
    "kinked": lambda d: nn.Sequential(nn.Linear(d, 5), nn.ReLU(), nn.Linear(5, 3)),
    "linear": lambda d: nn.Linear(d, 6),
    "sines": Sines,
    "attending": attending,
    "resampling": Resampling,
    "of a graph": OfGraph,
}


@pytest.fixture(params=MODULES.values(), ids=MODULES)
def layer(request):
    torch.manual_seed(0)
    return layer_of(request.param(4))


def test_its_jacobian_is_that_of_its_outputs(layer):
    X = draw(3, 4)
    J = torch.stack([jacobian(lambda x: layer.outputs(x[None])[0], x) for x in X])
    H, state = layer.linearized(X)
    assert H.shape == (3, layer.n_units)
    torch.testing.assert_close(H, layer.outputs(X))
    V, U = draw(3, 2, 4, seed=1), draw(3, 2, layer.n_units, seed=2)
    pushed = torch.einsum("nhd,nkd->nkh", J, V)
    torch.testing.assert_close(layer.push_forward(state, V), pushed)
    pulled = torch.einsum("nhd,nkh->nkd", J, U)
    torch.testing.assert_close(layer.pull_back(state, U), pulled)
    chain = Chain((layer,))
    states = chain.states_at(X)
    torch.testing.assert_close(chain.jacobians(states), J)
    norms = J.square().sum((1, 2))
    torch.testing.assert_close(chain.squared_norms(states, 10), norms)
    torch.testing.assert_close(chain.norms_from_code(states), norms)
    assert not layer.pull_back(state, U).requires_grad
    assert not layer.push_forward(state, V).requires_grad


@pytest.mark.parametrize("name", ["normed", "sines", "linear", "attending"])
def test_all_of_it_is_differentiable(name):
    torch.manual_seed(0)
    layer = layer_of(MODULES[name](4))

    def everything(X, V, U, *parts):
        own = layer.with_parameters(dict(zip(layer.parameters, parts, strict=True)))
        H, state = own.linearized(X)
        return H, own.push_forward(state, V), own.pull_back(state, U)

    inputs = [draw(2, 4), draw(2, 1, 4, seed=1), draw(2, 1, layer.n_units, seed=2)]
    inputs = [t.requires_grad_() for t in (*inputs, *layer.parameters.values())]
    assert torch.autograd.gradcheck(everything, inputs, fast_mode=True)


def test_it_may_stand_above_another_layer():
    torch.manual_seed(0)
    first = Dense(draw(4, 3), draw(4, seed=1), TANH)
    chain = Chain((first, layer_of(MODULES["normed"](4))))
    X = draw(5, 3, seed=2)
    J = torch.stack(
        [
            torch.autograd.functional.jacobian(
                lambda x: chain.outputs(x[None])[-1][0], row
            )
            for row in X
        ]
    )
    states = chain.states_at(X)
    torch.testing.assert_close(chain.jacobians(states), J)
    torch.testing.assert_close(chain.squared_norms(states, 10), J.square().sum((1, 2)))


# ---- a whole objective -------------------------------------------------------------


def decoder(n_features):
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, n_features))


def drawn(architecture, seed=0):
    return architecture.initial_parameters(
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
        device=torch.device("cpu"),
        scaling=Scaling(np.zeros(4), np.ones(4)),
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 0.0]).double()])
@pytest.mark.parametrize(
    "makers", [(Sines, decoder), (None, decoder), (Sines, None), (None, None)]
)
def test_an_objective_is_the_naive_one(loss, weights, makers):
    architecture = ModuleArchitecture(*makers, 4, 6, TANH)
    parameters = {n: p.requires_grad_() for n, p in drawn(architecture).items()}
    assert {n: (*p.shape,) for n, p in parameters.items()} == architecture.shapes
    objective = JointObjective(architecture, LOSSES[loss], 0.3, 0.2)
    X = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)).double()
    found, gradient = objective.totals_and_gradient(
        parameters, X, weights, (None, None)
    )
    network = architecture.network(parameters)
    w = torch.ones(3) if weights is None else weights
    total = 0
    output = LOSSES[loss].output
    for x, weight in zip(X, w, strict=True):
        h = network.encode(x[None])[0]
        J_f = torch.autograd.functional.jacobian(
            lambda x: network.encode(x[None])[0], x, create_graph=True
        )
        J_g = torch.autograd.functional.jacobian(
            lambda h: output(network.pre_outputs(h[None]))[0], h, create_graph=True
        )
        value = LOSSES[loss].value(x[None], network.pre_outputs(h[None]))[0]
        value = value + 0.3 * J_f.square().sum() + 0.2 * J_g.square().sum()
        total = total + weight * value
    torch.testing.assert_close(found.sum(), total.detach())
    expected = torch.autograd.grad(total, list(parameters.values()))
    for (name, ours), theirs in zip(gradient.items(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


@pytest.mark.parametrize("make", [Roots, Steps, lambda d: Selecting()])
@pytest.mark.parametrize("n_probes", [0, 1])
def test_what_need_not_be_trained_need_not_have_a_gradient(make, n_probes):
    def no_parameters(d):
        return nn.Sequential(Selecting(), nn.ConstantPad1d((0, d - 2), 0.0))

    for decoder in (None, no_parameters) if make is Roots else (None,):
        architecture = ModuleArchitecture(make, decoder, 4, 6, TANH)
        parameters = {n: p.requires_grad_() for n, p in drawn(architecture).items()}
        objective = JointObjective(
            architecture, LOSSES["squared_error"], 0.3, 0.2, n_probes, n_probes
        )
        X = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)).double()
        network = architecture.network(parameters)
        probes = objective.probes(network, 3, torch.Generator().manual_seed(0))
        _, found = objective.totals_and_gradient(parameters, X, None, probes)
        total = objective.per_sample(network, X, probes).sum()
        leaves = [*parameters.values()]
        expected = torch.autograd.grad(total, leaves, materialize_grads=True)
        for (name, ours), theirs in zip(found.items(), expected, strict=True):
            torch.testing.assert_close(ours, theirs)
            assert ours.any() == ("unused" not in name)
        assert not any("fixed" in name for name in parameters)


def test_there_is_something_to_train():
    with pytest.raises(ValueError, match="there is nothing to fit"):
        drawn(ModuleArchitecture(lambda d: nn.Tanh(), lambda d: nn.Tanh(), 4, 6, TANH))


@pytest.mark.parametrize("make", [lambda d: nn.Identity(), lambda d: Selecting()])
def test_its_outputs_are_not_the_rows_themselves(make):
    layer, X = Module.of(make(4), 4), draw(3, 4)
    kept = X.clone()
    layer.outputs(X).zero_()
    assert torch.equal(X, kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_buffers_have_the_precision_of_the_rows(dtype):
    layer = Module.of(Sines(4), 4)
    layer = layer.to(dtype, torch.device("cpu"))
    assert layer.outputs(draw(3, 4).to(dtype)).dtype == dtype


def test_buffers_are_cast_once_and_for_derivatives_too():
    layer, X = Module.of(Sines(4), 4), draw(3, 4).float()
    layer = layer.to(torch.float32, torch.device("cpu"))
    with torch.inference_mode():
        H = layer.outputs(X)
    buffers = layer.buffers_like(X)
    assert layer.with_parameters(layer.parameters).buffers_like(X) is buffers
    rows = X.clone().requires_grad_()
    assert torch.equal(layer.outputs(rows), H)
    (gradient,) = torch.autograd.grad(layer.outputs(rows).sum(), rows)
    assert gradient.abs().sum() > 0
    assert layer.buffers_like(draw(3, 4))["phases"].dtype == torch.float64


def test_it_draws_from_the_seed_alone_and_leaves_torchs_generator():
    architecture = ModuleArchitecture(Sines, decoder, 4, 6, TANH)
    before = torch.get_rng_state()
    first, again, other = (drawn(architecture, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    name = "encoder.linear.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    # Buffers are no parameters: they are the same in every fit and every file.
    buffers = [
        ModuleArchitecture(Sines, decoder, 4, 6, TANH)
        .prototype.encoder.layers[0]
        .buffers["phases"]
        for _ in range(2)
    ]
    assert torch.equal(*buffers)


# ---- refusals ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda d: None, TypeError, r"encoder\(4\) must return a torch.nn.Module"),
        (lambda d: nn.BatchNorm1d(d), ValueError, "has a BatchNorm1d"),
        (
            lambda d: nn.Sequential(nn.Linear(d, 3), nn.Dropout(0.1)),
            ValueError,
            "has a Dropout",
        ),
        (lambda d: nn.Linear(3, 2), ValueError, "must take rows of 4 numbers"),
        (lambda d: nn.Flatten(0), ValueError, r"gives \(8,\) for 2 rows"),
        (lambda d: Centred(), ValueError, "depends on the other rows"),
        (lambda d: Noisy(), ValueError, "other numbers for the same rows"),
        (lambda d: Writing(d, to_buffer=True), ValueError, "it holds in buffers"),
        (lambda d: Writing(d, to_buffer=False), ValueError, "writes into the rows"),
        (lambda d: InSingle(), ValueError, "gives torch.float32 where it is given"),
        (lambda d: nn.Sequential(nn.Linear(d, 1), nn.Flatten(0)), ValueError, "(2,)"),
        (lambda d: nn.Bilinear(d, d, 2), ValueError, "must take rows.*missing 1"),
    ],
)
def test_what_is_no_encoder_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        drawn(ModuleArchitecture(make, None, 4, 6, TANH))


def test_a_decoder_gives_as_many_numbers_as_there_are_features():
    with pytest.raises(ValueError, match=r"gives 3 numbers .* has 4 features"):
        drawn(
            ModuleArchitecture(
                lambda d: nn.Linear(d, 6), lambda d: nn.Linear(6, 3), 4, 6, TANH
            )
        )
