"""What the commands have in common."""

import argparse
import shlex
from pathlib import Path

import report
from data import checksum
from models import PROTOCOL_VERSION, grid_of, is_on_grid, n_settings
from runs import Task
from search import rungs

FOLDER = Path(__file__).parents[1] / "results" / "paper"


def parser(doc, models=()):
    """Declare the options, --models among them if there is something to leave out."""
    made = argparse.ArgumentParser(description=doc.partition("\n")[0])
    made.add_argument("--local-file", help="of the data; MNIST comes from OpenML else")
    if models:
        made.add_argument("--models", nargs="+", default=models, choices=models)
    made.add_argument("--sizes", type=int, nargs=3, help="rows of each part")
    made.add_argument("--n-components", type=int, default=1000)
    made.add_argument("--epochs", type=int, nargs=2, default=(30, 30))
    made.add_argument("--trials", type=int, default=6)
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--jobs", type=int, default=2)
    made.add_argument("--results", type=Path, default=FOLDER)
    made.add_argument("--quick", action="store_true", help="a small subset, a minute")
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
        checksum=checksum(data, args.local_file, args.sizes),
        model="",
        setting={},
        n_components=args.n_components,
        n_epochs=args.epochs,
        seed=0,
        stage="search",
    )


def searched(results, tasks, models):
    """Return the records of the search that these tasks have in common."""
    same = ("data", "checksum", "sizes", "n_components", "stage")
    wanted = [{name: task.described[name] for name in same} for task in tasks]
    return [
        record
        for record in results.by_key.values()
        if record["model"] in models
        and record.get("protocol") == PROTOCOL_VERSION
        and {name: _plain(record.get(name)) for name in same} in wanted
    ]


def _plain(value):
    """Turn JSON's list into the tuple that it was."""
    return tuple(value) if isinstance(value, list) else value


def search_text(args, trials):
    """Say how the settings were chosen, and which trials only settled the grids."""
    sizes = {model: n_settings(model) for model in args.models}
    text = report.search_text(args.trials, rungs(args.trials, args.epochs), sizes)
    grids = {model: grid_of(model) for model in args.models}
    return text + outside_text(trials, grids)


def outside_text(trials, grids):
    """Say how many trials are on none of the grids that were searched at last."""
    n_outside = sum(not is_on_grid(r["setting"], grids[r["model"]]) for r in trials)
    if not n_outside:
        return ""
    return (
        f"\n\n{n_outside} of the trials that are listed below are outside these grids: "
        "they are of a first search, which these grids were settled by."
    )


def footer(script, args, records):
    """Name the versions, and a command that gives the same."""
    words = ["python", f"benchmarks/paper/{script}.py"]
    for name, value in vars(args).items():
        if name in ("results", "jobs", "quick") or value is None:
            continue
        if name == "local_file":
            value = Path(value).name
        values = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return f"{report.versions(records)}; `{shlex.join(words)}`"
