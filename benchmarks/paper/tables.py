"""The reports of Tables 1 and 2: ours with its interval beside the paper's.

An interval of ours is of the mean over the seeds, by bootstrap over test images and
seeds; the paper's is the binomial one of its test images.
"""

import json
from itertools import accumulate

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.paper import command, finals, paired_tests, published, report
from benchmarks.paper.models import SETS_OF_TABLE_2, SVM, encoder_parameters
from benchmarks.paper.protocol import MODELS, WITH_NOISE
from benchmarks.paper.search import best, rows_of, rungs

mpl.use("agg")


def write_first(args, data):
    """Write the report of Table 1 on a data set."""
    cells = [command.cell_of(args, data, model) for model in MODELS[data]]
    wrong = answers(cells)
    name = f"table1_{data}"
    of_noise = "Lines with noise on the rows while fine-tuning were dropped."
    if cells[0].budget.with_noise:
        of_noise = """With noise: the
same with Gaussian noise on the rows while fine-tuning, which is not in the paper."""
    text = f"""# Table 1 on {data}

{cells[0].budget.n_components} units, {rows_text(cells[0])}. By the protocol of
`benchmarks/paper/README.md`. Errors are those of the network after fine-tuning, mean
over seeds with the 95 % interval by bootstrap over test images and seeds; Jacobian and
saturation are of the encoder on the validation rows before fine-tuning. {of_noise}

{first_table(data, cells, wrong)}

![Our intervals and the paper's](figure_{name}.png)

## Pairs

Registered are AE − CAE and AE+wd − CAE; the others are shown and not claimed.

{pairs("CAE", wrong)}

{what_was_chosen(cells, name)}
"""
    if wrong:
        dots({data: wrong}).savefig(args.results / f"figure_{name}.png", dpi=110)
    write(args, name, cells, text)


def write_second(args):
    """Write the report of Table 2, for the sets that have trials."""
    sets = {
        data: [command.cell_of(args, data, model) for model in MODELS[data]]
        for data in SETS_OF_TABLE_2
        if command.cell_of(args, data, SVM).trials.all({"data": data})
    }
    if not sets:
        return
    wrong = {data: answers(cells) for data, cells in sets.items()}
    cells = [cell for of_set in sets.values() for cell in of_set]
    text = f"""# Table 2

{cells[0].budget.n_components} units in each layer. Test error in %: the paper's / ours,
mean over seeds with the 95 % interval by bootstrap over test images and seeds; of a
model with one seed, below, it is over the images alone. By the
protocol of `benchmarks/paper/README.md`. The sets are regenerated, see
docs/datasets.md, and not the paper's: compare the columns, not the rows. Settings of
the networks are drawn from a region that was found on MNIST, whose 70,000 digits all
sets but `rect` and `rect-img` are made of.

{second_table(wrong)}

![Our intervals and the paper's](figure_table2.png)

## Against the SVM on the same rows

{ratios(wrong)}

{what_was_chosen(cells, "table2")}
"""
    tested = {data: lines for data, lines in wrong.items() if lines}
    if tested:
        dots(tested).savefig(args.results / "figure_table2.png", dpi=110)
    write(args, "table2", cells, text)


def write(args, name, cells, text):
    """Write and show a report."""
    args.results.mkdir(parents=True, exist_ok=True)
    if any(rows_of(cell) for cell in cells):
        curves(cells).savefig(args.results / f"figure_{name}_search.png", dpi=110)
    (args.results / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


# ---- what was run ------------------------------------------------------------------


def lines_of(cell):
    """Name the lines of a table that a cell has."""
    noisy = cell.budget.with_noise and cell.model != SVM
    return [cell.model, cell.model + WITH_NOISE] if noisy else [cell.model]


def answers(cells):
    """Return which test rows are answered wrongly by each line that has been run."""
    return {
        line: finals.wrong(cell, line, rows)
        for cell in cells
        for line in lines_of(cell)
        if (rows := finals.tests_of(cell, line))
    }


def trial_of(cell, row):
    """Return the trial whose encoder a final run has."""
    n_epochs, _, _ = row["n_epochs"].partition("+")
    wanted = encoder_parameters(json.loads(row["setting"]))
    rows = rows_of(cell, n_epochs)
    return next(
        r for r in rows if encoder_parameters(json.loads(r["setting"])) == wanted
    )


def rows_text(cell):
    """Say how many rows there are of each kind, and what they have gone through."""
    images = cell.images
    n_train, n_valid, n_test = (
        len(images[f"y_{part}"]) for part in ("train", "valid", "test")
    )
    text = f"{n_train:,} + {n_valid:,} rows for training, {n_test:,} for testing"
    packed = cell.data == "cifar-bw" and str(cell.local_file).endswith(".npz")
    return f"{text}, of images that have been JPEG files" if packed else text


# ---- tables ------------------------------------------------------------------------


def first_table(data, cells, wrong):
    """Put each model beside the paper's row, the best of ours first."""
    rows = []
    for cell in cells:
        for line in lines_of(cell):
            if line not in wrong:
                continue
            trial = trial_of(cell, finals.tests_of(cell, line)[0])
            paper = published.TABLE_1.get(data, {}).get(line, (None, None, None))
            error = paired_tests.error(wrong[line])
            rows.append(
                [
                    error.value,
                    line,
                    report.shown(paper[0], ".2f"),
                    with_interval(error),
                    report.percents(wrong[line].mean(axis=1)),
                    report.shown(paper[1], ".2e"),
                    report.shown(trial.get("mean_square"), ".2e"),
                    report.shown(trial.get("norm_rms"), ".2f"),
                    report.shown(paper[2], ".1f"),
                    report.shown(100 * float(trial.get("saturation") or "nan"), ".1f"),
                ]
            )
    header = ["model", "paper: error, %", "ours, %", "each seed, %"]
    header += ["paper: mean ‖J‖²/(d·h)", "ours", "root mean square of ‖J‖"]
    header += ["paper: saturation, %", "ours, %"]
    return report.markdown(header, [row[1:] for row in sorted(rows)])


def second_table(wrong):
    """Put each cell beside the paper's."""
    rows = []
    for data, lines in wrong.items():
        paper, _ = published.errors_of(data)
        rows.append(
            [
                data,
                *(
                    f"{paper[m]:.2f} / "
                    + (
                        with_interval(paired_tests.error(lines[m]))
                        if m in lines
                        else "–"
                    )
                    for m in published.COLUMNS_2
                ),
            ]
        )
    return report.markdown(["set", *published.COLUMNS_2], rows)


def pairs(model, wrong):
    """Test a model against the others, each of its lines against theirs."""
    rows = []
    for suffix in ("", WITH_NOISE):
        ours = wrong.get(model + suffix)
        for line, other in wrong.items():
            same = line.endswith(WITH_NOISE) == bool(suffix)
            if ours is None or line == model + suffix or not same:
                continue
            found = paired_tests.difference(other, ours)
            more = paired_tests.difference(other, ours, with_seeds=True)
            tests = zip(ours, other, strict=False)
            rows.append(
                [
                    f"{line} − {model + suffix}",
                    with_interval(found, "+.2f"),
                    f"{found.p_value:.4f}",
                    f"{more.p_value:.4f}",
                    " ".join(f"{paired_tests.mcnemar(a, b):.3f}" for a, b in tests),
                ]
            )
    if not rows:
        return "No two of them have been run yet."
    header = ["pair", "difference of seed means, points", "p, paired bootstrap"]
    header += ["p, over seeds too"]
    return report.markdown([*header, "p, McNemar of each seed"], rows)


def ratios(wrong):
    """Divide errors by the SVM's, as in the paper and here."""
    rows = []
    for data, lines in wrong.items():
        paper, _ = published.errors_of(data)
        for model in ("CAE-1", "CAE-2"):
            if model not in lines or SVM not in lines:
                continue
            ours = paired_tests.ratio(lines[model], lines[SVM])
            printed = paper[model] / paper[SVM]
            reached = "yes" if ours.low <= printed else "no"
            interval = f"{ours.value:.2f} [{ours.low:.2f}, {ours.high:.2f}]"
            rows.append([data, model, f"{printed:.2f}", interval, reached])
    header = ["set", "model", "paper: error / SVM's", "ours", "reached"]
    return report.markdown(header, rows)


def with_interval(estimate, form=".2f"):
    """Show an estimate in %, with its interval."""
    value, low, high = (format(100 * number, form) for number in estimate[:3])
    return f"{value} [{low}, {high}]"


def what_was_chosen(cells, name):
    """List settings, trials and core-hours."""
    rows = []
    for cell in cells:
        trials = cell.trials.all(cell.key)
        for line in lines_of(cell):
            tests = finals.tests_of(cell, line)
            if not tests:
                continue
            hours = sum(float(row["seconds"]) for row in trials + tests) / 3600
            rows.append(
                [
                    cell.data,
                    line,
                    report.setting_text(json.loads(tests[0]["setting"])),
                    tests[0]["n_epochs"],
                    tests[0]["noise"],
                    f"{100 * float(tests[0]['valid_error']):.2f}",
                    len(trials),
                    len(tests),
                    f"{hours:.1f}",
                ]
            )
    header = ["set", "model", "setting", "epochs", "noise", "validation error, %"]
    header += ["runs on validation rows", "seeds", "core-hours"]
    return f"""## What was chosen

Rates are multiples of the solver's usual one, see `benchmarks/paper/models.py`; all
trials are in `{name}_trials.csv`. Core-hours have an encoder once that several runs
share, and both lines of a model have its search.{of_one_rung(cells)}

{report.markdown(header, rows)}

![Lowest validation error against trials](figure_{name}_search.png)"""


def of_one_rung(cells):
    """Say which models have fewer trials, if some do."""
    models = dict.fromkeys(c.model for c in cells if c.model in c.budget.one_rung)
    if not models:
        return ""
    return f" Trials above the first rung were dropped of {', '.join(models)}."


# ---- pictures ----------------------------------------------------------------------


def dots(wrong):
    """Draw our intervals and the paper's, a panel for each data set."""
    figure = Figure(figsize=(6.5, 0.9 + 0.24 * sum(len(w) + 3 for w in wrong.values())))
    heights = [len(lines) + 1 for lines in wrong.values()]
    axes = figure.subplots(
        len(wrong), squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for ax, (data, lines) in zip(axes, wrong.items(), strict=True):
        paper, n_test = published.errors_of(data)
        for at, (line, runs) in enumerate(lines.items()):
            value, low, high, _ = 100 * np.array(paired_tests.error(runs))
            bar(ax, at - 0.12, value, low, high, "o", "C0")
            if line in paper:
                half = report.half_width(paper[line], n_test)
                low, high = paper[line] - half, paper[line] + half
                bar(ax, at + 0.12, paper[line], low, high, "D", "C1", hollow=True)
        ax.set_yticks(range(len(lines)), list(lines))
        ax.set_ylim(len(lines) - 0.5, -0.5)
        ax.grid(axis="x", alpha=0.3)
        ax.set_title(data, fontsize="medium", loc="left")
    axes[-1].set_xlabel("test error, %: ours (filled), the paper's (hollow)")
    figure.tight_layout()
    return figure


def bar(ax, at, value, low, high, marker, colour, *, hollow=False):
    """Draw one number with its interval."""
    ax.plot([low, high], [at, at], color=colour, linewidth=1.5)
    face = "white" if hollow else colour
    ax.plot(value, at, marker, color=colour, markerfacecolor=face, markersize=5)


def curves(cells):
    """Draw the lowest validation error against trials, a panel for each data set."""
    sets = {}
    for cell in cells:
        if rows_of(cell, rungs(cell)[0][1]):
            sets.setdefault(cell.data, []).append(cell)
    n_columns = min(3, len(sets))
    n_rows = -(-len(sets) // n_columns)
    figure = Figure(figsize=(max(6.5, 3.3 * n_columns), max(4, 2.7 * n_rows)))
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[len(sets) :]:
        ax.remove()
    for ax, (data, of_set) in zip(axes, sets.items(), strict=False):
        for cell in of_set:
            draw_search(ax, cell)
        ax.set_title(data, fontsize="medium", loc="left")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.tick_params(labelsize="x-small")
        ax.legend(fontsize="x-small")
    trials = "trials of the first rung; the dot is the best of all rungs"
    figure.supxlabel(trials, fontsize="medium")
    figure.supylabel("lowest validation error, %", fontsize="medium")
    figure.tight_layout()
    return figure


def draw_search(ax, cell):
    """Draw the lowest error after each trial, and what more epochs brought."""
    errors = [100 * float(r["valid_error"]) for r in rows_of(cell, rungs(cell)[0][1])]
    colour = f"C{MODELS[cell.data].index(cell.model)}"
    lowest = [*accumulate(errors, min)]
    ax.plot(range(1, len(errors) + 1), lowest, color=colour, label=cell.model)
    end = 100 * float(best(rows_of(cell))[0]["valid_error"])
    ax.plot(len(errors), end, "o", color=colour, markersize=4)
