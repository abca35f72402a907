"""What callbacks see of a stack, and what `verbose` shows."""

import logging
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from tests.estimators.stacks import (
    DIVERGENT_ABOVE,
    Watcher,
    assert_no_trace,
    assert_same_layer,
    assert_same_stack,
    shown,
    small_layer,
    small_stack,
)

# ---- callbacks ------------------------------------------------------------------


class Recorder:
    """Notes each task of the stack itself; may act when a layer is done."""

    def __init__(self, act=None):
        self.act = act
        self.begun, self.ended, self.models = [], [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.ended.append((context.task_name, context.task_id, X, y, metadata))
        if context.task_name != "layer":
            return False
        self.models.append(fitted_estimator)
        return self.act is not None and self.act(fitted_estimator, context.task_id)


def interrupt(model, number):
    raise KeyboardInterrupt


def test_one_task_for_each_layer(unit_data):
    recorder, weights = Recorder(), np.ones(40)
    stack = small_stack().set_callbacks(recorder)
    stack.fit(unit_data, y="labels", sample_weight=weights)
    assert recorder.begun == [("fit", 0), ("layer", 0), ("layer", 1)]
    places = [tuple(task[:2]) for task in recorder.ended]
    assert places == [("layer", 0), ("layer", 1), ("fit", 0)]
    for _, _, _, y, metadata in recorder.ended:
        assert y == "labels"
        assert metadata["sample_weight"] is weights
    assert recorder.ended[-1][2] is unit_data


def test_callbacks_see_the_stack_as_far_as_it_is(unit_data):
    """Together with data that it takes."""
    recorder = Recorder()
    stack = small_stack((6, 5, 4)).set_callbacks(recorder).fit(unit_data)
    widths = [seen.transform(unit_data).shape[1] for seen in recorder.models]
    assert widths == [6, 5, 4]
    assert recorder.models[-1].score(unit_data) == stack.score(unit_data)
    for seen, task in zip(recorder.models, recorder.ended, strict=False):
        X = task[2]
        assert seen.transform(X).shape[0] == 40


def test_callbacks_of_a_refit_see_nothing_of_the_old_model(unit_data):
    stack = small_stack().fit(pd.DataFrame(unit_data, columns=list("abcdefgh")))
    recorder, fresh = Recorder(), Recorder()
    stack.set_callbacks(recorder).fit(unit_data)
    small_stack().set_callbacks(fresh).fit(unit_data)
    for seen, expected in zip(recorder.models, fresh.models, strict=True):
        assert seen.score(unit_data) == expected.score(unit_data)
        assert getattr(seen, "feature_names_in_", None) is None


def test_callbacks_cannot_change_the_fit(unit_data):
    def vandalise(model, number):
        for layer in model.estimators_:
            layer.components_[:] = 0
            layer.partial_fit(np.ones((3, layer.n_features_in_)))
        model.estimators_.clear()

    stack = small_stack().set_callbacks(Recorder(vandalise)).fit(unit_data)
    assert_same_stack(stack, small_stack().fit(unit_data))


def test_a_callback_that_returns_true_stops_after_a_layer(unit_data):
    recorder = Recorder(lambda model, number: number == 1)
    stack = small_stack((6, 5, 4)).set_callbacks(recorder).fit(unit_data)
    assert_same_stack(stack, small_stack((6, 5)).fit(unit_data))


def test_an_interrupt_in_a_callback_keeps_the_layer_and_is_raised(unit_data):
    stack = small_stack().set_callbacks(Recorder(interrupt))
    with pytest.raises(KeyboardInterrupt):
        stack.fit(unit_data)
    (layer,) = stack.estimators_
    assert_same_layer(layer, small_layer(6).fit(unit_data))


def test_callbacks_that_propagate_see_layer_and_epoch(unit_data):
    watcher = Watcher()
    stack = small_stack((6, 5, 4)).set_callbacks(watcher)
    stack.fit(unit_data, "labels")
    assert set(watcher.labels) == {"labels"}
    assert watcher.ended == [
        (number, epoch)
        for number, layer in enumerate(stack.estimators_)
        for epoch in range(layer.n_iter_)
    ]
    assert stack._skl_callbacks == [watcher]
    assert_no_trace(stack.set_callbacks())


def test_a_callback_that_returns_true_stops_a_layer_alone(unit_data):
    watcher = Watcher(stop_at=(0, 2))
    stack = small_stack().set_callbacks(watcher).fit(unit_data)
    first, second = stack.estimators_
    assert first.n_iter_ == 3
    assert second.n_iter_ > 3


def test_callbacks_reach_us_through_pipelines_and_searches(unit_data):
    watcher = Watcher()
    stack = small_stack(bias_spread=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("code", stack)])
    pipeline.set_callbacks(watcher).fit(unit_data)
    assert len(watcher.ended) == pipeline["code"].n_iter_
    search = GridSearchCV(
        pipeline.set_callbacks(), {"code__hidden_layer_sizes": [(3, 2)]}, cv=2
    )
    watcher = Watcher()
    search.set_callbacks(watcher).fit(unit_data)
    # Two folds and the refit, of two layers each.
    assert [place for place in watcher.ended if place[1] == 0] == 3 * [(0, 0), (1, 0)]


def test_a_scoring_monitor_logs_a_score_for_each_layer(digits):
    X, y = digits[0][:100], digits[1][:100]
    monitor = ScoringMonitor(
        scoring=lambda estimator, X, y: {"loss": -estimator.score(X)}
    )
    stack = small_stack((16, 8)).set_callbacks(monitor).fit(X, y)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "layer"]
    assert len(log) == 2
    assert log[-1]["loss"] == pytest.approx(-stack.score(X))
    first = small_stack((16,)).fit(X)
    assert log[0]["loss"] == pytest.approx(-first.score(X))


# ---- verbose --------------------------------------------------------------------


def assert_epochs_logged_once(text, stack):
    epochs = [int(number) for number in re.findall(r"epoch (\d+)/12: objective", text)]
    assert epochs == [
        number for layer in stack.estimators_ for number in range(1, layer.n_iter_ + 1)
    ]


def assert_logged_once(text, stack):
    """Each epoch once, in order, and which layer it is of."""
    assert_epochs_logged_once(text, stack)
    layers = [int(number) for number in re.findall(r"layer (\d+)\b", text)]
    assert sorted(set(layers)) == [*range(1, len(stack.estimators_) + 1)]
    assert layers == sorted(layers)


def test_verbose_shows_layers_and_their_epochs_in_a_bar(unit_data, capsys):
    stack = small_stack(verbose=1)
    out, err = shown(stack, unit_data, capsys)
    assert out.count("StackedCAE - fit") == 1
    for number in (1, 2):
        assert out.count(f"layer {number}/2 · epoch ") == 1
    assert err == ""
    assert_no_trace(stack)
    assert_same_stack(stack, small_stack().fit(unit_data))


@pytest.mark.usefixtures("without_rich")
def test_verbose_without_rich_shows_layers_and_their_epochs(unit_data, capsys):
    stack = small_stack(verbose=1)
    out, err = shown(stack, unit_data, capsys)
    assert out == ""
    assert_logged_once(err, stack)
    assert_no_trace(stack)
    assert_same_stack(stack, small_stack().fit(unit_data))


def test_verbose_inside_a_pipeline_logs(unit_data, capsys):
    pipeline = Pipeline([("code", small_stack(verbose=1))])
    out, err = shown(pipeline, unit_data, capsys)
    assert out == ""
    assert_logged_once(err, pipeline["code"])


def test_verbose_is_heard_once_where_logging_is_set_up(unit_data, caplog, capsys):
    caplog.set_level(logging.INFO, logger="skcae")
    pipeline = Pipeline([("code", small_stack(verbose=1))]).fit(unit_data)
    assert_logged_once(caplog.text, pipeline["code"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [1, None])
def test_verbose_beside_a_progress_bar_shows_one(depth, unit_data, capsys):
    bar = ProgressBar(max_propagation_depth=depth)
    out, err = shown(small_stack(verbose=1).set_callbacks(bar), unit_data, capsys)
    assert out.count("StackedCAE - fit") == 1
    assert out.count("ContractiveAutoencoder - fit") == 2
    assert err == ""


def test_verbose_beside_a_bar_that_ends_above_the_layers_logs(unit_data, capsys):
    """The log shows the epochs, which the bar does not."""
    stack = small_stack(verbose=1).set_callbacks(ProgressBar(max_propagation_depth=0))
    out, err = shown(stack, unit_data, capsys)
    assert out.count("StackedCAE - fit") == 1
    assert "ContractiveAutoencoder" not in out
    assert_epochs_logged_once(err, stack)


def test_a_bar_on_the_pipeline_shows_our_epochs(unit_data, capsys):
    pipeline = Pipeline([("code", small_stack(verbose=1))])
    pipeline.set_callbacks(ProgressBar(max_propagation_depth=None))
    out, err = shown(pipeline, unit_data, capsys)
    assert out.count("ContractiveAutoencoder - fit") == 2
    assert err == ""


@pytest.mark.parametrize("rich", [True, False])
def test_verbose_leaves_no_trace(rich, unit_data, request):
    if not rich:
        request.getfixturevalue("without_rich")
    logger = logging.getLogger("skcae")
    stack = small_stack(verbose=1).fit(unit_data)
    assert_no_trace(stack)
    stack.set_params(activation="identity", **DIVERGENT_ABOVE)
    with pytest.raises(ValueError, match="diverged"):
        stack.fit(unit_data)
    assert_no_trace(stack)
    recorder = Recorder()
    stack = small_stack(verbose=1).set_callbacks(recorder).fit(unit_data)
    assert stack._skl_callbacks == [recorder]
    assert logger.handlers == []
    assert logger.level == logging.NOTSET


# ---- scikit-learn's own checks --------------------------------------------------


def test_a_warm_start_that_a_callback_ends_keeps_the_layers_above(unit_data):
    stack = small_stack((6, 5, 4), warm_start=True).fit(unit_data)
    above = pickle.loads(pickle.dumps(stack.estimators_[1:]))
    stack.set_callbacks(Recorder(lambda model, number: number == 0)).fit(unit_data)
    assert len(stack.estimators_) == 3
    for layer, before in zip(stack.estimators_[1:], above, strict=True):
        assert_same_layer(layer, before)
