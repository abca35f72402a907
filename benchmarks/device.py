"""What a CUDA device makes of the library: one run, less than six minutes, one report.

The tests that need a device, its numbers beside the processor's, steps beside their
matrix products, transform, a grid over λ, and memory. A part that fails or for which
no time is left says so in the report, which is written anew after each part.

    python -m benchmarks.device
    python -m benchmarks.device --device cpu --small

The second is a rehearsal: it takes a minute, and its numbers mean nothing.
"""

import argparse
import itertools
import re
import shlex
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from benchmarks.speed.measure import commit, machine, products, table
from skcae import (
    ContractiveAutoencoder,
    ConvolutionalCAE,
    DeepCAE,
    DenoisingAutoencoder,
    StackedCAE,
)

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "device"
# torch's words for how products of float32 are multiplied.
PRECISIONS = {"float32": "highest", "TF32": "high"}
SOLVERS = {
    "sgd": {"solver": "sgd", "momentum": 0.0},
    "adam": {"solver": "adam"},
}
# Of an epoch; and what a step is timed over, at most.
FEWEST_ROWS, MOST_STEPS, SECONDS = 4096, 400, 0.6


class Run:
    """Where, how large and until when.

    Parameters
    ----------
    device : str
        Where to compute.
    is_small : bool
        Whether this is a rehearsal.
    seconds : float
        How long all parts together may take. None begins a measurement after that.
    """

    def __init__(self, device, is_small, seconds):
        self.device, self.is_small = torch.device(device), is_small
        self.end = time.monotonic() + seconds
        self.is_cuda = self.device.type == "cuda"
        self.layers = [(64, 96)] if is_small else [(784, 1000), (3072, 4000)]
        self.batches = [128, 512] if is_small else [128, 512, 2048, 8192]

    @property
    def seconds_left(self):
        """Seconds until the end."""
        return self.end - time.monotonic()

    def within_time(self, configurations):
        """Give configurations until the time is up."""
        for configuration in configurations:
            if self.seconds_left <= 0:
                return
            yield configuration

    def wait(self):
        """Wait until the device has done what it was given."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def time(self, function):
        """Return the seconds of a call, with all that the device has to do for it."""
        self.wait()
        start = time.perf_counter()
        function()
        self.wait()
        return time.perf_counter() - start

    def median(self, function, rounds=5):
        """Return the median of several, after one that counts for nothing."""
        function()
        return float(np.median([self.time(function) for _ in range(rounds)]))


@contextmanager
def precision(name):
    """Multiply matrices of float32 with the digits of float32 or TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[name])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def encoder(h, n, run, n_epochs=1, **how):
    """Make an autoencoder that trains for so many epochs on the device."""
    how = {"solver": "adam", "learning_rate": 1e-4, "device": run.device, **how}
    return ContractiveAutoencoder(
        h,
        loss="cross_entropy",
        learning_rate_schedule="constant",
        batch_size=n,
        max_iter=n_epochs,
        n_iter_no_change=np.inf,
        random_state=0,
        **how,
    )


def uniform_rows(n, d):
    """Draw noise in [0, 1]."""
    return np.random.default_rng(0).random((n, d), dtype=np.float32)


# ---- the parts --------------------------------------------------------------------


def tests(run):
    """Run the tests that need a device, all of them."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/test_cuda.py"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=max(1.0, run.seconds_left),
    )
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    failed = [line for line in lines if re.match("FAILED|ERROR", line)]
    return "\n".join([f"`pytest tests/test_cuda.py`: {lines[-1].strip('= ')}", *failed])


MODELS = {
    "contractive, Adam": partial(ContractiveAutoencoder, 32),
    "contractive, SGD": partial(
        ContractiveAutoencoder, 32, solver="sgd", learning_rate=0.005
    ),
    "with the Hessian, sampled": partial(
        ContractiveAutoencoder, 32, hessian_penalty=0.1, hessian_noise=0.3
    ),
    "denoising, untied": partial(DenoisingAutoencoder, 32, tied_weights=False),
    "two layers, one by one": partial(StackedCAE, (32, 16)),
    "two layers together": partial(DeepCAE, (32, 16)),
    "convolution": partial(ConvolutionalCAE, 8, 3, image_shape=(8, 8), pool="max"),
}


def equality(run):
    """Fit the same model here and there, and compare codes and scores."""
    X = load_digits().data[: 400 if run.is_small else None] / 16
    lines = []
    for name, dtype in run.within_time(
        itertools.product(MODELS, (np.float32, np.float64))
    ):
        data = X.astype(dtype)
        how = {"max_iter": 10, "tol": 0.1, "random_state": 0}
        here = MODELS[name](**how).fit(data)
        there = MODELS[name](device=run.device, **how).fit(data)
        codes, others = here.transform(data), there.transform(data)
        far = np.abs(codes - others).max() / codes.std()
        score = abs(there.score(data) / here.score(data) - 1)
        lines.append([name, np.dtype(dtype).name, f"{far:.1e}", f"{score:.1e}"])
    return (
        "Ten epochs on the digits, on this device and on the processor. The largest "
        "difference of a code, in standard deviations of the codes, and the relative "
        "difference of the scores.\n\n"
        + table(["model", "precision", "codes", "score"], lines)
    )


def seconds_of_products(d, h, n, dtype, run):
    """Return the seconds of the five products, as a mean of many in a row."""
    multiply = products(d, h, n, dtype=dtype, device=run.device)
    multiply()
    repeats = int(np.clip(0.05 / run.time(multiply), 1, 100))
    return run.median(lambda: [multiply() for _ in range(repeats)]) / repeats


def seconds_of_step(d, h, n, solver, X, run):
    """Return the seconds of a step: what a longer fit takes more than a short one."""
    steps_per_epoch = len(X) // n
    # A warm start draws no weights, and looks at no moments.
    model = encoder(h, n, run, **SOLVERS[solver]).fit(X).set_params(warm_start=True)

    def seconds_of(n_epochs):
        return run.time(lambda: model.set_params(max_iter=n_epochs).fit(X))

    seconds_of(2)
    guess = max((seconds_of(4) - seconds_of(2)) / (2 * steps_per_epoch), 1e-5)
    more = max(2, round(min(SECONDS / guess, MOST_STEPS) / steps_per_epoch))
    longer, short = zip(
        *((seconds_of(2 + more), seconds_of(2)) for _ in range(3)), strict=True
    )
    return (min(longer) - min(short)) / (more * steps_per_epoch)


def steps(run):
    """Compare the rate of whole steps with that of their products."""
    lines = []
    configurations = itertools.product(run.layers, run.batches, PRECISIONS)
    for (d, h), n, name in run.within_time(configurations):
        X = uniform_rows(max(FEWEST_ROWS, 2 * n), d)
        with precision(name):
            limit = seconds_of_products(d, h, n, torch.float32, run)
            taken = {s: seconds_of_step(d, h, n, s, X, run) for s in SOLVERS}
        line = [f"{d} → {h}", n, name, f"{1e3 * limit:.3g}", rate(d, h, n, limit)]
        for seconds in taken.values():
            line += [f"{1e3 * seconds:.3g}", f"{limit / seconds:.2f}"]
        lines.append(line)
    header = ["layer", "batch", "products in", "products, ms", "Tflop/s"]
    for solver in SOLVERS:
        header += [f"step, {solver}, ms", "products / step"]
    return (
        "The five products of a tied layer's step, 10·n·d·h operations, and the whole "
        "step: sigmoid, cross-entropy, λ = 0.1, the rows on the device. A step is what "
        "an epoch of a fit takes, divided by its steps.\n\n" + table(header, lines)
    )


def rate(d, h, n, seconds):
    """Write the rate of five products in Tflop/s."""
    return f"{10 * n * d * h / seconds / 1e12:.3g}"


def half(run):
    """Measure products in bfloat16, of which the library has none."""
    lines = []
    for (d, h), n in run.within_time(itertools.product(run.layers, run.batches)):
        seconds = seconds_of_products(d, h, n, torch.bfloat16, run)
        error = error_of_half(d, h, n, run)
        line = [f"{d} → {h}", n, f"{1e3 * seconds:.3g}", rate(d, h, n, seconds)]
        lines.append([*line, f"{error:.1e}"])
    header = ["layer", "batch", "products, ms", "Tflop/s", "relative error of W x"]
    return (
        "Products alone: the library has no steps in bfloat16. The error is the root "
        "mean square, over that of float32.\n\n" + table(header, lines)
    )


def error_of_half(d, h, n, run):
    """Return by how much W x is off where both are rounded to bfloat16."""
    X, W = (torch.randn(size, d, device=run.device) for size in (n, h))
    with precision("float32"):
        exact = X @ W.T
    rounded = (X.bfloat16() @ W.bfloat16().T).float()
    return float(
        (rounded - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    )


def transform(run):
    """Measure how many rows a second are encoded, from NumPy and back to it."""
    lines = []
    for d, h in run.layers:
        X = uniform_rows(2_000 if run.is_small else 50_000, d)
        model = encoder(h, 512, run).fit(X[:512])
        W = torch.from_numpy(model.components_).to(run.device)
        resident = torch.from_numpy(X).to(run.device)
        multiplied = run.median(partial(torch.mm, resident, W.T), rounds=3)
        for n in run.within_time([1, 100, len(X)]):
            seconds = run.median(partial(model.transform, X[:n]))
            line = [f"{d} → {h}", n, f"{1e3 * seconds:.3g}", f"{n / seconds:.3g}"]
            lines.append([*line, f"{1e3 * multiplied:.3g}" if n == len(X) else ""])
    header = ["layer", "rows", "transform, ms", "rows/s", "product on the device, ms"]
    return table(header, lines)


def grid(run):
    """Fit eight λ one after the other, and several at once on the one device."""
    (d, h), n_rows = run.layers[0], 1_000 if run.is_small else 20_000
    X = uniform_rows(n_rows, d)
    strengths = np.geomspace(0.01, 1, 8)

    def fits(device, n_jobs):
        model = encoder(h, 128, run, 5, device=device)
        joblib.Parallel(n_jobs, backend="threading")(
            joblib.delayed(clone(model).set_params(jacobian_penalty=strength).fit)(X)
            for strength in strengths
        )

    fits(run.device, 1)
    lines = []
    tried = [(str(run.device), jobs) for jobs in (1, 2, 4)]
    for where, n_jobs in run.within_time(dict.fromkeys([*tried, ("cpu", 1)])):
        seconds = run.time(partial(fits, where, n_jobs))
        lines.append([where, n_jobs, f"{seconds:.2f}"])
    return (
        f"{d} → {h}, {n_rows} rows, five epochs of batches of 128, eight λ; in threads "
        "that share the device.\n\n" + table(["device", "at once", "seconds"], lines)
    )


def memory(run):
    """Measure the peak of a fit on the device, in multiples of its weights."""
    if not run.is_cuda:
        return "torch counts the peak on CUDA devices alone."
    lines = []
    for (d, h), solver, early in run.within_time(
        itertools.product(run.layers, SOLVERS, (False, True))
    ):
        X = uniform_rows(4096, d)
        model = encoder(h, 128, run, 2, early_stopping=early, **SOLVERS[solver])
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(run.device)
        before = torch.cuda.memory_allocated(run.device)
        model.fit(X)
        peak = torch.cuda.max_memory_allocated(run.device) - before
        stops = "yes" if early else "no"
        beyond = (peak - X.nbytes) / (4 * d * h)
        line = [f"{d} → {h}", solver, stops, f"{peak / 1e6:.0f}", f"{beyond:.2f}"]
        lines.append(line)
    header = ["layer", "solver", "early stopping", "peak, MB", "beyond X, in weights"]
    return table(header, lines)


# ---- the report -------------------------------------------------------------------

# In the order of what one would miss most.
PARTS = {
    "The tests": tests,
    "The same numbers": equality,
    "Steps": steps,
    "bfloat16": half,
    "Transform": transform,
    "Eight λ": grid,
    "Memory": memory,
}


def outcome(part, run):
    """Return what a part found, or why it found nothing."""
    if run.seconds_left <= 0:
        return "Not run: no time was left."
    try:
        return part(run)
    except Exception as error:
        return f"Failed: {type(error).__name__}: {error}"


def device_in_words(run):
    """Describe the device."""
    if not run.is_cuda:
        return "A rehearsal on the processor: its numbers mean nothing."
    about = torch.cuda.get_device_properties(run.device)
    return (
        f"{about.name}, {about.total_memory / 2**30:.0f} GB, compute capability "
        f"{about.major}.{about.minor}, CUDA {torch.version.cuda}."
    )


def main(given=None):
    """Run all parts, and write the report after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seconds", type=float, default=330)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(given)
    warnings.simplefilter("ignore")
    run = Run(args.device, args.small, args.seconds)
    torch.empty(0, device=run.device)
    given = shlex.join(sys.argv[1:] if given is None else given)
    command = f"python -m benchmarks.device {given}".strip()
    page = (
        f"# On a device\n\n{device_in_words(run)} {machine()}. Commit {commit()}, "
        f"`{command}`.\n"
    )
    folder = args.results / "quick" if args.small else args.results
    folder.mkdir(parents=True, exist_ok=True)
    for title, part in PARTS.items():
        start = time.monotonic()
        found = outcome(part, run)
        page += f"\n## {title}\n\n{found}\n"
        print(f"{title}, {time.monotonic() - start:.0f} s:\n{found}\n", flush=True)
        (folder / f"{run.device.type}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
