"""What the penalties refuse: rows that mix, random layers, and unusable arguments."""

import gc
import weakref
from functools import partial, wraps

import pytest
import torch
from torch import nn

from skcae._core.modules.independence import PASSED
from skcae._core.modules.referred import modules_of
from skcae.functional import hessian_penalty, jacobian_penalty
from tests.test_functional import built, dense_norms, rows

X = rows(4, n=6)


# ---- layers that are known --------------------------------------------------------


@pytest.mark.parametrize("penalty", [jacobian_penalty, hessian_penalty])
@pytest.mark.parametrize("method", ["auto", "exact", "probes"])
def test_batch_norm_in_training_mode(penalty, method):
    encoder = built(nn.Linear(4, 3), nn.Sequential(nn.BatchNorm1d(3)), nn.Tanh())
    message = (
        r"BatchNorm1d, the encoder's layer '1\.0', normalises each row by statistics "
        r"of the whole batch, .* call its eval\(\)"
    )
    with pytest.raises(ValueError, match=message):
        penalty(encoder, X, method=method)
    assert penalty(encoder.eval(), X, method=method) > 0
    with pytest.raises(ValueError, match="BatchNorm1d"):  # at each call, by its flag
        penalty(encoder.train(), X, method=method)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_without_running_statistics(training):
    layers = nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)
    encoder = built(*layers).train(training)
    with pytest.raises(ValueError, match="track_running_stats=True"):
        jacobian_penalty(encoder, X)


def test_batch_norm_of_several_processes():
    with pytest.raises(ValueError, match="SyncBatchNorm, the encoder, normalises"):
        jacobian_penalty(nn.SyncBatchNorm(4).double(), X)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout(0.5), (4,)),
        (nn.Dropout1d(0.5), (2, 4)),
        (nn.Dropout2d(0.5), (2, 2, 2)),
        (nn.AlphaDropout(0.5), (4,)),
        (nn.FeatureAlphaDropout(0.5), (2, 2)),
        (nn.RReLU(), (4,)),
    ],
    ids=str,
)
def test_random_layers_in_training_mode(layer, shape):
    encoder, X = (
        nn.Sequential(nn.Flatten(), nn.Unflatten(1, shape), layer),
        rows(*shape),
    )
    message = rf"{type(layer).__name__}, the encoder's layer '2', is random in training"
    with pytest.raises(ValueError, match=message):
        jacobian_penalty(encoder, X)
    assert jacobian_penalty(encoder.eval(), X) > 0


class Attention(nn.Module):
    """Attention of each row's tokens among themselves, or of the rows."""

    def __init__(self, dropout=0.0, *, batch_first=True):
        super().__init__()
        self.attention = nn.MultiheadAttention(
            4, 2, dropout=dropout, batch_first=batch_first
        )

    def forward(self, X):
        return self.attention(X, X, X, need_weights=False)[0]


def test_dropout_within_layers():
    encoder, X = Attention(dropout=0.2).double(), rows(3, 4)
    with pytest.raises(ValueError, match=r"'attention', is random.*dropout=0\.2"):
        jacobian_penalty(encoder, X)
    assert jacobian_penalty(encoder.eval(), X) > 0


def test_dropout_that_drops_nothing():
    encoder = built(nn.Linear(4, 3), nn.Dropout(0.0), nn.Tanh())
    assert jacobian_penalty(encoder, X, method="exact") > 0


@pytest.mark.parametrize("norm", [nn.InstanceNorm1d, partial(nn.GroupNorm, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_norms_of_a_row_by_itself_are_taken(norm, training):
    encoder = built(nn.Conv1d(1, 2, 2), norm(2)).train(training)
    X = rows(1, 6)
    found = jacobian_penalty(encoder, X, method="exact", reduction="none")
    torch.testing.assert_close(found, dense_norms(encoder, X))


# ---- encoders that are tried out --------------------------------------------------


def centred(X):
    return torch.tanh(X - X.mean(0))


def running_sum(X):
    return torch.tanh(X.cumsum(0))


def running_sum_from_the_end(X):
    return torch.tanh(X.flip(0).cumsum(0).flip(0))


def noisy(X):
    return X + torch.randn_like(X)


class Noisy(nn.Module):
    def forward(self, X):
        return torch.tanh(X) * torch.rand(len(X), 1)


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("encoder", [centred, running_sum, running_sum_from_the_end])
@pytest.mark.parametrize("method", ["exact", "probes"])
def test_functions_that_mix_rows(encoder, method, n):
    message = (
        r"Row \d of X gets another code when only other rows change: .* mixes rows"
    )
    for _ in range(2):  # what has failed is not taken for what has passed
        with pytest.raises(ValueError, match=message):
            jacobian_penalty(encoder, rows(4, n=n), method=method)
    assert jacobian_penalty(encoder, rows(4, n=n), method=method, check=False) > 0


def test_modules_that_mix_rows():
    encoder = Attention(batch_first=False).double()
    with pytest.raises(ValueError, match="mixes rows"):
        jacobian_penalty(encoder, rows(3, 4))


@pytest.mark.parametrize("encoder", [noisy, Noisy(), nn.FractionalMaxPool2d(2, 4)])
def test_encoders_that_are_random(encoder):
    is_pool = isinstance(encoder, nn.FractionalMaxPool2d)
    X = rows(1, 9, 9) if is_pool else rows(4)
    with pytest.raises(ValueError, match="other codes when it is called again"):
        jacobian_penalty(encoder, X)


class Encoder(nn.Module):
    """An encoder that is a method of a module, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3).double()
        self.norm = nn.BatchNorm1d(3).double()
        self.n_calls = 0

    def encode(self, X):
        self.n_calls += 1
        return torch.tanh(self.norm(self.layer(X)))

    forward = encode


def test_an_encoder_is_tried_out_once_in_each_mode():
    model = Encoder().eval()
    for encoder in (model, model.encode, model.encode):
        before = model.n_calls
        jacobian_penalty(encoder, X)
        first = model.n_calls - before
        jacobian_penalty(encoder, X)
        again = model.n_calls - before - first
        assert again == 1
    assert first == 1  # a method is another object at each look
    with pytest.raises(ValueError, match="mixes rows"):
        jacobian_penalty(model.train().encode, X)


class Trainer:
    """An object that has a module, and is no module."""

    def __init__(self, model):
        self.parts = {"encoders": [model]}
        self.losses = [0.0] * 10_000

    def encode(self, X):
        return self.parts["encoders"][0](X)

    def __call__(self, X):
        return self.encode(X)


GLOBAL = Encoder()


def by_a_global(X):
    return GLOBAL(X)


def ways_to(model):
    """Encoders that come to a module in every way that there is."""
    trainer, held, key = Trainer(model), {"a": (model,)}, "a"

    def inner(X):
        return model(X)

    def outer(X):
        return inner(X)

    @wraps(by_a_global)
    def wrapped(X):
        return inner(X)

    def with_default(X, model=model):
        return model(X)

    def with_keyword(X, *, models=(model,)):
        return models[0](X)

    return {
        "closure": lambda X: model(X),
        "partial": partial(Encoder.encode, model),
        "item of a partial": partial(lambda models, X: models[0](X), [model]),
        "item of a closure": lambda X: held[key][0](X),
        "object in a closure": lambda X: trainer.encode(X),
        "method of an object": trainer.encode,
        "callable object": trainer,
        "a function's function": outer,
        "wrapped": wrapped,
        "default": with_default,
        "keyword": with_keyword,
        "made within": lambda X: (lambda Y: model(Y))(X),
        "of torch": torch.func.vmap(lambda x: model(x[None])[0]),
    }


@pytest.mark.parametrize("way", [*ways_to(None), "global", "made within, global"])
def test_modules_that_an_encoder_comes_to_are_seen_to_change(way):
    model = Encoder()
    if "global" in way:
        model = GLOBAL
        ways = {
            "global": by_a_global,
            "made within, global": lambda X: (lambda Y: GLOBAL(Y))(X),
        }
    else:
        ways = ways_to(model)
    model.eval()
    assert set(modules_of(ways[way])) >= {*model.modules()}
    if way == "of torch":  # whose batch norm is refused by torch
        return
    assert jacobian_penalty(ways[way], X) > 0
    model.train()
    with pytest.raises(ValueError, match="mixes rows"):
        jacobian_penalty(ways[way], X)


def test_what_an_encoder_comes_to_may_be_endless():
    """Objects that refer to each other, and classes that answer to any name."""

    class Any:
        def __getattr__(self, name):
            return Any()

        def __call__(self, X):
            return X.tanh()

    one, other = Any(), Any()
    one.other, other.other, one.itself = other, one, [one]
    one.itself.append(one.itself)
    assert modules_of(one) == []
    assert jacobian_penalty(one, X) > 0


def test_a_single_row_passes_for_itself_alone():
    def encode(X):
        return torch.tanh(X - X.mean(0) / 2)

    assert jacobian_penalty(encode, X[:1]) > 0
    with pytest.raises(ValueError, match="mixes rows"):
        jacobian_penalty(encode, X)


def test_what_is_tried_out_is_left_as_it_was():
    """Running statistics, and what torch draws next."""
    model = nn.Sequential(
        nn.Conv1d(1, 2, 2), nn.InstanceNorm1d(2, track_running_stats=True)
    ).double()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert len(before) == 3
    held = dict(model.named_buffers())
    state = torch.get_rng_state()

    def changing(X):
        model[1].running_mean = model[1].running_mean + 1  # another buffer
        return model(X) + torch.rand(1) + X.mean()

    with pytest.raises(ValueError, match="called again"):
        jacobian_penalty(changing, rows(1, 6))
    assert torch.equal(torch.get_rng_state(), state)
    for name, buffer in model.named_buffers():
        assert buffer is held[name]
        assert torch.equal(buffer, before[name])


def test_a_refused_batch_norm_has_the_statistics_that_it_had():
    """It writes them without torch's counting that."""
    model = Encoder()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with pytest.raises(ValueError, match="mixes rows"):
        jacobian_penalty(lambda X: model(X), X)
    torch.testing.assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)


@pytest.mark.parametrize("method", ["exact", "probes"])
def test_the_loss_may_come_before_the_penalty(method):
    """Buffers that nobody has written are a part of its graph."""
    encoder = built(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2))
    losses = []
    for is_first in (True, False):
        encoder.train()
        loss = encoder(X).square().mean() if is_first else 0
        encoder.eval()
        draw = torch.Generator().manual_seed(0)
        penalty = jacobian_penalty(encoder, X, method=method, generator=draw)
        encoder.train()
        loss = loss if is_first else encoder(X).square().mean()
        losses.append(torch.autograd.grad(loss, encoder[0].weight)[0])
        assert penalty > 0
    torch.testing.assert_close(*losses)


def test_encoders_are_not_kept_alive():
    encoder = built(nn.Linear(4, 3), nn.Softmax(dim=1))
    jacobian_penalty(encoder, X)
    assert encoder in PASSED
    gone = weakref.ref(encoder)
    del encoder
    gc.collect()
    assert gone() is None


def test_what_takes_no_weak_references_is_tried_out_each_time():
    class Slotted:
        __slots__ = ("n_calls",)

        def __call__(self, X):
            self.n_calls += 1
            return X.tanh()

    encoder = Slotted()
    encoder.n_calls = 0
    jacobian_penalty(encoder, X)
    first = encoder.n_calls
    jacobian_penalty(encoder, X)
    assert encoder.n_calls == 2 * first > 2


# ---- codes without a derivative, or not one for each row --------------------------


def undifferentiable():
    layer = nn.Linear(4, 3).double()

    @torch.no_grad()
    def without_graph(X):
        return layer(X)

    return {
        "detached": lambda X: layer(X).detach(),
        "detached before": lambda X: layer(X.detach()),
        "no_grad": without_graph,
        "constant": lambda X: torch.ones(len(X), 2),
    }


@pytest.mark.parametrize("method", ["exact", "probes"])
@pytest.mark.parametrize("name", undifferentiable())
def test_no_silent_zero(name, method):
    encoder = undifferentiable()[name]
    for penalty in (jacobian_penalty, hessian_penalty):
        with pytest.raises(ValueError, match="no derivative with respect to X"):
            penalty(encoder, X, method=method)


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (lambda X: X.mean(), ValueError, r"one code for each row, .*\(6, \.\.\.\)"),
        (lambda X: X[:3], ValueError, r"returned shape \(3, 4\)"),
        (lambda X: X[:, :0], ValueError, r"returned shape \(6, 0\)"),
        (lambda X: (X, X), TypeError, "returned tuple: wrap it"),
        (lambda X: X > 0, TypeError, r"returned torch\.bool"),
        (nn.MaxPool1d(2, return_indices=True), TypeError, "returned tuple"),
        ("encoder", TypeError, "encoder must be a torch module or a function"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("method", ["exact", "probes"])
def test_codes_of_the_wrong_kind(encoder, error, message, check, method):
    with pytest.raises(error, match=message):
        jacobian_penalty(encoder, X, check=check, method=method)


@pytest.mark.parametrize(
    ("layer", "X", "message"),
    [
        (nn.Linear(4, 3), X[0], r"Linear got X of shape \(4,\), .* \(n, in_features\)"),
        (nn.Conv1d(6, 3, 2), X, r"\(6, 4\), .* shape \(n, in_channels, size\)"),
        (nn.Conv2d(3, 3, 2), rows(5, 5), r"shape \(n, in_channels, size, size\)"),
    ],
)
@pytest.mark.parametrize("penalty", [jacobian_penalty, hessian_penalty])
@pytest.mark.parametrize("method", ["auto", "exact", "probes"])
def test_a_single_row_is_not_taken_for_several(layer, X, message, penalty, method):
    """torch would, and give as many codes as there are channels."""
    with pytest.raises(ValueError, match=message):
        penalty(layer.double(), X, method=method)


# ---- arguments --------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [jacobian_penalty, hessian_penalty])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": X.numpy()}, TypeError, r"Got ndarray: take torch\.as_tensor"),
        ({"X": X.long()}, TypeError, r"Got torch\.int64: take X\.float\(\)"),
        ({"X": X.to(torch.complex64)}, TypeError, r"Got torch\.complex64"),
        ({"X": X[:0]}, ValueError, r"at least one row. Got \(0, 4\)"),
        ({"X": X.sum()}, ValueError, r"Got \(\)"),
        ({"method": "closed"}, ValueError, "method must be one of auto, exact, probes"),
        ({"method": None}, ValueError, "Got None"),
        ({"reduction": "max"}, ValueError, "reduction must be one of mean, sum, none"),
        ({"n_probes": 0}, ValueError, "n_probes must be an int of at least 1. Got 0"),
        ({"n_probes": -1}, ValueError, "Got -1"),
        ({"n_probes": 1.5}, ValueError, "Got 1.5"),
        ({"n_probes": float("nan")}, ValueError, "Got nan"),
        ({"n_probes": float("inf")}, ValueError, "Got inf"),
        ({"n_probes": True}, ValueError, "Got True"),
        ({"generator": 0}, TypeError, r"Got 0: take torch\.Generator\(\)"),
    ],
    ids=str,
)
def test_arguments(penalty, change, error, message):
    arguments = {"X": X, **change}
    with pytest.raises(error, match=message):
        penalty(nn.Linear(4, 3).double(), **arguments)


@pytest.mark.parametrize(
    "noise", [0, 1e-200, 1e200, -1.0, float("nan"), float("inf"), "0.1"]
)
def test_noise(noise):
    with pytest.raises(ValueError, match="noise must be a positive number"):
        hessian_penalty(nn.Linear(4, 3).double(), X, noise=noise)


def test_the_number_of_noisy_copies():
    with pytest.raises(ValueError, match="n_samples must be an int of at least 1"):
        hessian_penalty(nn.Linear(4, 3).double(), X, noise=0.1, n_samples=0)
