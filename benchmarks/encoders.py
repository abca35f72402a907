"""Does depth or convolution pay? Codes of several encoders in a linear SVM.

Small digits, larger ones and grey photographs, each as raw pixels and as the codes of
one contractive layer, of layers trained one after the other or together, and of a
convolution. The first stage sees training rows only: each encoder is fitted on a part
of them for every λ, and an SVM on its codes is judged by the rest for every C. The
second fits what was best on all training rows, for each of three seeds, with λ = 0
beside it, and reads the test rows. Finished runs are kept in files and never run again.

    python benchmarks/encoders.py --quick
    python benchmarks/encoders.py --mnist mnist.npz --cifar cifar-10-python.tar.gz
    python benchmarks/encoders.py --mnist mnist.npz --cifar … --test
"""

import argparse
import json
import time
import warnings
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from skcae import ContractiveAutoencoder, ConvolutionalCAE, DeepCAE, StackedCAE
from skcae.datasets import load_cifar10, load_mnist

RESULTS = Path(__file__).parent / "results" / "encoders"
CODE_SIZE = 128
SIZES = (256, CODE_SIZE)
PENALTIES = (0.0, 0.03, 0.1, 0.3, 1.0)
SEEDS = (0, 1, 2)


def convolutional(shape):
    """Make a convolution with max-pooling that leaves each filter 4 × 4 places."""
    window = shape[0] // 4
    return ConvolutionalCAE(
        CODE_SIZE // 16,
        3 if window == 2 else 5,
        image_shape=shape,
        pool="max",
        pool_size=window,
    )


# By name: the encoder of images of a shape, without its λ and how it is trained.
ENCODERS = {
    "one layer": lambda shape: ContractiveAutoencoder(CODE_SIZE, bias_spread=0),
    "stack": lambda shape: StackedCAE(SIZES, bias_spread=0),
    "deep": lambda shape: DeepCAE(SIZES),
    "convolution": convolutional,
}
NAMES = {
    "raw": "raw pixels",
    "one layer": "one layer, `ContractiveAutoencoder`",
    "stack": "two, one after the other, `StackedCAE`",
    "deep": "two together, `DeepCAE`",
    "convolution": "convolution, `ConvolutionalCAE`",
}
N_ROWS = {
    "usps": {"train": 7291, "test": 2007},
    "cifar": {"train": 4000, "test": 2000},
}
# Of which λ the best on training rows is fitted again.
ARMS = {"λ = 0": (0.0,), "λ > 0": PENALTIES[1:]}


# ---- data -----------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A data set, how it is trained on, and by how many splits and what C chosen."""

    title: str
    image_shape: tuple
    training: dict
    n_splits: int
    C_grid: tuple


TASKS = {
    "digits": Task(
        "digits, 8 × 8",
        (8, 8),
        {"max_iter": 60, "batch_size": 20},
        n_splits=3,
        C_grid=(0.001, 0.01, 0.1, 1),
    ),
    "usps": Task(
        "MNIST at 16 × 16",
        (16, 16),
        {"max_iter": 20, "batch_size": 100},
        n_splits=1,
        C_grid=(0.01, 0.1, 1),
    ),
    # Raw pixels, of which there are many, want a small C.
    "cifar": Task(
        "CIFAR-10, grey, 32 × 32",
        (32, 32),
        {"max_iter": 20, "batch_size": 100},
        n_splits=1,
        C_grid=(1e-5, 1e-4, 1e-3, 0.01),
    ),
}


def load(name, part, args):
    """Load the rows to train on and to choose by, "train", or those to "test" on."""
    if name == "digits":
        return digits()[part]
    is_usps = name == "usps"
    images = load_mnist(args.mnist) if is_usps else load_cifar10(args.cifar, grey=True)
    n = N_ROWS[name][part]
    X, y = images[f"X_{part}"][:n], images[f"y_{part}"][:n]
    return (shrunk(X, 28, 16) if is_usps else X), y


def digits():
    """Return two halves of scikit-learn's digits."""
    X, y = load_digits(return_X_y=True)
    halves = train_test_split(X / 16, y, test_size=0.5, stratify=y, random_state=0)
    X, X_test, y, y_test = halves
    X, X_test = X.astype(np.float32), X_test.astype(np.float32)
    return {"train": (X, y), "test": (X_test, y_test)}


def shrunk(X, side, to):
    """Shrink square images, each pixel the mean of what it covers."""
    edges, pixels = np.arange(to + 1) * side / to, np.arange(side)
    ends = np.minimum(edges[1:, None], pixels + 1)
    covered = np.clip(ends - np.maximum(edges[:-1, None], pixels), 0, None) * to / side
    images = covered @ X.reshape(-1, side, side) @ covered.T
    return images.reshape(len(X), -1).astype(np.float32)


# ---- one run --------------------------------------------------------------------


def codes_of(name, task, settings, X, *others):
    """Fit an encoder on X, and return the codes of X and of other rows."""
    if name == "raw":
        return X, *others
    encoder = ENCODERS[name](task.image_shape).set_params(
        **{"loss": "cross_entropy", **task.training, **settings}
    )
    return tuple(map(encoder.fit(X).transform, (X, *others)))


def svm_error(C, H, y, H_test, y_test):
    """Return the error of a linear SVM on codes."""
    svm = make_pipeline(StandardScaler(), LinearSVC(C=C, dual=False, tol=1e-3))
    return 1 - svm.fit(H, y).score(H_test, y_test)


# ---- the two stages -------------------------------------------------------------


class Records:
    """Finished runs, a line of a file each, by what tells them from others."""

    def __init__(self, path, names):
        self.path, self.names = path, names
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # A line that a crash cut off was not finished.
        whole, _, cut = text.rpartition("\n")
        if cut:
            path.write_text(whole + "\n" if whole else "", encoding="utf-8")
        self.known = {self.key(r): r for r in map(json.loads, whole.splitlines())}

    def key(self, record):
        """Return what tells a run from others."""
        return tuple(record[name] for name in self.names)

    def add_missing(self, runs, run):
        """Run what is not there yet."""
        for what in runs:
            if self.key(what) in self.known:
                continue
            started = time.perf_counter()
            record = {**what, **run(what)}
            record["seconds"] = round(time.perf_counter() - started, 2)
            self.known[self.key(what)] = record
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(record, flush=True)


def choices(args):
    """Return the records of the first stage."""
    names = ("data", "encoder", "penalty", "split")
    return Records(args.results / "choices.jsonl", names)


def tests(args):
    """Return the records of the second stage."""
    return Records(args.results / "tests.jsonl", ("data", "encoder", "arm", "seed"))


def choose(args, records):
    """Judge all settings by rows held out of the training rows."""
    for name in args.data:
        task, n_splits = TASKS[name], args.splits or TASKS[name].n_splits
        X, y = load(name, "train", args)
        splits = StratifiedShuffleSplit(n_splits, test_size=0.3, random_state=0)
        rows = [*splits.split(X, y)]

        def judge(what, task=task, X=X, y=y, rows=rows):
            a, b = rows[what["split"]]
            settings = settings_of(what, what["split"], args)
            H, H_held_out = codes_of(what["encoder"], task, settings, X[a], X[b])
            errors = {
                str(C): svm_error(C, H, y[a], H_held_out, y[b]) for C in task.C_grid
            }
            return {"errors": errors, "code_size": H.shape[1]}

        records.add_missing(all_settings(name, args, n_splits), judge)


def all_settings(name, args, n_splits):
    """List what the first stage runs for a data set."""
    settings = [("raw", None), *product(args.encoders, args.penalties)]
    for (encoder, penalty), split in product(settings, range(n_splits)):
        yield {"data": name, "encoder": encoder, "penalty": penalty, "split": split}


def settings_of(record, seed, args):
    """Return the parameters that an encoder takes from a record."""
    settings = {
        "jacobian_penalty": record["penalty"],
        "random_state": seed,
        # All epochs are run.
        "n_iter_no_change": np.inf,
    }
    return settings | ({"max_iter": args.epochs} if args.epochs else {})


def best(records, name, encoder, penalties):
    """Return λ, C and error of what was best on rows held out."""
    errors = {}
    for record in records.known.values():
        is_asked = record["penalty"] is None or record["penalty"] in penalties
        if (record["data"], record["encoder"]) == (name, encoder) and is_asked:
            for C, error in record["errors"].items():
                errors.setdefault((record["penalty"], float(C)), []).append(error)
    if not errors:
        raise SystemExit(f"{encoder} on {name} is not chosen yet: run without --test.")
    means = {settings: np.mean(found) for settings, found in errors.items()}
    penalty, C = min(means, key=means.__getitem__)
    return {"penalty": penalty, "C": C}, means[penalty, C]


def test(args, records, chosen):
    """Fit what was chosen on all training rows, and read the test rows."""
    for name in args.data:
        runs = [{"data": name, "encoder": "raw", "arm": "", "seed": 0}]
        runs += [
            {"data": name, "encoder": encoder, "arm": arm, "seed": seed}
            for encoder, arm, seed in product(args.encoders, ARMS, args.seeds)
        ]
        for run in runs:
            penalties = ARMS.get(run["arm"], ())
            run |= best(chosen, name, run["encoder"], penalties)[0]
        (X, y), (X_test, y_test) = (load(name, p, args) for p in ("train", "test"))

        def read(run, task=TASKS[name], X=X, y=y, X_test=X_test, y_test=y_test):
            settings = settings_of(run, run["seed"], args)
            H, H_test = codes_of(run["encoder"], task, settings, X, X_test)
            error = svm_error(run["C"], H, y, H_test, y_test)
            return {"error": error, "n_test": len(y_test), "code_size": H.shape[1]}

        records.add_missing(runs, read)


# ---- report ---------------------------------------------------------------------


def found_for(records, name, encoder, arm):
    """Return the records of a cell of the table, a seed each."""
    what = name, encoder, arm
    return [record for key, record in records.known.items() if key[:3] == what]


def report(args, records, chosen):
    """Write a table for each data set, and draw all of them."""
    parts = []
    for name in args.data:
        (raw,) = found_for(records, name, "raw", "")
        p, n = raw["error"], raw["n_test"]
        half = 196 * np.sqrt(p * (1 - p) / n)
        lines = [f"## {TASKS[name].title}", "", TITLES, "|---" * 8 + "|"]
        lines.append(
            f"| raw pixels | {raw['code_size']} | | | {100 * p:.2f} | | | "
            f"C {raw['C']:g} |"
        )
        lines += [
            row(records, chosen, name, encoder)
            for encoder in ENCODERS
            if found_for(records, name, encoder, "λ > 0")
        ]
        lines += [
            "",
            f"{n:,} test rows: half of the 95 % interval is {half:.1f} points.",
        ]
        parts.append("\n".join(lines))
    draw(args, records)
    (args.results / "encoders.md").write_text(
        TEXT.format(tables="\n\n".join(parts), code_size=CODE_SIZE, below=SIZES[0]),
        encoding="utf-8",
    )


TITLES = (
    "| codes | size | held out, λ = 0 | held out, λ > 0 | test, λ = 0 | test, λ > 0 "
    "| λ > 0 less λ = 0 | chosen |"
)


def row(records, chosen, name, encoder):
    """Write the line of an encoder."""
    none, some = (found_for(records, name, encoder, arm) for arm in ARMS)
    held_out = [
        f"{100 * best(chosen, name, encoder, penalties)[1]:.2f}"
        for penalties in ARMS.values()
    ]
    errors = [100 * np.array([r["error"] for r in arm]) for arm in (none, some)]
    # Both have the same seeds, and so the same first weights and order of rows.
    cells = [NAMES[encoder], some[0]["code_size"], *held_out]
    cells += [mean_and_deviation(e) for e in (*errors, errors[1] - errors[0])]
    cells.append("; ".join(settings_in_words(arm[0]) for arm in (none, some)))
    return "| " + " | ".join(map(str, cells)) + " |"


def mean_and_deviation(values):
    """Write a mean with the standard deviation of several seeds."""
    spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
    # Adding 0 makes -0.0 one without a sign.
    return f"{round(values.mean(), 2) + 0:.2f}{spread}"


def settings_in_words(record):
    """Write what was chosen."""
    return f"λ {record['penalty']:g}, C {record['C']:g}"


def draw(args, records):
    """Draw each seed's error on the test rows, and that of raw pixels."""
    figure = Figure(figsize=(3.4 * len(args.data), 2.8), layout="constrained")
    for ax, name in zip(
        figure.subplots(1, len(args.data), sharey=True, squeeze=False)[0],
        args.data,
        strict=True,
    ):
        (raw,) = found_for(records, name, "raw", "")
        ax.axvline(100 * raw["error"], color="0.5", linestyle="--", label="raw pixels")
        for arm, face, shift in zip(ARMS, ("white", "C0"), (0.12, -0.12), strict=True):
            points = [
                (100 * record["error"], k - shift)
                for k, encoder in enumerate(ENCODERS)
                for record in found_for(records, name, encoder, arm)
            ]
            ax.scatter(*zip(*points, strict=True), 28, face, edgecolors="C0", label=arm)
        ax.set(title=TASKS[name].title, xlabel="test error, %")
        ax.set_yticks(range(len(ENCODERS)), ENCODERS)
        ax.set_ylim(len(ENCODERS) - 0.5, -0.5)
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(args.results / "encoders.png", dpi=150)


TEXT = """# Depth and convolution in a linear SVM

Error of a linear SVM in %. λ and C were chosen on rows held out of the training rows,
for λ = 0 and for λ > 0 by themselves. The errors on the test rows are the mean of three
seeds, with their standard deviation.

![Errors on the test rows: each encoder and seed, with λ and without](encoders.png)

{tables}

All codes are of {code_size} units. Where there are two layers, the one below has
{below}. The convolution has 8 filters of 5 × 5, on the digits of 3 × 3, and of each
window of a quarter of the side the largest: 4 × 4 places. The SVM has codes
standardised. All models have sigmoid units, tied weights, the cross-entropy and the
default rate. The digits are scikit-learn's, half of them to train on; λ and C were
chosen by three splits of that half. "MNIST at 16 × 16" is of the size of USPS, 7,291
training and 2,007 test rows, and is not USPS: it is the first rows of MNIST, each pixel
the mean of what it covers. Of CIFAR-10 there are 4,000 training and 2,000 test rows.
They were read from an npz file of JPEG images of quality 75, which are lossy.

    python benchmarks/encoders.py --mnist mnist.npz --cifar cifar-10-python.tar.gz
    python benchmarks/encoders.py --mnist mnist.npz --cifar … --test
"""


# ---- the command ----------------------------------------------------------------


def arguments(given):
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mnist", help="MNIST as an npz file; else from OpenML")
    parser.add_argument("--cifar", help="CIFAR-10 in a local file")
    parser.add_argument("--test", action="store_true", help="read the test rows")
    parser.add_argument("--quick", action="store_true", help="digits in seconds")
    parser.add_argument("--data", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(given)
    args.penalties, args.seeds = PENALTIES, SEEDS
    args.splits = args.epochs = None
    if args.quick:
        args.data, args.results = ["digits"], args.results / "quick"
        args.penalties, args.seeds = (0.0, 0.1), (0,)
        args.splits, args.epochs = 1, 2
    return args


def main(given=None):
    """Run what is missing, and write the report."""
    args = arguments(given)
    torch.set_num_threads(1)
    with threadpool_limits(1), warnings.catch_warnings():
        # Each model has its epochs, and is taken as it then is.
        warnings.simplefilter("ignore", ConvergenceWarning)
        chosen = choices(args)
        choose(args, chosen)
        if args.test:
            records = tests(args)
            test(args, records, chosen)
            report(args, records, chosen)


if __name__ == "__main__":
    main()
