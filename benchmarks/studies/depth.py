"""Depth, and what is lost in detail as the layers of a stack contract more and more.

python -m benchmarks.studies.depth --mnist FILE --cifar FILE
"""

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import NearestNeighbors

from benchmarks.studies.study import (
    Study,
    by_set,
    change,
    less,
    level,
    table,
    table_of_sets,
    values,
)
from benchmarks.usefulness.features import ridge_error
from skcae import StackedCAE
from skcae.inspection import jacobian_norm

WIDTH, DEPTHS = 128, (1, 2, 3)
PENALTIES = (0.0, 0.01, 0.1, 1.0)
N_NEIGHBOURS = 10
# What is measured, and how it is called.
MEASURES = {
    "error": "test error, %",
    "worst": "error of the worst class, %",
    "unexplained": "variance not reconstructed, %",
    "within": "variance within classes, %",
    "neighbours": "nearest neighbours kept, %",
    "norm": "‖J‖",
}


def trials(small):
    """List one to three layers with each λ."""
    penalties = PENALTIES[::2] if small else PENALTIES
    return [{"layers": n, "penalty": p} for p in penalties for n in DEPTHS]


def run(data, seed, trial):
    """Measure what a stack keeps."""
    widths = (WIDTH,) * trial["layers"]
    stack = StackedCAE(widths, jacobian_penalty=trial["penalty"], random_state=seed)
    stack.fit(data.X)
    H, H_test = stack.transform(data.X), stack.transform(data.X_test)
    lost = np.square(stack.inverse_transform(H_test) - data.X_test).sum()
    return {
        "error": ridge_error(H, H_test, data.y, data.y_test),
        "worst": worst_class(H, H_test, data),
        "unexplained": 100 * lost / np.square(data.X_test - data.X.mean(0)).sum(),
        "within": 100 * within(H_test, data.y_test),
        "neighbours": 100 * kept(data.X_test, H_test),
        "norm": jacobian_norm(stack, data.X_test).mean(),
    }


def worst_class(H, H_test, data):
    """Return the error in % of the class that the nearest mean finds least often."""
    classes = np.unique(data.y)
    means = np.array([H[data.y == c].mean(0) for c in classes])
    wrong = classes[pairwise_distances_argmin(H_test, means)] != data.y_test
    return 100 * max(wrong[data.y_test == c].mean() for c in classes)


def within(H, y):
    """Return the variance within classes as a part of the whole."""
    inner = sum(np.square(H[y == c] - H[y == c].mean(0)).sum() for c in np.unique(y))
    return inner / np.square(H - H.mean(0)).sum()


def kept(X, H):
    """Return the part of each row's nearest neighbours that its code has, too."""
    neighbours = NearestNeighbors(n_neighbors=N_NEIGHBOURS)
    pairs = zip(*(neighbours.fit(A).kneighbors()[1] for A in (X, H)), strict=True)
    return np.mean([len(np.intersect1d(*pair)) for pair in pairs]) / N_NEIGHBOURS


def report(rows):
    """Say what each depth and λ leaves, and what two more layers change."""
    penalties = [p for p in PENALTIES if values(rows, "norm", layers=1, penalty=p)]
    n_compared = len(MEASURES) * len(penalties)
    levels, changes = [], []
    for penalty in penalties:
        found = {
            (n, name): values(rows, name, layers=n, penalty=penalty)
            for n in DEPTHS
            for name in MEASURES
        }
        for n in DEPTHS:
            cells = [level(found[n, name]) for name in MEASURES]
            levels.append([n, f"{penalty:g}", *cells])
        more = [less(found[3, name], found[1, name]) for name in MEASURES]
        changes.append([f"{penalty:g}", *(change(part, n_compared) for part in more)])
    errors = {
        f"λ = {p:g}, {n} layers": values(rows, "error", layers=n, penalty=p)
        for p in penalties
        for n in (1, 3)
    }
    parts = [
        "From one layer to three:",
        table(["λ", *MEASURES.values()], changes),
        "All of them:",
        table(["layers", "λ", *MEASURES.values()], levels),
        "Test error, %:",
        table_of_sets(errors),
    ]
    return "\n\n".join(parts), draw(rows, penalties)


def draw(rows, penalties):
    """Draw each measure over the layers, a line for each λ."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    panels = zip(figure.subplots(2, 3).flat, MEASURES.items(), strict=True)
    for ax, (name, title) in panels:
        for penalty in penalties:
            found = [values(rows, name, layers=n, penalty=penalty) for n in DEPTHS]
            means = [np.mean(list(by_set(part).values())) for part in found]
            ax.plot(DEPTHS, means, "o-", label=f"λ = {penalty:g}")
        ax.set(title=title, xticks=DEPTHS)
    figure.supxlabel("layers; the mean over sets")
    handles = ax.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=4, frameon=False)
    return figure


STUDY = Study(
    name="depth",
    question="What is lost in detail as stacks contract more?",
    measure=(
        f"Stacks of layers of {WIDTH} units, each trained on the codes below with the "
        "same λ. Of test rows: the error of a ridge classifier on the codes, that of "
        "the worst class by nearest mean, the variance that is not reconstructed, the "
        "variance of the codes within classes as a part of all, how many of "
        f"{N_NEIGHBOURS} nearest neighbours the code keeps, and ‖J‖. An answer is a "
        "change from one layer to three whose interval over sets leaves out 0, and how "
        "it changes with λ."
    ),
    trials=trials,
    run=run,
    report=report,
)

if __name__ == "__main__":
    STUDY.main()
