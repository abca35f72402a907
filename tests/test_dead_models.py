"""Data that do not suit: a start that is not dead, and a word where a model is."""

import re
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    StackedCAE,
)
from skcae.exceptions import DeadModelWarning
from tests.ranks import run_ranks
from tests.test_out_of_core import Batches

ESTIMATORS = {
    "ContractiveAutoencoder": lambda **how: ContractiveAutoencoder(16, **how),
    "Autoencoder": lambda **how: Autoencoder(16, **how),
    "DenoisingAutoencoder": lambda **how: DenoisingAutoencoder(16, **how),
    "StackedCAE": lambda **how: StackedCAE((16, 8), **how),
}


def warned(model, X, **more):
    """Fit, and return the messages of dead models and the lines that they name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, **more)
    return [
        (str(warning.message), warning.filename)
        for warning in caught
        if issubclass(warning.category, DeadModelWarning)
    ]


def first_layer(model):
    return getattr(model, "estimators_", [model])[0]


# ---- the start ------------------------------------------------------------------


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer, load_digits])
def test_raw_columns_do_not_leave_all_rows_with_one_code(load):
    X = load().data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ContractiveAutoencoder(32, max_iter=60, random_state=0).fit(X)
    codes = model.transform(X)
    assert len(np.unique(codes.round(6), axis=0)) > 0.5 * len(X)
    assert codes.std(0).max() > 0.1
    assert model.score(X) > -((X - X.mean(0)) ** 2).sum(1).mean()


AT_THE_START = {
    "solver": "sgd",
    "learning_rate": 1e-300,
    "max_iter": 1,
    "random_state": 0,
}


def assert_same_weights(one, other):
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=0, atol=1e-290
        )


def far_rows():
    rng = np.random.default_rng(0)
    return rng.random((48, 5)) * [1, 10, 300, 2000, 3] + [0, -40, 800, 0, 1e5]


def containers(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    yield np.asfortranarray(X)
    yield np.load(tmp_path / "X.npy", mmap_mode="r")
    yield sparse.csr_matrix(X)
    yield Batches(X, 7, 41)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_start_is_the_same_from_any_container(name, tmp_path):
    """Bit for bit, after a step so small that it changes no number but 0."""
    how = AT_THE_START
    X = far_rows()
    model = first_layer(ESTIMATORS[name](**how).fit(X))
    np.testing.assert_allclose(
        model.intercept_visible_, X.mean(0), atol=np.maximum(1, X.std(0)).max() / 8
    )
    for other in containers(X, tmp_path):
        assert_same_weights(first_layer(ESTIMATORS[name](**how).fit(other)), model)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_weight_of_two_is_the_row_twice_at_the_start():
    how = AT_THE_START
    X, weights = far_rows(), np.random.default_rng(1).integers(0, 3, 48)
    weighted = ContractiveAutoencoder(6, **how).fit(X, sample_weight=weights)
    repeated = ContractiveAutoencoder(6, **how).fit(X.repeat(weights, axis=0))
    passed = ContractiveAutoencoder(6, **how).partial_fit(X, sample_weight=weights)
    for other in (repeated, passed):
        assert_same_weights(other, weighted)


def test_ranks_start_as_one_process_with_all_rows(monkeypatch):
    how = AT_THE_START
    X = far_rows()
    shards = X[:9], X[9:]
    models = [ContractiveAutoencoder(6, data_parallel=True, **how) for _ in shards]
    bodies = [
        lambda model=model, X=shard: model.fit(X)
        for model, shard in zip(models, shards, strict=True)
    ]
    fitted, _ = run_ranks(monkeypatch, *bodies)
    with pytest.warns(ConvergenceWarning):
        alone = ContractiveAutoencoder(6, **how).fit(X)
    for model in fitted:
        assert_same_weights(model, alone)


# ---- the look after the fit -----------------------------------------------------


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_columns_that_are_not_scaled_are_named(name):
    X = load_wine().data
    messages = warned(ESTIMATORS[name](random_state=0), X)
    assert messages
    for message, filename in messages:
        assert "has a standard deviation of 3" in message
        assert "StandardScaler" in message
        assert re.search(r"explain \d\.\d\d% of the variance of 178", message)
        assert filename == __file__
    assert not warned(
        ESTIMATORS[name](random_state=0), StandardScaler().fit_transform(X)
    )


@pytest.mark.parametrize("cls", [ContractiveAutoencoder, StackedCAE])
def test_a_penalty_that_shrinks_the_code_to_a_point_is_named(cls):
    """After the fit where nothing is known before it: rows that come in batches."""
    X = load_digits().data[:500] / 16
    size = 16 if cls is ContractiveAutoencoder else (16, 8)
    model = cls(size, jacobian_penalty=1000, random_state=0)
    (message, _), *_ = warned(model, Batches(X, 100, 400))
    assert "Try a smaller jacobian_penalty (now 1000); it is above 5." in message
    assert "skcae.model_selection.jacobian_penalty_max" in message
    assert not warned(cls(size, jacobian_penalty=0.03, random_state=0), X)


def test_weight_decay_is_named_too():
    X = load_digits().data[:500] / 16
    ((message, _),) = warned(Autoencoder(16, weight_decay=1000, random_state=0), X)
    assert "weight_decay (now 1000)" in message


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_a_rate_that_saturates_all_units_is_named(activation):
    X = StandardScaler().fit_transform(load_wine().data)
    ((message, _),) = warned(
        ContractiveAutoencoder(
            16, activation=activation, learning_rate=300.0, random_state=0
        ),
        X,
    )
    assert "Try a smaller learning_rate (now 300)." in message
    assert "rose from" in message or "worse than the mean" in message


def test_wide_rows_on_which_the_objective_rises_are_seen():
    """Each step of Adam moves 20,000 weights of a unit by the rate."""
    rng = np.random.default_rng(0)
    X = sparse.random(200, 20_000, density=0.003, random_state=rng, format="csr")
    X = sparse.diags(1 / sparse.linalg.norm(X, axis=1)) @ X
    model = ContractiveAutoencoder(
        32,
        activation="tanh",
        jacobian_penalty=0.003,
        bias_spread=0,
        learning_rate=0.02,
        learning_rate_schedule="constant",
        batch_size=20,
        max_iter=8,
        random_state=0,
    )
    ((message, _),) = warned(model, X)
    assert "its objective rose from" in message
    assert "learning_rate (now 0.02)" in message


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_that_are_all_alike_are_no_fault_of_the_model():
    assert not warned(ContractiveAutoencoder(4, random_state=0), np.ones((20, 3)))
    assert not warned(ContractiveAutoencoder(4, random_state=0), np.ones((1, 3)))


def test_the_best_epoch_is_what_is_looked_at():
    """With early stopping the last epochs may be bad, and are not kept."""
    X = load_digits().data[:300] / 16
    model = ContractiveAutoencoder(16, early_stopping=True, random_state=0)
    assert not warned(model, X)


def test_a_stream_and_a_memmap_are_looked_at(tmp_path):
    X = load_wine().data
    np.save(tmp_path / "X.npy", X)
    for data in (np.load(tmp_path / "X.npy", mmap_mode="r"), Batches(X, 30, 148)):
        ((message, _),) = warned(ContractiveAutoencoder(16, random_state=0), data)
        assert "StandardScaler" in message


# ---- schedules that end as planned ----------------------------------------------


def settled(X, **how):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ContractiveAutoencoder(16, random_state=0, **how).fit(X)
    return not any(w.category is ConvergenceWarning for w in caught)


def test_a_rate_that_has_run_out_by_plan_is_no_reason_to_warn():
    X = load_digits().data[:500] / 16
    for max_iter in (30, 60):
        assert settled(X, max_iter=max_iter, tol=0.0)
    # Half of what it learnt came in the last epochs: there was more to learn.
    assert not settled(X, max_iter=8, tol=0.0)
    assert not settled(X, max_iter=60, tol=0.0, learning_rate_schedule="constant")
