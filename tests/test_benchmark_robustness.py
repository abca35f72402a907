"""The study of robustness: its classifiers as modules, its choice, and its rows."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.svm import LinearSVC

from benchmarks.studies import classifiers
from benchmarks.studies import robustness as study
from benchmarks.studies.study import Split
from skcae import ContractiveAutoencoder, FineTunedClassifier

X = np.random.default_rng(0).random((60, 9))
Y = X[:, :3].argmax(1)


def as_array(module, rows):
    with torch.no_grad():
        return module(torch.as_tensor(rows)).numpy()


@pytest.mark.parametrize("model", ["raw", "CAE", "RBM"])
@pytest.mark.parametrize("rows", [X, 3 * X - 1])
def test_modules_are_the_encoders(model, rows):
    encoder = study.encoder_of(model, 0.1, rows, 0)
    codes = rows if model == "raw" else encoder.fit(rows).transform(rows)
    module = classifiers.module_of(None if model == "raw" else encoder)
    assert_allclose(as_array(module, rows), codes, atol=1e-12)


@pytest.mark.parametrize("y", [Y, Y > 0])
@pytest.mark.filterwarnings("ignore")
def test_modules_are_the_classifiers(y, monkeypatch):
    monkeypatch.setattr(classifiers, "RATES", (0.1,))
    y = y.astype(int)
    cae = ContractiveAutoencoder(6, random_state=0).fit(X)
    (scores,) = classifiers.networks_on(cae, X, y, 0)
    network = FineTunedClassifier(
        FrozenEstimator(cae), learning_rate=0.1, random_state=0
    ).fit(X, y)
    assert classifiers.error(scores, X, y) == pytest.approx(
        100 * (1 - network.score(X, y))
    )
    assert as_array(scores, X).shape == (60, y.max() + 1)
    monkeypatch.setattr(classifiers, "STRENGTHS_OF_SVM", (100,))
    (scores,) = classifiers.svms_on(None, X, y)
    H = (X - X.mean(0)) / np.sqrt(X.var(0).sum())
    svm = LinearSVC(C=100).fit(H, y)
    found = as_array(scores, X)
    expected = svm.decision_function(H)
    found = found if y.max() > 1 else found[:, 1]
    assert_allclose(found, expected, atol=1e-9)


def test_the_choice_is_the_strongest_of_equal_error():
    found = [(10, "weak"), (14, "middle"), (12, "strong"), (20, "too strong")]
    assert study.strongest(found, 13)[1] == "strong"
    assert study.strongest(found, 5)[1] == "weak"


def test_only_square_images_are_moved():
    assert study.side_of(X) == 3
    assert study.side_of(2 * X) is None
    assert study.side_of(X[:, :8]) is None
    assert [*study.strange_rows(X, 0)] == list(study.STRANGE)
    strange = study.strange_rows(2 * X, 0)
    assert [*strange] == ["drawn apart"]
    # Each column has what it had, in another order.
    assert_array_equal(np.sort(strange["drawn apart"], 0), np.sort(2 * X, 0))
    assert (strange["drawn apart"] != 2 * X).mean() > 0.9


@pytest.mark.filterwarnings("ignore")
def test_a_run_measures_all_and_chooses_without_test_rows(monkeypatch):
    monkeypatch.setattr(study, "WIDTH", 8)
    monkeypatch.setattr(study, "LEVELS", {"AE": (0.0,), "CAE": (0.1, 1.0)})
    data = Split(X[:40], X[40:], Y[:40], Y[40:])
    trial = {"model": "CAE", "classifier": study.CODES}
    row = study.run(data, 0, trial)
    strengths = [f"{kind} {s}" for kind, each in study.KINDS.items() for s in each]
    assert {"clean", "search", *strengths, *study.STRANGE} <= set(row)
    assert all(0 <= row[name] <= 100 for name in ("clean", "search", *strengths))
    assert row["PGD 0.2"] >= row["PGD 0.05"] >= row["clean"]
    blind = Split(data.X, None, data.y, None)
    chosen = study.chosen(blind, 0, *trial.values())
    assert (row["held out"], row["level"]) == chosen[:2]


def test_the_report_says_what_is_more_than_the_plain_autoencoder():
    names = [f"{kind} {s}" for kind, each in study.KINDS.items() for s in each]
    names += ["clean", "PGD 0", "search", "search alone", *study.STRANGE]
    rows = [
        {
            **trial,
            "set": name,
            "seed": "0",
            **dict.fromkeys(names, str(k + 2 * (trial["model"] == "CAE"))),
        }
        for trial in study.trials(small=True)
        for k, name in enumerate(("a", "b"))
    ]
    for row in rows[1::2]:  # of the set "b", which has no images
        row |= {name: "nan" for name in names if name.startswith(study.OF_IMAGES)}
    text, figure = study.report(rows)
    assert "| AE | 0.5 | 0.5 | 0.5 | 0.0 | 0.0 | 0.0 | 0.5 |" in text
    assert "| CAE | **2.0 ± 0.0** | **2.0 ± 0.0** | **2.0 ± 0.0** | 2.0 |" in text
    assert "| b | 2.0 | 2.0 | 2.0 |  |  |  | 2.0 | 2.0 |" in text
    panel = figure.axes[-1]
    assert_allclose(panel.lines[0].get_ydata(), 2)
