"""Stacks that are refused, fail or are interrupted."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skcae._core.training.solvers import Adam
from skcae._estimators.base import BaseAutoencoder
from skcae.activations import ACTIVATIONS
from tests.estimators.stacks import (
    DIVERGENT_ABOVE,
    Watcher,
    assert_no_trace,
    assert_same_layer,
    assert_same_stack,
    fit_by_hand,
    fitted_state,
    small_layer,
    small_stack,
)

# ---- what is refused ------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes",
    [
        5,
        0,
        None,
        "64",
        (),
        [],
        (0,),
        (6, 0),
        (6, -4),
        (6.0, 4.0),
        (6, None),
        (6, np.nan),
        ("6", "4"),
        ((6, 4),),
        (6, (4, 3)),
        [[6], [4]],
        np.array([[6, 4]]),
        np.array(5),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("no_training")
def test_bad_sizes_are_refused(sizes, unit_data):
    stack = small_stack(sizes)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes.* must be a") as caught:
        stack.fit(unit_data)
    assert repr(sizes) in str(caught.value)
    assert not fitted_state(stack)


@pytest.mark.parametrize("name", ["jacobian_penalty", "hessian_penalty"])
@pytest.mark.parametrize(
    "value",
    [
        -0.1,
        np.nan,
        np.inf,
        "0.1",
        None,
        [],
        (0.1,),
        (0.1, 0.2, 0.3),
        (0.1, -0.2),
        (0.1, np.nan),
        (np.inf, 0.1),
        (0.1, "0.2"),
        (0.1, None),
        [[0.1, 0.2]],
        [0.1, [0.2]],
        np.array([[0.1], [0.2]]),
        np.array(-0.1),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("no_training")
def test_bad_penalties_are_refused(name, value, unit_data):
    stack = small_stack(**{name: value})
    with pytest.raises(ValueError, match=rf"{name}.* must be ") as caught:
        stack.fit(unit_data)
    assert repr(value) in str(caught.value)
    assert not fitted_state(stack)


def test_penalties_of_the_wrong_number_say_the_right_one(unit_data):
    with pytest.raises(ValueError, match="one for each of the 3 layers"):
        small_stack((6, 5, 4), jacobian_penalty=[0.1, 0.2]).fit(unit_data)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"sigmoid"}))
@pytest.mark.usefixtures("no_training")
def test_cross_entropy_refuses_codes_out_of_its_range(activation, unit_data):
    stack = small_stack(loss="cross_entropy", activation=activation)
    message = (
        r"loss='cross_entropy' needs codes in \[0, 1\] from the second layer on, which "
        rf"activation='{activation}' does not give"
    )
    with pytest.raises(ValueError, match=message):
        stack.fit(unit_data)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_cross_entropy_takes_what_can_be_fitted(activation, unit_data):
    sizes = (6, 4) if activation == "sigmoid" else (6,)
    stack = small_stack(sizes, loss="cross_entropy", activation=activation)
    assert np.isfinite(stack.fit(unit_data).score(unit_data))


@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("penalty", [0.5, (0, 0.5), (0.5, 0)])
@pytest.mark.usefixtures("no_training")
def test_a_hessian_penalty_without_effect_is_refused(activation, penalty, unit_data):
    stack = small_stack(activation=activation, hessian_penalty=penalty)
    with pytest.raises(ValueError, match=r"hessian_penalty=0.5 would have no effect"):
        stack.fit(unit_data)


@pytest.mark.parametrize(
    ("parameters", "change", "message"),
    [
        ({"activation": "softmax"}, {}, "'activation' parameter of StackedCAE"),
        ({"learning_rate": -1}, {}, "'learning_rate' parameter of StackedCAE"),
        ({"device": "cuda:63"}, {}, "Available devices: cpu"),
        ({"loss": "cross_entropy"}, {"X": np.full((40, 8), 9.0)}, "MinMaxScaler"),
        ({}, {"X": np.full((40, 8), np.nan)}, "NaN"),
        ({}, {"X": np.ones(40)}, "Expected 2D array"),
        ({}, {"sample_weight": -np.ones(40)}, "must not be negative"),
        ({}, {"sample_weight": np.ones(39)}, "expected"),
        ({}, {"X_val": np.ones((3, 8))}, "early_stopping=False"),
        ({}, {"sample_weight_val": [1]}, "without X_val"),
        (
            {"early_stopping": True},
            {"X_val": np.ones((3, 7))},
            "X_val or sample_weight_val.*7 features.*StackedCAE is expecting 8",
        ),
        (
            {"early_stopping": True},
            {"X_val": np.ones((3, 8)), "sample_weight_val": [1, 2]},
            "X_val or sample_weight_val.*expected",
        ),
        ({"early_stopping": True}, {"X": np.ones((1, 8))}, "only 1 sample"),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_what_cannot_be_used_is_refused_before_any_training(
    parameters, change, message, unit_data
):
    stack = small_stack(**parameters)
    with pytest.raises(ValueError, match=message):
        stack.fit(**{"X": unit_data, **change})
    assert not fitted_state(stack)


# ---- when things go wrong -------------------------------------------------------


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    ("parameters", "change", "message"),
    [
        (DIVERGENT_ABOVE, lambda X: X, r"diverged in epoch 1 .*=0\.001"),
        (
            {**DIVERGENT_ABOVE, "jacobian_penalty": (1e30, 0)},
            lambda X: X,
            r"diverged in epoch 1 .*=0\.001",
        ),
        ({}, lambda X: np.full_like(X, np.nan), "NaN"),
        ({"device": "cuda:63"}, lambda X: X, "Available devices"),
        ({"hessian_penalty": (0, 1)}, lambda X: X, "no effect"),
        ({"hidden_layer_sizes": (0, 3)}, lambda X: X, "hidden_layer_sizes must be"),
        ({"jacobian_penalty": (1, 2, 3)}, lambda X: X, "each of the 2 layers"),
    ],
    ids=["above", "below", "nan", "device", "hessian", "sizes", "penalties"],
)
def test_a_failed_refit_leaves_the_old_model(
    parameters, change, message, warm_start, unit_data
):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    stack = small_stack(activation="identity", tied_weights=False).fit(frame)
    codes, scores = stack.transform(frame), stack.score_samples(frame)
    before = pickle.loads(pickle.dumps(stack))
    X = pd.DataFrame(change(unit_data), columns=frame.columns)
    if not warm_start:
        # Other columns must not stick when the fit fails later.
        X = X.add_prefix("other_").join(X)
    stack.set_params(warm_start=warm_start, **parameters)
    with pytest.raises(ValueError, match=message):
        stack.fit(X)
    assert_same_stack(stack, before)
    assert_array_equal(stack.feature_names_in_, frame.columns)
    assert stack.n_features_in_ == 8
    assert_array_equal(stack.transform(frame), codes)
    assert_array_equal(stack.score_samples(frame), scores)


def test_a_failure_above_leaves_nothing_of_a_first_fit(unit_data):
    stack = small_stack(activation="identity", **DIVERGENT_ABOVE)
    with pytest.raises(ValueError, match="diverged in epoch 1"):
        stack.fit(unit_data)
    assert not fitted_state(stack)


# By hand a layer on codes is warned of, as one of a stack is not.
@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_an_interrupt_leaves_the_layers_so_far(unit_data):
    watcher = Watcher(interrupt_at=(1, 2))
    stack = small_stack((6, 5, 4), learning_rate_schedule="constant")
    with pytest.raises(KeyboardInterrupt):
        stack.set_callbacks(watcher).fit(unit_data)
    assert not watcher.is_set_up
    first, second = stack.estimators_
    how = {"learning_rate_schedule": "constant"}
    whole = fit_by_hand((6, 5, 4), unit_data, **how)
    assert_same_layer(first, whole[0])
    # What `ContractiveAutoencoder` leaves: the last complete epoch.
    three = clone(whole[1]).set_params(max_iter=3)
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        three.fit(whole[0].transform(unit_data))
    assert_array_equal(second.components_, three.components_)
    assert second.n_iter_ == 3
    assert stack.n_iter_ == first.n_iter_ + 3
    assert stack.transform(unit_data).shape == (40, 5)
    assert np.isfinite(stack.score(unit_data))
    stack.set_callbacks()
    assert_no_trace(stack)


def test_an_interrupt_replaces_an_old_model(unit_data):
    """A refit that is interrupted is the new stack as far as it came."""
    old = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    stack = small_stack((6, 5, 4)).fit(old)
    stack.set_params(hidden_layer_sizes=(7, 3), random_state=1)
    with pytest.raises(KeyboardInterrupt):
        stack.set_callbacks(Watcher(interrupt_at=(0, 3))).fit(unit_data[:, :5])
    (layer,) = stack.estimators_
    assert layer.components_.shape == (7, 5)
    assert stack.n_features_in_ == 5
    assert stack.n_iter_ == layer.n_iter_ == 4
    assert not hasattr(stack, "feature_names_in_")
    assert stack.transform(unit_data[:, :5]).shape == (40, 7)


def test_an_interrupted_stack_can_go_on(unit_data):
    stack = small_stack((6, 5, 4), warm_start=True)
    with pytest.raises(KeyboardInterrupt):
        stack.set_callbacks(Watcher(interrupt_at=(1, 2))).fit(unit_data)
    before = [layer.n_iter_ for layer in stack.estimators_]
    stack.set_callbacks().fit(unit_data)
    after = [layer.n_iter_ for layer in stack.estimators_]
    assert len(after) == 3
    assert after[0] > before[0]
    assert after[1] > before[1] == 3
    assert stack.transform(unit_data).shape == (40, 4)


def test_an_interrupt_is_not_swallowed_by_a_search(unit_data):
    search = GridSearchCV(small_stack(), {"hidden_layer_sizes": [(6, 4)]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.set_callbacks(Watcher(interrupt_at=(1, 2))).fit(unit_data)


def test_an_interrupt_between_the_layers_leaves_those_below(unit_data, monkeypatch):
    """While the codes are computed, the layer that gives them is already trained."""

    def interrupted(self, *arguments, **where):
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseAutoencoder, "_map_rows", interrupted)
    stack = small_stack()
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    monkeypatch.undo()
    (layer,) = stack.estimators_
    assert_same_layer(layer, small_layer(6).fit(unit_data))
    assert stack.transform(unit_data).shape == (40, 6)


def test_an_interrupt_before_the_second_layers_first_epoch(unit_data, monkeypatch):
    update, n_steps = Adam.update, small_layer(6).fit(unit_data).n_iter_
    steps = []

    def interrupted(self, gradient, rate):
        steps.append(1)
        if len(steps) > n_steps:
            raise KeyboardInterrupt
        update(self, gradient, rate)

    monkeypatch.setattr(Adam, "update", interrupted)
    stack = small_stack()
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    monkeypatch.undo()
    (layer,) = stack.estimators_
    assert_same_layer(layer, small_layer(6).fit(unit_data))


# ---- scikit-learn's own checks --------------------------------------------------


def test_an_interrupted_warm_start_keeps_the_layers_above(unit_data, monkeypatch):
    stack = small_stack(warm_start=True).fit(unit_data)
    above = pickle.loads(pickle.dumps(stack.estimators_[1]))
    steps, update = [], Adam.update

    def interrupted(self, gradient, rate):
        steps.append(rate)
        if len(steps) == 3:
            raise KeyboardInterrupt
        update(self, gradient, rate)

    monkeypatch.setattr(Adam, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    assert [layer.n_iter_ for layer in stack.estimators_] == [
        above.n_iter_ + 2,
        above.n_iter_,
    ]
    assert_same_layer(stack.estimators_[1], above)
    assert stack.transform(unit_data).shape == (40, 4)


def test_divergence_names_the_layer(unit_data):
    with pytest.raises(ValueError, match="Layer 1 of 2: Training diverged in epoch"):
        small_stack(solver="sgd", learning_rate=1e30).fit(unit_data)
