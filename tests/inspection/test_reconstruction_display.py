"""Samples beside their reconstructions: what is drawn, and in which units."""

import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from skcae import (
    ContractiveAutoencoder,
    ConvolutionalCAE,
    ModuleAutoencoder,
    StackedCAE,
)
from skcae.inspection import ReconstructionDisplay, TangentDisplay
from skcae.inspection._plot._images import plain_images
from tests.inspection.encoders import HOW, KINDS, fitted

draw = ReconstructionDisplay.from_estimator


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def rows():
    """Thirty rows of twelve numbers in [0, 1]."""
    return np.random.default_rng(2).random((30, 12))


def scaled(encoder):
    return make_pipeline(StandardScaler(), encoder)


# ---- the numbers --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_reconstructions_are_those_of_the_encoder(kind, unit_data):
    encoder, _, _ = fitted(kind, unit_data)
    display = draw(encoder, unit_data, n_samples=7)
    (decoded,) = display.reconstructions.values()
    assert_array_equal(display.samples, unit_data[:7])
    if kind not in ("rbm", "rbm and cae"):  # scikit-learn's decodes nothing itself
        expected = encoder.inverse_transform(encoder.transform(unit_data[:7]))
        assert_allclose(decoded, expected, atol=1e-12)
    assert len(display.lines_) == 2 * 7


@pytest.mark.parametrize(
    "encoder",
    [
        scaled(StackedCAE((6, 4), **HOW)),
        make_pipeline(StandardScaler(), PCA(6), ContractiveAutoencoder(4, **HOW)),
        scaled(ModuleAutoencoder(n_components=5, **HOW)),
        scaled(ConvolutionalCAE(3, 3, image_shape=(3, 4), pool="average", **HOW)),
    ],
    ids=["stack", "fewer columns", "module", "convolution"],
)
def test_reconstructions_are_in_the_units_of_the_pipeline(encoder, rows):
    rows = 50 + 10 * rows
    display = draw(encoder.fit(rows), rows, image_shape=(3, 4))
    expected = encoder.inverse_transform(encoder.transform(rows[:10]))
    assert_allclose(display.reconstructions["Pipeline"], expected)
    assert_array_equal(display.samples, rows[:10])
    assert_allclose(expected.mean(), 55, atol=2)


def test_samples_of_any_container(rows):
    dense = ContractiveAutoencoder(4, **HOW).fit(rows)
    with_scaler = make_pipeline(StandardScaler(with_mean=False), clone_of(dense))
    for encoder in (dense, with_scaler.fit(rows)):
        for X in (rows, rows.tolist(), sparse.csr_array(rows), pd.DataFrame(rows)):
            display = draw(encoder, X, n_samples=3)
            assert_array_equal(display.samples, rows[:3])
    assert draw(dense, rows[:2], n_samples=3).samples.shape == (2, 12)


def clone_of(encoder):
    return ContractiveAutoencoder(**encoder.get_params())


# ---- images -------------------------------------------------------------------------


def test_images_are_in_columns(rows):
    encoders = {name: ContractiveAutoencoder(n, **HOW) for name, n in SIZES}
    for encoder in encoders.values():
        encoder.fit(rows)
    _, ax = pyplot.subplots()
    display = draw(encoders, rows, n_samples=5, image_shape=(4, 3), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    grid = display.image_.get_array()
    assert grid.shape == (3 * 5 - 1, 5 * 4 - 1, 3)
    limits = rows[:5].min(), rows[:5].max()
    for row, X in enumerate((rows[:5], *display.reconstructions.values())):
        tile = grid[5 * row : 5 * row + 4, 4 * 4 : 4 * 4 + 3]
        assert_array_equal(tile, plain_images(X[4:5], (4, 3, 1), limits)[0])
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["sample", "narrow", "wide"]
    assert display.plot() is display
    assert display.ax_ is not ax


SIZES = [("narrow", 2), ("wide", 8)]


def test_what_is_beyond_the_samples_is_cut():
    samples, decoded = np.array([[0.0, 2.0, 1.0, 1.0]]), np.array([[-1.0, 9, 1, 0]])
    image = ReconstructionDisplay(samples, {"f": decoded}).plot().image_.get_array()
    assert_array_equal(image[:2, :, 0], [[0, 1], [0.5, 0.5]])
    assert_array_equal(image[3:, :, 0], [[0, 1], [0.5, 0]])


def test_a_missing_pixel_is_no_picture_of_black(rows):
    X = rows.copy()
    X[1, 0] = np.nan
    filled = FunctionTransformer(np.nan_to_num, np.asarray, check_inverse=False)
    encoder = make_pipeline(filled, ContractiveAutoencoder(4, **HOW)).fit(X)
    shape = {"image_shape": (3, 4)}
    grid = draw(encoder, X[:3], **shape).image_.get_array()
    X[1, 0] = np.nanmin(X[:3])
    whole = draw(encoder, X[:3], **shape).image_.get_array()
    # The samples are above their reconstructions.
    assert_array_equal(grid[:3], whole[:3])
    assert len(np.unique(grid[4:])) > 9


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "dia", "bsr", "lil", "dok"])
def test_sparse_samples_of_any_format(kind, rows):
    encoder = ContractiveAutoencoder(4, **HOW).fit(rows)
    X = getattr(sparse, f"{kind}_array")(rows)
    assert_allclose(draw(encoder, X, n_samples=2).samples, rows[:2])


def test_images_of_a_convolution_have_its_shape(rows):
    """Also after a scaler, in colour, and where rows come as images."""
    grey = scaled(ConvolutionalCAE(3, 3, image_shape=(3, 4), **HOW)).fit(rows)
    dense = scaled(ContractiveAutoencoder(5, **HOW)).fit(rows)
    display = draw({"dense": dense, "convolutional": grey}, rows, n_samples=2)
    assert display.image_.get_array().shape == (3 * 4 - 1, 2 * 5 - 1, 3)
    images = rows.reshape(30, 2, 2, 3)
    colour = ConvolutionalCAE(3, 3, image_shape=(2, 2, 3), **HOW).fit(images)
    for X in (images, rows):
        display = draw(colour, X, n_samples=1)
        assert_array_equal(display.samples, rows[:1])
        expected = plain_images(rows[:1], (2, 2, 3))[0]
        assert_array_equal(display.image_.get_array()[:2], expected)
    # Of what the convolution takes, and not of what the pipeline does.
    few = make_pipeline(PCA(4), ConvolutionalCAE(3, image_shape=(2, 2), **HOW))
    assert len(draw(few.fit(rows), rows, n_samples=2).lines_) == 4
    tangents = TangentDisplay.from_estimator(colour, rows[:2], n_tangents=1)
    assert tangents.image_.get_array().shape == (5, 5, 3)


# ---- signals ------------------------------------------------------------------------


@pytest.mark.parametrize("image_shape", [None, (12,), (1, 12, 1)])
def test_signals_are_lines_one_below_the_other(image_shape, rows):
    encoder = ContractiveAutoencoder(4, **HOW).fit(rows)
    display = draw(encoder, rows, n_samples=3, image_shape=image_shape)
    assert not hasattr(display, "image_")
    curves = np.array([line.get_ydata() for line in display.lines_])
    decoded = display.reconstructions["ContractiveAutoencoder"]
    # What is not of one level is the signals themselves.
    for drawn, X in ((curves[:3], rows[:3]), (curves[3:], decoded)):
        assert_allclose(np.diff(drawn, axis=1), np.diff(X, axis=1), atol=1e-12)
    assert_allclose(curves[:3] - curves[3:], rows[:3] - decoded)
    tops, bottoms = (
        np.maximum(curves[:3], curves[3:]),
        np.minimum(*curves.reshape(2, 3, 12)),
    )
    assert (tops[1:].max(axis=1) < bottoms[:-1].min(axis=1)).all()
    (legend,) = [child for child in [display.ax_.get_legend()] if child]
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["sample", "ContractiveAutoencoder"]


def test_a_missing_step_is_a_gap_in_its_line(rows):
    X = rows.copy()
    X[1, 0] = np.nan
    filled = FunctionTransformer(np.nan_to_num, np.asarray, check_inverse=False)
    encoder = make_pipeline(filled, ContractiveAutoencoder(4, **HOW)).fit(X)
    lines = draw(encoder, X[:3], image_shape=(12,)).lines_
    assert [np.isfinite(line.get_ydata()).sum() for line in lines] == [12, 11] + [
        12
    ] * 4


def test_names_of_many_encoders_stay_in_the_figure(rows):
    encoder = ContractiveAutoencoder(4, **HOW).fit(rows)
    named = {f"encoder {number}, λ = 0.{number}": encoder for number in range(5)}
    display = draw(named, rows[:3], image_shape=(12,))
    display.figure_.canvas.draw()
    right = display.ax_.get_legend().get_window_extent().x1
    assert right <= display.figure_.bbox.x1


def test_names_of_low_rows_do_not_overlap(rows):
    encoder = ContractiveAutoencoder(4, **HOW).fit(rows)
    display = draw(encoder, np.tile(rows, (2, 1)), image_shape=(3, 4), n_samples=60)
    display.figure_.canvas.draw()
    above, below = (t.get_window_extent() for t in display.ax_.get_yticklabels())
    assert above.y0 >= below.y1 or below.y0 >= above.y1


def test_signals_of_a_convolution(rows):
    """Each channel is a line by itself; a length that makes a square, too."""
    images = rows.reshape(30, 6, 2)
    encoder = ConvolutionalCAE(3, 3, image_shape=(1, 6, 2), **HOW).fit(images)
    display = draw(encoder, images, n_samples=2)
    curves = np.array([line.get_ydata() for line in display.lines_])
    assert curves.shape == (2 * 2 * 2, 6)
    channels = np.moveaxis(images[:2], 2, 1).reshape(4, 6)
    assert_allclose(np.diff(curves[:4], axis=1), np.diff(channels, axis=1), atol=1e-12)
    signals = rows[:, :9]
    assert len(draw(ConvolutionalCAE(3, 3, **HOW).fit(signals), signals).lines_) == 20
    dense = ContractiveAutoencoder(3, **HOW).fit(signals)
    assert hasattr(draw(dense, signals), "image_")
    assert len(draw(dense, signals, image_shape=(9,)).lines_) == 20


# ---- errors -------------------------------------------------------------------------


def test_what_cannot_be_drawn(rows):
    """It is said before there is a figure."""
    encoder = ContractiveAutoencoder(4, **HOW).fit(rows)
    with pytest.raises(ValueError, match=r"shape \(2, 3, 2\) have 2 channels"):
        draw(encoder, rows, image_shape=(2, 3, 2))
    for wrong in ((5, 5), (13,), (1, 5, 2), 12):
        with pytest.raises(ValueError, match="is no grey or RGB image of 12 features"):
            draw(encoder, rows, image_shape=wrong)
    with pytest.raises(ValueError, match="n_samples == 0, must be >= 1"):
        draw(encoder, rows, n_samples=0)
    with pytest.raises(ValueError, match="no estimator in the dictionary"):
        draw({}, rows)
    with pytest.raises(ValueError, match="13 features, but"):
        draw(encoder, np.ones((3, 13)))
    with pytest.raises(TypeError, match="Normalizer has no inverse_transform"):
        draw(make_pipeline(Normalizer(), clone_of(encoder)).fit(rows), rows)
    texts = ["to be or not to be", "that is the question"]
    words = make_pipeline(CountVectorizer(), ContractiveAutoencoder(4, **HOW))
    with pytest.raises(TypeError, match="CountVectorizer has no inverse_transform to"):
        draw(words.fit(texts), texts)
    assert pyplot.get_fignums() == []


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="Display requires matplotlib"):
        draw(None, None)
    with pytest.raises(ImportError, match="Display requires matplotlib"):
        ReconstructionDisplay(np.ones((1, 4)), {}).plot()
