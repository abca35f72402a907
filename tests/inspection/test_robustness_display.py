"""Robustness curves: the errors are those of the rows that were perturbed."""

import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

from skcae import ContractiveAutoencoder
from skcae.inspection import RobustnessCurveDisplay
from skcae.perturbations import gaussian, shift
from tests.inspection.encoders import HOW

draw = RobustnessCurveDisplay.from_estimator
RNG = np.random.default_rng(0)
X = RNG.random((60, 16))
Y = np.where((X - 0.5) @ RNG.normal(size=16) > 0, "yes", "no")
LINEAR = LogisticRegression(C=100).fit(X, Y)
CODES = make_pipeline(ContractiveAutoencoder(6, **HOW), LogisticRegression(C=100)).fit(
    X, Y
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def test_errors_are_those_of_perturbed_rows():
    """All estimators get the same rows, and all strengths the same noise."""
    display = draw(
        {"raw": LINEAR, "codes": CODES},
        X,
        Y,
        strengths=[0, 0.3, 1],
        n_repeats=2,
        random_state=4,
    )
    seed = np.random.RandomState(4).randint(np.iinfo(np.int32).max)
    for name, estimator in (("raw", LINEAR), ("codes", CODES)):
        expected = [
            [
                np.mean(estimator.predict(gaussian(X, strength, rng)) != Y)
                for rng in (np.random.default_rng([seed, k]) for k in range(2))
            ]
            for strength in (0, 0.3, 1)
        ]
        assert_allclose(display.errors[name], expected)
    lines = [(line.get_label(), line.get_ydata()) for line in display.lines_]
    assert [label for label, _ in lines] == ["raw", "codes"]
    assert_allclose(lines[1][1], display.errors["codes"].mean(axis=1))
    assert_array_equal(display.lines_[0].get_xdata(), [0, 0.3, 1])
    assert display.ax_.get_xlabel() == "standard deviation of the noise"


@pytest.mark.parametrize(
    ("perturbation", "largest"),
    [
        ("gaussian", 2 * X.std()),
        ("masking", 0.8),
        ("occlusion", 0.5),
        ("shift", 2 / 4),
        ("rotation", 60),
    ],
)
def test_strengths_by_default(perturbation, largest):
    how = {"perturbation": perturbation, "image_shape": (2, 8), "n_repeats": 1}
    display = draw(LINEAR, X, Y, **how)
    assert_allclose(display.strengths, np.linspace(0, largest, 7))
    clean = 1 - LINEAR.score(X, Y)
    assert_allclose(display.errors["LogisticRegression"][0], clean)
    assert display.ax_.get_xlabel() != "strength"


def test_a_shape_changes_what_is_a_shift():
    how = {"perturbation": "shift", "strengths": [1], "n_repeats": 1, "random_state": 0}
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    for shape in ((2, 8), (4, 4), None):
        rows = shift(X, 1, np.random.default_rng([seed, 0]), image_shape=shape)
        display = draw(LINEAR, X, Y, image_shape=shape, **how)
        error = 1 - LINEAR.score(rows, Y)
        assert_allclose(display.errors["LogisticRegression"], [[error]])


def test_a_function_of_ones_own_and_another_score():
    model = LinearRegression().fit(X, X[:, 0])
    display = draw(
        model,
        X,
        X[:, 0],
        perturbation=lambda X, strength, rng: X + strength,
        strengths=[0, 2],
        scoring="neg_mean_squared_error",
    )
    assert_allclose(display.errors["LinearRegression"].mean(axis=1), [1, 1 + 4])
    assert display.ax_.get_xlabel() == "strength"


@pytest.mark.parametrize(
    "rows", [pd.DataFrame(X).add_prefix("c"), pd.DataFrame(X), pl.DataFrame(X)]
)
def test_frames_stay_frames(rows):
    model = LogisticRegression().fit(rows, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = draw(model, rows, Y, strengths=[0, 1], n_repeats=1)
    assert display.errors["LogisticRegression"][0] == 1 - model.score(rows, Y)


def test_what_is_missing_may_be_imputed():
    rows = X.copy()
    rows[0, 1] = np.nan
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(rows, Y)
    display = draw(model, rows, Y, n_repeats=1)
    assert np.isfinite(display.strengths).all()
    assert display.errors["Pipeline"][0] == 1 - model.score(rows, Y)


def test_axes_bands_and_lines():
    _, ax = pyplot.subplots()
    display = draw(LINEAR, X, Y, ax=ax, spread=True, line_kw={"c": "k"})
    assert display.ax_ is ax
    assert display.lines_[0].get_color() == "k"
    assert len(ax.collections) == 1
    assert display.plot() is display
    assert display.ax_ is not ax


def test_what_cannot_be_drawn():
    """It is said before there is a figure."""
    with pytest.raises(ValueError, match=r"one of \['gaussian', .*got 'blur'"):
        draw(LINEAR, X, Y, perturbation="blur")
    with pytest.raises(ValueError, match="no strengths by default: pass strengths"):
        draw(LINEAR, X, Y, perturbation=gaussian)
    with pytest.raises(ValueError, match="strengths must be a list of numbers"):
        draw(LINEAR, X, Y, strengths=[[1]])
    with pytest.raises(ValueError, match="strengths contains NaN"):
        draw(LINEAR, X, Y, strengths=[0, np.nan])
    with pytest.raises(ValueError, match="no estimator in the dictionary"):
        draw({}, X, Y)
    with pytest.raises(ValueError, match="n_repeats == 0, must be >= 1"):
        draw(LINEAR, X, Y, n_repeats=0)
    with pytest.raises(ValueError, match="no square grey image"):
        draw(LINEAR, X[:, :15], Y, perturbation="rotation")
    with pytest.raises(TypeError, match="data was passed"):
        draw(LINEAR, sparse.csr_array(X), Y)
    assert pyplot.get_fignums() == []


def test_matplotlib_is_asked_for_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="RobustnessCurveDisplay"):
        draw(LINEAR, X, Y)
