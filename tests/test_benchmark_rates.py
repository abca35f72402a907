"""The benchmarks of rates and of a device run, and say what they could not."""

import numpy as np
import pytest

from benchmarks import device, rates
from benchmarks.records import Records


def test_runs_are_found_again_by_their_case_and_rate(tmp_path):
    names = [case.name for case in rates.CASES]
    assert len(set(names)) == len(names)
    small = next(case for case in rates.CASES if case.n_columns == 30)
    wide = next(case for case in rates.CASES if case.n_columns == 20_000)
    assert rates.rates(small)["default"] == 0.02 > rates.rates(wide)["default"]
    records = Records(tmp_path / "runs.csv")
    for case in (small, wide):
        for rate in set(rates.rates(case).values()):
            found = {"shape": "9 × 9", "last": 20.0, "rise": 0.5 if rate == 0.02 else 0}
            records.add({**rates.key(case, rate), **found})
    first, second = rates.report(records).splitlines()[-2:]
    assert first.count("| 0.02 | **50** | **50** | 1.000 |") == 1
    assert "| 0 | **50** | 1.000 |" in second


def test_a_rise_is_counted_from_the_lowest_before(monkeypatch):
    case = rates.Case(lambda n, d: np.zeros((n, d)), 3, 2)
    curve = np.array([10.0, 4.0, 5.0, 3.0, 3.5])
    monkeypatch.setattr(
        rates.ContractiveAutoencoder,
        "fit",
        lambda self, X: setattr(self, "loss_curve_", curve) or self,
    )
    found = rates.fitted(case, 0.02)
    assert (float(found["rise"]), float(found["last"])) == (0.1, 3.5)


@pytest.mark.parametrize("draw", [rates.measurements, rates.images, rates.topics])
def test_data_are_of_their_kind(draw):
    X = draw(40, 100)
    assert X.shape == (40, 100)
    assert X.dtype == np.float32
    if draw is rates.topics:
        np.testing.assert_allclose(X.power(2).sum(1), 1, rtol=1e-6)


def test_a_part_that_fails_and_one_without_time_say_so():
    def fails(run):
        raise RuntimeError("no kernel")

    run = device.Run("cpu", is_small=True, seconds=60)
    assert device.outcome(fails, run) == "Failed: RuntimeError: no kernel"
    late = device.Run("cpu", is_small=True, seconds=0)
    assert device.outcome(fails, late) == "Not run: no time was left."
    assert list(late.within_time([1, 2])) == []
