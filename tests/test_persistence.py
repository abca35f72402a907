"""Models in files: whole, or their weights; and files that are not what they seem."""

import json
import os
import pickle
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import joblib
import numpy as np
import pytest
import safetensors.numpy
import sklearn
import skops.io
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.svm import LinearSVC

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)
from skcae.checkpoints import Checkpoint, resume
from skcae.persistence import _archive, get_weights, load, save, set_weights
from skcae.persistence._files import read
from skcae.persistence._integrity import check_model
from tests.conftest import write_unchecked
from tests.test_checkpoints import Copies

HOW = {"max_iter": 4, "tol": 0.5, "random_state": 0}
MODELS = {
    "CAE": ContractiveAutoencoder(6, **HOW),
    "untied": Autoencoder(6, tied_weights=False, activation="tanh", **HOW),
    "DAE": DenoisingAutoencoder(6, solver="sgd", learning_rate=1e-3, **HOW),
    "deep": DeepCAE((6, 4), jacobian_method="probes", **HOW),
    "deep, untied": DeepCAE((6, 4), tied_weights=False, activation="elu", **HOW),
    "convolutional": ConvolutionalCAE(
        (3, 4), (3, 2), image_shape=(8, 8), pool="max", **HOW
    ),
    "stack": StackedCAE((6, 4), early_stopping=True, **HOW),
    "classifier": FineTunedClassifier(
        make_pipeline(MinMaxScaler(), BernoulliRBM(6, n_iter=2, random_state=0)), **HOW
    ),
    "regressor": FineTunedRegressor(StackedCAE((6, 4), **HOW), **HOW),
    "deep classifier": FineTunedClassifier(DeepCAE((6, 4), **HOW), **HOW),
    "pipeline": make_pipeline(MinMaxScaler(), ContractiveAutoencoder(6, **HOW)),
    "frozen": FrozenEstimator(ContractiveAutoencoder(6, **HOW)),
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def fitted(digits):
    X, y = digits
    made = {}
    for name, model in MODELS.items():
        if name == "frozen":
            made[name] = FrozenEstimator(clone(model.estimator).fit(X[:200]))
        else:
            made[name] = clone(model).fit(X[:200], y[:200])
    return made


def outputs(model, X):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X)
    return model.predict(X) if hasattr(model, "predict") else model.transform(X)


# ---- whole models ---------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_is_the_same(name, fitted, digits, tmp_path):
    X, _ = digits
    save(fitted[name], tmp_path / "model.skops")
    again = load(tmp_path / "model.skops")
    assert_array_equal(outputs(again, X), outputs(fitted[name], X))
    assert repr(again) == repr(fitted[name])


@pytest.mark.parametrize("name", MODELS)
def test_only_our_types_are_to_be_trusted(name, fitted):
    data = skops.io.dumps(fitted[name])
    untrusted = skops.io.get_untrusted_types(data=data)
    assert set(untrusted) <= {t for t in _archive.TRUSTED if t.startswith("skcae.")}


@pytest.fixture
def with_requests():
    """Estimators that ask for metadata, which know themselves by what they ask."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_requests_of_metadata_are_kept(with_requests, unit_data, tmp_path):
    """In a pipeline, a network, a checkpoint and a step of scikit-learn's, too."""
    cae = ContractiveAutoencoder(3, max_iter=2, tol=1.0, random_state=0)
    cae.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
    judge = LinearSVC().set_fit_request(sample_weight="w")
    network = FineTunedClassifier(cae, max_iter=2, tol=1.0)
    y = np.arange(len(unit_data)) % 2
    for model in (cae, make_pipeline(cae, judge), network.set_fit_request(X_val=True)):
        model.fit(unit_data, y)
        save(model, tmp_path / "model.skops")
        again = load(tmp_path / "model.skops")
        requests = repr(model.get_metadata_routing())
        assert "True" in requests
        assert repr(again.get_metadata_routing()) == requests
        again.fit(unit_data, y)
    assert cae._metadata_request.owner is cae
    callback = Checkpoint(tmp_path / "model.skops")
    cae.set_callbacks(callback).fit(unit_data)
    again = resume(tmp_path / "model.skops", unit_data)
    assert repr(again.get_metadata_routing()) == repr(cae.get_metadata_routing())


def test_callbacks_are_left_out_wherever_they_are(digits, tmp_path):
    """They stay on the estimator, and no file is written that cannot be read."""
    X, y = digits
    callback = Checkpoint(tmp_path / "training.skops")
    for make in (
        lambda cae: cae,
        lambda cae: make_pipeline(MinMaxScaler(), cae),
        lambda cae: FineTunedClassifier(make_pipeline(MinMaxScaler(), cae), **HOW),
    ):
        cae = ContractiveAutoencoder(6, **HOW).set_callbacks(callback)
        model = make(cae).fit(X[:100], y[:100])
        save(model, tmp_path / "model.skops")
        again = load(tmp_path / "model.skops")
        assert_array_equal(outputs(again, X), outputs(model, X))
        assert cae._skl_callbacks == [callback]


def test_callbacks_are_left_out_of_what_a_search_is_to_try(tmp_path):
    """A dictionary of lists of estimators."""
    callback = Checkpoint(tmp_path / "training.skops")
    cae = ContractiveAutoencoder(6, **HOW).set_callbacks(callback)
    pipeline = Pipeline([("code", cae), ("svm", LinearSVC())])
    search = GridSearchCV(pipeline, {"code": [cae, make_pipeline(cae)]})
    save(search, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops")
    assert repr(again) == repr(search)
    first, second = again.param_grid["code"]
    for code in (again.estimator["code"], first, second[0]):
        assert not hasattr(code, "_skl_callbacks")
    assert cae._skl_callbacks == [callback]


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be opened")
@pytest.mark.parametrize("there", [False, True], ids=["new", "replaced"])
def test_a_file_and_then_its_name_are_on_the_disk(
    there, unit_data, tmp_path, monkeypatch
):
    """Or a crash of the system would leave an empty file, or the old one."""
    path, synced, sync = tmp_path / "model.skops", [], os.fsync

    def noted(descriptor):
        is_folder = os.path.samestat(os.fstat(descriptor), os.stat(tmp_path))
        synced.append("name" if is_folder else "content")
        if is_folder:
            assert path.stat().st_size > 100
        sync(descriptor)

    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    if there:
        path.write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", noted)
    save(model, path)
    assert synced == ["content", "name"]


def test_every_public_estimator_is_trusted():
    for model in MODELS.values():
        if type(model).__module__.startswith("skcae"):
            name = f"{type(model).__module__}.{type(model).__name__}"
            assert name in _archive.TRUSTED


def test_training_goes_on_from_a_file(unit_data, tmp_path):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    save(model, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops").partial_fit(unit_data)
    assert_array_equal(again.components_, model.partial_fit(unit_data).components_)


def test_a_device_as_an_object(unit_data, tmp_path):
    model = ContractiveAutoencoder(6, device=torch.device("cpu"), **HOW).fit(unit_data)
    save(model, tmp_path / "model.skops")
    assert load(tmp_path / "model.skops").device == torch.device("cpu")


@pytest.mark.parametrize(
    "through", [pickle, joblib, skops.io], ids=["pickle", "joblib", "skops"]
)
def test_a_model_of_another_device_works_here(through, unit_data, tmp_path):
    """As one that was fitted on a card would, and goes on training where told to."""
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    model.set_params(device="cuda:7")
    path = tmp_path / "model"
    if through is pickle:
        path.write_bytes(pickle.dumps(model))
        again = pickle.loads(path.read_bytes())
    elif through is joblib:
        joblib.dump(model, path)
        again = joblib.load(path)
    else:
        save(model, path)
        again = load(path)
    assert_array_equal(again.transform(unit_data), model.transform(unit_data))
    with pytest.raises(ValueError, match="device='cuda:7' cannot be used here"):
        again.partial_fit(unit_data)
    again.set_params(device="cpu").partial_fit(unit_data)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ImportError, match=r'needs skops; .* "skcae\[io\]"'):
        save(ContractiveAutoencoder(), tmp_path / "model.skops")


# ---- weights --------------------------------------------------------------------


def through_npz(weights, path):
    np.savez(path, **weights)
    with np.load(f"{path}.npz", allow_pickle=False) as archive:
        return dict(archive)


def through_safetensors(weights, path):
    safetensors.numpy.save_file(weights, path)
    return safetensors.numpy.load_file(path)


@pytest.mark.parametrize("through", [through_npz, through_safetensors])
@pytest.mark.parametrize("name", ["CAE", "untied", "DAE", "stack", "classifier"])
def test_weights_through_a_file(name, through, fitted, digits, tmp_path):
    X, _ = digits
    weights = through(get_weights(fitted[name]), tmp_path / "weights")
    other = clone(fitted[name])
    if name == "classifier":
        other.set_params(random_state=5).fit(X[:200], digits[1][:200])
        assert (outputs(other, X) != outputs(fitted[name], X)).any()
    set_weights(other, weights)
    assert_array_equal(outputs(other, X), outputs(fitted[name], X))


def test_weights_are_copies(unit_data):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    weights = get_weights(model)
    weights["components_"][:] = 0
    assert model.components_.any()
    set_weights(model, weights)
    weights["components_"][:] = 1
    assert not model.components_.any()


def test_a_model_made_of_weights_is_whole(unit_data, tmp_path):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    made = set_weights(clone(model), get_weights(model))
    save(made, tmp_path / "model.skops")
    assert load(tmp_path / "model.skops").score(unit_data) == model.score(unit_data)
    assert made.partial_fit(unit_data).n_iter_ == 1
    assert made.get_feature_names_out().shape == (6,)


def without(name):
    return lambda weights: {k: v for k, v in weights.items() if k != name}


def changed(name, change):
    return lambda weights: {**weights, name: change(weights[name])}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("intercept_hidden_"), "takes weights of the names"),
        (lambda weights: {**weights, "more": np.ones(2)}, "takes weights of the names"),
        (changed("components_", lambda W: W[:, :, None]), "must have two dimensions"),
        (changed("components_", lambda W: W[:, :0]), "no empty one"),
        (changed("intercept_hidden_", lambda b: b[:5]), r"of shape \(6,\), but is"),
        (changed("intercept_visible_", lambda c: c.astype(int)), "float32 or float64"),
        (changed("components_", lambda W: W * np.nan), "NaN or infinite"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(spoil, message, unit_data):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    before, weights = model.transform(unit_data), get_weights(model)
    with pytest.raises(ValueError, match=message):
        set_weights(model, spoil(weights))
    assert_array_equal(model.transform(unit_data), before)


def test_weights_of_another_number_of_units(unit_data):
    weights = get_weights(ContractiveAutoencoder(6, **HOW).fit(unit_data))
    with pytest.raises(ValueError, match="has 6 rows, but n_components=5"):
        set_weights(ContractiveAutoencoder(5), weights)


def test_weights_of_a_stack_that_do_not_meet(digits):
    X, _ = digits
    stack = StackedCAE((6, 4), **HOW).fit(X[:100])
    weights = get_weights(stack)
    weights["1.components_"] = weights["1.components_"][:, :5]
    weights["1.intercept_visible_"] = weights["1.intercept_visible_"][:5]
    with pytest.raises(ValueError, match="Layer 0 gives 6 codes, but layer 1 takes 5"):
        set_weights(clone(stack), weights)


def test_weights_of_something_else():
    with pytest.raises(TypeError, match="A MinMaxScaler has no named weights"):
        get_weights(MinMaxScaler().fit(np.eye(2)))
    with pytest.raises(NotFittedError):
        get_weights(ContractiveAutoencoder())
    with pytest.raises(NotFittedError):
        set_weights(FineTunedClassifier(ContractiveAutoencoder()), {})
    with pytest.raises(TypeError, match="A MinMaxScaler has no named weights"):
        set_weights(MinMaxScaler(), {})


# ---- files that are not what they seem ------------------------------------------


@pytest.fixture(scope="module")
def model_file(fitted):
    return skops.io.dumps(fitted["stack"], compression=zipfile.ZIP_STORED)


def refused(data, path, error=ValueError, match="is damaged or holds no model"):
    path.write_bytes(data)
    with pytest.raises(error, match=match):
        load(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x05\x06" + bytes(18), b"not a zip", pickle.dumps({"a": 1})],
    ids=["empty", "empty archive", "text", "pickle"],
)
def test_what_is_no_model(data, tmp_path):
    refused(data, tmp_path / "model.skops")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.skops")


def test_a_file_that_was_cut_off(model_file, tmp_path):
    for length in np.linspace(1, len(model_file) - 1, 40).astype(int):
        refused(model_file[:length], tmp_path / "model.skops")


def test_a_file_with_other_bytes(model_file, tmp_path):
    """Damage is an error that says so, or left the model as it was."""
    random = np.random.default_rng(0)
    expected = get_weights(skops.io.loads(model_file, trusted=_archive.TRUSTED))
    path, n_refused = tmp_path / "model.skops", 0
    for _ in range(300):
        damaged = bytearray(model_file)
        for position in random.integers(0, len(damaged), random.integers(1, 4)):
            damaged[position] ^= random.integers(1, 256)
        path.write_bytes(damaged)
        model = model_or_error(path)
        if isinstance(model, ValueError):
            n_refused += 1
            continue
        for name, array in get_weights(model).items():
            assert_array_equal(array, expected[name])
    assert n_refused > 200


def rewritten(data, change):
    """Change the description in a file, with checksums that fit."""
    source, target = zipfile.ZipFile(BytesIO(data)), BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name == "schema.json":
                content = json.dumps(change(json.loads(content))).encode()
            archive.writestr(name, content)
    return target.getvalue()


def leaves(node, path=()):
    """Go through the values of a nested description, by their paths."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*path, key), value
        if isinstance(value, (dict, list)):
            yield from leaves(value, (*path, key))


def with_value(node, path, value):
    parent = node
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return node


def test_a_description_that_was_tampered_with(model_file, tmp_path):
    """Whatever stands in it, an error of ours or a model that is whole."""
    random = np.random.default_rng(0)
    schema = json.loads(zipfile.ZipFile(BytesIO(model_file)).read("schema.json"))
    paths = [path for path, _ in leaves(schema)]
    values = [None, -1, 10**30, "1e400", "", "os", [], {}, True, "builtins", "numpy"]
    n_refused = 0
    for _ in range(400):
        path = paths[random.integers(len(paths))]
        value = values[random.integers(len(values))]
        data = rewritten(model_file, lambda s, p=path, v=value: with_value(s, p, v))
        file = tmp_path / "model.skops"
        file.write_bytes(data)
        model = model_or_error(file)
        if isinstance(model, Exception):
            n_refused += 1
            continue
        assert isinstance(model, StackedCAE)
        if hasattr(model, "estimators_"):
            assert np.isfinite(model.transform(np.ones((2, 64)))).all()
    # The others are where nothing depends on the value, as in names of members.
    assert n_refused > 100


def model_or_error(path):
    """What `load` gives, or the error that it documents; any other is raised."""
    try:
        return load(path)
    except (ValueError, TypeError) as error:
        if "is damaged or holds no" in str(error) or "was not loaded" in str(error):
            return error
        raise


class Stranger(MinMaxScaler):
    """A step from elsewhere."""


def test_a_type_from_elsewhere_is_built_only_if_trusted(tmp_path):
    path = tmp_path / "model.skops"
    save(make_pipeline(Stranger()), path)
    with pytest.raises(TypeError, match=r"was not loaded: .*Stranger"):
        load(path)
    name = f"{Stranger.__module__}.Stranger"
    assert isinstance(load(path, trusted=[name])[0], Stranger)


def test_a_function_is_not_taken_from_a_file(tmp_path):
    save(FunctionTransformer(print), tmp_path / "model.skops")
    with pytest.raises(TypeError, match=r"was not loaded: .*print"):
        load(tmp_path / "model.skops")


def test_compressed_members_are_refused(fitted, tmp_path):
    data = skops.io.dumps(fitted["CAE"], compression=zipfile.ZIP_DEFLATED)
    refused(data, tmp_path / "model.skops", match="It is compressed")


def masked_at_one_nan(n):
    values = np.zeros(n)
    values[1] = np.nan
    return np.ma.masked_invalid(values)


SPOILED = {
    "shape": lambda m: setattr(m, "intercept_hidden_", np.zeros(3)),
    "no array": lambda m: setattr(m, "components_", [1.0]),
    "text": lambda m: setattr(m, "components_", np.array([["a"]])),
    "NaN": lambda m: setattr(m, "components_", m.components_ * np.nan),
    "missing": lambda m: delattr(m, "intercept_visible_"),
    "features": lambda m: setattr(m, "n_features_in_", 3),
    "activation": lambda m: setattr(m, "_fitted_activation", "exec"),
    "loss": lambda m: setattr(m, "_fitted_loss", None),
    "parameter": lambda m: setattr(m, "learning_rate", -1.0),
    "solver": lambda m: m._training_state.update(solver="eval"),
    "solver's state": lambda m: m._training_state["solver_state"].update(x=np.ones(2)),
    "moments": lambda m: m._training_state["solver_state"].update(
        {"mean.components": np.ones((2, 2))}
    ),
    "generator": lambda m: m._training_state.update(generator=np.ones(3, np.uint8)),
    "progress": lambda m: m._training_state.update(progress={}),
    "mask": lambda m: setattr(
        m, "components_", np.ma.masked_array(m.components_ * np.nan, mask=True)
    ),
    "mask over one": lambda m: setattr(m, "intercept_hidden_", masked_at_one_nan(6)),
    "record": lambda m: setattr(m, "loss_curve_", "low"),
    "a part of the record": lambda m: setattr(m, "penalty_curve_", np.ones(99)),
    "method": lambda m: setattr(m, "transform", np.ones(2)),
    "its own check": lambda m: setattr(m, "_check_whole", np.ones(2)),
    "property": lambda m: vars(m).update(_n_features_out=3),
    "constraints": lambda m: (
        setattr(m, "_parameter_constraints", {}),
        setattr(m, "learning_rate", "a"),
    ),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_model_that_is_not_whole_is_refused(spoil, unit_data, tmp_path):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    spoil(model)
    write_unchecked(model, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="is damaged or holds no model"):
        load(tmp_path / "model.skops")


# Of a training of two epochs of one step each.
PROGRESS = [
    ("step", "a"),
    ("step", -2),
    ("step", 3),
    ("n_rows", -1),
    ("stalled_at", "a"),
    ("stalled_at", 0),
    ("stalled_at", 3),
    ("stalled_at", 1.0),
    ("means", np.ones((0, 2))),
    ("means", np.ones(2)),
    ("means", [[1.0, 1.0], [1.0, 1.0]]),
    ("validation_curve", None),
    ("validation_curve", [1.0]),
    ("kept_epoch", 99),
    ("kept", {"components": np.ones(2)}),
]


@pytest.mark.parametrize(("name", "value"), PROGRESS)
def test_a_progress_that_cannot_be_is_refused(name, value, unit_data, tmp_path):
    path = tmp_path / "training.skops"
    callback = Copies(path)
    ContractiveAutoencoder(6, **HOW).set_callbacks(callback).fit(unit_data)
    model = read(callback.files[1], None)
    model._training_state["progress"][name] = value
    write_unchecked(model, path)
    with pytest.raises(ValueError, match="is damaged or holds no model"):
        resume(path, unit_data)


STACKS = {
    "another kind": lambda s: s.estimators_.__setitem__(0, Autoencoder(6)),
    "no list": lambda s: setattr(s, "estimators_", tuple(s.estimators_)),
    "none": lambda s: s.estimators_.clear(),
    "too few": lambda s: s.estimators_.pop(0),
    "count": lambda s: s._training_state.update(n_done=-1),
    "above": lambda s: s._training_state.update(above=None),
}


@pytest.mark.parametrize("spoil", STACKS.values(), ids=STACKS)
def test_a_stack_that_is_not_whole_is_refused(spoil, unit_data, tmp_path):
    path = tmp_path / "training.skops"
    callback = Copies(path)
    StackedCAE((6, 4), **HOW).set_callbacks(callback).fit(unit_data)
    stack = read(callback.files[-3], None)
    spoil(stack)
    write_unchecked(stack, path)
    with pytest.raises(ValueError, match="is damaged or holds no model"):
        resume(path, unit_data)


@pytest.mark.parametrize("place", [lambda s: s, make_pipeline], ids=["alone", "step"])
def test_a_stack_whose_layers_do_not_meet_is_refused(place, unit_data, tmp_path):
    """Each of them is whole."""
    stack = StackedCAE((6, 4), **HOW).fit(unit_data)
    stack.estimators_[1] = ContractiveAutoencoder(4, **HOW).fit(unit_data[:, :5])
    write_unchecked(place(stack), tmp_path / "model.skops")
    with pytest.raises(ValueError, match="Layer 0 gives 6 codes, but layer 1 takes 5"):
        load(tmp_path / "model.skops")


def test_shared_parts_are_looked_at_once(tmp_path):
    """Or nested lists, each with the next one twice, would take for ever."""
    nested = [1.0]
    for _ in range(60):
        nested = [nested, nested]
    model = MinMaxScaler().set_params(feature_range=nested)
    check_model(model)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: setattr(m, "classes_", m.classes_[:3]),
        lambda m: setattr(m, "classes_", list(m.classes_)),
        lambda m: setattr(m, "encoder_", None),
        lambda m: setattr(m, "encoder_", MinMaxScaler()),
        lambda m: m.coefs_.pop(),
        lambda m: m.coefs_.__setitem__(0, m.coefs_[0][:, :1]),
        lambda m: m._fitted_activations.append("tanh"),
        lambda m: m._fitted_activations.__setitem__(0, "none"),
    ],
)
def test_a_network_that_is_not_whole_is_refused(spoil, fitted, tmp_path):
    model = pickle.loads(pickle.dumps(fitted["classifier"]))
    spoil(model)
    write_unchecked(model, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="is damaged or holds no model"):
        load(tmp_path / "model.skops")


def test_a_damaged_model_inside_a_pipeline_is_found(fitted, tmp_path):
    pipeline = pickle.loads(pickle.dumps(fitted["pipeline"]))
    pipeline[-1].intercept_hidden_ = np.zeros(2)
    write_unchecked(pipeline, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="intercept_hidden_ must be a float32"):
        load(tmp_path / "model.skops")


def test_threads_read_one_model_at_a_time(unit_data, tmp_path, monkeypatch):
    """Python's parser, which reads NumPy's headers, is not always made for several."""
    model = ContractiveAutoencoder(3, max_iter=2, tol=10.0).fit(unit_data)
    save(model, tmp_path / "model")
    reading, at_once, skops_load = [], [], skops.io.load

    def slow(*arguments, **how):
        reading.append(1)
        at_once.append(len(reading))
        time.sleep(0.05)
        reading.pop()
        return skops_load(*arguments, **how)

    monkeypatch.setattr(skops.io, "load", slow)
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(load, [tmp_path / "model"] * 4))
    assert at_once == [1, 1, 1, 1]
    assert len({id(model) for model in models}) == 4
