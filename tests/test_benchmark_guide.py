"""The benchmarks behind two pages of the guide."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from benchmarks import anomalies, settings
from skcae import ContractiveAutoencoder


class Scorer:
    """Scores by one column, as a model with a parameter."""

    def __init__(self, column):
        self.column = column

    def fit(self, X):
        return self

    def score_samples(self, X):
        return X[:, self.column]


def novelties(kind, seed):
    """Normal rows of ones, and anomalies that are lower in the column of their kind."""
    rows = np.ones((4, 3))
    strange = np.full((4, 3), 2.0)
    strange[:, kind] = 0
    return rows, rows, strange


def test_a_parameter_is_chosen_on_other_anomalies_than_it_is_reported_on(monkeypatch):
    monkeypatch.setattr(anomalies, "SETS", {"set": (novelties, [1], [2])})
    models = {"model": (lambda column, seed: Scorer(column), (0, 1, 2))}
    monkeypatch.setattr(anomalies, "MODELS", models)
    assert anomalies.measure("set", 2) == {"model": (1, {0: 0.0, 1: 0.0, 2: 1.0})}


@pytest.mark.parametrize("name", anomalies.SETS)
def test_sets_of_anomalies(name):
    data, to_choose, to_report = anomalies.SETS[name]
    assert not set(to_choose) & set(to_report)
    for kind in (to_choose[0], to_report[0]):
        train, normal, strange = data(kind, 0)
        assert train.shape[1:] == normal.shape[1:] == strange.shape[1:]
        assert np.isfinite(np.concatenate([train, normal, strange])).all()
        assert not {row.tobytes() for row in train} & {r.tobytes() for r in normal}


def test_the_report_of_anomalies_has_what_was_chosen():
    found = {"contractive": (1, {1: 0.5, 3: 0.25}), "PCA": (2, {2: 0.125})}
    rows = {"λ = 0": (0, {0: 0.75}), "IsolationForest": (None, {None: 1.0})}
    values = {"contractive": (None, (1, 3)), "PCA": (None, (2,))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anomalies, "MODELS", {**values, **dict.fromkeys(rows)})
        text = anomalies.report({"set": {**found, **rows}}, 2)
    assert "| set | 0.500 (1) | 0.125 | 0.750 | 1.000 |" in text
    assert "| set | 0.500 | 0.250 |" in text


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_lambda_max_is_where_a_linear_code_ends():
    X = StandardScaler().fit_transform(np.random.default_rng(0).normal(size=(60, 4)))
    X[:, 1] += X[:, 0]
    sizes = []
    for share in (0.8, 1.2):
        model = settings.encoder(share, X, {"n_components": 3}, 0)
        # The slope of a sigmoid at 0 is a quarter of that of the identity.
        model.set_params(
            activation="identity",
            jacobian_penalty=model.jacobian_penalty / 4,
            max_iter=400,
            learning_rate=0.02,
            tol=0,
        )
        sizes.append(np.abs(model.fit(X).components_).max())
    assert isinstance(model, ContractiveAutoencoder)
    assert sizes[0] > 0.1
    assert sizes[1] < 1e-3


@pytest.mark.filterwarnings("ignore")  # of one epoch
@pytest.mark.parametrize("name", settings.SETS)
def test_the_settings_of_each_set_can_be_fitted(name):
    data, scaler, now = settings.SETS[name]
    X, _ = data()
    rows = X[:40]
    for _, other_scaler, changed in [("", scaler, now), *settings.others(name)]:
        Z = other_scaler().fit(rows).transform(rows)
        model = settings.encoder(0.01, Z, {**changed, "max_iter": 1}, 0)
        assert np.isfinite(model.fit(Z).components_).all()
