"""Transposed convolution by blocks of pixels against torch's."""

import pytest
import torch
from torch.nn import functional

from skcae._core.layers import convolution
from skcae._core.layers.blocks import block_for, transposed
from skcae._core.layers.convolution import Convolution
from skcae.activations import ACTIVATIONS


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("block", [(1, 1), (4, 1), (2, 3), (4, 6)])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("kernel", [(3, 5), (1, 1), (2, 4)])
def test_it_is_torchs(kernel, n_channels, block):
    """Codes of a valid convolution of images of 8 by 12."""
    W, c = draw(5, n_channels, *kernel), draw(n_channels, seed=1)
    codes = draw(2, 5, 9 - kernel[0], 13 - kernel[1], seed=2)
    for intercept in (c, None):
        images = functional.conv_transpose2d(codes, W, intercept)
        zeros = (kernel[0] - 1, kernel[1] - 1)
        found = transposed(codes, W, intercept, zeros, block)
        torch.testing.assert_close(found, images.permute(0, 2, 3, 1).flatten(1))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("image_shape", "kernel", "stride", "pays"),
    [
        ((8, 6, 1), (3, 3), 1, True),
        ((6, 5, 3), (5, 5), 1, True),
        ((6, 5, 4), (3, 3), 1, False),
        ((5, 6, 1), (3, 3), 1, False),
        ((8, 6, 1), (3, 3), 2, False),
    ],
)
def test_a_layer_decodes_so_where_it_pays(
    image_shape, kernel, stride, pays, padding, monkeypatch
):
    W, c = draw(5, image_shape[2], *kernel), draw(image_shape[2], seed=1)
    wide = Convolution(W, draw(5), ACTIVATIONS["tanh"], image_shape, stride, padding)
    codes, calls = draw(2, 3, wide.n_units, seed=2), []

    def noticed(*arguments):
        calls.append(1)
        return transposed(*arguments)

    monkeypatch.setattr(convolution, "transposed", noticed)
    layer = wide.to(torch.float32, torch.device("cpu"))
    decoder = layer.decoder(layer.weights, c.float(), ACTIVATIONS["identity"])
    torch.testing.assert_close(
        layer.pull(codes.float()), wide.pull(codes).float(), rtol=1e-5, atol=1e-5
    )
    found = decoder.outputs(codes[0].float())
    expected = wide.pull(codes[0]) + c.repeat(wide.n_inputs // len(c))
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)
    assert layer.pull(codes[:0].float()).shape == (0, 3, layer.n_inputs)
    assert len(calls) == (3 if pays else 0)


def test_it_is_torchs_own_where_there_are_zeros_on_one_side_only():
    W = draw(5, 1, 4, 4)
    wide = Convolution(W, draw(5), ACTIVATIONS["tanh"], (8, 8, 1))
    layer, U = wide.to(torch.float32, torch.device("cpu")), draw(2, wide.n_units)
    torch.testing.assert_close(layer.pull(U.float()), wide.pull(U).float())


def test_blocks_divide_an_image():
    single = torch.zeros(1)
    assert block_for((28, 28, 1), single) == (4, 2)
    assert block_for((30, 31, 3), single) == (2, 1)
    for image_shape, like in [
        ((28, 28, 4), single),
        ((1, 28, 1), single),
        ((28, 28, 1), single.double()),
    ]:
        assert block_for(image_shape, like) is None
