"""Training on torch.distributed: N ranks are one process fed all their batches."""

import copy
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    ModuleAutoencoder,
    StackedCAE,
)
from skcae._fit.agreement import described
from skcae._fit.autoencoder import AutoencoderFit
from skcae.checkpoints import resume
from tests.ranks import OneProcess, Threads, run_ranks, succeeded
from tests.test_checkpoints import Copies, assert_same
from tests.test_out_of_core import Batches

HOW = {
    "batch_size": 4,
    "max_iter": 6,
    "n_iter_no_change": 6,  # so that all epochs are run
    "random_state": 3,
    "data_parallel": True,
}


def estimator(cls=ContractiveAutoencoder, n=5, **parameters):
    return cls(n, **{**HOW, **parameters})


def shards_of(*sizes, n_features=7):
    rng = np.random.default_rng(0)
    return [rng.random((size, n_features)) for size in sizes]


def fitter(model, *arguments, **more):
    return lambda: model.fit(*arguments, **more)


def fit_ranks(monkeypatch, models, shards, weights=None, **more):
    """Fit each model on its shard; return what comes of it, and the warnings."""
    weights = weights or [None] * len(shards)
    bodies = [
        fitter(
            model,
            X,
            sample_weight=w,
            **{name: value[k] for name, value in more.items()},
        )
        for k, (model, X, w) in enumerate(zip(models, shards, weights, strict=True))
    ]
    return run_ranks(monkeypatch, *bodies)


def assert_same_model(models):
    """Hold the ranks to the same bits."""
    first, *others = succeeded(models)
    names = [name for name in vars(first) if name.endswith("_") and name[0] != "_"]
    assert {"components_", "loss_curve_", "n_iter_"} <= set(names)
    for other in others:
        for name in names:
            np.testing.assert_array_equal(getattr(other, name), getattr(first, name))


# ---- the trajectory -----------------------------------------------------------------

SOLVERS = {
    "adam": {"solver": "adam", "learning_rate": 0.01},
    "sgd": {"solver": "sgd", "momentum": 0.0, "learning_rate": 0.02},
    "momentum": {"solver": "sgd", "momentum": 0.9, "learning_rate": 0.01},
}
KINDS = {
    "jacobian": {"jacobian_penalty": 0.1},
    "hessian": {"jacobian_penalty": 0.05, "hessian_penalty": 0.05},
    "untied": {"tied_weights": False, "jacobian_penalty": 0.1},
    "plain": {"jacobian_penalty": 0.0, "loss": "cross_entropy"},
    "in order": {"shuffle": False},
}


@pytest.mark.parametrize("sizes", [(12, 12), (5, 12), (9, 2, 17)], ids=str)
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_ranks_are_one_process_fed_their_batches(solver, kind, sizes, monkeypatch):
    """Uneven shards too: 5 rows of 12 leave one rank without rows in the last step."""
    how = SOLVERS[solver] | KINDS[kind]
    models, shards = [estimator(**how) for _ in sizes], shards_of(*sizes)
    fitted, _ = fit_ranks(monkeypatch, models, shards)
    assert fitted == models
    assert_same_model(fitted)
    OneProcess(estimator(**how), shards).assert_equals(fitted[0])


def encoder(n_features):
    return nn.Sequential(nn.Linear(n_features, 6), nn.GELU(), nn.Linear(6, 4))


NETWORKS = {
    "deep": lambda: estimator(DeepCAE, (5, 4)),
    "untied": lambda: estimator(DeepCAE, (5, 4), tied_weights=False),
    "by hand": lambda: estimator(DeepCAE, (5, 4), jacobian_penalty=0.0),
    "decoder": lambda: estimator(DeepCAE, (5, 4), decoder_jacobian_penalty=0.1),
    "convolution": lambda: estimator(ConvolutionalCAE, 3, kernel_size=3, pool="max"),
    "modules": lambda: estimator(ModuleAutoencoder, encoder),
}


@pytest.mark.parametrize("sizes", [(12, 12), (5, 12)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_ranks_train_a_network_as_one_process_does(name, sizes, monkeypatch):
    make, shards = NETWORKS[name], shards_of(*sizes)
    models = [make() for _ in sizes]
    fitted, _ = fit_ranks(monkeypatch, models, shards)
    for model in fitted:
        for key, weights in model._named_weights().items():
            np.testing.assert_array_equal(weights, fitted[0].parameters_[key])
    OneProcess(make(), shards).assert_equals(fitted[0])


def test_ranks_of_probes_of_their_own_have_one_model(monkeypatch):
    how = {"jacobian_method": "probes", "early_stopping": True}
    models, shards = [estimator(DeepCAE, (5, 4), **how) for _ in range(2)], (5, 12)
    fitted, _ = fit_ranks(monkeypatch, models, shards_of(*shards))
    one, other = (model._named_weights() for model in fitted)
    for key, weights in one.items():
        np.testing.assert_array_equal(weights, other[key])
    assert fitted[0].loss_curve_[-1] < fitted[0].loss_curve_[0]


@pytest.mark.parametrize(
    "weighted", [(True, True), (True, False), (False, True)], ids=str
)
def test_weights_are_rescaled_over_all_ranks(weighted, monkeypatch):
    """And are 1 on a rank that has none while another has."""
    shards = shards_of(5, 12)
    given = [
        rank + np.random.default_rng(rank).uniform(1, 9, len(X))
        for rank, X in enumerate(shards)
    ]
    weights = [w if has else None for w, has in zip(given, weighted, strict=True)]
    all_weights = np.concatenate(
        [
            np.ones(len(X)) if w is None else w
            for X, w in zip(shards, weights, strict=True)
        ]
    )
    fitted, _ = fit_ranks(monkeypatch, [estimator(), estimator()], shards, weights)
    assert_same_model(fitted)
    OneProcess(estimator(), shards, all_weights).assert_equals(fitted[0])


def test_weight_decay_counts_the_rows_of_all(monkeypatch):
    how = {"cls": Autoencoder, "weight_decay": 0.1}
    shards = shards_of(5, 12)
    fitted, _ = fit_ranks(monkeypatch, [estimator(**how) for _ in shards], shards)
    OneProcess(estimator(**how), shards).assert_equals(fitted[0])


def test_single_precision_is_the_same_to_its_rounding(monkeypatch):
    shards = [X.astype(np.float32) for X in shards_of(5, 12)]
    fitted, _ = fit_ranks(monkeypatch, [estimator(), estimator()], shards)
    assert fitted[0].components_.dtype == np.float32
    assert_same_model(fitted)
    OneProcess(estimator(), shards).assert_equals(fitted[0], rtol=1e-4)


def test_a_shard_may_be_sparse(monkeypatch):
    shards = shards_of(5, 12)
    mixed = [sparse.csr_matrix(shards[0]), shards[1]]
    fitted, _ = fit_ranks(monkeypatch, [estimator(), estimator()], mixed)
    OneProcess(estimator(), shards).assert_equals(fitted[0])


def test_a_single_rank_is_the_plain_fit(monkeypatch, unit_data):
    model = estimator(early_stopping=True)
    (fitted,), _ = run_ranks(monkeypatch, fitter(model, unit_data))
    with pytest.warns(ConvergenceWarning):
        plain = estimator(early_stopping=True, data_parallel=False).fit(unit_data)
    np.testing.assert_allclose(fitted.components_, plain.components_, rtol=1e-9)


def test_each_rank_corrupts_with_noise_of_its_own(monkeypatch):
    """The same rows, in the same order: with the same noise the mean is one's own."""
    X = shards_of(4)[0]
    how = {"cls": DenoisingAutoencoder, "early_stopping": True}
    models = [estimator(**how) for _ in range(2)]
    fitted, _ = run_ranks(monkeypatch, *(fitter(model, X, X_val=X) for model in models))
    assert_same_model(fitted)
    (alone,), _ = run_ranks(monkeypatch, fitter(estimator(**how), X, X_val=X))
    assert abs(fitted[0].loss_curve_[0] - alone.loss_curve_[0]) > 1e-6


LEARNERS = {
    "closed": (ContractiveAutoencoder, 4),
    "joint": (DeepCAE, (5, 4)),
    "noisy copies": (ContractiveAutoencoder, 4, {"hessian_penalty": 0.1}),
}


@pytest.mark.parametrize("sizes", [(15, 230), (1000, 1300)], ids=str)
@pytest.mark.parametrize("name", LEARNERS)
def test_every_rank_has_the_batches_and_rates_of_the_longest(name, sizes, monkeypatch):
    """With fewer rows than "auto" makes a batch of, and with more."""
    cls, layers, *more = LEARNERS[name]
    shards = shards_of(*sizes)
    how = dict(cls=cls, n=layers, max_iter=3, **(more[0] if more else {}))
    models = [estimator(**how, batch_size="auto") for _ in shards]
    fitted, _ = fit_ranks(monkeypatch, models, shards)
    size = {230: 20, 1300: 26}[max(sizes)]
    OneProcess(estimator(**how, batch_size=size), shards).assert_equals(fitted[0])


# ---- held-out data and the end ------------------------------------------------------


def test_the_held_out_objective_is_the_mean_over_all_ranks(monkeypatch):
    shards, held_out = shards_of(5, 12), shards_of(3, 8, n_features=7)
    weights = [np.arange(1.0, 4.0), np.linspace(5, 6, 8)]
    models = [estimator(early_stopping=True) for _ in shards]
    fitted, _ = fit_ranks(
        monkeypatch, models, shards, X_val=held_out, sample_weight_val=weights
    )
    assert_same_model(fitted)
    reference = OneProcess(
        estimator(),
        shards,
        X_val=np.concatenate(held_out),
        weights_val=np.concatenate(weights),
    )
    np.testing.assert_allclose(
        fitted[0].validation_loss_curve_, reference.validation_curve, rtol=1e-9
    )


def test_held_out_rows_count_by_their_own_weights(monkeypatch):
    """Of the first rank's rows one of two is held out, and of the second's 4 of 33."""
    rows = shards_of(1, 1)
    shards = [rows[0].repeat(2, axis=0), rows[1].repeat(33, axis=0)]
    how = {"early_stopping": True, "validation_fraction": 0.1}
    models = [estimator(Autoencoder, **how) for _ in shards]
    weights = [np.full(2, 1.0), np.full(33, 3.0)]
    (first, _), _ = fit_ranks(monkeypatch, models, shards, weights)
    errors = [-first.score(X) for X in rows]
    mean = (1 * 1 * errors[0] + 4 * 3 * errors[1]) / (1 * 1 + 4 * 3)
    assert first.validation_loss_curve_.min() == pytest.approx(mean, rel=1e-9)


def test_a_split_is_each_ranks_own(monkeypatch):
    how = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 40}
    how |= {"learning_rate_schedule": "constant", "n_iter_no_change": 3, "tol": 0.1}
    models = [estimator(**how) for _ in range(2)]
    fitted, caught = fit_ranks(monkeypatch, models, shards_of(20, 33))
    assert_same_model(fitted)
    assert fitted[0].n_iter_ < 40
    assert not caught


def test_only_the_first_rank_warns(monkeypatch):
    models = [estimator() for _ in range(3)]
    _, caught = fit_ranks(monkeypatch, models, shards_of(5, 12, 8))
    assert [warning.category for warning in caught] == [ConvergenceWarning]


def test_only_the_first_rank_logs(monkeypatch, caplog):
    caplog.set_level("INFO", logger="skcae")
    monkeypatch.setattr("skcae._fit.verbose.find_spec", lambda name: None)
    models = [estimator(verbose=1) for _ in range(2)]
    fit_ranks(monkeypatch, models, shards_of(5, 12))
    assert caplog.text.count("epoch 1/6: objective") == 1


class Stopper:
    """A callback that stops after some epochs, or layers."""

    def __init__(self, after, task="epoch", error=None):
        self.after, self.task, self.error = after, task, error

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name != self.task or context.task_id + 1 < self.after:
            return False
        if self.error:
            raise self.error
        return True


def test_a_callback_of_any_rank_stops_all(monkeypatch):
    models = [estimator(), estimator().set_callbacks(Stopper(2))]
    fitted, _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    assert_same_model(fitted)
    assert fitted[0].n_iter_ == 2


# ---- going on -----------------------------------------------------------------------


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_a_warm_start_goes_on_from_the_first_ranks_model(solver, monkeypatch):
    """Weights and solver state that other ranks have are not looked at."""
    shards, how = shards_of(5, 12), SOLVERS[solver] | {"warm_start": True}
    models = [estimator(**how) for _ in shards]
    fit_ranks(monkeypatch, models, shards)
    mixed = copy.deepcopy(models)
    mixed[1].components_ += 1
    for tensor in mixed[1]._training_state["solver_state"].values():
        tensor += 1
    fit_ranks(monkeypatch, models, shards)
    fit_ranks(monkeypatch, mixed, shards)
    assert_same_model([*models, *mixed])
    assert models[0].n_iter_ == 12


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_ranks_that_go_on_from_one_model_draw_from_generators_of_their_own(
    call, monkeypatch
):
    shards, how = shards_of(12, 12), {"cls": DenoisingAutoencoder, "warm_start": True}
    (loaded,), _ = run_ranks(monkeypatch, fitter(estimator(**how), shards[0]))
    models = [copy.deepcopy(loaded) for _ in shards]
    states = {loaded._training_state["generator"].tobytes()}
    for n in (2, 4):
        bodies = [
            partial(getattr(model, call), X)
            for model, X in zip(models, shards, strict=True)
        ]
        assert_same_model(run_ranks(monkeypatch, *bodies)[0])
        states |= {m._training_state["generator"].tobytes() for m in models}
        assert len(states) == 1 + n


def test_partial_fit_is_a_pass_over_all_shards(monkeypatch):
    how = {"max_iter": 1, "learning_rate_schedule": "constant"}
    models, shards = [estimator(**how) for _ in range(2)], shards_of(5, 12)
    fitted, caught = run_ranks(
        monkeypatch,
        *(
            lambda model=model, X=X: model.partial_fit(X)
            for model, X in zip(models, shards, strict=True)
        ),
    )
    assert not caught
    assert_same_model(fitted)
    in_fit, _ = fit_ranks(monkeypatch, [estimator(**how) for _ in shards], shards)
    np.testing.assert_array_equal(fitted[0].components_, in_fit[0].components_)


# ---- stacks -------------------------------------------------------------------------


def test_a_stack_is_trained_layer_by_layer(monkeypatch):
    models = [estimator(StackedCAE, (5, 3)) for _ in range(2)]
    shards = shards_of(5, 12)
    fitted, caught = fit_ranks(monkeypatch, models, shards)
    assert len(caught) == 2  # one for each layer
    layers = [stack.estimators_ for stack in fitted]
    for k in range(2):
        assert_same_model([layers[0][k], layers[1][k]])
    OneProcess(estimator(), shards).assert_equals(layers[0][0])
    codes = [layers[0][0].transform(X) for X in shards]
    second = estimator(n=3, random_state=layers[0][1].random_state)
    OneProcess(second, codes).assert_equals(layers[0][1])


def test_a_callback_of_any_rank_stops_the_stack(monkeypatch):
    stopper = Stopper(1, task="layer")
    models = [estimator(StackedCAE, (5, 3)) for _ in range(2)]
    models[1].set_callbacks(stopper)
    fitted, _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    assert [len(stack.estimators_) for stack in fitted] == [1, 1]


# ---- what goes wrong ----------------------------------------------------------------


def assert_unfitted(models):
    for model in models:
        assert not hasattr(model, "components_")
        assert not hasattr(model, "estimators_")


MISMATCHES = {
    "max_iter is 6 on rank 0 and 7 on rank 1": {"max_iter": 7},
    "n_components is 5 on rank 0 and 6 on rank 1": {"n": 6},
    "the estimator is 'ContractiveAutoencoder' on rank 0 and 'Aut": {
        "cls": Autoencoder
    },
    "solver is 'adam' on rank 0 and 'sgd' on rank 1": {"solver": "sgd"},
}


@pytest.mark.parametrize("words", sorted(MISMATCHES))
def test_parameters_that_differ_are_refused_on_all_ranks(words, monkeypatch):
    models = [estimator(), estimator(**MISMATCHES[words])]
    errors, _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    for error in errors:
        assert isinstance(error, ValueError)
        assert words in str(error)
    assert str(errors[0]) == str(errors[1])
    assert_unfitted(models)


def test_data_that_differs_is_refused_on_all_ranks(monkeypatch):
    narrow, wide = shards_of(5)[0], shards_of(5, n_features=8)[0]
    single = narrow.astype(np.float32)
    for other, words in [
        (wide, "the number of features is 7 on rank 0 and 8 on rank 1"),
        (single, "the precision is 'float64' on rank 0 and 'float32' on rank 1"),
    ]:
        models = [estimator(), estimator()]
        errors, _ = fit_ranks(monkeypatch, models, [narrow, other])
        assert all(words in str(error) for error in errors)
        assert_unfitted(models)


def test_shards_may_come_in_batches(monkeypatch):
    shards = shards_of(5, 12)
    streams = [Batches(shards[0], 2, 3), Batches(shards[1], 12)]
    fitted, _ = fit_ranks(monkeypatch, [estimator(), estimator()], streams)
    assert_same_model(fitted)
    OneProcess(estimator(), shards).assert_equals(fitted[0])


def test_batches_on_one_rank_alone_are_refused_on_all(monkeypatch):
    narrow, wide = shards_of(5, 12)
    models = [estimator(), estimator()]
    errors, _ = fit_ranks(monkeypatch, models, [narrow, Batches(wide, 12)])
    for error in errors:
        assert "whether X comes in batches is False on rank 0 and True" in str(error)
    assert_unfitted(models)


@pytest.mark.parametrize("kind", [(ContractiveAutoencoder, 5), (StackedCAE, (5, 3))])
def test_ranks_resume_from_their_checkpoints(kind, monkeypatch, tmp_path):
    shards = shards_of(5, 12)
    callbacks = [Copies(tmp_path / f"{rank}.skops") for rank in range(2)]
    models = [estimator(*kind).set_callbacks(callback) for callback in callbacks]
    whole, _ = fit_ranks(monkeypatch, models, shards)
    succeeded(whole)
    for files in zip(*(callback.files for callback in callbacks), strict=True):
        bodies = [resumer(file, X) for file, X in zip(files, shards, strict=True)]
        resumed, _ = run_ranks(monkeypatch, *bodies)
        for model, expected in zip(succeeded(resumed), whole, strict=True):
            assert_same(model, expected)


def test_checkpoints_of_different_epochs_are_refused_on_all_ranks(
    monkeypatch, tmp_path
):
    shards = shards_of(5, 12)
    callbacks = [Copies(tmp_path / f"{rank}.skops") for rank in range(2)]
    models = [estimator().set_callbacks(callback) for callback in callbacks]
    fit_ranks(monkeypatch, models, shards)
    files = [callbacks[0].files[1], callbacks[1].files[2]]
    bodies = [resumer(file, X) for file, X in zip(files, shards, strict=True)]
    errors, _ = run_ranks(monkeypatch, *bodies)
    for error in errors:
        assert "the step to go on from is 6 on rank 0 and 9 on rank 1" in str(error)


@pytest.mark.parametrize("kind", [(ContractiveAutoencoder, 5), (StackedCAE, (5, 3))])
def test_a_rank_that_cannot_be_resumed_ends_all(kind, monkeypatch, tmp_path):
    """One that has other data, or whose fit is complete."""
    shards = shards_of(5, 12)
    callbacks = [Copies(tmp_path / f"{rank}.skops") for rank in range(2)]
    models = [estimator(*kind).set_callbacks(callback) for callback in callbacks]
    fit_ranks(monkeypatch, models, shards)
    (midst, whole), (other, _) = (
        (callback.files[1], callback.files[-1]) for callback in callbacks
    )
    bodies = resumer(midst, shards[0]), resumer(other, shards[1][::-1])
    (ours, theirs), _ = run_ranks(monkeypatch, *bodies)
    assert "Rank 1 failed with ValueError: The checkpoint is of a train" in str(ours)
    assert "other values" in str(theirs)
    bodies = resumer(whole, shards[0]), resumer(other, shards[1])
    errors, _ = run_ranks(monkeypatch, *bodies)
    for error in errors:
        assert "complete in the checkpoint of rank 0, and not in that of" in str(error)


def resumer(file, X):
    return lambda: resume(file, X)


def test_held_out_data_on_one_rank_alone_is_refused_on_all(monkeypatch):
    shards = shards_of(5, 12)
    models = [estimator(early_stopping=True) for _ in shards]
    errors, _ = fit_ranks(monkeypatch, models, shards, X_val=[shards[0], None])
    for error in errors:
        assert isinstance(error, ValueError)
        assert "whether there is X_val is True on rank 0 and False on" in str(error)


def test_device_seed_and_verbosity_are_each_ranks_own(monkeypatch):
    models = [estimator(), estimator(random_state=9, device="cpu:0")]
    fitted, _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    assert_same_model(fitted)


@pytest.mark.parametrize("kind", [(ContractiveAutoencoder, 5), (StackedCAE, (5, 3))])
def test_bad_rows_on_one_rank_end_the_fit_on_all(kind, monkeypatch):
    models = [estimator(*kind) for _ in range(2)]
    shards = shards_of(5, 12)
    shards[1][3, 2] = np.nan
    (ours, theirs), _ = fit_ranks(monkeypatch, models, shards)
    assert isinstance(theirs, ValueError)
    assert "contains NaN" in str(theirs)
    assert isinstance(ours, RuntimeError)
    assert "Rank 1 failed with ValueError: Input X contains NaN" in str(ours)
    assert_unfitted(models)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full")], ids=str)
def test_a_rank_that_fails_in_training_ends_it_on_all(error, rank, monkeypatch):
    """An interrupt leaves the model of the last epoch where it happened, and there."""
    models = [estimator(), estimator()]
    models[rank].set_callbacks(Stopper(2, error=error))
    errors, _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    assert errors[rank] is error
    assert isinstance(errors[1 - rank], RuntimeError)
    assert f"Rank {rank} failed with {type(error).__name__}" in str(errors[1 - rank])
    assert_unfitted([models[1 - rank]])
    assert hasattr(models[rank], "components_") == isinstance(error, KeyboardInterrupt)


def test_a_rank_that_fails_between_layers_ends_the_fit_on_all(monkeypatch):
    models = [estimator(StackedCAE, (5, 3)) for _ in range(2)]
    models[1].set_callbacks(Stopper(1, task="layer", error=OSError("disk full")))
    (ours, theirs), _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    assert str(theirs) == "disk full"
    assert "Rank 1 failed with OSError: disk full." in str(ours)
    assert_unfitted(models)


@pytest.mark.parametrize("kind", [(ContractiveAutoencoder, 5), (StackedCAE, (5, 3))])
def test_a_rank_that_fails_after_the_end_does_not_wait_for_others(kind, monkeypatch):
    threads, shards = Threads(2), shards_of(5, 12)
    models = [estimator(*kind) for _ in shards]
    models[1].set_callbacks(Stopper(1, task="fit", error=OSError("disk full")))
    bodies = [fitter(model, X) for model, X in zip(models, shards, strict=True)]
    (ours, theirs), _ = run_ranks(monkeypatch, *bodies, threads=threads)
    assert ours is models[0]
    assert str(theirs) == "disk full"
    assert threads.kinds[0] == threads.kinds[1]


def test_divergence_is_seen_on_all_ranks(monkeypatch):
    how = {"activation": "identity", "solver": "sgd", "learning_rate": 1e3}
    models = [estimator(max_iter=60, **how) for _ in range(2)]
    errors, _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    for error in errors:
        assert isinstance(error, ValueError)
        assert "Training diverged in epoch" in str(error)


class Refitter(Stopper):
    """A callback that fits another model."""

    def on_fit_task_end(self, estimator, context):
        Autoencoder(2, data_parallel=True).fit(shards_of(9)[0])


def test_a_data_parallel_fit_within_another_is_refused(monkeypatch):
    models = [estimator().set_callbacks(Refitter(1)) for _ in range(2)]
    errors, _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    for error in errors:
        assert "A callback of a fit with data_parallel=True has begun an" in str(error)


def test_without_a_group_the_parameter_says_what_to_do(unit_data):
    with pytest.raises(ValueError, match=r"none\. Start the script with torchrun"):
        estimator().fit(unit_data)


def test_a_group_alone_changes_nothing(monkeypatch, unit_data):
    """Ranks that each search a λ of their own are not merged."""
    how = {"data_parallel": False, "tol": 1.0, "n_iter_no_change": 1}
    threads = Threads(2)
    models = [estimator(**how), estimator(jacobian_penalty=0.5, **how)]
    bodies = [fitter(model, unit_data) for model in models]
    fitted, _ = run_ranks(monkeypatch, *bodies, threads=threads)
    assert threads.kinds == [[], []]
    assert (fitted[0].components_ != fitted[1].components_).any()


# ---- real processes -----------------------------------------------------------------

SCRIPT = Path(__file__).with_name("data_parallel_script.py")


def run_processes(folder, scenario, expected=(0, 0)):
    """Run a scenario in two processes, and return what each has to say."""
    running = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), scenario, str(rank), str(folder)],
            env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
        )
        for rank in range(2)
    ]
    try:
        codes = [process.wait(timeout=240) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert codes == list(expected)
    reports = [folder / f"{rank}.pickle" for rank in range(2)]
    return [pickle.loads(p.read_bytes()) if p.exists() else None for p in reports]


def test_two_processes(tmp_path):
    """The same on gloo: trajectories, held-out data, stacks, mismatches and NaN."""
    ours, theirs = run_processes(tmp_path, "fits")
    shards = shards_of(5, 12)
    for name in [*SOLVERS, "untied", "hessian", "weighted", "warm"]:
        assert_same_model([ours[name], theirs[name]])
    for key, weights in ours["modules"]._named_weights().items():
        np.testing.assert_array_equal(theirs["modules"]._named_weights()[key], weights)
    for name in SOLVERS:
        OneProcess(estimator(**SOLVERS[name]), shards).assert_equals(ours[name])
    for name in ("untied", "hessian"):
        OneProcess(estimator(**KINDS[name]), shards).assert_equals(ours[name])
    weights = np.concatenate([np.ones(5), np.arange(1.0, 13.0)])
    reference = OneProcess(estimator(), shards, weights, shards[0][:4])
    reference.assert_equals(ours["weighted"])
    np.testing.assert_allclose(
        ours["weighted"].validation_loss_curve_, reference.validation_curve, rtol=1e-9
    )
    assert ours["warm"].n_iter_ == 12
    for layers in zip(
        *(each["stack"].estimators_ for each in (ours, theirs)), strict=True
    ):
        assert_same_model(layers)
    OneProcess(estimator(), shards).assert_equals(ours["stack"].estimators_[0])
    n_kinds = len(SOLVERS) + len(KINDS)
    # Weighted, warm twice, modules, two layers.
    assert ours["n_warnings"] == n_kinds + 1 + 2 + 1 + 2
    assert theirs["n_warnings"] == 0
    assert ours["mismatch"] == theirs["mismatch"]
    assert "max_iter is 6 on rank 0 and 7 on rank 1" in ours["mismatch"]
    assert "Rank 1 failed with ValueError: Input X contains NaN" in ours["nan"]
    assert theirs["nan"].startswith("Input X contains NaN")
    assert "Rank 1 failed with KeyboardInterrupt." in ours["interrupt"]


def test_a_rank_that_is_killed_ends_the_fit_of_the_other(tmp_path):
    """Within seconds, by the closed connection: the group would wait ten minutes."""
    ours, _ = run_processes(tmp_path, "killed", expected=(0, -9))
    assert "Rank 0 of 2 does not hear from the others any more" in ours["error"]
    assert "torch.distributed says: " in ours["error"]
    assert not ours["is_fitted"]
    assert ours["seconds"] < 10


def test_a_rank_that_fails_before_the_weights_are_shared_ends_all(monkeypatch):
    solver = AutoencoderFit.solver

    def failing(self, *arguments):
        if self.ranks.rank == 1:
            raise ValueError("no solver here")
        return solver(self, *arguments)

    monkeypatch.setattr(AutoencoderFit, "solver", failing)
    models = [estimator(), estimator()]
    (first, second), _ = fit_ranks(monkeypatch, models, shards_of(5, 12))
    assert isinstance(first, RuntimeError)
    assert "Rank 1 failed with ValueError: no solver here" in str(first)
    assert isinstance(second, ValueError)


# ---- what is compared ---------------------------------------------------------------


class Factory:
    """A callable that does not say what it is."""

    def __init__(self, size):
        self.size = size

    def __call__(self, n_features):
        return nn.Linear(n_features, self.size)


class Slotted:
    __slots__ = ()


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (0.1, np.float64(0.1), 0.2),
        ((6, 4), [6, 4], (6, 5)),
        (encoder, encoder, shards_of),
        (partial(nn.Linear, 3), partial(nn.Linear, 3), partial(nn.Linear, 4)),
        (Factory(3), Factory(3), Factory(4)),
        (Slotted(), Slotted(), Factory(3)),
        ({"a": Factory(3)}, {"a": Factory(3)}, {"b": Factory(3)}),
        (None, None, "auto"),
    ],
    ids=["float", "sizes", "function", "partial", "object", "slots", "dict", "None"],
)
def test_values_are_described_alike_wherever_they_lie(one, same, other):
    assert described(one) == described(same) != described(other)
    assert " at 0x" not in described(one)
