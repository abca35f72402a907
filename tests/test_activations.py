import pytest
import torch

from skcae.activations import ACTIVATIONS
from tests import oracles

NAMES = sorted(ACTIVATIONS)
POINTS = torch.tensor([-30.0, -3.0, -0.7, -0.1, 0.2, 0.9, 4.0, 30.0]).double()


def test_the_six_activations():
    assert NAMES == ["elu", "identity", "relu", "sigmoid", "softplus", "tanh"]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_torchs(name):
    torch.testing.assert_close(
        ACTIVATIONS[name](POINTS), oracles.ACTIVATIONS[name](POINTS)
    )


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_equal_autograd(name):
    """φ', φ'' and φ''' against three rounds of automatic differentiation."""
    activation = ACTIVATIONS[name]
    derivatives = activation.derivatives(activation(POINTS), 3)
    function = oracles.ACTIVATIONS[name]
    for derivative in derivatives:
        function = torch.func.grad(function)
        expected = torch.vmap(function)(POINTS)
        torch.testing.assert_close(derivative, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_as_many_derivatives_as_asked_for(name, n):
    activation = ACTIVATIONS[name]
    derivatives = activation.derivatives(activation(POINTS), n)
    assert [d.shape for d in derivatives] == [POINTS.shape] * n
    assert [d.dtype for d in derivatives] == [POINTS.dtype] * n


@pytest.mark.parametrize("name", NAMES)
def test_curved_says_whether_the_second_derivative_matters(name):
    activation = ACTIVATIONS[name]
    second = activation.derivatives(activation(POINTS), 2)[1]
    assert activation.curved == bool(second.any())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_from_zero_everything_stays_finite(name, dtype):
    activation = ACTIVATIONS[name]
    a = torch.tensor([-1e4, -200.0, 200.0, 1e4], dtype=dtype)
    for values in [activation(a), *activation.derivatives(activation(a), 3)]:
        assert values.isfinite().all()
        assert values.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_results_can_go_where_there_is_memory_already(name):
    activation = ACTIVATIONS[name]
    h = activation(POINTS)
    out = [torch.full_like(h, torch.nan) for _ in range(3)]
    for made, filled, given in zip(
        activation.derivatives(h, 3),
        activation.derivatives(h, 3, out),
        out,
        strict=True,
    ):
        torch.testing.assert_close(filled, made, rtol=0, atol=0)
        assert filled is given
    a = POINTS.clone()
    assert activation.in_place(a) is a
    torch.testing.assert_close(a, h, rtol=0, atol=0)
