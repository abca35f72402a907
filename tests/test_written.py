"""What `save` writes can be read again, and is the same; what cannot, it refuses."""

from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from skcae import (
    ContractiveAutoencoder,
    DeepCAE,
    FineTunedClassifier,
    ModuleAutoencoder,
    PatchEncoder,
    StackedCAE,
)
from skcae.persistence import get_weights, load, save

HOW = {"max_iter": 3, "tol": 1e-9, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).random((60, 16))
LABELS = X[:, 0] > 0.7


@pytest.fixture
def path(tmp_path):
    """Where a model has been written before, which stays what it is."""
    found = tmp_path / "model.skops"
    save(ContractiveAutoencoder(2), found)
    return found


# ---- keys ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        (LABELS, {True: 4.0, False: 1.0}),
        (LABELS, dict(zip(np.unique(LABELS), [1.0, 4.0], strict=True))),
        (LABELS.astype(int), {0: 1.0, 1: 4.0}),
        (LABELS.astype(float), {np.float64(0): 1.0, np.float64(1): 4.0}),
        (np.where(LABELS, "a", "b"), {"a": 4.0, "b": 1.0}),
    ],
    ids=["bool", "NumPy's bool", "int", "NumPy's float", "text"],
)
def test_weights_of_classes_are_kept(labels, weights, path):
    encoder = ContractiveAutoencoder(4, **HOW)
    model = FineTunedClassifier(encoder, class_weight=weights, **HOW).fit(X, labels)
    save(model, path)
    again = load(path)
    assert again.class_weight == weights
    fitted = [m.fit(X, labels).predict_proba(X) for m in (model, again)]
    assert_array_equal(*fitted)


@pytest.mark.parametrize("keys", [(1, "1"), (None,), ((0, 1),)])
def test_keys_that_would_be_others_are_refused(keys, path):
    step = FunctionTransformer(kw_args={"value": dict.fromkeys(keys, 0)})
    with pytest.raises(TypeError, match="cannot be written: in a file they are text"):
        save(step, path)
    assert load(path).n_components == 2


# ---- functions and classes -------------------------------------------------------


def encoder(n_features, width=4):
    """One that others below have the name of."""
    return nn.Sequential(nn.Linear(n_features, width), nn.Tanh())


class Encoder(nn.Linear):
    """One that is found by its name."""

    def __init__(self, n_features):
        super().__init__(n_features, 4)


def local_ones():
    """Return what a file would take for the two above, and a callable of no name."""

    def encoder(n_features, width=4):
        return nn.Linear(n_features, width)

    class Encoder(nn.Linear):
        def __init__(self, n_features):
            super().__init__(n_features, 4)

        def make(self, n_features):
            return Encoder(n_features)

    class Made:
        def __call__(self, n_features):
            return nn.Linear(n_features, 4)

    return {
        "function": encoder,
        "in a partial": partial(encoder, width=3),
        "class": Encoder,
        "bound": Encoder(2).make,
        "callable": Made(),
    }


@pytest.mark.parametrize("name", local_ones())
def test_what_is_not_where_its_name_says_is_refused(name, path):
    model = ModuleAutoencoder(local_ones()[name], **HOW).fit(X)
    with pytest.raises(TypeError, match=r"Define it at the top level of a module"):
        save(model, path)
    assert load(path).n_components == 2


@pytest.mark.parametrize("factory", [encoder, Encoder, partial(encoder, width=3)])
def test_what_is_there_is_found(factory, path):
    model = ModuleAutoencoder(factory, **HOW).fit(X)
    save(model, path)
    names = [f"{__name__}.encoder", f"{__name__}.Encoder", "functools.partial"]
    assert_array_equal(load(path, trusted=names).transform(X), model.transform(X))


def test_a_function_in_a_tuple_is_seen(path):
    frame = pd.DataFrame(X[:, :3], columns=list("abc"))
    steps = make_column_transformer((StandardScaler(), lambda X: ["a", "b"]))
    model = make_pipeline(steps, ContractiveAutoencoder(2, **HOW)).fit(frame)
    with pytest.raises(TypeError, match=r"<lambda> cannot be written"):
        save(model, path)


# ---- arrays, and what does not go together ---------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        ContractiveAutoencoder(4, **HOW),
        StackedCAE((4, 3), **HOW),
        DeepCAE((4, 3), **HOW),
        FineTunedClassifier(ContractiveAutoencoder(4, **HOW), **HOW),
        PatchEncoder(ContractiveAutoencoder(4, **HOW), patch_size=2, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_in_mapped_memory_is_written(model, path, tmp_path):
    """As joblib has it in its workers, and gives it to whoever asks for that."""
    joblib.dump(model.fit(X, LABELS), tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    save(mapped, path)
    again, name = load(path), "predict" if hasattr(model, "predict") else "transform"
    assert_array_equal(getattr(again, name)(X), getattr(model, name)(X))
    if not isinstance(model, PatchEncoder):
        weights = get_weights(mapped).values()
        assert {type(part) for part in weights} == {np.ndarray}
        assert all(part.flags.writeable for part in weights)


@pytest.mark.parametrize(
    "parameters",
    [{"activation": "relu"}, {"max_iter": -1}],
    ids=["together", "range"],
)
def test_parameters_that_could_not_be_read_are_refused(parameters, path):
    """The model that they were set on is what it was fitted as."""
    model = ContractiveAutoencoder(3, hessian_penalty=0.1, **HOW).fit(X)
    model.set_params(**parameters)
    assert model.transform(X).shape == (60, 3)
    with pytest.raises(ValueError, match=r"no effect|The 'max_iter' parameter"):
        save(model, path)
    assert load(path).n_components == 2
