"""The benchmark of encoders chooses by training rows alone, and can be resumed."""

import json

import numpy as np
import pytest

from benchmarks import encoders


def quick(folder, *more):
    """Run one encoder for two epochs, into a folder below this one."""
    given = ["--quick", "--results", str(folder), "--encoders", "one layer", *more]
    encoders.main(given)
    return folder / "quick"


@pytest.fixture
def small(monkeypatch):
    """Take a few digits and no large C."""
    halves = encoders.digits().items()
    few = {part: (X[:150], y[:150]) for part, (X, y) in halves}
    monkeypatch.setattr(encoders, "digits", lambda: few)
    task = encoders.TASKS["digits"]
    cheap = encoders.Task(task.title, (8, 8), task.training, 1, (0.001, 0.01))
    monkeypatch.setitem(encoders.TASKS, "digits", cheap)


@pytest.mark.usefixtures("small")
def test_the_first_stage_reads_no_test_rows(tmp_path, monkeypatch):
    few = encoders.digits()
    monkeypatch.setattr(encoders, "digits", lambda: {"train": few["train"]})
    found = quick(tmp_path)
    assert [path.name for path in found.iterdir()] == ["choices.jsonl"]


@pytest.mark.usefixtures("small")
def test_it_starts_and_runs_nothing_twice(tmp_path, monkeypatch):
    found = quick(tmp_path, "--test")
    page = (found / "encoders.md").read_text(encoding="utf-8")
    assert page.count("`ContractiveAutoencoder` | 128 |") == 1
    assert (found / "encoders.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(encoders, "codes_of", None)
    quick(tmp_path, "--test")
    assert (found / "encoders.md").read_text(encoding="utf-8") == page


def test_a_run_that_was_cut_off_is_run_again(tmp_path):
    path = tmp_path / "runs.jsonl"
    whole = json.dumps({"data": "a", "seconds": 1.0}) + "\n"
    path.write_text(whole + '{"data": "b", "sec', encoding="utf-8")
    records = encoders.Records(path, ("data",))
    records.add_missing([{"data": "a"}, {"data": "b"}], lambda what: {"error": 0.5})
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["data"] for line in lines] == ["a", "b"]
    assert "error" not in records.known["a",]
    assert records.known["b",]["error"] == 0.5


def test_the_best_is_that_of_the_mean_over_splits(tmp_path):
    records = encoders.Records(tmp_path / "runs.jsonl", ("penalty", "split"))
    errors = {(0.0, 0): 0.0, (0.1, 0): 0.1, (0.1, 1): 0.3, (0.3, 0): 0.4, (0.3, 1): 0.2}
    for (penalty, split), error in errors.items():
        what = {"data": "set", "encoder": "deep", "penalty": penalty, "split": split}
        records.known[penalty, split] = {**what, "errors": {"1": error, "0.1": 0.25}}
    asked = "set", "deep", (0.1, 0.3)
    assert encoders.best(records, *asked) == ({"penalty": 0.1, "C": 1.0}, 0.2)
    with pytest.raises(SystemExit, match="stack on set is not chosen yet"):
        encoders.best(records, "set", "stack", (0.1,))


def test_shrinking_takes_the_mean_of_what_a_pixel_covers():
    image = np.arange(9.0).reshape(1, 9)
    middle = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    # A pixel of 1.5 has one, and half of the next.
    parts = np.array([[1, 0.5, 0], [0, 0.5, 1]]) / 1.5
    expected = (parts @ middle @ parts.T).reshape(1, -1)
    np.testing.assert_allclose(encoders.shrunk(image, 3, 2), expected, rtol=1e-6)
