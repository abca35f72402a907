"""The manifold tangent classifier, and the same penalty on a regressor."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, PolynomialFeatures, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from torch.func import jacrev, vmap

from skcae import (
    ConvolutionalCAE,
    FineTunedClassifier,
    FineTunedRegressor,
    StackedCAE,
)
from skcae._encoders import tangents as tangents_of_encoders
from skcae.inspection import tangent_vectors
from tests import oracles
from tests.estimators.finetuned import (
    ENCODERS,
    HOW,
    assert_same_network,
    basic,
    classifier,
    contractive,
    fitted_state,
    rbm,
    regressor,
    same_network,
    tuned,
)
from tests.test_callbacks import Recorder

penalised = partial(classifier, tangent_penalty=0.5, n_tangents=2)
penalised_regressor = partial(regressor, tangent_penalty=0.5, n_tangents=2)
both = pytest.mark.parametrize(
    "make", [penalised, penalised_regressor], ids=["classifier", "regressor"]
)


@pytest.fixture
def X(unit_data):
    return unit_data


@pytest.fixture
def y(X):
    """Labels of three classes that the data tells."""
    return X[:, :3].argmax(1)


@pytest.fixture
def weights():
    return np.random.default_rng(1).uniform(0.5, 2.0, 40)


@pytest.fixture
def sizes(monkeypatch):
    """The shapes of all tangents that are computed."""
    found, compute = [], tangents_of_encoders.right_singular_vectors

    def spy(*arguments, **how):
        tangents = compute(*arguments, **how)
        found.append(tuple(tangents.shape))
        return tangents

    monkeypatch.setattr(tangents_of_encoders, "right_singular_vectors", spy)
    return found


def network(parameters, names, x):
    """Return z of one row, in plain torch."""
    *hidden, (W, b) = parameters
    for name, (V, c) in zip(names, hidden, strict=True):
        x = oracles.ACTIVATIONS[name](V @ x + c)
    return W @ x + b


# ---- the whole fit --------------------------------------------------------------


KINDS = ["two classes", "three classes", "one versus rest", "linear", "values"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_formula_by_automatic_differentiation(kind, X, y, weights):
    """Jacobians, their singular vectors, the objective and its steps, all naive."""
    names = ["tanh", "sigmoid"]
    encoders = [contractive(activation="tanh"), basic(n_components=5)]
    frozen = FrozenEstimator(make_pipeline(StandardScaler(), *encoders).fit(X))
    y = {"two classes": y % 2, "values": X[:, 0] - X[:, 1]}.get(kind, y)
    loss, output, T = {
        "two classes": (
            torch.nn.functional.binary_cross_entropy_with_logits,
            torch.sigmoid,
            np.reshape(y, (-1, 1)),
        ),
        "three classes": (
            torch.nn.functional.cross_entropy,
            lambda z: torch.softmax(z, 0),
            np.eye(3)[y.astype(int)],
        ),
        "one versus rest": (
            torch.nn.functional.binary_cross_entropy_with_logits,
            torch.sigmoid,
            np.eye(3)[y.astype(int)],
        ),
        "linear": (
            torch.nn.functional.cross_entropy,
            lambda z: z,
            np.eye(3)[y.astype(int)],
        ),
        "values": (torch.nn.functional.mse_loss, lambda z: z, y.reshape(-1, 1)),
    }[kind]
    of_kind = {
        "one versus rest": {"output": "sigmoid"},
        "linear": {"tangent_output": "linear"},
    }
    model = (penalised_regressor if kind == "values" else penalised)(
        frozen,
        **of_kind.get(kind, {}),
        learning_rate_schedule="constant",
        encoder_rate_factor=1.0,
        alpha=0.0,
        max_iter=15,
        n_iter_no_change=15,
        n_tangents=3,
    )
    with pytest.warns(ConvergenceWarning, match="max_iter=15"):
        model.fit(X, y, sample_weight=weights)

    rows = torch.from_numpy(frozen.estimator[0].transform(X))
    layers = [
        (torch.from_numpy(step.components_), torch.from_numpy(step.intercept_hidden_))
        for step in frozen.estimator[1:]
    ]

    def code(x):
        for name, (V, c) in zip(names, layers, strict=True):
            x = oracles.ACTIVATIONS[name](V @ x + c)
        return x

    tangents = torch.linalg.svd(vmap(jacrev(code))(rows)).Vh[:, :3]
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    n_outputs = T.shape[1]
    draw = torch.rand(
        (n_outputs, 5),
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    # Classes begin at their shares, and values are in units of their deviation.
    shares, one = torch.from_numpy(np.average(T, axis=0, weights=weights)), 1.0
    if kind == "values":
        one = np.average((T[:, 0] - float(shares)) ** 2, weights=weights) ** 0.5
        T = (T - shares.numpy()) / one
    start = dict.fromkeys(["two classes", "one versus rest"], shares.logit())
    start |= dict.fromkeys(["three classes", "linear"], shares.log())
    last = (
        (2 * draw - 1) * (6 / (n_outputs + 5)) ** 0.5,
        start.get(kind, torch.zeros(n_outputs)),
    )
    parameters = [
        (V.clone().requires_grad_(), c.double().clone().requires_grad_())
        for V, c in [*layers, last]
    ]
    optimizer = torch.optim.Adam([p for pair in parameters for p in pair], lr=0.01)
    targets, w = torch.from_numpy(T.astype(float)), torch.from_numpy(weights)
    for _ in range(15):
        optimizer.zero_grad()
        Z = vmap(lambda x: network(parameters, names, x))(rows)
        losses = loss(Z, targets, reduction="none").reshape(40, -1).sum(1)
        J = vmap(jacrev(lambda x: output(network(parameters, names, x))))(rows)
        penalties = (J @ tangents.mT).square().sum((1, 2))
        value = (w / w.mean() * (losses + 0.5 * penalties)).mean()
        value.backward()
        optimizer.step()
    if kind == "values":
        W, b = parameters[-1]
        parameters[-1] = (one * W, one * b + shares)
    objective = one**2 * float(value.detach())
    assert model.loss_curve_[-1] == pytest.approx(objective, rel=1e-9)
    penalty = one**2 * float((w / w.mean() * 0.5 * penalties).mean().detach())
    assert model.penalty_curve_[-1] == pytest.approx(penalty, rel=1e-9)
    for k, (W, b) in enumerate(parameters):
        assert_allclose(model.coefs_[k].T, W.detach(), rtol=1e-7, atol=1e-10)
        assert_allclose(model.intercepts_[k], b.detach(), rtol=1e-7, atol=1e-10)


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
@both
@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_every_encoder(kind, make, X, y, sizes):
    """Fitted on the way or before, with the tangents that `inspection` gives."""
    model = make(ENCODERS[kind](X), max_iter=12).fit(X, y)
    before, sizes[:] = list(sizes), []
    tangents = tangent_vectors(model.encoder_, X, 2)
    assert before == sizes == [tangents.shape]
    again = make(FrozenEstimator(model.encoder_), max_iter=12).fit(X, y)
    assert_same_network(again, model, rtol=1e-12)
    plain = make(FrozenEstimator(model.encoder_), tangent_penalty=0.0).fit(X, y)
    assert not same_network(model, plain)


# ---- limits ---------------------------------------------------------------------


@pytest.mark.parametrize("cls", [FineTunedClassifier, FineTunedRegressor])
def test_no_penalty_is_a_fit_without_and_computes_no_tangents(cls, X, y, sizes):
    without = tuned(cls).fit(X, y)
    # Nor does it matter how many.
    with_none = tuned(cls, tangent_penalty=0.0, n_tangents=10_000).fit(X, y)
    assert sizes == []
    assert same_network(with_none, without)
    assert_array_equal(with_none.loss_curve_, without.loss_curve_)


@pytest.mark.parametrize("n_classes", [2, 10])
def test_a_large_penalty_makes_predictions_flat_along_the_tangents(n_classes, digits):
    """By differences of the fitted network's probabilities."""
    X, y = digits
    X, y = X[:400], y[:400] % n_classes
    encoder = FrozenEstimator(
        contractive(
            n_components=32, loss="cross_entropy", batch_size=100, max_iter=30
        ).fit(X)
    )
    U = tangent_vectors(encoder, X, 6)
    tangents, others = U[:, :4], U[:, 4:]
    how = {"n_tangents": 4, "max_iter": 60, "learning_rate": 0.02}
    how |= {"encoder_rate_factor": 1.0, "alpha": 0.0}
    models = {
        strength: classifier(encoder, tangent_penalty=strength, **how).fit(X, y)
        for strength in (0.0, 1.0, 1e3)
    }

    def slopes(model, directions, step=1e-4):
        """‖(∂o/∂x) u‖², mean over rows and directions."""
        changes = [
            model.predict_proba(X + step * u) - model.predict_proba(X - step * u)
            for u in directions.transpose(1, 0, 2)
        ]
        return (np.square(changes) / (2 * step) ** 2).sum(2).mean()

    along = {strength: slopes(model, tangents) for strength, model in models.items()}
    assert along[1.0] < 0.3 * along[0.0]
    assert along[1e3] < 1e-3 * along[0.0]
    # Other directions are left to tell the classes apart.
    beside = {strength: slopes(model, others) for strength, model in models.items()}
    assert beside[1.0] / along[1.0] > 1.3 * beside[0.0] / along[0.0]
    assert models[1.0].score(X, y) > 0.8


@both
def test_tangents_beyond_the_rank_do_not_count(make, X, y):
    """Of a code behind one unit, which moves in one direction only."""
    bottleneck = StackedCAE((6, 1, 4), activation="tanh", bias_spread=0, **HOW).fit(X)
    one, all_four = (
        make(FrozenEstimator(bottleneck), tangent_penalty=3.0, n_tangents=n).fit(X, y)
        for n in (1, 4)
    )
    assert_same_network(all_four, one, rtol=1e-9)
    plain = make(FrozenEstimator(bottleneck), tangent_penalty=0.0).fit(X, y)
    assert not same_network(one, plain)


# ---- weights, held-out rows, data of all kinds ----------------------------------


@both
def test_weights_are_repetitions_in_full_batches(make, X, y):
    encoder = FrozenEstimator(contractive().fit(X))
    counts = np.random.default_rng(2).integers(0, 3, 40)
    weighted = make(encoder, batch_size=1000).fit(X, y, sample_weight=counts)
    repeated = make(encoder, batch_size=1000).fit(X.repeat(counts, 0), y.repeat(counts))
    assert_same_network(weighted, repeated, rtol=1e-6, atol=1e-9)


def test_class_weights_are_sample_weights(X, y):
    encoder = FrozenEstimator(contractive().fit(X))
    by_class = penalised(encoder, class_weight="balanced").fit(X, y)
    weights = compute_sample_weight("balanced", y)
    by_row = penalised(encoder).fit(X, y, sample_weight=weights)
    assert_same_network(by_class, by_row, rtol=1e-9)


@both
def test_only_rows_that_are_trained_on_have_tangents(make, X, y, weights, sizes):
    encoder = FrozenEstimator(contractive().fit(X))
    make(encoder).fit(X, y, X_unlabeled=X[:7])
    make(encoder).fit(X, y, sample_weight=np.where(np.arange(40) < 6, 0.0, weights))
    held_out = make(encoder, early_stopping=True, validation_fraction=0.25)
    held_out.fit(X, y)
    assert sizes == [(40, 2, 8), (34, 2, 8), (30, 2, 8)]
    # The error that is watched is the plain one, of the network that is kept.
    assert len(held_out.validation_error_curve_) == held_out.n_iter_
    given = make(encoder, early_stopping=True).fit(X, y, X_val=X[:9], y_val=y[:9])
    answers = given.predict(X[:9])
    wrong = answers != y[:9] if is_classifier(given) else (answers - y[:9]) ** 2
    assert np.mean(wrong) == pytest.approx(given.validation_error_curve_.min())


@both
@pytest.mark.parametrize("n_rows", [None, 12])
def test_rows_left_out_do_not_matter(n_rows, make, X, y, weights):
    """The tangents of a batch are those of its rows, whatever the subset."""
    encoder = FrozenEstimator(contractive().fit(X))
    kept = np.arange(40) % 3 > 0
    model = make(encoder, batch_size=7, n_tangent_rows=n_rows)
    left_out = clone(model).fit(
        X, y, sample_weight=weights * kept, X_unlabeled=X[:9] / 2
    )
    alone = clone(model).fit(
        X[kept], y[kept], sample_weight=weights[kept], X_unlabeled=X[:9] / 2
    )
    assert_same_network(left_out, alone, rtol=1e-9)


@both
@pytest.mark.parametrize("front", [[], [MaxAbsScaler()]], ids=["plain", "scaled"])
def test_sparse_input_gives_the_same_model(front, make, X, y):
    X = np.where(X > 0.4, X, 0.0)
    encoder = FrozenEstimator(make_pipeline(*front, contractive()).fit(X))
    dense = make(encoder, batch_size=9).fit(X, y)
    same = make(encoder, batch_size=9).fit(sparse.csr_array(X), y)
    assert_same_network(same, dense, rtol=1e-9)


@both
def test_float32_and_float64_stay(make, X, y):
    encoder = FrozenEstimator(contractive().fit(X))
    single = make(encoder).fit(X.astype("f4"), y)
    double = make(encoder).fit(X, y)
    assert {W.dtype for W in single.coefs_} == {np.dtype("f4")}
    assert {W.dtype for W in double.coefs_} == {np.dtype("f8")}
    assert_same_network(single, double, rtol=1e-3, atol=1e-4)


# ---- rows of their own ----------------------------------------------------------


@both
def test_rows_that_have_tangents_are_drawn_from_all_there_are(make, X, y, sizes):
    encoder = FrozenEstimator(contractive().fit(X))
    few = make(encoder, n_tangent_rows=5).fit(X[:9], y[:9], X_unlabeled=X[9:])
    every = make(encoder, n_tangent_rows=99).fit(X[:9], y[:9], X_unlabeled=X[9:])
    make(encoder, n_tangent_rows=99).fit(X[:9], y[:9])
    assert sizes == [(5, 2, 8), (40, 2, 8), (9, 2, 8)]
    again = make(encoder, n_tangent_rows=99).fit(X[:9], y[:9], X_unlabeled=X[9:])
    assert_same_network(again, every, rtol=1e-12)
    others = make(encoder, n_tangent_rows=99).fit(X[:9], y[:9], X_unlabeled=X[9:] / 2)
    for model in (few, others):
        assert not same_network(model, every)


def test_predictions_are_flat_where_no_label_is(digits):
    """Along the tangents of rows without one, by differences of probabilities."""
    X, y = digits
    X, y, X_rest = X[:50], y[:50], X[50:450]
    encoder = FrozenEstimator(
        contractive(n_components=32, loss="cross_entropy", batch_size=100).fit(X_rest)
    )
    tangents = tangent_vectors(encoder, X_rest, 3).transpose(1, 0, 2)
    how = {"tangent_penalty": 3.0, "n_tangents": 3, "max_iter": 150}
    how |= {"encoder_rate_factor": 1.0, "learning_rate": 0.02, "alpha": 0.0}

    def slopes(**rows):
        model = classifier(encoder, **how, **rows).fit(X, y, X_unlabeled=X_rest)
        assert model.score(X, y) > 0.9
        changes = [
            model.predict_proba(X_rest + 1e-4 * u)
            - model.predict_proba(X_rest - 1e-4 * u)
            for u in tangents
        ]
        return np.square(changes).sum(2).mean()

    assert slopes(n_tangent_rows=300) < 0.7 * slopes()


@both
@pytest.mark.parametrize("kind", ["plain", "scaled", "convolution"])
def test_such_rows_may_be_of_any_kind(kind, make, X, y):
    """Sparse, single, of a pipeline, and of an encoder that torch differentiates."""
    X = np.where(X > 0.4, X, 0.0)
    if kind == "convolution":
        encoder = ConvolutionalCAE(
            3, image_shape=(2, 4, 1), kernel_size=3, tol=0.5, random_state=0
        )
    else:
        front = [MaxAbsScaler()] if kind == "scaled" else []
        encoder = make_pipeline(*front, contractive())
    model = make(FrozenEstimator(encoder.fit(X)), batch_size=9, n_tangent_rows=20)

    def fitted(X):
        return clone(model).fit(X[:15], y[:15], X_unlabeled=X[15:])

    def same(a, b, **how):
        for name, array in a._named_weights().items():
            assert_allclose(array, b._named_weights()[name], **how)

    dense = fitted(X)
    same(fitted(X.astype("f4")), dense, rtol=1e-3, atol=2e-4)
    same(fitted(torch.from_numpy(X)), dense, rtol=1e-9, atol=1e-12)
    if kind != "convolution":
        same(fitted(sparse.csr_array(X)), dense, rtol=1e-9)


# ---- searches and callbacks -----------------------------------------------------


def test_a_search_over_strengths_and_numbers(X, y):
    encoder = FrozenEstimator(contractive().fit(X))
    grid = {"tangent_penalty": [0.0, 0.1, 10.0], "n_tangents": [1, 3]}
    search = GridSearchCV(classifier(encoder), grid, cv=2).fit(X, y)
    assert search.best_params_.keys() == grid.keys()
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    model = search.best_estimator_
    assert clone(model).get_params()["n_tangents"] == model.n_tangents


@both
def test_a_callback_that_returns_true_stops_fine_tuning(make, X, y):
    recorder = Recorder(stop_after=3)
    model = make(FrozenEstimator(contractive().fit(X)))
    model.set_callbacks(recorder).fit(X, y)
    assert model.n_iter_ == 3


# ---- errors ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "n_tangents", "largest"),
    [
        (contractive(), 7, 6),
        (contractive(n_components=20), 9, 8),
        (StackedCAE((10, 5), **HOW), 6, 5),
        (rbm(), 7, 6),
        (make_pipeline(contractive(), basic(n_components=4)), 5, 4),
        (make_pipeline(StandardScaler(), contractive()), 7, 6),
    ],
    ids=str,
)
def test_too_many_tangents_are_refused_before_pre_training(
    encoder, n_tangents, largest, X, y
):
    recorder = Recorder()
    model = penalised(encoder, n_tangents=n_tangents).set_callbacks(recorder)
    with pytest.raises(
        ValueError,
        match=rf"n_tangents={n_tangents} is more than the Jacobian has: "
        rf"min\(n_components, n_features\) = {largest}\.",
    ):
        model.fit(X, y)
    assert recorder.begun == []
    assert fitted_state(model) == {}
    penalised(encoder, n_tangents=largest).fit(X, y)


@both
def test_preprocessing_that_adds_columns_allows_more_tangents(make, X, y):
    """Of 8 columns it makes 44, and the code has 12."""
    encoder = make_pipeline(
        PolynomialFeatures(2, include_bias=False), contractive(n_components=12)
    )
    make(encoder, n_tangents=12).fit(X, y)
    with pytest.raises(ValueError, match=r"n_tangents=13 .* n_features\) = 12\."):
        make(encoder, n_tangents=13).fit(X, y)


@pytest.mark.parametrize("kind", ["nested", "frozen", "frozen pipeline"])
def test_too_many_tangents_are_refused_before_fine_tuning(kind, X, y):
    """Where only the fitted encoder tells, and the old model stays."""
    model = penalised(ENCODERS[kind](X)).fit(X, y)
    before = fitted_state(model)
    with pytest.raises(ValueError, match="n_tangents=7 is more than the Jacobian has"):
        model.set_params(n_tangents=7).fit(X, y)
    assert fitted_state(model) == before


def test_a_frozen_encoder_has_as_many_units_as_it_was_fitted_with(X, y):
    fitted = contractive().fit(X).set_params(n_components=1)
    penalised(FrozenEstimator(fitted), n_tangents=6).fit(X, y)


def test_an_encoder_that_cannot_be_fitted_says_so_itself(X, y):
    with pytest.raises(ValueError, match="'n_components' parameter"):
        penalised(contractive(n_components="many")).fit(X, y)
    with pytest.raises(ValueError, match="hidden_layer_sizes must be a sequence"):
        penalised(StackedCAE((), **HOW)).fit(X, y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tangent_penalty", -0.1),
        ("tangent_penalty", "much"),
        ("n_tangents", 0),
        ("n_tangent_rows", 0),
    ],
)
@both
def test_parameters_that_are_none_are_refused(name, value, make, X, y):
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        make(**{name: value}).fit(X, y)
