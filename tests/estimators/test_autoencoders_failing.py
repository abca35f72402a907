"""Fits of one layer that diverge, are refused or interrupted."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skcae import ContractiveAutoencoder
from skcae._core.training import loop as training
from skcae._core.training.loop import Training
from skcae._core.training.solvers import Adam, Sgd
from tests.estimators.autoencoders import assert_same_model, fitted_state

# ---- the model ------------------------------------------------------------------


# ---- when things go wrong -------------------------------------------------------


DIVERGENT = {"solver": "sgd", "learning_rate": 1e20, "activation": "elu"}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence_names_the_epoch_the_rate_and_what_to_try(method, small, digits):
    model = small(batch_size=10, **DIVERGENT)
    with pytest.raises(ValueError, match=r"diverged in epoch 1 .*=1e\+20.* nan") as e:
        getattr(model, method)(digits[0][:200])
    assert "smaller learning_rate" in str(e.value)


@pytest.mark.parametrize("sizes", [(64, 32), [64], np.array([64, 32])])
def test_sizes_of_several_layers_are_for_a_stack(sizes, small, unit_data):
    with pytest.raises(ValueError, match=r"'n_components' .* int.* take StackedCAE\("):
        small(n_components=sizes).fit(unit_data)


def test_divergence_names_what_is_not_finite(small, unit_data, monkeypatch):
    X = unit_data.astype("f4")
    held_out = small(early_stopping=True)
    words = r"the held-out objective is inf, while that of training is \d"
    with pytest.raises(ValueError, match=f"diverged in epoch 1 .*: {words}"):
        held_out.fit(X, X_val=np.full_like(X, 1e30))
    with pytest.raises(ValueError, match=r"the training objective is (inf|nan)"):
        small().fit(1e30 * X)

    def too_far(self, gradient, rate):
        self.parameters["components"].fill_(np.inf)

    # The step that is too long is the last of its epoch: the objective is from before.
    monkeypatch.setattr(Sgd, "update", too_far)
    with pytest.raises(ValueError, match="not all numbers of components are finite"):
        small(solver="sgd", batch_size=40).fit(X)


def test_weights_that_are_used_as_they_are_have_the_precision_of_the_data(
    small_weighted, unit_data
):
    weights = {"sample_weight": np.full(40, 1e39)}
    with pytest.raises(ValueError, match=r"sample_weight reaches 1e\+39.* in float32"):
        small_weighted().partial_fit(unit_data.astype("f4"), **weights)
    assert hasattr(small_weighted().fit(unit_data.astype("f4"), **weights), "n_iter_")


def test_divergence_stops_a_long_epoch(small, monkeypatch):
    steps = []
    update = Sgd.update

    def counted(self, gradient, rate):
        steps.append(rate)
        update(self, gradient, rate)

    monkeypatch.setattr(Sgd, "update", counted)
    X = np.random.default_rng(0).random((5000, 4))
    with pytest.raises(ValueError, match="diverged in epoch 1"):
        small(batch_size=1, **DIVERGENT).fit(X)
    assert len(steps) == 100


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("parameters", "change", "message"),
    [
        ({**DIVERGENT, "batch_size": 1}, lambda X: X, "diverged"),
        ({"activation": "softmax"}, lambda X: X, "'activation' parameter"),
        ({"learning_rate": -1}, lambda X: X, "'learning_rate' parameter"),
        ({}, lambda X: np.full_like(X, np.nan), "NaN"),
        ({"device": "cuda:63"}, lambda X: X, "Available devices"),
        ({"activation": "relu", "hessian_penalty": 1}, lambda X: X, "no effect"),
        ({"loss": "cross_entropy"}, lambda X: 9 * X, "MinMaxScaler"),
        ({"n_components": 0}, lambda X: X, "'n_components' parameter"),
    ],
    ids=[
        "divergence",
        "activation",
        "rate",
        "nan",
        "device",
        "hessian",
        "range",
        "parameter",
    ],
)
def test_a_failed_refit_leaves_the_old_model(
    parameters, change, message, method, small_contractive, unit_data
):
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    # So that the refit fails by what it is to fail by, not by the change of activation.
    start = {"activation": "elu"} if message == "diverged" else {}
    model = small_contractive(**start).fit(frame)
    codes, scores = model.transform(frame), model.score_samples(frame)
    before = pickle.loads(pickle.dumps(vars(model)))
    # Only `fit` takes other columns, which must not stick when it fails later.
    X = pd.DataFrame(change(unit_data), columns=frame.columns)
    if method == "fit":
        X = X.add_prefix("other_").join(X)
    with pytest.raises(ValueError, match=message):
        getattr(model.set_params(**parameters), method)(X)
    after = fitted_state(model)
    assert after.keys() == {name for name in before if name.endswith("_")}
    for name, value in after.items():
        assert_array_equal(value, before[name])
    for name, value in model._training_state["solver_state"].items():
        assert_array_equal(value, before["_training_state"]["solver_state"][name])
    # The model is what it was fitted as, although the parameters have changed.
    assert_array_equal(model.transform(frame), codes)
    assert_array_equal(model.score_samples(frame), scores)


def test_an_interrupt_leaves_the_last_complete_epoch(small, digits, monkeypatch):
    X, _ = digits
    model = small(max_iter=30, batch_size=50, learning_rate_schedule="constant")
    steps = []
    update = Adam.update

    def interrupted(self, gradient, rate):
        steps.append(1)
        # In the middle of the fourth epoch of 36 steps.
        if len(steps) == 3 * 36 + 10:
            raise KeyboardInterrupt
        update(self, gradient, rate)

    monkeypatch.setattr(Adam, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(tol=1e-6).fit(X)
    monkeypatch.undo()
    assert model.n_iter_ == 3
    with pytest.warns(ConvergenceWarning):
        three = clone(model).set_params(max_iter=3).fit(X)
    assert_same_model(model, three, rtol=0)
    # The solver had gone on; it starts afresh, in the order of the fourth epoch.
    assert model._training_state["solver_state"] == {}
    assert_array_equal(
        model._training_state["generator"], three._training_state["generator"]
    )


def test_an_interrupt_with_early_stopping_leaves_the_best_epoch(
    small, digits, monkeypatch
):
    X, _ = digits
    model = ContractiveAutoencoder(
        64,
        bias_spread=0,
        early_stopping=True,
        learning_rate_schedule="constant",
        learning_rate=0.03,
        n_iter_no_change=100,
        random_state=0,
    )
    X_train, X_val = X[:50], X[400:600]
    run_epoch = Training.run_epoch

    def interrupted(self):
        run_epoch(self)
        if len(self.loss_curve) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Training, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X_train, X_val=X_val)
    monkeypatch.undo()
    with pytest.warns(ConvergenceWarning):
        whole = clone(model).set_params(max_iter=4).fit(X_train, X_val=X_val)
    assert_same_model(model, whole, rtol=0)
    assert np.argmin(model.validation_loss_curve_) < 3


@pytest.mark.parametrize("moment", ["all_finite", "copy_of"])
def test_an_interrupt_after_the_steps_leaves_a_whole_epoch(
    moment, small, digits, monkeypatch
):
    """While it is looked at an epoch is not yet the last; while it is copied, it is."""
    X, _ = digits
    model = small(max_iter=9, learning_rate_schedule="constant", tol=1e-6)
    function, calls = getattr(training, moment), []

    def interrupted(tensors):
        calls.append(1)
        result = function(tensors)
        if len(calls) == (8 if moment == "all_finite" else 1):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(training, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    monkeypatch.undo()
    n_epochs = 2 if moment == "all_finite" else 1
    with pytest.warns(ConvergenceWarning):
        whole = clone(model).set_params(max_iter=n_epochs).fit(X)
    assert_same_model(model, whole, rtol=0)


def interrupting(number):
    """Interrupt at this line of those that end the third epoch; say whether it did."""
    seen, codes = [0], [Training.run_epoch.__code__, Training._copied.__code__]

    def trace(frame, event, _):
        if frame.f_code not in codes:
            return None
        training = frame.f_locals["self"]
        if event == "line" and training.complete.n_epochs >= 2:
            seen[0] += 1
            if seen[0] == number:
                raise KeyboardInterrupt
        return trace

    return trace


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("early_stopping", [True, False])
def test_an_interrupt_at_any_line_leaves_a_record_that_is_the_models(
    early_stopping, digits
):
    X, how = digits[0][:60], {"learning_rate_schedule": "constant", "batch_size": 30}
    model = ContractiveAutoencoder(
        3, max_iter=3, early_stopping=early_stopping, random_state=0, tol=0, **how
    )
    whole = {n: clone(model).set_params(max_iter=n).fit(X) for n in (2, 3)}
    before, ends = sys.gettrace(), set()
    for number in range(1, 100):
        interrupted = clone(model)
        sys.settrace(interrupting(number))
        try:
            interrupted.fit(X)
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        ends.add(interrupted.n_iter_)
        assert_same_model(interrupted, whole[interrupted.n_iter_], rtol=0)
        for name in ("loss_curve_", "penalty_curve_", "validation_loss_curve_"):
            if hasattr(interrupted, name):
                assert len(getattr(interrupted, name)) == interrupted.n_iter_
    assert number > 12
    assert ends == {2, 3}


INTERRUPTED = """
import os, signal, threading, numpy as np
from skcae import ContractiveAutoencoder
X = np.random.default_rng(0).random((2000, 50))
model = ContractiveAutoencoder(100, max_iter=100_000, tol=0, random_state=0)
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    model.fit(X)
except KeyboardInterrupt:
    print(model.n_iter_ == len(model.loss_curve_) > 0, model.transform(X).shape)
"""


def test_a_real_interrupt():
    out = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True
    )
    assert out.stdout == "True (2000, 100)\n"
