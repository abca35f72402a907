"""A grid over λ on digits with one job and with two, in processes and in threads.

    python benchmarks/speed/grid.py

Each side has one torch thread to a fit. "Cold" is the first parallel search of a
process, which starts its workers, each of which imports torch; "warm" is the next.
"""

import argparse
import subprocess
import sys
import time
import warnings
from functools import partial

import joblib
import numpy as np
import torch
from measure import in_turn, table, write
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder

WARNINGS_OFF = "ignore::sklearn.exceptions.ConvergenceWarning"


def search(n_values, n_jobs, backend, max_iter):
    """Search over λ with three folds."""
    X, y = load_digits(return_X_y=True)
    encoder = ContractiveAutoencoder(64, max_iter=max_iter, random_state=0)
    model = Pipeline([("code", encoder), ("svm", LinearSVC(C=0.1))])
    grid = {"code__jacobian_penalty": np.geomspace(0.01, 1, n_values).tolist()}
    with joblib.parallel_backend(backend):
        GridSearchCV(model, grid, cv=3, n_jobs=n_jobs, refit=False).fit(
            (X / 16).astype(np.float32), y
        )


def compare(n_values, backend, max_iter, rounds):
    """Print seconds with one job, with two cold, and the medians with two warm."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    search(1, 1, "loky", max_iter)
    started = time.perf_counter()
    search(n_values, 2, backend, max_iter)
    cold = time.perf_counter() - started
    one, two = one_and_two(
        lambda n_jobs: search(n_values, n_jobs, backend, max_iter), rounds
    )
    print(one, cold, two)


def one_and_two(function, rounds):
    """Time function(1) and function(2) in turn; format the seconds."""
    times = in_turn({n: partial(function, n) for n in (1, 2)}, rounds=rounds, seconds=0)
    return [f"{times[n]:.2f}" for n in (1, 2)]


def threads_of_small_fits(rounds):
    """Fit digits with torch set to one thread and to two, in turn."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    X = (load_digits().data / 16).astype(np.float32)

    def fit(count):
        torch.set_num_threads(count)
        ContractiveAutoencoder(max_iter=40, random_state=0).fit(X).transform(X)

    return one_and_two(fit, rounds)


def large_fits_in_threads(rounds):
    """Fit two large models one after the other, and in two Python threads."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(2)
    X = np.random.default_rng(0).random((4000, 784), dtype=np.float32)

    def fit(seed):
        ContractiveAutoencoder(1000, max_iter=2, random_state=seed).fit(X)

    def fit_both(n_jobs):
        joblib.Parallel(n_jobs, backend="threading")(
            joblib.delayed(fit)(seed) for seed in range(2)
        )

    return one_and_two(fit_both, rounds)


def main():
    """Measure each size in a fresh process, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--values", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compare", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.compare:
        compare(int(args.compare[0]), args.compare[1], args.epochs, args.rounds)
        return
    lines = []
    for backend in ("loky", "threading"):
        for n_values in args.values:
            out = subprocess.run(
                [
                    *(sys.executable, "-W", WARNINGS_OFF, __file__),
                    *("--compare", str(n_values), backend),
                    *("--epochs", str(args.epochs), "--rounds", str(args.rounds)),
                ],
                capture_output=True,
                text=True,
                check=True,
            )
            one, cold, two = map(float, out.stdout.split())
            lines.append(
                [
                    *(backend, n_values, 3 * n_values, f"{one:.1f}", f"{two:.1f}"),
                    *(f"{one / two:.2f}", f"{one / cold:.2f}"),
                ]
            )
    small, large = threads_of_small_fits(15), large_fits_in_threads(5)
    header = ["backend", "λ", "fits", "1 job, s", "2 jobs, s", "warm", "cold"]
    text = (
        f"Digits, 64 units, {args.epochs} epochs, a linear SVM on top, three folds. "
        "The last two columns are the time of one job over that of two.\n\n"
        + table(header, lines)
        + "\n\nA fit of digits (256 units, 40 epochs) alone takes "
        f"{small[0]} s with torch set to one thread and {small[1]} s with two "
        "(medians of 15, in turn): such a fit takes one in either case."
        "\n\nTwo fits of 4000 rows, 784→1000, two epochs, with torch set to two "
        f"threads: {large[0]} s one after the other, {large[1]} s in two Python "
        "threads, which share them (medians of 5, in turn)."
    )
    write("grid", "Search with two jobs", text, "python benchmarks/speed/grid.py")


if __name__ == "__main__":
    main()
