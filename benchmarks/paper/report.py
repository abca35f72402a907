"""The tables in Markdown and CSV: the paper's number, ours, and what to think of it."""

import csv
import json
import math
import platform
import subprocess
from pathlib import Path

import numpy as np
import sklearn
import torch

# Table 1: test error in %, mean ‖J‖²_F / (d·h), saturation in %.
PAPER_1 = {
    "mnist": {
        "CAE": (1.14, 0.73e-4, 86.36),
        "DAE-g": (1.18, 0.86e-4, 17.77),
        "RBM": (1.30, 2.50e-4, 78.59),
        "DAE-b": (1.57, 7.87e-4, 68.19),
        "AE+wd": (1.68, 5.00e-4, 12.97),
        "AE": (1.78, 17.5e-4, 49.90),
    },
    "cifar-bw": {
        "CAE": (47.86, 2.40e-5, 85.65),
        "DAE-b": (49.03, 4.85e-5, 80.66),
        "DAE-g": (54.81, 4.94e-5, 19.90),
        "AE+wd": (55.03, 34.9e-5, 23.04),
        "AE": (55.47, 44.9e-5, 22.57),
    },
}
# Table 2: test error in %.
TABLE_2_COLUMNS = ["SVM_rbf", "SAE-3", "RBM-3", "DAE-b-3", "CAE-1", "CAE-2"]
PAPER_2 = {
    "basic": [3.03, 3.46, 3.11, 2.84, 2.83, 2.48],
    "rot": [11.11, 10.30, 10.30, 9.53, 11.59, 9.66],
    "bg-rand": [14.58, 11.28, 6.73, 10.30, 13.57, 10.90],
    "bg-img": [22.61, 23.00, 16.31, 16.68, 16.70, 15.50],
    "bg-img-rot": [55.18, 51.93, 47.39, 43.76, 48.10, 45.23],
    "rect": [2.15, 2.41, 2.60, 1.99, 1.48, 1.21],
    "rect-img": [24.04, 24.05, 22.50, 21.59, 21.86, 21.54],
}
# The manifold tangent classifier's table: test error in % by the number of labels.
PAPER_LABELS = {
    "NN": {100: 25.81, 600: 11.44, 1000: 10.7, 3000: 6.04},
    "CAE": {100: 13.47, 600: 6.3, 1000: 4.77, 3000: 3.22},
    "MTC": {100: 12.03, 600: 5.13, 1000: 3.64, 3000: 2.57},
}


def half_width(error, n_test):
    """Return half of the binomial 95 % interval of an error in %, as the paper has."""
    p = error / 100
    return 100 * 1.96 * math.sqrt(p * (1 - p) / n_test)


def verdict(paper, ours, n_test, n_test_paper):
    """Say whether the intervals of two errors in % leave a difference."""
    if paper is None:
        return "not in the paper"
    widths = half_width(paper, n_test_paper), half_width(ours, n_test)
    if abs(paper - ours) <= math.hypot(*widths):
        return "agrees"
    return "better" if ours < paper else "worse"


def markdown(header, rows):
    """Lay out a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def table_1(data, finals, n_test):
    """Put each model beside the paper's row, the best of ours first."""
    paper = PAPER_1.get(data, {})
    rows = []
    for model, runs in by_model(finals).items():
        printed = paper.get(model, (None, None, None))
        if any("failure" in run for run in runs):
            rows.append([math.inf, model, shown(printed[0], ".2f"), *["diverged"] * 10])
            continue
        error = mean(runs, "test_error")
        rows.append(
            [
                error,
                model,
                shown(printed[0], ".2f"),
                f"{100 * error:.2f} ± {half_width(100 * error, n_test):.2f}",
                verdict(printed[0], 100 * error, n_test, 10_000),
                " ".join(f"{100 * run['test_error']:.2f}" for run in runs),
                f"{100 * np.mean([run['svm']['test_error'] for run in runs]):.2f}",
                shown(printed[1], ".2e"),
                f"{mean(runs, 'mean_square'):.2e}",
                f"{mean(runs, 'norm_rms'):.2f}",
                f"{mean(runs, 'norm'):.2f}",
                shown(printed[2], ".1f"),
                f"{100 * mean(runs, 'saturation'):.1f}",
            ]
        )
    header = [
        "model",
        "paper: error, %",
        "ours, %",
        "verdict",
        "each seed, %",
        "linear SVM, %",
        "paper: mean ‖J‖²/(d·h)",
        "ours",
        "root mean square of ‖J‖",
        "mean ‖J‖",
        "paper: saturation, %",
        "ours, %",
    ]
    return markdown(header, [row[1:] for row in sorted(rows)])


def table_2(by_data, n_test):
    """Put each cell beside the paper's."""
    rows = []
    for data, finals in by_data.items():
        row = [data]
        runs = by_model(finals)
        for model, printed in zip(TABLE_2_COLUMNS, PAPER_2[data], strict=True):
            if model not in runs:
                row.append(f"{printed:.2f} / not run")
                continue
            if any("failure" in run for run in runs[model]):
                row.append(f"{printed:.2f} / diverged")
                continue
            error = 100 * mean(runs[model], "test_error")
            row.append(
                f"{printed:.2f} / {error:.2f} ± {half_width(error, n_test):.2f} "
                f"({verdict(printed, error, n_test, 50_000)})"
            )
        rows.append(row)
    return markdown(["set", *TABLE_2_COLUMNS], rows)


def table_labels(data, by_labels):
    """Put each model's error with few labels beside the paper's."""
    rows = []
    for model, printed in PAPER_LABELS.items():
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
            " ".join(str(run.get("best_epoch", "–")) for run in runs),
            f"{mean(runs, 'seconds') / 60:.1f}",
        ]
        for model, runs in by_model(finals).items()
    ]
    header = [
        "model",
        "setting",
        "epochs",
        "validation error, %",
        "best epoch of fine-tuning",
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
            shown(r.get("norm_rms"), ".2f"),
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
        "root mean square of ‖J‖",
        "seconds",
    ]
    return markdown(header, rows)


def setting_text(setting):
    """Show a setting in a cell."""
    return ", ".join(f"{name} {value}" for name, value in setting.items())


def shown(value, form):
    """Format a number that may be missing."""
    return "–" if value is None else format(value, form)


def by_model(records):
    """Group records by model."""
    models = list(dict.fromkeys(record["model"] for record in records))
    return {m: [record for record in records if record["model"] == m] for m in models}


def mean(runs, name):
    """Average one measurement over runs."""
    return float(np.mean([run[name] for run in runs]))


def search_text(n_trials, ladder, sizes):
    """Say how settings were chosen, from (trials, epochs) of each rung.

    `sizes` gives the number of settings of each model's grid.
    """
    grids = ", ".join(f"{model} {size}" for model, size in sizes.items())
    steps = ", ".join(f"{n} with {a} + {b} epochs" for n, (a, b) in ladder)
    return f"""By validation error after fine-tuning, among {n_trials} trials for each
model, drawn evenly from its grid (settings in all: {grids}),
in rungs of {steps} (pre-training of each layer + fine-tuning).
The number of epochs is part of the choice: the best trial of all rungs is run again.
The runs above have new seeds, and they alone have read the test rows. Minutes are wall
time on one thread, beside other runs.

"agrees" means: the difference is within the root of the summed squares of both 95 %
half-widths."""


def find_commit():
    """Name the commit that is checked out."""
    out = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    return out.stdout.strip() or "unknown"


# What runs is what was imported, whatever is checked out later.
COMMIT = find_commit()


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
        *(["n_labels"] if "n_labels" in finals[0] else []),
        "seed",
        "test_error",
        "valid_error",
        "norm",
        "norm_rms",
        "mean_square",
        "saturation",
        "svm_test_error",
        "seconds",
        "n_epochs",
        "setting",
    ]
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for run in finals:
            svm = run.get("svm", {}).get("test_error")
            written = {
                "svm_test_error": svm,
                "n_epochs": "+".join(map(str, run["n_epochs"])),
                "setting": json.dumps(run["setting"]),
            }
            writer.writerow({**run, **written})
    print(text)
