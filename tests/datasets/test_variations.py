"""make_mnist_variation: seeds, sizes, what it keeps on disk, and its errors."""

import os
import re

import numpy as np
import pytest

from skcae.datasets import _mnist, _recipes, make_mnist_variation
from skcae.datasets._recipes import RECIPES

ARRAYS = [f"{kind}_{split}" for split in ("train", "valid", "test") for kind in "Xy"]


@pytest.fixture
def make(mnist_file, tmp_path):
    """Make a small set whose folder is this test's own."""

    def small(name="rect", **how):
        defaults = {
            "local_file": mnist_file,
            "data_home": tmp_path,
            "n_samples": (12, 4, 6),
        }
        return make_mnist_variation(name, **{**defaults, **how})

    return small


@pytest.fixture
def stored(tmp_path):
    """List what is in the folder of the cache."""
    return lambda: sorted((tmp_path / "skcae").glob("*"))


def assert_equal(a, b):
    for name in ARRAYS:
        np.testing.assert_array_equal(a[name], b[name])


def differ(a, b):
    return any(not np.array_equal(a[name], b[name]) for name in ARRAYS)


# ---- what comes back ------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_shapes_types_and_words(name, make):
    data = make(name, cache=False)
    for split, n in (("train", 12), ("valid", 4), ("test", 6)):
        X, y = data[f"X_{split}"], data[f"y_{split}"]
        assert X.shape == (n, 784)
        assert X.dtype == np.float32
        assert X.min() >= 0
        assert X.max() <= 1
        assert y.shape == (n,)
        assert y.dtype == np.int64
    assert data.name == name
    assert data.DESCR.startswith(f"{name}, regenerated: ")
    assert ("1 is taller than wide" in data.DESCR) == name.startswith("rect")


@pytest.mark.parametrize("name", RECIPES)
def test_the_seed_decides(name, make):
    first = make(name, cache=False)
    assert_equal(first, make(name, cache=False))
    for seed in (2**32 - 1, np.int64(5)):
        assert differ(first, make(name, cache=False, random_state=seed))


def test_numpys_global_generator_is_left_alone(make):
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    make("bg-img", cache=False)
    np.testing.assert_equal(np.random.get_state(legacy=False), state)  # noqa: NPY002


def test_the_published_sizes_are_the_default(make):
    rect = make(n_samples=None, cache=False)
    assert [len(rect[f"y_{name}"]) for name in ("train", "valid", "test")] == [
        1000,
        200,
        50_000,
    ]


def test_all_digits_can_be_used_and_no_more(make, stand_in):
    data = make("basic", n_samples=[1000, 700, 97], cache=False)
    labels = np.concatenate([data.y_train, data.y_valid, data.y_test])
    source = np.concatenate([stand_in["y_train"], stand_in["y_test"]])
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(source))


def test_digits_come_from_openml_without_a_file(make, monkeypatch, stand_in):
    x = np.concatenate([stand_in["x_train"], stand_in["x_test"]])
    y = np.concatenate([stand_in["y_train"], stand_in["y_test"]]).astype(str)
    fetched = []

    def fetch_openml(*args, **how):
        fetched.append(how["data_home"])
        return x.reshape(-1, 784).astype(float), y.astype(object)

    monkeypatch.setattr(_mnist, "fetch_openml", fetch_openml)
    monkeypatch.setattr(_mnist, "N_IMAGES", len(x))
    first = make("basic", local_file=None)
    assert_equal(first, make("basic", cache=False))
    # What is kept needs no second download.
    assert_equal(first, make("basic", local_file=None))
    assert len(fetched) == 1
    assert fetched[0] is not None


# ---- the cache ------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_the_second_call_reads_the_first(name, make, stored, monkeypatch):
    first = make(name)
    (path,) = stored()
    assert re.fullmatch(rf"{name}-seed0-[0-9a-f]{{32}}\.npz", path.name)
    broken = RECIPES[name]._replace(make=None)
    monkeypatch.setitem(RECIPES, name, broken)
    assert_equal(first, make(name))
    assert stored() == [path]


def test_nothing_is_kept_without_the_cache(make, tmp_path):
    make(cache=False)
    assert not list(tmp_path.iterdir())


def test_whatever_decides_the_content_decides_the_file(
    make, stored, stand_in, saved, monkeypatch
):
    make("bg-img")
    make("bg-img", random_state=1)
    make("bg-img", n_samples=(12, 4, 7))
    changed = {**stand_in, "y_test": stand_in["y_test"][::-1]}
    make("bg-img", local_file=saved(**changed))
    make("bg-img-rot")
    assert len(stored()) == 5
    make("bg-img")
    assert len(stored()) == 5
    monkeypatch.setattr("skcae.datasets._variations.RECIPE_VERSION", 2)
    make("bg-img")
    assert len(stored()) == 6
    few = _recipes.Photographs(
        *(np.ones(n, dtype=kind) for n, kind in ((1, np.uint8), *[(1, np.int64)] * 3))
    )
    monkeypatch.setattr("skcae.datasets._variations.load_photographs", lambda: few)
    monkeypatch.setattr(_recipes, "cut_patches", lambda *_: np.uint8(0))
    make("bg-img")
    assert len(stored()) == 7


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


def store_other_shapes(path):
    np.savez(path, X=np.zeros((5, 28, 28), dtype=np.uint8), y=np.zeros(5, dtype=int))


def store_other_labels(path):
    np.savez(path, X=np.zeros((22, 28, 28), dtype=np.uint8), y=np.zeros(22))


def store_other_names(path):
    np.savez(path, images=np.zeros(3))


def store_objects(path):
    np.savez(path, X=np.array([None]), y=np.zeros(1))


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_bit,
        empty,
        store_other_shapes,
        store_other_labels,
        store_other_names,
        store_objects,
    ],
)
def test_a_damaged_file_is_made_anew_with_a_warning(damage, make, stored):
    first = make()
    (path,) = stored()
    damage(path)
    with pytest.warns(
        UserWarning, match=r"npz is damaged \(.*\) and is generated"
    ) as w:
        second = make()
    assert w[0].filename == __file__
    assert_equal(first, second)
    assert_equal(first, make())
    assert stored() == [path]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("function", ["savez_compressed", "fsync", "replace"])
def test_an_interrupted_write_leaves_nothing(
    function, interruption, make, stored, monkeypatch
):
    module = np if function == "savez_compressed" else os
    whole = getattr(module, function)

    def interrupted(*args, **how):
        if function != "replace":
            whole(*args, **how)
        raise interruption("stop")

    with monkeypatch.context() as patch:
        patch.setattr(module, function, interrupted)
        with pytest.raises(interruption, match="stop"):
            make()
    assert stored() == []
    make()
    assert len(stored()) == 1


def test_a_set_that_cannot_be_made_is_not_kept(make, tmp_path):
    with pytest.raises(ValueError, match="samples need"):
        make("basic", n_samples=(1000, 1000, 1000))
    assert not list(tmp_path.rglob("*.npz"))


# ---- errors ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "Basic", "bg_rand", None, ["rect"]])
def test_unknown_names(name, make):
    message = (
        f"name={name!r} is not a variation; choose one of basic, rot, bg-rand, bg-img, "
        "bg-img-rot, rect, rect-img"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        make(name)


@pytest.mark.parametrize(
    "random_state", [None, -1, 2**32, 1.0, True, np.random.RandomState(0)]
)
def test_wrong_seeds(random_state, make):
    message = f"random_state={random_state!r} must be an integer from 0 to 4294967295"
    with pytest.raises(ValueError, match=re.escape(message)):
        make(random_state=random_state)


@pytest.mark.parametrize(
    "n_samples",
    [5, "123", (1, 2), (1, 2, 3, 4), (1, 0, 3), (1, 2, -3), (1.0, 2, 3), (1, 2, True)],
)
def test_wrong_sizes(n_samples, make):
    message = f"n_samples={n_samples!r} must be three positive integers"
    with pytest.raises(ValueError, match=re.escape(message)):
        make(n_samples=n_samples)


def test_more_digits_than_there_are(make):
    message = (
        "1700 + 90 + 8 samples need 1798 images, but MNIST as given has 1797; choose "
        "smaller n_samples"
    )
    for cache in (True, False):
        with pytest.raises(ValueError, match=re.escape(message)):
            make("rot", n_samples=(1700, 90, 8), cache=cache)


def test_wrong_files(make, saved):
    with pytest.raises(FileNotFoundError, match=r"nowhere.npz' is not a file"):
        make("basic", local_file="nowhere.npz")
    with pytest.raises(ValueError, match="has no x_train, y_train, x_test, y_test"):
        make("basic", local_file=saved(X=np.zeros(3)))
