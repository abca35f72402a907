"""How fast this tree is against another one, such as a checkout of an earlier commit.

    python -m benchmarks.speed.against ../before

Each tree has a process of its own, with one thread, and the two run the same things in
turn, in the other order in every second round. Times are the processor's, so that who
else uses it counts for less. A ratio is that of the two times of one round; the median
is given, and the quartiles. Processes differ in themselves, as in where their memory
lies, so that all is done with several pairs of them.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator

import skcae
from benchmarks.speed.measure import commit, machine, table
from skcae import ContractiveAutoencoder, FineTunedClassifier, StackedCAE

HERE = Path(__file__).parents[2]
# No more and no fewer than five epochs.
HOW = {
    "max_iter": 5,
    "n_iter_no_change": math.inf,
    "batch_size": 100,
    "random_state": 0,
}


def cases():
    """Return what is timed, by name."""
    from steps import our_step  # a tree's own: it knows what a step is there

    X = np.random.default_rng(0).random((2000, 784), dtype=np.float32)
    digits, labels = load_digits(return_X_y=True)
    digits = digits / 16
    encoder = ContractiveAutoencoder(200, **HOW)
    small = ContractiveAutoencoder(32, **HOW).fit(digits)
    stack = StackedCAE((32, 16), **HOW)
    network = FineTunedClassifier(FrozenEstimator(small), **HOW)
    tangents = FineTunedClassifier(FrozenEstimator(small), tangent_penalty=0.1, **HOW)
    return {
        "step of 784→200, batch 100, SGD": our_step(784, 200, 100, "sgd"),
        "the same with Adam": our_step(784, 200, 100, "adam"),
        "the same with SGD and γ": our_step(784, 200, 100, "sgd", 0.1, 0.1),
        "fit of 784→200, 2,000 rows": lambda: encoder.fit(X),
        "fit of 64→32, 1,797 rows": lambda: small.fit(digits),
        "fit of a stack, 64→32→16": lambda: stack.fit(digits),
        "fine-tuning of 64→32→10": lambda: network.fit(digits, labels),
        "the same along tangents": lambda: tangents.fit(digits, labels),
        "transform of 10 rows": lambda: small.transform(digits[:10]),
    }


def serve(tree):
    """Answer each line, a case and how often, with the seconds of a call."""
    if not Path(skcae.__file__).is_relative_to(tree):
        raise SystemExit(f"{tree} has no package skcae.")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    known = cases()
    print(json.dumps(list(known)), flush=True)
    for line in sys.stdin:
        name, n = json.loads(line)
        start = time.process_time()
        for _ in range(n):
            known[name]()
        print((time.process_time() - start) / n, flush=True)


class Tree:
    """A process that imports from a tree, and what it can time."""

    def __init__(self, tree):
        places = (tree, tree / "benchmarks" / "speed", HERE)
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--serve", tree],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, places)),
                "OMP_NUM_THREADS": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.cases = self.answer()

    def answer(self):
        """Read what it says next."""
        return json.loads(self.process.stdout.readline())

    def seconds(self, name, n):
        """Time n calls of a case, and return the seconds of one."""
        print(json.dumps([name, n]), file=self.process.stdin, flush=True)
        return self.answer()

    def end(self):
        """Let the process end."""
        self.process.stdin.close()
        self.process.wait()


def rounds_of(before, now, name, args):
    """Return the seconds of a call in each round, before and now."""
    trees = (before, now)
    slowest = max(tree.seconds(name, 1) for tree in 2 * trees)
    n = max(1, int(args.seconds / slowest))
    times = np.empty((args.rounds, 2))
    for number, row in enumerate(times):
        for k in (1, 0) if number % 2 else (0, 1):
            row[k] = trees[k].seconds(name, n)
    return times


def compared(args):
    """Return the rounds of all pairs of processes, by case."""
    found = {}
    for _ in range(args.pairs):
        before, now = Tree(args.before.resolve()), Tree(HERE)
        for name in [name for name in now.cases if args.only in name]:
            found.setdefault(name, []).append(rounds_of(before, now, name, args))
        before.end()
        now.end()
    return {name: np.concatenate(times) for name, times in found.items()}


def main():
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="the other tree")
    parser.add_argument("--only", default="", help="what has this in its name")
    parser.add_argument("--pairs", type=int, default=3, help="of processes")
    parser.add_argument("--rounds", type=int, default=15, help="for each pair")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each time")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.before)
        return
    rows = []
    for name, times in compared(args).items():
        low, middle, high = np.quantile(times[:, 1] / times[:, 0], (0.25, 0.5, 0.75))
        ms = 1e3 * np.median(times[:, 0])
        rows.append([name, f"{ms:.4g}", f"{middle:.3f}", f"{low:.3f} to {high:.3f}"])
    print(f"{machine()}. Commit {commit()}; {args.pairs} × {args.rounds} rounds.\n")
    print(table(["", "before, ms", "now / before", "quartiles"], rows))


if __name__ == "__main__":
    main()
