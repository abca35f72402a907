"""The comparison behind `make demo`, at a size of seconds."""

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "linear_svm.py"
SMALL = ["--n-components", "8", "--epochs", "8"]


@pytest.fixture
def main(monkeypatch):
    """The script's entry point; its runs take turns in this process."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    return runpy.run_path(str(SCRIPT))["main"]


def test_digits(main, tmp_path, capsys):
    main([*SMALL, "--seeds", "2", "--n-train", "200", "--output", str(tmp_path)])
    out, err = capsys.readouterr()
    assert "8/8" in err.replace(" ", "")
    table = (tmp_path / "table.md").read_text()
    assert table.strip() in out
    for name in ("raw pixels", "PCA", "basic autoencoder", "contractive autoencoder"):
        assert f"| {name}" in table
    assert " won with " in table
    with open(tmp_path / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["raw"] * 2 + ["pca"] * 2 + ["ae"] * 2 + [
        "cae"
    ] * 2
    assert all(0 <= float(row["error"]) < 0.9 for row in rows)
    assert (tmp_path / "filters.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("data", ["mnist", "npz"])
def test_images_of_a_file(data, main, tmp_path, digits):
    X, y = digits
    images = (255 * X).astype(np.uint8).reshape(-1, 8, 8)
    path = tmp_path / "images.npz"
    np.savez(
        path,
        x_train=images[:300],
        y_train=y[:300],
        x_test=images[300:500],
        y_test=y[300:500],
    )
    main(
        [
            *SMALL,
            "--data",
            data,
            "--data-file",
            str(path),
            "--methods",
            "raw",
            "cae",
            "--n-train",
            "250",
            "--output",
            str(tmp_path / "out"),
        ]
    )
    with open(tmp_path / "out" / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["n_train"], row["n_test"]) for row in rows} == {("250", "200")}


def test_each_code_is_trained_once_for_a_fold_and_a_penalty(
    main, tmp_path, monkeypatch
):
    from skcae import ContractiveAutoencoder

    fits = []
    fit = ContractiveAutoencoder.fit

    def counted(self, X, y=None, **how):
        fits.append((self.jacobian_penalty, len(X)))
        return fit(self, X, y, **how)

    monkeypatch.setattr(ContractiveAutoencoder, "fit", counted)
    main(
        [
            *SMALL,
            "--seeds",
            "1",
            "--n-train",
            "150",
            "--methods",
            "cae",
            "--output",
            str(tmp_path),
        ]
    )
    # Four penalties on three folds, and the one that was chosen on all rows.
    assert len(fits) == 4 * 3 + 1


def test_a_missing_file_option_is_said(main):
    with pytest.raises(SystemExit, match="--data-file"):
        main(["--data", "npz"])
