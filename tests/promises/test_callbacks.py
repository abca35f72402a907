"""Callbacks see a fit and may end it; they neither change it nor stay behind."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skcae.persistence import get_weights, load, save
from tests.promises.kinds import (
    assert_same_model,
    curved_output,
    hidden_layers,
    parts,
)

FACTORIES = [hidden_layers.__name__, curved_output.__name__]


class Callback:
    """Calls a function with each model that a task of the estimator leaves."""

    def __init__(self, act=None):
        self.act = act
        self.n_seen = 0
        self.is_set_up = False

    def setup(self, estimator, context):
        self.is_set_up = True

    def teardown(self, estimator, context):
        self.is_set_up = False

    def on_fit_task_begin(self, estimator, context):
        assert self.is_set_up

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        assert self.is_set_up
        if context.task_name not in ("epoch", "layer"):
            return False
        self.n_seen += 1
        return bool(self.act and self.act(fitted_estimator))


class Propagated(Callback):
    """A callback that the estimators within hear of, too."""

    max_propagation_depth = None


def vandalise(model):
    for name, part in parts(model):
        is_numbers = isinstance(part, np.ndarray) and part.dtype.kind == "f"
        # The encoder itself is handed out, as a frozen one always is.
        if is_numbers and not name.startswith(".encoder_"):
            part[...] = 7


@pytest.mark.parametrize("cls", [Callback, Propagated])
@pytest.mark.parametrize("act", [None, vandalise])
def test_callbacks_cannot_change_the_fit(act, cls, kind, unit_data):
    y, callback = kind.target(unit_data), cls(act)
    model = kind(early_stopping=True).set_callbacks(callback).fit(unit_data, y)
    assert callback.n_seen > 1
    assert not callback.is_set_up
    assert model._skl_callbacks == [callback]
    assert_same_model(model, kind(early_stopping=True).fit(unit_data, y))
    # Nor do they leave a trace.
    within = [*getattr(model, "estimators_", []), getattr(model, "encoder_", None)]
    for estimator in (model.set_callbacks(), *within):
        for name in vars(estimator) if estimator is not None else ():
            assert "callback" not in name, name


def stop(model):
    return True


def interrupt(model):
    raise KeyboardInterrupt


def test_what_a_callback_sees_is_a_model_like_any_other(kind, unit_data, tmp_path):
    """Whose weights and file are those of its epoch, and of what it is only."""
    y, path, seen = kind.target(unit_data), tmp_path / "model.skops", []

    def keep(model):
        assert all(np.isfinite(W).all() for W in get_weights(model).values())
        save(model, path)
        trusted = [f"tests.promises.kinds.{f}" for f in FACTORIES]
        again = load(path, trusted=trusted)
        for one, other in zip(
            kind.answers(again, unit_data), kind.answers(model, unit_data), strict=True
        ):
            assert_array_equal(one, other)
        seen.append(again)

    kind().set_callbacks(Callback(keep)).fit(unit_data, y)
    assert seen


def test_a_callback_that_returns_true_ends_the_fit(kind, unit_data):
    callback = Callback(stop)
    model = kind().set_callbacks(callback).fit(unit_data, kind.target(unit_data))
    assert callback.n_seen == 1
    kind.answers(model, unit_data)


def test_an_interrupt_in_a_callback_is_raised_and_what_there_is_is_kept(
    kind, unit_data
):
    callback, y = Callback(interrupt), kind.target(unit_data)
    model = kind().set_callbacks(callback)
    with pytest.raises(KeyboardInterrupt):
        model.fit(unit_data, y)
    assert callback.n_seen == 1
    assert not callback.is_set_up
    kind.answers(model, unit_data)
    # A search does not take the truncated fit for a whole one.
    search = GridSearchCV(clone(model), {"learning_rate": [0.1]}, cv=2)
    search.estimator.set_callbacks(Callback(interrupt))
    with pytest.raises(KeyboardInterrupt):
        search.fit(unit_data, y)
