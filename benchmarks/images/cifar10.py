"""Fill the table of one-layer features of CIFAR-10 by one resumable command.

Patches, an encoder, dense extraction, pooling over quadrants, a linear SVM (Coates, Ng
and Lee, 2011), with everything equal but the encoder of patches. The settings of each
encoder and the SVM's C are chosen on training rows; the test rows are read once.

    python -m benchmarks.images.cifar10 --data-file cifar-10-python.tar.gz
    python -m benchmarks.images.cifar10 --data-file FILE --train 4000 --test 2000

Each run is a row of CSV as soon as it is done, and what is there is not run again.
"""

import argparse
import json
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from benchmarks.images import report
from benchmarks.images.models import MODELS, norm_of_jacobian
from benchmarks.images.svm import LinearSVM, standardise
from benchmarks.records import Records
from benchmarks.speed.measure import commit
from skcae import PatchEncoder
from skcae.datasets import load_cifar10

RESULTS = Path(__file__).parents[1] / "results" / "images"
CS = (0.1, 1.0, 10.0, 100.0, 1000.0)
# Of the training rows that are for choosing.
VALIDATION_PART = 0.2
# Settings are chosen with so many units, and used with any number.
UNITS_TO_CHOOSE_WITH = 400
# At so many test images the norm of the Jacobian is estimated.
N_OF_NORMS = 16


def codes_of(model, n_units, settings, images, others, args):
    """Fit on images and encode them and others; return the times that it took, too."""
    if model.make is None:
        return None, images.copy(), others.copy(), 0.0, 0.0
    how = {"max_iter": args.epochs, "random_state": args.seed}
    encoder = PatchEncoder(
        model.encoder(n_units, settings, **how),
        image_shape=(32, 32, 3),
        n_patches=args.patches,
        pooling="sum",
        code=model.code,
        random_state=args.seed,
    )
    start = time.process_time()
    encoder.fit(images)
    fitted = time.process_time()
    codes = encoder.transform(images), encoder.transform(others)
    return encoder, *codes, fitted - start, time.process_time() - fitted


def choose(name, train, args, key, records):
    """Return the settings that are best on held-out training rows, of fewer images."""
    grid = MODELS[name].grid
    if len(grid) == 1:
        return grid[0]
    X, y = (part[: args.choose] for part in train)
    n = len(X) - int(len(X) * VALIDATION_PART)
    tried = []
    for settings in grid:
        n_units = UNITS_TO_CHOOSE_WITH
        this = {**key, "units": n_units, "settings": json.dumps(settings)}
        row = records.find(this)
        if row is None:
            found = codes_of(MODELS[name], n_units, settings, X[:n], X[n:], args)
            codes = np.concatenate(found[1:3])
            standardise(codes[:n], codes[n:])
            error, C, _ = best_of_Cs(codes, y)
            row = {**this, "C": C, "validation_error": f"{error:.4f}"}
            records.add(row)
        tried.append((float(row["validation_error"]), settings))
    return min(tried, key=lambda trial: trial[0])[1]


def best_of_Cs(codes, y):
    """Return the least error on the last of standardised rows, its C, and that SVM.

    C rises from one to the next, which begins where the one before ended. What lies
    beyond a rise of the error is not tried.
    """
    n = len(codes) - int(len(codes) * VALIDATION_PART)
    found, svm = [], None
    for C in CS:
        svm = LinearSVM(C).fit(codes[:n], y[:n], svm)
        found.append((svm.error(codes[n:], y[n:]), C, svm))
        if found[-1] is not min(found, key=lambda trial: trial[0]):
            break
    return min(found, key=lambda trial: trial[0])


def run(name, n_units, train, test, args, key, choices, runs):
    """Add one row of the table."""
    settings = choose(name, train, args, key, choices)
    model = MODELS[name]
    encoder, seen, held_out, fit_s, encode_s = codes_of(
        model, n_units, settings, train[0], test[0], args
    )
    n_encoded = len(seen) + len(held_out)
    standardise(seen, held_out)
    validation_error, C, svm = best_of_Cs(seen, train[1])
    svm = LinearSVM(C).fit(seen, train[1], svm)
    norm = np.nan
    if encoder is not None:
        some = test[0][:N_OF_NORMS].astype(np.float64)
        norm = norm_of_jacobian(encoder.transform, some).mean()
    runs.add(
        {
            **key,
            "settings": json.dumps(settings),
            "C": C,
            "validation_error": f"{validation_error:.4f}",
            "test_error": f"{svm.error(held_out, test[1]):.4f}",
            "n_features": seen.shape[1],
            "fit_s": f"{fit_s:.1f}",
            "encode_ms_per_image": f"{1e3 * encode_s / n_encoded:.3f}",
            "jacobian_norm": f"{norm:.3f}",
            "commit": commit(),
        }
    )


def first(n, *parts):
    """Return the first rows and classes of several parts."""
    X, y = parts[0]
    if n > len(X):
        X, y = (np.concatenate(both) for both in zip(*parts, strict=True))
    return X[:n], y[:n]


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-file", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--units", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--train", type=int, default=50_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument(
        "--choose", type=int, default=10_000, help="training images to choose by"
    )
    parser.add_argument("--patches", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    args.results.mkdir(parents=True, exist_ok=True)
    choices, runs = (
        Records(args.results / f"{name}.csv") for name in ("choices", "runs")
    )
    data = load_cifar10(args.data_file)
    parts = (data.X_train, data.y_train), (data.X_valid, data.y_valid)
    train = first(args.train, *parts)
    test = first(args.test, (data.X_test, data.y_test))
    how = {
        "train": args.train,
        "test": args.test,
        "choose": args.choose,
        "patches": args.patches,
        "epochs": args.epochs,
        "seed": args.seed,
        "data": args.data_file.name,
    }
    with threadpool_limits(1):
        for n_units, name in product(args.units, args.models):
            key = {"model": name, "units": 0 if name == "raw" else n_units, **how}
            if runs.find(key) is None:
                run(name, n_units, train, test, args, key, choices, runs)
            # Another process may have added rows.
            alike = {name: how[name] for name in how if name != "patches"}
            report.write(Records(runs.path).all(alike), args.results)


if __name__ == "__main__":
    main()
