"""One of two processes of a scenario; what it has to say goes into a file.

python tests/data_parallel_script.py fits|killed RANK FOLDER
"""

import os
import pickle
import signal
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from skcae import ModuleAutoencoder, StackedCAE
from tests.test_data_parallel import (
    KINDS,
    SOLVERS,
    Stopper,
    encoder,
    estimator,
    shards_of,
)


def error_of(model, X):
    """Return the words of the error that a fit ends with."""
    try:
        model.fit(X)
    except (Exception, KeyboardInterrupt) as error:
        return str(error)


def fits(rank):
    """Fit a model of each kind, and then some that cannot be."""
    X = shards_of(5, 12)[rank]
    held_out = shards_of(5, 12)[0][:4][slice(0, 1) if rank == 0 else slice(1, 4)]
    report = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name, how in [*SOLVERS.items(), *KINDS.items()]:
            report[name] = estimator(**how).fit(X)
        weights = np.arange(1.0, 13.0) if rank else None
        report["weighted"] = estimator(early_stopping=True).fit(
            X, sample_weight=weights, X_val=held_out
        )
        report["warm"] = estimator(warm_start=True).fit(X).fit(X)
        # A function lies elsewhere in each process.
        report["modules"] = estimator(ModuleAutoencoder, encoder).fit(X)
        report["stack"] = estimator(StackedCAE, (5, 3)).fit(X)
    report["n_warnings"] = len(caught)
    report["mismatch"] = error_of(estimator(max_iter=6 + rank), X)
    report["nan"] = error_of(estimator(), X * np.nan if rank else X)
    interrupted = estimator()
    if rank:
        interrupted.set_callbacks(Stopper(2, error=KeyboardInterrupt()))
    report["interrupt"] = error_of(interrupted, X)
    estimator(max_iter=20, tol=1.0, n_iter_no_change=1).fit(X)  # the group still works
    return report


class Killer(Stopper):
    """A callback that kills its process, or notes when an epoch ends."""

    def __init__(self, rank):
        self.rank, self.last = rank, 0.0

    def on_fit_task_end(self, estimator, context):
        self.last = time.monotonic()
        if self.rank and context.task_id == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(rank):
    """Lose rank 1 after the third epoch."""
    killer = Killer(rank)
    model = estimator().set_callbacks(killer)
    error = error_of(model, shards_of(5, 12)[rank])
    seconds = time.monotonic() - killer.last
    is_fitted = hasattr(model, "components_")
    return {"error": error, "seconds": seconds, "is_fitted": is_fitted}


def main():
    """Join the group, run the scenario, and write the report."""
    scenario, rank, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=rank,
        world_size=2,
        timeout=timedelta(minutes=10),
    )
    report = {"fits": fits, "killed": killed}[scenario](rank)
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(report))
    if scenario == "fits":
        distributed.barrier()
        distributed.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # a group that has lost a rank may end the process in other ways


if __name__ == "__main__":
    main()
