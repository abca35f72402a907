"""What a search for λ by short fits costs, and what it gives away.

`ContractiveAutoencoderCV` fits an encoder for a part of the epochs for each λ, and one
for all epochs with the best; its judge, a linear SVM, has its C chosen on the same
codes. The full search is the same with all epochs for each λ. Both choose by the same
division of the training rows, and test rows say what λ and C are worth, after a full
fit to all training rows: the difference is the regret. Of the first seed also other
searches are timed, of which `GridSearchCV` is one. All run in turn in one process, on
one thread, by the clock of that process. A search is measured in fits: the time of one
encoder of all epochs, on all training rows.

    nice -n 10 python benchmarks/penalty_search.py
    python benchmarks/penalty_search.py --sets wine --seeds 0
"""

import argparse
import csv
import math
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_wine,
    make_classification,
)
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedShuffleSplit,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from skcae import ContractiveAutoencoder
from skcae.exceptions import DeadModelWarning
from skcae.model_selection import ContractiveAutoencoderCV, jacobian_penalty_grid
from skcae.model_selection._search import PART_OF_EPOCHS

RESULTS = Path(__file__).parent / "results" / "penalty_search"
N_PENALTIES = 8
C_GRID = (0.1, 1.0, 10.0)
SEEDS = (0, 1, 2)
COLUMNS = ("set", "seed", "arm", "penalty", "C", "error", "seconds", "fits")
SHORT, FULL = "short fits", "full fits"
LAMBDA, C = "contractiveautoencoder__jacobian_penalty", "linearsvc__C"
# The searches that only the first seed times.
TIMED = {
    "encoders": "short fits, judge of no cost",
    "λ": "short fits, λ alone",
    "grid λ": "GridSearchCV, λ alone",
    "grid": "GridSearchCV",
    "by hand": "short fits by GridSearchCV, full one by hand",
}


# ---- data -----------------------------------------------------------------------


def classification(seed):
    """Draw clusters in 40 columns, of which 12 tell four classes."""
    return make_classification(
        4000,
        40,
        n_informative=12,
        n_redundant=8,
        n_classes=4,
        class_sep=1.2,
        random_state=seed,
    )


def manifold(seed):
    """Draw a curved surface of 5 dimensions in 40 noisy columns; a product tells."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((4000, 5))
    X = np.tanh(Z @ rng.standard_normal((5, 40)))
    y = (Z[:, 0] * Z[:, 1] > 0) + 2 * (Z[:, 2] > 0)
    return X + 0.3 * rng.standard_normal(X.shape), y


SETS = {
    "digits": lambda seed: load_digits(return_X_y=True),
    "breast_cancer": lambda seed: load_breast_cancer(return_X_y=True),
    "wine": lambda seed: load_wine(return_X_y=True),
    "clusters": classification,
    "manifold": manifold,
}
MOST_ROWS = 400


def divided(name, seed):
    """Return scaled rows to train and to test on, and their labels."""
    X, y = SETS[name](seed)
    n_train = min(MOST_ROWS, len(X) // 2)
    X, X_test, y, y_test = train_test_split(
        X, y, train_size=n_train, stratify=y, random_state=seed
    )
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), scaler.transform(X_test), y, y_test


# ---- what is compared -----------------------------------------------------------


def search(encoder, cv, **how):
    """Make a search of eight λ and three C."""
    given = {"judge": LinearSVC(random_state=0), "judge_grid": {"C": C_GRID}}
    return ContractiveAutoencoderCV(
        encoder=encoder, penalties=N_PENALTIES, cv=cv, **{**given, **how}
    )


def by_hand(pipeline, grid, cv):
    """Return a fit: GridSearchCV over short ones, and a full one with the best."""
    n_epochs = round(PART_OF_EPOCHS * pipeline[0].max_iter)
    short = clone(pipeline).set_params(contractiveautoencoder__max_iter=n_epochs)

    def fit(X, y):
        found = GridSearchCV(short, grid, cv=cv, refit=False).fit(X, y)
        clone(pipeline).set_params(**found.best_params_).fit(X, y)
        return found

    return fit


def timed_searches(encoder, cv, X):
    """Give the fit of each search that only the first seed times."""
    pipeline = make_pipeline(encoder, LinearSVC(random_state=0))
    penalties = {LAMBDA: jacobian_penalty_grid(X, N_PENALTIES)}
    both = {**penalties, C: C_GRID}
    free = {"judge": DummyClassifier(), "judge_grid": None}
    return {
        TIMED["encoders"]: search(encoder, cv, **free).fit,
        TIMED["λ"]: search(encoder, cv, judge_grid=None).fit,
        TIMED["grid λ"]: GridSearchCV(pipeline, penalties, cv=cv).fit,
        TIMED["grid"]: GridSearchCV(pipeline, both, cv=cv).fit,
        TIMED["by hand"]: by_hand(pipeline, both, cv),
    }


def chosen(model):
    """Return the λ and C of a search of ours or of GridSearchCV."""
    best = model.best_params_
    penalty = best.get(LAMBDA, best.get("jacobian_penalty"))
    return float(penalty), best.get(C, best.get("C", ""))


def timed(function, *args):
    """Call it, and return its result with the seconds of the processor it took."""
    start = time.process_time()
    found = function(*args)
    return found, time.process_time() - start


def error_of(model, X, X_test, y, y_test):
    """Return the test error, in %, of the SVM on the codes, with the C that goes."""
    judge = LinearSVC(C=model.best_params_["C"], random_state=0)
    judge.fit(model.transform(X), y)
    return 100 * (1 - judge.score(model.transform(X_test), y_test))


def runs(name, seed, n_times):
    """Give a row for each search of one set and seed."""
    X, X_test, y, y_test = divided(name, seed)
    encoder = ContractiveAutoencoder(random_state=seed)
    divide = StratifiedShuffleSplit(1, test_size=0.25, random_state=seed)
    cv = list(divide.split(X, y))
    one_fit = min(timed(clone(encoder).fit, X)[1] for _ in range(2))

    def row(arm, model, seconds, error=""):
        values = arm, *chosen(model), error, seconds, seconds / one_fit
        return dict(zip(COLUMNS, (name, seed, *values), strict=True))

    full = {"max_iter_search": encoder.max_iter}
    for arm, how in {SHORT: {}, FULL: full}.items():
        model, seconds = timed(search(encoder, cv, **how).fit, X, y)
        yield row(arm, model, seconds, error_of(model, X, X_test, y, y_test))
    for arm, fit in timed_searches(encoder, cv, X).items() if n_times else ():
        yield row(arm, *timed(fit, X, y))


# ---- the report -----------------------------------------------------------------


def regrets(rows):
    """Return the difference in error of short and full fits, by set and seed."""
    errors = {(r["set"], r["seed"], r["arm"]): r["error"] for r in rows}
    return {
        (name, seed): error - errors[name, seed, FULL]
        for (name, seed, arm), error in errors.items()
        if arm == SHORT
    }


def speedup(rows, slow, quick):
    """Return how many times as fast one search is as another, a mean over sets."""
    seconds = {(r["set"], r["seed"], r["arm"]): r["seconds"] for r in rows}
    return np.mean(
        [
            taken / seconds[name, seed, quick]
            for (name, seed, arm), taken in seconds.items()
            if arm == slow
        ]
    )


def report(rows):
    """Write what was measured as tables."""
    found = regrets(rows)
    values = np.array(list(found.values()))
    by_arm = {
        arm: [r["fits"] for r in rows if r["arm"] == arm]
        for arm in (SHORT, FULL, *TIMED.values())
    }
    encoder = ContractiveAutoencoder()
    lines = [
        "# A search for λ by short fits",
        "",
        f"Eight λ and {len(C_GRID)} C of a linear SVM, with the defaults of "
        f"`ContractiveAutoencoder` ({encoder.n_components} units, at most "
        f"{encoder.max_iter} epochs), at most {MOST_ROWS} training rows, a quarter of "
        "which judge. " + " ".join(str(__doc__).split("\n\n")[1].split()),
        "",
        "| search | cost, in fits: mean | largest |",
        "|---|---|---|",
        *(
            f"| {arm} | {np.mean(fits):.1f} | {np.max(fits):.1f} |"
            for arm, fits in by_arm.items()
            if fits
        ),
        "",
        f"**Regret**: {values.mean():.2f} points, "
        f"± {values.std(ddof=1) / math.sqrt(len(values)):.2f} (standard error over "
        f"{len(values)} sets and seeds).",
        "",
        "**Against GridSearchCV**, over the same grid and division: "
        f"{speedup(rows, TIMED['grid'], SHORT):.1f} times as fast for λ and C, "
        f"{speedup(rows, TIMED['grid λ'], TIMED['λ']):.1f} for λ alone.",
        "",
        "| set | seed | short fits: λ, C | error, % | full fits: λ, C | error, % "
        "| regret |",
        "|---|---|---|---|---|---|---|",
    ]
    of = {(r["set"], r["seed"], r["arm"]): r for r in rows}
    for (name, seed), regret in found.items():
        cells = [
            f"{r['penalty']:.2g}, {r['C']:g} | {r['error']:.1f}"
            for r in (of[name, seed, SHORT], of[name, seed, FULL])
        ]
        lines.append(f"| {name} | {seed} | {' | '.join(cells)} | {regret:+.1f} |")
    return "\n".join([*lines, ""])


def main(given=None):
    """Run all, and write the record and the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(given)
    rows = []
    torch.set_num_threads(1)
    with threadpool_limits(1), warnings.catch_warnings():
        for category in (ConvergenceWarning, DeadModelWarning):
            warnings.simplefilter("ignore", category)
        for name, seed in product(args.sets, args.seeds):
            for row in runs(name, seed, n_times=seed == args.seeds[0]):
                print(*row.values(), flush=True)
                rows.append(row)
    args.results.mkdir(parents=True, exist_ok=True)
    with (args.results / "penalty_search.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    page = args.results / "penalty_search.md"
    page.write_text(report(rows), encoding="utf-8")
    print(report(rows))


if __name__ == "__main__":
    main()
