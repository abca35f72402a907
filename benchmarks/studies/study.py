"""What the studies share: their data, their runs, and what is said of them.

A study is a script. It states its question and its measure, lists its trials, and
knows how to run one and how to draw them all. Trials that were run are rows of a CSV
file, and are not run again.
"""

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter
from scipy.stats import t
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from benchmarks.records import Records
from benchmarks.speed.measure import table
from benchmarks.usefulness.data import Missing, sources, split
from benchmarks.usefulness.features import ridge_error
from skcae.inspection import jacobian_norm

RESULTS = Path(__file__).parents[1] / "results" / "studies"
SMALL_RESULTS = Path("results/studies")
# Of each kind one: images, a table, text, signals, photographs.
SETS = ("digits", "mnist", "satimage", "docs-sklearn", "speech", "cifar")
# What scikit-learn has or what is generated.
BUNDLED = ("digits", "breast-cancer", "docs-sklearn", "beats")
# Rows that train and that test, or as many as there are.
ROWS, SMALL_ROWS = (600, 1500), (150, 300)


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one set that train and that test, and their classes."""

    X: np.ndarray
    X_test: np.ndarray
    y: np.ndarray
    y_test: np.ndarray

    def first(self, n_train, n_test):
        """Return the first of both, which were drawn at random."""
        train, test = slice(n_train), slice(n_test)
        return Split(self.X[train], self.X_test[test], self.y[train], self.y_test[test])


@dataclass(frozen=True)
class Study:
    """One question, and what is done to answer it.

    Parameters
    ----------
    name : str
        What its files are called.
    question, measure : str
        What is asked, and what would be an answer; both were there before the runs.
    trials : callable
        From whether the study is small to the trials, a dict each, that are run with
        each set and seed.
    run : callable
        From a split, a seed and a trial to what was found, a dict of numbers.
    report : callable
        From the rows to Markdown and a figure.
    sets, small_sets : tuple of str
        The data, and those of a small run.
    """

    name: str
    question: str
    measure: str
    trials: Callable
    run: Callable
    report: Callable
    sets: tuple[str, ...] = SETS
    small_sets: tuple[str, ...] = BUNDLED

    def main(self, given=None):
        """Run what is not there yet, and write what there is."""
        args = self.arguments(given)
        quiet()
        args.results.mkdir(parents=True, exist_ok=True)
        records = Records(args.results / f"{self.name}.csv")
        for seed in range(args.seeds):
            for set_name in args.sets:
                self.run_missing(records, set_name, seed, args)
        self.write(records.rows, args.results, args.small)

    def arguments(self, given):
        """Read the command line."""
        parser = argparse.ArgumentParser(description=self.question)
        parser.add_argument(
            "--small",
            action="store_true",
            help=f"bundled sets, one seed, into {SMALL_RESULTS}",
        )
        parser.add_argument("--mnist", help="an npz file with x_train and y_train")
        parser.add_argument("--cifar", help="an npz file with CIFAR-10 as JPEGs")
        parser.add_argument("--sets", nargs="+", choices=[*sources(), *self.sets])
        parser.add_argument("--seeds", type=int)
        parser.add_argument("--results", type=Path)
        args = parser.parse_args(given)
        args.results = args.results or (SMALL_RESULTS if args.small else RESULTS)
        args.seeds = args.seeds or (1 if args.small else 3)
        args.sets = args.sets or (self.small_sets if args.small else self.sets)
        return args

    def run_missing(self, records, set_name, seed, args):
        """Run the trials of one set and seed that are not there."""
        of, trials = {"set": set_name, "seed": seed}, self.trials(args.small)
        todo = [trial for trial in trials if not records.find(trial | of)]
        if not todo:
            return
        try:
            data = self.data_of(set_name, seed, args)
        except Missing as reason:
            print(f"{set_name} is left out: it {reason}.", file=sys.stderr)
            return
        for trial in todo:
            start = time.process_time()
            found = self.run(data, seed, trial)
            seconds = time.process_time() - start
            records.add({**of, **trial, **rounded(found), "s": f"{seconds:.1f}"})

    def data_of(self, set_name, seed, args):
        """Return the split of a set that a seed draws, or raise Missing."""
        source = sources(args.mnist, args.cifar)[set_name]
        return Split(*split(source, seed)).first(*(SMALL_ROWS if args.small else ROWS))

    def whole(self, rows, small):
        """Return the rows of all trials, of sets and seeds where none is missing."""
        wanted = [{k: str(v) for k, v in of.items()} for of in self.trials(small)]
        groups = {}
        for row in rows:
            groups.setdefault((row["set"], row["seed"]), []).append(row)
        found = [
            [next((r for r in group if of.items() <= r.items()), None) for of in wanted]
            for group in groups.values()
        ]
        return [row for group in found if None not in group for row in group]

    def write(self, rows, folder, small):
        """Write the report and its picture."""
        rows = self.whole(rows, small)
        if not rows:
            print("No set has all of its trials yet: no report.", file=sys.stderr)
            return
        text, figure = self.report(rows)
        figure.savefig(folder / f"{self.name}.png", dpi=150)
        parts = [
            f"# {self.question}",
            f"**Measure.** {self.measure}",
            f"**Runs.** {what_was_run(rows)}",
            f"![{self.question}]({self.name}.png)",
            text,
        ]
        page = "\n\n".join(parts) + "\n"
        (folder / f"{self.name}.md").write_text(page, encoding="utf-8")


def what_was_run(rows):
    """Say how much the report is made of."""
    seeds = Counter(name for name, _ in {(row["set"], row["seed"]) for row in rows})
    names = dict.fromkeys(row["set"] for row in rows)
    sets = ", ".join(f"{name} ({seeds[name]})" for name in names)
    minutes = sum(float(row["s"]) for row in rows) / 60
    return (
        f"Sets, and how many seeds of each: {sets}. {len(rows)} runs, {minutes:.1f} "
        "minutes of one core. A mean over sets stands with its 95 % interval by "
        "Student's t, a set's own mean with that over its seeds. Where several "
        "differences are compared, their intervals are as much wider as all need to "
        "hold at once (Bonferroni). **Bold** is one that leaves out 0."
    )


def quiet():
    """Take one thread, and say nothing of single fits."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    warnings.simplefilter("ignore")


def rounded(found):
    """Return numbers with five digits."""
    return {name: f"{value:.5g}" for name, value in found.items()}


# ---- what is measured -------------------------------------------------------------


def measured(encoder, data, n_norms=None):
    """Fit an encoder; return its test error in %, mean ‖J‖ and reconstruction loss.

    The mean is of the first test rows, or of all.
    """
    encoder = encoder.fit(data.X)
    codes = encoder.transform(data.X), encoder.transform(data.X_test)
    return {
        "error": ridge_error(*codes, data.y, data.y_test),
        "norm": jacobian_norm(encoder, data.X_test[:n_norms]).mean(),
        "reconstruction": -encoder.score(data.X_test),
    }


def chosen(make, values, data, seed):
    """Return the value whose encoder a ridge likes best on a fifth of the training."""
    X, X_held, y, y_held = train_test_split(
        data.X, data.y, test_size=0.2, stratify=data.y, random_state=seed
    )

    def error(value):
        encoder = make(value).fit(X)
        return ridge_error(encoder.transform(X), encoder.transform(X_held), y, y_held)

    return min(values, key=error)


# ---- what is said of it -----------------------------------------------------------


def values(rows, name, **of):
    """Return a number of all rows of some trial, by set and seed."""
    wanted = {key: str(value) for key, value in of.items()}
    return {
        (row["set"], row["seed"]): float(row[name])
        for row in rows
        if wanted.items() <= row.items()
    }


def less(one, other):
    """Return the differences of what has the same set and seed."""
    return {key: one[key] - other[key] for key in one if key in other}


def of_set(found, name):
    """Return the numbers of one set, a seed each."""
    return [value for (set_name, _), value in found.items() if set_name == name]


def by_set(found):
    """Return the mean over the seeds of each set."""
    names = dict.fromkeys(name for name, _ in found)
    return {name: np.mean(of_set(found, name)) for name in names}


def interval(sample, n_compared=1):
    """Return the mean and the half width of its 95 % interval, by Student's t.

    It is wider if several are compared, so that all of them hold at once with 95 %.
    """
    n = len(sample)
    if n < 2:
        return float(np.mean(sample)), float("nan")
    quantile = t.ppf(1 - 0.025 / n_compared, n - 1)
    half = quantile * np.std(sample, ddof=1) / np.sqrt(n)
    return float(np.mean(sample)), float(half)


def level(found, digits=2):
    """Return the mean over sets as text, without an interval: sets are not alike."""
    return f"{np.mean(list(by_set(found).values())):.{digits}f}" if found else ""


def as_text(sample, digits=2, n_compared=1):
    """Return a mean and its interval as text."""
    mean, half = interval(sample, n_compared)
    return f"{mean:.{digits}f}" + ("" if np.isnan(half) else f" ± {half:.{digits}f}")


def cell(found, digits=2, n_compared=1):
    """Return the mean over sets, whose means over seeds vary by so much, as text."""
    sample = list(by_set(found).values())
    return as_text(sample, digits, n_compared) if found else ""


def change(found, n_compared=1, digits=2):
    """Return a difference's cell, bold where it is told from 0 among so many."""
    text = cell(found, digits, n_compared)
    if not text:
        return text
    mean, half = interval(list(by_set(found).values()), n_compared)
    return f"**{text}**" if abs(mean) > half else text


def table_of_sets(columns, digits=2):
    """Write a line for each set: of each column the mean over its seeds."""
    names = dict.fromkeys(name for found in columns.values() for name in by_set(found))
    lines = [
        [name, *(as_text(of_set(found, name), digits) for found in columns.values())]
        for name in names
    ]
    return table(["set", *columns], lines)


def plain_ticks(axes):
    """Write at most five numbers below a logarithmic axis, and 0.2 for 2 × 10⁻¹."""
    low, high = axes.get_xlim()
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)))
    ticks = np.outer(decades, (1, 1.5, 2, 3, 5, 7)).ravel()
    ticks = ticks[(low <= ticks) & (ticks <= high)]
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: 1 + len(ticks) // 6]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def draw_dots(axes, arms):
    """Draw a row for each set, and for each arm a dot for each seed beside the others.

    The arms are mappings from names to numbers by set and seed.
    """
    sets = list(by_set(next(iter(arms.values()))))
    for k, (arm, found) in enumerate(arms.items()):
        points = [(value, sets.index(name)) for (name, _), value in found.items()]
        x, row = np.array(points).T
        shift = 0.7 * ((k + 0.5) / len(arms) - 0.5)
        axes.plot(x, row + shift, ".", ms=9, color=f"C{k}", label=arm)
    axes.axvline(0, color="0.7", lw=1)
    axes.set_yticks(range(len(sets)), sets)
    axes.set_ylim(len(sets) - 0.5, -0.5)


def drawn_differences(arms, xlabel):
    """Draw differences, set by set."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    draw_dots(axes, arms)
    axes.set_xlabel(xlabel)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def less_base(arms, base):
    """Return what each other arm has more than this one."""
    return {name: less(arm, arms[base]) for name, arm in arms.items() if name != base}
