"""The README's code runs as it stands there."""

import re
from pathlib import Path

import pytest
from sklearn.base import clone

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(
    r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
)


def test_there_is_code_to_run():
    assert len(BLOCKS) >= 2


def shortened(encoder):
    """The parameters that make each of a model's trainings two epochs."""
    return {
        name: 2
        for name in encoder.get_params()
        if name.rpartition("__")[2] in ("max_iter", "n_iter")
    }


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_code_runs_from_top_to_bottom(tmp_path, monkeypatch):
    names = {}
    monkeypatch.chdir(tmp_path)  # it writes a file
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert names["model"].score(names["X_test"], names["y_test"]) > 0.95
    assert names["search"].best_params_["code__jacobian_penalty"] > 0
    assert names["cae"].n_iter_ > 5
    assert names["network"].score(names["X_test"] / 16, names["y_test"]) > 0.95
    for encoder in names["models"].values():
        steps = [step for _, step in getattr(encoder, "steps", [])]
        assert len({id(step) for step in steps}) == len(steps)
        few = clone(encoder).set_params(**shortened(encoder)).fit(names["X_train"] / 16)
        assert few.transform(names["X_test"] / 16).shape[1] in (32, 64)
        assert names["jacobian_norm"](few, names["X_test"][:5] / 16).min() > 0


def test_the_commands_are_targets_of_the_makefile():
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(
        r"^make (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert commands[:2] == ["demo", "test"]
    for command in commands:
        assert f"\n{command}:" in makefile


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_the_tables_are_the_benchmarks(data):
    """Each line of the README's table is one that the benchmark wrote."""
    folder = README.parent / "benchmarks" / "results" / f"linear_svm_{data}"
    written = (folder / "table.md").read_text(encoding="utf-8")
    lines = [
        [cell.strip() for cell in line.split("|")[1:6]]
        for line in written.splitlines()
        if line.startswith(("| raw", "| PCA", "| basic", "| contractive"))
    ]
    readme = README.read_text(encoding="utf-8").replace("**", "")
    assert len(lines) == 4
    for line in lines:
        assert f"| {' | '.join(line)} |" in readme
