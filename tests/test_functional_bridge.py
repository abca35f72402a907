"""Fitted estimators as torch modules, and modules as fitted estimators."""

import copy

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.utils import prune

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    ModuleAutoencoder,
    StackedCAE,
)
from skcae._core.modules.closed_form import closed_form
from skcae.activations import ACTIVATIONS
from skcae.functional import from_module, jacobian_penalty, to_module
from skcae.functional._layers import TiedLinear
from skcae.inspection import jacobian_norm
from skcae.losses import LOSSES
from skcae.persistence import get_weights, set_weights
from tests.conftest import class_name

X = np.random.default_rng(0).random((40, 6))
Y = (X[:, 0] > 0.5).astype(int)
HOW = {"max_iter": 12, "tol": 0.5, "random_state": 0}
LAYER, LAYERS = {"n_components": 4}, {"hidden_layer_sizes": (5, 4, 3)}
SIZES = {
    Autoencoder: LAYER,
    ContractiveAutoencoder: LAYER,
    DeepCAE: LAYERS,
    DenoisingAutoencoder: LAYER,
    StackedCAE: LAYERS,
}


def autoencoders():
    for cls, size in SIZES.items():
        for tied in (True, False):
            for loss in sorted(LOSSES):
                yield pytest.param(
                    cls(**size, tied_weights=tied, loss=loss, **HOW),
                    id=f"{class_name(cls)}-{tied}-{loss}",
                )


each = pytest.mark.parametrize("estimator", [*autoencoders()])


@pytest.fixture
def fitted(estimator):
    return clone(estimator).fit(X)


def rows(dtype=torch.float64):
    return torch.from_numpy(X).to(dtype)


def array(tensor):
    return tensor.detach().numpy()


def assert_same_weights(model, expected):
    weights, others = get_weights(model), get_weights(expected)
    assert weights.keys() == others.keys()
    for name, one in weights.items():
        assert_array_equal(one, others[name])
        assert one.dtype == others[name].dtype


# ---- there ------------------------------------------------------------------------


@each
def test_codes_and_reconstructions_are_the_estimators(fitted):
    module = to_module(fitted)
    codes = fitted.transform(X)
    assert_allclose(array(module.encoder(rows())), codes, rtol=1e-12)
    decoded = fitted.inverse_transform(codes)
    assert_allclose(array(module(rows())), decoded, rtol=1e-12)
    assert_allclose(array(module.decoder(torch.from_numpy(codes))), decoded, rtol=1e-12)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation(activation):
    fitted = ContractiveAutoencoder(4, activation=activation, **HOW).fit(30 * X)
    module = to_module(fitted)
    codes = array(module.encoder(30 * rows()))
    assert_allclose(codes, fitted.transform(30 * X), rtol=1e-12)
    assert closed_form(module.encoder) is not None
    norms = jacobian_penalty(module.encoder, 30 * rows(), reduction="none")
    assert_allclose(array(norms), jacobian_norm(fitted, 30 * X) ** 2, rtol=1e-9)


@pytest.mark.parametrize("cls", [StackedCAE, DeepCAE])
def test_several_layers_have_the_composed_jacobian(cls):
    stack = cls((5, 4), **HOW).fit(X)
    norms = jacobian_penalty(
        to_module(stack).encoder, rows(), method="exact", reduction="none"
    )
    assert_allclose(array(norms), jacobian_norm(stack, X) ** 2, rtol=1e-9)


@each
def test_tied_weights_are_one_parameter(fitted):
    module = to_module(fitted)
    linear = [m for m in module.encoder if isinstance(m, nn.Linear)]
    decoders = [m for m in module.decoder if isinstance(m, (nn.Linear, TiedLinear))]
    n_layers = len(linear)
    assert len(decoders) == n_layers >= 1
    n_parameters = len([*module.parameters()])
    if fitted.tied_weights:
        pairs = zip(linear, reversed(decoders), strict=True)
        assert all(one.weight is other.weight for one, other in pairs)
        assert n_parameters == 3 * n_layers
    else:
        assert all(type(decoder) is nn.Linear for decoder in decoders)
        assert n_parameters == 4 * n_layers


def test_tied_weights_stay_tied():
    """Through training, copies and state dicts."""
    fitted = ContractiveAutoencoder(4, **HOW).fit(X)
    module = copy.deepcopy(to_module(fitted))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    (module(rows()) - rows()).square().mean().backward()
    optimizer.step()
    assert module.decoder[0].weight is module.encoder[0].weight
    other = to_module(fitted)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other(rows()), module(rows()))
    assert_array_equal(get_weights(fitted)["components_"], fitted.components_)
    assert not np.array_equal(array(module.encoder[0].weight), fitted.components_)


@pytest.mark.parametrize("cls", [ContractiveAutoencoder, StackedCAE, DeepCAE])
def test_they_are_tied_by_what_they_are(cls, tmp_path):
    """And not by their numbers: equal ones may be two, those of a file are copies."""
    size = 8 if cls is ContractiveAutoencoder else (8, 8)
    for tied in (True, False):
        fitted = cls(size, tied_weights=tied, **HOW).fit(X)
        zeros = {name: 0 * array for name, array in get_weights(fitted).items()}
        set_weights(fitted, zeros)
        n_layers = 1 if cls is ContractiveAutoencoder else 2
        joblib.dump(fitted, tmp_path / "model.joblib")
        for model in (fitted, joblib.load(tmp_path / "model.joblib", mmap_mode="r")):
            module = to_module(model)
            n_parameters = len([*module.parameters()])
            assert n_parameters == (3 if tied else 4) * n_layers
            linear = [m for m in module.encoder if isinstance(m, nn.Linear)]
            others = [m for m in module.decoder if hasattr(m, "weight")]
            pairs = zip(linear, reversed(others), strict=True)
            assert all((one.weight is other.weight) is tied for one, other in pairs)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize(
    "change",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
        nn.utils.parametrizations.weight_norm,
    ],
    ids=["old weight norm", "old spectral norm", "pruned", "weight norm"],
)
def test_modules_that_compute_their_weights(change):
    def make(d):
        return nn.Sequential(change(nn.Linear(d, 4)), nn.Tanh())

    model = ModuleAutoencoder(make, **HOW).fit(X)
    module = to_module(model)
    assert_allclose(array(module.encoder(rows())), model.transform(X), rtol=1e-9)
    module.encoder(rows()).sum().backward()
    assert all(part.grad is not None for part in module.encoder.parameters())


class Counting(nn.Module):
    """A layer used twice, with a buffer, whose codes are no vectors."""

    def __init__(self, n_features):
        super().__init__()
        self.first = nn.Linear(n_features, n_features)
        self.again = self.first
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)

    def forward(self, X):
        H = self.again(torch.tanh(self.first(X)))
        return (self.scale * H).unflatten(1, (2, -1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decoder", [None, lambda d: nn.Linear(d, d)])
def test_modules_of_ones_own(dtype, decoder):
    model = ModuleAutoencoder(Counting, decoder, loss="cross_entropy", **HOW)
    model.fit(X.astype(dtype))
    module, given = to_module(model), torch.from_numpy(X.astype(dtype))
    codes = model.transform(X.astype(dtype))
    assert_allclose(array(module.encoder(given)), codes, rtol=1e-5)
    decoded = model.inverse_transform(codes)
    assert_allclose(array(module(given)), decoded, rtol=1e-5)
    counting = module.encoder[0][0]
    assert counting.first.weight is counting.again.weight
    assert module.encoder(given).dtype == given.dtype
    with torch.no_grad():
        counting.first.weight.add_(1)
    assert_array_equal(model.transform(X.astype(dtype)), codes)
    with pytest.raises(TypeError, match="does not take the weights of a module"):
        from_module(module, model)


IMAGES = np.random.default_rng(1).random((20, 42))
CONVOLUTIONS = {
    "signal": {"kernel_size": 4, "stride": 3, "pool": "max"},
    "odd zeros": {"image_shape": (6, 7), "kernel_size": (2, 4)},
    "strides": {"image_shape": (7, 3, 2), "kernel_size": 3, "stride": (2, 1)},
    "uncovered": {"image_shape": (6, 7), "stride": 3, "padding": "valid"},
    "gaps": {"image_shape": (6, 7), "kernel_size": 1, "stride": (2, 3)},
    "pooled": {"image_shape": (7, 3, 2), "pool": "max", "pool_size": (3, 2)},
    "averaged": {"image_shape": (6, 7), "pool": "average", "n_filters": (3, 4)},
    "deep": {"image_shape": (6, 7), "n_filters": (3, 4, 2), "stride": (1, 2)},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_convolutions(name, tied, dtype):
    given = {"n_filters": 3, "kernel_size": 3, **CONVOLUTIONS[name]}
    how = {"activation": "tanh", "loss": "cross_entropy", "tied_weights": tied}
    X = IMAGES.astype(dtype)
    model = ConvolutionalCAE(**given, **how, **HOW).fit(X)
    module, X_ = to_module(model), torch.from_numpy(X)
    codes = model.transform(X)
    atol = {np.float32: 1e-6, np.float64: 1e-13}[dtype]
    assert_allclose(array(module.encoder(X_)), codes, rtol=0, atol=atol)
    decoded = model.inverse_transform(codes)
    assert_allclose(array(module(X_)), decoded, rtol=0, atol=atol)
    assert module(X_).dtype == X_.dtype
    parameters = dict(module.named_parameters())
    assert len(parameters) == len(model.parameters_)
    norms = jacobian_penalty(module.encoder, X_, method="exact", reduction="none")
    assert_allclose(array(norms), jacobian_norm(model, X) ** 2, rtol=1e-4)
    with pytest.raises(TypeError, match="does not take the weights of a module"):
        from_module(module, model)


def test_fine_tuned_convolutions():
    encoder = ConvolutionalCAE(3, 4, image_shape=(6, 7), pool="average", **HOW)
    labels = IMAGES[:, 0] > 0.5
    classifier = FineTunedClassifier(encoder, **HOW).fit(IMAGES, labels)
    outputs = to_module(classifier)(torch.from_numpy(IMAGES))
    expected = classifier.decision_function(IMAGES)
    assert_allclose(array(outputs)[:, 0], expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_precision_is_the_models(dtype):
    module = to_module(ContractiveAutoencoder(4, **HOW).fit(X.astype(dtype)))
    assert {str(p.dtype) for p in module.parameters()} == {f"torch.{np.dtype(dtype)}"}


@pytest.mark.parametrize(
    "encoder",
    [ContractiveAutoencoder(4, **HOW), StackedCAE((5, 4), **HOW)],
    ids=["layer", "stack"],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_fine_tuned_networks(encoder, scaled):
    """The module takes what comes after the preprocessing."""
    given = make_pipeline(StandardScaler(), encoder) if scaled else encoder
    Z = StandardScaler().fit_transform(X) if scaled else X
    classifier = FineTunedClassifier(given, **HOW).fit(X, Y)
    module, Z = to_module(classifier), torch.from_numpy(Z)
    outputs = array(module(Z))[:, 0]
    assert_allclose(outputs, classifier.decision_function(X), rtol=1e-9)
    assert len(module.encoder) == 2 * len(classifier.coefs_) - 2
    regressor = FineTunedRegressor(given, **HOW).fit(X, X[:, :2])
    outputs = array(to_module(regressor)(Z))
    assert_allclose(outputs, regressor.predict(X), rtol=1e-9)


@pytest.mark.parametrize(
    "estimator",
    [
        ContractiveAutoencoder(4),
        StackedCAE((5, 4)),
        FineTunedClassifier(ContractiveAutoencoder(4)),
    ],
    ids=lambda e: class_name(type(e)),
)
def test_what_is_not_fitted_is_refused(estimator):
    with pytest.raises(NotFittedError):
        to_module(estimator)


def test_what_is_not_ours_is_refused():
    with pytest.raises(TypeError, match="A PCA has no named weights"):
        to_module(PCA().fit(X))
    with pytest.raises(TypeError, match="A PCA does not take the weights of a module"):
        from_module(nn.Module(), PCA())


def test_layers_without_a_module_are_refused(monkeypatch):
    class Other:
        pass

    fitted = ContractiveAutoencoder(4, **HOW).fit(X)
    monkeypatch.setattr(type(fitted), "_encoding_layers", lambda self: [Other()])
    with pytest.raises(TypeError, match=r"a layer of the kind Other.*layers of Dense"):
        to_module(fitted)


# ---- and back ---------------------------------------------------------------------


@each
def test_there_and_back_gives_the_same_weights(estimator, fitted):
    again = clone(estimator)
    assert from_module(to_module(fitted), again) is again
    assert_same_weights(again, fitted)
    assert_array_equal(again.transform(X), fitted.transform(X))
    assert_array_equal(again.score_samples(X), fitted.score_samples(X))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_module_of_ones_own(dtype):
    module = nn.Module()
    module.encoder = nn.Sequential(nn.Linear(6, 4, bias=False), nn.ELU(inplace=True))
    module.decoder = nn.Sequential(nn.Sequential(nn.Linear(4, 6)), nn.Sigmoid())
    module.to(dtype)
    parameters = {"activation": "elu", "loss": "cross_entropy", "tied_weights": False}
    model = from_module(module, ContractiveAutoencoder(4, **parameters))
    module.to(torch.from_numpy(model.components_).dtype)
    single = rows().to(module.decoder[0][0].weight)
    codes = module.encoder(single)
    assert_allclose(model.transform(array(single)), array(codes), rtol=1e-5)
    decoded = model.inverse_transform(array(codes))
    assert_allclose(decoded, array(module.decoder(codes)), rtol=1e-5)
    assert not model.intercept_hidden_.any()


def test_training_goes_on_from_a_module():
    fitted = ContractiveAutoencoder(4, **HOW).fit(X)
    model = from_module(to_module(fitted), clone(fitted))
    expected = set_weights(clone(fitted), get_weights(fitted))
    assert_same_weights(model.partial_fit(X), expected.partial_fit(X))


@pytest.mark.parametrize("encoder", [ContractiveAutoencoder(4), ConvolutionalCAE(2, 3)])
def test_nothing_is_drawn_and_the_default_device_does_not_matter(encoder):
    fitted = encoder.set_params(**HOW).fit(IMAGES)
    state = torch.get_rng_state()
    with torch.device("meta"):
        module = to_module(fitted)
    assert torch.equal(torch.get_rng_state(), state)
    codes = module.encoder(torch.from_numpy(IMAGES))
    assert_allclose(array(codes), fitted.transform(IMAGES), rtol=1e-9)


def test_what_is_trained_afterwards_is_not_the_estimators():
    module = to_module(ContractiveAutoencoder(4, **HOW).fit(X))
    model = from_module(module, ContractiveAutoencoder(4))
    before = model.components_.copy()
    with torch.no_grad():
        module.encoder[0].weight.add_(1)
    assert_array_equal(model.components_, before)


def test_the_weights_of_a_fine_tuned_network():
    fitted = FineTunedClassifier(StackedCAE((5, 4), **HOW), **HOW).fit(X, Y)
    module = to_module(fitted)
    with torch.no_grad():
        module.output[0].bias.add_(1)
    model = from_module(module, copy.deepcopy(fitted))
    change = model.decision_function(X) - fitted.decision_function(X)
    assert_allclose(change, 1)
    with pytest.raises(NotFittedError):
        from_module(module, clone(fitted))


TIED = to_module(ContractiveAutoencoder(4, **HOW).fit(X))
UNTIED = to_module(ContractiveAutoencoder(4, tied_weights=False, **HOW).fit(X))
STACK = to_module(StackedCAE((5, 4), **HOW).fit(X))


def with_encoder(*layers):
    module = copy.deepcopy(TIED)
    module.encoder = nn.Sequential(module.encoder[0], *layers)
    return module


def hooked():
    module = copy.deepcopy(TIED)
    module.encoder[0].register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    ("module", "change", "error", "message"),
    [
        (TIED, {"n_components": 5}, ValueError, "4 rows, but n_components=5"),
        (
            TIED,
            {"activation": "tanh"},
            ValueError,
            "sigmoid, identity, but .* tanh, id",
        ),
        (TIED, {"loss": "cross_entropy"}, ValueError, "have sigmoid, sigmoid"),
        (UNTIED, {}, ValueError, "set tied_weights=False"),
        (STACK, {}, ValueError, "has one layer that encodes .* given 2 and 2"),
        (with_encoder(), {}, ValueError, "activations identity, identity, but"),
        (
            with_encoder(nn.GELU()),
            {},
            TypeError,
            "encoder must be made of Linear, Tied",
        ),
        (with_encoder(nn.ELU(0.5)), {}, TypeError, "with its default settings"),
        (with_encoder(nn.Softplus(2)), {}, TypeError, "default settings"),
        (with_encoder(nn.Softplus(1, 5)), {}, TypeError, "default settings"),
        (with_encoder(nn.Tanh(), nn.Tanh()), {}, TypeError, "at most one of"),
        (hooked(), {}, TypeError, "without hooks"),
        (nn.Sequential(nn.Tanh()), {}, TypeError, "must have a part 'encoder'"),
        (nn.Sequential(), {}, TypeError, "A Sequential has None there"),
    ],
)
def test_modules_that_the_estimator_would_not_be(module, change, error, message):
    model = ContractiveAutoencoder(4, **HOW).fit(X)
    model.set_params(**change)
    before = get_weights(model)
    with pytest.raises(error, match=message):
        from_module(module, model)
    for name, weights in get_weights(model).items():
        assert_array_equal(weights, before[name])


def test_another_depth():
    with pytest.raises(ValueError, match="stack has 3 layers, but was given 2 that"):
        from_module(STACK, StackedCAE((5, 4, 3)))
    deep = to_module(DeepCAE((5, 4), **HOW).fit(X))
    for sizes in [(5,), (5, 4, 3)]:
        with pytest.raises(ValueError, match="A DeepCAE for 6 features takes weights"):
            from_module(deep, DeepCAE(sizes))
    untied = to_module(DeepCAE((5, 4), tied_weights=False, **HOW).fit(X))
    with pytest.raises(ValueError, match="set tied_weights=False"):
        from_module(untied, DeepCAE((5, 4)))


def test_a_stack_and_a_deep_autoencoder_decode_differently():
    """The inner decoders of the first are linear under squared errors."""
    with pytest.raises(ValueError, match=r"identity, identity, but those of this Deep"):
        from_module(STACK, DeepCAE((5, 4)))


def test_the_usual_softplus_is_ours():
    model = from_module(
        with_encoder(nn.Softplus()), ContractiveAutoencoder(4, activation="softplus")
    )
    codes = to_module(model).encoder(rows())
    assert_allclose(array(codes), model.transform(X))
