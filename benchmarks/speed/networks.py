"""A step of several layers that are trained together, and of a convolution.

Against the same step without penalty, and against plain torch code for the same model:
autograd, fused Adam, and the penalty in closed form.

    python benchmarks/speed/networks.py
"""

import argparse
import shlex
import sys
import time
from itertools import pairwise, product

import numpy as np
import torch
from measure import in_turn, table, write
from torch.nn import functional

from skcae._core.data.rows import Rows
from skcae._core.layers.convolutional import ConvolutionalArchitecture
from skcae._core.layers.network import DenseArchitecture
from skcae._core.steps.joint import JointLearner, JointObjective
from skcae._core.training.solvers import Adam
from skcae.activations import ACTIVATIONS
from skcae.losses import LOSSES

DENSE = [(64, 96, 48), (784, 512, 128), (784, 1000, 500)]
EXACT = [(64, 16, 8), (64, 32, 16), (64, 96, 48), (784, 256, 32), (784, 512, 128)]
# Image shape, filters, their size and pooling.
CONVOLUTIONS = [
    ((8, 8, 1), 16, 3, None),
    ((28, 28, 1), 32, 5, None),
    ((28, 28, 1), 32, 5, "max"),
    ((32, 32, 3), 64, 5, None),
]
BATCHES = [64, 128]
PENALTY, RATE = 0.1, 1e-3
CPU = torch.device("cpu")


# ---- our step -------------------------------------------------------------------


def dense(sizes):
    """Make dense layers of these sizes, tied."""
    return DenseArchitecture(sizes, ACTIVATIONS["sigmoid"], is_tied=True)


def convolution(image_shape, n_filters, kernel_size, pool):
    """Make one convolution, tied."""
    return ConvolutionalArchitecture(
        image_shape,
        (n_filters,),
        kernel_size=(kernel_size, kernel_size),
        stride=(1, 1),
        padding="same",
        pool=pool,
        pool_size=(2, 2),
        activation=ACTIVATIONS["sigmoid"],
        is_tied=True,
    )


def parameters_of(architecture):
    """Draw weights in float32."""
    return architecture.initial_parameters(
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float32,
        device=CPU,
        scaling=None,
    )


def batches(n_features, n):
    """Draw rows in [0, 1), ten batches of them, and give the numbers of a batch."""
    X = np.random.default_rng(0).random((10 * n, n_features), dtype=np.float32)
    rng = np.random.default_rng(1)
    return X, lambda: rng.permutation(len(X))[:n]


def our_step(architecture, n, strength, n_probes):
    """One step of ours, from the rows of the data to the changed weights."""
    parameters = parameters_of(architecture)
    X, next_batch = batches(architecture.network(parameters).encoder.n_features, n)
    objective = JointObjective(
        architecture, LOSSES["cross_entropy"], strength, n_probes=n_probes
    )
    rows = Rows(X, dtype=X.dtype, device=CPU)
    learner = JointLearner(objective, parameters, Adam(parameters), rows, batch_size=n)
    totals = torch.zeros(2)
    return lambda: learner.take_step(next_batch(), RATE, totals)


# ---- plain torch code for the same --------------------------------------------------


def plain_step(architecture, n, strength, loss_of):
    """One step by automatic differentiation and torch.optim."""
    parameters = parameters_of(architecture)
    X, next_batch = batches(architecture.network(parameters).encoder.n_features, n)
    X = torch.from_numpy(X)
    leaves = {name: p.requires_grad_() for name, p in parameters.items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=RATE, fused=True)

    def step():
        batch = X[next_batch()]
        optimizer.zero_grad()
        loss_of(architecture, leaves, batch, strength).backward()
        optimizer.step()

    return step


def reconstruction_loss(Z, X):
    """Cross-entropy, summed over features."""
    total = functional.binary_cross_entropy_with_logits(Z, X, reduction="sum")
    return total / len(X)


def signs_like(H):
    """Draw 1 and −1 at equal odds."""
    return torch.empty_like(H).bernoulli_().mul_(2).sub_(1)


def dense_loss(architecture, leaves, X, strength):
    """One probe, pulled back through the layers in closed form."""
    H, outputs = X, []
    for k in range(architecture.n_layers):
        W, b = leaves[f"encoder.{k}.weight"], leaves[f"encoder.{k}.bias"]
        H = torch.sigmoid(functional.linear(H, W, b))
        outputs.append((H, W))
    value = reconstruction_loss(decoded(architecture, leaves, H), X)
    if strength:
        V = signs_like(H)
        for H, W in reversed(outputs):
            V = (V * (H - H * H)) @ W
        value = value + strength / len(X) * V.square().sum()
    return value


def double_backward_loss(architecture, leaves, X, strength):
    """One probe by automatic differentiation, which is then differentiated."""
    X.requires_grad_()
    H = X
    for k in range(architecture.n_layers):
        W, b = leaves[f"encoder.{k}.weight"], leaves[f"encoder.{k}.bias"]
        H = torch.sigmoid(functional.linear(H, W, b))
    value = reconstruction_loss(decoded(architecture, leaves, H), X.detach())
    (V,) = torch.autograd.grad(H, X, signs_like(H), create_graph=True)
    return value + strength / len(X) * V.square().sum()


def decoded(architecture, leaves, H):
    """Return the pre-outputs of tied dense layers."""
    last = architecture.n_layers - 1
    for k in range(architecture.n_layers):
        W, c = leaves[f"encoder.{last - k}.weight"], leaves[f"decoder.{k}.bias"]
        H = functional.linear(H, W.T, c)
        H = torch.sigmoid(H) if k < last else H
    return H


def convolution_loss(architecture, leaves, X, strength):
    """Write the norm in closed form, with the squares of the filters over ones."""
    W, b = leaves["encoder.0.weight"], leaves["encoder.0.bias"]
    height, width, channels = architecture.image_shape
    padding = architecture.kernel_size[0] // 2
    images = X.view(-1, height, width, channels).permute(0, 3, 1, 2)
    H = torch.sigmoid(functional.conv2d(images, W, b, padding=padding))
    code, winners = H, None
    if architecture.pool:
        code, winners = functional.max_pool2d(H, 2, return_indices=True)
    spread = functional.interpolate(code, scale_factor=2) if architecture.pool else code
    c = leaves["decoder.0.bias"]
    Z = functional.conv_transpose2d(spread, W, c, padding=padding)
    value = reconstruction_loss(Z, images)
    if strength:
        # Σ_j φ'(a_j)² ‖W_j‖², where a filter at the border has fewer taps.
        ones = X.new_ones(1, channels, height, width)
        norms = functional.conv2d(ones, W.square(), padding=padding)
        squares = (H - H * H).square()
        if winners is not None:
            won = torch.zeros_like(H).flatten(2).scatter_(2, winners.flatten(2), 1)
            squares = squares * won.view_as(H)
        value = value + strength / len(X) * (squares.sum(0) * norms[0]).sum()
    return value


# ---- the report -----------------------------------------------------------------


def arrow(sizes):
    """Write the sizes of layers."""
    return "-".join(map(str, sizes))


def how(rounds):
    """Return how to measure: single steps, by the time that the processor spent."""
    return {"rounds": rounds, "seconds": 0, "clock": time.process_time}


def one_probe(rounds, shapes=DENSE):
    """Measure what one probe costs, and how long plain code for the same takes."""
    lines = []
    for sizes, n in product(shapes, BATCHES):
        layers = dense(sizes)
        times = in_turn(
            {
                "ours": our_step(layers, n, 0.0, 1),
                "plain": plain_step(layers, n, 0.0, dense_loss),
                "ours, λ": our_step(layers, n, PENALTY, 1),
                "plain, λ": plain_step(layers, n, PENALTY, dense_loss),
                "double": plain_step(layers, n, PENALTY, double_backward_loss),
            },
            **how(rounds),
        )
        lines.append([arrow(sizes), n, *ratios(times)])
        lines[-1].insert(5, f"{times['double'] / times['plain']:.2f}")
    return table([*HEADER[:5], "double backward, λ / none", *HEADER[5:]], lines)


HEADER = ["layers", "batch", "ours, ms", "ours, λ / none", "plain, λ / none"]
HEADER += ["ours / plain, none", "ours / plain, λ"]


def ratios(times):
    """Return the cells of a line from the times of ours and plain steps."""
    pairs = [("ours, λ", "ours"), ("plain, λ", "plain")]
    pairs += [("ours", "plain"), ("ours, λ", "plain, λ")]
    return [
        f"{times['ours, λ'] * 1e3:.3g}",
        *(f"{times[a] / times[b]:.2f}" for a, b in pairs),
    ]


def exact_norm(rounds, shapes=EXACT, n=64):
    """Measure what the norm itself costs."""
    lines = []
    for sizes in shapes:
        layers = dense(sizes)
        times = in_turn(
            {
                "none": our_step(layers, n, 0.0, 1),
                "probe": our_step(layers, n, PENALTY, 1),
                "exact": our_step(layers, n, PENALTY, 0),
            },
            **how(rounds),
        )
        n_multiplications = sizes[-1] * sum(d * h for d, h in pairwise(sizes))
        line = [arrow(sizes), f"{n_multiplications:,}", f"{times['exact'] * 1e3:.3g}"]
        line += [f"{times['exact'] / times[name]:.2f}" for name in ("probe", "none")]
        lines.append(line)
    header = ["layers", "multiplications a row", "exact, ms"]
    return table([*header, "exact / one probe", "exact / none"], lines)


def convolutions(rounds, shapes=CONVOLUTIONS, n=64):
    """Measure what the norm of a convolution costs, and how long plain code takes."""
    lines = []
    for image_shape, n_filters, kernel_size, pool in shapes:
        layers = convolution(image_shape, n_filters, kernel_size, pool)
        times = in_turn(
            {
                "ours": our_step(layers, n, 0.0, 0),
                "plain": plain_step(layers, n, 0.0, convolution_loss),
                "ours, λ": our_step(layers, n, PENALTY, 0),
                "plain, λ": plain_step(layers, n, PENALTY, convolution_loss),
            },
            **how(rounds),
        )
        name = " × ".join(map(str, image_shape)) + f", {n_filters} filters of "
        name += f"{kernel_size} × {kernel_size}" + (f", {pool} pooling" if pool else "")
        lines.append([name, n, *ratios(times)])
    return table(HEADER, lines)


def main(arguments=None):
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    parts = [
        "1 thread. Tied weights, sigmoid, cross-entropy, Adam, float32, "
        f"λ = {PENALTY}. A step begins with the numbers of its rows and ends with the "
        "weights changed. Plain is torch code for the same model: autograd, "
        "`torch.optim.Adam(fused=True)`, and the penalty in closed form. Ratios of "
        f"medians of {args.rounds} steps, each in turn with the others; times are the "
        "processor's.",
        "## Dense layers, one probe",
        "Plain code pulls the probe back by hand; with double backward it leaves that "
        "to autograd.",
        one_probe(args.rounds),
        "## Dense layers, the exact norm",
        "At a batch of 64. Up to 32,768 multiplications a row it is what "
        '`jacobian_method="auto"` takes.',
        exact_norm(max(3, args.rounds // 5)),
        "## One convolution, the exact norm",
        convolutions(args.rounds),
    ]
    options = shlex.join(sys.argv[1:] if arguments is None else arguments)
    command = f"python benchmarks/speed/networks.py {options}".strip()
    write("networks", "A step of a network", "\n\n".join(parts), command)


if __name__ == "__main__":
    main()
