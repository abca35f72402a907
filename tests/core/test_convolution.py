"""Convolution and transposed convolution against loops, torch and autograd."""

import itertools
import math

import pytest
import torch
from torch.func import jacrev, vmap
from torch.nn import functional

from skcae._core.layers.convolution import Convolution, TransposedConvolution
from skcae._core.layers.dense import Dense
from skcae.activations import ACTIVATIONS
from skcae.penalties import DerivativePenalty
from tests import oracles

N_ROWS, N_FILTERS = 3, 4
CPU = torch.device("cpu")

# Image, kernel, stride, padding, and what the code has to be.
CASES = {
    "same": ((5, 7, 2), (3, 3), 1, "same", (5, 7)),
    "same, even kernel": ((6, 5, 1), (4, 2), 1, "same", (6, 5)),
    "same, stride": ((6, 5, 3), (4, 3), 2, "same", (3, 3)),
    "same, nothing to pad": ((4, 5, 2), (1, 1), (2, 3), "same", (2, 2)),
    "same, kernel beyond image": ((3, 2, 2), (5, 6), 1, "same", (3, 2)),
    "valid": ((6, 5, 2), (3, 2), 1, "valid", (4, 4)),
    "valid, stride, pixels left": ((7, 6, 3), (3, 2), (3, 4), "valid", (2, 2)),
    "signal, same": ((1, 11, 2), (1, 4), 3, "same", (1, 4)),
    "signal, valid": ((1, 9, 1), (1, 3), 2, "valid", (1, 4)),
}


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def make(case, activation="tanh", kind=Convolution):
    image_shape, kernel, stride, padding, _ = CASES[case]
    W = 0.4 * draw(N_FILTERS, image_shape[2], *kernel)
    b = draw(N_FILTERS if kind is Convolution else image_shape[2], seed=1)
    phi = ACTIVATIONS[activation]
    return kind(W, b, phi, image_shape, stride=stride, padding=padding)


@pytest.fixture(params=CASES)
def case(request):
    return request.param


@pytest.fixture(params=[Convolution, TransposedConvolution])
def kind(request):
    return request.param


def zeros_around(case):
    """⌈in / stride⌉ places need so many zeros, the odd one at the end."""
    (*sizes, _), kernel, stride, padding, _ = CASES[case]
    strides = (stride, stride) if isinstance(stride, int) else stride
    if padding == "valid":
        return [(0, 0), (0, 0)]
    totals = [
        max((math.ceil(n / s) - 1) * s + k - n, 0)
        for n, k, s in zip(sizes, kernel, strides, strict=True)
    ]
    return [(math.floor(t / 2), math.ceil(t / 2)) for t in totals]


def naive_matrix(weights, case):
    """The matrix of the convolution, tap by tap."""
    (height, width, channels), kernel, stride, _, places = CASES[case]
    down, right = (stride, stride) if isinstance(stride, int) else stride
    (top, _), (left, _) = zeros_around(case)
    W = torch.zeros(*places, N_FILTERS, height, width, channels, dtype=weights.dtype)
    everything = (*places, N_FILTERS, *kernel, channels)
    for p, q, f, i, j, c in itertools.product(*map(range, everything)):
        y, x = p * down + i - top, q * right + j - left
        if 0 <= y < height and 0 <= x < width:
            W[p, q, f, y, x, c] += weights[f, c, i, j]
    return W.reshape(math.prod(places) * N_FILTERS, height * width * channels)


def torch_outputs(parameters, x, case, activation="tanh"):
    """The code of one row, as torch computes it."""
    image_shape, _, stride, _, _ = CASES[case]
    (top, bottom), (left, right) = zeros_around(case)
    image = x.view(image_shape).permute(2, 0, 1)
    padded = functional.pad(image, (left, right, top, bottom))
    W, b = parameters["weights"], parameters["intercept"]
    a = functional.conv2d(padded[None], W, b, stride)[0].permute(1, 2, 0)
    return oracles.ACTIVATIONS[activation](a).flatten()


def test_its_matrix_has_the_filters_at_each_place(case):
    layer = make(case)
    expected = naive_matrix(layer.weights, case)
    assert layer.code_shape == (*CASES[case][-1], N_FILTERS)
    assert (layer.n_units, layer.n_inputs) == expected.shape
    torch.testing.assert_close(layer.matrix, expected)
    transposed = make(case, kind=TransposedConvolution)
    assert (transposed.n_inputs, transposed.n_units) == expected.shape
    torch.testing.assert_close(transposed.matrix, expected.mT)
    n_multiplications = layer.weights.numel() * math.prod(CASES[case][-1])
    assert layer.n_multiplications == transposed.n_multiplications == n_multiplications


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_its_outputs_are_torchs(case, activation):
    layer = make(case, activation)
    X = draw(N_ROWS, layer.n_inputs, seed=2)
    expected = torch.stack(
        [torch_outputs(layer.parameters, x, case, activation) for x in X]
    )
    torch.testing.assert_close(layer.outputs(X), expected)
    out = torch.empty_like(expected)
    assert layer.outputs(X, out=out) is out
    torch.testing.assert_close(out, expected)


def test_its_transpose_decodes_with_an_intercept_for_each_channel(case):
    layer = make(case)
    V, c = 2 * layer.weights, draw(CASES[case][0][2], seed=3)
    decoder = layer.decoder(V, c, ACTIVATIONS["sigmoid"])
    codes = draw(N_ROWS, layer.n_units, seed=2)
    everywhere = c.expand(CASES[case][0]).flatten()
    expected = torch.sigmoid(codes @ naive_matrix(V, case) + everywhere)
    torch.testing.assert_close(decoder.outputs(codes), expected)
    torch.testing.assert_close(decoder.unit_intercepts, everywhere)
    # And there again.
    b = layer.intercept
    again = decoder.decoder(layer.weights, b, layer.activation)
    X = draw(N_ROWS, layer.n_inputs, seed=4)
    assert torch.equal(again.outputs(X), layer.outputs(X))


def test_rows_and_columns_are_the_same_map(case, kind):
    layer = make(case, kind=kind)
    X, U = draw(N_ROWS, layer.n_inputs), draw(N_ROWS, layer.n_units)
    W, b = layer.matrix, layer.unit_intercepts
    torch.testing.assert_close(layer.pre_activations(X), X @ W.mT + b)
    columns = layer.column_pre_activations(X.mT)
    torch.testing.assert_close(columns, W @ X.mT + b[:, None])
    torch.testing.assert_close(layer.pull_columns(U.mT), W.mT @ U.mT)


# ---- Jacobians -------------------------------------------------------------------


def test_its_jacobian_is_autograds(case):
    layer = make(case)
    X = draw(N_ROWS, layer.n_inputs, seed=2)
    J = vmap(jacrev(lambda x: torch_outputs(layer.parameters, x, case)))(X)
    H, slopes = layer.linearized(X)
    torch.testing.assert_close(H, layer.outputs(X))
    V, U = draw(N_ROWS, 2, layer.n_inputs), draw(N_ROWS, 2, layer.n_units, seed=1)
    torch.testing.assert_close(layer.push_forward(slopes, V), V @ J.mT)
    torch.testing.assert_close(layer.pull_back(slopes, U), U @ J)
    found = DerivativePenalty(1).per_sample([slopes], layer.squared_norms())
    torch.testing.assert_close(found, J.square().sum((1, 2)))


@pytest.mark.parametrize("name", ["same, stride", "valid, stride, pixels left"])
def test_all_of_it_is_differentiable(name, kind):
    layer = make(name, kind=kind)
    X, V = draw(2, layer.n_inputs, seed=2), draw(2, 1, layer.n_inputs, seed=3)
    U = draw(2, 1, layer.n_units, seed=4)

    def everything(W, b, X, V, U):
        tracked = layer.with_parameters({"weights": W, "intercept": b})
        H, slopes = tracked.linearized(X)
        pushed = tracked.push_forward(slopes, V)
        pulled = tracked.pull_back(slopes, U)
        return H, pushed, pulled, tracked.squared_norms()

    inputs = [t.clone().requires_grad_() for t in (*layer.parameters.values(), X, V, U)]
    assert torch.autograd.gradcheck(everything, inputs, fast_mode=True)


# ---- norms -----------------------------------------------------------------------


def test_norms_are_those_of_its_rows(case, kind):
    layer = make(case, kind=kind)
    expected = layer.matrix.square().sum(1)
    torch.testing.assert_close(layer.squared_norms(), expected)
    out = torch.empty_like(expected)
    assert layer.squared_norms(out=out) is out
    torch.testing.assert_close(out, expected)


def test_norms_are_smaller_at_the_border():
    """A filter's own norm everywhere would make the penalty too large."""
    layer = make("same")
    norms = layer.squared_norms().view(5, 7, N_FILTERS)
    own = layer.weights.square().sum((1, 2, 3))
    inside = torch.zeros(5, 7, dtype=torch.bool)
    inside[1:-1, 1:-1] = True
    torch.testing.assert_close(norms[inside], own.expand(15, -1))
    assert (norms[~inside] < own).all()


# ---- gradients -------------------------------------------------------------------


@pytest.mark.parametrize("norms", [True, False])
def test_its_gradients_are_autograds(case, kind, norms):
    layer = make(case, kind=kind)
    X, dA = draw(N_ROWS, layer.n_inputs, seed=2), draw(N_ROWS, layer.n_units, seed=3)
    d_norms = draw(layer.n_units, seed=4) if norms else None
    tracked = {k: p.clone().requires_grad_() for k, p in layer.parameters.items()}
    copy = layer.with_parameters(tracked)
    value = (dA * (X @ copy.matrix.mT + copy.unit_intercepts)).sum()
    if norms:
        value = value + d_norms @ copy.matrix.square().sum(1)
    value.backward()
    found = layer.weight_gradient(dA.mT, X, d_norms)
    torch.testing.assert_close(found, tracked["weights"].grad)
    found = layer.intercept_gradient(dA.mT)
    torch.testing.assert_close(found, tracked["intercept"].grad)


# ---- limits ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "padding"), [((1, 1), "same"), ((1, 1), "valid"), ((3, 4), "valid")]
)
def test_one_place_is_a_dense_layer(size, padding):
    """A filter as large as the image, or an image of one pixel."""
    image_shape = (*size, 2)
    n_features = math.prod(image_shape)
    W, b = draw(5, n_features), draw(5, seed=1)
    dense = Dense(W, b, ACTIVATIONS["sigmoid"])
    filters = W.view(5, *image_shape).permute(0, 3, 1, 2)
    layer = Convolution(filters, b, dense.activation, image_shape, padding=padding)
    X = draw(N_ROWS, n_features, seed=2)
    torch.testing.assert_close(layer.outputs(X), dense.outputs(X))
    torch.testing.assert_close(layer.matrix, W)
    torch.testing.assert_close(layer.squared_norms(), dense.squared_norms())


def test_a_signal_is_what_torch_makes_of_one():
    W, b, X = draw(N_FILTERS, 2, 1, 3), draw(N_FILTERS, seed=1), draw(N_ROWS, 11, 2)
    layer = Convolution(W, b, ACTIVATIONS["identity"], (1, 11, 2))
    expected = functional.conv1d(X.mT, W[:, :, 0], b, padding="same").mT
    torch.testing.assert_close(layer.outputs(X.flatten(1)), expected.flatten(1))


def test_vectors_may_have_any_leading_axes(kind):
    layer = make("same, stride", kind=kind)
    V = draw(2, 3, layer.n_inputs)
    torch.testing.assert_close(layer.push(V)[1, 2], layer.push(V[1, 2]))
    assert layer.push(V[:0]).shape == (0, 3, layer.n_units)


# ---- first weights ---------------------------------------------------------------


def test_first_weights_are_uniform_within_glorots_bound():
    def drawn(dtype):
        return Convolution.initial_weights(
            3,
            200,
            (5, 4),
            generator=torch.Generator().manual_seed(0),
            dtype=dtype,
            device=CPU,
        )

    W = drawn(torch.float64)
    bound = math.sqrt(6 / (20 * 203))
    assert W.shape == (200, 3, 5, 4)
    assert 0.999 * bound < W.abs().max() <= bound
    assert W.square().mean().item() == pytest.approx(bound**2 / 3, rel=0.05)
    assert torch.equal(drawn(torch.float32), W.float())


def test_first_weights_may_encode_what_is_scaled():
    """By a shift and a scale for each channel, where no zeros are around an image."""
    layer = make("valid")
    layer.intercept.zero_()
    before = layer.with_parameters({k: p.clone() for k, p in layer.parameters.items()})
    shift, scale = draw(2, seed=2), draw(2, seed=3).exp()
    X = 10 * draw(N_ROWS, 6, 5, 2, seed=4)
    layer.encode_scaled(shift, scale)
    expected = before.outputs(((X - shift) / scale).flatten(1))
    torch.testing.assert_close(layer.outputs(X.flatten(1)), expected)
