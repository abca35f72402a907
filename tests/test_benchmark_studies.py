"""The studies run what is missing, report what is whole, and say what they measured."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import RidgeClassifier

from benchmarks.studies import (
    convolution,
    depth,
    norm_and_error,
    overhead,
    penalty_and_size,
    study,
)
from skcae import ContractiveAutoencoder
from skcae.inspection import jacobian


def made_up(run, n_trials=2):
    """Make a study of numbers."""
    return study.Study(
        name="made_up",
        question="What is it?",
        measure="A number.",
        trials=lambda small: [{"trial": k / 2} for k in range(n_trials)],
        run=run,
        report=lambda rows: (
            study.table_of_sets({"n": study.values(rows, "n", trial=0.5)}),
            Figure(),
        ),
    )


def counted(data, seed, trial):
    return {"n": len(data.X) + seed + trial["trial"]}


@pytest.mark.filterwarnings("ignore")
def test_a_study_runs_what_is_missing_and_reports_what_is_whole(tmp_path, capsys):
    how = ["--small", "--results", str(tmp_path), "--sets", "wine", "mnist"]
    made_up(counted).main([*how, "--seeds", "2"])
    assert "mnist is left out: it needs --mnist FILE" in capsys.readouterr().err
    page = (tmp_path / "made_up.md").read_text(encoding="utf-8")
    assert "wine (2)" in page
    # 89 rows train: the second trial has 89.5 and 90.5.
    assert "| wine | 90.00 ± 6.35 |" in page
    assert (tmp_path / "made_up.png").read_bytes().startswith(b"\x89PNG")
    # Nothing is run again, and a set that lacks a trial is not reported.
    made_up(None).main([*how, "--seeds", "2"])
    records = study.Records(tmp_path / "made_up.csv")
    assert len(made_up(None).whole(records.rows, True)) == 4
    assert made_up(None, 3).whole(records.rows, True) == []


@pytest.mark.filterwarnings("ignore")
def test_a_study_of_encoders_runs(tmp_path):
    depth.STUDY.main(["--small", "--results", str(tmp_path), "--sets", "digits"])
    page = (tmp_path / "depth.md").read_text(encoding="utf-8")
    assert page.count("| 3 | 0.1 |") == 1
    assert depth.STUDY.measure in page


def test_the_small_run_writes_elsewhere():
    args = study.Study.arguments(depth.STUDY, ["--small"])
    assert study.RESULTS not in (args.results, args.results.absolute())
    assert study.Study.arguments(depth.STUDY, []).results == study.RESULTS


def test_an_interval_is_over_sets_and_wider_if_more_are_compared():
    found = {("a", "0"): 1.0, ("a", "1"): 3.0, ("b", "0"): 3.0, ("c", "0"): 4.0}
    # Means 2, 3, 4: a standard error of 1 / √3, and t(0.975, 2) = 4.303.
    assert study.cell(found) == "3.00 ± 2.48"
    assert study.change(found) == "**3.00 ± 2.48**"
    assert study.change(found, n_compared=2) == "3.00 ± 3.58"
    assert study.interval([2, 3, 4], 5)[1] == pytest.approx(9.925 / 3**0.5, rel=1e-4)
    assert study.cell({("a", "0"): 1.0}) == "1.00"


def test_the_choice_sees_training_rows_alone(digits):
    X, y = (part[:200] for part in digits)
    data = study.Split(X, None, y, None)
    seen = []

    class Shown:
        def __init__(self, n_columns):
            self.n_columns = n_columns

        def fit(self, rows):
            seen.append(len(rows))
            return self

        def transform(self, rows):
            return rows[:, : self.n_columns]

    assert study.chosen(Shown, (2, 64), data, 0) == 64
    assert seen == [160, 160]


def test_a_rule_that_carries_the_best_has_no_regret():
    def row(size, share, penalty, norm, held_out, error):
        of = {"set": "a", "seed": "0", "size": size, "share": share, "norm": norm}
        return of | {"lambda": penalty, "held_out": held_out, "error": error}

    rows = [
        row("small", 0.01, 1.0, 3.0, 5.0, 9.0),
        row("small", 0.1, 10.0, 1.0, 4.0, 9.0),
        row("two layers", 0.01, 9.0, 4.0, 7.0, 8.0),
        row("two layers", 0.1, 90.0, 3.0, 2.0, 3.0),
    ]
    lost = penalty_and_size.regrets(rows, "two layers")
    assert [found["a", "0"] for found in lost.values()] == [5.0, 0.0, 0.0]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_margins_are_those_of_the_jacobian(n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.random((30, 5)), rng.integers(n_classes, size=30)
    cae = ContractiveAutoencoder(4, max_iter=12, tol=0.5, random_state=0).fit(X)
    ridge = RidgeClassifier().fit(cae.transform(X), y)
    scores, A = ridge.decision_function(cae.transform(X)), np.atleast_2d(ridge.coef_)
    if n_classes == 2:
        A, scores = np.array([-A[0], A[0]]), np.array([-scores, scores]).T
    expected = [
        min(
            (s[c] - s[j]) / np.linalg.norm((A[c] - A[j]) @ J)
            for j in range(n_classes)
            if j != c
        )
        for s, c, J in zip(scores, y, jacobian(cae, X), strict=True)
    ]
    found = norm_and_error.margins(cae, ridge, X, y)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_bound_counts_cells():
    # Four rows 1 apart, two classes: margins of 1.5 take the two that are farther.
    X, margins = np.arange(4.0)[:, None], np.full(4, 1.5)
    expected = np.sqrt((2 * np.log(2) * 2 * 2 + 2 * np.log(20)) / 4)
    assert norm_and_error.bound(margins, X, 2) == pytest.approx(expected)


def test_errors_are_compared_where_all_can_pay_and_all_do():
    def row(encoder, seconds, error):
        of = {"set": "a", "seed": "0", "encoder": encoder, "penalty": "0.1"}
        return of | {"fit": seconds, "encode": 0.0, "error": error}

    rows = [row("dense", 1.0, 9.0), row("dense", 100.0, 5.0)]
    rows += [row("convolution", 10.0, 8.0), row("convolution", 1000.0, 2.0)]
    rows += [row("patches", 1.0, 6.0), row("patches", 100.0, 4.0)]
    found = convolution.at_equal_cost(rows, 0.1)
    least, most = ([of[n]["a", "0"] for n in of] for of in found.values())
    assert least == pytest.approx([7.0, 8.0, 5.0])
    assert most == pytest.approx([5.0, 5.0, 4.0])


@pytest.mark.parametrize("changed", overhead.SIZES)
def test_all_ways_take_the_same_penalty(changed):
    torch.manual_seed(0)
    encoder, decoder, shape = overhead.network(changed, overhead.SIZES[changed][0])
    X = torch.rand(shape)
    assert decoder(encoder(X)).shape == X.shape
    with torch.no_grad():
        of = {
            name: way(encoder, X, encoder(X)) for name, way in overhead.METHODS.items()
        }
    for estimate in of.values():
        torch.testing.assert_close(estimate, of["exact"], rtol=0.2, atol=0)
