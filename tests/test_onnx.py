"""Exported graphs give in onnxruntime what the estimators give themselves."""

import sys

import numpy as np
import onnx
import pandas as pd
import pytest
import skl2onnx
from numpy.testing import assert_allclose, assert_array_equal
from onnxruntime import InferenceSession, SessionOptions
from scipy import sparse
from skl2onnx.common.data_types import (
    BooleanTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, StackingClassifier, StackingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from skcae import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES
from skcae.onnx import register_converters, to_onnx
from skcae.onnx._graph import ACTIVATION_NODES, LOSS_NODES, OUTPUT_NODES
from tests.conftest import MODELS, class_name

HOW = {"learning_rate": 0.01, "max_iter": 12, "tol": 0.5, "random_state": 0}
PRECISIONS = {"float32": 1e-5, "float64": 1e-12}
TUNING = {
    "encoder_rate_factor": 1.0,
    "alpha": 0.0,
    **HOW,
    "learning_rate": 0.1,
    "max_iter": 40,
}


def encoder(cls=ContractiveAutoencoder, **parameters):
    size = (6, 4) if cls in (StackedCAE, DeepCAE) else 5
    if cls in (ContractiveAutoencoder, StackedCAE):
        parameters.setdefault("bias_spread", 0)
    return cls(size, **HOW, **parameters)


DATA = np.random.default_rng(0).normal(size=(40, 8))
SINGLE = DATA.astype(np.float32)
# 0 to 2, as the first column is small, middling or large.
LABELS = np.digitize(DATA[:, 0], np.quantile(DATA[:, 0], [1 / 3, 2 / 3]))


@pytest.fixture(params=PRECISIONS)
def rows(request):
    """Forty rows of eight features, in either precision."""
    return DATA.astype(request.param)


def run(model, X):
    return session_of(model).run(None, {"X": X})


def session_of(model):
    """Make a session of one thread: these graphs are too small for a second."""
    options = SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(model.SerializeToString(), options)


def assert_same(actual, expected):
    """Compare by the precision that both have to have."""
    assert actual.dtype == expected.dtype
    tolerance = PRECISIONS[expected.dtype.name]
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def assert_codes(estimator, X):
    """Compare codes of any number of rows; three rows showed what X is like."""
    model = to_onnx(estimator, X[:3])
    for batch in (X, X[:1]):
        (codes,) = run(model, batch)
        assert_same(codes, estimator.transform(batch))


def assert_classifies(classifier, X, kind=None, confidence="predict_proba"):
    """Compare labels and what they follow from."""
    model = to_onnx(classifier, X[:3])
    for batch in (X, X[:1]):
        found, scores = run(model, batch)
        expected = classifier.predict(batch)
        assert_array_equal(found, expected if kind is None else expected.astype(kind))
        assert_same(scores, getattr(classifier, confidence)(batch).astype(X.dtype))
    assert len(np.unique(classifier.predict(X))) > 1


# ---- encoders -----------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("cls", [*MODELS, StackedCAE, DeepCAE], ids=class_name)
def test_codes_are_the_same(cls, activation, rows):
    assert_codes(encoder(cls, activation=activation).fit(rows), rows)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_the_same_far_from_zero(activation, rows):
    a = np.linspace(-200, 200, 401, dtype=rows.dtype)[:, None]
    model = encoder(Autoencoder, activation=activation).fit(a / 200)
    model.components_, model.intercept_hidden_ = np.ones((1, 1)), np.zeros(1)
    assert_codes(model, a)


def test_every_activation_can_be_exported():
    assert ACTIVATION_NODES.keys() == ACTIVATIONS.keys()


def test_a_layer_is_a_product_and_an_activation(rows):
    graph = to_onnx(encoder(StackedCAE, activation="tanh").fit(rows), rows).graph
    assert [node.op_type for node in graph.node] == [*["Gemm", "Tanh"] * 2, "Identity"]


def test_the_model_is_what_it_was_fitted_as(rows):
    model = encoder(activation="tanh").fit(rows)
    before = run(to_onnx(model, rows), rows)
    model.set_params(activation="relu", n_components=3)
    assert_array_equal(run(to_onnx(model, rows), rows), before)


@pytest.mark.parametrize("fitted_on", PRECISIONS)
def test_the_precision_is_that_of_the_rows(fitted_on, rows):
    assert_codes(encoder().fit(rows.astype(fitted_on)), rows)


@pytest.mark.parametrize(
    "container", [np.ndarray.tolist, pd.DataFrame, sparse.csr_matrix, np.asfortranarray]
)
def test_rows_may_be_shown_in_any_form(container, rows):
    model = encoder().fit(rows)
    X = rows.astype(float) if container is np.ndarray.tolist else rows
    (codes,) = run(to_onnx(model, container(X[:2])), X)
    assert_same(codes, model.transform(X))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_older_operators(activation):
    model = encoder(activation=activation).fit(SINGLE)
    exported = to_onnx(model, SINGLE, target_opset=11)
    assert [opset.version for opset in exported.opset_import] == [11]
    (codes,) = run(exported, SINGLE)
    assert_same(codes, model.transform(SINGLE))


# ---- scores -------------------------------------------------------------------------

SCORES = {"score_samples": True}


def assert_scores(estimator, X, options=SCORES):
    """Compare codes and scores of any number of rows, alone and together."""
    session = session_of(to_onnx(estimator, X[:3], options=options))
    assert session.get_outputs()[1].name == "score_samples"
    for batch in (X, X[:1]):
        codes, scores = session.run(None, {"X": batch})
        assert_same(codes, estimator.transform(batch))
        assert_same(scores, estimator.score_samples(batch))
        assert scores.shape == (len(batch),)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cls", [*MODELS, StackedCAE, DeepCAE], ids=class_name)
def test_scores_are_the_same(cls, loss, tied, rows):
    X = MinMaxScaler().fit_transform(rows)
    assert_scores(encoder(cls, loss=loss, tied_weights=tied).fit(X), X)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scores_of_all_activations(activation, rows):
    assert_scores(encoder(activation=activation).fit(rows), rows)


def test_every_loss_can_be_exported():
    assert LOSS_NODES.keys() == OUTPUT_NODES.keys() == LOSSES.keys()


@pytest.mark.parametrize("cls", [ContractiveAutoencoder, StackedCAE], ids=class_name)
def test_scores_of_wide_rows_that_are_far_from_what_was_learnt(cls, rows):
    X = np.random.default_rng(1).uniform(size=(30, 784)).astype(rows.dtype)
    model = encoder(cls, loss="cross_entropy").fit(X.round())
    assert_scores(model, 1 - X.round())
    first = model.estimators_[0] if cls is StackedCAE else model
    first.intercept_visible_ = np.linspace(-500, 500, 784).astype(rows.dtype)
    assert_scores(model, X)


@pytest.mark.parametrize(
    ("options", "around"),
    [
        (SCORES, [MinMaxScaler()]),
        (SCORES, [make_pipeline(StandardScaler(), PCA(4)), encoder(Autoencoder)]),
        ({"contractiveautoencoder__score_samples": True}, [StandardScaler()]),
        ({ContractiveAutoencoder: SCORES}, [StandardScaler()]),
    ],
    ids=["pipeline", "nested", "by name", "by class"],
)
def test_scores_of_a_pipeline_are_those_of_its_last_step(options, around, rows):
    assert_scores(make_pipeline(*around, encoder()).fit(rows), rows, options)


def test_scores_of_a_pipeline_in_a_pipeline_or_a_search(rows):
    inside = make_pipeline(StandardScaler(), encoder())
    assert_scores(make_pipeline(MinMaxScaler(), inside).fit(rows), rows)
    search = GridSearchCV(inside, {"contractiveautoencoder__n_components": [3]}, cv=2)
    model = to_onnx(search.fit(rows), rows, options=SCORES)
    assert_same(run(model, rows)[1], search.score_samples(rows))


def test_no_scores_unless_they_are_asked_for(rows):
    pipeline = make_pipeline(StandardScaler(), encoder()).fit(rows)
    for options in (None, {"score_samples": False}):
        assert len(run(to_onnx(pipeline, rows, options=options), rows)) == 1


def test_skl2onnx_gives_scores_for_itself():
    model = encoder(StackedCAE).fit(SINGLE)
    register_converters()
    exported = skl2onnx.to_onnx(model, SINGLE[:1], options={id(model): SCORES})
    assert_same(run(exported, SINGLE)[1], model.score_samples(SINGLE))


def test_scores_of_what_has_none_are_refused(rows):
    network = FineTunedClassifier(encoder(), **TUNING).fit(rows, LABELS)
    for model in (network, make_pipeline(StandardScaler(), network)):
        with pytest.raises(NameError, match="Option 'score_samples' not in"):
            to_onnx(model.fit(rows, LABELS), rows, options=SCORES)


# ---- images -------------------------------------------------------------------------

IMAGES = {
    "one layer": {},
    "max pooling": {"pool": "max"},
    "average pooling": {"pool": "average", "pool_size": (2, 3)},
    "signal": {"image_shape": (1, 63, 2), "stride": 3, "pool": "max"},
    "strides": {"stride": (2, 3), "kernel_size": (4, 2)},
    "valid": {"padding": "valid", "stride": (2, 3), "kernel_size": (4, 2)},
    "strides beyond the kernel": {"stride": 3, "kernel_size": 2},
    "layers": {"n_filters": (4, 3), "pool": "max", "tied_weights": False},
}


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("parameters", IMAGES.values(), ids=IMAGES)
def test_convolutions_are_the_same(parameters, dtype):
    """In single precision, which is the only one that onnxruntime has for them."""
    X = np.random.default_rng(0).random((40, 7 * 9 * 2)).astype(dtype)
    shape = {"n_filters": 4, "kernel_size": 3, "image_shape": (7, 9, 2)}
    model = ConvolutionalCAE(**{**shape, **HOW, **parameters}).fit(X)
    session = session_of(to_onnx(model, X[:3], options=SCORES))
    for batch in (X, X[:1]):
        codes, scores = session.run(None, {"X": batch})
        assert codes.dtype == scores.dtype == dtype
        assert_allclose(codes, model.transform(batch), rtol=1e-5, atol=1e-5)
        assert_allclose(scores, model.score_samples(batch), rtol=1e-5)


# ---- pipelines ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        encoder(loss="cross_entropy"),
        encoder(StackedCAE),
        make_pipeline(encoder(DenoisingAutoencoder), encoder(DenoisingAutoencoder)),
        FeatureUnion([("code", encoder(Autoencoder)), ("pca", PCA(2))]),
    ],
    ids=["CAE", "CAE-2", "DAE-2", "union"],
)
def test_whole_pipelines(code):
    regression = LogisticRegression(C=1e3, solver="newton-cholesky")
    pipeline = make_pipeline(MinMaxScaler(), code, regression)
    assert_classifies(pipeline.fit(SINGLE, LABELS), SINGLE)


@pytest.mark.parametrize(
    "around",
    [
        lambda svm: make_pipeline(MinMaxScaler(), encoder(), svm),
        lambda svm: make_pipeline(MinMaxScaler(), make_pipeline(encoder(), svm)),
        lambda svm: GridSearchCV(
            make_pipeline(encoder(), svm), {"linearsvc__C": [1.0]}, cv=2
        ),
    ],
    ids=["pipeline", "nested", "search"],
)
def test_a_linear_svm_at_the_end(around):
    model = around(LinearSVC(C=10, max_iter=10_000)).fit(SINGLE, LABELS)
    assert_classifies(model, SINGLE, confidence="decision_function")


def test_a_pipeline_that_ends_with_a_code(rows):
    assert_codes(make_pipeline(StandardScaler(), encoder()).fit(rows), rows)


# ---- classifiers --------------------------------------------------------------------

CLASSES = {
    "integers": ([3, 7, 11], np.int64),
    "two integers": ([-1, 1, 1], np.int64),
    "strings": (["no", "perhaps", "yes"], None),
    "two objects": (np.array(["no", "ja", "ja"], dtype=object), None),
    "booleans": ([False, True, True], np.int64),
    "floats": ([0.0, 1.0, 2.0], np.int64),
    "bytes of numbers": (np.array([0, 1, 255], np.uint8), np.int64),
}


@pytest.mark.parametrize(("classes", "kind"), CLASSES.values(), ids=CLASSES)
def test_labels_and_probabilities(classes, kind, rows):
    y = np.asarray(classes)[LABELS]
    assert_classifies(FineTunedClassifier(encoder(), **TUNING).fit(rows, y), rows, kind)


def test_a_sigmoid_for_each_class(rows):
    network = FineTunedClassifier(encoder(), output="sigmoid", **TUNING)
    assert_classifies(network.fit(rows, LABELS), rows)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_of_all_activations(activation, rows):
    network = FineTunedClassifier(encoder(StackedCAE, activation=activation), **TUNING)
    assert_classifies(network.fit(rows, LABELS), rows)


ENCODERS = {
    "preprocessing": make_pipeline(StandardScaler(), PCA(5), encoder(), encoder()),
    "stack": make_pipeline("passthrough", encoder(StackedCAE)),
    "RBM": make_pipeline(MinMaxScaler(), BernoulliRBM(5, n_iter=3, random_state=0)),
    "frozen": FrozenEstimator(make_pipeline(StandardScaler(), encoder())),
    "partly frozen": make_pipeline(FrozenEstimator(StandardScaler()), encoder()),
    "union": make_pipeline(
        FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]), encoder()
    ),
}


@pytest.mark.parametrize("inside", ENCODERS.values(), ids=ENCODERS)
def test_encoders_of_a_network(inside, rows):
    network = FineTunedClassifier(fit_frozen(inside, rows), **TUNING)
    assert_classifies(network.fit(rows, LABELS), rows)


def fit_frozen(inside, X):
    """Fit what a fit will leave alone."""
    first = inside if isinstance(inside, FrozenEstimator) else inside[0]
    if isinstance(first, FrozenEstimator):
        first.estimator.fit(X)
    return inside


def test_a_network_with_preprocessing_inside_of_a_pipeline(rows):
    network = FineTunedClassifier(make_pipeline(StandardScaler(), encoder()), **TUNING)
    assert_classifies(make_pipeline(PCA(5), network).fit(rows, LABELS), rows)


def test_a_network_is_what_it_was_fitted_as(rows):
    network = FineTunedClassifier(encoder(activation="tanh"), **TUNING).fit(
        rows, LABELS
    )
    network.encoder_.fit(rows[::-1])
    network.set_params(encoder=encoder(activation="relu"))
    assert_classifies(network, rows)


def test_inside_of_an_ensemble(rows):
    network = FineTunedClassifier(make_pipeline(StandardScaler(), encoder()), **TUNING)
    ensemble = StackingClassifier([("network", network)], cv=2).fit(rows, LABELS)
    assert_classifies(ensemble, rows)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_options_of_skl2onnx(n_classes, rows):
    y = np.array(["a", "b", "c"])[np.minimum(LABELS, n_classes - 1)]
    network = FineTunedClassifier(encoder(), **TUNING).fit(rows, y)
    raw = {"zipmap": False, "raw_scores": True}
    _, scores = run(to_onnx(network, rows, options={id(network): raw}), rows)
    outputs = network.decision_function(rows)
    assert_same(scores, np.c_[-outputs, outputs] if n_classes == 2 else outputs)
    without_names = {"zipmap": False, "nocl": True}
    positions, _ = run(to_onnx(network, rows, options=without_names), rows)
    assert_array_equal(network.classes_[positions], network.predict(rows))


TYPES = [
    "bool",
    "int8",
    "int32",
    "int64",
    "uint8",
    "uint64",
    "float16",
    "float64",
    "U1",
]


@pytest.mark.parametrize("labels", TYPES)
def test_options_with_labels_of_any_type(labels):
    y = np.minimum(LABELS, 1).astype(labels)
    network = FineTunedClassifier(encoder(), **TUNING).fit(SINGLE, y)
    expected = network.predict(SINGLE)
    kind = expected.dtype if labels == "U1" else np.int64
    probabilities = network.predict_proba(SINGLE)

    def outputs(**options):
        model = to_onnx(network, SINGLE[:1], options={id(network): options})
        found, *others = run(model, SINGLE)
        assert_array_equal(found, expected.astype(kind))
        return others

    assert_same(outputs(zipmap=False)[0], probabilities)
    assert_same(np.column_stack(outputs(zipmap="columns")), probabilities)
    (rows,) = outputs(zipmap=True)
    known = network.classes_.astype(kind).tolist()
    assert_allclose([[row[c] for c in known] for row in rows], probabilities, 1e-5)
    _, classes = outputs(zipmap=False, output_class_labels=True)
    assert classes.tolist() == known


@pytest.mark.parametrize("n_classes", [2, 3])
def test_positions_of_labels_that_have_no_place(n_classes):
    classes = np.array([1, 2**63, 2**64 - 1], np.uint64)
    y = classes[np.minimum(LABELS, n_classes - 1)]
    network = FineTunedClassifier(encoder(), **TUNING).fit(SINGLE, y)
    options = {"zipmap": False, "nocl": True, "output_class_labels": True}
    model = to_onnx(network, SINGLE[:1], options={id(network): options})
    positions, _, known = run(model, SINGLE)
    assert_array_equal(network.classes_[positions], network.predict(SINGLE))
    assert known.tolist() == [*range(n_classes)]


# ---- regressors ---------------------------------------------------------------------


@pytest.mark.parametrize("columns", [0, [0, 1]], ids=["one", "two"])
@pytest.mark.parametrize(
    "around",
    [
        lambda regressor: regressor,
        lambda regressor: make_pipeline(PCA(6), make_pipeline(PCA(5), regressor)),
        lambda regressor: GridSearchCV(regressor, {"max_iter": [12]}, cv=2),
    ],
    ids=["alone", "pipelines", "search"],
)
def test_values(around, columns, rows):
    inside = make_pipeline(StandardScaler(), encoder(activation="softplus"))
    regressor = around(FineTunedRegressor(inside, **HOW)).fit(rows, rows[:, columns])
    for opset in (None, 11):
        model = to_onnx(regressor, rows[:3], target_opset=opset)
        onnx.checker.check_model(model, full_check=True)
        for batch in (rows, rows[:1]):
            (values,) = run(model, batch)
            assert values.shape == regressor.predict(batch).shape
            assert_same(values, regressor.predict(batch))


def test_values_inside_of_an_ensemble(rows):
    """There skl2onnx expects a column of each."""
    network = make_pipeline(PCA(5), FineTunedRegressor(encoder(), **HOW))
    ensemble = StackingRegressor([("a", network), ("b", network[-1])], cv=2)
    (values,) = run(to_onnx(ensemble.fit(rows, rows[:, 0]), rows[:1]), rows)
    assert_same(values, ensemble.predict(rows)[:, None])


# ---- skl2onnx's own functions -------------------------------------------------------


def test_registering_again_changes_nothing():
    register_converters()
    before = skl2onnx.supported_converters()
    register_converters()
    assert skl2onnx.supported_converters() == before


def test_skl2onnx_converts_for_itself():
    network = FineTunedClassifier(encoder(), **TUNING).fit(SINGLE, LABELS)
    register_converters()
    _, probabilities = run(skl2onnx.to_onnx(network, SINGLE[:1]), SINGLE)
    found = [[row[label] for label in network.classes_] for row in probabilities]
    assert_allclose(found, network.predict_proba(SINGLE), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [(np.int64, Int64TensorType), (np.bool_, BooleanTensorType)],
    ids=["int64", "bool"],
)
@pytest.mark.parametrize("network", [False, True])
def test_other_numbers_are_taken_as_float32(network, dtype, kind):
    X = DATA.round().astype(dtype)
    model = FineTunedRegressor(encoder(), **HOW) if network else encoder()
    model.fit(X, LABELS)
    register_converters()
    types = [("X", kind([None, 8]))]
    (found,) = run(skl2onnx.convert_sklearn(model, initial_types=types), X)
    expected = model.predict(X)[:, None] if network else model.transform(X)
    assert_same(found, expected.astype(np.float32))


def test_columns_of_several_types():
    X = pd.DataFrame(SINGLE[:, :2], columns=["length", "width"])
    X["name"] = np.array(["x", "y", "z"])[LABELS]
    columns = make_column_transformer(
        (StandardScaler(), ["length", "width"]),
        (OneHotEncoder(sparse_output=False), ["name"]),
    )
    pipeline = make_pipeline(columns, encoder()).fit(X)
    register_converters()
    one = [None, 1]
    types = {"length": FloatTensorType(one), "width": FloatTensorType(one)}
    types["name"] = StringTensorType(one)
    model = skl2onnx.convert_sklearn(pipeline, initial_types=list(types.items()))
    (codes,) = session_of(model).run(None, {name: X[[name]].to_numpy() for name in X})
    assert_allclose(codes, pipeline.transform(X), atol=1e-5)


# ---- what cannot be exported --------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        encoder(),
        encoder(StackedCAE),
        make_pipeline(MinMaxScaler(), encoder()),
        FineTunedClassifier(encoder()),
    ],
    ids=["layer", "stack", "pipeline", "network"],
)
def test_unfitted(estimator):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        to_onnx(estimator, SINGLE)


@pytest.mark.parametrize("estimator", [encoder(), FineTunedRegressor(encoder())])
def test_skl2onnx_refuses_what_is_not_fitted(estimator):
    register_converters()
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        skl2onnx.to_onnx(estimator, SINGLE)


@pytest.mark.parametrize(
    "model",
    [encoder(), make_pipeline(MinMaxScaler(), encoder())],
    ids=["layer", "pipe"],
)
def test_another_number_of_features(model):
    with pytest.raises(
        ValueError, match=r"X has 7 features, but this \w+ was fitted on 8\. Pass rows"
    ):
        to_onnx(model.fit(SINGLE), SINGLE[:, :7])


def test_rows_that_are_not_numbers():
    with pytest.raises(
        ValueError,
        match=r"X must be a matrix of numbers, but: .*'a'.* call register_converters",
    ):
        to_onnx(encoder().fit(SINGLE), pd.DataFrame([["a"] * 8]))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "classifier",
    [
        CalibratedClassifierCV(FineTunedClassifier(encoder(), **TUNING), cv=2),
        make_pipeline(encoder(), CalibratedClassifierCV(LinearSVC(), cv=2)),
        CalibratedClassifierCV(make_pipeline(encoder(), GaussianNB()), cv=2),
        OneVsRestClassifier(CalibratedClassifierCV(LinearSVC(), cv=2)),
    ],
    ids=["network", "pipeline", "without scores", "one-vs-rest"],
)
def test_calibrated_probabilities(classifier, n_classes):
    y = np.minimum(LABELS, n_classes - 1)
    assert_classifies(classifier.fit(SINGLE, y), SINGLE)


NETWORK = FineTunedClassifier(encoder(), **TUNING)
PIPELINE = make_pipeline(StandardScaler(), NETWORK)


@pytest.mark.parametrize(
    ("classifier", "words"),
    [
        (CalibratedClassifierCV(NETWORK, method="isotonic", cv=2), "'isotonic'.*Take"),
        (CalibratedClassifierCV(NETWORK, method="temperature", cv=2), "'temperature'"),
        (CalibratedClassifierCV(PIPELINE, cv=2), "around a Pipeline, .* labels would"),
        (
            CalibratedClassifierCV(GridSearchCV(NETWORK, {"tol": [0.5]}, cv=2), cv=2),
            "around a GridSearchCV",
        ),
        (CalibratedClassifierCV(OneVsRestClassifier(PIPELINE), cv=2), "a Pipeline"),
        (CalibratedClassifierCV(BaggingClassifier(PIPELINE, 2), cv=2), "a Pipeline"),
    ],
    ids=["isotonic", "temperature", "pipeline", "search", "one-vs-rest", "bagging"],
)
@pytest.mark.filterwarnings("ignore:Since .* does not appear to accept sample_weight")
@pytest.mark.parametrize("around", ["nothing", "pipeline", "one-vs-rest", "bagging"])
def test_calibrations_that_would_be_others(classifier, words, around):
    model = {
        "nothing": classifier,
        "pipeline": make_pipeline(StandardScaler(), classifier),
        "one-vs-rest": OneVsRestClassifier(classifier),
        "bagging": BaggingClassifier(classifier, 2),
    }[around]
    with pytest.raises(ValueError, match=words):
        to_onnx(model.fit(SINGLE, LABELS), SINGLE)


LARGE = np.array([0, 5, 2**63], np.uint64)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (LARGE, r"The largest label is 9223372036854775808, but ONNX .* above 9223"),
        (LARGE[[0, 2, 2]], r"The largest label is 9223372036854775808"),
        (LARGE.astype(float), r"The largest label is 9223372036854775808.*nocl=True"),
        (
            np.arange(3).astype("M8[D]"),
            r"of type datetime64\[D\], but ONNX has strings",
        ),
    ],
    ids=["uint64", "two", "float64", "dates"],
)
@pytest.mark.parametrize("zipmap", [None, True, False, "columns"])
def test_labels_that_have_no_place(classes, words, zipmap):
    network = FineTunedClassifier(encoder(), **TUNING).fit(SINGLE, LABELS)
    network.classes_ = np.unique(classes)  # a fit may refuse the last ones
    options = None if zipmap is None else {id(network): {"zipmap": zipmap}}
    with pytest.raises(ValueError, match=words):
        to_onnx(network, SINGLE[:1], options=options)


@pytest.mark.parametrize(
    "classifier",
    [
        FineTunedClassifier(encoder(), **TUNING),
        make_pipeline(StandardScaler(), FineTunedClassifier(encoder(), **TUNING)),
        make_pipeline(encoder(), LogisticRegression()),
    ],
    ids=["network", "pipeline", "regression"],
)
def test_dictionaries_of_float64(classifier):
    classifier.fit(DATA, LABELS)
    with pytest.raises(ValueError, match=r"zipmap=True makes a dictionary .* float32"):
        to_onnx(classifier, DATA, options={"zipmap": True})


def test_skl2onnx_refuses_dictionaries_of_float64():
    network = FineTunedClassifier(encoder(), **TUNING).fit(DATA, LABELS)
    register_converters()
    with pytest.raises(ValueError, match=r'or take zipmap=False or zipmap="columns"'):
        skl2onnx.to_onnx(network, DATA[:1])


def test_columns_without_names():
    network = FineTunedClassifier(encoder(), **TUNING).fit(SINGLE, LABELS)
    options = {id(network): {"zipmap": "columns", "nocl": True}}
    with pytest.raises(ValueError, match=r'zipmap="columns" names .* nocl=True leaves'):
        to_onnx(network, SINGLE, options=options)


def test_text_is_refused_by_its_type():
    register_converters()
    types = [("X", StringTensorType([None, 8]))]
    with pytest.raises(
        RuntimeError,
        match=r"SkcaeContractiveAutoencoder .* wrong type .*StringTensorType",
    ):
        skl2onnx.convert_sklearn(encoder().fit(SINGLE), initial_types=types)


@pytest.mark.parametrize("export", [register_converters, lambda: to_onnx(None, None)])
def test_without_skl2onnx(export, monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(
        ImportError,
        match=r'needs skl2onnx; install it with pip install "skcae\[onnx\]"',
    ):
        export()


@pytest.mark.parametrize("is_around", [True, False])
@pytest.mark.parametrize(
    "step",
    [OrdinalEncoder(), KBinsDiscretizer(2, encode="ordinal"), StandardScaler()],
    ids=lambda step: type(step).__name__,
)
def test_what_skl2onnx_gives_in_another_precision_is_cast(step, is_around):
    """As it is by steps that give float32 whatever they take."""
    X = np.random.default_rng(0).integers(0, 3, (60, 4)).astype(float)
    inside = make_pipeline(step, encoder())
    if is_around:
        model = inside.fit(X)
        expected = model.transform(X)
    else:
        model = FineTunedClassifier(inside, **HOW).fit(X, X[:, 0] > 1)
        expected = model.predict_proba(X)
    options = None if is_around else {"zipmap": False}
    session = InferenceSession(to_onnx(model, X, options=options).SerializeToString())
    assert_allclose(session.run(None, {"X": X})[-1], expected, rtol=1e-6, atol=1e-7)
