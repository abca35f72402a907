"""The default learning rate, on 4 columns to 100,000 and 50 rows to a million.

Each case is fitted at the default, at 0.02, and at a third and three times the
default. A row is written as each run ends, and the command goes on where it stopped.

    python -m benchmarks.rates
"""

import argparse
import inspect
import itertools
import time
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.utils.discovery import all_estimators, all_functions

from benchmarks.records import Records
from benchmarks.speed.measure import machine, table
from skcae import ContractiveAutoencoder
from skcae._fit.epochs import rate_of

RESULTS = Path(__file__).parent / "results" / "rates"
# The rates that are tried.
NAMES = ("default", "0.02", "a third", "thrice")
# An epoch's objective has risen if it is above the lowest before it by more than this
# part of the first epoch's. Less is what steps at the highest rate leave to chance.
TOLERANCE = 1e-2


# ---- data -------------------------------------------------------------------------


@cache
def measurements(n, d):
    """Draw a standardised table of ten factors and noise."""
    rng = np.random.default_rng(0)
    n_factors = min(10, d // 2)
    X = rng.standard_normal((n, n_factors), np.float32) @ (
        rng.standard_normal((n_factors, d), np.float32) / n_factors**0.5
    )
    X += rng.standard_normal((n, d), np.float32)
    X -= X.mean(0)
    X /= X.std(0)
    return X


@cache
def images(n, d):
    """Draw out digits to more pixels, all of them in [0, 1]."""
    side = round(d**0.5)
    small = torch.from_numpy(load_digits().images[:n, None] / 16).float()
    large = torch.nn.functional.interpolate(small, (side, side), mode="bilinear")
    return large.flatten(1).numpy()


@cache
def topics(n, d):
    """Draw texts of words from twenty topics, as TF-IDF."""
    rng = np.random.default_rng(0)
    # Words are as frequent as Zipf has it, and some topics' more than others'.
    words = rng.gamma(0.3, size=(20, d)) / np.arange(1, d + 1)
    ends = (words / words.sum(1, keepdims=True)).cumsum(1)
    shares = rng.dirichlet(np.full(20, 0.1), n).cumsum(1)
    lengths = rng.poisson(60, n) + 5
    row = np.repeat(np.arange(n), lengths)
    topic = (shares[row] < rng.random(len(row))[:, None]).sum(1).clip(max=19)
    drawn = rng.random(len(row))
    column = np.empty(len(row), dtype=int)
    for k in range(20):
        column[topic == k] = np.searchsorted(ends[k], drawn[topic == k])
    counts = (np.ones(len(row), np.float32), (row, column.clip(max=d - 1)))
    return TfidfTransformer(sublinear_tf=True).fit_transform(
        sparse.csr_matrix(counts, shape=(n, d))
    )


@cache
def docstrings(n, d):
    """Take scikit-learn's docstrings and those of its methods, as TF-IDF."""
    things = [thing for _, thing in [*all_estimators(), *all_functions()]]
    things += [
        method for t in things for method in vars(t).values() if callable(method)
    ]
    texts = sorted({t.__doc__ for t in things if len(t.__doc__ or "") > 300})
    chosen = np.random.default_rng(0).permutation(len(texts))[:n]
    texts = [inspect.cleandoc(texts[i]) for i in chosen]
    words = TfidfVectorizer(
        sublinear_tf=True, max_features=d, ngram_range=(1, 2), dtype=np.float32
    )
    return words.fit_transform(texts)


# ---- cases ------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Data, and what is fitted to it.

    Parameters
    ----------
    draw : callable
        Gives rows, of the two numbers that follow.
    n_rows, n_columns : int
        How many at most.
    settings : dict, optional
        What is not left at its default.
    """

    draw: object
    n_rows: int
    n_columns: int
    settings: dict = field(default_factory=dict)

    @property
    def name(self):
        """Name it, by what tells it from the others."""
        words = [f"{name}={value}" for name, value in self.settings.items()]
        what = f"{self.draw.__name__}, {self.n_rows:,} × {self.n_columns:,}"
        return ", ".join([what, *words])

    @property
    def size_of_entries(self):
        """Return their root mean square, of texts that of rows of length 1."""
        return self.n_columns**-0.5 if self.draw in (topics, docstrings) else 1.0


SGD = {"solver": "sgd"}
TANH = {"activation": "tanh", "bias_spread": 0}
BITS = {"loss": "cross_entropy"}
UNTIED = {"tied_weights": False}
CASES = [
    *(Case(measurements, 1000, d) for d in (4, 30, 300, 1000, 3000)),
    Case(measurements, 300, 20_000),
    Case(measurements, 100, 100_000),
    *(Case(measurements, 300, d, UNTIED) for d in (300, 3000, 20_000)),
    *(Case(measurements, 300, d, SGD) for d in (30, 300, 1000, 3000, 20_000)),
    Case(measurements, 1000, 3000, {"n_components": 256}),
    *(Case(measurements, 50, d) for d in (4, 3000, 100_000)),
    *(Case(measurements, 1_000_000, d) for d in (4, 30)),
    *(Case(images, 500, side**2, BITS) for side in (8, 28, 55)),
    *(Case(images, 100, side**2, BITS) for side in (141, 316)),
    Case(images, 500, 28**2),
    Case(images, 500, 55**2, BITS | SGD),
    Case(images, 500, 55**2, BITS | UNTIED),
    Case(topics, 1000, 1000, TANH),
    Case(topics, 500, 20_000, TANH),
    Case(topics, 100, 100_000, TANH),
    Case(topics, 500, 20_000),
    Case(topics, 500, 20_000, TANH | BITS),
    Case(topics, 500, 20_000, TANH | UNTIED),
    Case(topics, 500, 20_000, TANH | SGD),
    *(Case(docstrings, 500, d, TANH) for d in (3000, 20_000)),
]


def rates(case):
    """Return the rates that are tried, by name."""
    model = ContractiveAutoencoder(**case.settings)
    auto = rate_of(
        model, {"components": torch.empty(1, case.n_columns)}, case.size_of_entries
    )
    return dict(zip(NAMES, (auto, 0.02, auto / 3, 3 * auto), strict=True))


def key(case, rate):
    """Return what tells a run from the others."""
    return {"case": case.name, "rate": f"{rate:.3g}"}


def fitted(case, rate):
    """Fit at a rate, and return what became of the objective."""
    X = case.draw(case.n_rows, case.n_columns)
    how = {"n_components": 64, "jacobian_penalty": 0.001, "random_state": 0}
    model = ContractiveAutoencoder(learning_rate=rate, **{**how, **case.settings})
    start = time.process_time()
    try:
        curve = model.fit(X).loss_curve_
    except ValueError:
        curve = np.array([np.nan])
    before = np.minimum.accumulate(curve)[:-1]
    return {
        "shape": "{} × {}".format(*X.shape),
        "epochs": len(curve),
        "first": f"{curve[0]:.6g}",
        "last": f"{curve[-1]:.6g}",
        "rise": f"{max(curve[1:] - before, default=np.nan) / curve[0]:.3g}",
        "seconds": f"{time.process_time() - start:.1f}",
    }


# ---- the report -------------------------------------------------------------------

HEAD = """\
# The default learning rate

{machine}, one thread. `python -m benchmarks.rates`

64 units, λ = 0.001, everything else at its default but what is named. A rise is how \
far the objective of an epoch is above the lowest before it, at its largest, in % of \
the first epoch's; up to {tolerance:g} %, while the rate is at its highest, is chance. \
And the objective of the last epoch, over the default's."""


def report(records):
    """Compare the default with the other rates, a line for each case."""
    lines = []
    for case in CASES:
        own, *others = (records.find(key(case, rate)) for rate in rates(case).values())
        if own:
            line = [case.name, own["shape"], own["rate"], risen(own)]
            for other in others:
                line += [risen(other), relative(other, own)]
            lines.append(line)
    header = ["case", "rows × columns", "default", "rise"]
    for name in NAMES[1:]:
        header += [f"{name}: rise", "last"]
    head = HEAD.format(machine=machine(), tolerance=100 * TOLERANCE)
    return f"{head}\n\n{table(header, lines)}\n"


def risen(row):
    """Write the largest rise in %."""
    if not row:
        return ""
    rise = 100 * float(row["rise"])
    if np.isnan(rise):
        return "diverged"
    words = f"{max(rise, 0):.2g}"
    return words if rise <= 100 * TOLERANCE else f"**{words}**"


def relative(row, own):
    """Write the objective of the last epoch, in that of another run."""
    return f"{float(row['last']) / float(own['last']):.3f}" if row else ""


def main(given=None):
    """Fit what is not there yet, the default first, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draw", nargs="+", default=[c.draw.__name__ for c in CASES])
    parser.add_argument("--columns", type=int, nargs=2, default=(1, 100_000))
    parser.add_argument("--rates", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(given)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    args.results.mkdir(parents=True, exist_ok=True)
    records = Records(args.results / "runs.csv")
    low, high = args.columns
    cases = [
        case
        for case in CASES
        if case.draw.__name__ in args.draw and low <= case.n_columns <= high
    ]
    for name, case in itertools.product(args.rates, cases):
        rate = rates(case)[name]
        if not records.find(key(case, rate)):
            records.add({**key(case, rate), **fitted(case, rate)})
    (args.results / "rates.md").write_text(report(records), encoding="utf-8")


if __name__ == "__main__":
    main()
