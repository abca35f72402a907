"""Small models and few rows: a step of 20, against its products and MLPRegressor.

    python benchmarks/speed/small.py

All on one thread. Times are the processor's, so that who else uses it counts for less,
and the least of many rounds in which everything has its turn. The last column of each
table is what is to be reached.
"""

import argparse
import math
import time
import warnings
from functools import partial

import numpy as np
import torch
from measure import in_turn, products, table, write
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from steps import our_step
from threadpoolctl import threadpool_limits

from skcae import ContractiveAutoencoder

BATCH_SIZE = 20
# Adam's step: the part of it that is to be its products, by layer.
PARTS = {(16, 256): 0.3, (64, 256): 0.45, (784, 1000): 0.75}
SGD_SHAPE, SGD_PART = (784, 1000), 0.85
# How many of our steps are to fit into one of MLPRegressor.
TIMES = 2
# What a row's code may take, in those of PCA.
ROW_SHAPES, ROW_TIMES = [(16, 8), (64, 32), (784, 100)], 1.23
PENALTIES = (0.0, 0.1)
# The lengths of two fits, whose difference is epochs alone.
EPOCHS = (1, 6)
NEVER = 1_000_000

least_in_turn = partial(in_turn, seconds=0.02, clock=time.process_time, of_rounds=min)


def drawn(n_rows, n_features):
    """Draw noise in [0, 1]."""
    return np.random.default_rng(0).random((n_rows, n_features), dtype=np.float32)


def steps_against_products(rounds):
    """Divide the time of the five products by that of a step."""
    rows = []
    for (d, h), part in PARTS.items():
        settings = [("adam", strength, part) for strength in PENALTIES]
        if (d, h) == SGD_SHAPE:
            settings += [("sgd", strength, SGD_PART) for strength in PENALTIES]
        steps = {
            (solver, strength): our_step(d, h, BATCH_SIZE, solver, strength)
            for solver, strength, _ in settings
        }
        limit = products(d, h, BATCH_SIZE)
        times = least_in_turn({"limit": limit, **steps}, rounds=rounds)
        for solver, strength, least in settings:
            time = times[solver, strength]
            cells = [f"{1e6 * t:.0f}" for t in (times["limit"], time)]
            part = f"{times['limit'] / time:.2f}"
            rows.append([f"{d}→{h}", solver, strength, *cells, part, f"≥ {least}"])
    header = ["layer", "solver", "λ", "products, µs", "step, µs", "products / step"]
    return table([*header, "bar"], rows)


def ours(h, n_epochs, strength):
    """Make an autoencoder that trains for so many epochs."""
    return ContractiveAutoencoder(
        h,
        jacobian_penalty=strength,
        batch_size=BATCH_SIZE,
        learning_rate=1e-3,
        learning_rate_schedule="constant",
        max_iter=n_epochs,
        tol=0,
        n_iter_no_change=NEVER,
        random_state=0,
    )


def theirs(h, n_epochs):
    """Make scikit-learn's network of the same layers, whose weights are untied."""
    return MLPRegressor(
        hidden_layer_sizes=(h,),
        activation="logistic",
        batch_size=BATCH_SIZE,
        max_iter=n_epochs,
        tol=0,
        n_iter_no_change=NEVER,
        random_state=0,
    )


def steps_against_mlp(rounds):
    """Divide the time of a step in MLPRegressor's fit by that in ours."""
    rows = []
    for d, h in PARTS:
        X = drawn(2000 if h < 1000 else 400, d)
        fits = {}
        for n in EPOCHS:
            fits["theirs", n] = partial(theirs(h, n).fit, X, X)
            for strength in PENALTIES:
                fits[strength, n] = partial(ours(h, n, strength).fit, X)
        times = least_in_turn(fits, rounds=rounds)
        short, long = EPOCHS
        n_steps = (long - short) * math.ceil(len(X) / BATCH_SIZE)
        step = {
            name: (times[name, long] - times[name, short]) / n_steps
            for name in ("theirs", *PENALTIES)
        }
        for strength in PENALTIES:
            cells = [f"{1e6 * step[name]:.0f}" for name in ("theirs", strength)]
            times_faster = f"{step['theirs'] / step[strength]:.2f}"
            rows.append([f"{d}→{h}", strength, *cells, times_faster, f"≥ {TIMES}"])
    header = ["layer", "λ", "MLPRegressor, µs", "ours, µs", "times as fast", "bar"]
    return table(header, rows)


def rows_against_pca(rounds):
    """Divide the time of `transform` of a single row by PCA's."""
    rows = []
    for d, h in ROW_SHAPES:
        X = drawn(500, d)
        models = {"ours": ours(h, 1, 0.1).fit(X), "PCA": PCA(h).fit(X)}
        calls = {name: partial(m.transform, X[:1]) for name, m in models.items()}
        times = least_in_turn(calls, rounds=rounds)
        cells = [f"{1e6 * times[name]:.0f}" for name in ("PCA", "ours")]
        ratio = f"{times['ours'] / times['PCA']:.2f}"
        rows.append([f"{d}→{h}", *cells, ratio, f"≤ {ROW_TIMES}"])
    return table(["layer", "PCA, µs", "ours, µs", "ours / PCA", "bar"], rows)


def main():
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    threadpool_limits(1)
    text = "\n\n".join(
        [
            f"Batches of {BATCH_SIZE}, float32, one thread. Processor time, the least "
            "of many rounds in which everything has its turn.",
            "## A step against its matrix products",
            "Tied weights, sigmoid, cross-entropy. The five products of a step alone, "
            "and a step, which begins with its batch in place and ends with the "
            "weights changed.",
            steps_against_products(args.rounds),
            "## A step of a fit against MLPRegressor's",
            "Sigmoid units, squared error, Adam; all that a fit does at each step, the "
            "value included: the time of a fit of "
            f"{EPOCHS[1]} epochs less that of {EPOCHS[0]}, by steps. Ours is tied, "
            "theirs is not.",
            steps_against_mlp(max(3, args.rounds // 5)),
            "## `transform` of a single row",
            rows_against_pca(args.rounds),
        ]
    )
    write("small", "Small and quick", text, "python benchmarks/speed/small.py")


if __name__ == "__main__":
    main()
