"""The benchmark of the search for λ times all searches, and pairs their errors."""

import csv
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from benchmarks import penalty_search
from benchmarks.penalty_search import FULL, SHORT, TIMED
from skcae import ContractiveAutoencoder


def test_all_searches_are_recorded_and_reported(tmp_path, monkeypatch):
    blobs = partial(make_blobs, 80, 4, cluster_std=3.0)
    monkeypatch.setattr(penalty_search, "SETS", {"blobs": lambda s: blobs()})
    monkeypatch.setattr(penalty_search, "N_PENALTIES", 2)
    small = partial(ContractiveAutoencoder, 4, max_iter=8)
    monkeypatch.setattr(penalty_search, "ContractiveAutoencoder", small)
    given = ["--sets", "blobs", "--seeds", "3", "4", "--results", str(tmp_path)]
    penalty_search.main(given)
    with (tmp_path / "penalty_search.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    arms = [[row["arm"] for row in rows if row["seed"] == seed] for seed in "34"]
    assert arms == [[SHORT, FULL, *TIMED.values()], [SHORT, FULL]]
    assert all(float(row["fits"]) > 1 for row in rows)
    page = (tmp_path / "penalty_search.md").read_text(encoding="utf-8")
    assert page.count("| blobs |") == 2


def test_differences_are_paired():
    errors = {("a", 0): (3.0, 2.0), ("a", 1): (1.0, 1.5)}
    rows = [
        {"set": name, "seed": seed, "arm": arm, "error": error, "seconds": 2 + error}
        for (name, seed), pair in errors.items()
        for arm, error in zip((SHORT, FULL), pair, strict=True)
    ]
    found = penalty_search.regrets(rows)
    assert found == {("a", 0): 1.0, ("a", 1): -0.5}
    speedup = penalty_search.speedup(rows, FULL, SHORT)
    assert speedup == pytest.approx(np.mean([4 / 5, 3.5 / 3]))
