"""scikit-learn's callbacks, and what `verbose` shows."""

import io
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder

# scikit-learn's SVMs have no callbacks and say so.
ignore_svm = pytest.mark.filterwarnings("ignore:The estimator LinearSVC does not")


class Recorder:
    """Notes each epoch that ends; may stop the fit, or interrupt it, after some."""

    def __init__(self, stop_after=None, interrupt_after=None):
        self.stop_after = stop_after
        self.interrupt_after = interrupt_after
        self.begun, self.ended, self.models = [], [], []
        self.is_set_up = False

    def setup(self, estimator, context):
        self.is_set_up = True

    def teardown(self, estimator, context):
        self.is_set_up = False

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        assert self.is_set_up
        self.ended.append((context.task_name, context.task_id, X, y, metadata))
        if context.task_name != "epoch":
            return False
        self.models.append(fitted_estimator)
        if context.task_id + 1 == self.interrupt_after:
            raise KeyboardInterrupt
        return context.task_id + 1 == self.stop_after


class Propagated(Recorder):
    """A recorder that reaches the steps of pipelines and searches."""

    max_propagation_depth = None

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.ended.append(context.estimator_name)


def test_one_task_for_each_epoch(small, unit_data):
    recorder = Recorder()
    weights = np.ones(40)
    model = small().set_callbacks(recorder)
    model.fit(unit_data, y="labels", sample_weight=weights)
    assert recorder.begun == ["fit", *["epoch"] * model.n_iter_]
    names = [name for name, *_ in recorder.ended]
    assert names == [*["epoch"] * model.n_iter_, "fit"]
    assert not recorder.is_set_up
    for _, _, X, y, metadata in recorder.ended:
        assert X is unit_data
        assert y == "labels"
        assert metadata["sample_weight"] is weights


@pytest.mark.parametrize("tied_weights", [True, False])
def test_callbacks_see_the_model_as_it_is_at_each_epoch(tied_weights, small, unit_data):
    recorder = Recorder()
    model = small(tied_weights=tied_weights).set_callbacks(recorder).fit(unit_data)
    scores = [seen.score(unit_data) for seen in recorder.models]
    assert [seen.n_iter_ for seen in recorder.models] == [*range(1, model.n_iter_ + 1)]
    assert len(set(scores)) == model.n_iter_
    assert scores[-1] == model.score(unit_data)
    assert recorder.models[0].inverse_transform(np.ones((2, 6))).shape == (2, 8)


def test_callbacks_of_a_refit_see_nothing_of_the_old_model(small, unit_data):
    """Untied, wide, early stopped and with names before; none of it afterwards."""
    frame = pd.DataFrame(unit_data, columns=list("abcdefgh"))
    model = small(tied_weights=False, n_components=9, early_stopping=True).fit(frame)
    model.set_params(tied_weights=True, n_components=6, early_stopping=False)
    recorder = Recorder()
    model.set_callbacks(recorder).fit(unit_data)
    fresh = Recorder()
    small().set_callbacks(fresh).fit(unit_data)
    for seen, expected in zip(recorder.models, fresh.models, strict=True):
        assert seen.score(unit_data) == expected.score(unit_data)


def test_callbacks_cannot_change_the_fit(small, unit_data):
    class Vandal(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch":
                fitted_estimator.components_[:] = 0
                fitted_estimator.partial_fit(unit_data)

    model = small(early_stopping=True).set_callbacks(Vandal()).fit(unit_data)
    plain = small(early_stopping=True).fit(unit_data)
    np.testing.assert_array_equal(model.components_, plain.components_)


def test_a_callback_that_returns_true_stops_the_fit(small, unit_data):
    model = small().set_callbacks(Recorder(stop_after=4)).fit(unit_data)
    assert model.n_iter_ == 4
    whole = small(max_iter=12, tol=0, learning_rate_schedule="constant")
    with pytest.warns(ConvergenceWarning):
        whole.set_callbacks(Recorder()).fit(unit_data)
    assert whole.n_iter_ == 12


def test_callbacks_change_nothing(small, digits):
    X = digits[0][:150]
    watched = small().set_callbacks(Recorder()).fit(X)
    np.testing.assert_array_equal(watched.components_, small().fit(X).components_)


def test_an_interrupt_in_a_callback_keeps_the_epoch_and_is_raised(small, unit_data):
    recorder = Recorder(interrupt_after=3)
    model = small().set_callbacks(recorder)
    with pytest.raises(KeyboardInterrupt):
        model.fit(unit_data)
    assert model.n_iter_ == 3
    assert not recorder.is_set_up
    # A search does not take the truncated fit for a whole one.
    search = GridSearchCV(model, {"n_components": [2]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.fit(unit_data)


@ignore_svm
def test_callbacks_reach_us_through_pipelines_and_searches(small_contractive, digits):
    X, y = digits
    recorder = Propagated()
    pipeline = Pipeline(
        [
            ("scale", StandardScaler()),
            ("code", small_contractive()),
            ("svm", LinearSVC()),
        ]
    )
    pipeline.set_callbacks(recorder).fit(X[:100], y[:100])
    assert len(recorder.ended) == pipeline["code"].n_iter_
    assert set(recorder.ended) == {"ContractiveAutoencoder"}

    recorder = Propagated()
    search = GridSearchCV(
        pipeline.set_callbacks(), {"code__n_components": [2, 3]}, cv=2
    )
    search.set_callbacks(recorder).fit(X[:100], y[:100])
    assert len(recorder.ended) >= 5 * 6


@ignore_svm
@pytest.mark.parametrize(("depth", "shown"), [(1, False), (None, True)])
def test_a_progress_bar_on_the_search_shows_our_epochs(
    depth, shown, small_contractive, digits, capsys
):
    X, y = digits
    pipeline = Pipeline([("code", small_contractive()), ("svm", LinearSVC())])
    search = GridSearchCV(pipeline, {"code__n_components": [2, 3]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=depth))
    search.fit(X[:100], y[:100])
    assert ("ContractiveAutoencoder - fit" in capsys.readouterr().out) is shown


def test_a_scoring_monitor_logs_a_score_for_each_epoch(small, digits):
    X, y = digits
    monitor = ScoringMonitor(
        scoring=lambda estimator, X, y: {"loss": -estimator.score(X)}
    )
    model = small().set_callbacks(monitor).fit(X, y)
    log = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(log) == model.n_iter_
    assert log[-1]["loss"] == pytest.approx(-model.score(X))
    assert log[-1]["loss"] < log[0]["loss"]

    # Without a y scikit-learn logs the epochs but no scores.
    model.fit(X)
    assert all("loss" not in row for row in monitor.get_logs().data)


SCRIPT = """
import sys
if {without_rich}:
    sys.modules["rich"] = None
    import importlib.util
    find_spec = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *a: (
        None if name == "rich" else find_spec(name, *a)
    )
import numpy as np
from skcae import ContractiveAutoencoder
X = np.random.default_rng(0).random((40, 8))
how = {{"max_iter": 30, "tol": 0.5, "random_state": 0}}
ContractiveAutoencoder(4, verbose=1, **how).fit(X)
"""


@pytest.mark.parametrize("without_rich", [True, False])
def test_verbose_shows_in_a_plain_script(without_rich):
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(without_rich=without_rich)],
        capture_output=True,
        text=True,
        check=True,
    )
    if without_rich:
        assert "epoch 1/30: objective " in out.stderr
        assert out.stdout == ""
    else:
        assert "ContractiveAutoencoder · epoch 20/30 · objective 0." in out.stdout
        assert "epoch 1/30" not in out.stderr


class NotebookStream(io.StringIO):
    """Where the kernel of a notebook shows what goes to standard error: in red."""

    __module__ = "ipykernel.iostream"


def test_verbose_is_not_red_in_a_notebook(small, unit_data, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", NotebookStream())
    logger = logging.getLogger("skcae")
    monkeypatch.setattr(logger, "propagate", False)  # as if nobody had set up logging
    Pipeline([("code", small(verbose=1))]).fit(unit_data)
    assert "epoch 1/12: objective" in capsys.readouterr().out
    assert sys.stderr.getvalue() == ""
    assert logger.handlers == []


def test_verbose_inside_a_pipeline_logs(small, unit_data, caplog):
    caplog.set_level(logging.INFO, logger="skcae")
    Pipeline([("code", small(verbose=1))]).fit(unit_data)
    assert "epoch 1/12: objective" in caplog.text


def test_verbose_leaves_no_trace(small_contractive, unit_data, capsys):
    logger = logging.getLogger("skcae")
    model = small_contractive(verbose=1, learning_rate=1e-3).fit(unit_data)
    assert not hasattr(model, "_skl_callbacks")
    recorder = Recorder()
    model.set_callbacks(recorder).fit(unit_data)
    assert model._skl_callbacks == [recorder]
    Pipeline([("code", small_contractive(verbose=1))]).fit(unit_data)
    assert logger.handlers == []
    assert logger.level == logging.NOTSET
    assert "ContractiveAutoencoder · epoch " in capsys.readouterr().out


def test_verbose_beside_a_progress_bar_shows_one(small_contractive, unit_data, capsys):
    small_contractive(verbose=1).set_callbacks(ProgressBar()).fit(unit_data)
    assert capsys.readouterr().out.count("ContractiveAutoencoder - fit") == 1


def test_silent_by_default(small, unit_data, capfd):
    small().fit(unit_data)
    ContractiveAutoencoder(4, max_iter=20, tol=0.5).fit(unit_data)
    assert capfd.readouterr() == ("", "")
