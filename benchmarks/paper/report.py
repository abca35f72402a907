"""The tables in Markdown and CSV: the paper's number, ours, and what to think of it."""

import csv
import json
import math
import platform
import shlex
from pathlib import Path

import numpy as np
import sklearn
import torch

from benchmarks.paper import published


def half_width(error, n_test):
    """Return half of the binomial 95 % interval of an error in %, as the paper has."""
    p = error / 100
    return 100 * 1.96 * math.sqrt(p * (1 - p) / n_test)


def markdown(header, rows):
    """Lay out a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def table_labels(data, by_labels):
    """Put each model's error with few labels beside the paper's."""
    rows = []
    for model, printed in published.FEW_LABELS.items():
        row = [model]
        for n_labels, finals in by_labels.items():
            paper = shown(printed.get(n_labels) if data == "mnist" else None, ".2f")
            row.append(f"{paper} / {with_deviation(errors_of(finals, model))}")
        rows.append(row)
    difference = [
        with_deviation(errors_of(finals, "MTC") - errors_of(finals, "CAE"))
        for finals in by_labels.values()
    ]
    header = ["model", *(f"{n_labels:,} labels" for n_labels in by_labels)]
    return markdown(header, [*rows, ["MTC − CAE, ours", *difference]])


def errors_of(finals, model):
    """Return a model's test errors in %, NaN where training diverged."""
    runs = by_model(finals)[model]
    return 100 * np.array([run.get("test_error", math.nan) for run in runs])


def with_deviation(values):
    """Show the mean of a few values and their standard deviation."""
    if np.isnan(values).any():
        return "diverged"
    mean = f"{values.mean():.2f}"
    return mean if len(values) == 1 else f"{mean} ± {values.std(ddof=1):.2f}"


def chosen(finals):
    """List the setting and the time of each model."""
    rows = [
        [
            model,
            setting_text(runs[0]["setting"]),
            " + ".join(map(str, runs[0]["n_epochs"])),
            f"{100 * mean(runs, 'valid_error'):.2f}",
            f"{mean(runs, 'seconds') / 60:.1f}",
        ]
        for model, runs in by_model(finals).items()
    ]
    header = [
        "model",
        "setting",
        "epochs",
        "validation error, %",
        "minutes",
    ]
    return markdown(header, rows)


def trials(records):
    """List every trial of the search, the best of each model first."""
    rows = [
        [
            r["data"],
            r["model"],
            setting_text(r["setting"]),
            " + ".join(map(str, r["n_epochs"])),
            f"{100 * r['valid_error']:.2f}",
            f"{r['seconds']:.0f}",
        ]
        for r in sorted(
            records,
            key=lambda r: (
                r["data"],
                r["model"],
                -sum(r["n_epochs"]),
                r["valid_error"],
            ),
        )
    ]
    header = [
        "set",
        "model",
        "setting",
        "epochs",
        "validation error, %",
        "seconds",
    ]
    return markdown(header, rows)


def setting_text(setting):
    """Show a setting in a cell."""
    return ", ".join(f"{name} {number_text(v)}" for name, v in setting.items())


def number_text(value):
    """Show a number with three digits, and anything else as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def percents(errors):
    """Show the errors of several seeds."""
    return " ".join(f"{100 * error:.2f}" for error in errors)


def shown(value, form):
    """Format a number that may be missing."""
    return "–" if value in (None, "") else format(float(value), form)


def by_model(records):
    """Group records by model."""
    models = list(dict.fromkeys(record["model"] for record in records))
    return {m: [record for record in records if record["model"] == m] for m in models}


def mean(runs, name):
    """Average one measurement over runs."""
    return float(np.mean([run[name] for run in runs]))


def footer(script, args, records):
    """Name the versions, and a command that gives the same."""
    words = ["python", "-m", f"benchmarks.paper.{script}"]
    for name, value in vars(args).items():
        if name in ("results", "jobs", "quick") or value is None:
            continue
        if name == "local_file":
            value = Path(value).name
        values = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return f"{versions(records)}; `{shlex.join(words)}`"


def versions(records):
    """Name what the numbers depend on."""
    commits = sorted({record["commit"] for record in records})
    return (
        f"runs of commit {', '.join(commits)}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}"
    )


def write(folder, name, text, finals):
    """Write the report, and one line of CSV for each final run."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    columns = [
        "data",
        "model",
        "n_labels",
        "seed",
        "test_error",
        "valid_error",
        "seconds",
        "n_epochs",
        "setting",
    ]
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for run in finals:
            written = {
                "n_epochs": "+".join(map(str, run["n_epochs"])),
                "setting": json.dumps(run["setting"]),
            }
            writer.writerow({**run, **written})
    print(text)
