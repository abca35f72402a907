"""Table 1: each one-layer model, fine-tuned, with its Jacobian and its saturation.

    python benchmarks/paper/table1.py --quick
    python benchmarks/paper/table1.py --local-file mnist.npz
    python benchmarks/paper/table1.py --data cifar-bw --local-file cifar-10.tar.gz

Finished runs are kept in a file and never run again: a run that was interrupted goes
on where it stopped, and one with more trials, seeds or epochs adds to what is there.
"""

import command
import report
from data import load
from models import TABLE_1
from runs import Results
from search import finals, search

DATA = ["mnist", "cifar-bw", "digits"]


def main(arguments=None):
    """Search, train the best, and write the report."""
    parser = command.parser(__doc__, TABLE_1)
    parser.add_argument("--data", default="mnist", choices=DATA)
    args = command.settle(parser.parse_args(arguments))
    if args.data == "cifar-bw" and args.local_file is None:
        parser.error("--data cifar-bw needs --local-file")
    task = command.task_of(args, args.data)
    name = f"table1_{args.data}"
    results = Results(args.results / f"{name}.jsonl")
    best = search(results, task, args.models, args.trials, args.jobs)
    tested = finals(results, task, best, range(1, args.seeds + 1), args.jobs)
    trials = command.searched(results, [task], args.models)
    images = load(task.data, task.local_file, task.sizes)
    n_train, n_test = len(images.y_train), len(images.y_test)
    text = f"""# Table 1 on {args.data}

{n_train:,} rows for training, {n_test:,} for testing, {args.n_components} units.
The error is that of the network after fine-tuning, mean over {args.seeds} seeds with
the binomial 95 % interval of the test rows; Jacobian and saturation are of the encoder
on the validation rows before fine-tuning. The linear SVM is trained on the same
encoders' codes.

{report.table_1(args.data, tested, n_test)}

## What was chosen

{command.search_text(args, trials)}

{report.chosen(tested)}

## All trials

{report.trials(trials)}

{command.footer("table1", args, [*tested, *trials])}
"""
    report.write(args.results, name, text, tested)


if __name__ == "__main__":
    main()
