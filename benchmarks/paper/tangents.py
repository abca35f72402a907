"""The manifold tangent classifier: few labels, and an encoder of all rows.

    python -m benchmarks.paper.tangents --quick
    python -m benchmarks.paper.tangents --local-file mnist.npz

NN is the network from random weights, CAE the same from a contractive encoder of all
rows, and MTC that with a penalty on changes along the encoder's tangents (Rifai et al.,
NIPS 2011). Finished runs are kept in a file and never run again, and so are encoders.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.paper import report
from benchmarks.paper.cells import FOLDER
from benchmarks.paper.data import checksum, load
from benchmarks.paper.few_labels import (
    BATCH_SIZE,
    PROTOCOL_VERSION,
    FewLabelsTask,
    Results,
    run_all,
)
from benchmarks.paper.few_labels_grids import (
    CAE_H,
    FEW_LABELS,
    FEW_LABELS_TUNING,
    TANGENTS,
    draw,
    every,
    is_on_grid,
    size,
)

DATA = ["mnist", "digits"]
LABELS = [100, 600, 1000, 3000]


class Choice(NamedTuple):
    """What the search decides for a model."""

    setting: dict
    n_epochs: tuple[int, int]


def main(arguments=None):
    """Search, train the best, and write the report."""
    args = parsed(arguments)
    name = f"tangents_{args.data}"
    results = Results(args.results / f"{name}.jsonl")
    tasks = tasks_of(args)
    ranked = search(results, tasks, args)
    tested, failed = finals(results, tasks, ranked, args)
    by_labels = {n: [r for r in tested if r["n_labels"] == n] for n in tasks}
    trials = trials_of(results, tasks, FEW_LABELS, on_grids=False)
    text = written(args, by_labels, trials, failed)
    report.write(args.results, name, text, tested)


def parsed(arguments):
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--local-file", help="of MNIST, which comes from OpenML else")
    parser.add_argument("--sizes", type=int, nargs=3, help="rows of each part")
    parser.add_argument("--n-components", type=int, default=1000)
    parser.add_argument("--epochs", type=int, nargs=2, default=(30, 30))
    parser.add_argument("--trials", type=int, default=6, help="encoders")
    parser.add_argument("--tangent-trials", type=int, default=12, help="of MTC")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--quick", action="store_true", help="a small subset, a minute")
    parser.add_argument("--data", default="mnist", choices=DATA)
    parser.add_argument("--labels", type=int, nargs="+", default=LABELS)
    args = parser.parse_args(arguments)
    if args.quick:
        args.labels = [100, 1000] if args.data == "mnist" else [50, 200]
        args.sizes, args.n_components = (2000, 1000, 1000), 100
        args.epochs, args.trials, args.seeds = (20, 20), 4, 2
        args.tangent_trials = 8
        args.results = args.results / "quick"
    args.sizes = None if args.sizes is None else tuple(args.sizes)
    args.epochs = tuple(args.epochs)
    return args


def tasks_of(args):
    """Return what all runs with each number of labels have in common."""
    n_pre_training, n_fine_tuning = args.epochs
    return {
        n: FewLabelsTask(
            data=args.data,
            local_file=args.local_file,
            sizes=args.sizes,
            checksum=checksum(args.data, args.local_file, args.sizes),
            model="",
            setting={},
            n_components=args.n_components,
            n_epochs=(
                n_pre_training,
                epochs_of_as_many_steps(n, max(args.labels), n_fine_tuning),
            ),
            seed=0,
            stage="search",
            n_labels=n,
            encoders=str(args.results / ".cache" / "encoders"),
        )
        for n in sorted(args.labels)
    }


def epochs_of_as_many_steps(n_rows, n_rows_before, n_epochs):
    """Return the epochs in which a number of rows takes the steps of another number."""
    steps = n_epochs * -(-n_rows_before // BATCH_SIZE)
    return -(-steps // -(-n_rows // BATCH_SIZE))


def search(results, tasks, args):
    """Return the trials by labels and model, from the lowest validation error.

    One encoder serves all numbers of labels, and MTC has that which serves CAE best.
    Each model chooses its fine-tuning. Trials that are there from before count, if they
    are on the grids.
    """

    def tried(model, settings):
        """Run all settings; return all trials by labels."""
        runs = [
            replace(task, model=model, setting=setting)
            for task in tasks.values()
            for setting in settings
        ]
        run_all(results, runs, args.jobs)
        trials = trials_of(results, tasks, [model])
        return {n: [r for r in trials if r["n_labels"] == n] for n in tasks}

    tunings = list(every(FEW_LABELS_TUNING))
    encoders = draw("CAE+H", CAE_H, args.trials)
    nn = tried("NN", tunings)
    cae = tried("CAE", [e | tuning for e in encoders for tuning in tunings])
    encoder = min(encoders_of(cae), key=lambda encoder: mean_lowest(cae, encoder))
    together = draw("MTC", FEW_LABELS_TUNING | TANGENTS, args.tangent_trials)
    mtc = tried("MTC", [encoder | setting for setting in together])
    return {
        n: {
            "NN": sorted(nn[n], key=valid_error),
            "CAE": sorted(of_encoder(cae[n], encoder), key=valid_error),
            "MTC": sorted(of_encoder(mtc[n], encoder), key=valid_error),
        }
        for n in tasks
    }


def searched(results, tasks, models):
    """Return the records of the search that these tasks have in common."""
    same = ("data", "checksum", "sizes", "n_components", "stage")
    wanted = [{name: task.described[name] for name in same} for task in tasks]
    return [
        record
        for record in results.by_key.values()
        if record["model"] in models
        and record.get("protocol") == PROTOCOL_VERSION
        and {name: plain(record.get(name)) for name in same} in wanted
    ]


def plain(value):
    """Turn JSON's list into the tuple that it was."""
    return tuple(value) if isinstance(value, list) else value


def trials_of(results, tasks, models, *, on_grids=True):
    """Return the trials of the tasks' search, or those outside the grids as well."""
    return [
        record
        for record in searched(results, tasks.values(), models)
        if record["n_labels"] in tasks
        and tuple(record["n_epochs"]) == tasks[record["n_labels"]].n_epochs
        and (not on_grids or is_on_grid(record["setting"], FEW_LABELS[record["model"]]))
    ]


def encoders_of(by_labels):
    """Return the settings of encoders that were tried with each number of labels."""
    encoders = [
        {line: record["setting"][line] for line in CAE_H}
        for record in next(iter(by_labels.values()))
    ]
    return [
        encoder
        for number, encoder in enumerate(encoders)
        if encoder not in encoders[:number]
        and all(of_encoder(records, encoder) for records in by_labels.values())
    ]


def finals(results, tasks, ranked, args):
    """Train the best with new seeds; what fails with one of them gives way to the next.

    Returns the runs of the settings that were kept, and those of the others.
    """
    seeds = range(1, args.seeds + 1)
    kept, failed = [], []
    waiting = [(n, model, 0) for n in tasks for model in FEW_LABELS]
    while waiting:
        best = {(n, model): choice(ranked[n][model][k]) for n, model, k in waiting}
        runs = [
            run
            for (n, model), chosen in best.items()
            for run in final_tasks(tasks[n], {model: chosen}, seeds)
        ]
        records = run_all(results, runs, args.jobs)
        left = []
        for n, model, k in waiting:
            mine = [r for r in records if (r["n_labels"], r["model"]) == (n, model)]
            is_last = k + 1 == len(ranked[n][model])
            if is_last or not any(fails(run, ranked[n][model][k]) for run in mine):
                kept += mine
            else:
                failed += mine
                left.append((n, model, k + 1))
        waiting = left
    return kept, failed


def valid_error(record):
    """Return what decides between trials."""
    return record["valid_error"]


def choice(record):
    """Return what a trial had that is to be run again."""
    return Choice(record["setting"], tuple(record["n_epochs"]))


def final_tasks(task, best, seeds):
    """Return the task of each model as was chosen for it, for each seed."""
    return [
        replace(
            task,
            model=model,
            setting=chosen.setting,
            n_epochs=chosen.n_epochs,
            seed=seed,
            stage="final",
        )
        for model, chosen in best.items()
        for seed in seeds
    ]


def fails(run, trial):
    """Tell whether a run is far from what its trial promised, as one that collapsed."""
    return valid_error(run) > 2 * valid_error(trial)


def of_encoder(records, encoder):
    """Return the records of runs with this encoder."""
    return [r for r in records if encoder.items() <= r["setting"].items()]


def mean_lowest(by_labels, encoder):
    """Return an encoder's lowest validation error, mean over the numbers of labels."""
    errors = [
        min(map(valid_error, of_encoder(records, encoder)))
        for records in by_labels.values()
    ]
    return sum(errors) / len(errors)


def failed_text(records):
    """List the settings that failed with one of the seeds, and say what that means."""
    if not records:
        return ""
    settings = {}
    for r in records:
        setting = (r["n_labels"], r["model"], report.setting_text(r["setting"]))
        settings.setdefault(setting, []).append(f"{100 * r['valid_error']:.1f}")
    lines = [
        f"- {n_labels:,} labels, {model}, {setting}: {', '.join(errors)} %"
        for (n_labels, model, setting), errors in settings.items()
    ]
    return (
        "\n\nA setting gives way to the next best if with one of the new seeds it has "
        "more than twice the validation error of its trial. That happened to these, "
        "whose validation errors are:\n\n" + "\n".join(lines)
    )


def outside_text(trials, grids):
    """Say how many trials are on none of the grids that were searched at last."""
    n_outside = sum(not is_on_grid(r["setting"], grids[r["model"]]) for r in trials)
    if not n_outside:
        return ""
    return (
        f"\n\n{n_outside} of the trials that are listed below are outside these grids: "
        "they are of a first search, which these grids were settled by."
    )


def written(args, by_labels, trials, failed):
    """Write the report."""
    images = load(args.data, args.local_file, args.sizes)
    n_train, n_valid = len(images.y_train), len(images.y_valid)
    chosen = "\n\n".join(
        f"### {n:,} labels\n\n{report.chosen(records)}"
        for n, records in by_labels.items()
    )
    listed = [{**r, "data": f"{r['n_labels']:,} labels"} for r in trials]
    tested = [record for records in by_labels.values() for record in records]
    outside = outside_text(trials, FEW_LABELS)
    return f"""# Few labels on {args.data}

{n_train:,} rows for pre-training, of which some have labels; {args.n_components} units.
Test error in % of {len(images.y_test):,} rows, the paper's and ours: mean over
{args.seeds} draws of the labelled rows, each with an encoder of its own, and the
standard deviation. NN starts at random weights, CAE at those of a contractive
autoencoder of all rows, MTC has the penalty along the tangents besides. The three share
the rows, the order of the batches and the output layer's first weights, and CAE and MTC
the encoder, so that their difference is that of each draw.

{report.table_labels(args.data, by_labels)}

## What was chosen

By the error on {n_valid:,} validation rows, with one draw of the labelled rows:
{args.trials} of {size(CAE_H)} settings of the encoder, drawn evenly, each with all
{size(FEW_LABELS_TUNING)} of fine-tuning, as is NN; one encoder serves all numbers of
labels, that of the lowest mean error. Then for MTC, with this encoder,
{args.tangent_trials} of {size(FEW_LABELS_TUNING | TANGENTS)} settings of fine-tuning
and tangents together. Trials of earlier draws count, if they are on the grids. The runs
above have new seeds, and they alone have read the test rows. Epochs are those of
pre-training + fine-tuning; all numbers of labels get as many steps.{outside}{failed_text(failed)}

{chosen}

## All trials

{report.trials(listed)}

{report.footer("tangents", args, [*tested, *trials])}
"""


if __name__ == "__main__":
    main()
