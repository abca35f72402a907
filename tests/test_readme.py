"""The README's code runs as it stands there, and so does what moved into the guide."""

import re

import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from skcae.inspection import jacobian_norm
from tests.run_readme import README, blocks_of, run_blocks

GUIDE = README.parent / "docs" / "guide" / "choosing_an_estimator.md"


def test_there_is_code_to_run():
    assert len(blocks_of(README)) >= 2


def shortened(encoder):
    """The parameters that make each of a model's trainings two epochs."""
    return {
        name: 2
        for name in encoder.get_params()
        if name.rpartition("__")[2] in ("max_iter", "n_iter")
    }


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_code_runs_from_top_to_bottom():
    names = run_blocks(README)
    assert names["model"].score(names["X_test"], names["y_test"]) > 0.95
    assert names["search"].best_params_["code__jacobian_penalty"] > 0
    assert names["network"].score(names["X_test"] / 16, names["y_test"]) > 0.95


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_papers_models_are_a_line_each():
    models = run_blocks(GUIDE)["models"]
    X = load_digits().data / 16
    assert len(models) == 9
    for encoder in models.values():
        steps = [step for _, step in getattr(encoder, "steps", [])]
        assert len({id(step) for step in steps}) == len(steps)
        few = clone(encoder).set_params(**shortened(encoder)).fit(X[::2])
        assert few.transform(X[1::2]).shape[1] in (32, 64)
        assert jacobian_norm(few, X[1:10:2]).min() > 0


def test_the_commands_are_targets_of_the_makefile():
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(
        r"^make (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert commands[:2] == ["demo", "test"]
    for command in commands:
        assert f"\n{command}:" in makefile


def test_the_table_is_that_of_the_benchmarks():
    """Each error in the README's table is one that the benchmark wrote."""
    results = README.parent / "benchmarks" / "results"
    errors = {}
    for data in ("digits", "mnist"):
        written = (results / f"linear_svm_{data}" / "table.md").read_text(
            encoding="utf-8"
        )
        for line in written.splitlines()[2:]:
            if line.startswith("| "):
                name, error, *_ = (cell.strip() for cell in line.split("|")[1:])
                errors.setdefault(name, []).append(error)
    readme = README.read_text(encoding="utf-8").replace("**", "")
    assert len(errors) == 4
    for name, (digits, mnist) in errors.items():
        assert f"| {name} | {digits} | {mnist} |" in readme


def test_the_table_of_networks_is_that_of_the_report():
    report = README.parent / "benchmarks" / "results" / "paper" / "table1_mnist.md"
    paper, ours = {}, {}
    for line in report.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and line.count("|") == 10:
            name, *errors = (cell.strip() for cell in line.split("|")[1:4])
            paper[name], ours[name] = errors
    readme = README.read_text(encoding="utf-8").replace("**", "")
    names = {"CAE": "contractive autoencoder", "AE": "basic autoencoder"}
    names["AE+wd"] = "the same with weight decay"
    for model, name in names.items():
        errors = f"{paper[model]} | {ours[model]} | {ours[model + ' with noise']}"
        assert f"| {name} | {errors} |" in readme


def test_the_pictures_are_there():
    pictures = re.findall(r'src="([^"]+)"', README.read_text(encoding="utf-8"))
    assert len(pictures) == 2
    for picture in pictures:
        assert (README.parent / picture).stat().st_size > 10_000
