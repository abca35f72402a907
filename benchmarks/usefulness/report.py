"""The tables of the benchmark, and its picture."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.speed.measure import table
from benchmarks.usefulness.data import sources
from benchmarks.usefulness.features import FEATURES, TRIALS, WIDTH

JUDGES = {"ridge": "ridge classifier", "svm": "linear SVM"}
DRAWN = {
    "raw": ("columns", "|", "0.3"),
    "RBM": ("RBM", "x", "0.5"),
    "Nystroem": ("Nystroem", "s", "tab:orange"),
    "AE": ("autoencoder", "o", "tab:gray"),
    "CAE": ("contractive autoencoder", "o", "tab:blue"),
}


def read(path):
    """Return the runs, with the mean of both judges."""
    runs = pd.read_csv(path, dtype={"seed": int})
    runs["both"] = runs[list(JUDGES)].mean(axis=1)
    return runs.drop_duplicates(["features", "set", "seed"], keep="last")


def complete(runs, names):
    """Return the runs of the sets and seeds where all of these were run."""
    runs = runs[runs.features.isin(names)]
    n = runs.groupby(["set", "seed"]).features.transform("count")
    return runs[n == len(names)]


def by_set(runs, value):
    """Return means over seeds: sets as rows, in their order, features as columns."""
    table = runs.pivot_table(value, "set", "features")
    return table.reindex([name for name in sources() if name in table.index])


def paired(runs, first, second, value="both"):
    """Return the difference of two features on each set, and its standard error."""
    runs = runs.pivot_table(value, ["set", "seed"], "features")
    by_set = (runs[first] - runs[second]).groupby("set")
    return by_set.mean(), by_set.std(ddof=1) / np.sqrt(by_set.count())


# ---- the half that chooses --------------------------------------------------------


def of_choosing(runs):
    """Write what was tried."""
    names = [name for name in TRIALS if name in set(runs.features)]
    runs = complete(runs, names)
    means = runs.groupby("features")[[*JUDGES, "both"]].mean()
    seconds = runs.groupby(["features", "seed"]).fit_seconds.sum().groupby("features")
    rows = []
    for name in names:
        difference, _ = paired(runs, name, "now")
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        cells = [f"{means.loc[name, judge]:.2f}" for judge in JUDGES]
        against = "" if name == "now" else f"{difference.mean():+.2f} ± {error:.2f}"
        rows.append([name, *cells, against, f"{seconds.mean()[name]:.0f}"])
    return [
        "## What was tried, on the half of the sets that chooses",
        "",
        f"Mean test error in % over {runs.set.nunique()} sets, "
        f"seeds: {runs.seed.nunique()}. “now” are the defaults, the lines below it one "
        "setting in the place of another. The difference is that of the mean of both "
        "judges from “now”, with its standard error over sets; seconds are those of "
        "fitting all sets, of one thread.",
        "",
        table(["features", *JUDGES.values(), "difference", "seconds"], rows),
        "",
    ]


# ---- the half that reports --------------------------------------------------------


def of_comparing(runs):
    """Write how features compare, on sets that chose nothing."""
    names = [name for name in FEATURES if name in set(runs.features)]
    runs = complete(runs, names)
    lines = [
        "## How they compare, on the half that reports",
        "",
        f"Test error in %, the mean of {runs.seed.nunique()} seeds. All features have "
        f"the width {WIDTH}, or as many as there are. “λ by labels” is the best of "
        "five λ by a ridge classifier on a fifth of the training rows.",
        "",
    ]
    for judge, title in JUDGES.items():
        means = by_set(runs, judge)[names]
        rows = [[s, *(f"{v:.1f}" for v in row)] for s, row in means.iterrows()]
        rows.append(["**mean**", *(f"**{v:.2f}**" for v in means.mean())])
        lines += [f"### {title}", "", table(["set", *names], rows), ""]
    seconds = by_set(runs, "fit_seconds")[names].mean()
    lines += [
        "Seconds of a fit, the mean over sets: "
        + ", ".join(f"{name} {seconds[name]:.2f}" for name in names)
        + ".",
        "",
    ]
    return lines + differences(runs, names)


def differences(runs, names):
    """Write paired differences of the mean of both judges."""
    pairs = [("CAE", "Nystroem"), ("CAE", "Nystroem, scale"), ("CAE", "AE")]
    pairs += [("CAE, λ by labels", "AE"), ("CAE, λ by labels", "CAE")]
    pairs = [pair for pair in pairs if set(pair) <= set(names)]
    found = [paired(runs, *pair) for pair in pairs]
    order = by_set(runs, "both").index
    rows = [
        [s, *(f"{mean[s]:+.1f} ± {error[s]:.1f}" for mean, error in found)]
        for s in order
    ]
    rows.append(["**mean**", *(f"**{mean.mean():+.2f}**" for mean, _ in found)])
    rows.append(["lower by .3", *(str((mean < -0.3).sum()) for mean, _ in found)])
    rows.append(["higher by .5", *(str((mean > 0.5).sum()) for mean, _ in found)])
    return [
        "### Differences",
        "",
        "In points of the mean of both judges, paired over seeds, with standard "
        "errors; in the last two lines the number of sets.",
        "",
        table(["set", *(f"{a} − {b}" for a, b in pairs)], rows),
        "",
    ]


def draw(runs):
    """Draw the error of each set as a row of dots."""
    means = by_set(runs, "both")
    figure = Figure(figsize=(7, 0.34 * len(means) + 1.4), layout="constrained")
    axes = figure.subplots()
    for name, (label, marker, colour) in DRAWN.items():
        if name in means:
            axes.scatter(
                means[name], range(len(means)), 42, colour, marker, label=label
            )
    axes.set_xscale("log")
    axes.set_yticks(range(len(means)), means.index)
    axes.invert_yaxis()
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("test error in %, the mean of a ridge classifier and an SVM")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def write(folder):
    """Write the report of the runs that there are."""
    lines = ["# Are the codes worth having?", ""]
    for part, describe in {"compare": of_comparing, "choose": of_choosing}.items():
        path = folder / f"{part}.csv"
        if path.exists():
            lines += describe(read(path))
    (folder / "usefulness.md").write_text("\n".join(lines), encoding="utf-8")
    if (folder / "compare.csv").exists():
        draw(read(folder / "compare.csv")).savefig(folder / "usefulness.png", dpi=150)
