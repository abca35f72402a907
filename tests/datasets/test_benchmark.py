"""The script behind the table of errors in docs/datasets.md, at a size of seconds."""

import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "datasets_svm.py"


def test_a_row_for_a_set(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    arguments = ["--names", "rect", "--n-train", "400", "--n-test", "300"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    *_, row = capsys.readouterr().out.splitlines()
    name, rows, gamma, error, published = row.strip("| ").split(" | ")
    assert (name, rows, gamma, published) == ("rect", "400", "0.05", "2.15")
    assert 0 < float(error.split(" ± ")[0]) < 20
