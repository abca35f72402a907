"""Stacks that go on, and scikit-learn around them."""

import pickle
import re
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcae import ContractiveAutoencoder, StackedCAE
from tests.estimators.stacks import (
    assert_same_layer,
    assert_same_stack,
    fit_by_hand,
    fitted_state,
    small_stack,
)
from tests.test_estimator_checks import FURTHER_CHECKS, OF_ALL, run_check

CONSTANT = {"learning_rate_schedule": "constant", "tol": 0.0, "n_iter_no_change": 50}


# ---- going on -------------------------------------------------------------------


# By hand a layer on codes is warned of, as one of a stack is not.
@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_warm_start_goes_on_with_every_layer(early_stopping, unit_data):
    how = {"warm_start": True, "batch_size": 7, "early_stopping": early_stopping}
    stack = small_stack((6, 5, 4), **how).fit(unit_data)
    first = [layer.n_iter_ for layer in stack.estimators_]
    stack.fit(unit_data)

    layers = fit_by_hand((6, 5, 4), unit_data, **how)
    codes = unit_data
    for layer in layers:
        codes = layer.fit(codes).transform(codes)
    for layer, expected, n_before in zip(stack.estimators_, layers, first, strict=True):
        assert_same_layer(layer, expected)
        assert layer.n_iter_ == len(layer.loss_curve_) > n_before
    assert stack.n_iter_ == sum(layer.n_iter_ for layer in layers)
    assert_array_equal(stack.transform(unit_data), codes)

    stack.set_params(warm_start=False).fit(unit_data)
    assert [layer.n_iter_ for layer in stack.estimators_] == first


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_warm_start_is_one_long_training_of_the_first_layer(unit_data):
    how = {"batch_size": 7, **CONSTANT}
    halves = small_stack(max_iter=4, warm_start=True, **how)
    halves.fit(unit_data).fit(unit_data)
    whole = small_stack(max_iter=8, **how).fit(unit_data)
    for name, value in fitted_state(whole.estimators_[0]).items():
        assert_array_equal(getattr(halves.estimators_[0], name), value, err_msg=name)
    assert halves.n_iter_ == whole.n_iter_ == 16


def test_going_on_leaves_earlier_layers_alone(unit_data):
    """What was taken out of the stack before is not trained on."""
    stack = small_stack(warm_start=True).fit(unit_data)
    layers = stack.estimators_
    before = pickle.loads(pickle.dumps(layers))
    stack.fit(unit_data)
    for layer, expected in zip(layers, before, strict=True):
        assert_same_layer(layer, expected)


def test_a_warm_start_follows_the_parameters_of_now(unit_data):
    stack = small_stack(warm_start=True).fit(unit_data)
    stack.set_params(jacobian_penalty=(0.2, 0.4), solver="sgd", learning_rate=1e-3)
    stack.fit(unit_data)
    assert [layer.jacobian_penalty for layer in stack.estimators_] == [0.2, 0.4]
    assert {layer.solver for layer in stack.estimators_} == {"sgd"}


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"hidden_layer_sizes": (5, 4)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (6, 5)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (6,)}, "hidden_layer_sizes"),
        ({"tied_weights": False}, "tied_weights"),
        ({"activation": "tanh"}, "activation"),
        ({"loss": "cross_entropy"}, "loss"),
    ],
    ids=str,
)
def test_going_on_as_another_model_is_refused_before_any_training(
    parameters, name, unit_data, request
):
    stack = small_stack(warm_start=True).fit(unit_data).set_params(**parameters)
    before = pickle.loads(pickle.dumps(stack))
    request.getfixturevalue("no_training")
    with pytest.raises(ValueError, match=rf"{name}.*cannot go on"):
        stack.fit(unit_data)
    assert_same_stack(stack, before)


# ---- scikit-learn around it -----------------------------------------------------


def test_no_torch_in_the_fitted_state(unit_data):
    def leaves(value):
        if isinstance(value, ContractiveAutoencoder):
            value = vars(value)
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for part in value:
                yield from leaves(part)
        else:
            yield value

    stack = small_stack(early_stopping=True, tied_weights=False).fit(unit_data)
    for value in leaves(vars(stack)):
        assert not type(value).__module__.startswith("torch"), value
    state = {name: type(value) for name, value in fitted_state(stack).items()}
    assert state == {"estimators_": list, "n_iter_": int, "n_features_in_": int}
    assert {type(layer) for layer in stack.estimators_} == {ContractiveAutoencoder}
    # Nothing else is kept.
    assert set(vars(stack)) == {*stack.get_params(), *state}


def test_constraints_cover_the_parameters():
    names = set(signature(StackedCAE).parameters)
    assert set(StackedCAE._parameter_constraints) == names
    expected = set(signature(ContractiveAutoencoder).parameters)
    assert names == expected - {"n_components"} | {"hidden_layer_sizes"}


def test_every_parameter_is_documented():
    described = StackedCAE.__doc__.partition("Parameters\n")[2]
    described = described.partition("Attributes\n")[0]
    for name, parameter in signature(StackedCAE).parameters.items():
        shown = repr(parameter.default).replace("'", '"').replace("0.001", "1e-3")
        (line,) = re.findall(rf"^    {name} : .*(?:\n            .*)?", described, re.M)
        assert line.endswith(f"default={shown}"), line


def test_sizes_come_first_and_by_position():
    assert StackedCAE((3, 2)).hidden_layer_sizes == (3, 2)
    assert StackedCAE().hidden_layer_sizes == (1000, 1000)
    with pytest.raises(TypeError, match="positional argument"):
        StackedCAE((3, 2), 0.1)


def test_grid_search_over_sizes_and_penalties(digits):
    X, y = digits[0][:150], digits[1][:150]
    pipeline = make_pipeline(MinMaxScaler(), small_stack(), LinearSVC(random_state=0))
    grid = [
        {
            "stackedcae__hidden_layer_sizes": [(8,), (8, 6), [8, 6, 4]],
            "stackedcae__jacobian_penalty": [0.0, 0.1],
        },
        {
            "stackedcae__hidden_layer_sizes": [(8, 6)],
            "stackedcae__jacobian_penalty": [(0.0, 0.1), [0.1, 0.0]],
        },
    ]
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.usefixtures("enable_routing")
def test_x_val_goes_through_the_pipelines_scaler(digits):
    X, X_val = digits[0][:300], digits[0][300:400]
    weights = np.arange(300) % 3
    stack = small_stack(early_stopping=True, max_iter=30)
    stack.set_fit_request(X_val=True, sample_weight=True)
    pipeline = Pipeline(
        [
            ("scale", StandardScaler().set_fit_request(sample_weight=False)),
            ("code", stack),
        ],
        transform_input=["X_val"],
    ).fit(16 * X, X_val=16 * X_val, sample_weight=weights)
    scaler = StandardScaler().fit(16 * X)
    by_hand = clone(stack).fit(
        scaler.transform(16 * X),
        X_val=scaler.transform(16 * X_val),
        sample_weight=weights,
    )
    assert_same_stack(pipeline["code"], by_hand)


@pytest.mark.usefixtures("enable_routing")
def test_weights_are_routed_through_a_search(unit_data):
    weights = np.arange(40) % 3 + 1.0
    stack = small_stack().set_fit_request(sample_weight=True)
    stack.set_score_request(sample_weight=True)
    search = GridSearchCV(stack, {"jacobian_penalty": [0.1]}, cv=2)
    search.fit(unit_data, sample_weight=weights)
    halves = [np.arange(20), np.arange(20, 40)]
    scores = [
        clone(stack)
        .fit(unit_data[train], sample_weight=weights[train])
        .score(unit_data[test], sample_weight=weights[test])
        for test, train in (halves, halves[::-1])
    ]
    assert search.best_score_ == pytest.approx(np.mean(scores), rel=1e-12)


# ---- scikit-learn's own checks --------------------------------------------------


CHECKED = [
    StackedCAE((16, 8), max_iter=5),
    StackedCAE(
        [8, 6, 4],
        activation="tanh",
        tied_weights=False,
        jacobian_penalty=[0.1, 0.0, 0.3],
        hessian_penalty=[0.1, 0.0, 0.0],
        learning_rate=0.003,
        max_iter=5,
    ),
]


# Whether data of any scale converge is not what the checks are about, and some of them
# mix arrays and frames on purpose.
lenient = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:X (has|does not have valid) feature names, but StackedCAE:UserWarning",
)


@lenient
@parametrize_with_checks(
    CHECKED, expected_failed_checks=lambda estimator: OF_ALL, xfail_strict=True
)
def test_check_estimator(estimator, check, monkeypatch):
    run_check(check, estimator, monkeypatch)


@lenient
@pytest.mark.parametrize("check", FURTHER_CHECKS, ids=lambda check: check.__name__)
def test_further_checks(check):
    check("StackedCAE", CHECKED[0])
