"""CIFAR-10 from the official archive and from JPEG images in an npz file."""

import io
import pickle
import tarfile
from collections import Counter
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from skcae.datasets import load_cifar10
from tests.datasets.conftest import every_outcome

FOLDER = "cifar-10-batches-py"
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


# ---- the official archive -------------------------------------------------------


class Python2Pickler(pickle._Pickler):
    """Writes strings of bytes and names of NumPy as Python 2 did."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def python2_pickle(value):
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


@pytest.fixture(scope="session")
def images():
    """Eighteen images (18, 32, 32, 3); the last three are for testing."""
    return np.random.RandomState(0).randint(256, size=(18, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def batches(images):
    """Six batches of three images, as the authors lay them out."""
    rows = images.transpose(0, 3, 1, 2).reshape(6, 3, 3072)
    return {
        name: {
            b"batch_label": name.encode(),
            b"labels": [i, i + 1, i + 2],
            b"data": rows[i],
            b"filenames": [b"some.png"] * 3,
        }
        for i, name in enumerate(BATCHES)
    }


@pytest.fixture
def archive(tmp_path):
    """Write pickles to a tar archive and return its path."""

    def make(pickles, mode="w:gz"):
        path = tmp_path / "cifar-10-python.tar.gz"
        with tarfile.open(path, mode) as tar:
            for name, data in pickles.items():
                member = tarfile.TarInfo(f"{FOLDER}/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return path

    return make


def pickled(batches, dumps=python2_pickle):
    return {name: dumps(batch) for name, batch in batches.items()}


def dumps_of_protocol(protocol):
    return lambda value: pickle.dumps(value, protocol=protocol)


@pytest.mark.parametrize(
    "dumps", [python2_pickle, dumps_of_protocol(3), dumps_of_protocol(4)]
)
def test_the_official_archive(dumps, archive, batches, images):
    cifar = load_cifar10(archive(pickled(batches, dumps)))
    flat = images.reshape(18, 3072) / np.float32(255)
    np.testing.assert_array_equal(cifar.X_train, flat[:12])
    np.testing.assert_array_equal(cifar.X_valid, flat[12:15])
    np.testing.assert_array_equal(cifar.X_test, flat[15:])
    assert cifar.X_train.dtype == np.float32
    np.testing.assert_array_equal(cifar.y_train[:4], [0, 1, 2, 1])
    np.testing.assert_array_equal(cifar.y_valid, [4, 5, 6])
    np.testing.assert_array_equal(cifar.y_test, [5, 6, 7])
    assert cifar.y_test.dtype == np.int64
    assert cifar.target_names[6] == "frog"


def test_grey_is_the_luma_of_pillow(archive, batches, images):
    cifar = load_cifar10(archive(pickled(batches)), grey=True)
    expected = np.array([np.asarray(Image.fromarray(x).convert("L")) for x in images])
    received = np.concatenate([cifar.X_train, cifar.X_valid, cifar.X_test])
    np.testing.assert_array_equal(
        received, expected.reshape(18, 1024) / np.float32(255)
    )


def test_arrays_stored_column_by_column(archive, batches, images):
    for batch in batches.values():
        batch[b"data"] = np.asfortranarray(batch[b"data"])
    path = archive(pickled(batches, dumps_of_protocol(3)))
    np.testing.assert_array_equal(
        load_cifar10(path).X_test, images[15:].reshape(3, 3072) / np.float32(255)
    )


class Malicious:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_a_pickle_that_asks_for_more_is_refused_before_it_gets_it(
    archive, batches, tmp_path
):
    import os

    made = tmp_path / "made"
    pickles = pickled(batches)
    pickles["data_batch_3"] = pickle.dumps(Malicious(os.mkdir, str(made)), protocol=2)
    with pytest.raises(
        ValueError,
        match=r"data_batch_3 of .* is refused, .* it asks for \w+\.mkdir; get the arch",
    ):
        load_cifar10(archive(pickles))
    assert not made.exists()


@pytest.mark.parametrize(
    "asked",
    [
        "cbuiltins\neval\n(S'1'\ntR.",
        "cnumpy\nload\n(S'x'\ntR.",
        "cnumpy._core.multiarray\nfrombuffer\n.",
        "cskcae.datasets._pickles\npickle.loads\n.",
    ],
)
def test_other_functions_are_refused_too(asked, archive, batches):
    pickles = {**pickled(batches), "test_batch": asked.encode()}
    with pytest.raises(ValueError, match=r"test_batch of .* it asks for "):
        load_cifar10(archive(pickles))


def test_stand_ins_cannot_be_changed_by_a_file(archive, batches):
    """A pickle may set attributes of what it was given; they must not last."""
    attack = b"cnumpy\ndtype\n(N}S'make_type'\nI1\nstb0."
    with pytest.raises(ValueError, match=r"data_batch_1 of .* is refused"):
        load_cifar10(archive({**pickled(batches), "data_batch_1": attack}))
    assert len(load_cifar10(archive(pickled(batches))).X_train) == 12


def test_arrays_of_other_types_are_refused(archive, batches):
    for wrong in (np.zeros((3, 3072)), np.full((3, 3072), None)):
        batches["test_batch"][b"data"] = wrong
        path = archive(pickled(batches, dumps_of_protocol(3)))
        with pytest.raises(ValueError, match=r"only arrays of uint8 are expected"):
            load_cifar10(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch.pop(b"labels"), "test_batch of .* has no labels; CIFAR"),
        (lambda batch: batch.pop(b"data"), "test_batch of .* has no data; CIFAR"),
        (dict.clear, "has no data and no labels"),
        (
            lambda batch: batch.update({b"data": np.zeros((3, 5), np.uint8)}),
            r"data of .* an array of shape \(n, 3072\), but is \(3, 5\)",
        ),
        (lambda batch: batch.update({b"data": [1]}), r"\(n, 3072\), but is list"),
        (
            lambda batch: batch.update({b"labels": [1]}),
            r"labels of .* integers of shape \(3,\), .* int64 of shape \(1,\)",
        ),
        (lambda batch: batch.update({b"labels": [1, 2, 10]}), "ranges from 1 to 10"),
    ],
)
def test_wrong_batches(change, message, archive, batches):
    change(batches["test_batch"])
    with pytest.raises(ValueError, match=message):
        load_cifar10(archive(pickled(batches)))


def test_wrong_pickles(archive, batches):
    for wrong, message in (
        (pickle.dumps([1]), "a pickle of list, not of dict"),
        (b"", "no admissible pickle: Ran out of input"),
        (python2_pickle(batches["test_batch"])[:500], "no admissible pickle"),
    ):
        with pytest.raises(ValueError, match=message):
            load_cifar10(archive({**pickled(batches), "test_batch": wrong}))


def test_a_missing_batch(archive, batches):
    pickles = pickled(batches)
    del pickles["data_batch_5"]
    with pytest.raises(
        ValueError, match="has no file cifar-10-batches-py/data_batch_5"
    ):
        load_cifar10(archive(pickles))


def test_a_truncated_archive(archive, batches):
    path = archive(pickled(batches))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ValueError, match=r"is damaged \(.*\); get it anew"):
        load_cifar10(path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize(
    ("start", "stop", "each"), [(0, 100, 2), (100, -100, 1999), (-100, None, 2)]
)
def test_no_flipped_bit_gives_other_images(mode, start, stop, each, archive, batches):
    """The same images, or the error that is documented: the checksum comes last."""
    path = archive(pickled(batches), mode)
    size = path.stat().st_size
    places = slice(start, stop).indices(size)
    how = {"start": places[0], "stop": places[1]}
    outcomes = every_outcome(load_cifar10, path, each, **how)
    assert set(outcomes) <= {"the same", "ValueError"}
    assert outcomes["ValueError"] > outcomes["the same"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_no_cut_gives_other_images(mode, archive, batches):
    path = archive(pickled(batches), mode)
    whole = path.read_bytes()
    for length in np.linspace(0, 0.75 * len(whole), 30).astype(int):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match=r"is damaged|is neither a tar|has no file"
        ):
            load_cifar10(path)


# ---- JPEG images in an npz file -------------------------------------------------


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


@pytest.fixture
def packed(images):
    """The arrays of fifteen images for training and three for testing."""
    arrays = {}
    for part, rows in (("train", images[:15]), ("test", images[15:])):
        files = [jpeg(image) for image in rows]
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(files), dtype=np.uint8)
        arrays[f"off_{part}"] = np.cumsum([0, *map(len, files)])
        arrays[f"y_{part}"] = (np.arange(len(rows)) % 10).astype(np.uint8)
    return arrays


@pytest.mark.parametrize(("grey", "mode"), [(False, "RGB"), (True, "L")])
def test_jpeg_images(grey, mode, saved, packed, images):
    cifar = load_cifar10(saved(**packed), grey=grey)
    expected = np.array(
        [
            np.asarray(Image.open(io.BytesIO(jpeg(x))).convert("RGB").convert(mode))
            for x in images
        ]
    ).reshape(18, -1) / np.float32(255)
    np.testing.assert_array_equal(cifar.X_train, expected[:12])
    np.testing.assert_array_equal(cifar.X_valid, expected[12:15])
    np.testing.assert_array_equal(cifar.X_test, expected[15:])
    np.testing.assert_array_equal(cifar.y_valid, [2, 3, 4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jpeg_test": np.zeros(3)}, r"jpeg_test of .* but is float64 of shape \(3,\)"),
        ({"off_test": np.arange(4)}, "off_test of .* integers that rise from 0 to the"),
        ({"off_train": np.zeros(16)}, "off_train of .* integers that rise from 0"),
        ({"off_train": np.array([], dtype=int)}, "off_train of .* integers that rise"),
        ({"y_test": np.arange(4)}, r"y_test of .* integers of shape \(3,\)"),
    ],
)
def test_wrong_arrays(change, message, saved, packed):
    with pytest.raises(ValueError, match=message):
        load_cifar10(saved(**{**packed, **change}))


def test_missing_arrays(saved, packed):
    del packed["off_test"]
    with pytest.raises(
        ValueError,
        match=r"has no off_test; it has jpeg_test, .*; CIFAR-10 is read from",
    ):
        load_cifar10(saved(**packed))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (jpeg(np.zeros((8, 16, 3), np.uint8)), r"jpeg_test\[0\] of .* but is 16 × 8"),
        (b"no image", r"jpeg_test\[0\] of .* is no JPEG image: cannot identify"),
    ],
)
def test_wrong_images(data, message, saved, packed):
    packed["jpeg_test"] = np.frombuffer(data, dtype=np.uint8)
    packed["off_test"] = np.array([0, len(data)])
    packed["y_test"] = np.array([0])
    with pytest.raises(ValueError, match=message):
        load_cifar10(saved(**packed))


def test_damaged_images_are_an_error_or_other_images(saved, packed):
    """JPEG itself has no checksum, and those of the file fit here."""
    random, outcomes = np.random.RandomState(0), Counter()
    whole = packed["jpeg_test"]
    for _ in range(60):
        packed["jpeg_test"] = whole.copy()
        spoiled = random.randint(len(whole), size=3)
        packed["jpeg_test"][spoiled] ^= np.uint8(random.randint(1, 256))
        try:
            load_cifar10(saved(**packed))
            outcomes["images"] += 1
        except Exception as error:
            outcomes[type(error).__name__] += 1
    assert set(outcomes) == {"images", "ValueError"}


def test_a_picture_of_any_size_is_not_unpacked(saved, packed, monkeypatch):
    """It is refused by what its header says."""
    monkeypatch.setattr(Image.Image, "convert", None)
    data = jpeg(np.zeros((600, 400, 3), np.uint8))
    packed |= {"jpeg_train": np.frombuffer(data, np.uint8), "y_train": np.array([0])}
    packed["off_train"] = np.array([0, len(data)])
    with pytest.raises(ValueError, match=r"jpeg_train\[0\] of .* is 400 × 600"):
        load_cifar10(saved(**packed))


# ---- neither --------------------------------------------------------------------


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "cifar.bin"
    path.write_bytes(b"no images")
    with pytest.raises(
        ValueError, match="neither a tar archive nor an npz file; CIFAR"
    ):
        load_cifar10(path)
    with pytest.raises(FileNotFoundError, match=r"missing.npz' is not a file"):
        load_cifar10("missing.npz")
