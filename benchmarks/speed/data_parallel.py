"""Two processes that train one layer together, against one of them alone.

python benchmarks/speed/data_parallel.py
"""

import argparse
import itertools
import multiprocessing
import os
import shlex
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from fit import N_COMPONENTS, N_FEATURES, autoencoder, rows
from measure import table, write
from sklearn.exceptions import ConvergenceWarning
from torch import distributed

SOLVERS = ["sgd", "momentum", "adam"]
BATCHES = [512, 2048]
# An epoch of MNIST's 50,000 rows, cut in two, has about as many steps of 512 rows.
EPOCHS, STEPS_PER_EPOCH = 2, 48


def timed_fit(model, X):
    """Return the seconds of a fit that begins on all ranks at once, and the CPU's."""
    distributed.barrier()
    start, busy = time.perf_counter(), time.process_time()
    model.fit(X)
    return time.perf_counter() - start, time.process_time() - busy


@contextmanager
def exchanged_by(function):
    """Let ranks exchange by another function in a training."""
    exchange = distributed.all_reduce
    distributed.all_reduce = function
    try:
        yield
    finally:
        distributed.all_reduce = exchange


def watched(seconds):
    """Return an exchange that adds up the waiting for the other rank, and the sums."""
    exchange, found = distributed.all_reduce, np.zeros(2)
    seconds.append(found)

    def timed(buffer):
        start = time.perf_counter()
        distributed.barrier()
        ready = time.perf_counter()
        exchange(buffer)
        found[:] += ready - start, time.perf_counter() - ready

    return timed


def waiting():
    """Wait, without work, for the other rank's fit alone."""
    distributed.barrier()
    return np.nan, np.nan


def measure(rank, n, solver, rounds):
    """Time fits of one process, of two apart and of two together, in turn."""
    X = rows(STEPS_PER_EPOCH * n)
    epochs = {"max_iter": EPOCHS, "n_iter_no_change": EPOCHS}
    single = autoencoder(N_COMPONENTS, n, solver, **epochs)
    shared = autoencoder(N_COMPONENTS, n, solver, data_parallel=True, **epochs)
    timed_fit(shared, X)
    times = {"alone": [], "apart": [], "silent": [], "together": [], "exchange": []}
    for _ in range(rounds):
        times["alone"].append(waiting() if rank else timed_fit(single, X))
        times["apart"].append(timed_fit(single, X))
        # All motions, and nothing sent.
        with exchanged_by(lambda buffer: None):
            times["silent"].append(timed_fit(shared, X))
        times["together"].append(timed_fit(shared, X))
        with exchanged_by(watched(times["exchange"])):
            timed_fit(shared, X)
    return {name: np.array(taken).T for name, taken in times.items()}


def exchange(rounds=30):
    """Time the sum of a buffer of the layer's size, with nothing else to do."""
    buffer = torch.zeros(N_FEATURES * N_COMPONENTS + N_FEATURES + N_COMPONENTS + 3)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        distributed.all_reduce(buffer)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def work(rank, store, batches, rounds, queue):
    """Measure all configurations as one of the two processes."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=2,
        timeout=timedelta(minutes=5),
    )
    times = {
        configuration: measure(rank, *configuration, rounds)
        for configuration in itertools.product(batches, SOLVERS)
    }
    seconds = exchange()
    if rank == 0:
        queue.put((times, seconds))
    distributed.barrier()
    distributed.destroy_process_group()


def run(batches, rounds):
    """Start the two processes, and return what the first measures."""
    # torch's count is set too late for the libraries that read this when they start.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        arguments = (Path(folder) / "store", batches, rounds, queue)
        processes = [
            context.Process(target=work, args=(rank, *arguments)) for rank in range(2)
        ]
        for process in processes:
            process.start()
        result = queue.get(timeout=3600)
        for process in processes:
            process.join()
    return result


def report(times):
    """Compare the samples per second of each configuration."""
    lines = []
    for (n, solver), taken in times.items():
        n_samples = EPOCHS * STEPS_PER_EPOCH * n
        (alone, busy_alone), (both, busy) = taken["alone"], taken["together"]
        apart, silent = taken["apart"][0], taken["silent"][0]
        idle, summing = taken["exchange"]
        low, middle, high = np.quantile(2 * alone / both, [0.25, 0.5, 0.75])
        more = 100 * (np.median(busy) / np.median(busy_alone) - 1)
        numbers = [
            f"{n_samples / np.median(alone):.0f}",
            f"{2 * n_samples / np.median(both):.0f}",
            f"{middle:.2f} ({low:.2f} to {high:.2f})",
            f"{more:+.0f}",
            *(
                f"{100 * np.median(lost / both):.0f}"
                for lost in (
                    apart - alone,
                    silent - apart,
                    idle,
                    summing,
                    both - silent - idle - summing,
                )
            ),
        ]
        lines.append([n, solver, *numbers])
    header = ["batch of each", "solver", "samples/s, one", "samples/s, two"]
    header += ["two / one", "CPU time, %"]
    header += ["lost: to the machine, %", "to the gradient", "to waiting"]
    header += ["to the sum", "the rest"]
    return table(header, lines)


WORDS = """\
{}→{}, float32, one thread to a process, gloo. Whole fits of {} epochs of {} steps, in \
turn: one process while the other waits, both apart, each with a model of its own, and \
both together. In a step of both there are twice the rows, so that 2 is the ratio of \
samples per second of processes that do not disturb each other. Medians, and in \
brackets the middle half. CPU time is what the first process computes \
in a fit with the other, beyond what it computes in one alone. What is lost is in % of \
the time of both together. To the machine: by two that have nothing to do with each \
other beside one alone. To the gradient: by two that form theirs in the buffer that is \
sent, go down from there, and send nothing. To waiting for whoever is slower, and to \
the sum: as the two take in one more fit of both, where they meet before each sum. The \
rest is what they compute more slowly after a sum has gone through the caches, and \
chance."""


def main():
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    args = parser.parse_args()
    times, seconds = run(args.batches, args.rounds)
    text = "\n\n".join(
        [
            WORDS.format(N_FEATURES, N_COMPONENTS, EPOCHS, STEPS_PER_EPOCH),
            report(times),
            f"The sum of a buffer of this size ({4e-6 * N_FEATURES * N_COMPONENTS:.1f} "
            f"MB) over both, by itself: {1e3 * seconds:.1f} ms.",
        ]
    )
    command = f"python benchmarks/speed/data_parallel.py {shlex.join(sys.argv[1:])}"
    write("data_parallel", "Two processes that train together", text, command.strip())


if __name__ == "__main__":
    main()
