"""Deep contractive autoencoders: one layer, several, and a stack to start from."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder, DeepCAE, FineTunedClassifier, StackedCAE
from skcae.activations import ACTIVATIONS
from skcae.inspection import jacobian_norm
from skcae.persistence import get_weights, set_weights

HOW = {"max_iter": 12, "tol": 1e-9, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ---- one layer -------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("tied", [True, False])
def test_one_layer_is_the_contractive_autoencoder(activation, loss, tied, unit_data):
    how = {**HOW, "activation": activation, "loss": loss, "tied_weights": tied}
    deep = DeepCAE((6,), **how).fit(unit_data)
    layer = ContractiveAutoencoder(6, bias_spread=0, **how).fit(unit_data)
    assert_allclose(deep.loss_curve_, layer.loss_curve_, rtol=1e-9)
    names = {
        "encoder.0.weight": "components_",
        "encoder.0.bias": "intercept_hidden_",
        "decoder.0.bias": "intercept_visible_",
    }
    if not tied:
        names["decoder.0.weight"] = "decoder_components_"
    assert deep.parameters_.keys() == names.keys()
    for name, like in names.items():
        found, expected = deep.parameters_[name], getattr(layer, like)
        assert_allclose(found, expected, rtol=1e-6, atol=1e-10, err_msg=name)
    codes = deep.transform(unit_data)
    assert_allclose(codes, layer.transform(unit_data), rtol=1e-8)
    assert_allclose(deep.inverse_transform(codes), layer.inverse_transform(codes))


# ---- several ---------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"jacobian_method": "probes", "n_probes": 4}])
def test_the_penalty_contracts_the_whole_encoder(how, digits):
    X = digits[0][:300]
    norms = [
        jacobian_norm(DeepCAE((24, 12), jacobian_penalty=s, **how, **HOW).fit(X), X)
        for s in (0.0, 0.1, 1.0)
    ]
    free, some, much = (norm.mean() for norm in norms)
    assert much < some < free


def test_the_decoders_penalty_holds_an_untied_encoder(digits):
    """Else the encoder shrinks and the decoder grows, at no cost."""
    X = digits[0][:300]
    how = {**HOW, "activation": "identity", "tied_weights": False, "max_iter": 100}
    free = DeepCAE((12, 6), jacobian_penalty=0.3, **how).fit(X)
    held = clone(free).set_params(decoder_jacobian_penalty=0.1).fit(X)
    codes = [model.transform(X).std() for model in (free, held)]
    assert codes[0] < 0.7 * codes[1]


def test_exact_and_probes_are_what_they_are_called(digits):
    X = digits[0][:300]
    exact, probes, auto, big = (
        DeepCAE(size, jacobian_method=method, **HOW).fit(X)
        for size, method in (
            ((12, 4), "exact"),
            ((12, 4), "probes"),
            ((12, 4), "auto"),
            ((128, 64), "auto"),
        )
    )
    assert_array_equal(auto.loss_curve_, exact.loss_curve_)
    assert not np.array_equal(probes.loss_curve_, exact.loss_curve_)
    many = clone(probes).set_params(n_probes=400).fit(X)
    assert_allclose(many.loss_curve_, exact.loss_curve_, rtol=0.02)
    more = clone(big).set_params(jacobian_method="probes").fit(X)
    assert_array_equal(big.loss_curve_, more.loss_curve_)


def test_codes_of_the_identity_span_what_pca_finds(digits):
    """Linear layers together learn the subspace of the largest variance."""
    X = digits[0][:400]
    how = {"activation": "identity", "jacobian_penalty": 0.0, "max_iter": 300}
    deep = DeepCAE((10, 5), learning_rate=0.01, random_state=0, tol=0.0, **how).fit(X)
    best = PCA(5).fit(X)
    error = X - best.inverse_transform(best.transform(X))
    lowest = np.square(error).sum(1).mean()
    assert lowest < -deep.score(X) < 1.25 * lowest


def test_in_a_pipeline_and_a_search(digits):
    X, y = digits[0][:300], digits[1][:300]
    pipeline = make_pipeline(MinMaxScaler(), DeepCAE((24, 12), **HOW), LinearSVC())
    grid = {"deepcae__jacobian_penalty": [0.0, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.5


def test_it_is_fine_tuned_as_a_network_of_its_layers(digits):
    X, y = digits[0][:200], digits[1][:200]
    how = {**HOW, "max_iter": 40, "learning_rate": 0.1, "encoder_rate_factor": 1.0}
    tangents = {"tangent_penalty": 0.1, "n_tangents": 3}
    model = FineTunedClassifier(DeepCAE((24, 12), **HOW), **tangents, **how).fit(X, y)
    assert [W.shape for W in model.coefs_] == [(64, 24), (24, 12), (12, 10)]
    assert model.score(X, y) > 0.8


# ---- a stack to start from ----------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_it_starts_from_a_stack(tied, unit_data):
    how = {**HOW, "tied_weights": tied}
    stack = StackedCAE((6, 4), **how)
    # A step of next to nothing leaves it where it starts.
    still = {**how, "solver": "sgd", "learning_rate": 1e-12, "max_iter": 1}
    deep = DeepCAE((6, 4), init=stack, **still).fit(unit_data)
    fitted = clone(stack).fit(unit_data)
    assert_allclose(deep.transform(unit_data), fitted.transform(unit_data), rtol=1e-9)
    assert not hasattr(stack, "estimators_")
    frozen = clone(deep).set_params(init=FrozenEstimator(fitted)).fit(unit_data)
    assert_array_equal(frozen.transform(unit_data), deep.transform(unit_data))
    upper, lower = fitted.estimators_[1], fitted.estimators_[0]
    assert_allclose(deep.parameters_["decoder.0.bias"], upper.intercept_visible_)
    assert_allclose(deep.parameters_["decoder.1.bias"], lower.intercept_visible_)
    # A stack's inner decoders are linear, these have the activation.
    codes = deep.transform(unit_data)
    ours, theirs = (model.inverse_transform(codes) for model in (deep, fitted))
    assert not np.allclose(ours, theirs, rtol=1e-2)


def test_weights_of_the_rows_count_in_the_stack_too(unit_data):
    w = np.linspace(0, 3, len(unit_data))
    deep = DeepCAE((6, 4), init=StackedCAE((6, 4), **HOW), **HOW)
    fitted = StackedCAE((6, 4), **HOW).fit(unit_data, sample_weight=w)
    frozen = clone(deep).set_params(init=FrozenEstimator(fitted))
    assert_array_equal(
        deep.fit(unit_data, sample_weight=w).transform(unit_data),
        frozen.fit(unit_data, sample_weight=w).transform(unit_data),
    )


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        (PCA(2), TypeError, "init must be a StackedCAE"),
        (FrozenEstimator(PCA(2)), TypeError, "init must be a StackedCAE"),
        (
            StackedCAE((6, 3), **HOW),
            ValueError,
            r"hidden_layer_sizes=\(6, 3\), but training asks for \(6, 4\)",
        ),
        (
            StackedCAE((6, 4), activation="tanh", **HOW),
            ValueError,
            "activation='tanh', but training asks for 'sigmoid'",
        ),
        (
            StackedCAE((6, 4), tied_weights=False, **HOW),
            ValueError,
            "tied_weights=False, but training asks for True",
        ),
    ],
    ids=str,
)
def test_another_start_is_refused(init, error, message, unit_data):
    with pytest.raises(error, match=message):
        DeepCAE((6, 4), init=init, **HOW).fit(unit_data)


def test_a_stack_of_other_features_is_refused(unit_data):
    stack = FrozenEstimator(StackedCAE((6, 4), **HOW).fit(unit_data[:, :7]))
    with pytest.raises(ValueError, match="n_features=7, but training asks for 8"):
        DeepCAE((6, 4), init=stack, **HOW).fit(unit_data)


# ---- parameters and weights ----------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes must be a sequence"),
        ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes must be a sequence"),
        ({"hidden_layer_sizes": 4}, "hidden_layer_sizes"),
        ({"jacobian_penalty": -1}, "'jacobian_penalty'"),
        ({"jacobian_penalty": (0.1, 0.2)}, "'jacobian_penalty'"),
        ({"jacobian_method": "all"}, "'jacobian_method'"),
        ({"n_probes": 0}, "'n_probes'"),
        ({"decoder_jacobian_penalty": np.inf}, "'decoder_jacobian_penalty'"),
    ],
    ids=str,
)
def test_parameters_that_are_none_are_refused(parameters, message, unit_data):
    with pytest.raises(ValueError, match=message):
        DeepCAE(**{"hidden_layer_sizes": (6, 4), **HOW, **parameters}).fit(unit_data)


def test_sizes_may_be_given_as_any_sequence(unit_data):
    model = DeepCAE([6, 4], warm_start=True, **HOW).fit(unit_data)
    model.set_params(hidden_layer_sizes=np.array([6, 4])).fit(unit_data)
    assert model.n_iter_ == 24


def test_weights_by_their_names(unit_data):
    model = DeepCAE((6, 4), **HOW).fit(unit_data)
    weights = get_weights(model)
    again = set_weights(DeepCAE((6, 4)), weights)
    assert_array_equal(again.transform(unit_data), model.transform(unit_data))
    assert_array_equal(again.score_samples(unit_data), model.score_samples(unit_data))
    with pytest.raises(ValueError, match=r"encoder.1.weight must be .* shape \(3, 6\)"):
        set_weights(DeepCAE((6, 3)), weights)
    del weights["decoder.0.bias"]
    with pytest.raises(ValueError, match="takes weights of the names"):
        set_weights(DeepCAE((6, 4)), weights)
    with pytest.raises(ValueError, match="takes weights of the names"):
        set_weights(DeepCAE((6, 4)), {"components_": np.ones((2, 3))})
