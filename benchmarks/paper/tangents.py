"""The manifold tangent classifier: few labels, and an encoder of all rows.

    python -m benchmarks.paper.tangents --quick
    python -m benchmarks.paper.tangents --local-file mnist.npz

NN is the network from random weights, CAE the same from a contractive encoder of all
rows, and MTC that with a penalty on changes along the encoder's tangents (Rifai et al.,
NIPS 2011), at rows with a label or without. Finished runs are kept in a file and never
run again, and so are encoders.
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
    FewLabelsTask,
    Results,
    run_all,
)
from benchmarks.paper.few_labels_grids import (
    CAE_H,
    FEW_LABELS_TUNING,
    FURTHER,
    MODELS,
    TANGENTS,
    TUNED,
    beside,
    settings_of,
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
    trials = [r for of in ranked.values() for tried in of.values() for r in tried]
    text = written(args, by_labels, trials, failed)
    report.write(args.results, name, text, tested)


def parsed(arguments):
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--local-file", help="of MNIST, which comes from OpenML else")
    parser.add_argument("--sizes", type=int, nargs=3, help="rows of each part")
    parser.add_argument("--n-components", type=int, default=1000)
    parser.add_argument("--epochs", type=int, nargs=2, default=(30, 30))
    parser.add_argument("--trials", type=int, default=8, help="of MTC")
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
    """Return the trials by labels and model, from the lowest validation error."""
    runs = [
        replace(task, model=model, setting=setting)
        for model, settings in settings_of(args.trials).items()
        for task in tasks.values()
        for setting in settings
    ]
    records = run_all(results, runs, args.jobs)
    for n, task in tasks.items():
        mine = [r for r in records if (r["n_labels"], r["model"]) == (n, "MTC")]
        records += further(results, task, mine, args.jobs)
    # What is beside the best may have been tried before.
    once = {record["key"]: record for record in records}
    ranked = sorted(once.values(), key=valid_error)
    return {
        n: {
            model: [r for r in ranked if (r["n_labels"], r["model"]) == (n, model)]
            for model in MODELS
        }
        for n in tasks
    }


def further(results, task, records, n_jobs):
    """Go on from the best trial of MTC, one line of its setting after another."""
    found = []
    for line in FURTHER:
        best = min([*records, *found], key=valid_error)
        settings = beside(line, best["setting"])
        runs = [replace(task, model="MTC", setting=setting) for setting in settings]
        found += run_all(results, runs, n_jobs)
    return found


def finals(results, tasks, ranked, args):
    """Train the best with new seeds; what fails with one of them gives way to the next.

    Returns the runs of the settings that were kept, and those of the others.
    """
    seeds = range(1, args.seeds + 1)
    kept, failed = [], []
    waiting = [(n, model, 0) for n in tasks for model in MODELS]
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

By the error on {n_valid:,} validation rows, with one draw of the labelled rows. The
encoder has {report.setting_text(CAE_H)} for all numbers of labels. NN and CAE are tried
with all {size(FEW_LABELS_TUNING)} settings of fine-tuning, and MTC with
{args.trials} of {size(TANGENTS)} settings of the tangents, drawn evenly, and
{report.setting_text(TUNED)}; then the best trial is changed, one line after another
({", ".join(FURTHER)}), to the values beside its own. Tangents are at the rows with a
label, or at so many that are drawn from all. The runs above have new seeds, and they
alone have read the test rows. Epochs are those of pre-training + fine-tuning; all
numbers of labels get as many steps.{failed_text(failed)}

{chosen}

## All trials

{report.trials(listed)}

{report.footer("tangents", args, [*tested, *trials])}
"""


if __name__ == "__main__":
    main()
