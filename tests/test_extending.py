"""What docs/design.md says of adding things: an estimator, an activation, a loss, more.

Each is made here and sent through all that the library does with one of its own.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from onnxruntime import InferenceSession
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import estimator_checks
from torch import nn
from torch.nn import functional

from skcae import ContractiveAutoencoder, FineTunedClassifier, StackedCAE
from skcae._core.steps.objective import Objective
from skcae._estimators.base import BaseAutoencoder
from skcae._fit.parameters import STRENGTH
from skcae.activations import ACTIVATIONS, Activation
from skcae.checkpoints import resume
from skcae.functional import from_module, to_module
from skcae.functional._layers import ACTIVATION_MODULES, OUTPUTS
from skcae.inspection import jacobian_norm, singular_values, tangent_vectors
from skcae.losses import LOSSES, Loss
from skcae.onnx import to_onnx
from skcae.onnx._graph import ACTIVATION_NODES, LOSS_NODES, OUTPUT_NODES
from skcae.penalties import PENALTIES, DerivativePenalty
from skcae.persistence import get_weights, load, save, set_weights
from tests import oracles, steps
from tests.conftest import write_unchecked
from tests.test_checkpoints import Copies, assert_same

HOW = {"max_iter": 12, "tol": 1e-9, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_exported(estimator, X, *, rtol=1e-9, **options):
    """Compare the graph with the estimator, by what it gives for rows."""
    graph = to_onnx(estimator, X[:1], options=options or None)
    found = InferenceSession(graph.SerializeToString()).run(None, {"X": X})
    if hasattr(estimator, "predict_proba"):
        assert_array_equal(found[0], estimator.predict(X))
        assert_allclose(found[1], estimator.predict_proba(X), rtol=rtol, atol=rtol)
        return
    assert_allclose(found[0], estimator.transform(X), rtol=rtol, atol=rtol)
    if options:
        assert_allclose(found[1], estimator.score_samples(X), rtol=rtol)


def assert_bridged(estimator, X):
    """Compare torch's module with the estimator, and the estimator made of it."""
    module = to_module(estimator)
    codes = estimator.transform(X)
    assert_allclose(module.encoder(torch.tensor(X)).detach(), codes)
    decoded = estimator.inverse_transform(codes)
    assert_allclose(module(torch.tensor(X)).detach(), decoded)
    assert_array_equal(from_module(module, clone(estimator)).transform(X), codes)


# ---- an estimator ---------------------------------------------------------------


@dataclass(repr=False, eq=False, kw_only=True)
class DecayingCAE(BaseAutoencoder):
    """A contractive autoencoder with weight decay."""

    jacobian_penalty: float = 0.1
    weight_decay: float = 1e-3

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "jacobian_penalty": [STRENGTH],
        "weight_decay": [STRENGTH],
    }


TRUSTED = [f"{__name__}.DecayingCAE"]


@pytest.fixture
def model(unit_data):
    return DecayingCAE(6, **HOW).fit(unit_data)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_param_validation,
        estimator_checks.check_estimators_pickle,
        estimator_checks.check_fit_idempotent,
        estimator_checks.check_sample_weight_equivalence_on_dense_data,
        estimator_checks.check_set_output_transform,
        estimator_checks.check_transformer_general,
        estimator_checks.check_transformer_get_feature_names_out,
    ],
    ids=lambda check: check.__name__,
)
def test_an_estimator_passes_scikit_learns_checks(check):
    check("DecayingCAE", DecayingCAE(16, max_iter=20))


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_both_of_its_penalties_are_lowered(unit_data, model):
    plain = clone(model).set_params(jacobian_penalty=0, weight_decay=0).fit(unit_data)
    decaying = clone(model).set_params(weight_decay=10.0).fit(unit_data)
    contractive = clone(model).set_params(jacobian_penalty=10.0).fit(unit_data)
    assert np.square(decaying.components_).sum() < np.square(plain.components_).sum()
    norms = [jacobian_norm(cae, unit_data).mean() for cae in (contractive, plain)]
    assert norms[0] < norms[1]


def test_an_estimator_in_a_file(model, unit_data, tmp_path):
    path = tmp_path / "model.skops"
    save(make_pipeline(model), path)
    with pytest.raises(TypeError, match=r"was not loaded: .*DecayingCAE"):
        load(path)
    (again,) = load(path, trusted=TRUSTED)
    assert_array_equal(again.transform(unit_data), model.transform(unit_data))
    model.intercept_hidden_ = np.zeros(2)
    with pytest.raises(ValueError, match="intercept_hidden_ must be a float32"):
        save(model, path)
    write_unchecked(model, path)
    with pytest.raises(ValueError, match="intercept_hidden_ must be a float32"):
        load(path, trusted=TRUSTED)


def test_an_estimators_weights(model, unit_data):
    again = set_weights(clone(model), get_weights(model))
    assert_array_equal(again.transform(unit_data), model.transform(unit_data))
    assert_array_equal(again.score_samples(unit_data), model.score_samples(unit_data))


def test_an_estimators_fit_is_taken_up_from_every_checkpoint(unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops")
    whole = DecayingCAE(6, **HOW).set_callbacks(callback).fit(unit_data)
    assert len(callback.files) == 13
    for file in callback.files:
        assert_same(resume(file, unit_data, trusted=TRUSTED), whole)


def test_an_estimator_as_a_graph(model, unit_data):
    assert_exported(model, unit_data, score_samples=True)
    assert_exported(make_pipeline(MinMaxScaler(), model).fit(unit_data), unit_data)


def test_an_estimator_as_a_module(model, unit_data):
    assert_bridged(model, unit_data)


def test_an_estimator_is_inspected(model, unit_data):
    parameters = {
        "components": torch.tensor(model.components_),
        "intercept_hidden": torch.tensor(model.intercept_hidden_),
    }
    J = oracles.jacobian(parameters, torch.tensor(unit_data), "sigmoid")
    assert_allclose(jacobian_norm(model, unit_data), J.square().sum((1, 2)).sqrt())
    spectrum = singular_values(model, unit_data).sample_values
    assert_allclose(spectrum, torch.linalg.svdvals(J))
    _, _, right = torch.linalg.svd(J)
    found = tangent_vectors(model, unit_data, 2)
    assert_allclose(np.abs((found * right[:, :2].numpy()).sum(2)), 1)


def test_an_estimator_is_fine_tuned(digits, tmp_path):
    """Behind a scaler, along its tangents, into a file and into a graph."""
    X, y = digits[0][:200], digits[1][:200]
    encoder = make_pipeline(MinMaxScaler(), DecayingCAE(12, **HOW))
    tuning = {"tangent_penalty": 0.1, "n_tangents": 3, "learning_rate": 0.1}
    classifier = FineTunedClassifier(encoder, **tuning, **HOW).fit(X, y)
    assert classifier.score(X, y) > 0.5
    assert_exported(classifier, X)
    save(classifier, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops", trusted=TRUSTED)
    assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


def test_more_tangents_than_an_estimator_can_have_are_refused(digits):
    classifier = FineTunedClassifier(DecayingCAE(6), tangent_penalty=0.1, n_tangents=7)
    with pytest.raises(ValueError, match=r"n_tangents=7 is more than .* = 6"):
        classifier.fit(*digits)


class Wrapped(TransformerMixin, BaseEstimator):
    """An encoder of another kind: it says what its layers are, and no more."""

    def fit(self, X, y=None):
        self.stack_ = StackedCAE((6, 4), **HOW).fit(X)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return self.stack_.transform(X)

    def _encoding_layers(self):
        return self.stack_._encoding_layers()

    def _code_size(self):
        return 4


def test_an_encoder_of_another_kind_is_asked_what_its_layers_are(unit_data):
    encoder = Wrapped().fit(unit_data)
    assert_array_equal(
        jacobian_norm(encoder, unit_data), jacobian_norm(encoder.stack_, unit_data)
    )
    assert_exported(encoder, unit_data)
    classifier = FineTunedClassifier(encoder, tangent_penalty=0.1, n_tangents=2, **HOW)
    classifier.fit(unit_data, unit_data[:, 0] > 0.5)
    assert [W.shape for W in classifier.coefs_] == [(8, 6), (6, 4), (4, 1)]
    assert_exported(classifier, unit_data)
    with pytest.raises(ValueError, match=r"n_tangents=5 is more than .* = 4"):
        classifier.set_params(n_tangents=5).fit(unit_data, unit_data[:, 0] > 0.5)


# ---- an activation, a loss, a penalty -------------------------------------------


def first(h, lower, out):
    """φ' = (1 − |h|)²."""
    return torch.square(torch.sub(1, torch.abs(h, out=out), out=out), out=out)


def second(h, lower, out):
    """φ'' = −2 sign(h) (1 − |h|)³."""
    return torch.mul(-2 * torch.sign(h), lower[0] ** 1.5, out=out)


def third(h, lower, out):
    """φ''' = 6 (1 − |h|)⁴."""
    return torch.mul(torch.square(lower[0], out=out), 6, out=out)


SOFTSIGN = Activation(
    in_place=lambda a: a.div_(1 + a.abs()),
    first=first,
    second=second,
    third=third,
    bounds=(-1.0, 1.0),
)
LOG_COSH = Loss(
    output=LOSSES["squared_error"].output,
    elementwise=lambda X, Z: torch.logaddexp(Z - X, X - Z) - math.log(2),
    gradient_in_place=lambda X, Z: Z.sub_(X).tanh_(),
)


class QuarticPenalty:
    """Σ_j φ'(a_j)⁴ ‖W_j‖⁴, to which the units of the steepest slopes matter most."""

    order, power, n_copies = 1, 2, 0

    def per_sample(self, derivatives, squared_rows):
        return derivatives[0] ** 4 @ squared_rows**2

    def sums(self, derivatives, weights, scratch):
        q = torch.pow(derivatives[0], 4, out=scratch)
        return q.sum(0) if weights is None else weights @ q

    def add_through_activations(
        self, gradient, derivatives, norms, weights, scratch, strength
    ):
        product = torch.pow(derivatives[0], 3, out=scratch).mul_(derivatives[1])
        if weights is not None:
            product.mul_(weights[:, None])
        gradient.addcmul_(product, norms, value=4 * strength)


def assert_gradient(objective, per_sample, parameters):
    """Compare with automatic differentiation of what it is for each row, weighted."""
    generator = torch.Generator().manual_seed(1)
    X = torch.rand((6, 4), generator=generator, dtype=torch.float64)
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5, 1.5, 1.0], dtype=torch.float64)
    plain = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    expected = weights @ per_sample(plain, X) / len(X)
    expected.backward()
    value, gradient = steps.value_and_gradient(objective, parameters, X, weights)
    torch.testing.assert_close(value, expected.detach())
    each = objective.per_sample(objective.coder(parameters), X)
    torch.testing.assert_close(each, per_sample(plain, X).detach())
    for name, parameter in plain.items():
        torch.testing.assert_close(gradient[name], parameter.grad)


def decoded(parameters, X, activation):
    """The pre-outputs of each row."""
    encode, decode = oracles.encode, oracles.decode_logits
    return torch.stack(
        [decode(parameters, encode(parameters, x, activation)) for x in X]
    )


def squared_errors(parameters, X, activation):
    return (decoded(parameters, X, activation) - X).square().sum(1)


@pytest.fixture
def softsign(monkeypatch):
    """An entry in each of the tables, and the name among those that are allowed."""
    monkeypatch.setitem(ACTIVATIONS, "softsign", SOFTSIGN)
    monkeypatch.setitem(oracles.ACTIVATIONS, "softsign", functional.softsign)
    monkeypatch.setitem(
        ACTIVATION_NODES, "softsign", lambda graph, a: graph.node("Softsign", a)
    )
    monkeypatch.setitem(ACTIVATION_MODULES, "softsign", nn.Softsign)
    allow("activation", ACTIVATIONS, monkeypatch)


@pytest.fixture
def log_cosh(monkeypatch):
    monkeypatch.setitem(LOSSES, "log_cosh", LOG_COSH)
    monkeypatch.setitem(OUTPUT_NODES, "log_cosh", OUTPUT_NODES["squared_error"])
    monkeypatch.setitem(LOSS_NODES, "log_cosh", add_log_cosh)
    monkeypatch.setitem(OUTPUTS, "log_cosh", "identity")
    allow("loss", LOSSES, monkeypatch)


def allow(parameter, table, monkeypatch):
    """Let estimators take all names of a table, as if they had been there before."""
    (allowed,) = BaseAutoencoder._parameter_constraints[parameter]
    monkeypatch.setattr(allowed, "options", set(table))


def add_log_cosh(graph, x, z):
    difference = graph.node("Sub", z, x)
    both = [graph.node("Exp", d) for d in (difference, graph.node("Neg", difference))]
    mean = graph.node("Mul", graph.node("Add", *both), graph.numbers([0.5]))
    return graph.node("Log", mean)


@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_with_an_activation(order, softsign, layer):
    norm = [oracles.squared_jacobian_norm, oracles.squared_hessian_norm][order - 1]
    assert_gradient(
        Objective(
            SOFTSIGN, LOSSES["squared_error"], ((0.3, DerivativePenalty(order)),)
        ),
        lambda parameters, X: (
            squared_errors(parameters, X, "softsign")
            + 0.3 * norm(parameters, X, "softsign")
        ),
        layer(),
    )


def test_an_activation(softsign, unit_data, tmp_path):
    cae = ContractiveAutoencoder(
        6, activation="softsign", hessian_penalty=0.01, **HOW
    ).fit(unit_data)
    assert cae.loss_curve_[-1] < cae.loss_curve_[0]
    codes = functional.softsign(
        torch.tensor(unit_data @ cae.components_.T + cae.intercept_hidden_)
    )
    assert_allclose(cae.transform(unit_data), codes)
    save(cae, tmp_path / "model.skops")
    assert load(tmp_path / "model.skops").score(unit_data) == cae.score(unit_data)
    assert jacobian_norm(cae, unit_data).min() > 0
    assert_bridged(cae, unit_data)
    assert_exported(cae, unit_data.astype(np.float32), rtol=1e-5)


def test_the_gradient_with_a_loss(log_cosh, layer):
    assert_gradient(
        Objective(ACTIVATIONS["tanh"], LOG_COSH, ()),
        lambda parameters, X: (decoded(parameters, X, "tanh") - X).cosh().log().sum(1),
        layer(tied=False),
    )


def test_a_loss(log_cosh, unit_data, tmp_path):
    cae = ContractiveAutoencoder(6, loss="log_cosh", **HOW).fit(unit_data)
    assert cae.loss_curve_[-1] < cae.loss_curve_[0]
    error = cae.inverse_transform(cae.transform(unit_data)) - unit_data
    assert_allclose(cae.score_samples(unit_data), -np.log(np.cosh(error)).sum(1))
    save(cae, tmp_path / "model.skops")
    assert load(tmp_path / "model.skops").score(unit_data) == cae.score(unit_data)
    assert_bridged(cae, unit_data)
    assert_exported(cae, unit_data, score_samples=True)


def test_the_gradient_with_a_penalty(layer):
    def per_sample(parameters, X):
        norms = oracles.jacobian(parameters, X, "sigmoid").square().sum(2)
        penalties = norms.square().sum(1)
        return squared_errors(parameters, X, "sigmoid") + 0.3 * penalties

    objective = Objective(
        ACTIVATIONS["sigmoid"], LOSSES["squared_error"], ((0.3, QuarticPenalty()),)
    )
    assert_gradient(objective, per_sample, layer())


@dataclass(repr=False, eq=False, kw_only=True)
class QuarticCAE(BaseAutoencoder):
    """An autoencoder with a penalty of a kind of its own."""

    quartic_penalty: float = 1.0

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "quartic_penalty": [STRENGTH],
    }


def test_a_penalty(unit_data, tmp_path, monkeypatch):
    monkeypatch.setitem(PENALTIES, "quartic_penalty", QuarticPenalty())
    plain, cae = (QuarticCAE(6, quartic_penalty=s, **HOW) for s in (0, 10.0))
    norms = [jacobian_norm(m.fit(unit_data), unit_data).mean() for m in (cae, plain)]
    assert norms[0] < norms[1]
    save(cae, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops", trusted=[f"{__name__}.QuarticCAE"])
    assert_array_equal(
        again.partial_fit(unit_data).components_, cae.partial_fit(unit_data).components_
    )
    assert_exported(cae, unit_data)
