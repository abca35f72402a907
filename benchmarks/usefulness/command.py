"""Are codes worth having? What a classifier makes of them, on sets of many kinds.

The first command tries settings on one half of the sets, from which the defaults were
chosen. The second compares features at their defaults on the other half, of which
nothing was seen before. Both write one row a run and go on where they were stopped; the
third writes the report of what there is.

    python -m benchmarks.usefulness.command choose --mnist FILE --cifar FILE
    python -m benchmarks.usefulness.command compare --mnist FILE --cifar FILE
    python -m benchmarks.usefulness.command report
"""

import argparse
import sys
import warnings
from pathlib import Path

import torch

from benchmarks.records import Records
from benchmarks.usefulness.data import Missing, sources, split
from benchmarks.usefulness.features import FEATURES, TRIALS, judged
from benchmarks.usefulness.report import write

RESULTS = Path(__file__).parents[1] / "results" / "usefulness"


def run(records, features, sets, seeds):
    """Run what is not there yet, seed by seed."""
    for seed in range(seeds):
        for set_name, source in sets.items():
            of = {"set": set_name, "seed": seed}
            todo = [n for n in features if not records.find({"features": n, **of})]
            if not todo:
                continue
            try:
                X, X_test, y, y_test = split(source, seed)
            except Missing as reason:
                print(f"{set_name} is left out: it {reason}.", file=sys.stderr)
                continue
            for name in todo:
                found = judged(features[name](X, y, seed), X, X_test, y, y_test)
                records.add({"features": name, **of, **found})


def main(given=None):
    """Run a half of the benchmark, or write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["choose", "compare", "report"])
    parser.add_argument("--mnist", help="an npz file with x_train and y_train")
    parser.add_argument("--cifar", help="an npz file with CIFAR-10 as JPEGs")
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--features", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(given)
    # Seconds are of one thread; warnings of single fits are not the question here.
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    args.results.mkdir(parents=True, exist_ok=True)
    if args.what != "report":
        choosing = args.what == "choose"
        features = TRIALS if choosing else FEATURES
        sets = sources(args.mnist, args.cifar)
        run(
            Records(args.results / f"{args.what}.csv"),
            {name: features[name] for name in args.features or features},
            {
                name: source
                for name, source in sets.items()
                if source.chooses == choosing and name in (args.sets or sets)
            },
            args.seeds,
        )
    write(args.results)


if __name__ == "__main__":
    main()
