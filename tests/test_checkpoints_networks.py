"""Checkpoints of fine-tuning, and networks that are taken up from them."""

import copy

import dask.dataframe as dask
import numpy as np
import pandas as pd
import polars
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder
from torch import nn

from skcae import (
    ContractiveAutoencoder,
    ConvolutionalCAE,
    FineTunedClassifier,
    FineTunedRegressor,
    ModuleAutoencoder,
    StackedCAE,
)
from skcae._fit import finetuning
from skcae.checkpoints import Checkpoint, resume
from skcae.persistence import get_weights, load, save, set_weights
from skcae.persistence._files import read
from tests.conftest import write_unchecked
from tests.test_checkpoints import Copies, Numbers

HOW = {"max_iter": 6, "tol": 1e-9, "random_state": 0}
CAE = ContractiveAutoencoder(6, max_iter=12, tol=0.5, random_state=0)
X = np.random.default_rng(0).random((90, 16))
LABELS = np.array(["low", "middle", "high"])[np.digitize(X[:, 0], [0.3, 0.7])]
VALUES = 1e4 + 30 * X[:, :2]


def first(n_features):
    return nn.Sequential(nn.Linear(n_features, 5), nn.Tanh(), nn.Linear(5, 3))


def last(n_features):
    return nn.Linear(3, n_features)


MODULES = ModuleAutoencoder(first, last, max_iter=3, random_state=0)
TANGENTS = {"tangent_penalty": 0.1, "n_tangents": 3}
CLASSIFIERS = {
    "adam": FineTunedClassifier(CAE, **HOW),
    "frozen": FineTunedClassifier(FrozenEstimator(copy.copy(CAE).fit(X)), **HOW),
    "stack": FineTunedClassifier(StackedCAE((6, 4), max_iter=3, random_state=0), **HOW),
    "momentum": FineTunedClassifier(CAE, solver="sgd", learning_rate=0.01, **HOW),
    "falling rate": FineTunedClassifier(CAE, learning_rate_schedule="linear", **HOW),
    "early stopping": FineTunedClassifier(
        CAE, early_stopping=True, n_iter_no_change=2, **{**HOW, "max_iter": 20}
    ),
    "noise": FineTunedClassifier(
        CAE, corruption="masking", corruption_level=0.2, **HOW
    ),
    "tangents": FineTunedClassifier(CAE, **TANGENTS, **HOW),
    "tangents of other rows": FineTunedClassifier(
        CAE, n_tangent_rows=20, tangent_output="linear", **TANGENTS, **HOW
    ),
    "convolution": FineTunedClassifier(
        ConvolutionalCAE(4, 3, image_shape=(4, 4), max_iter=3, random_state=0), **HOW
    ),
    "module": FineTunedClassifier(MODULES, **HOW),
    "scaled": FineTunedClassifier(make_pipeline(MaxAbsScaler(), CAE), **HOW),
    "without a seed": FineTunedClassifier(CAE, **{**HOW, "random_state": None}),
}
REGRESSORS = {
    "regressor": FineTunedRegressor(CAE, **HOW),
    "regressor, early stopping": FineTunedRegressor(CAE, early_stopping=True, **HOW),
}
NETWORKS = CLASSIFIERS | REGRESSORS
TRUSTED = [f"{part.__module__}.{part.__name__}" for part in (first, last)]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def targets_of(network):
    return VALUES if isinstance(network, FineTunedRegressor) else LABELS


def assert_same(network, expected):
    """Bit for bit, and nothing more or less of it."""
    weights, others = get_weights(network), get_weights(expected)
    assert weights.keys() == others.keys()
    for name, array in weights.items():
        assert_array_equal(array, others[name])
    for curve in ("loss_curve_", "penalty_curve_", "validation_error_curve_"):
        assert_array_equal(getattr(network, curve, ()), getattr(expected, curve, ()))
    callbacks = {"_skl_callbacks", "_skl_callbacks_to_teardown"}
    assert vars(network).keys() - callbacks == vars(expected).keys() - callbacks


@pytest.fixture
def callback(tmp_path):
    return Copies(tmp_path / "training.skops")


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_fine_tuning_ends_the_same_from_every_checkpoint(network, callback):
    y, others = targets_of(network), {"X_unlabeled": X[::-1] ** 2}
    whole = copy.deepcopy(network).set_callbacks(callback).fit(X, y, **others)
    assert len(callback.files) == whole.n_iter_ + 1
    for file in callback.files:
        assert_same(resume(file, X, y, **others, trusted=TRUSTED), whole)
    if network.random_state is not None:
        assert_same(copy.deepcopy(network).fit(X, y, **others), whole)


@pytest.mark.parametrize("name", ["tangents", "tangents of other rows"])
def test_tangents_are_found_for_the_steps_that_are_left(name, callback, monkeypatch):
    """And not for a fit that was cut off after its last epoch."""
    network = copy.deepcopy(CLASSIFIERS[name]).set_params(tol=0.0, n_iter_no_change=99)
    whole = network.set_callbacks(callback).fit(X, LABELS)
    calls, found = [], finetuning.tangents_of
    monkeypatch.setattr(
        finetuning, "tangents_of", lambda *how: calls.append(how) or found(*how)
    )
    for file in callback.files[-3:]:  # in the midst, at its last epoch, and complete
        assert_same(resume(file, X, LABELS), whole)
    assert len(calls) == 1


def test_a_checkpoint_is_the_network_of_its_epoch(callback):
    """It predicts, is fitted anew, and once loaded is in the midst of nothing."""
    network = copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback)
    whole = network.fit(X, LABELS)
    models = [load(file) for file in callback.files]
    assert [model.n_iter_ for model in models] == [1, 2, 3, 4, 5, 6, 6]
    assert len({model.predict_proba(X).tobytes() for model in models}) == 6
    save(models[2], callback.path)
    assert_same(resume(callback.path, X[::-1], LABELS), models[2])
    assert_same(models[2].fit(X, LABELS), whole)


def test_with_weights_held_out_rows_and_names(callback):
    frame = pd.DataFrame(X).rename(columns="c{}".format)
    how = {
        "sample_weight": np.linspace(0.0, 2.0, len(X)),
        "X_val": frame[:40],
        "y_val": LABELS[:40],
    }
    network = copy.deepcopy(CLASSIFIERS["early stopping"]).set_callbacks(callback)
    whole = network.fit(frame, LABELS, **how)
    for file in callback.files:
        again = resume(file, frame, LABELS, **how)
        assert_same(again, whole)
        assert_array_equal(again.feature_names_in_, frame.columns)


def test_of_columns_that_are_no_numbers(callback):
    """Behind preprocessing X is any frame; its values are told apart all the same."""
    colors = np.where(X[:, 1] > 0.5, "red", "blue").astype(object)
    frame = pd.DataFrame(X).rename(columns="c{}".format).assign(color=colors)
    columns = make_column_transformer(
        (OneHotEncoder(), ["color"]), remainder="passthrough"
    )
    network = FineTunedClassifier(make_pipeline(columns, CAE), **HOW)
    whole = network.set_callbacks(callback).fit(frame, LABELS)
    for file in callback.files[2:]:
        assert_same(resume(file, frame.copy(), [*LABELS]), whole)
        with pytest.raises(ValueError, match="X has other values"):
            resume(file, frame.assign(color="red"), LABELS)


FRAMES = {
    "sparse": sparse.coo_array,
    "lists": np.ndarray.tolist,
    "polars": polars.DataFrame,
    "Dask": lambda X: dask.from_pandas(pd.DataFrame(X), npartitions=2),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_of_any_container_behind_preprocessing(frame, callback):
    network = copy.deepcopy(CLASSIFIERS["scaled"]).set_callbacks(callback)
    whole = network.fit(frame(X), LABELS)
    assert_same(resume(callback.files[2], frame(X), LABELS), whole)
    with pytest.raises(ValueError, match="X has other values"):
        resume(callback.files[2], frame(X[::-1]), LABELS)


def test_rows_without_a_label_are_asked_for_where_they_have_tangents(callback):
    others = {"X_unlabeled": X[::-1] ** 2}
    network = copy.deepcopy(CLASSIFIERS["tangents"]).set_callbacks(callback)
    whole = network.fit(X, LABELS, **others)
    assert_same(resume(callback.files[2], X, LABELS), whole)
    network = copy.deepcopy(CLASSIFIERS["tangents of other rows"])
    network.set_callbacks(again := Copies(f"{callback.path}.2"))
    network.fit(X, LABELS, **others)
    for without in ({}, {"X_unlabeled": X}):
        with pytest.raises(ValueError, match=r"X_unlabeled (was|has other)"):
            resume(again.files[2], X, LABELS, **without)


def test_callbacks_see_the_rest_under_its_numbers(callback):
    every = Numbers()
    copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback, every).fit(X, LABELS)
    for file in callback.files[:-1]:
        seen = Numbers()
        resume(file, X, LABELS, callbacks=(seen,))
        assert seen.ended == every.ended[-len(seen.ended) :]


def test_what_cuts_off_the_rest_leaves_the_network_of_the_last_epoch(callback):
    class PowerFailure(Numbers):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch" and context.task_id == 4:
                raise KeyboardInterrupt

    network = copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback)
    whole = network.fit(X, LABELS)
    later = Checkpoint(f"{callback.path}.later")
    with pytest.raises(KeyboardInterrupt):
        resume(callback.files[1], X, LABELS, callbacks=(later, PowerFailure()))
    assert_same(resume(later.path, X, LABELS), whole)


OTHER = {
    "labels": (X, np.roll(LABELS, 1), {}, "y has other values"),
    "rows": (X[::-1], LABELS, {}, "X has other values"),
    "fewer": (X[1:], LABELS[1:], {}, "training on 90 rows, but .* leave 89"),
    "precision": (X.astype(np.float32), LABELS, {}, "X was float64 .* is float32"),
    "weights": (X, LABELS, {"sample_weight": X[:, 0]}, "sample_weight was None"),
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
@pytest.mark.parametrize("when", [2, -1], ids=["midst", "end"])
def test_other_data_is_refused(other, when, callback):
    *data, how, words = other
    copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback).fit(X, LABELS)
    with pytest.raises(ValueError, match=words):
        resume(callback.files[when], *data, **how)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok"])
def test_labels_in_columns_may_be_sparse(kind, callback):
    Y = (X[:, :3] > 0.5).astype(int)
    network = copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback)
    whole = network.fit(X, sparse.csr_array(Y).asformat(kind))
    assert_same(resume(callback.files[2], X, sparse.csr_array(Y).asformat(kind)), whole)
    with pytest.raises(ValueError, match="y has other values"):
        resume(callback.files[2], X, sparse.csr_array(Y[::-1]))


def test_all_labels_on_a_disk_are_looked_at(callback, tmp_path):
    many, labels = np.repeat(X, 3, axis=0), np.repeat(LABELS, 3)
    paths = [tmp_path / "y.npy", tmp_path / "others.npy"]
    others = labels.copy()
    others[4] = "middle" if labels[4] != "middle" else "low"
    for path, part in zip(paths, (labels, others), strict=True):
        np.save(path, part)
    y, y_others = (np.load(path, mmap_mode="r") for path in paths)
    network = copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback)
    whole = network.fit(many, y)
    assert_same(resume(callback.files[2], many, y), whole)
    with pytest.raises(ValueError, match="y has other values"):
        resume(callback.files[2], many, y_others)


def test_values_count_and_not_how_they_lie_in_memory(callback):
    """Nor which of them are one object, as a slice of a frame may have it."""
    words = np.array(["red", "green", "blue"], object)
    k = np.arange(180)
    frame = pd.DataFrame({"a": words[k % 3], "b": words[k % 2], "c": words[k % 3]})
    part = frame[["a", "b"]].iloc[:90].reset_index(drop=True)
    fresh = pd.DataFrame({"a": words[k[:90] % 3], "b": words[k[:90] % 2]}).map(
        lambda word: "".join([*word])
    )
    encoder = make_pipeline(OneHotEncoder(sparse_output=False), CAE)
    network = FineTunedClassifier(encoder, **HOW).set_callbacks(callback)
    whole = network.fit(part, LABELS)
    assert_same(resume(callback.files[2], fresh, LABELS), whole)


def test_names_of_columns_stay_those_of_the_fit(callback):
    frame = pd.DataFrame(X).rename(columns="c{}".format)
    network = copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback)
    network.fit(frame, LABELS)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        again = resume(callback.files[2], X, LABELS)
    assert_array_equal(again.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        resume(callback.files[2], frame.add_prefix("x"), LABELS)


def test_other_weights_leave_the_midst(callback):
    """What is resumed then is the network that they make."""
    copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback).fit(X, LABELS)
    network = read(callback.files[2], None)
    weights = {name: 0 * part for name, part in get_weights(network).items()}
    set_weights(network, weights)
    save(network, callback.path)
    again = resume(callback.path, X, LABELS)
    assert all((part == 0).all() for part in get_weights(again).values())


def test_the_file_of_a_refit_has_nothing_of_the_first(callback):
    network = copy.deepcopy(CLASSIFIERS["early stopping"]).fit(X, LABELS)
    network.set_params(early_stopping=False).set_callbacks(callback).fit(X, LABELS)
    assert not hasattr(load(callback.files[1]), "validation_error_curve_")


def test_fewer_epochs_than_have_been_done_are_refused(callback):
    copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback).fit(X, LABELS)
    network = read(callback.files[3], None).set_params(max_iter=2)
    save(network, callback.path)
    with pytest.raises(ValueError, match="has done 4 epochs, but max_iter=2"):
        resume(callback.path, X, LABELS)


@pytest.mark.parametrize("name", ["X_unlabeled", "y_val"])
def test_what_a_fit_does_not_take_is_refused(name, callback):
    copy.deepcopy(CAE).set_callbacks(callback).fit(X)
    with pytest.raises(
        TypeError, match=f"given {name}, .* ContractiveAutoencoder does"
    ):
        resume(callback.files[0], X, **{name: X})
    network = copy.deepcopy(CLASSIFIERS["adam"])
    network.set_callbacks(again := Copies(f"{callback.path}.2")).fit(X, LABELS)
    with pytest.raises(TypeError, match="given sample_weight_val, "):
        resume(again.files[0], X, LABELS, sample_weight_val=X[:, 0])


DAMAGES = {
    "no parameters": lambda state: state.pop("parameters"),
    "a name": lambda state: state["parameters"].pop("coefs.0"),
    "a shape": lambda state: state["parameters"].update({"coefs.0": np.ones((2, 2))}),
    "a moment": lambda state: state["solver_state"].update(
        {"mean.coefs.0": np.ones(2)}
    ),
    "no moments": lambda state: state["solver_state"].clear(),
    "one moment": lambda state: state["solver_state"].pop("square.coefs.1"),
    "no progress": lambda state: state.pop("progress"),
    "the generator": lambda state: state.update(generator=np.zeros(3, np.uint8)),
    "an epoch": lambda state: state["progress"].update(step=5),
    "what was kept": lambda state: (
        state["progress"]["kept"].clear()
        or state["progress"]["kept"].update(coefs=np.ones(2))
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_midst_is_refused(damage, callback, tmp_path):
    copy.deepcopy(CLASSIFIERS["adam"]).set_callbacks(callback).fit(X, LABELS)
    network = read(callback.files[2], None)
    damage(network._training_state)
    write_unchecked(network, tmp_path / "damaged.skops")
    with pytest.raises(ValueError, match="damaged or holds no model"):
        load(tmp_path / "damaged.skops")
