"""The singular values of an encoder's Jacobians, against dense Jacobians.

    python benchmarks/speed/spectrum.py

The others work in the data's float32, which is faster; ours in float64.
"""

import argparse
import shlex
import sys
import warnings

import numpy as np
import torch
from measure import in_turn, table, write
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch.autograd.functional import jacobian
from torch.func import jacrev, vmap

from skcae import ContractiveAutoencoder
from skcae.inspection import singular_values, tangent_vectors

SHAPES = [(784, 1000), (784, 100), (64, 32)]
N_LEADING = 15


def encoder_of(n_features, n_components):
    """Return an encoder with random weights, and nothing else to say for it."""
    X = np.random.default_rng(0).random((200, n_features), dtype="float32")
    model = ContractiveAutoencoder(n_components, max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


def contenders(encoder, X):
    """Return functions that give the singular values, by their names."""
    W = torch.from_numpy(encoder.components_)
    b = torch.from_numpy(encoder.intercept_hidden_)
    rows = torch.from_numpy(X)

    def encode(x):
        return torch.sigmoid(W @ x + b)

    def loop():
        return [torch.linalg.svdvals(jacobian(encode, x)) for x in rows]

    def batched():
        # As many at a time as fit into 64 MB.
        step = max(1, 2**24 // W.numel())
        parts = rows.split(step)
        return [torch.linalg.svdvals(vmap(jacrev(encode))(part)) for part in parts]

    n = min(N_LEADING, *W.shape)
    return {
        "singular_values": lambda: singular_values(encoder, X).sample_values,
        f"singular_values, {n}": lambda: singular_values(encoder, X, n).sample_values,
        f"tangent_vectors, {n}": lambda: tangent_vectors(encoder, X, n),
        "loop of dense Jacobians": loop,
        "vmap(jacrev)": batched,
    }


def main(arguments=None):
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    # NumPy has threads of its own, and computes the Gram matrices.
    threadpool_limits(args.threads)
    lines = []
    for d, h in SHAPES:
        X = np.random.default_rng(1).random((args.samples, d), dtype="float32")
        times = in_turn(contenders(encoder_of(d, h), X), rounds=args.rounds)
        base = times["singular_values"]
        for name, seconds in times.items():
            per_sample = f"{1e3 * seconds / args.samples:.2f}"
            lines.append([f"{d} → {h}", name, per_sample, f"{seconds / base:.2f}"])
    header = ["shape", "way", "ms per sample", "times singular_values"]
    text = f"""{args.samples} samples, {args.threads} thread(s), median of {args.rounds}
rounds, all in turn.

{table(header, lines)}"""
    options = shlex.join(sys.argv[1:] if arguments is None else arguments)
    command = f"python benchmarks/speed/spectrum.py {options}".strip()
    write("spectrum", "Spectra of Jacobians", text, command)


if __name__ == "__main__":
    main()
