"""The Jacobian penalty of any module, against the dense Jacobian in float64."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations

from skcae._core.modules import parts
from skcae._core.modules.closed_form import ELEMENTWISE, closed_form
from skcae._core.modules.dense_chain import dense_chain
from skcae._core.modules.parts import leaves_of
from skcae.functional import hessian_penalty, jacobian_penalty

# Of each of its classes an activation, with other settings than the default.
ACTIVATIONS = {
    **{
        kind.__name__: kind(*((0.1, 0.4) if kind is nn.Threshold else ()))
        for kind in sorted(ELEMENTWISE, key=str)
    },
    "CELU(0.5)": nn.CELU(0.5),
    "ELU(0.5)": nn.ELU(0.5),
    "GELU(tanh)": nn.GELU(approximate="tanh"),
    "Hardtanh(-0.5, 2)": nn.Hardtanh(-0.5, 2.0),
    "LeakyReLU(0.3)": nn.LeakyReLU(0.3),
    "ReLU(inplace)": nn.ReLU(inplace=True),
    "Softplus(2, 1)": nn.Softplus(beta=2.0, threshold=1.0),
}
CONVOLUTIONS = {
    "plain": ((2, 7, 8), nn.Conv2d(2, 4, 3)),
    "padded": ((2, 7, 8), nn.Conv2d(2, 4, 3, padding=1)),
    "padded beyond": ((2, 5, 6), nn.Conv2d(2, 3, 3, padding=3)),
    "same": ((2, 7, 8), nn.Conv2d(2, 4, (3, 5), padding="same")),
    "valid": ((2, 7, 8), nn.Conv2d(2, 4, 3, padding="valid")),
    "stride": ((2, 7, 8), nn.Conv2d(2, 4, 3, stride=(2, 3), padding=(1, 2))),
    "dilation": ((2, 9, 8), nn.Conv2d(2, 4, 3, dilation=(2, 3), padding=2)),
    "same, dilated": ((2, 9, 8), nn.Conv2d(2, 4, 3, dilation=2, padding="same")),
    "groups": ((4, 6, 6), nn.Conv2d(4, 6, 3, groups=2, padding=1)),
    "depthwise": ((4, 6, 6), nn.Conv2d(4, 8, 3, groups=4, padding=1)),
    "all of it": (
        (4, 9, 9),
        nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2, bias=False),
    ),
    "signal": ((3, 12), nn.Conv1d(3, 5, 4, stride=2, padding=3)),
    "volume": ((2, 4, 5, 4), nn.Conv3d(2, 3, 3, padding=1)),
}
POOLS = {
    "halves": nn.MaxPool2d(2),
    "overlaps": nn.MaxPool2d(3, stride=1),
    "pads": nn.MaxPool2d(3, stride=2, padding=1),
    "dilates": nn.MaxPool2d(2, stride=1, dilation=2),
    "rounds up": nn.MaxPool2d((2, 3), ceil_mode=True),
}


def rows(*shape, n=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, *shape), generator=generator, dtype=torch.float64)


def built(*layers):
    """A sequence in float64, with weights of size 1 or so."""
    module = nn.Sequential(*layers).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)
            parameter.requires_grad_().grad = None
    return module


def dense_jacobians(encoder, X):
    """The Jacobian of each row, with a graph."""
    of_row = partial(torch.autograd.functional.jacobian, create_graph=True)
    found = [of_row(lambda x: encoder(x[None])[0], x) for x in X]
    return torch.stack(found).reshape(len(X), -1, X[0].numel())


def dense_norms(encoder, X):
    return dense_jacobians(encoder, X).square().sum((1, 2))


def assert_exact(encoder, X, method="auto"):
    """The value and the gradient by the parameters and by X."""
    X = X.clone().requires_grad_()
    norms = jacobian_penalty(encoder, X, method=method, reduction="none")
    expected = dense_norms(encoder, X)
    torch.testing.assert_close(norms, expected)
    assert expected.min() > 0
    inputs = [*encoder.parameters(), X]
    weights = torch.arange(1.0, 1.0 + len(X)).double()
    pair = [
        torch.autograd.grad((v * weights).sum(), inputs, materialize_grads=True)
        for v in (norms, expected)
    ]
    for ours, theirs in zip(*pair, strict=True):
        torch.testing.assert_close(ours, theirs)


class Attending(nn.Module):
    """Attention of the steps of a row, as torch fuses it or in products."""

    def __init__(self, is_fused):
        super().__init__()
        self.is_fused = is_fused
        self.embed = nn.Linear(1, 4)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, X):
        H = self.embed(X[:, :, None])
        if self.is_fused:
            H = nn.functional.scaled_dot_product_attention(H, H, H)
        else:
            H = torch.softmax(H @ H.mT / 2, -1) @ H
        return self.attend(H, H, H, need_weights=not self.is_fused)[0]


@pytest.mark.parametrize("method", ["exact", "probes"])
@pytest.mark.parametrize("penalty", [jacobian_penalty, hessian_penalty])
def test_attention(penalty, method):
    """What torch fuses has no second derivative of its own."""
    encoders, X = [built(Attending(is_fused)) for is_fused in (True, False)], rows(5)
    found = []
    for encoder in encoders:
        generator = torch.Generator().manual_seed(0)
        value = penalty(encoder, X, method=method, generator=generator)
        leaves = [*encoder.parameters()]
        found.append((value, *torch.autograd.grad(value, leaves, allow_unused=True)))
    for fused, plain in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain)


# ---- in closed form -----------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name):
    encoder = built(nn.Linear(5, 4), ACTIVATIONS[name])
    assert closed_form(encoder) is not None
    assert_exact(encoder, rows(5))


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("activation", [None, nn.Tanh()], ids=str)
def test_every_convolution(name, activation):
    shape, layer = CONVOLUTIONS[name]
    encoder = built(layer, *([activation] if activation else []))
    assert closed_form(encoder) is not None
    assert_exact(encoder, rows(*shape, n=2))


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.GELU(), nn.ReLU()], ids=str)
def test_every_pooling(name, activation):
    """GELU is no rising function: what is largest before it need not be after it."""
    encoder = built(nn.Conv2d(2, 4, 3, padding=1), activation, POOLS[name])
    assert closed_form(encoder) is not None
    assert_exact(encoder, rows(2, 7, 8))


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ((5,), [nn.Linear(5, 4)]),
        ((6, 5), [nn.Linear(5, 4), nn.Tanh()]),
        ((2, 3, 4), [nn.Flatten(), nn.Linear(24, 5), nn.ELU()]),
        ((2, 3, 4), [nn.Flatten(2), nn.Linear(12, 5), nn.ELU(), nn.Flatten()]),
        ((5,), [nn.Linear(5, 6), nn.Tanh(), nn.MaxPool1d(2)]),
        ((12,), [nn.Unflatten(1, (2, 6)), nn.Conv1d(2, 3, 3, padding=1), nn.Tanh()]),
        ((1, 8), [nn.Conv1d(1, 4, 3), nn.MaxPool1d(2), nn.Sigmoid(), nn.Flatten()]),
        ((1, 8), [nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Softplus(), nn.MaxPool1d(3, 2)]),
        ((1, 8), [nn.Conv1d(1, 4, 3), nn.MaxPool1d(2), nn.Tanh(), nn.MaxPool1d(2)]),
        ((1, 8), [nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.MaxPool1d(4)]),
        ((1, 4, 4, 4), [nn.Conv3d(1, 2, 3, padding=1), nn.Tanh(), nn.MaxPool3d(2)]),
    ],
    ids=str,
)
def test_what_follows_one_affine_layer(shape, layers):
    encoder = built(*layers)
    assert closed_form(encoder) is not None
    assert_exact(encoder, rows(*shape))


def test_a_layer_alone_and_nested_sequences():
    layer = nn.Linear(5, 4).double()
    assert closed_form(layer) is not None
    assert_exact(layer, rows(5))
    nested = built(nn.Sequential(nn.Sequential(layer), nn.Tanh()), nn.Sequential())
    assert closed_form(nested) is not None
    assert_exact(nested, rows(5))


def test_gradcheck():
    def penalty(W, b, X):
        layer = nn.Conv1d(2, 3, 3, stride=2, padding=1)
        del layer.weight, layer.bias
        layer.weight, layer.bias = W, b
        encoder = nn.Sequential(layer, nn.Sigmoid())
        assert closed_form(encoder) is not None
        return jacobian_penalty(encoder, X)

    inputs = (rows(2, 3, n=3), rows(n=3), rows(2, 6, n=2))
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(penalty, inputs)
    assert torch.autograd.gradgradcheck(penalty, inputs)


# ---- what is not in closed form -----------------------------------------------------


class Halving(nn.Linear):
    def forward(self, X):
        return super().forward(X) / 2


def hooked(register):
    encoder = built(nn.Linear(5, 4), nn.Sigmoid())
    getattr(encoder[0], register)(lambda *_: None)
    return encoder


def overridden():
    encoder = built(nn.Linear(5, 4), nn.Sigmoid())
    layer = encoder[0]
    layer.forward = lambda X: nn.functional.linear(X, layer.weight, layer.bias) / 2
    return encoder


def halved_by_hook():
    encoder = built(nn.Linear(5, 4), nn.Sigmoid())
    encoder[0].register_forward_hook(lambda layer, args, out: out / 2)
    return encoder


def compiled():
    encoder = built(nn.Linear(5, 4), nn.Sigmoid())
    encoder.compile(backend="eager")
    return encoder


OTHERS = {
    "two affine layers": built(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)),
    "two linear layers": built(nn.Linear(5, 4), nn.Linear(4, 3)),
    "an activation before": built(nn.Tanh(), nn.Linear(5, 4)),
    "a class of one's own": built(Halving(5, 4), nn.Tanh()),
    "PReLU": built(nn.Linear(5, 4), nn.PReLU(4)),
    "softmax": built(nn.Linear(5, 4), nn.Softmax(dim=1)),
    "layer norm": built(nn.Linear(5, 4), nn.LayerNorm(4)),
    "dropout in eval mode": built(nn.Linear(5, 4), nn.Dropout(0.5)).eval(),
    "batch norm in eval mode": built(nn.Linear(5, 4), nn.BatchNorm1d(4)).eval(),
    "a forward hook": hooked("register_forward_hook"),
    "a hook before": hooked("register_forward_pre_hook"),
    "a backward hook": hooked("register_full_backward_hook"),
    "a hook before backward": hooked("register_full_backward_pre_hook"),
    "a hook that halves": halved_by_hook(),
    "weight norm": built(parametrizations.weight_norm(nn.Linear(5, 4)), nn.Tanh()),
    "another forward": overridden(),
    "compiled": compiled(),
    "no layers": nn.Sequential(),
    "a function": lambda X: torch.sin(X) * X,
}
FLAT = {
    "average pooling": [nn.Tanh(), nn.AvgPool1d(2)],
    "adaptive pooling": [nn.AdaptiveMaxPool1d(2)],
    "two convolutions": [nn.Tanh(), nn.Conv1d(3, 2, 3)],
    "transposed": [nn.ConvTranspose1d(3, 2, 3)],
}


@pytest.mark.filterwarnings("ignore:.*full_backward.*:UserWarning")
@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_goes_to_probes(name):
    encoder, X = OTHERS[name], rows(5)
    assert closed_form(encoder) is None
    if isinstance(encoder, nn.Module) and next(encoder.parameters(), None) is not None:
        assert_exact(encoder, X, method="exact")
    expected, draws = probed_by_hand(encoder, X)
    found = jacobian_penalty(encoder, X, reduction="none", generator=draws)
    torch.testing.assert_close(found, expected)


def probed_by_hand(encoder, X):
    """‖Jᵀu‖² with the dense Jacobian, and a generator that draws that u again."""
    J = dense_jacobians(encoder, X).detach()
    generator = torch.Generator().manual_seed(3)
    U = 2.0 * torch.randint(2, J.shape[:2], generator=generator) - 1
    found = torch.einsum("nkd,nk->nd", J, U.double()).square().sum(1)
    return found, generator.manual_seed(3)


@pytest.mark.parametrize("name", FLAT)
def test_other_layers_after_a_convolution(name):
    encoder = built(nn.Conv1d(2, 3, 3, padding=1), *FLAT[name])
    assert closed_form(encoder) is None
    assert_exact(encoder, rows(2, 8), method="exact")


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_other_paddings(mode):
    """Their border pixels count more than once, and together."""
    layer = nn.Conv2d(2, 4, 3, padding=1, padding_mode=mode)
    encoder = built(layer, nn.Tanh())
    assert closed_form(encoder) is None
    assert_exact(encoder, rows(2, 4, 5, n=2), method="exact")


def test_global_hooks():
    encoder = built(nn.Linear(5, 4), nn.Tanh())
    register = nn.modules.module.register_module_forward_hook
    handle = register(lambda module, args, out: out / 2)
    try:
        assert closed_form(encoder) is None
        assert_exact(encoder, rows(5), method="exact")
    finally:
        handle.remove()


# ---- depth, and codes of any shape --------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.ReLU(), nn.GELU()], ids=str)
def test_exact_at_any_depth(depth, activation):
    layers = [part for _ in range(depth) for part in (nn.Linear(5, 5), activation)]
    assert_exact(built(*layers), rows(5), method="exact")


DENSE = {
    "wide": built(nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 3), nn.Sigmoid()),
    "narrow": built(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3), nn.Sigmoid()),
    "three": built(nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 6), nn.Linear(6, 2)),
    "no intercept": built(nn.Linear(7, 4, bias=False), nn.GELU(), nn.Linear(4, 3)),
    "overwrites": built(nn.Linear(7, 6), nn.ReLU(inplace=True), nn.Linear(6, 3)),
    "two functions": built(nn.Linear(7, 4), nn.Tanh(), nn.ELU(), nn.Linear(4, 3)),
    "flattens": built(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 5)),
    "nested": built(nn.Sequential(nn.Linear(7, 4), nn.Tanh()), nn.Linear(4, 3)),
}


@pytest.mark.parametrize("budget", [1, 30, 2**26])
@pytest.mark.parametrize("name", DENSE)
def test_the_exact_norm_of_dense_layers(name, budget, monkeypatch):
    """As a product of matrices, at once and a part of the units after the other."""
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", budget)
    encoder = DENSE[name]
    chain = dense_chain(encoder)
    X = rows(2, 3) if name == "flattens" else rows(chain.weights[0].shape[1])
    assert chain.takes(X)
    assert_exact(encoder, X, method="exact")
    with torch.no_grad():
        norms = jacobian_penalty(encoder, X, method="exact", reduction="none")
    torch.testing.assert_close(norms, dense_norms(encoder, X).detach())


def test_dense_layers_of_several_vectors_a_row():
    """Each is encoded by itself, so that the code has units for each."""
    encoder, X = DENSE["wide"], rows(2, 9)
    assert not dense_chain(encoder).takes(X)
    assert_exact(encoder, X, method="exact")


@pytest.mark.parametrize(
    "encoder",
    [
        built(nn.Linear(5, 4), nn.Softmax(1), nn.Linear(4, 3)),
        built(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
        built(
            nn.Linear(5, 4), nn.Tanh(), parametrizations.weight_norm(nn.Linear(4, 3))
        ),
        built(nn.Tanh(), nn.Linear(5, 4), nn.Linear(4, 3)),
    ],
    ids=["mixes units", "norms", "parametrized", "begins with a function"],
)
def test_what_only_looks_like_dense_layers(encoder):
    assert dense_chain(encoder) is None
    assert_exact(encoder, rows(5), method="exact")


def test_exact_of_deep_convolutions():
    encoder = built(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 2, 2, stride=2),
        nn.Sigmoid(),
    )
    assert encoder(rows(1, 8, 8)).shape == (3, 2, 2, 2)
    assert_exact(encoder, rows(1, 8, 8), method="exact")


def test_codes_and_rows_that_are_single_numbers():
    X = rows()
    found = jacobian_penalty(torch.sin, X, method="exact", reduction="none")
    torch.testing.assert_close(found, torch.cos(X).square())


def test_the_exact_norm_in_parts(monkeypatch):
    """Graphs that would be too large are made again part by part."""
    encoder = built(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 7), nn.Sigmoid())
    calls = []
    encoder.register_forward_pre_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", 1)
    assert_exact(encoder, rows(5), method="exact")
    # For the value, to see how large the graph of a unit is and of what there may be a
    # gradient, and for that of each of seven units; the dense Jacobian has three rows.
    assert sum(calls) == 3 + 7 + 3


def test_the_exact_norm_in_parts_finds_what_a_function_refers_to(monkeypatch):
    """Weights that are computed from others, and rows that are."""
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", 1)
    V, x = rows(4, 5, n=1)[0].requires_grad_(), rows(5).requires_grad_()
    W, X = V.sin(), x * 2

    def encode(X):
        return torch.tanh(X @ W.T) @ W[:, :3]

    norms = jacobian_penalty(encode, X, method="exact", reduction="none")
    J = dense_jacobians(encode, X)
    weights = torch.arange(1.0, 4.0).double()
    pair = [
        torch.autograd.grad((value * weights).sum(), [V, x], retain_graph=True)
        for value in (norms, J.square().sum((1, 2)))
    ]
    for ours, theirs in zip(*pair, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("first", [nn.Tanh(), nn.ReLU(inplace=True)])
def test_what_there_may_be_a_gradient_of(first):
    """All parameters, and None where something was computed before; X is known."""
    encoder, x = (
        built(first, nn.Linear(5, 4), nn.LayerNorm(4)),
        rows(5).requires_grad_(),
    )
    for X in (x, 2 * x):
        found = leaves_of(lambda X: encoder(X) + encoder(X), X)
        assert {*map(id, found)} == {*map(id, encoder.parameters())}
    before = 2 * encoder[1].bias
    assert leaves_of(lambda X: encoder(X) * before, x) is None


def test_the_exact_norm_in_parts_sees_that_weights_have_changed(monkeypatch):
    """Before its gradient is taken, that is, which would be of other weights."""
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", 1)
    encoder = built(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    penalty = jacobian_penalty(encoder, rows(5), method="exact")
    with torch.no_grad():
        encoder[0].weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        penalty.backward()


def test_the_exact_norm_in_parts_is_that_of_the_modes_that_were(monkeypatch):
    """And of the statistics: its gradient is taken later, when the loss is."""
    inner = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Tanh())
    encoder = built(nn.Linear(5, 4), inner, nn.Linear(4, 3)).eval()
    X, norm = rows(5), inner[0]
    parameters = [encoder[0].weight, norm.weight, encoder[2].weight]

    def penalty():
        return jacobian_penalty(lambda X: encoder(X), X, method="exact")

    expected = torch.autograd.grad(penalty(), parameters)
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", 1)
    before = penalty()
    encoder.train()
    encoder(X)  # which writes the means
    norm.running_var = changed = norm.running_var + 1
    mean = norm.running_mean.clone()
    found = torch.autograd.grad(before, parameters)
    torch.testing.assert_close(found, expected)
    # What is now stays.
    assert encoder.training
    assert inner[1].training
    assert norm.running_var is changed
    assert torch.equal(norm.running_mean, mean)


@pytest.mark.parametrize("budget", [1, parts.GRAPH_ELEMENTS])
def test_the_exact_norm_in_parts_has_a_gradient_by_what_is_computed(
    budget, monkeypatch
):
    """As of weights that a step of descent has made of others, which are no leaves."""
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", budget)
    encoder = built(nn.Linear(5, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 3))
    fast = {name: part * 2 for name, part in encoder.named_parameters()}
    leaves = {name: p.detach().requires_grad_() for name, p in fast.items()}
    found = []
    for tensors in (fast, leaves):

        def encode(X, tensors=tensors):
            return functional_call(encoder, tensors, (X,))

        penalty = jacobian_penalty(encode, rows(5), method="exact")
        some = [tensors["0.weight"], tensors["3.weight"]]
        found.append(torch.autograd.grad(penalty, some))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_exact_norm_in_parts_has_no_second_derivative(monkeypatch):
    """Nor is it taken for a constant."""
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", 1)
    encoder = built(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    loss = encoder(rows(5)).square().sum()
    loss = loss + jacobian_penalty(encoder, rows(5), method="exact")
    with pytest.raises(RuntimeError, match=r"itself differentiable .* fewer rows"):
        torch.autograd.grad(loss, encoder[0].weight, create_graph=True)


# ---- modes --------------------------------------------------------------------------

ENCODERS = {
    "closed": built(nn.Linear(5, 4), nn.Tanh()),
    "deep": built(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_value_is_the_same(name, mode):
    encoder, X = ENCODERS[name], rows(5)
    expected = jacobian_penalty(encoder, X, method="exact")
    with mode():
        value = jacobian_penalty(encoder, X.clone(), method="exact")
    assert expected.requires_grad
    assert not value.requires_grad
    assert value.grad_fn is None
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=0)
    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    with mode():
        probed = jacobian_penalty(encoder, X, method="probes", generator=draws[0])
    torch.testing.assert_close(
        probed,
        jacobian_penalty(encoder, X, method="probes", generator=draws[1]).detach(),
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_training_and_eval_mode_agree(name):
    encoder, X = ENCODERS[name], rows(5)
    values = [jacobian_penalty(m, X, method="exact") for m in (encoder.train(),)]
    values.append(jacobian_penalty(encoder.eval(), X, method="exact"))
    assert values[0] == values[1]


@pytest.mark.parametrize("method", ["exact", "probes"])
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_computes_in_single_precision(name, method, dtype):
    encoder, X = ENCODERS[name], rows(5).to(dtype)
    try:
        encoder.float()
        expected = jacobian_penalty(
            encoder, X.float(), method=method, generator=torch.Generator()
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = jacobian_penalty(
                encoder, X, method=method, generator=torch.Generator()
            )
    finally:
        encoder.double()
    assert found.dtype == torch.float32
    assert found == expected


@pytest.mark.parametrize("method", ["exact", "probes"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("penalty", [jacobian_penalty, hessian_penalty])
@pytest.mark.parametrize(
    "way", [lambda f: f, lambda f: lambda X: f(X)], ids=["itself", "in a function"]
)
def test_a_module_of_a_low_type_is_computed_in_it_under_autocast(
    way, penalty, dtype, method
):
    encoder = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).to(dtype)
    X, values = torch.rand(5, 4).to(dtype), []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            how = {"method": method, "generator": torch.Generator()}
            values.append(penalty(way(encoder), X, **how))
    assert values[0] == values[1] > 0


@pytest.mark.parametrize(
    "encoder",
    [nn.Identity(), nn.Sequential(), lambda X: 1.0 * X],
    ids=["identity", "nothing", "function"],
)
def test_a_map_without_parameters_has_a_norm(encoder):
    """Torch saves nothing for the way back through it."""
    X = rows(5)
    exact = {"method": "exact"}
    assert jacobian_penalty(encoder, X, **exact) == pytest.approx(X[0].numel())
    assert hessian_penalty(encoder, X, **exact) == 0


def test_low_precision_is_summed_in_single():
    encoder, X = built(nn.Linear(300, 200)).bfloat16(), rows(300).bfloat16()
    found = jacobian_penalty(encoder, X)
    assert found.dtype == torch.float32
    expected = encoder[0].weight.float().square().sum()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)


def test_frozen_parameters_leave_the_gradient_by_X():
    encoder = built(nn.Linear(5, 4), nn.Tanh()).requires_grad_(False)
    X = rows(5).requires_grad_()
    (found,) = torch.autograd.grad(jacobian_penalty(encoder, X, reduction="sum"), X)
    (expected,) = torch.autograd.grad(dense_norms(encoder, X).sum(), X)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("budget", [1, parts.GRAPH_ELEMENTS])
@pytest.mark.parametrize("method", ["exact", "probes"])
@pytest.mark.parametrize("penalty", [jacobian_penalty, hessian_penalty])
def test_an_encoder_may_refer_to_X(penalty, method, budget, monkeypatch):
    """Its Jacobian is that by what it is given, and the gradient is by both."""
    monkeypatch.setattr(parts, "GRAPH_ELEMENTS", budget)
    X, fixed = rows(5, n=4).requires_grad_(), rows(5, n=4)

    def shifted(centre):
        return lambda x: torch.tanh(x - centre.mean(0)) ** 2

    values = []
    for centre, given in ((X, X), (fixed, fixed)):
        draw = torch.Generator().manual_seed(0)
        values.append(penalty(shifted(centre), given, method=method, generator=draw))
    torch.testing.assert_close(*values)
    # A shift of all rows changes nothing.
    (gradient,) = torch.autograd.grad(values[0], X)
    torch.testing.assert_close(gradient.sum(0), torch.zeros(5).double())


def test_X_stays_what_it_is():
    """Encoders that overwrite their input, and leaves without a gradient."""
    encoder = built(nn.ReLU(inplace=True), nn.Linear(5, 4), nn.Tanh())
    X = rows(5)
    before = X.clone()
    for context in (nullcontext(), torch.no_grad()):
        with context:
            for method in ("exact", "probes"):
                jacobian_penalty(encoder, X, method=method)
    assert torch.equal(X, before)
    assert not X.requires_grad
    assert X.grad is None


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's look
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("penalty", [jacobian_penalty, hessian_penalty])
def test_a_penalty_within_what_is_compiled_is_left_as_written(penalty, name):
    """A loss, say, which is compiled but for it."""
    encoder, X = ENCODERS[name], rows(5)

    def loss(X):
        return encoder(X).square().mean() + penalty(encoder, X, method="exact")

    found = torch.compile(loss, backend="aot_eager")(X)
    torch.testing.assert_close(found, loss(X))
    gradient, expected = (
        torch.autograd.grad(value, encoder[0].weight)[0] for value in (found, loss(X))
    )
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("part", [slice(None), slice(2)], ids=["all", "a part"])
def test_what_torch_has_compiled_is_run_as_it_was_written(part):
    """torch cannot differentiate the compiled twice."""
    encoder, X = ENCODERS["deep"], rows(5)
    compiled = torch.compile(encoder[part], backend="aot_eager")
    whole = nn.Sequential(compiled, *encoder[len(encoder[part]) :])
    expected = jacobian_penalty(encoder, X, method="exact")
    found = jacobian_penalty(whole, X, method="exact")
    assert found == expected
    (gradient,) = torch.autograd.grad(found, encoder[0].weight)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(expected, encoder[0].weight)[0]
    )


# ---- reductions ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODERS)
def test_reductions(name):
    X = rows(5)
    each, mean, total = (
        jacobian_penalty(ENCODERS[name], X, method="exact", reduction=reduction)
        for reduction in ("none", "mean", "sum")
    )
    assert each.shape == (3,)
    torch.testing.assert_close(mean, each.mean())
    torch.testing.assert_close(total, each.sum())
