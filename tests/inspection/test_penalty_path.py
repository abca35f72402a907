"""The path of λ: numbers of separate fits, where the grid comes from, what is drawn."""

import itertools
import sys

import dask.dataframe as dask
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import same_color
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, RidgeClassifierCV, RidgeCV
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    ModuleAutoencoder,
    PatchEncoder,
    StackedCAE,
)
from skcae.inspection import (
    PenaltyPathDisplay,
    _penalty_path,
    jacobian_norm,
    saturation,
)
from skcae.model_selection import jacobian_penalty_max
from tests.inspection.encoders import HOW

draw = PenaltyPathDisplay.from_estimator
PENALTIES = [0.0, 0.01, 0.1]
WITHOUT_TASK = [
    "reconstruction loss",
    "contraction's share of the objective",
    "mean ‖J‖",
    "saturated units",
    "live units",
]
TITLES = ["score in the task", *WITHOUT_TASK]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def rows():
    """Sixty rows of nine features, of which some are much the same."""
    rng = np.random.default_rng(0)
    return rng.random((60, 3)) @ rng.random((3, 9))


@pytest.fixture
def labels(rows):
    return np.where(rows[:, 0] > rows[:, 0].mean(), "high", "low")


def cae(size=6, **parameters):
    return ContractiveAutoencoder(size, **{**HOW, **parameters})


def scaled(encoder):
    return make_pipeline(StandardScaler(), encoder)


def titles_of(display):
    return [panel.get_title(loc="left") for panel in display.axes_]


# ---- the numbers -----------------------------------------------------------------


@pytest.mark.parametrize("make", [cae, lambda: scaled(cae())], ids=["cae", "pipeline"])
def test_they_are_those_of_separate_fits_on_other_rows(make, rows, labels):
    encoder = make()
    display = draw(encoder, rows, labels, penalties=PENALTIES[::-1])
    assert_array_equal(display.penalties, PENALTIES)
    assert not hasattr(encoder, "n_features_in_")
    splitter = ShuffleSplit(1, test_size=0.25, random_state=0)
    ((train, test),) = splitter.split(rows)
    name = "jacobian_penalty"
    name = name if name in encoder.get_params() else f"contractiveautoencoder__{name}"
    for row, penalty in enumerate(PENALTIES):
        fitted = clone(encoder).set_params(**{name: penalty}).fit(rows[train])
        loss = -fitted.score_samples(rows[test]).mean()
        norms, codes = jacobian_norm(fitted, rows[test]), fitted.transform(rows[test])
        paid = penalty * (norms**2).mean()
        judge = RidgeClassifierCV(np.logspace(-4, 4, 9))
        judge.fit(fitted.transform(rows[train]), labels[train])
        expected = {
            "reconstruction_loss": loss,
            "penalty_share": paid / (loss + paid),
            "jacobian_norm": norms.mean(),
            "saturation": saturation(fitted, rows[test]).mean(),
            "live_units": (codes.std(0) >= 0.01).mean(),
            "score": judge.score(codes, labels[test]),
        }
        assert display.measures.keys() == expected.keys()
        for measure, value in expected.items():
            assert_array_equal(display.measures[measure][row], [value], measure)


def test_a_collapsed_code_is_drawn_and_not_warned_of(rows):
    """Its warnings would be errors here."""
    encoder = cae(activation="identity", max_iter=300, tol=0.0)
    display = draw(encoder, rows, penalties=[0, 100 * jacobian_penalty_max(rows)])
    assert_array_equal(display.measures["live_units"], [[1.0], [0.0]])


def test_the_task_is_judged_as_asked(rows, labels, monkeypatch):
    values, seen = rows @ np.arange(9.0), {}

    def judged(judge, X, y):
        seen[type(judge)] = len(y)
        return 0.5

    how = {"penalties": [0.1], "scoring": judged}
    for y, judge in ((values, None), (labels, None), (values, LinearRegression())):
        display = draw(cae(), rows, y, judge=judge, cv=KFold(3), **how)
        assert_array_equal(display.measures["score"], [[0.5] * 3])
    assert seen == {RidgeCV: 20, RidgeClassifierCV: 20, LinearRegression: 20}

    def parallel(n_jobs):
        seen["n_jobs"] = n_jobs
        return lambda calls: [call(*args, **more) for call, args, more in calls]

    monkeypatch.setattr(_penalty_path, "Parallel", parallel)
    monkeypatch.setattr(_penalty_path, "delayed", lambda f: lambda *args: (f, args, {}))
    draw(cae(), rows, n_jobs=7, penalties=[0.1])
    assert seen["n_jobs"] == 7


# ---- where λ comes from ----------------------------------------------------------

PARTS = np.append(0, np.geomspace(1e-3, 1, 7))


def conv(**parameters):
    shapes = {"n_filters": 4, "kernel_size": 2, "image_shape": (3, 3)}
    return ConvolutionalCAE(**{**shapes, **HOW, **parameters})


@pytest.fixture
def unfitted(monkeypatch):
    """Find the values of λ, and fit with none of them."""
    monkeypatch.setattr(_penalty_path, "measures_at", lambda *_: {"score": 0.0})


@pytest.mark.usefixtures("unfitted")
def test_it_goes_up_to_the_largest_of_tied_weights(rows):
    in_windows = {"image_shape": (3, 3), "kernel_size": 2}
    as_signals = {"kernel_size": 2}
    of_tanh = {"activation": "tanh", "loss": "cross_entropy"}
    X = rows / rows.max()
    for encoder, data, how in (
        (cae(**of_tanh), X, of_tanh),
        (scaled(cae()), StandardScaler().fit_transform(X), {}),
        (conv(), X, in_windows),
        (conv(image_shape=None), X, as_signals),
        (conv(image_shape=np.array([3, 3])), X, in_windows),
        (conv(kernel_size=4), X, {"image_shape": (3, 3), "kernel_size": 4}),
        (conv(padding="valid"), X, {**in_windows, "padding": "valid"}),
        (conv(stride=2), X, {**in_windows, "stride": 2}),
        (
            conv(image_shape=(1, 3, 3)),
            X,
            {"image_shape": (1, 3, 3), "kernel_size": (1, 2)},
        ),
    ):
        largest = jacobian_penalty_max(data, **how)
        display = draw(encoder, X)
        assert display.penalty_max == pytest.approx(largest)
        assert_allclose(display.penalties, largest * PARTS)
    assert draw(conv(), X.reshape(60, 3, 3)).penalty_max is not None


@pytest.mark.usefixtures("unfitted")
def test_where_there_is_none_it_goes_up_to_what_weighs_as_much_as_the_loss(rows):
    for encoder in (
        cae(tied_weights=False),
        DeepCAE((5, 3), **HOW),
        ModuleAutoencoder(n_components=4, **HOW),
        conv(pool="max"),
        conv(tied_weights=False),
        conv(n_filters=(3, 2)),
    ):
        display = draw(encoder, rows)
        fitted = clone(encoder).set_params(jacobian_penalty=0).fit(rows)
        squares = jacobian_norm(fitted, rows) ** 2
        scale = -fitted.score(rows) / squares.mean()
        assert display.penalty_max is None
        assert_allclose(display.penalties, scale * PARTS)


def test_the_penalty_is_that_of_the_encoder_and_not_of_a_step_before_it():
    before = ColumnTransformer([("codes", cae(), slice(0, 9))])
    inner = make_pipeline(before, cae())
    outer = make_pipeline("passthrough", inner, "passthrough")
    for encoder, name in (
        (cae(), ""),
        (inner, "contractiveautoencoder__"),
        (outer, "pipeline__contractiveautoencoder__"),
    ):
        assert _penalty_path.name_of_penalty(encoder) == f"{name}jacobian_penalty"


@pytest.mark.usefixtures("unfitted")
def test_frozen_steps_stay_what_they_are(rows):
    frozen = FrozenEstimator(StandardScaler().fit(100 * rows))
    largest = jacobian_penalty_max(frozen.transform(rows))
    for steps in ([frozen, cae()], [frozen, "passthrough", cae()]):
        display = draw(make_pipeline(*steps), rows)
        assert display.penalty_max == pytest.approx(largest)


def test_what_does_nothing_at_the_end_changes_nothing(rows):
    plain = make_pipeline(StandardScaler(), cae())
    expected = draw(plain, rows, penalties=[0.0, 0.1]).measures
    for encoder in (
        make_pipeline(StandardScaler(), cae(), "passthrough"),
        make_pipeline(StandardScaler(), make_pipeline(cae(), None), "passthrough"),
    ):
        found = draw(encoder, rows, penalties=[0.0, 0.1]).measures
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert_allclose(found[name], values)


def test_constant_rows_have_a_path_and_no_largest(rows):
    display = draw(cae(), 0 * rows, penalties=[0.0, 0.1])
    assert display.penalty_max is None


# ---- the picture -----------------------------------------------------------------


def test_each_measure_has_a_panel_above_the_same_axis(rows, labels):
    figure, axes = pyplot.subplots(1, 2)
    display = draw(cae(), rows, labels, penalties=PENALTIES, cv=4, ax=axes[1])
    assert display.figure_ is figure
    assert display.ax_ is axes[1]
    assert titles_of(display) == TITLES
    names = {
        "score": 0,
        "reconstruction_loss": 1,
        "penalty_share": 2,
        "jacobian_norm": 3,
        "saturation": 4,
        "live_units": 5,
    }
    for name, k in names.items():
        values, line, panel = (
            display.measures[name],
            display.lines_[k],
            display.axes_[k],
        )
        assert values.shape == (3, 4)
        assert_array_equal(line.get_xdata(), PENALTIES)
        assert_array_equal(line.get_ydata(), values.mean(1))
        (band,) = panel.collections
        top = band.get_datalim(panel.transData).y1
        assert top == pytest.approx((values.mean(1) + values.std(1)).max())
        limits = [line.get_xdata()[0] for line in panel.lines[1:]]
        assert limits == [display.penalty_max]
        low, high = panel.get_xlim()
        assert low < 0 < display.penalty_max < high
    again = display.plot(line_kw={"c": "k"})
    assert again is display
    assert display.ax_ is not axes[1]
    assert all(same_color(line.get_color(), "k") for line in display.lines_)


@pytest.mark.parametrize(
    ("penalties", "ticks"),
    [
        ([0, 0.003, 0.01, 0.3, 1], ["0", "0.01", "0.1", "1"]),
        ([0.2, 0.5], ["0", "0.2", "0.5"]),
        ([0], ["0", "1"]),
    ],
)
def test_zero_has_its_place_on_the_logarithmic_axis(penalties, ticks):
    penalties = np.array(penalties, float)
    display = PenaltyPathDisplay(penalties, {"score": penalties[:, None]}).plot()
    (panel,) = display.axes_
    assert [label.get_text() for label in panel.get_xticklabels()] == ticks
    places = panel.transData.transform([(tick, 0) for tick in map(float, ticks)])
    assert (np.diff(places[:, 0]) > 20).all()


@pytest.mark.parametrize("largest", [1e2, 1e9])
def test_nothing_is_written_over_another(largest):
    """In a small figure, and with a λ over ten or more decades."""
    penalties = np.r_[0, np.geomspace(1e-8, largest, 6)]
    names = ["score", "reconstruction_loss", "jacobian_norm", "saturation"]
    measures = dict.fromkeys(names, np.linspace(0, 1, 7)[:, None])
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 2.8))
    display = PenaltyPathDisplay(penalties, measures).plot(ax=axes[0])
    figure.canvas.draw()
    panels = display.axes_
    titles = [panel._left_title.get_window_extent() for panel in panels]
    for panel, below in itertools.pairwise(zip(panels, titles, strict=True)):
        assert below[1].y1 < panel[0].get_window_extent().y0
    labels = [tick.get_window_extent() for tick in panels[-1].get_xticklabels()]
    assert all(label.x1 < after.x0 for label, after in itertools.pairwise(labels))


def test_encoders_and_data_of_all_kinds(rows):
    def linear(n_features):
        return nn.Sequential(nn.Linear(n_features, 3), nn.Tanh(), nn.Linear(3, 2))

    modules = ModuleAutoencoder(linear, lambda d: nn.Linear(2, d), **HOW)
    for encoder, X in (
        (DeepCAE((5, 3), **HOW), pd.DataFrame(rows)),
        (conv(pool="max"), rows),
        (cae(), sparse.csr_array(rows)),
        (cae(), dask.from_pandas(pd.DataFrame(rows).add_prefix("c"), npartitions=2)),
        (make_pipeline(scaled(cae())), rows.astype(np.float32)),
    ):
        assert titles_of(draw(encoder, X, penalties=[0.1])) == WITHOUT_TASK
    # Of its last layer no unit can be saturated.
    found = draw(modules, rows, penalties=[0, 0.1]).measures
    assert "saturation" not in found
    assert np.isfinite([*found.values()]).all()


# ---- errors ----------------------------------------------------------------------


def test_what_has_no_path(rows):
    """It is said before there is a figure."""
    pooled = PatchEncoder(cae(), patch_size=2)
    for wrong in (Autoencoder(3), BernoulliRBM(3), scaled(Autoencoder(3)), pooled):
        with pytest.raises(TypeError, match="has no jacobian_penalty to be varied"):
            draw(wrong, rows)
    for wrong in (StackedCAE((3, 2)), make_pipeline(cae(), cae())):
        with pytest.raises(TypeError, match="each layer is trained by itself"):
            draw(wrong, rows)
    with pytest.raises(TypeError, match="made of StandardScaler"):
        draw(StandardScaler(), rows)
    for wrong in ([], [-1.0], 0.1, [[0.1]]):
        with pytest.raises(ValueError, match="penalties must be one or more numbers"):
            draw(cae(), rows, penalties=wrong)
    with pytest.raises(ValueError, match="penalties contains NaN"):
        draw(cae(), rows, penalties=[np.nan])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        draw(cae(), rows, rows[1:, 0], penalties=[0.1])
    with pytest.raises(ValueError, match="all of its rows are the same"):
        draw(cae(), np.ones((9, 3)))
    with pytest.raises(ValueError, match="X contains NaN"):
        draw(cae(tied_weights=False), np.full((9, 3), np.nan))
    assert pyplot.get_fignums() == []


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="Display requires matplotlib"):
        draw(None, None)
    with pytest.raises(ImportError, match="Display requires matplotlib"):
        PenaltyPathDisplay(np.zeros(1), {}).plot()
