"""The benchmark of usefulness: sets that choose and that report, and its records."""

import pytest

from benchmarks.records import Records
from benchmarks.usefulness import command, data, features


def test_each_kind_of_set_is_in_both_halves():
    found = data.sources().values()
    halves = [{s.kind for s in found if s.chooses is half} for half in (True, False)]
    assert {"images", "table", "text", "signals"} <= halves[0] & halves[1]


def test_what_is_before_the_encoder_sees_training_rows_alone():
    X, X_test, y, y_test = data.split(data.sources()["wine"], 0)
    assert abs(X.mean(0)).max() < 1e-12 < abs(X_test.mean(0)).min()
    assert len(X) == len(y)
    assert len(X_test) == len(y_test)


@pytest.mark.filterwarnings("ignore")
def test_a_half_runs_each_of_its_sets_once(tmp_path, monkeypatch):
    few = ["--features", "now", "Nystroem", "raw", "--sets", "wine", "vowel"]
    how = ["choose", *few, "--seeds", "1", "--results", str(tmp_path)]
    command.main(how)
    lines = (tmp_path / "choose.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["now", "wine"],
        ["Nystroem", "wine"],
        ["raw", "wine"],
    ]
    assert "| now |" in (tmp_path / "usefulness.md").read_text(encoding="utf-8")
    monkeypatch.setattr(command, "judged", None)
    command.main(how)


def test_a_set_whose_file_is_not_there_is_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "write", lambda folder: None)
    command.main(["compare", "--sets", "mnist", "--results", str(tmp_path)])
    assert "mnist is left out: it needs --mnist FILE" in capsys.readouterr().err


def test_a_row_that_was_cut_off_is_run_again(tmp_path):
    path = tmp_path / "choose.csv"
    raw, now = ({"features": name, "set": "wine", "seed": 0} for name in ("raw", "now"))
    Records(path).add({**raw, "ridge": 1.0})
    with path.open("a", encoding="utf-8") as file:
        file.write("now,wine,0,1.")
    again = Records(path)
    assert again.find(raw)["ridge"] == "1.0"
    assert again.find(now) is None
    again.add({**now, "ridge": 2.0})
    assert [row["ridge"] for row in Records(path).rows] == ["1.0", "2.0"]


def test_the_best_of_labels_reads_no_test_rows():
    X, _, y, _ = data.split(data.sources()["wine"], 0)
    model = features.chosen_by_labels(X, y, 0)
    assert model.n_components == features.WIDTH
