"""A training step against its matrix products, and against other ways to take it.

    python benchmarks/speed/steps.py
    python benchmarks/speed/steps.py --threads 2 --shapes 784x1000

asv runs the class too.
"""

import argparse
import itertools
import shlex
import sys

import numpy as np
import torch
from measure import in_turn, products, table, write
from torch.func import jacrev, vmap
from torch.nn import functional

from skcae._core.data.rows import Rows
from skcae._core.layers.coder import initial_parameters
from skcae._core.steps.objective import Objective
from skcae._core.steps.reconstruction import ReconstructionLearner
from skcae._core.training.solvers import Adam, Sgd
from skcae.activations import ACTIVATIONS
from skcae.corruptions import gaussian
from skcae.losses import LOSSES
from skcae.penalties import DerivativePenalty, SampledHessianPenalty

SHAPES = [(64, 256), (784, 1000), (3072, 4000), (108, 1600)]
BATCHES = [20, 128, 512, 2048]
SOLVERS = ["sgd", "momentum", "adam"]
NOISE = 0.25
CPU = torch.device("cpu")


# ---- what is measured -----------------------------------------------------------


def parameters_of(d, h):
    """Draw tied weights in float32."""
    return initial_parameters(
        d,
        h,
        tied_weights=True,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float32,
        device=CPU,
    )


def learner(
    d,
    h,
    n,
    solver="sgd",
    jacobian_penalty=0.1,
    hessian_penalty=0.0,
    n_hessian_samples=None,
):
    """Make an autoencoder of ours that learns from noise, with the paper's loss."""
    X = np.random.default_rng(0).random((n, d), dtype=np.float32)
    exact, samples = DerivativePenalty(2), n_hessian_samples
    hessian = SampledHessianPenalty(NOISE, samples) if samples else exact
    strengths = [(jacobian_penalty, DerivativePenalty(1)), (hessian_penalty, hessian)]
    objective = Objective(
        ACTIVATIONS["sigmoid"],
        LOSSES["cross_entropy"],
        tuple((strength, penalty) for strength, penalty in strengths if strength),
    )
    parameters = parameters_of(d, h)
    made = {
        "sgd": lambda: Sgd(parameters),
        "momentum": lambda: Sgd(parameters, momentum=0.9),
        "adam": lambda: Adam(parameters),
    }[solver]()
    rows = Rows(X, dtype=X.dtype, device=CPU)
    return ReconstructionLearner(
        objective,
        parameters,
        made,
        rows,
        batch_size=n,
        corrupt=(lambda X, *to: gaussian(X, NOISE, *to)) if samples else None,
    )


def our_step(d, h, n, *settings):
    """One bare step of ours: its batch is there, and no value is asked for.

    A sampled penalty draws its noise in it.
    """
    ours = learner(d, h, n, *settings)
    batch = ours.workspace.batch(n)
    ours.rows.read(slice(None), batch.X)

    def sampling_step():
        ours.corrupt(batch.X, ours.generator, batch.copies)
        ours.step_on(batch, None, 1e-4)

    return sampling_step if ours.corrupt else lambda: ours.step_on(batch, None, 1e-4)


def autograd_step(d, h, n, solver="sgd", penalty="closed form"):
    """One step by automatic differentiation and torch.optim."""
    parameters = parameters_of(d, h)
    W, b, c = (p.requires_grad_() for p in parameters.values())
    make = {
        "sgd": lambda: torch.optim.SGD([W, b, c], lr=1e-4),
        "momentum": lambda: torch.optim.SGD([W, b, c], lr=1e-4, momentum=0.9),
        "adam": lambda: torch.optim.Adam([W, b, c], lr=1e-4, fused=True),
    }
    optimizer = make[solver]()
    X = torch.rand(n, d)

    def step():
        H = torch.sigmoid(X @ W.T + b)
        loss = functional.binary_cross_entropy_with_logits(
            H @ W + c, X, reduction="none"
        )
        value = loss.sum(1).mean() + 0.1 * PENALTIES[penalty](W, b, X, H).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def closed_form(W, b, X, H):
    """‖J‖² of each row by its formula."""
    return (H * (1 - H)).square() @ W.square().sum(1)


def dense_jacobian(W, b, X, H):
    """‖J‖² of each row from the Jacobian itself."""
    jacobian = vmap(jacrev(lambda x: torch.sigmoid(W @ x + b)))(X)
    return jacobian.square().sum((1, 2))


def unit_loop(W, b, X, H):
    """‖J‖² of each row, one gradient for each hidden unit."""
    X = X.detach().requires_grad_()
    H = torch.sigmoid(X @ W.T + b)
    total = 0.0
    for unit in H.unbind(1):
        (row,) = torch.autograd.grad(unit.sum(), X, create_graph=True)
        total = total + row.square().sum(1)
    return total


def hutchinson(W, b, X, H):
    """Estimate without bias ‖J‖² of each row, with one random vector."""
    X = X.detach().requires_grad_()
    H = torch.sigmoid(X @ W.T + b)
    signs = torch.randint(0, 2, H.shape).to(H.dtype).mul_(2).sub_(1)
    (row,) = torch.autograd.grad((H * signs).sum(), X, create_graph=True)
    return row.square().sum(1)


PENALTIES = {
    "closed form": closed_form,
    "Hutchinson": hutchinson,
    "per-unit loop": unit_loop,
    "vmap(jacrev)": dense_jacobian,
}


class Step:
    """asv: a step by shape, batch size and solver."""

    params = (["64x256", "784x1000"], BATCHES[:3], SOLVERS)
    param_names = ("features x units", "batch", "solver")

    def setup(self, shape, n, solver):
        """Make the steps of one configuration."""
        torch.set_num_threads(1)
        d, h = map(int, shape.split("x"))
        self.limit = products(d, h, n)
        self.ours = our_step(d, h, n, solver)
        self.autograd = autograd_step(d, h, n, solver)

    def time_limit(self, *configuration):
        """Multiply five products."""
        self.limit()

    def time_ours(self, *configuration):
        """Take a step in closed form."""
        self.ours()

    def time_autograd(self, *configuration):
        """Take a step through a graph."""
        self.autograd()

    def track_ratio_to_limit(self, *configuration):
        """Limit / ours, in turn."""
        times = in_turn({"limit": self.limit, "ours": self.ours})
        return times["limit"] / times["ours"]


# ---- the report -----------------------------------------------------------------


def against_the_limit(shapes, batches, rounds):
    """Ratio of the limit to our step and to autograd's, for each solver."""
    rows = []
    for (d, h), n in itertools.product(shapes, batches):
        row = [f"{d}→{h}", n]
        for solver in SOLVERS:
            times = in_turn(
                {
                    "limit": products(d, h, n),
                    "ours": our_step(d, h, n, solver),
                    "autograd": autograd_step(d, h, n, solver),
                },
                rounds=rounds,
            )
            row += [f"{times['limit'] / times[w]:.2f}" for w in ("ours", "autograd")]
        limit = times["limit"]
        row.insert(2, f"{limit * 1e3:.3g}")
        row.insert(3, f"{10 * n * d * h / limit / 1e9:.0f}")
        rows.append(row)
    header = ["layer", "batch", "limit, ms", "Gflop/s"]
    header += [f"{s}, {w}" for s in SOLVERS for w in ("ours", "autograd")]
    return table(header, rows)


def cost_of_penalties(shapes, batches, rounds):
    """How much longer a step takes with penalties (SGD and Adam).

    That of a sampled Hessian is as many times as long as one without any penalty.
    """
    rows = []
    for (d, h), n, solver in itertools.product(shapes, batches, ("sgd", "adam")):
        times = in_turn(
            {
                "none": our_step(d, h, n, solver, 0.0),
                "jacobian": our_step(d, h, n, solver, 0.1),
                "both": our_step(d, h, n, solver, 0.1, 0.1),
                "1 sample": our_step(d, h, n, solver, 0.1, 0.1, 1),
                "4 samples": our_step(d, h, n, solver, 0.1, 0.1, 4),
            },
            rounds=rounds,
        )
        jacobian = 100 * (times["jacobian"] / times["none"] - 1)
        hessian = 100 * (times["both"] / times["jacobian"] - 1)
        sampled = [times[name] / times["none"] for name in ("1 sample", "4 samples")]
        rows.append([f"{d}→{h}", n, solver, f"{jacobian:+.1f}", f"{hessian:+.1f}"])
        rows[-1] += [f"{ratio:.2f}" for ratio in sampled]
    header = ["layer", "batch", "solver", "λ > 0 adds, %", "γ > 0 adds, %"]
    header += ["γ from 1 sample, times", "from 4, times"]
    return table(header, rows)


def other_penalties(shapes, batches, rounds):
    """How many of our steps fit into one with another way to the penalty."""
    rows = []
    for (d, h), n in itertools.product(shapes, batches):
        steps = {name: autograd_step(d, h, n, "sgd", name) for name in PENALTIES}
        times = in_turn({"ours": our_step(d, h, n), **steps}, rounds=rounds)
        ratios = [f"{times[name] / times['ours']:.3g}" for name in PENALTIES]
        rows.append([f"{d}→{h}", n, f"{times['ours'] * 1e3:.3g}", *ratios])
    return table(["layer", "batch", "ours, ms", *PENALTIES], rows)


def main():
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--shapes", nargs="+", default=[f"{d}x{h}" for d, h in SHAPES], metavar="DxH"
    )
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    shapes = [tuple(map(int, shape.split("x"))) for shape in args.shapes]
    torch.set_num_threads(args.threads)
    parts = [
        f"{args.threads} thread{'s' * (args.threads > 1)}. Tied weights, sigmoid, "
        "cross-entropy, λ = 0.1, float32. A step begins with its batch in place and "
        "ends with the weights changed.",
        "## Against its matrix products",
        "Limit / step: 1 is the five matrix products of a step and nothing else.",
        against_the_limit(shapes, BATCHES, args.rounds),
        "## What penalties add to a step",
        cost_of_penalties(
            [shape for shape in shapes if shape in SHAPES[:2]], BATCHES[:3], 15
        ),
    ]
    if args.threads == 1:
        parts += [
            "## Other ways to the penalty",
            "Time of a whole step (SGD) with another way to compute the penalty, by "
            "automatic differentiation, as a multiple of ours. Hutchinson's is an "
            "estimate, the others are exact.",
            # A dense Jacobian of the largest would take 100 GB.
            other_penalties([s for s in shapes if s != (3072, 4000)], [20, 128], 3),
        ]
    given = shlex.join(sys.argv[1:])
    write(
        "steps" if args.threads == 1 else f"steps_{args.threads}_threads",
        "A training step",
        "\n\n".join(parts),
        f"python benchmarks/speed/steps.py {given}".strip(),
    )


if __name__ == "__main__":
    main()
