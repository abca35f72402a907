"""Arrays of other libraries are taken where they are, and answered alike."""

import importlib
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcae import (
    ContractiveAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    PatchEncoder,
)
from skcae._encoders.kept import KEPT, kept_layers
from skcae.persistence import get_weights, set_weights
from tests.promises.kinds import assert_close, assert_same_model, encoder

SHORT = {"max_iter": 2, "batch_size": 7}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def strict(device):
    xp = pytest.importorskip("array_api_strict")
    return lambda array: xp.asarray(array, device=xp.Device(device))


LIBRARIES = {
    "torch": lambda: torch.from_numpy,
    "array_api_strict": lambda: strict("device1"),
}


@pytest.fixture(params=LIBRARIES.values(), ids=LIBRARIES)
def make(request):
    """Make arrays of a library of NumPy's, while scikit-learn dispatches by them."""
    library = request.param()
    with config_context(array_api_dispatch=True):
        yield library


def plain(array):
    """The values of an array of any library."""
    return array if isinstance(array, np.ndarray) else torch.from_dlpack(array).numpy()


def assert_alike(found, given):
    """Of the library of what was given, and on its device."""
    assert type(found) is type(given)
    assert found.device == given.device


def test_arrays_give_the_model_of_numpy_and_are_answered_alike(kind, unit_data, make):
    X, y = unit_data.astype("f4"), kind.target(unit_data)
    weights = np.linspace(0.5, 1.5, len(X))
    expected, model = kind(**SHORT), kind(**SHORT)
    expected.fit(X, y, sample_weight=weights)
    given = make(X)
    model.fit(given, y, sample_weight=make(weights))
    # What is fitted are NumPy's arrays, so that any library takes any model.
    assert_same_model(model, expected, rtol=1e-5, atol=1e-6)
    for model_of in (model, expected):
        answers = kind.answers(model_of, given)
        for one, other in zip(answers, kind.answers(expected, X), strict=True):
            if other.dtype.kind == "f":
                assert_alike(one, given)
                assert plain(one).dtype == "f4"
            assert_close(plain(one), other, rtol=1e-4, atol=1e-5)
    score = model.score(given, y, sample_weight=make(weights))
    assert score == pytest.approx(expected.score(X, y, sample_weight=weights), rel=1e-4)
    if not kind.learns:
        decoded = model.inverse_transform(model.transform(given))
        assert_alike(decoded, given)
        assert plain(decoded).dtype == "f4"


def test_numbers_as_labels_and_values_are_answered_alike(unit_data, make):
    given, frozen = make(unit_data), encoder(**SHORT)
    values, labels = unit_data[:, 0], (unit_data[:, 0] > 0.5).astype(int)
    for cls, y in ((FineTunedRegressor, values), (FineTunedClassifier, labels)):
        model = cls(frozen, random_state=0, **SHORT).fit(given, make(y))
        found = model.predict(given)
        assert_alike(found, given)
        assert_allclose(plain(found), model.predict(unit_data), rtol=1e-6)
        assert isinstance(model.score(given, make(y)), float)


@pytest.fixture
def to_numpy(monkeypatch):
    """The shapes of the tensors of floats that NumPy got to see, and the other way."""
    seen, (numpy, tensor) = [], (torch.Tensor.numpy, torch.from_numpy)

    def spy(convert):
        def converted(array, *how, **more):
            if array.dtype in (torch.float32, torch.float64, np.float32, np.float64):
                seen.append(tuple(array.shape))
            return convert(array, *how, **more)

        return converted

    monkeypatch.setattr(torch.Tensor, "numpy", spy(numpy))
    monkeypatch.setattr(torch.Tensor, "__array__", spy(torch.Tensor.__array__))
    monkeypatch.setattr(torch, "from_numpy", spy(tensor))
    return seen


def test_no_row_goes_through_numpy(kind, unit_data, to_numpy):
    X, y = unit_data[:37], kind.target(unit_data[:37])
    given = torch.tensor(X)
    how = {"early_stopping": True, "validation_fraction": 0.2, **SHORT}
    with config_context(array_api_dispatch=True):
        model = kind(**how).fit(given, y)
        kind.answers(model, given)
    # 37 rows, or those of a batch, to train on and to hold out, as matrices.
    rows = {shape for shape in to_numpy if len(shape) == 2 and shape[1] == 8}
    n_units = {6, 5, 4, 3}
    assert {n for n, _ in rows} <= n_units
    assert to_numpy


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float32])
def test_rows_without_labels_keep_their_precision(dtype, unit_data):
    X, U = torch.tensor(unit_data > 0.5).to(dtype), torch.tensor(unit_data)
    y = np.arange(len(X)) % 2
    plain = FineTunedClassifier(encoder(), **SHORT)
    model = clone(plain)
    plain.fit(X.numpy(), y, X_unlabeled=U.numpy())
    with config_context(array_api_dispatch=True):
        model.fit(X, torch.from_numpy(y), X_unlabeled=U)
    assert_allclose(model.encoder_.components_, plain.encoder_.components_, rtol=1e-9)


# scikit-learn's Ridge divides by singular values of 0, and takes what comes of it.
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_pipeline_stays_where_its_rows_are(unit_data, make):
    y = unit_data[:, 0]
    steps = StandardScaler(), encoder(), Ridge(solver="svd")
    pipeline = make_pipeline(*steps).fit(make(unit_data), make(y))
    assert_alike(pipeline[:-1].transform(make(unit_data)), make(unit_data))
    found = pipeline.predict(make(unit_data))
    assert_alike(found, make(unit_data))
    expected = make_pipeline(*map(clone, steps)).fit(unit_data, y).predict(unit_data)
    assert_allclose(plain(found), expected)


def test_patches_of_images_are_answered_alike(unit_data, make):
    images = np.concatenate([unit_data, unit_data], 1)
    patches = PatchEncoder(encoder(), patch_size=2, random_state=0)
    model = patches.fit(make(images))
    found = model.transform(make(images))
    assert_alike(found, make(images))
    assert_allclose(plain(found), patches.fit(images).transform(images))


def test_without_a_dispatch_tensors_are_answered_by_numpy(unit_data):
    codes = encoder(**SHORT).fit_transform(torch.tensor(unit_data))
    assert isinstance(codes, np.ndarray)


def test_a_named_device_computes_and_the_answer_is_where_x_is(unit_data, monkeypatch):
    named = []
    resolve = "skcae._estimators.trained.resolve_device_or_cpu"
    original = importlib.import_module("skcae._core.data.arrays").resolve_device_or_cpu

    def spy(device, dtype):
        named.append(device)
        return original("cpu", dtype)

    monkeypatch.setattr(resolve, spy)
    model = encoder(**SHORT).fit(unit_data)
    with config_context(array_api_dispatch=True):
        for device in (None, "cuda:1"):
            model.set_params(device=device).transform(torch.tensor(unit_data))
    assert named == [torch.device("cpu"), "cuda:1"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            torch.Tensor.to_sparse,
            TypeError,
            r"layout torch\.sparse_coo.*X\.to_dense\(\)",
        ),
        (lambda X: X + 1j, ValueError, "Complex data not supported.*complex128"),
        (lambda X: X.log() * 0, ValueError, "NaN.*a SimpleImputer"),
        (lambda X: X[:, 0], ValueError, "Expected 2D array, got 1D"),
        (lambda X: X[None], ValueError, "Make a row of each image"),
    ],
    ids=["sparse", "complex", "NaN", "a column", "images"],
)
def test_tensors_that_are_no_rows_of_numbers_are_refused(
    change, error, message, unit_data
):
    X = change(torch.tensor(unit_data).round())
    with config_context(array_api_dispatch=True), pytest.raises(error, match=message):
        ContractiveAutoencoder().fit(X)


def test_sparse_tensors_are_refused_without_a_dispatch_too(kind, unit_data):
    X, y = torch.tensor(unit_data), kind.target(unit_data)
    with pytest.raises(TypeError, match=r"layout torch\.sparse_coo.*X\.to_dense\(\)"):
        kind().fit(X.to_sparse(), y)


def test_weights_stay_on_an_accelerator_until_they_change(kind, unit_data):
    """On a device without data of its own, since the processor keeps nothing."""
    y = kind.target(unit_data)
    model = kind(**SHORT).fit(unit_data, y)

    def layers(device="meta"):
        where = np.dtype("f4"), torch.device(device)
        return kept_layers(model, lambda *where: object(), *where)

    first = layers()
    assert layers() is first
    assert layers("cpu") is not layers("cpu")
    set_weights(model, get_weights(model))
    given = layers()
    assert given is not first
    weights = next(iter(model._named_weights().values()))
    with pytest.raises(ValueError, match="read-only"):
        weights[:] = 0
    weights.flags.writeable = True
    weights[:] = 0
    changed = layers()
    assert changed is not given
    model.fit(unit_data, y)
    assert layers() is not changed
    assert layers() is layers()
    assert clone(model) not in KEPT
    assert_same_model(model, pickle.loads(pickle.dumps(model)))
