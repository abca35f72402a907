"""Table 2: deep networks on the regenerated variations of MNIST.

    python benchmarks/paper/table2.py --quick --sets rect
    python benchmarks/paper/table2.py --local-file mnist.npz --sets basic rot rect

The settings are chosen on each set, or for all sets on one (`--choose-on basic`).
Finished runs are kept in a file and never run again.
"""

import command
import report
from data import load
from models import TABLE_2
from runs import Results
from search import epochs_of_as_many_steps, finals, search


def main(arguments=None):
    """Search, train the best, and write the report."""
    parser = command.parser(__doc__, TABLE_2)
    sets = list(report.PAPER_2)
    parser.add_argument("--sets", nargs="+", default=sets[:1], choices=sets)
    parser.add_argument(
        "--choose-on", choices=sets, help="the set whose settings serve all"
    )
    args = command.settle(parser.parse_args(arguments))
    results = Results(args.results / "table2.jsonl")
    tested, n_test = {}, 0
    for data in args.sets:
        task = command.task_of(args, data)
        chosen_on = command.task_of(args, args.choose_on or data)
        best = search(results, chosen_on, args.models, args.trials, args.jobs)
        best = as_many_steps(best, n_rows(chosen_on), n_rows(task))
        seeds = range(1, args.seeds + 1)
        tested[data] = finals(results, task, best, seeds, args.jobs)
        n_test = len(load(data, args.local_file, args.sizes).y_test)
    searches = [command.task_of(args, args.choose_on or data) for data in args.sets]
    trials = command.searched(results, searches, args.models)
    every = [record for records in tested.values() for record in records]
    chosen = "\n\n".join(
        f"### {data}\n\n{report.chosen(records)}" for data, records in tested.items()
    )
    text = f"""# Table 2

Test error in %: the paper's, and ours with the binomial 95 % interval of the
{n_test:,} test rows; number of seeds: {args.seeds}. {args.n_components} units in each
layer. The sets are regenerated, see docs/datasets.md, and not the paper's: compare the
columns, not the rows.

{report.table_2(tested, n_test)}

## What was chosen

{command.search_text(args, trials)}
Chosen on {args.choose_on or "each set"}. Where a set has another number of rows
than that on which its settings were chosen, its epochs are those of as many steps.

{chosen}

## All trials

{report.trials(trials)}

{command.footer("table2", args, [*every, *trials])}
"""
    report.write(args.results, "table2", text, every)


def n_rows(task):
    """Count the rows that a task trains on."""
    return len(load(task.data, task.local_file, task.sizes).y_train)


def as_many_steps(best, n_before, n_now):
    """Give choices the epochs in which n_now rows take the steps of n_before."""

    def scaled(n_epochs):
        return epochs_of_as_many_steps(n_now, n_before, n_epochs)

    return {
        model: chosen._replace(n_epochs=tuple(map(scaled, chosen.n_epochs)))
        for model, chosen in best.items()
    }


if __name__ == "__main__":
    main()
