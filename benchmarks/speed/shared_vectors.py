"""The exact norm of convolutions by vectors that units share, against unit vectors.

python benchmarks/speed/shared_vectors.py
"""

import argparse
import shlex
import sys
import time
from functools import partial

import torch
from measure import in_turn, table, write

from skcae._core.layers.chain import Chain
from skcae._core.layers.convolutional import ConvolutionalArchitecture
from skcae._core.layers.receptive import single
from skcae._core.steps.joint import JointObjective, signs
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES

N_ROWS = 16
MEANS = {"pool": "average"}
CASES = {
    "5 × 5 × 4, means": {"n_filters": (4,), "kernel_size": (5, 5), **MEANS},
    "3 × 3 × 4, 3 × 3 × 8": {"n_filters": (4, 8), "stride": (2, 2)},
    "the same, means": {"n_filters": (4, 8), **MEANS},
}
SIDES = (16, 32)


class Unshared(Chain):
    """The same layers, with a vector for each number of the code."""

    @property
    def code_vectors(self):
        """The unit vectors."""
        return single(self.n_components)


def network(side, case):
    """Return the architecture of a case and random parameters."""
    defaults = {"kernel_size": (3, 3), "stride": (1, 1), "pool": None}
    architecture = ConvolutionalArchitecture(
        (side, side, 1),
        padding="same",
        pool_size=(2, 2),
        activation=ACTIVATIONS["sigmoid"],
        is_tied=True,
        **{**defaults, **CASES[case]},
    )
    generator = torch.Generator().manual_seed(0)
    parameters = {
        name: torch.randn(shape, generator=generator).mul_(0.2).requires_grad_()
        for name, shape in architecture.shapes.items()
    }
    return architecture, parameters


def gradients(side, case):
    """Return functions that differentiate the objective, by what they are called."""
    architecture, parameters = network(side, case)
    X = torch.rand((N_ROWS, side * side), generator=torch.Generator().manual_seed(1))
    encoder = architecture.network(parameters).encoder
    shape = N_ROWS, 1, encoder.n_components
    v = signs(shape, torch.Generator().manual_seed(2)).float()

    def gradient(norms, strength=0.1):
        objective = JointObjective(architecture, LOSSES["squared_error"])
        coder = objective.coder(parameters)
        outputs, states = coder.encoder.linearized(X)
        loss = objective.loss.value(X, coder.pre_outputs(outputs[-1])).sum()
        (loss + strength * norms(coder.encoder, states).sum()).backward()

    probe = lambda chain, states: chain.pull_back(states, v).square()  # noqa: E731
    found = {
        "no penalty": partial(gradient, lambda chain, states: torch.zeros(1)),
        "one probe": partial(gradient, probe),
        "shared": partial(gradient, Chain.norms_from_code),
        "unit": partial(
            gradient,
            lambda chain, states: Unshared(chain.layers).norms_from_code(states),
        ),
    }
    return found, len(encoder.code_vectors), encoder.n_components


def main():
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        for side in SIDES:
            functions, n_shared, n_units = gradients(side, case)
            times = in_turn(functions, rounds=args.rounds, clock=time.process_time)
            base = times["no penalty"]
            ratios = [f"{times[name] / base:.1f}" for name in [*functions][1:]]
            fewer = f"{times['unit'] / times['shared']:.1f}"
            rows.append([case, side, n_units, n_shared, *ratios, fewer])
    header = ["filters", "side", "units", "vectors", "one probe", "exact"]
    header += ["exact by unit vectors", "the same / exact"]
    text = (
        f"{N_ROWS} grey images in float32; value and gradient of loss and penalty by "
        "torch, as a multiple of that without a penalty. Processor time on one thread, "
        f"in turn, median of {args.rounds} rounds."
    )
    write(
        "shared_vectors",
        "Exact norms of convolutions",
        f"{table(header, rows)}\n\n{text}",
        shlex.join(["python", "benchmarks/speed/shared_vectors.py", *sys.argv[1:]]),
    )


if __name__ == "__main__":
    main()
