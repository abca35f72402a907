"""How the benchmarks measure: in turn, in one process, median of several rounds."""

import os
import platform
import subprocess
import time
from pathlib import Path

import numpy as np
import torch

RESULTS = Path(__file__).parents[1] / "results" / "speed"


def in_turn(
    functions,
    *,
    rounds=9,
    seconds=0.05,
    clock=time.perf_counter,
    of_rounds=np.median,
):
    """Time functions in turn; return the seconds per call of each, by the median.

    Each turn repeats a function for about `seconds`, or calls it once if it takes
    longer. What disturbs the machine disturbs all of them, so that ratios hold where
    times do not. On one thread the clock can be `time.process_time`, which stands while
    others have the processor. `of_rounds` makes one number of those of all rounds.
    """
    repeats = {}
    for name, function in functions.items():
        function()
        start = clock()
        function()
        took = clock() - start
        repeats[name] = max(1, int(seconds / took))
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = clock()
            for _ in range(repeats[name]):
                function()
            times[name].append((clock() - start) / repeats[name])
    return {name: float(of_rounds(values)) for name, values in times.items()}


def products(d, h, n, **how):
    """Multiply the five products of a step into outputs allocated before: the limit."""
    X, Z, H, A = (torch.rand(n, width, **how) for width in (d, d, h, h))
    W = torch.rand(h, d, **how)
    dW = torch.empty_like(W)

    def multiply():
        torch.mm(X, W.T, out=A)
        torch.mm(H, W, out=Z)
        torch.mm(Z, W.T, out=A)
        torch.mm(A.T, X, out=dW)
        torch.mm(H.T, Z, out=dW)

    return multiply


def machine():
    """Describe the machine and the versions in one line."""
    name = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line for line in lines if line.startswith("model name"))
        name = name.partition(":")[2].strip()
    return (
        f"{name}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"NumPy {np.__version__}, BLAS: "
        f"{'MKL' if torch.backends.mkl.is_available() else 'other'}"
    )


def commit():
    """Name the commit that is measured."""
    out = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return out.stdout.strip() or "unknown"


def table(header, rows):
    """Format rows as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(x) for x in line) + " |" for line in lines)


def write(name, title, text, command):
    """Write one section of the report, and print it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    where = f"{machine()}. Commit {commit()}, `{command}`."
    page = f"# {title}\n\n{where}\n\n{text}\n"
    (RESULTS / f"{name}.md").write_text(page, encoding="utf-8")
    print(page, flush=True)
