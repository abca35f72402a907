"""What the pictures show; that they look well was judged by eye."""

import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.spatial.distance import pdist
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skcae import (
    ContractiveAutoencoder,
    ConvolutionalCAE,
    FineTunedClassifier,
    FineTunedRegressor,
    ModuleAutoencoder,
    PatchEncoder,
)
from skcae.inspection import (
    ContractionCurveDisplay,
    FilterDisplay,
    JacobianSpectrumDisplay,
    LossCurveDisplay,
    TangentDisplay,
    contraction_ratio,
    singular_values,
    tangent_vectors,
)
from skcae.inspection._plot._images import grid_of, plain_images, signed_images
from skcae.inspection._plot.contraction import mark_distances
from tests.inspection.encoders import HOW, KINDS, fitted, stack


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def encoder(unit_data):
    return ContractiveAutoencoder(6, **HOW).fit(unit_data)


@pytest.fixture
def images():
    """Forty grey images of three by three pixels."""
    return np.random.default_rng(1).random((40, 9))


# ---- contraction curves and spectra ---------------------------------------------


def test_contraction_curves_are_those_of_the_function(encoder, unit_data):
    display = ContractionCurveDisplay.from_estimator(
        encoder, unit_data, radii=[0.5, 1, 2], n_directions=7, random_state=4
    )
    seed = np.random.RandomState(4).randint(np.iinfo(np.int32).max)
    expected = contraction_ratio(
        encoder, unit_data, [0.5, 1, 2], n_directions=7, random_state=seed
    )
    (line,) = display.lines_
    assert line.get_label() == "ContractiveAutoencoder"
    assert_array_equal(line.get_xdata(), [0.5, 1, 2])
    assert_array_equal(line.get_ydata(), expected.mean)
    again = display.plot(statistic="root_mean_square")
    assert again is display
    assert_array_equal(display.lines_[0].get_ydata(), expected.root_mean_square)
    assert "r" in display.ax_.get_xlabel()
    assert display.figure_ is display.ax_.figure


def test_several_encoders_on_one_axis(unit_data):
    encoders = {name: fitted(name, unit_data)[0] for name in ("narrow", "stack")}
    _, ax = pyplot.subplots()
    for cls in (ContractionCurveDisplay, JacobianSpectrumDisplay):
        display = cls.from_estimator(encoders, unit_data, ax=ax, spread=True)
        assert display.ax_ is ax
        assert [line.get_label() for line in display.lines_] == list(encoders)
        styles = {(line.get_color(), line.get_linestyle()) for line in display.lines_}
        assert len(styles) == 2
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert set(labels) == set(encoders)


def test_distances_between_examples_are_marked(encoder, unit_data):
    display = ContractionCurveDisplay.from_estimator(encoder, unit_data)
    d = pdist(unit_data)
    assert_allclose(display.distances, [d.min(), np.median(d), d.max()])
    marks = [
        line.get_xdata()[0] for line in display.ax_.lines if line not in display.lines_
    ]
    assert_allclose(marks, display.distances)
    assert display.lines_[0].get_xdata()[-1] == pytest.approx(3 * d.max())
    names = [text.get_text() for text in display.ax_.texts]
    assert names == ["min", "median", "max"]


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([1.0, 1.01, 5.0], ["min, median", "max"]),
        ([1.0, 5.0, 5.01], ["min", "median, max"]),
        ([1.0, 1.0, 1.0], ["min, median, max"]),
    ],
)
def test_names_of_distances_that_are_close_are_joined(distances, expected):
    figure = Figure()
    ax = figure.subplots()
    ax.set_xlim(0, 6)
    mark_distances(ax, np.array(distances))
    assert [text.get_text() for text in ax.texts] == expected
    assert len(ax.lines) == 3


def test_columns_of_many_tangents_have_names_that_do_not_overlap(unit_data):
    encoder = ContractiveAutoencoder(8, **HOW).fit(unit_data)
    for n_tangents in (2, 8):
        display = TangentDisplay.from_estimator(
            encoder, unit_data[:2], n_tangents=n_tangents, image_shape=(4, 2)
        )
        figure = display.figure_
        figure.set_size_inches(3, 3)
        display.plot(ax=display.ax_)
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in display.ax_.get_xticklabels()]
        assert all(a.x1 <= b.x0 + 1 for a, b in pairwise(boxes))


def test_distances_are_those_of_what_the_encoder_takes(unit_data):
    encoder, _, X = fitted("scaler and cae", unit_data)
    display = ContractionCurveDisplay.from_estimator(encoder, unit_data)
    assert display.distances[2] == pytest.approx(pdist(X).max())


def test_distances_of_many_examples_are_those_of_some(encoder, unit_data):
    X = np.repeat(unit_data, 30, axis=0)
    for data in (X, sparse.csr_array(X), pd.DataFrame(X)):
        display = ContractionCurveDisplay.from_estimator(
            encoder, data, radii=[1], n_directions=1, random_state=0
        )
        # Repeated rows are not at a distance.
        assert display.distances[0] > 0
        assert display.distances[2] == pytest.approx(pdist(unit_data).max())


def test_examples_that_are_all_the_same(encoder, unit_data):
    """They are at no distance, and only radii that are given can be drawn."""
    for X in (unit_data[:1], unit_data[[0] * 30]):
        with pytest.raises(ValueError, match="All examples are the same"):
            ContractionCurveDisplay.from_estimator(encoder, X)
        display = ContractionCurveDisplay.from_estimator(encoder, X, radii=[1, 2])
        assert_array_equal(display.lines_[0].get_xdata(), [1, 2])
        assert display.distances is None
        assert len(display.ax_.texts) == 0


def test_properties_of_lines_by_any_name(encoder, unit_data):
    for cls in (ContractionCurveDisplay, JacobianSpectrumDisplay):
        display = cls.from_estimator(encoder, unit_data, line_kw={"c": "k", "ls": ":"})
        (line,) = display.lines_
        assert (line.get_color(), line.get_linestyle()) == ("k", ":")
    curves = LossCurveDisplay.from_estimator(encoder).plot(line_kw={"lw": 5})
    assert curves.lines_[0].get_linewidth() == 5


def test_what_cannot_be_drawn(encoder, unit_data):
    """It is said before there is a figure."""
    ratios = ContractionCurveDisplay.from_estimator(encoder, unit_data)
    pyplot.close("all")
    with pytest.raises(ValueError, match=r"statistic must be one of \('mean', "):
        ratios.plot(statistic="rms")
    for cls in (ContractionCurveDisplay, JacobianSpectrumDisplay):
        with pytest.raises(ValueError, match="no estimator in the dictionary"):
            cls.from_estimator({}, unit_data)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"n_filters == {wrong}, must be >= 1"):
            FilterDisplay.from_estimator(encoder, n_filters=wrong)
        with pytest.raises(ValueError, match=f"n_columns == {wrong}, must be >= 1"):
            FilterDisplay(np.ones((2, 9))).plot(n_columns=wrong)
    with pytest.raises(TypeError, match="n_filters must be an instance of"):
        FilterDisplay.from_estimator(encoder, n_filters=2.5)
    assert pyplot.get_fignums() == []


def test_noise_is_left_out_of_a_logarithmic_spectrum(unit_data):
    """A rank of four leaves twelve values of nothing, and a dead encoder eight."""
    X = unit_data.repeat(2, 1)
    model = stack((16, 4, 16), bias_spread=0).fit(X)
    display = JacobianSpectrumDisplay.from_estimator(model, X, scale="log")
    assert np.isnan(display.lines_[0].get_ydata()).sum() == 12
    low, high = display.ax_.get_ylim()
    assert low > 1e-9 * high
    linear = JacobianSpectrumDisplay.from_estimator(model, X)
    assert_array_equal(linear.lines_[0].get_ydata(), linear.spectra["StackedCAE"].mean)
    dead = ContractiveAutoencoder(8, activation="relu", **HOW).fit(unit_data)
    dead.intercept_hidden_ = dead.intercept_hidden_ - 100
    display = JacobianSpectrumDisplay.from_estimator(dead, unit_data, scale="log")
    assert np.isnan(display.lines_[0].get_ydata()).all()


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_spectra_are_those_of_the_function(scale, encoder, unit_data):
    display = JacobianSpectrumDisplay.from_estimator(
        encoder, unit_data, n_values=4, scale=scale
    )
    expected = singular_values(encoder, unit_data, 4)
    (line,) = display.lines_
    assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    assert_array_equal(line.get_ydata(), expected.mean)
    assert display.ax_.get_yscale() == scale
    (band,) = display.ax_.collections
    assert band.get_datalim(display.ax_.transData).y1 == pytest.approx(
        (expected.mean + expected.std).max()
    )


def test_a_jacobian_of_zero_has_no_logarithm(unit_data):
    dead = ContractiveAutoencoder(8, **HOW).fit(unit_data)
    dead.components_ = np.zeros_like(dead.components_)
    display = JacobianSpectrumDisplay.from_estimator(dead, unit_data, scale="log")
    display.figure_.canvas.draw()
    assert np.isnan(display.lines_[0].get_ydata()).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_curve_of_one_point_is_seen(unit_data):
    one = ContractiveAutoencoder(1, random_state=0, max_iter=1).fit(unit_data)
    for display in (
        JacobianSpectrumDisplay.from_estimator(one, unit_data),
        ContractionCurveDisplay.from_estimator(one, unit_data, radii=[1.0]),
        LossCurveDisplay.from_estimator(one),
    ):
        assert display.lines_[0].get_marker() == "o"


def test_a_legend_of_two_axes_hides_no_curve(unit_data):
    y = unit_data[:, 0]
    network = FineTunedRegressor(
        ContractiveAutoencoder(8, **HOW), early_stopping=True, **HOW
    ).fit(unit_data, y)
    display = LossCurveDisplay.from_estimator(network)
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    assert legend.y0 >= display.ax_.get_window_extent().y1 - 1
    # From the first epoch on, and from zero up.
    assert 0 < display.ax_.get_xlim()[0] <= 1
    assert display.figure_.axes[1].get_ylim()[0] <= 0


@pytest.mark.parametrize("kind", KINDS)
def test_all_encoders_can_be_drawn(kind, unit_data):
    encoder, _, _ = fitted(kind, unit_data)
    for cls in (ContractionCurveDisplay, JacobianSpectrumDisplay):
        assert len(cls.from_estimator(encoder, unit_data).lines_) == 1
    display = FilterDisplay.from_estimator(encoder, image_shape=(2, 4))
    assert display.weights.shape[1] == 8
    display = TangentDisplay.from_estimator(
        encoder, unit_data[:2], n_tangents=2, image_shape=(2, 4)
    )
    assert display.image_.get_array().shape == (2 * 3 - 1, 3 * 5 - 1, 3)


# ---- images -------------------------------------------------------------------------


def test_filters_are_the_weights(images):
    encoder = ContractiveAutoencoder(5, **HOW).fit(images)
    display = FilterDisplay.from_estimator(encoder)
    assert_array_equal(display.weights, encoder.components_)
    grid = display.image_.get_array()
    # Three by two images, the last place empty.
    assert grid.shape == (2 * 4 - 1, 3 * 4 - 1, 3)
    assert_array_equal(grid[4:, 8:], 1)
    assert_array_equal(grid[:3, :3], signed_images(encoder.components_, (3, 3, 1))[0])
    largest = np.argsort(-np.linalg.norm(encoder.components_, axis=1))[:2]
    few = FilterDisplay.from_estimator(encoder, n_filters=2)
    assert_array_equal(few.weights, encoder.components_[largest])
    assert few.plot(n_columns=1).image_.get_array().shape == (7, 3, 3)


def test_signs_are_colours():
    red, white, blue = signed_images(np.array([[2.0, 0.0, -2.0]]), (1, 3, 1))[0, 0]
    assert red[0] > red[2] + 0.2
    assert blue[2] > blue[0] + 0.2
    assert_allclose(white, 0.97, atol=0.01)
    # Each is scaled to its own largest entry, and nothing to nothing.
    small = signed_images(np.array([[0.2, 0.0, -0.2], [0.0, 0.0, 0.0]]), (1, 3, 1))
    assert_array_equal(small[0, 0], [red, white, blue])
    assert_array_equal(small[1, 0], [white] * 3)


def test_colour_images():
    weights = np.array([[1.0, 0.0, -1.0] * 4])
    assert_array_equal(signed_images(weights, (2, 2, 3))[0, 1, 1], [1.0, 0.5, 0.0])
    display = FilterDisplay(weights, image_shape=(2, 2, 3)).plot()
    assert display.image_.get_array().shape == (2, 2, 3)
    X = np.random.default_rng(0).random((40, 12))
    encoder = ContractiveAutoencoder(1, **HOW).fit(X)
    same = FilterDisplay.from_estimator(encoder, image_shape=(2, 2, 3))
    expected = signed_images(encoder.components_, (2, 2, 3))[0]
    assert_array_equal(same.image_.get_array(), expected)
    whole = FilterDisplay(np.arange(18).reshape(2, 9)).plot()
    assert whole.image_.get_array().shape == (3, 7, 3)
    assert_array_equal(plain_images(np.array([[3.0, 4.0]]), (1, 2, 1))[0, 0, 1], 1)
    assert_array_equal(plain_images(np.ones((1, 2)), (1, 2, 1)), 0)


def test_modules_of_ones_own_have_no_filters(images):
    model = ModuleAutoencoder(lambda d: nn.Linear(d, 4), **HOW).fit(images)
    with pytest.raises(TypeError, match="a Module, whose parameters are weight, bias"):
        FilterDisplay.from_estimator(model)
    for whiten in (True, False):
        how = {"image_shape": (3, 3), "patch_size": 2, "whiten": whiten}
        patches = PatchEncoder(model, **how).fit(images)
        with pytest.raises(TypeError, match="no weights for each unit"):
            FilterDisplay.from_estimator(patches)


class OfWeights(nn.Module):
    """One whose parameter is named as those of a layer are."""

    def __init__(self, d):
        super().__init__()
        self.weights = nn.Parameter(torch.rand(d, 3))

    def forward(self, X):
        return X.pow(2) @ self.weights


def test_whatever_they_call_their_weights(images):
    model = ModuleAutoencoder(OfWeights, **HOW).fit(images)
    with pytest.raises(TypeError, match="a Module, whose parameters are weights"):
        FilterDisplay.from_estimator(model)


def test_other_channels_than_a_picture_has_are_refused(images):
    X = np.hstack([images, images])
    shape = (images.shape[1], 1, 2)
    encoder = ConvolutionalCAE(4, (3, 1), image_shape=shape, **HOW).fit(X)
    words = r"the shape \(3, 1, 2\) have 2 channels, .* 1 is grey, and 3 are colours"
    with pytest.raises(ValueError, match=words):
        FilterDisplay.from_estimator(encoder)
    with pytest.raises(ValueError, match="have 2 channels"):
        TangentDisplay.from_estimator(encoder, X[:2])


@pytest.mark.parametrize("n_channels", [1, 3])
def test_filters_of_a_convolution_are_pictures(n_channels):
    X = np.random.default_rng(0).random((40, 4 * 5 * n_channels))
    shape = (4, 5, n_channels)
    encoder = ConvolutionalCAE(4, (3, 2), image_shape=shape, pool="max", **HOW).fit(X)
    display = FilterDisplay.from_estimator(encoder)
    W = np.moveaxis(encoder.parameters_["encoder.0.weight"], 1, -1)
    expected = signed_images(W.reshape(4, -1), (3, 2, n_channels))
    grid = display.image_.get_array()
    assert grid.shape == (2 * 4 - 1, 2 * 3 - 1, 3)
    assert_array_equal(grid[:3, 3:5], expected[1])
    few = FilterDisplay.from_estimator(encoder, n_filters=1)
    largest = np.square(W).sum((1, 2, 3)).argmax()
    assert_array_equal(few.image_.get_array(), expected[largest])


def test_a_grid_has_gaps():
    grid = grid_of(np.zeros((4, 2, 2, 3)), 2)
    assert grid.shape == (5, 5, 3)
    assert_array_equal(grid[2], 1)
    assert_array_equal(grid[:, 2], 1)
    assert grid.sum() == 3 * 9


def test_tangents_are_those_of_the_function(images):
    encoder = make_pipeline(StandardScaler(), ContractiveAutoencoder(5, **HOW))
    encoder.fit(images)
    display = TangentDisplay.from_estimator(encoder, images[:3], n_tangents=2)
    assert_array_equal(display.tangents, tangent_vectors(encoder, images[:3], 2))
    assert_allclose(display.samples, encoder[0].transform(images[:3]))
    assert display.image_.get_array().shape == (3 * 4 - 1, 3 * 4 - 1, 3)
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == ["sample", "1", "2"]
    again = TangentDisplay.from_estimator(encoder, images[:3].tolist(), n_tangents=2)
    assert_array_equal(again.samples, display.samples)


def test_what_is_no_image(encoder, unit_data):
    with pytest.raises(ValueError, match="8 features are no square grey image"):
        FilterDisplay.from_estimator(encoder)
    with pytest.raises(ValueError, match=r"shape \(2, 2, 2\) have 2 channels"):
        TangentDisplay.from_estimator(encoder, unit_data, image_shape=(2, 2, 2))
    for wrong in ((3, 3), (2, 4, 3), (8,), 8, (-2, -4), (2, 4, 1, 5)):
        with pytest.raises(ValueError, match="is no grey or RGB image of 8 features"):
            TangentDisplay.from_estimator(encoder, unit_data, image_shape=wrong)


# ---- loss curves --------------------------------------------------------------------


def test_loss_curves(unit_data):
    model = ContractiveAutoencoder(6, **HOW).fit(unit_data)
    (line,) = LossCurveDisplay.from_estimator(model).lines_
    assert line.get_label() == "training"
    assert_array_equal(line.get_ydata(), model.loss_curve_)
    assert_array_equal(line.get_xdata(), np.arange(1, model.n_iter_ + 1))
    model.set_params(early_stopping=True).fit(unit_data)
    display = LossCurveDisplay.from_estimator(model)
    assert_array_equal(display.lines_[1].get_ydata(), model.validation_loss_curve_)
    assert len(display.figure_.axes) == 1
    # After a warm start, only the last epochs have held-out data.
    model.set_params(warm_start=True, max_iter=6).fit(unit_data)
    training, held_out = LossCurveDisplay.from_estimator(model).lines_
    assert len(training.get_xdata()) > len(held_out.get_xdata()) > 0
    assert training.get_xdata()[-1] == held_out.get_xdata()[-1] == model.n_iter_


def test_loss_curves_of_a_stack_with_held_out_rows(unit_data):
    model = stack((6, 5)).set_params(early_stopping=True).fit(unit_data)
    lines = LossCurveDisplay.from_estimator(model).lines_
    assert [line.get_label() for line in lines] == [
        f"{what}, layer {k}" for what in ("training", "held out") for k in (1, 2)
    ]
    assert lines[0].get_color() == lines[2].get_color()
    curve = model.estimators_[1].validation_loss_curve_
    assert_array_equal(lines[3].get_ydata(), curve)


def test_loss_curves_of_a_stack_are_those_of_its_layers(unit_data):
    model = stack((6, 5)).fit(unit_data)
    display = LossCurveDisplay.from_estimator(model)
    labels = [line.get_label() for line in display.lines_]
    assert labels == ["training, layer 1", "training, layer 2"]
    assert_array_equal(display.lines_[1].get_ydata(), model.estimators_[1].loss_curve_)


def test_an_error_has_an_axis_of_its_own(unit_data):
    y = (unit_data[:, 0] > 0.5).astype(int)
    model = FineTunedClassifier(
        ContractiveAutoencoder(6, **HOW), early_stopping=True, **HOW
    ).fit(unit_data, y)
    display = LossCurveDisplay.from_estimator(model)
    training, held_out = display.lines_
    assert_array_equal(training.get_ydata(), model.loss_curve_)
    assert_array_equal(held_out.get_ydata(), model.validation_error_curve_)
    assert training.axes is not held_out.axes
    assert training.get_color() != held_out.get_color()


def test_an_rbm_keeps_no_curve(unit_data):
    rbm = BernoulliRBM(6, n_iter=1, random_state=0).fit(unit_data)
    with pytest.raises(TypeError, match="BernoulliRBM keeps no loss_curve_"):
        LossCurveDisplay.from_estimator(rbm)


# ---- matplotlib ---------------------------------------------------------------------


def test_without_matplotlib(encoder, unit_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    # Nothing is computed first.
    monkeypatch.setattr("skcae.inspection._spectrum.measurement", None)
    for draw in (
        lambda: ContractionCurveDisplay.from_estimator(encoder, unit_data),
        lambda: JacobianSpectrumDisplay.from_estimator(encoder, unit_data),
        lambda: LossCurveDisplay.from_estimator(encoder),
        lambda: FilterDisplay(np.ones((1, 4))).plot(),
        lambda: TangentDisplay(np.ones((1, 4)), np.ones((1, 1, 4))).plot(),
    ):
        with pytest.raises(ImportError, match="Display requires matplotlib"):
            draw()
