"""The search for λ by short fits: what it tries, what it chooses, and what it is."""

import pickle
import warnings
from functools import partial

import dask.dataframe as dask
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, ParameterGrid
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcae import (
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    ModuleAutoencoder,
    StackedCAE,
)
from skcae.model_selection import ContractiveAutoencoderCV, jacobian_penalty_grid
from skcae.persistence import load, save
from tests.conftest import write_unchecked
from tests.promises.kinds import assert_same_model, curved_output, hidden_layers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 6))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
WEIGHTS = RNG.uniform(0, 2, 80)
PENALTIES, GRID = [0.0, 0.1, 3.0], {"C": [0.1, 10.0]}
CV = KFold(2)
SHORT = {"max_iter": 5, "n_iter_no_change": np.inf}

cae = partial(ContractiveAutoencoder, 4, max_iter=12, tol=0.5, random_state=0)
judge = LogisticRegression()


def search(encoder=None, **parameters):
    given = {"penalties": PENALTIES, "max_iter_search": 4, "random_state": 0}
    encoder = cae() if encoder is None else encoder
    return ContractiveAutoencoderCV(judge, encoder, **{**given, **parameters})


# ---- what it tries and chooses -----------------------------------------------------


@pytest.mark.filterwarnings("ignore:max_iter=4 epochs are too few")
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_it_does_what_a_loop_would_do(weights):
    found = search(judge_grid=GRID, cv=CV).fit(X, Y, sample_weight=weights)
    w = np.ones(80) if weights is None else weights
    scores = []
    for penalty in PENALTIES:
        for params in ParameterGrid(GRID):
            for train, test in CV.split(X):
                short = cae(max_iter=4, jacobian_penalty=penalty)
                H = short.fit(X[train], sample_weight=w[train]).transform(X)
                model = clone(judge).set_params(**params)
                model.fit(H[train], Y[train], w[train])
                scores.append(model.score(H[test], Y[test], w[test]))
    table = found.cv_results_
    columns = [table["split0_test_score"], table["split1_test_score"]]
    assert_allclose(np.transpose(columns).ravel(), scores)
    means = np.reshape(scores, (-1, 2)).mean(1)
    assert found.best_index_ == means.argmax()
    assert found.best_score_ == means.max()
    penalty, C = divmod(means.argmax(), 2)
    assert found.best_penalty_ == PENALTIES[penalty]
    assert found.best_params_ == {
        "jacobian_penalty": PENALTIES[penalty],
        "C": GRID["C"][C],
    }
    full = cae(jacobian_penalty=PENALTIES[penalty]).fit(X, sample_weight=w)
    assert_array_equal(found.encoder_.components_, full.components_)
    assert_array_equal(found.transform(X), full.transform(X))


def test_with_all_epochs_it_is_a_grid_search_and_has_its_table():
    found = search(judge_grid=GRID, cv=2, max_iter_search=12).fit(X, Y)
    pipeline = make_pipeline(cae(), judge)
    names = {"jacobian_penalty": "contractiveautoencoder__jacobian_penalty"}
    names["C"] = "logisticregression__C"
    grid = {names["jacobian_penalty"]: PENALTIES, names["C"]: GRID["C"]}
    expected = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    for name, column in expected.cv_results_.items():
        for short, long in names.items():
            name = name.replace(long, short)
        if "time" in name:
            assert (found.cv_results_[name] >= 0).all()
        elif name != "params":
            assert_allclose(found.cv_results_[name], column, err_msg=name)
    assert len(found.cv_results_) == len(expected.cv_results_)
    assert_same_model(found.encoder_, expected.best_estimator_[0])


def test_encoders_are_fitted_once_for_all_parameters_of_the_judge(monkeypatch):
    fits, fit = [], ContractiveAutoencoder.fit

    def counted(self, X, y=None, sample_weight=None):
        fits.append((len(X), self.jacobian_penalty, self.max_iter, self.random_state))
        return fit(self, X, y, sample_weight)

    monkeypatch.setattr(ContractiveAutoencoder, "fit", counted)
    encoder = cae(max_iter=40, random_state=None)
    found = search(encoder, max_iter_search=None, judge_grid=GRID).fit(X, Y)
    (seed,) = {seed for *_, seed in fits}
    assert fits[:-1] == [(60, penalty, 5, seed) for penalty in PENALTIES]
    assert fits[-1] == (80, found.best_penalty_, 40, seed)
    assert search(encoder, random_state=1).fit(X, Y).encoder_.random_state != seed


def test_a_quarter_of_each_class_judges():
    y, seen = np.array(["few"] * 8 + ["many"] * 72), []

    def score(model, H, y):
        seen.append(y)
        return len(seen)

    found = search(scoring=score).fit(X, y)
    assert found.best_penalty_ == PENALTIES[-1]
    assert [np.unique(part, return_counts=True)[1].tolist() for part in seen] == [
        [2, 18]
    ] * 3


def test_values_are_chosen_for_other_targets():
    y = X[:, :2]
    encoder = cae(bias_spread=0)
    found = ContractiveAutoencoderCV(
        Ridge(), encoder, penalties=PENALTIES, random_state=0
    ).fit(X, y)
    assert found.best_score_ > 0.1


def test_a_number_of_penalties_is_a_grid_of_that_many():
    encoder = cae(activation="tanh", loss="cross_entropy")
    rows = np.abs(X) / 5
    found = search(encoder, penalties=3).fit(rows, Y, sample_weight=WEIGHTS)
    expected = jacobian_penalty_grid(
        rows, 3, activation="tanh", loss="cross_entropy", sample_weight=WEIGHTS
    )
    assert_allclose(found.cv_results_["param_jacobian_penalty"].tolist(), expected)


def test_a_number_of_penalties_is_a_grid_of_a_convolution():
    """Of images in their own shape, too."""
    how = {"image_shape": (2, 3), "kernel_size": 2, "stride": (1, 2)}
    encoder = ConvolutionalCAE(2, **how, **SHORT)
    found = search(encoder, penalties=3).fit(X.reshape(80, 2, 3), Y)
    expected = jacobian_penalty_grid(X, 3, **how)
    assert_allclose(found.cv_results_["param_jacobian_penalty"].tolist(), expected)


def test_it_is_kept_in_a_file(tmp_path):
    pipeline = make_pipeline(StandardScaler(), search(cae())).fit(X, Y)
    save(pipeline, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops")
    assert_array_equal(again.transform(X), pipeline.transform(X))
    pipeline[-1].n_features_in_ += 1
    write_unchecked(pipeline, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="damaged"):
        load(tmp_path / "model.skops")


def test_a_frame_of_dask_is_one_of_pandas():
    frame = pd.DataFrame(X).add_prefix("c")
    found = search(cae()).fit(dask.from_pandas(frame, npartitions=2), Y)
    plain = search(cae()).fit(frame, Y)
    assert found.best_score_ == plain.best_score_
    assert list(found.feature_names_in_) == list(frame.columns)


@pytest.mark.parametrize(
    "encoder",
    [
        StackedCAE((4, 3), **SHORT),
        DeepCAE((4, 3), **SHORT),
        ConvolutionalCAE(2, 3, pool="max", **SHORT),
        ModuleAutoencoder(hidden_layers, curved_output, **SHORT),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_encoders_of_other_kinds_are_searched_over_given_values(encoder):
    found = search(encoder).fit(X, Y)
    assert found.encoder_.jacobian_penalty == found.best_penalty_
    assert_array_equal(found.transform(X), found.encoder_.transform(X))
    with pytest.raises(ValueError, match=r"this \w+ is none. Pass the values of λ"):
        search(encoder, penalties=8).fit(X, Y)


# ---- what it hands on --------------------------------------------------------------


def test_threads_find_the_same():
    alone = search(judge_grid=GRID).fit(X, Y)
    with parallel_config("threading"):
        together = search(judge_grid=GRID, n_jobs=2).fit(X, Y)
    assert_same_model(together.encoder_, alone.encoder_)
    scores = [model.cv_results_["mean_test_score"] for model in (alone, together)]
    assert_array_equal(*scores)


def test_weights_are_routed():
    expected = search(judge_grid=GRID).fit(X, Y, sample_weight=WEIGHTS)
    with config_context(enable_metadata_routing=True):
        encoder = cae().set_fit_request(sample_weight=True)
        model = clone(judge).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        found = search(encoder, judge_grid=GRID).set_params(judge=model)
        found.set_fit_request(sample_weight=True)
        scaler = StandardScaler(with_mean=False, with_std=False)
        scaler.set_fit_request(sample_weight=False)
        make_pipeline(scaler, found).fit(X, Y, sample_weight=WEIGHTS)
    assert_array_equal(found.transform(X), expected.transform(X))
    scores = expected.cv_results_["mean_test_score"]
    assert_array_equal(found.cv_results_["mean_test_score"], scores)


def test_short_fits_do_not_warn_and_the_full_one_does():
    encoder = cae(max_iter=8, learning_rate_schedule="constant", tol=0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search(encoder).fit(X, Y)
    assert [w.category.__name__ for w in caught] == ["ConvergenceWarning"]
    assert "max_iter=8" in str(caught[0].message)


class Recorder:
    """Notes the tasks that it is told of."""

    max_propagation_depth = None

    def __init__(self):
        self.tasks = []

    def setup(self, estimator, context):
        self.tasks.append("setup")

    def teardown(self, estimator, context):
        self.tasks.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata):
        name = context.source_task_name or context.task_name
        if name != "epoch":
            self.tasks.append((type(estimator).__name__, name, len(metadata or {})))

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.tasks[-1] = (*self.tasks[-1][:3], context.task_id + 1)


def test_callbacks_look_on_at_all_fits():
    recorder = Recorder()
    encoder = cae(n_iter_no_change=np.inf, max_iter=9)
    found = search(encoder).set_callbacks(recorder)
    found.fit(X, Y, sample_weight=WEIGHTS)
    name, owner = "ContractiveAutoencoder", "ContractiveAutoencoderCV"
    assert recorder.tasks == [
        "setup",
        (owner, "fit", 1),
        (owner, "search", 0),
        *[(name, "penalty-split-evaluation", 1, 4)] * 3,
        (name, "refit-with-best-penalty", 1, 9),
        "teardown",
    ]
    for estimator in (found.encoder_, found.set_callbacks()):
        assert not [key for key in vars(estimator) if "callback" in key]


# ---- what it is --------------------------------------------------------------------


def test_it_is_a_step_of_a_pipeline():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    steps = StandardScaler(), search(), LogisticRegression()
    pipeline = make_pipeline(*steps).set_output(transform="pandas").fit(frame, Y)
    found = pipeline[1]
    assert found.n_features_in_ == 6
    assert list(found.feature_names_in_) == list("abcdef")
    names = [f"contractiveautoencoder{k}" for k in range(4)]
    codes = pipeline[:-1].transform(frame)
    assert list(codes.columns) == names == list(found.get_feature_names_out())
    assert found.inverse_transform(codes.to_numpy()).shape == X.shape
    grid = {"contractiveautoencodercv__max_iter_search": [2, 3]}
    outer = GridSearchCV(pipeline, grid, cv=2, refit=False).fit(frame, Y)
    assert np.isfinite(outer.cv_results_["mean_test_score"]).all()


def test_it_decodes_where_its_encoder_does():
    class Coder(ContractiveAutoencoder):
        inverse_transform = property()

    assert not hasattr(search(Coder(4)), "inverse_transform")
    assert hasattr(search(), "inverse_transform")


@pytest.mark.parametrize("at", ["search", "full fit"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_fit_that_fails_leaves_the_old_model(at, error, monkeypatch):
    fit = ContractiveAutoencoder.fit

    def failing(self, X, *args, **kwargs):
        if self.max_iter == (4 if at == "search" else 12):
            raise error("no more")
        return fit(self, X, *args, **kwargs)

    fresh, model = search(), search().fit(X, Y)
    before = pickle.loads(pickle.dumps(model))
    monkeypatch.setattr(ContractiveAutoencoder, "fit", failing)
    for estimator in (fresh, model):
        with pytest.raises(error, match="no more"):
            estimator.fit(-X[:50], 1 - Y[:50])
    assert not [name for name in vars(fresh) if name.endswith("_")]
    assert_same_model(model.encoder_, before.encoder_)
    assert model.best_params_ == before.best_params_


@pytest.mark.parametrize(
    ("parameters", "given", "message"),
    [
        ({}, {"y": None}, "requires y to be passed, but the target y is None"),
        ({}, {"X": iter([X])}, "gives its rows in batches"),
        ({}, {"y": Y[:9]}, r"inconsistent numbers of samples: \[80, 9\]"),
        ({}, {"X": np.where(X > 2, np.nan, X)}, "NaN"),
        ({}, {"sample_weight": np.ones(79)}, "inconsistent numbers of samples"),
        ({}, {"sample_weight": -WEIGHTS}, "must not be negative"),
        ({"penalties": 0}, {}, "'penalties' parameter"),
        ({"penalties": []}, {}, "penalties has no values"),
        ({"penalties": np.array(3)}, {}, "penalties must be an integer or a seq"),
        ({"penalties": [[0.1, 1]]}, {}, "penalties must be an integer or a seq"),
        ({"penalties": [0.1, -1.0]}, {}, "'jacobian_penalty' parameter"),
        ({"penalties": 2}, {"X": np.ones((80, 6))}, "X has no variance"),
        ({"max_iter_search": 0}, {}, "'max_iter_search' parameter"),
        ({"judge": Ridge}, {}, "got estimator class instead"),
        ({"judge_grid": {"D": [1]}}, {}, "Invalid parameter 'D'"),
        ({"judge_grid": {"jacobian_penalty": [1]}}, {}, "the encoder's jacobian_pen"),
        ({"scoring": "nothing"}, {}, "'scoring' parameter"),
        ({"scoring": lambda *of: {"a": 1.0, "b": 2.0}}, {}, "must give one number"),
        (
            {"encoder": DenoisingAutoencoder()},
            {},
            "is a DenoisingAutoencoder, which has no parameter jacobian_penalty",
        ),
        (
            {"judge": KNeighborsClassifier()},
            {"sample_weight": WEIGHTS},
            "unexpected keyword argument 'sample_weight'",
        ),
    ],
    # Of data there would be too much, and of an iterator where it lies in memory.
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_it_cannot_do_is_refused(parameters, given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        search().set_params(**parameters).fit(**{"X": X, "y": Y, **given})


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::skcae.exceptions.DeadModelWarning",
)
@parametrize_with_checks(
    [ContractiveAutoencoderCV(Ridge(), cae(max_iter=12), penalties=2, cv=2)]
)
def test_it_keeps_what_scikit_learn_asks(estimator, check):
    check(estimator)
