"""A whole fit against its steps, transform against its product, and peak memory.

python benchmarks/speed/fit.py
"""

import argparse
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import in_turn, table, write
from sklearn.exceptions import ConvergenceWarning
from steps import our_step

from skcae import ContractiveAutoencoder

N_FEATURES, N_COMPONENTS = 784, 1000
EPOCHS = 10


def autoencoder(n_components, n, solver, **more):
    """Make an autoencoder that trains for a fixed number of epochs."""
    settings = {
        "loss": "cross_entropy",
        "solver": "adam" if solver == "adam" else "sgd",
        "momentum": 0.9 if solver == "momentum" else 0.0,
        "learning_rate": 1e-4,
        "learning_rate_schedule": "constant",
        "max_iter": EPOCHS,
        "n_iter_no_change": EPOCHS,
        "tol": 0.0,
        "random_state": 0,
    }
    return ContractiveAutoencoder(n_components, batch_size=n, **{**settings, **more})


class Fit:
    """asv: whole fits and transforms of an image-sized layer."""

    params = ([128, 512], ["sgd", "adam"])
    param_names = ("batch", "solver")

    def setup(self, n, solver):
        """Make data and a model."""
        torch.set_num_threads(1)
        warnings.simplefilter("ignore", ConvergenceWarning)
        self.X = rows(2048)
        self.model = autoencoder(N_COMPONENTS, n, solver).fit(self.X)

    def time_fit(self, n, solver):
        """Fit ten epochs of 2048 rows."""
        self.model.fit(self.X)

    def time_transform(self, n, solver):
        """Encode 2048 rows."""
        self.model.transform(self.X)


def rows(n_rows, n_features=N_FEATURES):
    """Draw noise in [0, 1]."""
    return np.random.default_rng(0).random((n_rows, n_features), dtype=np.float32)


def fit_against_steps(rounds):
    """How much longer a fit takes than its bare steps."""
    lines = []
    for n in (20, 128, 512):
        X = rows(max(10 * n, 5120))
        n_steps = EPOCHS * len(X) // n
        for solver in ("sgd", "momentum", "adam"):
            model = autoencoder(N_COMPONENTS, n, solver)
            step = our_step(N_FEATURES, N_COMPONENTS, n, solver)
            times = in_turn(
                {"fit": partial(model.fit, X), "step": step}, rounds=rounds, seconds=0.5
            )
            more = times["fit"] / (n_steps * times["step"]) - 1
            lines.append(
                [n, solver, len(X), f"{times['fit']:.2f}", f"{100 * more:.1f}"]
            )
    return table(["batch", "solver", "rows", "fit, s", "more than its steps, %"], lines)


def transform_against_product(rounds):
    """Find the part of a transform that is its matrix product."""
    lines = []
    for d, h in ((784, 1000), (3072, 4000), (64, 256)):
        X = rows(10_000 if d < 3072 else 2_000, d)
        model = autoencoder(h, 512, "sgd", max_iter=1, n_iter_no_change=1).fit(X[:512])
        W, H = torch.from_numpy(model.components_), torch.empty(len(X), h)
        tensor = torch.from_numpy(X)
        times = in_turn(
            {
                "product": partial(torch.mm, tensor, W.T, out=H),
                "transform": partial(model.transform, X),
            },
            rounds=rounds,
            seconds=0.3,
        )
        ratio = times["product"] / times["transform"]
        lines.append([f"{d}→{h}", len(X), f"{times['transform']:.3f}", f"{ratio:.2f}"])
    return table(["layer", "rows", "transform, s", "product / transform"], lines)


# ---- memory ---------------------------------------------------------------------


def peak_memory(solver, early_stopping):
    """Print what a fit takes beyond X, in multiples of the weights.

    To be run in a process of its own, since a process has one peak. A fit of a tiny
    layer on the same data comes first, so that libraries, validation and the batch's
    share in X are there already.
    """
    d, h, n = 3072, 4000, 20
    X = rows(400, d)
    settings = {"early_stopping": early_stopping, "validation_fraction": 0.05}
    autoencoder(8, n, solver, **settings).fit(X)
    # Linux: from here on the peak is counted anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    autoencoder(h, n, solver, **settings).fit(X)
    print((resident("VmHWM") - before) / (4 * d * h))


def resident(name):
    """Read the process's resident memory in bytes, VmRSS now or VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(name)]
    return 1024 * int(line.split()[1])


def memory():
    """Measure the peak of each solver, in a fresh process each."""
    lines = []
    for solver in ("sgd", "momentum", "adam"):
        for early_stopping in (False, True):
            arguments = [solver, str(int(early_stopping))]
            out = subprocess.run(
                [sys.executable, __file__, "--peak", *arguments],
                capture_output=True,
                text=True,
                check=True,
            )
            lines.append(
                [solver, "yes" if early_stopping else "no", f"{float(out.stdout):.2f}"]
            )
    return table(["solver", "early stopping", "peak / weights"], lines)


def main():
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    if args.peak:
        peak_memory(args.peak[0], bool(int(args.peak[1])))
        return
    text = "\n\n".join(
        [
            "One thread, float32.",
            f"## A fit ({N_FEATURES}→{N_COMPONENTS}, {EPOCHS} epochs)",
            "Shuffling, gathering, the objective's value and everything else that a "
            "fit does, against as many bare steps.",
            fit_against_steps(args.rounds),
            "## A transform",
            transform_against_product(args.rounds),
            "## Memory",
            "Peak of the process during a fit of 3072→4000 (49 MB of weights), batches "
            "of 20, beyond what a fit of eight units takes on the same data.",
            memory(),
        ]
    )
    write("fit", "A whole fit", text, "python benchmarks/speed/fit.py")


if __name__ == "__main__":
    main()
