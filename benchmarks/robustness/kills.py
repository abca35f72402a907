"""Kill fits at random moments, and see that nothing is lost.

    python benchmarks/robustness/kills.py --kills 200

A process fits with a checkpoint after each epoch and is killed (SIGKILL) at a random
moment. The checkpoint must then load; another process goes on from it and is killed in
turn, until one comes to its end, which must be that of an undisturbed fit, bit for bit.
"""

import argparse
import os
import random
import signal
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

from skcae import ContractiveAutoencoder, DenoisingAutoencoder, StackedCAE
from skcae.checkpoints import Checkpoint, resume
from skcae.persistence import get_weights, load

HOW = {"max_iter": 30, "tol": 1e-9, "random_state": 0}
MODELS = {
    "CAE, Adam, early stopping": ContractiveAutoencoder(
        48, early_stopping=True, n_iter_no_change=20, **HOW
    ),
    "DAE, momentum": DenoisingAutoencoder(
        48, solver="sgd", learning_rate=1e-3, batch_size=20, **HOW
    ),
    "stack of two CAEs": StackedCAE((48, 24), **HOW),
}
REPORT = Path(__file__).parents[1] / "results" / "robustness" / "kills.md"


def run(model, path, X):
    """Fit from the checkpoint, or from the beginning where there is none."""
    checkpoint = Checkpoint(path)
    if path.exists():
        return resume(path, X, callbacks=(checkpoint,))
    return model.set_callbacks(checkpoint).fit(X)


def killed(model, path, X, after):
    """Run in another process, and kill it after so many seconds; tell if it was."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run(model, path, X)
            status = 0
        finally:
            os._exit(status)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit("A fit failed by itself.")
    return os.WIFSIGNALED(status)


def same(model, other):
    """Tell whether two models have the same bits."""
    weights, others = get_weights(model), get_weights(other)
    return weights.keys() == others.keys() and all(
        np.array_equal(weights[name], others[name]) for name in weights
    )


def one_training(model, X, whole, longest, count, random_moment, folder):
    """Run a training through kills to its end, and count what happened."""
    path = Path(folder) / "training.skops"
    while killed(model, path, X, random_moment.uniform(0, longest)):
        count["kills"] += 1
        count["before the first checkpoint"] += not path.exists()
        parts = list(path.parent.glob(".skcae-*.part"))
        count["in the midst of a write"] += len(parts)
        for part in parts:
            part.unlink()
        if path.exists():
            load(path)
            count["checkpoints loaded"] += 1
    count["trainings"] += 1
    count["ended elsewhere"] += not same(load(path), whole)
    path.unlink()


def main(arguments=None):
    """Kill as often as asked, over all models, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    X = load_digits().data / 16
    random_moment = random.Random(args.seed)
    counts = {}
    for name, model in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            whole = run(model, Path(folder) / "whole.skops", X)
            longest = 0.7 * (time.perf_counter() - started)
            count = counts[name] = Counter()
            while count["kills"] < args.kills / len(MODELS):
                one_training(model, X, whole, longest, count, random_moment, folder)
        print(name, dict(count), flush=True)
    write(args.report, args.kills, counts)


def write(path, n_kills, counts):
    """Lay out the counts, and fail if anything was lost."""
    columns = [
        "trainings",
        "kills",
        "before the first checkpoint",
        "in the midst of a write",
        "checkpoints loaded",
        "ended elsewhere",
    ]
    rows = [
        [name, *(count[column] for column in columns)] for name, count in counts.items()
    ]
    rows.append(
        ["all", *(sum(row[k] for row in rows) for k in range(1, len(columns) + 1))]
    )
    lines = [["model", *columns], ["---"] * (len(columns) + 1), *rows]
    table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""# Fits that are killed

{__doc__.split("200", 1)[1].strip()}

{table}

"ended elsewhere" counts the trainings whose weights differ in any bit from those of the
undisturbed fit. `python benchmarks/robustness/kills.py --kills {n_kills}`; torch
{torch.__version__}.
""",
        encoding="utf-8",
    )
    if rows[-1][-1]:
        raise SystemExit("A training ended elsewhere.")


if __name__ == "__main__":
    main()
