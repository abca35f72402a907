"""Whether less ‖J‖ means less error, in a model, over models, and beyond λ itself.

python -m benchmarks.studies.norm_and_error --mnist FILE --cifar FILE
"""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import RidgeClassifierCV

from benchmarks.studies.study import (
    Study,
    by_set,
    change,
    plain_ticks,
    table,
    table_of_sets,
    values,
)
from skcae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skcae.inspection import jacobian_norm


def levels(least, most, n):
    """Return strengths of equal ratios."""
    return tuple(float(f"{level:.3g}") for level in np.geomspace(least, most, n))


LEVELS = {
    "CAE": levels(1e-3, 1.0, 7),
    "DAE-g": levels(0.03, 1.0, 6),
    "DAE-b": (0.05, 0.1, 0.2, 0.3, 0.5, 0.7),
    "AE+wd": levels(1e-5, 1e-1, 6),
    "AE": (0.0,),
}
MAKE = {
    "CAE": lambda level: partial(ContractiveAutoencoder, jacobian_penalty=level),
    "DAE-g": lambda level: partial(DenoisingAutoencoder, corruption_level=level),
    "DAE-b": lambda level: partial(
        DenoisingAutoencoder, corruption="masking", corruption_level=level
    ),
    "AE+wd": lambda level: partial(Autoencoder, weight_decay=level),
    "AE": lambda level: Autoencoder,
}
# Units and epochs of all models, and those with which each λ of the CAE is run, too.
USUAL, OTHERS = (64, 50), ((32, 50), (128, 50), (64, 15))
DELTA = 0.05


def trials(small):
    """List all levels of all models, and those of the CAE with other sizes."""
    step, others = (3, OTHERS[:1]) if small else (1, OTHERS)
    found = [
        (model, level, *USUAL)
        for model, all_of_it in LEVELS.items()
        for level in all_of_it[::step]
    ]
    found += [("CAE", level, *of) for of in others for level in LEVELS["CAE"][::step]]
    names = ("model", "level", "units", "epochs")
    return [dict(zip(names, trial, strict=True)) for trial in found]


def run(data, seed, trial):
    """Measure one encoder, and the margins of a ridge classifier on its codes."""
    make = MAKE[trial["model"]](trial["level"])
    encoder = make(trial["units"], max_iter=trial["epochs"], random_state=seed)
    H, H_test = encoder.fit_transform(data.X), encoder.transform(data.X_test)
    ridge = RidgeClassifierCV(np.logspace(-4, 4, 17)).fit(H, data.y)
    of_rows = margins(encoder, ridge, data.X, data.y)
    return {
        "error": 100 * (1 - ridge.score(H_test, data.y_test)),
        "norm": jacobian_norm(encoder, data.X_test).mean(),
        "training": 100 * (of_rows < 0).mean(),
        "margin": np.median(of_rows),
        "bound": 100 * bound(of_rows, data.X, len(ridge.classes_)),
    }


# ---- margins ----------------------------------------------------------------------


def margins(encoder, ridge, X, y):
    """Return how far the nearest other class is from each row, by the Jacobian.

    With s = Ah the scores of the classes, (s_y − s_j) / ‖(a_y − a_j) J_f(x)‖, the least
    over j: the distance at which s_j overtakes s_y if f is linear about x.
    """
    H, A = encoder.transform(X), np.atleast_2d(ridge.coef_)
    scores = ridge.decision_function(H).reshape(len(X), -1)
    if len(A) == 1:
        A, scores = np.concatenate([-A, A]), np.hstack([-scores, scores])
    # A J_f, with J_f = diag(h (1 − h)) W: rows × classes × columns.
    slopes = (A * (H * (1 - H))[:, None]) @ encoder.components_
    every, own = np.arange(len(X)), np.searchsorted(ridge.classes_, y)
    gap = scores[every, own, None] - scores
    steepness = np.linalg.norm(slopes[every, own, None] - slopes, axis=2)
    gap[every, own] = np.inf
    return (gap / np.maximum(steepness, np.finfo(float).tiny)).min(1)


def spacing(X):
    """Return how far each row is from those before it, farthest first.

    Those that are more than γ apart are at most as many as balls of radius γ / 2 that
    cover X.
    """
    distances = cdist(X, X)
    nearest, found = distances[0], [np.inf]
    for _ in range(len(X) - 1):
        k = nearest.argmax()
        found.append(nearest[k])
        nearest = np.minimum(nearest, distances[k])
    return np.array(found)


def bound(margins, X, n_classes):
    """Return a number that is below the bound on the error by these margins.

    Sokolić and others, "Robust Large Margin Deep Neural Networks", IEEE Transactions on
    Signal Processing 65, 2017, by the robustness of Xu and Mannor, Machine Learning 86,
    2012. Cells are K balls of radius γ / 2 for each of c classes; a row with a margin
    of γ keeps its class all over its cell. With a probability of 1 − δ

        error ≤ P(margin < γ) + √((2 c K log 2 + 2 log 1/δ) / n).

    K is here no more than it takes for the rows themselves, margins are those of a
    linear f, and the best γ is taken.
    """
    gammas, apart = margins[margins > 0], spacing(X)
    below = (margins < gammas[:, None]).mean(1)
    n_balls = (apart > gammas[:, None]).sum(1)
    exponent = 2 * np.log(2) * n_classes * n_balls + 2 * np.log(1 / DELTA)
    return (below + np.sqrt(exponent / len(X))).min()


# ---- what is said of it -----------------------------------------------------------


def points(rows, models, names, usual=True):
    """Return columns of the encoders of these models, for each set and seed."""
    found = {}
    for row in rows:
        is_usual = (row["units"], row["epochs"]) == tuple(map(str, USUAL))
        if row["model"] in models and (is_usual or not usual):
            numbers = [float(row[name]) for name in names]
            found.setdefault((row["set"], row["seed"]), []).append(numbers)
    return {key: np.array(numbers).T for key, numbers in found.items()}


def correlations(rows, models, name="norm"):
    """Return Spearman's ρ of a measure and the error, for each set and seed."""
    found = points(rows, models, (name, "error"))
    return {key: spearmanr(*columns)[0] for key, columns in found.items()}


def at_equal_penalty(rows):
    """Return the rank correlation of ‖J‖ and the error where λ is the same.

    Of all contractive autoencoders, less the mean rank of those with the same λ.
    """
    found = {}
    for key, (level, *columns) in points(
        rows, ("CAE",), ("level", "norm", "error"), usual=False
    ).items():
        ranks = np.stack([rankdata(column) for column in columns])
        for same in (level == one for one in np.unique(level)):
            ranks[:, same] -= ranks[:, same].mean(1, keepdims=True)
        found[key] = np.corrcoef(ranks)[0, 1]
    return found


def report(rows):
    """Say how ‖J‖ goes with the error, and what margins say of it."""
    moved = [model for model in LEVELS if model != "AE"]
    of = {f"within {model}": correlations(rows, (model,)) for model in moved}
    of["over all models"] = correlations(rows, LEVELS)
    of["CAEs of equal λ"] = at_equal_penalty(rows)
    of["margin, all models"] = correlations(rows, LEVELS, "margin")
    lines = [[name, change(found, len(of))] for name, found in of.items()]
    parts = [
        "ρ of ‖J‖ and the test error; in the last line of the margin and the error:",
        table(["encoders", "ρ"], lines),
        table_of_sets(of),
        "The bound by margins, and what it bounds, of the CAE with the λ that has the "
        "least bound, %:",
        bounds(rows),
    ]
    return "\n\n".join(parts), draw(rows)


def bounds(rows):
    """Tell how loose the bound is."""
    found = points(rows, ("CAE",), ("bound", "training", "error"))
    least = {key: of[:, of[0].argmin()] for key, of in found.items()}
    names = ("bound", "training error", "test error")
    return table_of_sets(
        {
            name: {key: of[k] for key, of in least.items()}
            for k, name in enumerate(names)
        },
        digits=1,
    )


def draw(rows):
    """Draw each encoder as a dot, a panel for each set."""
    names = list(by_set(values(rows, "error", model="AE")))
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    for ax, name in zip(
        figure.subplots(2, -(-len(names) // 2)).flat, names, strict=False
    ):
        for model in LEVELS:
            of = points(rows, (model,), ("norm", "error"))
            columns = np.concatenate(
                [part for key, part in of.items() if key[0] == name], axis=1
            )
            ax.semilogx(*columns, ".", label=model)
        ax.set_title(name)
        plain_ticks(ax)
    figure.supxlabel("‖J‖")
    figure.supylabel("test error, %")
    handles = ax.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=5, frameon=False)
    return figure


STUDY = Study(
    name="norm_and_error",
    question="Does less ‖J‖ mean less error?",
    measure=(
        "Spearman's ρ of the mean ‖J‖ at test rows and the test error of a ridge "
        f"classifier on the codes of {USUAL[0]} units: over the levels of one model "
        "(λ, noise, decay), over all models, and over contractive autoencoders of "
        "several widths and epochs where λ is the same. An answer is a ρ whose "
        "interval over sets leaves out 0. And a margin by the Jacobian: its own ρ, and "
        "the bound on the error that follows from it (Sokolić and others, 2017), made "
        "as small as can be."
    ),
    trials=trials,
    run=run,
    report=report,
)

if __name__ == "__main__":
    STUDY.main()
