"""scikit-learn around a fine-tuned network, and its own checks."""

import pickle
import re
from functools import partial
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    StandardScaler,
)
from sklearn.utils import estimator_checks
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcae import (
    ContractiveAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
)
from tests.estimators.finetuned import (
    ENCODERS,
    assert_same_network,
    both,
    classifier,
    contractive,
    fitted_state,
    regressor,
    same_network,
)
from tests.test_callbacks import Recorder
from tests.test_estimator_checks import OF_ALL, run_check

# ---- scikit-learn around it -----------------------------------------------------


# λ = 5 is above λ_max.
@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_grid_search_over_both_trainings(X, y):
    grid = {"encoder__jacobian_penalty": [0.0, 5.0], "learning_rate": [0.001, 0.05]}
    search = GridSearchCV(classifier(), grid, cv=2, error_score="raise").fit(X, y)
    best = search.best_estimator_
    assert len(search.cv_results_["params"]) == 4
    assert best.encoder.jacobian_penalty == best.encoder_.jacobian_penalty
    assert set(search.best_params_.values()) == {
        best.encoder_.jacobian_penalty,
        best.learning_rate,
    }
    assert same_network(best, clone(best).fit(X, y))
    codes = [
        classifier(contractive(jacobian_penalty=penalty)).fit(X, y).encoder_
        for penalty in grid["encoder__jacobian_penalty"]
    ]
    assert not np.allclose(codes[0].components_, codes[1].components_)


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_every_encoder_in_a_grid_search(kind, X, two):
    search = GridSearchCV(
        classifier(ENCODERS[kind](X)),
        {"class_weight": [None, "balanced"]},
        cv=2,
        scoring=["accuracy", "roc_auc", "neg_log_loss"],
        refit="roc_auc",
        error_score="raise",
    ).fit(X, two)
    for scorer in search.scorer_:
        assert np.isfinite(search.cv_results_[f"mean_test_{scorer}"]).all()
    assert set(search.predict(X)) <= {"no", "yes"}
    assert_array_equal(search.classes_, ["no", "yes"])


@pytest.mark.parametrize("early_stopping", [True, False])
def test_fit_arguments_in_a_grid_search(early_stopping, X, y, weights):
    model = classifier(early_stopping=early_stopping)
    held_out = {"X_val": X[30:], "y_val": y[30:]} if early_stopping else {}
    how = {"X_unlabeled": X[25:], **held_out}
    search = GridSearchCV(model, {"learning_rate": [0.01]}, cv=2, error_score="raise")
    search.fit(X[:30], y[:30], sample_weight=weights[:30], **how)
    alone = clone(model).fit(X[:30], y[:30], weights[:30], **how)
    assert same_network(search.best_estimator_, alone)


def test_grid_search_of_the_regressor(X, values):
    search = GridSearchCV(
        regressor(make_pipeline(StandardScaler(), contractive())),
        {
            "encoder__contractiveautoencoder__n_components": [2, 6],
            "encoder__standardscaler": [StandardScaler(), "passthrough"],
        },
        cv=2,
        error_score="raise",
    ).fit(X, np.column_stack([values, values]))
    assert search.predict(X).shape == (40, 2)


@both
@pytest.mark.parametrize("kind", ["stack", "preprocessed", "rbm", "frozen pipeline"])
def test_pickle_keeps_the_model(kind, make, X, two, values):
    model = make(ENCODERS[kind](X), early_stopping=True)
    model.fit(X, two if is_classifier(model) else values)
    loaded = pickle.loads(pickle.dumps(model))
    assert_same_network(model, loaded, rtol=0)
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert fitted_state(loaded).keys() == fitted_state(model).keys()


@both
def test_seeds(make, X, two, values):
    target = two if make is classifier else values
    assert_same_network(make().fit(X, target), make().fit(X, target), rtol=0)
    frozen = FrozenEstimator(contractive().fit(X))
    one, other = (make(frozen, random_state=s).fit(X, target) for s in (None, None))
    assert not same_network(one, other)
    state = np.random.RandomState(0)
    first, second = (make(frozen, random_state=state).fit(X, target) for _ in range(2))
    assert not same_network(first, second)
    assert same_network(first, make(frozen, random_state=0).fit(X, target))


def test_what_a_fitted_model_was_fitted_as_decides(X, y):
    """Later changes of the parameters change nothing until the next fit."""
    model = classifier(make_pipeline(SimpleImputer(), contractive(activation="tanh")))
    gaps = np.where(X > 0.1, X, np.nan)
    scores = model.fit(gaps, y).decision_function(gaps)
    for encoder in (contractive(activation="relu"), PCA(3)):
        model.set_params(encoder=encoder)
        assert_array_equal(model.decision_function(gaps), scores)


@both
@pytest.mark.parametrize("kind", ["preprocessed", "frozen"])
def test_another_number_of_features_is_refused(kind, make, X):
    model = make(ENCODERS[kind](X)).fit(X, np.arange(40) % 2)
    with pytest.raises(ValueError, match=r"7 features, but .* is expecting 8"):
        model.predict(X[:, :7])


@both
def test_another_number_of_features_is_refused_whatever_comes_first(make, X):
    """A first step that looks at nothing, too."""
    model = make(make_pipeline(FunctionTransformer(), contractive()))
    model.fit(X, np.arange(40) % 2)
    with pytest.raises(ValueError, match=r"7 features|given 7"):
        model.predict(X[:, :7])


# ---- scikit-learn's own checks --------------------------------------------------


# The checks set the classifier's random_state, and not the encoder's.
small_encoder = partial(ContractiveAutoencoder, 8, max_iter=10, random_state=0)


ESTIMATORS = [
    FineTunedClassifier(small_encoder(), max_iter=30, learning_rate=0.02),
    FineTunedRegressor(small_encoder(), max_iter=30, learning_rate=0.05),
    # Some checks have data of one column.
    FineTunedClassifier(
        small_encoder(),
        tangent_penalty=0.01,
        n_tangents=1,
        max_iter=30,
        learning_rate=0.02,
    ),
]


# Checks of what preprocessing, and not the estimator itself, validates.
INPUT_CHECKS = [
    estimator_checks.check_complex_data,
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_dtype_object,
    estimator_checks.check_estimators_empty_data_messages,
    estimator_checks.check_estimators_nan_inf,
    estimator_checks.check_fit1d,
    estimator_checks.check_fit2d_predict1d,
    estimator_checks.check_n_features_in,
    estimator_checks.check_n_features_in_after_fitting,
    estimator_checks.check_requires_y_none,
    estimator_checks.check_supervised_y_2d,
    estimator_checks.check_supervised_y_no_nan,
]


# Checks that scikit-learn runs on its own estimators but does not hand to others.
FURTHER_CHECKS = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_param_validation,
    estimator_checks.check_inplace_ensure_writeable,
]


# The checks fit data of any scale for a few epochs: whether these converge is not
# what they are about. Some of them mix arrays and frames on purpose.
ignore_the_checks_own = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:X (has|does not have valid) feature names:UserWarning",
)


@ignore_the_checks_own
# Some of the checks' data saturate all units.
@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@parametrize_with_checks(
    ESTIMATORS, expected_failed_checks=lambda estimator: OF_ALL, xfail_strict=True
)
def test_check_estimator(estimator, check, monkeypatch):
    run_check(check, estimator, monkeypatch)


@ignore_the_checks_own
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("check", FURTHER_CHECKS, ids=lambda check: check.__name__)
def test_further_checks(estimator, check):
    check(type(estimator).__name__, estimator)


@ignore_the_checks_own
@pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])
@pytest.mark.parametrize("check", INPUT_CHECKS, ids=lambda check: check.__name__)
def test_checks_of_input_behind_preprocessing(check, cls):
    encoder = make_pipeline(StandardScaler(), small_encoder())
    check(cls.__name__, cls(encoder, max_iter=30, learning_rate=0.02))


@pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])
def test_constraints_cover_the_parameters(cls):
    assert set(cls._parameter_constraints) == set(signature(cls).parameters)


@pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])
def test_every_parameter_is_documented(cls):
    described = cls.__doc__.partition("Parameters\n")[2].partition("Attributes\n")[0]
    for name, parameter in signature(cls).parameters.items():
        (line,) = re.findall(rf"^    {name} : .*(?:\n            .*)?", described, re.M)
        if parameter.default is not parameter.empty:
            shown = repr(parameter.default).replace("'", '"').replace("0.001", "1e-3")
            assert line.endswith(f"default={shown}"), line


@pytest.mark.parametrize(
    "wrong",
    [
        {"class_weight": {"no": -1, "yes": 1}},
        {"class_weight": {"no": np.inf, "yes": 1}},
        {"early_stopping": True, "validation_fraction": 0.001},
        {"device": "nonsense"},
    ],
    ids=str,
)
def test_what_fine_tuning_cannot_do_is_refused_before_pre_training(wrong, X, two):
    recorder = Recorder()
    with pytest.raises(ValueError, match=r"class_weight|early_stopping|device"):
        classifier(**wrong).set_callbacks(recorder).fit(X, two)
    assert recorder.begun == []


def test_a_class_of_which_no_row_counts_has_no_balanced_weight(X, y):
    weights = (y != "ash").astype(float)
    model = classifier(class_weight="balanced").fit(X, y, sample_weight=weights)
    by_class = compute_class_weight(
        "balanced", classes=np.array(["birch", "cedar"]), y=y[y != "ash"]
    )
    by_hand = np.select([y == "birch", y == "cedar"], by_class, 0.0)
    encoder = contractive().fit(X, sample_weight=weights)
    alone = classifier(FrozenEstimator(encoder)).fit(X, y, sample_weight=by_hand)
    assert_same_network(model, alone, rtol=1e-10)
