"""What the commands of both tables have in common."""

import argparse
import shlex
import sys
from pathlib import Path

import report
from runs import Task

FOLDER = Path(__file__).parents[1] / "results" / "paper"


def parser(doc, models):
    """Declare the options."""
    made = argparse.ArgumentParser(description=doc.partition("\n")[0])
    made.add_argument("--local-file", help="of the data; MNIST comes from OpenML else")
    made.add_argument("--models", nargs="+", default=models, choices=models)
    made.add_argument("--sizes", type=int, nargs=3, help="rows of each part")
    made.add_argument("--n-components", type=int, default=1000)
    made.add_argument("--epochs", type=int, nargs=2, default=(100, 100))
    made.add_argument("--trials", type=int, default=8)
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--jobs", type=int, default=2)
    made.add_argument("--results", type=Path, default=FOLDER)
    made.add_argument("--quick", action="store_true", help="a small subset, 2 minutes")
    return made


def settle(args):
    """Make the options of a quick run those of a small subset."""
    if args.quick:
        args.sizes, args.n_components = (2000, 1000, 1000), 100
        args.epochs, args.trials, args.seeds = (20, 20), 4, 2
        args.results = args.results / "quick"
    args.sizes = None if args.sizes is None else tuple(args.sizes)
    args.epochs = tuple(args.epochs)
    return args


def task_of(args, data):
    """Return what all runs on a data set have in common."""
    return Task(
        data=data,
        local_file=args.local_file,
        sizes=args.sizes,
        model="",
        setting={},
        n_components=args.n_components,
        n_epochs=args.epochs,
        seed=0,
        stage="search",
    )


def searched(results, models):
    """Return the records of the search for these models."""
    return [
        record
        for record in results.by_key.values()
        if record["stage"] == "search" and record["model"] in models
    ]


def footer(script, arguments):
    """Name the versions and the command."""
    words = sys.argv[1:] if arguments is None else arguments
    command = shlex.join(["python", f"benchmarks/paper/{script}.py", *words])
    return f"{report.versions()}; `{command}`"
