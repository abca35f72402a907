"""What the penalty adds to a step: exact, by probes and by finite differences.

python -m benchmarks.studies.overhead
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks.speed.measure import in_turn
from benchmarks.studies.study import Study, as_text, of_set, table, values
from benchmarks.usefulness.data import Missing
from skcae.functional import jacobian_penalty

# What is changed, and all else: columns, units, layers, rows of a batch.
COLUMNS, UNITS, BATCH = 256, 64, 100
SIZES = {
    "units of one layer": (32, 128, 512, 2048),
    "layers of 64 units": (1, 2, 3, 4),
    "rows of a batch, two layers": (10, 100, 1000),
    "columns of two layers": (64, 256, 1024, 4096),
    "side of an image, 16 filters": (8, 16, 32, 64),
}
PENALTY, STEP, N_DRAWS = 0.1, 1e-2, 20
ROUNDS = 15


# ---- the ways to take the penalty -------------------------------------------------


def finite_differences(encoder, X, H):
    """Estimate ‖J‖² by ‖f(x + εv) − f(x)‖² / ε², v normal: its mean, up to O(ε²)."""
    moved = encoder(X + STEP * torch.randn_like(X))
    return ((moved - H) / STEP).square().sum() / len(X)


def by(method, encoder, X, H):
    """Take the penalty as skcae does."""
    return jacobian_penalty(encoder, X, method=method)


METHODS = {
    "exact": partial(by, "exact"),
    "probe": partial(by, "probes"),
    "differences": finite_differences,
}


def step_of(encoder, decoder, X, penalty=None):
    """Make a step of Adam on the squared error, perhaps with a penalty."""
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=True)

    def step():
        optimizer.zero_grad()
        H = encoder(X)
        loss = (decoder(H) - X).square().sum() / len(X)
        if penalty:
            loss = loss + PENALTY * penalty(encoder, X, H)
        loss.backward()
        optimizer.step()
        if X.is_cuda:
            torch.cuda.synchronize()

    return step


# ---- what is measured -------------------------------------------------------------


def trials(small):
    """List all sizes of all that is changed."""
    return [
        {"changed": what, "size": size}
        for what, sizes in SIZES.items()
        for size in (sizes[:2] if small else sizes)
    ]


def network(changed, size):
    """Return an encoder, a decoder and the shape of a batch."""
    if changed.startswith("side"):
        encoder = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.Sigmoid())
        return encoder, nn.Conv2d(16, 1, 5, padding=2), (BATCH, 1, size, size)
    word = changed.partition(" ")[0]
    units = size if word == "units" else UNITS
    n_layers = {"units": 1, "layers": size}.get(word, 2)
    batch = size if word == "rows" else BATCH
    columns = size if word == "columns" else COLUMNS
    widths = [columns, *[units] * n_layers]
    layers = [
        layer
        for k in range(n_layers)
        for layer in (nn.Linear(widths[k], widths[k + 1]), nn.Sigmoid())
    ]
    return nn.Sequential(*layers), nn.Linear(units, columns), (batch, columns)


def run(device, seed, trial):
    """Time a step without a penalty and with each, in turn."""
    torch.manual_seed(seed)
    encoder, decoder, shape = network(**trial)
    encoder, decoder = encoder.to(device), decoder.to(device)
    X = torch.rand(shape, device=device)
    steps = {
        name: step_of(encoder, decoder, X, penalty)
        for name, penalty in {"none": None, **METHODS}.items()
    }
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    noise = {f"noise of {name}": noise_of(name, encoder, X) for name in METHODS}
    return in_turn(steps, rounds=ROUNDS, seconds=0, clock=clock) | noise


def noise_of(name, encoder, X):
    """Return the standard deviation of an estimate, in % of the exact penalty."""
    with torch.no_grad():
        H = encoder(X)
        n_draws = 1 if name == "exact" else N_DRAWS
        draws = [METHODS[name](encoder, X, H).item() for _ in range(n_draws)]
        exact = METHODS["exact"](encoder, X, H).item()
    return 100 * np.sqrt(np.mean(np.square(np.array(draws) / exact - 1)))


# ---- what is said of it -----------------------------------------------------------


def ratios(rows, method, **of):
    """Return the time of a step with the penalty over that without, by repetition."""
    without = values(rows, "none", **of)
    return {key: s / without[key] for key, s in values(rows, method, **of).items()}


def report(rows):
    """Say what each way costs, and how noisy it is."""
    parts = []
    for device in dict.fromkeys(row["set"] for row in rows):
        lines = []
        for what, sizes in SIZES.items():
            for of in ({"changed": what, "size": size} for size in sizes):
                if not values(rows, "none", **of):
                    continue
                step = of_set(values(rows, "none", **of), device)
                line = [what, of["size"], f"{1e3 * np.mean(step):.2f}"]
                line += [
                    as_text(of_set(ratios(rows, m, **of), device)) for m in METHODS
                ]
                for method in list(METHODS)[1:]:
                    noise = of_set(values(rows, f"noise of {method}", **of), device)
                    line.append(f"{np.mean(noise):.1f}")
                lines.append(line)
        header = [
            "changed",
            "size",
            "without, ms",
            *(f"{m} / without" for m in METHODS),
        ]
        header += [f"noise of {m}, %" for m in list(METHODS)[1:]]
        parts += [f"On {device}:", table(header, lines)]
    return "\n\n".join(parts), draw(rows)


def draw(rows):
    """Draw the ratios, a panel for what is changed, a line for each way."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, len(SIZES), sharey=True)
    devices = dict.fromkeys(row["set"] for row in rows)
    for ax, (what, sizes) in zip(axes, SIZES.items(), strict=True):
        for device, style in zip(devices, ("o-", "s--"), strict=False):
            for k, method in enumerate(METHODS):
                of = [ratios(rows, method, changed=what, size=s) for s in sizes]
                points = [
                    (size, np.mean(of_set(found, device)))
                    for size, found in zip(sizes, of, strict=True)
                    if found
                ]
                label = f"{method}, {device}"
                ax.loglog(*zip(*points, strict=True), style, color=f"C{k}", label=label)
        ax.axhline(1, color="0.7", lw=1)
        ax.set_xlabel(what.replace(", ", ",\n"))
        ax.set_xticks(sizes, sizes)
        ax.minorticks_off()
    ticks = (1, 2, 5, 10, 20, 50, 100)
    axes[0].set_yticks(ticks, ticks)
    axes[0].set_ylabel("a step with the penalty / without")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=6, frameon=False)
    return figure


@dataclass(frozen=True)
class OnDevices(Study):
    """A study of devices in the place of sets, and of repetitions for seeds."""

    def data_of(self, set_name, seed, args):
        """Return the device."""
        if set_name == "cuda" and not torch.cuda.is_available():
            raise Missing("needs a card")
        return torch.device(set_name)


STUDY = OnDevices(
    name="overhead",
    question="What does the penalty cost?",
    measure=(
        "The time of a training step with the penalty, over that of the same step "
        "without: torch modules of sigmoid units, Adam, "
        "`skcae.functional.jacobian_penalty` exactly and with one probe, and finite "
        f"differences, ‖f(x + εv) − f(x)‖² / ε² with one normal v and ε = {STEP:g}. "
        f"The median of {ROUNDS} steps, in turn in one process of one thread, as many "
        "times as there are seeds; on a processor its own time. Noise is the deviation "
        f"of one batch's estimate from the exact penalty, of {N_DRAWS} draws. Where "
        f"these are not changed there are {COLUMNS} columns and {BATCH} rows a batch. "
        "A way is cheap if a step takes less than twice as long with it."
    ),
    trials=trials,
    run=run,
    report=report,
    sets=("cpu", "cuda"),
    small_sets=("cpu",),
)

if __name__ == "__main__":
    STUDY.main()
