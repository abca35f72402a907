"""Files of models before anything is built of them, and all that may stand in them."""

import io
import json
import zipfile
from collections import OrderedDict, deque, namedtuple
from functools import partial
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.utils import Bunch

from skcae import ContractiveAutoencoder, FineTunedClassifier
from skcae.checkpoints import Checkpoint
from skcae.persistence import _archive, load, save
from skcae.persistence._parts import everything_in, with_parts
from skcae.persistence._written import as_written
from tests.conftest import write_unchecked

HOW = {"max_iter": 2, "tol": 0.5, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def holding(value):
    """A step that skops can write with anything in it."""
    return FunctionTransformer(kw_args={"value": value})


def rewritten(path, change, more=None):
    """Change the description of a file, and add members."""
    with ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(contents["schema.json"])
    contents["schema.json"] = json.dumps(change(schema) or schema).encode()
    with ZipFile(path, "w") as archive:
        for name, content in {**contents, **(more or {})}.items():
            archive.writestr(name, content)


def nodes(description):
    return [*_archive._nodes(description)]


# ---- a small file stays small ---------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skops"


def compressed_zeros(n_bytes):
    """A sparse matrix as skops stores it, whose data unpack to so many bytes."""
    buffer = io.BytesIO()
    sparse.save_npz(buffer, sparse.csr_matrix(np.eye(2)))
    with ZipFile(buffer) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (n_bytes,)}
    )
    contents["data.npy"] = header.getvalue() + bytes(n_bytes)
    target = io.BytesIO()
    with ZipFile(target, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize("ending", ["npz", "npy", "bin"])
def test_a_member_that_unpacks_to_any_size_is_refused(ending, path):
    """Whatever its name; and nothing of it is unpacked."""
    save(holding(sparse.csr_matrix(np.eye(2))), path)

    def change(schema):
        (node,) = (node for node in nodes(schema) if "file" in node)
        node["file"] = f"large.{ending}"

    rewritten(path, change, {f"large.{ending}": compressed_zeros(300 * 2**20)})
    assert path.stat().st_size < 2**20
    with pytest.raises(ValueError, match=r"It unpacks to 314\d{6} bytes, more than"):
        load(path)


def test_a_member_that_is_read_any_number_of_times_is_refused(path):
    """By so many objects: skops gives each a copy of its own."""
    save(holding([np.zeros(50_000)]), path)

    def change(schema):
        (node,) = (node for node in nodes(schema) if "file" in node)
        del node["__id__"]
        parent = next(n for n in nodes(schema) if n.get("content") == [node])
        parent["content"] = [node] * 1000

    rewritten(path, change)
    assert path.stat().st_size < 2**20
    with pytest.raises(ValueError, match="It unpacks to 400128000 bytes, more than"):
        load(path)


def test_members_that_overlap_are_refused(path):
    """One that is stored once, under many names."""
    save(holding(np.zeros(1000)), path)
    with ZipFile(path, "a") as archive:
        archive.writestr("large.bin", bytes(10_000))
        (member,) = (m for m in archive.infolist() if m.filename == "large.bin")
        archive.filelist += [member] * 100
    with pytest.raises(ValueError, match="and must overlap"):
        load(path)


@pytest.mark.parametrize(
    "matrix",
    [
        sparse.eye_array(200_000, format="csr"),
        sparse.csr_matrix(np.ones((300, 200))),
        sparse.csc_array(np.ones((300, 200))),
        sparse.csc_matrix((100_000, 3)),
    ],
)
def test_sparse_matrices_that_compress_well_are_taken(matrix, path):
    """As long as they are not large."""
    save(holding(matrix), path)
    again = load(path).kw_args["value"]
    assert type(again) is type(matrix)
    assert abs(again - matrix).nnz == 0


def test_what_is_shared_counts_once(path, monkeypatch):
    """As often as an array stands in a model, it is read once."""
    monkeypatch.setattr(_archive, "UNPACKED_BYTES", 0)
    array = np.zeros(1000)
    save(holding([array] * 1000), path)
    assert len(load(path).kw_args["value"]) == 1000


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("name", ["indices", "indptr"])
def test_a_sparse_matrix_whose_indices_leave_it_is_refused(kind, name, path):
    """SciPy would follow them out of the matrix' memory."""
    matrix = kind(np.eye(3))
    getattr(matrix, name)[1] = 10**6
    write_unchecked(holding(matrix), path)
    with pytest.raises(ValueError, match="is damaged or holds no model"):
        load(path)


# ---- types ----------------------------------------------------------------------


@pytest.mark.parametrize("name", _archive.TRUSTED)
def test_a_trusted_type_is_taken_in_one_kind_of_node_alone(name, path):
    """Or a list, say, would call it with what stands in the file."""
    save(holding([1.0]), path)
    module, _, kind = name.rpartition(".")

    def change(schema):
        (node,) = (
            n
            for n in nodes(schema)
            if n["__class__"] == "list"
            and [*map(type, n["content"])] == [dict]
            and "1.0" in str(n["content"])
        )
        node |= {"__module__": module, "__class__": kind}

    rewritten(path, change)
    with pytest.raises(ValueError, match=f"It has {name} as a ListNode"):
        load(path)


def test_trusted_types_are_there_under_their_names():
    """Or a release that moves one would leave its files unreadable, unnoticed."""
    from importlib import import_module

    for name in _archive.TRUSTED:
        module, _, kind = name.rpartition(".")
        assert hasattr(import_module(module), kind), name


def test_a_key_of_any_name_is_no_node(path):
    value = {"__loader__": "x", "file": "y", "__class__": 1, "__id__": [2]}
    save(holding(value), path)
    assert load(path).kw_args["value"] == value


# ---- models wherever they are ---------------------------------------------------


class Other:
    """An object that is no estimator."""

    def __init__(self, part):
        self.part = part


Pair = namedtuple("Pair", "one other")


def masked(part):
    array = np.ma.masked_all(2, dtype=object)
    array.data[:] = [part, 1]
    return array


def array_of(part, shape):
    array = np.empty(shape, dtype=object)
    array.reshape(-1)[0] = part
    return array


PLACES = {
    "list": lambda part: [1, part],
    "tuple": lambda part: (1, part),
    "named tuple": lambda part: Pair(1, part),
    "set": lambda part: {1, part},
    "frozen set": lambda part: frozenset({1, part}),
    "queue": lambda part: deque([1, part]),
    "dictionary": lambda part: {"a": part},
    "its keys": lambda part: {part: 1},
    "its subclass": lambda part: OrderedDict(a=part),
    "bunch": lambda part: Bunch(a=part),
    "array": lambda part: array_of(part, 3),
    "table": lambda part: array_of(part, (2, 2)),
    "array of none": lambda part: array_of(part, ()),
    "masked array": masked,
    "object": Other,
    "estimator": lambda part: make_pipeline(part),
    "method": lambda part: part.transform,
    "bound function": lambda part: partial(print, part, end=part),
}
# Those that skops can write, and that load gives back without further trust.
WRITTEN = {
    "list",
    "tuple",
    "set",
    "dictionary",
    "its subclass",
    "bunch",
    "array",
    "masked array",
    "estimator",
}


@pytest.mark.parametrize("place", PLACES)
def test_everything_is_found_wherever_it_is(place):
    """Through another place, too, as far as it may stand there."""
    model, n_found = MinMaxScaler(), 0
    for deeper in PLACES.values():
        try:
            value = deeper(PLACES[place](model))
        except (TypeError, AttributeError):  # a list in a set, say
            continue
        assert any(part is model for part in everything_in(value))
        assert with_parts(value, lambda part: part) is value
        n_found += 1
    assert n_found > 10


@pytest.mark.parametrize("place", sorted(WRITTEN))
def test_a_damaged_model_is_found_wherever_it_is(place, unit_data, path):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    write_unchecked(holding(PLACES[place](model)), path)
    load(path)
    model.intercept_hidden_ = np.zeros(2)
    write_unchecked(holding(PLACES[place](model)), path)
    with pytest.raises(ValueError, match="intercept_hidden_ must be a float32"):
        load(path)


@pytest.mark.parametrize("place", PLACES)
def test_callbacks_are_left_out_wherever_they_are(place, tmp_path):
    callback = Checkpoint(tmp_path / "training.skops")
    model = ContractiveAutoencoder(6).set_callbacks(callback)
    value = PLACES[place](model)
    bare = as_written(value)
    assert type(bare) is type(value)
    (copied,) = (p for p in everything_in(bare) if type(p) is ContractiveAutoencoder)
    assert not hasattr(copied, "_skl_callbacks")
    assert model._skl_callbacks == [callback]
    assert any(part is model for part in everything_in(value))
    found = [type(part) for part in everything_in(bare)]
    assert Checkpoint not in found
    others = [p for p in everything_in(value) if type(p) in (int, str)]
    assert len(others) > 0


def test_what_has_no_callbacks_is_not_copied():
    value = [{"a": (MinMaxScaler(), np.zeros(3))}]
    assert as_written(value) is value


def test_what_is_shared_stays_shared(tmp_path):
    model = ContractiveAutoencoder(6).set_callbacks(Checkpoint(tmp_path / "a"))
    one, other = as_written([model, {"b": model}])
    assert one is other["b"]
    nested = [model]
    for _ in range(60):
        nested = [nested, nested]
    as_written(nested)


def test_a_part_that_leads_back_ends():
    value = [1]
    value.append(value)
    assert as_written(value) is value
    assert len(everything_in(value)) == 2


@pytest.mark.filterwarnings("ignore:.*cv.*")
@pytest.mark.parametrize(
    "make",
    [
        lambda m: CalibratedClassifierCV(m, cv=2),
        lambda m: BaggingClassifier(m, 2, random_state=0),
        lambda m: VotingClassifier([("a", m), ("b", m)], voting="soft"),
        lambda m: StackingClassifier([("a", m)], MinMaxBayes(), cv=2),
    ],
    ids=["calibrated", "bagging", "voting", "stacking"],
)
def test_models_in_scikit_learns_ensembles(make, digits, path, tmp_path):
    """Saved without callbacks, loaded without further trust, and looked at."""
    X, y = digits[0][:200], digits[1][:200] % 2
    encoder = ContractiveAutoencoder(6, **HOW)
    model = make(FineTunedClassifier(encoder, **HOW)).fit(X, y)
    for part in everything_in(model):
        if type(part) is ContractiveAutoencoder:
            part.set_callbacks(Checkpoint(tmp_path / "training.skops"))
    trusted = [f"{__name__}.MinMaxBayes"]
    write_unchecked(model, path)
    assert_array_equal(load(path, trusted=trusted).predict(X), model.predict(X))
    networks = [
        part
        for part in everything_in(model)
        if isinstance(part, FineTunedClassifier) and hasattr(part, "coefs_")
    ]
    for network in networks:
        network.coefs_[0] = network.coefs_[0][:, :3]
    write_unchecked(model, path)
    with pytest.raises(ValueError, match="is damaged or holds no model"):
        load(path, trusted=trusted)


class MinMaxBayes(ClassifierMixin, BaseEstimator):
    """Answers the larger of two columns."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[(np.asarray(X)[:, -1] > 0.5).astype(int)]
