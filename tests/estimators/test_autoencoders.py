"""The autoencoders of one layer as their users meet them."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder
from skcae._core.data import threads
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae.activations import ACTIVATIONS
from tests import oracles
from tests.estimators.autoencoders import CONFIGURATIONS, LOSSES, assert_same_model

# ---- the model ------------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_methods_are_what_the_formulas_say(configuration, small_weighted, unit_data):
    X = unit_data
    model = small_weighted(**configuration).fit(X)
    phi = oracles.ACTIVATIONS[model.activation]
    H = phi(torch.from_numpy(X @ model.components_.T + model.intercept_hidden_)).numpy()
    V = model.components_ if model.tied_weights else model.decoder_components_
    Z = H @ V + model.intercept_visible_
    if model.loss == "squared_error":
        reconstruction, loss = Z, ((Z - X) ** 2).sum(1)
    else:
        reconstruction = 1 / (1 + np.exp(-Z))
        loss = -(X * np.log(reconstruction) + (1 - X) * np.log(1 - reconstruction))
        loss = loss.sum(1)
    assert_allclose(model.transform(X), H, rtol=1e-12)
    assert_allclose(model.inverse_transform(H), reconstruction, rtol=1e-12)
    assert_allclose(model.score_samples(X), -loss, rtol=1e-10)
    assert model.score(X) == pytest.approx(-loss.mean())
    assert model.score(X, sample_weight=X[:, 0]) == pytest.approx(
        -np.average(loss, weights=X[:, 0])
    )
    assert hasattr(model, "decoder_components_") != model.tied_weights


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_without_a_penalty_it_is_the_plain_autoencoder(activation, loss, unit_data):
    """λ = 0 against an autoencoder written with torch's own modules."""
    X = torch.from_numpy(unit_data)
    model = ContractiveAutoencoder(
        6,
        jacobian_penalty=0.0,
        bias_spread=0.0,
        activation=activation,
        loss=loss,
        learning_rate=0.01,
        learning_rate_schedule="constant",
        max_iter=15,
        tol=0.0,
        n_iter_no_change=15,
        random_state=3,
    )
    with pytest.warns(ConvergenceWarning, match="max_iter=15"):
        model.fit(unit_data)

    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max)
    draw = torch.rand(
        (6, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    encoder = torch.nn.Linear(8, 6, dtype=torch.float64)
    visible = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        encoder.weight.copy_((2 * draw - 1) * (6 / 14) ** 0.5)
        encoder.bias.zero_()
    optimizer = torch.optim.Adam([*encoder.parameters(), visible], lr=0.01)
    for _ in range(15):
        optimizer.zero_grad()
        h = oracles.ACTIVATIONS[activation](encoder(X))
        z = h @ encoder.weight + visible
        if loss == "squared_error":
            value = torch.nn.functional.mse_loss(z, X, reduction="sum") / len(X)
        else:
            y = torch.sigmoid(z)
            value = torch.nn.functional.binary_cross_entropy(y, X, reduction="sum")
            value = value / len(X)
        value.backward()
        optimizer.step()
    assert_allclose(model.components_, encoder.weight.detach(), rtol=1e-9, atol=1e-12)
    assert_allclose(model.intercept_hidden_, encoder.bias.detach(), atol=1e-11)
    assert_allclose(model.intercept_visible_, visible.detach(), atol=1e-11)


def test_a_linear_autoencoder_finds_the_subspace_of_pca():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) @ (3 * rng.normal(size=(3, 10)))
    X = X - X.mean(0) + 0.05 * rng.normal(size=X.shape)
    model = ContractiveAutoencoder(
        3,
        activation="identity",
        jacobian_penalty=0.0,
        max_iter=400,
        random_state=0,
    ).fit(X)
    pca = PCA(3).fit(X)
    angles = subspace_angles(model.components_.T, pca.components_.T)
    assert np.degrees(angles.max()) < 0.5
    residual = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum(1).mean()
    assert -model.score(X) < 1.01 * residual


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softplus", "elu"])
def test_the_hessian_penalty_flattens_the_encoder(
    activation, small_contractive, unit_data
):
    def curvature(strength):
        model = small_contractive(
            activation=activation, hessian_penalty=strength, max_iter=200, tol=1e-3
        ).fit(unit_data)
        parameters = {
            name: torch.from_numpy(getattr(model, f"{name}_"))
            for name in ("components", "intercept_hidden")
        }
        X = torch.from_numpy(unit_data)
        return float(oracles.squared_hessian_norm(parameters, X, activation).mean())

    assert curvature(3.0) < 0.7 * curvature(0.0)


def test_cross_entropy_in_a_grid_search_behind_a_scaler(digits):
    X, y = digits
    pipeline = Pipeline(
        [
            ("scale", MinMaxScaler()),
            ("code", ContractiveAutoencoder(16, loss="cross_entropy", max_iter=20)),
            ("svm", LinearSVC()),
        ]
    ).set_params(code__tol=0.1, code__random_state=0)
    grid = {"code__jacobian_penalty": [0.0, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(16 * X[:400], y[:400])
    assert search.best_score_ > 0.6


# ---- scikit-learn around it -----------------------------------------------------


def test_threads_change_nothing_but_rounding(small, digits, monkeypatch):
    monkeypatch.setattr(threads, "MULTIPLICATIONS_PER_THREAD", 1)
    take_step, seen = ReconstructionLearner.take_step, []

    def watched(self, *arguments):
        seen.append(torch.get_num_threads())
        take_step(self, *arguments)

    monkeypatch.setattr(ReconstructionLearner, "take_step", watched)
    X = digits[0][:400]
    fits = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        fits.append(small(n_components=64).fit(X))
    torch.set_num_threads(1)
    assert set(seen) == {1, 2}
    assert_same_model(*fits, rtol=1e-6, atol=1e-9)


def test_grid_search_over_the_penalty_in_parallel(digits):
    X, y = digits
    cae = ContractiveAutoencoder(16, max_iter=20, tol=0.1, random_state=0)
    results = []
    for n_jobs in (1, 2):
        search = GridSearchCV(
            make_pipeline(cae, LinearSVC(random_state=0)),
            {"contractiveautoencoder__jacobian_penalty": [0.0, 0.1, 1.0]},
            cv=2,
            n_jobs=n_jobs,
            error_score="raise",
        ).fit(X[:300], y[:300])
        results.append(search)
    one, two = results
    assert_allclose(
        one.cv_results_["mean_test_score"],
        two.cv_results_["mean_test_score"],
        rtol=1e-9,
    )
    assert_allclose(
        one.best_estimator_[0].components_,
        two.best_estimator_[0].components_,
        rtol=1e-9,
    )
