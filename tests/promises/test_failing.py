"""A fit that fails, or is interrupted at once, leaves the model as it was."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils.validation import check_is_fitted

from skcae._core.training.solvers import Adam
from tests.promises.kinds import assert_same_model

# By name: parameters, what is passed, and the words of the error.
FAILURES = {
    "divergence": (
        {"solver": "sgd", "learning_rate": 1e200, "batch_size": 10},
        {},
        "diverged in epoch",
    ),
    "parameter": ({"learning_rate": -1}, {}, "'learning_rate' parameter"),
    "device": ({"device": "cuda:63"}, {}, "Available devices"),
    "nan": ({}, {"X": np.full((40, 8), np.nan)}, "NaN"),
    "vector": ({}, {"X": np.ones(40)}, "Expected 2D array"),
    "weights": ({}, {"sample_weight": -np.ones(40)}, "must not be negative"),
    "too few weights": ({}, {"sample_weight": np.ones(39)}, "expected"),
    "held out": ({}, {"X_val": np.ones((3, 8))}, "early_stopping=False|y_val"),
}


@pytest.mark.parametrize("reason", FAILURES)
def test_a_failed_fit_leaves_the_old_model_or_none(reason, kind, unit_data):
    parameters, given, message = FAILURES[reason]
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    y = kind.target(unit_data)
    # Other names, which must not stick when the fit fails later.
    how = {"X": frame.add_prefix("other_"), "y": y, **given}
    fresh, model = kind(**parameters), kind().fit(frame, y)
    before, answers = pickle.loads(pickle.dumps(model)), kind.answers(model, frame)
    for failing in (fresh, model.set_params(**parameters)):
        with pytest.raises((ValueError, TypeError), match=message):
            failing.fit(**how)
    assert not [name for name in vars(fresh) if name.endswith("_")]
    assert_same_model(model, before.set_params(**parameters))
    assert list(model.feature_names_in_) == list("abcdefgh")
    # The model is what it was fitted as, although the parameters have changed.
    for one, other in zip(kind.answers(model, frame), answers, strict=True):
        assert_array_equal(one, other)


@pytest.fixture
def interrupted_steps(monkeypatch):
    """Interrupt each fit in its very first step."""

    def interrupted(self, gradient, rate):
        raise KeyboardInterrupt

    monkeypatch.setattr(Adam, "update", interrupted)


@pytest.mark.parametrize("warm_start", [False, True])
def test_an_interrupt_before_the_first_epoch_changes_nothing(
    warm_start, kind, unit_data, request
):
    how = {"warm_start": warm_start} if "warm_start" in kind().get_params() else {}
    y = kind.target(unit_data)
    fresh, model = kind(**how), kind(**how).fit(unit_data, y)
    before = pickle.loads(pickle.dumps(model))
    request.getfixturevalue("interrupted_steps")
    for interrupted in (fresh, model):
        with pytest.raises(KeyboardInterrupt):
            interrupted.fit(unit_data, y)
    assert not [name for name in vars(fresh) if name.endswith("_")]
    check_is_fitted(model)
    assert_same_model(model, before)
