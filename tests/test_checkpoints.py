"""Checkpoints, and trainings that are taken up from them."""

import copy
import errno
import os
import resource
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    PatchEncoder,
    StackedCAE,
)
from skcae._core.data.disk import write_whole
from skcae._fit.attributes import CURVES
from skcae.checkpoints import Checkpoint, resume
from skcae.persistence import get_weights, load, save
from skcae.persistence._files import DATA, read
from tests.test_callbacks import Propagated

HOW = {"max_iter": 12, "tol": 1e-9, "random_state": 0}
MODELS = {
    "adam": ContractiveAutoencoder(6, hessian_penalty=0.1, **HOW),
    "momentum": Autoencoder(
        6, solver="sgd", learning_rate=1e-3, tied_weights=False, **HOW
    ),
    "descent": DenoisingAutoencoder(
        6, solver="sgd", momentum=0.0, learning_rate=1e-3, **HOW
    ),
    "noise": ContractiveAutoencoder(6, hessian_penalty=0.1, hessian_noise=0.1, **HOW),
    "early stopping": DenoisingAutoencoder(
        6, early_stopping=True, n_iter_no_change=2, **{**HOW, "max_iter": 40}
    ),
    "annealing": ContractiveAutoencoder(
        6, n_iter_no_change=4, **{**HOW, "tol": 0.1, "max_iter": 16}
    ),
    "constant": Autoencoder(6, learning_rate_schedule="constant", **HOW),
    "deep": DeepCAE((6, 4), decoder_jacobian_penalty=0.01, **HOW),
    "probes": DeepCAE((6, 4), jacobian_method="probes", early_stopping=True, **HOW),
    "convolutional": ConvolutionalCAE(4, 3, pool="average", **HOW),
    "one layer": StackedCAE((6,), **HOW),
    "stack": StackedCAE((6, 4, 3), **{**HOW, "max_iter": 4}),
    "stack, early stopping": StackedCAE(
        (6, 4), early_stopping=True, n_iter_no_change=2, **HOW
    ),
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Copies(Checkpoint):
    """Keeps every checkpoint in a file of its own."""

    def _write(self, model):
        super()._write(model)
        earlier = getattr(self, "files", [])
        self.files = [*earlier, Path(f"{self.path}.{len(earlier)}")]
        Path(self.path).rename(self.files[-1])


def assert_same(model, expected):
    """Bit for bit, and all that training goes on from too."""
    weights, others = get_weights(model), get_weights(expected)
    assert weights.keys() == others.keys()
    for name, array in weights.items():
        assert_array_equal(array, others[name])
    assert model.n_iter_ == expected.n_iter_
    for one, other in zip(layers(model), layers(expected), strict=True):
        for curve in (*CURVES, "validation_loss_curve_"):
            assert_array_equal(getattr(one, curve, ()), getattr(other, curve, ()))
        state, expected_state = one._training_state, other._training_state
        assert state.keys() == expected_state.keys()
        assert_array_equal(state["generator"], expected_state["generator"])
        for name, array in expected_state["solver_state"].items():
            assert_array_equal(state["solver_state"][name], array)


def layers(model):
    return getattr(model, "estimators_", [model])


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_fit_ends_the_same_from_every_checkpoint(model, digits, tmp_path):
    X, _ = digits
    X = X[:400]
    callback = Copies(tmp_path / "training.skops")
    whole = copy.deepcopy(model).set_callbacks(callback).fit(X)
    assert len(callback.files) > whole.n_iter_
    for file in callback.files:
        assert_same(resume(file, X), whole)
    undisturbed = copy.deepcopy(model).fit(X)
    assert_same(undisturbed, whole)


def test_so_does_a_stack_without_a_seed(unit_data, tmp_path):
    """Layers that it has not begun have the seeds that they would have had."""
    callback = Copies(tmp_path / "training.skops")
    stack = StackedCAE((6, 4, 3), **{**HOW, "random_state": None, "max_iter": 3})
    whole = copy.deepcopy(stack).set_callbacks(callback).fit(unit_data)
    for file in callback.files:
        assert_same(resume(file, unit_data), whole)
    another = copy.deepcopy(stack).fit(unit_data)
    assert not np.array_equal(another.transform(unit_data), whole.transform(unit_data))


WIDE_ROWS = {
    "factored": {"solver": "sgd", "momentum": 0.0},
    "sampled": {"reconstruction_sampling": 0.5},
    "dense": {"solver": "adam"},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("learner", WIDE_ROWS)
def test_so_does_one_of_wide_sparse_rows(learner, dtype, tmp_path):
    X = sparse.csr_array(sparse.random(150, 400, 0.02, random_state=0, dtype=dtype))
    callback = Copies(tmp_path / "training.skops", every=3)
    model = ContractiveAutoencoder(6, **WIDE_ROWS[learner], **HOW)
    whole = model.set_callbacks(callback).fit(X)
    for file in callback.files:
        assert_same(resume(file, X), whole)


def test_a_checkpoint_is_the_model_of_its_epoch(small, unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops")
    small(tol=0).set_callbacks(callback).fit(unit_data)
    models = [load(file) for file in callback.files]
    assert [model.n_iter_ for model in models] == [*range(1, 13), 12]
    scores = [model.score(unit_data) for model in models]
    assert len(set(scores)) == 12


def test_every_so_many_epochs_and_at_the_end(small, unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops", every=5)
    small(tol=0).set_callbacks(callback).fit(unit_data)
    assert [load(file).n_iter_ for file in callback.files] == [5, 10, 12]


def test_with_weights_held_out_rows_and_names(tmp_path, digits):
    import pandas as pd

    X, _ = digits
    frame = pd.DataFrame(X[:200]).rename(columns=str)
    how = {
        "sample_weight": np.linspace(0.0, 2.0, 200),
        "X_val": frame[:50],
        "sample_weight_val": np.ones(50),
    }
    callback = Copies(tmp_path / "training.skops", every=4)
    model = ContractiveAutoencoder(6, early_stopping=True, **HOW)
    whole = model.set_callbacks(callback).fit(frame, **how)
    for file in callback.files:
        again = resume(file, frame, **how)
        assert_same(again, whole)
        assert again.get_feature_names_out().tolist() == [
            *model.get_feature_names_out()
        ]
        assert_array_equal(again.feature_names_in_, whole.feature_names_in_)


@pytest.mark.parametrize("model", ["adam", "stack"])
def test_of_a_warm_start(model, digits, tmp_path):
    X, _ = digits
    first = copy.deepcopy(MODELS[model]).set_params(warm_start=True).fit(X[:300])
    callback = Copies(tmp_path / "training.skops")
    whole = copy.deepcopy(first).set_callbacks(callback).fit(X[:300])
    assert whole.n_iter_ == 2 * first.n_iter_
    for file in callback.files:
        assert_same(resume(file, X[:300]), whole)


def test_a_model_seen_in_the_midst_of_its_fit_can_be_fitted_anew(unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops")
    whole = ContractiveAutoencoder(6, **HOW).set_callbacks(callback).fit(unit_data)
    model = load(callback.files[3])
    assert_same(model.fit(unit_data), whole)
    goes_on = load(callback.files[3]).set_params(warm_start=True).fit(unit_data)
    assert_array_equal(goes_on.loss_curve_[:4], whole.loss_curve_[:4])
    assert goes_on.n_iter_ > 4 + 6


def test_a_stack_seen_in_the_midst_of_its_fit_can_be_fitted_anew(unit_data, tmp_path):
    """Or go on, as one that was fitted so far: no layer takes up its old fit."""
    callback = Copies(tmp_path / "training.skops")
    stack = StackedCAE((6, 4), **HOW).set_callbacks(callback).fit(unit_data)
    for file in callback.files[::3]:
        assert_same(load(file).fit(unit_data), stack)
        goes_on = load(file).set_params(warm_start=True)
        before = [layer.n_iter_ for layer in goes_on.estimators_]
        goes_on.fit(unit_data[:30])
        for layer, n in zip(goes_on.estimators_, [*before, 0], strict=False):
            assert layer.n_iter_ > n + 6
            assert layer._progress is None


class Numbers(Propagated):
    """Notes the numbers of tasks, and may end the fit after one."""

    def __init__(self, last=None):
        super().__init__()
        self.last = last

    def on_fit_task_end(self, estimator, context):
        self.ended.append((context.task_name, context.task_id))
        return (context.task_name, context.task_id) == self.last


@pytest.mark.parametrize("model", ["adam", "stack"])
def test_callbacks_see_the_rest_of_the_fit_under_its_numbers(model, digits, tmp_path):
    X = digits[0][:200]
    callback, every = Copies(tmp_path / "training.skops"), Numbers()
    copy.deepcopy(MODELS[model]).set_callbacks(callback, every).fit(X)
    for file in callback.files[:-1]:
        seen = Numbers()
        again = resume(file, X, callbacks=(seen,))
        assert seen.ended == every.ended[-len(seen.ended) :]
        assert not hasattr(again, "_skl_callbacks")


def test_a_callback_ends_the_resumed_fit_where_it_ends_the_fit(unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops")
    stopped = ContractiveAutoencoder(6, **HOW)
    stopped.set_callbacks(callback, Numbers(last=("epoch", 7))).fit(unit_data)
    assert stopped.n_iter_ == 8
    stop = Numbers(last=("epoch", 7))
    assert_same(resume(callback.files[3], unit_data, callbacks=(stop,)), stopped)


def test_a_stack_is_fitted_where_another_error_is_handled(unit_data, tmp_path):
    """As in a script that resumes, or else begins."""
    path = tmp_path / "training.skops"
    try:
        resume(path, unit_data)
    except FileNotFoundError:
        stack = StackedCAE((6, 4), **HOW).set_callbacks(Copies(path)).fit(unit_data)
        begun = stack._skl_callbacks[0].files[3]
        resumed = resume(begun, unit_data)
    assert_same(stack, StackedCAE((6, 4), **HOW).fit(unit_data))
    assert_same(resumed, stack)


class Derived(ContractiveAutoencoder):
    """One of a user's own."""


def test_a_class_of_ones_own_is_resumed_if_it_is_trusted(unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops")
    whole = Derived(6, **HOW).set_callbacks(callback).fit(unit_data)
    with pytest.raises(TypeError, match=r"was not loaded: .*Derived"):
        resume(callback.files[3], unit_data)
    name = f"{Derived.__module__}.Derived"
    assert_same(resume(callback.files[3], unit_data, trusted=[name]), whole)


def test_the_path_is_that_of_the_beginning(unit_data, tmp_path, monkeypatch):
    class Elsewhere(Propagated):
        def on_fit_task_end(self, estimator, context):
            monkeypatch.chdir(elsewhere)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    model = ContractiveAutoencoder(6, **HOW)
    model.set_callbacks(Elsewhere(), Checkpoint("training.skops")).fit(unit_data)
    assert load(tmp_path / "training.skops").n_iter_ == model.n_iter_
    assert not list(elsewhere.iterdir())


def test_in_a_pipeline(unit_data, tmp_path):
    path = tmp_path / "training.skops"
    model = ContractiveAutoencoder(6, **HOW).set_callbacks(Checkpoint(path))
    pipeline = make_pipeline(MinMaxScaler(), model).fit(unit_data)
    X = pipeline[0].transform(unit_data)
    assert_array_equal(load(path).transform(X), pipeline.transform(unit_data))


def test_a_stacks_callbacks_leave_the_layers(unit_data, tmp_path):
    stack = StackedCAE((4, 3), **HOW).set_callbacks(Checkpoint(tmp_path / "a.skops"))
    stack.fit(unit_data)
    assert not any(hasattr(layer, "_skl_callbacks") for layer in stack.estimators_)


# ---- what is refused ------------------------------------------------------------


def test_other_estimators_are_refused(unit_data, tmp_path):
    encoder = PatchEncoder(
        ContractiveAutoencoder(4), image_shape=(2, 4), patch_size=2, regions=1
    )
    encoder.set_callbacks(Checkpoint(tmp_path / "training.skops"))
    with pytest.raises(TypeError, match="or a fine-tuned network, not of a PatchEnc"):
        encoder.fit(unit_data)


@pytest.mark.filterwarnings("ignore:Scoring failed", "ignore:.*fits failed")
def test_a_search_is_refused(unit_data, tmp_path):
    model = ContractiveAutoencoder(4).set_callbacks(Checkpoint(tmp_path / "a.skops"))
    search = GridSearchCV(model, {"jacobian_penalty": [0.1, 0.3]}, cv=2)
    with pytest.raises(ValueError, match="one file for one fit, but a search"):
        search.fit(unit_data)


@pytest.mark.parametrize("every", [0, 1.5, "2"])
def test_every_must_be_a_count(every, small, unit_data, tmp_path):
    model = small().set_callbacks(Checkpoint(tmp_path / "a.skops", every=every))
    with pytest.raises(ValueError, match="must be a positive integer"):
        model.fit(unit_data)


def test_a_missing_folder_is_noticed_before_the_fit(small, unit_data, tmp_path):
    model = small().set_callbacks(Checkpoint(tmp_path / "none" / "a.skops"))
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        model.fit(unit_data)
    assert not hasattr(model, "components_")


def test_a_folder_is_no_file(small, unit_data, tmp_path):
    model = small().set_callbacks(Checkpoint(tmp_path))
    with pytest.raises(IsADirectoryError, match="is a folder"):
        model.fit(unit_data)


def test_other_data_is_refused(unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops")
    ContractiveAutoencoder(6, **HOW).set_callbacks(callback).fit(unit_data)
    with pytest.raises(ValueError, match=r"training on 40 rows, but .* leave 39"):
        resume(callback.files[2], unit_data[1:])
    with pytest.raises(ValueError, match="X has 7 features, but"):
        resume(callback.files[2], unit_data[:, 1:])


SAME = {
    "columns first": np.asfortranarray,
    "a list": np.ndarray.tolist,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "another byte order": lambda X: X.astype(X.dtype.newbyteorder()),
}
OTHER = {
    "order": (lambda X: X[::-1], "X has other values, or its rows in another order"),
    "one value": (lambda X: X + np.eye(*X.shape, 2) * 1e-15, "X has other values"),
    "precision": (lambda X: X.astype(np.float32), "X was float64 .* and is float32"),
    "sparse": (sparse.csr_array, "X was float64 .* and is sparse float64"),
    "rows": (lambda X: X[1:], "training on 40 rows, but .* leave 39"),
    "columns": (lambda X: X[:, 1:], "X has 7 features, but"),
}


@pytest.fixture(params=["adam", "stack"])
def checkpoints(request, unit_data, tmp_path):
    """One of a fit in its midst and that of its end."""
    callback = Copies(tmp_path / "training.skops")
    copy.deepcopy(MODELS[request.param]).set_callbacks(callback).fit(unit_data)
    return callback.files[3], callback.files[-1]


@pytest.mark.parametrize("name", OTHER)
def test_other_values_are_refused(name, checkpoints, unit_data):
    change, message = OTHER[name]
    for file in checkpoints:
        with pytest.raises(ValueError, match=message):
            resume(file, change(unit_data))


@pytest.mark.parametrize("name", SAME)
def test_the_same_values_are_the_same_data(name, checkpoints, unit_data):
    for file in checkpoints:
        assert_same(resume(file, SAME[name](unit_data)), resume(file, unit_data))


@pytest.mark.parametrize("first", ["in memory", "mapped"])
def test_the_same_values_may_be_mapped_from_a_file(first, unit_data, tmp_path):
    """Of which fewer are looked at."""
    X = np.tile(unit_data, (10, 1))
    np.save(tmp_path / "X.npy", X)
    rows = {"in memory": X, "mapped": np.load(tmp_path / "X.npy", mmap_mode="r")}
    other = X.copy()
    other[4] += 0.1
    callback = Copies(tmp_path / "training.skops")
    ContractiveAutoencoder(6, **HOW).set_callbacks(callback).fit(rows.pop(first))
    (again,) = rows.values()
    assert_same(resume(callback.files[3], again), resume(callback.files[3], X))
    with pytest.raises(ValueError, match="X has other values"):
        resume(callback.files[3], other)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array])
def test_sparse_values(kind, unit_data, tmp_path):
    callback, X = Copies(tmp_path / "training.skops"), np.round(unit_data)
    ContractiveAutoencoder(6, **HOW).set_callbacks(callback).fit(kind(X))
    for file in (callback.files[3], callback.files[-1]):
        resume(file, kind(X))
        with pytest.raises(ValueError, match="X has other values"):
            resume(file, kind(X)[::-1])


def test_weights_are_data(unit_data, tmp_path):
    callback, weights = Copies(tmp_path / "training.skops"), np.arange(1.0, 41)
    model = ContractiveAutoencoder(6, **HOW).set_callbacks(callback)
    model.fit(unit_data, sample_weight=weights)
    for file in (callback.files[3], callback.files[-1]):
        resume(file, unit_data, sample_weight=weights)
        with pytest.raises(ValueError, match="sample_weight has other values"):
            resume(file, unit_data, sample_weight=weights[::-1])
        with pytest.raises(ValueError, match=r"sample_weight was float64 .* is None"):
            resume(file, unit_data)


def test_of_memory_mapped_data_some_rows_are_read(unit_data, tmp_path):
    np.save(tmp_path / "X.npy", np.repeat(unit_data, 10, axis=0))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    callback = Copies(tmp_path / "training.skops")
    ContractiveAutoencoder(6, **HOW).set_callbacks(callback).fit(X)
    for file in (callback.files[3], callback.files[-1]):
        resume(file, X)
        with pytest.raises(ValueError, match="X has other values"):
            resume(file, X[::-1])


def test_a_loaded_checkpoint_is_fitted_to_other_data(unit_data, tmp_path):
    """The fingerprint is the file's and not the model's."""
    path = tmp_path / "training.skops"
    model = ContractiveAutoencoder(6, **HOW).set_callbacks(Checkpoint(path))
    model.fit(unit_data)
    again = load(path).fit(unit_data[::-1])
    save(again, path)
    assert_same(resume(path, unit_data[::-1]), again)


@pytest.mark.parametrize(
    "record", ["text", {}, {"X": 1, "sample_weight": "None", "number of rows": "40"}]
)
def test_a_damaged_record_of_the_data_is_refused(record, unit_data, tmp_path):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    setattr(model, DATA, record)
    save(model, tmp_path / "training.skops")
    with pytest.raises(ValueError, match="damaged in what it knows of its data"):
        resume(tmp_path / "training.skops", unit_data)


def test_a_checkpoint_without_a_fingerprint_is_resumed(unit_data, tmp_path):
    callback = Copies(tmp_path / "training.skops")
    whole = ContractiveAutoencoder(6, **HOW).set_callbacks(callback).fit(unit_data)
    model = read(callback.files[3], None)
    del vars(model)[DATA]
    save(model, callback.path)
    assert_same(resume(callback.path, unit_data), whole)


@pytest.mark.parametrize("model", [ContractiveAutoencoder(6), StackedCAE((6, 4))])
def test_what_is_loaded_is_in_the_midst_of_nothing(model, unit_data, tmp_path):
    """Written again it is resumed by nothing, whatever the data."""
    callback = Copies(tmp_path / "training.skops")
    clone(model).set_params(**HOW).set_callbacks(callback).fit(unit_data)
    for file in callback.files[1:]:
        seen = load(file)
        save(seen, tmp_path / "again.skops")
        again = resume(tmp_path / "again.skops", unit_data + 5)
        assert again.n_iter_ == seen.n_iter_
        assert_array_equal(again.transform(unit_data), seen.transform(unit_data))


def test_a_file_with_something_else_is_refused(unit_data, tmp_path):
    path = tmp_path / "scaler.skops"
    save(MinMaxScaler().fit(unit_data), path)
    with pytest.raises(TypeError, match="holds a MinMaxScaler, and no checkpoint"):
        resume(path, unit_data)


# ---- when things go wrong -------------------------------------------------------


def test_an_interrupt_leaves_the_checkpoint_to_go_on_from(unit_data, tmp_path):
    class Interrupt(Propagated):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch" and context.task_id == 6:
                raise KeyboardInterrupt

    path = tmp_path / "training.skops"
    model = ContractiveAutoencoder(6, **HOW)
    model.set_callbacks(Checkpoint(path), Interrupt())
    with pytest.raises(KeyboardInterrupt):
        model.fit(unit_data)
    whole = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    assert_same(resume(path, unit_data), whole)


def test_a_full_disk_warns_and_leaves_the_last_checkpoint(unit_data, tmp_path):
    """The system refuses to write beyond a size, as it would on a full disk."""
    path = tmp_path / "training.skops"
    small = ContractiveAutoencoder(2, **HOW).set_callbacks(Checkpoint(path))
    small.fit(unit_data)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    larger = ContractiveAutoencoder(50, **{**HOW, "max_iter": 2})
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
        with pytest.warns(
            UserWarning, match="could not be written: .*Training goes on"
        ):
            larger.set_callbacks(Checkpoint(path)).fit(unit_data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert larger.n_iter_ == 2
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_what_cannot_be_written_leaves_no_part(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_kills_lose_nothing(tmp_path):
    """Five kills, in a process of its own since it forks."""
    script = Path(__file__).parents[1] / "benchmarks" / "robustness" / "kills.py"
    report = tmp_path / "kills.md"
    out = subprocess.run(
        [sys.executable, script, "--kills", "5", "--report", report],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    *_, total = (
        line for line in report.read_text().splitlines() if line[:5] == "| all"
    )
    assert int(total.split("|")[3]) >= 5


def test_the_kill_script_notices_another_end(tmp_path, monkeypatch):
    script = Path(__file__).parents[1] / "benchmarks" / "robustness" / "kills.py"
    same = runpy.run_path(str(script))["same"]
    X = np.random.default_rng(0).random((20, 4))
    model = ContractiveAutoencoder(3, **HOW).fit(X)
    other = copy.deepcopy(model)
    assert same(model, other)
    other.components_[0, 0] = np.nextafter(other.components_[0, 0], 1)
    assert not same(model, other)
