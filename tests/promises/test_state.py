"""What a fit draws from, what it leaves behind, and what scikit-learn does with it."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from numbers import Real

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal, assert_equal
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

from skcae import ContractiveAutoencoder
from skcae._core.data import tensors
from tests.promises.kinds import assert_same_model, is_same_model

# ---- seeds and devices ----------------------------------------------------------


def test_seeds(kind, digits):
    X = digits[0][:150]
    y = kind.target(X)
    seeded = kind().fit(X, y)
    assert_same_model(seeded, kind().fit(X, y))
    assert_same_model(seeded, kind(random_state=np.int64(0)).fit(X, y))
    assert not is_same_model(*(kind(random_state=None).fit(X, y) for _ in range(2)))
    state = np.random.RandomState(0)
    first, second = (kind(random_state=state).fit(X, y) for _ in range(2))
    assert first.random_state is state
    assert not is_same_model(first, second)
    for one, other in zip(kind.answers(first, X), kind.answers(seeded, X), strict=True):
        assert_array_equal(one, other)


def test_a_notebook_shows_it_before_and_after_its_fit(kind, unit_data):
    """To do so, scikit-learn asks for every attribute."""
    model = kind()
    for shown in (model, model.fit(unit_data, kind.target(unit_data))):
        assert {"fit", *kind.methods} <= set(dir(shown))
        assert type(model).__name__ in shown._repr_html_()


def test_fitting_again_gives_the_same(kind, unit_data):
    y = kind.target(unit_data)
    model = kind().fit(unit_data, y)
    first = pickle.loads(pickle.dumps(model))
    assert_same_model(model.fit(unit_data, y), first)
    assert_same_model(clone(model).fit(unit_data, y), first)


@pytest.mark.parametrize("seed", [0, None, np.random.RandomState(0)], ids=str)
def test_global_random_states_are_left_alone(seed, kind, unit_data):
    # Where one stands in its stream is a part of the state.
    np_state = np.random.get_state(legacy=False)  # noqa: NPY002
    torch_state = torch.get_rng_state()
    model = kind(random_state=seed, early_stopping=True)
    if kind.learns:
        model.set_params(encoder__random_state=seed)
    model.fit(unit_data, kind.target(unit_data))
    assert_equal(np.random.get_state(legacy=False), np_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_a_default_device_of_torch_makes_no_difference(kind, digits):
    X = digits[0][:150]
    y = kind.target(X)
    plain = kind(early_stopping=True).fit(X, y)
    torch.set_default_device("meta")
    try:
        other = kind(early_stopping=True).fit(X, y)
        assert_same_model(plain, other)
        if hasattr(other, "partial_fit"):
            other.partial_fit(X)
        answers = kind.answers(other, X)
    finally:
        torch.set_default_device(None)
    if hasattr(plain, "partial_fit"):
        assert_same_model(plain.partial_fit(X), other)
    for one, other in zip(answers, kind.answers(plain, X), strict=True):
        assert_array_equal(one, other)


def test_a_model_of_a_missing_device_works_here(kind, unit_data):
    y = kind.target(unit_data)
    model = kind().fit(unit_data, y)
    expected = kind.answers(model, unit_data)
    # As if it had been fitted there, and loaded here.
    for estimator in (model, *getattr(model, "estimators_", [])):
        estimator.set_params(device="cuda:63")
    for one, other in zip(kind.answers(model, unit_data), expected, strict=True):
        assert_array_equal(one, other)
    with pytest.raises(ValueError, match="Available devices: cpu"):
        model.fit(unit_data, y)


def test_a_device_may_be_a_torch_device(kind, unit_data):
    device, y = torch.device("cpu"), kind.target(unit_data)
    model = clone(kind(device=device)).fit(unit_data, y)
    assert model.get_params()["device"] == device
    for one, other in zip(
        kind.answers(model, unit_data),
        kind.answers(kind().fit(unit_data, y), unit_data),
        strict=True,
    ):
        assert_array_equal(one, other)


def test_fits_in_threads_equal_fits_one_after_another(kind, digits):
    X = digits[0][:300]
    y = kind.target(X)
    models = [kind(random_state=seed) for seed in range(4)]
    alone = [clone(model).fit(X, y) for model in models]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda model: model.fit(X, y), models))
        answers = list(pool.map(lambda model: kind.answers(model, X), together * 2))
    for one, other, given in zip(alone * 2, together * 2, answers, strict=True):
        assert_same_model(other, one)
        for mine, yours in zip(given, kind.answers(one, X), strict=True):
            assert_array_equal(mine, yours)


# ---- what is kept ---------------------------------------------------------------


def test_clone_and_parameters(kind, unit_data):
    y = kind.target(unit_data)
    model = kind()
    parameters = model.get_params()
    model.fit(unit_data, y)
    copy = clone(model)
    for name, value in copy.get_params().items():
        if not isinstance(value, BaseEstimator):
            assert value == parameters[name]
    assert model.get_params() == parameters
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert_same_model(copy.fit(unit_data, y), model)


def test_no_torch_in_the_fitted_state(kind, unit_data):
    def leaves(value):
        if isinstance(value, BaseEstimator):
            value = vars(value)
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for part in value:
                yield from leaves(part)
        else:
            yield value

    how = {"tied_weights": False} if "tied_weights" in kind().get_params() else {}
    model = kind(early_stopping=True, **how).fit(unit_data, kind.target(unit_data))
    for value in leaves(model):
        assert not type(value).__module__.startswith("torch"), value
    state = {name: value for name, value in vars(model).items() if name[-1] == "_"}
    allowed = {np.ndarray, int}
    if hasattr(model, "estimators_"):
        allowed = {list, int}
    elif hasattr(model, "parameters_"):
        allowed |= {dict}
    elif kind.learns:
        allowed |= {bool, list, str, ContractiveAutoencoder}
    assert {type(value) for value in state.values()} <= allowed
    for array in [*getattr(model, "coefs_", []), *getattr(model, "intercepts_", [])]:
        assert type(array) is np.ndarray
        assert array.flags.writeable


def test_pickle_keeps_the_model_and_where_it_stood(kind, unit_data):
    y = kind.target(unit_data)
    how = {} if kind.learns else {"warm_start": True}
    how |= {"tied_weights": False} if "tied_weights" in kind().get_params() else {}
    model = kind(early_stopping=True, **how).fit(unit_data, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert_same_model(model, loaded)
    answers = kind.answers(loaded, unit_data)
    for one, other in zip(answers, kind.answers(model, unit_data), strict=True):
        assert_array_equal(one, other)
    assert_same_model(model.fit(unit_data, y), loaded.fit(unit_data, y))
    if hasattr(model, "partial_fit"):
        model, loaded = model.partial_fit(unit_data), loaded.partial_fit(unit_data)
        assert_same_model(model, loaded)


def test_silent_by_default(kind, unit_data, capfd):
    kind.answers(kind().fit(unit_data, kind.target(unit_data)), unit_data)
    assert capfd.readouterr() == ("", "")


# ---- scikit-learn around an encoder ---------------------------------------------


@pytest.mark.parametrize(("library", "frame"), [("pandas", pd), ("polars", pl)])
def test_set_output(library, frame, encoder, unit_data):
    plain = encoder().fit_transform(unit_data)
    model = encoder().set_output(transform=library)
    out = model.fit_transform(unit_data)
    assert isinstance(out, frame.DataFrame)
    name, width = type(model).__name__.lower(), plain.shape[1]
    assert list(out.columns) == [f"{name}{k}" for k in range(width)]
    assert_array_equal(model.get_feature_names_out(), out.columns)
    assert_array_equal(out.to_numpy(), plain)
    assert isinstance(model.inverse_transform(out), np.ndarray)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_what_others_are_set_to_give_out_stays_outside(library, kind, unit_data):
    """A global setting changes what `transform` returns, and nothing else."""
    y = kind.target(unit_data)
    plain = kind().fit(unit_data, y)
    with sklearn.config_context(transform_output=library):
        model = kind().fit(unit_data, y)
        score = model.score(unit_data, y)
    assert score == plain.score(unit_data, y)
    assert_same_model(model, plain)


def test_grid_search_without_labels_uses_our_score(encoder, unit_data):
    grid = {"jacobian_penalty": [0.0, 1.0]}
    if "jacobian_penalty" not in encoder().get_params():
        grid = {"n_components": [1, 6]}
    search = GridSearchCV(encoder(), grid, cv=2, error_score="raise")
    search.fit(unit_data)
    assert search.best_estimator_.score(unit_data) < 0
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])


# What makes a parameter matter, or be of use at all.
WITH = {
    "hessian_noise": {"hessian_penalty": 0.1},
    "momentum": {"solver": "sgd"},
    "tangent_penalty": {"n_tangents": 2},
    "validation_fraction": {"early_stopping": True},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
# scikit-learn compares it with a bound that float32 has none of.
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_number_of_another_kind_is_the_same_number(kind, unit_data):
    """Of NumPy's float32, and an int for a float; True is 1."""
    X, y = unit_data, kind.target(unit_data)
    for name, constraints in kind.cls._parameter_constraints.items():
        is_number = any(getattr(each, "type", None) is Real for each in constraints)
        # It is for sparse rows alone.
        if not is_number or name == "reconstruction_sampling":
            continue
        for value in (np.float32(0.3), True):
            how = {**WITH.get(name, {}), "max_iter": 2}
            if is_valid(kind, name, float(value)):
                one, other = (
                    kind(**{**how, name: number}).fit(X, y)
                    for number in (value, float(value))
                )
                assert_same_model(one, other)


def is_valid(kind, name, value):
    try:
        kind(**{name: value})._validate_params()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_that_are_kept_on_a_device_train_the_same_model(
    early_stopping, kind, unit_data, monkeypatch
):
    how = {"early_stopping": early_stopping}
    y, weights = kind.target(unit_data), np.linspace(0, 2, len(unit_data))
    expected = kind(**how).fit(unit_data, y, sample_weight=weights)
    monkeypatch.setattr(tensors, "fits_on", lambda device, n_bytes: True)
    found = kind(**how).fit(unit_data, y, sample_weight=weights)
    assert_same_model(found, expected, rtol=1e-12, atol=1e-14)
