"""λ against rows, units and depth: what carries over from a small model to others.

python -m benchmarks.studies.penalty_and_size --mnist FILE --cifar FILE
"""

import numpy as np
from matplotlib.figure import Figure

from benchmarks.studies.study import (
    Study,
    by_set,
    cell,
    change,
    less,
    table,
    table_of_sets,
    values,
)
from benchmarks.usefulness.features import ridge_error
from skcae import ContractiveAutoencoder, StackedCAE
from skcae.inspection import jacobian_norm
from skcae.model_selection import jacobian_penalty_max

SHARES = tuple(np.geomspace(1e-4, 0.3, 8).round(6))
# Rows, units and layers: the first is the small model, the others grow one thing.
SIZES = {
    "small": (100, 32, 1),
    "more rows": (600, 32, 1),
    "more units": (100, 256, 1),
    "two layers": (100, 32, 2),
    "all of it": (600, 256, 2),
}
# What may carry over, by the column that it is in.
RULES = {"λ": "lambda", "λ / λ_max": "share", "‖J‖": "norm"}
COLUMNS = (*RULES.values(), "held_out", "error")


def trials(small):
    """List all sizes with all λ, as shares of the λ_max of the rows."""
    shares = SHARES[::3] if small else SHARES
    return [{"size": size, "share": share} for size in SIZES for share in shares]


def run(data, seed, trial):
    """Measure one size with one λ: half of the rows that do not train choose."""
    n_rows, n_units, depth = SIZES[trial["size"]]
    X, y = data.X[:n_rows], data.y[:n_rows]
    (X_held, X_test), (y_held, y_test) = (
        np.array_split(rows, 2) for rows in (data.X_test, data.y_test)
    )
    penalty = trial["share"] * jacobian_penalty_max(X)
    how = {"jacobian_penalty": penalty, "random_state": seed}
    if depth == 1:
        encoder = ContractiveAutoencoder(n_units, **how).fit(X)
    else:
        encoder = StackedCAE((n_units,) * depth, **how).fit(X)
    H, H_held, H_test = (encoder.transform(rows) for rows in (X, X_held, X_test))
    return {
        "lambda": penalty,
        "held_out": ridge_error(H, H_held, y, y_held),
        "error": ridge_error(H, H_test, y, y_test),
        "norm": jacobian_norm(encoder, X_held).mean(),
    }


def curves(rows, size):
    """Return the columns of a size by rising λ, for each set and seed."""
    found = {}
    for row in rows:
        if row["size"] == size:
            numbers = {name: float(row[name]) for name in COLUMNS}
            found.setdefault((row["set"], row["seed"]), []).append(numbers)
    return {
        key: {name: np.array([point[name] for point in of]) for name in COLUMNS}
        for key, of in found.items()
    }


def regrets(rows, size):
    """Return what each rule loses on a size, whose λ the small model chose.

    The regret is the test error with the λ that the rule gives, less that with the λ
    which the held-out rows choose among those of the size itself.
    """
    small, large = curves(rows, "small"), curves(rows, size)
    lost = {rule: {} for rule in RULES}
    for key, of in large.items():
        best = small[key]["held_out"].argmin()
        own = of["held_out"].argmin()
        for rule, name in RULES.items():
            distance = np.abs(np.log(of[name] / small[key][name][best]))
            carried = distance.argmin()
            lost[rule][key] = of["error"][carried] - of["error"][own]
    return lost


def report(rows):
    """Say what each rule loses."""
    grown = list(SIZES)[1:]
    lost = {size: regrets(rows, size) for size in grown}
    n_compared = len(grown) * (len(RULES) - 1)
    lines = []
    for size, of in lost.items():
        more = [change(less(of[rule], of["λ"]), n_compared) for rule in list(RULES)[1:]]
        lines.append([size, *(cell(of[rule]) for rule in RULES), *more])
    header = ["the model grows by", *(f"the same {rule}" for rule in RULES)]
    header += [f"same {rule}, less same λ" for rule in list(RULES)[1:]]
    sets = table_of_sets({rule: lost["all of it"][rule] for rule in RULES})
    text = f"Regret, points of test error:\n\n{table(header, lines)}"
    return f"{text}\n\nOf “all of it”, by set:\n\n{sets}", draw(rows)


def draw(rows):
    """Draw the test error over each of what may carry over, a line for each set."""
    names = list(by_set(values(rows, "error", size="small")))
    figure = Figure(figsize=(2.6 * len(names), 7), layout="constrained")
    axes = figure.subplots(len(RULES), len(names), squeeze=False, sharey="col")
    of_sizes = {size: curves(rows, size) for size in SIZES}
    for row, (rule, column) in zip(axes, RULES.items(), strict=True):
        for ax, name in zip(row, names, strict=True):
            for size, of in of_sizes.items():
                points = [part for key, part in of.items() if key[0] == name]
                x, error = (
                    np.mean([part[c] for part in points], axis=0)
                    for c in (column, "error")
                )
                ax.semilogx(x, error, ".-", label=size)
            ax.set_xlabel(rule)
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name)
    figure.supylabel("test error, %")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=5, frameon=False)
    return figure


STUDY = Study(
    name="penalty_and_size",
    question="What carries over from a small model to a large one: λ, its share of "
    "λ_max, or the contraction?",
    measure=(
        "The rows that do not train are two halves: one chooses λ, one is the test. "
        "The small model (100 rows, 32 units, one layer) chooses its λ; a rule carries "
        "λ, λ / λ_max or ‖J‖ over to a larger one (600 rows, or as many as there are; "
        "256 units; two layers), which takes the λ of its own that comes closest. "
        "Its regret is the test error of that less the test error with the λ that the "
        "large model would choose itself. An answer is a rule whose regret differs "
        "from that of the same λ by an interval over sets that leaves out 0."
    ),
    trials=trials,
    run=run,
    report=report,
)

if __name__ == "__main__":
    STUDY.main()
