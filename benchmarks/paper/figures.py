"""Figures 1, 2 and 3: contraction curves, spectra and depth, over the paper's curves.

    python -m benchmarks.paper.figures --quick
    python -m benchmarks.paper.figures --local-file mnist.npz

The models have the settings and the epochs that the search of table1.py chose; run it
first. A second contractive autoencoder, and those of Figure 3, have the λ that gives
the paper's norm of the Jacobian in place of the lowest error. Fitted models are kept
beside the results, so that a figure can be drawn again at once.
"""

import argparse
import csv
import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.pipeline import make_pipeline

from benchmarks.paper import digitised, report
from benchmarks.paper.cells import FOLDER
from benchmarks.paper.data import load
from benchmarks.paper.models import TABLE_1, encoder, encoder_parameters
from benchmarks.paper.protocol import PROTOCOL
from benchmarks.paper.runs import COMMIT, remembered
from benchmarks.records import Records
from skcae.inspection import (
    ContractionCurveDisplay,
    FilterDisplay,
    JacobianSpectrumDisplay,
    jacobian_norm,
)

# The paper's distances, and those half-way between them.
RADII = [0.2, 1.5, *np.arange(4, 40, 2.5).tolist()]
N_CENTRES = 1000
N_SPECTRA = 100
DEPTH = 3
# What Figure 3 is of where the others are of these.
DEPTH_DATA = {"mnist": "rot", "digits": "digits"}
# The mean ‖J‖²_F / (d h) on MNIST is then the paper's .73e-4 (table1_mnist.md).
PAPERS_LAMBDA = 0.1
PAPERS_CAE = f"CAE, λ = {PAPERS_LAMBDA}"

# What each picture shows, for those who cannot see it.
PICTURES = {
    "1": "Contraction curves of each model over the paper's",
    "filters": "Filters of the contractive autoencoder",
    "2": "Spectra of each model's Jacobian over the paper's",
    "2_log": "The same spectra on a logarithmic scale",
    "3": "Contraction curves after one, two and three layers",
}


def arguments(given):
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="mnist", choices=list(DEPTH_DATA))
    parser.add_argument("--local-file", help="of MNIST, which comes from OpenML else")
    parser.add_argument("--figures", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--n-components", type=int, default=1000)
    parser.add_argument(
        "--epochs", type=int, help="of figures 1 and 2, instead of those chosen"
    )
    parser.add_argument("--rot-epochs", type=int, default=200, help="of each layer")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--quick", action="store_true", help="on scikit-learn's digits")
    args = parser.parse_args(given)
    if args.quick:
        args.data = "digits"
        args.n_components, args.epochs, args.rot_epochs = 60, 20, 20
        args.results = args.results / "quick"
    return args


# ---- the models -----------------------------------------------------------------


def chosen(path):
    """Return the setting of each model's final runs, and its epochs."""
    best = {
        row["model"]: (
            json.loads(row["setting"]),
            int(row["n_epochs"].partition("+")[0]),
        )
        for row in Records(path).all({"protocol": PROTOCOL})
    }
    missing = set(TABLE_1) - set(best)
    if missing:
        names = ", ".join(sorted(missing))
        raise SystemExit(f"{path} has no run of {names}: run table1.py first.")
    return with_papers_lambda({model: best[model] for model in TABLE_1})


def with_papers_lambda(choices):
    """Add a contractive autoencoder with the paper's norm."""
    setting, n_epochs = choices["CAE"]
    setting = {**setting, "jacobian_penalty": PAPERS_LAMBDA}
    return {**choices, PAPERS_CAE: (setting, n_epochs)}


def kind_of(name):
    """Return the model's name without what tells two of a kind apart."""
    return name.partition(",")[0]


def built(args, model, setting, n_epochs, seed):
    """Build an encoder, not yet fitted."""
    parameters = encoder_parameters(setting)
    return encoder(model, parameters, args.n_components, n_epochs, seed)


def fit_all(args, images, best):
    """Fit each model of Table 1, several at a time."""
    fit_once = remembered(args.results)
    tasks = [
        joblib.delayed(fit_once)(
            built(args, kind_of(name), setting, args.epochs or n, seed=1),
            images.X_train,
        )
        for name, (setting, n) in best.items()
    ]
    return dict(zip(best, joblib.Parallel(args.jobs)(tasks), strict=True))


def fit_stack(args, images, setting):
    """Fit one stack, and return its first layers by their number."""
    layers = [
        built(args, "CAE", setting, args.rot_epochs, seed=1 + k) for k in range(DEPTH)
    ]
    stack = remembered(args.results)(make_pipeline(*layers), images.X_train)
    return {f"depth {k}": stack[:k] for k in range(1, DEPTH + 1)}


# ---- the figures ----------------------------------------------------------------


def contraction_figure(args, number, encoders, X, paper):
    """Draw contraction curves, and say what they show."""
    X = X[:N_CENTRES]
    display = ContractionCurveDisplay.from_estimator(
        encoders, X, radii=RADII, random_state=0
    )
    over_the_papers(display, digitised.RADII, paper)
    save(args, number, display)
    ours = {name: ratio.mean for name, ratio in display.ratios.items()}
    write_curves(args, number, "r", RADII, ours, digitised.RADII, paper)
    rows = []
    for name, ratio in display.ratios.items():
        limit = np.sqrt((jacobian_norm(encoders[name], X) ** 2).mean() / X.shape[1])
        printed = paper.get(kind_of(name))
        rows.append(
            [
                name,
                f"{printed[0]:.3f}" if printed else "–",
                f"{ratio.mean[0]:.3f}",
                f"{ratio.root_mean_square[0]:.3f} / {limit:.3f}",
                peak(digitised.RADII, printed) if printed else "–",
                peak(RADII, ratio.mean),
            ]
        )
    header = [
        "model",
        "paper: ratio at 0.2",
        "ours",
        "root mean square / limit ‖J‖/√d",
        "paper: peak",
        "ours",
    ]
    return report.markdown(header, rows)


def peak(radii, curve):
    """Say where a curve is highest, and by how much."""
    k = int(np.argmax(curve))
    if k == 0:
        return "none, falls"
    return f"r = {radii[k]:g}, {curve[k] / curve[0]:.2f} times the first"


def spectrum_figure(args, encoders, X, paper):
    """Draw spectra, linear and logarithmic, and say what they show."""
    display = JacobianSpectrumDisplay.from_estimator(encoders, X[:N_SPECTRA])
    over_the_papers(display, digitised.RANKS, paper)
    save(args, "2", display)
    display.plot(scale="log")
    over_the_papers(display, digitised.RANKS, paper)
    display.ax_.set_ylim(1e-4, 10)
    save(args, "2_log", display)
    ours = {name: spectrum.mean for name, spectrum in display.spectra.items()}
    ranks = np.arange(1, len(next(iter(ours.values()))) + 1)
    write_curves(args, 2, "rank", ranks, ours, digitised.RANKS, paper)
    header = ["model", "largest", *(f"rank {rank}" for rank in digitised.RANKS[::2])]
    rows = [
        [f"{name}, {whose}", *cells]
        for name in ours
        for whose, cells in (
            ("paper", ["–", *at_ranks(digitised.RANKS, paper.get(kind_of(name), []))]),
            ("ours", [f"{ours[name][0]:.2f}", *at_ranks(ranks, ours[name])]),
        )
    ]
    return report.markdown(header, rows)


def at_ranks(ranks, values):
    """Show the values at every second of the paper's ranks, as far as they go."""
    known = dict(zip(ranks, values, strict=False))
    return [report.shown(known.get(rank), ".3f") for rank in digitised.RANKS[::2]]


def over_the_papers(display, at, paper):
    """Add the paper's points in the colours of ours."""
    for line in display.lines_:
        values = paper.get(line.get_label())
        if values:
            display.ax_.plot(
                at[: len(values)],
                values,
                linestyle="none",
                marker="o",
                markersize=4,
                markerfacecolor="none",
                color=line.get_color(),
            )
    (mark,) = display.ax_.plot(
        [], [], linestyle="none", marker="o", markerfacecolor="none", color="0.3"
    )
    handles = [*display.lines_, mark]
    names = [line.get_label() for line in display.lines_]
    display.ax_.legend(handles, [*names, "paper"], fontsize="small")


def save(args, name, display):
    """Write a picture."""
    args.results.mkdir(parents=True, exist_ok=True)
    display.figure_.savefig(args.results / f"figure_{name}.png", dpi=110)


def write_curves(args, number, what, at, ours, at_paper, paper):
    """Write our curves, and the paper's where it has a point."""
    with (args.results / f"figure_{number}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", what, "ours", "paper"])
        for name, values in ours.items():
            known = dict(zip(at_paper, paper.get(name, []), strict=False))
            for position, value in zip(at, values, strict=True):
                printed = known.get(position, "")
                writer.writerow([name, f"{position:g}", f"{value:.5f}", printed])


def main(given=None):
    """Fit what is missing, draw, and write the report."""
    args = arguments(given)
    best = chosen(args.results / f"table1_{args.data}.csv")
    parts = [f"# The figures, on {args.data}\n"]
    lines = [
        f"{name}: {report.setting_text(setting)}, {args.epochs or n} epochs"
        for name, (setting, n) in best.items()
    ]
    parts.append(
        f"{args.n_components} units, seed 1, before fine-tuning; settings chosen by "
        f"Table 1's search ({'; '.join(lines)}). Lines are ours, circles the paper's.\n"
    )
    if {1, 2} & set(args.figures):
        images = load(args.data, args.local_file)
        encoders = fit_all(args, images, best)
    if 1 in args.figures:
        text = contraction_figure(args, 1, encoders, images.X_valid, digitised.FIGURE_1)
        parts.append(f"## Figure 1: contraction\n\n{picture('1')}\n\n{text}\n")
        display = FilterDisplay.from_estimator(encoders["CAE"], n_filters=100)
        save(args, "filters", display)
        parts.append(f"Filters of the CAE:\n\n{picture('filters')}\n")
    if 2 in args.figures:
        text = spectrum_figure(args, encoders, images.X_valid, digitised.FIGURE_2)
        parts.append(
            f"## Figure 2: spectrum\n\nThe paper's is of CIFAR-bw.\n\n{picture('2')}"
            f"\n\n{picture('2_log')}\n\n{text}\n"
        )
    if 3 in args.figures:
        images = load(DEPTH_DATA[args.data], args.local_file)
        stacks = fit_stack(args, images, best[PAPERS_CAE][0])
        text = contraction_figure(args, 3, stacks, images.X_valid, digitised.FIGURE_3)
        parts.append(
            f"## Figure 3: depth\n\nOn {DEPTH_DATA[args.data]}, λ = {PAPERS_LAMBDA}, "
            f"{args.rot_epochs} epochs for each layer.\n\n{picture('3')}\n\n{text}\n"
        )
    parts.append(report.footer("figures", args, [{"commit": COMMIT}]) + "\n")
    text = "\n".join(parts)
    (args.results / f"figures_{args.data}.md").write_text(text, encoding="utf-8")
    print(text)


def picture(name):
    """Show a picture in the report."""
    return f"![{PICTURES[name]}](figure_{name}.png)"


if __name__ == "__main__":
    main()
