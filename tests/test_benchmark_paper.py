"""The tables of the paper: the whole commands on digits, and what they promise."""

import csv
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neural_network import BernoulliRBM

from benchmarks.paper import (
    ablations,
    all_labels,
    command,
    data,
    figures,
    finals,
    paired_tests,
    protocol,
    report,
    runs,
    search,
    table1,
    table2,
    tables,
)
from benchmarks.paper.cells import Cell, OutOfTimeError
from benchmarks.paper.models import TABLE_1, TABLE_2, WholeBatches, encoder
from benchmarks.records import Records
from skcae.persistence import load


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def cell(tmp_path):
    """The contractive autoencoder on digits, in less than a second."""
    budget = replace(command.QUICK, rungs=((4, 1), (2, 2), (1, 4)), n_confirmed=2)
    return Cell("digits", "CAE", None, tmp_path, budget, sizes=(200, 50, 60))


# ---- the commands -------------------------------------------------------------------


def test_the_tables_and_figures_on_few_rows(tmp_path, monkeypatch, capsys):
    """Each line has its row; a second call runs nothing; Table 2 needs Table 1."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "data"))
    folder = tmp_path / "quick"
    first = ["--quick", "--data", "digits", "--results", str(tmp_path)]
    with pytest.raises(SystemExit, match="no run of AE, AE"):
        figures.main(["--quick", "--results", str(tmp_path)])
    second = ["--quick", "--data", "rect", "--results", str(tmp_path)]
    monkeypatch.setattr(table2, "FOUND_ON", "digits")
    table2.main([*second, "--models", "CAE-1"])
    assert "rect CAE-1 is left out: run table1.py on digits" in capsys.readouterr().out
    table1.main(first)
    text = (folder / "table1_digits.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    kept = rows_of(folder / "table1_digits.csv")
    lines = {model + noise for model in TABLE_1 for noise in ("", " with noise")}
    assert {row["model"] for row in kept} == lines
    for line in lines:
        assert f"| {line} | – | " in text
    assert "| AE+wd with noise − CAE with noise | " in text
    capsys.readouterr()
    table1.main(first)
    assert "seconds" not in capsys.readouterr().out
    assert rows_of(folder / "table1_digits.csv") == kept

    all_labels.main(first)
    kept = rows_of(folder / "all_labels_digits.csv")
    assert [row["stage"] for row in kept] == ["search"] * 5 + ["final"] * 2
    all_labels.main(first)
    assert rows_of(folder / "all_labels_digits.csv") == kept
    text = (folder / "all_labels_digits.md").read_text(encoding="utf-8")
    assert "| MTC | " in text
    assert "CAE − MTC: " in text

    figures.main(["--quick", "--results", str(tmp_path), "--jobs=1", "--epochs=2"])
    text = (folder / "figures_digits.md").read_text(encoding="utf-8")
    for name in ("1", "2", "2_log", "3", "filters"):
        assert (folder / f"figure_{name}.png").stat().st_size > 5000
    for name in ("DAE-b", "depth 3", "CAE, ours"):
        assert f"| {name} |" in text
    (curve,) = {tuple(row["paper"] for row in rows_of(folder / "figure_1.csv")[:3])}
    assert curve == ("0.271", "", "0.289")

    table2.main(second)
    text = (folder / "table2.md").read_text(encoding="utf-8")
    assert "| rect | 2.15 / " in text
    assert " – " not in text.partition("## Against")[0]
    assert "| rect | CAE-2 | 0.56 | " in text
    assert {row["model"] for row in rows_of(folder / "table2.csv")} == set(TABLE_2)


# ---- the search ---------------------------------------------------------------------


def test_an_interrupted_search_goes_on_to_the_same_end(cell, tmp_path, monkeypatch):
    """Whichever run is interrupted, nothing is run twice and nothing else is drawn."""
    whole = search.search(cell)
    rows = [without_times(row) for row in cell.trials.rows]
    assert [int(row["n_epochs"]) for row in rows[:7]] == [1, 1, 1, 1, 2, 2, 1]
    trial, runs_left = runs.trial, [0]

    def interrupted(*arguments):
        if not runs_left[0]:
            raise KeyboardInterrupt
        runs_left[0] -= 1
        return trial(*arguments)

    monkeypatch.setattr(runs, "trial", interrupted)
    again = replace(cell, folder=tmp_path / "again")
    for _ in range(len(rows)):
        runs_left[0] = 1
        try:
            choice = search.search(again)
        except KeyboardInterrupt:
            continue
    assert choice == whole
    assert [without_times(row) for row in again.trials.rows] == rows


def without_times(row):
    return {name: value for name, value in row.items() if name != "seconds"}


@pytest.mark.parametrize("helps_up_to", [1, 2, 4])
def test_each_rung_runs_the_best_of_the_one_below(cell, monkeypatch, helps_up_to):
    """But none is run above one that has not the lowest error so far."""

    def measured(cell, setting, n_epochs, seed, noise):
        # Of each rung the errors rise with the rate of fine-tuning.
        error = setting["tuning_rate"] / 100 - min(n_epochs, helps_up_to) / 10
        return {"valid_error": 0.5 + error, "last_valid_error": 0.5, "best_epoch": 1}

    monkeypatch.setattr(runs, "trial", measured)
    search.search(cell)
    for (_, below), (n_best, above) in pairwise(cell.budget.rungs):
        best = search.best(search.rows_of(cell, below))[:n_best]
        if below > helps_up_to:
            best = []
        promoted = search.rows_of(cell, above)
        assert [r["setting"] for r in promoted] == [r["setting"] for r in best]


def test_a_model_of_one_rung_has_no_trial_above(cell, monkeypatch):
    """And the report says so."""
    measured = {"valid_error": 0.5, "last_valid_error": 0.5, "best_epoch": 1}
    monkeypatch.setattr(runs, "trial", lambda *of_a_trial: measured)
    other = replace(cell, budget=replace(cell.budget, one_rung=("RBM",)))
    of_one = replace(cell, budget=replace(cell.budget, one_rung=("RBM", "CAE")))
    search.search(of_one)
    assert {row["n_epochs"] for row in search.rows_of(cell)} == {"1"}
    search.search(other)
    assert {row["n_epochs"] for row in search.rows_of(cell)} == {"1", "2"}
    assert tables.of_one_rung([other]) == ""
    assert tables.of_one_rung([of_one]).endswith("the first rung were dropped of CAE.")


def test_the_lowest_mean_after_the_last_epoch_is_chosen(cell, monkeypatch):
    """Of the best trials, which are run again as final runs are."""
    lowest = {1: 0.2, 2: 0.1, 4: 0.1}
    last = {(2, 1): 0.3, (2, 2): 0.3, (4, 1): 0.4, (4, 2): 0.1}
    schedules = []

    def fixed(cell, setting, n_epochs, seed, noise):
        schedules.append((seed, setting["tuning_schedule"]))
        return {
            "valid_error": lowest[n_epochs],
            "last_valid_error": last.get((n_epochs, seed), 0.0),
            "best_epoch": 1,
        }

    monkeypatch.setattr(runs, "trial", fixed)
    cell = replace(cell, budget=replace(cell.budget, rungs=((2, 1), (1, 2), (1, 4))))
    choice = search.search(cell)
    assert choice.n_epochs == (4, cell.budget.n_tuning)
    assert choice.valid_error == pytest.approx(0.25)
    again = [schedule for seed, schedule in schedules if seed]
    assert again == [choice.setting["tuning_schedule"]] * 4 == ["linear"] * 4
    last[4, 2] = 0.3
    cell.trials.path.unlink()
    assert search.search(cell).n_epochs == (2, cell.budget.n_tuning)


def test_a_region_holds_its_settings_and_no_more():
    settings = [
        {**protocol.STARTS["CAE"][k], "jacobian_penalty": penalty}
        for k, penalty in ((0, 0.5), (1, 2.0))
    ]
    box = protocol.region(protocol.SPACES["CAE"], settings)
    penalty = box["jacobian_penalty"]
    assert (penalty.low, penalty.high, penalty.log) == (0.5, 2.0, True)
    assert box["training"].choices == ("adam", "sgd")
    assert box["schedule"].choices == ("linear",)
    assert (box["batch_size"].low, box["batch_size"].high) == (20, 100)


def test_first_trials_are_in_the_space():
    for model, starts in protocol.STARTS.items():
        space = protocol.SPACES[model]
        for setting in starts:
            assert setting.keys() == space.keys()
            for name, distribution in space.items():
                assert distribution._contains(
                    distribution.to_internal_repr(setting[name])
                )


def test_rows_that_are_cut_off_are_left_out_whenever_it_is(tmp_path):
    """Before a process reads the file, and between that and its next row."""
    path = tmp_path / "runs.csv"
    records = Records(path)
    records.add({"seed": 1, "error": 0.5})
    whole = path.read_text(encoding="utf-8")
    path.write_text(f"{whole}2,0.", encoding="utf-8")
    records.add({"seed": 3, "error": 0.25})
    assert [row["seed"] for row in Records(path).rows] == ["1", "3"]
    path.write_text("seed,er", encoding="utf-8")
    Records(path).add({"seed": 4, "error": 1})
    assert path.read_text(encoding="utf-8") == "seed,error\n4,1\n"


def test_one_process_works_on_a_cell(cell):
    with cell.lock() as first, cell.lock() as second:
        assert (first, second) == (True, False)
    with cell.lock() as now:
        assert now


def test_no_run_is_started_when_the_time_is_up(cell, capsys):
    command.work([replace(cell, ends_at=0.0)])
    assert "The time is up" in capsys.readouterr().out
    assert not cell.trials.rows


def test_a_training_that_diverges_is_the_worst_trial(cell):
    setting = {**protocol.STARTS["CAE"][0], "rate": 1e30}
    row = search.run(cell, setting, 1)
    assert row["valid_error"] == "1.0"
    assert "diverged" in row["failure"]


# ---- the runs -----------------------------------------------------------------------


def test_only_final_runs_read_the_test_rows(cell, monkeypatch):
    images = cell.images
    blind = type(images)(**{**images, "X_test": None, "y_test": None})
    monkeypatch.setattr(data, "load", lambda *how: blind)
    choice = search.search(cell)
    search.chosen_with_noise(cell, choice)
    with pytest.raises(ValueError, match="Expected 2D array"):
        finals.finals(cell, choice)


def test_final_runs_train_on_the_validation_rows_too(cell, monkeypatch):
    seen = []
    fine_tuned = runs.fine_tuned

    def looked_at(model, parameters, seed, X, y, **held_out):
        seen.append((len(X), parameters["max_iter"], parameters["corruption_level"]))
        return fine_tuned(model, parameters, seed, X, y, **held_out)

    monkeypatch.setattr(runs, "fine_tuned", looked_at)
    choice = search.Choice(protocol.STARTS["CAE"][1], (1, 3), 0.1, noise=0.2)
    finals.test(cell, "CAE with noise", choice)
    assert seen == [(250, 3, 0.2)]
    (row,) = cell.tests.rows
    wrong = finals.wrong(cell, "CAE with noise", [row])
    assert wrong.shape == (1, 60)
    assert float(row["test_error"]) == pytest.approx(wrong.mean())


def test_what_was_chosen_before_a_search_went_on_is_not_reported(cell):
    """Not beside the runs of the new choice, nor where these are not complete."""
    cell = replace(cell, budget=replace(cell.budget, n_seeds=2))
    before, after = (
        search.Choice(setting, (1, 2), 0.1) for setting in protocol.STARTS["CAE"]
    )
    finals.test(cell, "CAE", before)
    assert len(finals.tests_of(cell, "CAE")) == 2
    finals.test(replace(cell, budget=replace(cell.budget, n_seeds=1)), "CAE", after)
    (row,) = finals.tests_of(cell, "CAE")
    assert json.loads(row["setting"]) == after.setting
    (wrong,) = tables.answers([cell])["CAE"]
    assert float(row["test_error"]) == pytest.approx(wrong.mean())


def test_only_a_search_that_has_drawn_all_spans_a_region(cell):
    assert not search.has_drawn_all(cell)
    for setting in protocol.STARTS["CAE"]:
        search.run(cell, setting, 1)
    assert not search.has_drawn_all(cell)
    search.search(cell)
    assert search.has_drawn_all(cell)


def test_the_commands_beside_the_tables_leave_a_cell_to_one_process(cell, capsys):
    where = ["--quick", "--data", "digits", "--results", str(cell.folder.parent)]
    with replace(cell, folder=cell.folder.parent / "quick").lock():
        for command in (ablations, all_labels):
            command.main(where)
            out = capsys.readouterr().out
            assert "Another process works on CAE on digits" in out


def test_a_network_of_all_labels_goes_on_with_its_next_epoch(cell, monkeypatch):
    """When the time is up it ends after one, and its seconds are those of all calls."""
    choice = search.Choice(protocol.STARTS["CAE"][1], (1, 3), 0.1)
    size = all_labels.SMALL._replace(**all_labels.QUICK)
    what = choice, size, "linear 0.1", "final"
    whole = all_labels.run(replace(cell, folder=cell.folder / "whole"), *what)
    monkeypatch.setattr(Cell, "check_time", limited(1))
    epochs = []
    for _ in range(cell.budget.n_tuning):
        with pytest.raises(OutOfTimeError):
            all_labels.run(cell, *what)
        (path,) = cell.folder.glob(".cache/*.skops")
        epochs.append(load(path).n_iter_)
    assert epochs == [*range(1, cell.budget.n_tuning + 1)]
    before = float(path.with_suffix(".seconds").read_text())
    monkeypatch.setattr(Cell, "check_time", lambda cell: None)
    again = all_labels.run(cell, *what)
    assert again["error"] == whole["error"]
    assert float(again["seconds"]) >= before > 0
    assert not [*cell.folder.glob(".cache/*.s*s")]


def test_the_report_of_all_labels_has_what_was_chosen_alone(cell):
    """Predictions are those of the last setting, whatever rows there are of others."""
    sizes = [
        s._replace(**all_labels.QUICK) for s in (all_labels.SMALL, all_labels.LARGE)
    ]
    for batch_size in (50, 100):
        setting = {**protocol.STARTS["CAE"][1], "batch_size": batch_size}
        choice = search.Choice(setting, (1, 3), 0.1)
        row = all_labels.run(cell, choice, sizes[1], all_labels.NONE, "final")
    text = all_labels.written(cell, choice, *sizes)
    assert text.count("| CAE | none | ") == 1
    assert f"| 1.04 | {100 * float(row['error']):.2f} [" in text


def limited(n_calls):
    """Return a clock that is over after so many looks at it since a run began."""
    looks = []

    def check_time(cell):
        looks.append(cell)
        if len(looks) % (n_calls + 1) == 0:
            raise OutOfTimeError

    return check_time


def test_a_variation_is_compared_on_the_seeds_that_it_has(cell, monkeypatch):
    monkeypatch.setattr(ablations, "VARIATIONS", {"base": None, "noise of 0.3": None})
    choice = search.Choice({}, (1, 3), 0.1)
    for name, seed, error in [
        ("base", 0, 0.25),
        ("base", 1, 0.75),
        ("noise of 0.3", 1, 0.5),
    ]:
        row = dict.fromkeys(["best_epoch", "norm_rms", "seconds"], 1)
        row |= {"seed": seed, "valid_error": error, "last_valid_error": error}
        cell.variations.add({**ablations.key_of(cell, choice, name), **row})
    text = ablations.written(cell, choice)
    assert "| base | 25.00 75.00 | +0.00 |" in text
    assert "| noise of 0.3 | 50.00 | -25.00 |" in text


def test_an_rbm_leaves_out_the_rows_that_are_no_whole_batch(digits):
    """Of scikit-learn's one row in a batch of its own drives all units to 0."""
    how = {"n_components": 32, "batch_size": 100, "random_state": 0}
    X = digits[0]
    ours, whole = (WholeBatches(**how).fit(X[:n]).transform(X) for n in (1601, 1600))
    assert_array_equal(ours, whole)
    assert ours.mean() > 0.5
    assert BernoulliRBM(**how).fit(X[:1601]).transform(X).max() < 0.01
    few = WholeBatches(**how).fit(X[:50])
    assert_array_equal(few.components_, BernoulliRBM(**how).fit(X[:50]).components_)


def test_layers_have_seeds_of_their_own():
    for name in ("SAE-3", "DAE-b-3", "RBM-3"):
        layers = [step for _, step in encoder(name, {}, 8, 3, 1).steps]
        assert len({layer.random_state for layer in layers}) == 3


# ---- statistics ---------------------------------------------------------------------


def test_the_interval_is_the_papers():
    # Table 2 of the paper: 2.48 ± 0.14 and 55.18 ± 0.44 of 50,000 rows.
    assert round(report.half_width(2.48, 50_000), 2) == 0.14
    assert round(report.half_width(55.18, 50_000), 2) == 0.44


def test_of_one_seed_the_interval_is_the_binomial_one():
    wrong = np.arange(10_000)[None] < 140
    value, low, high, _ = paired_tests.error(wrong)
    assert value == 0.014
    half = report.half_width(1.4, 10_000) / 100
    assert_allclose([value - low, high - value], half, rtol=0.1)


def test_intervals_cover_the_true_error_and_difference(monkeypatch):
    """Of images that are hard for both models, and seeds that differ."""
    monkeypatch.setattr(paired_tests, "N_RESAMPLES", 1000)
    rng = np.random.default_rng(0)
    covered, n = np.zeros(2), 60
    for _ in range(n):
        hard = rng.beta(0.1, 0.9, 300)
        shift = rng.normal(0, 0.01, (6, 1))
        wrong, other = np.split(rng.random((6, 300)) < hard + shift, 2)
        error, difference = paired_tests.error(wrong), paired_tests.difference
        covered[0] += error.low <= 0.1 <= error.high
        found = difference(wrong, other)
        drawn = shift[:3].mean() - shift[3:].mean()
        covered[1] += found.low <= drawn <= found.high
    assert (covered >= 0.87 * n).all()


def test_a_pair_of_one_seed_is_tested_as_by_mcnemar():
    """Where b + c is large the bootstrap's p-value is that of its normal limit."""
    wrong, other = np.zeros((2, 1, 2000), bool)
    wrong[0, :160], other[0, 100:220] = True, True
    found = paired_tests.difference(wrong, other)
    assert found.value == pytest.approx(40 / 2000)
    exact = paired_tests.mcnemar(wrong[0], other[0])
    assert exact == pytest.approx(found.p_value, abs=0.006)
    # 3 of 3 discordant images: 2 / 2³.
    few = np.arange(50) < 3
    assert paired_tests.mcnemar(few, np.zeros(50, bool)) == pytest.approx(0.25)
    assert paired_tests.mcnemar(few, few) == 1.0
    assert paired_tests.difference(wrong, wrong)[:3] == (0, 0, 0)


def test_a_ratio_is_of_the_same_images():
    wrong = np.arange(5000)[None] < 500
    assert_array_equal(paired_tests.ratio(wrong, wrong)[:3], 1)
    half = paired_tests.ratio(np.arange(5000)[None] < 250, wrong)
    assert half.low < half.value == 0.5 < half.high < 0.55
