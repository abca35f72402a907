"""The progress bar with epochs and objectives, and what verbose says of them."""

import io
import logging
import subprocess
import sys

import numpy as np
import pytest
import rich
from joblib.externals.loky import get_reusable_executor
from rich.console import Console
from sklearn.callback import ProgressBar
from sklearn.callback._progressbar import _run_monitors, _run_queues
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)
from skcae._fit.epochs import Fit
from skcae.checkpoints import Checkpoint, resume
from skcae.persistence import load, save
from skcae.progress import EpochBar, EpochMonitor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HOW = {"max_iter": 4, "random_state": 0}
LABELS = np.arange(40) % 3


@pytest.fixture
def screen(monkeypatch):
    """What rich draws on: wide enough for every text, and kept."""
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(rich, "_console", console)
    return console.file


@pytest.fixture
def texts(screen, monkeypatch):
    """The texts of all bars, from top to bottom, after each task that ended."""
    seen = []

    class Recording(EpochMonitor):
        def _on_task_end(self, task_info):
            super()._on_task_end(task_info)
            tasks = [self.progress_ctx.tasks[task.id] for task in self.root_rich_task]
            seen.append([task.description for task in tasks])

    monkeypatch.setattr("skcae.progress.EpochMonitor", Recording)
    return seen


@pytest.fixture
def fresh_workers():
    """End the idle worker processes of earlier tests.

    joblib can lose a task that comes in the moment in which they end of themselves,
    and then waits for it without end.
    """
    get_reusable_executor(reuse=True).shutdown()


def lines_of(name, model, n_before=0):
    """What the bar of a fit says after each epoch, from the fitted model."""
    held_out = getattr(model, "validation_loss_curve_", None)
    held_out = getattr(model, "validation_error_curve_", held_out)
    for k in range(n_before, model.n_iter_):
        text = f"{name} · epoch {k + 1}/{model.max_iter} · "
        text += f"objective {model.loss_curve_[k]:.4g}"
        yield text if held_out is None else f"{text}, held out {held_out[k]:.4g}"


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    "cls", [ContractiveAutoencoder, Autoencoder, DenoisingAutoencoder]
)
def test_a_bar_tells_each_epoch_and_its_objective(
    cls, early_stopping, texts, unit_data
):
    model = cls(5, early_stopping=early_stopping, **HOW).set_callbacks(EpochBar())
    model.fit(unit_data)
    lines = list(lines_of(cls.__name__, model))
    assert texts == [[line] for line in [*lines, lines[-1]]]
    assert len(set(lines)) == model.n_iter_ == 4


def test_a_bar_of_a_stack_numbers_the_layers(texts, screen, unit_data):
    stack = StackedCAE((6, 5, 4), **HOW).set_callbacks(EpochBar()).fit(unit_data)
    layers = [
        f"  {[*lines_of(f'layer {k}/3', layer)][-1]}"
        for k, layer in enumerate(stack.estimators_, 1)
    ]
    assert texts[-1] == ["StackedCAE - fit", *layers]
    drawn = screen.getvalue().splitlines()
    assert [line.partition(" ━")[0].rstrip() for line in drawn] == texts[-1]
    assert all("100%" in line for line in drawn)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    ("cls", "y"), [(FineTunedClassifier, LABELS), (FineTunedRegressor, LABELS / 2)]
)
def test_a_bar_of_a_fine_tuning_shows_both_trainings(
    cls, y, early_stopping, texts, unit_data
):
    encoder = StackedCAE((6, 5), **HOW)
    model = cls(encoder, early_stopping=early_stopping, **HOW)
    model.set_callbacks(EpochBar()).fit(unit_data, y)
    layers = model.encoder_.estimators_
    assert texts[-1] == [
        f"{cls.__name__} - fit",
        f"  {cls.__name__} - pre-training | StackedCAE - fit #0",
        *[
            f"    {[*lines_of(f'layer {k}/2', layer)][-1]}"
            for k, layer in enumerate(layers, 1)
        ],
        f"  {[*lines_of('fine-tuning', model)][-1]}",
    ]


@pytest.mark.usefixtures("fresh_workers")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_bar_of_a_search_tells_the_epochs_of_all_fits(n_jobs, screen, unit_data):
    steps = [("code", ContractiveAutoencoder(5, **HOW)), ("last", LogisticRegression())]
    search = GridSearchCV(Pipeline(steps), {"code__tol": [0.1, 0.2]}, cv=2)
    search.set_params(n_jobs=n_jobs).set_callbacks(EpochBar()).fit(unit_data, LABELS)
    drawn = screen.getvalue()
    assert drawn.count("ContractiveAutoencoder · epoch 4/4 · objective ") == 5
    best = search.best_estimator_["code"]
    assert [*lines_of("ContractiveAutoencoder", best)][-1] in drawn
    # The fits of others are as scikit-learn names them.
    assert drawn.count("LogisticRegression - fit") == 5


def test_a_depth_ends_the_bars_where_it_says(screen, unit_data):
    StackedCAE((6, 5), **HOW).set_callbacks(EpochBar(0)).fit(unit_data)
    assert "StackedCAE - fit" in screen.getvalue()
    assert "epoch" not in screen.getvalue()
    with pytest.raises(ValueError, match="max_propagation_depth"):
        EpochBar(-1)


def test_a_bar_goes_on_where_a_checkpoint_did(texts, unit_data, tmp_path):
    class PowerFailure:
        def setup(self, estimator, context):
            """Nothing to do."""

        teardown = on_fit_task_begin = setup

        def on_fit_task_end(self, estimator, context):
            if context.task_id == 2:
                raise OSError("no power")

    path = tmp_path / "training.skops"
    model = Autoencoder(5, **HOW).set_callbacks(Checkpoint(path), PowerFailure())
    with pytest.raises(OSError, match="no power"):
        model.fit(unit_data)
    whole = resume(path, unit_data, callbacks=(EpochBar(),))
    assert texts[0] == [*lines_of("Autoencoder", whole, n_before=3)]


def test_nothing_is_copied_or_changed_for_a_bar(
    screen, unit_data, monkeypatch, tmp_path
):
    plain = StackedCAE((6, 5), **HOW).fit(unit_data)

    def copied(*args):
        raise AssertionError("The weights are copied.")

    monkeypatch.setattr(Fit, "attributes_now", copied)
    stack = StackedCAE((6, 5), **HOW).set_callbacks(EpochBar()).fit(unit_data)
    assert "epoch 4/4" in screen.getvalue()
    np.testing.assert_array_equal(
        stack.transform(unit_data), plain.transform(unit_data)
    )
    assert vars(stack).keys() - vars(plain).keys() == {"_skl_callbacks"}
    save(stack, tmp_path / "stack")
    assert vars(load(tmp_path / "stack")).keys() == vars(plain).keys()


def test_a_bar_ends_with_a_fit_that_fails(screen, unit_data):
    model = Autoencoder(5, learning_rate=1e200, solver="sgd", **HOW)
    with pytest.raises(ValueError, match="diverged"):
        model.set_callbacks(EpochBar()).fit(unit_data * 1e3)
    assert "Autoencoder · epoch 1/4 · objective " in screen.getvalue()
    assert _run_monitors == _run_queues == {}


@pytest.mark.parametrize("early_stopping", [False, True])
def test_callbacks_find_the_objective_with_the_task(early_stopping, unit_data):
    class Objectives:
        def setup(self, estimator, context):
            self.found = []

        def teardown(self, estimator, context):
            """Nothing to do."""

        on_fit_task_begin = teardown

        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch":
                self.found.append((context.objective, context.held_out))

    callback = Objectives()
    model = Autoencoder(5, early_stopping=early_stopping, **HOW)
    model.set_callbacks(callback).fit(unit_data)
    held_out = model.validation_loss_curve_ if early_stopping else [None] * 4
    assert callback.found == [*zip(model.loss_curve_, held_out, strict=True)]


def test_verbose_shows_the_epochs_of_a_stack(screen, unit_data):
    model = FineTunedClassifier(StackedCAE((6, 5), **HOW), verbose=1, **HOW)
    model.fit(unit_data, LABELS)
    for name in ("layer 1/2", "layer 2/2", "fine-tuning"):
        assert f"{name} · epoch 4/4 · objective " in screen.getvalue()
    assert not hasattr(model, "_skl_callbacks")


def test_a_bar_counts_as_scikit_learns(screen, unit_data):
    assert isinstance(EpochBar(), ProgressBar)
    model = Autoencoder(5, verbose=1, **HOW).set_callbacks(EpochBar())
    model.fit(unit_data)
    assert screen.getvalue().count("Autoencoder") == 1


def test_the_log_says_what_is_of_held_out_data(unit_data, caplog):
    caplog.set_level(logging.INFO, logger="skcae")
    encoder = Autoencoder(5, **HOW)
    model = FineTunedClassifier(encoder, early_stopping=True, verbose=1, **HOW)
    Pipeline([("net", model)]).fit(unit_data, LABELS)
    first, *_ = zip(model.loss_curve_, model.validation_error_curve_, strict=True)
    expected = "epoch 1/4: objective {:.6g}, held out {:.6g}".format(*first)
    assert expected in caplog.messages


def test_without_rich_a_bar_says_what_to_install():
    code = "import sys; sys.modules['rich'] = None; from skcae.progress import EpochBar"
    out = subprocess.run(
        [sys.executable, "-c", f"{code}; EpochBar()"], capture_output=True, text=True
    )
    assert 'EpochBar needs rich; install it with pip install "skcae[progress]"' in (
        out.stderr
    )
