"""Autoencoders of modules that the user has written, as a user has them."""

import os
import re
import signal
import threading
from itertools import count

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC
from torch import nn
from torch.utils.checkpoint import checkpoint

from skcae import ContractiveAutoencoder, FineTunedClassifier, ModuleAutoencoder
from skcae.checkpoints import Checkpoint, resume
from skcae.functional import jacobian_penalty, to_module
from skcae.inspection import jacobian_norm, singular_values, tangent_vectors
from skcae.onnx import to_onnx
from skcae.persistence import get_weights, load, save, set_weights
from tests.conftest import write_unchecked
from tests.core.test_module import OfGraph
from tests.test_checkpoints import Copies, assert_same

HOW = {"max_iter": 12, "tol": 1e-9, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def encoder(n_features):
    """A residual encoder."""
    return Residual(n_features)


class Residual(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.first = nn.Linear(n_features, 6)
        self.norm = nn.LayerNorm(6)
        self.second = nn.Linear(6, 6)

    def forward(self, X):
        H = self.first(X)
        return torch.tanh(H + self.second(torch.sigmoid(self.norm(H))))


def decoder(n_features):
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, n_features))


def partly_fixed(n_features):
    first = nn.Linear(n_features, 6).requires_grad_(False)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(6, 4))


def with_batch_norm(n_features):
    return nn.Sequential(nn.Linear(n_features, 6), nn.BatchNorm1d(6))


TRUSTED = [f"{__name__}.{name}" for name in ("encoder", "decoder")]


@pytest.fixture
def model(unit_data):
    return ModuleAutoencoder(encoder, decoder, **HOW).fit(unit_data)


def test_its_penalty_contracts_it(unit_data, model):
    plain = clone(model).set_params(jacobian_penalty=0.0).fit(unit_data)
    exact = clone(model).set_params(jacobian_method="exact", jacobian_penalty=3.0)
    probes = clone(exact).set_params(jacobian_method="probes", n_probes=4)
    free = jacobian_norm(plain, unit_data).mean()
    for contractive in (exact.fit(unit_data), probes.fit(unit_data)):
        assert jacobian_norm(contractive, unit_data).mean() < 0.9 * free


@pytest.mark.parametrize(
    "how", [{"jacobian_penalty": 0.0}, {"jacobian_method": "probes"}], ids=str
)
def test_without_modules_it_is_trained_in_any_way(how, unit_data):
    """Its layers are dense, but not named as those of a deep one."""
    model = ModuleAutoencoder(n_components=4, **how, **HOW).fit(unit_data)
    assert [*model.parameters_] == [
        "encoder.weight",
        "encoder.bias",
        "decoder.weight",
        "decoder.bias",
    ]
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_it_learns_and_decodes(loss, dtype, digits):
    X = digits[0][:400].astype(dtype)
    how = {**HOW, "max_iter": 40, "loss": loss, "jacobian_penalty": 0.01}
    model = ModuleAutoencoder(encoder, decoder, **how).fit(X)
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]
    codes = model.transform(X)
    assert codes.dtype == dtype
    assert codes.shape == (400, 6)
    reconstruction = model.inverse_transform(codes)
    assert reconstruction.shape == X.shape
    if loss == "squared_error":
        errors = np.square(reconstruction - X).sum(1)
        assert_allclose(model.score_samples(X), -errors, rtol=1e-4)


def test_without_modules_it_has_two_dense_layers(unit_data):
    model = ModuleAutoencoder(n_components=5, **HOW).fit(unit_data)
    like = ContractiveAutoencoder(5, tied_weights=False, **HOW).fit(unit_data)
    shapes = {name: array.shape for name, array in model.parameters_.items()}
    assert shapes == {
        "encoder.weight": (5, 8),
        "encoder.bias": (5,),
        "decoder.weight": (8, 5),
        "decoder.bias": (8,),
    }
    # The same model, from other weights.
    W, V = model.parameters_["encoder.weight"], model.parameters_["decoder.weight"]
    like.components_, like.decoder_components_ = W, V.T.copy()
    like.intercept_hidden_ = model.parameters_["encoder.bias"]
    like.intercept_visible_ = model.parameters_["decoder.bias"]
    assert_allclose(model.transform(unit_data), like.transform(unit_data))
    assert_allclose(model.score_samples(unit_data), like.score_samples(unit_data))


def test_in_a_pipeline_and_a_search(digits):
    X, y = digits[0][:200], digits[1][:200]
    pipeline = make_pipeline(
        MinMaxScaler(), ModuleAutoencoder(encoder, decoder, **HOW), LinearSVC()
    )
    grid = {"moduleautoencoder__jacobian_penalty": [0.0, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.3


def test_it_is_fine_tuned_along_its_tangents(digits, tmp_path):
    X, y = digits[0][:200], digits[1][:200]
    model = ModuleAutoencoder(encoder, decoder, **HOW)
    tuning = {"tangent_penalty": 0.1, "n_tangents": 3, "learning_rate": 0.1}
    classifier = FineTunedClassifier(
        model, encoder_rate_factor=1.0, **tuning, **{**HOW, "max_iter": 40}
    )
    classifier.fit(X, y)
    assert classifier.score(X, y) > 0.5
    assert [W.shape for W in classifier.coefs_] == [(6, 10)]
    names = classifier.hidden_parameters_.keys()
    assert names == {f"{name}.0" for name, _ in encoder(64).named_parameters()}
    before = classifier.encoder_.parameters_["encoder.first.weight"]
    assert not np.array_equal(classifier.hidden_parameters_["first.weight.0"], before)
    save(classifier, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops", trusted=TRUSTED)
    assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    weights = get_weights(classifier)
    moved = {name: 2 * array for name, array in weights.items()}
    for name, array in get_weights(set_weights(classifier, moved)).items():
        assert_array_equal(array, moved[name])
    classifier.hidden_parameters_["first.weight.0"] = np.zeros(3)
    write_unchecked(classifier, tmp_path / "model.skops")
    with pytest.raises(ValueError, match=r"first.weight.0 must be a float32 or"):
        load(tmp_path / "model.skops", trusted=TRUSTED)


def test_parameters_that_need_no_gradient_stay_what_the_factory_gives(unit_data):
    one, other = (
        ModuleAutoencoder(partly_fixed, **{**HOW, "random_state": seed}).fit(unit_data)
        for seed in (0, 1)
    )
    names = {"encoder.2.weight", "encoder.2.bias", "decoder.weight", "decoder.bias"}
    assert one.parameters_.keys() == names
    hidden = [to_module(model).encoder[0][0][0].weight for model in (one, other)]
    assert torch.equal(*hidden)
    assert not np.array_equal(*(m.parameters_["encoder.2.bias"] for m in (one, other)))


# ---- files -----------------------------------------------------------------------


def test_a_file_needs_its_factories_to_be_trusted(model, unit_data, tmp_path):
    path = tmp_path / "model.skops"
    save(model, path)
    with pytest.raises(TypeError, match=r"was not loaded: .*encoder"):
        load(path)
    again = load(path, trusted=TRUSTED)
    assert_array_equal(again.transform(unit_data), model.transform(unit_data))
    model.parameters_["encoder.first.bias"] = np.zeros(2)
    write_unchecked(model, path)
    with pytest.raises(ValueError, match=r"encoder.first.bias must be a float32"):
        load(path, trusted=TRUSTED)


class Elsewhere:
    @staticmethod
    def encoder(n_features):
        return nn.Sequential(nn.Linear(n_features, 6), nn.Sigmoid())


@pytest.mark.parametrize(
    "factory",
    [Elsewhere.encoder, lambda n: nn.Linear(n, 4)],
    ids=["a name's double", "lambda"],
)
def test_a_file_is_of_functions_that_are_found_by_name(factory, unit_data, tmp_path):
    """Another of the same name would be another network."""
    model = ModuleAutoencoder(factory, **HOW).fit(unit_data)
    path = tmp_path / "model.skops"
    for whole in (model, make_pipeline(MinMaxScaler(), model)):
        with pytest.raises(TypeError, match=r"function .* cannot be written: .* name"):
            save(whole, path)
    model.set_callbacks(Checkpoint(path))
    with pytest.raises(TypeError, match="cannot be written"):
        model.fit(unit_data)
    assert not path.exists()


def test_a_fit_is_taken_up_from_every_checkpoint(unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops")
    model = ModuleAutoencoder(encoder, decoder, jacobian_method="probes", **HOW)
    whole = model.set_callbacks(callback).fit(unit_data)
    assert len(callback.files) == 13
    for file in callback.files:
        assert_same(resume(file, unit_data, trusted=TRUSTED), whole)


def test_weights_alone_do_not_say_what_they_are_of(model):
    with pytest.raises(ValueError, match="do not say how many features"):
        set_weights(clone(model), get_weights(model))
    doubled = {name: 2 * array for name, array in get_weights(model).items()}
    for name, array in get_weights(set_weights(model, doubled)).items():
        assert_array_equal(array, doubled[name])


def test_a_graph_is_torchs_to_make(model, unit_data):
    with pytest.raises(TypeError, match=r"torch\.onnx\.export"):
        to_onnx(model, unit_data)


# ---- refusals --------------------------------------------------------------------


def test_what_cannot_be_trained_is_refused_and_changes_nothing(model, unit_data):
    before = model.transform(unit_data)
    with pytest.raises(ValueError, match="has a BatchNorm1d"):
        model.set_params(encoder=with_batch_norm).fit(unit_data)
    assert_array_equal(model.transform(unit_data), before)
    with pytest.raises(ValueError, match="The 'encoder' parameter"):
        model.set_params(encoder=nn.Linear(8, 2).weight).fit(unit_data)


class OfSequences(nn.Module):
    """One of layers that take the four halves of a row one after the other."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, X):
        X = X.view(-1, 4, 2)
        is_attention = isinstance(self.layer, nn.MultiheadAttention)
        found, _ = self.layer(*(X, X, X) if is_attention else (X,))
        return found.flatten(1)


OTHER_IN_TRAINING = {
    "a GRU (dropout=0.5)": lambda: OfSequences(
        nn.GRU(2, 3, 2, dropout=0.5, batch_first=True)
    ),
    "a MultiheadAttention (dropout=0.5)": lambda: OfSequences(
        nn.MultiheadAttention(2, 1, dropout=0.5, batch_first=True)
    ),
    "a InstanceNorm1d (track_running_stats=True)": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2, track_running_stats=True)
    ),
}


@pytest.mark.parametrize("found", OTHER_IN_TRAINING)
def test_layers_that_are_others_in_training_are_refused(found, unit_data):
    make = OTHER_IN_TRAINING[found]
    model = ModuleAutoencoder(lambda d: nn.Sequential(make(), nn.LazyLinear(3)), **HOW)
    with pytest.raises(ValueError, match=re.escape(f"encoder has {found}")):
        model.fit(unit_data)
    for layer in (
        nn.GRU(2, 3, 2, batch_first=True),
        nn.MultiheadAttention(2, 1, batch_first=True),
    ):
        ModuleAutoencoder(lambda d, layer=layer: OfSequences(layer), **HOW).fit(
            unit_data
        )


class Checkpointed(nn.Module):
    """One that computes its layer again when a gradient is taken."""

    def __init__(self, d, **how):
        super().__init__()
        self.how = how
        self.layer = nn.Sequential(nn.Linear(d, 3), nn.Tanh())

    def forward(self, X):
        return checkpoint(self.layer, X, **self.how)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_what_is_computed_again_for_gradients_is_refused(use_reentrant, unit_data):
    """It would be with other weights than those that are trained."""
    model = ModuleAutoencoder(
        lambda d: Checkpointed(d, use_reentrant=use_reentrant), **HOW
    )
    with pytest.raises(ValueError, match=r"utils\.checkpoint"):
        model.fit(unit_data)


def test_a_layer_that_torch_does_not_differentiate_forwards_has_all_measures(unit_data):
    """An LSTM in single precision: its Jacobian is that of another in double."""

    def lstm(d):
        return OfSequences(nn.LSTM(2, 3, batch_first=True))

    values = []
    for dtype in (np.float32, np.float64):
        X = unit_data[:20].astype(dtype)
        model = ModuleAutoencoder(lstm, jacobian_penalty=0, **HOW).fit(X)
        V = abs(tangent_vectors(model, X, 2))
        values.append(
            [jacobian_norm(model, X), singular_values(model, X).sample_values, V]
        )
    for single, double in zip(*values, strict=True):
        assert_allclose(single, double, rtol=1e-3, atol=1e-4)


def test_buffers_may_be_sparse_and_of_any_type(unit_data):
    """And are looked at at each fit, and before a penalty."""
    model = ModuleAutoencoder(OfGraph, **HOW).fit(unit_data)
    module = to_module(model).encoder
    X = torch.from_numpy(unit_data)
    expected = jacobian_norm(model, unit_data) ** 2
    norms = jacobian_penalty(module, X, method="exact", reduction="none")
    assert_allclose(norms.detach(), expected)
    numbers = count()
    drawn = ModuleAutoencoder(lambda d: OfGraph(d, noise=next(numbers)), **HOW)
    with pytest.raises(ValueError, match="other numbers in 'neighbours' at each call"):
        drawn.fit(unit_data)


def test_a_call_makes_the_modules_once(unit_data):
    calls = []

    def counted(n_features):
        calls.append(n_features)
        return encoder(n_features)

    model = ModuleAutoencoder(counted, **HOW).fit(unit_data)
    for call in (model.transform, model.score_samples):
        calls.clear()
        call(unit_data[:1])
        assert calls == [8]


class Projected(nn.Module):
    """A random projection that is not trained, and a layer that is."""

    def __init__(self, drawn):
        super().__init__()
        self.register_buffer("projection", drawn)
        self.layer = nn.Linear(5, 3)

    def forward(self, X):
        return self.layer(torch.cos(X @ self.projection))


def test_what_is_not_trained_is_the_same_at_each_call_of_a_factory(unit_data):
    """Or the model would be another one each time that it is used."""
    by_numpy = ModuleAutoencoder(
        lambda d: Projected(torch.from_numpy(np.random.standard_normal((d, 5)))),  # noqa: NPY002
        **HOW,
    )
    with pytest.raises(ValueError, match=r"encoder\(8\) .* numbers in 'projection'"):
        by_numpy.fit(unit_data)
    by_torch = ModuleAutoencoder(lambda d: Projected(torch.randn(d, 5)), **HOW)
    by_torch.fit(unit_data)
    assert_array_equal(by_torch.transform(unit_data), by_torch.transform(unit_data))


def test_a_layer_that_torch_differentiates_once_has_no_penalty(unit_data):
    def hard(n_features):
        return nn.Sequential(nn.Linear(n_features, 3), nn.Hardsigmoid())

    with pytest.raises(ValueError, match="torch differentiates a layer only once"):
        ModuleAutoencoder(hard, **HOW).fit(unit_data)
    model = ModuleAutoencoder(hard, jacobian_penalty=0, **HOW).fit(unit_data)
    assert model.transform(unit_data).shape == (40, 3)


class Apart(nn.Module):
    """One whose code torch cannot differentiate by its rows."""

    def __init__(self, n_features, way):
        super().__init__()
        self.linear, self.way = nn.Linear(n_features, 4), way

    def forward(self, X):
        if self.way == "no_grad":
            with torch.no_grad():
                return self.linear(X)
        if self.way == "NumPy":
            X = torch.from_numpy(X.detach().numpy())
        return torch.sigmoid(self.linear(X.detach()))


@pytest.mark.parametrize("way", ["detach", "no_grad", "NumPy"])
def test_a_code_without_a_derivative_is_refused(way, unit_data):
    model = ModuleAutoencoder(lambda n: Apart(n, way), **HOW)
    with pytest.raises(ValueError, match=r"encoder.* no derivative .* silent 0"):
        model.fit(unit_data)


@pytest.mark.parametrize("what", ["module", "fit"])
def test_a_factory_may_begin_with_another_model(what, unit_data):
    first = ModuleAutoencoder(encoder, **HOW).fit(unit_data)

    def deeper(n_features):
        if what == "fit":
            ModuleAutoencoder(encoder, **HOW).fit(unit_data)
        return nn.Sequential(to_module(first).encoder, nn.Linear(6, 2))

    model = ModuleAutoencoder(deeper, **HOW).fit(unit_data)
    assert model.transform(unit_data).shape == (40, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_draws_whatever_another_thread_draws(unit_data):
    is_inside, may_end = threading.Event(), threading.Event()

    def slow(n_features):
        is_inside.set()
        may_end.wait(20)
        return encoder(n_features)

    thread = threading.Thread(
        target=ModuleAutoencoder(slow, **HOW).fit, args=[unit_data]
    )
    thread.start()
    is_inside.wait(20)
    process = os.fork()
    if process == 0:
        signal.alarm(10)
        ModuleAutoencoder(encoder, **HOW).fit(unit_data)
        os._exit(0)
    may_end.set()
    thread.join()
    assert os.waitpid(process, 0)[1] == 0


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_module_in_the_place_of_what_makes_it_is_refused(side, unit_data):
    model = ModuleAutoencoder(n_components=8, **HOW, **{side: nn.Linear(8, 8)})
    with pytest.raises(TypeError, match=f"{side} must be a function of the number of"):
        model.fit(unit_data)


def test_going_on_with_another_module_is_refused(unit_data):
    model = ModuleAutoencoder(encoder, decoder, warm_start=True, **HOW).fit(unit_data)
    with pytest.raises(ValueError, match="cannot go on"):
        model.set_params(encoder=None).fit(unit_data)
