"""Six activations and two losses, each with a λ of its own.

python -m benchmarks.studies.activations_and_losses --mnist FILE --cifar FILE
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from sklearn.preprocessing import MinMaxScaler

from benchmarks.studies.study import (
    Split,
    Study,
    change,
    chosen,
    draw_dots,
    less,
    level,
    measured,
    table,
    table_of_sets,
    values,
)
from skcae import ContractiveAutoencoder
from skcae.activations import ACTIVATIONS

WIDTH = 64
PENALTIES = (0.0, 0.001, 0.01, 0.1, 1.0)
LOSSES = ("squared_error", "cross_entropy")
BASE = {"activation": "sigmoid", "loss": "squared_error"}


def trials(small):
    """List all pairs."""
    return [
        {"activation": activation, "loss": loss}
        for loss in LOSSES
        for activation in ACTIVATIONS
    ]


def run(data, seed, trial):
    """Measure one pair, on columns that are brought to [0, 1] for both losses."""
    scaler = MinMaxScaler(clip=True).fit(data.X)
    X, X_test = (scaler.transform(X) for X in (data.X, data.X_test))
    unit = Split(X, X_test, data.y, data.y_test)
    make = partial(ContractiveAutoencoder, WIDTH, random_state=seed, **trial)
    of = lambda penalty: make(jacobian_penalty=penalty)  # noqa: E731
    penalty = chosen(of, PENALTIES, unit, seed)
    return {"lambda": penalty, **measured(of(penalty), unit)}


def report(rows):
    """Say how the pairs differ."""
    base, lines = values(rows, "error", **BASE), []
    for of in trials(False):
        found = values(rows, "error", **of)
        more = "" if of == BASE else change(less(found, base), len(trials(False)) - 1)
        penalties = list(values(rows, "lambda", **of).values())
        spread = "{:g} ({:g} to {:g})".format(*np.quantile(penalties, [0.5, 0, 1]))
        norm = level(values(rows, "norm", **of))
        loss = of["loss"].replace("_", " ")
        lines.append([of["activation"], loss, level(found), more, spread, norm])
    header = ["activation", "loss", "test error, %", "less the first's"]
    header += ["median λ (least to most)", "‖J‖"]
    parts = [table(header, lines)]
    for loss in LOSSES:
        errors = {
            a: values(rows, "error", activation=a, loss=loss) for a in ACTIVATIONS
        }
        title = f"Test error, %, with the {loss.replace('_', ' ')}:"
        parts += [title, table_of_sets(errors)]
    return "\n\n".join(parts), draw(rows)


def draw(rows):
    """Draw the error of each pair less that of the first, set by set."""
    base = values(rows, "error", **BASE)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    for ax, loss in zip(axes, LOSSES, strict=True):
        errors = {
            a: values(rows, "error", activation=a, loss=loss) for a in ACTIVATIONS
        }
        draw_dots(ax, {name: less(error, base) for name, error in errors.items()})
        ax.set_title(loss.replace("_", " "))
    axes[1].set_yticklabels([])
    label = "test error less that of sigmoid and squared error, points; a dot is a seed"
    figure.supxlabel(label)
    handles = ax.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=6, frameon=False)
    return figure


STUDY = Study(
    name="activations_and_losses",
    question="Which activation, and which loss?",
    measure=(
        f"Test error of a ridge classifier on the codes of {WIDTH} units, columns in "
        "[0, 1], λ chosen on training rows for each pair of activation and loss. An "
        "answer is a difference from sigmoid units with the squared error whose "
        "interval over sets leaves out 0."
    ),
    trials=trials,
    run=run,
    report=report,
)

if __name__ == "__main__":
    STUDY.main()
