"""What torch's precision of float32 products saves on a processor, and what it costs.

    python benchmarks/speed/precision.py --data-file mnist.npz

With "medium" a processor that has products of bfloat16 rounds the factors to it, and
adds up in float32. One that has none computes as with "highest", and every ratio is 1.
"""

import argparse
import time
import warnings
from contextlib import contextmanager

import numpy as np
import quality
import torch
from measure import in_turn, products, table, write
from sklearn.exceptions import ConvergenceWarning
from steps import our_step

SHAPES = [(784, 1000), (3072, 4000)]
BATCHES = [20, 128, 512, 2048]
PENALTY = 0.1
PRECISIONS = ("highest", "medium")


@contextmanager
def precision(name):
    """Set the precision of float32 products for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def at(name, function):
    """Return a function that computes at a precision."""

    def call():
        with precision(name):
            return function()

    return call


def steps(shapes, batches, rounds):
    """Time products and steps at both precisions, in turn."""
    lines = []
    for d, h in shapes:
        for n in batches:
            work = {
                "products": products(d, h, n),
                "sgd": our_step(d, h, n, "sgd", PENALTY),
                "adam": our_step(d, h, n, "adam", PENALTY),
            }
            times = in_turn(
                {
                    (what, name): at(name, function)
                    for what, function in work.items()
                    for name in PRECISIONS
                },
                rounds=rounds,
                clock=time.process_time,
            )
            ratios = (times[what, "highest"] / times[what, "medium"] for what in work)
            lines.append([f"{d}→{h}", n, *(f"{ratio:.2f}" for ratio in ratios)])
    header = ["layer", "batch", "five products", "step, SGD", "step, Adam"]
    return table(header, lines)


def codes(images, seeds):
    """Fit at both precisions, and compare what a linear SVM makes of the codes."""
    lines = []
    for name in PRECISIONS:
        found = []
        for seed in range(seeds):
            with precision(name):
                started = time.process_time()
                fitted = quality.ours(images, seed, **quality.OURS, tol=0.0)
                seconds = time.process_time() - started
            error = quality.svm_error(fitted, images, seed)
            found.append((seconds, fitted[2], error))
        seconds, objectives, errors = np.array(found).T
        each = ", ".join(f"{error:.2f}" for error in errors)
        means = f"{seconds.mean():.1f}", f"{objectives.mean():.2f}"
        lines.append([f'"{name}"', *means, f"{errors.mean():.2f}", each])
    header = ["precision", "fit and transform, s", "objective", "SVM error, %"]
    return table([*header, "each seed"], lines)


WORDS = """\
`torch.set_float32_matmul_precision("medium")` against "highest", one thread, in \
turn. How many times as fast the five products of a step are, and whole steps of tied \
sigmoid units with cross-entropy and λ = {}:"""

WORDS_OF_CODES = """\
What it costs: the first {} images of MNIST, {} units, with the settings of \
`quality.py`. Both precisions compute the codes and the objective, too."""


def main():
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-file", help="npz; without one MNIST is downloaded")
    parser.add_argument("--n-train", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    images = quality.load(args.data_file, args.n_train)
    text = "\n\n".join(
        [
            WORDS.format(PENALTY),
            steps(SHAPES, BATCHES, args.rounds),
            WORDS_OF_CODES.format(args.n_train, quality.N_COMPONENTS),
            codes(images, args.seeds),
        ]
    )
    command = "python benchmarks/speed/precision.py"
    write("precision", "Products with rounded factors", text, command)


if __name__ == "__main__":
    main()
