"""The table of few labels: the whole command on digits, and what it promises."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch

from benchmarks.paper import data, few_labels, few_labels_beside, report, tangents
from benchmarks.paper import few_labels_grids as grids
from skcae import ContractiveAutoencoder


@pytest.mark.filterwarnings("ignore::skcae.exceptions.DeadModelWarning")
def test_few_labels_on_digits(tmp_path, capsys):
    """All runs of a seed have the same encoder; a second call runs nothing."""
    arguments = ["--data", "digits", "--labels", "40", "120", "--n-components=32"]
    arguments += ["--epochs", "2", "2", "--trials=3", "--seeds=2", "--jobs=1"]
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
    # Each fine-tuning of both starts, and the best of each model with 2 seeds; with
    # tangents 3 settings, and one or two beside the best on each line.
    n_tunings, n_lines = grids.size(grids.FEW_LABELS_TUNING), len(grids.FURTHER)
    n_with_tangents = len(records) - 2 * (n_tunings * 2 + 3 * 2)
    assert 2 * (3 + n_lines) <= n_with_tangents <= 2 * (3 + 2 * n_lines)
    assert {tuple(r["n_epochs"]) for r in records} == {(2, 6), (2, 2)}
    # An encoder and random weights for each seed, that of the search included.
    assert len(list(tmp_path.glob(".cache/encoders/*"))) == 2 * 3
    assert str(tmp_path) not in lines + text

    finals = [r for r in records if r["stage"] == "final"]
    for n_labels in (40, 120):
        by_model = {r["model"]: r for r in finals if r["n_labels"] == n_labels}
        cae, mtc = by_model["CAE"], by_model["MTC"]
        for line in grids.CAE_H:
            assert mtc["setting"][line] == cae["setting"][line]
        assert grids.tangent_parameters(mtc["setting"])["tangent_penalty"] > 0
        assert mtc["training_loss"] != cae["training_loss"]
    for record in records:
        assert ("test_error" in record) == (record["stage"] == "final")
        assert 0 < record["valid_error"] < 1

    tangents.main(arguments)
    assert (tmp_path / "tangents_digits.jsonl").read_text(encoding="utf-8") == lines
    assert "[encoder" not in capsys.readouterr().out

    few_labels_beside.main(arguments)
    assert (tmp_path / "tangents_digits.jsonl").read_text(encoding="utf-8") == lines
    beside = (tmp_path / "few_labels_beside_digits.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in beside.splitlines()]
    assert len(records) == 2 * len(few_labels_beside.STRENGTHS)
    for record in records:
        assert (record["n_labels"], "test_error" in record) == (40, False)
    text = (tmp_path / "few_labels_beside_digits.md").read_text(encoding="utf-8")
    assert text.count("\n| 40 | ") == 3


def test_a_setting_that_fails_with_a_seed_gives_way_to_the_next(
    task_of_few, monkeypatch
):
    asked = []

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
def task_of_few(tmp_path):
    def make(**changes):
        task = few_labels.FewLabelsTask(
            data="digits",
            local_file=None,
            sizes=None,
            checksum="",
            model="NN",
            setting={"tuning": "adam 0.01", "output": "softmax"},
            n_components=8,
            n_epochs=(1, 1),
            seed=0,
            stage="search",
            n_labels=50,
            encoders=str(tmp_path),
        )
        return replace(task, **changes)

    return make


def test_the_search_with_tangents_goes_on_from_the_best(task_of_few, monkeypatch):
    """Line after line, to the values beside those of the lowest error so far."""
    runs = []

    def run_all(results, tasks, n_jobs):
        runs.append([task.setting for task in tasks])
        return [{**task.described, "valid_error": error_of(task)} for task in tasks]

    def error_of(task):
        """Lowest with 5000 rows, "sgd 1" and "linear 0.1"."""
        best = {"n_tangent_rows": 5000, "tuning": "sgd 1", "tangents": "linear 0.1"}
        return 0.9 - 0.1 * sum(task.setting[line] == best[line] for line in best)

    monkeypatch.setattr(tangents, "run_all", run_all)
    start = {"n_tangent_rows": 1000, "tangents": "linear 0.1", "n_tangents": 10}
    task = task_of_few(model="MTC", setting=grids.TUNED | start)
    first = {**task.described, "valid_error": error_of(task)}
    tangents.further(None, task, [first], 1)
    lines = zip(grids.FURTHER, runs, strict=True)
    assert {line: [s[line] for s in settings] for line, settings in lines} == {
        "n_tangent_rows": [None, 5000],
        "tuning": ["sgd 0.1", "sgd 1"],
        "tangents": ["linear 0.03", "linear 0.3"],
        "n_tangents": [5, 20],
        "output": ["softmax"],
    }
    best = start | {"n_tangent_rows": 5000, "tuning": "sgd 1"}
    assert runs[-1] == [best | {"output": "softmax"}]


def test_labelled_rows_are_the_seeds_with_each_class_at_its_share(task_of_few):
    y = data.digits().y_train
    rows, again = task_of_few().labelled(y), task_of_few(model="CAE").labelled(y)
    assert_array_equal(rows, again)
    assert len(set(rows)) == 50
    assert set(np.bincount(y[rows])) <= {4, 5, 6}
    assert set(task_of_few(seed=1).labelled(y)) != set(rows)


def test_a_network_without_pre_training_starts_at_random_weights(task_of_few):
    """No row of the data and no step has left a trace."""
    task = task_of_few()
    found = few_labels.attempted(few_labels.pre_trained, task)
    X = np.random.default_rng(0).random((30, 64), dtype="f4")
    drawn = ContractiveAutoencoder(8, random_state=0, learning_rate=1e-30, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        drawn.fit(X)
    assert_array_equal(found.components_, drawn.components_)
    assert task_of_few(seed=1).encoder_file != task.encoder_file


def test_an_encoder_that_diverges_is_a_failure_of_its_runs(task_of_few):
    setting = {"jacobian_penalty": 0.1, "training": "sgd 1e30"}
    setting |= task_of_few().setting
    task = task_of_few(model="CAE", setting=setting)
    assert "Training diverged in epoch 1" in few_labels.fit_one(task)
    # It is kept too, and not tried again.
    before = task.encoder_file.stat().st_mtime_ns
    record = few_labels.run(task)
    assert task.encoder_file.stat().st_mtime_ns == before
    assert record["valid_error"] == 1.0
    assert "diverged" in record["failure"]
    finals = [{**record, "model": model} for model in ("NN", "CAE", "MTC")]
    assert "diverged" in report.table_labels("mnist", {100: finals})


def test_only_final_runs_with_few_labels_read_the_test_rows(task_of_few, monkeypatch):
    blind = Bunch(**{**few_labels.load("digits"), "X_test": None, "y_test": None})
    monkeypatch.setattr(few_labels, "load", lambda *how: blind)
    assert "test_error" not in few_labels.run(task_of_few())
    with pytest.raises(ValueError, match="Expected 2D array"):
        few_labels.run(task_of_few(stage="final"))


def test_all_numbers_of_labels_get_as_many_steps():
    epochs = tangents.epochs_of_as_many_steps
    assert [epochs(n, 3000, 100) for n in (100, 600, 1000, 3000)] == [
        3000,
        500,
        300,
        100,
    ]
    assert epochs(40, 120, 2) == 6


def test_a_finished_run_is_kept_when_the_next_is_interrupted(
    task_of_few, tmp_path, monkeypatch
):
    path = tmp_path / "results.jsonl"
    task, other = task_of_few(), task_of_few(seed=1)
    run = few_labels.run

    def interrupted(task):
        if task.seed == 1:
            raise KeyboardInterrupt
        return run(task)

    monkeypatch.setattr(few_labels, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        few_labels.Results(path).run([task, other], n_jobs=1)
    monkeypatch.setattr(few_labels, "run", run)
    results = few_labels.Results(path)
    assert set(results.by_key) == {task.key}
    first, _ = results.run([task, other], n_jobs=1)
    assert first["seed"] == 0
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_a_line_that_was_cut_off_is_run_again(task_of_few, tmp_path):
    task = task_of_few()
    path = tmp_path / "results.jsonl"
    few_labels.Results(path).run([task], n_jobs=1)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + whole[:50], encoding="utf-8")
    results = few_labels.Results(path)
    assert set(results.by_key) == {task.key}
    results.add({"key": "next"})
    assert set(few_labels.Results(path).by_key) == {task.key, "next"}


def test_the_same_task_gives_the_same_numbers(task_of_few):
    run = few_labels.run
    one, other = (run(task_of_few()) for _ in range(2))
    del one["seconds"], other["seconds"]
    assert one == other
    assert json.loads(json.dumps(one))["valid_error"] == one["valid_error"]
