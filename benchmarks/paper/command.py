"""What the commands of the tables have in common: options, and the work on cells."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.paper.cells import FOLDER, Cell, OutOfTimeError
from benchmarks.paper.finals import finals
from benchmarks.paper.protocol import BUDGETS, MODELS, Budget
from benchmarks.paper.search import search

# Everything once, in seconds.
QUICK = Budget(((2, 1), (1, 2)), 2, 1, 1, n_components=16)
HOURS = "after which no run is started; the same command goes on"


def parsed(doc, data_sets, arguments):
    """Read the options."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("--data", nargs="+", default=data_sets[:1], choices=data_sets)
    known = list(dict.fromkeys(m for d in data_sets for m in MODELS[d]))
    parser.add_argument("--models", nargs="+", default=known, choices=known)
    parser.add_argument(
        "--local-file", help="of the data; MNIST comes from OpenML else"
    )
    parser.add_argument("--hours", type=float, default=float("inf"), help=HOURS)
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--quick", action="store_true", help="few rows and epochs")
    args = parser.parse_args(arguments)
    if args.quick:
        args.results /= "quick"
    args.ends_at = time.time() + 3600 * args.hours
    return args


def cell_of(args, data, model):
    """Return a cell with its budget."""
    cell = Cell(
        data=data,
        model=model,
        local_file=args.local_file,
        folder=args.results,
        budget=BUDGETS[data],
        ends_at=args.ends_at,
    )
    if args.quick:
        budget = replace(QUICK, with_noise=cell.budget.with_noise)
        return replace(cell, sizes=(300, 100, 100), budget=budget)
    return cell


def cells_of(args):
    """Return the cells that are asked for, model by model on each set."""
    return [
        cell_of(args, data, model)
        for data in args.data
        for model in args.models
        if model in MODELS[data]
    ]


def work(cells, region_of=lambda cell: None):
    """Run what is missing of each cell, but for those that another process has.

    `region_of` gives the cell in whose region the search of a cell stays.
    """
    work_on(cells, lambda cell: finals(cell, search(cell, region_of(cell))))


def work_on(cells, run):
    """Call a function of each cell that no other process has, until time is up."""
    try:
        for cell in cells:
            with cell.lock() as is_ours:
                if is_ours:
                    run(cell)
                else:
                    print(f"Another process works on {cell.model} on {cell.data}.")
    except OutOfTimeError:
        print("The time is up: the same command goes on.")
