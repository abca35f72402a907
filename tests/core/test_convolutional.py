"""Networks of convolutions: their objective and gradient against plain torch."""

import math

import numpy as np
import pytest
import torch
from torch.func import jacrev
from torch.nn import functional

from skcae._core.data.moments import Scaling
from skcae._core.layers.convolutional import ConvolutionalArchitecture
from skcae._core.layers.network import DenseArchitecture
from skcae._core.steps.joint import JointObjective
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from tests import oracles

N_ROWS = 3
SLOPES = {
    "squared_error": torch.ones_like,
    "cross_entropy": lambda z: torch.sigmoid(z) * torch.sigmoid(-z),
}
JOIN = {"max": functional.max_pool2d, "average": functional.avg_pool2d}
CASES = {
    "one layer": {},
    "strides": {"stride": (2, 1), "kernel_size": (3, 2)},
    "valid": {"padding": "valid", "stride": (2, 2), "image_shape": (6, 6, 2)},
    "max pooling": {"pool": "max"},
    "average pooling": {"pool": "average"},
    "overhanging windows": {"pool": "max", "pool_size": (2, 3)},
    "two layers": {"n_filters": (3, 2)},
    "two of max pooling": {"n_filters": (3, 2), "pool": "max"},
    "two of average pooling": {"n_filters": (3, 2), "pool": "average"},
    "three layers": {"n_filters": (3, 2, 4), "image_shape": (1, 7, 2)},
}
CLOSED = {"one layer", "strides", "valid", "max pooling", "overhanging windows"}


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def make(case="one layer", activation="tanh", *, tied=True, **others):
    parts = {
        "image_shape": (5, 4, 2),
        "n_filters": (3,),
        "kernel_size": (3, 3),
        "stride": (1, 1),
        "padding": "same",
        "pool": None,
        "pool_size": (2, 2),
        **CASES[case],
        **others,
    }
    phi = ACTIVATIONS[activation]
    return ConvolutionalArchitecture(**parts, activation=phi, is_tied=tied)


def parameters_of(architecture, seed=5):
    return {
        name: 0.5 * draw(*shape, seed=seed + k)
        for k, (name, shape) in enumerate(architecture.shapes.items())
    }


@pytest.fixture(params=CASES)
def case(request):
    return request.param


# ---- the same in plain torch ------------------------------------------------------


def zeros_before(n, taps, stride, padding):
    reach = (math.ceil(n / stride) - 1) * stride + taps
    return max(reach - n, 0) // 2 if padding == "same" else 0


def sliding(architecture, size):
    """Of each axis: pixels, taps, stride, zeros before, and how many after."""
    for n, taps, stride in zip(
        size, architecture.kernel_size, architecture.stride, strict=True
    ):
        before = zeros_before(n, taps, stride, architecture.padding)
        total = max((math.ceil(n / stride) - 1) * stride + taps - n, 0)
        after = total - before if architecture.padding == "same" else 0
        yield n, taps, stride, before, after


def plain_encode(architecture, parameters, x):
    """The code of one row, and the sizes of the maps below each stage."""
    phi = oracles.ACTIVATIONS[name_of(architecture)]
    image = x.view(architecture.image_shape).permute(2, 0, 1)
    sizes = []
    for k in range(len(architecture.n_filters)):
        (_, _, _, top, bottom), (_, _, _, left, right) = sliding(
            architecture, image.shape[1:]
        )
        W, b = parameters[f"encoder.{k}.weight"], parameters[f"encoder.{k}.bias"]
        padded = functional.pad(image, (left, right, top, bottom))
        code = phi(functional.conv2d(padded[None], W, b, architecture.stride)[0])
        sizes.append((image.shape[1:], code.shape[1:]))
        image = code
        if architecture.pool is not None:
            image = JOIN[architecture.pool](
                code[None], architecture.pool_size, ceil_mode=True
            )[0]
    return image.permute(1, 2, 0).flatten(), image.shape, sizes


def plain_decode(architecture, parameters, h, shape, sizes):
    """Pre-outputs of one code."""
    phi = oracles.ACTIVATIONS[name_of(architecture)]
    image = h.view(shape[1], shape[2], shape[0]).permute(2, 0, 1)
    n = len(architecture.n_filters)
    for k, ((height, width), (rows, columns)) in enumerate(reversed(sizes)):
        if architecture.pool is not None:
            for axis, times in enumerate(architecture.pool_size, 1):
                image = image.repeat_interleave(times, axis)
            image = image[:, :rows, :columns]
        tied = parameters[f"encoder.{n - 1 - k}.weight"]
        V = parameters.get(f"decoder.{k}.weight", tied)
        full = functional.conv_transpose2d(image[None], V, None, architecture.stride)[0]
        (_, _, _, top, _), (_, _, _, left, _) = sliding(architecture, (height, width))
        full = full[:, top : top + height, left : left + width]
        missing = height - full.shape[1], width - full.shape[2]
        full = functional.pad(full, (0, missing[1], 0, missing[0]))
        z = full + parameters[f"decoder.{k}.bias"][:, None, None]
        image = z if k == n - 1 else phi(z)
    return image.permute(1, 2, 0).flatten()


def name_of(architecture):
    return next(n for n, a in ACTIVATIONS.items() if a is architecture.activation)


def plain_objective(architecture, parameters, x, loss, strengths, probes=None):
    """Loss and penalties of one row, with dense Jacobians."""
    h, shape, sizes = plain_encode(architecture, parameters, x)

    def encode(x):
        return plain_encode(architecture, parameters, x)[0]

    def decode(h):
        return plain_decode(architecture, parameters, h, shape, sizes)

    z = decode(h)
    J = jacrev(encode)(x)
    if probes is not None:
        J = probes @ J / math.sqrt(len(probes))
    J_g = SLOPES[loss](z)[:, None] * jacrev(decode)(h)
    norms = J.square().sum(), J_g.square().sum()
    value = oracles.reconstruction_loss(x, z, loss)
    return value + sum(s * norm for s, norm in zip(strengths, norms, strict=True))


def assert_objective(
    architecture, loss="squared_error", strengths=(0.3, 0.0), weights=None, probes=None
):
    """Value and gradient, of weighted rows."""
    parameters = parameters_of(architecture)
    X = draw(N_ROWS, math.prod(architecture.image_shape), seed=1).sigmoid()
    leaves = {name: p.requires_grad_() for name, p in parameters.items()}
    n_probes = 0 if probes is None else probes.shape[1]
    objective = JointObjective(
        architecture, LOSSES[loss], *strengths, n_probes=n_probes
    )
    totals, found = objective.totals_and_gradient(leaves, X, weights, (probes, None))
    rows = [
        plain_objective(
            architecture, leaves, x, loss, strengths, None if probes is None else v
        )
        for x, v in zip(X, X if probes is None else probes, strict=True)
    ]
    w = torch.ones(N_ROWS).double() if weights is None else weights
    expected = w @ torch.stack(rows)
    torch.testing.assert_close(totals.sum(), expected.detach())
    gradient = torch.autograd.grad(expected, [*leaves.values()])
    for (name, one), other in zip(found.items(), gradient, strict=True):
        torch.testing.assert_close(one, other, msg=lambda m, name=name: f"{name}: {m}")
    network = objective.coder(parameters)
    values = objective.per_sample(network, X, (probes, None))
    torch.testing.assert_close(values, torch.stack(rows))


# ---- the objective ----------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_objective_and_gradient_are_autograds(case, tied):
    weights = torch.tensor([0.5, 2.0, 0.0]).double()
    assert_objective(make(case, tied=tied), weights=weights)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["max pooling", "two of average pooling"])
def test_so_they_are_with_every_activation(name, activation):
    assert_objective(make(name, activation))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["strides", "two of max pooling"])
def test_so_they_are_with_a_penalty_on_the_decoder(name, loss):
    assert_objective(make(name), loss, strengths=(0.3, 0.2))


@pytest.mark.parametrize("name", ["one layer", "average pooling", "three layers"])
def test_so_they_are_with_given_probes(name):
    architecture = make(name)
    probes = draw(N_ROWS, 2, math.prod(architecture.code_shape), seed=9).sign()
    assert_objective(architecture, probes=probes)


def test_the_norm_is_in_closed_form_where_it_can_be(case):
    architecture = make(case)
    network = architecture.network(parameters_of(architecture))
    assert network.encoder.has_closed_norms == (case in CLOSED)
    X = draw(N_ROWS, network.encoder.n_features, seed=1)
    states = network.encoder.states_at(X)
    assert (network.encoder.squared_norms_at(states) is not None) == (case in CLOSED)
    expected = network.encoder.jacobians(states).square().sum((1, 2))
    torch.testing.assert_close(network.encoder.norms_from_code(states), expected)
    torch.testing.assert_close(network.encoder.squared_norms(states, 100), expected)


# ---- shapes -----------------------------------------------------------------------


def test_code_and_reconstruction_have_their_shapes(case):
    architecture = make(case)
    network = architecture.network(parameters_of(architecture))
    assert network.encoder.n_components == math.prod(architecture.code_shape)
    assert network.encoder.n_components == network.decoder.n_features
    assert network.decoder.n_components == math.prod(architecture.image_shape)
    assert [layer.n_inputs for layer in network.decoder.layers] == [
        layer.n_units for layer in reversed(network.encoder.layers)
    ]


@pytest.mark.parametrize(
    ("size", "padding"), [((1, 1), "same"), ((3, 4), "valid")], ids=str
)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_one_place_is_a_dense_network(size, padding, tied):
    """A filter as large as the image, or an image of one pixel."""
    image_shape = (*size, 2)
    d = math.prod(image_shape)
    ours = make(image_shape=image_shape, kernel_size=size, padding=padding, tied=tied)
    dense = DenseArchitecture((d, 3), ours.activation, is_tied=tied)
    flat = parameters_of(dense)
    filters = {
        name: p.view(3, *image_shape).permute(0, 3, 1, 2) if p.ndim == 2 else p
        for name, p in flat.items()
    }
    # A decoder's intercept is the same at each pixel of a channel.
    c = draw(2, seed=7)
    filters["decoder.0.bias"] = c
    flat["decoder.0.bias"] = c.repeat(d // 2)
    X = draw(N_ROWS, d, seed=1)
    for one, other in zip(
        *(
            JointObjective(a, LOSSES["squared_error"], 0.3, 0.2).values(
                a.network(p), X, (None, None)
            )
            for a, p in ((ours, filters), (dense, flat))
        ),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


# ---- first weights ----------------------------------------------------------------


def first(architecture, scaling, seed=0):
    return architecture.initial_parameters(
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
        device=torch.device("cpu"),
        scaling=scaling,
    )


def test_first_weights_have_their_shapes():
    architecture = make("two of max pooling", tied=False)
    found = first(architecture, None)
    assert {n: tuple(p.shape) for n, p in found.items()} == architecture.shapes
    assert all(p.any() != name.endswith("bias") for name, p in found.items())


def test_first_weights_encode_what_is_scaled_by_channel():
    architecture = make(padding="valid")
    plain = first(architecture, None)
    shift, scale = np.tile([3.0, -50.0], 20), np.tile([1.0, 16.0], 20)
    found = first(architecture, Scaling(shift, scale))
    X = draw(N_ROWS, 40)
    far = X * torch.from_numpy(scale) + torch.from_numpy(shift)
    one, other = architecture.network(plain), architecture.network(found)
    torch.testing.assert_close(other.encode(far), one.encode(X))
    assert found["decoder.0.bias"].tolist() == [3, -50]


def test_channels_are_scaled_as_all_their_pixels_together():
    shift = np.array([0.0, 5.0, 64.0, 5.0])
    joined = Scaling(shift, np.array([1.0, 4.0, 1.0, 4.0])).joined(2)
    assert joined.shift.tolist() == [32, 5]
    assert joined.scale.tolist() == [32, 4]
