"""scikit-learn's estimators in files, as steps beside ours: which load as they are."""

import re
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2, mutual_info_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    OneHotEncoder,
    StandardScaler,
)
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

from skcae import ContractiveAutoencoder
from skcae.persistence import load, save
from skcae.persistence._archive import TRUSTED

HOW = {"max_iter": 2, "tol": 0.5, "random_state": 0}
DOCS = Path(__file__).parents[1] / "docs" / "checkpoints.md"
TREE = {"sklearn.tree._tree.Tree"}
NEIGHBOURS = {
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
}
BOOSTED = {"sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"}
# What still needs `trusted`: for its code in C, which a file could lead astray, or
# since it is code or has much of it.
NEEDS = {
    **dict.fromkeys(
        (
            "AdaBoostClassifier",
            "AdaBoostRegressor",
            "BaggingClassifier",
            "BaggingRegressor",
            "DecisionTreeClassifier",
            "DecisionTreeRegressor",
            "ExtraTreeClassifier",
            "ExtraTreeRegressor",
            "ExtraTreesClassifier",
            "ExtraTreesRegressor",
            "GradientBoostingClassifier",
            "GradientBoostingRegressor",
            "RandomForestClassifier",
            "RandomForestRegressor",
            "RandomTreesEmbedding",
            "StackingClassifier",
            "StackingRegressor",
            "VotingClassifier",
            "VotingRegressor",
        ),
        TREE,
    ),
    **dict.fromkeys(
        (
            "Isomap",
            "KNeighborsClassifier",
            "KNeighborsRegressor",
            "KNeighborsTransformer",
            "LocallyLinearEmbedding",
            "RadiusNeighborsClassifier",
            "RadiusNeighborsRegressor",
            "RadiusNeighborsTransformer",
        ),
        NEIGHBOURS,
    ),
    "HistGradientBoostingClassifier": BOOSTED,
    "HistGradientBoostingRegressor": BOOSTED,
    "BisectingKMeans": {
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
    },
    "SplineTransformer": {
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
    },
    "TunedThresholdClassifierCV": {
        "sklearn.metrics._classification.balanced_accuracy_score",
        "sklearn.metrics._scorer._CurveScorer",
        "sklearn.metrics._scorer._Scorer",
    },
}
# Small tables of hashes, and draws that repeat.
HASHES = {"n_features": 16, "input_type": "dict", "random_state": 0}
# skops writes no such model.
NOT_WRITTEN = {"Birch"}
ESTIMATORS = {
    name: kind
    for which in ("transformer", "classifier", "regressor")
    for name, kind in all_estimators(type_filter=which)
}

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.random((40, 6)), np.arange(40) % 2
pytestmark = pytest.mark.filterwarnings("ignore")


def data_for(estimator):
    """Rows and targets that it can be fitted on."""
    tags, name = estimator.__sklearn_tags__(), type(estimator).__name__
    one_each = {
        "LabelBinarizer": (Y,),
        "PatchExtractor": (RANDOM.random((3, 20, 20)),),
        "LabelEncoder": (Y,),
        "MultiLabelBinarizer": ([[1], [2]] * 20,),
        "SparseCoder": (RANDOM.random((40, 3)),),
        "IsotonicRegression": (X[:, 0], X[:, 1]),
        "MissingIndicator": (np.where(X > 0.9, np.nan, X),),
    }
    if name in one_each:
        return one_each[name]
    if tags.input_tags.string:
        return ["a b c", "b c d"] * 20, Y
    if tags.input_tags.dict:
        return [{"a": 1}, {"b": "c"}] * 20, Y
    rows = X @ X.T if tags.input_tags.pairwise else X
    is_regressor = tags.estimator_type == "regressor"
    targets = X[:, 0] if is_regressor else Y
    if not tags.target_tags.single_output or tags.target_tags.two_d_labels:
        targets = X[:, :2] if is_regressor else np.column_stack([Y, 1 - Y])
    return rows, targets


def answers(estimator, rows):
    for method in ("transform", "predict"):
        if hasattr(estimator, method):
            return getattr(estimator, method)(rows)
    return estimator.get_params()


def same(one, other):
    if hasattr(one, "toarray"):
        one, other = one.toarray(), other.toarray()
    return repr(one) == repr(other) and np.array_equal(
        np.asarray(one), np.asarray(other), equal_nan=np.asarray(one).dtype.kind == "f"
    )


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_step_of_scikit_learn_is_loaded(name, tmp_path):
    """As it is, or with the types that the documentation names for it, and no less."""
    path, needed = tmp_path / "model.skops", set()
    cae = ContractiveAutoencoder(3, **HOW).fit(X)
    if name in NOT_WRITTEN:
        with pytest.raises(TypeError):
            save(next(_construct_instances(ESTIMATORS[name])).fit(X), path)
        return
    for estimator in [*_construct_instances(ESTIMATORS[name])][:3]:
        known = {k: v for k, v in HASHES.items() if k in estimator.get_params()}
        estimator.set_params(**known)
        rows, *targets = data_for(estimator)
        estimator.fit(rows, *targets)
        save(Pipeline([("step", estimator), ("encoder", cae)]), path)
        untrusted = {*skops.io.get_untrusted_types(file=path)} - {*TRUSTED}
        needed |= untrusted
        step = load(path, trusted=sorted(untrusted))[0]
        if untrusted:
            with pytest.raises(TypeError, match="pass their names as trusted"):
                load(path)
        expected = answers(estimator, rows)
        assert same(answers(step, rows), expected)
    assert needed == NEEDS.get(name, set())


def test_the_documentation_names_what_needs_trust():
    text = DOCS.read_text(encoding="utf-8")
    table = text[text.index("| step |") :].partition("\n\n")[0]
    words = set(re.findall(r"[\w.]+", table))
    assert {*NEEDS, *NOT_WRITTEN} <= words
    assert set().union(*NEEDS.values()) <= words
    named = words & {*ESTIMATORS}
    assert named == {*NEEDS, *NOT_WRITTEN}


def test_neighbours_in_many_dimensions_need_nothing(tmp_path):
    """As of codes: there is no index of them."""
    wide = RANDOM.random((40, 20))
    model = KNeighborsClassifier().fit(wide, Y)
    save(model, tmp_path / "model.skops")
    assert same(load(tmp_path / "model.skops").predict(wide), model.predict(wide))


def frame():
    import pandas as pd

    table = pd.DataFrame(load_iris().data, columns=[*"abcd"])
    table["kind"] = np.array([*"xyz"])[load_iris().target]
    table.loc[3, "a"] = np.nan
    return table, load_iris().target


def texts():
    return ["one word", "two words", "three words here", "one more"] * 10, Y


def selected():
    return np.tile([[0.1, 0.5, 0.2], [0.9, 0.4, 0.3]], (20, 1)), Y


PIPELINES = {
    "mixed frame": (
        frame,
        make_column_transformer(
            (
                make_pipeline(SimpleImputer(), StandardScaler()),
                make_column_selector(dtype_include=np.number),
            ),
            (OneHotEncoder(), make_column_selector(dtype_exclude=np.number)),
        ),
    ),
    "columns by name": (
        frame,
        make_column_transformer(
            (SimpleImputer(strategy="median"), ["a", "b"]),
            (KBinsDiscretizer(3, encode="onehot-dense", quantile_method="linear"), [2]),
        ),
    ),
    "passed through": (
        frame,
        make_column_transformer(
            (OneHotEncoder(sparse_output=False), ["kind"]),
            ("drop", ["a"]),
            remainder="passthrough",
        ),
    ),
    "texts": (texts, TfidfVectorizer()),
    "f_classif": (selected, SelectKBest(k=2)),
    "chi2": (selected, SelectKBest(chi2, k=2)),
    "mutual information": (selected, SelectKBest(mutual_info_classif, k=2)),
    "logarithm": (selected, FunctionTransformer(np.log1p)),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_as_they_are_written(name, tmp_path):
    """Nothing is to be trusted besides."""
    data, steps = PIPELINES[name]
    rows, targets = data()
    encoder = ContractiveAutoencoder(3, **HOW)
    model = make_pipeline(steps, MaxAbsScaler(), encoder, LogisticRegression())
    model.fit(rows, targets)
    save(model, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops")
    assert same(again.predict_proba(rows), model.predict_proba(rows))
