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
    with open(tmp_path / "table.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


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


def test_images_need_not_be_square_nor_the_methods_many(main, tmp_path, capsys):
    rng = np.random.default_rng(0)
    images, y = rng.random((60, 5, 6)), np.arange(60) % 3
    images[:, 0] += y[:, None]
    path = tmp_path / "images.npz"
    np.savez(path, x_train=images[:40], y_train=y[:40], x_test=images, y_test=y)
    for method in ("cae", "raw"):
        folder = tmp_path / method
        main(
            f"{' '.join(SMALL)} --data npz --data-file {path} "
            f"--methods {method} {method} --output {folder}".split()
        )
        assert (folder / "filters.png").exists() == (method == "cae")
        saved = capsys.readouterr().out.rsplit(":", 1)[1].split(", ")
        assert {name.strip() for name in saved} == {p.name for p in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "npz"], "--data-file"),
        (["--data", "npz", "--data-file", "missing.npz"], "missing.npz is no npz file"),
    ],
)
def test_wrong_files_are_said(arguments, message, main):
    with pytest.raises(SystemExit, match=message):
        main(arguments)


def test_wrong_contents_are_said(main, tmp_path, capsys):
    names = ("x_train", "y_train", "x_test", "y_test")
    path = tmp_path / "wrong.npz"
    np.savez(path, x_train=np.ones(3))
    with pytest.raises(SystemExit, match="no npz file with x_train, y_train"):
        main(["--data", "npz", "--data-file", str(path)])
    np.savez(path, **{name: np.zeros((3, 2, 2)) for name in names})
    with pytest.raises(SystemExit, match="nor all zero"):
        main(["--data", "npz", "--data-file", str(path)])
    with pytest.raises(SystemExit):
        main(["--data-file", str(path)])
    assert "goes with --data mnist or npz" in capsys.readouterr().err
