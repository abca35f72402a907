"""Convolutions and patches against dense layers at equal cost, on images.

python -m benchmarks.studies.convolution --mnist FILE --cifar FILE
"""

import math
import time

import numpy as np
from matplotlib.figure import Figure

from benchmarks.studies.study import (
    Study,
    by_set,
    change,
    less,
    level,
    plain_ticks,
    table,
    table_of_sets,
    values,
)
from benchmarks.usefulness.features import ridge_error
from skcae import ContractiveAutoencoder, ConvolutionalCAE, PatchEncoder

# Units, or filters, of each encoder, and its epochs: so much is spent.
SIZES = {
    "dense": ((64, 20), (256, 50), (1024, 60)),
    "convolution": ((2, 10), (6, 20), (18, 30)),
    "patches": ((16, 10), (64, 20), (256, 40)),
}
PENALTIES = (0.0, 0.1)
KERNEL, N_PATCHES = 5, 4000


def trials(small):
    """List all sizes of all encoders, without a penalty and with it."""
    return [
        {"encoder": name, "size": size, "epochs": epochs, "penalty": penalty}
        for name, sizes in SIZES.items()
        for size, epochs in (sizes[:2] if small else sizes)
        for penalty in PENALTIES
    ]


def make(encoder, size, epochs, penalty, side, seed):
    """Make an encoder of square images."""
    how = {"max_iter": epochs, "jacobian_penalty": penalty, "random_state": seed}
    if encoder == "convolution":
        shape = (side, side)
        return ConvolutionalCAE(size, KERNEL, image_shape=shape, pool="max", **how)
    dense = ContractiveAutoencoder(size, **how)
    if encoder == "dense":
        return dense
    of_patches = {"patch_size": KERNEL, "n_patches": N_PATCHES, "random_state": seed}
    return PatchEncoder(dense, **of_patches)


def run(data, seed, trial):
    """Measure the error of one encoder, and the seconds of its fit and its codes."""
    side = math.isqrt(data.X.shape[1])
    start = time.process_time()
    encoder = make(**trial, side=side, seed=seed).fit(data.X)
    fitted = time.process_time()
    H, H_test = encoder.transform(data.X), encoder.transform(data.X_test)
    return {
        "error": ridge_error(H, H_test, data.y, data.y_test),
        "fit": fitted - start,
        "encode": time.process_time() - fitted,
        "code_size": H.shape[1],
    }


def curve(rows, encoder, penalty):
    """Return seconds and errors of an encoder's sizes, for each set and seed."""
    found = {}
    for row in rows:
        if (row["encoder"], row["penalty"]) == (encoder, str(penalty)):
            numbers = float(row["fit"]) + float(row["encode"]), float(row["error"])
            found.setdefault((row["set"], row["seed"]), []).append(numbers)
    return {key: np.array(sorted(points)).T for key, points in found.items()}


def at_equal_cost(rows, penalty):
    """Return the errors at the least cost that all can pay, and at the most all do.

    Between its sizes an encoder's error is taken to be linear in the logarithm of the
    seconds, and beyond them that of the nearest.
    """
    curves = {name: curve(rows, name, penalty) for name in SIZES}
    found = {"least": {}, "most": {}}
    for key in curves["dense"]:
        seconds = [of[key][0] for of in curves.values()]
        budgets = {
            "least": max(s[0] for s in seconds),
            "most": min(s[-1] for s in seconds),
        }
        for budget, spent in budgets.items():
            for name, of in curves.items():
                error = np.interp(np.log(spent), np.log(of[key][0]), of[key][1])
                found[budget].setdefault(name, {})[key] = error
    return found


def report(rows):
    """Say how the encoders compare, and what the penalty costs and brings."""
    parts = []
    for penalty in PENALTIES:
        lines = []
        for budget, of in at_equal_cost(rows, penalty).items():
            errors = [level(of[name]) for name in SIZES]
            more = [change(less(of[name], of["dense"]), 2) for name in list(SIZES)[1:]]
            lines.append([budget, *errors, *more])
        header = ["cost", *SIZES, *(f"{name}, less dense" for name in list(SIZES)[1:])]
        title = f"Test error at equal cost, %, λ = {penalty:g}:"
        parts += [title, table(header, lines)]
    parts += ["What λ costs and brings:", what_penalty_costs(rows)]
    of = at_equal_cost(rows, PENALTIES[-1])["most"]
    parts += [f"At the most, λ = {PENALTIES[-1]:g}:", table_of_sets(of)]
    return "\n\n".join(parts), draw(rows)


def what_penalty_costs(rows):
    """Tell the seconds of a fit, and what λ adds to them and to the error."""
    lines = []
    sizes = [(name, *of) for name, all_of_it in SIZES.items() for of in all_of_it]
    for name, size, epochs in sizes:
        of = {"encoder": name, "size": size, "epochs": epochs}
        seconds, errors = (
            [values(rows, column, **of, penalty=penalty) for penalty in PENALTIES]
            for column in ("fit", "error")
        )
        if not errors[0]:
            continue
        share = {key: 100 * (1 - seconds[0][key] / s) for key, s in seconds[1].items()}
        more = change(less(errors[1], errors[0]), len(sizes))
        lines.append([name, size, epochs, level(seconds[1]), level(share, 0), more])
    header = ["encoder", "size", "epochs", "seconds of the fit", "λ's share of them, %"]
    return table([*header, "error, less that of λ = 0"], lines)


def draw(rows):
    """Draw the error over the seconds, a panel for each set."""
    names = list(by_set(values(rows, "error", encoder="dense")))
    figure = Figure(figsize=(max(6.5, 2.6 * len(names)), 3.4), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        for k, encoder in enumerate(SIZES):
            for penalty, style in zip(PENALTIES, (".--", "o-"), strict=True):
                of = curve(rows, encoder, penalty)
                points = [part for key, part in of.items() if key[0] == name]
                seconds, errors = np.mean(points, axis=0)
                label = f"{encoder}, λ = {penalty:g}"
                ax.semilogx(seconds, errors, style, color=f"C{k}", label=label)
        ax.set_title(name)
        plain_ticks(ax)
    figure.supxlabel("seconds of the fit and of encoding, one core")
    figure.supylabel("test error, %")
    handles = ax.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False)
    return figure


STUDY = Study(
    name="convolution",
    question="Do convolutions or patches pay at equal cost, on images?",
    measure=(
        f"Test error of a ridge classifier on the codes of a dense layer, of one of "
        f"filters of {KERNEL} × {KERNEL} with the largest of windows of 2 × 2, and of "
        f"patches of {KERNEL} × {KERNEL} with the mean of four regions. Each has three "
        f"sizes, with more epochs for the larger, and λ = 0 or {PENALTIES[-1]:g}; its "
        "cost is the processor's seconds of the fit and of encoding. Compared is the "
        "error at the least cost that all three can pay, and at the most that all "
        "three do, between sizes by interpolation. An answer is a difference from the "
        "dense layer whose interval over sets leaves out 0."
    ),
    trials=trials,
    run=run,
    report=report,
    sets=("digits", "mnist", "faces", "textures", "cifar"),
    small_sets=("digits", "textures"),
)

if __name__ == "__main__":
    STUDY.main()
