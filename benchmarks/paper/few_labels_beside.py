"""What the search with few labels did not ask, on validation rows.

    python -m benchmarks.paper.few_labels_beside --local-file mnist.npz --seeds 3

With few labels the search of `tangents.py` went on from tangents of the linear outputs,
one line after another, and never came to what it chose with the most labels. Here that
is run with the others, on the draws and encoders of the final runs, which are to be
there: what is missing of `tangents.py` is run first. Of what is run here no test row is
read.
"""

from dataclasses import replace

import numpy as np

from benchmarks.paper import report, tangents
from benchmarks.paper.few_labels import Results, run_all

# The strength of the penalty beside the one that was chosen.
STRENGTHS = ("prediction 3", "prediction 10")


def main(arguments=None):
    """Run what is missing, and report."""
    args = tangents.parsed(arguments)
    known = Results(args.results / f"tangents_{args.data}.jsonl")
    results = Results(args.results / f"few_labels_beside_{args.data}.jsonl")
    tasks = tangents.tasks_of(args)
    ranked = tangents.search(known, tasks, args)
    tested, _ = tangents.finals(known, tasks, ranked, args)
    *fewer, most = tasks
    best = ranked[most]["MTC"][0]
    found = {
        (n, tangent): run_all(
            results, runs_of(tasks[n], best, tangent, args), args.jobs
        )
        for n in fewer
        for tangent in STRENGTHS
    }
    text = written(args, tested, found, best, most)
    path = args.results / f"few_labels_beside_{args.data}.md"
    path.write_text(text, encoding="utf-8")
    print(text)


def runs_of(task, best, tangent, args):
    """Return the runs of the setting of the most labels with fewer of them."""
    setting = best["setting"] | {"tangents": tangent}
    choice = tangents.Choice(setting, task.n_epochs)
    seeds = range(1, args.seeds + 1)
    return [
        replace(run, stage="search")
        for run in tangents.final_tasks(task, {"MTC": choice}, seeds)
    ]


def errors(records):
    """Return the validation errors in %, in the order of the seeds."""
    ordered = sorted(records, key=lambda record: record["seed"])
    return 100 * np.array([record["valid_error"] for record in ordered])


def written(args, tested, found, best, most):
    """Write the report."""
    rows = []
    for n in dict.fromkeys(n for n, _ in found):
        of_model = {
            model: errors(
                r for r in tested if (r["n_labels"], r["model"]) == (n, model)
            )
            for model in ("CAE", "MTC")
        }
        lines = {"MTC as chosen": of_model["MTC"]}
        lines |= {t: errors(runs) for (m, t), runs in found.items() if m == n}
        for line, values in lines.items():
            gain = report.with_deviation(of_model["CAE"] - values)
            rows.append([f"{n:,}", line, report.with_deviation(values), gain])
    header = ["labels", "tangents", "validation error, %", "CAE − this"]
    return f"""# Few labels on {args.data}: the setting of {most:,} labels with fewer

On the validation rows, of the draws and encoders of the final runs. The search chose
{report.setting_text(best["setting"])} with {most:,} labels.

{report.markdown(header, rows)}

{report.footer("few_labels_beside", args, [r for runs in found.values() for r in runs])}
"""


if __name__ == "__main__":
    main()
