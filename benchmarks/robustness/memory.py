"""The memory of a fit, for little data and for fifty times as much.

    python benchmarks/robustness/memory.py

Each fit runs in a process of its own, which notes the largest amount of anonymous
memory (RssAnon of Linux: what is not a page of a file) while it fits.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
import torch

from skcae import ContractiveAutoencoder, StackedCAE
from skcae._core.data import streams

N_FEATURES = 256
BATCH_SIZE = 500
BLOCK_ELEMENTS = 2 * BATCH_SIZE * N_FEATURES
REPORT = Path(__file__).parents[1] / "results" / "robustness" / "memory.md"


class Batches:
    """The rows of a file in batches, as a loader would give them."""

    def __init__(self, X):
        self.X = X

    def __iter__(self):
        for start in range(0, len(self.X), BATCH_SIZE):
            yield np.array(self.X[start : start + BATCH_SIZE])


HOW = {"max_iter": 2, "random_state": 0, "batch_size": BATCH_SIZE}
CASES = {
    "memory-mapped": lambda X: ContractiveAutoencoder(64, **HOW).fit(X),
    "memory-mapped, cross-entropy": lambda X: ContractiveAutoencoder(
        64, loss="cross_entropy", **HOW
    ).fit(X),
    "memory-mapped, early stopping": lambda X: ContractiveAutoencoder(
        64, early_stopping=True, **HOW
    ).fit(X),
    "memory-mapped, stack of two": lambda X: StackedCAE((64, 32), **HOW).fit(X),
    "batches": lambda X: ContractiveAutoencoder(64, **HOW).fit(Batches(X)),
}


def anonymous_memory():
    """Return the anonymous memory of this process in KiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1])
    raise SystemExit("This system does not tell RssAnon.")


def peak_of(function, *arguments):
    """Run a function and return the largest memory that was seen meanwhile."""
    seen, done = [anonymous_memory()], threading.Event()

    def watch():
        while not done.wait(0.002):
            seen.append(anonymous_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    function(*arguments)
    done.set()
    watcher.join()
    return max(seen)


def one_fit(case, path, n_rows):
    """Fit, and print the peak."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    streams.BLOCK_ELEMENTS = BLOCK_ELEMENTS
    X = np.memmap(path, np.float32, "r", shape=(n_rows, N_FEATURES))
    print(peak_of(CASES[case], X))


def peak(case, path, n_rows):
    """Return the peak of a fit in a process of its own, in MiB."""
    command = [sys.executable, __file__, "--case", case, "--path", path]
    out = subprocess.run(
        [*command, "--rows", str(n_rows)], capture_output=True, text=True, check=True
    )
    return int(out.stdout) / 1024


def write_data(path, n_rows):
    """Write rows of random numbers in [0, 1]."""
    X = np.memmap(path, np.float32, "w+", shape=(n_rows, N_FEATURES))
    random = np.random.default_rng(0)
    for start in range(0, n_rows, 10_000):
        part = X[start : start + 10_000]
        part[:] = random.random(part.shape, np.float32)
    X.flush()


def main(arguments=None):
    """Measure all cases and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=8000, help="of the little data")
    parser.add_argument("--cases", nargs="+", default=[*CASES], choices=CASES)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args(arguments)
    if args.case:
        one_fit(args.case, args.path, args.rows)
        return
    n_rows = args.rows, 50 * args.rows
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{n}.dat" for n in n_rows]
        for path, n in zip(paths, n_rows, strict=True):
            write_data(path, n)
        for case in args.cases:
            few, many = (
                peak(case, path, n) for path, n in zip(paths, n_rows, strict=True)
            )
            rows.append([case, f"{few:.0f}", f"{many:.0f}", f"{many / few:.3f}"])
            print(*rows[-1], flush=True)
    write(args.report, n_rows, rows)


def write(path, n_rows, rows):
    """Lay out the peaks."""
    few, many = (f"{n:,} rows, MiB" for n in n_rows)
    lines = [["fit on", few, many, "ratio"], ["---"] * 4, *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    size = n_rows[1] * N_FEATURES * 4 / 2**20
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""# The memory of a fit

The largest anonymous memory of a process that fits, torch and scikit-learn included.
{N_FEATURES} features in float32; the larger data are {size:.0f} MiB. An epoch's order
takes 8 bytes a row, and with early stopping which rows are held out as much again. A
pass over held-out rows, or over the rows that a stack's layer encodes, takes chunks of
at most 2²¹ numbers, which the few rows do not fill. A block of the batches is here
{BLOCK_ELEMENTS:,} numbers, so that the few rows fill it; without that it is
{streams.BLOCK_ELEMENTS:,}.

{table}

`python benchmarks/robustness/memory.py --rows {n_rows[0]}`; torch {torch.__version__}.
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
