"""The tables of the paper: the whole command on digits, and what it promises."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch

from skcae import ContractiveAutoencoder

FOLDER = Path(__file__).parents[1] / "benchmarks" / "paper"
MODULES = ["command", "data", "digitised", "few_labels", "figures", "models", "report"]
MODULES += ["runs", "search", "table1", "table2", "tangents"]
SMALL = ["--n-components=16", "--epochs", "2", "2", "--trials=2", "--seeds=1"]
SMALL += ["--jobs=1"]


@pytest.fixture
def paper(monkeypatch):
    """Import a script of the folder by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield __import__
    for name in MODULES:
        sys.modules.pop(name, None)


def test_the_whole_table_on_digits(paper, tmp_path, capsys):
    """Each model has its row, the linear SVM too; a second call runs nothing."""
    table1 = paper("table1")
    command = ["--data", "digits", *SMALL, "--results", str(tmp_path)]
    table1.main(command)
    assert "validation error" in capsys.readouterr().out
    text = (tmp_path / "table1_digits.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    with (tmp_path / "table1_digits.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == set(paper("models").TABLE_1)
    for row in rows:
        assert f"| {row['model']} |" in text
        assert 0 < float(row["test_error"]) < 1
        assert 0 < float(row["svm_test_error"]) < 0.8
        assert float(row["norm_rms"]) >= float(row["norm"]) > 0
    kept = (tmp_path / "table1_digits.jsonl").read_text(encoding="utf-8")
    assert len(kept.splitlines()) == 6 * 3

    table1.main(command)
    assert (tmp_path / "table1_digits.jsonl").read_text(encoding="utf-8") == kept
    assert "[1/" not in capsys.readouterr().out


def test_the_figures_on_digits(paper, tmp_path, capsys):
    """Of the settings that the table chose; a second call fits nothing."""
    with pytest.raises(SystemExit, match="no run of AE, AE"):
        paper("figures").main(["--quick", "--results", str(tmp_path)])
    quick = tmp_path / "quick"
    paper("table1").main(["--data", "digits", *SMALL, "--results", str(quick)])
    command = ["--quick", "--results", str(tmp_path), "--jobs=1", "--epochs=2"]
    paper("figures").main(command)
    text = (quick / "figures_digits.md").read_text(encoding="utf-8")
    for name in ("1", "2", "2_log", "3", "filters"):
        assert (quick / f"figure_{name}.png").stat().st_size > 5000
    for name in ("DAE-b", "depth 3", "CAE, ours"):
        assert f"| {name} |" in text
    with (quick / "figure_1.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "CAE"]
    assert [float(row["r"]) for row in rows[:3]] == [0.2, 1.5, 4]
    assert [row["paper"] for row in rows[:3]] == ["0.271", "", "0.289"]
    fitted = set(quick.rglob("output.pkl"))
    encoders = paper("figures").chosen(quick / "table1_digits.jsonl")
    assert len(fitted) == len(encoders) + 1
    assert all(f"| {name}, ours |" in text for name in encoders)
    paper("figures").main([*command, "--figures", "1", "3"])
    assert set(quick.rglob("output.pkl")) == fitted


def test_a_second_autoencoder_has_the_papers_lambda(paper):
    """None is added where the search has chosen it."""
    search, figures = paper("search"), paper("figures")
    setting = {"jacobian_penalty": 1.0, "training": "sgd 0.1"}
    best = {"CAE": search.Choice(setting, (15, 15))}
    both = figures.with_papers_lambda(best)
    assert both["CAE"] == best["CAE"]
    assert both["CAE, λ = 0.1"] == ({**setting, "jacobian_penalty": 0.1}, (15, 15))
    assert [figures.kind_of(name) for name in both] == ["CAE", "CAE"]
    best = {"CAE": both["CAE, λ = 0.1"]}
    assert figures.with_papers_lambda(best) == best


def test_the_second_table_on_rectangles(paper, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "data"))
    table2 = paper("table2")
    arguments = ["--sets", "rect", "--sizes", "60", "30", "40", *SMALL]
    models = ["SVM_rbf", "SAE-3", "RBM-3", "DAE-b-3", "CAE-1", "CAE-2"]
    table2.main([*arguments, "--results", str(tmp_path), "--models", *models])
    text = (tmp_path / "table2.md").read_text(encoding="utf-8")
    assert "| rect | 2.15 / " in text
    assert "not run" not in text


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_few_labels_on_digits(paper, tmp_path, capsys):
    """All runs of a seed have the same encoder; a second call runs nothing."""
    tangents = paper("tangents")
    arguments = ["--data", "digits", "--labels", "40", "120", "--n-components=32"]
    arguments += ["--epochs", "2", "2", "--trials=2", "--seeds=2", "--jobs=1"]
    arguments += ["--results", str(tmp_path)]
    tangents.main(arguments)
    out = capsys.readouterr().out
    assert "[encoder 2/2]" in out
    assert "120 labels, MTC final" in out
    text = (tmp_path / "tangents_digits.md").read_text(encoding="utf-8")
    assert "| model | 40 labels | 120 labels |" in text
    for model in ("NN", "CAE", "MTC", "MTC − CAE, ours"):
        assert f"\n| {model} | " in text
    lines = (tmp_path / "tangents_digits.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in lines.splitlines()]
    # Each fine-tuning, alone, of 2 encoders, and with 2 settings of the tangents; and
    # the best of each model with 2 seeds.
    n_tunings = len(paper("models").FEW_LABELS_TUNING["tuning"])
    assert len(records) == 2 * (n_tunings * (1 + 2 + 2) + 3 * 2)
    assert {tuple(r["n_epochs"]) for r in records} == {(2, 4), (2, 2)}
    # Two encoders and random weights in the search, one of each for a seed.
    assert len(list(tmp_path.glob(".cache/encoders/*"))) == 3 + 2 * 2
    assert str(tmp_path) not in lines + text

    finals = [r for r in records if r["stage"] == "final"]
    for n_labels in (40, 120):
        by_model = {r["model"]: r for r in finals if r["n_labels"] == n_labels}
        cae, mtc = by_model["CAE"], by_model["MTC"]
        for line in paper("models").CAE_H:
            assert mtc["setting"][line] == cae["setting"][line]
        assert mtc["setting"]["tangent_penalty"] > 0
        assert mtc["training_loss"] != cae["training_loss"]
    for record in records:
        assert ("test_error" in record) == (record["stage"] == "final")
        assert 0 < record["valid_error"] < 1

    tangents.main(arguments)
    assert (tmp_path / "tangents_digits.jsonl").read_text(encoding="utf-8") == lines
    assert "[encoder" not in capsys.readouterr().out


def test_a_setting_that_fails_with_a_seed_gives_way_to_the_next(
    paper, task_of_few, monkeypatch
):
    tangents, asked = paper("tangents"), []

    def run_all(results, tasks, n_jobs):
        """The first setting of MTC collapses with the second seed."""
        asked.extend(tasks)
        return [
            {
                **task.described,
                "valid_error": 0.9
                if (task.model, task.seed) == ("MTC", 2)
                and task.setting["tuning"] in collapsing
                else 0.15,
            }
            for task in tasks
        ]

    monkeypatch.setattr(tangents, "run_all", run_all)
    trials = [
        {"setting": {"tuning": f"adam {rate}"}, "n_epochs": [1, 1], "valid_error": 0.1}
        for rate in (1, 2)
    ]
    ranked = {50: dict.fromkeys(("NN", "CAE", "MTC"), trials)}
    args = Bunch(seeds=2, jobs=1)

    def tunings(records):
        return [(r["model"], r["setting"]["tuning"], r["seed"]) for r in records]

    collapsing = {"adam 1"}
    kept, failed = tangents.finals(None, {50: task_of_few()}, ranked, args)
    assert tunings(failed) == [("MTC", "adam 1", 1), ("MTC", "adam 1", 2)]
    assert tunings(kept)[-2:] == [("MTC", "adam 2", 1), ("MTC", "adam 2", 2)]
    assert len(kept) == 6
    assert "50 labels, MTC, " in tangents.failed_text(failed)
    assert tangents.failed_text(failed).endswith(": 15.0, 90.0 %")
    assert tangents.failed_text([]) == ""
    # Where all of them fail, the last is what there is.
    collapsing = {"adam 1", "adam 2"}
    assert tunings(tangents.finals(None, {50: task_of_few()}, ranked, args)[0]) == (
        tunings(kept)
    )


@pytest.fixture
def task_of_few(paper, task, tmp_path):
    def make(**changes):
        setting = {"tuning": "adam 0.01"}
        described = {**vars(task), "model": "NN", "setting": setting, **changes}
        cls = paper("few_labels").FewLabelsTask
        return cls(n_labels=50, encoders=str(tmp_path), **described)

    return make


def test_labelled_rows_are_the_seeds_with_each_class_at_its_share(paper, task_of_few):
    y = paper("data").digits().y_train
    rows, again = task_of_few().labelled(y), task_of_few(model="CAE").labelled(y)
    assert_array_equal(rows, again)
    assert len(set(rows)) == 50
    assert set(np.bincount(y[rows])) <= {4, 5, 6}
    assert set(task_of_few(seed=1).labelled(y)) != set(rows)


def test_a_network_without_pre_training_starts_at_random_weights(paper, task_of_few):
    """No row of the data and no step has left a trace."""
    task = task_of_few()
    found = paper("few_labels").attempted(paper("few_labels").pre_trained, task)
    X = np.random.default_rng(0).random((30, 64), dtype="f4")
    drawn = ContractiveAutoencoder(8, random_state=0, learning_rate=1e-30, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        drawn.fit(X)
    assert_array_equal(found.components_, drawn.components_)
    assert task_of_few(seed=1).encoder_file != task.encoder_file


def test_an_encoder_that_diverges_is_a_failure_of_its_runs(paper, task_of_few):
    few_labels, runs = paper("few_labels"), paper("runs")
    setting = {"jacobian_penalty": 0.1, "training": "sgd 1e30", "tuning": "adam 0.01"}
    task = task_of_few(model="CAE", setting=setting)
    assert "Training diverged in epoch 1" in few_labels.fit_one(task)
    # It is kept too, and not tried again.
    before = task.encoder_file.stat().st_mtime_ns
    record = runs.run(task)
    assert task.encoder_file.stat().st_mtime_ns == before
    assert record["valid_error"] == 1.0
    assert "diverged" in record["failure"]
    finals = [{**record, "model": model} for model in ("NN", "CAE", "MTC")]
    assert "diverged" in paper("report").table_labels("mnist", {100: finals})


def test_only_final_runs_with_few_labels_read_the_test_rows(
    paper, task_of_few, monkeypatch
):
    runs = paper("runs")
    blind = Bunch(**{**runs.load("digits"), "X_test": None, "y_test": None})
    monkeypatch.setattr(runs, "load", lambda *how: blind)
    assert "test_error" not in runs.run(task_of_few())
    with pytest.raises(ValueError, match="Expected 2D array"):
        runs.run(task_of_few(stage="final"))


def test_all_numbers_of_labels_get_as_many_steps(paper):
    epochs = paper("search").epochs_of_as_many_steps
    assert [epochs(n, 3000, 100) for n in (100, 600, 1000, 3000)] == [
        3000,
        500,
        300,
        100,
    ]
    assert epochs(40, 120, 2) == 4


@pytest.fixture
def task(paper):
    return paper("runs").Task(
        data="digits",
        local_file=None,
        sizes=None,
        checksum="",
        model="CAE",
        setting={
            "jacobian_penalty": 0.1,
            "training": "sgd 0.01",
            "tuning": "adam 0.001",
        },
        n_components=8,
        n_epochs=(1, 1),
        seed=0,
        stage="search",
    )


def test_a_finished_run_is_kept_when_the_next_is_interrupted(
    paper, task, tmp_path, monkeypatch
):
    runs = paper("runs")
    path = tmp_path / "results.jsonl"
    other = runs.Task(**{**vars(task), "seed": 1})
    run = runs.run

    def interrupted(task):
        if task.seed == 1:
            raise KeyboardInterrupt
        return run(task)

    monkeypatch.setattr(runs, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.Results(path).run([task, other], n_jobs=1)
    monkeypatch.setattr(runs, "run", run)
    results = runs.Results(path)
    assert set(results.by_key) == {task.key}
    first, _ = results.run([task, other], n_jobs=1)
    assert first["seed"] == 0
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_a_line_that_was_cut_off_is_run_again(paper, task, tmp_path):
    runs = paper("runs")
    path = tmp_path / "results.jsonl"
    runs.Results(path).run([task], n_jobs=1)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + whole[:50], encoding="utf-8")
    results = runs.Results(path)
    assert set(results.by_key) == {task.key}
    results.add({"key": "next"})
    assert set(runs.Results(path).by_key) == {task.key, "next"}


def test_the_same_task_gives_the_same_numbers(paper, task):
    run = paper("runs").run
    one, other = run(task), run(task)
    for timed in ("seconds", "pre_training_seconds"):
        one.pop(timed)
        other.pop(timed)
    assert one == other
    assert json.loads(json.dumps(one))["valid_error"] == one["valid_error"]


def test_only_final_runs_read_the_test_rows(paper, task, monkeypatch):
    runs = paper("runs")
    images = runs.load("digits")
    blind = Bunch(**{**images, "X_test": None, "y_test": None})
    monkeypatch.setattr(runs, "load", lambda *how: blind)
    assert "test_error" not in runs.run(task)
    final = runs.Task(**{**vars(task), "stage": "final"})
    with pytest.raises(ValueError, match="Expected 2D array"):
        runs.run(final)
    monkeypatch.setattr(runs, "load", lambda *how: images)
    assert "test_error" in runs.run(final)


def test_every_model_has_as_many_trials_and_more_begin_with_the_same(paper):
    models = paper("models")
    for model in {*models.TABLE_1, *models.TABLE_2}:
        few, more = models.draw_settings(model, 4), models.draw_settings(model, 6)
        assert more[:4] == few
        assert len({json.dumps(setting) for setting in more}) == 6
        grid = models.grid_of(model)
        assert all(models.is_on_grid(setting, grid) for setting in more)
        assert not models.is_on_grid({**more[0], "tuning": "adam 1", "C": 0}, grid)
        for line, values in grid.items():
            # Evenly, but for what was drawn twice and left out.
            counts = [sum(s[line] == value for s in more) for value in values]
            assert max(counts) - min(counts) <= 3
    with pytest.raises(ValueError, match="AE has only 6 settings"):
        models.draw_settings("AE", 7)


def test_layers_have_seeds_of_their_own(paper):
    encoder = paper("models").encoder
    for name in ("SAE-3", "DAE-b-3", "RBM-3"):
        setting = dict(paper("models").draw_settings(name, 1)[0])
        setting.pop("tuning")
        layers = [step for _, step in encoder(name, setting, 8, 3, 1).steps]
        assert len({layer.random_state for layer in layers}) == 3


def test_rungs_halve_the_trials_and_double_the_epochs(paper):
    rungs = paper("search").rungs
    assert rungs(8, (100, 40)) == [(8, (25, 10)), (4, (50, 20)), (2, (100, 40))]
    assert rungs(2, (3, 3)) == [(2, (3, 3))]
    assert [count for count, _ in rungs(6, (8, 8))] == [6, 3, 2]


def test_the_best_trial_of_all_rungs_is_run_again(paper, task):
    """More epochs may be worse; of equal trials the one with fewer is taken."""
    search = paper("search")
    error_after = {(1, 1): 0.03, (2, 2): 0.02, (4, 4): 0.04}

    class Fixed:
        def run(self, tasks, n_jobs):
            return [
                {**t.described, "valid_error": error_after[t.n_epochs]} for t in tasks
            ]

    task = replace(task, n_epochs=(4, 4))
    best = search.search(Fixed(), task, ["AE", "CAE"], 6, n_jobs=1)
    first, *_ = paper("models").draw_settings("CAE", 6)
    assert best["CAE"] == (first, (2, 2))
    finals = search.final_tasks(task, best, [1, 2])
    assert [(t.model, t.n_epochs, t.seed) for t in finals] == [
        ("AE", (2, 2), 1),
        ("AE", (2, 2), 2),
        ("CAE", (2, 2), 1),
        ("CAE", (2, 2), 2),
    ]
    assert all(t.stage == "final" for t in finals)
    error_after[2, 2] = 0.03
    best = search.search(Fixed(), task, ["CAE"], 6, n_jobs=1)
    assert best["CAE"].n_epochs == (1, 1)


def test_a_set_with_fewer_rows_takes_as_many_steps(paper):
    best = {
        "SVM_rbf": paper("search").Choice({}, (0, 0)),
        "CAE-2": paper("search").Choice({"jacobian_penalty": 1.0}, (15, 30)),
    }
    more = paper("table2").as_many_steps(best, 10_000, 1_000)
    assert more["CAE-2"] == ({"jacobian_penalty": 1.0}, (150, 300))
    assert more["SVM_rbf"].n_epochs == (0, 0)
    assert paper("table2").as_many_steps(best, 500, 500) == best


def test_the_interval_is_the_papers(paper):
    report = paper("report")
    # Table 2 of the paper: 2.48 ± 0.14 and 55.18 ± 0.44 of 50,000 rows.
    assert round(report.half_width(2.48, 50_000), 2) == 0.14
    assert round(report.half_width(55.18, 50_000), 2) == 0.44
    assert report.verdict(1.14, 1.40, 10_000, 10_000) == "agrees"
    assert report.verdict(1.14, 1.50, 10_000, 10_000) == "worse"
    assert report.verdict(1.14, 0.80, 10_000, 10_000) == "better"
