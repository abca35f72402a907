"""Pooling and its way back, against loops, torch and autograd."""

import itertools
import math

import pytest
import torch
from torch.func import jacrev, vmap
from torch.nn import functional

from skcae._core.layers.chain import Chain
from skcae._core.layers.convolution import Convolution
from skcae._core.layers.pooling import AveragePooling, MaxPooling, Unpooling
from skcae.activations import ACTIVATIONS
from tests import oracles

N_ROWS = 3
# Image, window, and how many windows that makes.
CASES = {
    "divides": ((4, 6, 3), 2, (2, 3)),
    "cut": ((5, 7, 2), (2, 3), (3, 3)),
    "signal": ((1, 7, 2), 3, (1, 3)),
    "window beyond image": ((2, 3, 1), 5, (1, 1)),
    "window of one": ((2, 3, 2), 1, (2, 3)),
}
KINDS = [MaxPooling, AveragePooling, Unpooling]


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture(params=CASES)
def case(request):
    return request.param


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def make(kind, case):
    image_shape, pool_size, _ = CASES[case]
    return kind(image_shape, pool_size)


def windows(case):
    """The slices of each window, row by row."""
    (height, width, _), pool_size, _ = CASES[case]
    down, right = (pool_size, pool_size) if isinstance(pool_size, int) else pool_size
    return [
        (slice(y, y + down), slice(x, x + right))
        for y, x in itertools.product(range(0, height, down), range(0, width, right))
    ]


def naive(kind, case, x):
    """What the layer makes of one row."""
    image_shape = CASES[case][0]
    if kind is Unpooling:
        image = x.new_zeros(image_shape)
        for code, window in zip(x.view(-1, image_shape[2]), windows(case), strict=True):
            image[window] = code
        return image.flatten()
    image = x.view(image_shape)
    join = {MaxPooling: torch.amax, AveragePooling: torch.mean}[kind]
    return torch.cat([join(image[window], (0, 1)) for window in windows(case)])


def test_its_outputs_are_those_of_each_window(kind, case):
    layer = make(kind, case)
    X = draw(N_ROWS, layer.n_inputs)
    expected = torch.stack([naive(kind, case, x) for x in X])
    torch.testing.assert_close(layer.outputs(X), expected, rtol=0, atol=1e-15)
    out = torch.empty_like(expected)
    assert layer.outputs(X, out=out) is out
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-15)
    image_shape, _, n_windows = CASES[case]
    sizes = [math.prod(image_shape), math.prod(n_windows) * image_shape[2]]
    assert layer.code_shape == (*n_windows, image_shape[2])
    assert [layer.n_inputs, layer.n_units] == sizes[:: -1 if kind is Unpooling else 1]
    assert layer.width == max(sizes)


def test_its_jacobian_is_autograds(kind, case):
    layer = make(kind, case)
    X = draw(N_ROWS, layer.n_inputs)
    J = torch.stack([jacrev(lambda x: naive(kind, case, x))(x) for x in X])
    H, state = layer.linearized(X)
    assert torch.equal(H, layer.outputs(X))
    V = draw(N_ROWS, 2, layer.n_inputs, seed=1)
    U = draw(N_ROWS, 2, layer.n_units, seed=2)
    torch.testing.assert_close(layer.push_forward(state, V), V @ J.mT)
    torch.testing.assert_close(layer.pull_back(state, U), U @ J)
    # Of some of the rows, as chunks of them are looked at.
    some = layer.push_forward(state[1:], V[1:])
    torch.testing.assert_close(some, V[1:] @ J[1:].mT)
    # And of none.
    H, state = layer.linearized(X[:0])
    assert layer.push_forward(state, V[:0]).shape == (0, 2, layer.n_units)
    assert layer.pull_back(state, U[:0]).shape == (0, 2, layer.n_inputs)
    assert H.shape == (0, layer.n_units)


def test_all_of_it_is_differentiable(kind):
    layer = make(kind, "cut")

    def everything(X, V, U):
        H, state = layer.linearized(X)
        return H, layer.push_forward(state, V), layer.pull_back(state, U)

    X, V = draw(2, layer.n_inputs), draw(2, 1, layer.n_inputs, seed=1)
    inputs = [t.requires_grad_() for t in (X, V, draw(2, 1, layer.n_units, seed=2))]
    assert torch.autograd.gradcheck(everything, inputs, fast_mode=True)


def test_of_equal_numbers_one_wins():
    """As after a rectifier: the Jacobian has one 1 in each row, not several."""
    layer = MaxPooling((2, 4, 1))
    _, winners = layer.linearized(torch.zeros(1, 8))
    J = layer.push_forward(winners, torch.eye(8)[None])[0].T
    assert torch.equal(J.sum(1), torch.ones(2))
    assert J.count_nonzero() == 2


def test_pooling_goes_back_by_repeating(case):
    for kind in (MaxPooling, AveragePooling):
        decoder = make(kind, case).decoder()
        assert decoder == make(Unpooling, case)
    # What is the same all over its window, comes back.
    codes = draw(N_ROWS, decoder.n_inputs)
    images = decoder.outputs(codes)
    for kind in (MaxPooling, AveragePooling):
        torch.testing.assert_close(make(kind, case).outputs(images), codes)


def test_it_has_no_parameters(kind):
    layer = make(kind, "cut")
    assert layer.parameters == {}
    assert layer.to(torch.float32, torch.device("cpu")) is layer
    assert layer.n_multiplications == 0


# ---- the penalty of a convolution and pooling ------------------------------------


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("pool_size", [2, (3, 2)])
def test_the_norm_under_max_pooling_is_that_of_the_winners(padding, pool_size):
    image_shape = (6, 7, 2)
    W, b = 0.4 * draw(3, 2, 3, 3), draw(3, seed=1)
    layer = Convolution(W, b, ACTIVATIONS["tanh"], image_shape, padding=padding)
    pool = MaxPooling(layer.code_shape, pool_size)
    X = draw(N_ROWS, layer.n_inputs, seed=2)

    def code(x):
        image = x.view(1, *image_shape).permute(0, 3, 1, 2)
        h = oracles.ACTIVATIONS["tanh"](functional.conv2d(image, W, b, padding=padding))
        return functional.max_pool2d(h, pool_size, ceil_mode=True).flatten()

    expected = vmap(jacrev(code))(X).square().sum((1, 2))
    chain = Chain((layer, pool))
    states = chain.states_at(X)
    torch.testing.assert_close(chain.squared_norms_at(states).sum(1), expected)
    slopes = pool.unit_slopes(states[1], states[0])
    torch.testing.assert_close(slopes, 1 - chain.outputs(X)[-1] ** 2)


def test_the_norm_under_average_pooling_is_no_sum_over_units():
    """Units of a window share pixels: their rows are not orthogonal."""
    layer = Convolution(
        torch.ones(1, 1, 1, 2).double(),
        torch.zeros(1).double(),
        ACTIVATIONS["identity"],
        (1, 4, 1),
        padding="valid",
    )
    pool = AveragePooling(layer.code_shape, (1, 3))
    J = pool.push(layer.matrix.mT).mT
    # (1, 2, 2, 1) / 3, while the three rows have the squared norm 2 each.
    assert J.square().sum().item() == pytest.approx(10 / 9)
    assert layer.squared_norms().sum().item() / 9 == pytest.approx(6 / 9)
