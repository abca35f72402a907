"""A search over λ on joblib's Dask backend, as docs/guide/cluster.md shows it."""

import inspect
import multiprocessing
import os
import time
from pathlib import Path

import dask.array
import numpy as np
import pytest
import torch
from dask.distributed import Client, LocalCluster, WorkerPlugin, get_client
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder
from skcae.progress import EpochBar

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "cluster.md"
PENALTIES = [0.0, 0.1, 1.0]
N_FITS = 2 * len(PENALTIES)  # of two folds, on the workers; the refit takes place here

# The steps of a pipeline without callbacks say so, on the workers as anywhere.
ignore_steps = pytest.mark.filterwarnings(
    "ignore:The estimator (LinearSVC|MinMaxScaler) does not"
)


class OneDevice(WorkerPlugin):
    """Show each worker the device of its number, before anything uses CUDA."""

    def setup(self, worker):
        os.environ["CUDA_VISIBLE_DEVICES"] = str(worker.name)


class EpochLog:
    """Send the score of each epoch to Dask's scheduler, from whatever machine."""

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        if context.task_name == "epoch":
            score = fitted_estimator.score(X)
            row = (estimator.jacobian_penalty, context.task_id, score)
            get_client().log_event("epochs", row)

    def teardown(self, estimator, context):
        pass


@pytest.fixture(scope="module")
def client():
    """Make a cluster of two worker processes, whose scheduler is in this one."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def host(connection):
    """Run a cluster in a process of its own until told to stop."""
    with LocalCluster(
        n_workers=1,
        # With one in all, joblib would leave the cluster alone.
        threads_per_worker=2,
        # But callbacks in two threads of a process would mix up their messages.
        resources={"fit": 1},
        processes=False,
        protocol="tcp",
        dashboard_address=None,
    ) as cluster:
        connection.send(cluster.scheduler_address)
        connection.recv()


@pytest.fixture
def client_of_another_process():
    """Connect to a cluster whose scheduler and worker are in one other process."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=host, args=(there,))
    process.start()
    there.close()
    # Not the default client: that stays the module's.
    with Client(here.recv(), set_as_default=False) as client:
        yield client
    here.send("stop")
    process.join()


@pytest.fixture
def data(digits):
    X, y = digits
    return X[:200], y[:200]


def autoencoder(*callbacks):
    model = ContractiveAutoencoder(8, max_iter=12, tol=0.5, random_state=0)
    return model.set_callbacks(*callbacks)


def search_of(model, **how):
    """Search over λ of a bare autoencoder, or of the step `code` of a pipeline."""
    prefix = "code__" if isinstance(model, Pipeline) else ""
    return GridSearchCV(
        model,
        {f"{prefix}jacobian_penalty": PENALTIES},
        cv=2,
        error_score="raise",
        **how,
    )


def pipeline():
    return Pipeline(
        [("scale", MinMaxScaler()), ("code", autoencoder()), ("svm", LinearSVC())]
    )


def results_of(search):
    """The scores of each fold, which unlike the times are the same anywhere."""
    return {
        name: column
        for name, column in search.cv_results_.items()
        if "score" in name and "time" not in name
    }


def scores_of(monitor):
    """Each score that a monitor has, by the fit and the epoch that it is of."""
    return {
        row["task_id_path"]: row["score"]
        for row in monitor.get_logs().data
        if "score" in row
    }


def loss(estimator, X, y):
    return {"score": estimator.score(X)}


def device_number(estimator, X, y):
    return {"score": estimator.score(X), "device": int(visible_devices())}


def wait_until(condition, seconds=20):
    """Wait for what arrives a moment later."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def visible_devices():
    return os.environ["CUDA_VISIBLE_DEVICES"]


def lookup(rows, path):
    return np.load(path, mmap_mode="r")[rows.ravel()]


class Shard:
    """The blocks of a Dask array that are this rank's, one at a time."""

    def __init__(self, array, rank, size):
        self.blocks = array.blocks
        self.numbers = range(rank, array.numblocks[0], size)

    def __iter__(self):
        for number in self.numbers:
            yield self.blocks[number].compute(scheduler="synchronous")


def test_the_shards_of_an_array_are_all_its_rows_once(data):
    X, _ = data
    array = dask.array.from_array(X, chunks=(20, -1))
    shards = [Shard(array, rank, 3) for rank in range(3)]
    rows = np.concatenate([block for shard in shards for block in shard])
    assert_array_equal(np.unique(rows, axis=0), np.unique(X, axis=0))
    assert len(rows) == len(X)
    model = ContractiveAutoencoder(4, max_iter=2, n_iter_no_change=np.inf)
    assert model.fit(shards[0]).n_iter_ == 2


@pytest.mark.parametrize("shown", [EpochLog, OneDevice, Shard, lookup])
def test_the_guide_shows_what_is_tested_here(shown):
    assert inspect.getsource(shown) in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("make", [autoencoder, pipeline])
def test_the_results_are_those_of_the_search_without_a_cluster(make, client, data):
    X, y = data
    alone, spread = (search_of(make()) for _ in range(2))
    alone.fit(X, y)
    with parallel_config("dask"):
        spread.fit(X, y)
    assert len(results_of(alone)) == 5
    for name, column in results_of(alone).items():
        assert_allclose(spread.cv_results_[name], column, rtol=1e-9)
    assert spread.best_params_ == alone.best_params_
    models = [search.best_estimator_ for search in (alone, spread)]
    if make is pipeline:
        assert_array_equal(models[1].predict(X), models[0].predict(X))
        models = [model["code"] for model in models]
    assert_allclose(models[1].components_, models[0].components_, rtol=1e-9)


@ignore_steps
@pytest.mark.parametrize(
    ("bar", "text"),
    [
        (ProgressBar(max_propagation_depth=None), "ContractiveAutoencoder - fit"),
        (EpochBar(), "ContractiveAutoencoder · epoch "),
    ],
)
def test_a_progress_bar_shows_what_the_workers_do(bar, text, client, data, capsys):
    search = search_of(pipeline())
    search.set_callbacks(bar)
    with parallel_config("dask"):
        search.fit(*data)
    shown = capsys.readouterr().out.splitlines()
    of_fits = [line for line in shown if text in line]
    assert len(of_fits) == N_FITS + 1
    assert all("100%" in line for line in of_fits)


def test_a_scoring_monitor_hears_of_every_epoch(client_of_another_process, data):
    alone, spread = (ScoringMonitor(scoring=loss) for _ in range(2))
    search_of(autoencoder(alone)).fit(*data)
    one_at_a_time = {"client": client_of_another_process, "resources": {"fit": 1}}
    with parallel_config("dask", **one_at_a_time):
        search_of(autoencoder(spread)).fit(*data)
    expected = scores_of(alone)
    assert len(expected) > 5 * N_FITS
    assert scores_of(spread) == pytest.approx(expected, rel=1e-9)


def test_a_scoring_monitor_hears_nothing_with_the_scheduler_in_its_process(
    client, data
):
    """A limit of scikit-learn's; if this fails, docs/guide/cluster.md can be mended.

    The scheduler unpickles each task before it sends it on. A monitor that is unpickled
    in the process that made it begins a log of its own, and the worker reports to that.
    """
    monitor = ScoringMonitor(scoring=loss)
    search = search_of(autoencoder(monitor))
    with parallel_config("dask"):
        search.fit(*data)
    assert len(scores_of(monitor)) == search.best_estimator_.n_iter_ + 1


def test_a_callback_may_report_by_dask(client, data):
    events = []
    client.subscribe_topic("epochs", events.append)
    search = search_of(autoencoder(EpochLog()))
    with parallel_config("dask"):
        search.fit(*data)
    wait_until(lambda: len(events) == len(client.get_events("epochs")))
    rows = [row for _, row in events]
    best = search.best_estimator_
    assert {penalty for penalty, *_ in rows} == set(PENALTIES)
    of_first_epochs = [row for row in rows if row[1] == 0]
    assert len(of_first_epochs) == N_FITS + 1
    # The refit comes last, and here.
    assert rows[-1] == (best.jacobian_penalty, best.n_iter_ - 1, best.score(data[0]))


def test_each_worker_has_a_device_of_its_own(client, data):
    client.register_plugin(OneDevice())
    assert sorted(client.run(visible_devices).values()) == ["0", "1"]
    search = search_of(autoencoder(), scoring=device_number, refit=False)
    with parallel_config("dask"):
        search.fit(*data)
    devices = [search.cv_results_[f"split{k}_test_device"] for k in range(2)]
    assert np.shape(devices) == (2, len(PENALTIES))
    assert set(np.ravel(devices)) <= {0, 1}


def test_the_best_model_can_be_fitted_on_a_worker(client, data):
    X, _ = data
    model = autoencoder().set_params(jacobian_penalty=0.1)
    fitted = client.submit(clone(model).fit, X).result()
    assert_allclose(fitted.components_, model.fit(X).components_, rtol=1e-9)


def test_a_worker_has_one_of_torchs_threads(client):
    assert set(client.run(torch.get_num_threads).values()) == {1}


def test_rows_that_the_workers_read_themselves(client, data, tmp_path):
    X, y = data
    np.save(tmp_path / "X.npy", X)
    read = FunctionTransformer(lookup, kw_args={"path": tmp_path / "X.npy"})
    reading = Pipeline([("read", read), ("code", autoencoder())])
    search = search_of(reading, refit=False)
    with parallel_config("dask"):
        search.fit(np.arange(len(X))[:, None], y)
    whole = search_of(autoencoder(), refit=False).fit(X, y)
    assert_allclose(
        search.cv_results_["mean_test_score"],
        whole.cv_results_["mean_test_score"],
        rtol=1e-9,
    )
