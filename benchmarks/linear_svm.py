"""Compare contractive features with raw pixels in a linear SVM.

The question of Rifai et al. (ICML 2011), put to a linear SVM: raw pixels, PCA, a basic
autoencoder's code and a contractive one's, all on the same splits. The strength of the
penalty and the SVM's C are chosen by cross-validation inside the training rows; the
test rows are read once, by the model chosen.

    python benchmarks/linear_svm.py
    python benchmarks/linear_svm.py --data mnist --data-file mnist.npz --seeds 3
"""

import argparse
import csv
import os
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import fetch_openml, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from skcae import ContractiveAutoencoder
from skcae.inspection import jacobian_norm, saturation

NAMES = {
    "raw": "raw pixels",
    "pca": "PCA",
    "ae": "basic autoencoder",
    "cae": "contractive autoencoder",
}
C_GRID = [0.01, 0.1, 1.0, 10.0]


@dataclass
class Task:
    """One data set, one way to split it, and the settings that suit it."""

    name: str
    splits: list  # (X_train, y_train, X_test, y_test) for each seed
    one_test_set: bool
    n_components: int
    training: dict
    cv: object
    penalties: list
    image_shape: tuple


# ---- data -----------------------------------------------------------------------


def digits_task(args):
    """Take half for training and half for testing, another half for each seed."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    halves = StratifiedShuffleSplit(args.seeds or 5, test_size=0.5, random_state=0)
    splits = [(X[a], y[a], X[b], y[b]) for a, b in halves.split(X, y)]
    if args.n_train:
        splits = [
            (X[: args.n_train], y[: args.n_train], *test) for X, y, *test in splits
        ]
    return Task(
        name="digits",
        splits=splits,
        one_test_set=False,
        n_components=args.n_components or 256,
        training={
            "bias_spread": 0,
            "max_iter": args.epochs or 200,
            "batch_size": 32,
            "learning_rate": 0.1,
        },
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
        penalties=[0.01, 0.03, 0.1, 0.3],
        image_shape=(8, 8),
    )


def images_task(args):
    """Take the first training images and all test images, whatever the seed."""
    X, y, X_test, y_test, image_shape = load_images(args)
    n_train = args.n_train or 10_000
    split = (X[:n_train], y[:n_train], X_test, y_test)
    return Task(
        name=args.data,
        splits=[split] * (args.seeds or 1),
        one_test_set=True,
        n_components=args.n_components or 1000,
        training={
            "bias_spread": 0,
            "max_iter": args.epochs or 60,
            "batch_size": 100,
            "learning_rate": 0.01,
        },
        cv=StratifiedShuffleSplit(1, test_size=0.2, random_state=0),
        penalties=[0.03, 0.1, 0.3, 1.0],
        image_shape=image_shape,
    )


def load_images(args):
    """Load x_train, y_train, x_test, y_test, scaled to [0, 1] and flattened."""
    if args.data_file:
        X, y, X_test, y_test = load_file(args.data_file)
    elif args.data == "mnist":
        pixels, labels = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
        images = pixels.reshape(-1, 28, 28)
        X, X_test = images[:60_000], images[60_000:]
        y, y_test = labels[:60_000], labels[60_000:]
    else:
        raise SystemExit("--data npz needs --data-file")
    if X.min() < 0 or X.max() == 0:
        raise SystemExit(
            "images must not be negative nor all zero, but x_train ranges from "
            f"{X.min()} to {X.max()}"
        )
    scale = float(X.max())
    flat, flat_test = (
        (images.reshape(len(images), -1) / scale).astype(np.float32)
        for images in (X, X_test)
    )
    return flat, y, flat_test, y_test, X.shape[1:]


def load_file(path):
    """Load the four arrays of an npz file."""
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path) as data:
            return [data[name] for name in names]
    except (OSError, KeyError, ValueError) as error:
        raise SystemExit(
            f"{path} is no npz file with {', '.join(names)}: {error}"
        ) from None


# ---- one run --------------------------------------------------------------------


def make_encoder(method, task, seed):
    """Make the encoder of a method and the grid of what is to be chosen for it."""
    if method == "raw":
        return FunctionTransformer(), {}
    if method == "pca":
        grid = {"code__n_components": [0.8, 0.9, 0.95, 0.99]}
        return PCA(svd_solver="full"), grid
    encoder = ContractiveAutoencoder(
        task.n_components,
        loss="cross_entropy",
        random_state=seed,
        **task.training,
    )
    if method == "ae":
        return encoder.set_params(jacobian_penalty=0.0), {}
    return encoder, {"code__jacobian_penalty": task.penalties}


def run(method, task, seed):
    """Choose, fit and test one method on one split."""
    # Tasks run side by side, so each keeps to one thread.
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y, X_test, y_test = task.splits[seed]
    encoder, grid = make_encoder(method, task, seed)
    model = Pipeline([("code", encoder), ("svm", LinearSVC(random_state=seed))])
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        # The cache trains a code once for a fold and a penalty, not again for each C.
        search = GridSearchCV(
            clone(model).set_params(memory=joblib.Memory(cache, verbose=0)),
            {**grid, "svm__C": C_GRID},
            cv=task.cv,
            refit=False,
            error_score="raise",
        ).fit(X, y)
    model.set_params(**search.best_params_)
    begin = time.perf_counter()
    codes = encoder.fit_transform(X)
    fit_time = time.perf_counter() - begin
    svm = model["svm"].fit(codes, y)
    error = 1.0 - svm.score(encoder.transform(X_test), y_test)
    is_autoencoder = method in ("ae", "cae")
    return {
        "data": task.name,
        "method": method,
        "seed": seed,
        "n_train": len(X),
        "n_test": len(X_test),
        "error": error,
        "jacobian_norm": jacobian_norm(encoder, X_test).mean()
        if is_autoencoder
        else "",
        "saturation": saturation(encoder, X_test).mean() if is_autoencoder else "",
        "fit_seconds": fit_time,
        "search_seconds": time.perf_counter() - started - fit_time,
        "chosen": " ".join(
            f"{key.split('__')[1]}={value:g}"
            for key, value in sorted(search.best_params_.items())
        ),
    }, (encoder if is_autoencoder and seed == 0 else None)


def run_all(task, methods):
    """Run every method on every split, two at a time, and say how far it is."""
    jobs = [
        joblib.delayed(run)(method, task, seed)
        for method in methods
        for seed in range(len(task.splits))
    ]
    print(f"{len(jobs)} runs on {task.name}", file=sys.stderr, flush=True)
    rows, encoders = [], {}
    started = time.perf_counter()
    n_jobs = min(os.cpu_count() or 1, len(jobs))
    # Parallel takes its backend, and the threads of each worker, when it is made.
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        for row, encoder in parallel(jobs):
            rows.append(row)
            if encoder is not None:
                encoders[row["method"]] = encoder
            print(
                f"[{len(rows):2d}/{len(jobs)}, {time.perf_counter() - started:5.0f} s] "
                f"{NAMES[row['method']]}, seed {row['seed']}: "
                f"{100 * row['error']:.2f} % error ({row['chosen']})",
                file=sys.stderr,
                flush=True,
            )
    rows.sort(key=lambda row: (methods.index(row["method"]), row["seed"]))
    return rows, encoders


# ---- the report -----------------------------------------------------------------


def half_width(errors, task):
    """Return the half-width of the 95 % interval of the mean error.

    Over splits it is Student's; the seeds of one test set share its sampling error,
    which is the binomial's.
    """
    if task.one_test_set:
        p, n_test = np.mean(errors), len(task.splits[0][3])
        return 1.96 * np.sqrt(p * (1 - p) / n_test)
    if len(errors) < 2:
        return None
    return stats.t.ppf(0.975, len(errors) - 1) * stats.sem(errors)


def summarise(rows, task, methods):
    """Make one line of the table for each method."""
    table = []
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        errors = [row["error"] for row in mine]
        width = half_width(errors, task)
        interval = "" if width is None else f" ± {100 * width:.2f}"
        line = {
            "features": NAMES[method],
            "test error, %": f"{100 * np.mean(errors):.2f}{interval}",
        }
        for title, key, form in [
            ("mean ‖J‖_F", "jacobian_norm", "{:.2f}"),
            ("saturation, %", "saturation", "{:.1f}"),
            ("fit, s", "fit_seconds", "{:.1f}"),
        ]:
            scale = 100 if key == "saturation" else 1
            values = [scale * row[key] for row in mine if row[key] != ""]
            line[title] = form.format(np.mean(values)) if values else "–"
        line["chosen"] = "; ".join(all_chosen(row["chosen"] for row in mine))
        table.append(line)
    return table


def all_chosen(choices):
    """List for each parameter the values that were chosen for it."""
    values = {}
    for choice in choices:
        for key, value in (part.split("=") for part in choice.split()):
            values.setdefault(key, set()).add(float(value))
    for key, chosen in values.items():
        yield f"{key} {', '.join(f'{value:g}' for value in sorted(chosen))}"


def verdict(rows, methods):
    """Say in a sentence what won."""
    errors = {
        method: np.array([row["error"] for row in rows if row["method"] == method])
        for method in methods
    }
    best, *others = sorted(methods, key=lambda method: errors[method].mean())
    sentence = (
        f"The {NAMES[best]} won with {100 * errors[best].mean():.2f} % test error"
    )
    if others:
        second = others[0]
        gap = errors[second] - errors[best]
        sentence += (
            f", {100 * gap.mean():.2f} points below the next, the {NAMES[second]} "
            f"({100 * errors[second].mean():.2f} %), and lower in {(gap > 0).sum()} of "
            f"{len(gap)} runs"
        )
    return sentence + "."


def markdown(table):
    """Lay out the table for a terminal and for Markdown alike."""
    titles = list(table[0])
    cells = [titles, *([line[title] for title in titles] for line in table)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def draw_filters(encoders, image_shape, path, n_filters=64):
    """Draw the incoming weights of the units with the largest ones."""
    side = int(np.sqrt(n_filters))
    figure = Figure(figsize=(4.8 * len(encoders), 5.0), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    axes = np.atleast_1d(figure.subplots(1, len(encoders)))
    for ax, (method, encoder) in zip(axes, sorted(encoders.items()), strict=True):
        W = encoder.components_
        order = np.argsort(-np.linalg.norm(W, axis=1))[:n_filters]
        filters = W[order].reshape(-1, *image_shape)
        ax.imshow(tile(filters, side), cmap="gray", vmin=-1, vmax=1)
        ax.set_title(f"{NAMES[method]}, λ = {encoder.jacobian_penalty:g}")
        ax.set_axis_off()
    figure.savefig(path, dpi=110)


def tile(filters, side, gap=1):
    """Lay filters on a grid, each scaled to its largest weight."""
    height, width = np.array(filters.shape[1:]) + gap
    canvas = np.ones((side * height - gap, side * width - gap))
    for k, w in enumerate(filters):
        i, j = k // side * height, k % side * width
        canvas[i : i + height - gap, j : j + width - gap] = w / max(
            np.abs(w).max(), np.finfo(w.dtype).tiny
        )
    return canvas


def write_csv(rows, path):
    """Write dictionaries of the same keys."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def save(rows, table, text, encoders, task, folder):
    """Write runs, table and picture to a folder, and return the files' names."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(rows, folder / "runs.csv")
    write_csv(table, folder / "table.csv")
    (folder / "table.md").write_text(text + "\n", encoding="utf-8")
    names = ["runs.csv", "table.csv", "table.md"]
    if encoders and len(task.image_shape) == 2:
        draw_filters(encoders, task.image_shape, folder / "filters.png")
        names.append("filters.png")
    return names


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["digits", "mnist", "npz"], default="digits")
    parser.add_argument(
        "--data-file", type=Path, help="npz with x_train, y_train, x_test, y_test"
    )
    parser.add_argument("--n-train", type=int, help="use only the first training rows")
    parser.add_argument("--n-components", type=int, help="hidden units")
    parser.add_argument("--epochs", type=int, help="epochs of each autoencoder")
    parser.add_argument(
        "--defaults", action="store_true", help="train as by default, λ included"
    )
    parser.add_argument("--methods", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", type=int, help="splits, or initial weights")
    parser.add_argument("--output", type=Path, help="folder of the results")
    args = parser.parse_args(arguments)
    if args.data == "digits" and args.data_file:
        parser.error("--data-file goes with --data mnist or npz")
    args.methods = list(dict.fromkeys(args.methods))
    return args


def main(arguments=None):
    """Run the comparison, print it and save it."""
    args = parse(arguments)
    task = digits_task(args) if args.data == "digits" else images_task(args)
    if args.defaults:
        penalty = ContractiveAutoencoder().jacobian_penalty
        task = replace(task, training={}, penalties=[penalty])
    folder = args.output or Path("results") / f"linear_svm_{args.data}"
    rows, encoders = run_all(task, args.methods)
    table = summarise(rows, task, args.methods)
    text = f"{markdown(table)}\n\n{verdict(rows, args.methods)}"
    names = save(rows, table, text, encoders, task, folder)
    print(f"\n{text}\n\nSaved in {folder}: {', '.join(names)}")


if __name__ == "__main__":
    main()
